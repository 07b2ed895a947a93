"""Errors on natural video: baselines at their best gain, regions that divide the pixels, intervals over shots."""

import json
import math
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from made_davis import write_davis

from scorevid.denoisers.conditioned import Regression
from scorevid.denoisers.unet import UNet
from scorevid.denoisers.weights import available, load_card, load_denoiser
from scorevid.studies import load_results, natural
from scorevid.studies.natural import margins
from scorevid.worlds.clips.patches import cut_from_whole_frames, few_frames, held_out
from scorevid.worlds.clips.world import Clips

SIGMAS = (0.05, 0.5)
HELD_OUT = ("breakdance", "car-roundabout", "goat", "motocross-jump")
WORLD = Clips(memory=3, split="test")


@pytest.fixture(scope="module")
def patches():
    return held_out(WORLD, 6)


class Nothing(Regression):
    """A regression that answers mid-grey."""

    def forward(self, y, c, sigma=None):
        return torch.full_like(c[:, :1], 0.5)


@pytest.fixture(scope="module")
def records():
    networks = {"M = 0": lambda y, c: y, "M = 2": lambda y, c: c[:, -1:], natural.REGRESSION: Nothing(2, (4,))}
    return natural.measure(WORLD, networks, SIGMAS, frames=1)


def test_psnr_is_logarithmic():
    assert margins.psnr([1.0, 0.1, 0.01]).tolist() == pytest.approx([0, 10, 20])
    with pytest.raises(ValueError, match="positive"):
        margins.psnr([0.1, 0.0])


def test_no_other_gain_joins_a_prediction_and_the_noisy_frame_better():
    generator, sigma, v = torch.Generator().manual_seed(0), 0.3, 0.04
    x = torch.rand(50, 1, 32, 32, generator=generator)
    p = x + math.sqrt(v) * torch.randn(x.shape, generator=generator)
    y = x + sigma * torch.randn(x.shape, generator=generator)
    best = (natural.join(p, y, sigma, v) - x).square().mean().item()
    assert best == pytest.approx(v * sigma**2 / (v + sigma**2), rel=0.02)
    assert all((natural.join(p, y, sigma, k * v) - x).square().mean() > best for k in (0.5, 2.0))


def test_the_best_mix_is_that_of_least_squares():
    generator = torch.Generator().manual_seed(0)
    p, w, x = torch.rand(3, 40, 1, 8, 8, generator=generator).unbind(0)
    g = torch.linalg.lstsq((w - p).flatten()[:, None], (x - p).flatten()[:, None]).solution.item()
    torch.testing.assert_close(natural.best_mix(p, w, x), p + g * (w - p))
    torch.testing.assert_close(natural.best_mix(p, p, x), p)


def test_a_network_is_given_as_much_of_the_past_as_it_remembers(patches):
    assert torch.equal(natural.denoise(lambda y, c: c[:, :1], patches.x, patches.c), patches.c[:, :1])
    with pytest.raises(ValueError, match="memory of 2 frames, the past has 1"):
        natural.denoise(Nothing(2, (4,)), patches.x, patches.c[:, -1:])


def test_frames_of_any_size_are_mirrored_at_their_border():
    part = torch.rand(2, 2, 21, 22, generator=torch.Generator().manual_seed(0))
    whole = torch.cat([part, part[..., 17:20, :].flip(-2)], -2)
    whole = torch.cat([whole, whole[..., 19:21].flip(-1)], -1)
    f = UNet(1, (2, 3, 4)).eval()
    found = natural.denoise(f, part[:, :1], part[:, 1:])
    assert found.shape == (2, 1, 21, 22)
    with torch.no_grad():
        torch.testing.assert_close(found, f(whole[:, :1], whole[:, 1:])[..., :21, :22])


def test_frames_that_are_too_small_to_be_mirrored_are_refused():
    with pytest.raises(ValueError, match="must have 4 × 4 pixels or more, got 2 × 8"):
        natural.denoise(UNet(1, (2, 3, 4)), torch.zeros(1, 1, 2, 8), torch.zeros(1, 1, 2, 8))


def test_all_are_shown_whole_frames():
    """What comes into a patch from the right is known to whoever sees the frame."""
    networks = {
        "M = 0": lambda y, c: y,
        "M = 2": lambda y, c: c[:, -1:].roll(-8, -1),
        natural.REGRESSION: lambda y, c: c[:, -1:].roll(-8, -1),
    }
    found = natural.measure(WORLD, networks, (0.5,), frames=1)
    patches = few_frames(held_out(WORLD), 1)
    looked = cut_from_whole_frames(WORLD, patches, lambda c, x: c[:, -1:].roll(-8, -1))
    assert not torch.equal(looked, patches.c[:, -1:].roll(-8, -1))
    for record in found:
        own = torch.tensor([clip == record["shot"] for clip in patches.clip])
        due = (looked[own] - patches.x[own]).square().mean().item()
        by_name = {(e["predictor"], e["gain"], e["where"]): e["squared_error"] for e in record["errors"]}
        assert by_name["M = 2", None, "all"] == [pytest.approx(due, rel=1e-5)]
        joined = due * 0.25 / (due + 0.25)  # what is to be expected of the best gain
        assert by_name[natural.REGRESSION, "own", "all"] == [pytest.approx(joined, rel=0.05)]


def test_regions_divide_the_pixels():
    near = torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.3
    found = natural.masks(torch.rand(9, generator=torch.Generator().manual_seed(1)), near)
    assert list(found) == list(natural.WHERE)
    thirds = torch.stack([found[name] for name in natural.THIRDS])
    assert (thirds.sum(0) == 1).all() and [int(t.sum()) for t in thirds] == [48, 48, 48]
    assert torch.equal(found["near occlusions"], near) and torch.equal(found["elsewhere"], ~near)


def test_records_hold_what_was_measured(records, patches):
    assert [r["shot"] for r in records] == ["bikes-0", "taz"] or [r["shot"] for r in records] == ["taz", "bikes-0"]
    identity, copy = (margins.decibels(records, name) for name in ("M = 0", "M = 2"))
    np.testing.assert_allclose(identity, np.broadcast_to(-20 * np.log10(SIGMAS), (2, 2)), atol=0.2)  # y itself
    change = [margins.psnr([r["motion"] ** 2])[0] for r in records]
    np.testing.assert_allclose(copy, np.stack([change, change], 1), atol=1e-3)  # whatever σ
    few = few_frames(held_out(WORLD), 1)
    for r in records:
        assert (r["frames"], r["patches"]) == (1, few.clip.count(r["shot"]))
    for name in natural.BASELINES:
        own = margins.decibels(records, name, "own")
        assert (own > -20 * np.log10(SIGMAS) - 0.1).all()
        mixed = margins.decibels(records, name, "denoised")  # here with y itself, at the number that is best in fact
        assert (mixed >= own - 1e-4).all() and (mixed < own + 0.5).all()
    lead = margins.margins(records, of="M = 0")
    assert set(lead) == set(natural.BASELINES) and all(v.shape == (2, 2) for v in lead.values())
    with pytest.raises(ValueError, match="no record has"):
        margins.decibels(records, "M = 7")


@pytest.mark.parametrize("gain", natural.GAINS)
@pytest.mark.parametrize("name", natural.BASELINES)
def test_the_baselines_are_measured_by_region(records, name, gain):
    """Thirds are of one size; pixels near occlusions and elsewhere make up the whole by their shares."""

    def errors(where):
        return 10 ** (-margins.decibels(records, name, gain, where) / 10)

    thirds = np.mean([errors(where) for where in natural.THIRDS], 0)
    np.testing.assert_allclose(thirds, errors("all"), rtol=1e-5)
    near = np.array([[r["occlusions"]] for r in records])
    both = near * errors("near occlusions") + (1 - near) * errors("elsewhere")
    np.testing.assert_allclose(both, errors("all"), rtol=1e-5)


def test_leads_by_region_are_of_the_network_and_the_baseline_there(records):
    found = margins.margins(records, "denoised", "M = 0", "most motion")
    for name, lead in found.items():
        theirs = margins.decibels(records, name, "denoised", "most motion")
        np.testing.assert_allclose(lead, margins.decibels(records, "M = 0", where="most motion") - theirs)
    least = margins.least_margin(records, SIGMAS, 0.5, 0.5, ["copy"], "M = 0", "denoised", "most motion")
    assert least == margins.over_shots(found["copy"])[1]
    assert not np.allclose(found["copy"], margins.margins(records, "denoised", "M = 0")["copy"])


def test_shots_without_such_pixels_are_left_out():
    def record(errors):
        return {
            "errors": [{"predictor": "a", "gain": None, "where": k, "squared_error": [v]} for k, v in errors.items()]
        }

    some = [record({"all": 0.1, "near": 0.01}), record({"all": 0.01}), record({"all": 0.1, "near": 0.001})]
    found = margins.decibels(some, "a", where="near")
    assert found[[0, 2], 0].tolist() == pytest.approx([20, 30]) and np.isnan(found[1, 0])
    ((value, low, high),) = margins.over_shots(found)
    assert value == pytest.approx(25) and high - value == pytest.approx(12.706 * 5, rel=1e-3) == value - low


def test_the_least_margin_is_that_of_the_strongest_baseline_at_the_worst_level(records):
    found = margins.least_margin(records, SIGMAS, 0, 1)
    means = [min(margins.over_shots(v)).value for v in margins.margins(records).values()]
    assert found.value == pytest.approx(min(means)) and found.value < 0
    with pytest.raises(ValueError, match="one of the noise levels must lie in"):
        margins.least_margin(records, SIGMAS, 2, 3)


def test_what_is_made_of_whole_frames_is_cut_where_the_patches_are(patches):
    found = cut_from_whole_frames(WORLD, patches, lambda c, x: torch.cat([c[:, -1:], x], 1))
    torch.testing.assert_close(found, torch.cat([patches.c[:, -1:], patches.x], 1))
    other = patches.select(torch.arange(2))
    other.clip[0] = "nowhere"
    with pytest.raises(ValueError, match="no shots nowhere"):
        cut_from_whole_frames(WORLD, other, lambda c, x: x)


def test_few_frames_keeps_all_patches_of_few_frames():
    everything = held_out(WORLD)
    few = few_frames(everything, 2)
    times = {(clip, int(t)) for clip, t in zip(few.clip, few.place[:, 0], strict=True)}
    assert len(times) == 2 * len(set(everything.clip))
    whole = [(c, int(t)) in times for c, t in zip(everything.clip, everything.place[:, 0], strict=True)]
    assert sum(whole) == len(few.clip)


def test_the_published_networks_load():
    networks = natural.load_networks()
    assert [networks[f"M = {m}"].memory for m in natural.MEMORIES] == [0, 1, 2, 3]
    steps = {f.card["training"]["steps"] for name, f in networks.items() if name != natural.REGRESSION}
    assert len(steps) == 1 and all("BY-NC" in f.card["licence"] for f in networks.values())
    assert {tuple(f.card["world"]["test"]) for f in networks.values()} == {HELD_OUT}


def test_samples_and_mean_of_a_network_that_copies(patches):
    mean, samples = natural.predict(lambda y, c: c[:, -1:], patches.c, 2, generator=torch.Generator().manual_seed(0))
    assert samples.shape == (len(patches.x), 2, 32, 32)
    assert torch.equal(mean, patches.c[:, -1:]) and torch.equal(samples[:, :1], mean)
    (first, *_) = natural.sharpness(lambda y, c: c[:, -1:], patches)
    assert first["samples"] == pytest.approx(first["mean"]) and first["sample_error"] == pytest.approx(
        first["mean_error"]
    )


def run_cells(name, **given):
    """The cells of a sweep, one after the other."""
    notebook = nbformat.read(Path(__file__).parents[2] / "notebooks" / "sweeps" / f"{name}.ipynb", 4)
    (parameters, *cells), scope = [cell.source for cell in notebook.cells if cell.cell_type == "code"], {}
    exec(parameters, scope)
    scope |= given
    for cell in cells:
        exec(cell, scope)


def run_sweep(folder, davis):
    own = {"davis": str(davis), "folder": str(folder), "n_frames": 1, "n_bank": 1, "n_sharp": 3, "sigmas": [0.5]}
    run_cells("natural", **own)


@pytest.mark.filterwarnings("ignore::scorevid.worlds.clips.readers.UncheckedFootage")
def test_the_sweep_measures_the_sequences_that_were_held_out_and_no_others(tmp_path):
    """Of a folder of DAVIS, whose "val" has sequences that the published networks were trained on."""
    davis = write_davis(tmp_path / "DAVIS", {"bear": 5}, dict.fromkeys(["blackswan", *HELD_OUT], 5), (96, 112))
    run_sweep(tmp_path, davis)
    results = json.loads((tmp_path / "natural.json").read_text())["results"]
    assert tuple(record["shot"] for record in results) == HELD_OUT
    assert all(record["frames"] == 1 and record["sharpness"]["shot"] == record["shot"] for record in results)
    bank = json.loads((tmp_path / "natural_bank.json").read_text())
    assert [record["split"] for record in bank["results"]].count("test") == 2 and bank["parameters"]["n_bank"] == 1


@pytest.mark.filterwarnings("ignore::scorevid.worlds.clips.readers.UncheckedFootage")
def test_the_sweep_ends_where_a_held_out_sequence_is_missing(tmp_path):
    davis = write_davis(tmp_path / "DAVIS", {"bear": 5}, dict.fromkeys(["blackswan", *HELD_OUT[1:]], 5), (96, 112))
    with pytest.raises(ValueError, match="no shot is named breakdance"):
        run_sweep(tmp_path, davis)
    assert not (tmp_path / "natural.json").exists()


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """Two shots of noise that drifts, of which one is described."""
    folder = tmp_path_factory.mktemp("shots")
    wide = np.random.default_rng(0).integers(0, 255, (2, 40, 90), np.uint8)
    frames = {name: np.stack([one[:, t : t + 48] for t in range(20)]) for name, one in zip("ab", wide, strict=True)}
    np.savez(folder / "shots.npz", **frames)
    (folder / "about.json").write_text(json.dumps([{"name": "a", "group": "g", "camera": "pan", "motion": "rigid"}]))
    return folder


@pytest.mark.filterwarnings("ignore::scorevid.worlds.clips.readers.UncheckedFootage")
def test_all_shots_of_a_source_are_measured_with_all_memories_and_at_half_speed(shots, tmp_path):
    """It would catch shots that are left out, networks that are mixed up, and frames that are not left out."""
    own = {"shots": str(shots / "shots.npz"), "about": "about.json", "folder": str(tmp_path)}
    run_cells("natural_shots", **own, n_frames=1, n_sharp=3, sigmas=[0.5])
    found = json.loads((tmp_path / "natural_shots.json").read_text())
    assert [(r["shot"], r["group"], r["camera"], r["kind"]) for r in found["results"]] == [
        ("a", "g", "pan", "rigid"),
        ("b", "b", "", ""),
    ]
    names = {
        "M = 0",
        "M = 1",
        "M = 2",
        "M = 3",
        natural.FOLLOWING,
        natural.CONTROL,
        *map(natural.of_longer, natural.LONGER),
    }
    assert set(found["parameters"]["sha256"]) == names | {natural.REGRESSION}
    for record in found["results"]:
        assert names <= {e["predictor"] for e in record["errors"]}
        full = {e["predictor"]: e["squared_error"] for e in record["errors"] if e["where"] == "all" and not e["gain"]}
        half = record["every_second_frame"]
        assert set(half) == set(map(natural.of_longer, natural.LONGER)) and half["0 of 7"] != full["0 of 7"]
        assert set(record["sharpness"]) == {"M = 2", natural.FOLLOWING}


def test_a_network_with_all_memories_sees_no_more_than_it_is_given(patches):
    networks, y = natural.load_longer(), patches.x[:2]
    long, other = torch.rand(2, 2, 7, 32, 32, generator=torch.Generator().manual_seed(0)).unbind(0)
    for m in natural.LONGER:
        f, mixed = networks[natural.of_longer(m)], torch.cat([other[:, : 7 - m], long[:, 7 - m :]], 1)
        assert torch.equal(natural.denoise(f, y, long), natural.denoise(f, y, mixed))
    assert not torch.equal(natural.denoise(networks["7 of 7"], y, long), natural.denoise(networks["2 of 7"], y, long))


@pytest.mark.parametrize("name", ["natural_shots", "natural_weights", "surprises"])
def test_what_is_stored_of_test_shots_is_of_the_published_weights(name):
    """It would catch weights that were replaced after the shots had been measured, and a trial that was left in place."""
    parameters = load_results(name)["parameters"]
    source = parameters.get("shots") or parameters["source"][0]
    assert source == "natural_test_gray96.npz"
    networks = natural.load_networks() | natural.load_longer()
    networks |= {
        natural.FOLLOWING: load_denoiser("natural-follow-m2"),
        "M = 2, noisy": load_denoiser("natural-32-m2-varied"),
    }
    networks[natural.CONTROL] = load_denoiser("natural-32-m2-longer")
    for key, sha256 in parameters["sha256"].items():
        assert sha256 == getattr(networks[key], "f", networks[key]).card["sha256"], key


def test_weights_that_learned_from_footage_under_other_terms_say_so():
    cards = [load_card(name) for name in available() if name.startswith("natural")]
    assert len(cards) >= 8
    for card in cards:
        assert ("research only" if len(card["world"]["source"]) > 2 else "BY-NC") in card["licence"], card["name"]
