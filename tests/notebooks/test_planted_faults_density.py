"""Planted faults that the claims of chapter 6 have to see: each check can fail, by the bound of the ledger."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from scorevid import estimates
from scorevid.companion import claims
from scorevid.denoisers.exact import Oracle
from scorevid.denoisers.wiener import Wiener
from scorevid.measures import density as reading, errors
from scorevid.studies import density, sampling
from scorevid.worlds.futures import Futures
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.leaves.world import Leaves

LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def scenes():
    c, ahead, _ = sampling.meetings(Leaves(size=16, radius=(2.5, 4.0)), 60, seeded(1), torch.linspace(0.2, 0.8, 60))
    return c, ahead


def verdicts(f, scenes, **how):
    c, ahead = scenes
    found = density.read_odds(f, c, ahead, generator=seeded(), **how)
    true, read = np.array(found["true"]), np.array(found["read"]["within"])
    off = (read - true) ** 2
    measured = {
        "density.oracle-slope": estimates.ratio_interval(true * read, true**2),
        "density.oracle-error": estimates.bootstrap(lambda rows: np.sqrt(off[rows].mean()), len(off)),
        "density.correlation": estimates.correlation_interval(true, read),
        "density.oracle-entropy": estimates.ratio_interval(found["entropy"]["within"], found["entropy"]["true"]),
    }
    return {name: claims.decide(estimate, BOUNDS[name]) for name, estimate in measured.items()}


def test_the_exact_denoiser_meets_the_bounds(scenes):
    c, ahead = scenes
    assert set(verdicts(Oracle(ahead, past=c), scenes, draws=16).values()) == {"holds"}


def test_odds_held_too_extreme_are_seen(scenes):
    c, ahead = scenes
    odds = 1.5 * torch.logit(ahead.probabilities[:, 0])
    believed = Futures(ahead.frames, torch.stack([odds.sigmoid(), (-odds).sigmoid()], 1))
    found = verdicts(Oracle(believed, past=c), scenes, draws=16)
    assert found["density.oracle-slope"] == found["density.oracle-error"] == "fails"


def test_odds_of_other_scenes_are_seen(scenes):
    c, ahead = scenes
    believed = Futures(ahead.frames, ahead.probabilities[torch.randperm(len(c), generator=seeded(4))])
    found = verdicts(Oracle(believed, past=c), scenes, draws=16)
    assert found["density.correlation"] == found["density.oracle-slope"] == "fails"


def test_errors_at_small_noise_raise_the_entropy(scenes):
    """As those of a network: a tenth of the way to the mean of the futures, whatever the noise."""
    c, ahead = scenes
    exact, mean = Oracle(ahead, past=c), ahead.mean()
    by_past = {past.numpy().tobytes(): k for k, past in enumerate(c)}

    class Blurred:
        needs_sigma = True

        def __call__(self, y, c, sigma=None):
            own = mean[[by_past[past.numpy().tobytes()] for past in c]]
            return 0.9 * exact(y, c, sigma) + 0.1 * own

    assert verdicts(Blurred(), scenes)["density.oracle-entropy"] == "fails"


def test_a_score_that_is_no_gradient_is_seen(scenes):
    c, ahead = scenes
    exact = Oracle(ahead, past=c)

    class Turned:
        needs_sigma = True

        def __call__(self, y, c, sigma=None):
            d = exact(y, c, sigma) - y
            return y + d + 0.3 * (d.roll(1, 3) - d.roll(-1, 3))

    def difference(f):
        one, other = density.inconsistency(f, c, ahead, 0.5, generator=seeded())["around"]
        off = np.subtract(one, other) ** 2
        return estimates.bootstrap(lambda rows: np.sqrt(off[rows].mean()), len(off))

    assert claims.decide(difference(exact), BOUNDS["density.path-difference"]) == "holds"
    assert claims.decide(difference(Turned()), BOUNDS["density.path-difference"]) == "fails"


def test_a_path_to_other_odds_is_seen(scenes):
    """At σ = D/2 the odds in the network are part of the ratio: exchanged odds miss it."""
    c, ahead = scenes

    def missed(f):
        path = density.inconsistency(f, c, ahead, 0.5, generator=seeded())
        off = np.subtract(path["straight"], path["exact"]) ** 2
        return estimates.bootstrap(lambda rows: np.sqrt(off[rows].mean()), len(off))

    exchanged = Futures(ahead.frames, ahead.probabilities.flip(1))
    assert claims.decide(missed(Oracle(ahead, past=c)), BOUNDS["density.path"]) == "holds"
    assert claims.decide(missed(Oracle(exchanged, past=c)), BOUNDS["density.path"]) == "fails"


def test_open_levels_that_add_too_much_are_seen(scenes):
    """The part of the slope from D/2 on, as chapter 6 adds it up, with odds that are held too extreme."""
    c, ahead = scenes

    def part(f):
        found = density.read_odds(f, c, ahead, generator=seeded(), draws=16)["by_level"]
        level, slope = np.array(found["level"]), np.array(found["slope"])
        return np.trapezoid(slope[level >= 1], np.log(level[level >= 1]), axis=0)

    odds = 1.5 * torch.logit(ahead.probabilities[:, 0])
    believed = Futures(ahead.frames, torch.stack([odds.sigmoid(), (-odds).sigmoid()], 1))
    optimum = part(Oracle(ahead, past=c))
    shares = {
        name: estimates.Estimate(*part(Oracle(law, past=c)) / optimum[0])
        for name, law in (("own", ahead), ("too extreme", believed))
    }
    assert claims.decide(shares["own"], BOUNDS["density.open-slope"]) == "holds"
    assert claims.decide(shares["too extreme"], BOUNDS["density.open-slope"]) == "fails"


def test_information_lost_on_gaussian_video_is_seen():
    """A filter that trusts the past too much, as one for ρ = 0.99 does where it is 0.95."""
    world = Gaussian(past_noise=0.1)
    best, other = Wiener(world), Wiener(Gaussian(past_noise=0.1, rho=0.99))
    sigmas = np.geomspace(0.05, 5, 24)
    past, following = world.draw(40, seeded())
    found = [errors.squared_errors(f, past, following, sigmas.tolist(), seeded(1)).double() for f in (best, other)]
    lost = reading.over_snr(found[1] - found[0], torch.tensor(sigmas))[0].numpy()
    power, left = world.spectrum().double().numpy(), best.unknown.double().numpy()
    whole = 0.5 * np.log((power + sigmas[0] ** 2) / (left + sigmas[0] ** 2)).mean()
    kept = estimates.mean_interval(1 - lost / whole)
    assert claims.decide(kept, BOUNDS["density.gaussian-information"]) == "fails"
