r"""Spoiling one cue on purpose: what is done to a past frame to see whether weight moves to the others.

A denoiser that weighs evidence by its reliability takes less from a past frame that tells less. Each way of spoiling is
a function of the past c (B, M, H, W), oldest first, and leaves all frames alone but one:

=========  ==========================================================================================
noise      white noise on it, of a standard deviation τ: the one that a filter can be optimal for
shuffle    its pixels in random order: the same greys, nothing else
swap       that frame of another scene of the batch: a likely frame that has nothing to do with this one
blank      its mean grey at every pixel
freeze     the frame before it once more, or for the oldest the one after: a cue that tells nothing new
=========  ==========================================================================================

In linear-Gaussian video (:mod:`scorevid.denoisers.wiener`) the best answer is known: for noise that of a world with
``past_noise``, for all others that of one without the frame, which is to say with boundless noise on it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WAYS = ("noise", "shuffle", "swap", "blank", "freeze")


def spoil(c: Tensor, frame: int, way: str, generator: torch.Generator, level: float | None = None) -> Tensor:
    """The past with one frame spoiled, (B, M, H, W); c itself is left as it is.

    frame: which, counted as in a list: 0 is the oldest, −1 the last. way: one of ``WAYS``. level: τ in grey units, for
    "noise" and for no other. Raises ValueError for shapes, frames, ways and levels that do not fit, for "swap" with a
    single scene, and for "freeze" with a single past frame.
    """
    if c.ndim != 4 or not c.is_floating_point():
        raise ValueError(f"c must be floating-point frames (B, M, H, W), got {tuple(c.shape)} {c.dtype}")
    if not -c.shape[1] <= frame < c.shape[1]:
        raise ValueError(f"there is no frame {frame} in a past of {c.shape[1]}")
    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}, got {way!r}")
    if (level is None) == (way == "noise"):
        raise ValueError(f"a level is due for noise and for nothing else, got {level!r} for {way}")
    if level is not None and not 0 <= level < float("inf"):
        raise ValueError(f"the level of noise must be finite and not negative, got {level!r}")
    spoiled = c.clone()
    spoiled[:, frame] = _WAYS[way](c, frame % c.shape[1], generator, level)
    return spoiled


def _noise(c: Tensor, frame: int, generator: torch.Generator, level: float | None) -> Tensor:
    return c[:, frame] + level * torch.randn(c[:, frame].shape, generator=generator, device=c.device, dtype=c.dtype)


def _shuffle(c: Tensor, frame: int, generator: torch.Generator, level: float | None) -> Tensor:
    pixels = c[:, frame].flatten(1)
    order = torch.rand(pixels.shape, generator=generator, device=c.device).argsort(1)
    return pixels.gather(1, order).view_as(c[:, frame])


def _swap(c: Tensor, frame: int, generator: torch.Generator, level: float | None) -> Tensor:
    if len(c) < 2:
        raise ValueError("to swap frames between scenes takes two scenes or more, got one")
    by = int(torch.randint(1, len(c), (), generator=generator, device=c.device))
    return c[:, frame].roll(by, 0)


def _blank(c: Tensor, frame: int, generator: torch.Generator, level: float | None) -> Tensor:
    return c[:, frame].mean((1, 2), keepdim=True).expand_as(c[:, frame])


def _freeze(c: Tensor, frame: int, generator: torch.Generator, level: float | None) -> Tensor:
    if c.shape[1] < 2:
        raise ValueError("to freeze takes two past frames or more, got one")
    return c[:, frame - 1 if frame else 1]


_WAYS: dict[str, Callable[..., Tensor]] = dict(zip(WAYS, (_noise, _shuffle, _swap, _blank, _freeze), strict=True))
