r"""Camera: a textured plane under a camera that pans, zooms, rolls or shakes, behind disks that move over the frame.

At time t the pixel q of the frame, with the middle of the frame at :math:`q_0`, shows the point

.. math:: P_t(q) = p_t + e^{\zeta t} R(\theta + \varrho t)\,(q - q_0)

of the plane. The camera zooms and rolls at constant rates ζ and ϱ. It either pans, so that p moves at constant velocity, or
shakes: then both coordinates of p swing (:func:`~scorevid.worlds.motion.draws.swing`) with the known period of the world.
Three past frames show two displacements :math:`\Delta_t = p_t - p_{t-1}`, and these determine the next:

.. math:: \Delta_{t+1} = \Delta_t \ \text{(pan)}, \qquad
          \Delta_{t+1} = 2 \cos \omega\, \Delta_t - \Delta_{t-1} \ \text{(shake)}.

A camera pans if its displacements are equal; those of one that shakes are not, but with probability zero.

The plane is bilinear between control points ``grain`` pixels apart, which are independent and uniform in [0, 1]. So the past
determines what it has shown of the plane (:meth:`Camera.determined`). It leaves open what enters at the borders, and what a
disk has hidden all along: beyond the cells of which the past has shown a part, the plane depends on control points of which it
says nothing. Disks have a constant velocity in the frame. The smaller is in front.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from scorevid import checks
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.scenes import Scene, covers
from scorevid.worlds.motion.draws import direction, grey_levels, swing, uniform
from scorevid.worlds.registry import register


@dataclass(frozen=True, eq=False)
class Views:
    """A batch of scenes.

    controls: (B, g, g) grey levels of the control points, the middle of the plane in the middle. velocity: (B, 2) of a pan,
    pixels of the plane a frame. sway: (B, 2, 2) amplitude and phase of the shake of each coordinate, pixels and radians.
    angle, roll, zoom: (B,) θ at time 0 in radians, ϱ in radians a frame, ζ a frame. disks: positions are those at time 0.
    """

    controls: Tensor
    velocity: Tensor
    sway: Tensor
    angle: Tensor
    roll: Tensor
    zoom: Tensor
    disks: Scene


@register("train-camera", "a textured plane under a moving camera, behind disks", "camera")
@dataclass(frozen=True)
class Camera:
    """The world of a moving camera. Raises ValueError for values that describe no world."""

    size: int = 32  # frames are size x size pixels
    memory: int = 3  # M, past frames; fewer than three do not tell a pan from a shake
    n_disks: int = 2  # disks in front of the plane
    grain: float = 4.0  # distance of control points in pixels
    pan: tuple[float, float] = (1.0, 4.0)  # least and most speed of a pan, pixels a frame
    shake: float = 0.3  # share of scenes in which the camera shakes instead
    tremor: float = 3.0  # most amplitude of a shake, in pixels
    period: float = 8.0  # of shakes, in frames
    roll: float = 4.0  # most rate of roll, degrees a frame
    zoom: float = 0.03  # most rate of the log of zoom, a frame
    radius: tuple[float, float] = (2.5, 5.0)  # least and most of disks, in pixels
    speed: tuple[float, float] = (0.5, 2.5)  # least and most of disks, pixels a frame

    def __post_init__(self):
        checks.integer("size", self.size, 8)
        checks.integer("memory", self.memory)
        checks.integer("n_disks", self.n_disks, 0)
        checks.number("grain", self.grain, 2, 64)
        checks.extent("pan", self.pan, 0, self.size)
        checks.number("shake", self.shake, 0, 1)
        checks.number("tremor", self.tremor, 0, self.size)
        checks.number("period", self.period, 3, 1000)
        checks.number("roll", self.roll, 0, 90)
        checks.number("zoom", self.zoom, 0, 0.2)
        checks.extent("radius", self.radius, 0.5)
        checks.extent("speed", self.speed, 0)

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W) and next frame x (batch, 1, H, W)."""
        video = self.video(batch, 1, generator)
        return video[:, :-1], video[:, -1:]

    def video(self, batch: int, frames: int, generator: torch.Generator) -> Tensor:
        """M past frames and ``frames`` that follow, oldest first, (batch, M + frames, H, W)."""
        return self.render(self.views(batch, generator, frames), torch.arange(-self.memory, frames))

    def decided(self, n: int, generator: torch.Generator) -> tuple[Tensor, Futures, Tensor]:
        """Past c (n, M, H, W) of random scenes, the next frame as the only future, and where it is determined.

        The third result, (n, 1, H, W) bool, is of :meth:`determined`. In other pixels the future is one of very many.
        """
        views = self.views(n, generator)
        video = self.render(views, torch.arange(-self.memory, 1))
        return video[:, :-1], Futures(video[:, -1:], video.new_ones(n, 1)), self.determined(views)

    def views(self, batch: int, generator: torch.Generator, frames: int = 1) -> Views:
        """Random scenes, with a plane large enough for the M past frames and so many that follow."""
        checks.integer("frames", frames)
        before, after = self.memory, frames - 1
        farthest = max(before, after)
        reach = math.sqrt(0.5) * self.size * math.exp(self.zoom * farthest)
        reach += max(self.pan[1] * farthest, math.sqrt(2) * self.tremor)
        nodes = 2 * math.ceil(reach / self.grain) + 2
        shakes = uniform(generator, (batch, 1), 0, 1) < self.shake
        pan = uniform(generator, (batch, 1), *self.pan) * direction(generator, (batch,))
        amplitude = uniform(generator, (batch, 2), 0.4 * self.tremor, self.tremor)
        phase = uniform(generator, (batch, 2), 0, 2 * math.pi)
        n = self.n_disks
        radius = uniform(generator, (batch, n), *self.radius)
        speed = uniform(generator, (batch, n, 1), *self.speed)
        return Views(
            controls=uniform(generator, (batch, nodes, nodes), 0, 1),
            velocity=pan.masked_fill(shakes, 0),
            sway=torch.stack([amplitude.masked_fill(~shakes, 0), phase], -1),
            angle=uniform(generator, batch, 0, 2 * math.pi),
            roll=math.radians(self.roll) * uniform(generator, batch, -1, 1),
            zoom=self.zoom * uniform(generator, batch, -1, 1),
            disks=Scene(
                position=uniform(generator, (batch, n, 2), 0, self.size - 1),
                velocity=speed * direction(generator, (batch, n)),
                radius=radius,
                grey=grey_levels(generator, (batch, n), 0.4),
                depth=radius.argsort(1).argsort(1),
                size=self.size,
                memory=self.memory,
            ),
        )

    def render(self, views: Views, times: Tensor) -> Tensor:
        """The frames at times (T,), 0 the next frame, (B, T, H, W)."""
        frames = self.plane(views, self.points(views, times))
        order = views.disks.depth.argsort(1, descending=True)
        greys = views.disks.grey.gather(1, order)[..., None, None, None].unbind(1)
        for cover, grey in zip(covers(views.disks, times, order), greys, strict=True):
            frames = frames.addcmul(cover, grey - frames)
        return frames

    def points(self, views: Views, times: Tensor) -> Tensor:
        """P, the point of the plane that each pixel shows, (B, T, H, W, 2), (x, y) in pixels from the middle of the plane."""
        at, cos, sin = self._camera(views, times)
        pixel = torch.arange(self.size).to(at) - (self.size - 1) / 2
        y, x = torch.meshgrid(pixel, pixel, indexing="ij")
        frame = torch.stack([x, y, torch.ones_like(x)], -1).flatten(0, 1)  # (H W, 3)
        camera = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1), at.mT], 2)  # (B, T, 3, 2)
        return (frame @ camera).unflatten(2, (self.size, self.size))

    def _camera(self, views: Views, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """p, (B, 2, T), and cosine and sine of the angle times the zoom, (B, T)."""
        times = times.to(views.angle)
        at = views.velocity[..., None] * times + swing(times, *views.sway.unbind(-1), self.period)
        angle = views.angle[:, None] + views.roll[:, None] * times
        zoom = (views.zoom[:, None] * times).exp()
        return at, zoom * angle.cos(), zoom * angle.sin()

    def plane(self, views: Views, points: Tensor) -> Tensor:
        """Grey of the plane at points (B, T, H, W, 2): (B, T, H, W)."""
        reach = (views.controls.shape[1] - 1) / 2 * self.grain
        grid = (points / reach).flatten(1, 2)
        grey = grid_sample(views.controls[:, None], grid, mode="bilinear", padding_mode="border", align_corners=True)
        return grey.view(points.shape[:-1])

    def determined(self, views: Views) -> Tensor:
        """Pixels of the next frame that show what a past frame has shown of the plane, (B, 1, H, W) bool.

        No disk covers them, not even a part of them, in either frame.
        """
        past = torch.arange(-self.memory, 0)
        at, *turn = self._camera(views, past)
        cos, sin = (v[..., None, None] for v in turn)
        now = self.points(views, torch.zeros(1))  # (B, 1, H, W, 2)
        x, y = now[..., 0] - at[:, 0, :, None, None], now[..., 1] - at[:, 1, :, None, None]
        square = cos.square() + sin.square()
        middle = (self.size - 1) / 2
        # the pixel of each past frame, (B, M, H, W)
        x, y = (cos * x + sin * y) / square + middle, (cos * y - sin * x) / square + middle
        edge = middle + 1e-3  # as near to the outermost pixels as rounding allows
        seen = ((x - middle).abs() <= edge) & ((y - middle).abs() <= edge)
        disks = views.disks
        centre = disks.position[:, None] + past.to(x)[:, None, None] * disks.velocity[:, None]  # (B, M, n, 2)
        for disk in range(self.n_disks):
            dx, dy = (v - centre[:, :, disk, k, None, None] for k, v in enumerate((x, y)))
            seen &= dx.hypot(dy) > disks.radius[:, disk, None, None, None] + 2  # nor the pixels next to it
        bare = seen.any(1, keepdim=True)
        for cover in covers(disks, torch.zeros(1), disks.depth):
            bare &= cover == 0
        return bare
