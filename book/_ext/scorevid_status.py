"""The table of run times, in words: when each chapter ran, for how long, and how it ended.

MyST-NB writes emoji for the latter, for which many systems have no font, and how it executes, which says nothing here:
chapters run by this very build or just before it, never out of a store.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

WORDS = {"✅": "completed", "❌": "failed"}
HEADS = {"Document": "Chapter", "Modified": "Run at", "Run Time (s)": "Seconds"}
LEFT_OUT = "Method"


def spell_out(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Name columns for what they hold, leave out the method, replace a cell's text that is nothing but a status sign."""
    for table in doctree.findall(nodes.table):
        heads = [entry.astext() for head in table.findall(nodes.thead) for entry in head.findall(nodes.entry)]
        if LEFT_OUT not in heads or not set(HEADS) <= set(heads):
            continue
        unwanted = heads.index(LEFT_OUT)
        for row in table.findall(nodes.row):
            del row[unwanted]
        group = table.next_node(nodes.tgroup)
        group.remove(group[unwanted])
        group["cols"] -= 1
        for text in list(table.findall(nodes.Text)):
            if (word := {**WORDS, **HEADS}.get(text)) is not None:
                text.parent.replace(text, nodes.Text(word))


def setup(app: Sphinx) -> dict:
    app.connect("doctree-resolved", spell_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
