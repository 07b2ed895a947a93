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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

Callback = Callable[[int, Tensor, Tensor, Tensor, Tensor], None]


@dataclass
class Samples:
    """S samples for each of B scenes.

    x: (B, S, H, W) frames. steps: (B, S) updates taken; each is one evaluation of the denoiser, and the last denoising
    is one more. sigma: (B, S) last noise estimate, in grey units. converged: (B, S) whether it fell to σ_L.
    """

    x: Tensor
    steps: Tensor
    sigma: Tensor
    converged: Tensor


@torch.no_grad()
def ascend(
    f: Callable[[Tensor, Tensor], Tensor],
    c: Tensor,
    *,
    n_samples: int = 1,
    sigma_0: float = 1.0,
    sigma_L: float = 0.01,
    h_0: float = 0.01,
    h_max: float = 1.0,
    beta: float = 0.01,
    max_steps: int = 2000,
    centre: float | Tensor | Literal["prediction"] | None = None,
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
    centre: mean of the start: None for mid-grey ½, another grey level, frames (B, 1, H, W), or "prediction" for the
    denoiser's own estimate f(½ + σ_0 z, c), which costs one more evaluation.
    generator: of all randomness, on c's device. Noise is drawn for all B·S samples at every step, so a sample does not
    depend on when others finish, nor on ``batch_limit``, the most frames that f is given at once.
    callback: called as (t, y, d, sigma, active) after each evaluation, before the update: y and d (n, 1, H, W) of the
    samples still running, sigma (n,), and their places in the flattened (B, S) as ``active`` (n,).
    progress: show a bar.

    The state is kept in single precision, or double if c is. Samples that are above σ_L at ``max_steps`` are denoised
    as they are, count as not converged, and a warning says how many; so does one for estimates that are not finite.
    Raises ValueError for bad input before any work.
    """
    _check(f, c, n_samples, sigma_0, sigma_L, h_0, h_max, beta, max_steps, centre, generator, batch_limit)
    scenes, _, *size = c.shape
    c = c.to(torch.float64 if c.dtype == torch.float64 else torch.float32).repeat_interleave(n_samples, 0)
    shape = (len(c), 1, *size)

    def noise() -> Tensor:
        return torch.randn(shape, generator=generator, device=c.device, dtype=c.dtype)

    def denoise(y: Tensor, c: Tensor) -> Tensor:
        limit = batch_limit or len(y)
        return torch.cat([f(a, b).to(y.dtype) for a, b in zip(y.split(limit), c.split(limit), strict=True)])

    if centre is None:
        mean = 0.5
    elif isinstance(centre, str):
        mean = denoise(0.5 + sigma_0 * noise(), c)
    elif isinstance(centre, Tensor) and centre.ndim:
        mean = centre.to(c).repeat_interleave(n_samples, 0)
    else:
        mean = float(centre)
    y = mean + sigma_0 * noise()

    result = Samples(
        x=torch.empty_like(y),
        steps=torch.zeros(len(y), dtype=torch.long, device=y.device),
        sigma=torch.zeros_like(y[:, 0, 0, 0]),
        converged=torch.zeros(len(y), dtype=torch.bool, device=y.device),
    )
    active = torch.arange(len(y), device=y.device)
    expected = schedule_length(sigma_0, sigma_L, h_0, beta, h_max) if progress else None
    bar = tqdm(total=expected, disable=not progress, unit="step")
    for t in range(1, max_steps + 2):
        estimate = denoise(y, c)
        d = estimate - y
        sigma = d.flatten(1).norm(dim=1) / math.sqrt(y[0].numel())
        if callback is not None:
            callback(t, y, d, sigma, active)
        going = (sigma > sigma_L) & sigma.isfinite()
        if t > max_steps:
            going = torch.zeros_like(going)
        if not going.all():
            over = active[~going]
            result.x[over], result.steps[over], result.sigma[over] = estimate[~going], t - 1, sigma[~going]
            result.converged[over] = sigma[~going] <= sigma_L
            active, y, c, d, sigma = active[going], y[going], c[going], d[going], sigma[going]
        if not len(active):
            break
        h = step_size(t, h_0, h_max)
        y = partial_step(y, d, sigma, h, beta, noise()[active] if beta < 1 else None)
        bar.update()
    bar.close()

    _warn(result, sigma_L, max_steps)
    fold = (scenes, n_samples)
    return Samples(
        result.x.reshape(*fold, *size),
        result.steps.reshape(fold),
        result.sigma.reshape(fold),
        result.converged.reshape(fold),
    )


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


def schedule_length(
    sigma_0: float = 1.0, sigma_L: float = 0.01, h_0: float = 0.01, beta: float = 0.01, h_max: float = 1.0
) -> int:
    """Updates that the ascent takes with an exact denoiser of known σ, for which σ_{t+1} = (1 − β h_t) σ_t.

    One evaluation of the denoiser each, and one more to denoise at the end. Networks take fewer or more, as their
    residual under- or overestimates σ.
    """
    _check_constants(sigma_0, sigma_L, h_0, h_max, beta)
    t, log_ratio = 0, math.log(sigma_0 / sigma_L)
    while log_ratio > 0:
        t += 1
        h = step_size(t, h_0, h_max)
        if beta * h == 1:
            break
        log_ratio += math.log1p(-beta * h)
    return t


def _warn(result: Samples, sigma_L: float, max_steps: int) -> None:
    lost = ~result.sigma.isfinite()
    bound = ~result.converged & ~lost
    if bound.any():
        warnings.warn(
            f"{int(bound.sum())} of {len(bound)} samples were stopped at the bound of {max_steps} steps with a noise "
            f"estimate of up to {result.sigma[bound].max():.3g}, above sigma_L = {sigma_L:g}",
            stacklevel=3,
        )
    if lost.any():
        warnings.warn(f"{int(lost.sum())} of {len(lost)} samples diverged: their residual is not finite", stacklevel=3)


def _check(f, c, n_samples, sigma_0, sigma_L, h_0, h_max, beta, max_steps, centre, generator, batch_limit) -> None:
    if isinstance(f, nn.Module) and f.training:
        raise ValueError("the denoiser is in training mode, where it depends on the batch: call its eval() first")
    if not isinstance(c, Tensor) or c.ndim != 4 or not c.is_floating_point():
        came = f"{tuple(c.shape)} of {c.dtype}" if isinstance(c, Tensor) else type(c).__name__
        raise ValueError(f"c must be floating-point frames (B, M, H, W) with greys in [0, 1], got {came}")
    if 0 in (len(c), *c.shape[2:]):
        raise ValueError(f"c must not be empty, got {tuple(c.shape)}")
    if not c.isfinite().all():
        raise ValueError("c must be finite, got NaN or infinite values")
    _check_constants(sigma_0, sigma_L, h_0, h_max, beta)
    for name, value in (("n_samples", n_samples), ("max_steps", max_steps), ("batch_limit", batch_limit)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
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


def _check_constants(sigma_0, sigma_L, h_0, h_max, beta) -> None:
    if not 0 < sigma_L < sigma_0 < math.inf:
        raise ValueError(f"0 < sigma_L < sigma_0 is due, got sigma_L={sigma_L}, sigma_0={sigma_0}")
    for name, value in (("h_0", h_0), ("h_max", h_max), ("beta", beta)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must lie in (0, 1], got {value}")
