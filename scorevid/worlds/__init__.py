"""Where video comes from. A world has ``size``, ``memory`` and ``draw(batch, generator) -> (c, x)``."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "registry": [
            "make_world",  # a world from its description on a card
        ],
    },
)
