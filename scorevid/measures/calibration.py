r"""Are futures chosen as often as they should be?

Over scenes in which A is due with probability :math:`w_A`, a line is fitted to the log odds of the choices,

.. math:: \mathrm{logit}\, P(\text{A chosen}) = a + b\, \mathrm{logit}\, w_A ,

by maximum likelihood from the samples that chose; ideal are a = 0 and b = 1. b > 1: too sure, b < 1: not sure enough,
a ≠ 0: a bias towards A. Intervals draw scenes anew: a network errs scene by scene, and samples of one scene are not
independent cases. The expected calibration error (:func:`calibration_error`) assumes no such line.

A right line is an average over scenes, and leaves open whether single scenes are right. For that, and for any number
K of futures, there are three more measures. With the law q of a scene's choices, its *frequency error* is

.. math:: e = \sqrt{\tfrac12 \textstyle\sum_k (q_k - w_k)^2} ,

which is :math:`|q_A - w_A|` for two futures, and at most 1 for any number. Samples show frequencies :math:`f = n_k / n` and
not q, which makes the same sum too large by the chance of few samples; :func:`excess_frequency_error` takes that out.
:func:`chi_square` compares the distance with what chance alone makes of it, and :func:`tempering_slope` is the logit slope
for any K.

Whether the samples could have come from the true law at all is a question for :mod:`scorevid.measures.proper_scores`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from scorevid import checks
from scorevid.estimates import Estimate, mean_interval, percentile_interval, ratio_interval
from scorevid.measures.choices import Counts


@dataclass
class LogitFit:
    """logit(frequency) = intercept + slope · logit(probability), each with its bootstrap interval over scenes.

    failed: share of bootstrap replicates without a fit (all choices separated by the odds), left out of the intervals;
    the intervals mean little if it is not small, and are NaN if it is 1.
    """

    intercept: Estimate
    slope: Estimate
    failed: float


def fit_logit(probability, first, second, *, replicates: int = 1000, seed: int = 0) -> LogitFit:
    """Binomial logistic regression of choices on the logit of the true probability, blends left out.

    probability: w_A of each scene, (B,), in (0, 1). first, second: how often A and B were chosen, (B,). Newton's method;
    percentile intervals from ``replicates`` bootstrap samples of whole scenes. Raises ValueError for input out of range, and
    where no finite fit exists: all scenes of equal odds, or choices that the odds separate completely.
    """
    p, a, b = _check_counts(probability, first, second)
    x, weight = _logit(p), _bootstrap(len(p), replicates, seed)
    fits = _newton(x, weight * a, weight * b)  # (1 + replicates, 2)
    if np.isnan(fits[0]).any():
        raise ValueError(NO_FIT)
    again = fits[1:][~np.isnan(fits[1:]).any(1)]
    intercept, slope = (percentile_interval(fits[0, k], again[:, k], len(p)) for k in (0, 1))
    return LogitFit(intercept=intercept, slope=slope, failed=float(1 - len(again) / replicates))


def slope_gap(probability, ours: Counts, others: Counts, *, replicates: int = 2000, seed: int = 0) -> Estimate:
    """By how much our logit slope is farther from 1 than another's on the same scenes.

    probability: (B,). ours, others: counts of the same B scenes, blends left out. The gap is :math:`|b - 1|` of ours less
    that of the others; its percentile interval draws scenes anew for both together. Raises ValueError as
    :func:`fit_logit` does.
    """
    weight, off = _bootstrap(len(ours.first), replicates, seed), []
    for counts in (ours, others):
        p, a, b = _check_counts(probability, counts.first, counts.second)
        off.append(np.abs(_newton(_logit(p), weight * a, weight * b)[:, 1] - 1))
    gaps = off[0] - off[1]  # (1 + replicates,)
    if np.isnan(gaps[0]):
        raise ValueError(NO_FIT)
    return percentile_interval(gaps[0], gaps[1:][np.isfinite(gaps[1:])], len(p))


@dataclass
class CalibrationError:
    """Mean distance of frequencies from probabilities, in bins of scenes of like probability.

    value: the expected calibration error as it is usually given. chance: its mean for choices that follow the true
    probabilities, with the same scenes and counts. corrected: the error less what chance adds to it. For drawing:
    probability and frequency, the means of each bin, (bins,).
    """

    value: float
    chance: float
    corrected: Estimate
    probability: np.ndarray
    frequency: np.ndarray


def calibration_error(
    probability, first, second, *, bins: int = 10, replicates: int = 1000, seed: int = 0
) -> CalibrationError:
    r"""Expected calibration error of choices between two futures, blends left out.

    Scenes are sorted by w_A and cut into ``bins`` bins of equal numbers. With :math:`g_m` the mean of :math:`f - w_A` over the
    scenes of bin m, f the frequency of A, the value is the mean of :math:`|g_m|`. (Scene by scene most of :math:`|f - w_A|`
    would be the chance of few samples; in bins errors of like scenes may cancel.) What chance still adds is taken out in
    quadrature, :math:`\sqrt{\max(\mathrm{value}^2 - \mathrm{chance}^2, 0)}`, which leaves a fraction of it where there
    is no error, and next to nothing where it is large. The interval is the bootstrap's (scenes drawn within bins, the
    spread put around the value) with chance taken out of its ends: it reaches zero where chance explains the value.

    probability in [0, 1], first, second: as in :func:`fit_logit`; scenes without a choice are left out. Raises ValueError
    for input out of range and fewer than two scenes a bin.
    """
    p, a, b = _check_counts(probability, first, second)
    order = p.argsort(kind="stable")
    order = order[(a + b)[order] > 0]
    p, a, n = p[order], a[order], (a + b)[order]
    if bins < 1 or len(p) < 2 * bins:
        raise ValueError(f"bins must be one or more, of two scenes a bin, got {bins} for {len(p)} scenes with choices")
    random = np.random.default_rng(seed)
    blocks = np.array_split(np.arange(len(p)), bins)
    exact = random.binomial(n.astype(int), p, size=(replicates, len(p))) / n - p
    drawn = [random.choice(block, size=(replicates, len(block))) for block in blocks]
    gap, share = a / n - p, np.array([len(block) for block in blocks]) / len(p)

    def error(groups):
        return np.stack([np.abs(g.mean(-1)) for g in groups], -1) @ share

    value, again = error([gap[block] for block in blocks]), error([gap[d] for d in drawn])
    chance = error([exact[:, block] for block in blocks]).mean()
    off = again.mean() - np.percentile(again, [97.5, 2.5])
    low, high, corrected = np.sqrt((np.clip([*(value + off), value], 0, None) ** 2 - chance**2).clip(0))
    return CalibrationError(
        value=float(value),
        chance=float(chance),
        corrected=Estimate(float(corrected), float(low), float(high), len(p), "bootstrap"),
        probability=np.array([p[block].mean() for block in blocks]),
        frequency=np.array([(a / n)[block].mean() for block in blocks]),
    )


def excess_frequency_error(counts, probabilities) -> Estimate:
    r"""Root mean square over scenes of the frequency error e, without the chance of few samples.

    .. math:: \hat e^2 = \tfrac12 \sum_k \Big[ (f_k - w_k)^2 - \frac{f_k (1 - f_k)}{n - 1} \Big]

    is without bias for :math:`e^2` of a scene, whatever q. (With :math:`w_k (1 - w_k) / n` in place of the last term it is so
    where q = w only, and too small for choices that are too sure.) It may be negative; its mean over scenes has Student's
    interval, and the square root is taken of value and ends, of what is below zero as 0. So the interval is of 95 %
    for a positive error, and covers 0 in 97.5 of 100 cases where there is none.

    counts: (B, K), how often each future was chosen; blends are left out, and are to be reported beside it. probabilities:
    (B, K), the true w; futures of probability 0 are padding. Scenes with fewer than two choices are left out, and n counts
    the others. Raises ValueError for input out of range, an impossible future that was chosen, and fewer than two scenes.
    """
    counts, w = _possible_choices(counts, probabilities, least=2)
    n = counts.sum(1, keepdims=True)
    f = counts / n
    squares = ((f - w) ** 2 - f * (1 - f) / (n - 1)).sum(1) / 2
    return Estimate(*np.sqrt(np.clip(list(mean_interval(squares)), 0, None)).tolist(), len(squares), "t")


def chi_square(counts, probabilities, *, replicates: int = 2000, seed: int = 0) -> Estimate:
    r"""χ² of choices per degree of freedom, :math:`\sum_k (n_k - n w_k)^2 / n w_k` over K − 1, both summed over scenes.

    Its mean is 1 for the true law, however few the samples. For another law q it is

    .. math:: \frac{\sum_k q_k / w_k - 1 + (n - 1) \big(\sum_k q_k^2 / w_k - 1\big)}{K - 1} ,

    which grows with the number of samples, so compare it at equal numbers. Unlikely futures weigh most. The interval draws
    scenes anew. counts, probabilities, what is left out and raised: as
    :func:`excess_frequency_error`, but one choice is enough.
    """
    counts, w = _possible_choices(counts, probabilities)
    expected = counts.sum(1, keepdims=True) * w
    statistic = ((counts - expected) ** 2 / np.where(w > 0, expected, 1)).sum(1)
    return ratio_interval(statistic, (w > 0).sum(1) - 1, replicates, seed)


def tempering_slope(counts, probabilities, *, replicates: int = 1000, seed: int = 0) -> Estimate:
    r"""b of the law :math:`q_k \propto w_k^b` that makes the choices likeliest: the logit slope for any number of futures.

    Log odds of any two futures of a scene are b times the true ones. It is 1 for the true law, larger for choices that are too
    sure; for two futures it is the slope of :func:`fit_logit` with the intercept held at 0. Newton's method; the
    percentile interval draws scenes anew, and leaves out replicates without a fit. counts, probabilities, what is left
    out and raised: as :func:`chi_square`, and ValueError where no b is likeliest.
    """
    counts, w = _possible_choices(counts, probabilities)
    log_w = np.log(np.where(w > 0, w, 1))
    weight = _bootstrap(len(counts), replicates, seed)
    found = [_temper(part, counts, log_w, w > 0) for part in np.array_split(weight, 1 + len(weight) // 64)]
    value, *again = np.concatenate(found)
    if np.isnan(value):
        raise ValueError(NO_FIT)
    again = np.array(again)
    return percentile_interval(value, again[~np.isnan(again)], len(counts))


NO_FIT = "no finite fit: the odds of all scenes are equal, or separate the choices completely"


def _logit(p: np.ndarray) -> np.ndarray:
    if not ((p > 0) & (p < 1)).all():
        raise ValueError("probabilities must lie in (0, 1)")
    return special.logit(p)


def _check_counts(probability, first, second) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as floats, (B,) each. Raises ValueError for shapes, probabilities or counts that are none."""
    p, a, b = (np.asarray(v, dtype=float) for v in (probability, first, second))
    if not (p.ndim == 1 and p.shape == a.shape == b.shape and len(p) > 1):
        raise ValueError(f"probability, first and second must be (B,) with B > 1, got {p.shape}, {a.shape}, {b.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    return p, checks.counts("first", a).astype(float), checks.counts("second", b).astype(float)


def _possible_choices(counts, probabilities, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Counts and law, (B, K) floats, of the scenes with two or more possible futures and ``least`` choices."""
    counts, w = checks.counts_and_law(counts, probabilities)
    if counts[w == 0].any():
        raise ValueError("counts must be 0 for futures of probability 0, which nothing can choose")
    kept = (counts.sum(1) >= least) & ((w > 0).sum(1) > 1)
    if kept.sum() < 2:
        raise ValueError(f"two scenes or more must have two futures and {least} choices, got {kept.sum()}")
    return counts[kept].astype(float), w[kept]


def _temper(weight: np.ndarray, counts: np.ndarray, log_w: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Likeliest b for R sets of weights (R, B) of scenes, (R,); NaN where none is. See :func:`tempering_slope`."""
    n, b, step = counts.sum(1), np.ones(len(weight)), np.zeros(len(weight))
    seen = weight @ (counts * log_w).sum(1)
    for _ in range(50):
        q = special.softmax(np.where(possible, b[:, None, None] * log_w, -np.inf), 2)  # (R, B, K)
        mean = (q * log_w).sum(2)
        curvature = (weight * n * ((q * log_w**2).sum(2) - mean**2)).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = (seen - (weight * n * mean).sum(1)) / curvature
        b = b + np.clip(step, -2, 2)
        if not (np.abs(step) > 1e-10).any():
            break
    return np.where((np.abs(step) <= 1e-6) & (np.abs(b) < 50), b, np.nan)


def _bootstrap(n: int, replicates: int, seed: int) -> np.ndarray:
    """How often each of n scenes counts, (1 + replicates, n): once each, then drawn with replacement."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates)
    return np.concatenate([np.ones((1, n)), drawn])


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
