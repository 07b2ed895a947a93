r"""Spoiling one past frame on purpose, to see whether weight moves to the others.

A denoiser that weighs evidence by its reliability takes less from a past frame that says less. Each way of spoiling changes
one frame of the past c (B, M, H, W), oldest first:

=========  ==========================================================================================
noise      white noise on it, of a standard deviation τ: the one that a filter can be optimal for
shuffle    its pixels in random order: the same greys, nothing else
swap       that frame of another scene of the batch: a likely frame that has nothing to do with this one
blank      its mean grey at every pixel
freeze     the frame before it once more, or for the oldest the one after: a frame that says nothing new
=========  ==========================================================================================

In linear-Gaussian video (:mod:`scorevid.denoisers.wiener`) the best answer is known: for noise that of a world with
``past_noise``, for all others that of one without the frame, which is to say with boundless noise on it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorevid import checks

WAYS = ("noise", "shuffle", "swap", "blank", "freeze")


def spoil(c: Tensor, frame: int, way: str, generator: torch.Generator, level: float | None = None) -> Tensor:
    """The past with one frame spoiled, (B, M, H, W); c itself stays as it is.

    frame: which, counted as in a list: 0 is the oldest, −1 the last. way: one of ``WAYS``. level: τ in grey units, for
    "noise" and for no other. Raises ValueError for shapes, frames, ways and levels that do not fit, for "swap" with a
    single scene, and for "freeze" with a single past frame.
    """
    checks.frames("c", c)
    checks.one_of("way", way, WAYS)
    if not -c.shape[1] <= frame < c.shape[1]:
        raise ValueError(f"frame must be one of a past of {c.shape[1]}, got {frame}")
    if way == "noise":
        checks.number("level", level, 0)
    elif level is not None:
        raise ValueError(f"level must be None unless the way is noise, got {level!r} for {way}")
    if (way == "swap" and len(c) < 2) or (way == "freeze" and c.shape[1] < 2):
        raise ValueError(f"c must hold two scenes to swap frames, two past frames to freeze one, got {tuple(c.shape)}")
    spoiled, old = c.clone(), c[:, frame]
    if way == "noise":
        new = old + level * torch.randn(old.shape, generator=generator, device=c.device, dtype=c.dtype)
    elif way == "shuffle":
        order = torch.rand(old.flatten(1).shape, generator=generator, device=c.device).argsort(1)
        new = old.flatten(1).gather(1, order).view_as(old)
    elif way == "swap":
        new = old.roll(int(torch.randint(1, len(c), (), generator=generator, device=c.device)), 0)
    elif way == "blank":
        new = old.mean((1, 2), keepdim=True)
    else:
        frame %= c.shape[1]
        new = c[:, frame - 1 if frame else 1]
    spoiled[:, frame] = new
    return spoiled
