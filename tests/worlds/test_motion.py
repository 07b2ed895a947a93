"""The mixture of complex motion: equal shares, one card, one command; and what its worlds draw with."""

import json

import pytest
import torch

from scorevid.cli import main
from scorevid.worlds import registry
from scorevid.worlds.motion import draws
from scorevid.worlds.motion.turns import Turns
from scorevid.worlds.motion.world import KINDS, Motion

pytest.importorskip("sklearn", reason="COMPLEX MOTION WAS NOT TESTED: scikit-learn is missing")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def kinds(x):
    """Which world frames (B, H, W) are of: digits have a black ground, a camera no uniform one, bodies no flat disks."""
    border = torch.cat([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], 1)
    digits = (x == 0).double().mean((1, 2)) > 0.4
    uniform = (x == 0.5).double().mean((1, 2)) > 0.4
    assert not (digits & uniform).any() and border.shape[1] == 128
    return {"digits": int(digits.sum()), "camera": int((~digits & ~uniform).sum()), "others": int(uniform.sum())}


def test_a_batch_has_equal_shares_in_random_order():
    c, x = Motion().draw(48, generator())
    assert c.shape == (48, 3, 32, 32) and x.shape == (48, 1, 32, 32)
    assert kinds(x[:, 0]) == {"digits": 12, "camera": 12, "others": 24}
    assert 0 < kinds(x[:16, 0])["digits"] < 12  # not one after the other
    assert torch.equal(Motion().draw(8, generator(1))[1], Motion().draw(8, generator(1))[1])


def test_a_share_left_over_goes_to_any_world():
    """Would catch a world that is favoured wherever the batch cannot be divided."""
    g = generator()
    found = [kinds(Motion(kinds=("digits", "camera")).draw(3, g)[1][:, 0])["digits"] for _ in range(60)]
    assert set(found) == {1, 2} and 15 < found.count(2) < 45


def test_the_card_describes_it():
    world = Motion(kinds=("turns", "digits"))
    described = json.loads(json.dumps(registry.describe_world(world)))
    assert described == {"name": "Motion", "size": 32, "memory": 3, "kinds": ["turns", "digits"]}
    assert registry.make_world(described) == world
    for kind in KINDS.values():
        described = json.loads(json.dumps(registry.describe_world(kind())))
        assert registry.make_world(described) == kind()


def test_all_are_registered_with_a_command_each():
    commands = {name: entry.command for name, entry in registry.worlds().items()}
    assert {commands[name] for name in ("Turns", "Bending", "Camera", "Digits", "Motion")} == {
        *("train-turns", "train-bending", "train-camera", "train-digits", "train-motion")
    }


def test_videos_and_test_scenes():
    video = Motion().video(8, 10, generator())
    assert video.shape == (8, 13, 32, 32)
    test = Motion().test_scenes(9, generator())
    assert test.c.shape == (9, 3, 32, 32) and test.x.shape == (9, 1, 32, 32)
    torch.testing.assert_close(test.copy_error, (test.c[:, -1:] - test.x).square().mean())
    c, law = test.undecided(7, generator())
    assert c.shape == (7, 3, 32, 32) and law.count().min() >= 2 and law.frames.shape[0] == 7
    assert Motion(kinds=("bending", "camera")).test_scenes(4, generator()).undecided is None
    assert Motion().test_scenes(1, generator()).c.shape[0] == 1


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"kinds": ()}, "kinds"),
        ({"kinds": ("turns", "turns")}, "kinds"),
        ({"kinds": ("sea",)}, "kinds"),
        ({"kinds": "turns"}, "kinds"),
        ({"memory": 1}, "memory"),
        ({"size": 8}, "size|speed"),
    ],
)
def test_values_that_describe_no_world_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Motion(**wrong)
    with pytest.raises(ValueError, match="undecided"):
        Motion(kinds=("bending",)).undecided(2, generator())


def test_a_network_can_be_trained_and_scored_on_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["train-motion", "--network.widths", "4", "--batch", "8", "--no-compile", "--steps", "3"])
    capsys.readouterr()
    main(["evaluate", "runs/motion", "--scenes", "8"])
    scores = json.loads(capsys.readouterr().out)
    assert scores["scenes"] == 8 and "excess_error" in scores


def test_scenes_are_collected_until_there_are_enough():
    g, world = generator(), Turns()
    walks = draws.collect(5, lambda: draws.take(world.walks(4, 3, g), slice(0, 2)), "two in a round")
    assert len(walks) == 5 and walks.path.shape == (5, 3, 3, 2)
    with pytest.raises(ValueError, match="5 of 5 scenes were not found: none of these"):
        draws.collect(5, lambda: draws.take(world.walks(1, 3, g), slice(0, 0)), "none of these")


def test_greys_keep_their_contrast_and_are_as_often_dark_as_light():
    grey = draws.grey_levels(generator(), (20_000,), 0.2)
    assert ((grey - 0.5).abs() >= 0.2 - 1e-6).all() and grey.min() >= 0 and grey.max() <= 1
    assert (grey > 0.5).double().mean().item() == pytest.approx(0.5, abs=0.015)
