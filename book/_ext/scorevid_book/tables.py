"""Tables as docutils wants them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from docutils import nodes

Cell = str | nodes.entry


def table(
    head: Sequence[str], rows: Iterable[Sequence[Cell]], widths: Sequence[int] = (), *, title: str = "", name: str = ""
) -> nodes.table:
    """A table whose cells are texts or entries. widths: of the columns, equal unless given. name: its class in HTML."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in widths or [1] * len(head)), cols=len(head))
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", *([nodes.title("", title)] if title else []), group, classes=[name] if name else [])


def cell(*parts: str | nodes.Node, name: str = "") -> nodes.entry:
    """An entry of one paragraph, made of texts and nodes."""
    return nodes.entry("", paragraph(*parts), classes=[name] if name else [])


def paragraph(*parts: str | nodes.Node, name: str = "") -> nodes.paragraph:
    """A paragraph made of texts and nodes."""
    inner = (nodes.Text(part) if isinstance(part, str) else part for part in parts)
    return nodes.paragraph("", "", *inner, classes=[name] if name else [])


def _row(cells: Sequence[Cell]) -> nodes.row:
    return nodes.row("", *(cell(each) if isinstance(each, str) else each for each in cells))
