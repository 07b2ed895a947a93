"""The table of claims and the figures in prose, in a book of two pages."""

import io
import json
import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("sphinx")
from scorevid_book.prose import tally

BOOK = Path(__file__).parents[2] / "book"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")

LEDGER = [
    {
        "id": "a.b-1",
        "source": "abstract",
        "claim": "It holds.",
        "measured": "Ratio.",
        "bound": ">= 0.1",
        "chapter": "one",
    },
    {
        "id": "c",
        "claim": "It fails.",
        "measured": "Share.",
        "caveat": "Small.",
        "bound": "in [0.9, 1.1]",
        "chapter": "one",
    },
]
RECORDS = [
    {
        "id": "a.b-1",
        "value": 0.1234,
        "low": 0.1012,
        "high": 0.1456,
        "n": 1200,
        "bound": ">= 0.1",
        "verdict": "holds",
        "why": None,
    },
    {
        "id": "c",
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "n": 30,
        "bound": "in [0.9, 1.1]",
        "verdict": "fails",
        "why": "Too few.",
    },
]
INDEX = """
Book
====

Measured :claim:`a.b-1`, or :claim-value:`a.b-1`; it :claim-verdict:`c`. Of :claim-count:`all`, :claim-count:`holds`.

.. claims::

.. toctree::

   notebooks/one
"""


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Build the little book; gives its front page as text and HTML, and the warnings."""

    from docutils.parsers.rst import roles
    from sphinx.testing.util import SphinxTestApp

    def build(records=RECORDS, index=INDEX, named=True, statements=()):
        source = tmp_path / "source"
        (source / "notebooks").mkdir(parents=True, exist_ok=True)
        files = "scorevid_claims_file = 'claims.yml'\nscorevid_statements_file = 'paper.yml'\n"
        (source / "conf.py").write_text(f"extensions = ['scorevid_book']\n{files}")
        (source / "paper.yml").write_text(yaml.safe_dump(list(statements)))
        (source / "claims.yml").write_text(yaml.safe_dump(LEDGER))
        (source / "index.rst").write_text(index)
        (source / "notebooks" / "one.rst").write_text("One\n===\n")
        folder = tmp_path / "records"
        folder.mkdir(exist_ok=True)
        for record in records:
            (folder / f"{record['id']}.json").write_text(json.dumps(record))
        if named:
            monkeypatch.setenv("SCOREVID_CLAIMS", str(folder))
        else:
            monkeypatch.delenv("SCOREVID_CLAIMS", raising=False)
        monkeypatch.setattr(roles, "_roles", dict(roles._roles))
        warnings = io.StringIO()
        app = SphinxTestApp("html", srcdir=source, warning=warnings, confoverrides={"nitpicky": True})
        app.build()
        page = (Path(app.outdir) / "index.html").read_text(encoding="utf-8")
        app.cleanup()
        return page, warnings.getvalue()

    return build


def test_claims_and_figures_are_shown(build):
    page, warnings = build()
    assert warnings == ""
    assert "Measured 0.123 [0.101, 0.146], or 0.12; it fails. Of 2, 1." in page
    assert 'href="notebooks/one.html"><code' in page
    for text in ("It holds.", "It fails.", "Small.", "≥ 0.1", "n = 1,200", "Too few.", "claim-holds", "claim-fails"):
        assert text in page
    assert "not measured" not in page and "reaches past the bound" not in page


def test_a_reason_to_fail_is_given_only_for_a_failure(build):
    records = [{**RECORDS[0], "verdict": "undecided", "why": "Too small."}, RECORDS[1]]
    page, warnings = build(records)
    assert warnings == ""
    assert "Too small." not in page and "known to fail: Too few." in page


def test_a_check_is_shown_and_not_counted(build, monkeypatch):
    """Catches a setting or a self-test that is counted as a finding."""
    monkeypatch.setitem(LEDGER[1], "kind", "check")
    page, warnings = build(index=f"{INDEX}\nBeside them :claim-tally:`check`.\n")
    assert warnings == "" and "Of 1, 1." in page and "Beside them one is a check." in page
    assert "a check, not counted" in page


STATEMENTS = [
    {"id": "both", "kind": "abstract", "says": "All of it.", "claims": ["a.b-1", "c"], "scope": "Our reading."},
    {"id": "one", "kind": "mechanism", "says": "The first.", "claims": ["a.b-1"]},
    {"id": "other", "kind": "limit", "says": "The second.", "claims": ["c"]},
    {"id": "turned", "kind": "trade-off", "says": "Not the second.", "claims": ["c"], "against": ["c"]},
    {"id": "none", "kind": "abstract", "says": "Something else.", "untested": "Nobody looked."},
]
TOLD = ", ".join(f":paper-verdict:`{statement['id']}`" for statement in STATEMENTS)
COUNTED = "in part :paper-count:`holds in part`, :paper-tally:`not tested`, in all :paper-count:`all`"
PAPER = f"{INDEX}\n{TOLD}; {COUNTED}.\n\n.. paper-statements::\n"


def test_statements_of_the_paper_follow_from_their_claims(build):
    page, warnings = build(index=PAPER, statements=STATEMENTS)
    assert warnings == ""
    assert "holds in part, holds, fails, holds, not tested; in part 1, one was not tested, in all 5." in page
    for text in ("All of it.", "Our reading.", "Nobody looked.", "which speaks for it", "claim-holds-in-part"):
        assert text in page


def test_statements_of_some_kinds_only(build):
    index = f"{INDEX}\n.. paper-statements:: limit, trade-off\n"
    page, warnings = build(index=index, statements=STATEMENTS)
    assert warnings == "" and "Not the second." in page and "Nobody looked." not in page


def test_statements_at_a_glance(build):
    index = f"{INDEX}\n.. paper-statements:: limit\n   :brief:\n"
    page, warnings = build(index=index, statements=STATEMENTS)
    assert warnings == "" and "The second." in page and "claim-fails" in page and "statement-claims" not in page


def test_what_was_measured_is_left_for_machines(build, tmp_path):
    build(index=PAPER, statements=STATEMENTS)
    claims, statements = (
        json.loads((tmp_path / "source" / "_build" / f).read_text()) for f in ("claims.json", "statements.json")
    )
    assert [claim["id"] for claim in claims] == ["a.b-1", "c"]
    assert all({"value", "low", "high", "n", "bound", "verdict", "claim", "chapter"} <= set(claim) for claim in claims)
    assert [s["verdict"] for s in statements] == ["holds in part", "holds", "fails", "holds", "not tested"]


def test_statements_are_not_decided_without_records(build, tmp_path):
    page, warnings = build(index=PAPER, statements=STATEMENTS, named=False)
    assert warnings == "" and "not tested; in part 0, one was not tested" in page
    assert not list((tmp_path / "source" / "_build").glob("*.json"))


def test_every_claim_from_the_abstract_decides_a_statement():
    statements = yaml.safe_load((BOOK / "paper.yml").read_text())
    ledger = yaml.safe_load((BOOK / "claims.yml").read_text())
    deciding = {id for statement in statements for id in statement.get("claims", [])}
    assert deciding <= {claim["id"] for claim in ledger}
    named = deciding | {
        id for s in statements for id in re.findall(r"[a-z]+\.[a-z0-9.-]*[a-z0-9]", s.get("untested", ""))
    }
    assert {claim["id"] for claim in ledger if claim["source"] == "abstract"} <= named
    assert {statement["kind"] for statement in statements} == {
        "abstract",
        "mechanism",
        "break condition",
        "trade-off",
        "limit",
    }
    assert len({statement["id"] for statement in statements}) == len(statements)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"claims": ["nobody"]}, "names nobody"),
        ({"claims": []}, "either claims or a reason"),
        ({"untested": "Both."}, "either claims or a reason"),
        ({"against": ["a.b-1"]}, "names a.b-1"),
        ({"kind": "rumour"}, "not 'rumour'"),
    ],
)
def test_statements_that_nothing_can_decide_are_refused(build, change, message):
    with pytest.raises(Exception, match=message):
        build(index=PAPER, statements=[{**STATEMENTS[2], **change}])


@pytest.mark.parametrize(
    "outcomes, verdict", [(("undecided", "fails"), "undecided"), (("undecided", "holds"), "holds in part")]
)
def test_verdicts_of_statements(build, outcomes, verdict):
    records = [{**r, "verdict": v, "why": None} for r, v in zip(RECORDS, outcomes, strict=True)]
    statements = [STATEMENTS[0]]
    index = f"{INDEX}\nIt :paper-verdict:`both`.\n"
    assert f"It {verdict}." in build(records, index, statements=statements)[0]


def test_what_does_not_fit_the_statements_is_a_warning(build):
    for role, message in (
        (":paper-verdict:`nobody`", "no statement 'nobody'"),
        (":paper-count:`maybe`", "not 'maybe'"),
    ):
        index = f"{INDEX}\n{role}\n"
        assert message in build(index=index, statements=STATEMENTS)[1]


def test_counts_agree_with_their_verbs(build):
    tallies = ", ".join(f":claim-tally:`{v}`" for v in ("holds", "fails", "undecided", "unmeasured"))
    page, warnings = build(index=f"{INDEX}\n{tallies}.\n")
    assert warnings == ""
    assert "one holds, one fails, none is undecided, none is not measured in this build." in page


@pytest.mark.parametrize(
    "count, about, text",
    [
        (0, "fails", "none fails"),
        (1, "undecided", "one is undecided"),
        (2, "undecided", "2 are undecided"),
        (1300, "holds", "1,300 hold"),
    ],
)
def test_tallies(count, about, text):
    assert tally(count, about) == text


def test_the_table_of_run_times_is_put_into_words(build):
    heads = ("Document", "Modified", "Method", "Run Time (s)", "Status")
    rows = (heads, ("one", "today", "force", "3", "✅"), ("two", "today", "force", "4", "❌"))
    table = "\n".join(f"   {'-' if k else '* -'} {text}" for row in rows for k, text in enumerate(row))
    table = table.replace("   - ", "     - ")
    index = INDEX + f"\nA ✅ stays.\n\n.. list-table::\n   :header-rows: 1\n\n{table}\n"
    page, warnings = build(index=index)
    assert warnings == ""
    assert "A ✅ stays." in page
    for text in ("completed", "failed", "Chapter", "Run at", "Seconds"):
        assert f"<p>{text}</p>" in page
    assert "force" not in page and "Method" not in page


def test_a_claim_without_record_is_a_warning_where_records_are_due(build):
    page, warnings = build(records=RECORDS[:1])
    assert "the claim c has no record" in warnings
    assert "not measured in this build" in page


def test_without_a_folder_nothing_is_measured_and_nobody_warned(build):
    page, warnings = build(named=False)
    assert warnings == ""
    assert "Measured not measured in this build" in page


@pytest.mark.parametrize(
    "records, index, message",
    [
        ([*RECORDS, {**RECORDS[0], "id": "d"}], INDEX, "a record of d, which is not in the ledger"),
        ([{**RECORDS[0], "bound": ">= 0.05"}, RECORDS[1]], INDEX, "was decided by '>= 0.05', the ledger says '>= 0.1'"),
        (RECORDS, INDEX + "\n:claim:`nobody`\n", "there is no claim 'nobody'"),
        (RECORDS, INDEX + "\n:claim-count:`maybe`\n", "not 'maybe'"),
        (RECORDS, INDEX + "\n:claim-tally:`all`\n", "not 'all'"),
    ],
)
def test_what_does_not_fit_is_a_warning(build, records, index, message):
    assert message in build(records, index)[1]
