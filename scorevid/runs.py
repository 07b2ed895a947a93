"""A folder of training as something to come back to: continue it, look at its averaged network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from scorevid.checkpoints import load_checkpoint
from scorevid.denoiser import Denoiser
from scorevid.noise import NoisePrior
from scorevid.training import Settings, Trainer
from scorevid.worlds.leaves import Leaves

WORLDS = {"Leaves": Leaves}


def open_run(folder: Path | str, device: torch.device | str = "cpu", *, steps: int | None = None, **changes) -> Trainer:
    """The trainer of a run as its checkpoint left it: world, network and settings are the run's own.

    steps: a new length of the whole run, over which the learning rate then falls. changes: other fields of
    :class:`~scorevid.training.Settings` to replace, such as ``compile``. Raises ValueError where there is no checkpoint.
    """
    path = Path(folder) / "checkpoint.pt"
    if not path.is_file():
        raise ValueError(f"there is no run to continue in {folder}: {path} does not exist")
    kept = load_checkpoint(path, device)
    world = dict(kept["world"])
    kind = world.pop("name")
    if kind not in WORLDS:
        raise ValueError(f"{path} was trained on the world {kind!r}; known are {', '.join(WORLDS)}")
    settings = Settings(**{**kept["settings"], "noise": NoisePrior(**kept["settings"]["noise"])})
    settings = replace(settings, steps=steps or settings.steps, **changes)
    return Trainer(Denoiser(**kept["config"]), WORLDS[kind](**world), settings, folder, device=device, resume=True)
