"""Speed measured side by side: cases that take turns, results with the machine they are of, and how both are shown.

Whatever else a machine does slows what runs at that moment. So cases that are compared take turns within one process,
round after round, and a ratio is taken within each round. Shown is its median over the rounds, with the least and the
greatest. How much of the machine other work took meanwhile is measured, and stored with the result.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from scorevid import checks
from scorevid.estimates import Estimate, format_number
from scorevid.machine import instructions, machine

BUSY = 0.1  #: share of the machine that other work took, from which on a result is called disturbed


def options(text: str, stored: Path | str, **defaults: tuple) -> argparse.Namespace:
    """The options of a script: those named, each with (usual value, value under ``--quick``, help), ``--quick``, ``--out``.

    text: the script's docstring. stored: where results go unless ``--out`` says otherwise. A quick run shows that the
    script works and measures nothing; it stores only where ``--out`` says. A value may be None in a quick run, or a tuple
    for several values. ``out`` is None where nothing is to be stored. A result is named after the script.
    """
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    for name, (usual, _, what) in defaults.items():
        several = isinstance(usual, tuple)
        kind = type(usual[0] if several else usual)
        kind = _yes if kind is bool else kind
        parser.add_argument(f"--{name}", type=kind, nargs="+" if several else None, help=f"{what}; {usual}")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to see that it runs; measures nothing")
    parser.add_argument("--out", type=Path, help=f"folder of the result; {stored}, and none with --quick")
    given = parser.parse_args()
    for name, (usual, quick, _) in defaults.items():
        if getattr(given, name) is None:
            setattr(given, name, quick if given.quick else usual)
    if given.out is None and not given.quick:
        given.out = Path(stored)
    return given


def take_turns(cases: dict[str, Callable[[], object]], rounds: int, seconds: float = 0.0) -> dict[str, list[float]]:
    """Seconds that one call of each case takes, in each round; cases take turns, and the order is reversed every round.

    seconds: a case is called again and again in a round until so much time is over, once at least. Each case is called
    once before, unmeasured. Raises ValueError without rounds.
    """
    checks.integer("rounds", rounds)
    for case in cases.values():
        case()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds):
        for name in list(cases)[:: -1 if turn % 2 else 1]:
            calls, start = 0, time.perf_counter()
            while not calls or time.perf_counter() - start < seconds:
                cases[name]()
                calls += 1
            times[name].append((time.perf_counter() - start) / calls)
    return times


def median_range(values: Sequence[float]) -> Estimate:
    """The median, with the least and the greatest."""
    return Estimate(*(float(v) for v in (statistics.median(values), min(values), max(values))), len(values), "range")


def ratio(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """The median and range of a quotient that is taken round by round."""
    return median_range([a / b for a, b in zip(above, below, strict=True)])


def rates(times: Sequence[float], amount: float = 1.0) -> Estimate:
    """The median and range of what is done in a second, from the seconds that this amount of it takes."""
    return median_range([amount / t for t in times])


def exponent(sizes: Sequence[float], costs: Sequence[float], confidence: float = 0.95) -> Estimate:
    """p of cost ∝ size^p by least squares in logarithms, with Student's interval.

    Raises ValueError for fewer than three points, which leave no interval, and for values that have no logarithm.
    """
    if len(sizes) != len(costs) or len(sizes) < 3 or min(*sizes, *costs) <= 0:
        raise ValueError(
            f"sizes and costs must be three points or more, all positive, got {list(sizes)}, {list(costs)}"
        )
    fit = stats.linregress(np.log(sizes), np.log(costs))
    half = stats.t.ppf((1 + confidence) / 2, len(sizes) - 2) * fit.stderr
    return Estimate(*(float(v) for v in (fit.slope, fit.slope - half, fit.slope + half)), len(sizes), "t")


def peak_memory() -> float:
    """The most memory that this process has held so far, in MiB; NaN where the system does not tell.

    From the process itself and not from getrusage, whose figure a child takes over from the parent that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        return math.nan


def in_child(script: str, *arguments: object) -> dict:
    """What ``script --child ARGUMENTS``, a fresh process, prints as JSON: for memory, which a process gives back late."""
    command = [sys.executable, script, "--child", json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def answer_as_child(function: Callable[..., dict]) -> None:
    """In a process that :func:`in_child` started: print what the function returns and end. Otherwise nothing."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(function(*json.loads(sys.argv[2]))))
        sys.exit()


@dataclass
class Target:
    """What is aimed at: an estimate whose value should be at least, or else at most, the bound."""

    what: str
    value: Estimate
    bound: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the value is within the bound."""
        return self.value.value >= self.bound if self.at_least else self.value.value <= self.bound

    def stored(self) -> dict:
        """As it is kept in JSON."""
        return {
            "what": self.what, "value": list(self.value), "due": self.bound, "at_least": self.at_least, "met": self.met,
        }  # fmt: skip


@dataclass
class Result:
    """What a script has measured, to be printed as it goes and stored at the end.

    name: of the script. given: its options, stored as parameters. tables, targets, notes: to be shown in this order.
    """

    name: str
    given: argparse.Namespace
    tables: list[dict] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    packages: tuple[str, ...] = ()  # whose versions are stored beside those of torch and numpy
    began: tuple[float, float, float] = field(default_factory=lambda: _usage())

    def table(self, title: str, columns: list[str], rows: list[list]) -> None:
        """Add a table and print it. Cells are texts, numbers, estimates, or None for a dash."""
        self.tables.append({"title": title, "columns": columns, "rows": rows})
        print(f"\n{title}\n{format_table(columns, rows)}", flush=True)

    def target(self, what: str, value: Estimate, bound: float, at_least: bool = True) -> None:
        """Add a target and print whether it is met."""
        self.targets.append(target := Target(what, value, bound, at_least))
        side, met = "at least" if at_least else "at most", "met" if target.met else "missed"
        print(f"{what}: {format_cell(value)}; the target is {side} {format_cell(bound)}: {met}", flush=True)

    def note(self, text: str) -> None:
        """Add a sentence and print it."""
        self.notes.append(text)
        print(text, flush=True)

    def finish(self) -> Path | None:
        """Store the result where the options say, with machine and versions; returns the path, None if nowhere."""
        made_on = machine(torch.device("cpu"))
        made_on["versions"] |= {name: version(name) for name in ("scorevid", *self.packages)}
        others = others_share(self.began, _usage())
        found = {
            "benchmark": self.name,
            "made": datetime.date.today().isoformat(),
            "quick": self.given.quick,
            "seconds": round(_usage()[0] - self.began[0], 1),
            "others": None if math.isnan(others) else round(others, 3),
            "machine": made_on | {"cores": os.cpu_count(), "instructions": instructions()},
            "parameters": {k: v for k, v in vars(self.given).items() if k not in ("quick", "out")},
            "targets": [target.stored() for target in self.targets],
            "tables": self.tables,
            "notes": self.notes,
        }
        print(f"\n{format_machine(found)}", flush=True)
        if self.given.out is None:
            return None
        self.given.out.mkdir(parents=True, exist_ok=True)
        path = self.given.out / f"{self.name}.json"
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False, default=list) + "\n")
        return path


def format_cell(value: object) -> str:
    """A cell: "1,230" of 1234.5, "12.3 (11.9 to 12.8)" of an estimate or three numbers, "–" of None or NaN, or a text."""
    if isinstance(value, Estimate | list | tuple):
        middle, low, high = map(format_cell, value)
        return middle if low == middle == high else f"{middle} ({low} to {high})"
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}".replace("-", "−") if isinstance(value, int) else format_number(value, 3)


def format_machine(found: dict) -> str:
    """In one sentence what a stored result was measured on, and how undisturbed."""
    on, other = found["machine"], found["others"]
    versions = ", ".join(f"{name} {number}" for name, number in on["versions"].items())
    busy = "what else the machine did is not known"
    if other is not None:
        busy = f"other work took {100 * other:.0f} % of the machine" + (", too much" if other > BUSY else "")
    threads = f"threads: {on['threads']}, cores: {on['cores']}"
    trial = "A TRIAL WITH TINY SETTINGS, no measurement. " if found["quick"] else ""
    return f"{trial}{found['made']}, {on['processor']} ({on['instructions']}), {threads}; {versions}; {busy}."


def format_table(columns: list[str], rows: list[list]) -> str:
    """A table for the terminal, the first column to the left and the others to the right."""
    cells = [columns, *([format_cell(v) for v in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ([c.rjust(w) if k else c.ljust(w) for k, (c, w) in enumerate(zip(r, widths, strict=True))] for r in cells)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def others_share(before: tuple[float, float, float], after: tuple[float, float, float]) -> float:
    """Share of the machine that was not ours and not idle between two readings of (wall, busy, own) seconds."""
    wall, busy, own = (b - a for a, b in zip(before, after, strict=True))
    return math.nan if math.isnan(busy) or wall <= 0 else max(0.0, busy - own) / (wall * (os.cpu_count() or 1))


def _yes(text: str) -> bool:
    """Raises ValueError, which argparse reports as bad input, for anything but yes and no."""
    checks.one_of("the option", text, ("yes", "no"))
    return text == "yes"


def _usage() -> tuple[float, float, float]:
    """Seconds: of the wall, that all cores were busy (stolen ones too), and that we and our children computed."""
    own = sum(os.times()[:4])
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        busy = math.nan
    return time.monotonic(), busy, own
