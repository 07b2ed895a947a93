"""From a denoiser to samples of the next frame given the past.

Every sampler is a frozen dataclass, called as ``sampler(f, c, generator=...)`` with any denoiser f. ``sampler`` holds what
all share. ``ascent`` is the paper's; ``solvers`` go down a fixed ladder of noise levels.
``rollout`` feeds samples back as past, ``whole_frames`` does so with frames of any size, and ``memory_budget`` says how many
frames a network is given at once.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "sampler": [
            "Sampler",  # what all samplers share, and how they are called
            "Samples",  # what they return
            "SamplerState",  # the samples of one run that are still on their way
        ],
        "solvers": [
            "Ladder",  # noise levels from σ_0 down to σ_L
            "Euler",  # DDIM
            "Heun",  # second order, two evaluations a step
            "Ancestral",  # DDPM
            "Churn",  # stochastic Heun of Karras et al.
            "Multistep",  # our own, second order, one evaluation a step
            "RECOMMENDED",  # the sampler that chapter 3 recommends
            "solve",  # the short way to any sampler with a ladder
        ],
        "ascent": [
            "Ascent",  # the paper's stochastic ascent
            "ascend",  # the short way to it
            "KS2021",  # it with the constants of the earlier public code
        ],
        "rollout": [
            "roll_out",  # many frames ahead
        ],
        "whole_frames": [
            "Continuation",  # samples of many frames ahead, their disagreement, and the one-step mean
            "continue_frames",  # these for whole frames of any size
        ],
    },
)
