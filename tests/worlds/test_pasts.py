"""Scenes that only a longer memory has seen: disks are hidden for as long as it says, and orders follow from the past."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorevid.worlds.leaves.hidden import (
    LEAST_PIXELS,
    at_times,
    hidden_for,
    hidden_scenes,
    own_pixels,
    passing_scenes,
    without_disk_1,
)
from scorevid.worlds.leaves.meetings import remembered_orders, undecided_scenes
from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.pasts import LONGEST, before_it_comes_out, covered_within, cross, hide
from scorevid.worlds.leaves.scenes import covers, render, visible
from scorevid.worlds.leaves.world import Leaves

WORLD = Leaves(memory=7, n_disks=3)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(n=400, seed=0, world=WORLD, **changes):
    scene = world.scenes(n, generator(seed))
    return scene, hide(scene, torch.ones(n, dtype=torch.bool), world.speed[1], generator(seed + 1), **changes)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 2**32), st.sampled_from([Leaves(memory=3), Leaves(memory=7, size=40, speed=(0.0, 2.0), kappa=1.0)])
)
def test_disks_are_hidden_for_as_many_frames_as_it_says(seed, world):
    # catches a scene that is a frame early or late, disks that are too fast, and a hidden disk that shows at its edge
    _, (made, k) = drawn(200, seed, world)
    made, k = made[k >= 0], k[k >= 0]
    pair = without_third(made)
    seen = visible(pair, torch.arange(-LONGEST - 2, 1))[..., 1]
    ago = torch.arange(LONGEST + 2, -1, -1)  # frames before the next one
    hidden = (ago <= k[:, None]) & (ago >= 1)
    assert (seen[hidden] <= 1e-6).all()
    before = (ago == k[:, None] + 1) | (ago == k[:, None] + 2) | (ago == 0)
    assert (seen[before] > 0.05).all()
    assert made.velocity[:, :2].norm(dim=2).max() <= world.speed[1] + 1e-5
    assert (made.depth[:, 0] < made.depth[:, 1]).all() and (made.depth.sort(1).values == torch.arange(3)).all()


def without_third(scene):
    changed = {k: getattr(scene, k)[:, :2] for k in ("position", "velocity", "radius", "grey")}
    return scene.replace(**changed, depth=scene.depth[:, :2].argsort(1).argsort(1))


def test_hidden_frames_are_the_same_without_the_disk():
    scenes = hidden_for(WORLD, 4, 20, generator())
    ago = torch.arange(-4, 0)
    alone = without_disk_1(scenes)
    torch.testing.assert_close(render(scenes, ago), render(alone, ago), rtol=0, atol=1e-6)
    difference = (render(scenes, torch.tensor([-6, -5, 0])) - render(alone, torch.tensor([-6, -5, 0]))).abs()
    assert (difference.amax((2, 3)) > 0.1).all()


def test_scenes_that_are_not_to_hide_a_disk_stay_as_they_are():
    scene, _ = drawn()
    which = torch.arange(len(scene)) % 2 == 0
    made, k = hide(scene, which, 2.5, generator(1))
    for name in ("position", "velocity", "radius", "grey", "depth"):
        assert torch.equal(getattr(made, name)[~which], getattr(scene, name)[~which])
    assert (k[~which] == -1).all() and (k[which] >= 0).float().mean() > 0.5
    assert torch.equal(made.position[:, 2], scene.position[:, 2])


def test_other_disks_keep_the_law_of_their_depth():
    # catches a depth order that is mended by exchanging two ranks, under which the third disk's rank has another law
    n = 40_000
    scene = WORLD.scenes(1, generator())[torch.zeros(n, dtype=torch.long)]
    scene = scene.replace(radius=torch.tensor([8.0, 3.0, 6.0]).expand(n, 3))
    made, k = hide(scene, torch.ones(n, dtype=torch.bool), 2.5, generator(2), torch.zeros(n, dtype=torch.long))
    made = made[k >= 0]
    strength = made.radius.double() ** WORLD.kappa
    p = {}
    for order in permutations(range(3)):
        left, chance = strength.sum(1), 1.0
        for disk in order:
            chance, left = chance * strength[:, disk] / left, left - strength[:, disk]
        p[order] = chance
    given_front = sum(chance for order, chance in p.items() if order.index(0) < order.index(1))
    expected = sum(p[order] for order in p if order.index(2) == 0 and order.index(0) < order.index(1)) / given_front
    share = (made.depth[:, 2] == 0).double()
    spread = (expected * (1 - expected)).mean().div(len(made)).sqrt()
    assert abs(share.mean() - expected.mean()) < 4 * spread


def test_a_disk_is_wholly_covered_within_the_distance_that_it_says():
    big, small = torch.tensor([7.0, 9.0, 4.0]), torch.tensor([3.0, 2.5, 4.0])
    s = covered_within(big, small)
    assert s[2] == 0
    scene = WORLD.scenes(2, generator()).replace(memory=1)
    scene = without_third(scene).replace(radius=torch.stack([big, small], 1)[:2])
    for off, hidden in ((-0.01, True), (0.6, False)):
        place = torch.tensor([15.0, 15.0]).expand(2, 2)
        at = torch.stack([place, place + torch.stack([s[:2] + off, torch.zeros(2)], 1)], 1)
        first, second = covers(scene.replace(position=at), torch.zeros(1), torch.tensor([[0, 1], [0, 1]]))
        assert ((second * (1 - first)).sum((1, 2, 3)) <= 1e-6).all() == hidden


@pytest.mark.parametrize("frames", [0, 3])
def test_what_was_hidden_comes_out_with_pixels_of_its_own(frames):
    scenes = hidden_for(WORLD, frames, 30, generator(3))
    assert scenes.radius.shape == (30, 2) and scenes.memory == 7
    assert own_pixels(scenes, torch.zeros(30)).sum((1, 2)).min() >= LEAST_PIXELS


def test_a_disk_that_passes_is_in_view_first_hidden_then_and_out_again():
    scenes = passing_scenes(WORLD, 20, generator(4), hidden=(2, 3), by=11)
    seen = visible(scenes, torch.arange(-7, 12))[..., 1]
    assert seen[:, :7].min() >= 0.5
    lost = (seen[:, 8:18] <= 1e-6).sum(1)
    assert ((lost == 2) | (lost == 3)).all()
    assert own_pixels(scenes, torch.full((20,), 11)).sum((1, 2)).min() >= LEAST_PIXELS
    for bad in ({"hidden": (0, 2)}, {"hidden": (3, 2)}, {"by": 3}):
        with pytest.raises(ValueError, match=r"hidden|by"):
            passing_scenes(WORLD, 2, generator(), **bad)


def test_earlier_a_disk_is_hidden_still_or_about_to_be():
    """Scenes in which it came out all the same would teach that it always does."""
    scene, (before, frames) = drawn(world=Leaves(memory=7, n_disks=2))
    moved = before_it_comes_out(before, frames.masked_fill(torch.arange(400) < 50, -1), generator(2))
    assert torch.equal(moved.position[:50], before.position[:50])
    assert torch.equal(moved.position[frames < 0], scene.position[frames < 0])
    own, frames = visible(moved, torch.tensor([0]))[50:, 0, 1], frames[50:]
    assert (own[frames == 0] > 0).all()
    for k in (1, 6):
        assert (own[frames == k] <= 1e-6).double().mean().item() == pytest.approx(k / (k + 1), abs=0.2)


def test_disks_cross_in_the_past_without_a_view_to_their_depth():
    scene = WORLD.scenes(300, generator())
    some = torch.arange(300) < 250
    made, crossed = cross(scene, some, 2.5, generator(5))
    assert crossed.sum() > 20 and not crossed[250:].any()
    assert torch.equal(made.position[~crossed], scene.position[~crossed]) and torch.equal(made.depth, scene.depth)
    made = made[crossed]
    assert made.velocity[:, 2].norm(dim=1).max() <= 2.5 + 1e-5
    times = torch.arange(-7, 0)
    at = made.position[:, None] + times[:, None, None] * made.velocity[:, None]
    for disk in (0, 1):
        overlap = made.radius[:, [disk, 2]].sum(1)[:, None] - (at[:, :, disk] - at[:, :, 2]).norm(dim=2)
        assert overlap.amax(1).min() >= 0.49
    with pytest.raises(ValueError, match="memory"):
        cross(scene.replace(memory=1), some, 2.5, generator())


def test_an_order_is_known_to_the_memories_that_have_seen_it_and_to_no_other():
    world = Leaves(memory=5, n_disks=3)
    scenes, ahead, p = remembered_orders(world, 4, 6, generator(6))
    assert p.shape == (6, 4) and (p[:, 2:] == 1).all() and (p[:, :2] < 0.9999).all()
    torch.testing.assert_close(ahead.frames[:, :1], scenes.next_frame())
    for memory in (3, 4):
        law = futures(scenes.replace(memory=memory))
        assert ((law.count() == 1) == (memory == 4)).all()
    for age in (1, 6):
        with pytest.raises(ValueError, match="age"):
            remembered_orders(world, age, 1, generator())


def test_without_its_new_fields_a_world_draws_what_it_drew_before():
    plain, named = Leaves(fewest=2), Leaves(fewest=2, hiding=0.0)
    assert torch.equal(plain.draw(8, generator())[0], named.draw(8, generator())[0])
    with pytest.raises(ValueError, match="hidden by a second"):
        Leaves(n_disks=1, hiding=0.5)
    share = Leaves(memory=7, hiding=1.0, meeting=0.0).scenes(200, generator())
    assert (share.radius[:, 0] > 7).float().mean() > 0.4  # larger than any disk that hides none


def test_a_world_with_hidden_disks_and_inferred_orders_has_scenes_to_be_tested_on():
    world = Leaves(memory=2, n_disks=3, fewest=2, inferred=0.3, hiding=0.6, joining=0.5)
    held_out = world.test_scenes(2, generator())
    assert held_out.undecided(2, generator())[1].frames.shape == (2, 2, 32, 32)
    assert (
        len(undecided_scenes(world, 2, generator(), n_disks=2)[0]) == len(hidden_scenes(world, 2, generator())[0]) == 2
    )


def test_scenes_move_on_by_their_own_times():
    scenes = hidden_for(WORLD, 1, 3, generator(7))
    moved = at_times(scenes, torch.tensor([1, 2, 3]))
    torch.testing.assert_close(moved.past()[2, -1], render(scenes, torch.tensor([2]))[2, 0])
