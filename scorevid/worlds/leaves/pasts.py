r"""What only a longer memory has seen: disks that were hidden of late, and depth orders that were visible long ago.

**Hidden disks.** Disk 1, the smaller, passes behind disk 0 on a straight line, seen from disk 0 at the place
:math:`a(t)\, e + b\, e_\perp` with :math:`a(t) = A + w t`. It is wholly covered, edge pixels included, within the distance
s of the two centres (:func:`covered_within`), and in view, if only as a crescent, at :data:`SEEN` and more beyond. So it is
hidden in the k frames −k ... −1, in view in the two before, and comes out in frame 0, where

.. math:: \max(A_0,\, kw - h) \le A \le \min(w + h,\, (k + 1) w - A_1), \qquad h = \sqrt{s^2 - b^2},

with :math:`A_0` and :math:`A_1` the places along the line at which it has come out and at which it is still in view. A
memory of k + 2 frames has seen it twice, which determines where it comes out and with which grey.

**Depth orders.** Disk 2 crosses disks 0 and 1 at times of its own before these two meet. Where it is seen to lie between
them in depth, their order follows, for a memory that reaches back to the last time that each pair overlapped.

Nothing drawn here depends on the depth order but for what is hidden: there disk 0 is in front, as the past shows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.leaves.next_frames import draw_depth
from scorevid.worlds.leaves.scenes import Scene

LONGEST = 6  #: frames for which a disk is hidden, at most
COVERING, HIDDEN = (6.0, 11.0), (2.5, 4.0)  #: radii of disk 0 and of disk 1, least and most, in pixels
DEEP = (0.5, 2.0)  #: pixels by which disks that cross overlap
SEEN, OUT = (
    2.0,
    2.5,
)  #: pixels beyond the last hidden place: of a disk that is in view again, and of one that has come out
TRIES = 16  #: of each scene


def covered_within(covering: Tensor, hidden: Tensor) -> Tensor:
    """How far apart the centres may be with the smaller disk wholly covered, edge pixels included: pixels, 0 if never.

    covering, hidden: radii, of one shape. The larger disk covers a pixel fully up to √(r² − r) from its centre, the smaller
    covers none of it beyond √(r² + r).
    """
    inner = (covering.square() - covering).clamp_min(0).sqrt()
    return (inner - (hidden.square() + hidden).sqrt()).clamp_min(0)


def hide(
    scene: Scene, which: Tensor, speed: float, generator: torch.Generator, frames: Tensor | None = None
) -> tuple[Scene, Tensor]:
    """The scenes, those of ``which``, (B,) bool, with disk 1 hidden by disk 0 up to the last past frame, and out in the next.

    speed: the most of a disk, pixels a frame. frames: (B,) k of each scene, 0 ... :data:`LONGEST`, at random unless given;
    with 0 disk 1 is in view all along. The second result, (B,) long, is k, or −1 where the scene is as it was: where it was
    not wanted, and where none of some tries did.
    """
    batch, device = len(scene), scene.radius.device
    draw = torch.rand((TRIES, 8, batch), generator=generator, device=device)
    if frames is None:
        frames = (torch.rand(batch, generator=generator, device=device) * (LONGEST + 1)).long()
    k = frames.to(scene.radius)
    turn = torch.rand((TRIES, 2, batch), generator=generator, device=device) * 2 * math.pi
    left = which.clone()
    made = torch.full((batch,), -1, device=device)
    for u, (angle, way) in zip(draw, turn, strict=True):
        big = COVERING[0] * (COVERING[1] / COVERING[0]) ** u[0]
        small = HIDDEN[0] * (HIDDEN[1] / HIDDEN[0]) ** u[1]
        s = covered_within(big, small)
        b = s * (2 * u[2] - 1) * 0.95
        h = (s.square() - b.square()).sqrt()
        seen, out = (((s + more).square() - b.square()).sqrt() for more in (SEEN, OUT))
        slowest = torch.maximum(out - h, (out + seen) / (k + 1))
        fastest = torch.where(k > 1, 2 * h / (k - 1).clamp_min(1), torch.inf).clamp_max(1.9 * speed)
        slowest, fastest = (torch.where(k > 0, w, other) for w, other in ((slowest, 0.0), (fastest, 1.9 * speed)))
        w = slowest + (fastest - slowest) * u[3]
        least = torch.where(k > 0, torch.maximum(out, k * w - h), torch.maximum(out, seen + 2 * w))
        most = torch.where(k > 0, torch.minimum(h + w, (k + 1) * w - seen), least + 1)
        a = least + (most - least) * u[4]
        e = torch.stack([angle.cos(), angle.sin()], 1)
        across = torch.stack([-e[:, 1], e[:, 0]], 1)
        drift = (u[5] * (speed - w / 2).clamp_min(0))[:, None] * torch.stack([way.cos(), way.sin()], 1)
        velocity = torch.stack([drift - w[:, None] / 2 * e, drift + w[:, None] / 2 * e], 1)
        within = scene.size - 1 - 2 * small[:, None]
        second = small[:, None] + within * u[6:8].T
        first = second - a[:, None] * e - b[:, None] * across
        before = second - (k + 2)[:, None] * velocity[:, 1]
        inside = ((before >= small[:, None]) & (before <= scene.size - 1 - small[:, None])).all(1)
        fits = left & inside & (slowest <= fastest) & (least <= most)
        both = {"position": torch.stack([first, second], 1), "velocity": velocity}
        both["radius"] = torch.stack([big, small], 1)
        for name, new in both.items():
            old = getattr(scene, name)
            changed = torch.where(fits.view(-1, *[1] * (old.ndim - 1)), new, old[:, :2])
            scene = scene.replace(**{name: torch.cat([changed, old[:, 2:]], 1)})
        made = torch.where(fits, frames, made)
        left = left & ~fits
    return scene.replace(depth=torch.where((made >= 0)[:, None], _in_front(scene, generator), scene.depth)), made


def before_it_comes_out(scene: Scene, frames: Tensor, generator: torch.Generator) -> Scene:
    """The scenes of :func:`hide` some frames earlier, so that disk 1 does not come out in the next frame.

    frames: (B,) k of each scene, for how many frames disk 1 is hidden; scenes with −1 stay as they are. By 1 ... k frames
    earlier, drawn at random, disk 1 is hidden in the next frame too; by k + 1 it is in view for the last time. Only disks 0
    and 1 are moved.
    """
    u = torch.rand(len(scene), generator=generator, device=frames.device)
    earlier = ((1 + (u * (frames + 1)).long()) * (frames >= 0)).to(scene.position)
    position = scene.position.clone()
    position[:, :2] -= earlier[:, None, None] * scene.velocity[:, :2]
    return scene.replace(position=position)


def cross(
    scene: Scene, which: Tensor, speed: float, generator: torch.Generator, earlier: int | None = None
) -> tuple[Scene, Tensor]:
    """The scenes, in those of ``which``, (B,) bool, disk 2 overlaps disks 0 and 1, each at a past time of its own.

    speed: the most of a disk, pixels a frame. earlier: the earlier of the two times is that many frames before the next one;
    from 2 to M at random unless given. The second result, (B,) bool, says where it is so: where none of some tries is slow
    enough, the scene stays as it is. Raises ValueError for a memory of less than two frames.
    """
    checks.integer("memory", scene.memory, 2)
    batch, device = len(scene), scene.radius.device
    left, rows = which.clone(), torch.arange(batch, device=device)
    for _ in range(TRIES):
        u = torch.rand((7, batch), generator=generator, device=device)
        first = 2 + (u[0] * (scene.memory - 1)).long() if earlier is None else torch.full_like(rows, earlier)
        times = -torch.stack([first, 1 + (u[1] * (first - 1)).long()])
        swapped = (u[2] < 0.5).long()  # whether disk 1 is crossed before disk 0
        places = []
        for k, disk in enumerate((swapped, 1 - swapped)):
            angle = 2 * math.pi * u[3 + k]
            distance = scene.radius[rows, disk] + scene.radius[:, 2] - DEEP[0] - (DEEP[1] - DEEP[0]) * u[5 + k]
            centre = scene.position[rows, disk] + times[k][:, None] * scene.velocity[rows, disk]
            places.append(centre + distance[:, None] * torch.stack([angle.cos(), angle.sin()], 1))
        velocity = (places[1] - places[0]) / (times[1] - times[0])[:, None]
        fits = left & (velocity.norm(dim=1) <= speed)
        for name, new in (("position", places[0] - times[0][:, None] * velocity), ("velocity", velocity)):
            old = getattr(scene, name)
            third = torch.where(fits[:, None], new, old[:, 2])[:, None]
            scene = scene.replace(**{name: torch.cat([old[:, :2], third, old[:, 3:]], 1)})
        left = left & ~fits
    return scene, which & ~left


def _in_front(scene: Scene, generator: torch.Generator, tries: int = 16) -> Tensor:
    """Depth orders (B, n) as the radii have them, given that disk 0 is in front of disk 1."""
    depth = draw_depth(scene.radius, scene.kappa, generator)
    for _ in range(tries):
        again = draw_depth(scene.radius, scene.kappa, generator)
        depth = torch.where((depth[:, 0] < depth[:, 1])[:, None], depth, again)
    return depth
