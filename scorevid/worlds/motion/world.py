"""Complex motion: equal shares of the four worlds of this room in each batch, to train one network on all of them.

The past shows which world a scene is of. Each world has its own defaults, but for size and memory. Where shares cannot be
equal, as in a batch of five, the worlds that have one scene more are drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.futures import Futures
from scorevid.worlds.motion.bending import Bending
from scorevid.worlds.motion.camera import Camera
from scorevid.worlds.motion.digits import Digits
from scorevid.worlds.motion.turns import Turns
from scorevid.worlds.registry import TestScenes, register

KINDS = {"turns": Turns, "bending": Bending, "camera": Camera, "digits": Digits}  #: the worlds by their names here


@register("train-motion", "complex motion, four worlds at once", "motion")
@dataclass(frozen=True)
class Motion:
    """The mixture of worlds of complex motion. Raises ValueError for values that describe no world."""

    size: int = 32  # frames are size x size pixels
    memory: int = 3  # M, past frames
    kinds: tuple[str, ...] = tuple(KINDS)  # the worlds that are mixed

    def __post_init__(self):
        if not isinstance(self.kinds, tuple) or not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ValueError(f"kinds must be different names of worlds, got {self.kinds!r}")
        for kind in self.kinds:
            checks.one_of("kinds", kind, KINDS)
        self.worlds()

    def worlds(self) -> list:
        """The worlds that are mixed, in the order of ``kinds``."""
        return [KINDS[kind](size=self.size, memory=self.memory) for kind in self.kinds]

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W) and next frame x (batch, 1, H, W), in random order."""
        video = self.video(batch, 1, generator)
        return video[:, :-1], video[:, -1:]

    def video(self, batch: int, frames: int, generator: torch.Generator) -> Tensor:
        """M past frames and ``frames`` that follow, oldest first, (batch, M + frames, H, W)."""
        videos = self._shared(batch, generator, lambda world, n: world.video(n, frames, generator))
        order = torch.randperm(batch, generator=generator, device=generator.device)
        return torch.cat(videos)[order]

    def test_scenes(self, n: int, generator: torch.Generator) -> TestScenes:
        """Random scenes to judge a denoiser by, and those with finitely many known futures of the worlds that have them."""

        def draw(world, share: int) -> TestScenes:
            test = getattr(world, "test_scenes", lambda *given: TestScenes.draw(world, *given))
            return test(share, generator)

        drawn = self._shared(n, generator, draw)
        c, x = torch.cat([test.c for test in drawn]), torch.cat([test.x for test in drawn])
        undecided = self.undecided if self._undecided() else None
        return TestScenes(c, x, (c[:, -1:] - x).square().mean(), undecided=undecided)

    def undecided(self, n: int, generator: torch.Generator) -> tuple[Tensor, Futures]:
        """Past c (n, M, H, W) and law of undecided scenes, in equal shares, of the worlds that have them, one after the other.

        Raises ValueError where none has.
        """
        if not (open_ := self._undecided()):
            raise ValueError(f"kinds must have one of which the next frame is undecided, got {self.kinds}")
        drawn = self._shared(n, generator, lambda world, share: world.undecided(share, generator), open_)
        return torch.cat([c for c, _ in drawn]), Futures.cat([law for _, law in drawn])

    def _undecided(self) -> list:
        """Those of the worlds whose next frame is one of finitely many."""
        return [world for world in self.worlds() if hasattr(world, "undecided")]

    def _shared(self, n: int, generator: torch.Generator, draw: Callable, worlds: list | None = None) -> list:
        """What ``draw(world, share)`` returns of each world. Shares add up to n; worlds without one are left out."""
        checks.integer("n", n)
        worlds = worlds or self.worlds()
        lucky = torch.randperm(len(worlds), generator=generator, device=generator.device).tolist()
        shares = [n // len(worlds) + (turn < n % len(worlds)) for turn in lucky]
        return [draw(world, share) for world, share in zip(worlds, shares, strict=True) if share]
