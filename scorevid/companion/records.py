"""Records of claims: one JSON file a claim, written where a notebook decides it, read by the book and by sweeps.

Nothing heavy is imported, as each worker of a sweep reads them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

FOLDER_VARIABLE = "SCOREVID_CLAIMS"  #: where records go; nowhere if it is not set
COLLECT_VARIABLE = "SCOREVID_CLAIMS_COLLECT"  #: "1": what comes out otherwise than stated does not raise


@dataclass(frozen=True)
class Record:
    """What was measured for a claim, and what follows."""

    id: str
    value: float
    low: float
    high: float
    n: int
    bound: str
    verdict: Literal["holds", "fails", "undecided"]
    why: str | None = None
    error: str | None = None  # how the claim came out otherwise than stated
    context: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.verdict}: {self.id} {self.bound} (measured {self.text})"

    def _repr_html_(self) -> str:
        """A badge: verdict, id, bound and what was measured. The book links it to the ledger."""
        verdict = f'<span class="claim-verdict claim-{self.verdict}">{self.verdict}</span>'
        rest = escape(f"{self.bound} (measured {self.text})")
        return f'<div class="claim-badge" data-claim="{self.id}">{verdict} <code>{self.id}</code> {rest}</div>'

    @property
    def text(self) -> str:
        """Value and interval, rounded, for prose."""
        from scorevid.estimates import format_interval

        return f"{format_interval(self.value, self.low, self.high)}, n = {self.n:,}"


class Badges(tuple[Record, ...]):
    """Records that one cell shows, a line each."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))

    def _repr_html_(self) -> str:
        return "\n".join(record._repr_html_() for record in self)


def read_records(folder: Path | str) -> list[dict]:
    """All records in a folder, by id. Raises ValueError for a file that holds none, such as half of one."""
    records = []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            records.append(json.loads(path.read_text(encoding="utf-8")))
            records[-1]["id"], records[-1]["verdict"]
        except (KeyError, TypeError, ValueError) as problem:
            raise ValueError(f"{path} holds no record of a claim ({problem}): run its notebook again") from None
    return records


def write_record(record: Record) -> None:
    """Put a record into the folder that SCOREVID_CLAIMS names, if it does."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    path = Path(folder) / f"{record.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
