"""Test scenes for memory: disks that are hidden in the past, or will be.

There are three kinds. In :func:`hidden_scenes` disk 0 hides disk 1 in the whole past, and disk 1 comes out later. The control
is the same scene with the depth order exchanged: disk 1 is in view from the start. The pixels that are disk 1's alone
(:func:`own_pixels`) are the same in both. In :func:`hidden_for` disk 1 is hidden in the last k past frames only, and out in
the next. In :func:`passing_scenes` it is in view in the whole past, passes behind disk 0 later, and comes out again.

Time is as in :mod:`scorevid.worlds.leaves.world`: 0 is the next frame.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.leaves.meetings import determined
from scorevid.worlds.leaves.pasts import LONGEST, covered_within, hide
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
    world = _of_two(world)

    def draw(missing: Tensor) -> tuple[Scene, Tensor]:
        scene = _one_behind_the_other(world, max(16 * n, 1000), generator)
        scene = scene[_hidden(scene) & _different_greys(scene)]
        scene = scene[_comes_out(scene, frames)][: len(missing)]
        return scene, missing[: len(scene)]

    wanted = f"disks hidden and out in {frames} frames are too rare in {world}"
    scene = rejection_sample(n, draw, generator.device, wanted)
    return scene, scene.replace(depth=1 - scene.depth)


def hidden_for(world: Leaves, frames: int, n: int, generator: torch.Generator) -> Scene:
    """n scenes of two disks, of which disk 0 hides disk 1 in the last ``frames`` past frames and lets it out in the next.

    In the two frames before, disk 1 is in view, if only as a crescent: they determine the next frame
    (:func:`~scorevid.worlds.leaves.pasts.hide`). Greys and pixels of its own are as in :func:`hidden_scenes`. frames: 0 to
    :data:`~scorevid.worlds.leaves.pasts.LONGEST`; with 0 disk 1 is in view all along. Raises ValueError for bad input, and
    where such scenes are too rare.
    """
    checks.integer("n", n)
    checks.integer("frames", frames, 0, LONGEST)

    def draw(missing: Tensor) -> tuple[Scene, Tensor]:
        tries = max(8 * len(missing), 256)
        scene, _ = _hides(world, tries, generator, torch.full((tries,), frames, device=generator.device))
        now = torch.zeros(len(scene), device=generator.device)
        scene = scene[own_pixels(scene, now).sum((1, 2)) >= LEAST_PIXELS][: len(missing)]
        return scene, missing[: len(scene)]

    return rejection_sample(n, draw, generator.device, f"disks hidden for {frames} frames are too rare in {world}")


def passing_scenes(
    world: Leaves, n: int, generator: torch.Generator, hidden: tuple[int, int] = (2, 3), by: int = 12
) -> Scene:
    """n scenes of two disks that are in view in the whole past, and of which disk 1 is hidden later and out again.

    Disk 0, which is larger and in front, hides disk 1 for ``hidden`` frames, least and most. That begins at time 1 or later,
    and at the time ``by`` disk 1 has pixels of its own again. The past determines all but the depth order: it may not show
    which of the two is in front. Raises ValueError for bad input, and where such scenes are too rare.
    """
    checks.integer("n", n)
    least, most = hidden
    checks.integer("the least of hidden", least, 1, LONGEST)
    checks.integer("the most of hidden", most, least, LONGEST)
    checks.integer("by", by, most + 1)

    def draw(missing: Tensor) -> tuple[Scene, Tensor]:
        tries = max(64 * len(missing), 4096)
        k = torch.randint(least, most + 1, (tries,), generator=generator, device=generator.device)
        scene, frames = _hides(world, tries, generator, k)
        u = torch.rand(len(scene), generator=generator, device=generator.device)
        out = frames + 1 + (u * (by - frames)).long()
        scene = at_times(scene, -out)  # which lets disk 1 out at that time
        scene = scene[determined(scene)]
        late = torch.full((len(scene),), by, device=generator.device)
        scene = scene[own_pixels(scene, late).sum((1, 2)) >= LEAST_PIXELS][: len(missing)]
        return scene, missing[: len(scene)]

    wanted = f"disks in view that pass behind another within {by} frames are too rare in {world}"
    return rejection_sample(n, draw, generator.device, wanted)


def _of_two(world: Leaves) -> Leaves:
    """The world with two disks anywhere."""
    return replace(world, n_disks=2, fewest=None, meeting=0.0, joining=0.0, inferred=0.0, hiding=0.0)


def _hides(world: Leaves, batch: int, generator: torch.Generator, frames: Tensor) -> tuple[Scene, Tensor]:
    """At most ``batch`` scenes of two disks of different greys, disk 1 hidden for frames (batch,) and out at time 0; and k."""
    every = torch.ones(batch, dtype=torch.bool, device=generator.device)
    scene, made = hide(_of_two(world).scenes(batch, generator), every, world.speed[1], generator, frames)
    kept = (made >= 0) & _different_greys(scene)
    return scene[kept], made[kept]


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
    offset = (covered_within(*scene.radius.unbind(1)) * u.sqrt())[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    first, v = scene.position[:, 0], scene.velocity
    second = first + middle * (v[:, 0] - v[:, 1]) + offset
    return scene.replace(position=torch.stack([first, second], 1))


def _hidden(scene: Scene) -> Tensor:
    """Whether both disks are whole within the frame, and disk 1 wholly behind disk 0, from time −M to −1: (B,) bool."""
    ends = torch.tensor([-scene.memory, -1.0]).to(scene.position)  # in between as well, for the motion is straight
    centres = scene.position[:, None] + ends[:, None, None] * scene.velocity[:, None]  # (B, 2 times, 2 disks, 2)
    reach = scene.radius[:, None, :, None]
    within = ((centres - reach >= -0.5) & (centres + reach <= scene.size - 0.5)).flatten(1).all(1)
    apart = (centres[:, :, 1] - centres[:, :, 0]).norm(dim=2).amax(1)
    return within & (apart < covered_within(*scene.radius.unbind(1)))


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
