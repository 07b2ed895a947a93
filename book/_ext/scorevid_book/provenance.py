"""Under each chapter, how its figures came about: commit, weights, seeds, run time, versions. Made by the build.

Weights, seeds and versions are those in the records of the claims that the chapter decides; run time and threads are those
of ``scripts/run_chapters.py``, or MyST-NB's. What is not known is said to be unknown.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx

from scorevid.denoisers.weights import FOLDER

from .chapters import is_chapter, runs
from .records import read_ledger, read_records
from .tables import paragraph

SHA256 = re.compile(r"[0-9a-f]{64}")
WITHOUT = "not known: the claims of this chapter left no records in this build"
NO_CLAIM = "not recorded: this chapter decides no claim"


def add_strip(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the strip at the end of a chapter."""
    if not is_chapter(app, docname) or app.builder.format != "html":
        return
    found, chapter = read_records() or {}, docname.removeprefix(f"{app.config.scorevid_claims_chapters}/")
    ids = [id for id, claim in read_ledger(app).items() if claim["chapter"] == chapter]
    records = [found[id] for id in ids if id in found]
    without, fields = WITHOUT if ids else NO_CLAIM, nodes.field_list()
    for name, body in (
        ("Commit", paragraph(commit(app.srcdir))),
        ("Weights", weights(records) if records else paragraph(without)),
        ("Seed", paragraph(seeds(records) or without)),
        ("Run", paragraph(run(app, docname, records))),
        ("Versions", paragraph(versions(records) or without)),
        ("Notebook", download(docname)),
    ):
        fields += nodes.field("", nodes.field_name("", name), nodes.field_body("", body))
    title = paragraph("How this page was made", name="provenance-title")
    (doctree.next_node(nodes.section) or doctree).append(nodes.container("", title, fields, classes=["provenance"]))


@cache
def commit(folder: str | Path) -> str:
    """The commit that the book is made from, "+ changes" where files differ from it, "unknown" outside of a repository."""

    def git(*command: str) -> str:
        command = ["git", "--no-optional-locks", *command]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != Path(folder).resolve():
            return "unknown"  # a copy of the book that lies within another repository
        return git("rev-parse", "--short=10", "HEAD") + (" + changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def weights(records: list[dict]) -> nodes.Node:
    """The sha256 of each file of weights that a claim was measured on, with its name where it comes with the package."""
    names, shown = known_weights(), []
    for sha256 in dict.fromkeys(value for record in records for value in hashes(record["context"])):
        shown += [", "] * bool(shown) + [f"{names.get(sha256, 'others')} ", nodes.literal("", sha256)]
    return paragraph(*(shown or ["none"]))


def hashes(context: object) -> Iterator[str]:
    """All sha256 in a context, however deep."""
    if isinstance(context, str) and SHA256.fullmatch(context):
        yield context
    elif isinstance(context, dict | list):
        for value in context.values() if isinstance(context, dict) else context:
            yield from hashes(value)


@cache
def known_weights() -> dict[str, str]:
    """Names of the weights in the package, by the sha256 on their cards; of nested folders with the folder."""
    cards = {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.rglob("*.json"))}
    names = {path: path.relative_to(FOLDER).with_suffix("").as_posix() for path in cards}
    return {card["sha256"]: names[path] for path, card in cards.items() if "sha256" in card}


def seeds(records: list[dict]) -> str:
    found = sorted({record["context"]["seed"] for record in records if "seed" in record["context"]})
    return ", ".join(map(str, found)) if found else ""


def run(app: Sphinx, docname: str, records: list[dict]) -> str:
    """How long it took, when, and on how much of the machine."""
    executed = NbMetadataCollector.get_exec_data(app.env, docname)
    if not executed or executed["runtime"] is None:
        return "not run in this build: what is shown is stored in the notebook"
    text = f"{executed['runtime']:.0f} s"
    if how := runs(app.env).get(docname):
        threads = several(int(how["threads"]), "thread") if how["threads"] else "PyTorch's threads"
        beside = several(min(how["at_once"], len(runs(app.env))), "chapter")
        text += f" on {threads}, {several(how['processors'], 'processor')}, {beside} at once"
        text += f"; ended {how['ended'].replace('T', ' ')}"
    return text + (f"; {several(len(records), 'claim')} decided" if records else "")


def several(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def versions(records: list[dict]) -> str:
    """Of packages and Python; where records disagree, all of them."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for name, version in record["versions"].items():
            found.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' and '.join(given)}" for name, given in found.items())


def download(docname: str) -> nodes.paragraph:
    """A link to the executed notebook."""
    name, uri = docname.rpartition("/")[2], "../" * docname.count("/") + f"_sources/{docname}.ipynb"
    link = nodes.reference("", f"{name}.ipynb", internal=True, refuri=uri, classes=["executed-notebook"])
    return paragraph(link, ", as executed for this page; its first cell installs the package where it is missing")


def connect(app: Sphinx) -> None:
    app.connect("doctree-resolved", add_strip)
