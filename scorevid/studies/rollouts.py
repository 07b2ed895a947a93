"""Many frames ahead, by feeding samples back as past."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from scorevid.sampling.starts import check_count
from scorevid.studies import sampling as sweeps


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
