"""Scores of denoisers whose scores are known."""

import pytest
import torch

from scorevid.denoiser import Denoiser
from scorevid.evaluation import (
    BORDER,
    SIGMAS,
    apply,
    excess_and_ambiguity,
    gaussian_score_error,
    report,
    squared_errors,
)
from scorevid.oracles import posterior_mean
from scorevid.wiener import prediction, wiener
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.leaves import Leaves
from scorevid.worlds.meetings import undecided_meetings

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
    optimal = posterior_mean(ahead, 0.3)
    above, ambiguity = excess_and_ambiguity(optimal, optimal, c, ahead, 0.3, generator(), batch=len(c))
    assert above.abs().max() == 0
    torch.testing.assert_close(ambiguity, ahead.ambiguity())


def test_always_answering_the_mean_is_optimal_at_large_and_worthless_at_small_noise(undecided):
    c, ahead = undecided

    def excess(sigma):
        f, optimal = lambda y, c: ahead.mean(), posterior_mean(ahead, sigma)
        above, ambiguity = excess_and_ambiguity(f, optimal, c, ahead, sigma, generator(), batch=len(c))
        return (above.sum() / ambiguity.sum()).item()

    assert excess(100.0) < 0.01
    assert excess(0.01) == pytest.approx(1, abs=0.25)  # the mean squared distance of the future drawn from their mean


def test_errors_where_the_futures_agree_do_not_count(undecided):
    c, ahead = undecided
    optimal = posterior_mean(ahead, 0.3)

    def wrong_elsewhere(y, c):
        return optimal(y, c) + 0.5 * ~ahead.where()

    above, _ = excess_and_ambiguity(wrong_elsewhere, optimal, c, ahead, 0.3, generator(), batch=len(c))
    assert above.abs().max() < 1e-9


def test_long_batches_are_cut_into_pieces():
    f = Denoiser(1, (4,)).eval()
    y, c = torch.rand(7, 1, 8, 8), torch.rand(7, 1, 8, 8)
    torch.testing.assert_close(apply(f, y, c, batch=3), f(y, c))


def test_a_report_is_reproducible_and_complete():
    torch.manual_seed(0)
    f = Denoiser(2, (4, 4)).eval()
    one, two = report(f, WORLD, scenes=30, seed=5), report(f, WORLD, scenes=30, seed=5)
    assert one == two
    assert list(one["excess_error"]) == list(one["squared_error"]) == [str(s) for s in SIGMAS]
    assert 0 < one["squared_error_copy"] < 0.1


def test_the_score_error_of_gaussian_video_is_zero_for_the_optimum_and_blind_to_the_border():
    world = Gaussian(size=16, past_noise=0.1)
    c, x = world.draw(20, generator())
    y = x + 0.3 * torch.randn(x.shape, generator=generator(1))
    optimal = wiener(world, 0.3)

    def wrong_at_the_border(y, c):
        estimate = optimal(y, c)
        estimate[..., :BORDER] = 9.0
        return estimate

    assert gaussian_score_error(optimal, world, y, c, 0.3).max() < 1e-10
    assert gaussian_score_error(wrong_at_the_border, world, y, c, 0.3).max() < 1e-10
    assert gaussian_score_error(lambda y, c: prediction(world)(c), world, y, c, 0.3).min() > 1e-3


def test_the_report_on_gaussian_video_holds_the_optimum_against_itself():
    world = Gaussian(size=16, past_noise=0.1)
    scores = report(wiener(world, 0.3), world, scenes=50)
    assert scores["score_error"]["0.3"] == 0 < scores["score_error"]["3.0"] < scores["score_error"]["0.02"]
    assert "excess_error" not in scores
