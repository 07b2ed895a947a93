r"""Test scenes for exact comparisons: two disks, and a past that determines all but who will be in front.

The futures of a scene have their listed probabilities only if radii, greys, positions and velocities can be read off the
past; and a choice can only be judged if the two futures are some distance :math:`D = \|x_A - x_B\|` apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.scenes import Scene, rejection_sample, visible

if TYPE_CHECKING:  # it imports this module: a world draws its own scenes for testing
    from scorevid.worlds.leaves.world import Leaves

LEAST_VISIBLE = 0.5  #: share of a disk's area: with half of its outline in view, its circle is known
LEAST_DISTANCE = 0.7  #: grey units: D of two futures, 8 pixels at a contrast of a quarter


def determined(scene: Scene, least_visible: float = LEAST_VISIBLE) -> Tensor:
    """Whether the past determines all but the depth order: (B,) bool.

    It does where there are two past frames or more, for the velocities, at least ``least_visible`` of every disk is seen
    in each of them, and no two disks have nearly the same grey, by which they are told apart.
    """
    if scene.memory < 2:
        return torch.zeros(len(scene), dtype=torch.bool, device=scene.radius.device)
    seen = visible(scene, torch.arange(-scene.memory, 0)).amin((1, 2)) >= least_visible
    different = (scene.grey[:, :, None] - scene.grey[:, None]).abs()
    different.diagonal(dim1=1, dim2=2).fill_(1)
    return seen & (different.amin((1, 2)) > 0.02)


def undecided_meetings(
    world: Leaves,
    n: int,
    generator: torch.Generator,
    probability: Sequence[float] | Tensor | None = None,
    least_distance: float = LEAST_DISTANCE,
) -> tuple[Scene, Futures]:
    """n scenes of two disks that meet in the next frame, with exactly two futures, for exact comparisons.

    probability: (n,) of the first future, in which disk 0 is in front; drawn as in the world if not given.
    least_distance: least ‖x_A − x_B‖, in grey units. The world's other parameters are kept, but for two disks.

    Raises ValueError where too few draws give such a scene.
    """
    world = replace(world, n_disks=2, fewest=None)
    if probability is not None:
        probability = torch.as_tensor(probability, dtype=torch.float32, device=generator.device)
        if probability.shape != (n,):
            raise ValueError(f"probability must be ({n},), got {tuple(probability.shape)}")

    def draw(missing: Tensor) -> tuple[Scene, Tensor]:
        tried = missing.repeat(4)
        scene = world.meetings(len(tried), generator, None if probability is None else probability[tried])
        possible = futures(scene)
        good = determined(scene) & (possible.count() == 2)
        if possible.frames.shape[1] == 2:
            good &= (possible.frames[:, 0] - possible.frames[:, 1]).flatten(1).norm(dim=1) >= least_distance
        return scene[good], tried[good]

    wanted = f"futures {least_distance} apart are too rare in {world}"
    scene = rejection_sample(n, draw, generator.device, wanted)
    return scene, futures(scene)
