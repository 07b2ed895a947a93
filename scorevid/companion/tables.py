"""Tables of results for a chapter: estimates with their intervals, which the built page sorts by a click on a heading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from scorevid.estimates import format_interval, format_number

Cell = str | float | Iterable[float] | None


@dataclass(frozen=True)
class Table:
    """A table that notebooks show as HTML."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


def sortable_table(rows: Sequence[Mapping[str, Cell]], caption: str) -> Table:
    """A table with a row for each mapping of column names to cells.

    A cell is a text, a number, or (value, low, high), which is shown as value with interval and sorted by its value; None is
    shown as a dash and stays below. caption: what the table says, in one sentence. Raises ValueError for no rows, and for rows
    with other columns than the first.
    """
    if not rows or any(list(row) != list(rows[0]) for row in rows):
        raise ValueError(f"rows must be one or more, all with the same columns, got {[list(row) for row in rows]}")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in rows[0])
    body = "".join(f"<tr>{''.join(map(_cell, row.values()))}</tr>" for row in rows)
    return Table(
        f'<div class="table-wrapper"><table class="sortable n-last"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: Cell) -> str:
    if value is None:
        return '<td data-sort="">–</td>'
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    if isinstance(value, int):
        return f'<td data-sort="{value}">{value:,}</td>'
    if isinstance(value, float):
        return f'<td data-sort="{value}">{format_number(value)}</td>'
    return f'<td data-sort="{next(iter(value))}">{format_interval(*value)}</td>'
