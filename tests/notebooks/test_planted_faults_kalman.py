"""Planted faults that the claims of supplement 7a have to see: each check can fail, by the bound of the ledger."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from scorevid import estimates
from scorevid.companion import claims
from scorevid.denoisers.wiener import Wiener
from scorevid.measures import density, errors
from scorevid.noise.prior import NoisePrior
from scorevid.worlds.gaussian import Gaussian

LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text(encoding="utf-8"))
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER if claim["chapter"] == "supplement/07a_kalman_memory"}
WORLD, PRIOR = Gaussian(24, 7, 0.98, past_noise=0.1), NoisePrior(0.05, 3.0)
SIGMAS = np.geomspace(PRIOR.sigma_min, PRIOR.sigma_max, 13)


@pytest.fixture(scope="module")
def squared():
    """Of a denoiser of memory m, on the scenes and noise that are the same for all: (levels, scenes)."""
    c, x = WORLD.draw(60, torch.Generator().manual_seed(1))

    def measure(f, m):
        noise = torch.Generator().manual_seed(2)
        return errors.squared_errors(f, c[:, -m:], x, SIGMAS.tolist(), noise, border=8).double()

    return measure


def of_memory(m, **other):
    return replace(WORLD, memory=m, **other)


class Cut:
    """The optimal blind filter of the latest two frames, however many it is given."""

    needs_sigma = False

    def __init__(self, m):
        self.seen = min(m, 2)
        self.f = Wiener(of_memory(self.seen), PRIOR)

    def __call__(self, y, c, sigma=None):
        return self.f(y, c[:, -self.seen :])


def verdicts(squared, make):
    """Of denoisers make(m), as the supplement decides."""
    best = [squared(Wiener(of_memory(m), PRIOR), m).sum(0) for m in range(1, 8)]
    found = {m: squared(make(m), m) for m in range(1, 8)}
    error = estimates.worst_ratio_interval([e.sum(0) for e in found.values()], best)
    kept, power = [], WORLD.spectrum().numpy()
    for m, own in found.items():
        exact = Wiener(of_memory(m))
        left, s = exact.unknown.numpy(), SIGMAS[0]
        closed = 0.5 * np.log((power + s**2) / (left + s**2)).mean()
        lost = density.over_snr(own - squared(exact, m), torch.tensor(SIGMAS))[0].numpy()
        kept.append(estimates.mean_interval(1 - lost / closed))
    return {
        "memory.gaussian-error": claims.decide(error, BOUNDS["memory.gaussian-error"]),
        "memory.gaussian-bits": claims.decide(min(kept), BOUNDS["memory.gaussian-bits"]),
    }


def test_the_optimum_meets_the_bounds(squared):
    assert set(verdicts(squared, lambda m: Wiener(of_memory(m), PRIOR)).values()) == {"holds"}
    assert BOUNDS["memory.gaussian-error.recurrent"] == BOUNDS["memory.gaussian-error"]


def test_a_memory_that_is_cut_is_seen(squared):
    assert set(verdicts(squared, Cut).values()) == {"fails"}


def test_gains_of_another_world_are_seen(squared):
    """A filter that takes the past for clean, and so looks at the last frame alone."""
    assert verdicts(squared, lambda m: Wiener(of_memory(m, past_noise=0.01), PRIOR))["memory.gaussian-error"] == "fails"
