"""Faults planted where chapter 2 measures: its own cells run with another denoiser, and the claims it should break do not hold."""

import ast
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch

from scorevid.denoisers.exact import Oracle
from scorevid.noise.prior import NoisePrior
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

CHAPTER = nbformat.read(Path(__file__).parents[2] / "notebooks" / "02_score_residual.ipynb", 4)
CELLS = {cell.id: cell.source for cell in CHAPTER.cells if cell.cell_type == "code"}
ERRORS = ("02-19", "02-11", "02-20", "02-17", "02-25", "02-44")
DERIVATIVE = ("02-32", "02-34a", "02-34")


@pytest.fixture(scope="module")
def problem():
    scenes, ahead = undecided_meetings(Leaves(), 32, torch.Generator().manual_seed(31))
    return scenes.past(), ahead


def verdicts(f, problem, cells, monkeypatch):
    """Verdicts by claim that these cells of the chapter give with f in place of the network."""
    monkeypatch.setenv("SCOREVID_CLAIMS_COLLECT", "1")
    monkeypatch.delenv("SCOREVID_CLAIMS", raising=False)
    monkeypatch.setattr(plt, "show", lambda: None)
    c, ahead = problem
    space = {"f": f, "c": c, "ahead": ahead, "generator": torch.Generator().manual_seed(5), "seed": 5, "made": {}}
    space |= {"prior": NoisePrior(law="peaked", peak=(0.1, 2.5)), "weights": "planted"}
    exec(CELLS["02-02"], space)
    exec(CELLS["02-08"].partition("\n\n\n")[0], space)  # def noisy
    found = {}
    for name in cells:
        *body, last = ast.parse(CELLS[name]).body
        exec(compile(ast.Module(body, []), name, "exec"), space)
        shown = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
        if shown is None:
            exec(compile(ast.Module([last], []), name, "exec"), space)
            continue
        result = eval(compile(shown, name, "eval"), space)
        records = result if isinstance(result, tuple) else [result]
        found |= {record.id: record.verdict for record in records if hasattr(record, "verdict")}
    plt.close("all")
    return found


def test_nothing_breaks_with_the_optimum(problem, monkeypatch):
    f = Oracle(problem[1], prior=NoisePrior(law="peaked", peak=(0.1, 2.5)))
    found = verdicts(f, problem, (*ERRORS, *DERIVATIVE), monkeypatch)
    assert len(found) == 11 and set(found.values()) == {"holds"}


def test_odds_that_are_swapped_are_seen_where_futures_differ_and_not_over_the_whole_frame(problem, monkeypatch):
    _, ahead = problem
    swapped = Oracle(Futures(ahead.frames, ahead.probabilities.flip(1)), prior=NoisePrior())
    found = verdicts(swapped, problem, (*ERRORS, *DERIVATIVE), monkeypatch)
    assert found["score.error.sigma-5"] == "fails" and found["score.error.sigma-1"] != "holds"
    assert found["score.whole-frame.sigma-0.5"] == found["score.whole-frame.sigma-0.1"] == "holds"
    assert found["score.posterior-variance"] != "holds"


def test_an_output_that_ignores_the_noisy_frame_is_seen(problem, monkeypatch):
    _, ahead = problem
    found = verdicts(lambda y, c: ahead.mean(), problem, ERRORS, monkeypatch)
    assert found["score.better-than-the-mean"] == found["score.whole-frame.sigma-0.1"] == "fails"
    assert found["score.error.sigma-0.2"] == found["score.error.sigma-0.5"] == "fails"
    assert found["score.whole-frame.sigma-0.5"] == "holds"  # as its caveat says


def test_a_derivative_that_follows_the_distance_alone_is_seen(problem, monkeypatch):
    _, ahead = problem
    pair = ahead.frames[:, :1] - ahead.frames[:, 1:2]

    def by_distance(y, c):  # σ² times its derivative along the pair is a tenth of D²
        return ahead.mean() + 0.1 * pair * (pair * (y - ahead.mean())).sum((1, 2, 3), keepdim=True)

    found = verdicts(by_distance, problem, ("02-19", *DERIVATIVE), monkeypatch)
    assert found["score.second-order.beyond-distance"] != "holds"
