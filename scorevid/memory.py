"""How many frames a network can be given at once before the memory is full."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SHARE = 0.5  # of the memory that is free, for one evaluation
PER_PIXEL = 4096  # bytes, which a network may be trusted to stay below where memory is no question


def frames_at_once(f: nn.Module, y: Tensor, c: Tensor, *more: Tensor) -> int:
    """How many of the frames y the network f may be given at once: all, unless they would fill the memory.

    y (n, 1, H, W), c (n, M, H, W), more (n, …): what f takes. Where ``PER_PIXEL`` bytes a pixel would fit into ``SHARE`` of
    the free memory nothing is measured. Elsewhere f is evaluated once, on the first frame, and is taken to need what all
    its operations give out together, as if nothing were given back meanwhile. At least 1.
    """
    budget = SHARE * free_memory(y.device)
    if y.numel() * PER_PIXEL <= budget:
        return len(y)
    with torch.no_grad(), _Given() as given:
        getattr(f, "_orig_mod", f)(y[:1], c[:1], *(t[:1] for t in more))  # of a compiled network the plain one
    return max(1, min(len(y), int(budget / max(1, given.bytes))))


def free_memory(device: torch.device) -> float:
    """Bytes that can still be had on a device, within the limit of the process's group too; ∞ where nobody tells."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_of_machine(), _of_group())


class _Given(TorchDispatchMode):
    """Counts the bytes of new memory that operations give out."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        old = _memory((args, kwargs))
        self.bytes += sum(size for place, size in _memory(result).items() if place not in old)
        return result


def _memory(tree: object) -> dict[int, int]:
    """Place and size in bytes of what the tensors in it are kept in; views share theirs."""
    storages = (leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


def _of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return math.inf


def _of_group(root: Path = Path("/sys/fs/cgroup")) -> float:
    try:
        most = (root / "memory.max").read_text().strip()
        return math.inf if most == "max" else int(most) - int((root / "memory.current").read_text())
    except (OSError, ValueError):
        return math.inf
