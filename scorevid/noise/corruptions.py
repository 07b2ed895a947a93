r"""How the noise z in y = x + σz is distributed: Gaussian, and what breaks the identity.

.. math:: d = \mathrm E[x \mid y, c] - y = \sigma^2\, \nabla_y \log p_\sigma(y \mid c)

is a property of white Gaussian noise. Each corruption here has variance σ² (averaged over frames of grey ½), can be
drawn, and has a density q(y | x) in closed form, so that for finitely many futures the optimal denoiser and the score
of the noisy density,

.. math:: r_k \propto w_k\, q(y \mid x_k), \qquad \mathrm E[x \mid y, c] = \sum_k r_k x_k, \qquad
          \nabla_y \log p(y \mid c) = \sum_k r_k \nabla_y \log q(y \mid x_k),

are exact, and so is how far they are apart.

==============  ==========================================  ========================================
corruption      z                                           σ² × score, where one future is left
==============  ==========================================  ========================================
gaussian        N(0, 1)                                     x − y
laplace         Laplace of variance 1                       √2 σ sign(x − y)
uniform         uniform of variance 1                       0
signal          N(0, v(x)), v = (x + 0.1) / 0.6             (x − y) / v(x)
correlated      N(0, K), K a Gaussian blur and a floor      K⁻¹ (x − y)
==============  ==========================================  ========================================

"signal" is Poisson-like: variance in proportion to the grey level, and a little dark noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor

from scorevid.worlds.futures import Futures

Corruption = Literal["gaussian", "laplace", "uniform", "signal", "correlated"]
CORRUPTIONS: tuple[str, ...] = get_args(Corruption)
BLUR, FLOOR = 0.7, 0.05  # of the correlated noise: standard deviation in pixels, least relative power


def corrupt(x: Tensor, sigma: float | Tensor, corruption: Corruption, generator: torch.Generator) -> Tensor:
    """y = x + σz, (B, 1, H, W) like x. sigma: in grey units, a number or (B, 1, 1, 1).

    Raises ValueError for another shape, σ that is not positive and finite, integers, and an unknown corruption.
    """
    _check(x, sigma, corruption)
    options = {"generator": generator, "device": x.device, "dtype": x.dtype}
    if corruption in ("laplace", "uniform"):
        u = 2 * torch.rand(x.shape, **options) - 1
        if corruption == "uniform":
            return x + sigma * math.sqrt(3) * u
        return x - sigma * u.sign() * torch.log1p(-u.abs().clamp_max(1 - 1e-7)) / math.sqrt(2)
    z = torch.randn(x.shape, **options)
    if corruption == "signal":
        z = _signal_variance(x).sqrt() * z
    elif corruption == "correlated":
        z = torch.fft.irfft2(_power(*x.shape[2:]).to(x).sqrt() * torch.fft.rfft2(z), s=x.shape[2:])
    return x + sigma * z


def log_likelihood(y: Tensor, x: Tensor, sigma: float, corruption: Corruption) -> Tensor:
    """log q(y | x) in nats up to what does not depend on x, summed over the last two axes. y and x broadcast."""
    _check(y, sigma, corruption)
    e = (y - x) / sigma
    if corruption == "gaussian":
        return -e.square().sum((-2, -1)) / 2
    if corruption == "laplace":
        return -math.sqrt(2) * e.abs().sum((-2, -1))
    if corruption == "uniform":
        inside = (e.abs() <= math.sqrt(3) * (1 + 1e-5)).all(-1).all(-1)
        return (0 * e).sum((-2, -1)).masked_fill(~inside, -torch.inf)
    if corruption == "signal":
        v = _signal_variance(x)
        return -(e.square() / v + v.log()).sum((-2, -1)) / 2
    return -(e * _inverse_covariance(e)).sum((-2, -1)) / 2


def optimum_and_score(
    futures: Futures, sigma: float, corruption: Corruption = "gaussian"
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A function of y (B, 1, H, W): the optimal denoiser told σ, and σ² ∇ log p(y | c) of the matching noisy density.

    Both (B, 1, H, W) in grey units. The score is the derivative of the log density by automatic differentiation; that of
    uniform noise is zero, wherever the density is not. Raises ValueError for a y that no future allows.
    """
    log_w = futures.probabilities.log()

    def both(y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            logits = log_w.to(y) + log_likelihood(y, futures.frames.to(y), sigma, corruption)
            if not (logits.amax(1) > -torch.inf).all():
                raise ValueError(f"no future allows some y: {corruption} noise of σ = {sigma:g} does not reach so far")
            (score,) = torch.autograd.grad(logits.logsumexp(1).sum(), y)
        mean = (logits.detach().softmax(1)[:, :, None, None] * futures.frames.to(y)).sum(1, keepdim=True)
        return mean, sigma**2 * score

    return both


def _check(x: Tensor, sigma: float | Tensor, corruption: str) -> None:
    if corruption not in CORRUPTIONS:
        raise ValueError(f"the corruption must be one of {', '.join(CORRUPTIONS)}, got {corruption!r}")
    if not x.is_floating_point():
        raise ValueError(f"grey levels in [0, 1] are due, got {x.dtype}")
    levels = torch.as_tensor(sigma)
    if levels.ndim and levels.shape != (len(x), 1, 1, 1):
        raise ValueError(f"sigma must be a number or ({len(x)}, 1, 1, 1), got {tuple(levels.shape)}")
    if not ((levels > 0) & levels.isfinite()).all():
        raise ValueError(f"sigma must be positive and finite, got {levels.flatten().tolist()}")


def _signal_variance(x: Tensor) -> Tensor:
    return (x.clamp_min(0) + 0.1) / 0.6


@cache
def _power(height: int, width: int) -> Tensor:
    """Power spectrum of the correlated noise on the grid of ``rfft2``, its mean over all frequencies one."""
    v, u = torch.fft.fftfreq(height, dtype=torch.double), torch.fft.fftfreq(width, dtype=torch.double)
    square = v[:, None].square() + u.square()
    power = FLOOR + torch.exp(-((2 * math.pi * BLUR) ** 2) * square)
    return (power / power.mean())[:, : width // 2 + 1]


def _inverse_covariance(e: Tensor) -> Tensor:
    """K⁻¹ e for the correlated noise of unit variance."""
    size = e.shape[-2:]
    return torch.fft.irfft2(torch.fft.rfft2(e) / _power(*size).to(e), s=size)
