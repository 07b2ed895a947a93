"""Places are what they are called, on frames in which that is known."""

import pytest
import torch

from scorevid.worlds.clips.probes import MARGIN, PROBES, probe_pixels


def drawn(size=32):
    """A still edge at column 10, a moving one at column 22, an occluding and a disoccluded spot between them."""
    x = torch.full((2, 1, size, size), 0.5)
    x[..., :10], x[..., 22:] = 0.2, 0.9
    flow = torch.zeros(2, 2, size, size)
    flow[:, 0, :, 19:] = -2.0
    occluding, disoccluded = torch.zeros(2, 2, size, size, dtype=torch.bool).unbind(1)
    occluding[:, 9:12, 15:18], disoccluded[:, 17:22, 13:18] = True, True
    return x, flow, occluding, disoccluded


def test_places_are_of_their_kind():
    found = probe_pixels(*drawn())
    assert list(found) == list(PROBES) and all(there.all() for _, there in found.values())
    at = {kind: pixels[0].tolist() for kind, (pixels, _) in found.items()}
    assert abs(at["still edge"][1] - 9.5) <= 1 and abs(at["moving edge"][1] - 21.5) <= 1
    assert at["occluding"][0] in range(9, 12) and at["occluding"][1] in range(15, 18)
    assert at["disoccluded"] == [19, 15]
    assert 12 <= at["flat"][1] <= 18
    assert all(MARGIN <= v < 32 - MARGIN for pixels in at.values() for v in pixels)


def test_where_nothing_is_of_a_kind_none_is_found():
    x, flow, occluding, disoccluded = drawn()
    found = probe_pixels(x, 0 * flow, occluding & False, disoccluded)
    assert not found["moving edge"][1].any() and not found["occluding"][1].any() and found["disoccluded"][1].all()
    assert found["occluding"][0].tolist() == [[16, 16], [16, 16]]
    x[1] = 0.5
    found = probe_pixels(x, flow, occluding, disoccluded)
    assert found["still edge"][1].tolist() == [True, False]


def test_shapes_that_do_not_fit_are_refused():
    x, flow, occluding, disoccluded = drawn()
    for bad in (
        (x[:1], flow, occluding, disoccluded),
        (x, flow[:, :1], occluding, disoccluded),
        (x, flow, occluding[..., 1:], disoccluded),
        drawn(12),
    ):
        with pytest.raises(ValueError, match="of one size above"):
            probe_pixels(*bad)
