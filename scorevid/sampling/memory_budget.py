"""How many frames a network can be given at once before the memory is full."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scorevid.denoisers.protocol import denoise

SHARE = 0.5  # of the free memory, for one evaluation; the rest is for whatever else takes memory meanwhile
# bytes a pixel for each channel of the widest layer: eight maps as wide as that, in single precision and full resolution.
# A U-Net, which is widest where its maps are smallest, stays far below.
PER_CHANNEL = 32


def frames_at_once(f: nn.Module, y: Tensor, c: Tensor, sigma: float) -> int:
    """How many of the frames y the network f may be given at once: all, unless they would fill the memory.

    y (n, 1, H, W), c (n, M, H, W), sigma: what f takes. Where :data:`PER_CHANNEL` bytes a pixel and channel of f's widest
    layer would fit into :data:`SHARE` of the free memory nothing is measured. Elsewhere f is evaluated once, on the first
    frame, and is taken to need what all its operations allocate together, as if nothing were freed meanwhile. At least 1.
    """
    budget = SHARE * free_memory(y.device)
    widest = max((len(p) for p in f.parameters() if p.ndim), default=128)
    if y.numel() * widest * PER_CHANNEL <= budget:
        return len(y)
    plain = getattr(f, "_orig_mod", f)  # of a compiled network
    with torch.no_grad(), _Allocated() as allocated:
        denoise(plain, y[:1], c[:1], sigma)
    return max(1, min(len(y), int(budget / max(1, allocated.bytes))))


def free_memory(device: torch.device) -> float:
    """Bytes that can still be had on a device; ∞ where nobody tells.

    On processors also within the limits that control groups set, those of a container or of a batch job on Linux.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_of_machine(), _of_groups())


class _Allocated(TorchDispatchMode):
    """Counts the bytes of the new memory that operations put their results into."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        old = _storages((args, kwargs))
        self.bytes += sum(size for address, size in _storages(result).items() if address not in old)
        return result


def _storages(tree: object) -> dict[int, int]:
    """Address and size in bytes of the memory of all tensors in a tree; views share theirs."""
    storages = [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


def _of_machine() -> float:
    with suppress(OSError):  # there is no such file but on Linux
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return math.inf


def _of_groups(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """The least that is left to this process's control group and to those around it, versions 1 and 2."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return math.inf
    left = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        group = root / controllers / path.lstrip("/")
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
        elif controllers == "memory":
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        left += [_of_group(folder, *names) for folder in (group, *group.parents)]
    return min(left)


def _of_group(group: Path, limit: str, usage: str, cache: str) -> float:
    """What a group's limit leaves. Files that the system keeps in memory but can drop do not count as used."""
    try:
        most, used = int((group / limit).read_text()), int((group / usage).read_text())
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file, or the limit is "max"
        return math.inf
    return most - used + int(kept.get(cache, 0))
