"""Noise: how it is distributed, in training and in tests.

``prior`` has the laws from which training draws noise levels, of the next frame and of the past; ``corruptions`` the
distributions of the noise itself, Gaussian and others; ``spoiling`` what tests do to one past frame.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "prior": [
            "NoisePrior",  # the law of σ, and of the noise, in training
            "PastNoise",  # noise that training puts on past frames
        ],
        "corruptions": [
            "CORRUPTIONS",  # names of the noise distributions
            "corrupt",  # y = x + σz
            "log_likelihood",  # log q(y | x) of each
        ],
        "spoiling": [
            "WAYS",  # names of the ways of spoiling a past frame
            "spoil",  # the past with one frame spoiled
        ],
    },
)
