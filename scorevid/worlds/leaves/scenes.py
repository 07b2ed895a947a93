r"""Scenes of moving disks: what they are, and how they are rendered.

A disk of radius r covers the fraction :math:`\mathrm{clip}\big((r^2 - \rho^2) / 2r + \tfrac12, 0, 1\big)` of a pixel at
distance ρ from its centre: r − ρ to first order, so an edge is one pixel wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

ROUNDS = 200  #: of drawing scenes, after which those that are wanted count as too rare


@dataclass(frozen=True, eq=False)
class Scene:
    """A batch of scenes of moving disks.

    position: (B, n, 2) centres (x, y) in pixels in the next frame, the one to be predicted.
    velocity: (B, n, 2) pixels a frame. radius: (B, n) pixels. grey: (B, n) in [0, 1].
    depth: (B, n) rank of each disk, 0 is nearest.
    ground, size, memory, kappa: as in :class:`~scorevid.worlds.leaves.world.Leaves`.
    """

    position: Tensor
    velocity: Tensor
    radius: Tensor
    grey: Tensor
    depth: Tensor
    ground: float = 0.5
    size: int = 32
    memory: int = 2
    kappa: float = 4.0

    def __len__(self) -> int:
        return len(self.radius)

    def __getitem__(self, index) -> Scene:
        """A sub-batch of scenes; an integer keeps the batch axis."""
        index = slice(index, index + 1 or None) if isinstance(index, int) else index
        return self.replace(**{k: getattr(self, k)[index] for k in _TENSORS})

    def replace(self, **changes) -> Scene:
        """The same scenes but for what is named."""
        return replace(self, **changes)

    @staticmethod
    def cat(scenes: Sequence[Scene]) -> Scene:
        """Scenes of several batches in a row; ground, size, memory and kappa are those of the first."""
        return scenes[0].replace(**{k: torch.cat([getattr(s, k) for s in scenes]) for k in _TENSORS})

    def video(self) -> Tensor:
        """All frames, past first: (B, M + 1, H, W)."""
        return render(self, torch.arange(-self.memory, 1))

    def past(self) -> Tensor:
        """c: the M frames before the next one, oldest first, (B, M, H, W)."""
        return render(self, torch.arange(-self.memory, 0))

    def next_frame(self) -> Tensor:
        """x: the frame to be predicted, (B, 1, H, W)."""
        return render(self, torch.zeros(1))


_TENSORS = ("position", "velocity", "radius", "grey", "depth")


def render(scene: Scene, times: Tensor) -> Tensor:
    """Draw the scene at the given times, in frames relative to the next frame (0); back to front.

    times: (T,). Returns (B, T, H, W) grey levels.
    """
    order = scene.depth.argsort(1, descending=True)
    grey = scene.grey.gather(1, order)
    frames = scene.position.new_full((len(scene), len(times), scene.size, scene.size), scene.ground)
    for k, cover in enumerate(covers(scene, times, order)):
        frames.addcmul_(cover, grey[:, k, None, None, None] - frames)
    return frames


def covers(scene: Scene, times: Tensor, order: Tensor) -> Iterator[Tensor]:
    """How much of each pixel each disk would cover were it alone, disk by disk in the given order: (B, T, H, W) each.

    times: (T,) as in :func:`render`. order: (B, n) indices of disks.
    """
    times = times.to(scene.position)
    radius = scene.radius.gather(1, order)
    at = scene.position[:, None] + times[None, :, None, None] * scene.velocity[:, None]  # (B, T, n, 2)
    at = at.gather(2, order[:, None, :, None].expand_as(at))
    pixel = torch.arange(scene.size, device=at.device, dtype=at.dtype)
    scale = radius.mul(2).reciprocal()[:, None, :, None]
    # coverage = (r² - dx² - dy²) / 2r + 1/2 separates into a column term and a row term
    along_x = -(pixel - at[..., 0, None]).square() * scale  # (B, T, n, W)
    along_y = (radius / 2 + 0.5)[:, None, :, None] - (pixel - at[..., 1, None]).square() * scale
    for k in range(radius.shape[1]):
        yield (along_y[:, :, k, :, None] + along_x[:, :, k, None, :]).clamp_(0, 1)


def visible(scene: Scene, times: Tensor) -> Tensor:
    """Share of each disk's area that is seen at the given times, within the frame and not covered: (B, T, n)."""
    order = scene.depth.argsort(1)
    free, seen = 1.0, []
    for cover in covers(scene, times, order):
        seen.append((cover * free).sum((2, 3)))
        free = free * (1 - cover)
    areas = math.pi * scene.radius.square()
    return torch.stack(seen, 2).gather(2, scene.depth[:, None].expand(-1, len(times), -1)) / areas[:, None]


def overlap_distance(scene: Scene) -> Tensor:
    r"""D = ‖x_A − x_B‖ of the next frames with disk 0 and with disk 1 in front, were there no other disks: (B,).

    The two frames differ where both disks are, by the product of their coverages and the difference of their greys.
    """
    order = torch.arange(scene.radius.shape[1], device=scene.radius.device).expand_as(scene.radius)
    first, second = islice(covers(scene, torch.zeros(1), order), 2)
    return (first * second).flatten(1).norm(dim=1) * (scene.grey[:, 0] - scene.grey[:, 1]).abs()


def rejection_sample(
    n: int, draw: Callable[[Tensor], tuple[Scene, Tensor]], device: torch.device, wanted: str
) -> Scene:
    """n scenes of a kind that is rare in a world, in their order.

    draw: takes the numbers of the scenes that are still missing, (m,) long in 0 ... n − 1, on the device. It returns the
    scenes accepted of one round, and the number of each, (k,). Of several with one number the first is taken.
    wanted: what the scenes are, for the ValueError that is raised where :data:`ROUNDS` rounds do not find them all.
    """
    found: dict[int, Scene] = {}
    missing = list(range(n))
    for _ in range(ROUNDS):
        accepted, numbers = draw(torch.tensor(missing, device=device))
        for row, number in enumerate(numbers.tolist()):
            found.setdefault(number, accepted[row])
        if not (missing := [k for k in range(n) if k not in found]):
            return Scene.cat([found[k] for k in range(n)])
    raise ValueError(f"{len(missing)} of {n} scenes were not found: {wanted}")
