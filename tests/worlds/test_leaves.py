"""Moving leaves: what is drawn, in which order, and with which probability the next frame follows."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, power_divergence

from scorevid.worlds.leaves.next_frames import _of_group, draw_depth, futures, groups
from scorevid.worlds.leaves.scenes import Scene, overlap_distance, render
from scorevid.worlds.leaves.world import CLOSE, Leaves


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def scene(position, radius, grey, depth, velocity=None, **more):
    position = torch.tensor([position], dtype=torch.float64)
    velocity = torch.zeros_like(position) if velocity is None else torch.tensor([velocity], dtype=torch.float64)
    radius, grey = (torch.tensor([v], dtype=torch.float64) for v in (radius, grey))
    return Scene(position, velocity, radius, grey, torch.tensor([depth]), **more)


@pytest.mark.parametrize("radius", [2.0, 4.5, 9.0])
def test_a_disk_covers_its_area(radius):
    """The anti-aliased edge keeps the area closely, wherever the centre falls, and closer the larger the disk."""
    for at in ([15.0, 15.0], [15.3, 14.8], [15.5, 15.5]):
        frame = scene([at], [radius], [1.0], [0], ground=0.0).next_frame()
        assert frame.sum().item() == pytest.approx(math.pi * radius**2, rel=0.08 / radius)


def test_the_nearest_disk_is_seen():
    overlapping = {"position": [[14.0, 16.0], [18.0, 16.0]], "radius": [4.0, 4.0], "grey": [0.1, 0.9]}
    assert scene(**overlapping, depth=[0, 1]).next_frame()[0, 0, 16, 16].item() == pytest.approx(0.1)
    assert scene(**overlapping, depth=[1, 0]).next_frame()[0, 0, 16, 16].item() == pytest.approx(0.9)


def test_disks_move_with_their_velocity():
    moving = scene([[16.0, 10.0]], [3.0], [1.0], [0], velocity=[[2.0, -1.0]])
    past, following = moving.past(), moving.next_frame()
    assert past.shape == (1, 2, 32, 32)
    torch.testing.assert_close(past[:, 1, 1:, :-2], following[:, 0, :-1, 2:])


def test_rendering_is_the_same_alone_and_in_a_batch():
    scenes = Leaves().scenes(8, generator())
    torch.testing.assert_close(scenes.video()[3:4], scenes[3].video())
    torch.testing.assert_close(scenes.video()[:, :2], scenes.past())
    torch.testing.assert_close(render(scenes, torch.tensor([-1.0]))[:, 0], scenes.past()[:, 1])


def test_the_same_seed_draws_the_same_scenes_and_no_global_state_is_touched():
    state = torch.random.get_rng_state()
    a, b = Leaves().draw(4, generator(3)), Leaves().draw(4, generator(3))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert torch.equal(state, torch.random.get_rng_state())


def test_larger_disks_are_nearer_as_often_as_they_should_be():
    world = Leaves(n_disks=2)
    drawn = world.meetings(20_000, generator(), probability=torch.full((20_000,), 0.8))
    nearer = (drawn.depth[:, 0] == 0).float().mean().item()
    assert nearer == pytest.approx(0.8, abs=0.012)
    ratio = drawn.radius[:, 0] / drawn.radius[:, 1]
    torch.testing.assert_close(1 / (1 + ratio**-world.kappa), torch.full((20_000,), 0.8))


@pytest.mark.parametrize("kappa", [1.5, 4.0])
def test_orders_are_drawn_with_the_kappa_that_the_listed_probabilities_have(kappa):
    """By the slope of log odds against log radii, drawn and listed. A κ that is 5 % weaker in either is 20 errors off."""
    drawn = Leaves(n_disks=2, kappa=kappa, radius=(2.0, 8.0), meeting=0.0).scenes(1_000_000, generator())
    ratio = (drawn.radius[:, 0] / drawn.radius[:, 1]).log().double()
    first = (drawn.depth[:, 0] == 0).double()
    slope = torch.tensor(0.9 * kappa, dtype=torch.float64)
    for _ in range(5):  # Newton's method for the likelihood of a logistic regression
        p = torch.sigmoid(slope * ratio)
        slope = slope + (ratio * (first - p)).sum() / (ratio.square() * p * (1 - p)).sum()
    meeting = Leaves(n_disks=2, kappa=kappa).meetings(500, generator())
    law = futures(meeting)
    listed, log_ratio = law.probabilities[:, 0].logit(), (meeting.radius[:, 0] / meeting.radius[:, 1]).log()
    two = (law.count() == 2) & (log_ratio.abs() > 0.1)
    assert two.sum() > 300
    torch.testing.assert_close(listed[two] / log_ratio[two], torch.full((int(two.sum()),), kappa), rtol=1e-4, atol=0)
    assert slope.item() == pytest.approx(kappa, rel=0.005)


def test_orders_drawn_with_a_weaker_kappa_would_be_found(monkeypatch):
    weaker = partial(_draw_weaker, 0.95)
    monkeypatch.setattr("scorevid.worlds.leaves.world.draw_depth", weaker)
    with pytest.raises(AssertionError):
        test_orders_are_drawn_with_the_kappa_that_the_listed_probabilities_have(4.0)


def _draw_weaker(factor, radius, kappa, generator):
    return draw_depth(radius, factor * kappa, generator)


def test_orders_of_three_disks_are_drawn_as_often_as_listed():
    """All six orders of fixed radii, which Plackett–Luce makes from the pairs' κ."""
    radius = torch.tensor([3.0, 4.0, 6.0])
    n, weight = 300_000, radius.double() ** 2
    ranks = draw_depth(radius.expand(n, 3), 2.0, generator())
    for order in itertools.permutations(range(3)):  # nearest first
        a, b, _ = order
        expected = (weight[a] / weight.sum() * weight[b] / (weight.sum() - weight[a])).item()
        share = (ranks.argsort(1) == torch.tensor(order)).all(1).double().mean().item()
        assert share == pytest.approx(expected, abs=4.5 * math.sqrt(expected / n))


def test_scenes_in_a_row_are_the_same_scenes():
    scenes = Leaves().scenes(5, generator())
    again = Scene.cat([scenes[:2], scenes[2], scenes[3:]])
    assert torch.equal(again.video(), scenes.video()) and again.kappa == scenes.kappa
    with pytest.raises(AttributeError):
        scenes.depth = scenes.depth.flip(1)


def test_a_coin_for_kappa_zero():
    drawn = Leaves(n_disks=2, kappa=0.0).scenes(20_000, generator())
    assert (drawn.depth[:, 0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.012)


def test_scenes_have_any_number_of_disks_from_the_fewest_to_the_most():
    world = Leaves(n_disks=3, fewest=1, meeting=0.0)
    scenes = world.scenes(3000, generator())
    present = (scenes.position.abs() < 100).all(2)
    assert torch.equal(present.sum(1).sort().values, present.sum(1).sort().values.clamp(1, 3)) and present[:, 0].all()
    for number in (1, 2, 3):
        assert (present.sum(1) == number).float().mean().item() == pytest.approx(1 / 3, abs=0.035)
    alone = scenes[present.sum(1) == 1]
    only = alone.replace(**{k: getattr(alone, k)[:, :1] for k in ("position", "velocity", "radius", "grey", "depth")})
    torch.testing.assert_close(alone.video(), only.video())


def test_meetings_of_a_world_of_few_disks_keep_both():
    scenes = Leaves(n_disks=2, fewest=1, meeting=1.0).scenes(200, generator())
    assert (scenes.position.abs() < 100).all()


def test_disks_meet_first_in_the_next_frame():
    world = Leaves(n_disks=2)
    meeting = world.meetings(500, generator())
    reach = meeting.radius.sum(1)
    earlier = [meeting.position - t * meeting.velocity for t in range(world.memory + 1)]
    distance = [p.diff(dim=1).norm(dim=2)[:, 0] for p in earlier]
    assert (distance[0] < reach - 1).all()
    assert all((d > reach + 1).all() for d in distance[1:])
    assert (meeting.velocity.norm(dim=2) <= world.speed[1] + 0.1).all()


def test_a_meeting_has_two_futures_with_the_probability_asked_for():
    world = Leaves(n_disks=2)
    probability = torch.linspace(0.05, 0.95, 64)
    meeting = world.meetings(64, generator(), probability)
    law = futures(meeting)
    both = law.count() == 2
    assert both.float().mean() > 0.95  # in the others the overlap lies outside of the frame
    front = torch.stack([_with_front(meeting, k) for k in (0, 1)], 1)
    for i in both.nonzero()[:, 0].tolist():
        first = (law.frames[i] - front[i, 0]).abs().amax((1, 2)).argmin()
        assert law.probabilities[i, first].item() == pytest.approx(probability[i].item(), abs=1e-5)


def _with_front(meeting, k):
    return meeting.replace(depth=torch.tensor([k, 1 - k]).expand_as(meeting.depth)).next_frame()[:, 0]


def test_the_true_future_is_among_the_futures():
    scenes = Leaves(n_disks=4).scenes(100, generator(1))
    law = futures(scenes)
    distance = (law.frames - scenes.next_frame()).abs().amax((2, 3))
    distance[law.probabilities == 0] = 1
    assert distance.amin(1).max() < 1e-4
    torch.testing.assert_close(law.probabilities.sum(1), torch.ones(100))


def test_probabilities_agree_with_drawing_orders_and_keeping_the_consistent_ones():
    """Brute force on 100 scenes: redraw the depth order, keep what gives the same past, count next frames (G-test)."""
    draws, p_values = 600, []
    statistic, freedom = 0.0, 0
    for n in (2, 3, 4, 5):
        scenes = Leaves(n_disks=n, size=24, radius=(3.0, 5.0), meeting=1.0).scenes(25, generator(n))
        law = futures(scenes)
        for i in range(25):
            counts, expected = _drawn_and_expected(scenes[i], law[i], draws, generator(100 * n + i))
            rare = expected < 5  # merged into one cell, for the law of G to hold
            if rare.any():
                counts, expected = (np.append(v[~rare], v[rare].sum()) for v in (counts, expected))
            if len(counts) > 1:
                g, p = power_divergence(counts, expected, lambda_="log-likelihood")
                p_values.append(p)
                statistic, freedom = statistic + g, freedom + len(counts) - 1
    assert len(p_values) > 60
    assert min(p_values) > 0.01 / len(p_values)  # no scene stands out (Bonferroni)
    assert 0.001 < chi2.sf(statistic, freedom) < 0.999


def _drawn_and_expected(one, law, draws, stream):
    """How often each future of one scene comes up among the redrawn orders that give its past, and should."""
    many = one.replace(**{k: getattr(one, k).repeat_interleave(draws, 0) for k in _FIELDS})
    many = many.replace(depth=draw_depth(many.radius, many.kappa, stream))
    kept = (many.past() - one.past()).abs().amax((1, 2, 3)) <= 1e-4
    possible = law.probabilities[0] > 0
    away = (many.next_frame()[kept] - law.frames[:, possible]).abs().amax((2, 3))
    assert away.amin(1).max() < 1e-4  # no future is missing
    counts = torch.bincount(away.argmin(1), minlength=int(possible.sum())).double()
    p = law.probabilities[0, possible].double()
    return counts.numpy(), (p / p.sum() * counts.sum()).numpy()


_FIELDS = ("position", "velocity", "radius", "grey", "depth")


def test_an_overlap_seen_in_the_past_settles_the_order():
    settled = scene([[14.0, 16.0], [18.0, 16.0]], [4.0, 4.0], [0.1, 0.9], [1, 0], velocity=[[1.0, 0.0], [0.0, 0.0]])
    law = futures(settled)
    assert law.count().item() == 1
    torch.testing.assert_close(law.frames, settled.next_frame())


def test_six_disks_are_listed():
    scenes = Leaves(n_disks=6, size=24, radius=(3.0, 5.0), meeting=1.0).scenes(3, generator(6))
    law = futures(scenes)
    torch.testing.assert_close(law.probabilities.sum(1), torch.ones(3))
    nearest = (scenes.next_frame() - law.frames).abs().amax((2, 3)) + 10.0 * (law.probabilities == 0)
    assert nearest.amin(1).max() < 1e-4


def test_listing_futures_is_limited_to_six_disks_that_touch():
    row = [[4.0 + 4 * k, 16.0] for k in range(7)]
    with pytest.raises(ValueError, match="up to 6 disks that touch one another, got 7"):
        futures(scene(row, [3.0] * 7, [0.1] * 7, range(7)))
    apart = scene([[4.0 + 8 * k, 16.0] for k in range(7)], [3.0] * 7, [0.1] * 7, range(7), size=64)
    assert futures(apart).count().item() == 1


def test_disks_that_touch_in_any_frame_or_through_others_are_one_group():
    row = scene(
        [[8.0, 8.0], [20.0, 8.0], [14.0, 8.0], [8.0, 24.0], [25.0, 24.0], [-30.0, -30.0], [-30.0, -30.0]],
        [3.0] * 7,
        [0.1] * 7,
        range(7),
        velocity=[[0.0, 0.0]] * 4 + [[5.0, 0.0]] + [[0.0, 0.0]] * 2,
    )
    label = groups(row)[0].int().argmax(1)
    assert label.tolist() == [0, 0, 0, 3, 4, 5, 6]  # outside of the frame nothing touches
    earlier = row.replace(memory=3)  # disk 4 came from disk 3
    assert groups(earlier)[0].int().argmax(1).tolist() == [0, 0, 0, 3, 3, 5, 6]


@pytest.mark.parametrize("n", [3, 4, 5])
def test_futures_of_groups_are_those_of_all_disks_together(n):
    """The same frames with the same probabilities as by all n! orders of the whole scene at once."""
    scenes = Leaves(n_disks=n, meeting=1.0).scenes(40, generator(n))
    parted, whole = futures(scenes), _of_group(scenes, 1e-4, 0.0)
    assert torch.equal(parted.count(), whole.count())
    assert (groups(scenes).sum(2).amax(1) < n).float().mean() > 0.2 and (parted.count() > 1).sum() > 10
    away = (parted.frames[:, :, None] - whole.frames[:, None]).abs().amax((3, 4))
    away = away.masked_fill((whole.probabilities == 0)[:, None], torch.inf)
    nearest = away.argmin(2)
    possible = parted.probabilities > 0
    assert away.amin(2)[possible].max() < 2e-4
    matched = whole.probabilities.gather(1, nearest)
    torch.testing.assert_close(parted.probabilities[possible], matched[possible], atol=1e-5, rtol=1e-4)


def test_choices_of_two_groups_multiply():
    """Two meetings far from each other in one frame of 64 pixels, among disks that nothing touches."""
    two = Leaves(n_disks=2).meetings(2, generator(3))
    one, other = two[0], two[1].replace(position=two[1].position + 32)
    fields = {k: torch.cat([getattr(one, k), getattr(other, k)], 1) for k in ("position", "velocity", "radius", "grey")}
    depth = torch.cat([one.depth, 2 + other.depth], 1)
    both = one.replace(**fields, depth=depth, size=64)
    law = futures(both)
    first, second = (futures(v.replace(size=64)).probabilities[0] for v in (one, other))
    torch.testing.assert_close(law.probabilities[0], torch.outer(first, second).flatten())
    for k, ranks in enumerate(([0, 1, 2, 3], [0, 1, 3, 2], [1, 0, 2, 3], [1, 0, 3, 2])):
        torch.testing.assert_close(law.frames[:, k : k + 1], both.replace(depth=torch.tensor([ranks])).next_frame())


def test_probabilities_out_of_reach_are_refused():
    with pytest.raises(ValueError, match="at most"):
        Leaves(n_disks=2).meetings(1, generator(), torch.tensor([0.999]))
    with pytest.raises(ValueError, match="probability"):
        Leaves(n_disks=2).meetings(1, generator(), torch.tensor([1.0]))
    with pytest.raises(ValueError, match="two disks"):
        Leaves(n_disks=1).meetings(1, generator())


@pytest.mark.parametrize(
    "bad",
    [
        {"size": 0},
        {"n_disks": 2.5},
        {"fewest": 0},
        {"fewest": 4},
        {"fewest": 1.5},
        {"memory": 0},
        {"radius": (5.0, 3.0)},
        {"grey": (0.0, 2.0)},
        {"ground": -0.1},
        {"contrast": 0.6},
        {"kappa": float("nan")},
        {"meeting": 1.5},
        {"close": -0.1},
        {"inferred": 1.5},
        {"joining": -0.5},
        {"speed": (0.0, 0.5)},
    ],
)
def test_a_world_that_cannot_be_is_refused(bad):
    with pytest.raises(ValueError):
        Leaves(**bad)


def test_the_distance_of_two_futures_is_read_off_the_overlap():
    meeting = Leaves(n_disks=2).meetings(64, generator())
    front = [_with_front(meeting, k) for k in (0, 1)]
    assert torch.allclose(overlap_distance(meeting), (front[0] - front[1]).flatten(1).norm(dim=1), atol=1e-5)


def test_futures_of_meetings_are_drawn_closer_where_the_world_says_so():
    low, high = CLOSE
    shares = {}
    for close in (0.0, 0.5, 1.0):
        scenes = Leaves(n_disks=4, fewest=2, meeting=1.0, close=close).scenes(2000, generator())
        apart = overlap_distance(scenes)
        shares[close] = ((apart >= low) & (apart <= high)).float().mean().item()
        earlier = [scenes.position[:, :2] - t * scenes.velocity[:, :2] for t in range(scenes.memory + 1)]
        touch = [(p[:, 0] - p[:, 1]).norm(dim=1) < scenes.radius[:, :2].sum(1) for p in earlier]
        assert touch[0].all() and not torch.stack(touch[1:]).any()
        absent = (scenes.position[:, 2:] < -100).all(2)
        assert 0.4 < absent.float().mean() < 0.6  # of the third and fourth disk
        first_in_front = scenes.depth[:, 0] < scenes.depth[:, 1]
        probability = (1 + (scenes.radius[:, 1] / scenes.radius[:, 0]) ** scenes.kappa).reciprocal()
        assert first_in_front.float().mean().item() == pytest.approx(probability.mean().item(), abs=0.04)
    assert shares[0.0] + 0.15 < shares[0.5] < shares[1.0] - 0.15
    assert shares[1.0] > 0.75


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(8, 40),
    n=st.integers(1, 5),
    memory=st.integers(1, 4),
    batch=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)
def test_frames_have_their_shape_and_stay_grey(size, n, memory, batch, seed):
    c, x = Leaves(size=size, n_disks=n, memory=memory).draw(batch, generator(seed))
    assert c.shape == (batch, memory, size, size) and x.shape == (batch, 1, size, size)
    for frames in (c, x):
        assert frames.min() >= 0 and frames.max() <= 1


def test_visible_disks_keep_their_contrast():
    grey = Leaves(contrast=0.2).scenes(2000, generator()).grey
    assert (grey - 0.5).abs().min() >= 0.2 and grey.min() >= 0 and grey.max() <= 1
    assert (grey < 0.5).float().mean().item() == pytest.approx(0.5, abs=0.03)
