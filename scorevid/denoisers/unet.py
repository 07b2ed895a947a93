r"""The bias-free conditional U-Net.

Past frames and noisy frame are concatenated on the channel axis; three spatial scales of two convolutions each; no
additive constant anywhere; a normalisation that only scales before each ReLU; the network outputs the frame itself,
not a correction of its input. In evaluation mode f is then homogeneous of degree one, jointly in both arguments,

.. math:: f(a y, a c) = a f(y, c), \quad a > 0,

and by Euler's theorem exactly locally linear: :math:`f(y, c) = J_y\, y + J_c\, c`. In training mode the statistics of
the batch scale along and neither holds.

What the paper's summary gives is the U-Net, its three scales, the concatenation, the missing biases, the
normalisation and "without skip connections"; we read the last as no skip from the noisy input to the output. Widths,
kernels, pooling and up-sampling are our choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scorevid import checks
from scorevid.denoisers.normalisation import ScaleNorm


class ScaledConv(nn.Module):
    """3 × 3 convolution and bias-free normalisation of what comes out: (B, channels_in, H, W) -> (B, channels, H, W).

    Once the normalisation is fixed it multiplies the kernel, which is small, instead of the output. normalise: whether there
    is one; without it the kernel starts as He et al. (2015) have it.
    """

    def __init__(self, channels_in: int, channels: int, bias: bool = False, normalise: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=bias)
        self.norm = ScaleNorm(channels) if normalise else None
        if not normalise:
            nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """The normalised convolution."""
        if self.norm is not None and not self.norm.is_fixed:
            return self.norm(self.conv(x))
        return F.conv2d(x, *self.folded(), padding=1)

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Kernel and bias with a fixed normalisation multiplied into them."""
        kernel, bias = self.conv.weight, self.conv.bias
        if self.norm is None:
            return kernel, bias
        scale = self.norm.scale(self.norm.variance)
        return kernel * scale[:, None, None, None], None if bias is None else bias * scale


class Block(nn.Sequential):
    """Twice: scaled convolution, ReLU. (B, channels_in, H, W) -> (B, channels, H, W)."""

    def __init__(self, channels_in: int, channels: int, bias: bool = False, normalise: bool = True):
        first, second = (ScaledConv(width, channels, bias, normalise) for width in (channels_in, channels))
        super().__init__(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


def upsample2x(x: Tensor) -> Tensor:
    """Frames (B, C, H, W) of twice the height and width, by bilinear interpolation.

    Where it is compiled it is written out as sums, which are fused with their neighbours, and on (B, H, W, C), the order in
    memory. On processors and in bf16 PyTorch 2.13 compiles the derivative of its own interpolation to one that can be zero
    everywhere.
    """
    if not torch.compiler.is_compiling():
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = x.permute(0, 2, 3, 1)
    for dim in (1, 2):
        n = x.shape[dim]
        before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, n - 1)], dim)
        after = torch.cat([x.narrow(dim, 1, n - 1), x.narrow(dim, n - 1, 1)], dim)
        x = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim + 1).flatten(dim, dim + 1)
    return x.permute(0, 3, 1, 2)


class UNet(nn.Module):
    """f(y, c): the estimate of the clean next frame x from its noisy observation y and the past c. Blind to σ.

    memory: number M of past frames. widths: channels at each scale, finest first. lateral: whether the encoder's
    features are handed to the decoder at each scale. bias, normalise: for ablations; with a bias in the 3 × 3
    convolutions the network is no longer homogeneous, and its local weights no longer account for the output.

    Frames may be of any height and width divisible by ``2 ** (len(widths) - 1)``, and of any floating-point type: the
    network computes in that of its own weights and answers in that of y.
    """

    needs_sigma = False

    def __init__(
        self, memory: int = 2, widths: Sequence[int] = (32, 64, 128), lateral=True, bias=False, normalise=True
    ):
        super().__init__()
        checks.integer("memory", memory, 0)
        checks.widths(widths)
        self.memory, self.widths, self.lateral = memory, tuple(widths), lateral
        self.bias, self.normalise = bias, normalise
        finer, coarser = self.widths[:-1], self.widths[1:]
        block = partial(Block, bias=bias, normalise=normalise)
        self.encoder = nn.ModuleList(map(block, (memory + 1, *finer), self.widths))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1, bias=False) for a, b in zip(finer, coarser, strict=True))
        self.decoder = nn.ModuleList(block(2 * a if lateral else a, a) for a in finer)
        self.out = nn.Conv2d(self.widths[0], 1, 3, padding=1, bias=False)

    @property
    def config(self) -> dict:
        """Arguments that build this network again."""
        names = ("memory", "lateral", "bias", "normalise")
        return {k: getattr(self, k) for k in names} | {"widths": list(self.widths)}

    def forward(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """y (B, 1, H, W) and c (B, M, H, W) in grey levels; returns (B, 1, H, W). sigma is ignored."""
        checks.noisy_and_past(y, c, self.memory)
        checks.multiples(2 ** (len(self.widths) - 1), y)
        x = torch.cat([c, y], 1).to(self.out.weight.dtype)
        kept = []
        for level, block in enumerate(self.encoder):
            if level:
                x = F.avg_pool2d(x, 2)
            x = block(x)
            kept.append(x)
        for level in reversed(range(len(self.decoder))):
            x = upsample2x(self.up[level](x))
            x = self.decoder[level](torch.cat([kept[level], x], 1) if self.lateral else x)
        return self.out(x).to(y.dtype)

    def squared_error(self, y: Tensor, c: Tensor, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """The training loss: mean square of f(y, c) − x over frames and pixels."""
        return (self(y, c) - x).square().mean()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        # in version 0.1 a block was a row of layers, convolutions at 0 and 3 and their normalisations at 1 and 4, or, without
        # any, convolutions at 0 and 2
        old = re.compile(rf"({re.escape(prefix)}(?:encoder|decoder)\.\d+)\.(\d)\.(weight|bias|gain|variance)")
        for key in list(state_dict):
            if found := old.fullmatch(key):
                block, layer, name = found.groups()
                part = "conv" if name in ("weight", "bias") else "norm"
                state_dict[f"{block}.{0 if layer in '01' else 2}.{part}.{name}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)
