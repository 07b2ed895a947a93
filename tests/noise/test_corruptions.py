"""Noise of other distributions: what is drawn has the density that is claimed, and the closed forms follow from it."""

import math

import pytest
import torch
from scipy import stats

from scorevid.noise.corruptions import CORRUPTIONS, corrupt, log_likelihood
from scorevid.noise.prior import NoisePrior


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
