"""Places in a meeting of moving leaves where evidence of different kind is to be had, as pixels (row, column).

At each place something else tells what the next frame will be: see :data:`PROBES`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorevid.worlds.leaves.scenes import Scene

#: Names of the places, and what they are.
PROBES = {
    "ground": "ground, as far from every disk as the frame allows",
    "inside": "disk 0, a third of its radius from the middle, on the side away from disk 1",
    "front edge": "the edge of disk 0 that moves ahead, where the disk arrives; as straight ahead as is clear of disk 1",
    "back edge": "the edge of disk 0 that moves away, where ground has just been uncovered; clear of disk 1 as well",
    "overlap": "where disks 0 and 1 overlap for the first time, and either may be in front",
}


def probe_pixels(scene: Scene) -> dict[str, Tensor]:
    """For each name in :data:`PROBES` one pixel a scene, (B, 2) integers (row, column), inside the frame.

    scene: meetings of disks 0 and 1 (``Leaves.meetings``). Raises ValueError for scenes of fewer than two disks.
    """
    if scene.radius.shape[1] < 2:
        raise ValueError("the scene must be a meeting of two disks, got one disk")
    at, radius = scene.position[:, 0], scene.radius[:, :1]
    ahead = scene.velocity[:, 0] / scene.velocity[:, 0].norm(dim=1, keepdim=True).clamp_min(1e-6)
    between = scene.position[:, 1] - at
    distance = between.norm(dim=1, keepdim=True)
    # the overlap reaches on the line of centres from distance − r_1 to r_0
    middle = (distance - scene.radius[:, 1:2] + radius) / 2
    found = {
        "ground": _farthest(scene),
        "inside": at - between / distance * radius / 3,
        "front edge": _clear(scene, at, radius, ahead),
        "back edge": _clear(scene, at, radius + 1, -ahead),
        "overlap": at + between / distance * middle,
    }
    return {k: v.round().long().clamp(0, scene.size - 1).flip(1) for k, v in found.items()}


def _clear(scene: Scene, at: Tensor, reach: Tensor, direction: Tensor) -> Tensor:
    """The point (x, y) at a distance from disk 0's centre, near a direction, in the frame and 2 pixels off disk 1.

    Turns away from the direction no farther than it must, by 80° at most; where all is taken, to the freest point.
    """
    angle = torch.linspace(-80, 80, 33, device=at.device, dtype=at.dtype).mul(math.pi / 180)
    across = torch.stack([-direction[:, 1], direction[:, 0]], 1)
    turned = angle.cos()[:, None] * direction[:, None] + angle.sin()[:, None] * across[:, None]
    points = at[:, None] + reach[:, None] * turned  # (B, 33, 2)
    off = (points - scene.position[:, 1:2]).norm(dim=2) - scene.radius[:, 1:2]
    off = off.masked_fill(((points < 0) | (points > scene.size - 1)).any(2), -1e3)
    cost = torch.where(off >= 2, angle.abs(), 1e3 - off)
    return points[torch.arange(len(points)), cost.argmin(1)]


def _farthest(scene: Scene) -> Tensor:
    """The point (x, y) of the frame, 3 pixels from its border, that is farthest from all disks in every frame."""
    line = torch.arange(3, scene.size - 3, device=scene.position.device, dtype=scene.position.dtype)
    points = torch.cartesian_prod(line, line)
    times = torch.arange(-scene.memory, 1, device=points.device, dtype=points.dtype)
    at = scene.position[:, None] + times[None, :, None, None] * scene.velocity[:, None]  # (B, T, n, 2)
    away = torch.cdist(points.expand(len(scene), -1, -1), at.flatten(1, 2))  # (B, points, T n)
    away = away - scene.radius.repeat(1, len(times))[:, None]
    return points[away.amin(2).argmax(1)]
