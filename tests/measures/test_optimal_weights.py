"""Agreement with the optimum: full for the optimum itself, and lost by what is not."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from scorevid.denoisers.wiener import Wiener
from scorevid.measures.optimal_weights import WORTHLESS, agreement
from scorevid.worlds.gaussian import Gaussian

WORLD = Gaussian(size=24)


def measured(f, sigma=0.5, world=WORLD, **spoiled):
    return agreement(f, world, sigma, torch.Generator().manual_seed(0), scenes=6, pixels=2, **spoiled)


def slope(found):
    product, square = found.products()
    return (product.sum() / square.sum()).item()


@pytest.mark.parametrize("way", [None, "noise", "shuffle", "blank"])
@pytest.mark.parametrize("frame", [0, 1])
def test_the_optimum_agrees_with_itself(way, frame):
    level = 0.2 if way == "noise" else None
    noise = [0.0, 0.0]
    noise[frame] = {None: 0.0, "noise": 0.2}.get(way, WORTHLESS)
    found = measured(Wiener(replace(WORLD, past_noise=tuple(noise))), frame=frame, way=way, level=level)
    assert found.learned.shape == (6, 2, 3, 24, 24) and found.optimal.shape == (3, 24, 24)
    assert found.correlation().min() > 0.9999 and slope(found) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(found.error, found.least)
    learned, optimal = found.sums()
    torch.testing.assert_close(learned, optimal.expand(6, 3), atol=1e-4, rtol=1e-4)


def test_averages_over_scenes_agree_better_than_single_ones():
    optimum, generator = partial(Wiener(WORLD), sigma=0.5), torch.Generator().manual_seed(3)

    def scattered(y, c):  # every scene has a filter of its own about the optimal one
        own = 0.2 * torch.randn(len(y), 1, 1, 1, generator=generator)
        return optimum(y, c) + own * (y.roll(2, 3) - y)

    found = agreement(scattered, WORLD, 0.5, torch.Generator().manual_seed(0), scenes=24, pixels=2)
    value, low, high = found.correlation_of_mean()
    assert found.correlation().mean() < 0.97 < low < value < high <= 1
    assert measured(optimum).correlation_of_mean().low > 0.9999
    one = agreement(optimum, WORLD, 0.5, torch.Generator().manual_seed(0), scenes=2, pixels=2)
    with pytest.raises(ValueError, match="three or more"):
        one.correlation_of_mean()


def test_what_is_not_optimal_does_not_agree():
    optimum = partial(Wiener(WORLD), sigma=0.5)
    half = measured(lambda y, c: 0.5 * optimum(y, c))
    assert slope(half) == pytest.approx(0.5, abs=1e-4) and half.correlation().min() > 0.9999
    still = measured(lambda y, c: optimum(y, c.roll(1, 3)))  # follows the motion of another texture
    assert still.correlation().max() < 0.9 and (still.error > still.least).all()
    trusting = measured(optimum, way="noise", level=0.5)  # takes the past as if it were clean
    assert trusting.correlation().max() < 0.99 and (trusting.error > 1.5 * trusting.least).all()
    last = measured(lambda y, c: c[:, -1:] + 0 * y)
    assert (last.error > last.least).all() and last.correlation().max() < 0.9


@pytest.mark.parametrize(
    "world", [replace(WORLD, size=16), replace(WORLD, past_noise=0.1), replace(WORLD, rho=(0.5, 0.9))]
)
def test_worlds_without_one_optimum_are_refused(world):
    with pytest.raises(ValueError):
        measured(lambda y, c: y, world=world)


def test_a_summary_has_ones_for_the_optimum():
    for measure in vars(measured(Wiener(WORLD), sigma=0.2).summary()).values():
        assert tuple(measure) == pytest.approx((1, 1, 1), abs=1e-3) and measure.n == 6


def test_the_worst_scene_is_that_which_is_farthest_from_the_optimum():
    optimum = partial(Wiener(WORLD), sigma=0.5)

    def fails_once(y, c):  # all scenes are as they should be, but the third
        kept = torch.ones(len(y), 1, 1, 1)
        kept[2::6] = 0.5
        return kept * optimum(y, c) + (1 - kept) * 0.2 * y.roll(3, 3)

    assert list(vars(measured(optimum).worst()).values()) == pytest.approx([1, 1, 1], abs=1e-3)
    agreed = measured(fails_once)
    worst = agreed.worst()
    assert worst.correlation == pytest.approx(agreed.correlation()[2].item()) and worst.correlation < 0.99
    product, square = agreed.products()
    assert worst.slope == pytest.approx((product / square)[2].item()) == pytest.approx(0.5, abs=0.1)
    assert worst.error_ratio == pytest.approx((agreed.error / agreed.least)[2].item()) and worst.error_ratio > 1.5
