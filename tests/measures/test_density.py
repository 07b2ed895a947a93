"""Densities read from errors and scores, against the law of the world, closed forms and the exact denoiser."""

import math

import numpy as np
import pytest
import torch

from scorevid.denoisers.exact import Oracle
from scorevid.denoisers.wiener import Wiener
from scorevid.measures import density
from scorevid.studies.sampling import meetings
from scorevid.worlds.futures import Futures
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.leaves.world import Leaves


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def scenes():
    c, ahead, _ = meetings(Leaves(size=16, radius=(2.5, 4.0)), 60, seeded(1), torch.linspace(0.2, 0.8, 60))
    return c, ahead


def three_futures(n=40):
    """Scenes of three and of two futures, the latter padded."""
    frames = torch.rand(n, 3, 8, 8, generator=seeded(2)).double()
    weights = torch.tensor([0.6, 0.3, 0.1]).double().repeat(n, 1)
    weights[::2, 2], weights[::2, 0] = 0, 0.7
    return torch.rand(n, 2, 8, 8, generator=seeded(5)).double(), Futures(frames, weights)


def test_over_snr_is_the_integral_of_a_known_error():
    """Gaussian: mmse = P/(1 + Ps), so ½ ∫ mmse ds = ½ log(1 + P/σ²). It would catch a wrong factor, sign or tail."""
    sigma, power = torch.logspace(-2, 2, 200).double(), 0.3
    nats = density.over_snr(power * sigma**2 / (power + sigma**2), sigma)
    assert torch.allclose(nats, 0.5 * (1 + power / sigma**2).log(), rtol=2e-3)
    per_scene = density.over_snr(torch.ones(200, 5, 2).double(), sigma[:, None].expand(-1, 5))
    assert per_scene.shape == (200, 5, 2) and torch.allclose(per_scene[-1], torch.tensor(0.5e-4).double())


def test_exact_errors_give_the_log_odds_and_the_entropy(scenes):
    """It would catch levels that miss the choice, noise not shared by the futures, and weights that do not sum to one."""
    c, ahead = scenes
    errors = density.future_errors(Oracle(ahead, past=c), c, ahead, generator=seeded(), draws=16)
    true = ahead.probabilities.log()[:, 1] - ahead.probabilities.log()[:, 0]
    for read in (errors.log_odds()[:, 1], errors.log_odds(errors.whole)[:, 1]):
        assert (read - true).square().mean().sqrt() < 0.06
    entropy = torch.special.entr(ahead.probabilities).sum(1)
    assert abs(errors.entropy().sum() / entropy.sum() - 1) < 0.02


def test_several_futures_and_padding():
    """It would catch padded futures that count, and hulls of the wrong dimension."""
    c, ahead = three_futures()
    errors = density.future_errors(Oracle(ahead, past=c), c, ahead, generator=seeded(), draws=64, levels=30)
    assert (errors.within[..., 2][:, ::2] == 0).all() and torch.allclose(errors.within, errors.whole)
    read, true = errors.log_odds(), ahead.probabilities.log() - ahead.probabilities.log()[:, :1]
    assert (read - true)[:, 1].square().mean().sqrt() < 0.12 and (read - true)[1::2, 2].square().mean().sqrt() < 0.25
    entropy = torch.special.entr(ahead.probabilities).sum(1)
    assert abs(errors.entropy().sum() / entropy.sum() - 1) < 0.04


def test_padding_makes_the_reading_no_less_exact(scenes):
    """Beside scenes with many futures. It would catch noise weighted by directions that a scene does not have."""
    c, ahead = scenes
    true = ahead.probabilities.log()[:, 1] - ahead.probabilities.log()[:, 0]

    def rms(padding, seed):
        frames = torch.nn.functional.pad(ahead.frames, (0, 0, 0, 0, 0, padding))
        padded = Futures(frames, torch.nn.functional.pad(ahead.probabilities, (0, padding)))
        errors = density.future_errors(Oracle(ahead, past=c), c, padded, generator=seeded(seed))
        return (errors.log_odds()[:, 1] - true).square().mean().sqrt()

    assert rms(4, 0) + rms(4, 1) < 1.15 * (rms(0, 0) + rms(0, 1))


def test_a_wrong_law_is_read_as_it_is(scenes):
    """A denoiser that holds the odds for e nats more extreme shows it: read odds are its own, not the world's."""
    c, ahead = scenes
    odds = torch.logit(ahead.probabilities[:, 0]) * 1.5
    believed = Futures(ahead.frames, torch.stack([odds.sigmoid(), (-odds).sigmoid()], 1))
    errors = density.future_errors(Oracle(believed, past=c), c, ahead, generator=seeded(), draws=16)
    assert (-errors.log_odds()[:, 1] - odds).square().mean().sqrt() < 0.08


def test_errors_of_rendering_are_outside_of_the_hull(scenes):
    c, ahead = scenes
    exact = Oracle(ahead, past=c)
    equal = ~ahead.where(1e-6).any(0, keepdim=True)  # pixels that are equal in all futures of all scenes
    ripple = 0.1 * torch.randn(1, 1, 16, 16, generator=seeded()) * equal

    class Rough:
        needs_sigma = True

        def __call__(self, y, c, sigma=None):
            return exact(y, c, sigma) + ripple

    errors = density.future_errors(Rough(), c, ahead, generator=seeded())
    clean = density.future_errors(exact, c, ahead, generator=seeded())
    added = ripple.square().sum()
    assert torch.allclose(errors.within, clean.within, atol=1e-5)
    assert torch.allclose(errors.whole - clean.whole, added.expand_as(clean.whole), rtol=1e-3)


def test_even_noise_is_as_right_as_plain_noise_and_nearer(scenes):
    """Both are unbiased; the even one has the smaller error. It would catch importance weights left out."""
    c, ahead = scenes
    true = ahead.probabilities.log()[:, 1] - ahead.probabilities.log()[:, 0]

    def rms(even):
        errors = density.future_errors(Oracle(ahead, past=c), c, ahead, generator=seeded(3), even=even)
        return (errors.log_odds()[:, 1] - true).square().mean().sqrt()

    assert rms(True) < 0.7 * rms(False) < 0.7 * 0.4


def test_levels_given_are_used(scenes):
    c, ahead = scenes
    errors = density.future_errors(Oracle(ahead, past=c), c, ahead, generator=seeded(), sigmas=[0.1, 0.5, 2.0])
    assert errors.sigma[:, 7].tolist() == pytest.approx([0.1, 0.5, 2.0])


def test_any_path_of_the_exact_score_adds_up_to_the_log_ratio(scenes):
    """It would catch a wrong sign, a wrong power of σ, and a path that does not end where it should."""
    c, ahead = scenes
    exact, n = Oracle(ahead, past=c), len(c)
    a, b = ahead.frames[:, :1], ahead.frames[:, 1:]
    sigma = 0.5 * (a - b).flatten(1).norm(dim=1)
    z = torch.randn(a.shape, generator=seeded())
    y = [x + sigma.view(-1, 1, 1, 1) * z for x in (a, b)]
    truth = exact.log_density(y[0], c, sigma) - exact.log_density(y[1], c, sigma)
    corner = torch.rand(n, 1, 16, 16, generator=seeded())
    assert torch.allclose(density.along(exact, c, [b, a], sigma, z), truth, atol=2e-3)
    assert torch.allclose(
        density.along(exact, c, [b, b / 2 + a / 4 + corner / 4, a], sigma, z, nodes=24), truth, atol=2e-2
    )


def test_surprise_of_gaussian_video_is_its_information():
    """Summed over pixels and averaged over frames, ½ ∫ mmse ds = ½ Σ log(1 + P/σ²): it would catch a lost pixel or draw."""
    world = Gaussian(size=16, contrast=0.3)
    c, x = world.draw(200, seeded())
    sigmas = np.geomspace(0.05, 20, 40).tolist()
    wiener = Wiener(world)
    nats = density.surprise(wiener, c, x, sigmas, generator=seeded()).mean()
    assert float(nats) == pytest.approx(float(0.5 * (1 + wiener.unknown / sigmas[0] ** 2).log().mean()), rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 3}, "draws come in pairs"),
        ({"levels": 1}, "levels"),
    ],
)
def test_what_cannot_be_measured_is_refused(scenes, change, message):
    c, ahead = scenes
    with pytest.raises(ValueError, match=message):
        density.future_errors(Oracle(ahead, past=c), c, ahead, generator=seeded(), **change)


def test_scenes_without_a_choice_are_refused(scenes):
    c, ahead = scenes
    one = Futures(ahead.frames[:, :1], torch.ones(len(c), 1))
    with pytest.raises(ValueError, match="two futures"):
        density.future_errors(Oracle(one, past=c), c, one, generator=seeded())
    same = Futures(ahead.frames[:, :1].expand(-1, 2, -1, -1), torch.full((len(c), 2), 0.5))
    with pytest.raises(ValueError, match="futures that differ"):
        density.future_errors(Oracle(same, past=c), c, same, generator=seeded())
    with pytest.raises(ValueError, match="c must be"):
        density.future_errors(Oracle(ahead, past=c), c[:5], ahead, generator=seeded())
    assert math.isfinite(float(density.surprise(lambda y, c: y, c[:2], c[:2, -1:], [0.1, 1], generator=seeded()).sum()))
