"""Stored results of the benchmarks: ``{speed} training`` shows the tables of one, ``{speed-targets}`` the targets of all.

They are the JSON files that ``make bench`` writes into ``benchmarks/results``, whose tables are shown as they are; in folders
below it lie those of other machines, ``{speed} epyc/training``. A result that is not stored is said to be not measured yet,
which is no error: measuring takes an idle machine, and a build of the book does not do it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from docutils import nodes

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from side_by_side import format_cell as tell
from side_by_side import format_machine as tell_machine

UNMEASURED = "Not measured yet: run make bench on a machine that is idle otherwise."


def read(folder: Path, name: str) -> dict | None:
    """One stored result; None where there is none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


class SpeedDirective(SphinxDirective):
    @property
    def folder(self) -> Path:
        return Path(self.env.srcdir) / self.config.scorevid_speed_folder

    def note(self, names: list[str]) -> None:
        """Read the page again when a result changes, or comes."""
        self.env.note_reread()
        for name in names:
            self.env.note_dependency(str(self.folder / f"{name}.json"))


class Speed(SpeedDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        (name,) = self.arguments
        self.note([name])
        found = read(self.folder, name)
        if found is None:
            return [nodes.paragraph("", UNMEASURED, classes=["speed-unmeasured"])]
        shown: list[nodes.Node] = [
            table(t["title"], t["columns"], [[tell(v) for v in row] for row in t["rows"]]) for t in found["tables"]
        ]
        told = [*found["notes"], f"Measured in {tell(float(found['seconds']))} s: {tell_machine(found)}"]
        return [*shown, *(nodes.paragraph("", text) for text in told)]


class SpeedTargets(SpeedDirective):
    def run(self) -> list[nodes.Node]:
        paths = (path.relative_to(self.folder).with_suffix("") for path in self.folder.rglob("*.json"))
        names = sorted(
            (path.as_posix() for path in paths), key=lambda name: (name.rpartition("/")[2], name.count("/"), name)
        )
        self.note(names)
        rows = []
        for name in names:
            found = read(self.folder, name)
            for target in found["targets"]:
                due = f"{'≥' if target['at_least'] else '≤'} {tell(target['due'])}"
                trial = "a trial, " if found["quick"] else ""
                verdict = "met" if target["met"] else "missed"
                on = f"{found['machine']['processor']} ({found['machine']['instructions']})"
                rows.append([name, target["what"], tell(target["value"]), due, on, trial + verdict])
        if not rows:
            return [nodes.paragraph("", UNMEASURED, classes=["speed-unmeasured"])]
        return [table("Targets", ["benchmark", "what", "measured", "due", "processor", "verdict"], rows)]


def table(title: str, columns: list[str], rows: list[list[str]]) -> nodes.table:
    """A table of texts with a caption; heads without a name say nothing to who listens to a page, so they get one."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in columns), cols=len(columns))
    group += nodes.thead("", _row([c or "what" for c in columns]))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", nodes.title("", title), group, classes=["speed"])


def _row(cells: list[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))


def setup(app: Sphinx) -> dict:
    app.add_config_value("scorevid_speed_folder", "benchmarks/results", "env")
    app.add_directive("speed", Speed)
    app.add_directive("speed-targets", SpeedTargets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
