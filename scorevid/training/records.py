"""What a run leaves in its folder: a checkpoint that survives a crash, and a log of whole lines, whatever happens."""

from __future__ import annotations

import io
import json
import math
import os
import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from scorevid import __version__
from scorevid.denoisers.conditioned import build_network
from scorevid.files import named_errors, replace_file
from scorevid.noise.prior import NoisePrior, PastNoise
from scorevid.training.steps import Settings, TrainState

FORMAT = 2  # of checkpoints; 1, which names no format, was written up to version 0.1
# what settings were called up to then
FIRST_NAMES = {"settle": "freeze_norm_after", "settled_rate": "frozen_lr_factor", "averaging": "ema_decay"}


@dataclass
class Checkpoint:
    """A run as it is stored. Tensors lie on the device of the run."""

    settings: Settings
    state: TrainState
    world: dict  # as of scorevid.worlds.registry.describe_world
    config: dict  # of the network
    network: dict  # weights by name
    ema: list  # averaged weights, in the order of the network's parameters
    optimisers: list[dict]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, so that path always holds a whole one. Raises OSError that names the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {"format": FORMAT, "settings": asdict(checkpoint.settings), "state": vars(checkpoint.state)}
    content = io.BytesIO()
    torch.save(vars(checkpoint) | plain, content)
    replace_file(path, content.getbuffer())


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint of any format without executing anything in it. Raises ValueError where there is none to be read."""
    if not path.is_file():
        raise ValueError(f"there is no run to continue in {path.parent}: {path} does not exist")
    with path.open("rb") as file:
        begin = file.read(40)
    if begin.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a pointer of Git LFS and not the checkpoint itself: fetch that by git lfs pull")
    try:
        kept = torch.load(path, map_location=device, weights_only=True)
    except Exception:  # whose advice would be to execute what is in it
        what = "is not a whole checkpoint: it is damaged, cut short, or another program's" if begin else "is empty"
        raise ValueError(f"{path} {what}; restore it, or train anew in another folder") from None
    try:
        kept = migrate(kept)
        if missing := {f.name for f in fields(TrainState)} - kept["state"].keys():
            raise KeyError(*missing)
        laws = {"noise": NoisePrior(**kept["settings"]["noise"]), "past": PastNoise(**kept["settings"]["past"])}
        kept["settings"], kept["state"] = Settings(**kept["settings"] | laws), TrainState(**kept["state"])
        build_network(kept["config"]).load_state_dict(kept["network"])
        return Checkpoint(**{f.name: kept[f.name] for f in fields(Checkpoint)})
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as problem:
        why = f"it lacks {problem}" if isinstance(problem, KeyError) else str(problem).splitlines()[0]
        text = f"{path} is no checkpoint that this version of scorevid ({__version__}) can read: {why}"
        raise ValueError(f"{text}; go on with the version that wrote it") from problem


def migrate(kept: dict) -> dict:
    """A stored checkpoint of any format in the form of the current one. Raises ValueError or KeyError for what is none."""
    if not isinstance(kept, dict):
        raise ValueError(f"it holds a {type(kept).__name__}")
    if kept.get("format", 1) > FORMAT:
        raise ValueError(f"its format is {kept['format']}, and {FORMAT} the newest that is known")
    if "format" in kept:
        return kept

    def renamed(settings: dict) -> dict:
        return {FIRST_NAMES.get(name, name): value for name, value in settings.items()}

    same, own = ("step", "images", "seconds", "made_on"), ("steps", "settled", "settled_at", "running")
    new = ("planned_steps", "frozen", "frozen_at", "running_loss")
    state = {name: kept[name] for name in same} | {name: kept[old] for name, old in zip(new, own, strict=True)}
    return {
        "state": state | {"changes": list(map(renamed, kept["changes"]))},
        "settings": {"frozen_lr_factor": 1.0, "past": {}} | renamed(kept["settings"]),  # which older ones lack
        "ema": kept["average"],
        **{name: kept[name] for name in ("world", "config", "network", "optimisers")},
    }


def read_log(path: Path | str) -> list[dict]:
    """The log as a list of records: step, images, loss, seconds, images_per_second, lr.

    Lines that are no whole record, as a power cut leaves them, are left out, and a warning counts them.
    """
    records = _records(path)
    if lost := records.count(None):
        warnings.warn(f"{path}: {lost} of {len(records)} lines are no whole records and are left out", stacklevel=2)
    return [record for record in records if record is not None]


def append_to_log(path: Path, record: dict) -> None:
    """Add a record and have it on the disk, so that no checkpoint is ever ahead of its log."""
    with named_errors(path), path.open("a") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def trim_log(path: Path, step: int) -> None:
    """Drop lines of later steps, and any that a crash cut short, atomically; a run goes on from its checkpoint there."""
    if path.exists():
        kept = (record for record in _records(path) if record and record.get("step", math.inf) <= step)
        replace_file(path, "".join(json.dumps(record) + "\n" for record in kept).encode())


def _records(path: Path | str) -> list[dict | None]:
    """The records of each line; None for what is none."""

    def parse(line: str) -> dict | None:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            return None
        return record if isinstance(record, dict) else None

    return [parse(line) for line in Path(path).read_text(errors="replace").splitlines()]
