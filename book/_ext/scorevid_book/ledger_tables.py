"""``{claims}``, the ledger of claims as a table, and ``{paper-statements}``, what the paper says and what became of it.

With the name of a kind or more ("abstract", "mechanism, break condition") the latter shows the statements of those, and
with ``:brief:`` it shows only those that were tested, and leaves out what decides them. Like figures in prose, tables are
filled in when pages are written.
"""

from __future__ import annotations

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from scorevid.companion.records import FOLDER_VARIABLE
from scorevid.estimates import format_interval

from .records import KINDS, UNMEASURED, files, read_ledger, read_records, read_statements, verdict, warn
from .tables import cell, paragraph, table


class LedgerTable(nodes.General, nodes.Element):
    """Stands where a table will be; with ``kinds`` one of statements, else that of the claims."""


class ClaimsDirective(SphinxDirective):
    def place(self, **settings) -> list[nodes.Node]:
        for path in files(self.env.app):
            self.env.note_dependency(str(path))
        place = LedgerTable(**settings)
        self.set_source_info(place)
        return [place]

    def run(self) -> list[nodes.Node]:
        return self.place()


class StatementsDirective(ClaimsDirective):
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"brief": directives.flag}

    def run(self) -> list[nodes.Node]:
        kinds = [kind.strip() for kind in self.arguments[0].split(",")] if self.arguments else list(KINDS)
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise self.error(f"kinds of statements are {', '.join(KINDS)}, not {', '.join(unknown)}")
        return self.place(kinds=kinds, brief="brief" in self.options)


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put tables in their places."""
    for place in list(doctree.findall(LedgerTable)):
        ledger, records = read_ledger(app), read_records()
        if "kinds" in place:
            chosen = [statement for statement in read_statements(app) if statement["kind"] in place["kinds"]]
            tell = glance if place["brief"] else statements
            place.replace_self(tell(app, docname, chosen, ledger, records or {}))
        else:
            check_records(ledger, records, place)
            rows = [claim_row(app, docname, claim, (records or {}).get(id)) for id, claim in ledger.items()]
            shown = table(("Claim", "Bound", "Measured", "Verdict"), rows, (50, 10, 20, 20), name="claims")
            for id, row in zip(ledger, shown.next_node(nodes.tbody).children, strict=True):
                row["ids"].append(f"claim-{id}")  # where badges lead
            place.replace_self(shown)


def check_records(ledger: dict, records: dict | None, place: nodes.Node) -> None:
    """Warn of claims without records, of records without claims, and of bounds that changed between the two."""
    if records is None:
        return
    for id, claim in ledger.items():
        if id not in records:
            warn(f"the claim {id} has no record in the folder that {FOLDER_VARIABLE} names", place)
        elif records[id]["bound"].strip() != claim["bound"].strip():
            warn(f"the claim {id} was decided by {records[id]['bound']!r}, the ledger says {claim['bound']!r}", place)
    for id in sorted(set(records) - set(ledger)):
        warn(f"there is a record of {id}, which is not in the ledger of claims", place)


def claim_row(app: Sphinx, docname: str, claim: dict, record: dict | None) -> list[nodes.entry]:
    sentence = cell(claim["claim"], name="claim-sentence")
    sentence += details(" ".join(claim[key] for key in ("measured", "caveat") if claim.get(key)))
    sentence += details(link(app, docname, claim), f" · {claim['source']}" if claim.get("source") else "")
    bound = claim["bound"].replace("<=", "≤").replace(">=", "≥").replace("-", "−")
    bound = cell(bound, name="claim-bound")
    if record is None:
        return [sentence, bound, cell(UNMEASURED, name="claim-measured"), nodes.entry("", classes=["claim-outcome"])]
    measured = cell(format_interval(*(record[key] for key in ("value", "low", "high"))), name="claim-measured")
    measured += details(f"n = {record['n']:,}")
    outcome = cell(sign(record["verdict"]), name="claim-outcome")
    if claim.get("kind") == "check":
        outcome += details("a check, not counted")
    if record.get("why") and record["verdict"] == "fails":  # the reason is given with the check, before it is decided
        outcome += details(f"known to fail: {record['why']}")
    return [sentence, bound, measured, outcome]


def glance(app: Sphinx, docname: str, chosen: list[dict], ledger: dict, records: dict) -> nodes.table:
    """Statements that were tested, with their verdicts and nothing else, one a row."""
    tested = [statement for statement in chosen if statement.get("claims")]
    rows = [[statement["says"], cell(sign(verdict(statement, records)))] for statement in tested]
    return table(("The abstract, in our words", "Found here"), rows, (80, 20), name="statements")


def statements(app: Sphinx, docname: str, chosen: list[dict], ledger: dict, records: dict) -> nodes.table:
    """Statements, one a row: what is said, which claims decide it and how they came out, the verdict."""
    rows = []
    for statement in chosen:
        says = cell(statement["says"], name="claim-sentence")
        ours = "" if statement["kind"] == "abstract" else ". Ours, suggested by a summary of the paper"
        kind = statement["kind"].capitalize() + ours
        says += details(f"{kind}. {statement.get('untested') or statement.get('scope') or ''}")
        deciding = nodes.entry(classes=["statement-claims"])
        for id in statement.get("claims", []):
            became = records.get(id, {}).get("verdict", UNMEASURED)
            speaks = id in statement.get("against", []) and became in ("holds", "fails")
            against = {"holds": ", which speaks against it", "fails": ", which speaks for it"}[became] if speaks else ""
            deciding += paragraph(link(app, docname, ledger[id]), f" {became}{against}")
        if not statement.get("claims"):
            deciding += paragraph("nothing")
        rows.append([says, deciding, cell(sign(verdict(statement, records)), name="claim-outcome")])
    return table(("Statement", "Decided by", "Verdict"), rows, (50, 35, 15), name="statements")


def details(*parts: str | nodes.Node) -> nodes.paragraph:
    return paragraph(*parts, name="claim-details")


def sign(outcome: str) -> nodes.inline:
    return nodes.inline("", outcome, classes=["claim-verdict", f"claim-{outcome.replace(' ', '-')}"])


def link(app: Sphinx, docname: str, claim: dict) -> nodes.Node:
    """The id, linked to the chapter that decides the claim."""
    name, chapter = nodes.literal("", claim["id"]), f"{app.config.scorevid_claims_chapters}/{claim['chapter']}"
    if chapter not in app.env.found_docs:
        warn(f"the claim {claim['id']} is decided by {chapter}, which is no page of the book", docname)
        return name
    return nodes.reference("", "", name, internal=True, refuri=app.builder.get_relative_uri(docname, chapter))


def connect(app: Sphinx) -> None:
    app.add_config_value("scorevid_claims_chapters", "notebooks", "env")
    app.add_node(LedgerTable)
    app.add_directive("claims", ClaimsDirective)
    app.add_directive("paper-statements", StatementsDirective)
    app.connect("doctree-resolved", resolve)
