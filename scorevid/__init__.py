"""Video prediction with the score of a conditional density, checked against closed forms: a companion to arXiv 2411.00842.

From worlds with known answers (``worlds``) and noise on them (``noise``) to what answers f(y, c) (``denoisers``), to samples
of the next frame (``sampling``), and to what judges both (``measures``). ``training`` makes a network, ``studies`` hold
measurements that take long, ``companion`` is what chapters are made with, ``sweep`` and ``cli`` are the command line. Names
load when they are first used.
"""

import lazy_loader as lazy

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=[
        *("worlds", "noise", "denoisers", "sampling", "measures", "training", "studies", "companion"),
        *("estimates", "checks"),
    ],
    submod_attrs={
        "worlds.leaves.world": [
            "Leaves",  # a world of disks that occlude one another
        ],
        "worlds.leaves.next_frames": [
            "futures",  # the exact law of the next frame of its scenes
        ],
        "worlds.clips.world": [
            "Clips",  # a world of natural video
        ],
        "worlds.gaussian": [
            "Gaussian",  # a world of linear-Gaussian video
        ],
        "denoisers.protocol": [
            "Denoiser",  # what a denoiser is: f(y, c, sigma=None), and whether it needs σ
        ],
        "denoisers.unet": [
            "UNet",  # the bias-free network
        ],
        "denoisers.weights": [
            "load_denoiser",  # published weights by name
        ],
        "sampling.solvers": [
            "solve",  # samples of the next frame by the recommended solver
        ],
        "sampling.ascent": [
            "ascend",  # samples by the paper's stochastic ascent
        ],
        "measures.score_from_residual": [
            "score",  # of the density of noisy frames, from a denoiser's residual
        ],
    },
)
