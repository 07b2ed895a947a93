"""Where video comes from. A world has ``size``, ``memory`` and ``draw(batch, generator) -> (c, x)``.

:mod:`~scorevid.worlds.leaves` are disks that occlude one another, :mod:`~scorevid.worlds.clips` is natural video,
:mod:`~scorevid.worlds.gaussian` is linear-Gaussian texture, :mod:`~scorevid.worlds.motion` is complex motion.
What a world knows exactly about the next frame it returns as :class:`~scorevid.worlds.futures.Futures`.
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
        "motion.bending": [
            "Bending",  # textured bodies that rotate, swell and bend
        ],
        "motion.camera": [
            "Camera",  # a textured plane under a moving camera, behind disks
        ],
        "motion.digits": [
            "Digits",  # handwritten digits that bounce in random directions
        ],
        "motion.turns": [
            "Turns",  # disks that go on or turn
        ],
        "motion.world": [
            "Motion",  # complex motion: equal shares of the four
        ],
        "registry": [
            "make_world",  # a world from its description on a card
        ],
    },
)
