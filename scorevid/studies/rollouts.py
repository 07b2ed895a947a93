r"""Many frames ahead, by feeding samples back as past; and what becomes of a disk that all past frames hide.

A model of p(x | c) with M past frames knows of nothing that none of these show. Where one disk hides another in all
of them, a roll-out can only drop the hidden one, or make up some other in its place. The test takes scenes of two disks
(:func:`hidden_scenes`): disk 0 hides disk 1 in the past, later disk 1 comes out. The control is the same scenes with the
depth order exchanged: disk 1 is in view from the start, and what a roll-out loses of it, it loses by its own errors.
:func:`fate` looks at the pixels that are disk 1's alone, which are the same in both.

Time is as in :mod:`scorevid.worlds.leaves.world`: 0 is the first predicted frame, so frame k of a roll-out has time k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from tqdm import tqdm

from scorevid.sampling.starts import check_count
from scorevid.studies import sampling as sweeps
from scorevid.worlds.leaves.scenes import Scene, covers, visible
from scorevid.worlds.leaves.world import Leaves

KEPT, CHANGED, DROPPED = 0, 1, 2  #: fates of a disk
FATES = ("kept", "changed", "dropped")  #: their names
OUT = 0.5  #: share of a disk's area in view from which on it counts as out
TOLERANCE = 1 / 3  #: of the difference that a disk makes; over half, one frame could have two fates
LEAST_PIXELS = 4  #: pixels of a disk's own by which its fate is judged, at the least
GREYS_APART = 0.2  #: least grey difference of the two disks


def roll_out(
    f: Callable[..., Tensor],
    c: Tensor,
    frames: int,
    settings: dict,
    generator: torch.Generator,
    *,
    batch_limit: int | None = None,
    progress: bool = False,
) -> Tensor:
    """One continuation of each scene, frame by frame: (B, frames, H, W).

    f, c, settings, generator: as in :func:`scorevid.studies.sampling.sample`; c: (B, M, H, W), oldest first, M ≥ 1. Each step
    draws one next frame, drops the oldest of the past, and appends the sample as it is: greys are not clipped to [0, 1],
    and errors are fed back with the rest. batch_limit: as in ``ascend``. progress: show a bar.

    Raises ValueError for bad input, settings of several samples a scene, and samples that are not finite.
    """
    if not isinstance(c, Tensor) or c.ndim != 4 or c.shape[1] < 1:
        came = tuple(c.shape) if isinstance(c, Tensor) else type(c).__name__
        raise ValueError(f"c must be frames (B, M, H, W) with M >= 1, got {came}")
    check_count("frames", frames)
    drawn = []
    for k in tqdm(range(frames), disable=not progress, unit="frame"):
        x = sweeps.sample(f, c, settings, generator, batch_limit=batch_limit).x
        if x.shape[1] != 1:
            raise ValueError(f"a roll-out feeds back one sample a scene, the settings give {x.shape[1]}")
        if not x.isfinite().all():
            raise ValueError(f"the roll-out left the finite numbers at frame {k} of {frames}")
        c = torch.cat([c[:, 1:], x], 1)
        drawn.append(x)
    return torch.cat(drawn, 1)


def hidden_scenes(world: Leaves, n: int, generator: torch.Generator, frames: int = 12) -> tuple[Scene, Scene]:
    """n scenes of two disks of which one is hidden in the whole past and comes out later, and their controls.

    Disk 0 is the larger and in front of disk 1. In the frames −M ... −1 both are whole within the frame and disk 1 is
    covered, edge pixels included, so that the past is the same without it. It comes out (:func:`emergence`) at a time
    in 1 ... ``frames`` − 1, with :data:`LEAST_PIXELS` of its own in view. The greys differ by :data:`GREYS_APART`, and
    disk 0's, shown in place of disk 1's, counts as a change. The world's other parameters are kept, but for n_disks = 2
    and no meetings. The second result is the control: the same with disk 1 in front of disk 0.

    Draws and rejects until all are found, all scenes on generator's device. Raises ValueError for bad input, and where
    too few draws give such a scene.
    """
    check_count("n", n)
    check_count("frames", frames)
    if frames < 2:
        raise ValueError("a disk comes out at time 1 or later: frames must be at least 2")
    world = replace(world, n_disks=2, fewest=None, meeting=0.0)
    found: list[Scene] = []
    missing = n
    for _ in range(200):
        scene = _one_behind_the_other(world, max(16 * n, 1000), generator)
        scene = scene[_hidden(scene) & _told_apart(scene)]
        scene = scene[_comes_out(scene, frames)][:missing]
        found.append(scene)
        missing -= len(scene)
        if not missing:
            tensors = (k for k, v in vars(scene).items() if torch.is_tensor(v))
            scene = scene.replace(**{k: torch.cat([getattr(s, k) for s in found]) for k in tensors})
            return scene, scene.replace(depth=1 - scene.depth)
    raise ValueError(
        f"{missing} of {n} scenes were not found: disks hidden and out in {frames} frames too rare in {world}"
    )


def emergence(scene: Scene, frames: int) -> Tensor:
    """First time in 0 ... ``frames`` − 1 at which at least half of disk 1 is seen, in frame and not covered: (B,) long.

    0 where it is in view from the start. Raises ValueError for scenes in which there is no such time.
    """
    check_count("frames", frames)
    out = _out(scene, frames)
    if not out.any(1).all():
        never = int((~out.any(1)).sum())
        raise ValueError(
            f"disk 1 is due to come out within {frames} frames, in {never} of {len(scene)} scenes it does not"
        )
    return out.int().argmax(1)


def own_pixels(scene: Scene, times: Tensor) -> Tensor:
    """Pixels of disk 1 alone, each scene at its own time: over 0.9 within it and under 0.1 within disk 0, (B, H, W) bool.

    times: (B,). Does not depend on the depth order.
    """
    first, second = covers(
        _at(scene, times), torch.zeros(1), torch.tensor([0, 1]).expand(len(scene), 2).to(scene.depth)
    )
    return ((second > 0.9) & (first < 0.1))[:, 0]


def fate(x_hat: Tensor, scene: Scene, times: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    r"""What became of disk 1 in predicted frames: :data:`KEPT`, :data:`CHANGED` or :data:`DROPPED`, (B,) long.

    x_hat: (B, H, W), one frame a scene. times: (B,), the time of each, by which the scene tells the true frame x, and
    :math:`x_\varnothing`, the same without disk 1. On the pixels that are disk 1's alone (:func:`own_pixels`), with
    :math:`\|\cdot\|` the mean absolute difference, the disk is

    * kept where :math:`\|\hat x - x\| < \text{tolerance} \cdot \|x - x_\varnothing\|`,
    * dropped where :math:`\|\hat x - x_\varnothing\| < \text{tolerance} \cdot \|x - x_\varnothing\|`: nothing is there,
    * changed otherwise: something is there, but of another grey, in another place by some pixels, or behind disk 0.

    Away from edges x is the disk's grey and :math:`x_\varnothing` the ground's. Differences are taken pixel by pixel, so
    greys too light and too dark do not make up for each other. A tolerance in (0, ½] gives each frame one fate.

    Raises ValueError for bad input, scenes of other than two disks, and scenes without pixels of disk 1's own.
    """
    if scene.radius.shape[1] != 2:
        raise ValueError(f"scenes of two disks are due, got {scene.radius.shape[1]}")
    due = (len(scene), scene.size, scene.size)
    if not isinstance(x_hat, Tensor) or x_hat.shape != due or not x_hat.is_floating_point():
        came = f"{x_hat.dtype} {tuple(x_hat.shape)}" if isinstance(x_hat, Tensor) else type(x_hat).__name__
        raise ValueError(f"floating-point frames {due} are due, got {came}")
    if not x_hat.isfinite().all():
        raise ValueError("x_hat must be finite, got NaN or infinite values")
    if not isinstance(times, Tensor) or times.shape != due[:1]:
        came = tuple(times.shape) if isinstance(times, Tensor) else type(times).__name__
        raise ValueError(f"times must be ({len(scene)},), got {came}")
    if not 0 < tolerance <= 0.5:
        raise ValueError(f"tolerance must lie in (0, 0.5], got {tolerance}")
    where = own_pixels(scene, times)
    if not where.any(2).any(1).all():
        none = int((~where.any(2).any(1)).sum())
        raise ValueError(f"pixels of disk 1's own are due, in {none} of {len(scene)} scenes there are none")
    present = _at(scene, times)
    x, without = present.next_frame()[:, 0], _first_alone(present).next_frame()[:, 0]
    difference = _mean_difference(x, without, where)
    if (difference == 0).any():
        raise ValueError("a disk 1 of the ground's grey has no fate that shows")
    result = torch.full_like(times, CHANGED, dtype=torch.long)
    result[_mean_difference(x_hat, x, where) < tolerance * difference] = KEPT
    result[_mean_difference(x_hat, without, where) < tolerance * difference] = DROPPED
    return result


def count_fates(fates: Tensor) -> dict[str, int]:
    """How many of the fates (any shape, long) are "kept", "changed" and "dropped". Raises ValueError for others."""
    counts = {name: int((fates == k).sum()) for k, name in enumerate(FATES)}
    if sum(counts.values()) != fates.numel():
        raise ValueError(f"fates must be {KEPT}, {CHANGED} or {DROPPED}, got {fates.unique().tolist()}")
    return counts


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
    at = scene.position[:, None] + ends[:, None, None] * scene.velocity[:, None]  # (B, 2, 2 disks, 2)
    reach = scene.radius[:, None, :, None]
    within = ((at - reach >= -0.5) & (at + reach <= scene.size - 0.5)).flatten(1).all(1)
    apart = (at[:, :, 1] - at[:, :, 0]).norm(dim=2).amax(1)
    return within & (apart < _slack(scene))


def _told_apart(scene: Scene) -> Tensor:
    """Whether disk 0's grey can be told from disk 1's, and is neither kept nor dropped for it: (B,) bool."""
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


def _at(scene: Scene, times: Tensor) -> Scene:
    """The scenes, each moved on to its own time (B,), which becomes time 0."""
    return scene.replace(position=scene.position + times.to(scene.position)[:, None, None] * scene.velocity)


def _first_alone(scene: Scene) -> Scene:
    """The scenes with disk 0 only."""
    return scene.replace(**{k: v[:, :1] for k, v in vars(scene).items() if torch.is_tensor(v)})


def _mean_difference(a: Tensor, b: Tensor, where: Tensor) -> Tensor:
    """Mean absolute difference of frames (B, H, W) over the pixels chosen: (B,) grey units."""
    return (a - b).abs().masked_fill(~where, 0).sum((1, 2)) / where.sum((1, 2))
