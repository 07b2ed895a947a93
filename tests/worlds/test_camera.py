"""A moving camera: the past determines what it has seen of the plane, and nothing else of it."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorevid.worlds.leaves.scenes import covers
from scorevid.worlds.motion.camera import Camera

ALL = torch.arange(-3, 1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def in_double(views):
    tensors = {k: v.double() for k, v in vars(views).items() if k != "disks"}
    disks = {k: getattr(views.disks, k).double() for k in ("position", "velocity", "radius", "grey")}
    return replace(views, **tensors, disks=views.disks.replace(**disks))


def from_the_past(world, views):
    """The plane in the next frame as the past frames alone give it, (H, W), by least squares over all control points.

    views: a single scene. The motion is taken as known; pixels with a disk on them are not used.
    """
    nodes = views.controls.shape[1]
    points = world.points(views, ALL)
    one_each = replace(views, controls=torch.eye(nodes**2).double().view(-1, nodes, nodes))
    design = world.plane(one_each, points.expand(nodes**2, -1, -1, -1, -1)).flatten(2)  # (controls, T, H W)
    frames = world.render(views, ALL)[0].flatten(1)
    bare = torch.ones_like(frames, dtype=torch.bool)
    for cover in covers(views.disks, ALL, views.disks.depth):
        bare &= cover[0].flatten(1) == 0
    seen = bare[:-1].flatten()
    past, target = design[:, :-1].flatten(1).T[seen], frames[:-1].flatten()[seen]
    controls = torch.linalg.lstsq(past, target[:, None] - 0.5, rcond=1e-7, driver="gelsd").solution[:, 0]
    return (controls @ design[:, -1] + 0.5).view(world.size, world.size)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shake", [0.0, 1.0])
def test_what_is_determined_follows_from_the_past_and_what_enters_does_not(shake, seed):
    """Would catch a mask that takes in the borders, or what a disk has hidden; and a plane that repeats or can be guessed."""
    world = Camera(size=24, pan=(3.0, 4.0), shake=shake)
    views = in_double(world.views(1, generator(seed)))
    error = (from_the_past(world, views) - world.render(views, torch.zeros(1))[0, 0]).abs()
    bare = world.determined(views)[0, 0]
    assert 0.4 < bare.double().mean() < 0.97
    assert error[bare].max() < 1e-3
    under = torch.stack([cover[0, 0] > 0 for cover in covers(views.disks, torch.zeros(1), views.disks.depth)]).any(0)
    assert shake or error[~bare & ~under].max() > 0.05  # a shake may return to what it has shown


def test_a_camera_at_rest_leaves_nothing_open():
    world = Camera(n_disks=0, pan=(0.0, 0.0), shake=0.0, roll=0.0, zoom=0.0)
    views = world.views(3, generator())
    frames = world.render(views, ALL)
    torch.testing.assert_close(frames, frames[:, :1].expand_as(frames))
    assert world.determined(views).all()


def test_the_mask_of_a_pan_is_the_frame_less_a_strip():
    world = Camera(n_disks=0, pan=(2.0, 2.0), shake=0.0, roll=0.0, zoom=0.0)
    views = world.views(1, generator())
    still = {name: torch.zeros(1) for name in ("angle", "roll", "zoom")}
    views = replace(views, velocity=torch.tensor([[2.0, 0.0]]), **still)
    frames, bare = world.render(views, ALL)[0], world.determined(views)[0, 0]
    assert bare[:, :30].all() and not bare[:, 30:].any()
    torch.testing.assert_close(frames[1:, :, :30], frames[:-1, :, 2:], atol=1e-5, rtol=0)


def test_displacements_of_the_past_determine_the_next():
    """A pan goes on, a shake follows its recursion, and zoom and roll keep their rates."""
    world = Camera()
    views = in_double(world.views(200, generator()))
    points = world.points(views, ALL)
    middle = points.mean((2, 3))
    moves = middle.diff(dim=1)
    shakes = views.sway[:, :, 0].abs().sum(1) > 0
    assert 0.2 < shakes.double().mean() < 0.4
    equal = (moves[:, 0] - moves[:, 1]).norm(dim=1) < 1e-9
    assert torch.equal(equal, ~shakes)  # they can be told apart
    torch.testing.assert_close(moves[~shakes, 2], moves[~shakes, 1])
    expected = 2 * math.cos(2 * math.pi / world.period) * moves[shakes, 1] - moves[shakes, 0]
    torch.testing.assert_close(moves[shakes, 2], expected)
    across = points[:, :, 0, -1] - points[:, :, 0, 0]
    across = torch.complex(across[..., 0], across[..., 1])
    turns = across[:, 1:] / across[:, :-1]
    torch.testing.assert_close(turns, turns[:, :1].expand_as(turns))


def test_disks_are_in_front_and_move_on():
    world = Camera()
    views = world.views(40, generator())
    frames = world.render(views, ALL)
    for disk in range(2):
        at = views.disks.position[:, disk] + ALL[:, None, None] * views.disks.velocity[:, disk]  # (T, B, 2)
        front = views.disks.depth[:, disk] == 0
        for t in range(4):
            column, row = at[t].round().long().unbind(1)
            within = front & (column >= 0) & (column < 32) & (row >= 0) & (row < 32)
            shown = frames[within, t, row[within], column[within]]
            torch.testing.assert_close(shown, views.disks.grey[within, disk])


def test_greys_are_those_of_a_rough_plane_of_mean_one_half():
    video = Camera(n_disks=0).video(60, 10, generator())
    assert video.min() >= 0 and video.max() <= 1
    assert video.mean().item() == pytest.approx(0.5, abs=0.01)
    assert 0.1 < video.std().item() < 0.2
    assert (video[:, -1].std((1, 2)) > 0.05).all()  # the plane does not end


@settings(max_examples=10, deadline=None)
@given(
    batch=st.integers(1, 4),
    memory=st.integers(1, 4),
    size=st.integers(8, 40),
    n=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_shapes_and_seeds(batch, memory, size, n, seed):
    world = Camera(size=size, memory=memory, n_disks=n)
    c, x = world.draw(batch, generator(seed))
    again, law, bare = world.decided(batch, generator(seed))
    assert c.shape == (batch, memory, size, size) and x.shape == (batch, 1, size, size)
    assert torch.equal(c, again) and torch.equal(law.frames, x) and (law.probabilities == 1).all()
    assert bare.shape == x.shape and bare.dtype == torch.bool
    assert world.video(batch, 3, generator(seed)).shape == (batch, memory + 3, size, size)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"size": 7}, "size"),
        ({"memory": 0}, "memory"),
        ({"n_disks": -1}, "n_disks"),
        ({"grain": 1.0}, "grain"),
        ({"pan": (2.0, 1.0)}, "pan"),
        ({"shake": 2.0}, "shake"),
        ({"tremor": -1.0}, "tremor"),
        ({"period": 0.0}, "period"),
        ({"roll": 100.0}, "roll"),
        ({"zoom": 0.5}, "zoom"),
        ({"radius": (0.0, 3.0)}, "radius"),
        ({"speed": (3.0,)}, "speed"),
    ],
)
def test_values_that_describe_no_world_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Camera(**wrong)
