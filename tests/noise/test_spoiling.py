"""What is done to one past frame is done to that frame alone, and is what it is called."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorevid.noise.spoiling import WAYS, spoil


def past(b=4, m=3, seed=0):
    return torch.rand(b, m, 6, 5, generator=torch.Generator().manual_seed(seed))


def spoiled(c, frame, way, level=None, seed=1):
    return spoil(c, frame, way, torch.Generator().manual_seed(seed), level)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(way=st.sampled_from(WAYS), b=st.integers(2, 4), m=st.integers(2, 4), frame=st.integers(-4, 3))
def test_one_frame_changes_and_no_other(way, b, m, frame):
    c, level = past(b, m), 0.3 if way == "noise" else None
    if not -m <= frame < m:
        with pytest.raises(ValueError, match="frame must be"):
            spoiled(c, frame, way, level)
        return
    kept = c.clone()
    found = spoiled(c, frame, way, level)
    assert torch.equal(c, kept) and found.shape == c.shape
    changed = (found != c).flatten(2).any(2)
    assert changed[:, frame].all() and changed.sum() == b


def test_each_does_what_it_is_called():
    c = past()
    noise = spoiled(c.new_zeros(50, 2, 20, 20), 0, "noise", 0.25)[:, 0]
    assert noise.std().item() == pytest.approx(0.25, rel=0.02) and abs(noise.mean()) < 0.01
    shuffled = spoiled(c, 1, "shuffle")[:, 1]
    assert torch.equal(shuffled.flatten(1).sort(1).values, c[:, 1].flatten(1).sort(1).values)
    swapped = spoiled(c, 1, "swap")[:, 1]
    assert sorted(v.sum().item() for v in swapped) == sorted(v.sum().item() for v in c[:, 1])
    blank = spoiled(c, 1, "blank")[:, 1]
    torch.testing.assert_close(blank, c[:, 1].mean((1, 2), keepdim=True).expand(4, 6, 5))
    assert torch.equal(spoiled(c, -1, "freeze")[:, -1], c[:, -2])
    assert torch.equal(spoiled(c, 0, "freeze")[:, 0], c[:, 1])


@pytest.mark.parametrize(
    ("c", "way", "level", "message"),
    [
        (past(), "smear", None, "way must be one of"),
        (past(), "noise", None, "level must be a finite number"),
        (past(), "blank", 0.1, "level must be None"),
        (past(), "noise", -0.1, "level must lie in"),
        (past(), "noise", float("nan"), "level must be a finite"),
        (past()[0], "blank", None, r"\(B, C, H, W\)"),
        ((255 * past()).int(), "blank", None, "floating-point"),
        (past(1), "swap", None, "two scenes"),
        (past(2, 1), "freeze", None, "two past frames"),
    ],
)
def test_what_does_not_fit_is_refused(c, way, level, message):
    with pytest.raises(ValueError, match=message):
        spoiled(c, 0, way, level)
