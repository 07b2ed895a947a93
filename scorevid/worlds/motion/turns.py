r"""Turns: disks that go on or turn, each by a choice of its own, so that up to 27 next frames are possible.

From frame to frame a disk moves by its velocity v, of constant speed. Before each move it goes on, turns left or turns right
by a fixed angle. With ρ ∈ [−1, 1] the place of its log radius between the least and the most, and g its grey level,

.. math:: \log P(\text{right}) / P(\text{left}) = \kappa\,(2g - 1), \qquad
          \log P(\text{on}) / \sqrt{P(\text{left}) P(\text{right})} = \lambda\, \rho ,

so light disks turn right, dark ones left, and large ones rather go on: the past shows the odds of each choice. Disks choose
independently. A component of v that would take any of the disk out of the frame is reversed, whatever was chosen. Thus each
disk is wholly within all frames. Where disks overlap, the smaller one is in front and none can be hidden by a smaller one.

So radius, grey level and position of each disk can be read off the last past frame, and v is its last move: the law of the
next frame is a function of the past. With ``stop`` > 0 a disk may also stay where it is for one frame, a fourth choice. It
keeps its v, which the move before that shows, and does not stop twice in a row; this takes a memory of three frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.scenes import Scene, render
from scorevid.worlds.motion.draws import choice, collect, direction, grey_levels, parts, take, uniform
from scorevid.worlds.registry import TestScenes, register

ABSENT = -1e3  #: coordinates of a disk that a scene lacks
MOST = 5  #: disks, of all combinations of whose choices the futures are listed
CLOSEST = 0.5  #: grey units: least distance of any two futures of scenes to be judged by


@dataclass(frozen=True, eq=False)
class Walks:
    """A batch of scenes up to the present.

    path: (B, T, n, 2) centres (x, y) in pixels in T frames, the present last. velocity: (B, n, 2) of the last move that was no
    stop, in pixels a frame. stopped: (B, n) bool, whether the last move was a stop. radius: (B, n) pixels. grey: (B, n).
    """

    path: Tensor
    velocity: Tensor
    stopped: Tensor
    radius: Tensor
    grey: Tensor

    def __len__(self) -> int:
        return len(self.radius)


@register("train-turns", "disks that go on or turn", "turns")
@dataclass(frozen=True)
class Turns:
    """The world of disks that turn. Raises ValueError for values that describe no world."""

    size: int = 32  # frames are size x size pixels
    memory: int = 3  # M, past frames
    n_disks: int = 3  # most disks in a scene
    fewest: int = 1  # least
    turn: float = 75.0  # angle of a turn, in degrees
    kappa: float = 2.0  # log odds that a white disk turns right and not left; those of a black one are minus that
    steady: float = 1.0  # lambda, log odds that the largest disk goes on, in comparison with a turn
    stop: float = 0.0  # probability that a disk stays where it is for one frame, a fourth choice
    radius: tuple[float, float] = (2.5, 4.5)  # least and most, in pixels, log-uniform
    contrast: float = 0.2  # least difference of a disk's grey from the ground's, which is 0.5
    speed: tuple[float, float] = (3.0, 5.0)  # least and most, in pixels a frame

    def __post_init__(self):
        checks.integer("size", self.size)
        checks.integer("memory", self.memory, 3 if self.stop else 2)
        checks.integer("n_disks", self.n_disks, 1, MOST)
        checks.integer("fewest", self.fewest, 1, self.n_disks)
        checks.number("turn", self.turn, 180, above=0)
        checks.number("kappa", self.kappa, -20, 20)
        checks.number("steady", self.steady, -20, 20)
        checks.number("stop", self.stop, 0, 0.99)
        checks.number("contrast", self.contrast, 0, 0.5)
        checks.extent("radius", self.radius, 0.5)
        checks.extent("speed", self.speed, 0.1)
        if (room := self.size - 1 - 2 * self.radius[1]) < 2 * self.speed[1]:
            raise ValueError(f"speed must be at most half of the {room:g} pixels that disks have, got {self.speed}")

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W) and next frame x (batch, 1, H, W)."""
        video = self.video(batch, 1, generator)
        return video[:, :-1], video[:, -1:]

    def video(self, batch: int, frames: int, generator: torch.Generator) -> Tensor:
        """M past frames and ``frames`` that follow, oldest first, (batch, M + frames, H, W)."""
        checks.integer("frames", frames)
        return self.render(self.walks(batch, self.memory + frames, generator))

    def test_scenes(self, n: int, generator: torch.Generator) -> TestScenes:
        """Random scenes to judge a denoiser by, and those with finitely many known futures."""
        return TestScenes.draw(self, n, generator, undecided=self.undecided)

    def undecided(self, n: int, generator: torch.Generator, disks: int | None = None) -> tuple[Tensor, Futures]:
        """Past c (n, M, H, W) of scenes in which no disks overlap in the past, and the exact law of the next frame.

        disks: number of disks in each scene, by default random as in training; each makes the futures three times as many.
        Futures are at least :data:`CLOSEST` apart. Raises ValueError for bad input, and where such scenes are too rare.
        """
        checks.integer("n", n)
        if disks is not None:
            checks.integer("disks", disks, 1, self.n_disks)
        world = self if disks is None else replace(self, fewest=disks, n_disks=disks)

        def draw() -> Walks:
            walks = world.walks(min(max(4 * n, 64), 256), world.memory, generator)
            walks = take(walks, _apart(walks))
            return take(walks, world.futures(walks).closest() >= CLOSEST)

        walks = collect(n, draw, f"scenes of disks that are apart are too rare in {world}")
        return world.render(walks), Futures.cat([world.futures(take(walks, part)) for part in parts(n)])

    def walks(self, batch: int, frames: int, generator: torch.Generator) -> Walks:
        """Random scenes of so many frames. A disk that a scene lacks lies far outside of the frame, and does not move."""
        n = self.n_disks
        radius = uniform(generator, (batch, n), *map(math.log, self.radius)).exp()
        share = uniform(generator, (batch, n, 2), 0, 1)
        speed = uniform(generator, (batch, n, 1), *self.speed)
        count = torch.randint(self.fewest, n + 1, (batch, 1, 1), generator=generator, device=generator.device)
        absent = torch.arange(n, device=generator.device)[:, None] >= count
        at = radius[..., None] + share * (self.size - 1 - 2 * radius[..., None])
        walks = Walks(
            path=at.masked_fill(absent, ABSENT)[:, None],
            velocity=(speed * direction(generator, (batch, n))).masked_fill(absent, 0),
            stopped=torch.zeros_like(radius, dtype=torch.bool),
            radius=radius,
            grey=grey_levels(generator, (batch, n), self.contrast),
        )
        for _ in range(frames - 1):
            walks = self.step(walks, generator)
        return walks

    def step(self, walks: Walks, generator: torch.Generator) -> Walks:
        """The scenes one frame later, with a choice drawn for each disk."""
        chosen = choice(generator, self.probabilities(walks))
        velocity = self.velocities(walks).gather(2, chosen[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
        stopped = chosen == 3
        at = walks.path[:, -1] + velocity.masked_fill(stopped[..., None], 0)
        return replace(walks, path=torch.cat([walks.path, at[:, None]], 1), velocity=velocity, stopped=stopped)

    def probabilities(self, walks: Walks) -> Tensor:
        """Of going on, turning left, turning right and, where disks may, stopping: (B, n, 3) or (B, n, 4)."""
        low, high = map(math.log, self.radius)
        place = (2 * walks.radius.log() - low - high) / ((high - low) or 1.0)
        tilt = self.kappa * (walks.grey - 0.5)
        turning = torch.stack([self.steady * place, -tilt, tilt], -1).softmax(-1)
        if not self.stop:
            return turning
        stops = self.stop * (~walks.stopped[..., None]).to(turning)
        return torch.cat([turning * (1 - stops), stops], -1)

    def velocities(self, walks: Walks) -> Tensor:
        """The velocity that each choice leads to, reversed at the edges, (B, n, 3 or 4, 2); a stop keeps the one there is."""
        angle = math.radians(self.turn) * torch.tensor([0.0, -1.0, 1.0])  # y points down, so a right turn is positive
        cos, sin = angle.cos().to(walks.velocity), angle.sin().to(walks.velocity)
        x, y = walks.velocity[..., None].unbind(2)  # (B, n, 1) each
        turned = torch.stack([cos * x - sin * y, sin * x + cos * y], -1)
        at, radius = walks.path[:, -1, :, None], walks.radius[..., None, None]
        out = (at + turned < radius) | (at + turned > self.size - 1 - radius)
        turned = torch.where(out, -turned, turned)
        return torch.cat([turned, walks.velocity[:, :, None]], 2) if self.stop else turned

    def futures(self, walks: Walks) -> Futures:
        """All next frames with their exact probabilities: all combinations of the choices of disks, lexically."""
        p, velocity = self.probabilities(walks), self.velocities(walks)
        absent = walks.path[:, -1, :, :1] == ABSENT  # of its choices, which are all alike, the first is made
        p = torch.where(absent, torch.eye(p.shape[2], device=p.device)[0].to(p), p)
        moves = torch.cat([velocity[:, :, :3], torch.zeros_like(velocity[:, :, 3:])], 2)
        at = walks.path[:, -1, :, None] + moves  # (B, n, choices, 2)
        n, choices = p.shape[1:]
        combined = torch.tensor(list(product(range(choices), repeat=n)), device=p.device)  # (K, n)
        disk = torch.arange(n, device=p.device)
        frames = self.render(replace(walks, path=at[:, disk, combined]))
        return Futures(frames, p[:, disk, combined].prod(2)).without_padding()

    def render(self, walks: Walks) -> Tensor:
        """The frames of each path, (B, T, H, W), with smaller disks in front of larger ones."""
        frames = walks.path.shape[1]
        radius, grey = (v.repeat_interleave(frames, 0) for v in (walks.radius, walks.grey))
        at = walks.path.flatten(0, 1)
        depth = radius.argsort(1).argsort(1)
        scene = Scene(at, torch.zeros_like(at), radius, grey, depth, ground=0.5, size=self.size)
        return render(scene, torch.zeros(1)).view(len(walks), frames, self.size, self.size)


def _apart(walks: Walks) -> Tensor:
    """Whether no two disks share a pixel in any frame of the path, (B,) bool."""
    reach = (walks.radius.square() + walks.radius).sqrt()[:, None]  # beyond it a disk covers nothing
    distance = torch.cdist(walks.path, walks.path) + torch.eye(reach.shape[2], device=reach.device) * 1e3
    distance = distance.masked_fill((walks.path[..., 0] == ABSENT)[..., None], 1e3)
    return (distance > reach[..., None] + reach[..., None, :]).flatten(1).all(1)
