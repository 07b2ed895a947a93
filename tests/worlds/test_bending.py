"""Bodies that bend: three past frames determine the next, two do not, and all of each body is always in view."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorevid.worlds.motion import bending
from scorevid.worlds.motion.bending import Bending, Bodies
from scorevid.worlds.motion.draws import swing


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def in_double(bodies):
    return Bodies(**{k: v.double() if v.is_floating_point() else v for k, v in vars(bodies).items()})


def test_three_values_of_a_swing_determine_the_next():
    m, omega = 0.7, 2 * math.pi / 10
    values = m + swing(torch.arange(-3.0, 9.0).double(), torch.tensor(1.3).double(), torch.tensor(0.4).double(), 10)
    following = values[:-3] + (1 + 2 * math.cos(omega)) * (values[2:-1] - values[1:-2])
    torch.testing.assert_close(following, values[3:])


def directions(world, bodies):
    """How past and next frame change with each parameter of the motion and the looks of a body: Jacobians, by differences."""
    moving = ["centre", "sway", "swell", "bend", "angle", "spin", "axes", "grey", "waves"]
    past, following, step = [], [], 1e-6
    times = torch.arange(-world.memory, 1)
    for name in moving:
        value = getattr(bodies, name)
        for k in range(value[0, 0].numel()):
            change = torch.zeros_like(value)
            change[0, 0].view(-1)[k] = step
            higher, lower = (world.render(replace(bodies, **{name: value + s * change}), times) for s in (1, -1))
            slope = (higher - lower)[0] / (2 * step)
            past.append(slope[:-1].flatten())
            following.append(slope[-1].flatten())
    return torch.stack(past, 1), torch.stack(following, 1)


def open_amount(memory, seed):
    """How much the next frame can change, to first order, while the past stays the same: in grey a unit of parameter."""
    world = Bending(memory=memory, pairs=0.0)
    past, following = directions(world, in_double(world.bodies(1, generator(seed))))
    _, s, v = torch.linalg.svd(past, full_matrices=True)
    s = torch.nn.functional.pad(s, (0, len(v) - len(s)))
    unseen = v[s < 1e-4 * s[0]]
    return torch.linalg.matrix_norm(following @ unseen.T, 2).item() if len(unseen) else 0.0


@pytest.mark.parametrize("seed", range(3))
def test_three_past_frames_determine_the_next_and_two_do_not(seed):
    """By all directions in which the parameters of a body can change without a change of the past frames' pixels."""
    assert open_amount(3, seed) < 0.02
    assert open_amount(2, seed) > 0.3


def test_rates_carried_on_by_hand_give_the_next_frame():
    """Would catch a video whose later frames follow another motion than the past."""
    world = Bending()
    bodies = in_double(world.bodies(4, generator()))
    video = world.render(bodies, torch.arange(-3, 1))
    times, carry = torch.arange(-3.0, 0).double(), 1 + 2 * math.cos(2 * math.pi / 10)
    now = {}
    for name in ("sway", "swell", "bend"):
        values = swing(times, *getattr(bodies, name).unbind(-1), 10.0)
        following = values[..., 0] + carry * (values[..., 2] - values[..., 1])
        now[name] = torch.stack([following, torch.full_like(following, math.pi / 2)], -1)  # what it is at time 0
    now["angle"] = bodies.angle - bodies.spin + bodies.spin
    torch.testing.assert_close(world.render(replace(bodies, **now), torch.zeros(1)), video[:, -1:])


def test_bodies_are_whole_in_view_and_never_touch():
    """Would catch content that comes into view, which no past frame has shown."""
    world, times = Bending(pairs=0.5), torch.arange(-3, 20)
    bodies = world.bodies(100, generator())
    shown = []
    for k in range(2):
        only = bodies.present & (torch.arange(2) == k)
        shown.append((world.render(replace(bodies, present=only), times) - 0.5).abs() > 1e-6)
    assert not (shown[0] & shown[1]).any()
    either = shown[0] | shown[1]
    assert (
        not either[..., 0].any()
        and not either[..., -1].any()
        and not either[:, :, 0].any()
        and not either[:, :, -1].any()
    )
    assert shown[0].flatten(2).any(2).all()


def test_no_pixel_of_a_body_is_left_out(monkeypatch):
    """Only pixels near a body are computed: the same frames come of all pixels."""
    world = Bending(swell=0.2, bend=0.3)
    bodies = world.bodies(100, generator(1))
    frames = world.render(bodies, torch.arange(-3, 8))
    monkeypatch.setattr(bending, "FARTHEST", 3.0)
    torch.testing.assert_close(world.render(bodies, torch.arange(-3, 8)), frames)


def test_texture_turns_with_its_body():
    world = Bending(pairs=0.0)
    bodies = world.bodies(6, generator())
    still = replace(bodies, sway=torch.zeros_like(bodies.sway))
    turned = replace(still, angle=still.angle + math.pi / 2)
    upright, lying = (world.render(each, torch.zeros(1)) for each in (still, turned))
    torch.testing.assert_close(upright.rot90(-1, (2, 3)), lying, atol=1e-4, rtol=0)


def test_a_body_has_the_area_of_its_ellipse_however_it_bends():
    """A shear keeps areas; swelling multiplies them by exp(2 s)."""
    world = Bending(pairs=0.0)
    bodies = in_double(world.bodies(8, generator()))
    bodies = replace(bodies, waves=bodies.waves * 0 + torch.tensor([0, 0, math.pi / 2]), grey=bodies.grey * 0 + 0.6)
    area = (world.render(bodies, torch.zeros(1)) - 0.5).sum((1, 2, 3)) / 0.1
    s = (bodies.swell[:, 0, 0] * bodies.swell[:, 0, 1].sin()).exp()
    torch.testing.assert_close(area, math.pi * bodies.axes[:, 0].prod(1) * s**2, rtol=0.03, atol=0)


@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 4), memory=st.integers(1, 4), size=st.integers(16, 40), seed=st.integers(0, 99))
def test_shapes_greys_and_seeds(batch, memory, size, seed):
    world = Bending(size=size, memory=memory)
    c, x = world.draw(batch, generator(seed))
    video = world.video(batch, 3, generator(seed))
    assert c.shape == (batch, memory, size, size) and x.shape == (batch, 1, size, size)
    assert video.shape == (batch, memory + 3, size, size) and video.min() > 0.04 and video.max() < 0.96
    assert torch.equal(video[:, : memory + 1], torch.cat([c, x], 1))


def test_the_next_frame_is_the_only_future():
    c, law = Bending().decided(5, generator())
    again, x = Bending().draw(5, generator())
    assert torch.equal(c, again) and torch.equal(law.frames, x) and (law.probabilities == 1).all()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"size": 15}, "size"),
        ({"memory": 0}, "memory"),
        ({"pairs": 1.5}, "pairs"),
        ({"period": 2.0}, "period"),
        ({"spin": (5.0, 4.0)}, "spin"),
        ({"swell": 0.3}, "swell"),
        ({"bend": -0.1}, "bend"),
        ({"wavelength": (1.0, 4.0)}, "wavelength"),
    ],
)
def test_values_that_describe_no_world_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Bending(**wrong)
