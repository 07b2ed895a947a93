"""Choices between two futures: found, counted, and compared with the odds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from scorevid.calibration import BLEND, classify, count, fit_logit, odds, place, rendering_error, wilson
from scorevid.worlds.futures import Futures


def pair(batch=4, size=6, seed=0, padding=1):
    """Scenes with two futures, padded by improbable ones, behind them or (in the last scene) before them."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(batch, 2 + padding, size, size, generator=generator, dtype=torch.float64)
    p = torch.rand(batch, 1, generator=generator, dtype=torch.float64) * 0.9 + 0.05
    p = torch.cat([p, 1 - p, p.new_zeros(batch, padding)], 1)
    p[-1] = p[-1].roll(padding)
    return Futures(frames, p), torch.stack([f[q > 0] for f, q in zip(frames, p, strict=True)])


def test_samples_are_placed_between_the_futures():
    ahead, two = pair()
    share = torch.tensor([0.0, 0.2, 0.5, 1.0, 1.3])
    x_hat = two[:, 1:] + share[:, None, None] * (two[:, :1] - two[:, 1:])
    torch.testing.assert_close(place(x_hat, ahead), share.double().expand(4, 5))
    assert rendering_error(x_hat, ahead).max() < 1e-20
    torch.testing.assert_close(odds(ahead), torch.cat([ahead.probabilities[:3, 0], ahead.probabilities[3:, 1]]))
    assert classify(place(x_hat, ahead)).tolist() == [[1, 1, BLEND, 0, 0]] * 4


def test_errors_of_rendering_do_not_move_the_choice():
    ahead, two = pair()
    noise = 0.3 * torch.randn(4, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    difference = two[:, :1] - two[:, 1:]
    along = (noise * difference).sum((2, 3), keepdim=True) / difference.square().sum((2, 3), keepdim=True)
    across = noise - along * difference
    torch.testing.assert_close(place(two + across, ahead), torch.tensor([[1.0, 0.0]] * 4, dtype=torch.float64))
    expected = across.square().mean((2, 3)).expand(4, 2)
    torch.testing.assert_close(rendering_error(two + across, ahead), expected)
    torch.testing.assert_close(rendering_error(two + noise, ahead), expected)


def test_counts():
    counts = count(torch.tensor([[0.0, 0.9, 1.1, 0.5], [0.3, 0.4, 0.5, 0.6]]))
    assert (counts.first.tolist(), counts.second.tolist(), counts.blends.tolist()) == ([2, 0], [1, 0], [1, 4])
    np.testing.assert_allclose(counts.frequency(), [2 / 3, np.nan])
    assert counts.blend_rate() == 5 / 8
    with pytest.raises(ValueError, match="lower < upper"):
        count(torch.zeros(1, 1), upper=0.2)


def test_wilson():
    low, high = wilson([0, 5, 10, 0], [10, 10, 10, 0])
    for k, n, a, b in zip([0, 5, 10], [10, 10, 10], low, high, strict=False):
        z = stats.norm.ppf(0.975)
        centre = (k + z * z / 2) / (n + z * z)
        half = z * np.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
        assert (a, b) == pytest.approx((max(centre - half, 0), min(centre + half, 1)), abs=1e-9)
    assert (low[3], high[3]) == (0, 1)
    assert wilson(3, [5, 6])[0].shape == (2,)
    for wrong in ((-1, 3), (1.5, 3), (4, 3)):
        with pytest.raises(ValueError):
            wilson(*wrong)


def choices(intercept, slope, scenes=400, samples=8, seed=0):
    generator = np.random.default_rng(seed)
    p = generator.uniform(0.05, 0.95, scenes)
    first = generator.binomial(samples, special.expit(intercept + slope * special.logit(p)))
    return p, first, samples - first


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
    ahead, two = pair()
    for wrong in (two[:3], two[..., 1:], two[:, 0]):
        with pytest.raises(ValueError, match="x_hat must be"):
            place(wrong, ahead)
    three = Futures(ahead.frames, torch.full((4, 3), 1 / 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="4 of 4"):
        place(two, three)
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
