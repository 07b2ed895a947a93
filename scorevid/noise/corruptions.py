r"""How the noise z in y = x + σz is distributed: Gaussian, and what breaks the identity.

.. math:: d = \mathrm E[x \mid y, c] - y = \sigma^2\, \nabla_y \log p_\sigma(y \mid c)

is a property of white Gaussian noise. Each corruption here has variance σ² (averaged over frames of grey ½), can be
drawn, and has a density q(y | x) in closed form. So for finitely many futures the optimal denoiser and the score of the
noisy density,

.. math:: r_k \propto w_k\, q(y \mid x_k), \qquad \mathrm E[x \mid y, c] = \sum_k r_k x_k, \qquad
          \nabla_y \log p(y \mid c) = \sum_k r_k \nabla_y \log q(y \mid x_k),

are exact (:func:`scorevid.denoisers.exact.optimum_and_score`), and so is the distance between them.

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
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor

from scorevid import checks

Corruption = Literal["gaussian", "laplace", "uniform", "signal", "correlated"]
CORRUPTIONS: tuple[str, ...] = get_args(Corruption)
BLUR, FLOOR = 0.7, 0.05  # of the correlated noise: standard deviation in pixels, least relative power


def corrupt(x: Tensor, sigma: float | Tensor, corruption: Corruption, generator: torch.Generator) -> Tensor:
    """y = x + σz, (B, 1, H, W) like x. sigma: in grey units, a number, (B,) or (B, 1, 1, 1).

    Raises ValueError for another shape, σ that is not positive and finite, integers, and an unknown corruption.
    """
    checks.one_of("corruption", corruption, CORRUPTIONS)
    checks.frames("x", x)
    sigma = checks.levels(sigma, x)
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
    """log q(y | x) in nats up to what does not depend on x, summed over the last two axes. y and x broadcast.

    Raises ValueError for σ that is not positive and finite, and for an unknown corruption.
    """
    checks.one_of("corruption", corruption, CORRUPTIONS)
    checks.number("sigma", sigma, above=0)
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
    whitened = torch.fft.irfft2(torch.fft.rfft2(e) / _power(*e.shape[-2:]).to(e), s=e.shape[-2:])  # K⁻¹ e
    return -(e * whitened).sum((-2, -1)) / 2


def _signal_variance(x: Tensor) -> Tensor:
    return (x.clamp_min(0) + 0.1) / 0.6


@cache
def _power(height: int, width: int) -> Tensor:
    """Power spectrum of the correlated noise on the grid of ``rfft2``, its mean over all frequencies one."""
    v, u = torch.fft.fftfreq(height, dtype=torch.double), torch.fft.fftfreq(width, dtype=torch.double)
    square = v[:, None].square() + u.square()
    power = FLOOR + torch.exp(-((2 * math.pi * BLUR) ** 2) * square)
    return (power / power.mean())[:, : width // 2 + 1]
