r"""Networks on the same backbone that answer other questions: denoisers that are given σ, and regression on the past.

:class:`Preconditioned` is a denoiser D(y, c, σ) = c_skip y + c_out F(c_in y, c, level), with F the backbone and all frames
and levels in units of the data's own deviation s, about mid-grey. There are three choices of the coefficients:

==============  ==================  =====================  ====================  ========
kind            c_in                c_skip                 c_out                 level
==============  ==================  =====================  ====================  ========
:class:`EDM`    1 / √(1 + σ²)       1 / (1 + σ²)           σ / √(1 + σ²)         (ln σ)/4
:class:`Flow`   1 / (1 + σ)         1 / (1 + σ)            σ / (1 + σ)           t
:class:`Noise`  1 / √(1 + σ²)       1                      −σ                    (ln σ)/4
==============  ==================  =====================  ====================  ========

:class:`EDM` is that of Karras et al. (2022). :class:`Flow` is conditional flow matching on the straight path
:math:`x_t = t x + (1 - t) z` (Lipman et al. 2023; Liu et al. 2023) in the same words: :math:`t = 1 / (1 + \sigma)`,
:math:`x_t = t y`, and F estimates the velocity :math:`x - z`. With :class:`Noise`, F estimates the noise z of
:math:`y = x + \sigma z`, as in denoising diffusion (Ho et al. 2020), so that D = y − σF. Trained with a past that is masked at
random, it is the prediction of MCVD (Voleti et al. 2022, arXiv 2205.09853): ``mask`` of
:class:`~scorevid.noise.prior.PastNoise` makes a whole past black, which no scene of our worlds is. All are trained by the
squared error of F itself, that is :math:`\| D - x \|^2 / c_{out}^2`. The levels are drawn from the noise prior of the blind
network; each method's own habits about which levels to draw are left out. So the differences are those of the
parameterisation: σ as an input, the skip from y, and the weight 1 / c_out², by which small levels count for much more than in
the blind network's plain squared error of x.

F gets the level as a constant image and another constant image of ones, and has biases, as a network that is given σ need not
be homogeneous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scorevid import checks
from scorevid.denoisers.following import Following
from scorevid.denoisers.predictors.convlstm import ConvLSTM
from scorevid.denoisers.predictors.simvp import SimVP
from scorevid.denoisers.recurrent import Recurrent
from scorevid.denoisers.unet import UNet

Coefficients = tuple[Tensor, Tensor, Tensor, Tensor]  # c_in, c_skip, c_out and level


@dataclass(frozen=True)
class EDM:
    """Coefficients of Karras et al. (2022): c_in gives the backbone an input of unit variance."""

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """c_in, c_skip, c_out and level at σ, which is in units of the data's deviation, of any shape."""
        c_in = (1 + sigma.square()).rsqrt()
        return c_in, 1 / (1 + sigma.square()), sigma * c_in, sigma.log() / 4


@dataclass(frozen=True)
class Flow:
    """Coefficients of conditional flow matching (Lipman et al. 2023)."""

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """As :meth:`EDM.coefficients`."""
        t = 1 / (1 + sigma)
        return t, t, 1 - t, t


@dataclass(frozen=True)
class Noise:
    """Coefficients by which the backbone estimates the noise (Ho et al. 2020)."""

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """As :meth:`EDM.coefficients`."""
        return (1 + sigma.square()).rsqrt(), torch.ones_like(sigma), -sigma, sigma.log() / 4


class Preconditioned(nn.Module):
    """D(y, c, σ): a denoiser that needs σ, on the same backbone.

    memory, widths: of :class:`~scorevid.denoisers.unet.UNet`. kind: the coefficients. sigma_data: root mean square of x − ½
    in the data, in grey units. Raises ValueError for a sigma_data that is not positive.
    """

    needs_sigma = True

    def __init__(
        self,
        memory: int = 2,
        widths: Sequence[int] = (32, 64, 128),
        kind: EDM | Flow | Noise = EDM(),
        sigma_data: float = 0.14,
    ):
        super().__init__()
        checks.number("sigma_data", sigma_data, above=0)
        self.memory, self.widths, self.kind, self.sigma_data = memory, tuple(widths), kind, sigma_data
        self.backbone = UNet(memory + 2, widths, bias=True)

    @property
    def config(self) -> dict:
        """Arguments that build this network again."""
        own = {"kind": type(self.kind).__name__, "sigma_data": self.sigma_data}
        return {"type": "Preconditioned", "memory": self.memory, "widths": list(self.widths)} | own

    def forward(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """y (B, 1, H, W), c (B, M, H, W) in grey levels, sigma a number or (B,); returns (B, 1, H, W).

        Raises ValueError for shapes and types that do not fit, and levels that are missing or not positive.
        """
        checks.noisy_and_past(y, c, self.memory)
        y, output, c_skip, c_out = self._output(y, c, checks.levels(sigma, y))
        return 0.5 + self.sigma_data * (c_skip * y + c_out * output)

    def squared_error(self, y: Tensor, c: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """The training loss: mean square of F's error. sigma: (B, 1, 1, 1)."""
        y, output, c_skip, c_out = self._output(y, c, sigma)
        return (output - ((x - 0.5) / self.sigma_data - c_skip * y) / c_out).square().mean()

    def _output(self, y: Tensor, c: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """y about mid-grey in units of sigma_data, F of frames like that, c_skip and c_out."""
        y, c = (y - 0.5) / self.sigma_data, (c - 0.5) / self.sigma_data
        c_in, c_skip, c_out, level = self.kind.coefficients(sigma / self.sigma_data)
        level = level.expand_as(y)
        return y, self.backbone(c_in * y, torch.cat([c, level, torch.ones_like(level)], 1)), c_skip, c_out


class Regression(nn.Module):
    """f(y, c) = E[x | c]: prediction from the past alone, trained by squared error. y is ignored and may be None.

    The backbone with the last frame where y would be, and a memory of the frames before, all about mid-grey: clean frames
    are mostly ground, and channels normalised by a deviation far below their mean do not train. memory: M, at least 1.
    """

    needs_sigma = False

    def __init__(self, memory: int = 2, widths: Sequence[int] = (32, 64, 128)):
        super().__init__()
        checks.integer("memory", memory)
        self.memory, self.widths = memory, tuple(widths)
        self.backbone = UNet(memory - 1, widths)

    @property
    def config(self) -> dict:
        """Arguments that build this network again."""
        return {"type": "Regression", "memory": self.memory, "widths": list(self.widths)}

    def forward(self, y: Tensor | None, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """c (B, M, H, W) in grey levels; returns (B, 1, H, W)."""
        checks.frames("c", c, self.memory)
        return 0.5 + self.backbone(c[:, -1:] - 0.5, c[:, :-1] - 0.5)

    def squared_error(self, y: Tensor, c: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """The training loss: mean square of f(y, c) − x over frames and pixels."""
        return (self(None, c) - x).square().mean()


# what is trained: has memory, config and squared_error(y, c, x, sigma)
Network = UNet | Preconditioned | Regression | Recurrent | Following | ConvLSTM | SimVP
KINDS = {"EDM": EDM, "Flow": Flow, "Noise": Noise}
TYPES = {kind.__name__: kind for kind in (UNet, Preconditioned, Regression, Recurrent, Following, ConvLSTM, SimVP)}


def build_network(config: dict) -> Network:
    """The network that a configuration describes, a :class:`~scorevid.denoisers.unet.UNet` where it names no type.

    Raises ValueError for an unknown type or kind, and for arguments that a network of this type does not have.
    """
    arguments = dict(config)
    name = arguments.pop("type", "UNet")
    if name == "Told":  # its name on cards and in checkpoints of version 0.1
        name, old = "Preconditioned", {"edm": "EDM", "flow": "Flow"}
        arguments["kind"] = old.get(arguments.get("kind", "edm"))
        arguments["sigma_data"] = arguments.pop("spread", 0.14)
    checks.one_of("type", name, TYPES)
    if "kind" in arguments:
        checks.one_of("kind", arguments["kind"], KINDS)
        arguments["kind"] = KINDS[arguments["kind"]]()
    try:
        return TYPES[name](**arguments)
    except TypeError as problem:
        raise ValueError(f"network must be arguments of a {name} of this version of scorevid: {problem}") from problem
