"""Where video comes from. A world has ``size``, ``memory`` and ``draw(batch, generator) -> (c, x)``.

:mod:`~scorevid.worlds.leaves` are disks that occlude one another, :mod:`~scorevid.worlds.clips` is natural video,
:mod:`~scorevid.worlds.gaussian` is linear-Gaussian texture. What a world knows exactly about the next frame it returns as
:class:`~scorevid.worlds.futures.Futures`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "clips.world": [
            "Clips",  # natural video: patches of real footage
        ],
        "futures": [
            "Futures",  # finitely many next frames and their probabilities
        ],
        "gaussian": [
            "Gaussian",  # linear-Gaussian video: the optimal denoiser is a linear filter
        ],
        "leaves.world": [
            "Leaves",  # moving leaves: disks that occlude one another
        ],
        "registry": [
            "make_world",  # a world from its description on a card
        ],
    },
)
