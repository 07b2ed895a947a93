r"""The laws of noise in training: on the next frame, and, optionally, on the past, of which a part may be left out or hidden.

Training draws the noise level σ of each example from the noise prior. The denoiser never sees σ, so this law is part of
what it estimates: the optimal blind denoiser averages over the posterior p(σ | y, c) under this prior. In a frame of N
pixels that posterior is narrow, about :math:`\sigma/\sqrt{2N}`. So the prior matters little inside its range and a lot at
its ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from scorevid import checks
from scorevid.noise.corruptions import CORRUPTIONS, Corruption

Law = Literal["log-uniform", "uniform", "peaked"]
LAWS: tuple[str, ...] = get_args(Law)


@dataclass(frozen=True)
class NoisePrior:
    """σ in grey units over [sigma_min, sigma_max]: log-uniform, uniform, or peaked.

    Peaked means half log-uniform and half triangular in log σ between the ends of ``peak``, so that most is learned
    where the choice between futures is made. The paper trains "over a range of σ"; range and law are our choice.
    Raises ValueError for an empty range, a peak that leaves it, an unknown law or corruption.
    """

    sigma_min: float = 0.02  # least noise level
    sigma_max: float = 5.0  # greatest noise level
    law: Law = "log-uniform"  # log-uniform, uniform, or peaked: half log-uniform, half a triangle in log σ
    peak: tuple[float, float] = (0.1, 5.0)  # ends of that triangle
    corruption: Corruption = "gaussian"  # distribution of the noise itself; the paper's identity takes Gaussian

    def __post_init__(self):
        _check_range(self.sigma_min, self.sigma_max)
        checks.one_of("law", self.law, LAWS)
        checks.one_of("corruption", self.corruption, CORRUPTIONS)
        object.__setattr__(self, "peak", tuple(self.peak))  # a card has it as a list
        if len(self.peak) != 2:
            raise ValueError(f"peak must be (low, high), got {self.peak}")
        if self.law == "peaked" and not self.sigma_min <= self.peak[0] < self.peak[1] <= self.sigma_max:
            raise ValueError(f"peak must be ascending within [{self.sigma_min}, {self.sigma_max}], got {self.peak}")

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch, 1, 1, 1) noise levels, one for each example, on the generator's device."""
        u = torch.rand(batch, 1, 1, 1, generator=generator, device=generator.device)
        if self.law == "uniform":
            return self.sigma_min + (self.sigma_max - self.sigma_min) * u
        log_uniform = self.sigma_min * (self.sigma_max / self.sigma_min) ** u
        if self.law == "log-uniform":
            return log_uniform
        which, a, b = torch.rand(3, batch, 1, 1, 1, generator=generator, device=generator.device)
        low, high = self.peak
        return torch.where(which < 0.5, log_uniform, low * (high / low) ** ((a + b) / 2))

    def log_density(self, log_sigma: Tensor) -> Tensor:
        """log of the density of log σ at points within the range, in nats; same shape."""
        if self.law == "uniform":
            return log_sigma - math.log(self.sigma_max - self.sigma_min)
        flat = torch.full_like(log_sigma, 1 / math.log(self.sigma_max / self.sigma_min))
        if self.law == "log-uniform":
            return flat.log()
        low, high = map(math.log, self.peak)
        half = (high - low) / 2
        triangle = (1 - (log_sigma - (low + high) / 2).abs() / half).clamp_min(0) / half
        return (0.5 * (flat + triangle)).log()


@dataclass(frozen=True)
class PastNoise:
    """What training does to past frames: noise, so that their reliability varies, hiding and forgetting; nothing by default.

    Each past frame of each example gets noise or not, independently, with its own standard deviation, log-uniform over
    [sigma_min, sigma_max]. The denoiser does not know it. Our choice: the paper's past is clean as far as is known. Of a share
    of examples the older frames are set to zero, so that one network learns to do with fewer
    (:mod:`scorevid.denoisers.memory`). Of a share all of them are, so that a network also learns what frames are like when
    nothing is known of their past (Voleti et al. 2022, arXiv 2205.09853). Of a share a grey square hides one place in the
    latest frames, up to the last, and is gone in the next frame: only older frames have shown what is there. Raises ValueError
    for a share outside of [0, 1] and for an empty range.
    """

    share: float = 0.0  # of past frames that get noise
    sigma_min: float = 0.02  # least standard deviation, grey units
    sigma_max: float = 1.0  # greatest
    forget: float = 0.0  # share of examples whose older past frames are zero; how many, from 1 to M − 1, is drawn
    mask: float = 0.0  # share of examples whose whole past is zero
    hide: float = (
        0.0  # share of examples with a hidden place; where, how large, and in how many frames, 1 to M − 1, is drawn
    )

    def __post_init__(self):
        for name in ("share", "forget", "mask", "hide"):
            checks.number(name, getattr(self, name), 0, 1)
        _check_range(self.sigma_min, self.sigma_max)

    def put_on(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Past frames (B, M, H, W) with noise, and without what is hidden or forgotten; by default c itself, and no draw."""
        memory = c.shape[1]
        if self.hide > 0 and memory > 1:
            c = self._hidden(c, generator)
        if self.share > 0 and memory > 0:
            which, u = torch.rand(2, *c.shape[:2], 1, 1, generator=generator, device=generator.device)
            level = self.sigma_min * (self.sigma_max / self.sigma_min) ** u
            white = torch.randn(c.shape, generator=generator, device=generator.device)
            c = c + torch.where(which < self.share, level, 0.0) * white
        if self.forget > 0 and memory > 1:
            c = c * self._remembered(len(c), memory, generator).to(c)
        if self.mask > 0 and memory > 0:
            masked = torch.rand(len(c), 1, 1, 1, generator=generator, device=generator.device) < self.mask
            c = c.masked_fill(masked, 0.0)
        return c

    def _hidden(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Past frames (B, M, H, W), of some of which a square of a random grey hides the same place in the latest frames."""
        (n, memory), (height, width) = c.shape[:2], c.shape[2:]
        u = torch.rand(6, n, 1, 1, generator=generator, device=generator.device)
        side = 4 + u[0] * (min(height, width) / 2 - 4)
        rows, columns = (torch.arange(size, device=generator.device) for size in (height, width))
        down, right = (u[k] * (size - side) for k, size in ((1, height), (2, width)))
        there = ((rows[:, None] >= down) & (rows[:, None] < down + side)) & (
            (columns >= right) & (columns < right + side)
        )
        latest = 1 + (u[3] * (memory - 1)).long().clamp_max(memory - 2)
        age = torch.arange(memory, 0, -1, device=generator.device)[:, None, None]
        hidden = there[:, None] & (age <= latest[:, None]) & (u[4] < self.hide)[:, None]
        return torch.where(hidden, u[5][:, None].to(c), c)

    def _remembered(self, batch: int, memory: int, generator: torch.Generator) -> Tensor:
        """Which frames of each past are kept, (B, M, 1, 1) bool: the latest m of some, all of the others."""
        which, u = torch.rand(2, batch, 1, generator=generator, device=generator.device)
        latest = 1 + (u * (memory - 1)).long().clamp_max(memory - 2)
        latest = torch.where(which < self.forget, latest, memory)
        age = torch.arange(memory, 0, -1, device=generator.device)
        return (age <= latest)[:, :, None, None]


def _check_range(sigma_min: float, sigma_max: float) -> None:
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(f"sigma_min must lie above 0 and below sigma_max, got {sigma_min} and {sigma_max}")
