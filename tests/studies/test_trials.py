"""Trials of recipes and of networks: one difference each, equal time, validation data, rows that stay."""

import json
from dataclasses import replace

import numpy as np
import pytest

from scorevid import load_denoiser
from scorevid.studies import trials
from scorevid.studies.ablations import FOLDER
from scorevid.studies.trials import TRIALS, Run, Trial
from scorevid.training.runs import read_run
from scorevid.worlds.leaves.world import Leaves


@pytest.fixture
def small(monkeypatch):
    """Two trials of leaves, as small as can be, and judges that only say what they were given."""
    for name in ("base", "batch-16"):
        trial = TRIALS["leaves"][name]
        settings = {"batch": 4} | trial.variant.settings | {"compile": False}
        made = replace(trial.variant, network={"widths": (4, 4 if name == "base" else 8)}, settings=settings)
        monkeypatch.setitem(
            TRIALS["leaves"], name, Trial(made, {"n_disks": 2, "fewest": None, "joining": 0.0, "inferred": 0.0})
        )
    for name in set(TRIALS["leaves"]) - {"base", "batch-16"}:
        monkeypatch.delitem(TRIALS["leaves"], name)
    monkeypatch.setattr(trials, "judged_on_leaves", lambda f: {"judged": sum(p.numel() for p in f.parameters())})


def rows(folder):
    return json.loads((folder / "trials_leaves.json").read_text())["results"]


@pytest.mark.parametrize("table", TRIALS)
def test_a_trial_differs_from_the_base_in_one_thing_or_says_more(table):
    """Would catch a trial whose result says nothing, as it differs in something else too."""
    first, *others = TRIALS[table].values()
    several = {
        "choices": 2,
        "combined": 3,
        "following": 2,
    }  # with the least σ; three of the others; with larger patches
    for name, trial in zip(list(TRIALS[table])[1:], others, strict=True):
        changed = (
            int(trial.variant.network != first.variant.network)
            + len(trial.variant.network)
            - bool(trial.variant.network)
        )
        for old, new in ((first.variant.noise, trial.variant.noise), (first.variant.settings, trial.variant.settings)):
            assert old.keys() <= new.keys()
            changed += sum(new[k] != old.get(k) for k in new)
        changed += trial.world != first.world
        if trial.world.get("size") == 64:  # as many pixels by a smaller batch
            assert trial.variant.settings["batch"] * 4 == first.variant.settings["batch"]
            changed -= 1
        assert changed == several.get(name, 1), name


def test_trials_have_equal_time_and_their_rows_stay(tmp_path, small, monkeypatch):
    """Would catch updates that do not go by the time of one, a run begun anew, and rows that are lost or doubled."""
    monkeypatch.setattr(trials, "seconds_an_update", lambda made: dict(zip(made, (0.03, 0.01), strict=True)))
    command = Run("leaves", minutes=0.01, out=tmp_path / "runs", folder=str(tmp_path))
    command()
    assert [(row["trial"], row["updates"]) for row in rows(tmp_path)] == [("base", 20), ("batch-16", 60)]
    base, other = (row["judged"] for row in rows(tmp_path))
    assert base == rows(tmp_path)[0]["parameters"] < other  # as the other is wider
    monkeypatch.setattr(trials, "seconds_an_update", lambda made: pytest.fail("the speeds are stored"))
    replace(command, minutes=0.02, only=("base",))()
    replace(command, minutes=0.02, only=("base",))()
    with pytest.raises(ValueError, match="minutes must be those"):
        replace(command, minutes=0.01, only=("base",))()
    found = [(row["trial"], row["minutes"], row["updates"]) for row in rows(tmp_path)]
    assert found == [("base", 0.01, 20), ("batch-16", 0.01, 60), ("base", 0.02, 40)]
    assert read_run(tmp_path / "runs" / "leaves" / "base")[0].state.changes[-1] == {"until_step": 20, "steps": 20}


def test_the_time_is_measured_once_for_each_kind_of_update(tmp_path, small, monkeypatch):
    """Would catch a trial with the time of another kind, and minutes spent on measuring the same twice."""
    monkeypatch.setitem(TRIALS["leaves"], "twin", TRIALS["leaves"]["base"])
    monkeypatch.setattr(trials, "seconds_an_update", lambda made: dict(zip(made, (0.3, 0.1), strict=True)))
    found = Run("leaves", folder=str(tmp_path))._parameters(dict.fromkeys(("base", "batch-16", "twin"), Leaves()))
    assert found["seconds_an_update"] == {"base": 0.3, "twin": 0.3, "batch-16": 0.1}
    assert found["scenes"] == trials.SCENES and found["machine"]["threads"] >= 1


def test_the_time_of_an_update_is_that_of_the_processor(small):
    """Would catch updates that are counted wrongly: an update of sixteen times the images takes longer."""
    some, world = TRIALS["leaves"]["base"], Leaves(n_disks=2)
    many = replace(some, variant=replace(some.variant, settings=some.variant.settings | {"batch": 64}))
    found = trials.seconds_an_update({"few": (some, world), "many": (many, world)}, rounds=3, updates=2)
    assert 0 < found["few"] < found["many"]


def test_leaves_are_judged_by_what_is_known_exactly():
    """Would catch a judge to whom a tiny network of minutes is as good as one of hours."""
    good, poor = (
        trials.judged_on_leaves(f, scenes=24, samples=4)
        for f in (load_denoiser("leaves-32"), load_denoiser("half-width", FOLDER))
    )
    for name in (f"excess {n}" for n in trials.DISKS):
        assert len(good[name]) == len(trials.SIGMAS["leaves"]) and 0 < good[name][0][0] < 0.5 * poor[name][0][0]
    assert good["blends"][0] < poor["blends"][0] and good["rendering_error"] < poor["rendering_error"]


@pytest.fixture
def shots(tmp_path):
    """Files with the shots that are kept for validation, and two others each."""
    from scorevid.denoisers.weights import load_card

    kept, generator = load_card("natural-follow-m2")["world"]["test"], np.random.default_rng(0)
    paths = []
    for name, some in (("davis.npz", kept[:4]), ("train.npz", kept[4:])):
        made = {
            shot: generator.integers(0, 256, (6, 64, 64), np.uint8) for shot in (*some, f"{name[0]}1", f"{name[0]}2")
        }
        np.savez(tmp_path / name, **made)
        paths.append(tmp_path / name)
    return paths


def test_natural_networks_are_judged_on_shots_that_training_does_not_see(shots, monkeypatch):
    """Would catch validation on shots of training, and patches of 64 pixels judged on others than those of 32."""
    trial = TRIALS["natural"]["patches-64"]
    world = trials.world_of("natural", trial, shots)
    assert world.size == 64
    measured = []
    monkeypatch.setattr(trials.natural, "measure", lambda world, *_, frames: measured.append(world) or [])
    monkeypatch.setattr(trials.natural.margins, "decibels", lambda *_: np.zeros((0, 4)))
    trials.judged_on_shots(load_denoiser("natural-32-m2"), world)
    (judged,) = measured
    seen, kept = (set(w.clips()) for w in (world, judged))
    assert judged.size == 32 and not seen & kept
    assert kept >= {*world.test, "bikes-0"} and {"d1", "t1"} <= seen


@pytest.mark.parametrize("bad", [{"only": ("none",)}, {"minutes": 0.0}])
def test_trials_refuse_what_cannot_be(bad, tmp_path):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Run("leaves", out=tmp_path, folder=str(tmp_path), **bad)()
