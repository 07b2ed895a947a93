"""Estimates: intervals that cover as often as they say, and refuse what they cannot be taken of."""

import math

import numpy as np
import pytest
from scipy import stats

from scorevid.estimates import (
    Estimate,
    bootstrap,
    correlation_interval,
    exactly,
    format_interval,
    format_number,
    gap,
    mean_and_range,
    mean_interval,
    over_clusters,
    percentile_interval,
    pooled,
    ratio_interval,
    share_gap,
    wilson,
    worst_ratio_interval,
)


def test_independent_measures_are_pooled_by_their_precision():
    assert tuple(pooled([[1.0, 0.5, 1.7]])) == (1.0, 0.5, 1.7)
    mean, low, high = pooled([[1.0, 0.8, 1.2], [1.0, 0.8, 1.2], [1.0, 0.8, 1.2], [1.0, 0.8, 1.2]])
    assert (mean, low, high) == pytest.approx((1.0, 0.9, 1.1))
    assert pooled([[0.0, -1, 1], [3.0, 2.5, 3.5]]).value == pytest.approx(3 * 4 / 5)
    for wrong in ([], [[1.0, 1.0, 1.0]], [[1.0, 2.0]]):
        with pytest.raises(ValueError):
            pooled(wrong)


def test_confidence_is_no_percentage_and_no_denominator_negative():
    with pytest.raises(ValueError, match="confidence"):
        mean_interval([1.0, 2.0], 95)
    with pytest.raises(ValueError, match="not negative"):
        ratio_interval([1.0, 1.0], [-0.5, 1.0])
    with pytest.raises(ValueError, match="too few"):  # some replicates would divide by zero
        ratio_interval([1.0, 1.0, 1.0], [0.0, 0.0, 1.0])
    assert ratio_interval(np.ones(50), [0.0] + [1.0] * 49).value == pytest.approx(50 / 49)  # a scene that stands still


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(1000, 60))
    covered = [low <= 1 <= high for _, low, high in map(mean_interval, values)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)
    weights = rng.uniform(0.5, 2, size=(300, 60))
    covered = []
    for v, w in zip(values, weights, strict=False):
        _, low, high = ratio_interval(0.3 * w * v, w, replicates=400)
        covered.append(low <= 0.3 <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.05)


@pytest.mark.parametrize("bad", [[1.0], [1.0, math.nan], np.ones((2, 2))])
def test_intervals_take_at_least_two_finite_values(bad):
    with pytest.raises(ValueError):
        mean_interval(bad)


def test_the_interval_of_the_worst_ratio_covers_the_choice_of_the_worst():
    rng = np.random.default_rng(0)
    one = rng.exponential(size=(1, 200)), np.ones((1, 200))
    assert worst_ratio_interval(*one) == ratio_interval(one[0][0], one[1][0])
    many = rng.exponential(size=(12, 200)), np.ones((12, 200))
    value, low, high = worst_ratio_interval(*many)
    assert value == many[0].mean(1).max() and low < value < high
    means = [
        worst_ratio_interval(rng.exponential(size=(12, 60)), np.ones((12, 60)), replicates=200).value for _ in range(50)
    ]
    assert np.mean(means) > 1.05  # the largest of many estimates is too large, which is on the safe side
    with pytest.raises(ValueError, match="denominators"):
        worst_ratio_interval(np.ones((2, 5)), np.zeros((2, 5)))
    with pytest.raises(ValueError, match="as many"):
        worst_ratio_interval(np.ones((2, 5)), np.ones((1, 5)))


def test_a_correlation_has_an_interval_over_rows():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(400, 2))
    b = 0.6 * a + 0.8 * generator.normal(size=a.shape)
    value, low, high = correlation_interval(a, b)
    assert low < 0.6 < high and low < value < high and high - low == pytest.approx(4 * 0.64 / 800**0.5, rel=0.2)
    together = correlation_interval(np.repeat(a[:, :1], 2, 1), np.repeat(b[:, :1], 2, 1))
    assert together.high - together.low == pytest.approx(4 * 0.64 / 400**0.5, rel=0.25)  # copies add no evidence
    a[:10], b[:10] = np.nan, np.nan
    assert correlation_interval(a, b).value == pytest.approx(np.corrcoef(a[10:].ravel(), b[10:].ravel())[0, 1])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((12, 2)), np.ones((12, 2))),
        (np.arange(9.0), np.arange(9.0)),
        (np.arange(12.0), np.arange(13.0)),
        (np.array([1, np.nan, *range(10)]), np.arange(12.0)),
        (np.full(12, np.nan), np.full(12, np.nan)),
    ],
)
def test_a_correlation_of_what_cannot_be_correlated_is_refused(a, b):
    with pytest.raises(ValueError):
        correlation_interval(a, b)


def test_few_rows_that_hardly_vary_have_a_correlation_all_the_same():
    a = np.array([0.0] * 9 + [1.0])
    value, low, high = correlation_interval(a, 2 * a)
    assert [value, low, high] == pytest.approx([1, 1, 1])


def test_wilson():
    z = stats.norm.ppf(0.975)
    for k, n in ((0, 10), (5, 10), (10, 10)):
        centre = (k + z * z / 2) / (n + z * z)
        half = z * np.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
        share = wilson(k, n)
        assert tuple(share) == pytest.approx((k / n, max(centre - half, 0), min(centre + half, 1)), abs=1e-9)
        assert (share.n, share.kind) == (n, "wilson")
    assert tuple(wilson(0, 0)) == (0, 0, 1)
    for wrong in ((-1, 3), (1.5, 3), (4, 3)):
        with pytest.raises(ValueError, match="counts"):
            wilson(*wrong)


def test_the_gap_of_two_measures_adds_each_side_in_quadrature():
    assert tuple(gap((5, 4, 9), (3, 1, 6))) == pytest.approx((2, 2 - 10**0.5, 2 + 20**0.5))
    with pytest.raises(ValueError, match="in order"):
        gap((5, 4, 9), (3, 4, 6))


def test_the_gap_of_two_shares_is_newcombes():
    """His first example (1998, table II): 56 of 70 against 48 of 80."""
    shares = [wilson(k, n) for k, n in ((56, 70), (48, 80), (0, 2000))]
    assert tuple(share_gap(*shares[:2])) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    difference, low, high = share_gap(shares[2], shares[2])
    assert difference == 0 and 0 < high == -low < 0.002
    with pytest.raises(ValueError, match="value, low, high"):
        share_gap((0.2, 0.3, 0.4), shares[0])


@pytest.mark.parametrize(
    "value, low, high, text",
    [
        (0.1, 0.08, 0.12, "0.100 [0.080, 0.120]"),
        (0.5, 0.4, 0.6, "0.50 [0.40, 0.60]"),
        (0.97, 0.87, 1.02, "0.97 [0.87, 1.02]"),
        (-0.001, -0.5, 0.5, "0.0 [−0.5, 0.5]"),
        (1234.5, 834.0, 1634.0, "1,200 [800, 1,600]"),
        (0.25, 0.25, 0.25, "0.25"),
        (-2.62, -7.17, 1.92, "−2.6 [−7.2, 1.9]"),
        (0.116, -0.27, 0.5, "0.12 [−0.27, 0.50]"),
        (2.34e-7, 2.34e-7, 2.34e-7, "2.3 × 10⁻⁷"),
        (2.3e-7, 2.1e-7, 2.5e-7, "2.3 × 10⁻⁷ [2.1 × 10⁻⁷, 2.5 × 10⁻⁷]"),
        (0, 0, 0, "0"),
    ],
)
def test_figures_are_rounded_by_their_interval(value, low, high, text):
    assert format_interval(value, low, high) == text


@pytest.mark.parametrize(
    "value, text",
    [
        (0.1234, "0.12"),
        (-3.0, "−3.0"),
        (1300, "1,300"),
        (9.96e-7, "1.0 × 10⁻⁶"),
        (-4e-6, "−4.0 × 10⁻⁶"),
        (0.00096, "9.6 × 10⁻⁴"),
    ],
)
def test_numbers_have_two_significant_digits(value, text):
    assert format_number(value) == text


def test_a_range_is_no_confidence_interval():
    assert mean_and_range([1.0, 2.0, 6.0]) == Estimate(3.0, 1.0, 6.0, 3, "range")
    assert exactly(0.5, 7) == Estimate(0.5, 0.5, 0.5, 7, "range")


def test_an_estimate_is_its_three_numbers_and_knows_how_many_cases_it_has():
    estimate = bootstrap(lambda rows: rows.mean(), 10, replicates=200)
    assert estimate.n == 10 and estimate.low < estimate.value == 4.5 < estimate.high
    np.testing.assert_array_equal(np.array([estimate, estimate]), [list(estimate)] * 2)
    none = percentile_interval(1.0, np.empty(0))
    assert none.value == 1 and math.isnan(none.low) and math.isnan(none.high)
    assert percentile_interval(5.0, np.arange(3.0)).high == 5  # widened to hold the value


def test_a_mean_over_clusters_counts_them_and_not_their_cases():
    values, clusters = np.repeat([1.0, 3.0], [500, 20]), np.repeat(["long", "short"], [500, 20])
    found = over_clusters(lambda rows: values[rows].mean(), clusters)
    assert tuple(found) == pytest.approx(tuple(mean_interval([1.0, 3.0])))
    assert (found.n, found.kind) == (2, "t")
    twice = over_clusters(lambda rows: values[rows].mean(), np.repeat(["a", "b"], 260))
    assert twice.high - twice.low < found.high - found.low


def test_correlations_of_clusters_are_averaged_on_their_own_scale():
    correlation = over_clusters(lambda rows: [0.5, 0.9, 0.7][rows[0]], [0, 1, 2], "fisher")
    assert -1 < correlation.low < 0.5 < correlation.value < 0.9 < correlation.high < 1


def test_intervals_over_clusters_cover_as_often_as_they_say():
    generator = np.random.default_rng(0)
    for shots in (2, 6):
        clusters, covered = np.repeat(np.arange(shots), 30), 0
        for _ in range(1000):
            cases = np.repeat(generator.normal(size=shots), 30) + generator.normal(size=30 * shots)
            _, low, high = over_clusters(lambda rows, cases=cases: cases[rows].mean(), clusters)
            covered += low <= 0 <= high
        assert 0.93 < covered / 1000 < 0.97


def test_an_interval_over_clusters_takes_two_of_them_and_values_on_the_scale():
    for wrong, message in ((([0, 0], "plain"), "two or more"), (([0, 1], "logit"), "scale must be one of")):
        with pytest.raises(ValueError, match=message):
            over_clusters(lambda rows: 1.0, *wrong)
    with pytest.raises(ValueError):
        over_clusters(lambda rows: 1.5, [0, 1], "fisher")
    with pytest.raises(ValueError):
        over_clusters(lambda rows: np.nan, [0, 1])
