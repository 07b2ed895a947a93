"""Disks that turn: the listed law is that of what is drawn, and the past shows all that it depends on."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from scorevid.worlds.motion.draws import take
from scorevid.worlds.motion.turns import ABSENT, Turns


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def repeated(walks, n):
    return take(walks, torch.arange(len(walks)).repeat_interleave(n))


def listed(world, n, seed=0):
    """Scenes of three disks whose futures can be told from one another, and their law."""
    walks = replace(world, fewest=3).walks(4 * n, world.memory, generator(seed))
    walks = take(walks, (law := world.futures(walks)).closest() > 0.3)
    assert len(walks) >= n and len(law)
    walks = take(walks, slice(0, n))
    return walks, world.futures(walks)


def drawn_counts(world, walks, law, draws, seed=1):
    """How often each listed future is the next frame that the world draws after the same past, (B, K)."""
    x = world.render(take_last(world.step(repeated(walks, draws), generator(seed)))).view(len(walks), draws, -1)
    distance = torch.cdist(x, law.frames.flatten(2))
    assert distance.amin(2).max() < 0.05  # each frame that is drawn is listed
    which = distance.argmin(2)
    return torch.stack([(which == k).sum(1) for k in range(law.frames.shape[1])], 1)


def take_last(walks):
    return replace(walks, path=walks.path[:, -1:])


def chi_square_pvalue(counts, p):
    """Of Pearson's test of all scenes at once; futures expected less than five times in a scene are pooled there."""
    expected = p.double() * counts.sum(1, keepdim=True)
    rare = expected < 5
    total, freedom = 0.0, 0
    for n, e, few in zip(counts.double(), expected, rare, strict=True):
        n, e = (torch.cat([v[~few], v[few].sum()[None]]) for v in (n, e))
        n, e = n[e > 1], e[e > 1]
        total, freedom = total + ((n - e).square() / e).sum().item(), freedom + len(e) - 1
    return chi2.sf(total, freedom)


@pytest.mark.parametrize("stop", [0.0, 0.25])
def test_next_frames_are_drawn_as_often_as_listed(stop):
    world = Turns(stop=stop)
    walks, law = listed(world, 20)
    counts = drawn_counts(world, walks, law, 400)
    assert law.count().max() == (64 if stop else 27)
    assert chi_square_pvalue(counts, law.probabilities) > 1e-3


@pytest.mark.parametrize("wrong", [{"kappa": 1.8}, {"steady": 0.7}])
def test_frames_drawn_with_other_odds_would_be_found(wrong):
    """A planted fault: odds of turns that are a tenth weaker, in their logarithm, than those listed."""
    walks, law = listed(Turns(), 60)
    counts = drawn_counts(replace(Turns(), **wrong), walks, law, 400)
    assert chi_square_pvalue(counts, law.probabilities) < 1e-3


def test_choices_follow_the_formula_and_its_log_odds_vary():
    """By angles of drawn paths, off the edges, with the formula of the docstring. Would catch left for right, or −ρ for ρ."""
    world = Turns(n_disks=1)
    walks = world.walks(200_000, 2, generator())
    before = walks.velocity[:, 0]
    room = (walks.path[:, -1, 0] - (world.size - 1) / 2).abs().amax(1) < 6  # no edge is in reach
    after = world.step(walks, generator(1)).velocity[:, 0]
    turned = torch.atan2(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], (before * after).sum(1))
    right = (turned > 0.5)[room].double()
    left = (turned < -0.5)[room].double()
    radius, grey = walks.radius[room, 0].double(), walks.grey[room, 0].double()
    place = torch.log(radius / 2.5) / math.log(4.5 / 2.5) * 2 - 1
    w_on, w_right = place.exp(), (grey - 0.5).mul(2).exp()
    total = w_on + w_right + 1 / w_right
    log_odds = 2 * w_right.log()
    assert log_odds.min() < -1.9 and log_odds.max() > 1.9
    for happened, p in ((right, w_right / total), (left, 1 / w_right / total)):
        for which in (grey < 0.3, grey > 0.7, radius < 3, radius > 4):
            error = (p * (1 - p))[which].sum().sqrt() / which.sum()
            assert (happened[which].mean() - p[which].mean()).abs() < 4 * error
    torch.testing.assert_close(turned[room].abs().max().item(), math.radians(75), rtol=1e-4, atol=0)


def test_the_law_can_be_read_off_the_pixels_of_the_past():
    """Centres, radius and grey are measured in the past frames of a single disk; from these the law is made anew, by hand."""
    world = Turns(contrast=0.3)
    c, law = world.undecided(40, generator(), disks=1)
    weight = (c - 0.5).abs().double()
    pixel = torch.arange(32.0).double()
    mass = weight.sum((2, 3))
    x, y = (weight.sum(2) @ pixel / mass).numpy(), (weight.sum(3) @ pixel / mass).numpy()
    grey = torch.where(c[:, -1].mean((1, 2)) > 0.5, c[:, -1].amax((1, 2)), c[:, -1].amin((1, 2))).numpy()
    radius = np.sqrt(mass[:, -1].numpy() / np.abs(grey - 0.5) / math.pi)
    place = 2 * np.log(radius / 2.5) / math.log(4.5 / 2.5) - 1
    p = np.exp(np.stack([place, 1 - 2 * grey, 2 * grey - 1], 1))
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(law.probabilities.numpy(), p, atol=0.03)
    v = np.stack([x[:, -1] - x[:, -2], y[:, -1] - y[:, -2]], 1)
    for k, angle in enumerate(np.radians([0, -75, 75])):
        u = v @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        shown = (law.frames[:, k] - 0.5).abs().double()
        at = (torch.stack([shown.sum(1) @ pixel, shown.sum(2) @ pixel], 1) / shown.sum((1, 2))[:, None]).numpy()
        now = np.stack([x[:, -1], y[:, -1]], 1)
        out = (now + u < radius[:, None]) | (now + u > 31 - radius[:, None])
        clear = np.abs(np.minimum(now + u - radius[:, None], 31 - radius[:, None] - now - u)).min(1) > 0.3
        np.testing.assert_allclose(at[clear], (now + np.where(out, -u, u))[clear], atol=0.15)


def test_disks_stay_whole_within_the_frame_at_constant_speed():
    walks = Turns(fewest=3).walks(200, 40, generator())
    inside = (walks.path - 15.5).abs() + walks.radius[:, None, :, None]
    assert inside.max() < 15.5 + 1e-3
    speed = walks.path.diff(dim=1).norm(dim=3)
    torch.testing.assert_close(speed, speed[:, :1].expand_as(speed), atol=1e-4, rtol=0)
    assert speed.min() > 3 - 1e-4 and speed.max() < 5 + 1e-4


def test_a_disk_stops_for_one_frame_and_keeps_its_heading():
    """Would catch a disk whose heading the past does not show: one that stops twice, or forgets where it went."""
    world = Turns(stop=0.5, n_disks=1)
    walks = world.walks(500, 20, generator())
    moves = walks.path.diff(dim=1)[:, :, 0].norm(dim=2)
    still = moves < 1e-6
    assert 0.25 < still.double().mean() < 0.4 and not (still[:, 1:] & still[:, :-1]).any()  # 1/3 in the long run
    now = take(walks, walks.stopped[:, 0])
    torch.testing.assert_close(now.velocity, now.path[:, -2] - now.path[:, -3], atol=1e-5, rtol=0)
    assert (world.probabilities(now)[..., 3] == 0).all()


def test_each_frame_of_a_video_is_a_listed_future_of_those_before():
    world = Turns(stop=0.2)
    walks = world.walks(6, 8, generator())
    frames = world.render(walks)
    moves = walks.path.diff(dim=1)
    for t in range(3, 8):
        last, before = moves[:, t - 2], moves[:, t - 3]
        stopped = (last.norm(dim=2) < 1e-6) & (walks.path[:, 0, :, 0] != ABSENT)
        velocity = torch.where(stopped[..., None], before, last)  # as three past frames show it
        law = world.futures(replace(walks, path=walks.path[:, :t], velocity=velocity, stopped=stopped))
        assert torch.cdist(frames[:, t].flatten(1)[:, None], law.frames.flatten(2)).amin(2).max() < 0.05


def test_the_futures_of_missing_disks_are_not_listed_twice():
    walks = Turns().walks(60, 3, generator())
    disks = (walks.path[:, -1, :, 0] != ABSENT).sum(1)
    law = Turns().futures(walks)
    assert set(disks.tolist()) == {1, 2, 3} and (law.count() == 3**disks).all()
    c, law = Turns().undecided(8, generator(), disks=2)
    assert c.shape == (8, 3, 32, 32) and (law.count() == 9).all() and law.closest().min() >= 0.5


def test_the_smaller_disk_is_in_front():
    two = torch.tensor([[[[14.0, 16.0], [17.0, 16.0]]]])
    for radius, seen in (([3.0, 4.0], 0.1), ([4.0, 3.0], 0.9)):
        walks = Turns(n_disks=2).walks(1, 3, generator())
        walks = replace(walks, path=two, radius=torch.tensor([radius]), grey=torch.tensor([[0.1, 0.9]]))
        assert Turns().render(walks)[0, 0, 16, 15].item() == pytest.approx(seen)


@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 5),
    memory=st.integers(2, 4),
    n=st.integers(1, 3),
    frames=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_shapes_greys_and_seeds(batch, memory, n, frames, seed):
    world = Turns(memory=memory, n_disks=n)
    c, x = world.draw(batch, generator(seed))
    video = world.video(batch, frames, generator(seed))
    assert c.shape == (batch, memory, 32, 32) and x.shape == (batch, 1, 32, 32)
    assert video.shape == (batch, memory + frames, 32, 32) and video.min() >= 0 and video.max() <= 1
    assert torch.equal(video[:, : memory + 1], torch.cat([c, x], 1))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"size": 0}, "size"),
        ({"memory": 1}, "memory"),
        ({"memory": 2, "stop": 0.1}, "memory"),
        ({"n_disks": 0}, "n_disks"),
        ({"n_disks": 6}, "n_disks"),
        ({"fewest": 4}, "fewest"),
        ({"turn": 0.0}, "turn"),
        ({"stop": 1.0}, "stop"),
        ({"radius": (4.0, 3.0)}, "radius"),
        ({"contrast": 0.6}, "contrast"),
        ({"speed": (3.0, 30.0)}, "speed"),
        ({"speed": (0.0, 3.0)}, "speed"),
        ({"speed": 3.0}, "speed"),
        ({"kappa": float("nan")}, "kappa"),
    ],
)
def test_values_that_describe_no_world_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Turns(**wrong)


def test_wrong_numbers_of_scenes_are_refused():
    for call in (lambda: Turns().undecided(0, generator()), lambda: Turns().undecided(1, generator(), disks=4)):
        with pytest.raises(ValueError, match="must be"):
            call()
    with pytest.raises(ValueError, match="too rare"):
        Turns(size=24, radius=(5.0, 5.0), speed=(3.0, 3.0)).undecided(64, generator(), disks=3)
