"""Roll-outs of known continuations, and the fate of a disk that the past hides: true frames, and false ones."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorevid.studies.rollouts import (
    CHANGED,
    DROPPED,
    GREYS_APART,
    KEPT,
    LEAST_PIXELS,
    count_fates,
    emergence,
    fate,
    hidden_scenes,
    own_pixels,
    roll_out,
)
from scorevid.worlds.leaves.scenes import Scene, render, visible
from scorevid.worlds.leaves.world import Leaves

SETTINGS = [{"method": "multistep", "steps": 3, "beta": 1.0, "sigma": "residual"}, {"h_0": 0.3, "beta": 0.5}]
N, FRAMES = 40, 12


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def extrapolate(y, c):
    """The polynomial through the past, read one frame on: exact for polynomials of degree M − 1."""
    m = c.shape[1]
    weights = [(-1) ** (m - 1 - k) * math.comb(m, k) for k in range(m)]
    return sum(w * c[:, k : k + 1] for k, w in enumerate(weights))


@pytest.fixture(scope="module")
def scenes():
    return hidden_scenes(Leaves(), N, generator(), FRAMES)


def repainted(scene, grey):
    return scene.replace(grey=torch.stack([scene.grey[:, 0], grey], 1))


def at(scene, times):
    """Each scene rendered at its own time, (B, H, W)."""
    return torch.cat([render(scene[k], t[None])[:, 0] for k, t in enumerate(times)])


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("memory", [1, 2, 3])
def test_a_known_continuation_is_rolled_out(memory, settings):
    coefficients = torch.rand(3, memory, 4, 5, generator=generator(), dtype=torch.float64)
    t = torch.arange(memory + 6, dtype=torch.float64)[:, None, None]
    video = sum(coefficients[:, k, None] * (t / 8) ** k for k in range(memory))  # greys leave [0, 1]
    c = video[:, :memory]
    kept = c.clone()
    x = roll_out(extrapolate, c, 6, settings, generator())
    torch.testing.assert_close(x, video[:, memory:], rtol=0, atol=1e-9)
    assert torch.equal(c, kept)


@pytest.mark.parametrize("memory", [1, 2, 3])
def test_the_past_is_the_last_frames(memory):
    pasts = []

    def count(y, c):
        pasts.append(c[:, :, 0, 0])
        return c[:, -1:] + 1

    c = torch.arange(float(memory))[None, :, None, None].expand(1, memory, 4, 4)
    x = roll_out(count, c, 5, SETTINGS[0], generator())
    assert x[0, :, 0, 0].tolist() == [memory + k for k in range(5)]
    each = len(pasts) // 5  # evaluations for a frame
    for k in range(5):
        for past in pasts[k * each : (k + 1) * each]:
            assert past.tolist() == [[k + m for m in range(memory)]]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_generator_decides(settings):
    c = torch.rand(4, 2, 6, 6, generator=generator(1))

    def f(y, c):
        return (c.mean(1, keepdim=True) + (3 * y).tanh()) / 2

    one, again, other = (roll_out(f, c, 3, settings, generator(seed)) for seed in (0, 0, 1))
    assert one.shape == (4, 3, 6, 6) and torch.equal(one, again) and not torch.equal(one, other)
    torch.testing.assert_close(roll_out(f, c, 3, settings, generator(0), batch_limit=3), one)
    assert torch.equal(roll_out(f, c, 2, settings, generator(0)), one[:, :2])


def test_a_progress_bar_is_shown_when_asked_for(capsys):
    c = torch.zeros(1, 1, 4, 4)
    roll_out(extrapolate, c, 2, SETTINGS[0], generator())
    assert not capsys.readouterr().err
    roll_out(extrapolate, c, 2, SETTINGS[0], generator(), progress=True)
    assert "2/2" in capsys.readouterr().err


def test_bad_roll_outs_raise():
    c = torch.zeros(2, 2, 4, 4)
    for bad in (c[0], c[:, :0], c.tolist()):
        with pytest.raises(ValueError, match=r"\(B, M, H, W\) with M >= 1, got"):
            roll_out(extrapolate, bad, 2, SETTINGS[0], generator())
    for frames in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="frames must be a positive integer"):
            roll_out(extrapolate, c, frames, SETTINGS[0], generator())
    with pytest.raises(ValueError, match="floating-point"):
        roll_out(extrapolate, c.long(), 2, SETTINGS[0], generator())
    with pytest.raises(ValueError, match="batch_limit"):
        roll_out(extrapolate, c, 2, SETTINGS[0], generator(), batch_limit=0)
    with pytest.raises(ValueError, match="one sample a scene, the settings give 3"):
        roll_out(extrapolate, c, 2, SETTINGS[0] | {"n_samples": 3}, generator())
    with pytest.raises(ValueError, match="finite numbers at frame 1 of 3"):
        roll_out(lambda y, c: 1 / (1 - c[:, -1:]), c, 3, SETTINGS[0], generator())


def test_the_past_does_not_depend_on_the_hidden_disk(scenes):
    hidden, control = scenes
    for scene in scenes:
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


def test_the_control_differs_in_depth_only(scenes):
    hidden, control = scenes
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


def test_bad_hidden_scenes_raise():
    for world in (Leaves(radius=(3.0, 4.0)), replace(Leaves(meeting=0.0), speed=(0.0, 0.0)), Leaves(size=8)):
        with pytest.raises(ValueError, match="2 of 2 scenes were not found"):
            hidden_scenes(world, 2, generator())
    for n in (0, 2.0):
        with pytest.raises(ValueError, match="n must be a positive integer"):
            hidden_scenes(Leaves(), n, generator())
    with pytest.raises(ValueError, match="frames must be a positive integer"):
        hidden_scenes(Leaves(), 2, generator(), 0)
    with pytest.raises(ValueError, match="at least 2"):
        hidden_scenes(Leaves(), 2, generator(), 1)


def passing(speed=2.0, depth=(0, 1)):
    """A disk of radius 3 behind one of radius 6 that rests; their centres meet one frame before the first predicted."""
    return Scene(
        position=torch.tensor([[[16.0, 16.0], [16.0 + speed, 16.0]]]),
        velocity=torch.tensor([[[0.0, 0.0], [speed, 0.0]]]),
        radius=torch.tensor([[6.0, 3.0]]),
        grey=torch.tensor([[0.1, 0.9]]),
        depth=torch.tensor([depth]),
    )


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


def test_fates_of_frames_that_are_known(scenes):
    times = emergence(scenes[0], FRAMES)
    for scene in scenes:
        ground = torch.full((N,), scene.ground)
        moved = scene.replace(position=scene.position + torch.tensor([[0.0, 0.0], [0.3, -0.3]]))
        gone = scene.replace(position=scene.position + torch.tensor([[0.0, 0.0], [99.0, 0.0]]))
        noise = 0.02 * torch.randn(N, 32, 32, generator=generator())
        for x, due in (
            (at(scene, times), KEPT),
            (at(scene, times) + noise, KEPT),
            (at(moved, times), KEPT),
            (at(gone, times), DROPPED),
            (at(gone, times) + noise, DROPPED),
            (at(repainted(scene, 0.8 * scene.grey[:, 1] + 0.2 * ground), times), KEPT),
            (at(repainted(scene, 0.5 * scene.grey[:, 1] + 0.5 * ground), times), CHANGED),
            (at(repainted(scene, 0.2 * scene.grey[:, 1] + 0.8 * ground), times), DROPPED),
            (at(repainted(scene, 2 * ground - scene.grey[:, 1]), times), CHANGED),
            (at(repainted(scene, scene.grey[:, 0]), times), CHANGED),
        ):
            result = fate(x, scene, times)
            assert result.dtype == torch.long and result.tolist() == [due] * N


def test_light_and_dark_do_not_make_up_for_each_other():
    scene, times = passing(), torch.tensor([3])
    x = at(scene, times)
    where = own_pixels(scene, times)
    checks = torch.where(torch.arange(32) % 2 == 0, 0.3, -0.3).expand_as(x)
    assert checks[where].mean().abs() < 0.1
    assert fate(x + checks, scene, times).tolist() == [CHANGED]
    assert fate(x + checks, scene, times, 0.5).tolist() == [CHANGED]
    assert fate(x + checks / 3, scene, times).tolist() == [KEPT]
    assert fate(x + checks / 3, scene, times, 0.1).tolist() == [CHANGED]


def test_each_scene_has_its_own_time():
    scene = passing()
    both = scene.replace(**{k: torch.cat([v, v]) for k, v in vars(scene).items() if torch.is_tensor(v)})
    times = torch.tensor([2, 5])
    assert fate(at(both, times), both, times).tolist() == [KEPT, KEPT]
    assert fate(at(both, times.flip(0)), both, times).tolist() == [DROPPED, DROPPED]


def test_fates_are_counted():
    assert count_fates(torch.tensor([[KEPT, DROPPED, KEPT], [CHANGED, KEPT, DROPPED]])) == {
        "kept": 3,
        "changed": 1,
        "dropped": 2,
    }
    assert count_fates(torch.zeros(0, dtype=torch.long)) == {"kept": 0, "changed": 0, "dropped": 0}
    with pytest.raises(ValueError, match="got"):
        count_fates(torch.tensor([0, 3]))


def test_bad_fates_raise(scenes):
    scene = scenes[0]
    times = emergence(scene, FRAMES)
    x = at(scene, times)
    for bad in (x[:-1], x[:, None], x[..., :-1], x.long(), x.tolist()):
        with pytest.raises(ValueError, match=r"frames \(40, 32, 32\) are due"):
            fate(bad, scene, times)
    with pytest.raises(ValueError, match="finite"):
        fate(x / 0, scene, times)
    for bad in (times[:-1], times[:, None], torch.tensor(3), 3):
        with pytest.raises(ValueError, match="times must be"):
            fate(x, scene, bad)
    for tolerance in (0.0, 0.6, math.nan):
        with pytest.raises(ValueError, match="tolerance"):
            fate(x, scene, times, tolerance)
    with pytest.raises(ValueError, match="in 40 of 40 scenes there are none"):
        fate(x, scene, torch.full((N,), -1))
    with pytest.raises(ValueError, match="ground's grey"):
        fate(x, repainted(scene, torch.full((N,), scene.ground)), times)
    with pytest.raises(ValueError, match="two disks"):
        fate(x, Leaves().scenes(N, generator()), times)
