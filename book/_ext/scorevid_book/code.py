"""Code folded away, one fold before each result, and badges of claims that lead to the ledger.

Every code cell is folded. Cells without a result go into the fold of the next cell with one, unless prose stands between
them, so that a page shows no row of folds. The cell of parameters keeps a fold of its own. A button opens all folds of a page
(``code.js``). A badge is what the record of a claim shows in a notebook (:mod:`scorevid.companion.records`).
"""

from __future__ import annotations

import json
import re

from docutils import nodes
from sphinx.application import Sphinx

from .chapters import is_chapter
from .figures import shown_code

BUTTON = '<p class="all-code"><button type="button" aria-pressed="false">Show all code</button></p>'
BADGE = re.compile(r'(<div class="claim-badge" data-claim="([^"]+)">.*?)<code>\2</code>')


def fold(app: Sphinx, docname: str, source: list[str]) -> None:
    """Have MyST-NB fold the code of each cell."""
    if not is_chapter(app, docname):
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            tags = cell["metadata"].setdefault("tags", [])
            tags += [] if {"hide-input", "hide-cell", "remove-input", "remove-cell"} & set(tags) else ["hide-input"]
    source[0] = json.dumps(notebook)


def gather(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Move code without a result to the next result, link badges, and put the button under the title."""
    if not is_chapter(app, docname) or app.builder.format != "html":
        return
    for cell in [node for node in doctree.findall(nodes.container) if node.get("nb_element") == "cell_code"]:
        following = cell.next_node(descend=False, siblings=True)
        target = shown_code(following) if is_cell(following) else None
        if target is not None and len(cell) == 1 and not is_parameters(cell) and not is_parameters(following):
            for number, block in enumerate(cell[0].children):
                target.insert(number, block)
            target["ids"] = cell[0]["ids"] + target["ids"]
            cell.parent.remove(cell)
    ledger = app.config.scorevid_claims_page
    if ledger in app.env.found_docs:
        uri = app.builder.get_relative_uri(docname, ledger)
        for raw in doctree.findall(nodes.raw):
            if "claim-badge" in (text := raw.astext()):
                raw[0] = nodes.Text(BADGE.sub(rf'\1<a href="{uri}#claim-\2"><code>\2</code></a>', text))
    if title := doctree.next_node(nodes.title):
        title.parent.insert(title.parent.index(title) + 1, nodes.raw("", BUTTON, format="html"))


def is_cell(node: nodes.Node | None) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def is_parameters(cell: nodes.Element) -> bool:
    return "tag_parameters" in cell["classes"]


def connect(app: Sphinx) -> None:
    app.add_config_value("scorevid_claims_page", "book/claims", "env")
    app.connect("source-read", fold, priority=600)
    app.connect("doctree-resolved", gather, priority=600)
