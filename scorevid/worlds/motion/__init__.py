"""Complex motion: disks that turn, bodies that bend, a camera that moves, digits that bounce.

In ``turns`` and ``digits`` the next frame is one of finitely many, with known probabilities. In ``bending`` three past frames
determine it, in ``camera`` all of it but what enters the frame. ``world`` mixes the four; ``draws`` is what they draw with.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "bending": [
            "Bending",  # textured bodies that rotate, swell and bend
        ],
        "camera": [
            "Camera",  # a textured plane under a moving camera, behind disks
        ],
        "digits": [
            "Digits",  # two digits that bounce off the edges of the frame in random directions
        ],
        "draws": [
            "swing",  # a known period, from which three values determine the next
        ],
        "turns": [
            "Turns",  # disks that go on or turn
        ],
        "world": [
            "Motion",  # equal shares of the four
        ],
    },
)
