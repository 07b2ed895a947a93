"""Baselines against motions whose next frame is known."""

import math
import sys

import pytest
import torch

from scorevid.denoisers import baselines
from scorevid.sampling.solvers import solve
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

ALL = dict(zip(["copy", "extrapolate", "dis", "tvl1", "phase"], baselines.CLASSICAL.values(), strict=True))
MOVING = ("dis", "tvl1", "phase")


@pytest.fixture(scope="module")
def texture():
    """Three frames of a smooth texture that moves by (1, 2) pixels a frame, (4, 3, 32, 32)."""
    noise = torch.rand(4, 1, 60, 60, generator=torch.Generator().manual_seed(0))
    smooth = (torch.nn.functional.avg_pool2d(noise, 5, 1, 2) - 0.5) * 3 + 0.5
    return torch.cat([smooth[:, :, 12 + 2 * t : 44 + 2 * t, 12 + t : 44 + t] for t in range(3)], 1).clamp(0, 1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("memory", [2, 3])
def test_what_stands_still_stays(name, memory, texture):
    c = texture[:, :1].expand(-1, memory, -1, -1)
    torch.testing.assert_close(ALL[name](None, c), c[:, -1:], atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", ALL)
def test_shape_type_and_only_the_last_two_frames_count(name, texture):
    c = texture.double()
    x = ALL[name](None, c)
    assert x.shape == (4, 1, 32, 32) and x.dtype == torch.float64
    torch.testing.assert_close(x, ALL[name](None, c[:, -2:]))
    assert x.min() >= 0 and x.max() <= 1


@pytest.mark.parametrize("name", ["dis", "tvl1"])
def test_flow_follows_a_moving_texture(name, texture):
    inner = (..., slice(6, -6), slice(6, -6))
    error = (ALL[name](None, texture[:, :2]) - texture[:, 2:])[inner].square().mean()
    copied = (texture[:, 1:2] - texture[:, 2:])[inner].square().mean()
    assert error < 0.02 * copied


def test_extrapolation_goes_on_along_the_line():
    a, b = torch.rand(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    torch.testing.assert_close(baselines.extrapolate(None, torch.cat([a, b], 1)), 2 * b - a)


def test_phase_advance_is_exact_for_a_grating():
    at = torch.arange(32, dtype=torch.float64)
    row = [0.5 + 0.3 * torch.cos(2 * math.pi * 5 * (at - 0.7 * t) / 32) for t in range(3)]
    frames = torch.stack([r.expand(32, 32) for r in row])[None]
    torch.testing.assert_close(baselines.phase_advance(None, frames[:, :2]), frames[:, 2:], atol=1e-5, rtol=0)


def test_phase_advance_takes_frames_of_odd_size(texture):
    odd = texture[..., :31, :29]
    x = baselines.phase_advance(None, odd[:, :1].expand(-1, 2, -1, -1))
    torch.testing.assert_close(x, odd[:, :1], atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", MOVING)
def test_motion_beats_the_copy_on_leaves_but_not_the_mean_of_the_futures(name):
    generator = torch.Generator().manual_seed(0)
    scenes, ahead = undecided_meetings(Leaves(), 32, generator)
    c, x = scenes.past(), ahead.draw(generator)
    error = {k: (p - x).square().mean() for k, p in {name: ALL[name](None, c), "copy": baselines.copy(None, c)}.items()}
    assert (ahead.mean() - x).square().mean() < error[name] < 0.75 * error["copy"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "bad",
    [
        torch.rand(2, 32, 32),
        torch.zeros(2, 2, 32, 32, dtype=torch.uint8),
        torch.full((2, 2, 32, 32), torch.nan),
        torch.rand(0, 2, 32, 32),
    ],
)
def test_bad_input_is_refused(name, bad):
    with pytest.raises(ValueError, match="c must be"):
        ALL[name](None, bad)


@pytest.mark.parametrize("name", ["extrapolate", *MOVING])
def test_one_frame_tells_of_no_motion(name):
    with pytest.raises(ValueError, match="2 past frames"):
        ALL[name](None, torch.rand(2, 1, 32, 32))


@pytest.mark.parametrize("name", MOVING)
def test_tiny_frames_are_refused(name):
    with pytest.raises(ValueError, match="16 pixels"):
        ALL[name](None, torch.rand(2, 2, 32, 15))


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="flow must be one of dis, tvl1"):
        baselines.motion(None, torch.rand(1, 2, 32, 32), flow="raft")


@pytest.mark.parametrize(("name", "module"), [("dis", "cv2"), ("tvl1", "skimage.registration"), ("phase", "pyrtools")])
def test_a_missing_package_is_named(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"^{module} is needed here .*: pip install 'scorevid\[baselines\]'$"):
        ALL[name](None, torch.rand(1, 2, 32, 32))


@pytest.mark.parametrize("name", ALL)
def test_a_baseline_stands_in_for_a_denoiser(name, texture):
    """In a sampler every sample is its answer, whatever the noise: it answers f(y, c), too."""
    c = texture[:1]
    samples = solve(ALL[name], c, steps=2, n_samples=2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(samples.x, ALL[name](None, c).expand(-1, 2, -1, -1))
