r"""The density that a denoiser holds, read without drawing a sample.

Squared errors say how probable a frame is. With the signal-to-noise ratio :math:`s = 1/\sigma^2`, the optimal denoiser f and
white noise z, pointwise I-MMSE (Guo, Shamai and Verdú 2005; Kong, Brekelmans and Ver Steeg 2023, arXiv 2302.03792) has, for a
law of finitely many futures,

.. math:: -\log P(x_k \mid c) = \tfrac12 \int_0^\infty e_k(s)\, ds , \qquad
          e_k(s) = \mathrm E_z \big\| x_k - f(x_k + z / \sqrt s,\, c) \big\|^2 .

On average over the futures that is the entropy of the choice, H(x | c). For any law the average up to s is the information
between x and its noisy observation. So the past tells about the next frame, seen at resolution σ, what it takes off that,

.. math:: I(c; y_\sigma) = \tfrac12 \int_0^{1/\sigma^2} \big( \mathrm{mmse}(s) - \mathrm{mmse}(s \mid c) \big)\, ds .

Along a path from :math:`x_B + \sigma z` to :math:`x_A + \sigma z` the score adds up to a log ratio as well (:func:`along`),

.. math:: \log \frac{p_\sigma(x_A + \sigma z \mid c)}{p_\sigma(x_B + \sigma z \mid c)} = \int s_\sigma(y \mid c) \cdot dy ,

whichever path it is, if the score is a gradient. That of a network need not be.

All integrals over s are taken over log σ, as :math:`\tfrac12 ds = -\sigma^{-2}\, d\log\sigma`, by the trapezoid rule. What
lies beyond the greatest σ is added with the error that is found there, which hardly changes any more. What lies below the
least σ is left out. Of the optimal denoiser of finitely many futures that is next to nothing. A network errs there as well,
so what is read of a network depends on the least σ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser, denoise
from scorevid.measures.errors import BATCH
from scorevid.noise.corruptions import corrupt
from scorevid.worlds.futures import Futures

SPAN = (0.15, 12.0)  #: of noise levels, in units of D/2: below, y shows the choice; above, it shows nothing of it
WIDER = 1.6  # than Gaussian: even noise in the one direction in which two futures differ
LEVELS, DRAWS = 24, 8  #: noise levels, and draws of the noise at each


def over_snr(errors: Tensor, sigma: Tensor) -> Tensor:
    r"""½ ∫ errors ds from s = 0 up to each noise level, (L, …), in nats.

    errors: (L, …) squared errors in grey². sigma: (L, …) or (L,) in grey units, increasing. The last row is what lies beyond
    the greatest σ, where the error is taken for constant; the first is the whole.
    """
    sigma = sigma.reshape(len(sigma), *sigma.shape[1:], *[1] * (errors.ndim - sigma.ndim)).to(errors)
    steps = sigma.log().diff(dim=0) * (errors / sigma.square())[:-1].add((errors / sigma.square())[1:]) / 2
    beyond = errors[-1:] / (2 * sigma[-1:].square())
    return torch.cat([steps, beyond]).flip(0).cumsum(0).flip(0)


@dataclass(frozen=True)
class FutureErrors:
    """Squared errors e_k of a denoiser at the K futures of B scenes, at L noise levels.

    sigma: (L, B) in grey units, increasing. whole: (L, B, K), over all pixels, in grey². within: the same of answers that are
    first projected onto the affine hull of the futures. The optimal answer lies there, so nothing of it is lost; errors of
    rendering are. futures: whose they are; where a future is only padding, errors are 0.
    """

    sigma: Tensor
    whole: Tensor
    within: Tensor
    futures: Futures

    def log_odds(self, errors: Tensor | None = None) -> Tensor:
        """log P(x_k | c) − log P(x_0 | c), (B, K), in nats, from ``within``, or other errors if given.

        Values of futures that are only padding mean nothing.
        """
        nats = over_snr(self.within if errors is None else errors, self.sigma)[0]
        return nats[:, :1] - nats

    def entropy(self, errors: Tensor | None = None) -> Tensor:
        """½ ∫ Σ_k w_k e_k ds, (B,), in nats: the entropy of the choice, or more if the denoiser is not optimal."""
        weights = self.futures.probabilities.to(self.sigma)
        return (weights * over_snr(self.within if errors is None else errors, self.sigma)[0]).sum(1)


@torch.no_grad()
def future_errors(
    f: AnyDenoiser,
    c: Tensor,
    futures: Futures,
    *,
    generator: torch.Generator,
    levels: int = LEVELS,
    draws: int = DRAWS,
    sigmas: Sequence[float] | None = None,
    even: bool = True,
    batch: int = BATCH,
) -> FutureErrors:
    """Errors of a denoiser at each future of each scene, at noise levels about its own D/2.

    c: (B, M, H, W). futures: of the B scenes. levels: of noise, equally spaced in log σ, over ``SPAN`` times half the
    distance of futures, from the least distance in a scene to the greatest. sigmas: the same levels for all scenes instead,
    in grey units. draws: of the noise at each level, even in number; they come in pairs ± z, shared by all futures of a
    scene. even: spread the noise evenly in the directions in which futures differ and weight it, which makes its mean far
    more exact; False is plain random noise.

    Raises ValueError for shapes that do not fit, an odd number of draws, and scenes of one future or of equal futures.
    """
    checks.frames("c", c, batch=len(futures), size=tuple(futures.frames.shape[2:]))
    checks.integer("levels", levels, 2)
    checks.integer("draws", draws, 2)
    if draws % 2:
        raise ValueError(f"draws come in pairs, so they must be even in number, got {draws}")
    checks.every("scenes must have two futures or more", futures.count() > 1)
    frames, basis = futures.frames.to(c), _hull(futures)
    sigma = _levels(futures, levels) if sigmas is None else torch.as_tensor(sigmas)[:, None].expand(-1, len(c))
    whole, within = [], []
    for level in sigma.to(c):
        z, weight = (v.to(c) for v in _noise(basis, c.shape[2:], draws, even, generator))  # (B, S, H, W), (B, S)
        y = frames[:, :, None] + level[:, None, None, None, None] * z[:, None]  # (B, K, S, H, W)
        answer = _apply(f, y, c, level, batch)
        error = answer - frames[:, :, None]
        inside = torch.einsum("bksp,bdp->bksd", error.flatten(3), basis.to(c))
        whole.append(torch.einsum("bkshw,bs->bk", error.square(), weight))
        within.append(torch.einsum("bksd,bs->bk", inside.square(), weight))
    padding = (futures.probabilities == 0).to(c.device)
    return FutureErrors(sigma.to(c), *(torch.stack(e).masked_fill(padding, 0) for e in (whole, within)), futures)


@torch.no_grad()
def along(
    f: AnyDenoiser,
    c: Tensor,
    corners: Sequence[Tensor],
    sigma: Tensor,
    z: Tensor,
    *,
    nodes: int = 8,
    batch: int = BATCH,
) -> Tensor:
    """The score integrated along a path of straight lines, in nats, (B,): log p_σ at its end less that at its start.

    corners: clean frames (B, 1, H, W), two or more, from start to end. sigma: (B,) in grey units. z: (B, 1, H, W) unit noise;
    the path leads through the corners + σz, which are frames that the denoiser meets. nodes: of Gauss and Legendre's rule on
    each line, in which the integrand is smooth.
    """
    point, weight = (torch.as_tensor(v / 2).to(c) for v in np.polynomial.legendre.leggauss(nodes))
    point = point + 0.5
    total, level = c.new_zeros(len(c)), sigma.to(c)
    for start, end in pairwise(corners):
        t = point.view(1, 1, -1, 1, 1)
        y = (start + level.view(-1, 1, 1, 1) * z)[:, None] + t * (end - start)[:, None]  # (B, 1, nodes, H, W)
        residual = _apply(f, y, c, level, batch) - y
        work = torch.einsum("bkshw,bchw->bs", residual, end - start)
        total += work @ weight / level.square()
    return total


@torch.no_grad()
def surprise(
    f: AnyDenoiser,
    c: Tensor,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    generator: torch.Generator,
    draws: int = 2,
    batch: int = BATCH,
) -> Tensor:
    """½ ∫ E_z (x − f(x + σz, c))² ds up to the least σ, at each pixel, (B, 1, H, W), in nats.

    c, x: past and next frame. sigmas: increasing, grey units. Summed over pixels and for finitely many futures it would be
    −log P(x | c). For video it grows as the least σ falls, so compare it with that of another denoiser, or between places.
    """
    errors = []
    for sigma in sigmas:
        z = [corrupt(x, sigma, "gaussian", generator) for _ in range(draws)]
        y = torch.stack(z, 2)  # (B, 1, S, H, W)
        level = torch.full((len(x),), float(sigma)).to(x)
        errors.append((_apply(f, y, c, level, batch) - x[:, :, None]).square().mean(2))
    return over_snr(torch.stack(errors), torch.as_tensor(sigmas))[0]


def _apply(f: AnyDenoiser, y: Tensor, c: Tensor, sigma: Tensor, batch: int) -> Tensor:
    """f over frames y (B, K, S, H, W) of scenes c (B, M, H, W) at levels (B,), in pieces."""
    each = math.prod(y.shape[1:3])
    rows, past, level = y.reshape(-1, 1, *y.shape[3:]), c.repeat_interleave(each, 0), sigma.repeat_interleave(each)
    pieces = zip(rows.split(batch), past.split(batch), level.split(batch), strict=True)
    return torch.cat([denoise(f, *piece) for piece in pieces]).view_as(y)


def _levels(futures: Futures, n: int) -> Tensor:
    """n noise levels of each scene, (n, B)."""
    frames = futures.frames.flatten(2).double()
    apart = torch.cdist(frames, frames, compute_mode="donot_use_mm_for_euclid_dist")
    possible = (futures.probabilities > 0).to(apart.device)
    pairs = (possible[:, :, None] & possible[:, None]).triu(1)
    least, most = apart.masked_fill(~pairs, torch.inf).amin((1, 2)), apart.masked_fill(~pairs, 0).amax((1, 2))
    checks.every("scenes must have futures that differ", least > 1e-6)
    low, high = (SPAN[0] * least / 2).log(), (SPAN[1] * most / 2).log()
    return (low + torch.linspace(0, 1, n, dtype=low.dtype, device=low.device)[:, None] * (high - low)).exp()


def _hull(futures: Futures) -> Tensor:
    """Orthonormal directions of the differences of each scene's futures, (B, K − 1, HW); zero where there are fewer."""
    frames = futures.frames.flatten(2).double().masked_fill((futures.probabilities == 0)[..., None], 0)
    possible = (futures.probabilities > 0)[..., None]
    centre = frames.sum(1, keepdim=True) / possible.sum(1, keepdim=True)
    _, size, directions = torch.linalg.svd((frames - centre) * possible, full_matrices=False)
    spans = size > 1e-6 * size[:, :1]
    return (directions * spans[..., None])[:, : max(frames.shape[1] - 1, 1)]


def _noise(basis: Tensor, size, draws: int, even: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Unit noise in pairs ± z, (B, draws, H, W), and the weights of a mean over the draws, (B, draws), that sum to 1.

    Even noise is spread over the d directions of the basis by a shifted Sobol sequence. It is wider there than Gaussian by
    ``WIDER`` for one direction, less for more, and weighted back: rare noise, against which a choice is made, counts most.
    """
    n, dimensions = draws // 2, basis.shape[1]
    z = torch.randn(len(basis), n, basis.shape[2], generator=generator, dtype=basis.dtype)
    weight = z.new_ones(z.shape[:2])
    if even:
        there = basis.norm(dim=2)[:, None]  # (B, 1, d): 1, or 0 for directions that the scene lacks
        wide = (1 + (WIDER**2 - 1) / there.sum(2, keepdim=True)).sqrt()
        sobol = torch.quasirandom.SobolEngine(dimensions).draw(n).to(basis)
        shift = torch.rand(len(basis), 1, dimensions, generator=generator, dtype=basis.dtype)
        place = wide * torch.special.ndtri(((sobol + shift) % 1).clamp(1e-9, 1 - 1e-9))
        z += (place - z @ basis.mT) @ basis
        weight = ((there * place.square() * (wide**-2 - 1)).sum(2) / 2).exp()
    weight = torch.cat([weight, weight], 1) / (2 * weight.sum(1, keepdim=True))
    return torch.cat([z, -z], 1).view(len(basis), -1, *size), weight
