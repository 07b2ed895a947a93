"""Scores of denoisers whose scores are known."""

from functools import partial

import numpy as np
import pytest
import torch

from scorevid.denoisers.exact import Oracle, optimum_and_score
from scorevid.denoisers.unet import UNet
from scorevid.denoisers.wiener import Wiener
from scorevid.measures.cards import score_card
from scorevid.measures.errors import (
    BORDER,
    SIGMAS,
    apply_batched,
    excess_and_ambiguity,
    excess_curve,
    gaussian_score_error,
    identity_distances,
    squared_errors,
)
from scorevid.noise.corruptions import CORRUPTIONS
from scorevid.noise.prior import NoisePrior
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

WORLD = Leaves(size=16, n_disks=2, radius=(2.0, 4.0))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def undecided():
    scenes, ahead = undecided_meetings(WORLD, 100, generator())
    return scenes.past(), ahead


def test_the_observation_itself_has_the_error_of_its_noise():
    c, x = WORLD.draw(500, generator())
    errors = squared_errors(lambda y, c: y, c, x, [0.1, 1.0], generator(1))
    assert errors.shape == (2, 500)
    torch.testing.assert_close(errors.mean(1), torch.tensor([0.01, 1.0]), rtol=0.02, atol=0)


def test_the_optimum_has_no_excess(undecided):
    c, ahead = undecided
    optimal = partial(Oracle(ahead), sigma=0.3)
    above, ambiguity = excess_and_ambiguity(optimal, optimal, c, ahead, 0.3, generator(), batch=len(c))
    assert above.abs().max() == 0
    torch.testing.assert_close(ambiguity, ahead.ambiguity())


def test_the_blind_optimum_has_next_to_no_excess_over_the_told_one(undecided):
    c, ahead = undecided
    prior = NoisePrior(0.05, 5.0)
    blind = Oracle(ahead, prior=prior)
    (over_informed,) = excess_curve(blind, c, ahead, (0.3,), generator(), batch=len(c))
    (over_blind,) = excess_curve(blind, c, ahead, (0.3,), generator(), batch=len(c), prior=prior)
    assert over_blind.value == 0 < over_informed.value < 0.01


def test_the_excess_curve_is_the_ratio_at_each_level_within_its_interval(undecided):
    c, ahead = undecided
    curve = excess_curve(lambda y, c: y, c, ahead, (0.1, 1.0), generator(), batch=len(c))
    stream = generator()
    for sigma, (value, low, high) in zip((0.1, 1.0), curve, strict=True):
        above, ambiguity = excess_and_ambiguity(
            lambda y, c: y, partial(Oracle(ahead), sigma=sigma), c, ahead, sigma, stream, batch=len(c)
        )
        assert value == pytest.approx((above.sum() / ambiguity.sum()).item(), rel=1e-5)
        assert low < value < high


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_only_gaussian_noise_makes_the_optimal_residual_the_score(undecided, corruption):
    """Where a single future is left, theory gives the miss: as large as the residual for Laplace and uniform noise."""
    c, ahead = undecided
    found = identity_distances(
        lambda y, c: optimum_and_score(y, ahead, 0.2, corruption)[0],
        c,
        ahead,
        0.2,
        corruption,
        generator(),
        batch=len(c),
    )
    assert all(v.shape == (len(c),) for v in vars(found).values())
    assert found.to_optimum.max() == found.excess.max() == 0
    np.testing.assert_allclose(found.to_score, found.optimum_to_score)
    miss = found.optimum_to_score.sum() / found.residual.sum()
    if corruption == "gaussian":
        assert miss < 1e-10
    elif corruption in ("laplace", "uniform"):
        assert miss == pytest.approx(1, abs=0.05)
    else:
        assert miss > 0.02


def test_the_excess_is_that_of_the_differing_pixels(undecided):
    c, ahead = undecided
    found = identity_distances(lambda y, c: ahead.mean(), c, ahead, 1e-3, "gaussian", generator(), batch=len(c))
    assert found.excess.sum() == pytest.approx(found.to_optimum.sum(), rel=1e-4)
    assert found.excess.sum() == pytest.approx(ahead.ambiguity().sum().item(), rel=0.25)
    off = identity_distances(lambda y, c: y + 1, c, ahead, 0.1, "gaussian", generator(), batch=len(c))
    assert off.excess.sum() < 0.5 * off.to_optimum.sum()


def test_always_answering_the_mean_is_optimal_at_large_and_worthless_at_small_noise(undecided):
    c, ahead = undecided

    def excess(sigma):
        f, optimal = lambda y, c: ahead.mean(), partial(Oracle(ahead), sigma=sigma)
        above, ambiguity = excess_and_ambiguity(f, optimal, c, ahead, sigma, generator(), batch=len(c))
        return (above.sum() / ambiguity.sum()).item()

    assert excess(100.0) < 0.01
    assert excess(0.01) == pytest.approx(1, abs=0.25)  # the mean squared distance of the future drawn from their mean


def test_errors_where_the_futures_agree_do_not_count(undecided):
    c, ahead = undecided
    optimal = partial(Oracle(ahead), sigma=0.3)

    def wrong_elsewhere(y, c):
        return optimal(y, c) + 0.5 * ~ahead.where()

    above, _ = excess_and_ambiguity(wrong_elsewhere, optimal, c, ahead, 0.3, generator(), batch=len(c))
    assert above.abs().max() < 1e-9


def test_long_batches_are_cut_into_pieces():
    f = UNet(1, (4,)).eval()
    y, c = torch.rand(7, 1, 8, 8), torch.rand(7, 1, 8, 8)
    torch.testing.assert_close(apply_batched(f, y, c, batch=3), f(y, c))


def test_a_report_is_reproducible_and_complete():
    torch.manual_seed(0)
    f = UNet(2, (4, 4)).eval()
    one, two = score_card(f, WORLD, scenes=30, seed=5), score_card(f, WORLD, scenes=30, seed=5)
    assert one == two
    assert list(one["excess_error"]) == list(one["squared_error"]) == [str(s) for s in SIGMAS]
    assert 0 < one["squared_error_copy"] < 0.1


def test_the_score_error_of_gaussian_video_is_zero_for_the_optimum_and_blind_to_the_border():
    world = Gaussian(size=16, past_noise=0.1)
    c, x = world.draw(20, generator())
    y = x + 0.3 * torch.randn(x.shape, generator=generator(1))
    optimal = partial(Wiener(world), sigma=0.3)

    def wrong_at_the_border(y, c):
        estimate = optimal(y, c)
        estimate[..., :BORDER] = 9.0
        return estimate

    assert gaussian_score_error(optimal, world, y, c, 0.3).max() < 1e-10
    assert gaussian_score_error(wrong_at_the_border, world, y, c, 0.3).max() < 1e-10
    assert gaussian_score_error(lambda y, c: Wiener(world).predict(c), world, y, c, 0.3).min() > 1e-3


def test_the_report_on_gaussian_video_holds_the_optimum_against_itself():
    world = Gaussian(size=16, past_noise=0.1)
    scores = score_card(partial(Wiener(world), sigma=0.3), world, scenes=50)
    assert scores["score_error"]["0.3"] == 0 < scores["score_error"]["3.0"] < scores["score_error"]["0.02"]
    assert "excess_error" not in scores
