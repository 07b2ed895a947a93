"""Choices between two futures: found, counted, and compared with the odds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_choices import choices
from scipy import special, stats

from scorevid.measures import calibration
from scorevid.measures.calibration import (
    BLEND,
    blend_share,
    calibration_error,
    choose,
    classify,
    count,
    odds,
    place,
    rendering_error,
    tally,
    wilson,
)
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


def test_bad_input_is_refused():
    ahead, two = pair()
    for wrong in (two[:3], two[..., 1:], two[:, 0]):
        with pytest.raises(ValueError, match="x_hat must be"):
            place(wrong, ahead)
    three = Futures(ahead.frames, torch.full((4, 3), 1 / 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="4 of 4"):
        place(two, three)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), upper=st.floats(0.51, 0.99))
def test_between_two_futures_choosing_is_classifying(seed, upper):
    ahead, two = pair(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    share = 1.6 * torch.rand(4, 40, 1, 1, generator=generator, dtype=torch.float64) - 0.3
    x_hat = two[:, 1:] + share * (two[:, :1] - two[:, 1:])
    x_hat = x_hat + 0.1 * torch.randn(4, 40, 6, 6, generator=generator, dtype=torch.float64)
    old = classify(place(x_hat, ahead), upper, 1 - upper)
    old[-1] = torch.where(old[-1] == BLEND, BLEND, old[-1] + 1)  # an impossible future comes first there
    assert torch.equal(choose(x_hat, ahead, upper), old)


def corners():
    """Two meetings at once, far from each other: four futures at the corners of a rectangle, and an impossible one."""
    frames = torch.zeros(1, 5, 6, 6)
    for k, (up, left) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        frames[0, k, 0, :3], frames[0, k, 4, :2] = float(up), 0.5 * left
    frames[0, 4] = 0.25
    return Futures(frames, torch.tensor([[0.3, 0.2, 0.1, 0.4, 0.0]]))


def test_a_sample_chooses_among_many_futures_only_if_it_is_decided_in_every_respect():
    ahead = corners()
    a, b, c, d = ahead.frames[0, :4]
    noise = torch.zeros(6, 6)
    noise[2] = 3.0  # where the futures agree
    for k in range(4):
        x_hat = torch.stack([ahead.frames[0, k], ahead.frames[0, k] + noise, 0.9 * ahead.frames[0, k] + 0.1 * a])
        assert choose(x_hat[None], ahead).tolist() == [[k] * 3]
    undecided = torch.stack([(a + b) / 2, (a + c) / 2, (a + b + c + d) / 4, 0.6 * d + 0.4 * c, 0.7 * a + 0.3 * d])
    assert choose(undecided[None], ahead).tolist() == [[BLEND] * 5]
    assert choose(ahead.frames[:, 4:], ahead).tolist() == [[BLEND]]  # the impossible one is between the others
    line = Futures(torch.tensor([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2), torch.full((1, 3), 1 / 3))
    at = torch.tensor([-1.0, 0.1, 0.13, 0.37, 0.4, 0.6, 0.63, 0.9, 2.0]).reshape(1, 9, 1, 1).expand(1, 9, 2, 2)
    assert choose(at, line).tolist() == [[0, 0, BLEND, BLEND, 1, 1, BLEND, 2, 2]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 5))
def test_choices_do_not_depend_on_the_order_of_the_futures(seed, n):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(3, n, 4, 4, generator=generator)
    p = torch.rand(3, n, generator=generator) + 0.1
    ahead = Futures(frames, p / p.sum(1, keepdim=True))
    order = torch.randperm(n, generator=generator)
    mix = torch.rand(3, 20, n, generator=generator) ** 6
    x_hat = torch.einsum("bsk,bkhw->bshw", mix / mix.sum(2, keepdim=True), frames)
    one = choose(x_hat, ahead)
    other = choose(x_hat, Futures(ahead.frames[:, order], ahead.probabilities[:, order]))
    assert torch.equal(one, torch.where(other == BLEND, BLEND, order[other]))
    assert one.dtype == torch.long and (one != BLEND).any()
    assert tally(one, n).sum() == (one != BLEND).sum()


def test_tally_and_choose_refuse_bad_input():
    assert tally(torch.tensor([[0, 2, BLEND, 2], [1, 1, 1, 0]]), 3).tolist() == [[1, 0, 2], [1, 3, 0]]
    ahead = corners()
    for upper in (0.4, 1.0, float("nan")):
        with pytest.raises(ValueError, match="upper must lie in"):
            choose(ahead.frames, ahead, upper)
    with pytest.raises(ValueError, match="x_hat must be"):
        choose(ahead.frames[..., 1:], ahead)
    with pytest.raises(ValueError, match="equal"):
        choose(ahead.frames, Futures(torch.zeros_like(ahead.frames), ahead.probabilities))
    for wrong in (torch.tensor([[3]]), torch.tensor([[-2]]), torch.tensor([[0.0]]), torch.tensor([0])):
        with pytest.raises(ValueError, match="from -1 to 2"):
            tally(wrong, 3)


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
    assert error.corrected == pytest.approx(np.sqrt(max(0.01 - error.chance**2, 0)))


@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 1.0), (0.0, 0.5), (0.5, 1.0)])
def test_calibration_error_is_found_with_and_without_any(intercept, slope):
    """90 % intervals over 100 repetitions; what chance adds to the plain value is mostly gone from the corrected one."""
    inside, plain, corrected, truth = [], [], [], []
    for seed in range(100):
        p, first, second = choices(intercept, slope, scenes=300, samples=4, seed=seed)
        error = calibration_error(p, first, second, replicates=100, confidence=0.9, seed=seed)
        gap = (special.expit(intercept + slope * special.logit(np.sort(p))) - np.sort(p)).reshape(10, -1).mean(1)
        truth.append(np.abs(gap).mean())
        low, high = error.interval
        assert 0 <= low <= error.corrected <= high
        inside.append(low <= truth[-1] <= high)
        plain.append(error.value)
        corrected.append(error.corrected)
    assert np.mean(inside) > 0.8
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
        (([0.2, 0.4], [1, 1], [1, 1], 0), "at least one bin"),
        (([0.2, 1.4], [1, 1], [1, 1], 1), r"\[0, 1\]"),
        (([0.2, np.nan], [1, 1], [1, 1], 1), r"\[0, 1\]"),
        (([0.2, 0.4], [1, 1.5], [1, 1], 1), "integers"),
        (([0.2, 0.4], [1, 1, 1], [1, 1], 1), "must be"),
    ):
        with pytest.raises(ValueError, match=message):
            calibration_error(*wrong[:3], bins=wrong[3])


def test_the_share_of_blends_has_wilsons_interval():
    u = torch.tensor([[0.0, 0.5, 1.0, 1.2], [0.3, 0.9, 0.1, 0.7]])
    share, low, high = blend_share(u)
    assert share == 3 / 8
    assert (low, high) == pytest.approx(tuple(map(float, wilson(3, 8))))


def test_the_gap_of_two_shares_is_newcombes():
    """His first example (1998, table II): 56 of 70 against 48 of 80."""
    shares = [(k / n, *map(float, calibration.wilson(k, n))) for k, n in ((56, 70), (48, 80), (0, 2000))]
    assert calibration.share_gap(*shares[:2]) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    gap, low, high = calibration.share_gap(shares[2], shares[2])
    assert gap == 0 and 0 < high == -low < 0.002
    with pytest.raises(ValueError, match="value, low, high"):
        calibration.share_gap((0.2, 0.3, 0.4), shares[0])
