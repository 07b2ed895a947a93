"""Scenes of a kind that is rare in a world: drawn at random, and kept where they are of that kind."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorevid.worlds.leaves.scenes import Scene

ROUNDS = 200  # of drawing, after which the scenes count as too rare


def rejection_sample(
    n: int, draw: Callable[[Tensor], tuple[Scene, Tensor]], device: torch.device, wanted: str
) -> Scene:
    """n scenes of the kind that ``draw`` keeps, in their order.

    draw: takes the numbers of the scenes that are still missing, (m,) long in 0 ... n − 1, on the device. It returns the
    scenes kept of one round, and the number of each, (k,). Of several with one number the first is taken.
    wanted: what the scenes are, for the ValueError that is raised where :data:`ROUNDS` rounds do not find them all.
    """
    found: dict[int, Scene] = {}
    missing = torch.arange(n, device=device)
    for _ in range(ROUNDS):
        kept, numbers = draw(missing)
        for row, number in enumerate(numbers.tolist()):
            found.setdefault(number, kept[row])
        missing = torch.tensor([k for k in range(n) if k not in found], device=device, dtype=torch.long)
        if not len(missing):
            return _cat([found[k] for k in range(n)])
    raise ValueError(f"{len(missing)} of {n} scenes were not found: {wanted}")


def _cat(scenes: list[Scene]) -> Scene:
    names = [name for name, value in vars(scenes[0]).items() if isinstance(value, Tensor)]
    return scenes[0].replace(**{name: torch.cat([getattr(s, name) for s in scenes]) for name in names})
