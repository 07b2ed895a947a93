"""Faults planted where chapter 4 measures: the claims they should break do not come out."""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from scorevid import estimates, load_denoiser
from scorevid.companion import claims
from scorevid.denoisers.wiener import Wiener
from scorevid.measures import linear_weights as linear
from scorevid.measures.optimal_weights import agreement
from scorevid.measures.spectra import effective_dimension
from scorevid.worlds.gaussian import Gaussian

LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER}
WORLD = Gaussian(size=32)
TAUS = (0.0, 0.1, 1.0)


def optimum(tau, believes=None):
    """The optimal denoiser for noise of tau on the last past frame, or one that believes in other noise there."""
    return Wiener(Gaussian(size=32, past_noise=(0.0, tau if believes is None else believes)))


def verdicts(denoiser):
    """Verdicts of the claims about Gaussian video, by id. denoiser: noise on the last past frame -> the one to judge."""
    found = [
        agreement(
            denoiser(tau), WORLD, 0.3, torch.Generator().manual_seed(0), scenes=8, pixels=2, way="noise", level=tau
        )
        for tau in TAUS
    ]
    on_last = [a.sums()[0][:, 1] for a in found]
    measures = {
        "linear.gaussian-correlation.mean": found[0].correlation_of_mean(),
        "linear.gaussian-correlation": estimates.mean_interval(found[0].correlation()),
        "linear.gaussian-slope": estimates.ratio_interval(*found[0].products()),
        "linear.gaussian-error": max(estimates.ratio_interval(a.error, a.least) for a in found),
        "linear.gaussian-falls": max(estimates.mean_interval(b - a) for a, b in itertools.pairwise(on_last)),
    }
    return {name: claims.decide(m, BOUNDS[name]) for name, m in measures.items()}


def test_nothing_breaks_with_the_optimum():
    assert set(verdicts(optimum).values()) == {"holds"}


def test_trust_in_a_past_that_has_become_noisy_is_seen():
    found = verdicts(partial(optimum, believes=0.0))
    assert found["linear.gaussian-error"] == found["linear.gaussian-falls"] == "fails"
    assert found["linear.gaussian-correlation"] == "holds"  # which is measured on clean pasts


def test_the_last_frame_and_the_noisy_one_in_place_of_a_denoiser_are_seen():
    for answer in (lambda y, c: c[:, -1:] + 0 * y, lambda y, c: y + 0 * c[:, -1:]):
        found = verdicts(lambda tau, answer=answer: answer)
        assert found["linear.gaussian-correlation"] == found["linear.gaussian-correlation.mean"] == "fails"
        assert found["linear.gaussian-error"] == "fails"


def test_weights_that_are_too_large_are_seen():
    def swollen(tau):
        return lambda y, c: 1.1 * optimum(tau)(y, c, 0.3)

    assert verdicts(swollen)["linear.gaussian-slope"] == "fails"


def test_a_network_with_noise_on_its_parameters_is_seen():
    f = load_denoiser("gaussian-32-clean")
    generator = torch.Generator().manual_seed(0)
    for p in f.parameters():
        p += 0.1 * p.std() * torch.randn(p.shape, generator=generator)
    assert verdicts(lambda tau: f)["linear.gaussian-correlation"] != "holds"


def test_a_bias_is_seen():
    def biased(y, c):
        return 0.5 * y + 0.5 * c[:, -1:] + 0.01

    y, c = torch.rand(2, 1, 8, 8), torch.rand(2, 2, 8, 8)
    gap = (
        (linear.reconstruct(linear.rows(biased, y, c, [(3, 3)]), y, c) - biased(y, c)[:, 0, 3:4, 3]).abs().max().item()
    )
    assert claims.decide((gap, gap, gap), BOUNDS["linear.exact"]) == "fails"


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_past_that_spares_nothing_is_seen(share):
    y, c = torch.rand(6, 1, 8, 8), torch.rand(6, 2, 8, 8)
    with_past, without = (
        effective_dimension(lambda y, c, k=k: k * y, y, c, torch.Generator().manual_seed(1)).numpy() for k in (share, 1)
    )
    decibels = estimates.over_clusters(
        lambda k: 10 * np.log10(with_past[k].sum() / without[k].sum()), [0, 0, 0, 1, 1, 1]
    )
    verdict = claims.decide(decibels, BOUNDS["linear.past-narrows"])
    assert verdict == ("fails" if share > 0.8 else "holds")


def test_a_network_that_needs_no_drift_of_its_training_is_seen():
    """Catches a claim of one drift that holds for whatever follows the motion of the test as well."""
    turned = Gaussian(size=32, shift=(0, 1))
    found = agreement(Wiener(turned), turned, 0.3, torch.Generator().manual_seed(0), scenes=4, pixels=2)
    assert claims.decide(found.summary().correlation, BOUNDS["linear.gaussian-one-drift"]) == "fails"
    fixed = agreement(Wiener(WORLD), turned, 0.3, torch.Generator().manual_seed(0), scenes=4, pixels=2)
    assert claims.decide(fixed.summary().correlation, BOUNDS["linear.gaussian-one-drift"]) == "holds"


@pytest.mark.parametrize(
    ("worse", "verdict"), [((1.5, 1.6), "fails"), ((0.5, 0.52), "holds"), ((0.9, 9.0), "undecided")]
)
def test_two_shots_decide_only_where_they_are_alike(worse, verdict):
    """Catches intervals over patches, of which there may be many in each shot."""
    shots, ratio = np.repeat([0, 1], 30), np.repeat(worse, 30)
    decibels = estimates.over_clusters(lambda k: 10 * np.log10(ratio[k].mean()), shots)
    assert claims.decide(decibels, BOUNDS["linear.natural-learns-to-distrust"]) == verdict


@pytest.mark.parametrize("bound", ["linear.natural-weight-leaves-noisy-frame", "linear.natural-follows-predictability"])
def test_weights_that_do_not_change_are_seen(bound):
    """Catches a bound that weights drawn at random would meet."""
    change, shots = torch.randn(64, generator=torch.Generator().manual_seed(0)).numpy() * 0.01, np.repeat([0, 1], 32)
    assert claims.decide(estimates.over_clusters(lambda k: change[k].mean(), shots), BOUNDS[bound]) == "fails"
