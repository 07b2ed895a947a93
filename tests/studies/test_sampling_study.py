"""What the sweeps measure, on samples whose choices are known."""

import numpy as np
import pytest
import torch

from scorevid import estimates
from scorevid.denoisers.conditioned import Told
from scorevid.denoisers.weights import FOLDER, load_card
from scorevid.measures import choices
from scorevid.sampling.starts import Samples
from scorevid.studies import sampling as sweeps
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
    return Samples(x, count, count, torch.zeros(x.shape[:2]), torch.ones(x.shape[:2], dtype=torch.bool))


def drawn(ahead: Futures, probability: torch.Tensor, n: int = 20) -> torch.Tensor:
    """n samples of each scene, the first future with the given probability, (B, n, H, W)."""
    first = torch.rand(len(ahead), n, generator=torch.Generator().manual_seed(1)) < probability[:, None]
    return torch.where(first[..., None, None], ahead.frames[:, :1], ahead.frames[:, 1:])


def test_true_draws_measure_as_such():
    ahead, first = scenes()
    assert (sweeps.nearer_to_grey(ahead) == first).all()
    found = sweeps.measure(as_samples(drawn(ahead, ahead.probabilities[:, 0])), ahead)
    for name, due in (("slope", 1), ("intercept", 0), ("towards_grey", 0)):
        value, low, high = found[name]
        assert low < value < high and value == pytest.approx(due, abs=0.1)
    assert found["blends"][0] == 0 and found["rendering_error"] == pytest.approx(0, abs=1e-9)
    assert found["evaluations"] == 3 and found["converged"] == 1 and found["scenes"] == 400
    assert found["calibration_error"][0] < 0.02


def test_a_bias_towards_grey_is_seen_although_scenes_are_balanced():
    ahead, first = scenes()
    logit = ahead.probabilities[:, 0].logit() * 1.5 + torch.where(first, 1.0, -1.0)
    found = sweeps.measure(as_samples(drawn(ahead, logit.sigmoid())), ahead)
    assert found["slope"][0] == pytest.approx(1.5 / 1.2, abs=0.2)  # two lines shifted apart look flatter together
    assert found["intercept"][0] == pytest.approx(0, abs=0.1)
    assert found["towards_grey"][0] == pytest.approx(1.0, abs=0.1)


def test_blends_alone_have_no_slope():
    ahead, _ = scenes()
    found = sweeps.measure(as_samples(ahead.frames.mean(1, keepdim=True)), ahead)
    assert found["blends"][0] == 1 and found["slope"] is None and found["towards_grey"] is None


def test_bins_hold_all_that_chose():
    odds = np.linspace(0, 1, 25)
    counts = choices.Counts(np.full(25, 3), np.full(25, 1), np.full(25, 2))
    found = sweeps.bins(odds, counts, 5)
    assert found["probability"] == pytest.approx([odds[5 * k : 5 * k + 5].mean() for k in range(5)])
    assert found["frequency"] == pytest.approx([0.75] * 5)
    low, high = estimates.wilson(15, 20).interval
    assert found["low"] == pytest.approx([low] * 5) and found["high"] == pytest.approx([high] * 5)


@pytest.mark.parametrize(
    ("slope", "distance"),
    [([1.5, 1.25, 2.0], [0.5, 0.25, 1.0]), ([0.75, 0.5, 1.25], [0.25, 0, 0.5]), ([0.5, 0.25, 0.75], [0.5, 0.25, 0.75])],
)
def test_how_far_a_slope_is_from_one(slope, distance):
    assert sweeps.distance_from_one(slope) == distance
    assert sweeps.distance_from_one(None) is None


def test_sampling_takes_the_sampler_that_the_settings_name():
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    c = x.expand(-1, 2, -1, -1)
    asked = []

    def f(y, c):
        asked.append(len(y))
        return c[:, :1]

    fixed = sweeps.sample(f, c, sweeps.RECOMMENDED, torch.Generator().manual_seed(0), n_samples=3)
    assert len(asked) == sweeps.RECOMMENDED["steps"] + 2 == int(fixed.evaluations[0, 0])
    ascent = sweeps.sample(f, c, sweeps.ASCENT, torch.Generator().manual_seed(0))
    for samples in (fixed, ascent):
        torch.testing.assert_close(samples.x, x.expand_as(samples.x))


def test_a_network_that_is_told_takes_its_level_from_the_schedule():
    network = Told(2, (4, 8)).eval()
    c = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    samples = sweeps.sample(network, c, sweeps.RECOMMENDED, torch.Generator().manual_seed(0))
    assert samples.x.shape == (1, 1, 8, 8) and samples.x.isfinite().all()


def test_results_are_stored_with_their_parameters(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "FOLDER", tmp_path / "results")
    ahead, _ = scenes(40)
    results = [{"solver": "β", **sweeps.measure(as_samples(drawn(ahead, ahead.probabilities[:, 0])), ahead)}]
    path = sweeps.store("some", {"seed": 1}, results)
    assert path.name == "some.json"
    assert sweeps.load("some") == {"parameters": {"seed": 1}, "results": results}
    with pytest.raises(ValueError, match="no stored sweep named 'other'; stored are: some"):
        sweeps.load("other")


def test_what_is_stored_is_about_the_weights_as_published():
    for name in ("solvers", "constants", "slope"):
        parameters = sweeps.load(name)["parameters"]
        card = load_card(parameters["weights"])
        assert (parameters["sha256"], parameters["images"]) == (card["sha256"], card["training"]["images"]), name
    for name, sha256 in sweeps.load("solvers")["parameters"]["peers"].items():
        assert sha256 == load_card(name, FOLDER / "peers")["sha256"], name
    natural = sweeps.load("natural")["parameters"]
    for name, sha256 in natural["sha256"].items():
        if name == "regression":
            card = load_card(f"{natural['weights']}-regression", FOLDER / "peers")
        else:
            card = load_card(f"{natural['weights']}-m{name[-1]}")
        assert sha256 == card["sha256"], name
    history = sweeps.load("training")
    assert history["results"][-1]["sha256"] == load_card(history["parameters"]["weights"])["sha256"]


def test_what_is_stored_has_enough_scenes_to_speak_of():
    """A trial with a few scenes, kept by mistake, would draw figures all the same."""
    for name, least in (("solvers", 500), ("constants", 400), ("training", 1000), ("slope", 4000)):
        assert sweeps.load(name)["parameters"]["n_scenes"] >= least, name
    assert sweeps.load("solvers")["parameters"]["n_published"] >= 2000
    assert all(record["patches"] >= 100 for record in sweeps.load("natural")["results"])


def test_meetings_have_even_odds_and_an_exact_denoiser():
    c, ahead, oracle = sweeps.meetings(Leaves(), 12, torch.Generator().manual_seed(0))
    assert c.shape == (12, 2, 32, 32) and (ahead.count() == 2).all()
    torch.testing.assert_close(choices.first_probability(ahead), torch.linspace(0.05, 0.95, 12))
    strong = oracle(ahead.mean() + 20 * torch.randn(12, 1, 32, 32, generator=torch.Generator().manual_seed(1)), c)
    assert (strong - ahead.mean()).abs().max() < 0.1  # noise that drowns everything leaves the mean of the futures
