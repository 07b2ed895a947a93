"""Faults planted where supplement 3d measures: the claims they should break do not come out."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from scorevid.companion import claims
from scorevid.sampling import Samples
from scorevid.studies import many

LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER if claim["chapter"] == "supplement/03d_many_disks"}


@pytest.fixture(scope="module")
def problem():
    c, ahead, _ = many.many_scenes("3 disks", 160, 3)
    return c, ahead


def verdicts(law, problem, blended=0):
    """Verdicts of the claims, by id, for samples drawn from a law in place of the true one.

    blended: the first samples of each scene are replaced by an average of its futures.
    """
    ahead = problem[1]
    chosen = torch.multinomial(law.probabilities, 60, replacement=True, generator=torch.Generator().manual_seed(1))
    x = ahead.frames[torch.arange(len(ahead))[:, None], chosen]
    even = replace(ahead, probabilities=(ahead.probabilities > 0) / ahead.count()[:, None])
    x[:, :blended] = even.mean()
    good = torch.ones_like(chosen, dtype=torch.bool)
    found = many.scene_statistics(Samples(x, chosen, chosen, 0.0 * chosen, good, good), ahead)
    measures = {
        "sampling.scene-error.3": found.error,
        "sampling.many.chi2": found.chi_square,
        "sampling.many.slope": found.slope,
        "sampling.many.blends": found.blends,
    }
    return {name: claims.decide(measure, BOUNDS[name]) for name, measure in measures.items()}


def disturbed(ahead, logits):
    return replace(ahead, probabilities=logits.masked_fill(ahead.probabilities == 0, -torch.inf).softmax(1))


def test_every_claim_holds_for_draws_from_the_true_law(problem):
    assert set(verdicts(problem[1], problem).values()) == {"holds"}
    assert len(BOUNDS) == 7


def test_probabilities_that_are_wrong_scene_by_scene_are_seen_where_the_slope_is_right(problem):
    ahead = problem[1]
    noise = torch.randn(ahead.probabilities.shape, generator=torch.Generator().manual_seed(2))
    found = verdicts(disturbed(ahead, 1.05 * ahead.probabilities.log() + 0.7 * noise), problem)
    assert found["sampling.scene-error.3"] == found["sampling.many.chi2"] == "fails"
    assert found["sampling.many.slope"] != "fails" and found["sampling.many.blends"] == "holds"


def test_choices_that_are_too_sure_or_know_no_odds_are_seen(problem):
    ahead = problem[1]
    for power in (2.0, 0.0):
        found = verdicts(disturbed(ahead, power * ahead.probabilities.clamp_min(1e-9).log()), problem)
        assert found["sampling.many.slope"] == found["sampling.scene-error.3"] == "fails"


def test_a_future_that_is_left_out_is_seen(problem):
    """The likelier of the first two: its share goes to the others."""
    ahead = problem[1]
    rows, likelier = torch.arange(len(ahead)), ahead.probabilities.argmax(1)
    logits = ahead.probabilities.log()
    logits[rows, likelier] = -20.0
    assert verdicts(disturbed(ahead, logits), problem)["sampling.scene-error.3"] == "fails"


def test_an_average_of_futures_is_a_blend(problem):
    found = verdicts(problem[1], problem, blended=3)
    assert found["sampling.many.blends"] == "fails" and found["sampling.scene-error.3"] == "holds"
