"""Where video comes from. A world has ``size``, ``memory`` and ``draw(batch, generator) -> (c, x)``."""
