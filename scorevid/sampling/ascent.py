r"""Sampling p(x | c) by stochastic coarse-to-fine ascent of the score that a blind denoiser carries.

The algorithm of Kadkhodaie and Simoncelli (2021, arXiv 2007.13640), which the paper uses. From
:math:`y_0 \sim \mathcal N(\text{centre}, \sigma_0^2 I)`, for t = 1, 2, ...

.. math::
    d_t &= f(y, c) - y, \qquad \sigma_t = \|d_t\| / \sqrt N, \qquad h_t = \frac{h_0 t}{1 + h_0 (t - 1)}, \\
    y &\leftarrow y + h_t d_t + \gamma_t z, \qquad
    \gamma_t^2 = \big[(1 - \beta h_t)^2 - (1 - h_t)^2\big] \sigma_t^2 ,

until :math:`\sigma_t \le \sigma_L`; then the sample is y + d_t = f(y, c), y denoised once more. (The earlier public code
takes the step at which it finds :math:`\sigma_t \le \sigma_L` as well: one more evaluation at the lowest level.)

In words: denoise to (1 − h)σ, then add noise up to (1 − βh)σ. With β = 1 no noise is added and the step is Euler's
for the probability-flow equation in log σ; smaller β forgets more of the past trajectory and takes more steps. How
often a future is chosen is wrong by the order of h at the levels where the choice is made, whatever β, and by the
start where σ_0 is not large (derived in ``book/theory.md``).
Steps and noise estimates are each sample's own; a finished sample leaves the batch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

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


@torch.no_grad()
def ascend(
    f: Callable[..., Tensor],
    c: Tensor,
    *,
    n_samples: int = 1,
    sigma_0: float = 1.0,
    sigma_L: float = 0.01,
    h_0: float = 0.01,
    h_max: float = 1.0,
    beta: float = 0.01,
    max_steps: int = 2000,
    sigma: Literal["residual", "schedule"] = "residual",
    centre: Centre = None,
    generator: torch.Generator,
    batch_limit: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
) -> Samples:
    """Draw samples of the next frame given the past.

    f: any denoiser f(y, c) -> (B, 1, H, W); a network must be in evaluation mode. c: (B, M, H, W), each scene is
    sampled ``n_samples`` times. The defaults of σ_0, σ_L, h_0 and β are those of the earlier public code.

    sigma_0, sigma_L: first and last noise level in grey units. For the right frequencies σ_0 has to be several times
    the distance between the futures, and within what f was trained on. h_0: first step size; h grows towards
    ``h_max`` (1 in the published algorithm). beta: in (0, 1], 1 adds no noise. max_steps: bound on the updates.
    sigma: the noise level of each update, read from the "residual" as published, or the one that the "schedule"
    σ_{t+1} = (1 − β h_t) σ_t from σ_0 foresees. A denoiser that needs its level, (n,), gets the schedule's.
    centre: mean of the start: None for mid-grey ½, another grey level, frames (B, 1, H, W), or "prediction" for the
    denoiser's own estimate f(½ + σ_0 z, c), which costs one more evaluation.
    generator: of all randomness, on c's device. Noise is drawn for all B·S samples at every step, so a sample does not
    depend on when others finish, nor, but for rounding, on ``batch_limit``: the most frames that f is given at once, None
    for as many as fit into half of the free memory if f is an ``nn.Module`` (:mod:`scorevid.sampling.memory_budget`), and all of them
    if it is any other callable.
    callback: called as (t, y, d, sigma, active) after each evaluation, before the update: y and d (n, 1, H, W) of the
    samples still running, sigma (n,), and their places in the flattened (B, S) as ``active`` (n,).
    progress: show a bar.

    The state is kept in single precision, or double if c is. Samples that are above σ_L at ``max_steps`` are denoised
    as they are, count as not converged, and a warning says how many; so does one for estimates that are not finite.
    Raises ValueError for bad input before any work.
    """
    _check_constants(sigma_0, sigma_L, h_0, h_max, beta)
    told = needs_sigma(f)
    check_source(sigma, told)
    check_count("max_steps", max_steps)
    start = Start(f, c, n_samples, sigma_0, centre, generator, batch_limit, told)
    y, c, level = start.y, start.c, sigma_0

    x, last = torch.empty_like(y), torch.zeros_like(y[:, 0, 0, 0])
    steps = torch.zeros(len(y), dtype=torch.long, device=y.device)
    active = torch.arange(len(y), device=y.device)
    expected = schedule_length(sigma_0, sigma_L, h_0, beta, h_max) if progress else None
    bar = tqdm(total=expected, disable=not progress, unit="step")
    for t in range(1, max_steps + 2):
        estimate = start.denoise(y, c, level)
        d = estimate - y
        at = residual_level(d)
        if sigma == "schedule":
            at = torch.full_like(at, level).where(at.isfinite(), at)
        if callback is not None:
            callback(t, y, d, at, active)
        going = (at > sigma_L) & at.isfinite()
        if t > max_steps:
            going = torch.zeros_like(going)
        if not going.all():
            over = active[~going]
            x[over], steps[over], last[over] = estimate[~going], t - 1, at[~going]
            active, y, c, d, at = active[going], y[going], c[going], d[going], at[going]
        if not len(active):
            break
        h = step_size(t, h_0, h_max)
        y = partial_step(y, d, at, h, beta, start.noise()[active] if beta < 1 else None)
        level *= 1 - beta * h
        bar.update()
    bar.close()

    converged = last <= sigma_L
    _warn(last, converged, sigma_L, max_steps)
    return Samples(*start.folded(x, steps, steps + 1 + start.evaluations, last, converged))


def step_size(t: int, h_0: float = 0.01, h_max: float = 1.0) -> float:
    """h_t = h_0 t / (1 + h_0 (t − 1)), from h_0 at t = 1 towards 1, but no more than h_max."""
    return min(h_0 * t / (1 + h_0 * (t - 1)), h_max)


def partial_step(y: Tensor, d: Tensor, sigma: Tensor, h: float, beta: float, z: Tensor | None) -> Tensor:
    """One update y + h d + γ z: partly denoise, partly renoise.

    y, d, z: (B, 1, H, W). sigma: (B,), noise level of each y. From σ it leaves (1 − h)σ of the old noise and adds new
    up to (1 − βh)σ. z is not used when β = 1.
    """
    if beta == 1:
        return y + h * d
    gamma = math.sqrt((1 - beta * h) ** 2 - (1 - h) ** 2) * sigma
    return y + h * d + gamma[:, None, None, None] * z


def schedule(sigma_0: float = 1.0, h_0: float = 0.01, beta: float = 0.01, h_max: float = 1.0) -> Iterator[float]:
    """The noise levels σ_0, σ_1, … before each update with an exact denoiser of known σ, σ_{t+1} = (1 − β h_t) σ_t."""
    level, t = sigma_0, 0
    while True:
        yield level
        t += 1
        level *= 1 - beta * step_size(t, h_0, h_max)


def schedule_length(
    sigma_0: float = 1.0, sigma_L: float = 0.01, h_0: float = 0.01, beta: float = 0.01, h_max: float = 1.0
) -> int:
    """Updates that the ascent takes with an exact denoiser of known σ, from σ_0 to σ_L.

    One evaluation of the denoiser each, and one more to denoise at the end. Networks take fewer or more, as their
    residual under- or overestimates σ.
    """
    _check_constants(sigma_0, sigma_L, h_0, h_max, beta)
    return sum(1 for _ in takewhile(lambda level: level > sigma_L, schedule(sigma_0, h_0, beta, h_max)))


def _warn(sigma: Tensor, converged: Tensor, sigma_L: float, max_steps: int) -> None:
    lost = ~sigma.isfinite()
    bound = ~converged & ~lost
    if bound.any():
        warnings.warn(
            f"{int(bound.sum())} of {len(bound)} samples were stopped at the bound of {max_steps} steps with a noise "
            f"estimate of up to {sigma[bound].max():.3g}, above sigma_L = {sigma_L:g}",
            stacklevel=3,
        )
    if lost.any():
        warnings.warn(f"{int(lost.sum())} of {len(lost)} samples diverged: their residual is not finite", stacklevel=3)


def _check_constants(sigma_0, sigma_L, h_0, h_max, beta) -> None:
    check_levels(sigma_0, sigma_L)
    for name, value in (("h_0", h_0), ("h_max", h_max), ("beta", beta)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must lie in (0, 1], got {value}")
