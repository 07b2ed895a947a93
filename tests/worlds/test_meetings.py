"""Test scenes: what is seen of a disk, what the past determines, probability as asked for."""

import pytest
import torch

from scorevid.worlds.leaves.meetings import LEAST_DISTANCE, determined, undecided_meetings
from scorevid.worlds.leaves.scenes import Scene, visible
from scorevid.worlds.leaves.world import Leaves


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pair(position, depth=(0, 1), radius=(4.0, 4.0), grey=(0.1, 0.9)):
    position = torch.tensor([position])
    fields = [torch.tensor([v]) for v in (radius, grey, depth)]
    return Scene(position, torch.zeros_like(position), *fields)


def test_what_is_seen_of_a_disk():
    now = torch.zeros(1)
    apart = visible(pair([[8.0, 8.0], [22.0, 22.0]]), now)[0, 0]
    torch.testing.assert_close(apart, torch.ones(2), atol=0.02, rtol=0)
    hidden = visible(pair([[16.0, 16.0], [16.0, 16.0]]), now)[0, 0]
    torch.testing.assert_close(hidden, torch.tensor([1.0, 0.0]), atol=0.1, rtol=0)  # edges mix
    behind = visible(pair([[16.0, 16.0], [16.0, 16.0]], depth=(1, 0)), now)[0, 0]
    torch.testing.assert_close(behind, torch.tensor([0.0, 1.0]), atol=0.1, rtol=0)
    half_outside = visible(pair([[-0.5, 16.0], [22.0, 22.0]]), now)[0, 0]
    assert half_outside[0].item() == pytest.approx(0.5, abs=0.03)


def test_hidden_disks_and_equal_greys_leave_the_past_undetermined():
    assert determined(pair([[8.0, 8.0], [22.0, 22.0]])).item()
    assert not determined(pair([[16.0, 16.0], [16.5, 16.0]])).item()
    assert not determined(pair([[8.0, 8.0], [22.0, 22.0]], grey=(0.3, 0.31))).item()
    assert not determined(pair([[-4.0, 8.0], [22.0, 22.0]])).item()


def test_one_frame_does_not_tell_velocities():
    assert not determined(Leaves(memory=1).scenes(50, generator())).any()


def test_meetings_have_two_futures_at_the_probability_asked_for():
    probability = torch.linspace(0.05, 0.95, 40)
    scenes, law = undecided_meetings(Leaves(), 40, generator(), probability)
    assert len(scenes) == 40 and (law.count() == 2).all() and determined(scenes).all()
    torch.testing.assert_close(law.probabilities[:, 0], probability, atol=1e-4, rtol=0)
    apart = (law.frames[:, 0] - law.frames[:, 1]).flatten(1).norm(dim=1)
    assert (apart >= LEAST_DISTANCE).all()
    in_front = scenes.replace(depth=torch.tensor([0, 1]).expand(40, 2)).next_frame()
    torch.testing.assert_close(law.frames[:, :1], in_front)


def test_the_same_seed_gives_the_same_meetings():
    one, two = (undecided_meetings(Leaves(), 5, generator(7))[0].video() for _ in range(2))
    assert torch.equal(one, two)


def test_what_cannot_be_found_is_said(monkeypatch):
    monkeypatch.setattr("scorevid.worlds.leaves.scenes.ROUNDS", 5)
    with pytest.raises(ValueError, match="too rare"):
        undecided_meetings(Leaves(), 3, generator(), least_distance=50.0)
    with pytest.raises(ValueError, match="probability must be"):
        undecided_meetings(Leaves(), 3, generator(), [0.5])
