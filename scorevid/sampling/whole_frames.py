r"""Continuations of whole frames of any size: samples, what a predictor of the mean would show, and where samples disagree.

A network with three scales takes heights and widths that are multiples of four. Frames of other sizes are mirrored at their
lower and right border, once, before the first frame is drawn, and what was added is cut off at the end.

The *one-step mean* of the next frame is E[x | c] as the network has it: its answer to noise of the greatest level σ₀ that it
was trained with, from which next to nothing can be read,

.. math:: m = f(m' + \sigma_0 z, c), \qquad m' = f(\tfrac 1 2 + \sigma_0 z', c) .

For later frames it is fed back as past, which is what a predictor does that was trained by squared error. The mean of the
samples would be another estimate of the same for the first frame. It takes many samples, and four leave half of their
deviation in it. For later frames the two differ: the mean over continuations is not the continuation of the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser, denoise
from scorevid.sampling.memory_budget import frames_at_once
from scorevid.sampling.rollout import roll_out
from scorevid.sampling.solvers import LadderSampler

OF_MEAN = 2  # evaluations for the one-step mean of a frame


@dataclass(frozen=True)
class Continuation:
    """Samples (B, S, T, H, W) of T next frames of each of B scenes, and the one-step mean (B, T, H, W), in grey levels."""

    samples: Tensor
    mean: Tensor

    def disagreement(self) -> Tensor:
        """The samples' standard deviation at each pixel, (B, T, H, W) in grey levels. Raises ValueError for one sample."""
        if self.samples.shape[1] < 2:
            raise ValueError(f"samples disagree where there are 2 or more, got {self.samples.shape[1]}")
        return self.samples.std(1)


def padding(f: AnyDenoiser, height: int, width: int) -> tuple[int, int]:
    """Rows and columns that frames of this size lack for the network f, 0 and 0 for what has no scales."""
    step = 2 ** (len(getattr(f, "widths", (1,))) - 1)
    if min(height, width) < step:
        raise ValueError(f"frames must have {step} × {step} pixels or more, got {height} × {width}")
    return -height % step, -width % step


def continue_frames(
    f: AnyDenoiser,
    c: Tensor,
    frames: int,
    sampler: LadderSampler,
    *,
    n_samples: int = 1,
    generator: torch.Generator,
    progress: bool = False,
) -> Continuation:
    """Samples of so many next frames of whole scenes, each fed back as past, and the one-step mean; see the module.

    c: past frames (B, M, H, W) of any size from 4 × 4 pixels on, oldest first. sampler: its first noise level is to be the
    greatest that f was trained with. generator: of all randomness. A network is given as many frames at once as
    :func:`~scorevid.sampling.memory_budget.frames_at_once` says. progress: show a bar, which counts a network's frames.

    Raises ValueError for bad input, before any work, and where a sample leaves the finite numbers.
    """
    checks.frames("c", c, finite=True)
    checks.integer("frames", frames)
    checks.integer("n_samples", n_samples)
    checks.same_device(generator, c)
    height, width = c.shape[2:]
    rows, columns = padding(f, height, width)
    c = F.pad(c, (0, columns, 0, rows), mode="reflect") if rows or columns else c
    total = _evaluations(sampler, len(c), n_samples, frames)
    with tqdm(total=total, unit="evaluation", disable=not progress) as bar, _counted(f, bar):
        samples = roll_out(f, c.repeat_interleave(n_samples, 0), frames, sampler, generator=generator)
        mean = _mean(f, c, frames, sampler.sigma_0, generator)
    samples = samples.unflatten(0, (-1, n_samples))
    return Continuation(samples[..., :height, :width], mean[..., :height, :width])


@torch.no_grad()
def _mean(f: AnyDenoiser, c: Tensor, frames: int, sigma: float, generator: torch.Generator) -> Tensor:
    """The one-step mean of so many next frames, each fed back as past, (B, T, H, W)."""
    at_once, made = frames_at_once(f, c), []
    for _ in range(frames):
        mean = torch.full_like(c[:, :1], 0.5)
        for _ in range(OF_MEAN):
            z = torch.randn(mean.shape, generator=generator, device=c.device, dtype=c.dtype)
            pieces = zip((mean + sigma * z).split(at_once), c.split(at_once), strict=True)
            mean = torch.cat([denoise(f, *piece, sigma) for piece in pieces])
        c = torch.cat([c[:, 1:], mean], 1)
        made.append(mean)
    return torch.cat(made, 1)


def _evaluations(sampler: LadderSampler, scenes: int, n_samples: int, frames: int) -> int | None:
    """Frames that the denoiser is given in all, where each step of the sampler takes one evaluation."""
    of_start = sampler.centre == "prediction" if isinstance(sampler.centre, str) else 0
    return scenes * frames * (n_samples * (sampler.expected_steps + 1 + of_start) + OF_MEAN)


@contextmanager
def _counted(f: AnyDenoiser, bar: tqdm) -> Iterator[None]:
    """Has the bar count the frames that a network is given."""

    def count(_f, given: tuple[Tensor, ...], _x) -> None:  # what a hook returns would take the place of the answer
        bar.update(len(given[0]))

    hook = f.register_forward_hook(count) if isinstance(f, nn.Module) else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()
