"""Claims in the book: the ledger as a table, and measured figures in prose, both from the records of this very build.

``{claims}`` is the table of all claims in the ledger. In prose, ``{claim}`id` `` is the measured figure with its interval,
``{claim-value}`id` `` the figure alone, ``{claim-verdict}`id` `` the verdict, and ``{claim-count}`holds` `` how many claims
came out so (holds, fails, undecided, unmeasured, all; "by value" are those that hold with an interval that reaches past
the bound). ``{claim-tally}`fails` `` is the same count with its verb, for the middle of a sentence: "5 fail", "one
fails", "none fails". Not for headings, which are copied before anything is measured.

Records are the JSON files that ``scorevid.companion.claims.check`` writes into the folder named by SCOREVID_CLAIMS, an absolute
path, while the notebooks run. Pages are read in any order, so all of this is filled in last, when pages are written and
every notebook has run. With the folder named, a claim without record is a warning; without it, it is merely not measured.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from scorevid.companion.claims import Bound

FOLDER_VARIABLE = "SCOREVID_CLAIMS"
VERDICTS = ("holds", "fails", "undecided")
UNMEASURED = "not measured in this build"
TALLIES = {  # what one of them does, and what several do
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "undecided": ("is undecided", "are undecided"),
    "unmeasured": (f"is {UNMEASURED}", f"are {UNMEASURED}"),
    "holds in part": ("holds in part", "hold in part"),
    "not tested": ("was not tested", "were not tested"),
    "by value": ("does so by its value only", "do so by their value only"),
}

logger = logging.getLogger(__name__)


class ClaimsTable(nodes.General, nodes.Element):
    """Stands where the table of claims will be."""


class ClaimText(nodes.Inline, nodes.TextElement):
    """Stands where a figure, a verdict or a count will be."""


class ClaimsDirective(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(ledger_path(self.env.app)))
        place = ClaimsTable()
        self.set_source_info(place)
        return [place]


class ClaimRole(SphinxRole):
    place = ClaimText

    def __init__(self, shows: str) -> None:
        super().__init__()
        self.shows = shows

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        place = self.place(self.rawtext, about=self.text.strip(), shows=self.shows)
        self.set_source_info(place)
        return [place], []


def measured(record: dict) -> str:
    """Value and interval, "0.12 [0.08, 0.16]": one or two digits of the half-width, and two of the value.

    The value stands alone where it has no interval.
    """
    value, low, high = (float(record[key]) for key in ("value", "low", "high"))
    if not high > low:
        return number(value)
    decimals = -math.floor(math.log10((high - low) / 6))
    if abs(value) > (high - low) / 10:  # two digits of the value at least, unless it drowns in its interval
        decimals = max(decimals, 1 - math.floor(math.log10(abs(value))))
    if decimals > 5:
        return f"{number(value)} [{number(low)}, {number(high)}]"
    value, low, high = (f"{round(v, decimals) + 0.0:,.{max(decimals, 0)}f}" for v in (value, low, high))
    return f"{value} [{low}, {high}]".replace("-", "−")


def number(value: float) -> str:
    """Two significant digits: "0.12", "−3.0", "1,300", "2.3 × 10⁻⁷"."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.1e}"))))
    if exponent < -3 or exponent > 5:
        mantissa = value / 10.0**exponent
        return f"{mantissa:.1f} × 10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}".replace(
            "-", "−"
        )
    return f"{round(value, 1 - exponent):,.{max(1 - exponent, 0)}f}".replace("-", "−")


def tally(count: int, about: str) -> str:
    """The count with its verb: "none fails", "one fails", "5 fail"."""
    one, several = TALLIES[about]
    return f"{count:,} {several}" if count > 1 else f"{('none', 'one')[count]} {one}"


def ledger_path(app: Sphinx) -> Path:
    return Path(app.srcdir) / app.config.scorevid_claims_file


def read_ledger(app: Sphinx) -> dict[str, dict]:
    """The claims by id, in their order."""
    return {claim["id"]: claim for claim in yaml.safe_load(ledger_path(app).read_text(encoding="utf-8"))}


def read_records() -> dict[str, dict] | None:
    """The records by id; None if no folder is named."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("*.json"))]
    return {record["id"]: record for record in records}


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put tables and figures in their places."""
    tables, texts = list(doctree.findall(ClaimsTable)), list(doctree.findall(ClaimText))
    if not tables and not texts:
        return
    ledger, records = read_ledger(app), read_records()
    for place in tables:
        check_records(ledger, records, place)
        place.replace_self(table(app, docname, ledger, records or {}))
    for place in texts:
        place.replace_self(text(place, ledger, records))


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


def text(place: ClaimText, ledger: dict, records: dict | None) -> nodes.Node:
    """What a role shows."""
    about, shows = place["about"], place["shows"]
    if shows in ("count", "tally"):
        verdicts = [(records or {}).get(id, {}).get("verdict", "unmeasured") for id in ledger]
        verdicts += ["by value"] * sum(map(by_value, (records or {}).values()))
        if about in TALLIES:
            count = verdicts.count(about)
            return nodes.Text(tally(count, about) if shows == "tally" else str(count))
        if about != "all" or shows == "tally":
            rest = "or unmeasured" if shows == "tally" else "unmeasured or all"
            warn(f"claims can be counted that are {', '.join(VERDICTS)}, {rest}, not {about!r}", place)
        return nodes.Text(str(len(ledger)))
    if about not in ledger:
        warn(f"there is no claim {about!r} in the ledger of claims", place)
    record = (records or {}).get(about)
    if record is None:
        if records is not None and about in ledger:
            warn(f"the claim {about} has no record in the folder that {FOLDER_VARIABLE} names", place)
        return nodes.Text(UNMEASURED)
    if shows == "verdict":
        return nodes.Text(record["verdict"])
    return nodes.Text(number(record["value"]) if shows == "value" else measured(record))


def table(app: Sphinx, docname: str, ledger: dict, records: dict) -> nodes.table:
    """All claims, one a row."""
    head = ("Claim", "Bound", "Measured", "Verdict")
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in (50, 10, 20, 20)), cols=len(head))
    group += nodes.thead("", nodes.row("", *(nodes.entry("", nodes.paragraph("", title)) for title in head)))
    group += nodes.tbody("", *(row(app, docname, claim, records.get(id)) for id, claim in ledger.items()))
    return nodes.table("", group, classes=["claims"])


def row(app: Sphinx, docname: str, claim: dict, record: dict | None) -> nodes.row:
    sentence = nodes.entry("", nodes.paragraph("", claim["claim"]), classes=["claim-sentence"])
    details = " ".join(claim[key] for key in ("measured", "caveat") if claim.get(key))
    sentence += nodes.paragraph("", details, classes=["claim-details"])
    source = nodes.Text(f" · {claim['source']}" if claim.get("source") else "")
    sentence += nodes.paragraph("", "", link(app, docname, claim), source, classes=["claim-details"])
    bound = nodes.entry("", nodes.paragraph("", readable(claim["bound"])), classes=["claim-bound"])
    if record is None:
        figure = nodes.entry("", nodes.paragraph("", UNMEASURED), classes=["claim-measured"])
        return nodes.row("", sentence, bound, figure, nodes.entry("", classes=["claim-outcome"]))
    figure = nodes.entry("", nodes.paragraph("", measured(record)), classes=["claim-measured"])
    figure += nodes.paragraph("", f"n = {record['n']:,}", classes=["claim-details"])
    verdict = nodes.inline("", record["verdict"], classes=["claim-verdict", f"claim-{record['verdict']}"])
    outcome = nodes.entry("", nodes.paragraph("", "", verdict), classes=["claim-outcome"])
    if by_value(record):
        outcome += nodes.paragraph("", "by its value; the interval reaches past the bound", classes=["claim-details"])
    if record.get("why"):  # the reason was given with the claim's failure, which the data may not bear out
        known = "known to fail" if record["verdict"] == "fails" else "was expected to fail"
        outcome += nodes.paragraph("", f"{known}: {record['why']}", classes=["claim-details"])
    return nodes.row("", sentence, bound, figure, outcome)


def by_value(record: dict) -> bool:
    """Whether a claim holds by its value, while its interval reaches past the bound."""
    bound = Bound.parse(record["bound"])
    return record["verdict"] == "holds" and not (record["low"] in bound and record["high"] in bound)


def link(app: Sphinx, docname: str, claim: dict) -> nodes.Node:
    """The id, linked to the chapter that decides the claim."""
    name = nodes.literal("", claim["id"])
    chapter = f"{app.config.scorevid_claims_chapters}/{claim['chapter']}"
    if chapter not in app.env.found_docs:
        warn(f"the claim {claim['id']} is decided by {chapter}, which is no page of the book", docname)
        return name
    uri = app.builder.get_relative_uri(docname, chapter)
    return nodes.reference("", "", name, internal=True, refuri=uri)


def readable(bound: str) -> str:
    return bound.replace("<=", "≤").replace(">=", "≥").replace("-", "−")


def warn(message: str, location) -> None:
    logger.warning(message, location=location, type="scorevid", subtype="claims")


def setup(app: Sphinx) -> dict:
    app.add_config_value("scorevid_claims_file", "book/claims.yml", "env")
    app.add_config_value("scorevid_claims_chapters", "notebooks", "env")
    app.add_node(ClaimsTable)
    app.add_node(ClaimText)
    app.add_directive("claims", ClaimsDirective)
    for name, shows in {"claim": "measured", "claim-value": "value", "claim-verdict": "verdict"}.items():
        app.add_role(name, ClaimRole(shows))
    app.add_role("claim-count", ClaimRole("count"))
    app.add_role("claim-tally", ClaimRole("tally"))
    app.connect("doctree-resolved", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
