"""Measurements side by side: their order, their threads, and the rows of every method."""

import math

import pytest
import torch

from scorevid.studies import every_method, motion
from scorevid.studies.side_by_side import side_by_side


def threads(_):
    return torch.get_num_threads()


def test_several_calls_at_a_time_keep_their_order():
    """Would catch results in the order in which they end, and processes that take each other's threads."""
    assert list(side_by_side(math.pow, [3.0, 2.0, 1.0], [2, 3, 1])) == [9, 8, 1]
    assert list(side_by_side(threads, range(2))) == [1, 1]
    with pytest.raises(ValueError, match="math domain"):
        list(side_by_side(math.sqrt, [1.0, -1.0]))


def test_a_row_is_that_of_its_case():
    """Would catch a row of another method or world, and a plan that leaves a case out."""
    plan, names = every_method.Plan(scenes=4, samples=2, decided=1, films=2, frames=2, seed=1), list(motion.methods())
    assert len(set(plan.cases)) == len(plan.cases) == 8 * len(names)
    row = plan.row(("decided", "bending", "copy"))
    c, x, where = motion.decided_scenes("bending", 4, 1)
    expected = (c[:, -1:] - x).square()[where].mean().item()
    assert row["error"][0] == pytest.approx(expected, rel=1e-4)
    assert (row["kind"], row["world"], row["method"]) == ("decided", "bending", "copy")
    film = plan.row(("film", "turns", "copy"))
    assert film["kind"] == "film" and len(film["psnr"]) == 2
    assert plan.row(("open", "turns", "copy"))["unanimous"][0] == 1
