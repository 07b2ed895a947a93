"""What the sweeps measure, on samples whose choices are known."""

import numpy as np
import pytest
import torch

from scorevid import estimates
from scorevid.denoisers.weights import FOLDER, load_card
from scorevid.measures import choices
from scorevid.sampling import RECOMMENDED, Ascent, Heun, Ladder, Samples
from scorevid.studies import (
    ASCENT,
    SOLVERS,
    by_solver,
    choice_statistics,
    load_results,
    meetings,
    nearer_to_grey,
    settings_of,
    store_results,
    stored,
)
from scorevid.studies.sampling import bins, distance_from_one
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.world import Leaves


def scenes(n=400, seed=0) -> tuple[Futures, torch.Tensor]:
    """n scenes of two futures, one of them nearer to mid-grey, the first in every other; and which one."""
    odds = torch.linspace(0.05, 0.95, n)
    near, far = torch.full((n, 1, 8, 8), 0.5), torch.full((n, 1, 8, 8), 0.5)
    near[:, :, 2, 2], far[:, :, 2, 2] = 0.6, 1.0
    first = torch.arange(n) % 2 == 0
    frames = torch.where(first[:, None, None, None], torch.cat([near, far], 1), torch.cat([far, near], 1))
    return Futures(frames, torch.stack([odds, 1 - odds], 1)), first


def as_samples(x: torch.Tensor, evaluations: int = 3) -> Samples:
    count = torch.full(x.shape[:2], evaluations)
    good = torch.ones(x.shape[:2], dtype=torch.bool)
    return Samples(x, steps=count, evaluations=count, sigma=0.0 * count, finite=good, reached_sigma_L=good)


def drawn(ahead: Futures, probability: torch.Tensor, n: int = 20) -> torch.Tensor:
    """n samples of each scene, the first future with the given probability, (B, n, H, W)."""
    first = torch.rand(len(ahead), n, generator=torch.Generator().manual_seed(1)) < probability[:, None]
    return torch.where(first[..., None, None], ahead.frames[:, :1], ahead.frames[:, 1:])


def test_true_draws_measure_as_such():
    ahead, first = scenes()
    assert (nearer_to_grey(ahead) == first).all()
    found = choice_statistics(as_samples(drawn(ahead, ahead.probabilities[:, 0])), ahead)
    for name, due in (("slope", 1), ("intercept", 0), ("towards_grey", 0)):
        value, low, high = getattr(found, name)
        assert low < value < high and value == pytest.approx(due, abs=0.1)
    assert found.blends.value == 0 and found.rendering_error == pytest.approx(0, abs=1e-9)
    assert found.evaluations == 3 and found.converged == 1 and found.scenes == found.slope.n == 400
    assert found.calibration_error.value < 0.02


def test_a_bias_towards_grey_is_seen_although_scenes_are_balanced():
    ahead, first = scenes()
    logit = ahead.probabilities[:, 0].logit() * 1.5 + torch.where(first, 1.0, -1.0)
    found = choice_statistics(as_samples(drawn(ahead, logit.sigmoid())), ahead)
    assert found.slope.value == pytest.approx(1.5 / 1.2, abs=0.2)  # two lines shifted apart look flatter together
    assert found.intercept.value == pytest.approx(0, abs=0.1)
    assert found.towards_grey.value == pytest.approx(1.0, abs=0.1)


def test_blends_alone_have_no_slope():
    ahead, _ = scenes()
    found = choice_statistics(as_samples(ahead.frames.mean(1, keepdim=True)), ahead)
    assert found.blends.value == 1 and found.slope is None and found.towards_grey is None


def test_bins_hold_all_that_chose():
    odds = np.linspace(0, 1, 25)
    counts = choices.Counts(np.full(25, 3), np.full(25, 1), np.full(25, 2))
    found = bins(odds, counts, 5)
    assert found["probability"] == pytest.approx([odds[5 * k : 5 * k + 5].mean() for k in range(5)])
    assert found["frequency"] == pytest.approx([0.75] * 5)
    low, high = estimates.wilson(15, 20).interval
    assert found["low"] == pytest.approx([low] * 5) and found["high"] == pytest.approx([high] * 5)
    few = bins(odds[:3], choices.Counts(*(v[:3] for v in (counts.first, counts.second, counts.blends))), 5)
    assert few["probability"] == pytest.approx(odds[:3])


@pytest.mark.parametrize(
    ("slope", "distance"),
    [([1.5, 1.25, 2.0], [0.5, 0.25, 1.0]), ([0.75, 0.5, 1.25], [0.25, 0, 0.5]), ([0.5, 0.25, 0.75], [0.5, 0.25, 0.75])],
)
def test_how_far_a_slope_is_from_one(slope, distance):
    assert distance_from_one(slope) == distance
    assert distance_from_one(None) is None


def test_results_are_stored_with_their_parameters(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "FOLDER", tmp_path / "results")
    ahead, _ = scenes(40)
    found = choice_statistics(as_samples(drawn(ahead, ahead.probabilities[:, 0])), ahead)
    results = [{"solver": "β", "settings": settings_of(ASCENT)} | found.record()]
    path = store_results("some", {"seed": 1}, results)
    assert path.name == "some.json"
    assert load_results("some") == {"parameters": {"seed": 1}, "results": results}
    with pytest.raises(ValueError, match="stored results, some; got 'other'"):
        load_results("other")


def test_samplers_are_stored_by_name_and_fields():
    settings = settings_of(Heun(Ladder(5.0, 0.01, 6, rho=7.0), level_from="ladder", centre=None))
    assert settings == {
        "sampler": "Heun",
        "level_from": "ladder",
        "centre": None,
        "ladder": {"sigma_0": 5.0, "sigma_L": 0.01, "steps": 6, "rho": 7.0},
    }
    assert settings_of(Ascent())["beta"] == 0.01


def test_new_results_have_the_keys_of_those_that_are_stored():
    ahead, _ = scenes(40)
    found = choice_statistics(as_samples(drawn(ahead, ahead.probabilities[:, 0])), ahead, replicates=20).record()
    for name in ("slope", "constants", "training", "solvers", "pairs"):
        kept = load_results(name)["results"][0]
        assert list(found) == [key for key in kept if key in found], name
        assert {key: type(kept[key]) for key in found} == {key: type(v) for key, v in found.items()}, name
        assert list(kept["bins"]) == list(found["bins"])


def test_what_is_stored_was_measured_with_the_samplers_of_today():
    """Stored with the arguments of solve and ascend, as they were then; a default that has changed would part them."""
    rows = load_results("solvers")["results"]
    for solver, samplers in SOLVERS.items():
        kept = by_solver(rows, "oracle", [solver])[solver]
        assert [r["settings"]["steps"] for r in kept] == [s.ladder.steps for s in samplers]
        assert {r["settings"]["sigma_0"] for r in kept} == {s.sigma_0 for s in samplers} == {5.0}
        two = kept[0]["settings"]["method"] in ("heun", "churn")
        assert [r["evaluations"] for r in kept] == [(2 if two else 1) * s.ladder.steps + 2 for s in samplers]
        of = {"schedule": "ladder"}
        assert {of.get(r["settings"]["sigma"], r["settings"]["sigma"]) for r in kept} == {
            s.level_from for s in samplers
        }
    (recommended,) = by_solver(rows, "oracle", ["recommended"])["recommended"]
    assert recommended["settings"] == {"method": "multistep", "sigma": RECOMMENDED.level_from} | {
        "steps": RECOMMENDED.ladder.steps, "sigma_0": RECOMMENDED.sigma_0, "beta": RECOMMENDED.beta, "centre": "prediction"
    }  # fmt: skip
    for name, sampler in (("ascent", ASCENT), ("published", Ascent())):
        (kept,) = by_solver(rows, "oracle", [name])[name]
        assert kept["settings"] == {key: getattr(sampler, key) for key in kept["settings"]}


def test_what_is_stored_is_about_the_weights_as_published():
    for name in ("solvers", "constants", "slope"):
        parameters = load_results(name)["parameters"]
        card = load_card(parameters["weights"])
        assert (parameters["sha256"], parameters["images"]) == (card["sha256"], card["training"]["images"]), name
    for name, sha256 in load_results("solvers")["parameters"]["peers"].items():
        assert sha256 == load_card(name, FOLDER / "peers")["sha256"], name
    for name in ("pairs", "failures"):
        parameters = load_results(name)["parameters"]
        assert parameters["sha256"] == load_card(parameters["weights"])["sha256"], name
    failures = load_results("failures")["parameters"]
    assert failures["regression"] == load_card("regression", FOLDER / "peers")["sha256"]
    natural = load_results("natural")["parameters"]
    assert load_results("natural_bank")["parameters"]["sha256"] == natural["sha256"]
    for name, sha256 in natural["sha256"].items():
        if name == "regression":
            card = load_card(f"{natural['weights']}-regression", FOLDER / "peers")
        else:
            card = load_card(f"{natural['weights']}-m{name[-1]}")
        assert sha256 == card["sha256"], name
    history = load_results("training")
    assert history["results"][-1]["sha256"] == load_card(history["parameters"]["weights"])["sha256"]


def test_what_is_stored_has_enough_scenes_to_speak_of():
    """A trial with a few scenes, kept by mistake, would draw figures all the same."""
    for name, least in (
        ("solvers", 500),
        ("constants", 400),
        ("training", 1000),
        ("slope", 4000),
        ("pairs", 1000),
        ("failures", 300),
    ):
        assert load_results(name)["parameters"]["n_scenes"] >= least, name
    assert load_results("solvers")["parameters"]["n_published"] >= 2000
    assert all(record["patches"] >= 100 for record in load_results("natural")["results"])
    assert load_results("natural_bank")["parameters"]["n_bank"] >= 8


def test_scores_of_the_exact_denoiser_are_those_of_the_true_law_as_supplement_3c_says():
    above = [
        r[rule]["above"] for r in load_results("failures")["results"] if "scored" in r for rule in ("energy", "crps")
    ]
    network, exact = above[:2], above[2:]
    assert len(exact) == 12 and all(low < 0 < high for _, low, high in exact)
    assert all(low > 0 for _, low, _ in network)


def test_meetings_have_even_odds_and_an_exact_denoiser():
    c, ahead, oracle = meetings(Leaves(), 12, torch.Generator().manual_seed(0))
    assert c.shape == (12, 2, 32, 32) and (ahead.count() == 2).all()
    torch.testing.assert_close(choices.first_probability(ahead), torch.linspace(0.05, 0.95, 12))
    strong = oracle(ahead.mean() + 20 * torch.randn(12, 1, 32, 32, generator=torch.Generator().manual_seed(1)), c)
    assert (strong - ahead.mean()).abs().max() < 0.1  # noise that drowns everything leaves the mean of the futures
