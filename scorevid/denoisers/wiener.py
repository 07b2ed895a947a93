r"""The optimal denoiser of linear-Gaussian video: how much to trust the noisy frame, how much the past, as a number.

In :class:`~scorevid.worlds.gaussian.Gaussian` frequencies are independent and T only turns their phase, so at each
frequency k a scalar Kalman filter runs over the past frames. With noise of variance τ² on a frame, starting from the
spectrum, P = S, and from a = 0, each frame in turn is taken in and moved on by one step,

.. math:: g = P / (P + \tau^2), \qquad a \leftarrow \rho\, [(1 - g)\, a,\; g], \qquad
          P \leftarrow \rho^2 (1 - g) P + (1 - \rho^2)\, S ,

to leave the prediction :math:`\hat\mu_k = \sum_j a_{jk} e^{-ij\theta_k} \hat c_{-j,k}` of the next frame, E[x | c],
and the variance P of what it cannot know. The noisy observation y = x + σz is then weighed against it,

.. math::
    \mathrm E[\hat x_k \mid y, c] &= \frac{\sigma^2}{P_k + \sigma^2}\, \hat\mu_k + \frac{P_k}{P_k + \sigma^2}\, \hat y_k,
    \qquad \mathrm{Var}[\hat x_k \mid y, c] = \sigma^2 \frac{P_k}{P_k + \sigma^2}, \\
    \log p_\sigma(y \mid c) &= -\tfrac12 \sum_k \Big( \frac{|\hat y_k - \hat\mu_k|^2}{P_k + \sigma^2}
    + \log 2\pi(P_k + \sigma^2) \Big) ,

with the unitary Fourier transform. Gains are Wiener's: each source counts by its precision, 1/σ² against 1/P, wave by
wave; coarse waves, which have the power, are taken from y, fine ones from the past, the more so the larger σ.

A blind denoiser averages the gain on y over the posterior of σ under the training prior, p(σ | y, c) ∝ p(σ) p_σ(y | c);
it is no longer linear in y, as the energy of y − μ tells it σ. Nor is it homogeneous, as a bias-free network is: it
knows the contrast of the world, which the network has to read off c.

As everywhere the grey mean of the world is taken out before and put back after.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorevid.noise.prior import NoisePrior
from scorevid.worlds.gaussian import Gaussian


def wiener(world: Gaussian, sigma: float | Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The optimal denoiser told σ: a callable f(y, c) -> E[x | y, c, σ], (B, 1, H, W).

    sigma: noise level in grey units, a number or (B,). Raises ValueError for σ that is not positive and finite, and in
    f for shapes that do not fit the world.
    """
    split, sigma = _Split(world), _levels(sigma)

    def f(y: Tensor, c: Tensor) -> Tensor:
        predicted, news = split(y, c)
        unknown = split.unknown.to(y)
        return split.join(predicted, unknown / (unknown + _fit(sigma, y).square()), news)

    return f


def blind_wiener(world: Gaussian, prior: NoisePrior) -> Callable[[Tensor, Tensor], Tensor]:
    """The optimal blind denoiser: a callable f(y, c) -> E[x | y, c], σ integrated out under the training prior.

    Raises ValueError for a prior of other than Gaussian noise, and in f for shapes that do not fit the world.
    """
    split, posterior = _Split(world), _Levels(world, prior)

    def f(y: Tensor, c: Tensor) -> Tensor:
        predicted, news = split(y, c)
        weight = posterior.logits(news).softmax(1)  # of each σ, (B, nodes)
        gain = (weight @ posterior.precision.to(y)).reshape(y.shape) * split.unknown.to(y)
        return split.join(predicted, gain, news)

    return f


def log_density(world: Gaussian, sigma: float | Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """log p_σ(y | c) in nats, normalised: a callable (y, c) -> (B,). sigma a number or (B,); errors as in wiener."""
    split, sigma = _Split(world), _levels(sigma)

    def log_p(y: Tensor, c: Tensor) -> Tensor:
        _, news = split(y, c)
        variance = split.unknown.to(y) + _fit(sigma, y).square()
        return -0.5 * (_energy(news) / variance + (2 * math.pi * variance).log()).sum((1, 2, 3))

    return log_p


def blind_log_density(world: Gaussian, prior: NoisePrior) -> Callable[[Tensor, Tensor], Tensor]:
    """log of ∫ p(σ) p_σ(y | c) dσ in nats, normalised: a callable (y, c) -> (B,). Errors as in blind_wiener."""
    split, posterior = _Split(world), _Levels(world, prior)

    def log_p(y: Tensor, c: Tensor) -> Tensor:
        return posterior.logits(split(y, c)[1]).logsumexp(1)

    return log_p


def prediction(world: Gaussian) -> Callable[[Tensor], Tensor]:
    """The optimal prediction from the past alone: a callable c -> E[x | c], (B, M, H, W) -> (B, 1, H, W)."""
    split = _Split(world)

    def predict(c: Tensor) -> Tensor:
        return torch.fft.ifft2(split.predict(c), norm="ortho").real + world.mean

    return predict


def gains(world: Gaussian, sigma: float) -> Tensor:
    """What each frame's Fourier coefficients are multiplied by, (M + 1, H, W) complex128.

    Past frames, oldest first, then y, as in ``scorevid.measures.linear_weights.Rows.sums``; frequencies as in ``torch.fft.fft2``.
    Raises ValueError for σ that is not one positive and finite number.
    """
    on_past, unknown = _kalman(world)
    on_y = unknown / (unknown + _one(sigma) ** 2)
    return torch.cat([on_past * (1 - on_y), on_y[None] + 0j])


def weights(world: Gaussian, sigma: float) -> Tensor:
    """The row of the Jacobian that makes the middle pixel (H // 2, W // 2) of the output, (M + 1, H, W) float64.

    Weights on the past frames, oldest first, then on y, dimensionless; any other pixel's are these moved along. To be
    compared with ``scorevid.measures.linear_weights.rows`` of a network. Raises ValueError as :func:`gains` does.
    """
    return torch.fft.fftshift(torch.fft.ifft2(gains(world, sigma).conj()).real, (1, 2))


@dataclass
class StationaryCovariance:
    """A covariance of frames that is the same at every pixel: a circular convolution.

    spectrum: (H, W) its eigenvalues in grey², at the frequencies of ``torch.fft.fft2``. Their mean is the variance of
    a pixel.
    """

    spectrum: Tensor

    def trace(self) -> Tensor:
        """Total variance of a frame in grey², a scalar: the least expected squared error of any denoiser."""
        return self.spectrum.sum()

    def product(self, v: Tensor) -> Tensor:
        """The covariance times frames v: (B, 1, H, W) -> (B, 1, H, W)."""
        return torch.fft.ifft2(torch.fft.fft2(v) * self.spectrum.to(v)).real

    def matrix(self) -> Tensor:
        """In full, (HW, HW), pixels in row-major order; for small frames."""
        n = self.spectrum.numel()
        eye = torch.eye(n, dtype=self.spectrum.dtype, device=self.spectrum.device)
        return self.product(eye.reshape(n, 1, *self.spectrum.shape)).flatten(1)


def posterior_covariance(world: Gaussian, sigma: float) -> StationaryCovariance:
    """Cov[x | y, c, σ] = σ² J_y of the optimal denoiser told σ, float64; the same for every y and c.

    Raises ValueError as :func:`gains` does.
    """
    return StationaryCovariance(_one(sigma) ** 2 * gains(world, sigma)[-1].real)


def _kalman(world: Gaussian) -> tuple[Tensor, Tensor]:
    """Gains of the prediction on the past frames, (M, H, W) complex128, and the variance P it leaves, (H, W)."""
    if isinstance(world.rho, tuple):
        raise ValueError(f"exact for a world of one rho, got the range {world.rho}: replace(world, rho=...)")
    power = world.spectrum()
    gain, variance = power.new_zeros(0, *power.shape), power
    for level in world.past_levels():
        new = variance / (variance + level**2)
        gain = world.rho * torch.cat([(1 - new) * gain, new[None]])
        variance = world.rho**2 * (1 - new) * variance + (1 - world.rho**2) * power
    lag = torch.arange(world.memory, 0, -1)[:, None, None]
    return gain * world.drift() ** lag, variance


class _Split:
    """What a noisy frame is made of: what the past predicts, and news. Fourier coefficients (B, 1, H, W) complex."""

    def __init__(self, world: Gaussian):
        self.world = world
        self.on_past, self.unknown = _kalman(world)

    def predict(self, c: Tensor) -> Tensor:
        """μ, without the mean."""
        due = (self.world.memory, self.world.size, self.world.size)
        if c.ndim != 4 or c.shape[1:] != due or not c.is_floating_point():
            raise ValueError(f"c must be (B, {', '.join(map(str, due))}) of floats, got {tuple(c.shape)} of {c.dtype}")
        waves = torch.fft.fft2(c - self.world.mean, norm="ortho")
        return (waves * self.on_past.to(waves)).sum(1, keepdim=True)

    def __call__(self, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """μ and y − μ, without the mean."""
        predicted = self.predict(c)
        due = (len(c), 1, self.world.size, self.world.size)
        if y.shape != due or not y.is_floating_point():
            raise ValueError(f"y must be {due} of floats, got {tuple(y.shape)} of {y.dtype}")
        return predicted, torch.fft.fft2(y - self.world.mean, norm="ortho") - predicted

    def join(self, predicted: Tensor, gain: Tensor, news: Tensor) -> Tensor:
        """The frame of μ + gain × news, with the mean."""
        return torch.fft.ifft2(predicted + gain * news, norm="ortho").real + self.world.mean


class _Levels:
    """The prior of σ as nodes and weights, and what each node makes of the news.

    The posterior of log σ is a bump no narrower than 1/√(2N) for N pixels, or what the prior leaves of one; so panels
    twice as wide, each with six nodes of Gauss and Legendre.
    """

    def __init__(self, world: Gaussian, prior: NoisePrior):
        if prior.corruption != "gaussian":
            raise ValueError(f"the noise of these oracles is Gaussian, that of the prior {prior.corruption}")
        length, pixels = math.log(prior.sigma_max / prior.sigma_min), world.size**2
        panels = max(4, math.ceil(length * math.sqrt(pixels / 2)))
        at, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(6))
        start = torch.arange(panels, dtype=torch.float64)[:, None]
        log_sigma = math.log(prior.sigma_min) + ((start + (at + 1) / 2) * (length / panels)).flatten()
        log_weight = (weight * length / panels / 2).log().repeat(panels) + prior.log_density(log_sigma)
        variance = _kalman(world)[1].flatten() + (2 * log_sigma).exp()[:, None]
        self.precision = variance.reciprocal()  # (nodes, N)
        self.constant = log_weight - 0.5 * (2 * math.pi * variance).log().sum(1)

    def logits(self, news: Tensor) -> Tensor:
        """log of weight × p_σ(y | c) at the nodes, (B, nodes)."""
        energy = _energy(news).flatten(1)
        return self.constant.to(energy) - 0.5 * energy @ self.precision.to(energy).T


def _energy(waves: Tensor) -> Tensor:
    return waves.real.square() + waves.imag.square()


def _levels(sigma: float | Tensor) -> Tensor:
    """σ as (1, 1, 1, 1) or (B, 1, 1, 1); raises ValueError for one that is not positive and finite."""
    sigma = sigma if isinstance(sigma, Tensor) else torch.as_tensor(sigma, dtype=torch.float64)
    if sigma.numel() != max(sigma.shape, default=1) or not ((sigma > 0) & sigma.isfinite()).all():
        raise ValueError(f"sigma must be a number or (B,), positive and finite, got {sigma.tolist()}")
    return sigma.reshape(-1, 1, 1, 1)


def _one(sigma: float) -> float:
    return _levels(float(sigma)).item()


def _fit(sigma: Tensor, y: Tensor) -> Tensor:
    if len(sigma) not in (1, len(y)):
        raise ValueError(f"sigma must be a number or ({len(y)},), got {len(sigma)} values")
    return sigma.to(y)
