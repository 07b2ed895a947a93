r"""How good a denoiser is: squared error over σ, and the excess error where the futures differ.

The error over the whole frame hides what matters: nearly all pixels are certain. Where a meeting is undecided the
optimal denoiser is known (:mod:`scorevid.denoisers.exact`), and

.. math:: \text{excess} = \frac{\sum \| f(y, c) - \mathrm E[x \mid y, c] \|^2_D}
                               {\sum \sum_k w_k \| x_k - \mathrm E[x \mid c] \|^2_D}

sums, over scenes and over the pixels D in which the futures of a scene differ, the squared distance from the optimum,
relative to the ambiguity there: 0 is optimal, 1 is as bad as not knowing which future it will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorevid.denoisers.exact import Oracle, optimum_and_score
from scorevid.denoisers.protocol import AnyDenoiser, denoise
from scorevid.denoisers.wiener import Wiener
from scorevid.estimates import Estimate, ratio_interval
from scorevid.measures.score_from_residual import relative_error
from scorevid.noise.corruptions import Corruption, corrupt
from scorevid.noise.prior import NoisePrior
from scorevid.worlds.futures import Futures
from scorevid.worlds.gaussian import Gaussian

BATCH = 32  # frames at once; on a processor more are slower, as they leave its cache
SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0)
BORDER = 4  # pixels


def apply_batched(f: AnyDenoiser, y: Tensor, c: Tensor, sigma: float | None = None, *, batch: int = BATCH) -> Tensor:
    """f over a long batch, in pieces; sigma is one number for all, for denoisers that need it."""
    pieces = zip(y.split(batch), c.split(batch), strict=True)
    return torch.cat([denoise(f, *piece, sigma) for piece in pieces])


@torch.no_grad()
def squared_errors(
    f: AnyDenoiser, c: Tensor, x: Tensor, sigmas: Sequence[float], generator: torch.Generator, *, border: int = 0
) -> Tensor:
    """Mean squared error a pixel of f(x + σz, c), for each σ and scene: (len(sigmas), B), in grey units squared.

    border: so many pixels along each edge are left out of the mean.
    """
    errors, inner = [], (..., *[slice(border, n - border) for n in x.shape[2:]])
    for sigma in sigmas:
        y = corrupt(x, sigma, "gaussian", generator)
        errors.append((apply_batched(f, y, c, sigma) - x)[inner].square().mean((1, 2, 3)))
    return torch.stack(errors)


@torch.no_grad()
def excess_and_ambiguity(
    f: AnyDenoiser,
    optimal: AnyDenoiser,
    c: Tensor,
    futures: Futures,
    sigma: float,
    generator: torch.Generator,
    batch=BATCH,
) -> tuple[Tensor, Tensor]:
    """Squared distance from the optimal denoiser where futures differ, and ambiguity there, (B,) each.

    The clean frame is drawn from the futures. The ratio of their sums is the excess error.
    """
    y = corrupt(futures.draw(generator), sigma, "gaussian", generator)
    distance = apply_batched(f, y, c, sigma, batch=batch) - denoise(optimal, y, c, sigma)
    return (distance.square() * futures.where()).sum((1, 2, 3)), futures.ambiguity()


def excess_curve(
    f: AnyDenoiser,
    c: Tensor,
    futures: Futures,
    sigmas: Sequence[float],
    generator: torch.Generator,
    *,
    prior: NoisePrior | None = None,
    batch: int = BATCH,
) -> list[Estimate]:
    """Excess error at each σ with its 95 % bootstrap interval over scenes.

    prior: of σ, for the excess over the optimal blind denoiser; None for that over the optimal one that is given σ.
    """
    points, optimal = [], Oracle(futures, prior=prior)
    for sigma in sigmas:
        above, ambiguity = excess_and_ambiguity(f, optimal, c, futures, sigma, generator, batch)
        points.append(ratio_interval(above.numpy(), ambiguity.numpy()))
    return points


@dataclass(frozen=True)
class IdentityDistances:
    """Squared distances in grey², (B,) each, of the residual d from d* = E[x | y, c] − y and σ² s, s = ∇ log p(y | c)."""

    to_optimum: np.ndarray  # ‖d − d*‖²
    to_score: np.ndarray  # ‖d − σ² s‖²
    optimum_to_score: np.ndarray  # ‖d* − σ² s‖²
    residual: np.ndarray  # ‖d*‖²
    excess: np.ndarray  # ‖d − d*‖² in the pixels where the futures differ alone


@torch.no_grad()
def identity_distances(
    f: AnyDenoiser,
    c: Tensor,
    futures: Futures,
    sigma: float,
    corruption: Corruption,
    generator: torch.Generator,
    batch: int = BATCH,
) -> IdentityDistances:
    """How far the residual of f is from the optimum and from the score, both exact (:mod:`scorevid.noise.corruptions`)."""
    y = corrupt(futures.draw(generator), sigma, corruption, generator)
    optimum, score = optimum_and_score(y, futures, sigma, corruption)
    d, d_star = apply_batched(f, y, c, sigma, batch=batch) - y, optimum - y

    def squared(v: Tensor) -> np.ndarray:
        return v.square().sum((1, 2, 3)).numpy()

    return IdentityDistances(
        to_optimum=squared(d - d_star),
        to_score=squared(d - score),
        optimum_to_score=squared(d_star - score),
        residual=squared(d_star),
        excess=squared((d - d_star) * futures.where()),
    )


@torch.no_grad()
def gaussian_score_error(f: AnyDenoiser, world: Gaussian, y: Tensor, c: Tensor, sigma: float) -> Tensor:
    """‖d − d*‖² / ‖d*‖² of each example of Gaussian video, (B,), against the optimal denoiser that is given σ.

    Without a border of ``BORDER`` pixels: the world is periodic, and what enters at a border a network cannot know.
    """
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    return relative_error((apply_batched(f, y, c, sigma) - y)[inner], (Wiener(world)(y, c, sigma) - y)[inner])
