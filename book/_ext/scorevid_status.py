"""The status of a chapter in the table of run times, in words: MyST-NB writes emoji, for which many systems have no font."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

WORDS = {"✅": "completed", "❌": "failed"}


def spell_out(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Replace a table cell's text that is nothing but a status sign."""
    for entry in doctree.findall(nodes.entry):
        for sign in list(entry.findall(nodes.Text)):
            if sign in WORDS:
                sign.parent.replace(sign, nodes.Text(WORDS[sign]))


def setup(app: Sphinx) -> dict:
    app.connect("doctree-resolved", spell_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
