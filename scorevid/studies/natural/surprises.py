"""Surprise maps of natural video: do they find what was planted in a next frame?

Something appears in a disk that the past does not announce. A map is good if its values are higher there than elsewhere.
Records are plain data, one a shot, so that the chapter takes intervals over shots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from scorevid.denoisers import baselines
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.measures import density
from scorevid.worlds.clips.patches import Patches, cut_from_whole_frames
from scorevid.worlds.clips.world import Clips

KINDS = ("object", "jump")  # what is planted in a next frame
RADIUS = 5.0  # pixels, of the disk that is planted
JUMP = 4  # pixels by which what is in the disk is displaced


def plant(x: Tensor, kind: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Next frames with something in a disk that the past does not announce, and where, both (N, 1, H, W).

    kind: "object", what another of the frames shows there, or "jump", what the frame itself shows ``JUMP`` pixels beside, in a
    random direction, with opposite edges joined. The other frames are a random permutation, which leaves one frame in place on
    average, and so without an object. Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    n, (height, width) = len(x), x.shape[2:]
    room = torch.tensor([height, width]) - 2 * RADIUS - 1
    centre = RADIUS + torch.rand(n, 2, generator=generator) * room
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    square = (rows - centre[:, :1, None]).square() + (columns - centre[:, 1:, None]).square()
    inside = (square <= RADIUS**2)[:, None]
    other = x[torch.randperm(n, generator=generator)]
    if kind == "jump":
        turns = torch.randint(4, (n,), generator=generator).tolist()
        steps = [(JUMP, 0), (-JUMP, 0), (0, JUMP), (0, -JUMP)]
        other = torch.stack([frame.roll(steps[k], (1, 2)) for frame, k in zip(x, turns, strict=True)])
    return torch.where(inside, other, x), inside


def planted_surprises(
    world: Clips,
    networks: Mapping[str, AnyDenoiser],
    patches: Patches,
    sigmas: Sequence[float],
    *,
    seed: int = 0,
) -> list[dict]:
    """How well maps find what was planted, as plain data, one record a shot and kind: shot, kind, patches, area.

    area: under the receiver's curve over the pixels of the shot's patches, of each map, smoothed alike over 3 × 3 pixels:
    "surprise" (of the network "M = 2"), "surprise, less that without a past" (of "M = 0"), "frame difference" and "flow
    residual" (of motion compensation). Those of surprise integrate over ``sigmas``.
    """
    moved = cut_from_whole_frames(world, patches, lambda c, x: baselines.motion(None, c))
    records = []
    for kind in KINDS:
        generator = torch.Generator().manual_seed(seed)
        x, inside = plant(patches.x, kind, generator)
        maps = surprise_maps(networks, patches.c, x, moved, sigmas, generator)
        for shot in dict.fromkeys(patches.clip):
            own = torch.tensor([clip == shot for clip in patches.clip])
            areas = {name: area_under_curve(m[own], inside[own]) for name, m in maps.items()}
            records.append({"shot": shot, "kind": kind, "patches": int(own.sum()), "area": areas})
    return records


def surprise_maps(
    networks, c: Tensor, x: Tensor, moved: Tensor, sigmas, generator: torch.Generator
) -> dict[str, Tensor]:
    """The maps of :func:`planted_surprises`, (N, 1, H, W). moved: the last frames, motion compensated."""
    raw = {}
    for name in ("M = 2", "M = 0"):
        f = networks[name]
        raw[name] = density.surprise(f, c[:, c.shape[1] - f.memory :], x, sigmas, generator=generator)
    maps = {
        "surprise": raw["M = 2"],
        "surprise, less that without a past": raw["M = 2"] - raw["M = 0"],
        "frame difference": (x - c[:, -1:]).square(),
        "flow residual": (x - moved).square(),
    }
    return {name: functional.avg_pool2d(m, 3, 1, 1, count_include_pad=False) for name, m in maps.items()}


def area_under_curve(values: Tensor, positive: Tensor) -> float:
    """The probability that a value at a positive pixel exceeds one elsewhere; ties count half."""
    order = values.flatten().double().argsort()
    _, group, count = values.flatten().double()[order].unique_consecutive(return_inverse=True, return_counts=True)
    rank = (count.cumsum(0) - (count - 1) / 2)[group]  # the mean rank of equal values
    hit = positive.flatten()[order]
    n, m = int(hit.sum()), int((~hit).sum())
    if not n or not m:
        raise ValueError(f"positive must hold some pixels and leave some, got {n} of {n + m}")
    return float((rank[hit].sum() - n * (n + 1) / 2) / (n * m))
