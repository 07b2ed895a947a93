"""A folder of training as something to come back to: continue it, look at its averaged network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from scorevid.denoisers.conditioned import build_network
from scorevid.noise.prior import NoisePrior, PastNoise
from scorevid.training.checkpoints import load_checkpoint
from scorevid.training.trainer import Settings, Trainer
from scorevid.worlds.registry import make_world


def read_run(folder: Path | str) -> tuple[Settings, object, dict]:
    """Settings, world and network configuration of a run. Raises ValueError where there is no checkpoint."""
    path = Path(folder) / "checkpoint.pt"
    if not path.is_file():
        raise ValueError(f"there is no run to continue in {folder}: {path} does not exist")
    kept = load_checkpoint(path)
    own = kept["settings"]
    laws = {"noise": NoisePrior(**own["noise"]), "past": PastNoise(**own.get("past", {}))}
    settings = Settings(**{"settled_rate": 1.0, **own, **laws})  # it is newer than some checkpoints
    return settings, make_world(kept["world"]), kept["config"]


def open_run(folder: Path | str, device: torch.device | str = "cpu", *, world=None, **changes) -> Trainer:
    """The trainer of a run as its checkpoint left it: world, network and settings are the run's own.

    world: another one to go on with, of the same kind, frame size and memory. changes: fields of
    :class:`~scorevid.training.trainer.Settings` to replace from here on, such as ``steps``, a new length of the whole run, over
    which the learning rate then falls. Raises ValueError where there is no checkpoint, for a world that does not fit,
    and for another optimiser, whose state the checkpoint does not hold.
    """
    settings, own, config = read_run(folder)
    settings, world = replace(settings, **changes), own if world is None else world
    if (type(world), world.size, world.memory) != (type(own), own.size, own.memory):
        raise ValueError(f"the run in {folder} goes on with frames and a memory like those of {own}, not with {world}")
    return Trainer(build_network(config), world, settings, folder, device=device, resume=True)
