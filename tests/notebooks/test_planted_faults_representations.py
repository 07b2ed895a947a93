"""Faults planted where chapter 9 measures: the claims that they should break do not come out."""

from pathlib import Path

import pytest
import yaml

from scorevid.companion import claims
from scorevid.estimates import Estimate
from scorevid.studies.representations import verdicts
from scorevid.studies.representations.inside import MIDDLE
from scorevid.studies.representations.networks import SEEDS

LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER if claim["chapter"] == "09_representations"}


def test_every_claim_of_the_chapter_is_planted_against():
    assert set(BOUNDS) == {f"representation.{of}" for of in (*verdicts.PROPERTIES, "odds", "causal")}


def rows(by_method, spread=0.002):
    """Stored rows in which each property of a network is as told for its method, but for a spread over seeds."""
    made, margin = [], 0.003
    for method, value in by_method.items():
        for seed in SEEDS:
            at = value + spread * (seed - 1)
            three, name = [at, at - margin, at + margin], f"{method}-{seed}"
            made.append({"kind": "sparsity", "network": name, "block": MIDDLE, "gini": three})
            made.append({"kind": "overlap", "network": name, "overlap": three})
            row = {"kind": "readout", "network": name, "block": MIDDLE, "measure": "r", "target": "speed"}
            made.append(row | {"figure": three})
            row = {"kind": "similarity", "measure": "cka", "block": MIDDLE, "one": f"blind-{(seed + 1) % 3}"}
            made.append(row | {"other": name, "figure": three})
    return made


@pytest.mark.parametrize("of", verdicts.PROPERTIES)
@pytest.mark.parametrize(("theirs", "expected"), [(0.51, "holds"), (0.7, "fails"), (0.3, "fails"), (0.55, "undecided")])
def test_methods_that_differ_break_the_claim_that_they_do_not(of, theirs, expected):
    """Would catch a verdict that looks at one side only, at another method, or at the value alone."""
    stored = rows({"blind": 0.5, "edm": theirs, "flow": theirs, "regression": 0.1})
    values = {m: verdicts.figures(stored, of, m) for m in ("blind", *verdicts.DIFFUSION)}
    gap = verdicts.difference(values["blind"], *(values[m] for m in verdicts.DIFFUSION))
    assert claims.decide(gap, BOUNDS[f"representation.{of}"]) == expected


def test_seeds_that_differ_leave_it_undecided():
    stored = rows({"blind": 0.5, "edm": 0.5, "flow": 0.5}, spread=0.1)
    values = {m: verdicts.figures(stored, "sparsity", m) for m in ("blind", *verdicts.DIFFUSION)}
    gap = verdicts.difference(values["blind"], *(values[m] for m in verdicts.DIFFUSION))
    assert claims.decide(gap, BOUNDS["representation.sparsity"]) == "undecided"


def three(*values):
    return verdicts.over_seeds([Estimate(v, v - 0.01, v + 0.01) for v in values])


def test_a_network_without_the_odds_or_with_them_everywhere_is_found_out():
    assert claims.decide(three(0.95, 0.96, 0.95), BOUNDS["representation.odds"]) == "holds"
    assert claims.decide(three(0.5, 0.6, 0.55), BOUNDS["representation.odds"]) == "fails"
    assert claims.decide(three(0.95, 0.8, 0.95), BOUNDS["representation.odds"]) == "undecided"
    assert claims.decide(three(5.0, 5.2, 4.9), BOUNDS["representation.causal"]) == "holds"
    assert claims.decide(three(1.0, 1.1, 0.9), BOUNDS["representation.causal"]) == "fails"
