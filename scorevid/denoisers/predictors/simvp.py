r"""Video prediction by convolutions only: encoder, translator, decoder (Gao et al. 2022, arXiv 2206.05099).

Each past frame goes alone through the same encoder. The translator takes the coarse features of all frames, stacked on the
channel axis, to those of the next frame; only here do the frames meet. It is a chain of blocks of :class:`Inception`,

.. math:: z \leftarrow \sum_{k \in \{3, 5, 7, 11\}} \mathrm{Conv}_{k \times k}(\mathrm{Conv}_{1 \times 1}(z)) .

Its large kernels see motion of several pixels. Their convolutions are in groups of channels, so that they have few weights.
The decoder leads back to the frame. Before its last convolution it is given what the first one of the encoder made of
the latest past frame.

Convolutions are followed by a normalisation over channels and pixels of each example and by a leaky ReLU. So an output depends
on no other example, in training and in evaluation, and the network is not homogeneous.

The paper predicts as many frames as it is given, and each has a skip from the past frame at its place. Here the translator
ends with the features of one frame, which has a skip from the latest past frame. Frames are taken about mid-grey. Sizes are
our choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from scorevid import checks
from scorevid.denoisers.unet import upsample2x

KERNELS = (3, 5, 7, 11)  # of a block of the translator
GROUPS = 8  # of its channels, or fewer where they do not divide


class NormConv(nn.Sequential):
    """Convolution, normalisation of each example, leaky ReLU. (B, channels_in, H, W) -> (B, channels, H / stride, …)."""

    def __init__(self, channels_in: int, channels: int, kernel: int = 3, stride: int = 1, groups: int = 1):
        convolution = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, groups=groups)
        super().__init__(convolution, nn.GroupNorm(1, channels), nn.LeakyReLU(0.2))


class Inception(nn.Module):
    """A block of the translator: the sum of convolutions of four sizes. (B, channels_in, H, W) -> (B, channels, H, W).

    hidden: channels between the 1 × 1 convolution and the others.
    """

    def __init__(self, channels_in: int, hidden: int, channels: int):
        super().__init__()
        groups = math.gcd(hidden, channels, GROUPS)
        self.mix = nn.Conv2d(channels_in, hidden, 1)
        self.branches = nn.ModuleList(NormConv(hidden, channels, k, groups=groups) for k in KERNELS)

    def forward(self, z: Tensor) -> Tensor:
        """The sum over all sizes of kernels."""
        z = self.mix(z)
        return sum(branch(z) for branch in self.branches)


class SimVP(nn.Module):
    """f(y, c) = E[x | c] by convolutions only. y is ignored and may be None.

    memory: number M of past frames, at least 1. widths: channels at each scale, finest first. hidden: channels within the
    translator, at least 2. blocks: how many blocks it has, at least 2. Frames may be of any height and width divisible by
    ``2 ** (len(widths) - 1)``. Raises ValueError for other values.
    """

    needs_sigma = False

    def __init__(self, memory: int = 2, widths: Sequence[int] = (32, 32, 32), hidden: int = 112, blocks: int = 3):
        super().__init__()
        checks.integer("memory", memory)
        checks.integer("hidden", hidden, 2, 10**6)
        checks.integer("blocks", blocks, 2, 100)
        checks.widths(widths)
        self.memory, self.widths, self.hidden, self.blocks = memory, tuple(widths), hidden, blocks
        finer, coarser, first, last = self.widths[:-1], self.widths[1:], self.widths[0], self.widths[-1]
        self.encoder = nn.ModuleList([NormConv(1, first)])
        self.encoder.extend(NormConv(a, b, stride=2) for a, b in zip(finer, coarser, strict=True))
        channels = [memory * last, *[hidden] * (blocks - 1), last]
        self.translator = nn.Sequential(*(Inception(a, hidden // 2, b) for a, b in pairwise(channels)))
        self.decoder = nn.ModuleList(NormConv(b, a) for a, b in zip(finer, coarser, strict=True))
        self.meet = NormConv(2 * first, first)
        self.out = nn.Conv2d(first, 1, 1)

    @property
    def config(self) -> dict:
        """Arguments that build this network again."""
        own = {"memory": self.memory, "widths": list(self.widths), "hidden": self.hidden, "blocks": self.blocks}
        return {"type": "SimVP"} | own

    def forward(self, y: Tensor | None, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """c (B, M, H, W) in grey levels; returns (B, 1, H, W). y and sigma are ignored."""
        checks.frames("c", c, self.memory)
        checks.multiples(2 ** (len(self.widths) - 1), c)
        x = (c - 0.5).flatten(0, 1)[:, None].to(self.out.weight.dtype)
        x = self.encoder[0](x)
        latest = x.unflatten(0, c.shape[:2])[:, -1]
        for layer in self.encoder[1:]:
            x = layer(x)
        x = self.translator(x.unflatten(0, c.shape[:2]).flatten(1, 2))
        for layer in reversed(self.decoder):
            x = upsample2x(layer(x))
        return 0.5 + self.out(self.meet(torch.cat([x, latest], 1))).to(c.dtype)

    def squared_error(self, y: Tensor | None, c: Tensor, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """The training loss: mean square of f(y, c) − x over frames and pixels."""
        return (self(None, c) - x).square().mean()
