"""Overlaps of active sets: of known sets, of random ones, and of two groups."""

import pytest
import torch

from scorevid.measures.representations import between_scenes, jaccard, overlap, separation
from scorevid.measures.representations.overlaps import by_chance


def random_sets(n, share, units=4000, seed=0):
    return torch.rand(n, units, generator=torch.Generator().manual_seed(seed)) < share


def test_the_index_of_known_sets():
    a = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]).bool()
    b = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1]]).bool()
    assert jaccard(a, b).tolist() == [1, 0.5, 1, 0]


@pytest.mark.parametrize("share, other", [(0.5, 0.5), (0.2, 0.2), (0.1, 0.6)])
def test_independent_sets_have_the_index_of_chance(share, other):
    a, b = random_sets(20, share), random_sets(20, other, seed=1)
    assert jaccard(a, b).mean().item() == pytest.approx(by_chance(a, b).mean().item(), abs=0.005)
    if share == other:
        assert by_chance(a, b).mean().item() == pytest.approx(share / (2 - share), abs=0.01)


def test_overlap_of_each_block():
    a, b = random_sets(10, 0.4), random_sets(10, 0.4, seed=1)
    found = overlap({"one": a, "two": a}, {"one": a, "two": b})
    assert tuple(found["one"]) == (1, 1, 1)
    assert found["two"].low < 0.25 < found["two"].high and found["two"].n == 10
    with pytest.raises(ValueError, match="same blocks"):
        overlap({"one": a}, {"two": a})


def test_groups_that_differ_are_separate_and_groups_that_do_not_are_not():
    """Would catch scenes that are compared with themselves, which would separate any two groups."""
    same = separation(random_sets(12, 0.3), random_sets(15, 0.3, seed=1))
    assert same.low < 0 < same.high and same.high - same.low < 0.02 and same.n == 27
    core = random_sets(2, 0.3, seed=2)
    one, other = (core[k] ^ random_sets(10, 0.05, seed=3 + k) for k in (0, 1))
    assert separation(one, other).low > 0.3


def test_what_are_no_sets_is_refused():
    a = random_sets(4, 0.5)
    with pytest.raises(ValueError, match="of bool"):
        jaccard(a, a.float())
    with pytest.raises(ValueError, match="same units"):
        jaccard(a, a[:, 1:])
    with pytest.raises(ValueError, match="same scenes"):
        jaccard(a, a[:2])
    with pytest.raises(ValueError, match="three scenes"):
        separation(a, a[:2])


def test_the_overlap_of_any_two_scenes_is_that_of_the_pair():
    """Would catch a table that is not symmetric, and empty sets that are unlike themselves."""
    sets = torch.rand(6, 40, generator=torch.Generator().manual_seed(0)) > 0.6
    sets[2] = False
    table = between_scenes(sets)
    for k in range(6):
        torch.testing.assert_close(table[k], jaccard(sets[k].expand(6, -1), sets))
    assert table[2, 2] == 1
