"""Claims: what a bound is, when a claim holds, and that it can fail."""

import json
import math
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scorevid.companion.claims import Bound, ClaimError, badges, check, decide, record
from scorevid.companion.records import read_records
from scorevid.estimates import Estimate

ROOT = Path(__file__).parents[2]
finite = st.floats(-1e6, 1e6)


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    """Claims of these tests are none of the book's, whose folder `make` sets."""
    monkeypatch.delenv("SCOREVID_CLAIMS", raising=False)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("<= 0.1", [0.1, -5], [0.11]),
        ("< 1", [0.99], [1.0]),
        (">= 2", [2, 3], [1.99]),
        ("> 0", [1e-9], [0]),
        ("in [0.9, 1.1]", [0.9, 1, 1.1], [0.89, 1.11]),
        ("<= 1e-5", [1e-5], [1.1e-5]),
    ],
)
def test_bounds_read_as_written(text, inside, outside):
    bound = Bound.parse(text)
    assert all(v in bound for v in inside) and not any(v in bound for v in outside)


@pytest.mark.parametrize("text", ["0.1", "=< 1", "<= x", "in [2, 1]", "in 1, 2", "", "<= 1 or so", None, 3])
def test_malformed_bounds_are_refused(text):
    with pytest.raises(ValueError):
        Bound.parse(text)


@given(value=finite, below=st.floats(0, 1e3), above=st.floats(0, 1e3), limit=finite)
def test_a_verdict_is_one_of_three_and_means_what_it_says(value, below, above, limit):
    low, high = value - below, value + above
    verdict = decide((value, low, high), f"<= {limit!r}")
    assert verdict == ("holds" if high <= limit else "undecided" if low <= limit else "fails")


def test_a_claim_that_holds_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("SCOREVID_CLAIMS", str(tmp_path / "records"))
    record = check("some.claim", (0.05, 0.04, 0.06), n=100, bound="<= 0.1", context={"seed": 3})
    assert repr(record) == "holds: some.claim <= 0.1 (measured 0.050 [0.040, 0.060], n = 100)"
    assert record.text == "0.050 [0.040, 0.060], n = 100"
    (kept,) = read_records(tmp_path / "records")
    assert kept["verdict"] == "holds" and kept["context"] == {"seed": 3} and kept["versions"]["torch"]
    assert [p.name for p in (tmp_path / "records").iterdir()] == ["some.claim.json"]


def test_three_numbers_serve_as_an_estimate_which_brings_its_own_n():
    assert check("a", [0.3, 0.2, 0.5], n=9, bound="<= 1") == check("a", Estimate(0.3, 0.2, 0.5, 9), bound="<= 1")
    assert check("a", Estimate(0.3, 0.2, 0.5, 9), n=4, bound="<= 1").n == 4
    with pytest.raises(ValueError, match="n must be"):
        check("a", Estimate(0.3, 0.2, 0.5), bound="<= 1")
    for wrong in (0.3, [0.3, 0.2], [[0.3, 0.2, 0.5]], "abc"):
        with pytest.raises(ValueError, match="must be an Estimate"):
            check("a", wrong, n=9, bound="<= 1")


def test_a_claim_that_fails_raises_and_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("SCOREVID_CLAIMS", str(tmp_path))
    with pytest.raises(ClaimError, match=r"some.claim fails: measured 0.20 \[0.15, 0.25\].*<= 0.1"):
        check("some.claim", (0.2, 0.15, 0.25), n=100, bound="<= 0.1")
    assert json.loads((tmp_path / "some.claim.json").read_text())["verdict"] == "fails"


def test_too_few_data_leave_a_claim_undecided():
    assert check("some.claim", (0.2, 0.05, 0.35), n=3, bound="<= 0.1").verdict == "undecided"
    assert check("some.claim", (2.0, 0.5, 3.5), n=3, bound="in [0.9, 1.1]").verdict == "undecided"
    assert check("some.claim", (0.08, 0.05, 0.12), n=3, bound="<= 0.1").verdict == "undecided"  # its value alone does


def test_a_known_failure_is_recorded_with_its_reason():
    record = check("some.claim", (0.2, 0.15, 0.25), n=9, bound="<= 0.1", known_failure="too little training")
    assert record.verdict == "fails" and record.why == "too little training"


def test_a_known_failure_follows_the_same_rule():
    """Catches a verdict that depends on what was expected."""
    made = record("some.claim", (0.08, 0.05, 0.12), "<= 0.1", 9, known_failure="too little training")
    assert made.verdict == decide((0.08, 0.05, 0.12), "<= 0.1") == "undecided" and made.error is None
    assert record("some.claim", (0.08, 0.05, 0.09), "<= 0.1", 9, known_failure="so they say").error


def test_a_known_failure_that_holds_is_an_error():
    with pytest.raises(ClaimError, match="said to fail"):
        check("some.claim", (0.05, 0.04, 0.06), n=9, bound="<= 0.1", known_failure="too little training")


def test_a_cell_shows_each_record_as_a_line_that_nbval_can_compare():
    """Catches a badge without its verdict, and text of a bound that a page would take for HTML."""
    first, second = (record(f"claim.{k}", (0.05, 0.04, 0.06), "<= 0.1", 9) for k in "ab")
    shown = badges(first, second)
    assert repr(shown).splitlines() == [repr(first), repr(second)]
    html = shown._repr_html_()
    assert html.count("claim-badge") == html.count(">holds<") == 2 and "&lt;= 0.1 (measured 0.050 [" in html


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("SCOREVID_CLAIMS", raising=False)
    monkeypatch.chdir(tmp_path)
    check("some.claim", (1, 1, 1), n=1, bound=">= 1")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "interval", "n", "bound"),
    [
        (math.nan, (0, 1), 5, "<= 1"),
        (0.5, (0.6, 0.7), 5, "<= 1"),
        (0.5, (0.7, 0.3), 5, "<= 1"),
        (0.5, (0.0, math.inf), 5, "<= 1"),
        (0.5, (0.4, 0.6), 0, "<= 1"),
        (0.5, (0.4, 0.6), 5, "around 1"),
    ],
)
def test_figures_that_are_none_are_refused(value, interval, n, bound):
    with pytest.raises(ValueError):
        check("some.claim", (value, *interval), n=n, bound=bound)


@pytest.mark.parametrize(
    "change", [{"n": 2.5}, {"n": True}, {"n": math.nan}, {"known_failure": " "}, {"context": {"f": open}}]
)
def test_records_of_other_kinds_are_refused_whether_written_or_not(change, monkeypatch):
    monkeypatch.delenv("SCOREVID_CLAIMS", raising=False)
    with pytest.raises(ValueError, match=r"some\.claim"):
        check("some.claim", (0.5, 0.4, 0.6), **({"n": 5, "bound": "<= 1"} | change))


@pytest.mark.parametrize("id", ["../outside", "a/b", "", ".hidden", "Upper", None])
def test_an_id_cannot_lead_out_of_the_folder(id, tmp_path, monkeypatch):
    monkeypatch.setenv("SCOREVID_CLAIMS", str(tmp_path / "records"))
    with pytest.raises(ValueError, match="an id is"):
        check(id, (0.5, 0.4, 0.6), n=5, bound="<= 1")
    assert not list(tmp_path.rglob("*.json"))


def test_numbers_of_numpy_and_torch_are_recorded_as_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("SCOREVID_CLAIMS", str(tmp_path))
    context = {"seed": np.int64(3), "sigmas": torch.tensor([0.5, 1.0])}
    check("some.claim", (0.5, 0.4, 0.6), n=np.int64(5), bound="<= 1", context=context)
    (kept,) = read_records(tmp_path)
    assert kept["context"] == {"seed": 3, "sigmas": [0.5, 1.0]} and kept["n"] == 5


def test_a_narrow_miss_is_told_with_all_its_digits():
    with pytest.raises(ClaimError, match=r"0\.10004"):
        check("some.claim", (0.10004, 0.10003, 0.10005), n=1, bound="<= 0.1")


def test_the_ledger_is_complete():
    entries = yaml.safe_load((ROOT / "book" / "claims.yml").read_text())
    assert len({claim["id"] for claim in entries}) == len(entries)
    for claim in entries:
        keys = ["id", "source", "claim", "measured", "bound", "caveat", "chapter"]
        assert [key for key in claim if key != "kind"] == keys, claim["id"]
        assert claim.get("kind", "check") == "check", claim["id"]
        assert claim["source"] in ("abstract", "suggested by a summary", "beyond the paper"), claim["id"]
        assert all(isinstance(text, str) and text.strip() for text in claim.values()), claim["id"]
        assert Bound.parse(claim["bound"]), claim["id"]


def test_every_claim_of_a_notebook_is_in_the_ledger_with_its_bound_and_the_other_way_round():
    ledger = {claim["id"]: claim for claim in yaml.safe_load((ROOT / "book" / "claims.yml").read_text())}
    checked = {}
    notebooks = ROOT / "notebooks"
    for path in sorted([*notebooks.glob("*.ipynb"), *notebooks.glob("supplement/*.ipynb")]):
        for cell in nbformat.read(path, 4).cells:
            assert "from scorevid.companion.claims import" not in cell.source, (
                "write claims.check(...), which this test finds"
            )
            if cell.cell_type == "code" and "claims.check(" in cell.source:
                for claim, bound in _checks(cell.source):
                    assert claim not in checked, f"{claim} is decided twice"
                    checked[claim] = (bound, path.relative_to(notebooks).with_suffix("").as_posix())
    assert checked.keys() == ledger.keys()
    for claim, (bound, chapter) in checked.items():
        assert (bound, chapter) == (ledger[claim]["bound"], ledger[claim]["chapter"]), claim


def _checks(source):
    """(id, bound) of every call of claims.check in a cell."""
    import ast

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "claims.check":
            (bound,) = (k.value.value for k in node.keywords if k.arg == "bound")
            yield node.args[0].value, bound


def test_a_sweep_collects_claims_that_come_out_otherwise_than_stated(tmp_path, monkeypatch):
    monkeypatch.setenv("SCOREVID_CLAIMS", str(tmp_path))
    monkeypatch.setenv("SCOREVID_CLAIMS_COLLECT", "1")
    assert "fails: measured" in check("a.fails", (3, 2, 4), n=5, bound="<= 1").error
    assert "but holds" in check("a.holds", (0.5, 0.4, 0.6), n=5, bound="<= 1", known_failure="they say").error
    assert check("a.stated", (0.5, 0.4, 0.6), n=5, bound="<= 1").error is None
    assert [bool(record["error"]) for record in read_records(tmp_path)] == [True, True, False]
    monkeypatch.setenv("SCOREVID_CLAIMS_COLLECT", "0")
    with pytest.raises(ClaimError):
        check("a.fails", (3, 2, 4), n=5, bound="<= 1")
