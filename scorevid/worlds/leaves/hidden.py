"""Test scenes for memory: a disk that all past frames hide comes out later, and the same scenes with it in view.

Disk 0 hides disk 1 in the whole past. The control is the same scene with the depth order exchanged: disk 1 is in view from
the start. The pixels that are disk 1's alone (:func:`own_pixels`) are the same in both.

Time is as in :mod:`scorevid.worlds.leaves.world`: 0 is the next frame.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.leaves.scenes import Scene, covers, rejection_sample, visible
from scorevid.worlds.leaves.world import Leaves

OUT = 0.5  #: share of a disk's area in view from which on it counts as out
TOLERANCE = 1 / 3  #: of the difference that a disk makes, within which a frame counts as the true one; at most a half
LEAST_PIXELS = 4  #: least number of pixels that are disk 1's alone, by which its fate is judged
GREYS_APART = 0.2  #: least grey difference of the two disks


def hidden_scenes(world: Leaves, n: int, generator: torch.Generator, frames: int = 12) -> tuple[Scene, Scene]:
    """n scenes of two disks of which one is hidden in the whole past and comes out later, and their controls.

    Disk 0 is the larger and in front of disk 1. In the frames −M ... −1 both are whole within the frame and disk 1 is
    covered, edge pixels included, so that the past is the same without it. It comes out (:func:`emergence`) at a time
    in 1 ... ``frames`` − 1, with :data:`LEAST_PIXELS` of its own in view. The greys differ by :data:`GREYS_APART`, and
    disk 0's, shown in place of disk 1's, is neither within :data:`TOLERANCE` of disk 1 nor of the ground. The world's
    other parameters are kept, but for n_disks = 2 and no meetings. The second result is the control: the same with disk 1
    in front of disk 0.

    Scenes are on the generator's device. Raises ValueError for bad input, and where such scenes are too rare.
    """
    checks.integer("n", n)
    checks.integer("frames", frames, 2)  # a disk comes out at time 1 or later
    world = replace(world, n_disks=2, fewest=None, meeting=0.0)

    def draw(missing: Tensor) -> tuple[Scene, Tensor]:
        scene = _one_behind_the_other(world, max(16 * n, 1000), generator)
        scene = scene[_hidden(scene) & _different_greys(scene)]
        scene = scene[_comes_out(scene, frames)][: len(missing)]
        return scene, missing[: len(scene)]

    wanted = f"disks hidden and out in {frames} frames are too rare in {world}"
    scene = rejection_sample(n, draw, generator.device, wanted)
    return scene, scene.replace(depth=1 - scene.depth)


def emergence(scene: Scene, frames: int) -> Tensor:
    """First time in 0 ... ``frames`` − 1 at which at least half of disk 1 is seen, in frame and not covered: (B,) long.

    0 where it is in view from the start. Raises ValueError for scenes in which there is no such time.
    """
    checks.integer("frames", frames)
    out = _out(scene, frames)
    if never := int((~out.any(1)).sum()):
        raise ValueError(f"disk 1 must come out within {frames} frames, in {never} of {len(scene)} scenes it does not")
    return out.int().argmax(1)


def own_pixels(scene: Scene, times: Tensor) -> Tensor:
    """Pixels of disk 1 alone, each scene at its own time: over 0.9 within it and under 0.1 within disk 0, (B, H, W) bool.

    times: (B,). Does not depend on the depth order.
    """
    order = torch.tensor([0, 1]).expand(len(scene), 2).to(scene.depth)
    first, second = covers(at_times(scene, times), torch.zeros(1), order)
    return ((second > 0.9) & (first < 0.1))[:, 0]


def at_times(scene: Scene, times: Tensor) -> Scene:
    """The scenes, each moved on to its own time (B,), which becomes time 0."""
    return scene.replace(position=scene.position + times.to(scene.position)[:, None, None] * scene.velocity)


def without_disk_1(scene: Scene) -> Scene:
    """The scenes with disk 0 only."""
    return scene.replace(**{k: v[:, :1] for k, v in vars(scene).items() if torch.is_tensor(v)})


def _one_behind_the_other(world: Leaves, batch: int, generator: torch.Generator) -> Scene:
    """Scenes of the world with disk 1, the smaller, placed behind disk 0 in the middle of the past."""
    scene = world.scenes(batch, generator)
    radius = scene.radius.sort(1, descending=True).values
    scene = scene.replace(radius=radius, depth=torch.tensor([0, 1], device=radius.device).expand(batch, 2))
    middle = -(world.memory + 1) / 2
    turns, u = torch.rand((2, batch), generator=generator, device=generator.device)
    angle = 2 * torch.pi * turns
    offset = (_slack(scene) * u.sqrt())[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    first, v = scene.position[:, 0], scene.velocity
    second = first + middle * (v[:, 0] - v[:, 1]) + offset
    return scene.replace(position=torch.stack([first, second], 1))


def _slack(scene: Scene) -> Tensor:
    """How far apart the centres may be with disk 1 wholly covered, edge pixels included: (B,) pixels, 0 if never.

    Disk 0 covers a pixel fully up to √(r² − r) from its centre, disk 1 covers none of it beyond √(r² + r).
    """
    larger, smaller = scene.radius.unbind(1)
    return ((larger.square() - larger).clamp_min(0).sqrt() - (smaller.square() + smaller).sqrt()).clamp_min(0)


def _hidden(scene: Scene) -> Tensor:
    """Whether both disks are whole within the frame, and disk 1 wholly behind disk 0, from time −M to −1: (B,) bool."""
    ends = torch.tensor([-scene.memory, -1.0]).to(scene.position)  # in between as well, for the motion is straight
    centres = scene.position[:, None] + ends[:, None, None] * scene.velocity[:, None]  # (B, 2 times, 2 disks, 2)
    reach = scene.radius[:, None, :, None]
    within = ((centres - reach >= -0.5) & (centres + reach <= scene.size - 0.5)).flatten(1).all(1)
    apart = (centres[:, :, 1] - centres[:, :, 0]).norm(dim=2).amax(1)
    return within & (apart < _slack(scene))


def _different_greys(scene: Scene) -> Tensor:
    """Whether disk 0's grey differs from disk 1's, and is within the tolerance of neither disk 1 nor the ground: (B,) bool."""
    first, second = scene.grey.unbind(1)
    apart, contrast = (first - second).abs(), (second - scene.ground).abs()
    least = TOLERANCE * contrast
    return (apart >= GREYS_APART) & (apart > least) & ((first - scene.ground).abs() > least) & (contrast > 0)


def _comes_out(scene: Scene, frames: int) -> Tensor:
    """Whether disk 1 comes out at time 1 or later, by ``frames`` − 1, with enough pixels of its own: (B,) bool."""
    out = _out(scene, frames)
    enough = own_pixels(scene, out.int().argmax(1)).sum((1, 2)) >= LEAST_PIXELS
    return out.any(1) & ~out[:, 0] & enough


def _out(scene: Scene, frames: int) -> Tensor:
    """Whether at least half of disk 1 is seen at each of the times 0 ... ``frames`` − 1: (B, frames) bool."""
    return visible(scene, torch.arange(frames))[..., 1] >= OUT
