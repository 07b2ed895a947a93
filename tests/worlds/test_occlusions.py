"""Occlusions found against those of a textured disk that moves over a textured ground, which are known."""

import pytest
import torch
from torch.nn import functional

from scorevid.worlds.clips.occlusions import coverage, estimate_occlusions

SIZE, RADIUS = 96, 16


def texture(n, seed):
    """Smooth noise of several scales, (n, 1, SIZE + 40, SIZE + 40)."""
    generator, total, size = torch.Generator().manual_seed(seed), 0.0, SIZE + 40
    for k in (3, 7, 15):
        noise = torch.rand(n, 1, size + k - 1, size + k - 1, generator=generator)
        smooth = functional.avg_pool2d(noise, k, 1) - 0.5
        total = total + smooth / smooth.std()
    return (0.5 + 0.05 * total).clamp(0, 1)


def moving_disk(ground_moves, disk_moves, n=4, seed=3):
    """Last and next frame (n, 1, SIZE, SIZE); occluding and disoccluded pixels of the next one (SIZE, SIZE), as they are."""
    ground, disk = texture(n, seed), (0.8 * texture(n, seed + 1) + 0.2).clamp(0, 1)
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")

    def frame(t):
        cut = [
            v[..., 20 - y * t : 20 - y * t + SIZE, 20 - x * t : 20 - x * t + SIZE]
            for v, (x, y) in ((ground, ground_moves), (disk, disk_moves))
        ]
        x, y = (SIZE / 2 + t * v for v in disk_moves)
        inside = (columns - x) ** 2 + (rows - y) ** 2 < RADIUS**2
        return torch.where(inside, cut[1], cut[0]), inside

    (last, before), (next, now) = frame(0), frame(1)
    covered_before = before.roll(tuple(reversed(ground_moves)), (0, 1))  # of the ground's pixels in the next frame
    return last, next, now & ~covered_before, ~now & covered_before


def grown(mask, pixels=2):
    return functional.max_pool2d(mask[:, None].float(), 2 * pixels + 1, 1, padding=pixels)[:, 0] > 0


def agreement(found, true):
    """Share of pixels found that are near true ones, and of true ones that are near pixels found; borders left out."""
    found, true = found[:, 8:-8, 8:-8], true.expand_as(found)[:, 8:-8, 8:-8]
    return (found & grown(true)).sum() / found.sum(), (true & grown(found)).sum() / true.sum()


@pytest.mark.parametrize(
    ("ground_moves", "disk_moves"), [((0, 0), (4, 0)), ((3, 0), (-1, 0)), ((0, 0), (2, 1)), ((-2, 1), (2, 2))]
)
def test_what_a_moving_disk_covers_and_uncovers_is_found(ground_moves, disk_moves):
    last, next, occluding, disoccluded = moving_disk(ground_moves, disk_moves)
    found = estimate_occlusions(last, next)
    assert min(agreement(found.disoccluded, disoccluded)) > 0.9
    assert min(agreement(found.occluding, occluding)) > 0.8
    # a pixel of the next frame was where its motion came from
    for at, moves in (((4, SIZE // 2, SIZE // 2), disk_moves), ((4, 20, 20), ground_moves)):
        here = found.flow[:, :, at[1], at[2]]
        torch.testing.assert_close(here, -torch.tensor(moves).expand(4, 2).float(), atol=0.5, rtol=0)
    # the two are told apart: swapping the frames swaps them
    turned = estimate_occlusions(next, last)
    assert min(agreement(turned.occluded, disoccluded)) > 0.9


def test_nothing_is_occluded_where_all_moves_together_and_what_comes_in_is_told_apart():
    last, next, *_ = moving_disk((4, 0), (4, 0))
    found = estimate_occlusions(last, next)
    inner = (..., slice(8, -8), slice(8, -8))
    assert not (found.disoccluded | found.occluding | found.occluded | found.entered)[inner].any()
    assert found.entered[:, 8:-8, :3].float().mean() > 0.9  # moving right, so it comes in at the left
    still = estimate_occlusions(last, last)
    assert not (still.disoccluded | still.occluding | still.entered | still.occluded).any()
    assert still.flow.abs().max() < 0.1


def test_in_flat_regions_nothing_is_found():
    generator = torch.Generator().manual_seed(0)
    last, next = (0.5 + 0.01 * torch.randn(2, 1, 64, 64, generator=generator) for _ in range(2))  # unlike frames
    found = estimate_occlusions(last, next)
    assert not (found.disoccluded | found.occluding | found.entered | found.occluded).any()


def test_coverage_shares_pixels_out_and_loses_none_inside():
    flow = torch.zeros(1, 2, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(coverage(flow), torch.ones(1, 6, 6, dtype=torch.float64))
    flow[:, 0], flow[:, 1] = 0.25, -1.0  # a quarter to the right and one up
    found = coverage(flow)[0]
    assert found[0, 0] == 0.75 and found[2, 3] == 1 and found[-1].abs().max() == 0
    weight = torch.zeros(1, 6, 6, dtype=torch.float64)
    weight[0, 3, 2] = 2
    found = coverage(flow, weight)[0]
    assert found[2, 2] == 1.5 and found[2, 3] == 0.5 and found.sum() == 2


def test_what_is_near_grows_and_keeps_off_the_border():
    last, next, occluding, disoccluded = moving_disk((0, 0), (4, 0), n=1)
    found = estimate_occlusions(last, next)
    assert torch.equal(found.near(0), found.occluding | found.disoccluded)
    assert found.near(2)[0][grown((occluding | disoccluded)[None], 1)[0]].float().mean() > 0.9
    assert not found.near(3)[:, :3].any() and not found.near(3)[..., -3:].any()
    with pytest.raises(ValueError, match="pixels must be"):
        found.near(-1)


def test_bad_frames_are_refused():
    x = torch.rand(2, 1, 32, 32)
    for a, b in ((x, x[:1]), (x[:, :, :8, :8], x[:, :, :8, :8]), (x.expand(-1, 2, -1, -1), x.expand(-1, 2, -1, -1))):
        with pytest.raises(ValueError, match=r"must be"):
            estimate_occlusions(a, b)
    with pytest.raises(ValueError, match="flow must be"):
        estimate_occlusions(x, x, "raft")
    with pytest.raises(ValueError, match="finite"):
        estimate_occlusions(x, x * torch.nan)
