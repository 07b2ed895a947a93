r"""Other ways down the same path of noise levels: solvers of one signature to compare the ascent with.

With a denoiser D = E[x | y, c] the probability-flow equation in log σ is

.. math:: \frac{dy}{d \ln \sigma} = y - D(y), \qquad
          \text{exactly, for constant } D: \quad y' = D + \frac{\sigma'}{\sigma} (y - D) ,

so that only the ratio r = σ'/σ of two levels matters, and a blind denoiser serves as well as one that is told σ. Each
solver is a step from σ to σ' on a fixed ladder of levels, :func:`ladder`:

``euler``
    the line above (DDIM with no noise; Song et al. 2021). The ascent's step with β = 1 and h = 1 − r.
``heun``
    the same for D linear in log σ between its values at the two ends of a step of length H = ln(σ/σ'):
    :math:`y' = r y + (1 - r) D + \big(1 - \tfrac{1 - r}{H}\big) (D' - D)`, with D' evaluated where Euler's step ends.
    Predictor and corrector as in Karras et al. (2022, algorithm 1), but integrated exactly in log σ where theirs
    averages slopes in σ.
``ancestral``
    :math:`y' = D + r^2 (y - D) + \sigma' \sqrt{1 - r^2}\, z`, the exact posterior of the noise, given D (DDPM; Ho et
    al. 2020, for noise that explodes).
``churn``
    noise up to σ̂ = (1 + γ) σ, then Heun's step from σ̂ (Karras et al. 2022, algorithm 2). As there, the step is Heun's in
    σ rather than in log σ.
``multistep``
    our own, second-order with one evaluation a step. It keeps :math:`r^{1/\beta}` of the old noise, adds new up to σ', and
    extrapolates D from the last two evaluations over the log σ that the *residuals* have measured:

    .. math:: y' = (1 - h) y + h \bar D + \gamma z, \qquad 1 - h = r^{1/\beta}, \qquad \gamma^2 = \sigma'^2 - (1-h)^2 \sigma^2,

    .. math:: \bar D = D_n + \Big( \frac{H}{h} - \beta \Big) \frac{D_n - D_{n-1}}{H_{n-1}} , \qquad
              H = \ln \frac{\sigma}{\sigma'}, \quad H_{n-1} = \ln \frac{\sigma_{n-1}}{\sigma_n} .

    For D linear in log σ, the coefficient makes the step exact (the integral of :math:`e^{-(H - s)/\beta} / \beta` against
    D + s D'). β = 1 agrees to second order with the DPM-Solver++(2M) of Lu et al. (2022), β = ½ with its stochastic
    variant; the weight here is the exact one.

The level of a step is the ladder's own, or read from the residual, :math:`\hat\sigma = \|d\| / \sqrt N`, sample by sample.
Then r is the ladder's next level over σ̂: a sample that is noisier than foreseen takes a longer step, and errors of level
do not add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from scorevid.denoisers.protocol import needs_sigma
from scorevid.sampling.starts import (
    Callback,
    Centre,
    Samples,
    Start,
    check_count,
    check_levels,
    check_source,
    residual_level,
)

Method = Literal["euler", "heun", "ancestral", "churn", "multistep"]
LEAST_RATIO, MOST_RATIO = 1e-3, 1 - 1e-3  # of two levels, where the residual decides


def ladder(steps: int, sigma_0: float, sigma_L: float, rho: float | None = None) -> Tensor:
    """The ``steps`` + 1 levels from σ_0 down to σ_L, in double precision.

    rho: None for equal ratios; otherwise equal steps of :math:`\\sigma^{1/\\rho}` (Karras et al. 2022; 7 there), which are
    closer together at small σ. Raises ValueError for bad input.
    """
    check_count("steps", steps)
    check_levels(sigma_0, sigma_L)
    if rho is not None and not rho > 0:
        raise ValueError(f"rho must be positive, or None for equal ratios, got {rho}")
    at = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    if rho is None:
        return sigma_0 * (sigma_L / sigma_0) ** at
    return (sigma_0 ** (1 / rho) + at * (sigma_L ** (1 / rho) - sigma_0 ** (1 / rho))) ** rho


@torch.no_grad()
def solve(
    f: Callable[..., Tensor],
    c: Tensor,
    *,
    method: Method = "multistep",
    steps: int = 12,
    n_samples: int = 1,
    sigma_0: float = 5.0,
    sigma_L: float = 0.01,
    rho: float | None = None,
    beta: float = 1.0,
    churn: float = 0.4,
    sigma: Literal["residual", "schedule"] = "residual",
    centre: Centre = "prediction",
    generator: torch.Generator,
    batch_limit: int | None = None,
    callback: Callback | None = None,
) -> Samples:
    """Draw samples of the next frame given the past in a fixed number of steps; by default as chapter 3 recommends.

    Arguments as in ``ascend``, and:

    method: see the module. steps: from σ_0 to σ_L, each one evaluation of f, or two for "heun" and "churn"; one more
    denoises at σ_L. rho: of :func:`ladder`. beta: in (0, 1], for "multistep". churn: γ ≥ 0, relative noise that is added
    before each step, for "churn": one for all levels, with no bounds and no factor on the noise, which Karras et al. have
    besides. sigma: whether a step starts from the level of the "schedule", the ladder's own, or
    from the one read from the "residual". callback: called as (t, y, d, sigma, active) after the first evaluation of each
    step and the last one, always for all B·S samples.

    Samples count as converged if finite. Raises ValueError for bad input before any work.
    """
    if method not in _STEPS:
        raise ValueError(f"method must be one of {', '.join(_STEPS)}, got {method!r}")
    told = needs_sigma(f)
    check_source(sigma, told)
    if not 0 < beta <= 1:
        raise ValueError(f"beta must lie in (0, 1], got {beta}")
    if not 0 <= churn < math.inf:
        raise ValueError(f"churn must be finite and not negative, got {churn}")
    levels = ladder(steps, sigma_0, sigma_L, rho).tolist()
    start = Start(f, c, n_samples, sigma_0, centre, generator, batch_limit, told)
    path = _Path(start, beta, churn)
    y, evaluations, everyone = start.y, start.evaluations + 1, torch.arange(len(start.y), device=start.y.device)
    for t, (level, target) in enumerate([*pairwise(levels), (levels[-1], None)], 1):
        if method == "churn" and target is not None:
            y, level = path.noisier(y, level)
        estimate = path.denoise(y, level)
        d = estimate - y
        at = residual_level(d) if sigma == "residual" else y.new_full((len(y),), level)
        if callback is not None:
            callback(t, y, d, at, everyone)
        if target is None:
            break
        ratio = torch.full_like(at, target / level)
        if sigma == "residual":
            ratio = (target / at).clamp(LEAST_RATIO, MOST_RATIO)
        y = _STEPS[method](path, y, estimate, at, ratio[:, None, None, None], target)
        evaluations += 2 if method in ("heun", "churn") else 1
    count = torch.full((len(y),), steps, device=y.device)
    whole = estimate.flatten(1).isfinite().all(1)
    total = torch.full_like(count, evaluations)
    return Samples(*start.folded(estimate, count, total, at, whole))


class _Path:
    """What the steps of one path share: the denoiser, its noise, and the last evaluation."""

    def __init__(self, start: Start, beta: float, churn: float):
        self.start, self.beta, self.churn = start, beta, churn
        self.before: tuple[Tensor, Tensor] | None = None  # estimate and level of the step before, for "multistep"

    def denoise(self, y: Tensor, level: float | Tensor) -> Tensor:
        return self.start.denoise(y, self.start.c, level)

    def noisier(self, y: Tensor, level: float) -> tuple[Tensor, float]:
        raised = (1 + self.churn) * level
        return y + math.sqrt(raised**2 - level**2) * self.start.noise(), raised


def _euler(path: _Path, y: Tensor, estimate: Tensor, at: Tensor, r: Tensor, target: float) -> Tensor:
    return estimate + r * (y - estimate)


def _heun(path: _Path, y: Tensor, estimate: Tensor, at: Tensor, r: Tensor, target: float) -> Tensor:
    after = path.denoise(estimate + r * (y - estimate), target)
    length = -r.log()
    return r * y + (1 - r) * estimate + (1 - (1 - r) / length) * (after - estimate)


def _ancestral(path: _Path, y: Tensor, estimate: Tensor, at: Tensor, r: Tensor, target: float) -> Tensor:
    return estimate + r.square() * (y - estimate) + target * (1 - r.square()).sqrt() * path.start.noise()


def _churn(path: _Path, y: Tensor, estimate: Tensor, at: Tensor, r: Tensor, target: float) -> Tensor:
    there = estimate + r * (y - estimate)
    after = there - path.denoise(there, target)
    return y + (r - 1) / 2 * ((y - estimate) + after / r)


def _multistep(path: _Path, y: Tensor, estimate: Tensor, at: Tensor, r: Tensor, target: float) -> Tensor:
    level, length = at[:, None, None, None], -r.log()
    kept = r ** (1 / path.beta)
    mean = estimate
    if path.before is not None:
        previous, was = path.before
        passed = (was / level).log().clamp_min(0.1 * length)  # a residual may not have fallen at all
        mean = estimate + (length / (1 - kept) - path.beta) / passed * (estimate - previous)
    path.before = (estimate, level)
    y = kept * y + (1 - kept) * mean
    if path.beta < 1:
        y = y + level * (r.square() - kept.square()).sqrt() * path.start.noise()
    return y


_STEPS = {"euler": _euler, "heun": _heun, "ancestral": _ancestral, "churn": _churn, "multistep": _multistep}
