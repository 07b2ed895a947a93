"""Optical flow and warping, on a texture whose motion is known."""

import pytest
import torch

from scorevid.worlds.clips.flow import optical_flow, warp


def test_flow_and_warp_follow_a_moving_texture():
    """A flow of the wrong sign, or with x and y exchanged, would fail."""
    noise = torch.rand(4, 1, 60, 60, generator=torch.Generator().manual_seed(0))
    smooth = (torch.nn.functional.avg_pool2d(noise, 5, 1, 2) - 0.5) * 3 + 0.5
    texture = torch.cat([smooth[:, :, 12 + 2 * t : 44 + 2 * t, 12 + t : 44 + t] for t in range(2)], 1).clamp(0, 1)
    a, b = texture.split(1, 1)  # what is at p in a is at p − (1, 2) in b
    motion = torch.tensor([-1.0, -2.0])
    flow = optical_flow(a, b)
    assert flow.shape == (4, 2, 32, 32) and flow.dtype == a.dtype
    torch.testing.assert_close(flow[..., 8:-8, 8:-8].mean((2, 3)), motion.expand(4, 2), atol=0.1, rtol=0)
    inner = (..., slice(6, -6), slice(6, -6))
    there = motion[:, None, None].expand(4, 2, 32, 32)
    torch.testing.assert_close(warp(b, there)[inner], a[inner], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("a", "b"), [((2, 1), (1, 1)), ((2, 2), (2, 2)), ((2, 1), (2, 2))])
def test_frames_that_are_no_pair_are_refused(a, b):
    with pytest.raises(ValueError, match="must be"):
        optical_flow(torch.rand(*a, 32, 32), torch.rand(*b, 32, 32))
