"""What every sampler begins with: its arguments checked, the past repeated for each sample, noise to start from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from scorevid.sampling.memory_budget import frames_at_once

Centre = float | Tensor | Literal["prediction"] | None
Callback = Callable[[int, Tensor, Tensor, Tensor, Tensor], None]


@dataclass
class Samples:
    """S samples for each of B scenes.

    x: (B, S, H, W) frames. steps: (B, S) updates taken. evaluations: (B, S) evaluations of the denoiser, those for the
    start and the last denoising included. sigma: (B, S) last noise estimate, in grey units. converged: (B, S) whether it
    fell to σ_L.
    """

    x: Tensor
    steps: Tensor
    evaluations: Tensor
    sigma: Tensor
    converged: Tensor


class Start:
    """The state that samplers share: scenes repeated, frames to start from, noise, the denoiser in pieces.

    f, c, n_samples, sigma_0, centre, generator, batch_limit, told: as in :func:`scorevid.sampling.ascent.ascend`.
    """

    def __init__(
        self, f, c: Tensor, n_samples: int, sigma_0: float, centre: Centre, generator, batch_limit, told: bool
    ):
        _check(f, c, n_samples, centre, generator, batch_limit)
        self.f, self.told, self.generator, self.limit = f, told, generator, batch_limit
        self.fold = (len(c), n_samples)
        dtype = torch.float64 if c.dtype == torch.float64 else torch.float32
        self.c = c.to(dtype).repeat_interleave(n_samples, 0)
        self.shape, self.evaluations = (len(self.c), 1, *c.shape[2:]), 0
        if isinstance(centre, str):
            self.mean = self.denoise(0.5 + sigma_0 * self.noise(), self.c, sigma_0)
            self.evaluations = 1
        elif isinstance(centre, Tensor) and centre.ndim:
            self.mean = centre.to(self.c).repeat_interleave(n_samples, 0)
        else:
            self.mean = 0.5 if centre is None else float(centre)
        self.y = self.mean + sigma_0 * self.noise()

    def noise(self) -> Tensor:
        """Normal deviates for all B·S samples, (B·S, 1, H, W)."""
        return torch.randn(self.shape, generator=self.generator, device=self.c.device, dtype=self.c.dtype)

    def denoise(self, y: Tensor, c: Tensor, sigma: float | Tensor) -> Tensor:
        """f(y, c), or f(y, c, sigma) for a denoiser that is told; at most ``batch_limit`` frames at once."""
        # filled on the device: a copy of a number would make the host of a GPU wait at every evaluation
        sigma = sigma.to(y).expand(len(y)) if isinstance(sigma, Tensor) else y.new_full((len(y),), sigma)
        if self.limit is None:  # what is no network may have something in store for each frame of the whole
            network = isinstance(self.f, nn.Module)
            self.limit = frames_at_once(self.f, y, c, *[sigma] * self.told) if network else len(y)
        limit = self.limit
        pieces = zip(y.split(limit), c.split(limit), sigma.split(limit), strict=True)
        return torch.cat([(self.f(a, b, s) if self.told else self.f(a, b)).to(y.dtype) for a, b, s in pieces])

    def folded(self, x: Tensor, *per_sample: Tensor) -> list[Tensor]:
        """Frames (B·S, 1, H, W) as (B, S, H, W), and what there is one of for each sample as (B, S)."""
        return [x.reshape(*self.fold, *self.shape[2:]), *(v.reshape(self.fold) for v in per_sample)]


def residual_level(d: Tensor) -> Tensor:
    """σ as the residual tells it, ‖d‖ / √N, (B,). d: (B, 1, H, W)."""
    return d.flatten(1).norm(dim=1) / math.sqrt(d[0].numel())


def check_levels(sigma_0: float, sigma_L: float) -> None:
    """Raise ValueError unless 0 < σ_L < σ_0."""
    if not 0 < sigma_L < sigma_0 < math.inf:
        raise ValueError(f"0 < sigma_L < sigma_0 is due, got sigma_L={sigma_L}, sigma_0={sigma_0}")


def check_source(sigma: str, told: bool) -> None:
    """Raise ValueError unless σ is read from the residual or taken from the schedule, as a denoiser told σ needs."""
    if sigma not in ("residual", "schedule"):
        raise ValueError(f"sigma must be 'residual' or 'schedule', got {sigma!r}")
    if told and sigma == "residual":
        raise ValueError("a denoiser that is told σ takes it from the schedule: sigma='schedule' is due")


def check_count(name: str, value: object) -> None:
    """Raise ValueError unless the value is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")


def _check(f: Callable, c: Tensor, n_samples: int, centre: Centre, generator, batch_limit: int | None) -> None:
    if isinstance(f, nn.Module) and f.training:
        raise ValueError("the denoiser is in training mode, where it depends on the batch: call its eval() first")
    if not isinstance(c, Tensor) or c.ndim != 4 or not c.is_floating_point():
        came = f"{tuple(c.shape)} of {c.dtype}" if isinstance(c, Tensor) else type(c).__name__
        raise ValueError(f"c must be floating-point frames (B, M, H, W) with greys in [0, 1], got {came}")
    if 0 in (len(c), *c.shape[2:]):
        raise ValueError(f"c must not be empty, got {tuple(c.shape)}")
    if not c.isfinite().all():
        raise ValueError("c must be finite, got NaN or infinite values")
    check_count("n_samples", n_samples)
    if batch_limit is not None:
        check_count("batch_limit", batch_limit)
    if getattr(generator, "device", None) is None or generator.device.type != c.device.type:
        raise ValueError(f"generator must be a torch.Generator on the device of c, {c.device}, got {generator!r}")
    if isinstance(centre, str):
        if centre != "prediction":
            raise ValueError(f"centre must be None, a grey level, frames, or 'prediction', got {centre!r}")
    elif centre is not None:
        due = (len(c), 1, *c.shape[2:])
        if isinstance(centre, Tensor) and centre.ndim and centre.shape != due:
            raise ValueError(f"centre must be {due}, got {tuple(centre.shape)}")
        if not torch.as_tensor(centre).isfinite().all():
            raise ValueError("centre must be finite")
