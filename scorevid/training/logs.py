"""A training log: a line of JSON for each record, and whole lines only, whatever happens to the run."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path


def read_log(path: Path | str) -> list[dict]:
    """The log as a list of records: step, images, loss, seconds, images_per_second, lr."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def append_to_log(path: Path, record: dict) -> None:
    """Add a record and have it on the disk, so that no checkpoint is ever ahead of its log."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def trim_log(path: Path, step: int) -> None:
    """Drop lines of later steps, and any that a crash cut short, atomically; a run goes on from its checkpoint there."""
    if not path.exists():
        return
    lines = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(line + "\n" for line in lines))
    os.replace(partial, path)


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except json.JSONDecodeError:
        return math.inf
