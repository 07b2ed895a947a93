"""Whatever answers f(y, c, sigma=None) with an estimate of the clean next frame; ``protocol`` says what that is.

Networks: ``unet`` is the bias-free one, with its ``normalisation``; ``recurrent`` remembers the past in a state;
``conditioned`` are peers that are given σ, and regression; ``predictors`` are others that predict from the past alone;
``memory`` is one network with several memories; ``weights`` are those published, and ``onnx_file`` writes a network for other
runtimes. Exact optima: ``exact`` of finitely many futures, ``wiener`` of linear-Gaussian video. ``baselines`` predict from the
past alone, and learn nothing.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "protocol": [
            "Denoiser",  # the protocol: f(y, c, sigma=None) and needs_sigma
            "needs_sigma",  # whether a denoiser must be given σ
            "denoise",  # call any denoiser
        ],
        "unet": [
            "UNet",  # the bias-free conditional U-Net
        ],
        "conditioned": [
            "Preconditioned",  # a network that is given σ
            "EDM",  # its coefficients as in Karras et al.
            "Flow",  # its coefficients for flow matching
            "Noise",  # its coefficients for the estimate of the noise
            "Regression",  # a network that predicts from the past alone
            "build_network",  # a network from its configuration
        ],
        "predictors": [
            "ConvLSTM",  # the past in the states of recurrent cells
            "SimVP",  # convolutions only
        ],
        "recurrent": [
            "Recurrent",  # the past in a state, met frame after frame
        ],
        "following": [
            "Following",  # past frames moved on along the motion first
        ],
        "memory": [
            "ShorterMemory",  # a network that is given fewer past frames
            "with_longer_memory",  # a network with room for more
        ],
        "weights": [
            "load_denoiser",  # published weights by name
            "load_card",  # how they were made
            "save_denoiser",  # write weights with their card
            "available",  # names of those published
        ],
        "onnx_file": [
            "export",  # write a network, or its backward pass, as an ONNX file
        ],
        "exact": [
            "Oracle",  # the optimal denoiser of finitely many futures
            "optimum_and_score",  # the optimum and the score of any noise
        ],
        "wiener": [
            "Wiener",  # the optimal denoiser of linear-Gaussian video
        ],
        "baselines": [
            "copy",  # the last frame
            "extrapolate",  # the line through the last two
            "motion",  # the last frame moved along its optical flow
            "phase_advance",  # its phases advanced
        ],
    },
)
