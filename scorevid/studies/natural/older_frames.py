r"""Natural video: what frames before the last two add where they could add something.

Under a clean past, older frames add next to nothing. Either nothing is there, or networks cannot use it. Two changes to the
past put something there:

* *noise*: white noise of a standard deviation τ on all past frames, which older frames average out;
* *hidden*: a grey square hides the middle of a patch in the latest k frames, so that only older ones have shown it. The errors
  are those within the square.

One network answers for every memory (:class:`~scorevid.denoisers.memory.ShorterMemory`). A second one was trained further on
such past frames, so the two together say what is there and what was learned. Two baselines without training show what is
there: *mean* takes the mean of the latest m frames, and *copy* the last frame that shows a hidden place. They are joined with
what the network without a past makes of the noisy frame, by the best number for the shot with hindsight
(:mod:`scorevid.studies.natural.errors`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scorevid.denoisers.conditioned import Network
from scorevid.denoisers.memory import ShorterMemory
from scorevid.measures.errors import apply_batched
from scorevid.studies.natural.errors import best_mix
from scorevid.worlds.clips.patches import Patches

MEMORIES = (0, 1, 2, 3, 5, 7)  #: m, past frames that are seen
NOISES = (0.0, 0.1, 0.3)  #: τ on all past frames, grey units
HIDDEN = (1, 2, 4)  #: k, latest frames that hide the place
SIDE = 12  #: of the square, pixels
SIZE = 64  #: of the patches, pixels
MEAN, COPY = "mean", "copy"  #: the baselines, under noise and for hidden places


@dataclass(frozen=True)
class Case:
    """One change to the past: noise τ on all frames, or a place hidden in the latest ``hidden`` frames; not both."""

    noise: float = 0.0
    hidden: int = 0

    @property
    def label(self) -> str:
        """What stored records call it."""
        return f"hidden {self.hidden}" if self.hidden else f"noise {self.noise:g}"

    def past(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """The past (B, M, H, W) with the change; c stays as it is."""
        changed = c + self.noise * torch.randn(c.shape, generator=generator) if self.noise else c.clone()
        if self.hidden:
            where = changed[:, -self.hidden :, *_square(c)]
            where[:] = torch.rand(len(c), 1, 1, 1, generator=generator)
        return changed

    def judged(self, frames: Tensor) -> Tensor:
        """The pixels that count, of frames (B, C, H, W): the square where it is hidden, else all."""
        return frames[..., *_square(frames)] if self.hidden else frames


CASES = (*(Case(noise=tau) for tau in NOISES), *(Case(hidden=k) for k in HIDDEN))


def measure(networks: Mapping[str, Network], patches: Patches, sigmas: Sequence[float], seed: int = 0) -> list[dict]:
    """Errors on the patches of each shot, as plain data, one record a shot: shot, patches, and errors.

    networks: by name, with a memory of the largest of ``MEMORIES``, trained to do with fewer and with none;
    baselines are joined with what the first of them makes without a past. patches: with as
    many past frames. "errors": a list of case, network, memory, and squared_error at each σ, grey units². Noise is the same
    for all networks and memories. Of hidden places there is :data:`COPY` too, with the memory that it takes, and else
    :data:`MEAN` of the latest frames.
    """
    records = []
    for k, shot in enumerate(dict.fromkeys(patches.clip)):
        own = patches.select(torch.tensor([clip == shot for clip in patches.clip]))
        found: dict[tuple, list[float]] = {}
        for case in CASES:
            for j, sigma in enumerate(sigmas):
                draw = torch.Generator().manual_seed(1000 * (seed + k) + j)
                y = own.x + sigma * torch.randn(own.x.shape, generator=draw)
                for key, answer in _answers(networks, case, y, own.c, own.x, draw):
                    error = (case.judged(answer) - case.judged(own.x)).square().mean().item()
                    found.setdefault((case.label, *key), []).append(error)
        names = ("case", "network", "memory", "squared_error")
        errors = [dict(zip(names, (*key, v), strict=True)) for key, v in found.items()]
        records.append({"shot": shot, "patches": len(own.x), "errors": errors})
    return records


@torch.no_grad()
def _answers(networks, case: Case, y: Tensor, c: Tensor, x: Tensor, draw) -> Iterator[tuple[tuple[str, int], Tensor]]:
    """((network, memory), what it makes of y and the changed past) of one shot."""
    changed, without = case.past(c, draw), None
    for name, f in networks.items():
        for memory in MEMORIES:
            answer = apply_batched(ShorterMemory(f, memory), y, changed[:, c.shape[1] - memory :])
            without = answer if memory == 0 and without is None else without
            yield (name, memory), answer
    if not case.hidden:
        for memory in MEMORIES[1:]:
            yield (MEAN, memory), best_mix(changed[:, -memory:].mean(1, keepdim=True), without, x)
    else:
        last = c[:, -case.hidden - 1][:, None]
        mixed = without.clone()
        mixed[..., *_square(x)] = best_mix(*map(case.judged, (last, without, x)))
        yield (COPY, case.hidden + 1), mixed


def _square(frames: Tensor) -> tuple[slice, slice]:
    """Rows and columns of the square in the middle of frames."""
    return tuple(slice((size - SIDE) // 2, (size + SIDE) // 2) for size in frames.shape[-2:])
