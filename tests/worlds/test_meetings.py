"""Test scenes: what is seen of a disk, what the past determines, probability as asked for."""

import pytest
import torch

from scorevid.measures.proper_scores import pooled_calibration_test
from scorevid.worlds.leaves.meetings import (
    LEAST_DISTANCE,
    LEAST_SEEN,
    MOST_FUTURES,
    _clearly_seen,
    determined,
    inferred_orders,
    undecided_meetings,
    undecided_scenes,
)
from scorevid.worlds.leaves.next_frames import futures
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
    assert not determined(pair([[8.0, 8.0], [14.0, 8.0]], grey=(0.3, 0.31))).item()
    assert determined(pair([[8.0, 8.0], [22.0, 22.0]], grey=(0.3, 0.31))).item()  # they are told apart by their places
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


# ---- more disks -----------------------------------------------------------------------------------------------------

WORLD = Leaves(meeting=0.85, close=0.8)


@pytest.fixture(scope="module")
def many():
    return undecided_scenes(WORLD, 120, generator(1), n_disks=4)


def test_scenes_of_more_disks_have_two_futures_or_more_that_are_far_apart(many):
    scenes, law = many
    assert scenes.radius.shape == (120, 4) and determined(scenes).all()
    count = law.count()
    assert count.min() == 2 and 4 <= count.max() <= MOST_FUTURES and (count > 2).float().mean() > 0.15
    apart = torch.cdist(law.frames.flatten(2), law.frames.flatten(2))
    possible = law.probabilities > 0
    pairs = possible[:, :, None] & possible[:, None] & ~torch.eye(possible.shape[1], dtype=torch.bool)
    assert apart[pairs].min() >= LEAST_DISTANCE - 1e-3
    away = (law.frames - scenes.next_frame()).abs().amax((2, 3)).masked_fill(~possible, torch.inf)
    assert away.amin(1).max() < 1e-4


@pytest.mark.parametrize("n", [2, 3])
def test_true_next_frames_have_the_listed_probabilities(n):
    """Whatever scenes are sorted out: one true frame a scene, against its law and against laws that are more or less sure."""
    scenes, law = undecided_scenes(WORLD, 500, generator(n), n_disks=n)
    away = (law.frames - scenes.next_frame()).abs().amax((2, 3)).masked_fill(law.probabilities == 0, torch.inf)
    happened = torch.nn.functional.one_hot(away.argmin(1), law.probabilities.shape[1]).numpy()
    for power, right in ((1.0, True), (0.6, False), (1.6, False)):
        p = (law.probabilities.double() ** power).numpy() * (law.probabilities > 0).numpy()
        test = pooled_calibration_test(happened, p / p.sum(1, keepdims=True), replicates=999)
        assert (test.p_sharpness > 0.02) == right, (power, test)


def test_the_same_seed_gives_the_same_scenes_of_more_disks():
    one, two = (undecided_scenes(WORLD, 5, generator(7), n_disks=3)[0].video() for _ in range(2))
    assert torch.equal(one, two)


def test_frames_of_other_sizes_have_their_futures_listed():
    """With as many disks for their area, of which those in the middle tile meet."""
    scenes, law = undecided_scenes(WORLD, 12, generator(), n_disks=2, tiles=3)
    assert law.frames.shape[2:] == (96, 96) and scenes.radius.shape == (12, 18) and determined(scenes).all()
    assert (law.count() >= 2).all()
    away = (law.frames - scenes.next_frame()).abs().amax((2, 3)).masked_fill(law.probabilities == 0, torch.inf)
    assert away.amin(1).max() < 1e-4
    middle = law.where()[:, 0, 26:70, 26:70].any((1, 2))  # disks may have left the tile by a little
    assert middle.float().mean() > 0.8


def test_an_order_that_the_past_hardly_shows_is_not_taken_for_seen():
    """Two disks whose edges share a pixel before; D there is 0.1, and then 0.5."""
    both = {"radius": (4.0, 4.0), "grey": (0.3, 0.7)}
    for before, clearly in ((8.9, True), (8.3, False), (7.0, True)):
        scene = pair([[10.0, 16.0], [10.0 + before - 2.0, 16.0]], **both)
        scene = scene.replace(velocity=torch.tensor([[[0.0, 0.0], [-2.0, 0.0]]]))
        law = futures(scene)
        assert law.count().item() == (2 if before > 8.5 else 1)
        assert _clearly_seen(scene, law).item() == clearly, before
    past = scene.replace(depth=scene.depth.flip(1)).past() - scene.past()
    assert past.norm() > LEAST_SEEN


def test_orders_are_inferred_from_a_third_disk():
    scenes, without = inferred_orders(WORLD, 40, generator())
    assert (futures(scenes).count() == 1).all() and (without.count() == 2).all()
    two = scenes.replace(**{k: getattr(scenes, k)[:, :2] for k in ("position", "velocity", "radius", "grey")})
    two = two.replace(depth=scenes.depth[:, :2].argsort(1))
    alone = futures(two)
    assert (alone.count() == 2).all()  # they have not touched before
    of_true = torch.where(scenes.depth[:, 0] == 0, alone.probabilities[:, 0], alone.probabilities[:, 1])
    torch.testing.assert_close(without.probabilities[:, 0], of_true, atol=1e-5, rtol=0)
    assert torch.equal(without.frames[:, :1], scenes.next_frame())
    apart = (without.frames[:, 0] - without.frames[:, 1]).flatten(1).norm(dim=1)
    assert apart.min() >= LEAST_DISTANCE
    assert 0.05 < (of_true < 0.5).float().mean() < 0.5  # in some, the order is the less likely one by size


def test_a_share_of_meetings_has_a_third_disk_across_the_gap():
    world = Leaves(meeting=1.0, inferred=0.5)
    scenes, plain = world.scenes(400, generator()), Leaves(meeting=1.0).scenes(400, generator())
    moved = (scenes.position[:, 2] != plain.position[:, 2]).any(1)
    assert moved.float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert torch.equal(scenes.depth, plain.depth) and torch.equal(scenes.position[:, :2], plain.position[:, :2])
    before = scenes.position - scenes.velocity
    reach = (scenes.radius[:, :2] + scenes.radius[:, 2:])[moved]
    assert ((before[:, :2] - before[:, 2:]).norm(dim=2)[moved] < reach).all()
    assert scenes.velocity[:, 2].norm(dim=1).max() <= world.speed[1] + 0.1  # as fast as the pair may be


def test_a_share_of_further_disks_joins_the_meetings():
    world = Leaves(n_disks=4, fewest=2, meeting=0.5, joining=0.8)
    scenes, plain = world.scenes(600, generator()), Leaves(n_disks=4, fewest=2, meeting=0.5).scenes(600, generator())
    assert torch.equal(scenes.depth, plain.depth) and torch.equal(scenes.position[:, :2], plain.position[:, :2])
    assert torch.equal(scenes.position < -100, plain.position < -100)  # who is absent stays so
    moved, there = (scenes.position[:, 2:] != plain.position[:, 2:]).any(2), plain.position[:, 2:, 0] > -100
    assert not moved[~there].any() and 0.25 < moved[there].float().mean() < 0.8
    reach = scenes.radius[:, 2:3] + scenes.radius[:, :2]
    now, before = ((scenes.position - t * scenes.velocity) for t in (0, 1))
    touch = [(v[:, 2:3] - v[:, :2]).norm(dim=2) < reach for v in (before, now)]
    assert (touch[1] & ~touch[0]).any(1)[moved[:, 0]].all()  # the third disk meets one of the first two
    assert scenes.velocity[:, 2:].norm(dim=2)[moved].max() <= world.speed[1] + 1e-4


def test_what_more_disks_cannot_give_is_said(monkeypatch):
    monkeypatch.setattr("scorevid.worlds.leaves.scenes.ROUNDS", 2)
    with pytest.raises(ValueError, match="too rare"):
        undecided_scenes(WORLD, 3, generator(), least_distance=50.0)
    with pytest.raises(ValueError, match="n must be"):
        undecided_scenes(WORLD, 0, generator())
    with pytest.raises(ValueError, match="third disk"):
        Leaves(n_disks=2, inferred=0.1)
