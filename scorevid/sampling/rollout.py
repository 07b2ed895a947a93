"""Many frames ahead, by feeding samples back as past."""

from __future__ import annotations

import torch
from torch import Tensor
from tqdm import tqdm

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.sampling.sampler import Sampler


def roll_out(
    f: AnyDenoiser,
    c: Tensor,
    frames: int,
    sampler: Sampler,
    *,
    generator: torch.Generator,
    batch_limit: int | None = None,
    progress: bool = False,
) -> Tensor:
    """One continuation of each scene, frame by frame: (B, frames, H, W).

    c: past frames (B, M, H, W), oldest first, M ≥ 1. Each step draws one next frame, drops the oldest of the past, and appends
    the sample as it is: greys are not clipped to [0, 1], and errors are fed back with the rest. f, generator, batch_limit: as
    for any sampler. progress: show a bar. Raises ValueError for bad input, and samples that are not finite.
    """
    checks.frames("c", c, finite=True)
    if c.shape[1] < 1:
        raise ValueError(f"c must be frames (B, M, H, W) with M >= 1, got {tuple(c.shape)}")
    checks.integer("frames", frames)
    drawn = []
    for k in tqdm(range(frames), disable=not progress, unit="frame"):
        x = sampler(f, c, generator=generator, batch_limit=batch_limit).x
        if not x.isfinite().all():
            raise ValueError(f"the roll-out left the finite numbers at frame {k} of {frames}")
        c = torch.cat([c[:, 1:], x], 1)
        drawn.append(x)
    return torch.cat(drawn, 1)
