"""The line through the log odds of choices, against choices that were made with a known one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_choices import choices
from scipy import optimize, special

from scorevid.measures.calibration import Counts
from scorevid.measures.logit import fit_logit, slope_by_chance, slope_gap


@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 1.0), (0.3, 1.3), (-0.2, 0.4)])
def test_the_fit_finds_what_the_choices_were_made_with(intercept, slope):
    fit = fit_logit(*choices(intercept, slope))
    assert fit.intercept == pytest.approx(intercept, abs=0.15)
    assert fit.slope == pytest.approx(slope, abs=0.15)
    assert fit.failed == 0
    assert fit.intercept_interval[0] < fit.intercept < fit.intercept_interval[1]
    assert fit.slope_interval[0] < fit.slope < fit.slope_interval[1]


def test_the_fit_is_the_maximum_of_the_likelihood():
    p, first, second = choices(0.2, 1.2, scenes=60)

    def loss(theta):
        z = theta[0] + theta[1] * special.logit(p)
        return -(first * special.log_expit(z) + second * special.log_expit(-z)).sum()

    fit = fit_logit(p, first, second, replicates=10)
    np.testing.assert_allclose([fit.intercept, fit.slope], optimize.minimize(loss, [0, 1], tol=1e-10).x, atol=1e-4)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """80 % intervals over 150 repetitions, with samples of one scene entirely alike: only scenes count."""
    inside = []
    for seed in range(150):
        p, first, second = choices(0.0, 1.0, scenes=120, samples=1, seed=seed)
        fit = fit_logit(p, 5 * first, 5 * second, replicates=200, confidence=0.8, seed=seed)
        inside.append(
            [
                fit.intercept_interval[0] < 0 < fit.intercept_interval[1],
                fit.slope_interval[0] < 1 < fit.slope_interval[1],
            ]
        )
    covered = np.mean(inside, 0)
    assert ((covered > 0.7) & (covered < 0.9)).all()


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
    assert one.slope == pytest.approx(other.slope, abs=1e-6)
    assert one.intercept == pytest.approx(-other.intercept, abs=1e-6)


def test_the_gap_of_two_slopes_is_that_of_their_distances_from_one():
    random = np.random.default_rng(0)
    p = np.linspace(0.05, 0.95, 300)

    def chosen(slope):
        first = random.binomial(20, 1 / (1 + (1 / p - 1) ** slope))
        return Counts(first, 20 - first, np.zeros_like(first))

    good, sure, unsure = chosen(1.0), chosen(1.5), chosen(0.5)
    gap, low, high = slope_gap(p, good, sure)
    assert low < gap < high < 0 and gap == pytest.approx(-0.5, abs=0.1)
    back = slope_gap(p, sure, good)
    assert back[0] == pytest.approx(-gap) and back[1] == pytest.approx(-high) and back[2] == pytest.approx(-low)
    gap, low, high = slope_gap(p, sure, unsure)
    assert low < 0 < high


def test_what_chance_does_to_a_slope_is_what_repetitions_show():
    p = np.linspace(0.05, 0.95, 200)
    random = np.random.default_rng(3)
    off = []
    for _ in range(300):
        first = random.binomial(2, p)
        off.append(abs(fit_logit(p, first, 2 - first, replicates=1).slope - 1))
    assert slope_by_chance(p, 2) == pytest.approx(np.mean(off), rel=0.15)
    assert slope_by_chance(p, 8) == pytest.approx(slope_by_chance(p, 2) / 2)
