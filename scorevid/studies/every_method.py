"""Everything that chapter 8 measures of each method on each world, several at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from scorevid.studies import motion
from scorevid.studies.side_by_side import side_by_side

_methods = lru_cache(maxsize=1)(motion.methods)

Case = tuple[str, str, str]  # kind, world, method


@dataclass(frozen=True)
class Plan:
    """How much is measured. scenes: of each world; samples, decided: answers to each where the future is open, and where it is
    not; films, frames: roll-outs in each world, and how long they are."""

    scenes: int = 200
    samples: int = 16
    decided: int = 2
    films: int = 30
    frames: int = 10
    seed: int = 41

    @property
    def cases(self) -> list[Case]:
        """All kinds of rows in each world, of each method, but for the cost."""
        kinds = {"open": motion.OPEN, "decided": motion.DECIDED, "film": (*motion.OPEN, *motion.DECIDED)}
        return [(kind, world, name) for kind, worlds in kinds.items() for world in worlds for name in _methods()]

    def row(self, case: Case) -> dict:
        """One row of plain data."""
        kind, world, name = case
        method = _methods()[name]
        if kind == "open":
            found = motion.open_statistics(method, world, self.scenes, self.samples, self.seed)
        elif kind == "decided":
            found = motion.decided_statistics(method, world, self.scenes, self.decided, self.seed)
        else:
            found = motion.film_statistics(method, world, self.films, self.frames, self.seed)
        return {"kind": kind, "method": name, "world": world} | found

    def rows(self, workers: int = 2) -> Iterator[dict]:
        """The rows of all cases, so many at a time, and then what each method costs, one by one."""
        yield from side_by_side(self.row, self.cases, workers=workers)
        for name, method in _methods().items():
            yield {"kind": "cost", "method": name, "world": ""} | motion.cost(method)
