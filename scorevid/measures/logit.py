r"""A line through the log odds of choices: do they follow the odds that they should?

.. math:: \mathrm{logit}\, P(\text{A chosen}) = a + b\, \mathrm{logit}\, w_A

is fitted by maximum likelihood to the samples that chose; ideal are a = 0 and b = 1. b > 1: too sure, b < 1: not sure
enough, a ≠ 0: a bias towards A. Intervals draw scenes anew: a network errs scene by scene, and samples of one scene are
no independent witnesses of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from scorevid.measures.calibration import Counts, check_counts


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
    p, a, b = check_counts(probability, first, second)
    if not ((p > 0) & (p < 1)).all():
        raise ValueError("probabilities must lie in (0, 1)")
    x = special.logit(p)
    fit = _newton(x, a[None], b[None])[0]
    if np.isnan(fit).any():
        raise ValueError("no finite fit: the odds of all scenes are equal, or separate the choices completely")
    weight = _bootstrap(len(p), replicates, seed)
    fits = _newton(x, weight * a, weight * b)
    good = ~np.isnan(fits).any(1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(fits[good], [tail, 100 - tail], axis=0) if good.any() else np.full((2, 2), np.nan)
    return LogitFit(*map(float, fit), *((float(low[i]), float(high[i])) for i in (0, 1)), failed=float(1 - good.mean()))


def slope_gap(
    probability, ours: Counts, others: Counts, *, replicates: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """By how much our logit slope is farther from 1 than another's on the same scenes: (gap, low, high).

    probability: (B,). ours, others: counts of the same B scenes, blends left out. The gap is :math:`|b - 1|` of ours less
    that of the others; its percentile interval draws scenes anew for both together. Raises ValueError as
    :func:`fit_logit` does.
    """
    weight = _bootstrap(len(ours.first), replicates, seed)
    weight = np.concatenate([np.ones_like(weight[:1]), weight])  # the scenes themselves, then drawn anew
    off = []
    for counts in (ours, others):
        p, a, b = check_counts(probability, counts.first, counts.second)
        off.append(np.abs(_newton(special.logit(p), weight * a, weight * b)[:, 1] - 1))
    gap, *again = off[0] - off[1]
    if not np.isfinite(gap):
        raise ValueError("no finite fit: the odds of all scenes are equal, or separate the choices completely")
    again, tail = np.array(again), 50 * (1 - confidence)
    low, high = np.percentile(again[np.isfinite(again)], [tail, 100 - tail])
    return float(gap), float(min(low, gap)), float(max(high, gap))


def slope_by_chance(probability, samples: int = 1) -> float:
    """How far from 1 the fitted slope of a perfect sampler is on average, :math:`E|b - 1|`, for so many samples a scene.

    From the information of the fit, :math:`\\sum_i S\\, w_i (1 - w_i) (1, \\ell_i)(1, \\ell_i)^\\top` at logits ℓ of the
    probabilities w (B,): what no measure of :math:`|b - 1|` on these scenes can fall below.
    """
    p, _, _ = check_counts(probability, np.zeros(len(probability)), np.zeros(len(probability)))
    design = np.stack([np.ones_like(p), special.logit(p)], 1)
    information = (samples * p * (1 - p) * design.T) @ design
    return float(np.sqrt(2 / np.pi * np.linalg.inv(information)[1, 1]))


def _bootstrap(n: int, replicates: int, seed: int) -> np.ndarray:
    """How often each of n scenes is in a sample of n drawn with replacement, (replicates, n)."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates)


def _newton(x: np.ndarray, a: np.ndarray, b: np.ndarray, steps: int = 50) -> np.ndarray:
    """Maximum-likelihood (intercept, slope) for R sets of counts a, b (R, B) at logits x (B,); NaN without a maximum."""
    design = np.stack([np.ones_like(x), x], 1)
    theta, last = np.zeros((len(a), 2)), np.full((len(a), 2), np.inf)
    theta[:, 1] = 1.0
    going = np.arange(len(a))  # sets that are neither at their maximum yet nor without one
    for _ in range(steps):
        q, chose = special.expit(theta[going] @ design.T), a[going] + b[going]
        gradient = (a[going] - chose * q) @ design
        hessian = np.einsum("rb,bi,bj->rij", chose * q * (1 - q), design, design)
        determinant = hessian[:, 0, 0] * hessian[:, 1, 1] - hessian[:, 0, 1] ** 2
        lost = ~(determinant > 1e-10 * (hessian[:, 0, 0] + hessian[:, 1, 1]) ** 2)
        hessian[lost] = np.eye(2)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        step[lost] = np.nan
        theta[going] += np.clip(step, -2, 2)  # a full step may overshoot far from the maximum
        last[going] = step
        going = going[(np.abs(step) > 1e-10).any(1)]
        if not len(going):
            break
    theta[~(np.abs(last) <= 1e-6).all(1)] = np.nan
    return theta
