r"""What a world knows exactly about the next frame: finitely many futures and their probabilities.

With futures :math:`x_k` and probabilities :math:`w_k` the conditional is
:math:`p(x \mid c) = \sum_k w_k\, \delta(x - x_k)`. Everything that the paper estimates follows from these two
arrays: the noisy density, its score, the optimal denoiser (:mod:`scorevid.denoisers.exact`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass
class Futures:
    """The possible next frames of a batch of scenes.

    frames: (B, K, H, W) grey levels. K is the largest number of futures in the batch; scenes with fewer are padded.
    probabilities: (B, K), rows sum to one, zero where padded.
    """

    frames: Tensor
    probabilities: Tensor

    def __post_init__(self):
        if self.frames.ndim != 4 or self.probabilities.shape != self.frames.shape[:2]:
            raise ValueError(
                "futures need frames (B, K, H, W) and probabilities (B, K), "
                f"got {tuple(self.frames.shape)} and {tuple(self.probabilities.shape)}"
            )
        total = self.probabilities.sum(1)
        if (self.probabilities < 0).any() or not torch.allclose(total, torch.ones_like(total), atol=1e-4):
            raise ValueError("the probabilities of each scene must be non-negative and sum to one")

    @staticmethod
    def cat(laws: Sequence[Futures]) -> Futures:
        """The scenes of several batches in a row, padded to the most futures of any."""
        most = max(law.frames.shape[1] for law in laws)
        frames = [pad(law.frames, (0, 0, 0, 0, 0, most - law.frames.shape[1])) for law in laws]
        p = [pad(law.probabilities, (0, most - law.probabilities.shape[1])) for law in laws]
        return Futures(torch.cat(frames), torch.cat(p))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index) -> Futures:
        """A sub-batch; an integer keeps the batch axis."""
        index = slice(index, index + 1 or None) if isinstance(index, int) else index
        return Futures(self.frames[index], self.probabilities[index])

    def repeat(self, n: int) -> Futures:
        """Each scene n times in a row (``repeat_interleave``), as the samplers lay out their batches."""
        return Futures(self.frames.repeat_interleave(n, 0), self.probabilities.repeat_interleave(n, 0))

    def to(self, *args, **kwargs) -> Futures:
        """Move or cast both arrays, as a tensor's ``to``."""
        return Futures(self.frames.to(*args, **kwargs), self.probabilities.to(*args, **kwargs))

    def count(self) -> Tensor:
        """Number of futures with positive probability, (B,)."""
        return (self.probabilities > 0).sum(1)

    def closest(self) -> Tensor:
        """Least distance ‖x_j − x_k‖ of two possible futures of each scene, (B,), in grey units; ∞ where there is only one."""
        possible = self.probabilities > 0
        alone = torch.eye(possible.shape[1], dtype=torch.bool, device=possible.device)
        pairs = possible[:, :, None] & possible[:, None] & ~alone
        frames = (self.frames - self.mean()).flatten(2)
        return torch.cdist(frames, frames).masked_fill(~pairs, torch.inf).amin((1, 2))

    def without_padding(self) -> Futures:
        """The possible futures of each scene first, in their order, and no more room than the scene with the most needs."""
        possible = self.probabilities > 0
        most = int(possible.sum(1).max()) if len(self) else 1
        first = possible.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
        frames = self.frames.gather(1, first[:, :, None, None].expand(-1, -1, *self.frames.shape[2:]))
        return Futures(frames, self.probabilities.gather(1, first))

    def draw(self, generator: torch.Generator) -> Tensor:
        """One future of each scene, drawn with its probability, (B, 1, H, W)."""
        chosen = torch.multinomial(self.probabilities, 1, generator=generator)[:, 0]
        return self.frames[torch.arange(len(self), device=chosen.device), chosen][:, None]

    def mean(self) -> Tensor:
        """E[x | c], (B, 1, H, W): what squared error makes of an undecided future."""
        return torch.einsum("bk,bkhw->bhw", self.probabilities, self.frames)[:, None]

    def ambiguity(self) -> Tensor:
        r"""Tr Cov[x | c] = :math:`\sum_k w_k \|x_k - E[x|c]\|^2`, (B,)."""
        squares = (self.frames - self.mean()).square().sum((2, 3))
        return (self.probabilities * squares).sum(1)

    def where(self, tolerance: float = 1e-3) -> Tensor:
        """Pixels in which futures of positive probability differ by more than the tolerance, (B, 1, H, W) bool."""
        possible = (self.probabilities > 0)[:, :, None, None]
        highest = self.frames.masked_fill(~possible, -torch.inf).amax(1, keepdim=True)
        lowest = self.frames.masked_fill(~possible, torch.inf).amin(1, keepdim=True)
        return highest - lowest > tolerance
