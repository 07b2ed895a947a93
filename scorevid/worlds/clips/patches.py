"""Held-out patches of natural video, and what a function of whole frames gives at their places.

A patch of 32 × 32 pixels shows little of a large motion, and nothing of what is about to come in. So predictors that look for
motion are given the whole frames of a shot, and judged on patches of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.clips.shots import first_frame

if TYPE_CHECKING:  # it imports this module: a world draws its own scenes for testing
    from scorevid.worlds.clips.world import Clips

AT_ONCE = 8  # frames


@dataclass(frozen=True)
class Patches:
    """Held-out patches: c (N, M, H, W), oldest first, and x (N, 1, H, W), greys in [0, 1], and where each is from.

    clip: the N names of their shots, over which intervals are to be taken. place: (N, 3) frame of x, top row, left
    column. motion: (N,) root mean square of x minus the frame before, in grey units.
    """

    c: Tensor
    x: Tensor
    clip: list[str]
    place: Tensor
    motion: Tensor

    def select(self, keep: Tensor) -> Patches:
        """Some of the patches. keep: (N,) bool, or indices."""
        index = torch.arange(len(self.clip))[keep]
        tensors = {name: getattr(self, name)[index] for name in ("c", "x", "place", "motion")}
        return Patches(clip=[self.clip[k] for k in index.tolist()], **tensors)


def held_out(world: Clips, most: int | None = None, seed: int = 0, shots_most: int | None = None) -> Patches:
    """Patches of the world's shots that share no pixel: tiles of each frame, and frames that no two patches share.

    most: so many of each shot at most, chosen evenly by the seed. shots_most: of so many shots at most, chosen likewise. The
    world's split should be one for testing; for a comparison of memories take the patches of the longest, and ``c[:, -M:]``.
    Raises ValueError as the world does.
    """
    for name, value in (("most", most), ("shots_most", shots_most)):
        checks.integer(name, 1 if value is None else value)
    generator, cuts = torch.Generator().manual_seed(seed), []
    shots, first, names = world.shots("cpu"), first_frame(world), list(world.clips())
    if shots_most is not None and len(names) > shots_most:
        chosen = torch.randperm(len(names), generator=generator)[:shots_most].sort().values.tolist()
    else:
        chosen = range(len(names))
    for k, name in ((k, names[k]) for k in chosen):
        times, rows, columns = shots.room[k].tolist()
        tiles = [range((room - 1) % world.size // 2, room, world.size) for room in (rows, columns)]
        axes = [torch.tensor(list(axis)) for axis in (range(0, times, first + world.stride), *tiles)]
        at = torch.cartesian_prod(*axes)
        if most is not None:
            at = at[torch.randperm(len(at), generator=generator)[:most].sort().values]
        still, plain = torch.zeros(len(at), 2, dtype=torch.long), torch.zeros(len(at), dtype=torch.bool)
        frames = shots.cut(world, torch.full((len(at),), k), at, max(world.memory, 1), plain, still)
        cuts.append((frames, [name] * len(at), at + torch.tensor([first, 0, 0])))
    frames, names, places = (list(v) for v in zip(*cuts, strict=True))
    frames = torch.cat(frames)
    return Patches(
        c=frames[:, frames.shape[1] - 1 - world.memory : -1],
        x=frames[:, -1:],
        clip=[name for shot in names for name in shot],
        place=torch.cat(places),
        motion=(frames[:, -1] - frames[:, -2]).square().mean((1, 2)).sqrt(),
    )


def only_held_out(world: Clips, source: str | tuple[str, ...]) -> Clips:
    """The world of those shots of a source that another world names in ``test``, and of no others.

    To measure a network on what its training did not see, whatever the source takes for its test set: the published
    networks learned from sequences of what DAVIS calls its validation set. Raises ValueError where the world names none,
    and for names of shots that the source lacks, or has too short or too small.
    """
    if not world.test:
        raise ValueError("the world names no shots that were held out for testing")
    held = replace(world, source=source, split="test", only=world.test)
    if unfit := set(world.test) - set(held.clips()):
        raise ValueError(f"{', '.join(sorted(unfit))} of {source!r} are too short or too small to be measured")
    return held


def cut_from_whole_frames(world: Clips, patches: Patches, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """function(c, x) of the whole frames that the patches are from, cut at their places: (N, C, size, size).

    patches: of this world, N of them. function: takes past frames (B, M, H, W) and the next (B, 1, H, W), greys in
    [0, 1], and returns (B, C, H, W), bool or floating-point; it is asked once for each frame of which there are patches.
    Raises ValueError for patches of shots that the world has not.
    """
    clips = world.clips()
    if unknown := set(patches.clip) - set(clips):
        raise ValueError(f"the world has no shots {', '.join(sorted(unknown))}; it has {', '.join(clips)}")
    found: dict[int, Tensor] = {}
    for name in dict.fromkeys(patches.clip):
        own = [k for k, clip in enumerate(patches.clip) if clip == name]
        times = patches.place[own, 0].unique().tolist()
        past = range(-world.memory * world.stride, 1, world.stride)
        for some in (times[k : k + AT_ONCE] for k in range(0, len(times), AT_ONCE)):
            frames = np.stack([clips[name].frames[[t + step for step in past]] for t in some])
            whole = torch.from_numpy(frames).float().div_(255)
            made = dict(zip(some, function(whole[:, :-1], whole[:, -1:]), strict=True))
            for k in own:
                time, row, column = patches.place[k].tolist()
                if time in made:
                    found[k] = made[time][..., row : row + world.size, column : column + world.size]
    return torch.stack([found[k] for k in range(len(patches.clip))])


def few_frames(patches: Patches, most: int, seed: int = 0) -> Patches:
    """All patches of so many frames of each shot at most, drawn by the seed."""
    checks.integer("most", most)
    generator, keep = torch.Generator().manual_seed(seed), torch.zeros(len(patches.clip), dtype=torch.bool)
    for name in dict.fromkeys(patches.clip):
        own = torch.tensor([clip == name for clip in patches.clip])
        times = patches.place[own, 0].unique()
        chosen = times[torch.randperm(len(times), generator=generator)[:most]]
        keep |= own & torch.isin(patches.place[:, 0], chosen)
    return patches.select(keep)
