r"""Bending: one or two textured bodies that rotate, swell and bend, whose next frame three past frames determine.

A body is an ellipse in coordinates of its own. The point q of the frame is its point (u, v) where

.. math:: \binom{u'}{v'} = e^{-s} R(-\theta)\,(q - p), \qquad u = u', \quad
          v = v' - h a \Big(\frac{u^2}{a^2} - \frac14\Big),

with centre p, angle θ, log size s and bend h; a and b are its semi-axes. It covers the points with
:math:`F = u^2/a^2 + v^2/b^2 \le 1`, with an edge that is one pixel wide: the coverage of a pixel is
:math:`\mathrm{clip}((1 - F)/|\nabla F| + \tfrac12, 0, 1)`. Its texture is two waves in (u, v) and is carried with the body.
The waves are longer than two pixels however much the body is squeezed, so that pixels show them.

θ grows at a constant rate. The coordinates of p, s and h swing (:func:`~scorevid.worlds.motion.draws.swing`) with the known
period of the world, p about a centre that is the body's own. Three frames therefore determine the next, and two do not.
Bodies stay within their own circles, which do not overlap: all of each is in view in all frames, and the ground is uniform.
Nothing is left open, so the error of the optimal denoiser without noise on the past is zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.futures import Futures
from scorevid.worlds.motion.draws import direction, swing, uniform
from scorevid.worlds.registry import register

WAVES = 2  #: in the texture of a body
ALONE, SHARED = (
    14 / 32,
    7 / 32,
)  #: radius of the circle that a body stays in, alone or one of two, as a share of the frame
TEXTURE = 0.3  #: largest deviation of a texture from the body's mean grey
FARTHEST = 1.05  #: in units of a and at mean size, no point of a body is farther from its p, however it is bent
GREYS = (0.35, 0.65)  #: mean grey of a body; with its texture it lies in [0.05, 0.95]


@dataclass(frozen=True, eq=False)
class Bodies:
    """A batch of scenes of n bodies. Each (B, n) unless said otherwise; amplitude and phase of swings in the last axis.

    present: bool. centre (B, n, 2): in pixels, of the swing of p. sway (B, n, 2, 2), swell (B, n, 2), bend (B, n, 2):
    swings of p, s, h. angle, spin: θ at time 0, and its rate in radians a frame. axes (B, n, 2): a, b in pixels. grey: mean
    grey. waves (B, n, WAVES, 3): wave numbers along u and v in radians a pixel, and phase.
    """

    present: Tensor
    centre: Tensor
    sway: Tensor
    swell: Tensor
    bend: Tensor
    angle: Tensor
    spin: Tensor
    axes: Tensor
    grey: Tensor
    waves: Tensor


@register("train-bending", "textured bodies that rotate, swell and bend", "bending")
@dataclass(frozen=True)
class Bending:
    """The world of bending bodies. Raises ValueError for values that describe no world."""

    size: int = 32  # frames are size x size pixels
    memory: int = 3  # M, past frames; fewer than three leave the next frame open
    pairs: float = 0.5  # share of scenes with two bodies, which are smaller
    period: float = 10.0  # of all swings, in frames
    spin: tuple[float, float] = (4.0, 20.0)  # least and most rate of rotation, degrees a frame, either way
    swell: float = 0.2  # most amplitude of the swing of log size
    bend: float = 0.3  # most amplitude of the swing of h
    wavelength: tuple[float, float] = (5.0, 10.0)  # of textures, least and most, in pixels at mean size

    def __post_init__(self):
        checks.integer("size", self.size, 16)
        checks.integer("memory", self.memory)
        checks.number("pairs", self.pairs, 0, 1)
        checks.number("period", self.period, 3, 1000)
        checks.extent("spin", self.spin, 0, 180)
        checks.number("swell", self.swell, 0, 0.2)  # with larger swings bodies leave their circles
        checks.number("bend", self.bend, 0, 0.3)
        checks.extent("wavelength", self.wavelength, 4)

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W) and next frame x (batch, 1, H, W)."""
        video = self.video(batch, 1, generator)
        return video[:, :-1], video[:, -1:]

    def video(self, batch: int, frames: int, generator: torch.Generator) -> Tensor:
        """M past frames and ``frames`` that follow, oldest first, (batch, M + frames, H, W)."""
        checks.integer("frames", frames)
        return self.render(self.bodies(batch, generator), torch.arange(-self.memory, frames))

    def decided(self, n: int, generator: torch.Generator) -> tuple[Tensor, Futures]:
        """Past c (n, M, H, W) of random scenes, and the next frame as the only future; exact from three past frames on."""
        c, x = self.draw(n, generator)
        return c, Futures(x, x.new_ones(n, 1))

    def bodies(self, batch: int, generator: torch.Generator) -> Bodies:
        """Random scenes."""
        shape = batch, 2
        pair = uniform(generator, (batch, 1), 0, 1) < self.pairs
        present = torch.cat([torch.ones_like(pair), pair], 1)
        reach = self.size * torch.where(pair, SHARED, ALONE).expand(shape)
        aside = torch.where(pair, self.size / 4, 0.0)[..., None] * direction(generator, (batch, 1))
        middle = (self.size - 1) / 2
        longer = reach * uniform(generator, shape, 0.55, 0.62)
        turning = torch.where(uniform(generator, shape, -1, 1) < 0, -1.0, 1.0)
        wave = 2 * math.pi / uniform(generator, (*shape, WAVES, 1), *self.wavelength)
        phase = uniform(generator, (*shape, WAVES, 1), 0, 2 * math.pi)
        return Bodies(
            present=present,
            centre=middle + torch.cat([aside, -aside], 1),
            sway=_swings(generator, (*shape, 2), (0.13 * reach)[..., None]),
            swell=_swings(generator, shape, self.swell),
            bend=_swings(generator, shape, self.bend),
            angle=uniform(generator, shape, 0, 2 * math.pi),
            spin=turning * uniform(generator, shape, *map(math.radians, self.spin)),
            axes=torch.stack([longer, longer * uniform(generator, shape, 0.5, 0.7)], -1),
            grey=uniform(generator, shape, *GREYS),
            waves=torch.cat([wave * direction(generator, (*shape, WAVES)), phase], -1),
        )

    def render(self, bodies: Bodies, times: Tensor) -> Tensor:
        """The frames at times (T,), 0 the next frame, (B, T, H, W)."""
        scene, body = bodies.present.nonzero(as_tuple=True)
        one = {name: value[scene, body] for name, value in vars(bodies).items()}  # of each body, (N, …)
        times = times.to(one["centre"])
        x, y = (one["centre"][..., None] + self._swung(one["sway"], times)).unbind(1)  # (N, T) each
        scale = self._swung(one["swell"], times).exp()
        angle = one["angle"][:, None] + one["spin"][:, None] * times
        a, b = one["axes"].unbind(-1)
        # from here on only pixels near a body: number of the body and time, row, column, each (P,)
        pixel = torch.arange(self.size).to(times)
        square = (pixel - y[..., None]).square()[..., None] + (pixel - x[..., None]).square()[..., None, :]
        near = square.flatten(0, 1) < (FARTHEST * a[:, None] * scale + 1).square().view(-1, 1, 1)
        which, row, column = near.nonzero(as_tuple=True)
        moving = torch.stack([x, y, scale, angle.cos() / scale, angle.sin() / scale, self._swung(one["bend"], times)])
        x, y, scale, cos, sin, bend = moving.flatten(1)[:, which]
        lasting = torch.stack([a, b, one["grey"], *one["waves"].flatten(1).unbind(1)])
        a, b, grey, *waves = lasting[:, which // len(times)]
        dx, dy = column - x, row - y
        u = (cos * dx + sin * dy) / a  # in units of a
        v = (cos * dy - sin * dx - bend * a * (u.square() - 0.25)) / b  # in units of b
        gradient_v = v / b
        gradient_u = u / a - 2 * bend * u * gradient_v
        gradient = torch.hypot(gradient_u, gradient_v) * 2 / scale
        cover = ((1 - u.square() - v.square()) / (gradient + 1e-6) + 0.5).clamp(0, 1)
        texture = grey - 0.5
        for k in range(0, 3 * WAVES, 3):
            texture = texture + TEXTURE / WAVES * (waves[k] * a * u + waves[k + 1] * b * v + waves[k + 2]).cos()
        frames = cover.new_full((len(bodies.present), len(times), self.size, self.size), 0.5)
        frame = scene[which // len(times)] * len(times) + which % len(times)
        at = (frame * self.size + row) * self.size + column
        frames.view(-1).index_add_(0, at, cover * texture)  # no two bodies share a pixel
        return frames

    def _swung(self, swings: Tensor, times: Tensor) -> Tensor:
        """Swings with amplitude and phase in the last axis, at all times, (…, T)."""
        return swing(times, *swings.unbind(-1), self.period)


def _swings(generator: torch.Generator, shape, most: float | Tensor) -> Tensor:
    """Amplitudes, from a half of the most to the most, and phases of swings, (…, 2)."""
    return torch.stack([most * uniform(generator, shape, 0.5, 1), uniform(generator, shape, 0, 2 * math.pi)], -1)
