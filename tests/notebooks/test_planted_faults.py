"""Faults planted where chapter 3 measures: the claims they should break do not come out."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from scorevid import load_denoiser
from scorevid.companion import claims
from scorevid.denoisers.exact import Oracle
from scorevid.estimates import mean_interval
from scorevid.measures import choices
from scorevid.noise.prior import NoisePrior
from scorevid.sampling import RECOMMENDED
from scorevid.studies import choice_statistics, nearer_to_grey
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER}


@pytest.fixture(scope="module")
def problem():
    odds = torch.linspace(0.05, 0.95, 120)
    scenes, ahead = undecided_meetings(Leaves(), 120, torch.Generator().manual_seed(21), probability=odds)
    return scenes.past(), ahead


def verdicts(f, problem, n_samples=1):
    """Verdicts of the claims about choices, by id, for a denoiser under the recommended settings."""
    c, ahead = problem
    samples = RECOMMENDED(f, c, n_samples=n_samples, generator=torch.Generator().manual_seed(1))
    even = (choices.first_probability(ahead) - 0.5).abs() < 0.25
    u = choices.projection(samples.x, ahead)
    found = choice_statistics(samples, ahead)
    measures = {
        "sampling.chooses": choices.blend_share(u[even]),
        "sampling.blends": found.blends,
        "sampling.prefers-likelier": found.slope,
        "sampling.slope": found.slope,
        "sampling.grey-cured": found.towards_grey,
    }
    # what could not be fitted has no verdict
    return {name: claims.decide(m, BOUNDS[name]) for name, m in measures.items() if m is not None}


def exact(ahead, past):
    return Oracle(ahead, prior=NoisePrior(0.005, 100.0), past=past)


def test_nothing_breaks_with_the_exact_denoiser(problem):
    found = verdicts(exact(problem[1], problem[0]), problem, n_samples=10)
    assert set(found.values()) <= {"holds", "undecided"} and found["sampling.chooses"] == "holds"


def test_the_last_frame_in_place_of_a_denoiser_chooses_nothing(problem):
    found = verdicts(lambda y, c: c[:, -1:], problem)
    assert found["sampling.blends"] == "fails"
    assert found.get("sampling.slope") != "holds" and found.get("sampling.prefers-likelier") != "holds"


def test_an_average_of_futures_is_a_blend(problem):
    mean = problem[1].mean()
    found = verdicts(lambda y, c: mean, problem)
    assert found["sampling.chooses"] == found["sampling.blends"] == "fails"
    assert "sampling.slope" not in found  # nothing chose


def test_odds_that_are_not_known_or_turned_around_are_seen(problem):
    c, ahead = problem
    evened = replace(ahead, probabilities=torch.full_like(ahead.probabilities, 0.5))
    found = verdicts(exact(evened, c), problem, n_samples=10)
    assert found["sampling.slope"] == found["sampling.prefers-likelier"] == "fails"
    turned = replace(ahead, probabilities=ahead.probabilities.flip(1))
    assert verdicts(exact(turned, c), problem, n_samples=10)["sampling.slope"] == "fails"


def test_a_preference_for_what_is_nearer_to_grey_is_seen(problem):
    c, ahead = problem
    nearer = nearer_to_grey(ahead)
    logit = ahead.probabilities[:, 0].logit() + torch.where(nearer, 1.0, -1.0)
    biased = replace(ahead, probabilities=torch.stack([logit.sigmoid(), (-logit).sigmoid()], 1))
    assert verdicts(exact(biased, c), problem, n_samples=10)["sampling.grey-cured"] == "fails"


def test_weights_with_noise_and_a_turned_residual_are_seen(problem):
    f = load_denoiser("leaves-32")
    turned = verdicts(lambda y, c: 2 * y - f(y, c), problem)
    assert turned["sampling.slope"] == "fails"  # samples run away, to whichever side the noise has it
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in f.parameters():
            p.mul_(1 + 0.25 * torch.randn(p.shape, generator=generator))
    noisy = verdicts(f, problem)
    assert noisy["sampling.slope"] == noisy["sampling.blends"] == "fails"


def test_a_method_that_chooses_does_not_count_as_one_that_averages(problem):
    """Catches a place between the futures that does not depend on the answer, and a distance that a blend has too."""
    ahead = problem[1]
    chosen = choices.places(ahead.draw(torch.Generator().manual_seed(2)), ahead)
    blended = choices.places(ahead.mean(), ahead)
    of_methods = [name for name in BOUNDS if name.startswith("baselines.") and name != "baselines.flow-beside"]
    assert len(of_methods) == 7
    assert {claims.decide(chosen.between, BOUNDS[name]) for name in of_methods} == {"fails"}
    beside = mean_interval(blended.beside[:, 0])
    assert claims.decide(beside, BOUNDS["baselines.flow-beside"]) == "fails"
