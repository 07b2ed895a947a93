"""What all samplers share: how they are called, the state of a run, and the samples they return."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser, denoise, needs_sigma
from scorevid.sampling.memory_budget import frames_at_once

Centre = float | Tensor | Literal["prediction"] | None
Callback = Callable[[int, Tensor, Tensor, Tensor, Tensor], None]


@dataclass
class Samples:
    """S samples for each of B scenes.

    x: (B, S, H, W) frames. All others are (B, S). steps: updates taken. evaluations: of the denoiser, those for the start and
    the last denoising included. sigma: last noise estimate, in grey units. finite: whether the frame is. reached_sigma_L:
    whether the noise came down to σ_L. It did not where a sample is not finite, or its steps ran out before.
    """

    x: Tensor
    steps: Tensor
    evaluations: Tensor
    sigma: Tensor
    finite: Tensor
    reached_sigma_L: Tensor


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A way to draw samples of the next frame given the past, called as ``sampler(f, c, generator=...)``.

    level_from: whether the noise level of each step is read from the "residual", sample by sample, or is the one that the
    "ladder" foresees. A denoiser that needs σ is always given the ladder's level, and steps start from it: the residual is
    known only afterwards, and so any denoiser can take the place of another.
    centre: mean of the start: None for mid-grey ½, another grey level, frames (B, 1, H, W), or "prediction" for the
    denoiser's own estimate f(½ + σ_0 z, c), which costs one more evaluation.
    """

    # a sampler also has sigma_0; levels(), the noise levels that it foresees at its evaluations; expected_steps, the updates
    # that it takes with an exact denoiser of known σ; and _sample(state), which goes down from the start

    level_from: Literal["residual", "ladder"] = "residual"
    centre: Centre = "prediction"

    def __post_init__(self):
        checks.one_of("level_from", self.level_from, ("residual", "ladder"))

    @torch.no_grad()
    def __call__(
        self,
        f: AnyDenoiser,
        c: Tensor,
        *,
        n_samples: int = 1,
        generator: torch.Generator,
        batch_limit: int | None = None,
        callback: Callback | None = None,
        progress: bool = False,
    ) -> Samples:
        """Draw ``n_samples`` next frames for each scene.

        f: any denoiser; a network must be in evaluation mode. c: past frames (B, M, H, W), grey levels in [0, 1].
        generator: of all randomness, on c's device. Noise is drawn for all B·S samples at every step, so a sample does not
        depend on when others finish, nor, but for rounding, on ``batch_limit``: the most frames that f is given at once; None
        for as many as :func:`~scorevid.sampling.memory_budget.frames_at_once` says.
        callback: called as (t, y, d, sigma, active) after the first evaluation of each step t = 1, 2, ... and after the last
        denoising: y and residual d (n, 1, H, W) of the samples still running, sigma (n,), and their places in the flattened
        (B, S) as ``active`` (n,). progress: show a bar.

        The state is kept in single precision, or double if c is. Raises ValueError for bad input before any work.
        """
        checks.evaluation_mode(f)
        checks.frames("c", c, finite=True)
        if 0 in (len(c), *c.shape[2:]):
            raise ValueError(f"c must not be empty, got {tuple(c.shape)}")
        checks.integer("n_samples", n_samples)
        checks.integer("batch_limit", 1 if batch_limit is None else batch_limit)
        checks.same_device(generator, c)
        self._check_centre(c)
        with tqdm(total=self.expected_steps + 1, disable=not progress, unit="step") as bar:
            return self._sample(SamplerState(self, f, c, n_samples, generator, batch_limit, callback, bar))

    def _check_centre(self, c: Tensor) -> None:
        if isinstance(self.centre, str):
            checks.one_of("centre", self.centre, ["prediction"])
        elif isinstance(self.centre, Tensor) and self.centre.ndim:
            checks.frames("centre", self.centre, 1, batch=len(c), size=tuple(c.shape[2:]), finite=True)
        elif self.centre is not None:
            checks.number("centre", float(self.centre))


class SamplerState:
    """The samples of one run that are still on their way, and what they need to go on.

    y: (n, 1, H, W) noisy frames. c: (n, M, H, W) past of each. active: (n,) their places in the flattened (B, S).
    level_from: the sampler's, but "ladder" for f that needs σ.
    """

    def __init__(self, sampler: Sampler, f, c: Tensor, n_samples: int, generator, batch_limit, callback, bar):
        self.f, self.generator, self.callback, self.bar = f, generator, callback, bar
        self.level_from = "ladder" if needs_sigma(f) else sampler.level_from
        self.t = self.evaluations = 0  # steps begun, evaluations of f
        self.c = c.to(torch.promote_types(c.dtype, torch.float32)).repeat_interleave(n_samples, 0)
        self.active = torch.arange(len(self.c), device=c.device)
        self.by_scene, self.shape = (len(c), n_samples), (len(self.c), 1, *c.shape[2:])
        self.batch_limit = batch_limit or frames_at_once(f, self.c)
        self.y = self._centre(sampler.centre, sampler.sigma_0) + sampler.sigma_0 * self.noise()

    def noise(self) -> Tensor:
        """Normal deviates for all B·S samples, (B·S, 1, H, W)."""
        return torch.randn(self.shape, generator=self.generator, device=self.c.device, dtype=self.c.dtype)

    def denoise(self, y: Tensor, sigma: float) -> Tensor:
        """f(y, c, sigma), at most ``batch_limit`` frames at once."""
        self.evaluations += 1
        # filled on the device: a copy of a number would make the host of a GPU wait at every evaluation
        level = y.new_full((len(y),), sigma)
        pieces = zip(*(v.split(self.batch_limit) for v in (y, self.c, level)), strict=True)
        return torch.cat([denoise(self.f, *piece).to(y.dtype) for piece in pieces])

    def observe(self, level: float) -> tuple[Tensor, Tensor]:
        """Denoise y, foreseen to have this noise level: estimates (n, 1, H, W), and σ (n,) as ``level_from`` says."""
        self.t += 1
        estimate = self.denoise(self.y, level)
        d = estimate - self.y
        sigma = residual_level(d)
        if self.level_from == "ladder":
            sigma = torch.full_like(sigma, level).where(sigma.isfinite(), sigma)
        if self.callback is not None:
            self.callback(self.t, self.y, d, sigma, self.active)
        self.bar.update()
        return estimate, sigma

    def keep(self, going: Tensor) -> None:
        """Drop the samples that are not going on. going: (n,) bool."""
        self.y, self.c, self.active = self.y[going], self.c[going], self.active[going]

    def samples(self, x: Tensor, reached_sigma_L: Tensor | bool, **others: Tensor | int) -> Samples:
        """All samples by scene, from x (B·S, 1, H, W) and what else is in :class:`Samples`, (B·S,) or one for all."""
        finite = x.flatten(1).isfinite().all(1)
        others |= {"finite": finite, "reached_sigma_L": finite & reached_sigma_L}
        for name, v in others.items():
            v = v if isinstance(v, Tensor) else torch.full(finite.shape, v, device=x.device)
            others[name] = v.reshape(self.by_scene)
        return Samples(x=x.reshape(*self.by_scene, *x.shape[2:]), **others)

    def _centre(self, centre: Centre, sigma_0: float) -> Tensor | float:
        if isinstance(centre, str):
            return self.denoise(0.5 + sigma_0 * self.noise(), sigma_0)
        if isinstance(centre, Tensor) and centre.ndim:
            return centre.to(self.c).repeat_interleave(self.by_scene[1], 0)
        return 0.5 if centre is None else float(centre)


def residual_level(d: Tensor) -> Tensor:
    """σ as the residual has it, ‖d‖ / √N, (B,). d: (B, 1, H, W)."""
    return d.flatten(1).norm(dim=1) / math.sqrt(d[0].numel())
