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

A blind denoiser averages the gain on y over the posterior of σ under the training prior, p(σ | y, c) ∝ p(σ) p_σ(y | c).
It is not linear in y, as the energy of y − μ tells it σ. Nor is it homogeneous, as a bias-free network is: it knows the
contrast of the world, which the network has to read off c.

As everywhere the grey mean of the world is taken out before and put back after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorevid import checks
from scorevid.noise.prior import NoisePrior
from scorevid.worlds.gaussian import Gaussian


class Wiener:
    """The optimal denoiser of linear-Gaussian video: a Kalman filter along the past, Wiener's gains on the noisy frame.

    world: of one ρ. prior: of σ, over which a blind denoiser averages; without it the denoiser needs σ. Methods of frames take
    y (B, 1, H, W), c (B, M, H, W), and σ in grey units, a number or (B,), which a blind filter ignores. Raises ValueError for
    a world of several ρ and a prior of other than Gaussian noise; each method for shapes and levels that do not fit.
    """

    def __init__(self, world: Gaussian, prior: NoisePrior | None = None):
        if isinstance(world.rho, tuple):
            raise ValueError(f"rho must be one number for an exact filter, got {world.rho}: use replace(world, rho=…)")
        self.world, self.needs_sigma = world, prior is None
        self.on_past, self.unknown = _kalman(world)  # gains (M, H, W) complex128, and P, (H, W) float64
        self._levels = None if prior is None else _Levels(self.unknown, prior)

    def __call__(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """E[x | y, c, σ], or E[x | y, c] of a blind filter, (B, 1, H, W)."""
        predicted, news = self._split(y, c)
        return _frames(predicted + self._precision(news, sigma) * self.unknown.to(y) * news) + self.world.mean

    def predict(self, c: Tensor) -> Tensor:
        """The optimal prediction from the past alone, E[x | c]: (B, M, H, W) -> (B, 1, H, W)."""
        return _frames(self._predicted(c)) + self.world.mean

    def log_density(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """log p_σ(y | c), or log of ∫ p(σ) p_σ(y | c) dσ, in nats, (B,), normalised."""
        _, news = self._split(y, c)
        if self._levels is not None:
            return self._levels.logits(news).logsumexp(1)
        precision = self._precision(news, sigma)
        return -0.5 * (_energy(news) * precision - (precision / (2 * math.pi)).log()).sum((1, 2, 3))

    def score(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """The gradient of :meth:`log_density` in y, (B, 1, H, W), in 1 / grey."""
        _, news = self._split(y, c)
        return -_frames(self._precision(news, sigma) * news)

    def gains(self, sigma: float) -> Tensor:
        """Factors on the Fourier coefficients of past frames, oldest first, and of y, last, (M + 1, H, W) complex128.

        Frequencies are ordered as in ``torch.fft.fft2``.
        """
        on_y = self.unknown / (self.unknown + checks.levels(sigma, self.unknown[None])[0, 0] ** 2)
        return torch.cat([self.on_past * (1 - on_y), on_y[None] + 0j])

    def weights(self, sigma: float) -> Tensor:
        """The row of the Jacobian that makes the middle pixel (H // 2, W // 2) of the output, (M + 1, H, W) float64.

        Weights on the past frames, oldest first, then on y, dimensionless; any other pixel's are these, shifted. To be
        compared with ``scorevid.measures.linear_weights.rows`` of a network.
        """
        return torch.fft.fftshift(torch.fft.ifft2(self.gains(sigma).conj()).real, (1, 2))

    def posterior_covariance(self, y=None, c=None, sigma: float | None = None) -> StationaryCovariance:
        """Cov[x | y, c, σ] = σ² J_y of the filter that knows σ, float64: the same for every y and c, which may be left out."""
        return StationaryCovariance(self.gains(sigma)[-1].real * sigma**2)

    def _predicted(self, c: Tensor) -> Tensor:
        """Fourier coefficients of the prediction without the mean, (B, 1, H, W) complex."""
        checks.frames("c", c, self.world.memory, size=(self.world.size, self.world.size))
        waves = torch.fft.fft2(c - self.world.mean, norm="ortho")
        return (waves * self.on_past.to(waves)).sum(1, keepdim=True)

    def _split(self, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """What the past predicts of y, and what is news, in Fourier coefficients without the mean."""
        predicted = self._predicted(c)
        checks.frames("y", y, 1, batch=len(c), size=tuple(c.shape[2:]))
        return predicted, torch.fft.fft2(y - self.world.mean, norm="ortho") - predicted

    def _precision(self, news: Tensor, sigma: float | Tensor | None) -> Tensor:
        """1 / (P + σ²) of each frequency, or its mean over the posterior of σ, (B or 1, 1, H, W)."""
        if self._levels is not None:
            return self._levels.mean_precision(news)
        return 1 / (self.unknown.to(news.real) + checks.levels(sigma, news.real).square())


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


def _kalman(world: Gaussian) -> tuple[Tensor, Tensor]:
    """Gains of the prediction on the past frames, and the variance P that it leaves."""
    power = world.spectrum()
    gain, variance = power.new_zeros(0, *power.shape), power
    for level in world.past_levels():
        new = variance / (variance + level**2)
        gain = world.rho * torch.cat([(1 - new) * gain, new[None]])
        variance = world.rho**2 * (1 - new) * variance + (1 - world.rho**2) * power
    lag = torch.arange(world.memory, 0, -1)[:, None, None]
    return gain * world.drift() ** lag, variance


class _Levels:
    """The prior of σ as nodes and weights, and the posterior of each node given the news.

    The posterior of log σ is a bump no narrower than 1/√(2N) for N pixels, or what the prior leaves of one. So panels are
    twice as wide, each with six nodes of Gauss and Legendre.
    """

    def __init__(self, unknown: Tensor, prior: NoisePrior):
        checks.one_of("the corruption of a filter's prior", prior.corruption, ["gaussian"])
        length = math.log(prior.sigma_max / prior.sigma_min)
        panels = max(4, math.ceil(length * math.sqrt(unknown.numel() / 2)))
        nodes, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(6))
        start = torch.arange(panels, dtype=torch.float64)[:, None]
        log_sigma = math.log(prior.sigma_min) + ((start + (nodes + 1) / 2) * (length / panels)).flatten()
        log_weight = (weight * length / panels / 2).log().repeat(panels) + prior.log_density(log_sigma)
        variance = unknown.flatten() + (2 * log_sigma).exp()[:, None]
        self.precision = variance.reciprocal()  # (nodes, N)
        self.constant = log_weight - 0.5 * (2 * math.pi * variance).log().sum(1)

    def logits(self, news: Tensor) -> Tensor:
        """log of weight × p_σ(y | c) at the nodes, (B, nodes)."""
        energy = _energy(news).flatten(1)
        return self.constant.to(energy) - 0.5 * energy @ self.precision.to(energy).T

    def mean_precision(self, news: Tensor) -> Tensor:
        """E[1 / (P + σ²) | y, c] of each frequency, (B, 1, H, W)."""
        weight = self.logits(news).softmax(1)
        return (weight @ self.precision.to(weight)).reshape(news.shape)


def _frames(waves: Tensor) -> Tensor:
    return torch.fft.ifft2(waves, norm="ortho").real


def _energy(waves: Tensor) -> Tensor:
    return waves.real.square() + waves.imag.square()
