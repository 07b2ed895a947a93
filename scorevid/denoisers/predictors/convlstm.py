r"""A convolutional LSTM: the past in the states of recurrent cells (Shi et al. 2015, arXiv 1506.04214).

A layer has a state h and a memory cell C, both images of some channels that start from zero. With ∗ a 3 × 3 convolution and ∘
the product of each channel with its own number, it meets the features :math:`x_j` of one past frame after the other, oldest
first (equation 3 of the paper):

.. math::
    i_j &= \sigma(W_{xi} * x_j + W_{hi} * h_{j-1} + w_{ci} \circ C_{j-1} + b_i) \\
    f_j &= \sigma(W_{xf} * x_j + W_{hf} * h_{j-1} + w_{cf} \circ C_{j-1} + b_f) \\
    C_j &= f_j\, C_{j-1} + i_j \tanh(W_{xc} * x_j + W_{hc} * h_{j-1} + b_c) \\
    o_j &= \sigma(W_{xo} * x_j + W_{ho} * h_{j-1} + w_{co} \circ C_j + b_o) \\
    h_j &= o_j \tanh C_j .

Here σ is the logistic function. The states of one layer are what the next one meets. As in the paper, the last states of all
layers are put together and a 1 × 1 convolution reads them.

Three things are our choice. The paper cuts frames into patches; here convolutions of stride 2 lead to the coarse scale of the
cells, and others lead back from it. Each channel has one weight :math:`w_c`, where the paper has one for each
pixel; so frames may have any size. Only one frame is predicted; so there is no second network that runs on from the states of
the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scorevid import checks
from scorevid.denoisers.unet import ScaledConv, upsample2x


class Layer(nn.Module):
    """One layer: features of all past frames (B, M, channels_in, H, W) -> its states after each (B, M, channels, H, W)."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.look = nn.Conv2d(channels_in, 4 * channels, 3, padding=1)
        self.carry = nn.Conv2d(channels, 4 * channels, 3, padding=1, bias=False)
        self.peepholes = nn.Parameter(torch.zeros(3, channels))  # w_ci, w_cf, w_co

    def forward(self, x: Tensor) -> Tensor:
        """The states h after each frame."""
        of_i, of_f, of_o = self.peepholes[:, :, None, None].unbind()
        seen = self.look(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        cell, states = torch.zeros_like(seen[:, 0, : len(of_i)]), []
        for gates in seen.unbind(1):
            i, f, g, o = (gates + self.carry(states[-1]) if states else gates).chunk(4, 1)
            kept = torch.sigmoid(f + of_f * cell) * cell
            cell = kept + torch.sigmoid(i + of_i * cell) * torch.tanh(g)
            states.append(torch.sigmoid(o + of_o * cell) * torch.tanh(cell))
        return torch.stack(states, 1)


class ConvLSTM(nn.Module):
    """f(y, c) = E[x | c] by layers of recurrent cells. y is ignored and may be None.

    memory: number M of past frames it is trained with, at least 1; it takes any number of them. widths: channels at each
    scale, finest first; the cells are at the last. layers: how many layers of cells. Frames may be of any height and width
    divisible by ``2 ** (len(widths) - 1)``. Raises ValueError for other values.
    """

    needs_sigma = False

    def __init__(self, memory: int = 2, widths: Sequence[int] = (16, 32, 48), layers: int = 2):
        super().__init__()
        checks.integer("memory", memory)
        checks.integer("layers", layers, most=100)
        checks.widths(widths)
        self.memory, self.widths, self.layers = memory, tuple(widths), layers
        finer, coarser, last = self.widths[:-1], self.widths[1:], self.widths[-1]
        self.encoder = nn.ModuleList([ScaledConv(1, self.widths[0], True, False)])
        self.encoder.extend(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(finer, coarser, strict=True))
        self.cells = nn.Sequential(*(Layer(last, last) for _ in range(layers)))
        self.read = nn.Conv2d(layers * last, last, 1)
        self.decoder = nn.ModuleList(ScaledConv(b, a, True, False) for a, b in zip(finer, coarser, strict=True))
        self.out = nn.Conv2d(self.widths[0], 1, 3, padding=1)

    @property
    def config(self) -> dict:
        """Arguments that build this network again."""
        return {"type": "ConvLSTM", "memory": self.memory, "widths": list(self.widths), "layers": self.layers}

    def forward(self, y: Tensor | None, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """c (B, m, H, W) in grey levels, m ≥ 1; returns (B, 1, H, W). y and sigma are ignored."""
        checks.frames("c", c)
        checks.multiples(2 ** (len(self.widths) - 1), c)
        x = (c - 0.5).flatten(0, 1)[:, None].to(self.out.weight.dtype)
        for layer in self.encoder:
            x = F.relu(layer(x))
        x, last = x.unflatten(0, c.shape[:2]), []
        for layer in self.cells:
            x = layer(x)
            last.append(x[:, -1])
        x = F.relu(self.read(torch.cat(last, 1)))
        for layer in reversed(self.decoder):
            x = upsample2x(F.relu(layer(x)))
        return 0.5 + self.out(x).to(c.dtype)

    def squared_error(self, y: Tensor | None, c: Tensor, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """The training loss: mean square of f(y, c) − x over frames and pixels."""
        return (self(None, c) - x).square().mean()
