"""Digits that bounce: the listed law is that of what is drawn, and the past shows all that it depends on."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from scorevid.worlds.motion import digits
from scorevid.worlds.motion.digits import TRAINING, Digits, Flights
from scorevid.worlds.motion.draws import take

pytest.importorskip("sklearn", reason="DIGITS WERE NOT TESTED: scikit-learn is missing")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def flight(*at_and_velocity, digit=7):
    at, velocity = torch.tensor(at_and_velocity).unbind(1)
    return Flights(torch.full((1, len(at)), digit), at[None, None], velocity[None])


def test_a_digit_goes_on_until_it_would_leave():
    world = Digits(n_digits=1)
    on, off = flight([[3, 10], [-2, 2]]), flight([[1, 10], [-2, 2]])
    assert world.bounces(on).tolist() == [[False]] and world.bounces(off).tolist() == [[True]]
    law = world.futures(on)
    assert law.frames.shape[1] == 1
    torch.testing.assert_close(law.frames, world.render(flight([[1, 12], [-2, 2]])))


@pytest.mark.parametrize(
    "at, velocity, possible",
    [
        ([1, 10], [-2, 0], {(2, -2): 0.7071, (2, 0): 1, (2, 2): 0.7071, (4, -4): 0.7071, (4, 0): 1, (4, 4): 0.7071}),
        ([1, 10], [-4, 4], {(2, -2): 0, (2, 0): 0.7071, (2, 2): 1, (4, -4): 0, (4, 0): 0.7071, (4, 4): 1}),
        ([1, 1], [-2, 0], {(2, 0): 1, (2, 2): 0.7071, (4, 0): 1, (4, 4): 0.7071}),  # not up, out of the frame
        ([1, 1], [-2, -2], {(2, 2): 1, (4, 4): 1}),  # a corner
        (
            [10, 19],
            [0, 4],
            {(-2, -2): 0.7071, (0, -2): 1, (2, -2): 0.7071, (-4, -4): 0.7071, (0, -4): 1, (4, -4): 0.7071},
        ),
    ],
)
def test_the_law_of_a_bounce_is_the_one_worked_out_by_hand(at, velocity, possible):
    """Velocities that lead inward and stay inside, with weight exp(κ cos) of their angle to the mirror image."""
    world = Digits(n_digits=1, kappa=1.5)
    law = world.bounce_law(flight([at, velocity]))[0, 0]
    weight = {u: torch.tensor(1.5 * cosine).exp().item() for u, cosine in possible.items()}
    expected = [weight.get(tuple(u), 0.0) / sum(weight.values()) for u in world.velocities().tolist()]
    torch.testing.assert_close(law, torch.tensor(expected), atol=1e-4, rtol=0)
    futures = world.futures(flight([at, velocity]))
    assert futures.count().item() == len(possible)
    shown = [world.render(flight([[at[0] + x, at[1] + y], velocity]))[0, 0] for x, y in possible]
    p = {k: v / sum(weight.values()) for k, v in weight.items()}
    for frame, probability in zip(shown, p.values(), strict=True):
        same = (futures.frames[0] - frame).abs().amax((1, 2)) < 1e-6
        assert same.sum() == 1 and futures.probabilities[0, same].item() == pytest.approx(probability, abs=1e-4)


def next_frames(world, draws, kappa=None):
    """p-values that next frames, drawn with κ, have the probabilities that the world lists, one a scene."""
    flights = world.flights(400, world.memory, generator(), test=True)
    flights = take(flights, world.bounces(flights).all(1))
    law = world.futures(flights)
    apart = law.closest() > 0.3
    flights, law = take(flights, apart), law[apart]
    flights, law = take(flights, slice(0, 12)), law[:12]
    many = take(flights, torch.arange(len(flights)).repeat_interleave(draws))
    drawer = world if kappa is None else replace(world, kappa=kappa)
    after = drawer.step(many, generator(1))
    x = world.render(replace(after, path=after.path[:, -1:])).view(len(flights), draws, -1)
    distance = torch.cdist(x, law.frames.flatten(2))
    assert distance.amin(2).max() < 0.05
    which, found = distance.argmin(2), []
    for k, p in enumerate(law.probabilities):
        n = torch.bincount(which[k], minlength=len(p)).double()
        p = p.double() / p.double().sum()
        found.append(chisquare(n[p > 0], p[p > 0] * n.sum()).pvalue)
    return found


def test_next_frames_are_drawn_as_often_as_listed():
    assert min(next_frames(Digits(), 1500)) > 1e-4


def test_frames_drawn_with_another_law_would_be_found():
    """A planted fault: the mirror image is preferred somewhat less than listed, or nothing is."""
    assert min(next_frames(Digits(), 1500, kappa=0.7)) < 1e-4
    assert min(next_frames(Digits(), 1500, kappa=0.0)) < 1e-8


def test_position_and_velocity_can_be_read_off_the_pixels_of_the_past():
    """A digit is sought at all places of both last past frames; exactly one fits, and so a bounce is known beforehand."""
    world = Digits(n_digits=1)
    flights = world.flights(20, 3, generator(), test=True)
    frames = world.render(flights)
    everywhere = torch.cartesian_prod(torch.arange(21), torch.arange(21))
    for k in range(20):
        image = Flights(flights.digit[k].expand(441, 1), everywhere[:, None, None], everywhere[:, None])
        templates = world.render(image)[:, 0]
        fits = [((templates - frame).abs().amax((1, 2)) < 1e-6).nonzero() for frame in frames[k, -2:]]
        assert [len(fit) for fit in fits] == [1, 1]
        before, now = (everywhere[fit[0, 0]] for fit in fits)
        ahead = now + (now - before)
        assert bool(((ahead < 0) | (ahead > 20)).any()) == bool(world.bounces(flights)[k, 0])


def test_undecided_scenes_bounce_and_are_apart():
    world = Digits()
    c, law = world.undecided(40, generator())
    assert c.shape == (40, 3, 32, 32) and law.frames.shape[2:] == (32, 32)
    assert law.count().min() >= 2 and law.count().max() <= 36 and law.closest().min() >= 0.5


def test_each_frame_of_a_video_is_a_listed_future_of_those_before():
    world = Digits()
    flights = world.flights(5, 12, generator())
    video = world.render(flights)
    torch.testing.assert_close(video, world.video(5, 9, generator()))
    for t in range(2, 12):
        velocity = flights.path[:, t - 1] - flights.path[:, t - 2]
        law = world.futures(Flights(flights.digit, flights.path[:, :t], velocity))
        assert torch.cdist(video[:, t].flatten(1)[:, None], law.frames.flatten(2)).amin(2).max() < 0.05


def test_digits_stay_in_the_frame_and_do_bounce():
    flights = Digits().flights(300, 40, generator())
    assert flights.path.min() == 0 and flights.path.max() == 20
    moves = flights.path.diff(dim=1)
    changes = (moves.diff(dim=1) != 0).any(3).double().mean().item()
    assert 0.1 < changes < 0.6


def test_test_digits_are_never_trained_on():
    world, n = Digits(), len(digits._digits(12))
    assert n == 1797
    train, test = (world.flights(3000, 1, generator(), test=which).digit for which in (False, True))
    assert train.max() == TRAINING - 1 and train.min() == 0
    assert test.min() == TRAINING and test.max() == n - 1
    seen = {}
    original = world.flights
    object.__setattr__(world, "flights", lambda *a, **k: seen.setdefault("last", original(*a, **k)))
    world.test_scenes(4, generator())
    assert seen["last"].digit.min() >= TRAINING


def test_two_digits_are_combined_by_the_larger_grey():
    world = Digits()
    both, first, second = ([[4, 4], [2, 0]], [[8, 6], [2, 0]]), ([[4, 4], [2, 0]],), ([[8, 6], [2, 0]],)
    one, other = (Digits(n_digits=1).render(flight(*each)) for each in (first, second))
    torch.testing.assert_close(world.render(flight(*both)), torch.maximum(one, other))
    assert one.max() > 0.9 and one[0, 0, 20:].max() == 0


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    digits._digits.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    world = Digits()  # may be described, and stand on the command line
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'scorevid\[learn\]'"):
        world.draw(1, generator())


@settings(max_examples=10, deadline=None)
@given(
    batch=st.integers(1, 4),
    memory=st.integers(2, 4),
    n=st.integers(1, 3),
    width=st.integers(8, 16),
    seed=st.integers(0, 99),
)
def test_shapes_greys_and_seeds(batch, memory, n, width, seed):
    world = Digits(memory=memory, n_digits=n, width=width)
    c, x = world.draw(batch, generator(seed))
    video = world.video(batch, 3, generator(seed))
    assert c.shape == (batch, memory, 32, 32) and x.shape == (batch, 1, 32, 32)
    assert video.shape == (batch, memory + 3, 32, 32) and video.min() >= 0 and video.max() <= 1
    assert torch.equal(video[:, : memory + 1], torch.cat([c, x], 1))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"size": 0}, "size"),
        ({"memory": 1}, "memory"),
        ({"n_digits": 0}, "n_digits"),
        ({"width": 33}, "width"),
        ({"speeds": ()}, "speeds"),
        ({"speeds": (2, 2)}, "speeds"),
        ({"speeds": (0,)}, "speeds"),
        ({"speeds": (2, 11)}, "speeds"),
        ({"speeds": 2}, "speeds"),
        ({"kappa": float("inf")}, "kappa"),
    ],
)
def test_values_that_describe_no_world_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Digits(**wrong)
