"""What a build of the book was made with, ``{build-status}``: commit, versions, processor, threads."""

from __future__ import annotations

from importlib.metadata import version

import torch
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from scorevid.machine import instructions, machine
from scorevid_provenance import commit

PACKAGES = ("scorevid", "torch", "numpy", "scipy", "jupyter-book", "sphinx", "myst-nb", "papermill")


def facts(folder: str) -> dict[str, str]:
    """What the table says, in its order."""
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
        group = nodes.tgroup("", nodes.colspec(colwidth=30), nodes.colspec(colwidth=70), cols=2)
        group += nodes.thead("", _row("what", "which"))
        group += nodes.tbody("", *(_row(*fact) for fact in facts(self.env.srcdir).items()))
        return [nodes.table("", group, classes=["build-status"])]


def _row(*cells: str) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))


def setup(app: Sphinx) -> dict:
    app.add_directive("build-status", BuildStatus)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
