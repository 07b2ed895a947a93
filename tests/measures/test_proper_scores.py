"""Samples against the true law: proper scores with a known floor, and tests with a known level."""

import numpy as np
import pytest
import scoringrules
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from scorevid.estimates import mean_interval, ratio_interval
from scorevid.measures.calibration import chi_square
from scorevid.measures.choices import choose, first_probability, projection, tally
from scorevid.measures.proper_scores import (
    crps_scores,
    energy_scores,
    pixel_crps_scores,
    pooled_calibration_test,
)
from scorevid.worlds.futures import Futures


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def scenes(batch=6, n=3, size=4, seed=0, padding=1):
    """Futures that differ in the upper half only, the last ``padding`` of them impossible."""
    frames = torch.rand(batch, n + padding, size, size, generator=seeded(seed), dtype=torch.float64)
    frames[:, :, size // 2 :] = frames[:, :1, size // 2 :]
    p = torch.rand(batch, n, generator=seeded(seed + 1), dtype=torch.float64) + 0.1
    return Futures(frames, torch.cat([p / p.sum(1, keepdim=True), p.new_zeros(batch, padding)], 1))


def draws(ahead, n, seed=0, tilt=1.0, blur=0.0):
    """n samples a scene (B, n, H, W) from w^tilt instead of w, with noise of the given size everywhere."""
    chosen = torch.multinomial(ahead.probabilities**tilt, n, replacement=True, generator=seeded(seed))
    x_hat = ahead.frames[torch.arange(len(ahead))[:, None], chosen]
    return x_hat + blur * torch.randn(x_hat.shape, generator=seeded(seed + 1), dtype=x_hat.dtype)


def energy(samples, outcome):
    """Fair energy score of (S, D) at (D,), written out."""
    n = len(samples)
    spread = sum(np.linalg.norm(a - b) for i, a in enumerate(samples) for j, b in enumerate(samples) if i != j)
    return np.mean([np.linalg.norm(a - outcome) for a in samples]) - spread / (2 * n * (n - 1))


def test_energy_scores_are_the_formula_averaged_over_the_outcomes():
    ahead = scenes()
    x_hat = draws(ahead, 5, blur=0.2)
    scores = energy_scores(x_hat, ahead, generator=seeded(3))
    half = slice(0, 2)  # rows in which the futures differ
    for b in range(len(ahead)):
        frames, w = ahead.frames[b, :, half].flatten(1).numpy(), ahead.probabilities[b].numpy()
        samples = x_hat[b, :, half].flatten(1).numpy()
        expected = sum(w[k] * energy(samples, frames[k]) for k in range(3))
        assert scores.samples[b] == pytest.approx(expected, rel=1e-12)
        distance = np.linalg.norm(frames[:, None] - frames, axis=2)
        assert scores.floor[b] == pytest.approx(w @ distance @ w / 2, rel=1e-12)
    elsewhere = x_hat.clone()
    elsewhere[:, :, 2:] += 1
    np.testing.assert_array_equal(scores.samples, energy_scores(elsewhere, ahead, generator=seeded(3)).samples)


def test_averaging_over_the_outcomes_is_what_drawing_them_tends_to():
    ahead = scenes(batch=1)
    x_hat = draws(ahead, 4, blur=0.2)
    exact = energy_scores(x_hat, ahead, generator=seeded()).samples[0]
    where = ahead.where()[0, 0]
    outcomes = ahead.repeat(4000).draw(seeded(5))[:, 0][:, where].numpy()
    samples = x_hat[0][:, where].numpy()
    drawn = scoringrules.es_ensemble(
        outcomes, np.broadcast_to(samples, (4000, *samples.shape)), estimator="fair", backend="numpy"
    )
    _, low, high = mean_interval(drawn, 0.999)
    assert low < exact < high and high - low < 0.1 * exact


@pytest.mark.parametrize("score", [energy_scores, crps_scores])
def test_the_floor_is_what_exact_draws_score_on_average_however_few(score):
    ahead = scenes(batch=3, n=2).repeat(400)
    for n in (2, 5):
        scores = score(draws(ahead, n), ahead, generator=seeded(1))
        for kind in (scores.samples, scores.draws):
            _, low, high = mean_interval(kind - scores.floor, 0.999)
            assert low < 0 < high
        assert (scores.draws > -1e-12).all()  # by the triangle inequality, so that they may be denominators


@pytest.mark.parametrize("score", [energy_scores, crps_scores])
@pytest.mark.parametrize(("tilt", "blur"), [(0.0, 0.0), (3.0, 0.0), (1.0, 0.2)])
def test_no_other_law_scores_better_than_the_true_one(score, tilt, blur):
    ahead = scenes(batch=3, n=2, seed=4).repeat(300)
    scores = score(draws(ahead, 4, tilt=tilt, blur=blur), ahead, generator=seeded(1))
    assert mean_interval(scores.samples - scores.floor, 0.999).low > 0
    assert mean_interval(scores.samples - scores.draws, 0.95).low > 0
    assert ratio_interval(scores.samples, scores.draws).low > 1


def test_the_excess_is_half_the_squared_energy_distance():
    """All samples on one future: Σ w_k ‖x_k − x_j‖ less the floor. On the mean of two: D/2 less w (1 − w) D."""
    ahead = scenes(batch=4, n=2)
    where = ahead.where()
    distance = ((ahead.frames[:, 0] - ahead.frames[:, 1]) * where[:, 0]).flatten(1).norm(dim=1).numpy()
    w = first_probability(ahead).numpy()
    one = energy_scores(ahead.frames[:, :1].repeat(1, 3, 1, 1), ahead, generator=seeded())
    np.testing.assert_allclose(one.samples, (1 - w) * distance)
    np.testing.assert_allclose(one.floor, w * (1 - w) * distance)
    middle = ahead.frames[:, :2].mean(1, keepdim=True).repeat(1, 3, 1, 1)
    np.testing.assert_allclose(energy_scores(middle, ahead, generator=seeded()).samples, distance / 2)
    np.testing.assert_allclose(crps_scores(middle, ahead, generator=seeded()).samples, 0.5)


def test_crps_of_pixels_is_the_formula_on_average_over_pixels_and_outcomes():
    ahead = scenes()
    x_hat = draws(ahead, 4, blur=0.2)
    scores = pixel_crps_scores(x_hat, ahead)
    for b in range(len(ahead)):
        frames, w = ahead.frames[b, :, :2].flatten(1).numpy(), ahead.probabilities[b].numpy()
        samples = x_hat[b, :, :2].flatten(1).numpy()
        each = [[energy(samples[:, [i]], frames[k, [i]]) for i in range(frames.shape[1])] for k in range(3)]
        assert scores.samples[b] == pytest.approx(w[:3] @ np.mean(each, 1), rel=1e-12)
    many = scenes(batch=1, n=2).repeat(600)
    found = pixel_crps_scores(draws(many, 3), many)
    _, low, high = mean_interval(found.samples - found.floor, 0.999)
    assert low < 0 < high


def test_crps_of_the_place():
    ahead = scenes(n=2)
    x_hat = draws(ahead, 6, blur=0.3)
    scores = crps_scores(x_hat, ahead, generator=seeded())
    u, w = projection(x_hat, ahead).numpy(), first_probability(ahead).numpy()
    for b in range(len(ahead)):
        expected = sum(v * energy(u[b, :, None], np.array([at])) for v, at in ((w[b], 1.0), (1 - w[b], 0.0)))
        assert scores.samples[b] == pytest.approx(expected)
    np.testing.assert_allclose(scores.floor, w * (1 - w))
    # along the line between the futures the energy score is the CRPS times their distance
    on_line = ahead.frames[:, 1:2] + torch.rand(6, 5, 1, 1, generator=seeded(2)) * (
        ahead.frames[:, :1] - ahead.frames[:, 1:2]
    )
    distance = (ahead.frames[:, 0] - ahead.frames[:, 1]).flatten(1).norm(dim=1).numpy()
    one, other = (score(on_line, ahead, generator=seeded()) for score in (energy_scores, crps_scores))
    np.testing.assert_allclose(one.samples, other.samples * distance, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(2, 4), st.integers(2, 5), st.sampled_from([torch.float32, torch.float64]))
def test_scores_have_one_value_a_scene(batch, n, samples, dtype):
    ahead = scenes(batch, n).to(dtype)
    scores = energy_scores(draws(ahead, samples), ahead, generator=seeded())
    for kind in (scores.samples, scores.draws, scores.floor):
        assert kind.shape == (batch,) and kind.dtype == np.float64
    again = energy_scores(draws(ahead, samples), ahead, generator=seeded())
    np.testing.assert_array_equal(scores.draws, again.draws)


@pytest.mark.parametrize("score", [energy_scores, crps_scores])
def test_scores_refuse_bad_input(score):
    ahead = scenes(n=2)
    x_hat = draws(ahead, 3)
    for wrong in (x_hat[:3], x_hat[..., 1:], x_hat[:, 0], x_hat[:, :1]):
        with pytest.raises(ValueError, match=r"x_hat must (be|hold)"):
            score(wrong, ahead, generator=seeded())
    x_hat[0, 1, 2, 2] = torch.nan
    with pytest.raises(ValueError, match="1 of 18"):
        score(x_hat, ahead, generator=seeded())
    same = Futures(torch.zeros_like(ahead.frames[:, :2]), ahead.probabilities[:, :2])
    with pytest.raises(ValueError, match="6 of 6"):
        energy_scores(draws(ahead, 3), same, generator=seeded())
    three = scenes(n=3)
    with pytest.raises(ValueError, match="exactly two"):
        crps_scores(draws(three, 3), three, generator=seeded())


def all_counts(n, k):
    return np.array([c for c in np.ndindex(*[n + 1] * k) if sum(c) == n])


def test_an_impossible_choice_is_refuted():
    test = pooled_calibration_test([[3, 1], [2, 2]], [[1, 0], [0.5, 0.5]], replicates=999)
    assert test.divergence == np.inf and test.p_divergence == 1 / 1000
    assert test.sharpness == -np.inf and test.p_sharpness == 2 / 1000


def laws(scenes, seed=0, n=3):
    return np.random.default_rng(seed).dirichlet(np.full(n, 2.0), scenes)


@pytest.mark.parametrize("samples", [1, 2, 6])
def test_the_test_of_all_scenes_keeps_its_level(samples):
    rejected = []
    for seed in range(150):
        w = laws(20, seed)
        counts = np.random.default_rng(1000 + seed).multinomial(samples, w)
        test = pooled_calibration_test(counts, w, replicates=99, seed=seed)
        rejected.append([test.p_divergence <= 0.1, test.p_sharpness <= 0.1])
    assert (np.mean(rejected, 0) < 0.1 + 3 * np.sqrt(0.1 * 0.9 / 150)).all()
    assert np.mean(rejected, 0)[1] > 0.02
    if samples == 1:  # nothing to tell from
        assert np.isnan(test.divergence) and test.p_divergence == 1


@pytest.mark.parametrize(("slope", "sign"), [(0.5, -1), (1.6, 1)])
def test_a_tilted_law_is_found_out(slope, sign):
    """Its sharpness shows in one sample a scene, given scenes; its divergence, in whichever direction, takes more."""
    w = laws(400)
    q = special.softmax(slope * np.log(w), axis=1)
    for samples in (1, 4, 16):
        test = pooled_calibration_test(np.random.default_rng(1).multinomial(samples, q), w, replicates=499)
        assert test.p_sharpness < 0.01 and np.sign(test.sharpness) == sign
    assert test.p_divergence < 0.01
    assert test.divergence == pytest.approx(((q - w) ** 2 / w).sum(1).mean(), rel=0.2)


def test_a_bias_that_spares_the_odds_is_found_by_the_divergence():
    w = np.full((100, 2), 0.5)
    counts = np.random.default_rng(0).multinomial(8, [0.65, 0.35], size=100)
    test = pooled_calibration_test(counts, w, replicates=499)
    assert test.p_divergence < 0.01
    assert test.sharpness == 0 and test.p_sharpness == 1


@pytest.mark.parametrize("q", [[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
def test_divergence_and_sharpness_are_right_on_average(q):
    """Over all counts of a scene, weighted by their probability."""
    counts, w = all_counts(5, 3), np.array([0.5, 0.3, 0.2])
    weight = stats.multinomial.pmf(counts, 5, q)
    tests = [pooled_calibration_test([c], [w], replicates=1) for c in counts]
    assert weight @ [t.divergence for t in tests] == pytest.approx(((q - w) ** 2 / w).sum(), abs=1e-12)
    assert weight @ [t.sharpness for t in tests] == pytest.approx((q - w) @ np.log(w), abs=1e-12)


def test_scenes_weigh_by_their_choices():
    counts = np.array([[3, 1, 0], [0, 0, 0], [1, 1, 4], [1, 0, 0]])
    w = np.array([[0.5, 0.3, 0.2], [0.6, 0.4, 0], [0.1, 0.2, 0.7], [0.2, 0.8, 0]])
    test = pooled_calibration_test(counts, w, replicates=9)
    single = [pooled_calibration_test(counts[b : b + 1], w[b : b + 1], replicates=1) for b in (0, 2, 3)]
    assert test.divergence == pytest.approx((3 * single[0].divergence + 5 * single[1].divergence) / 8)
    assert test.sharpness == pytest.approx(np.average([t.sharpness for t in single], weights=[4, 6, 1]))


def test_from_frames_to_verdict():
    ahead = scenes(batch=60, n=3)
    good, sure = (draws(ahead, 8, tilt=tilt, blur=0.02) for tilt in (1.0, 4.0))
    for x_hat, right in ((good, True), (sure, False)):
        counts, w = tally(choose(x_hat, ahead), 4), ahead.probabilities.numpy()
        assert counts.sum() == 480
        assert (pooled_calibration_test(counts, w, replicates=499).p_divergence > 0.02) == right


def test_counts_and_laws_are_checked():
    good = [[1, 2]], [[0.5, 0.5]]
    pooled_calibration_test(*good)
    for function in (pooled_calibration_test, chi_square):
        for wrong, message in (
            (([1, 2], [0.5, 0.5]), r"\(B, K\), got \(2,\)"),
            (([[1, 2, 0]], good[1]), r"got \(1, 3\) and \(1, 2\)"),
            (([[1, -1]], good[1]), "integers"),
            (([[1, np.nan]], good[1]), "integers"),
            ((good[0], [[0.5, 0.6]]), "sum to one"),
            ((good[0], [[1.5, -0.5]]), "sum to one"),
            ((good[0], [[np.nan, 0.5]]), "sum to one"),
        ):
            with pytest.raises(ValueError, match=message):
                function(*wrong)
    with pytest.raises(ValueError, match="at least one choice"):
        pooled_calibration_test([[0, 0]], good[1])
