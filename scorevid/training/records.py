"""What a run leaves in its folder: a checkpoint that survives a crash, and a log of whole lines, whatever happens to the run."""

from __future__ import annotations

import json
import math
import os
import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from scorevid.noise.prior import NoisePrior, PastNoise
from scorevid.training.steps import Settings, TrainState

FORMAT = 2  # of checkpoints; 1, which names no format, was written up to version 0.1
RENAMED = {"settle": "freeze_norm_after", "settled_rate": "frozen_lr_factor", "averaging": "ema_decay"}  # since 1


@dataclass
class Checkpoint:
    """A run as it is stored. Tensors lie on the device of the run."""

    settings: Settings
    world: dict  # as of scorevid.worlds.registry.describe_world
    config: dict  # of the network
    state: TrainState
    network: dict  # weights by name
    ema: list  # averaged weights, in the order of the network's parameters
    optimisers: list[dict]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that path always holds a whole one: to a neighbour, flushed to disk, and moved into place."""
    partial = path.with_name(path.name + ".partial")
    kept = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}
    kept |= {"format": FORMAT, "settings": asdict(checkpoint.settings), "state": vars(checkpoint.state)}
    with partial.open("wb") as file:
        torch.save(kept, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint of any format, without executing anything in it. Raises ValueError where there is none to be read."""
    if not path.is_file():
        raise ValueError(f"there is no run to continue in {path.parent}: {path} does not exist")
    try:
        kept = torch.load(path, map_location=device, weights_only=True)
    except Exception as problem:
        raise ValueError(f"{path} is not a whole checkpoint: {problem}") from problem
    kept = migrate(kept)
    laws = {"noise": NoisePrior(**kept["settings"]["noise"]), "past": PastNoise(**kept["settings"]["past"])}
    kept["settings"], kept["state"] = Settings(**kept["settings"] | laws), TrainState(**kept["state"])
    return Checkpoint(**{f.name: kept[f.name] for f in fields(Checkpoint)})


def migrate(kept: dict) -> dict:
    """A stored checkpoint of any format in the form of the current one."""
    if kept.get("format", 1) > FORMAT:
        raise ValueError(f"format {kept['format']} is newer than this version of scorevid, which reads up to {FORMAT}")
    if "format" in kept:
        return kept

    def renamed(settings: dict) -> dict:
        return {RENAMED.get(name, name): value for name, value in settings.items()}

    same = {name: kept[name] for name in ("step", "images", "seconds", "made_on")}
    own = {"planned_steps": "steps", "frozen": "settled", "frozen_at": "settled_at", "running_loss": "running"}
    state = same | {name: kept[old] for name, old in own.items()} | {"changes": list(map(renamed, kept["changes"]))}
    settings = {"frozen_lr_factor": 1.0, "past": {}} | renamed(kept["settings"])  # which older ones lack
    same = {name: kept[name] for name in ("world", "config", "network", "optimisers")}
    return same | {"format": FORMAT, "settings": settings, "state": state, "ema": kept["average"]}


def read_log(path: Path | str) -> list[dict]:
    """The log as a list of records: step, images, loss, seconds, images_per_second, lr.

    Lines that are no whole record, as a power cut leaves them, are left out, and a warning counts them.
    """
    lines = Path(path).read_text(errors="replace").splitlines()
    records = [record for record in map(_record, lines) if record is not None]
    if lost := len(lines) - len(records):
        warnings.warn(f"{path}: {lost} of {len(lines)} lines are no whole records and are left out", stacklevel=2)
    return records


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
    lines = path.read_text(errors="replace").splitlines()
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(line + "\n" for line in lines if (_record(line) or {}).get("step", math.inf) <= step))
    os.replace(partial, path)


def _record(line: str) -> dict | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None
