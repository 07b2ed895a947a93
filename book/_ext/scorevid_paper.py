"""What the paper says and what became of it, worked out from the verdicts of the claims that decide each statement.

``{paper-statements}`` is the table of all statements of ``book/paper.yml``; with the name of a kind or more ("abstract",
"mechanism, break condition") the table of those, and with ``:brief:`` without what decides them. In prose
``{paper-verdict}`id` `` is the verdict of one statement, ``{paper-count}`holds in part` `` how many came out so, and
``{paper-tally}`holds in part` `` the same with its verb. A
statement *holds* where all of its claims speak for it, *fails* where all speak against it, *holds in part* where some
speak for it, and is *undecided* else; where no claim decides it, it is *not tested*, and the reason is given.

Like the claims, all of this is filled in when pages are written. ``_build/claims.json`` and ``_build/statements.json``,
for machines, are left by the build as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from scorevid_claims import UNMEASURED, ClaimRole, link, read_ledger, read_records, tally, warn

KINDS = ("abstract", "mechanism", "break condition", "trade-off", "limit")
VERDICTS = ("holds", "holds in part", "fails", "undecided", "not tested")


class StatementsTable(nodes.General, nodes.Element):
    """Stands where a table of statements will be."""


class StatementsDirective(SphinxDirective):
    has_content = False
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"brief": directives.flag}

    def run(self) -> list[nodes.Node]:
        kinds = [kind.strip() for kind in self.arguments[0].split(",")] if self.arguments else list(KINDS)
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise self.error(f"kinds of statements are {', '.join(KINDS)}, not {', '.join(unknown)}")
        for path in (statements_path(self.env.app), Path(self.env.app.srcdir) / self.config.scorevid_claims_file):
            self.env.note_dependency(str(path))
        place = StatementsTable(kinds=kinds, brief="brief" in self.options)
        self.set_source_info(place)
        return [place]


class StatementText(nodes.Inline, nodes.TextElement):
    """Stands where a verdict or a count will be."""


class StatementRole(ClaimRole):
    place = StatementText


def statements_path(app: Sphinx) -> Path:
    return Path(app.srcdir) / app.config.scorevid_statements_file


def read_statements(app: Sphinx) -> list[dict]:
    """All statements, in their order. Raises ValueError for one that nothing decides and that does not say why."""
    statements = yaml.safe_load(statements_path(app).read_text(encoding="utf-8"))
    ledger = read_ledger(app)
    for statement in statements:
        claims, against = statement.get("claims", []), statement.get("against", [])
        if bool(claims) == bool(statement.get("untested")):
            raise ValueError(f"the statement {statement['id']} needs either claims or a reason why it is untested")
        if statement["kind"] not in KINDS:
            raise ValueError(f"the statement {statement['id']} is of one of {KINDS}, not {statement['kind']!r}")
        if strange := [id for id in claims if id not in ledger] + [id for id in against if id not in claims]:
            raise ValueError(f"the statement {statement['id']} names {', '.join(strange)}, not among its claims")
    return statements


def verdict(statement: dict, records: dict[str, dict]) -> str:
    """What the verdicts of its claims make of a statement."""
    if not statement.get("claims"):
        return "not tested"
    outcomes = [records[id]["verdict"] if id in records else UNMEASURED for id in statement["claims"]]
    if UNMEASURED in outcomes:
        return UNMEASURED
    turned = {"holds": "fails", "fails": "holds"}
    against = statement.get("against", [])
    outcomes = [turned.get(o, o) if id in against else o for id, o in zip(statement["claims"], outcomes, strict=True)]
    if len(set(outcomes)) == 1:
        return outcomes[0]
    return "holds in part" if "holds" in outcomes else "undecided"


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put tables and verdicts in their places."""
    tables, texts = list(doctree.findall(StatementsTable)), list(doctree.findall(StatementText))
    if not tables and not texts:
        return
    statements, ledger, records = read_statements(app), read_ledger(app), read_records() or {}
    found = {statement["id"]: verdict(statement, records) for statement in statements}
    for place in tables:
        chosen = [statement for statement in statements if statement["kind"] in place["kinds"]]
        place.replace_self(
            brief(chosen, found) if place["brief"] else table(app, docname, chosen, found, ledger, records)
        )
    for place in texts:
        place.replace_self(nodes.Text(text(place, found)))


def text(place: StatementText, found: dict[str, str]) -> str:
    about = place["about"]
    if place["shows"] in ("count", "tally"):
        if place["shows"] == "tally" and about in VERDICTS:
            return tally(list(found.values()).count(about), about)
        if about not in (*VERDICTS, "all"):
            warn(f"statements can be counted that are {', '.join(VERDICTS)} or all, not {about!r}", place)
        return str(len(found) if about == "all" else list(found.values()).count(about))
    if about not in found:
        warn(f"there is no statement {about!r} of the paper", place)
    return found.get(about, UNMEASURED)


def brief(statements: list[dict], found: dict[str, str]) -> nodes.table:
    """Statements with their verdicts and nothing else, one a row."""
    rows = []
    for statement in statements:
        says = nodes.entry("", nodes.paragraph("", statement["says"]))
        rows.append(nodes.row("", says, nodes.entry("", nodes.paragraph("", "", sign(found[statement["id"]])))))
    return frame(("What the paper says", "Found here"), (80, 20), rows)


def table(app: Sphinx, docname: str, statements: list[dict], found: dict, ledger: dict, records: dict) -> nodes.table:
    """Statements, one a row: what is said, which claims decide it and how they came out, the verdict."""
    rows = []
    for statement in statements:
        says = nodes.entry("", nodes.paragraph("", statement["says"]), classes=["claim-sentence"])
        details = statement.get("untested") or statement.get("scope") or ""
        kind = statement["kind"].capitalize() + (", a statement of ours" if statement.get("ours") else "")
        says += nodes.paragraph("", f"{kind}. {details}", classes=["claim-details"])
        deciding = nodes.entry(classes=["statement-claims"])
        for id in statement.get("claims", []):
            outcome = records.get(id, {}).get("verdict", UNMEASURED)
            told = f" {outcome}" + (", which speaks against it" if id in statement.get("against", []) else "")
            deciding += nodes.paragraph("", "", link(app, docname, ledger[id]), nodes.Text(told))
        if not statement.get("claims"):
            deciding += nodes.paragraph("", "nothing")
        outcome = nodes.entry("", nodes.paragraph("", "", sign(found[statement["id"]])), classes=["claim-outcome"])
        rows.append(nodes.row("", says, deciding, outcome))
    return frame(("What the paper says", "Decided by", "Verdict"), (50, 35, 15), rows)


def sign(outcome: str) -> nodes.inline:
    return nodes.inline("", outcome, classes=["claim-verdict", f"claim-{outcome.replace(' ', '-')}"])


def frame(head: tuple[str, ...], widths: tuple[int, ...], rows: list[nodes.row]) -> nodes.table:
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in widths), cols=len(head))
    group += nodes.thead("", nodes.row("", *(nodes.entry("", nodes.paragraph("", title)) for title in head)))
    group += nodes.tbody("", *rows)
    return nodes.table("", group, classes=["statements"])


def leave(app: Sphinx, problem: Exception | None) -> None:
    """Write what was measured and what became of the statements, for machines, beside the pages."""
    records = read_records()
    if problem or records is None:
        return
    ledger, folder = read_ledger(app), Path(app.outdir).parent
    measured = [
        {**records[id], **{key: claim.get(key) for key in ("source", "claim", "chapter")}}
        for id, claim in ledger.items()
        if id in records
    ]
    became = [{**statement, "verdict": verdict(statement, records)} for statement in read_statements(app)]
    for name, content in (("claims", measured), ("statements", became)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict:
    app.setup_extension("scorevid_claims")
    app.add_config_value("scorevid_statements_file", "book/paper.yml", "env")
    app.add_node(StatementsTable)
    app.add_node(StatementText)
    app.add_directive("paper-statements", StatementsDirective)
    app.add_role("paper-verdict", StatementRole("verdict"))
    app.add_role("paper-count", StatementRole("count"))
    app.add_role("paper-tally", StatementRole("tally"))
    app.connect("doctree-resolved", resolve)
    app.connect("build-finished", leave)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
