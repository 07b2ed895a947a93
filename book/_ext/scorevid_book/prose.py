"""Measured figures and verdicts in prose, filled in when pages are written and every notebook has run.

``{claim}`id` `` is the measured figure with its interval, ``{claim-value}`id` `` the figure alone, ``{claim-verdict}`id` ``
the verdict. ``{claim-count}`holds` `` is how many claims came out so: holds, fails, undecided, unmeasured, all;
checks are left out, and ``{claim-count}`check` `` is how many there are. ``{claim-tally}`fails` `` is the same with its verb,
for the middle of a sentence: "5 fail", "one fails", "none fails". ``{paper-verdict}`id` ``, ``{paper-count}`holds in part` ``
and ``{paper-tally}`not tested` `` do the same for the statements of the paper. Not for headings, which are copied before
anything is measured.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from scorevid.companion.records import FOLDER_VARIABLE
from scorevid.estimates import format_interval, format_number

from .records import UNMEASURED, counted, read_ledger, read_records, read_statements, verdict, warn

TALLIES = {  # what one of them does, and what several do
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "undecided": ("is undecided", "are undecided"),
    "unmeasured": (f"is {UNMEASURED}", f"are {UNMEASURED}"),
    "check": ("is a check", "are checks"),
    "holds in part": ("holds in part", "hold in part"),
    "not tested": ("was not tested", "were not tested"),
}
COUNTED = {
    "claim": ("holds", "fails", "undecided", "unmeasured", "check"),
    "paper": ("holds", "holds in part", "fails", "undecided", "not tested"),
}


class Outcome(nodes.Inline, nodes.TextElement):
    """Stands where a figure, a verdict or a count will be."""


class OutcomeRole(SphinxRole):
    def __init__(self, subject: str, shows: str) -> None:
        super().__init__()
        self.subject, self.shows = subject, shows

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        place = Outcome(self.rawtext, about=self.text.strip(), subject=self.subject, shows=self.shows)
        self.set_source_info(place)
        return [place], []


def tally(count: int, about: str) -> str:
    """The count with its verb: "none fails", "one fails", "5 fail"."""
    one, several = TALLIES[about]
    return f"{count:,} {several}" if count > 1 else f"{('none', 'one')[count]} {one}"


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put figures, verdicts and counts in their places."""
    if not (places := list(doctree.findall(Outcome))):
        return
    records = read_records()
    ledger = read_ledger(app)
    outcomes = {"claim": {id: (records or {}).get(id, {}).get("verdict", "unmeasured") for id in ledger}}
    checks = outcomes["claim"].keys() - set(counted(ledger))
    if any(place["subject"] == "paper" for place in places):
        outcomes["paper"] = {s["id"]: verdict(s, records or {}) for s in read_statements(app)}
    for place in places:
        show = count if place["shows"] in ("count", "tally") else figure
        found = outcomes[place["subject"]]
        if show is count:
            found = {id: "check" if id in checks else outcome for id, outcome in found.items()}
        place.replace_self(nodes.Text(show(place, found, records)))


def count(place: Outcome, outcomes: dict[str, str], records: dict | None) -> str:
    about, known = place["about"], COUNTED[place["subject"]]
    if about == "all" and place["shows"] == "count":
        return str(sum(outcome != "check" for outcome in outcomes.values()))
    if about not in known:
        warn(f"what is counted is one of {', '.join(known)}, or all in a count, not {about!r}", place)
        return UNMEASURED
    number = list(outcomes.values()).count(about)
    return tally(number, about) if place["shows"] == "tally" else str(number)


def figure(place: Outcome, outcomes: dict[str, str], records: dict | None) -> str:
    about, shows = place["about"], place["shows"]
    if about not in outcomes:
        what = "claim {!r} in the ledger of claims" if place["subject"] == "claim" else "statement {!r} of the paper"
        warn(f"there is no {what.format(about)}", place)
        return UNMEASURED
    if place["subject"] == "paper":
        return outcomes[about]
    record = (records or {}).get(about)
    if record is None:
        if records is not None:
            warn(f"the claim {about} has no record in the folder that {FOLDER_VARIABLE} names", place)
        return UNMEASURED
    if shows == "verdict":
        return record["verdict"]
    value, low, high = (float(record[key]) for key in ("value", "low", "high"))
    return format_number(value) if shows == "value" else format_interval(value, low, high)


def connect(app: Sphinx) -> None:
    app.add_node(Outcome)
    for name, shows in {"claim": "measured", "claim-value": "value", "claim-verdict": "verdict"}.items():
        app.add_role(name, OutcomeRole("claim", shows))
    for subject in ("claim", "paper"):
        for shows in ("count", "tally"):
            app.add_role(f"{subject}-{shows}", OutcomeRole(subject, shows))
    app.add_role("paper-verdict", OutcomeRole("paper", "verdict"))
    app.connect("doctree-resolved", resolve)
