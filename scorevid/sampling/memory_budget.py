"""How many frames a network can be given at once before the memory is full."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from scorevid.denoisers.protocol import AnyDenoiser

SHARE = 0.5  #: of the free memory, for one evaluation; the rest is for whatever else takes memory meanwhile
#: bytes a pixel for each channel of the widest layer: eight maps as wide as that, in single precision and full resolution.
#: A U-Net, which is widest where its maps are smallest, allocates less in a whole evaluation, even if nothing were freed.
PER_CHANNEL = 32


def frames_at_once(f: AnyDenoiser, c: Tensor) -> int:
    """How many frames the denoiser f may be given at once with these pasts c (n, M, H, W): all, unless they fill the memory.

    A network is taken to need :data:`PER_CHANNEL` bytes a pixel and channel of its widest layer, of :data:`SHARE` of the free
    memory; it gets 1 frame at least. What is no network is given all, for it may hold something for each frame of the whole.
    """
    if not isinstance(f, nn.Module):
        return len(c)
    widest = max((len(p) for p in f.parameters() if p.ndim), default=128)
    fit = SHARE * free_memory(c.device) / (PER_CHANNEL * widest * c.shape[2] * c.shape[3])
    return max(1, int(min(fit, len(c))))


def free_memory(device: torch.device) -> float:
    """Bytes that can still be had on a device; on processors within the limits of containers too. ∞ where it is not known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_of_machine(), _of_groups())


def _of_machine() -> float:
    with suppress(OSError):  # there is no such file but on Linux
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return math.inf


def _of_groups(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """The least that is left to this process's control group and to those around it, versions 1 and 2."""
    files = {  # of a group's limit and use, and in its statistics the files that the system keeps in memory but can drop
        "": ("memory.max", "memory.current", "inactive_file"),
        "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    }
    left = [math.inf]
    with suppress(OSError):
        for _, controllers, path in (line.split(":", 2) for line in own.read_text().splitlines()):
            group = root / controllers / path.lstrip("/")
            if controllers in files:
                left += [_of_group(folder, *files[controllers]) for folder in (group, *group.parents)]
    return min(left)


def _of_group(group: Path, limit: str, usage: str, cache: str) -> float:
    try:
        most, used = int((group / limit).read_text()), int((group / usage).read_text())
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file, or the limit is "max"
        return math.inf
    return most - used + int(kept.get(cache, 0))
