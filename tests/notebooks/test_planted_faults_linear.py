"""Faults planted where chapter 4 measures: the claims they should break do not come out."""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from made_weights import following, linear_in, objects, sheets, weighing

from scorevid import estimates, load_denoiser
from scorevid.companion import claims
from scorevid.denoisers.wiener import Wiener
from scorevid.measures import linear_weights as linear
from scorevid.measures.optimal_weights import agreement
from scorevid.studies.natural import weights as study
from scorevid.worlds.clips.world import every_shot
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


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Of denoisers in closed form, on made-up shots of moving squares and of moving sheets."""
    path = tmp_path_factory.mktemp("shots") / "made.npz"
    np.savez(path, squares=objects(0), more_squares=objects(5), sheets=sheets(10), more_sheets=sheets(15))
    denoisers = {
        "M = 0": lambda y, c: y + 0 * c[:, -1:],
        "fixed": linear_in(0.4),
        "trusting": linear_in(-0.3),
        "weighing": weighing,
        "along": following(1),
        "against": following(-1),
    }
    read = [name for name in denoisers if name != "M = 0"]
    world = every_shot(str(path), size=48)
    return study.measure(world, denoisers, [study.WEAK, study.MIDDLE, study.STRONG], read=read, patches=4, frames=6)


def verdicts_on_video(records, name):
    """Verdicts of the claims about natural video, with a denoiser in the place of our networks; by id, as the chapters do."""
    without = study.values(records, "noisy_past", "M = 0")[:, None]
    ratio = study.decibels(study.values(records, "noisy_past", name), without) if name != "M = 0" else 0 * without
    kept = study.decibels(*(study.values(records, "dimension", m) for m in (name, "M = 0")))[
        :, study.DIMENSION_AT.index(0.1)
    ]
    found = {"linear.past-narrows": study.over_shots(kept)}
    if name != "M = 0":
        found["linear.natural-misled"] = study.over_shots(ratio[:, study.NOISES.index(0.3)])
    found["linear.natural-learns-to-distrust"] = max(study.curve(ratio))
    for claim, keys in (
        ("linear.natural-weight-leaves-noisy-frame", ["fall"]),
        ("linear.natural-follows-predictability", ["worst_minus_best"]),
        ("linear.natural-follows-reliability", ["uncovered_minus_still", "value"]),
    ):
        if name != "M = 0":
            found[claim] = study.over_shots(study.values(records[:2], "read", name, *keys))  # the squares
    if name in ("along", "against"):
        r = study.values(records[2:], "read", name, "edges", "correlation")  # the sheets
        found["linear.follows-motion"] = study.over_shots(r, "fisher")
    return {claim: claims.decide(measured, BOUNDS[claim]) for claim, measured in found.items()}


def test_weights_that_are_the_same_everywhere_are_seen(records):
    """Catches bounds that weights meet which heed neither place nor noise."""
    found = verdicts_on_video(records, "fixed")
    for claim in ("weight-leaves-noisy-frame", "follows-predictability", "follows-reliability", "learns-to-distrust"):
        assert found[f"linear.natural-{claim}"] == "fails", claim


def test_weights_that_heed_places_and_noise_are_seen(records):
    """Catches differences that are taken the other way round."""
    found = verdicts_on_video(records, "weighing")
    for claim in ("weight-leaves-noisy-frame", "follows-predictability", "follows-reliability"):
        assert found[f"linear.natural-{claim}"] == "holds", claim


def test_weights_that_go_against_the_motion_are_seen(records):
    """Catches a correlation with the length of the motion, whatever its direction."""
    assert verdicts_on_video(records, "along")["linear.follows-motion"] == "holds"
    assert verdicts_on_video(records, "against")["linear.follows-motion"] == "fails"


def test_a_past_that_spares_nothing_is_seen(records):
    """Catches a ratio that is turned round."""
    assert verdicts_on_video(records, "M = 0")["linear.past-narrows"] == "fails"
    assert verdicts_on_video(records, "fixed")["linear.past-narrows"] == "holds"


def test_what_a_noisy_past_does_to_errors_is_seen(records):
    """Catches verdicts on the best of the levels, and errors that are compared with themselves."""
    trusting = verdicts_on_video(records, "trusting")
    assert (trusting["linear.natural-misled"], trusting["linear.natural-learns-to-distrust"]) == ("holds", "fails")
    assert verdicts_on_video(records, "fixed")["linear.natural-misled"] == "fails"
    assert verdicts_on_video(records, "M = 0")["linear.natural-learns-to-distrust"] == "holds"
