"""The folder of a sweep: what it is of, its runs, and the tables made from them.

- ``sweep.json`` says which notebook, grid and version of scorevid it is of; ``notebook.ipynb`` is the notebook as it was;
- ``runs/ID`` is a run that is over: ``record.json``, the executed notebook, ``log.txt``, ``claims``, and in ``files``
  what the notebook wrote;
- ``attempts/ID.…`` is a run under way, or one that was cut short.

An attempt becomes a run by being renamed, at once and as a whole. Of two attempts at one run the second to end finds the
first in its place and is dropped, so there is never more than one, and never a half.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scorevid import __version__
from scorevid.companion.records import read_records
from scorevid.files import replace_file
from scorevid.sweep.grid import combinations, same_grid

MANIFEST, RECORD, TASK, NOTEBOOK = "sweep.json", "record.json", "task.json", "notebook.ipynb"
RUN_COLUMNS = ("status", "seconds", "error")
CLAIM_COLUMNS = ("value", "low", "high", "n", "bound", "verdict", "why")


@dataclass(frozen=True)
class Run:
    """One combination of parameters. key: sha256 of the notebook's code, the parameters and the version of scorevid."""

    id: str
    key: str
    parameters: dict


def open_sweep(folder: Path, notebook: Path, grid: Mapping[str, list]) -> list[Run]:
    """The runs of a sweep, whose folder is made, or gone on with where it is of the same notebook, grid and version.

    Raises ValueError, leaving the folder as it is, where it is of another sweep or holds other things.
    """
    text = notebook.read_text(encoding="utf-8")
    code, path = code_sha256(text), folder / MANIFEST
    manifest = {"notebook": notebook.name, "code": code, "grid": dict(grid), "scorevid": __version__}
    if path.is_file():
        before = read_json(path, manifest, "another --out begins a new sweep")
        for name, of in (("code", "another notebook, or of this one with other code"), ("scorevid", "another version")):
            if before[name] != manifest[name]:
                raise ValueError(f"{folder} holds a sweep of {of}: give another --out")
        if not same_grid(before["grid"], grid):
            raise ValueError(f"{folder} holds a sweep of another grid, {before['grid']}: give another --out")
        manifest = before  # with its order
    elif folder.exists() and (not folder.is_dir() or {p.name for p in folder.iterdir()} - {NOTEBOOK, ".lock"}):
        raise ValueError(f"{folder} holds other things than a sweep: give another --out")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / NOTEBOOK, text)
        write(path, manifest)
    for name in ("runs", "attempts"):
        (folder / name).mkdir(exist_ok=True)
    runs, package = [], package_sha256()
    for number, parameters in enumerate(combinations(manifest["grid"]), start=1):
        key = hashlib.sha256(json.dumps([code, parameters, __version__, package], sort_keys=True).encode()).hexdigest()
        runs.append(Run(f"{number:04}-{key[:8]}", key, parameters))
    return runs


def code_sha256(notebook: str) -> str:
    """Of what a notebook does: code and tags of its code cells, and its kernel; not of its text and outputs."""
    content = json.loads(notebook)
    code = [
        ["".join(cell["source"]), cell["metadata"].get("tags", [])]
        for cell in content["cells"]
        if cell["cell_type"] == "code"
    ]
    kernel = content["metadata"].get("kernelspec", {}).get("name")
    return hashlib.sha256(json.dumps([code, kernel]).encode()).hexdigest()


def package_sha256() -> str:
    """Of what a run depends on beside its notebook: the sources of scorevid and the cards of its weights."""
    found, here = hashlib.sha256(), Path(__file__).parents[1]
    patterns = "**/*.py", "denoisers/weights/**/*.json", "studies/results/*.json"
    for path in sorted(path for pattern in patterns for path in here.glob(pattern)):
        found.update(path.relative_to(here).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def record_of(folder: Path, run: Run) -> dict | None:
    """The record of a run that is over, or None. Raises ValueError for a file that holds no record."""
    path = folder / "runs" / run.id / RECORD
    if not path.is_file():
        return None
    record = read_json(path, ("key", "status", "seconds", "error"), "without its folder the run is done again")
    return record if record["key"] == run.key else None


def begin(folder: Path, run: Run) -> Path:
    """A new folder to attempt the run in."""
    attempt = folder / "attempts" / f"{run.id}.{uuid.uuid4().hex[:8]}"
    (attempt / "files").mkdir(parents=True)
    write(attempt / TASK, run.parameters)
    return attempt


def publish(folder: Path, run: Run, attempt: Path, record: dict) -> dict:
    """Make an attempt that is over the run, unless another was faster; returns the record that counts."""
    if not (attempt / TASK).is_file():  # written at its begin: others may have come back after it was cleared away
        raise FileNotFoundError(f"{attempt} was cleared away while it ran")
    with suppress(OSError):
        (attempt / "files").rmdir()  # if empty
    write(attempt / RECORD, record)
    try:
        attempt.rename(folder / "runs" / run.id)
    except OSError:
        there = record_of(folder, run)
        if there is None:
            raise
        discard(attempt)
        return there
    return record


def discard(*attempts: Path) -> None:
    """Clear attempts away, or runs that are to be done again."""
    for attempt in attempts:
        gone = attempt.parents[1] / "attempts" / f"{attempt.name}.{uuid.uuid4().hex[:8]}.discarded"
        with suppress(FileNotFoundError):
            attempt.rename(gone)  # first, and at once: from now on it cannot be published, and never half of it
        shutil.rmtree(gone, ignore_errors=True)


def write_tables(folder: Path, runs: Sequence[Run], lost: Mapping[str, str]) -> None:
    """Write ``runs.csv``, a row a run, and ``claims.csv``, a row a run and claim, from what the folder holds.

    lost: why a run that has no record did not come to its end, by id. Parameters are columns of their own names, with
    "parameter." before one that is the name of another column.
    """
    names = list(runs[0].parameters)
    taken = {"run", "claim", *RUN_COLUMNS, *CLAIM_COLUMNS}
    columns = ["run", *(f"parameter.{name}" if name in taken else name for name in names)]
    of_runs, of_claims = [[*columns, *RUN_COLUMNS]], [[*columns, "claim", *CLAIM_COLUMNS]]
    for run in runs:
        own = [run.id, *(value if isinstance(value, str) else repr(value) for value in run.parameters.values())]
        record = record_of(folder, run)
        if record is None:
            of_runs.append([*own, "lost" if run.id in lost else "missing", "", lost.get(run.id, "")])
            continue
        of_runs.append([*own, record["status"], record["seconds"], record["error"] or ""])
        for claim in read_records(folder / "runs" / run.id / "claims"):
            of_claims.append([*own, claim["id"], *("" if claim[c] is None else claim[c] for c in CLAIM_COLUMNS)])
    for name, rows in (("runs.csv", of_runs), ("claims.csv", of_claims)):
        table = io.StringIO(newline="")
        csv.writer(table).writerows(rows)
        write(folder / name, table.getvalue())


def read_json(path: Path, keys: Iterable[str], otherwise: str) -> dict:
    """The object in a file. Raises ValueError, saying what to do otherwise, if it is damaged or lacks one of the keys."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise ValueError(f"{path} is damaged ({problem}); {otherwise}") from None
    if not isinstance(content, dict) or set(keys) - content.keys():
        raise ValueError(f"{path} must hold an object with {', '.join(keys)}; {otherwise}")
    return content


def write(path: Path, content: str | Mapping) -> None:
    """Write text, or JSON, as a whole or not at all."""
    text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    replace_file(path, text.encode())
