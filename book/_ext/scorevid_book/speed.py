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
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from .tables import paragraph, table

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))  # which is no part of the package
from side_by_side import format_cell, format_machine

UNMEASURED = "Not measured yet: run make bench on a machine that is idle otherwise."


class SpeedDirective(SphinxDirective):
    def read(self, *names: str) -> dict[str, dict]:
        """Stored results by name; the page is read again when one changes, or comes."""
        self.env.note_reread()
        paths = {name: Path(self.env.srcdir) / self.config.scorevid_speed_folder / f"{name}.json" for name in names}
        for path in paths.values():
            self.env.note_dependency(str(path))
        return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


class Speed(SpeedDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        result = self.read(self.arguments[0]).get(self.arguments[0])
        if result is None:
            return [paragraph(UNMEASURED, name="speed-unmeasured")]
        shown = [speed_table(t["title"], t["columns"], t["rows"]) for t in result["tables"]]
        measured = f"Measured in {format_cell(float(result['seconds']))} s: {format_machine(result)}"
        return [*shown, *map(paragraph, [*result["notes"], measured])]


class SpeedTargets(SpeedDirective):
    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.srcdir) / self.config.scorevid_speed_folder
        names = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.json"))
        rows = []
        for name, result in self.read(*sorted(names, key=lambda n: (n.rpartition("/")[2], n.count("/"), n))).items():
            for target in result["targets"]:
                bound = f"{'≥' if target['at_least'] else '≤'} {format_cell(target['due'])}"
                verdict = ("a trial, " if result["quick"] else "") + ("met" if target["met"] else "missed")
                machine = f"{result['machine']['processor']} ({result['machine']['instructions']})"
                rows.append([name, target["what"], target["value"], bound, machine, verdict])
        if not rows:
            return [paragraph(UNMEASURED, name="speed-unmeasured")]
        return [speed_table("Targets", ["benchmark", "what", "measured", "target", "processor", "verdict"], rows)]


def speed_table(title: str, columns: list[str], rows: list[list]) -> nodes.table:
    """A table with a caption; heads without a name say nothing to who listens to a page, so they get one."""
    cells = [[format_cell(value) for value in row] for row in rows]
    return table([column or "what" for column in columns], cells, title=title, name="speed")


def connect(app: Sphinx) -> None:
    app.add_config_value("scorevid_speed_folder", "benchmarks/results", "env")
    app.add_directive("speed", Speed)
    app.add_directive("speed-targets", SpeedTargets)
