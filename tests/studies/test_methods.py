"""The comparison of methods: one budget, one kind of data, runs that are made longer, and cards."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from scorevid import load_denoiser
from scorevid.denoisers.conditioned import build_network
from scorevid.noise.prior import NoisePrior, PastNoise
from scorevid.studies import ablations, methods
from scorevid.training.runs import open_run
from scorevid.training.steps import Settings, TrainState, learning_rate
from scorevid.training.trainer import Trainer
from scorevid.worlds.gaussian import Gaussian

SHARED = ("batch", "seed", "noise", "lr", "lr_muon", "optimiser", "warmup", "ema_decay", "steps")


@pytest.fixture
def small(monkeypatch):
    """Networks, batches and cards as small as can be."""
    for name, method in methods.METHODS.items():
        settings = method.settings | {"batch": 4, "compile": False}
        sizes = {"widths": (4, 4)} | ({"hidden": 8} if name == "simvp" else {})
        made = replace(method, network=method.network | sizes, settings=settings)
        monkeypatch.setitem(methods.METHODS, name, made)
    monkeypatch.setattr("scorevid.training.runs.score_card", lambda *_: {})  # which tests of cards look at


def compare(tmp_path, *only, minutes=0.01):
    command = methods.Compare(minutes, "Gaussian", 3, tmp_path / "runs", tmp_path / "weights", only, scenes=20)
    command()


def test_methods_share_what_is_not_the_method():
    """Would catch a method with another batch, seed or law of noise, and rates that are not the same up to the freeze."""
    made = [Settings(**{"noise": NoisePrior(**m.noise)} | m.settings) for m in methods.METHODS.values()]
    assert all(getattr(s, name) == getattr(made[0], name) for s in made for name in SHARED)
    assert made[0].noise.law == "peaked" and made[0].batch == 16
    masked = {name for name, s in zip(methods.METHODS, made, strict=True) if s.past != PastNoise()}
    assert masked == {"mcvd"}


@pytest.mark.parametrize("name", methods.METHODS)
def test_a_method_is_trained_and_published(name, tmp_path, small):
    """Would catch a method that the trainer, the card or the loading does not know."""
    compare(tmp_path, name)
    f = load_denoiser(name, tmp_path / "weights")
    assert f.memory == 3 and f.card["world"]["name"] == "Gaussian" and f.card["training"]["images"] > 0
    assert f.card["past_noise"]["mask"] == (0.5 if name == "mcvd" else 0)
    assert torch.isfinite(f(torch.rand(1, 1, 16, 16), torch.rand(1, 3, 16, 16), 0.5)).all()


def test_more_minutes_make_a_run_longer(tmp_path, small):
    """Would catch a run that begins anew, one that stops where it was, and a rate that does not fall to zero again."""
    method, run = methods.METHODS["simvp"], tmp_path / "runs" / "simvp"
    settings = Settings(steps=20, **method.settings)
    Trainer(build_network({"memory": 3} | method.network), Gaussian(memory=3), settings, run).run(progress=False)
    before = open_run(run).state
    assert before.is_done
    compare(tmp_path, "simvp", minutes=2 * before.seconds / 60)
    after = open_run(run).state
    assert after.is_done and after.planned_steps == after.step and after.step in (39, 40)
    assert after.changes == [{"until_step": 20, "steps": 20}]
    assert load_denoiser("simvp", tmp_path / "weights").card["training"]["steps"] == after.step
    assert learning_rate(20, after.step, 500) > 0.5 > 0.01 > learning_rate(after.step - 1, after.step, 500)


def test_a_lost_run_goes_on_from_its_weights(tmp_path, small):
    """Would catch a method that is trained anew where its run is gone, and one whose time is counted from zero."""
    compare(tmp_path, "edm")
    path = tmp_path / "weights" / "edm.json"
    card = json.loads(path.read_text())
    card["training"]["hours"] = 0.001
    path.write_text(json.dumps(card))
    shutil.rmtree(tmp_path / "runs")
    compare(tmp_path, "edm", minutes=0.08)
    training, steps = load_denoiser("edm", tmp_path / "weights").card["training"], card["training"]["steps"]
    assert training["steps"] > steps and training["hours"] >= 0.001
    assert training["changes"] == [{"until_step": steps, "went_on_from": "edm"}]


@pytest.mark.parametrize(
    ("planned", "step", "minutes", "expected"),
    [
        (1000, 1000, 20, 2000),  # done, and twice the time is given
        (1000, 500, 20, None),  # interrupted half-way at half the speed: the plan fits
        (1000, 1000, 10.5, None),  # done but for what a plan may be off
        (1000, 1000, 5, None),  # no plan is cut short
        (None, 30, 20, None),  # not planned yet
    ],
)
def test_how_much_longer_a_plan_becomes(planned, step, minutes, expected):
    """After 10 minutes; would catch a plan that counts from zero, or shrinks."""
    state = TrainState(planned_steps=planned, step=step, seconds=600.0)
    assert ablations.longer_plan(state, minutes) == expected


def test_what_has_had_its_time_is_not_trained_again(tmp_path, small, monkeypatch):
    """Would catch a command that trains everything anew, and one that takes a shorter run for done."""
    compare(tmp_path, "convlstm")
    path = tmp_path / "weights" / "convlstm.json"
    card = json.loads(path.read_text())
    card["training"]["hours"] = 1.0
    path.write_text(json.dumps(card))
    monkeypatch.setattr(Trainer, "run", lambda *_, **__: pytest.fail("it was trained"))
    compare(tmp_path, "convlstm", minutes=60)
    compare(tmp_path, "convlstm", minutes=65)
    with pytest.raises(pytest.fail.Exception):
        compare(tmp_path, "convlstm", minutes=90)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="only must be one of score"):
        methods.Compare(only=("gan",))
