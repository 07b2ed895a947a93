"""Checkpoints that survive a crash: written to a neighbour, flushed to disk, and moved into place."""

from __future__ import annotations

import os
from pathlib import Path

import torch


def save_checkpoint(path: Path, state: dict) -> None:
    """Write state (tensors, numbers, strings, lists, dicts) so that path always holds a whole checkpoint."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict:
    """Read a checkpoint without executing anything in it. Raises ValueError for a damaged file."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as problem:
        raise ValueError(f"{path} is not a whole checkpoint: {problem}") from problem
