r"""Estimates: a figure with its interval, how many independent cases it rests on, and how the interval was made.

Intervals are of 95 % unless said otherwise, and over what is independent: scenes, shots, seeds. Three kinds serve:
Student's t for a mean of values, Wilson's for a share of counts, and the percentile bootstrap for anything else, in which
the independent cases are drawn anew with replacement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, order=True)
class Estimate:
    """A measured figure: value, interval [low, high], n independent cases, and the kind of interval.

    kind: "t" (Student), "bootstrap", "wilson", "newcombe", "jackknife", "pooled" or "range", which is least and greatest of
    repeated measurements and no confidence interval. Iterates as value, low, high, and NumPy takes it for these three numbers.
    """

    value: float
    low: float
    high: float
    n: int | None = None
    kind: str = "bootstrap"

    def __iter__(self) -> Iterator[float]:
        return iter((self.value, self.low, self.high))

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array([self.value, self.low, self.high], dtype=dtype)

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high


def format_number(value: float, digits: int = 2) -> str:
    """Significant digits, with powers of ten beyond 10⁻³ and 10⁵: "0.12", "−3.0", "1,300", "2.3 × 10⁻⁷"."""
    if value == 0:
        return "0"
    rounded, exponent = f"{value:.{digits - 1}e}".split("e")
    if -4 < int(exponent) < 6:
        decimals = digits - 1 - int(exponent)
        return f"{round(value, decimals):,.{max(decimals, 0)}f}".replace("-", "−")
    return f"{rounded} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "−")


def format_interval(value: float, low: float, high: float) -> str:
    """Value and interval, "0.12 [0.08, 0.16]", with one or two digits of the half-width and two of the value.

    The value stands alone where it has no interval.
    """
    if not high > low:
        return format_number(value)
    decimals = -math.floor(math.log10((high - low) / 6))
    if abs(value) > (high - low) / 10:  # two digits of the value at least, unless it drowns in its interval
        decimals = max(decimals, 1 - math.floor(math.log10(abs(value))))
    if decimals > 5:
        return f"{format_number(value)} [{format_number(low)}, {format_number(high)}]"
    value, low, high = (f"{round(v, decimals) + 0.0:,.{max(decimals, 0)}f}" for v in (value, low, high))
    return f"{value} [{low}, {high}]".replace("-", "−")


def exactly(value: float, n: int) -> Estimate:
    """A figure that chance has no part in, an identity or a ratio of counts, from n cases: the interval is the value."""
    return Estimate(*[float(value)] * 3, n, "range")


def mean_and_range(values) -> Estimate:
    """Mean of values with the least and the greatest of them."""
    values = np.asarray(values, dtype=float)
    return Estimate(float(values.mean()), float(values.min()), float(values.max()), values.size, "range")


def mean_interval(values, confidence: float = 0.95) -> Estimate:
    """Mean of independent values with its confidence interval by Student's t.

    One value alone has no spread to estimate, and raises ValueError, as does NaN.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    values = _finite(values)
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    margin = error * stdtrit(len(values) - 1, (1 + confidence) / 2)
    return Estimate(float(mean), float(mean - margin), float(mean + margin), len(values), "t")


SCALES = {"plain": (float, float), "fisher": (math.atanh, math.tanh)}  # of means over clusters, there and back


def over_clusters(statistic: Callable[[np.ndarray], float], clusters, scale: str = "plain") -> Estimate:
    """Mean over clusters of a statistic of each, such as a shot's, with Student's interval over them; n counts clusters.

    Cases of one cluster are not independent, so that their number says nothing about the interval. statistic: takes the
    indices of the cases of one cluster and returns a number. clusters: (N,) to which cluster each case belongs. scale:
    "plain", or "fisher" for correlations. With two clusters the margin is 12.7 standard errors. Raises ValueError for a
    single cluster, an unknown scale, and a value off the scale.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
    clusters = np.asarray(clusters)
    names = np.unique(clusters)
    if clusters.ndim != 1 or len(names) < 2:
        raise ValueError(f"clusters must name two or more for an interval over them, got {names.tolist()}")
    there, back = SCALES[scale]
    values = [there(float(statistic(np.flatnonzero(clusters == name)))) for name in names]
    return Estimate(*map(back, mean_interval(values)), len(names), "t")


def pooled(measures: Sequence[Sequence[float]]) -> Estimate:
    """One measure from independent ones, each (value, low, high) of 95 %: their mean, the more certain counting more.

    Weights are inverse variances, as the widths of the intervals give them. A single measure stays as it is. Raises
    ValueError for none, and for intervals without width.
    """
    values = np.array([list(m) for m in measures], dtype=float)
    if values.ndim != 2 or values.shape[1] != 3 or not (values[:, 2] > values[:, 1]).all():
        raise ValueError(f"measures must be (value, low, high) with low < high, got {measures!r}")
    n = sum(getattr(m, "n", None) or 0 for m in measures) or None
    if len(values) == 1:
        return Estimate(*map(float, values[0]), n, "pooled")
    precision = ((values[:, 2] - values[:, 1]) / (2 * ndtri(0.975))) ** -2
    mean, margin = precision @ values[:, 0] / precision.sum(), ndtri(0.975) * precision.sum() ** -0.5
    return Estimate(float(mean), float(mean - margin), float(mean + margin), n, "pooled")


def percentile_interval(value: float, replicates, n: int | None = None) -> Estimate:
    """An estimate from bootstrap replicates of it, (R,), by their percentiles, widened where need be to hold the value.

    The interval is NaN where there are no replicates.
    """
    if not len(replicates):
        return Estimate(float(value), math.nan, math.nan, n, "bootstrap")
    low, high = np.percentile(replicates, [2.5, 97.5])
    return Estimate(float(value), float(min(low, value)), float(max(high, value)), n, "bootstrap")


def bootstrap(statistic: Callable[[np.ndarray], float], n: int, replicates: int = 2000, seed: int = 0) -> Estimate:
    """Any statistic of n independent cases with its percentile interval.

    statistic: takes indices (n,) of cases, which may repeat, and returns a number; NaN where it has none, which is left out.
    """
    drawn = np.random.default_rng(seed).integers(n, size=(replicates, n))
    found = np.array([statistic(rows) for rows in drawn], dtype=float)
    return percentile_interval(statistic(np.arange(n)), found[np.isfinite(found)], n)


def ratio_interval(numerator, denominator, replicates: int = 2000, seed: int = 0) -> Estimate:
    """Ratio of the sums of paired values with a percentile bootstrap interval over the pairs."""
    return worst_ratio_interval([numerator], [denominator], replicates, seed)


def worst_ratio_interval(numerators, denominators, replicates: int = 2000, seed: int = 0) -> Estimate:
    """Largest of K ratios of sums over the same cases, (K, n) each, with an interval of that maximum.

    The cases are drawn anew together for all K and the maximum is taken anew in every replicate, so that the interval
    covers the choice of the worst as well. Where several ratios are about equal it lies too high: it may then support a bound
    from above, and none from below. Raises ValueError for values that are not finite, for negative denominators, and
    where too few of these are positive.
    """
    a, b = (np.stack([_finite(row) for row in rows]) for rows in (numerators, denominators))
    if a.shape != b.shape or (b < 0).any():
        raise ValueError(f"denominators must be as many as numerators and not negative, got {a.shape} and {b.shape}")
    drawn = np.random.default_rng(seed).integers(a.shape[1], size=(replicates, a.shape[1]))
    below = b[:, drawn].sum(2)
    if not ((below > 0).all() and (b.sum(1) > 0).all()):
        raise ValueError(f"denominators must mostly be positive, too few are: {np.count_nonzero(b)} of {b.size}")
    return percentile_interval((a.sum(1) / b.sum(1)).max(), (a[:, drawn].sum(2) / below).max(0), a.shape[1])


def correlation_interval(a, b, replicates: int = 2000, seed: int = 0) -> Estimate:
    """Correlation of a with b, (n, k) each, with a percentile bootstrap interval over the n rows.

    Rows are what is independent, a scene each, say; the k values of one go together. Rows that are NaN in both are left
    out. Raises ValueError for fewer than ten rows, shapes that differ, and values that do not vary.
    """
    a, b = (np.asarray(v, dtype=float).reshape(len(v), -1) for v in (a, b))
    if a.shape != b.shape:
        raise ValueError(f"a and b must be of one shape, got {a.shape} and {b.shape}")
    there = ~(np.isnan(a) & np.isnan(b)).all(1)
    a, b = a[there], b[there]
    if len(a) < 10 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"a and b must have ten rows of finite values or more, got {len(a)}")
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        raise ValueError("a correlation takes values that vary")

    def correlation(rows: np.ndarray) -> float:
        pair = a[rows].ravel(), b[rows].ravel()
        return np.corrcoef(*pair)[0, 1] if min(map(np.ptp, pair)) > 0 else np.nan  # one row again and again has none

    return bootstrap(correlation, len(a), replicates, seed)


def wilson(successes: int, trials: int) -> Estimate:
    """A proportion with Wilson's interval; 0 in [0, 1] without trials. Raises ValueError for counts that are none."""
    if not (0 <= successes <= trials and successes == int(successes) and trials == int(trials)):
        raise ValueError(f"successes and trials must be counts, no more of them than trials, got {successes}, {trials}")
    if not trials:
        return Estimate(0.0, 0.0, 1.0, 0, "wilson")
    from scipy import stats  # takes a second to load

    low, high = stats.binomtest(int(successes), int(trials)).proportion_ci(method="wilson")
    return Estimate(float(successes / trials), float(low), float(high), int(trials), "wilson")


def gap(one: Estimate, other: Estimate) -> Estimate:
    """By how much one measure is larger than another, from independent samples, with its interval.

    one, other: estimates or (value, low, high). The ends of the interval add the distances of the ends in quadrature, each
    on its own side (Zou and Donner 2008), so that intervals need not be symmetric. For measures of the same scenes it is wider
    than need be. Raises ValueError for values out of order.
    """
    (p, p_low, p_high), (q, q_low, q_high) = one, other
    if not (p_low <= p <= p_high and q_low <= q <= q_high):
        raise ValueError(f"measures must be (value, low, high) in order, got {tuple(one)} and {tuple(other)}")
    below, above = math.hypot(p - p_low, q_high - q), math.hypot(p_high - p, q - q_low)
    return Estimate(p - q, p - q - below, p - q + above, None, "newcombe")


def share_gap(one: Estimate, other: Estimate) -> Estimate:
    """:func:`gap` of two shares with Wilson's intervals, also where both are zero: Newcombe's (1998, his method 10).

    Raises ValueError for values out of order or outside [0, 1].
    """
    if not all(0 <= v <= 1 for v in (*one, *other)):
        raise ValueError(f"shares must be (value, low, high) in [0, 1], got {tuple(one)} and {tuple(other)}")
    return gap(one, other)


def _finite(values) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"values must be two or more finite numbers in one row, got shape {values.shape}")
    return values
