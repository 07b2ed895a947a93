"""Noise of other distributions: what is drawn has the density that is claimed, and the closed forms follow from it."""

import math

import pytest
import torch
from scipy import stats

from scorevid.denoisers.exact import Oracle
from scorevid.noise.corruptions import CORRUPTIONS, _power, corrupt, log_likelihood, optimum_and_score
from scorevid.noise.prior import NoisePrior
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

OTHERS = [k for k in CORRUPTIONS if k != "gaussian"]


def meetings(n=40, seed=0):
    scenes, ahead = undecided_meetings(Leaves(), n, torch.Generator().manual_seed(seed))
    return scenes.past().double(), ahead.to(torch.double)


def drawn(ahead, sigma, corruption, seed=1):
    """Observations of a future drawn with its probability."""
    generator = torch.Generator().manual_seed(seed)
    x = ahead.draw(generator)
    return corrupt(x, sigma, corruption, generator), x


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_variance_is_sigma_squared(corruption):
    x = torch.full((400, 1, 16, 16), 0.5, dtype=torch.double)
    z = corrupt(x, 0.3, corruption, torch.Generator().manual_seed(0)) - x
    assert z.mean().abs() < 0.005
    assert z.var().item() == pytest.approx(0.09, rel=0.02)


@pytest.mark.parametrize(
    ("corruption", "law"),
    [
        ("gaussian", stats.norm()),
        ("laplace", stats.laplace(scale=1 / math.sqrt(2))),
        ("uniform", stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))),
    ],
)
def test_single_pixels_follow_their_law(corruption, law):
    z = corrupt(torch.zeros(1, 1, 64, 64).double(), 1.0, corruption, torch.Generator().manual_seed(0)).flatten()
    assert stats.kstest(z.numpy(), law.cdf).pvalue > 0.01
    points, zero = z[:50, None, None], torch.zeros(1, 1, dtype=torch.double)
    mine = log_likelihood(points, zero, 1.0, corruption) - log_likelihood(zero, zero, 1.0, corruption)
    torch.testing.assert_close(mine, torch.from_numpy(law.logpdf(z[:50].numpy()) - law.logpdf(0)))


def test_signal_dependent_noise_grows_with_the_signal_and_its_likelihood_knows():
    generator = torch.Generator().manual_seed(0)
    for grey in (0.0, 0.5, 1.0):
        x = torch.full((200, 1, 16, 16), grey, dtype=torch.double)
        assert (corrupt(x, 1.0, "signal", generator) - x).var().item() == pytest.approx((grey + 0.1) / 0.6, rel=0.03)
    y, a, b = (torch.full((1, 1), v, dtype=torch.double) for v in (0.7, 0.2, 0.9))
    law = [stats.norm(g, 0.4 * math.sqrt((g + 0.1) / 0.6)).logpdf(0.7) for g in (0.2, 0.9)]
    mine = log_likelihood(y, a, 0.4, "signal") - log_likelihood(y, b, 0.4, "signal")
    assert mine.item() == pytest.approx(law[0] - law[1])


def test_correlated_noise_has_the_covariance_of_its_likelihood():
    """−2 log q is χ² of as many degrees as pixels, and neighbours are correlated."""
    z = corrupt(torch.zeros(300, 1, 16, 16).double(), 1.0, "correlated", torch.Generator().manual_seed(0))
    square = -2 * log_likelihood(z, torch.zeros_like(z), 1.0, "correlated")[:, 0]
    assert stats.kstest(square.numpy(), stats.chi2(256).cdf).pvalue > 0.01
    assert (z[..., 1:] * z[..., :-1]).mean() > 0.3


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_the_gaussian_case_is_that_of_the_oracles(sigma):
    c, ahead = meetings()
    y, _ = drawn(ahead, sigma, "gaussian")
    mean, scaled_score = optimum_and_score(ahead, sigma)(y)
    torch.testing.assert_close(mean, Oracle(ahead)(y, c, sigma), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(scaled_score, sigma**2 * Oracle(ahead).score(y, c, sigma), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("corruption", OTHERS)
def test_the_optimum_of_other_noise_has_less_error_than_the_gaussian_one_under_that_noise(corruption):
    c, ahead = meetings(600)
    y, x = drawn(ahead, 0.5, corruption)
    matching = (optimum_and_score(ahead, 0.5, corruption)(y)[0] - x).square().sum((1, 2, 3))
    gaussian = (Oracle(ahead)(y, c, 0.5) - x).square().sum((1, 2, 3))
    assert matching.mean() < gaussian.mean()


@pytest.mark.parametrize("corruption", OTHERS)
def test_only_gaussian_noise_makes_the_residual_the_score(corruption):
    _, ahead = meetings()
    y, _ = drawn(ahead, 0.5, corruption)
    mean, scaled_score = optimum_and_score(ahead, 0.5, corruption)(y)
    d = mean - y
    assert (d - scaled_score).square().sum() > 0.05 * d.square().sum()


def test_single_precision_is_enough():
    _, ahead = meetings()
    for corruption in CORRUPTIONS:
        for sigma in (0.02, 5.0):
            y, _ = drawn(ahead, sigma, corruption)
            mean, scaled_score = optimum_and_score(ahead.to(torch.float), sigma, corruption)(y.float())
            exact, exact_score = optimum_and_score(ahead, sigma, corruption)(y)
            assert mean.isfinite().all() and scaled_score.isfinite().all()
            assert (mean - exact).abs().max() < 0.02 and (scaled_score - exact_score).abs().mean() < 1e-3 * sigma


def test_unknown_noise_is_refused():
    x = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match="must be one of gaussian, laplace"):
        corrupt(x, 1.0, "pink", torch.Generator())
    with pytest.raises(ValueError, match="must be one of gaussian, laplace"):
        log_likelihood(x, x, 1.0, "pink")
    with pytest.raises(ValueError, match="must be one of gaussian, laplace"):
        NoisePrior(corruption="pink")


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), torch.ones(4), torch.ones(2, 1, 1, 1)])
def test_a_noise_level_that_does_not_fit_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma"):
        corrupt(torch.rand(3, 1, 4, 4), sigma, "laplace", torch.Generator())


def test_what_no_future_allows_is_said():
    _, ahead = meetings(2)
    y = ahead.frames[:, :1] + 1.0
    with pytest.raises(ValueError, match="no future allows"):
        optimum_and_score(ahead, 0.1, "uniform")(y)


def test_the_score_of_correlated_noise_is_the_whitened_residual():
    """d = σ² K s, exactly, however many futures."""
    _, ahead = meetings(20)
    y, _ = drawn(ahead, 0.3, "correlated")
    mean, score = optimum_and_score(ahead, 0.3, "correlated")(y)
    whitened = torch.fft.irfft2(_power(*y.shape[2:]).to(y) * torch.fft.rfft2(score), s=y.shape[2:])
    torch.testing.assert_close(whitened, mean - y, rtol=1e-9, atol=1e-9)


def test_the_score_of_signal_dependent_noise_where_one_future_is_left():
    _, ahead = meetings(20)
    one = Futures(ahead.frames[:, :1], torch.ones(20, 1, dtype=torch.double))
    y, x = drawn(one, 0.3, "signal")
    _, score = optimum_and_score(one, 0.3, "signal")(y)
    torch.testing.assert_close(score, (x - y) * 0.6 / (x + 0.1), rtol=1e-9, atol=1e-9)
