"""Natural video: what chapters 4 to 6 measure of networks, shot by shot.

``errors`` are those of denoisers and of classical methods, and what samples look like. ``margins`` says by how much a network
is ahead, and what each past frame is worth. ``weights`` reads local linear weights for chapter 4. ``surprises`` plants objects
for chapter 6 and finds them. ``older_frames`` puts noise on the past, or hides a place in it, for supplement 7b.
``predictions`` shows natural video to the methods of chapter 8, for supplement 8a.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=["margins", "older_frames", "predictions", "surprises", "weights"],
    submod_attrs={
        "errors": [
            "BASELINES",  # what networks are compared with
            "CONTROL",  # the name of the network trained further
            "FOLLOWING",  # the name of the one that follows motion
            "GAINS",  # ways to join a baseline with the noisy frame
            "LONGER",  # memories of the one network that has all
            "MEMORIES",  # of the networks with one each
            "REGRESSION",  # the name of the network that sees the past alone
            "SAMPLER",  # of samples
            "THIRDS",  # of the patches, by motion
            "WHERE",  # pixels that are looked at
            "best_mix",  # of two frames, with hindsight
            "denoise",  # whole frames of any size
            "join",  # a prediction with the noisy frame
            "load_longer",  # one network as several
            "load_networks",  # with no to three past frames
            "masks",  # the pixels of WHERE
            "measure",  # errors of all predictors on each shot
            "of_longer",  # how one of several is called
            "predict",  # mean and samples
            "sharpness",  # of samples and of the mean
        ],
    },
)
