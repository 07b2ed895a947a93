"""Weights on shots where motion and places are known, of denoisers whose weights are known."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from made_weights import SPEED, following, linear_in, objects, sheets, weighing

from scorevid.denoisers.weights import load_card
from scorevid.estimates import mean_interval
from scorevid.studies import load_results
from scorevid.studies.natural import weights as study
from scorevid.worlds.clips.world import Clips, every_shot

SIGMAS = [0.02, 0.2, 1.0]
NAMES = ("objects-0", "objects-1", "sheets-0", "sheets-1")
A = 0.4
NETWORKS = {
    "M = 0": lambda y, c: y,
    "M = 2": linear_in(A),
    "along": following(1),
    "against": following(-1),
    "weighing": weighing,
}
READ, TRACED = ("M = 2", "along", "weighing"), ("against",)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("shots") / "made.npz"
    np.savez(path, **dict(zip(NAMES, (objects(0), objects(5), sheets(10), sheets(15)), strict=True)))
    return str(path)


@pytest.fixture(scope="module")
def records(source):
    return study.measure(
        every_shot(source, size=48), NETWORKS, SIGMAS, read=READ, traced=TRACED, patches=4, frames=6, seed=1
    )


def test_every_shot_of_a_source_is_measured_whole(source):
    """Catches a share of shots or of their frames that is taken for training and left out."""
    world = every_shot(source, size=48)
    assert (world.size, world.memory, world.split) == (48, 3, "test")
    assert {name: len(clip.frames) for name, clip in world.clips().items()} == dict.fromkeys(NAMES, 24)
    assert list(every_shot(source, ["sheets-1"], size=48).clips()) == ["sheets-1"]
    assert every_shot("bank", size=32).clips().keys() > Clips(split="test").clips().keys()


def test_shots_that_cannot_be_measured_are_named(tmp_path):
    """Catches shots that are dropped without a word."""
    np.savez(tmp_path / "some.npz", long=sheets(0), short=sheets(0, 3), small=sheets(0)[:, :40])
    with pytest.raises(ValueError, match=r"short, small of .* are too short or too small"):
        every_shot(str(tmp_path / "some.npz"), size=48)
    with pytest.raises(ValueError, match="no shot is named nobody"):
        every_shot(str(tmp_path / "some.npz"), ["nobody"])


def test_records_are_plain_data_of_every_shot(records):
    """Catches NaN, which is no JSON, and tensors."""
    text = json.dumps(records, allow_nan=False)
    assert [r["shot"] for r in json.loads(text)] == list(NAMES)
    assert all((r["searched"], r["patches"]) == (24, 4) for r in records)
    for r in records:
        assert list(r["places"]) == list(study.PLACES) and max(r["places"].values()) <= 4
        assert set(r["read"]) == {*READ, *TRACED} and set(r["dimension"]) == set(r["noisy_past"]) == set(NETWORKS)


def test_weights_of_a_linear_denoiser_are_its_coefficients(records):
    """Catches sums over the wrong frames, and means over places that a patch lacks."""
    for r in records:
        found = r["read"]["M = 2"]
        for place in ("all", *[kind for kind, count in r["places"].items() if count]):
            assert found["on_y"][place] == pytest.approx([A] * 3, abs=1e-5)
            assert found["on_past"][place] == pytest.approx([1 - A] * 3, abs=1e-5)
        assert np.ravel(found["fifths"]["on_y"]) == pytest.approx([A] * 15, abs=1e-5)
        assert found["fall"] == pytest.approx(0, abs=1e-5) == found["worst_minus_best"]
        assert found["fifths"]["error"] == sorted(found["fifths"]["error"])
        missing = [kind for kind, count in r["places"].items() if not count]
        assert all(found[of][kind] is None for kind in missing for of in ("on_y", "on_past", "predicted"))


def test_centroids_lie_where_pixels_came_from(records):
    """Catches a flow of the other direction, components that are exchanged, and another frame than the last."""
    for r in records[2:]:
        edges = r["read"]["along"]["edges"]
        flow, lies = np.array(edges["flow"]), np.array(edges["centroid"])
        assert len(flow) == 24 and set(lies[:, 0]) == {-SPEED, SPEED} and not lies[:, 1].any()
        assert np.abs(flow - lies).max() < 0.5
        assert edges["correlation"] > 0.99
        assert r["read"]["against"]["edges"]["correlation"] == pytest.approx(-edges["correlation"], abs=1e-6)
        assert r["read"]["against"].keys() == {"edges"}
        assert r["read"]["M = 2"]["edges"]["correlation"] is None  # of centroids that are zero


def test_what_weighs_by_place_and_noise_is_read_as_such(records):
    """Catches places that are exchanged, thirds in the wrong order and levels that are exchanged."""
    for r in records[:2]:
        found = r["read"]["weighing"]
        assert found["uncovered_minus_still"] == {"value": pytest.approx(0.6, abs=0.01), "patches": 24}
        assert found["on_y"]["just uncovered"] == pytest.approx([0.9, 0.9, 0.09], abs=0.01)
        assert found["on_y"]["still edge"] == pytest.approx([0.3, 0.3, 0.03], abs=0.01)
        assert found["fall"] == pytest.approx(0.9 * found["on_y"]["all"][0], abs=0.01)
        assert found["worst_minus_best"] > 0.2
        assert found["fifths"]["on_y"][1][4] > found["fifths"]["on_y"][1][0] + 0.2
        assert found["predicted"]["just uncovered"] > found["predicted"]["still edge"]
    for r in records[2:]:  # nothing is still there
        assert r["read"]["weighing"]["uncovered_minus_still"] == {"value": None, "patches": 0}


def test_dimension_and_noise_on_the_past_follow_from_the_coefficients(records):
    """Catches probes that are not white, noise on another frame, and noise that is that of y."""
    for r in records:
        assert r["dimension"]["M = 0"] == pytest.approx([1] * 4, rel=0.05)
        ratio = np.divide(r["dimension"]["M = 2"], r["dimension"]["M = 0"])
        assert ratio == pytest.approx([A**2] * 4, rel=1e-4)  # the probes are the same
        assert r["noisy_past"]["M = 0"] == pytest.approx(study.SPOILED_AT**2, rel=0.05)
        errors = np.array(r["noisy_past"]["M = 2"])
        added = (1 - A) ** 2 * np.square(study.NOISES)
        assert (errors - errors[0])[-3:] == pytest.approx(added[-3:], rel=0.1)


def test_the_same_seed_gives_the_same_records(source, records):
    """Catches draws from the global generator."""
    world = every_shot(source, ["sheets-1", "objects-0"], size=48)
    torch.manual_seed(7)
    again = [
        study.measure(world, NETWORKS, SIGMAS, read=["along"], patches=2, frames=2, seed=seed) for seed in (3, 3, 4)
    ]
    assert again[0] == again[1] != again[2]
    assert records[0]["read"]["weighing"] != records[1]["read"]["weighing"]


def test_what_does_not_fit_is_refused(source):
    """Catches work that begins before arguments are looked at."""
    world = every_shot(source, ["sheets-0"], size=48)
    without = {name: f for name, f in NETWORKS.items() if name != "M = 0"}

    class Longer:
        memory = 4

    class None_:
        memory = 0

    for networks, given, message in (
        (without, {}, "networks must have 'M = 0'"),
        (NETWORKS, {"read": ["M = 7"]}, "a network to read must be one of M = 0"),
        (NETWORKS, {"traced": ["M = 7"]}, "a network to read must be one of M = 0"),
        (NETWORKS | {"none": None_()}, {"read": ["none"]}, "must have a past, 'none' has none"),
        (NETWORKS | {"longer": Longer()}, {}, "the memory of the world must be an integer of 4 or more, got 3"),
        (NETWORKS, {"sigmas": [0.02, 1.0]}, r"sigmas must have 0.02, 0.2 and 1.0, \[0.2\] are missing"),
        (NETWORKS, {"sigmas": [*SIGMAS, -1.0]}, "a noise level must lie in"),
        (NETWORKS, {"patches": 0}, "patches must be a positive integer, got 0"),
        (NETWORKS, {"frames": 1.5}, "frames must be a positive integer, got 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            study.measure(world, networks, given.pop("sigmas", SIGMAS), **given)
    with pytest.raises(ValueError, match="the size of the world's patches must be an integer of 32 or more"):
        study.measure(every_shot(source, size=24), NETWORKS, SIGMAS)


def test_intervals_are_over_shots_that_have_a_value():
    """Catches NaN that counts as a shot, and means of logarithms that are not turned back."""
    some = [{"a": {"b": [1.0, 4.0]}}, {"a": None}, {"a": {"b": [100.0, 4.0]}}, {"a": {"b": None}}]
    found = study.values(some, "a", "b")
    assert found.shape == (4, 2) and np.isnan(found[[1, 3]]).all()
    assert study.over_shots(found[:, 0]) == mean_interval([1.0, 100.0])
    first, second = study.curve(found, geometric=True)
    assert first.value == pytest.approx(10) and first.low < 1 and first.n == 2
    assert tuple(second) == pytest.approx((4, 4, 4))
    assert study.curve(found)[0] == study.over_shots(found[:, 0])
    r = study.over_shots(np.array([0.5, np.nan, 0.9]), "fisher")
    assert r.value == pytest.approx(np.tanh((np.arctanh(0.5) + np.arctanh(0.9)) / 2)) and r.n == 2
    with pytest.raises(ValueError, match="no shot has 'a' 'c'"):
        study.values([{"a": {"c": None}}], "a", "c")
    with pytest.raises(ValueError, match="must be positive"):
        study.decibels(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    assert study.decibels(np.array([10.0, 1.0]), np.array([1.0, 2.0])).tolist() == pytest.approx(
        [10, -3.0103], abs=1e-4
    )


def test_what_was_measured_is_named_from_the_record():
    """Catches a chapter that names another source than that measured, or counts shots for patches."""
    records = [{"shot": "one", "patches": 12}, {"shot": "two", "patches": 7}]
    found = study.described({"source": ["a.npz", "b.npz"]}, records)
    assert found == "Measured on 19 patches of 2 shots of `a.npz` and `b.npz`."


def test_the_stored_results_are_of_the_published_networks():
    """Catches weights that were replaced after the measurement."""
    parameters = load_results("natural_weights")["parameters"]
    names = parameters["weights"]
    assert parameters["sha256"] == {label: load_card(name)["sha256"] for label, name in names.items()}
    assert list(names)[:5] == ["M = 0", "M = 1", "M = 2", "M = 3", "M = 2, noisy"]


def run_sweep(folder, source, **given):
    """The cells of the sweep, one after the other."""
    notebook = nbformat.read(Path(__file__).parents[2] / "notebooks" / "sweeps" / "natural_weights.ipynb", 4)
    (parameters, *cells), scope = [cell.source for cell in notebook.cells if cell.cell_type == "code"], {}
    exec(parameters, scope)
    scope |= {"shots": source, "folder": str(folder), "n_patches": 1, "n_frames": 1, "sigmas": SIGMAS} | given
    for cell in cells:
        exec(cell, scope)


def test_the_sweep_stores_what_the_chapters_read(tmp_path, source):
    """Catches a sweep that stores other keys than those of the results that come along."""
    run_sweep(tmp_path, source, only=["sheets-0"])
    small, large = load_results("natural_weights", tmp_path), load_results("natural_weights")
    assert small["parameters"].keys() == large["parameters"].keys()
    assert small["parameters"]["source"] == ["made.npz"] and [r["shot"] for r in small["results"]] == ["sheets-0"]
    (record,), stored = small["results"], large["results"][0]
    assert record.keys() == stored.keys() and record["dimension"].keys() <= stored["dimension"].keys()
    assert record["read"]["M = 2"].keys() == stored["read"]["M = 2"].keys()
