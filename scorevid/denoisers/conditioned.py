r"""Networks on the same backbone that answer other questions: denoisers told σ, and regression on the past.

:class:`Told` is a denoiser D(y, c, σ) = c_skip y + c_out F(c_in y, c, level), with F the backbone and all frames and
levels in units of the data's own spread s, about mid-grey. Two choices of the coefficients:

==========  ==================  =====================  ====================  ========
kind        c_in                c_skip                 c_out                 level
==========  ==================  =====================  ====================  ========
``edm``     1 / √(1 + σ²)       1 / (1 + σ²)           σ / √(1 + σ²)         (ln σ)/4
``flow``    1 / (1 + σ)         1 / (1 + σ)            σ / (1 + σ)           t
==========  ==================  =====================  ====================  ========

The first is that of Karras et al. (2022). The second is conditional flow matching on the straight path
:math:`x_t = t x + (1 - t) z` (Lipman et al. 2023; Liu et al. 2023) in the same words: :math:`t = 1 / (1 + \sigma)`,
:math:`x_t = t y`, and F estimates the velocity :math:`x - z`. Both are trained by the squared error of F itself, that is
:math:`\| D - x \|^2 / c_{out}^2`. The levels are drawn from the noise prior of the blind network; each method's own
habits about which levels to draw are left out. What is different is all that the parameterisation brings along: being
told σ, the skip from y, and the weight 1 / c_out², by which small levels count for much more than in the blind
network's plain squared error of x.

F gets the level as a constant image and another constant image of ones, and has biases: with σ told, nothing asks for
homogeneity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from scorevid.denoisers.unet import Denoiser

Kind = Literal["edm", "flow"]


class Told(nn.Module):
    """D(y, c, σ): a denoiser told σ, on the same backbone.

    memory, widths: of :class:`~scorevid.denoisers.unet.Denoiser`. kind: "edm" or "flow". spread: root mean square of x − ½ in the
    data, in grey units. Raises ValueError for an unknown kind or a spread that is not positive.
    """

    needs_sigma = True

    def __init__(
        self, memory: int = 2, widths: Sequence[int] = (32, 64, 128), kind: Kind = "edm", spread: float = 0.14
    ):
        super().__init__()
        if kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
        if not spread > 0:
            raise ValueError(f"spread must be positive, got {spread}")
        self.memory, self.widths, self.kind, self.spread = memory, tuple(widths), kind, spread
        self.backbone = Denoiser(memory + 2, widths, bias=True)

    @property
    def config(self) -> dict:
        """Arguments that build this network again."""
        return {"type": "Told", "memory": self.memory, "widths": list(self.widths)} | {
            "kind": self.kind,
            "spread": self.spread,
        }

    def forward(self, y: Tensor, c: Tensor, sigma: float | Tensor) -> Tensor:
        """y (B, 1, H, W), c (B, M, H, W) in grey levels, sigma a number or (B,); returns (B, 1, H, W).

        Raises ValueError for shapes and types that do not fit, and levels that are not positive.
        """
        self._check(y, c, sigma)
        y, c, sigma = self._scaled(y, c, sigma)
        skip, out = self._coefficients(sigma)[1:3]
        return 0.5 + self.spread * (skip * y + out * self._output(y, c, sigma))

    def at(self, sigma: float) -> Callable[[Tensor, Tensor], Tensor]:
        """The denoiser f(y, c) for one noise level."""
        return lambda y, c: self(y, c, sigma)

    def squared_error(self, y: Tensor, c: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """What training makes small: mean square of F's error. sigma: (B, 1, 1, 1)."""
        y, c, sigma = self._scaled(y, c, sigma.flatten())
        _, skip, out, _ = self._coefficients(sigma)
        target = ((x - 0.5) / self.spread - skip * y) / out
        return (self._output(y, c, sigma) - target).square().mean()

    def _check(self, y: Tensor, c: Tensor, sigma: float | Tensor) -> None:
        due = (len(y), self.memory, *y.shape[2:])
        if y.ndim != 4 or y.shape[1] != 1 or c.shape != due or not (y.is_floating_point() and c.is_floating_point()):
            came = f"y {tuple(y.shape)} of {y.dtype}, c {tuple(c.shape)} of {c.dtype}"
            raise ValueError(f"floating-point y (B, 1, H, W) and c (B, {self.memory}, H, W) are due, got {came}")
        level = torch.as_tensor(sigma)
        if not ((level > 0) & level.isfinite()).all():
            raise ValueError(f"sigma must be positive and finite, got {sigma}")

    def _scaled(self, y: Tensor, c: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sigma = torch.as_tensor(sigma, dtype=y.dtype, device=y.device)
        if sigma.ndim > 1 or (sigma.ndim == 1 and len(sigma) != len(y)):
            raise ValueError(f"sigma must be a number or ({len(y)},), got {tuple(sigma.shape)}")
        return (y - 0.5) / self.spread, (c - 0.5) / self.spread, sigma.reshape(-1, 1, 1, 1) / self.spread

    def _coefficients(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """c_in, c_skip, c_out and level."""
        if self.kind == "flow":
            t = 1 / (1 + sigma)
            return t, t, 1 - t, t
        total = 1 + sigma.square()
        return total.rsqrt(), 1 / total, sigma * total.rsqrt(), sigma.log() / 4

    def _output(self, y: Tensor, c: Tensor, sigma: Tensor) -> Tensor:
        """F, with the frames already in units of the spread."""
        c_in, _, _, level = self._coefficients(sigma)
        level = level.expand_as(y)
        return self.backbone(c_in * y, torch.cat([c, level, torch.ones_like(level)], 1)).to(y.dtype)


class Regression(nn.Module):
    """f(y, c) = E[x | c]: prediction from the past alone, trained by squared error; y is not looked at.

    The backbone with the last frame where y would be, and a memory of the frames before, all about mid-grey: clean frames
    are mostly ground, and channels normalised by a deviation far below their mean do not train. memory: M, at least 1.
    """

    def __init__(self, memory: int = 2, widths: Sequence[int] = (32, 64, 128)):
        super().__init__()
        if memory < 1:
            raise ValueError(f"regression on the past takes at least one past frame, got a memory of {memory}")
        self.memory, self.widths = memory, tuple(widths)
        self.backbone = Denoiser(memory - 1, widths)

    @property
    def config(self) -> dict:
        """Arguments that build this network again."""
        return {"type": "Regression", "memory": self.memory, "widths": list(self.widths)}

    def forward(self, y: Tensor | None, c: Tensor) -> Tensor:
        """c (B, M, H, W) in grey levels; returns (B, 1, H, W)."""
        if c.ndim != 4 or c.shape[1] != self.memory:
            raise ValueError(f"this network has a memory of {self.memory}, got c {tuple(c.shape)}")
        return 0.5 + self.backbone(c[:, -1:] - 0.5, c[:, :-1] - 0.5).to(c.dtype)

    def squared_error(self, y: Tensor, c: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """What training makes small."""
        return (self(None, c).to(x.dtype) - x).square().mean()


TYPES = {"Denoiser": Denoiser, "Told": Told, "Regression": Regression}


def build_network(config: dict) -> Denoiser | Told | Regression:
    """The network that a configuration describes, a :class:`~scorevid.denoisers.unet.Denoiser` where it names no type."""
    arguments = dict(config)
    name = arguments.pop("type", "Denoiser")
    if name not in TYPES:
        raise ValueError(f"there is no network of type {name!r}; known are {', '.join(TYPES)}")
    return TYPES[name](**arguments)
