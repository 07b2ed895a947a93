r"""A denoiser that follows motion larger than its kernels: past frames are moved on before they are looked at.

A front estimates, for every pixel q of the next frame, the displacement v(q) of what will be seen there, in pixels a frame.
The :class:`~scorevid.denoisers.unet.UNet` then sees, beside y and the past frames, the latest two as they would be found
along that path,

.. math:: f(y, c) = \mathrm{UNet}(y, c, w) , \qquad w_j(q) = c_{M + 1 - j}(q - j\, v(q)) , \quad j = 1, 2 .

**How v is found.** Features of each frame, φ(y), φ(c_M), φ(c_{M−1}), come from one small encoder. Their mean over 5 × 5 pixels
is taken off, and they are divided by their length. Constant velocity makes them alike along the path, which is what
correlations say for each displacement d in reach,

.. math:: K_j(q, d) = \langle \hat\varphi_{j}(q - j\, d),\; \hat\varphi_{j + 1}(q - (j + 1)\, d) \rangle ,

with y as frame 0, c_M as frame 1 and c_{M−1} as frame 2, and 0 where one of the two lies beyond the border.
Convolutions weigh the K_j by what is around, a softmax over d makes them attention, and its mean displacement is v,
at a quarter of the resolution. Convolutions of the features as moved by it correct it at half of the resolution, and
one step of least squares between the moved frames themselves, after Lucas and Kanade (1981), at full resolution and
of a pixel at most. With heavy noise the past alone says where things go; with little, y does. A network of one past
frame has K_0 alone and no last step; of more than two, only the latest two are followed.

**It stays locally linear.** φ has no additive constant and is of degree one in (y, c), so that its direction, the
K_j, the attention and v are of degree zero: scaled frames move alike. What is moved is of degree one. So f is
homogeneous of degree one and by Euler's theorem :math:`f(y, c) = J_y\, y + J_c\, c` wherever it has a derivative; J
has that of v in it. PyTorch has no forward-mode derivative of the interpolation, so rows of J can be had
(:mod:`scorevid.measures.linear_weights`), and products with it cannot.

**Training** adds to the squared error of f a share of that of w_1, as if it were the answer, so that v is learned from the
first update on. The paper has no such network. Correlations in reach of each pixel are those of Dosovitskiy et al. (2015,
FlowNet) and Sun et al. (2018, PWC-Net); constant velocity, features of y and the degrees are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scorevid import checks
from scorevid.denoisers.unet import Block, ScaledConv, UNet, upsample2x

FEATURES = (16, 16)  # channels of φ at half and at a quarter of the resolution
HIDDEN = (32, 64)  # of the convolutions that correct and that search there
GUIDE = 0.25  # share of the squared error of w_1 in the loss
ALL_PAIRS = 2048  # pixels up to which all pairs of them are multiplied
SHARP = 8.0  # factor on correlations in the softmax, at the start of training


class Following(nn.Module):
    """f(y, c) = UNet(y, c, w(y, c)): blind to σ, with past frames moved on along the motion.

    memory: number M of past frames, at least 1. widths: of the :class:`~scorevid.denoisers.unet.UNet`, three scales or more,
    which also say what sizes of frames fit. reach: largest displacement that is searched, in pixels at a quarter of the
    resolution. Raises ValueError for other values.
    """

    needs_sigma = False

    def __init__(self, memory: int = 2, widths: Sequence[int] = (32, 64, 128), reach: int = 4):
        super().__init__()
        checks.integer("memory", memory)
        checks.integer("reach", reach, most=16)
        if len(tuple(widths)) < 3:
            raise ValueError(f"widths must be those of three scales or more, got {tuple(widths)}")
        self.memory, self.widths, self.reach = memory, tuple(widths), reach
        self.seen = min(memory, 2)  # past frames that are moved on
        self.backbone = UNet(memory + self.seen, self.widths)
        self.encoder = nn.ModuleList(Block(a, b, normalise=False) for a, b in pairwise((4, *FEATURES)))
        self.search = Search(self.seen, FEATURES[1], HIDDEN[1], reach)
        self.correct = Correct((1 + self.seen) * FEATURES[0], HIDDEN[0], 3)

    @property
    def config(self) -> dict:
        """Arguments that build this network again."""
        return {"type": "Following", "memory": self.memory, "widths": list(self.widths), "reach": self.reach}

    @torch.compiler.disable  # the compiler takes minutes for its indices, and gains little
    def displacement(self, y: Tensor, c: Tensor) -> Tensor:
        """v (B, 2, H, W) in pixels a frame, down and to the right, of what is seen at each pixel of the next frame."""
        frames = torch.cat([y, c[:, -self.seen :].flip(1)], 1).to(self.backbone.out.weight.dtype)  # latest first
        n, count = frames.shape[:2]
        half = self.encoder[0](F.pixel_unshuffle(frames.flatten(0, 1)[:, None], 2))  # which loses nothing of a frame
        quarter = self.encoder[1](F.avg_pool2d(half, 2))
        half, quarter = (unit_contrast(v).unflatten(0, (n, count)) for v in (half, quarter))
        v = 2 * upsample2x(self.search(quarter))
        rest = _full(
            self.correct(torch.cat([shifted(half[:, j], j * v) if j else half[:, 0] for j in range(count)], 1))
        )
        v = 2 * upsample2x(v + rest[:, :2])
        if self.seen == 1:
            return v
        return v + upsample2x(rest[:, 2:]).sigmoid() * gradient_step(self.moved(v, frames[:, 1:].flip(1)))

    @torch.compiler.disable
    def moved(self, v: Tensor, c: Tensor) -> Tensor:
        """Past frames as found along v, (B, min(M, 2), H, W), the latest last. v: (B, 2, H, W), c: (B, M, H, W)."""
        return torch.cat([shifted(_full(c[:, -j, None]), j * v) for j in range(self.seen, 0, -1)], 1)

    def forward(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """y (B, 1, H, W) and c (B, M, H, W) in grey levels; returns (B, 1, H, W). sigma is ignored."""
        return self._answer_and_moved(y, c)[0]

    def squared_error(self, y: Tensor, c: Tensor, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """The training loss: mean square of f(y, c) − x over frames and pixels, and a share of that of w_1 − x."""
        answer, moved = self._answer_and_moved(y, c)
        return (answer - x).square().mean() + GUIDE * (moved[:, -1:] - x).square().mean()

    def _answer_and_moved(self, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        checks.noisy_and_past(y, c, self.memory)
        checks.multiples(2 ** (len(self.widths) - 1), y)
        moved = self.moved(self.displacement(y, c), c)
        return self.backbone(y, torch.cat([c, moved.to(c.dtype)], 1)), moved


class Correct(nn.Sequential):
    """Three convolutions, and one that mixes channels and starts from zero: (B, channels_in, h, w) -> (B, channels, h, w)."""

    def __init__(self, channels_in: int, hidden: int, channels: int):
        out = nn.Conv2d(hidden, channels, 1, bias=False)
        nn.init.zeros_(out.weight)
        last = ScaledConv(hidden, hidden, normalise=False)
        super().__init__(Block(channels_in, hidden, normalise=False), last, nn.ReLU(), out)

    def forward(self, x: Tensor) -> Tensor:
        """The corrections, in the floating-point type of the kernels."""
        return super().forward(x.to(self[-1].weight.dtype))


class Search(nn.Module):
    """The displacement of what is seen at each pixel, by attention to correlations.

    seen: how many past frames there are. features: channels of each frame. side: largest displacement each way.
    """

    def __init__(self, seen: int, features: int, hidden: int, side: int):
        super().__init__()
        self.side, places = side, (2 * side + 1) ** 2
        self.weigh = Correct(seen * places + features, hidden, places)
        self.sharp = nn.Parameter(SHARP * torch.arange(seen).eq(seen - 1).float())  # at first y counts for M = 1 alone
        line = torch.arange(-side, side + 1, dtype=torch.float)
        self.register_buffer("places", torch.cartesian_prod(line, line), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """features (B, 1 + seen, C, h, w) of unit length, latest first; returns (B, 2, h, w) in their pixels."""
        found = [correlations(*features[:, j : j + 2].unbind(1), j, self.side) for j in range(features.shape[1] - 1)]
        logits = _full(self.weigh(torch.cat([*found, features[:, 1]], 1)))
        logits = logits + sum(s * k for s, k in zip(self.sharp, found, strict=True))
        with torch.autocast(logits.device.type, enabled=False):
            return torch.einsum("bdhw,dp->bphw", logits.softmax(1), self.places.to(logits))


def unit_contrast(features: Tensor) -> Tensor:
    """Features (B, C, h, w) less their mean over 5 × 5 pixels, divided by their length at each pixel; 0 where they are 0."""
    features = _full(features)
    return F.normalize(features - box_mean(features, 2), dim=1)


def box_mean(x: Tensor, radius: int) -> Tensor:
    """The mean over (2 · radius + 1)² pixels about each, of those that there are: products with a band matrix each way."""

    def band(n: int) -> Tensor:
        place = torch.arange(n, device=x.device)
        near = ((place[:, None] - place).abs() <= radius).to(x)
        return near / near.sum(1, keepdim=True)

    with torch.autocast(x.device.type, enabled=False):
        return band(x.shape[2]) @ x.contiguous() @ band(x.shape[3]).T


def _full(x: Tensor) -> Tensor:
    """x in single precision at least: displacements need more than bf16 has."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def correlations(nearer: Tensor, farther: Tensor, j: int, side: int) -> Tensor:
    """⟨nearer(q − j d), farther(q − (j + 1) d)⟩ for all d of up to ``side`` each way, 0 where one is beyond the border.

    nearer, farther: (B, C, h, w). Returns (B, (2 side + 1)², h, w), displacements row by row, from −side up.
    """
    height, width = nearer.shape[2:]
    line = torch.arange(-side, side + 1, device=nearer.device)
    d = torch.cartesian_prod(line, line)[:, :, None, None]  # (places, 2, 1, 1)
    q = torch.stack(torch.meshgrid(*(torch.arange(n, device=nearer.device) for n in (height, width)), indexing="ij"))
    size = q.new_tensor([height, width])[:, None, None]
    if height * width > ALL_PAIRS:  # all pairs would take too much memory
        zero = nearer.new_zeros(())
        one_by_one = []
        for step in d[:, :, 0, 0].tolist():
            moved = [torch.roll(v, [k * s for s in step], (2, 3)) for k, v in ((j, nearer), (j + 1, farther))]
            from_where = q - (j + 1) * q.new_tensor(step)[:, None, None]
            inside = ((from_where >= 0) & (from_where < size)).all(0)
            one_by_one.append(torch.where(inside, (moved[0] * moved[1]).sum(1), zero))
        return torch.stack(one_by_one, 1)
    a, b = q - j * d, q - (j + 1) * d  # (places, 2, h, w)
    inside = ((b >= 0) & (b < size) & (a >= 0) & (a < size)).all(1)
    a, b = (v.clamp_min(0).minimum(size - 1) for v in (a, b))
    with torch.autocast(nearer.device.type, enabled=False):
        pairs = torch.bmm(nearer.flatten(2).transpose(1, 2), farther.flatten(2))  # (B, h w, h w)
    index = (a[:, 0] * width + a[:, 1]) * (height * width) + b[:, 0] * width + b[:, 1]
    return pairs.flatten(1)[:, index.flatten()].unflatten(1, index.shape) * inside


def gradient_step(frames: Tensor, window: int = 3, least: float = 0.03) -> Tensor:
    """What is left of the motion between two frames that lie nearly upon each other, by Lucas and Kanade (1981).

    frames: (B, 2, H, W), of which the first was moved by twice the displacement and the second once, so that what is left
    moves it by one more. Least squares over windows of 2 · window + 1 pixels; where a window shows less than a share
    ``least`` of the structure in the frame, next to nothing. Returns (B, 2, H, W), at most a pixel each way.
    """
    older, newer = frames[:, :1], frames[:, 1:]
    padded = F.pad((older + newer) / 2, (1, 1, 1, 1), mode="replicate")
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    right = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    change = newer - older
    products = torch.cat([down * down, right * right, down * right, down * change, right * change], 1)
    mean = box_mean(products, window)
    dd, rr, dr, dc, rc = mean.unbind(1)
    floor = least * (dd + rr).mean((1, 2), keepdim=True)
    dd, rr = dd + floor, rr + floor
    # newer(q − d) = older(q − 2 d), to first order: newer − older = −d · gradient
    determinant = dd * rr - dr * dr
    determinant = determinant.where(determinant > 0, 1)  # 0 where all is of one grey, and so is what it divides
    return (torch.stack([dr * rc - rr * dc, dr * dc - dd * rc], 1) / determinant[:, None]).clamp(-1, 1)


def shifted(x: Tensor, v: Tensor) -> Tensor:
    """x(q − v(q)), by bilinear interpolation; beyond the border its edge. x: (B, C, H, W). v: (B, 2, H, W), down and right."""
    (height, width), v = x.shape[-2:], v.to(x.dtype)
    rows = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] - v[:, 0]
    columns = torch.arange(width, device=x.device, dtype=x.dtype) - v[:, 1]
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], -1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
