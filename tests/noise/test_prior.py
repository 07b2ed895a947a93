"""The noise prior: draws, densities, bad input."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from scorevid.noise.prior import LAWS, NoisePrior, PastNoise


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


@pytest.mark.parametrize("name", ["share", "forget", "mask", "hide"])
def test_a_share_is_between_none_and_all(name):
    with pytest.raises(ValueError, match=name):
        PastNoise(**{name: 1.1})


@pytest.mark.parametrize("bad", BAD)
def test_noise_prior_refuses_what_is_no_law(bad):
    with pytest.raises(ValueError):
        NoisePrior(**bad)


def test_past_noise_is_put_on_a_share_of_frames_each_at_a_level_of_its_own():
    c = torch.zeros(4000, 3, 8, 8)
    noisy = PastNoise(0.25, 0.1, 1.0).put_on(c, torch.Generator().manual_seed(0))
    level = noisy.square().mean((2, 3)).sqrt()
    touched = level > 0
    assert stats.binomtest(int(touched.sum()), touched.numel(), 0.25).pvalue > 1e-3
    together = (touched[:, 0] & touched[:, 1]).float().mean().item()
    assert together == pytest.approx(0.25**2, abs=0.02)  # one frame's noise says nothing of another's
    assert level[touched].log().mean().item() == pytest.approx(math.log(math.sqrt(0.1)), abs=0.05)
    assert level[touched].min() > 0.07 and level.max() < 1.4


def test_a_past_without_noise_is_left_alone_and_draws_nothing():
    c, generator = torch.rand(2, 2, 4, 4), torch.Generator().manual_seed(0)
    state = generator.get_state()
    assert PastNoise().put_on(c, generator) is c
    assert PastNoise(1.0).put_on(c[:, :0], generator).shape == (2, 0, 4, 4)
    assert torch.equal(generator.get_state(), state)


def test_a_share_of_pasts_forgets_its_older_frames():
    # catches a past that loses its latest frames, one that loses all of them, and numbers of frames that differ in share
    c = 1 + torch.rand(6000, 4, 2, 2)
    cut = PastNoise(forget=0.6).put_on(c, torch.Generator().manual_seed(0))
    there = (cut != 0).all((2, 3))
    assert torch.equal(cut[there], c[there]) and ((cut == 0).all((2, 3)) == ~there).all()
    assert (there.int().diff(dim=1) >= 0).all() and there[:, -1].all()
    frames = torch.bincount(there.sum(1), minlength=5)[1:]
    assert stats.chisquare(frames, [1200, 1200, 1200, 2400]).pvalue > 1e-3
    alone = c[:, :1]
    assert PastNoise(forget=1.0).put_on(alone, torch.Generator()) is alone


def test_a_square_hides_one_place_in_the_latest_frames():
    """Would catch a place that moves, frames before it that are hidden too, and a share or length other than it should be."""
    c = 1 + torch.rand(6000, 4, 16, 16)
    hidden = PastNoise(hide=0.6).put_on(c, torch.Generator().manual_seed(0)) != c
    frames = hidden.any(3).any(2)
    assert (frames.int().diff(dim=1) >= 0).all()  # up to the last frame
    counts = torch.bincount(frames.sum(1), minlength=4)
    assert len(counts) == 4 and stats.chisquare(counts, [2400, 1200, 1200, 1200]).pvalue > 1e-3
    last = hidden[frames[:, -1], -1]
    assert (hidden == (hidden[:, -1:] & frames[:, :, None, None])).all()
    height, width = last.any(2).sum(1), last.any(1).sum(1)
    assert torch.equal(height * width, last.sum((1, 2))) and ((height - width).abs() <= 1).all()
    assert last.sum((1, 2)).min() >= 9 and last.sum((1, 2)).max() <= 81
    alone = c[:, :1]
    assert PastNoise(hide=1.0).put_on(alone, torch.Generator()) is alone


def test_what_is_forgotten_has_no_noise_left():
    noisy = PastNoise(1.0, 0.1, 0.2, forget=1.0).put_on(torch.ones(50, 3, 4, 4), torch.Generator().manual_seed(0))
    assert (noisy[:, 0] == 0).all() and (noisy[:, 2] != 1).all()


def test_a_share_of_pasts_is_masked():
    # catches frames that are masked one by one, another share, and noise or a frame that is left in a masked past
    c = 1 + torch.rand(4000, 3, 2, 2)
    masked = PastNoise(1.0, 0.1, 0.2, mask=0.3).put_on(c, torch.Generator().manual_seed(0)) == 0
    whole = masked.flatten(1).all(1)
    assert torch.equal(masked.flatten(1).any(1), whole)
    assert stats.binomtest(int(whole.sum()), len(c), 0.3).pvalue > 1e-3
    assert PastNoise(mask=1.0).put_on(c[:, :0], torch.Generator()).shape == (4000, 0, 2, 2)


def test_a_mask_leaves_the_other_draws_as_they_are():
    # catches a mask that is drawn first, or always, by which runs of older versions would not be the same
    c, noise = 1 + torch.rand(500, 3, 2, 2), {"share": 0.5, "forget": 0.5}
    before, after = (PastNoise(**noise, mask=mask).put_on(c, torch.Generator().manual_seed(0)) for mask in (0, 0.5))
    kept = (after != 0).flatten(1).any(1)
    assert torch.equal(before[kept], after[kept]) and 0.4 < kept.float().mean() < 0.6
    only = PastNoise(mask=0.5).put_on(c, torch.Generator().manual_seed(0))
    assert torch.equal(only, c * (only[:, :1, :1, :1] != 0))


@pytest.mark.parametrize(
    "bad",
    [
        {"forget": 1.2},
        {"mask": -0.1},
        {"mask": math.nan},
        {"share": -0.1},
        {"share": 1.5},
        {"share": math.nan},
        {"sigma_min": 0},
        {"sigma_max": 0.01},
    ],
)
def test_past_noise_refuses_what_is_no_law(bad):
    with pytest.raises(ValueError):
        PastNoise(**bad)
