"""Scenes in which the past hides a disk: the past is the same without it, and it does come out."""

from dataclasses import replace

import pytest
import torch
from hidden_disks import FRAMES, N, at, generator, hidden_and_control, passing, repainted
from hypothesis import given, settings
from hypothesis import strategies as st

from scorevid.measures.fates import CHANGED, KEPT, fate
from scorevid.worlds.leaves.hidden import GREYS_APART, LEAST_PIXELS, emergence, hidden_scenes, own_pixels
from scorevid.worlds.leaves.scenes import visible
from scorevid.worlds.leaves.world import Leaves


def test_the_past_does_not_depend_on_the_hidden_disk():
    hidden, control = hidden_and_control()
    for scene in (hidden, control):
        assert len(scene) == N and scene.radius.shape == (N, 2) and scene.past().shape == (N, 2, 32, 32)
    past = torch.arange(-2, 0)
    assert visible(hidden, past)[..., 1].max() < 1e-6
    other = 1 - hidden.grey[:, 1]
    torch.testing.assert_close(repainted(hidden, other).past(), hidden.past(), rtol=0, atol=1e-6)
    alone = hidden.replace(**{k: v[:, :1] for k, v in vars(hidden).items() if torch.is_tensor(v)})
    torch.testing.assert_close(alone.past(), hidden.past(), rtol=0, atol=1e-6)
    for frame in range(2):
        difference = (repainted(control, other).past() - control.past())[:, frame].abs().amax((1, 2))
        torch.testing.assert_close(difference, (1 - 2 * control.grey[:, 1]).abs())
    assert visible(control, past)[..., 1].min() > 0.95


def test_the_control_differs_in_depth_only():
    hidden, control = hidden_and_control()
    assert hidden.depth.tolist() == [[0, 1]] * N and control.depth.tolist() == [[1, 0]] * N
    assert {**vars(hidden), "depth": None} == {**vars(control), "depth": None}
    times = emergence(hidden, FRAMES)
    assert torch.equal(own_pixels(hidden, times), own_pixels(control, times))


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(5, 14),
    st.sampled_from(
        [
            {},
            {"kappa": 0.0, "n_disks": 5, "size": 24},
            {"radius": (2.0, 9.0), "speed": (0.5, 1.5)},
            {"ground": 0.0, "contrast": 0.6},
            {"ground": 0.3, "contrast": 0.0, "grey": (0.1, 0.8)},
        ]
    ),
)
def test_hidden_scenes_keep_to_the_world(seed, memory, frames, changes):
    world = Leaves(memory=memory, **changes)
    hidden, _ = hidden_scenes(world, 10, generator(seed), frames)
    assert (hidden.size, hidden.memory, hidden.ground, hidden.kappa) == (world.size, memory, world.ground, world.kappa)
    past, ahead = torch.arange(-memory, 0), torch.arange(frames)
    first, second = hidden.radius.unbind(1)
    assert (first > second).all() and second.min() >= world.radius[0] and first.max() <= world.radius[1] + 1e-5
    speed, grey = hidden.velocity.norm(dim=2), hidden.grey
    assert speed.min() >= world.speed[0] - 1e-5 and speed.max() <= world.speed[1] + 1e-5
    assert grey.min() >= world.grey[0] and grey.max() <= world.grey[1]
    assert (grey - world.ground).abs().min() >= world.contrast - 1e-6
    assert (grey[:, 0] - grey[:, 1]).abs().min() >= GREYS_APART
    places = hidden.position[:, None] + past[:, None, None] * hidden.velocity[:, None]
    assert (places.amin(3) - hidden.radius[:, None] >= -0.5).all()
    assert (places.amax(3) + hidden.radius[:, None] <= world.size - 0.5).all()
    assert visible(hidden, past)[..., 1].max() < 1e-5
    out = visible(hidden, ahead)[..., 1] >= 0.5
    times = emergence(hidden, frames)
    assert times.dtype == torch.long and times.min() >= 1 and times.max() <= frames - 1
    assert times.tolist() == [row.tolist().index(True) for row in out]
    assert own_pixels(hidden, times).sum((1, 2)).min() >= LEAST_PIXELS
    assert (fate(at(hidden, times), hidden, times) == KEPT).all()
    covered = repainted(hidden, hidden.grey[:, 0])
    assert (fate(at(covered, times), hidden, times) == CHANGED).all()


def test_the_same_seed_gives_the_same_scenes():
    one, two, other = (hidden_scenes(Leaves(), 5, generator(seed))[0].video() for seed in (7, 7, 8))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_bad_hidden_scenes_raise(monkeypatch):
    monkeypatch.setattr("scorevid.worlds.leaves.scenes.ROUNDS", 5)
    for world in (Leaves(radius=(3.0, 4.0)), replace(Leaves(meeting=0.0), speed=(0.0, 0.0)), Leaves(size=8)):
        with pytest.raises(ValueError, match="2 of 2 scenes were not found"):
            hidden_scenes(world, 2, generator())
    for n in (0, 2.0):
        with pytest.raises(ValueError, match="n must be a positive integer"):
            hidden_scenes(Leaves(), n, generator())
    for frames in (0, 1):
        with pytest.raises(ValueError, match="frames must be an integer of 2 or more"):
            hidden_scenes(Leaves(), 2, generator(), frames)


def test_emergence_by_hand():
    # seen by half at distances over 5.6 or so, when the edge of the larger passes near the centre of the smaller
    assert emergence(passing(), 12).tolist() == [2]  # 2 (t + 1) = 6
    assert emergence(passing(1.0), 12).tolist() == [5]
    assert emergence(passing(1.0, depth=(1, 0)), 12).tolist() == [0]
    assert emergence(passing(1.0), 6).tolist() == [5]
    with pytest.raises(ValueError, match="within 5 frames, in 1 of 1"):
        emergence(passing(1.0), 5)
    with pytest.raises(ValueError, match="frames must be"):
        emergence(passing(), 0)


def test_own_pixels_by_hand():
    scene = passing().replace(position=torch.tensor([[[16.0, 16.0], [24.0, 16.0]]]))
    mine = own_pixels(scene, torch.tensor([0]))[0]
    assert mine[16].nonzero()[:, 0].tolist() == [23, 24, 25, 26]  # x = 22 is an edge pixel of disk 0
    assert mine.nonzero()[:, 0].unique().tolist() == [14, 15, 16, 17, 18]
    assert torch.equal(own_pixels(passing(), torch.tensor([3])), mine[None])
    assert torch.equal(own_pixels(passing(depth=(1, 0)), torch.tensor([3])), mine[None])
