r"""Which future did a sample choose?

For a scene with two futures :math:`x_A, x_B` (the first and second of its
:class:`~scorevid.worlds.futures.Futures`) a distance :math:`D = \|x_A - x_B\|` apart, a sample lies between them at

.. math:: u = \langle \hat x - x_B,\, x_A - x_B \rangle / D^2 ,

1 for A, 0 for B; u > ¾ counts as A, u < ¼ as B, between is a blend. What is left orthogonal to :math:`x_A - x_B` is
the error of rendering, and reported apart: measured by its distance to the futures, a small blur of every edge would
drown the choice. With more futures, the one is chosen that counts as chosen against each of the others (:func:`choose`).

Whether the choices are as frequent as they should be is for :mod:`scorevid.measures.calibration`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorevid import checks
from scorevid.estimates import Estimate, wilson
from scorevid.worlds.futures import Futures

UPPER, LOWER = 0.75, 0.25  #: of u, above and below which a sample counts as one of two futures
BLEND = -1  #: in place of the number of a future: none was chosen


def projection(x_hat: Tensor, futures: Futures) -> Tensor:
    """u: where each sample lies between the two futures of its scene, (B, S): 1 at the first, 0 at the second.

    x_hat: (B, S, H, W) samples, or any other frames to be judged, such as denoised ones. Raises ValueError for scenes
    that have not exactly two futures, or shapes that do not fit.
    """
    second, difference = _pair(x_hat, futures)
    return ((x_hat - second) * difference).sum((2, 3)) / difference.square().sum((2, 3))


def coordinates(x_hat: Tensor, futures: Futures) -> Tensor:
    r"""Where each sample lies among the K futures of its scene: barycentric coordinates :math:`\lambda`, (B, S, K).

    :math:`\sum_k \lambda_k x_k` is the projection of the sample onto the affine hull of the possible futures, and
    :math:`\sum_k \lambda_k = 1`. A future itself has 1 in its place, the mean frame has the probabilities. Of two futures the
    first coordinate is :func:`projection`. Where futures depend on one another, as two choices that have nothing to do with
    each other make them, many :math:`\lambda` give the same frame; the one nearest to equal coordinates is returned, in
    which a future itself need not have 1. Impossible futures have 0. x_hat: (B, S, H, W). Raises ValueError for shapes that
    do not fit.
    """
    checks.samples(x_hat, futures)
    possible, count = futures.probabilities > 0, futures.count()[:, None, None]
    frames = futures.frames.flatten(2).to(x_hat) * possible[:, :, None]
    centre = frames.sum(1, keepdim=True) / count
    frames = (frames - centre) * possible[:, :, None]
    gram = (frames @ frames.mT).double()
    along = (x_hat.flatten(2) - centre) @ frames.mT  # (B, S, K)
    coefficients = along.double() @ torch.linalg.pinv(gram, rtol=1e-6, hermitian=True)
    return (coefficients + possible[:, None] / count).to(x_hat.dtype)


def rendering_error(x_hat: Tensor, futures: Futures) -> Tensor:
    """Mean square, in grey² a pixel, of a sample less its projection onto the hull, (B, S). As :func:`coordinates`."""
    within = coordinates(x_hat, futures) @ futures.frames.flatten(2).to(x_hat)
    return (x_hat.flatten(2) - within).square().mean(2)


def first_probability(futures: Futures) -> Tensor:
    """w_A of each scene, (B,): the probability of the future that :func:`projection` puts at u = 1."""
    return futures.probabilities[torch.arange(len(futures)), _possible(futures)[:, 0]]


def classify(u: Tensor) -> Tensor:
    """The future chosen: 0 for A (u > ¾), 1 for B (u < ¼), −1 (``BLEND``) between. Same shape as u."""
    choice = torch.full(u.shape, BLEND, dtype=torch.long, device=u.device)
    return choice.masked_fill(u > UPPER, 0).masked_fill(u < LOWER, 1)


def choose(x_hat: Tensor, futures: Futures) -> Tensor:
    r"""The future that each sample chose, (B, S): its index among the K of its scene, or −1 (``BLEND``).

    x_hat: (B, S, H, W). Future k is chosen if, for every other possible future j, the sample lies beyond ¾ of
    the way from :math:`x_j` to :math:`x_k`. No two can be chosen at once, errors of rendering orthogonal to all
    differences play no part, and of two futures the choice is that of :func:`classify`. A sample undecided in any one
    respect is a blend. Where only one future is possible, all samples choose it.

    Raises ValueError for shapes that do not fit, and equal futures in one scene.
    """
    checks.samples(x_hat, futures)
    possible = futures.probabilities > 0
    others = possible[:, None] & ~torch.eye(possible.shape[1], dtype=torch.bool, device=possible.device)  # (B, k, j)
    frames = futures.frames.flatten(2).double()
    frames, samples = (v - frames.mean(1, keepdim=True) for v in (frames, x_hat.flatten(2).double()))
    square = frames.square().sum(2)
    distance = square[:, :, None] + square[:, None] - 2 * frames @ frames.mT  # (B, K, K) squared
    if (others & possible[:, :, None] & (distance <= 1e-12)).any():
        raise ValueError("two possible futures of a scene are equal: merge them")
    along = samples @ frames.mT  # (B, S, K)
    advance = 2 * (along[..., None] - along[:, :, None]) - (square[:, :, None] - square[:, None])[:, None]
    beyond = advance > (2 * UPPER - 1) * distance[:, None]  # ‖x̂ − x_j‖² − ‖x̂ − x_k‖² = (2u − 1) ‖x_k − x_j‖²
    chosen = (beyond | ~others[:, None]).all(3) & possible[:, None]
    return torch.where(chosen.any(2), chosen.int().argmax(2), BLEND)


def tally(choice: Tensor, n_futures: int) -> np.ndarray:
    """How often each of the K futures was chosen, (B, K), from choices (B, S) of :func:`choose`; blends are left out."""
    if choice.ndim != 2 or choice.is_floating_point() or not ((choice >= BLEND) & (choice < n_futures)).all():
        expected = f"integers (B, S) from -1 to {n_futures - 1}"
        raise ValueError(f"choice must be {expected}, got {choice.dtype} {tuple(choice.shape)}")
    return np.stack([(choice == k).sum(1).cpu().numpy() for k in range(n_futures)], 1)


@dataclass
class Counts:
    """How often each future was chosen; each (B,), integers: ``first``, ``second``, ``blends`` add up to S."""

    first: np.ndarray
    second: np.ndarray
    blends: np.ndarray

    def blend_rate(self) -> float:
        """Share of blends among all samples of all scenes."""
        return float(self.blends.sum() / (self.first + self.second + self.blends).sum())


def count_choices(u: Tensor) -> Counts:
    """Choices of each scene from u (B, S)."""
    choice = classify(u).cpu().numpy()
    return Counts(*((choice == k).sum(1) for k in (0, 1, BLEND)))


def blend_share(u: Tensor) -> Estimate:
    """Share of blends among all samples, from u (B, S), with Wilson's interval for these scenes; n is B · S."""
    blends = classify(u) == BLEND
    return wilson(int(blends.sum()), blends.numel())


@dataclass(frozen=True)
class Places:
    """Where the answers of one method lie, for scenes of two futures.

    u: (B, S), as of :func:`projection`. between: share of blends, ¼ ≤ u ≤ ¾, where an average of the futures lies.
    likelier: share of the likelier future among the answers that chose one; scenes of even odds are left out. beside: (B, S),
    distance of an answer from the line through the futures, over the pixels in which these differ, in units of D: 0 for
    both futures and every average of them, ½ for a patchwork of one half of each.
    """

    u: Tensor
    between: Estimate
    likelier: Estimate
    beside: Tensor


def places(x_hat: Tensor, futures: Futures) -> Places:
    """Where answers x_hat (B, S, H, W) lie. Raises ValueError as :func:`projection` does."""
    second, difference = _pair(x_hat, futures)
    u = projection(x_hat, futures)
    across = (x_hat - second - u[:, :, None, None] * difference).masked_fill(~futures.where(), 0)
    beside = across.flatten(2).norm(dim=2) / difference.flatten(2).norm(dim=2)
    p, choice = first_probability(futures)[:, None], classify(u)
    chose = (choice != BLEND) & (p != 0.5)
    right = chose & ((choice == 0) == (p > 0.5))
    return Places(u, blend_share(u), wilson(int(right.sum()), int(chose.sum())), beside)


def _pair(x_hat: Tensor, futures: Futures) -> tuple[Tensor, Tensor]:
    """x_B and x_A − x_B, (B, 1, H, W), of the two possible futures."""
    checks.samples(x_hat, futures)
    possible = _possible(futures)
    rows = torch.arange(len(futures), device=possible.device)[:, None]
    pair = futures.frames[rows, possible].to(x_hat)
    return pair[:, 1:], pair[:, :1] - pair[:, 1:]


def _possible(futures: Futures) -> Tensor:
    """Indices of the two futures of positive probability, (B, 2)."""
    checks.every("scenes must have exactly two futures", futures.count() == 2)
    return (futures.probabilities > 0).to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :2]
