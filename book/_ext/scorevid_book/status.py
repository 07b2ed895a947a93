"""What the build was made with, ``{build-status}``, and the table of run times in words.

MyST-NB writes emoji for how a chapter ended, for which many systems have no font, and how it executes, which says nothing
here: chapters run by this very build or just before it, never out of a store.
"""

from __future__ import annotations

from importlib.metadata import version

import torch
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from scorevid.machine import instructions, machine

from .provenance import commit
from .tables import table

PACKAGES = ("scorevid", "torch", "numpy", "scipy", "jupyter-book", "sphinx", "myst-nb", "papermill")
HEADS = {"Document": "Chapter", "Modified": "Run at", "Run Time (s)": "Seconds"}
WORDS = HEADS | {"✅": "completed", "❌": "failed"}
LEFT_OUT = "Method"


def facts(folder: str) -> dict[str, str]:
    """Commit, processor, threads and versions, in the order of the table."""
    made_on = machine(torch.device("cpu"))
    return {
        "commit": commit(folder),
        "processor": made_on["processor"],
        "instructions": instructions(),
        "threads of the page build": str(made_on["threads"]),
        "python": made_on["versions"]["python"],
        **{name: version(name) for name in PACKAGES},
    }


class BuildStatus(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # a page that has not changed may be built with something else
        return [table(("what", "which"), facts(self.env.srcdir).items(), (30, 70), name="build-status")]


def spell_out(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Name columns for what they hold, leave out the method, replace a cell's text that is nothing but a status sign."""
    for found in doctree.findall(nodes.table):
        heads = [entry.astext() for head in found.findall(nodes.thead) for entry in head.findall(nodes.entry)]
        if not {LEFT_OUT, *HEADS} <= set(heads):
            continue
        group = found.next_node(nodes.tgroup)
        for row in [group, *found.findall(nodes.row)]:  # of the group's children the first are its columns
            del row[heads.index(LEFT_OUT)]
        group["cols"] -= 1
        for text in list(found.findall(nodes.Text)):
            if text in WORDS:
                text.parent.replace(text, nodes.Text(WORDS[text]))


def connect(app: Sphinx) -> None:
    app.add_directive("build-status", BuildStatus)
    app.connect("doctree-resolved", spell_out)
