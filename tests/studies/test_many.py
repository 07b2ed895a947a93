"""What the sweep of many disks measures, on samples whose choices are known."""

import pytest
import torch

from scorevid.denoisers.weights import load_card
from scorevid.sampling import Samples
from scorevid.studies import load_results, many, settings_of, store_results
from scorevid.worlds.futures import Futures


def as_samples(x):
    count, good = torch.full(x.shape[:2], 8), torch.ones(x.shape[:2], dtype=torch.bool)
    return Samples(x, steps=count, evaluations=count, sigma=0.0 * count, finite=good, reached_sigma_L=good)


def laws(n=300, seed=0):
    """Scenes of two to four futures, the corners of a simplex, padded to four."""
    generator = torch.Generator().manual_seed(seed)
    possible = torch.arange(4) < torch.randint(2, 5, (n, 1), generator=generator)
    p = (0.1 + torch.rand(n, 4, generator=generator)) * possible
    frames = torch.full((n, 4, 8, 8), 0.5)
    for k in range(4):
        frames[:, k, 2 * k, 2 * k] = 1.0
    return Futures(frames, p / p.sum(1, keepdim=True))


def drawn(ahead, p, n=16):
    """n samples a scene by the laws p (B, K), with an error of rendering where the futures agree."""
    chosen = torch.multinomial(p, n, replacement=True, generator=torch.Generator().manual_seed(1))
    x = ahead.frames[torch.arange(len(p))[:, None], chosen].clone()
    x[..., 1, 0] += 0.16
    return as_samples(x)


def test_true_draws_measure_as_such():
    ahead = laws()
    found = many.scene_statistics(drawn(ahead, ahead.probabilities), ahead)
    assert found.error.low == 0 and found.error.value < 0.03
    assert found.chi_square.low < 1 < found.chi_square.high and found.slope.low < 1 < found.slope.high
    assert list(found.blends) == [0, 0, 0] and found.rendering_error == pytest.approx(0.16**2 / 64, rel=1e-3)
    assert min(found.p_divergence, found.p_sharpness) > 0.01
    assert (found.scenes, found.samples, found.evaluations) == (300, 16, 8)
    assert found.error_of_two.n + found.error_of_more.n == 300 and 2 < found.futures < 4


def test_probabilities_that_are_off_scene_by_scene_are_found_although_the_slope_is_right():
    ahead = laws(600)
    noise = torch.randn(600, 4, generator=torch.Generator().manual_seed(2))
    q = (1.05 * ahead.probabilities.log() + 0.5 * noise).softmax(1)
    found = many.scene_statistics(drawn(ahead, q), ahead)
    true = (q - ahead.probabilities).square().sum(1).mean().div(2).sqrt().item()
    assert found.error.low < true < found.error.high and found.error.low > 0.05
    assert 0.9 < found.slope.value < 1.1 and found.p_divergence < 0.01 and found.chi_square.low > 1.5


def test_blends_are_counted_by_scenes():
    ahead = laws(40)
    samples = drawn(ahead, ahead.probabilities)
    average = Futures(ahead.frames, (ahead.probabilities > 0) / ahead.count()[:, None]).mean()
    samples.x[:10] = average[:10]
    found = many.scene_statistics(samples, ahead)
    assert found.blends.value == 0.25
    assert found.blends.low < 0.15 < 0.35 < found.blends.high  # ten scenes, not 160 samples
    with pytest.raises(ValueError):
        many.scene_statistics(as_samples(average.repeat(1, 16, 1, 1)), ahead)  # nothing chose


def test_who_infers_the_order_is_told_from_who_goes_by_size():
    c, without, oracle = many.many_scenes(many.INFERRED, 30, 0)
    exact = many.EIGHT(oracle, c, n_samples=4, generator=torch.Generator().manual_seed(0))
    found = many.inferred_statistics(exact, without)
    assert found["right"] == found["right_against_size"] == [1, 1, 1] and found["blends"] == [0, 0, 0]
    chosen = torch.multinomial(without.probabilities, 400, True, generator=torch.Generator().manual_seed(0))
    by_size = without.frames[torch.arange(30)[:, None], chosen]
    found = many.inferred_statistics(as_samples(by_size), without)
    for name in ("", "_against_size"):
        share, low, high = found[f"right{name}"]
        assert share == pytest.approx(found[f"by_size{name}"], abs=0.03) and low < share < high < 0.9
    assert found["by_size_against_size"] < 0.5 and (found["scenes"], found["samples"]) == (30, 400)


def test_scenes_of_a_case_have_their_disks_and_an_exact_denoiser():
    for case, shape in (("3 disks", (4, 2, 32, 32)), ("64 × 64", (4, 2, 64, 64))):
        c, ahead, oracle = many.many_scenes(case, 4, 1)
        assert c.shape == shape and (ahead.count() > 1).all()
        strong = oracle(
            ahead.mean() + 20 * torch.randn(ahead.mean().shape, generator=torch.Generator().manual_seed(1)), c
        )
        assert (strong - ahead.mean()).abs().max() < 0.1
    with pytest.raises(ValueError, match="case must be one of"):
        many.many_scenes("6 disks", 4, 1)


def test_rows_are_kept_for_the_same_scenes_weights_and_sampler(tmp_path):
    row = {
        "network": "a",
        "sha256": "0",
        "case": "2 disks",
        "settings": settings_of(many.EIGHT),
        "error": [0.1, 0, 0.2],
    }
    assert many.stored_rows({"seed": 1}, tmp_path) == {}
    store_results("many", {"seed": 1, "weights": "a"}, [row], tmp_path)
    kept = many.stored_rows({"seed": 1}, tmp_path)
    assert kept[many.row_key(row)] == row
    for other in ({"sha256": "1"}, {"case": "3 disks"}, {"settings": {}}, {"network": "b"}):
        assert many.row_key(row | other) not in kept
    assert many.stored_rows({"seed": 2}, tmp_path) == {}


def test_what_is_stored_was_measured_on_enough_scenes_with_the_weights_and_the_sampler_of_today():
    stored = load_results("many")
    parameters, rows = stored["parameters"], stored["results"]
    names = parameters["weights"].split(",")
    assert parameters["sha256"] == {name: load_card(name)["sha256"] for name in names}
    cases = [*many.CASES, many.INFERRED]
    assert [(r["network"], r["case"]) for r in rows] == [(name, case) for name in [*names, "oracle"] for case in cases]
    for row in rows:
        assert row["settings"] == settings_of(many.EIGHT) and row["sha256"] == parameters["sha256"].get(row["network"])
        least = 500 if row["case"].endswith("disks") else 200 if row["case"] == many.INFERRED else 40
        assert row["scenes"] >= least and row["samples"] >= 16
        assert row.get("evaluations", 8) == 8
    now = many.scene_statistics(drawn(laws(40), laws(40).probabilities), laws(40), replicates=20).record()
    assert set(now) < set(rows[0])


def test_the_exact_denoiser_has_hardly_any_error_in_eight_evaluations():
    """Where errors are found with a network, they are not those of solver, scenes or measures."""
    for row in load_results("many")["results"]:
        if row["network"] == "oracle" and row["case"] in many.CASES:
            assert row["error"][1] == 0 and row["chi_square"][1] <= 1, row["case"]
            assert row["blends"][2] < 0.01 and row["rendering_error"] < 1e-6, row["case"]
            if row["scenes"] >= 500:  # so many that the interval is narrow
                assert row["error"][2] < 0.05 and row["chi_square"][2] < 1.5, row["case"]
                assert 0.9 < row["slope"][0] < 1.1, row["case"]
