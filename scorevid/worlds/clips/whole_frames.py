"""What a function makes of whole frames, cut at the places of patches.

Whatever looks for motion wants its surroundings: a patch of 32 × 32 pixels shows little of a large one, and nothing of what is
about to come in. So predictors are given the whole frames of a shot where they are compared, and judged on patches of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from scorevid.worlds.clips.world import Clips, Patches

AT_ONCE = 8  # frames


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


def select(patches: Patches, keep: Tensor) -> Patches:
    """Some of the patches. keep: (N,) bool, or indices."""
    index = torch.arange(len(patches.clip))[keep]
    tensors = {name: getattr(patches, name)[index] for name in ("c", "x", "place", "motion")}
    return replace(patches, clip=[patches.clip[k] for k in index.tolist()], **tensors)


def few_frames(patches: Patches, most: int, seed: int = 0) -> Patches:
    """All patches of so many frames of each shot at most, drawn by the seed."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ValueError(f"most must be an integer of 1 or more, got {most!r}")
    generator, keep = torch.Generator().manual_seed(seed), torch.zeros(len(patches.clip), dtype=torch.bool)
    for name in dict.fromkeys(patches.clip):
        own = torch.tensor([clip == name for clip in patches.clip])
        times = patches.place[own, 0].unique()
        chosen = times[torch.randperm(len(times), generator=generator)[:most]]
        keep |= own & torch.isin(patches.place[:, 0], chosen)
    return select(patches, keep)
