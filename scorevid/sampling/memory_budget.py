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
PER_CHANNEL = 32  # bytes a pixel for each channel of the widest layer, which a network may be trusted to stay below


def frames_at_once(f: nn.Module, y: Tensor, c: Tensor, *more: Tensor) -> int:
    """How many of the frames y the network f may be given at once: all, unless they would fill the memory.

    y (n, 1, H, W), c (n, M, H, W), more (n, …): what f takes. Where ``PER_CHANNEL`` bytes a pixel and channel of f's
    widest layer would fit into ``SHARE`` of the free memory nothing is measured. Elsewhere f is evaluated once, on the
    first frame, and is taken to need what all its operations give out together, as if nothing were given back meanwhile.
    At least 1.
    """
    budget = SHARE * free_memory(y.device)
    channels = max((len(p) for p in f.parameters() if p.ndim), default=128)
    if y.numel() * channels * PER_CHANNEL <= budget:
        return len(y)
    with torch.no_grad(), _Given() as given:
        getattr(f, "_orig_mod", f)(y[:1], c[:1], *(t[:1] for t in more))  # of a compiled network the plain one
    return max(1, min(len(y), int(budget / max(1, given.bytes))))


def free_memory(device: torch.device) -> float:
    """Bytes that can still be had on a device; ∞ where nobody tells.

    On processors also within the limits that control groups set, those of a container or of a batch job on Linux.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_of_machine(), _of_groups())


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


def _of_groups(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """The least that is left to this process's control group and to those around it, versions 1 and 2."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return math.inf
    left = math.inf
    for _, controllers, path in lines:
        if controllers not in ("", "memory"):
            continue
        folder = root / controllers
        names = ("memory.max", "memory.current", "inactive_file")
        if controllers:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        for group in (folder, *(folder / Path(*Path(path).parts[1:n]) for n in range(2, len(Path(path).parts) + 1))):
            left = min(left, _of_group(group, *names))
    return left


def _of_group(group: Path, limit: str, usage: str, cache: str) -> float:
    """What a group's limit leaves, files that the system keeps in memory but can drop not counted as used."""
    try:
        most, used = int((group / limit).read_text()), int((group / usage).read_text())
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # none, or "max"
        return math.inf
    return most - used + int(kept.get(cache, 0))
