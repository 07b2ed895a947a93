r"""Which future did a sample choose, how often, and is that as often as it should?

For a scene with two futures :math:`x_A, x_B` (the first and second of its
:class:`~scorevid.worlds.futures.Futures`) a distance :math:`D = \|x_A - x_B\|` apart, a sample lies between them at

.. math:: u = \langle \hat x - x_B,\, x_A - x_B \rangle / D^2 ,

1 for A, 0 for B; u > ¾ counts as A, u < ¼ as B, between is a blend. What is left orthogonal to :math:`x_A - x_B` is
the error of rendering, and reported apart: measured by its distance to the futures, a small blur of every edge would
drown the choice. Over scenes of various odds,

.. math:: \mathrm{logit}\, P(\text{A chosen}) = a + b\, \mathrm{logit}\, w_A

is fitted by maximum likelihood to the samples that chose; ideal are a = 0 and b = 1. b > 1: too sure, b < 1: not sure
enough, a ≠ 0: a bias towards A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor

from scorevid.worlds.futures import Futures

BLEND = -1


def place(x_hat: Tensor, futures: Futures) -> Tensor:
    """u: where each sample lies between the two futures of its scene, (B, S): 1 at the first, 0 at the second.

    x_hat: (B, S, H, W) samples, or any other frames to be judged, such as denoised ones. Raises ValueError for scenes
    that have not exactly two futures, or shapes that do not fit.
    """
    second, difference = _pair(x_hat, futures)
    return ((x_hat - second) * difference).sum((2, 3)) / difference.square().sum((2, 3))


def rendering_error(x_hat: Tensor, futures: Futures) -> Tensor:
    """Mean square, in grey² a pixel, of what x_hat − x_B has orthogonal to x_A − x_B, (B, S). As :func:`place`."""
    second, difference = _pair(x_hat, futures)
    along = place(x_hat, futures)[:, :, None, None] * difference
    return (x_hat - second - along).square().mean((2, 3))


def odds(futures: Futures) -> Tensor:
    """w_A of each scene, (B,): the probability of the future that :func:`place` puts at u = 1."""
    return futures.probabilities[torch.arange(len(futures)), _possible(futures)[:, 0]]


def classify(u: Tensor, upper: float = 0.75, lower: float = 0.25) -> Tensor:
    """The future chosen: 0 for A (u > upper), 1 for B (u < lower), −1 (``BLEND``) between. Same shape as u."""
    if not lower < upper:
        raise ValueError(f"lower < upper is due, got {lower}, {upper}")
    choice = torch.full(u.shape, BLEND, dtype=torch.long, device=u.device)
    return choice.masked_fill(u > upper, 0).masked_fill(u < lower, 1)


@dataclass
class Counts:
    """How often each future was chosen; each (B,), integers: ``first``, ``second``, ``blends`` add up to S."""

    first: np.ndarray
    second: np.ndarray
    blends: np.ndarray

    def frequency(self) -> np.ndarray:
        """Share of A among the samples that chose, (B,); NaN where none did."""
        with np.errstate(invalid="ignore"):
            return self.first / (self.first + self.second)

    def blend_rate(self) -> float:
        """Share of blends among all samples of all scenes."""
        return float(self.blends.sum() / (self.first + self.second + self.blends).sum())


def count(u: Tensor, upper: float = 0.75, lower: float = 0.25) -> Counts:
    """Choices of each scene from u (B, S)."""
    choice = classify(u, upper, lower).cpu().numpy()
    return Counts(*((choice == k).sum(1) for k in (0, 1, BLEND)))


def wilson(successes, trials, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval for a proportion: lower and upper end, of the broadcast shape of the arguments.

    Without trials it is [0, 1]. Raises ValueError for counts that are none.
    """
    successes, trials = np.broadcast_arrays(successes, trials)
    interval = np.vectorize(
        lambda k, n: tuple(stats.binomtest(k, n).proportion_ci(confidence, method="wilson")) if n else (0.0, 1.0),
        otypes=[float, float],
    )
    return interval(_integers(successes), _integers(trials))


@dataclass
class LogitFit:
    """logit(frequency) = intercept + slope · logit(probability), with bootstrap intervals over scenes.

    Both intervals are (lower, upper) at the wanted confidence. failed: share of bootstrap replicates without a fit
    (all choices separated by the odds), left out of the intervals; the intervals mean little if it is not small.
    """

    intercept: float
    slope: float
    intercept_interval: tuple[float, float]
    slope_interval: tuple[float, float]
    failed: float


def fit_logit(
    probability, first, second, *, replicates: int = 1000, confidence: float = 0.95, seed: int = 0
) -> LogitFit:
    """Binomial logistic regression of choices on the logit of the true probability, blends left out.

    probability: w_A of each scene, (B,), in (0, 1). first, second: how often A and B were chosen, (B,). Newton's method;
    percentile intervals from ``replicates`` bootstrap samples of whole scenes, so that samples of one scene may be
    as alike as they like.

    Raises ValueError for input out of range, and where no finite fit exists: all scenes of equal odds, or choices
    that the odds separate completely.
    """
    p, a, b = (np.asarray(v, dtype=float) for v in (probability, first, second))
    if not (p.ndim == 1 and p.shape == a.shape == b.shape and len(p) > 1):
        raise ValueError(f"probability, first and second must be (B,) with B > 1, got {p.shape}, {a.shape}, {b.shape}")
    if not ((p > 0) & (p < 1)).all():
        raise ValueError("probabilities must lie in (0, 1)")
    _integers(a), _integers(b)
    x = special.logit(p)
    fit = _newton(x, a[None], b[None])[0]
    if np.isnan(fit).any():
        raise ValueError("no finite fit: the odds of all scenes are equal, or separate the choices completely")
    weight = np.random.default_rng(seed).multinomial(len(p), np.full(len(p), 1 / len(p)), size=replicates)
    fits = _newton(x, weight * a, weight * b)
    good = ~np.isnan(fits).any(1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(fits[good], [tail, 100 - tail], axis=0) if good.any() else np.full((2, 2), np.nan)
    return LogitFit(*map(float, fit), *((float(low[i]), float(high[i])) for i in (0, 1)), failed=float(1 - good.mean()))


def _newton(x: np.ndarray, a: np.ndarray, b: np.ndarray, steps: int = 50) -> np.ndarray:
    """Maximum-likelihood (intercept, slope) for R sets of counts a, b (R, B) at logits x (B,); NaN without a maximum."""
    design = np.stack([np.ones_like(x), x], 1)
    theta = np.zeros((len(a), 2))
    theta[:, 1] = 1.0
    for _ in range(steps):
        q = special.expit(theta @ design.T)
        gradient = (a - (a + b) * q) @ design
        hessian = np.einsum("rb,bi,bj->rij", (a + b) * q * (1 - q), design, design)
        determinant = hessian[:, 0, 0] * hessian[:, 1, 1] - hessian[:, 0, 1] ** 2
        lost = ~(determinant > 1e-10 * (hessian[:, 0, 0] + hessian[:, 1, 1]) ** 2)
        hessian[lost] = np.eye(2)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        step[lost] = np.nan
        theta += np.clip(step, -2, 2)  # a full step may overshoot far from the maximum
        if not (np.abs(step) > 1e-10).any():
            break
    theta[~(np.abs(step) <= 1e-6).all(1)] = np.nan
    return theta


def _pair(x_hat: Tensor, futures: Futures) -> tuple[Tensor, Tensor]:
    """x_B and x_A − x_B, (B, 1, H, W), of the two possible futures."""
    if x_hat.ndim != 4 or len(x_hat) != len(futures) or x_hat.shape[2:] != futures.frames.shape[2:]:
        due = (len(futures), "S", *futures.frames.shape[2:])
        raise ValueError(f"x_hat must be ({', '.join(map(str, due))}), got {tuple(x_hat.shape)}")
    possible = _possible(futures)
    rows = torch.arange(len(futures), device=possible.device)[:, None]
    pair = futures.frames[rows, possible].to(x_hat)
    return pair[:, 1:], pair[:, :1] - pair[:, 1:]


def _possible(futures: Futures) -> Tensor:
    """Places of the two futures of positive probability, (B, 2)."""
    wrong = int((futures.count() != 2).sum())
    if wrong:
        raise ValueError(f"scenes with exactly two futures are due, {wrong} of {len(futures)} have another number")
    return (futures.probabilities > 0).to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :2]


def _integers(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts)
    if (counts < 0).any() or (counts != np.floor(counts)).any():
        raise ValueError("counts must be non-negative integers")
    return counts.astype(int)
