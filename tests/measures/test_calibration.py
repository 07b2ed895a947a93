"""Calibration of choices, against choices that were made with a known line of log odds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_choices import choices, laws
from scipy import optimize, special, stats

from scorevid.measures.calibration import (
    calibration_error,
    chi_square,
    excess_frequency_error,
    fit_logit,
    slope_gap,
    tempering_slope,
)
from scorevid.measures.choices import Counts


@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 1.0), (0.3, 1.3), (-0.2, 0.4)])
def test_the_fit_finds_what_the_choices_were_made_with(intercept, slope):
    fit = fit_logit(*choices(intercept, slope))
    assert fit.failed == 0
    for found, made_with in ((fit.intercept, intercept), (fit.slope, slope)):
        assert found.value == pytest.approx(made_with, abs=0.15)
        assert found.low < found.value < found.high and found.n == 400


def test_the_fit_is_the_maximum_of_the_likelihood():
    p, first, second = choices(0.2, 1.2, scenes=60)

    def loss(theta):
        z = theta[0] + theta[1] * special.logit(p)
        return -(first * special.log_expit(z) + second * special.log_expit(-z)).sum()

    fit = fit_logit(p, first, second, replicates=10)
    np.testing.assert_allclose(
        [fit.intercept.value, fit.slope.value], optimize.minimize(loss, [0, 1], tol=1e-10).x, atol=1e-4
    )


def test_intervals_cover_the_truth_as_often_as_they_say():
    """95 % intervals over 150 repetitions, with samples of one scene entirely alike: only scenes count."""
    inside = []
    for seed in range(150):
        p, first, second = choices(0.0, 1.0, scenes=120, samples=1, seed=seed)
        fit = fit_logit(p, 5 * first, 5 * second, replicates=200, seed=seed)
        inside.append([fit.intercept.low < 0 < fit.intercept.high, fit.slope.low < 1 < fit.slope.high])
    covered = np.mean(inside, 0)
    assert ((covered > 0.88) & (covered < 0.99)).all()


def test_no_finite_fit():
    with pytest.raises(ValueError, match="no finite fit"):
        fit_logit([0.1, 0.3, 0.7, 0.9], [0, 0, 4, 4], [4, 4, 0, 0])  # slope without bound
    with pytest.raises(ValueError, match="no finite fit"):
        fit_logit([0.3, 0.3, 0.3], [1, 2, 3], [3, 2, 1])  # slope undetermined
    few = fit_logit([0.2, 0.4, 0.6, 0.8], [1, 0, 2, 3], [3, 4, 2, 1], replicates=200)
    assert 0 < few.failed < 1  # some replicates have one scene only


def test_bad_input_is_refused():
    for wrong in (
        ([0.5], [1], [1]),
        ([0.0, 0.5], [1, 1], [1, 1]),
        ([0.2, 0.5], [1, -1], [1, 1]),
        ([0.2, 0.5], [1], [1]),
    ):
        with pytest.raises(ValueError):
            fit_logit(*wrong)


@settings(max_examples=30, deadline=None)
@given(intercept=st.floats(-1, 1), slope=st.floats(0.2, 2), seed=st.integers(0, 1000))
def test_naming_the_futures_the_other_way_round_only_turns_the_sign_of_the_intercept(intercept, slope, seed):
    p, first, second = choices(intercept, slope, scenes=100, seed=seed)
    one, other = fit_logit(p, first, second, replicates=2), fit_logit(1 - p, second, first, replicates=2)
    assert one.slope.value == pytest.approx(other.slope.value, abs=1e-6)
    assert one.intercept.value == pytest.approx(-other.intercept.value, abs=1e-6)


def test_the_gap_of_two_slopes_is_that_of_their_distances_from_one():
    random = np.random.default_rng(0)
    p = np.linspace(0.05, 0.95, 300)

    def chosen(slope):
        first = random.binomial(20, 1 / (1 + (1 / p - 1) ** slope))
        return Counts(first, 20 - first, np.zeros_like(first))

    good, sure, unsure = chosen(1.0), chosen(1.5), chosen(0.5)
    gap, low, high = slope_gap(p, good, sure)
    assert low < gap < high < 0 and gap == pytest.approx(-0.5, abs=0.1)
    assert tuple(slope_gap(p, sure, good)) == pytest.approx((-gap, -high, -low))
    gap, low, high = slope_gap(p, sure, unsure)
    assert low < 0 < high


def test_calibration_error_of_one_bin_and_of_one_a_scene_pair():
    """By hand: a single bin is the mean gap, a bin for each pair of scenes the mean of their absolute mean gaps."""
    p, first = np.array([0.2, 0.9, 0.4, 0.6]), np.array([4, 8, 4, 4])
    whole = calibration_error(p, first, 8 - first, bins=1)
    assert whole.value == pytest.approx(abs((first / 8 - p).mean()))
    halves = calibration_error(p, first, 8 - first, bins=2)
    assert halves.value == pytest.approx((abs(0.3 + 0.1) / 2 + abs(-0.1 + 0.1) / 2) / 2)
    np.testing.assert_allclose(halves.probability, [0.3, 0.75])
    np.testing.assert_allclose(halves.frequency, [0.5, 0.75])
    # scenes in which nothing was chosen change nothing
    padded = calibration_error([*p, 0.5], [*first, 0], [*(8 - first), 0], bins=2)
    assert padded.value == halves.value and padded.chance == halves.chance


def test_what_chance_makes_of_the_calibration_error():
    """Bins of one p are binomial: De Moivre's mean absolute deviation, 2 k C(n, k) p^k (1 − p)^(n − k + 1) / n."""
    p, n, scenes = 0.3, 5, 4
    error = calibration_error([p] * scenes, [2] * scenes, [3] * scenes, bins=1, replicates=40_000)
    total = n * scenes
    k = int(total * p) + 1
    expected = 2 * k * stats.binom.pmf(k, total, p) * (1 - p) / total
    assert error.chance == pytest.approx(expected, rel=0.02)
    assert error.value == pytest.approx(0.1)
    assert error.corrected.value == pytest.approx(np.sqrt(max(0.01 - error.chance**2, 0)))


@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 1.0), (0.0, 0.5), (0.5, 1.0)])
def test_calibration_error_is_found_with_and_without_any(intercept, slope):
    """95 % intervals over 100 repetitions; what chance adds to the plain value is mostly gone from the corrected one."""
    inside, plain, corrected, truth = [], [], [], []
    for seed in range(100):
        p, first, second = choices(intercept, slope, scenes=300, samples=4, seed=seed)
        error = calibration_error(p, first, second, replicates=200, seed=seed)
        gap = (special.expit(intercept + slope * special.logit(np.sort(p))) - np.sort(p)).reshape(10, -1).mean(1)
        truth.append(np.abs(gap).mean())
        value, low, high = error.corrected
        assert 0 <= low <= value <= high
        inside.append(low <= truth[-1] <= high)
        plain.append(error.value)
        corrected.append(value)
    assert np.mean(inside) > 0.85
    assert abs(np.mean(corrected) - np.mean(truth)) < 0.5 * error.chance
    if slope == 1 and not intercept:
        assert np.mean(plain) == pytest.approx(error.chance, rel=0.1)


@settings(max_examples=20, deadline=None)
@given(slope=st.floats(0.2, 2), seed=st.integers(0, 1000))
def test_the_calibration_error_knows_no_first_and_second(slope, seed):
    p, first, second = choices(0.3, slope, scenes=100, seed=seed)
    one = calibration_error(p, first, second, replicates=2)
    other = calibration_error(1 - p, second, first, replicates=2)
    assert one.value == pytest.approx(other.value)
    np.testing.assert_allclose(one.frequency, 1 - other.frequency[::-1])


def test_calibration_error_refuses_bad_input():
    for wrong, message in (
        (([0.2, 0.4], [1, 1], [1, 1], 2), "two scenes a bin"),
        (([0.2, 0.4], [1, 0], [1, 0], 1), "two scenes a bin"),
        (([0.2, 0.4], [1, 1], [1, 1], 0), "bins must be"),
        (([0.2, 1.4], [1, 1], [1, 1], 1), r"\[0, 1\]"),
        (([0.2, np.nan], [1, 1], [1, 1], 1), r"\[0, 1\]"),
        (([0.2, 0.4], [1, 1.5], [1, 1], 1), "integers"),
        (([0.2, 0.4], [1, 1, 1], [1, 1], 1), "must be"),
    ):
        with pytest.raises(ValueError, match=message):
            calibration_error(*wrong[:3], bins=wrong[3])


# ---- any number of futures ------------------------------------------------------------------------------------------

MEASURES = (excess_frequency_error, chi_square, tempering_slope)


def drawn(w, n, seed=0):
    """Choices by the laws w (B, K), from one to n in each scene, as where blends are left out."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(generator.integers(n // 2, n + 1, len(w)), w)


def test_choices_by_the_true_law_have_no_excess_and_a_chi_square_of_one():
    w, _ = laws(4000)
    counts = drawn(w, 12)
    error, ratio, slope = (measure(counts, w) for measure in MEASURES)
    assert error.low == 0 and error.value < 0.03 and error.high < 0.04
    assert ratio.low < 1 < ratio.high and ratio.high - ratio.low < 0.1
    assert slope.low < 1 < slope.high and slope.high - slope.low < 0.1
    assert error.n == ratio.n == slope.n == 4000


@pytest.mark.parametrize("error", [0.03, 0.06])
def test_a_planted_distortion_is_found_as_large_as_it_is(error):
    w, q = laws(6000, error)
    assert (q >= 0).all() and ((q > 0) == (w > 0)).all()
    counts = drawn(q, 24)
    found = excess_frequency_error(counts, w)
    assert found.low < error < found.high and found.value == pytest.approx(error, abs=0.006)
    expected = 1 + (counts.sum(1) - 1) * np.divide((q - w) ** 2, w, where=w > 0, out=0 * w).sum(1) / (
        (w > 0).sum(1) - 1
    )
    assert chi_square(counts, w).low > 1
    assert chi_square(counts, w).value == pytest.approx(np.average(expected, weights=(w > 0).sum(1) - 1), rel=0.05)


def test_the_mean_of_chi_square_for_another_law():
    """Of unlikely futures that are chosen too often: not all that is above 1 grows with the number of samples."""
    w, q = np.tile([0.1, 0.9], (20_000, 1)), np.array([0.2, 0.8])
    for n in (2, 16):
        mean = (q / w[0]).sum() - 1 + (n - 1) * ((q**2 / w[0]).sum() - 1)
        counts = np.random.default_rng(n).multinomial(n, q, size=len(w))
        assert chi_square(counts, w, replicates=2).value == pytest.approx(mean, rel=0.03)
    assert mean > 1.2 * (1 + 15 * ((q**2 / w[0]).sum() - 1))


def test_choices_that_are_too_sure_have_their_error_in_full():
    """Of two futures at 0.7, chosen with 0.9: w (1 − w) in place of f (1 − f) would take out more than chance adds."""
    w, q = np.tile([0.7, 0.3], (20_000, 1)), np.tile([0.9, 0.1], (20_000, 1))
    counts = np.random.default_rng(0).multinomial(8, q)
    assert excess_frequency_error(counts, w).value == pytest.approx(0.2, abs=0.002)
    f = counts[:, 0] / 8
    assert np.sqrt(((f - 0.7) ** 2 - 0.21 / 8).mean()) < 0.19
    slope = tempering_slope(counts[:5000], w[:5000], replicates=10).value
    assert slope == pytest.approx(special.logit(0.9) / special.logit(0.7), rel=0.03)


@pytest.mark.parametrize("slope", [0.6, 1.4])
def test_the_tempering_slope_is_the_power_that_the_choices_were_made_with(slope):
    w, _ = laws(3000)
    q = np.where(w > 0, w, 0) ** slope
    found = tempering_slope(drawn(q / q.sum(1, keepdims=True), 12), w)
    assert found.low < slope < found.high and found.value == pytest.approx(slope, abs=0.05)


def test_for_two_futures_the_tempering_slope_is_the_logit_slope_without_intercept():
    p, first, second = choices(0.0, 1.2, scenes=80)
    both = np.stack([first, second], 1), np.stack([p, 1 - p], 1)
    mirrored = fit_logit(np.append(p, 1 - p), np.append(first, second), np.append(second, first), replicates=2)
    assert mirrored.intercept.value == pytest.approx(0, abs=1e-8)
    assert tempering_slope(*both).value == pytest.approx(mirrored.slope.value, abs=1e-8)


def test_padding_and_scenes_without_a_choice_play_no_part():
    w, q = laws(60, 0.05)
    counts = drawn(q, 12)
    wide = np.pad(w, ((0, 2), (1, 1))), np.pad(counts, ((0, 2), (1, 1)))
    wide[0][-2:, 0] = 1.0  # scenes with one future
    wide[1][-1, 0] = 5
    wide = np.roll(wide[0], 1, 1), np.roll(wide[1], 1, 1)
    idle = np.append(wide[1], 0 * wide[1][:1], 0), np.append(wide[0], wide[0][:1], 0)  # a scene of blends alone
    for measure in MEASURES:
        assert measure(*idle) == measure(counts, w)


def test_measures_of_many_futures_refuse_bad_input():
    good = [[3, 1], [2, 2]], [[0.5, 0.5], [0.6, 0.4]]
    for measure in MEASURES:
        for counts, w in (
            ([[3, 1], [2, -2]], good[1]),
            ([[3, 1, 0], [2, 2, 0]], good[1]),
            (good[0], [[0.5, 0.6], [0.6, 0.4]]),
            (good[0], [[1.0, 0.0], [0.6, 0.4]]),  # an impossible future was chosen
            ([[3, 1], [0, 0]], good[1]),
        ):
            with pytest.raises(ValueError):
                measure(counts, w)
    with pytest.raises(ValueError, match="no finite fit"):
        tempering_slope([[4, 0], [4, 0]], [[0.6, 0.4], [0.7, 0.3]])
