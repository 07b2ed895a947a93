r"""Linear-Gaussian video: a drifting texture of which all is known, so that the optimal denoiser is a linear filter.

The next frame is the last one moved by a translation T, a little faded, and topped up with fresh texture,

.. math:: x_{t+1} = \rho\, T x_t + \sqrt{1 - \rho^2}\, e_t, \qquad e_t \sim \mathcal N(0, C), \quad
          S_k \propto \max(|k|, 1)^{-\alpha} ,

where C is stationary with the power spectrum S: k counts waves across the frame, the mean grey varies as much as the
slowest wave, and the average of S over all k, the variance of a pixel, is contrast². So is that of every frame. The
translation is periodic and by whole pixels: a permutation, which in Fourier space multiplies by a phase,

.. math:: \widehat{T x}_k = e^{-i\theta_k} \hat x_k, \quad \theta_k = 2\pi\, k \cdot \text{shift} / \text{size}; \qquad
          \mathrm E\, \hat x_{t+j,k}\, \overline{\hat x_{t,k}} = \rho^{j}\, e^{-ij\theta_k}\, S_k \quad (j \ge 0).

Frequencies do not mix, so everything is known one frequency at a time (:mod:`scorevid.denoisers.wiener`). Past frames may
have white noise, all alike or each its own. And each draw may have a ρ of its own: 1 − ρ², the share of a frame that is
new, is then log-uniform over its range, and nothing is known exactly.

Grey levels are deviations from the mean grey, of either sign and without bounds, so that the optimal denoiser is linear,
which a bias-free network can be. With a ``mean`` other than 0 it is affine: a bias-free network has to read the mean off
its input, or is given y − mean and c − mean. The paper has no such world; all of its values are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.registry import TestScenes, register


@register("train-gaussian", "linear-Gaussian video, whose optimal denoiser is known", "gaussian", past_noise=0.1)
@dataclass(frozen=True)
class Gaussian:
    """The world of linear-Gaussian video. Raises ValueError for values that describe no world."""

    size: int = 32  # frames are size x size pixels
    memory: int = 2  # M, past frames
    rho: float | tuple[float, float] = 0.95  # correlation of a frame with the one before, moved along; or its range
    alpha: float = 2.0  # exponent of the power spectrum: 0 is white, 2 that of natural images
    shift: tuple[int, int] = (1, 0)  # translation (x, y) in whole pixels a frame, to the right and down
    contrast: float = 0.2  # standard deviation of a pixel, in grey units
    mean: float = 0.0  # mean grey, 0 for frames that are deviations from it
    past_noise: float | tuple[float, ...] = 0.0  # standard deviation of white noise on each past frame; one or M, greys

    def __post_init__(self):
        for name in ("size", "memory"):
            checks.integer(name, getattr(self, name))
        shift = self.shift if isinstance(self.shift, tuple) else ()
        if [isinstance(s, int) and abs(s) <= checks.LARGEST for s in shift] != [True, True]:
            raise ValueError(f"shift must be two whole numbers of pixels (x, y), got {self.shift!r}")
        checks.number("alpha", self.alpha, 0, 8)  # within these variances and their ratios are finite
        checks.number("contrast", self.contrast, 1e-6, 1e6)
        checks.number("mean", self.mean)
        levels = self.past_noise if isinstance(self.past_noise, tuple) else (self.past_noise,) * self.memory
        for level in levels:
            checks.number("past_noise", level, 0, 1e6)
        if len(levels) != self.memory:
            raise ValueError(f"past_noise must be one number or {self.memory} of them, got {self.past_noise!r}")
        ends = self.rho if isinstance(self.rho, tuple) else (self.rho, self.rho)
        if len(ends) != 2 or not 0 <= ends[0] <= ends[1] < 1:
            raise ValueError(f"rho must lie in [0, 1), for nothing is left open at 1, got {self.rho!r}")

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W), with its noise, and clean next frame x (batch, 1, H, W)."""
        video = self.video(batch, generator)
        c, x = video[:, :-1], video[:, -1:]
        levels = self.past_levels()
        if levels.any():
            levels = levels.to(c)[:, None, None]
            c = c + levels * torch.randn(c.shape, generator=generator, device=generator.device)
        return c, x

    def test_scenes(self, n: int, generator: torch.Generator) -> TestScenes:
        """Random scenes to judge a denoiser by; where they all have one ρ, the optimal denoiser is linear."""
        return TestScenes.draw(self, n, generator, linear=not isinstance(self.rho, tuple))

    def past_levels(self) -> Tensor:
        """Standard deviation of the noise on each past frame, oldest first, (M,) float64."""
        return torch.tensor(self.past_noise, dtype=torch.float64).expand(self.memory)

    def video(self, batch: int, generator: torch.Generator) -> Tensor:
        """M + 1 clean frames of the stationary process, oldest first, (batch, M + 1, H, W)."""
        shape = (batch, self.memory + 1, self.size, self.size)
        white = torch.randn(shape, generator=generator, device=generator.device)
        texture = torch.fft.ifft2(torch.fft.fft2(white) * self.spectrum().sqrt().to(white)).real
        if isinstance(self.rho, tuple):
            low, high = (1 - r**2 for r in self.rho)
            u = torch.rand(batch, 1, 1, generator=generator, device=generator.device)
            new = low * (high / low) ** u  # variance of what is new in a frame, as a share
            keep, new = (1 - new).sqrt(), new.sqrt()
        else:
            keep, new = self.rho, math.sqrt(1 - self.rho**2)
        frames = [texture[:, 0]]
        for fresh in texture.unbind(1)[1:]:
            moved = frames[-1].roll((self.shift[1], self.shift[0]), (1, 2))
            frames.append(keep * moved + new * fresh)
        return torch.stack(frames, 1) + self.mean

    def spectrum(self) -> Tensor:
        """S, the variance of each coefficient of the unitary Fourier transform in grey², (H, W) float64.

        Frequencies are laid out as in ``torch.fft.fft2``.
        """
        k = torch.arange(self.size)
        k = torch.minimum(k, self.size - k)
        power = (k[:, None].square() + k.square()).clamp_min(1).double() ** (-self.alpha / 2)
        return self.contrast**2 * power / power.mean()

    def drift(self) -> Tensor:
        """What T does to each coefficient of the Fourier transform: exp(−iθ), (H, W) complex128."""
        k = torch.arange(self.size)
        waves = (k[:, None] * self.shift[1] + k * self.shift[0]) % self.size
        return torch.polar(torch.ones((), dtype=torch.float64), -2 * math.pi / self.size * waves.double())
