"""The noise prior: draws, densities, bad input."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from scorevid.noise import LAWS, NoisePrior


def test_noise_prior_stays_in_its_range_and_follows_its_law():
    generator = torch.Generator().manual_seed(0)
    sigma = NoisePrior(0.1, 10.0).draw(20_000, generator)
    assert sigma.shape == (20_000, 1, 1, 1) and sigma.min() >= 0.1 and sigma.max() <= 10
    assert sigma.median().item() == pytest.approx(1.0, rel=0.1)  # log-uniform: half of it below the geometric mean
    sigma = NoisePrior(0.1, 10.0, "uniform").draw(20_000, generator)
    assert sigma.median().item() == pytest.approx(5.05, rel=0.05)


@pytest.mark.parametrize("law", LAWS)
def test_the_density_of_the_noise_prior_is_that_of_its_draws(law):
    prior = NoisePrior(0.05, 5.0, law, (0.2, 4.0))
    draws = prior.draw(20_000, torch.Generator().manual_seed(1)).flatten().double().log()
    grid = torch.linspace(math.log(0.05), math.log(5.0), 2001, dtype=torch.double)
    cumulative = torch.cumulative_trapezoid(prior.log_density(grid).exp(), grid)
    assert cumulative[-1].item() == pytest.approx(1.0, abs=1e-4)
    assert stats.kstest(draws.numpy(), lambda v: np.interp(v, grid[1:], cumulative)).pvalue > 1e-3


@pytest.mark.parametrize("law", LAWS)
def test_the_density_is_scipys(law, law_density):
    prior = NoisePrior(0.05, 5.0, law, (0.05, 5.0))
    for sigma in (0.06, 0.5, 4.0):
        log_p = prior.log_density(torch.tensor(math.log(sigma), dtype=torch.double))
        assert log_p.exp().item() == pytest.approx(law_density(law, sigma, 0.05, 5.0), rel=1e-12)


BAD = (
    {"sigma_min": 0},
    {"sigma_min": 5.0},
    {"sigma_max": math.nan},
    {"sigma_max": math.inf},
    {"law": "normal"},
    {"law": "peaked", "peak": (0.01, 1.0)},
    {"corruption": "salt"},
)


@pytest.mark.parametrize("bad", BAD)
def test_noise_prior_refuses_what_is_no_law(bad):
    with pytest.raises(ValueError):
        NoisePrior(**bad)
