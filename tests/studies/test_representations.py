"""The study of representations: equal networks but for the method, exact targets, and training by updates that goes on."""

import signal
from dataclasses import replace

import pytest
import torch

from scorevid import load_denoiser
from scorevid.denoisers.conditioned import build_network
from scorevid.denoisers.exact import Oracle
from scorevid.studies import ablations
from scorevid.studies import representations as study
from scorevid.studies.representations import networks
from scorevid.training.runs import open_run
from scorevid.training.trainer import Trainer
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.next_frames import futures

SMALL = {"memory": 2, "widths": (4, 4)}


@pytest.fixture(scope="module")
def meetings():
    return undecided_meetings(study.WORLD, 40, torch.Generator().manual_seed(0))


@pytest.fixture
def small(monkeypatch):
    """Networks, batches and cards as small as can be."""
    monkeypatch.setattr(networks, "BASE", SMALL)
    monkeypatch.setattr(networks, "WORLD", replace(study.WORLD, close=0.0, joining=0.0))  # which is drawn faster
    for name, variant in study.NETWORKS.items():
        settings = variant.settings | {"batch": 4, "compile": False}
        monkeypatch.setitem(study.NETWORKS, name, replace(variant, settings=settings))
    monkeypatch.setattr("scorevid.training.runs.score_card", lambda *_: {})


def train(tmp_path, steps, *only):
    study.Train(steps, tmp_path / "runs", tmp_path / "weights", only)()


def test_networks_of_one_method_differ_in_their_seed_only():
    assert len(study.NETWORKS) == 12
    for name, variant in study.NETWORKS.items():
        method, seed = name.split("-")
        peer = ablations.PEERS[method]
        assert (variant.network, variant.noise) == (peer.network, peer.noise)
        assert variant.settings == {"seed": int(seed), "batch": networks.BATCH}


def test_the_untrained_network_is_the_start_of_the_blind_one():
    """Would catch a seed that changes nothing, or one behind the caller's back."""
    torch.manual_seed(5)
    state = torch.get_rng_state()
    found = study.untrained(1, SMALL, batches=2)
    assert torch.equal(torch.get_rng_state(), state) and not found.training
    torch.manual_seed(1)
    start = build_network(SMALL)
    assert all(torch.equal(p, q) for p, q in zip(found.parameters(), start.parameters(), strict=True))
    assert not torch.equal(found.encoder[0][0].norm.variance, start.encoder[0][0].norm.variance)


def test_the_log_odds_are_those_of_the_futures(meetings):
    """Would catch odds of the wrong disk; the first future has disk 0 in front."""
    scene, law = meetings
    targets = study.targets_of_meetings(scene)
    first = law.probabilities[:, :2].double().logit()[:, 0]
    sign = torch.where(scene.grey[:, 0] > scene.grey[:, 1], 1, -1)
    torch.testing.assert_close(targets["log odds"].double(), sign * first, atol=1e-3, rtol=1e-3)
    assert all(v.shape == (40,) and v.isfinite().all() for v in targets.values())


def test_targets_do_not_depend_on_the_order_of_the_disks(meetings):
    scene, _ = meetings
    other = scene.replace(**{k: getattr(scene, k).flip(1) for k in ("position", "velocity", "radius", "grey", "depth")})
    one, two = study.targets_of_meetings(scene), study.targets_of_meetings(other)
    assert (one["grey lighter"] > one["grey darker"]).all()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value)


def test_the_lighter_disk_is_seen_where_it_is_said_to_be(meetings):
    scene, _ = meetings
    targets = study.targets_of_meetings(scene)
    frames, middle = scene.next_frame()[:, 0], (scene.size - 1) / 2
    rows = torch.arange(len(scene))
    for name in ("lighter", "darker"):
        x, y = (targets[f"{axis} {name}"] + middle for axis in "xy")
        inside = (x > 0) & (x < scene.size - 1) & (y > 0) & (y < scene.size - 1)
        seen = frames[rows, y.round().long().clamp(0, scene.size - 1), x.round().long().clamp(0, scene.size - 1)]
        assert inside.sum() > 20
        # the other disk may lie over its centre, in a few scenes
        assert ((seen - targets[f"grey {name}"])[inside].abs() < 1e-3).float().mean() > 0.8


def test_twins_are_the_same_scenes_without_a_choice(meetings):
    scene, law = meetings
    twins = study.decided_twins(scene)
    assert (futures(twins).count() == 1).all() and (law.count() == 2).all()
    torch.testing.assert_close(twins.next_frame()[:, 0], scene.past()[:, -1])


def test_targets_of_scenes_of_many_disks():
    scene = study.WORLD.scenes(30, torch.Generator().manual_seed(0))
    law = futures(scene)
    found = study.targets_of_scenes(scene, law)
    assert found["disks"].min() >= 1 and found["disks"].max() <= 5
    assert torch.equal(found["undecided"], found["entropy"] > 1e-6) and 0 < found["undecided"].sum() < 30
    ground = (scene.next_frame() == 0.5).float().mean((1, 2, 3))
    assert ((found["covered"] - (1 - ground)).abs() < 0.15).all()
    assert (found["speed"] <= 2 * study.WORLD.speed[1]).all()


def test_posterior_log_odds_are_the_oracle_s(meetings):
    """Would catch evidence of the wrong sign or scale, and the wrong disk."""
    scene, law = meetings
    x = scene.next_frame()
    y = x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    found = study.posterior_log_odds(scene, law, y, 0.5)
    r = Oracle(law).responsibilities(y.double(), scene.past().double(), 0.5)
    lighter = torch.where(scene.grey[:, 0] > scene.grey[:, 1], r[:, 0], r[:, 1])
    torch.testing.assert_close(found.sigmoid(), lighter.float(), atol=1e-4, rtol=1e-4)
    prior = study.targets_of_meetings(scene)["log odds"]
    torch.testing.assert_close(study.posterior_log_odds(scene, law, y, 1e4), prior, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="two futures"):
        study.posterior_log_odds(scene, Futures(law.frames[:, :1], torch.ones(40, 1)), y, 0.5)


def test_weights_of_open_pixels_are_where_futures_differ(meetings):
    _, law = meetings
    where = study.open_pixels(law)
    assert where.shape == (40, 1, 32, 32) and (where.sum((1, 2, 3)) > 0).all()
    assert torch.equal(where > 0, (law.frames[:, 0] - law.frames[:, 1]).abs()[:, None] > 1e-3)
    single = torch.zeros(1, 2, 9, 9)
    single[0, 0, 4, 3] = 1
    wide = study.open_pixels(Futures(single, torch.full((1, 2), 0.5)), margin=2)
    expected = torch.zeros(9, 9)
    expected[2:7, 1:6] = 1
    assert torch.equal(wide[0, 0], expected)


@pytest.mark.parametrize("name", ["edm-0", "regression-2"])
def test_a_network_is_trained_by_updates_and_published(name, tmp_path, small):
    train(tmp_path, 6, name)
    f = load_denoiser(name, tmp_path / "weights")
    assert f.card["training"]["steps"] == 6 and f.card["training"]["seed"] == int(name[-1])
    assert f.card["world"]["n_disks"] == 5
    assert study.load_network(name, tmp_path / "weights").card["name"] == name


def test_training_goes_on_to_the_updates_asked_for_and_no_further(tmp_path, small, monkeypatch):
    """Would catch a run that begins anew, one that is trained again, and one that is taken for done."""
    train(tmp_path, 4, "blind-0")
    train(tmp_path, 7, "blind-0")
    assert open_run(tmp_path / "runs" / "blind-0").state.step == 7
    assert load_denoiser("blind-0", tmp_path / "weights").card["training"]["changes"] == [{"until_step": 4, "steps": 4}]
    monkeypatch.setattr(Trainer, "run", lambda *_, **__: pytest.fail("it was trained"))
    train(tmp_path, 7, "blind-0")


def test_an_interrupted_run_goes_on_with_the_plan_that_it_has(tmp_path, small, monkeypatch):
    update = Trainer.update

    def interrupt(self):
        update(self)
        if self.state.step == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "update", interrupt)
        with pytest.raises(SystemExit, match="goes on"):
            train(tmp_path, 5, "blind-0")
    assert not (tmp_path / "weights").exists()
    train(tmp_path, 5, "blind-0")
    card = load_denoiser("blind-0", tmp_path / "weights").card
    assert card["training"]["steps"] == 5 and card["training"]["changes"] == []


def test_what_cannot_be_is_refused(tmp_path, meetings):
    with pytest.raises(ValueError, match="only must be one of"):
        study.Train(10, only=("gan-0",))
    with pytest.raises(ValueError, match="steps"):
        study.Train(0)
    with pytest.raises(ValueError, match="name must be one of"):
        study.load_network("blind-9")
    for minutes, steps in ((None, None), (1.0, 5)):
        with pytest.raises(ValueError, match="either minutes or steps"):
            ablations.train(study.NETWORKS["blind-0"], SMALL, study.WORLD, minutes, tmp_path, steps)
    with pytest.raises(ValueError, match="two disks"):
        study.targets_of_meetings(study.WORLD.scenes(2, torch.Generator().manual_seed(0)))
    scene, _ = meetings
    with pytest.raises(ValueError, match="one future a frame earlier"):
        study.decided_twins(scene.replace(position=scene.position + scene.velocity))
