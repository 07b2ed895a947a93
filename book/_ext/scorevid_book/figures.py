"""Under each figure of a chapter the way to its code: the cell that draws it, what that calls, how to run it again.

Nothing is written by hand for it. The cell is the one whose output the figure is; what it calls is read off its source
and the chapter's imports, and linked where the book documents it; parameters are those of the cell tagged so.
"""

from __future__ import annotations

import ast
import importlib
import json
import shlex
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx

from .chapters import is_chapter
from .tables import paragraph

PACKAGE = "scorevid"


def add_ways(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the ways under the figures of a chapter."""
    if not is_chapter(app, docname) or app.builder.format != "html":
        return
    cells = [node for node in doctree.findall(nodes.container) if node.get("nb_element") == "cell_code"]
    sources = {cell: source(cell) for cell in cells}
    names = imported("\n".join(map(str, sources.values())))
    tagged = [text for cell, text in sources.items() if "tag_parameters" in cell["classes"]]
    command = papermill(docname, tagged[0] if tagged else "")
    for number, cell in enumerate(cells):
        for place in list(drawn(cell)):
            anchor = f"code-{place['ids'][0] if place['ids'] else f'cell-{number}'}"
            (shown_code(cell) or cell)["ids"].append(anchor)  # within a fold, which browsers open for a link into it
            links = [document(app, docname, shown, target) for shown, target in called(sources[cell], names).items()]
            place.parent.insert(place.parent.index(place) + 1, way(anchor, list(filter(None, links)), command))


def source(cell: nodes.Element) -> str:
    """The code of a cell, as it stands on the page; empty where it is not shown."""
    part = shown_code(cell)
    return "\n".join(block.astext() for block in part.findall(nodes.literal_block)) if part else ""


def shown_code(cell: nodes.Element) -> nodes.container | None:
    """The part of a cell that shows its code; None where that is left out."""
    parts = (part for part in cell.findall(nodes.container) if part.get("nb_element") == "cell_code_source")
    return next(parts, None)


def drawn(cell: nodes.Element) -> Iterator[nodes.Element]:
    """The figures among a cell's outputs, those of HTML (animations) too, and images that are in none."""
    figures = list(cell.findall(nodes.figure))
    yield from figures
    yield from (raw for raw in cell.findall(nodes.raw) if "<figure" in raw.astext())
    within = {image for figure in figures for image in figure.findall(nodes.image)}
    yield from (image for image in cell.findall(nodes.image) if image not in within)


def parse(code: str) -> ast.AST:
    """The syntax tree of code; an empty one where it is not Python alone (magics)."""
    try:
        return ast.parse(code)
    except SyntaxError:
        return ast.Module([], [])


def imported(code: str) -> dict[str, str]:
    """What names of the code stand for that are imported from the package: Leaves -> scorevid.worlds.Leaves."""
    names = {}
    for node in ast.walk(parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            ours = [alias for alias in node.names if alias.name.split(".")[0] == PACKAGE]
            names |= {a.asname or PACKAGE: a.name if a.asname else PACKAGE for a in ours}
    return names


def called(code: str, names: dict[str, str]) -> dict[str, str]:
    """What of the package a cell calls, as it is written there -> where it is defined, in order of appearance."""
    found = {}
    calls = [node.func for node in ast.walk(parse(code)) if isinstance(node, ast.Call)]
    for node in sorted(calls, key=lambda f: (f.end_lineno, f.end_col_offset)):
        written = ast.unparse(node)
        first, *rest = written.split(".")
        plain = first in names and all(map(str.isidentifier, rest))
        if plain and (home := defined(".".join([names[first], *rest]))):
            found[written] = home
    return found


def defined(name: str) -> str | None:
    """Where a function or class is defined that can be imported under this name; None for other things."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part, None)
        known = callable(thing) and hasattr(thing, "__qualname__")
        return f"{thing.__module__}.{thing.__qualname__}" if known else None
    return None


def document(app: Sphinx, docname: str, shown: str, target: str) -> nodes.reference | None:
    """A link to where the book documents something; None where it does not."""
    entry = app.env.get_domain("py").objects.get(target)
    if entry is None:
        return None
    uri = f"{app.builder.get_relative_uri(docname, entry.docname)}#{entry.node_id}"
    return nodes.reference("", "", nodes.literal("", shown), internal=True, refuri=uri, reftitle=target)


def papermill(docname: str, parameters: str) -> str:
    """The command that runs a chapter again, its parameters spelled out at their defaults."""
    rows = [f".venv/bin/papermill {docname}.ipynb out.ipynb"]
    for node in ast.walk(parse(parameters)):
        if isinstance(node, ast.AnnAssign):
            item = option(node.target.id, ast.literal_eval(node.value))
            if rows[-1].startswith("  ") and len(f"{rows[-1]} {item}") <= 60:
                rows[-1] += f" {item}"
            else:
                rows.append(f"  {item}")
    return " \\\n".join(rows)


def option(name: str, value: object) -> str:
    """A parameter as papermill takes it: -p for a single value, -y for a list or a dictionary."""
    if isinstance(value, list | tuple | dict):
        return f"-y {shlex.quote(f'{name}: {json.dumps(value)}')}"
    return f"-p {name} {shlex.quote(str(value))}"


def way(anchor: str, links: list[nodes.reference], command: str) -> nodes.container:
    """One line of links, and the command in a fold that opens without a script."""
    line = paragraph(nodes.reference("", "Code of this figure", internal=True, refid=anchor))
    for number, link in enumerate(links):
        line += [nodes.Text(", " if number else " · calls "), link]
    fold = [
        nodes.raw("", "<details><summary>Run it again, with other parameters</summary>", format="html"),
        nodes.literal_block(command, command, language="shell"),
        nodes.raw("", "</details>", format="html"),
    ]
    return nodes.container("", line, *fold, classes=["figure-code"])


def connect(app: Sphinx) -> None:
    app.connect("doctree-resolved", add_ways)
