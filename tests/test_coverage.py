"""Intervals cover the truth as often as they say: each kind is drawn for many synthetic data sets whose truth is known.

A 95 % interval covers the truth in about 95 of 100 data sets. The count is held within limits that a binomial count leaves
once in a thousand times. Exact intervals have the coverage 0.95. Percentile bootstraps cover a little less often. They take
no account of degrees of freedom, and R replicates leave (1 + 0.025 (R - 1)) / (R + 1) beyond either end. The least coverage
that follows is stated with each test. The width of these intervals is tested too, since it shows a wrong confidence more
clearly than a count of few data sets: it is compared with the spread of the estimates themselves.
"""

from functools import partial

import numpy as np
import pytest
import torch
from made_choices import laws
from scipy import special, stats

from scorevid.estimates import (
    bootstrap,
    correlation_interval,
    mean_interval,
    pooled,
    ratio_interval,
    share_gap,
    wilson,
    worst_ratio_interval,
)
from scorevid.measures import calibration
from scorevid.measures.calibration import (
    calibration_error,
    chi_square,
    excess_frequency_error,
    fit_logit,
    slope_gap,
    tempering_slope,
)
from scorevid.measures.choices import Counts
from scorevid.measures.optimal_weights import Agreement

CENTRAL = stats.norm.ppf(0.975) * 2  # standard deviations between the ends of an interval of 95 %


def check_coverage(intervals, truth, least=0.95, most=0.95):
    """intervals: (value, low, high) of N data sets. least, most: between these is their coverage in the long run."""
    _, low, high = np.array([tuple(interval) for interval in intervals]).T
    covered, n = np.count_nonzero((low <= truth) & (truth <= high)), len(low)
    assert stats.binom.ppf(0.0005, n, least) <= covered <= stats.binom.ppf(0.9995, n, most), f"{covered} of {n}"


def check_width(intervals, values, least=0.93, most=1.05):
    """Mean width over 3.92 standard deviations of values, (K,) estimates from as many data sets."""
    _, low, high = np.array([tuple(interval) for interval in intervals]).T
    ratio = (high - low).mean() / (CENTRAL * np.std(values))
    assert least <= ratio <= most, f"{ratio:.3f}"


# ---- means, shares and what is pooled: exact ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 6, 30])
def test_means_of_few_values_are_covered(n):
    """By Student's t, at n = 6 as for the shots of chapter 5; the normal distribution would cover 0.88 at n = 5."""
    values = np.random.default_rng(n).normal(3.0, 2.0, size=(1000, n))
    check_coverage(map(mean_interval, values), 3.0)


def test_means_of_clusters_are_covered_and_those_of_their_members_are_not():
    """Values of eight patches of each of twelve shots: the mean of a shot is one value, its patches are not eight."""
    rng = np.random.default_rng(0)
    patches = rng.normal(size=(1000, 12, 1)) + rng.normal(size=(1000, 12, 8))
    check_coverage(map(mean_interval, patches.mean(2)), 0.0)
    with pytest.raises(AssertionError):
        check_coverage(map(mean_interval, patches.reshape(1000, -1)), 0.0)


def test_pooled_measures_are_covered():
    """Of four measures of one quantity, each with a standard error of its own."""
    errors = np.array([0.5, 1.0, 2.0, 4.0])
    values = np.random.default_rng(1).normal(1.0, errors, size=(1000, 4))
    half = CENTRAL / 2 * errors
    found = [pooled(np.stack([v, v - half, v + half], 1)) for v in values]
    check_coverage(found, 1.0)


def exact_coverage(intervals, counts, n, p):
    """How often intervals (n + 1, 2) of all counts of n trials cover each probability in p."""
    low, high = intervals.T
    return (stats.binom.pmf(counts, n, p[:, None]) * ((low <= p[:, None]) & (p[:, None] <= high))).sum(1)


@pytest.mark.parametrize("n", [20, 100])
def test_shares_are_covered_by_wilson(n):
    """Summed over all counts, so no data are drawn. Counts are whole, so coverage varies about 0.95 with the share."""
    p, counts = np.linspace(0.05, 0.95, 181), np.arange(n + 1)
    found = exact_coverage(np.array([wilson(int(k), n).interval for k in counts]), counts, n, p)
    assert found.mean() == pytest.approx(0.95, abs=0.006) and found.min() > 0.91


def test_gaps_of_shares_are_covered_by_newcombe():
    """The same for the gap of two independent shares of twenty trials each."""
    n, counts = 20, np.arange(21)
    shares = [wilson(int(k), n) for k in counts]
    low, high = np.array([[share_gap(a, b).interval for b in shares] for a in shares]).transpose(2, 0, 1)
    grid = np.linspace(0.1, 0.9, 9)
    found = []
    for p in grid:
        for q in grid:
            chance = stats.binom.pmf(counts, n, p)[:, None] * stats.binom.pmf(counts, n, q)
            found.append((chance * ((low <= p - q) & (p - q <= high))).sum())
    assert np.mean(found) == pytest.approx(0.95, abs=0.006) and min(found) > 0.91


# ---- percentile bootstraps ------------------------------------------------------------------------------------------


def test_means_are_covered_by_the_bootstrap():
    """Of fifty values: the spread is smaller by (1 - 1 / n)^(1/2) than Student's, which costs about 0.01 of coverage."""
    values = np.random.default_rng(2).normal(size=(300, 50))
    found = [bootstrap(lambda rows, v=v: v[rows].mean(), 50, replicates=400) for v in values]
    check_coverage(found, 0.0, least=0.93)
    check_width(found, values.mean(1), 0.88, 1.0)


def paired(rng, sets, n, ratio):
    """Numerators and denominators (sets, n) of a ratio, both skewed, as errors of scenes are."""
    below = rng.uniform(0.5, 2, size=(sets, n))
    return ratio * below * rng.gamma(2, 0.5, size=(sets, n)), below


def test_ratios_are_covered():
    rng = np.random.default_rng(3)
    above, below = paired(rng, 4000, 60, 0.3)
    found = [ratio_interval(a, b, replicates=400) for a, b in zip(above[:400], below[:400], strict=True)]
    check_coverage(found, 0.3, least=0.925)
    check_width(found, above.sum(1) / below.sum(1))


def test_the_largest_ratio_is_covered_where_one_is_the_largest():
    rng = np.random.default_rng(4)
    above, below = (np.stack(v) for v in zip(*(paired(rng, 300, 60, r) for r in (0.1, 0.3, 0.2)), strict=True))
    found = [worst_ratio_interval(above[:, k], below[:, k], replicates=400) for k in range(300)]
    check_coverage(found, 0.3, least=0.925)


def test_the_largest_of_equal_ratios_is_overstated_and_never_understated():
    """The largest of four equal ratios is above the truth, and drawing scenes anew adds as much again.

    So the interval serves a bound from above only, which it meets too seldom and not too often.
    """
    rng = np.random.default_rng(5)
    above, below = (np.stack(v) for v in zip(*(paired(rng, 200, 60, 0.3) for _ in range(4)), strict=True))
    found = [worst_ratio_interval(above[:, k], below[:, k], replicates=400) for k in range(200)]
    _, low, high = np.array([tuple(interval) for interval in found]).T
    assert np.count_nonzero(high < 0.3) == 0 and np.mean(low > 0.3) > 0.2


def clustered(rng, sets, rows, k):
    """a and b (sets, rows, k), correlated between rows by 0.8 and within rows by 0: in all by 0.4."""
    common = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=(sets, rows))
    return (common[..., i, None] + rng.normal(size=(sets, rows, k)) for i in (0, 1))


def test_correlations_are_covered():
    """Of forty rows of four values, which are not independent within a row."""
    a, b = clustered(np.random.default_rng(6), 1000, 40, 4)
    values = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    found = [correlation_interval(x, y, replicates=200) for x, y in zip(a[:100], b[:100], strict=True)]
    check_coverage(found, 0.4, least=0.91)
    check_width(found, values, 0.88, 1.0)


# ---- calibration ----------------------------------------------------------------------------------------------------

LOGIT = np.tile(np.linspace(-1.5, 1.5, 7), 6)  # of the odds of forty-two scenes
SAMPLES = 8
NODES, MASS = np.polynomial.hermite_e.hermegauss(21)


def choices(rng, sets, intercept, slope, spread):
    """Counts of A, (sets, scenes). spread: of the log odds of scenes, which err one by one."""
    logit = intercept + slope * LOGIT + spread * rng.normal(size=(sets, len(LOGIT)))
    return rng.binomial(SAMPLES, special.expit(logit))


def fitted(intercept, slope, spread):
    """What a fit to infinitely many such scenes gives: their spread draws the mean frequency towards a half."""
    frequency = special.expit(intercept + slope * LOGIT[:, None] + spread * NODES) @ MASS / MASS.sum()
    return calibration._newton(LOGIT, frequency[None], 1 - frequency[None])[0]


def test_intercept_and_slope_are_covered():
    """Of scenes that err one by one; intervals that draw samples anew in place of scenes would cover too seldom."""
    law, p = (0.3, 0.8, 0.8), special.expit(LOGIT)
    a = choices(np.random.default_rng(7), 4000, *law)
    values = calibration._newton(LOGIT, a, SAMPLES - a)
    found = [fit_logit(p, k, SAMPLES - k, replicates=400) for k in a[:200]]
    for k, name in enumerate(("intercept", "slope")):
        intervals = [getattr(fit, name) for fit in found]
        check_coverage(intervals, fitted(*law)[k], least=0.92)
        check_width(intervals, values[:, k])


def test_gaps_of_slopes_are_covered():
    rng = np.random.default_rng(8)
    ours, others = choices(rng, 3000, 0, 0.6, 0.5), choices(rng, 3000, 0, 1.3, 0)
    values = [np.abs(calibration._newton(LOGIT, a, SAMPLES - a)[:, 1] - 1) for a in (ours, others)]
    gap = partial(slope_gap, special.expit(LOGIT), replicates=200)
    counts = ((Counts(k, SAMPLES - k, 0 * k) for k in pair) for pair in zip(ours[:150], others[:150], strict=True))
    found = [gap(*pair) for pair in counts]
    check_coverage(found, np.abs(fitted(0, 0.6, 0.5)[1] - 1) - 0.3, least=0.91)
    check_width(found, values[0] - values[1], 0.9)


def test_calibration_errors_are_covered():
    """Of scenes whose frequencies are nearer to a half by 0.12, in bins that all err so."""
    rng, p = np.random.default_rng(9), np.linspace(0.2, 0.8, 100)
    a = rng.binomial(SAMPLES, p + np.where(p < 0.5, 0.12, -0.12), size=(400, 100))
    found = [calibration_error(p, k, SAMPLES - k, bins=4, replicates=200).corrected for k in a]
    check_coverage(found, 0.12, least=0.91)
    check_width(found, [estimate.value for estimate in found], 0.9, 1.04)


def test_a_calibration_error_of_zero_is_covered():
    """It is at the end of its range: intervals from zero on cover it, which they do more often than in 95 of 100 cases."""
    rng, p = np.random.default_rng(10), np.linspace(0.2, 0.8, 100)
    a = rng.binomial(SAMPLES, p, size=(200, 100))
    found = [calibration_error(p, k, SAMPLES - k, bins=4, replicates=200).corrected for k in a]
    check_coverage(found, 0.0, least=0.95, most=1.0)


def among_many(measure, law, sets=200):
    """Intervals of a measure for ten choices in each of sixty scenes. law: of choices, from true laws and laws in error."""
    rng, found = np.random.default_rng(11), []
    for k in range(sets):
        w, q = laws(60, 0.1, seed=k)
        found.append(measure(rng.multinomial(10, law(w, q)), w))
    return found


def test_frequency_errors_among_many_futures_are_covered():
    found = among_many(excess_frequency_error, lambda w, q: np.clip(q, 0, None) / np.clip(q, 0, None).sum(1)[:, None])
    truth = np.mean([_mean_square_error(k) for k in range(200)]) ** 0.5
    check_coverage(found, truth, least=0.93)
    check_width(found, [estimate.value for estimate in found], 0.9, 1.1)


def _mean_square_error(seed):
    """Of the laws of one data set, of which a few are cut at zero."""
    w, q = laws(60, 0.1, seed=seed)
    q = np.clip(q, 0, None)
    return (((q / q.sum(1, keepdims=True)) - w) ** 2).sum(1).mean() / 2


def test_a_frequency_error_of_zero_is_covered():
    """It is at the end of its range, and the interval reaches it unless its lower end is above: in 2.5 of 100 cases."""
    check_coverage(among_many(excess_frequency_error, lambda w, q: w, sets=400), 0.0, least=0.965, most=0.99)


def test_chi_squares_among_many_futures_are_covered():
    found = among_many(lambda *data: chi_square(*data, replicates=400), lambda w, q: w)
    check_coverage(found, 1.0, least=0.92)
    check_width(found, [estimate.value for estimate in found], 0.88)


def test_tempering_slopes_are_covered():
    def sure(w, q):
        power = np.where(w > 0, w, 0) ** 1.3
        return power / power.sum(1, keepdims=True)

    found = among_many(lambda *data: tempering_slope(*data, replicates=200), sure, sets=150)
    check_coverage(found, 1.3, least=0.91)
    check_width(found, [estimate.value for estimate in found], 0.88, 1.08)


# ---- weights --------------------------------------------------------------------------------------------------------


def test_the_correlation_of_mean_weights_is_covered_by_the_jackknife():
    """Of thirty scenes, each with a filter of its own about a mean that is not the optimal one."""
    generator = torch.Generator().manual_seed(0)
    optimal, off = torch.randn(2, 2, 7, 7, generator=generator, dtype=torch.float64)
    mean, found = optimal + 0.5 * off, []
    for _ in range(400):
        own = off * torch.randn(30, 2, 1, 1, 1, generator=generator) + 0.5 * torch.randn(
            30, 2, 2, 7, 7, generator=generator
        )
        found.append(Agreement(mean + 0.5 * own, optimal, torch.ones(30), torch.ones(30)).correlation_of_mean())
    check_coverage(found, torch.corrcoef(torch.stack([optimal.flatten(), mean.flatten()]))[0, 1].item(), least=0.92)
    check_width(found, [estimate.value for estimate in found], 0.9, 1.1)
