r"""Moving leaves: disks that move and occlude one another.

A scene has n disks of radius r, grey level g, position and constant velocity over a uniform grey ground, in a random
depth order. :mod:`scorevid.worlds.leaves.scenes` renders it; :mod:`scorevid.worlds.leaves.next_frames` has the law of
the depth order and of the next frame. The recipe of the paper is not known in detail; sizes, speeds, κ and the share of
meetings are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.next_frames import draw_depth
from scorevid.worlds.leaves.pasts import before_it_comes_out, cross, hide
from scorevid.worlds.leaves.scenes import Scene, overlap_distance
from scorevid.worlds.registry import TestScenes, register

MEETING_GAP = (1.1, 1.6)  # pixels between the edges one frame before; more than the width of an anti-aliased edge
MIN_MEETING_SPEED = 1.5  # pixels a frame; slower disks cannot close the gap and overlap
CLOSE = (0.5, 1.6)  # grey units: distance of two futures at which the choice is made at little noise, and hard to learn


@register("train", "moving leaves", "leaves")
@dataclass(frozen=True)
class Leaves:
    """The world of moving leaves: disks that move over a uniform ground and occlude one another.

    Two disks "meet" when they touch for the first time in the next frame, so that the past leaves open which is nearer.
    Radii are log-uniform, so that the log odds of who is nearer favour no size. Raises ValueError for values that
    describe no world.
    """

    size: int = 32  # frames are size x size pixels
    n_disks: int = 3  # disks in a scene, the most if fewest is set
    fewest: int | None = None  # least number of disks, up to n_disks; None: always n_disks
    memory: int = 2  # M, past frames
    kappa: float = 4.0  # depth exponent: 4 makes a disk of twice the radius nearer 16 times out of 17, 0 is a coin
    radius: tuple[float, float] = (3.0, 7.0)  # least and most, in pixels
    grey: tuple[float, float] = (0.0, 1.0)  # least and most grey level of a disk, uniform
    ground: float = 0.5  # grey level of the ground
    contrast: float = 0.15  # least difference of a disk's grey from the ground's
    speed: tuple[float, float] = (0.0, 2.5)  # least and most, in pixels a frame
    meeting: float = 0.6  # share of scenes in which disks 0 and 1 meet in the next frame
    close: float = 0.0  # share of those whose two futures are drawn to be CLOSE, as far as a few tries go
    joining: float = 0.0  # share of further disks that meet one of those before them as well, as far as a few tries go
    inferred: float = 0.0  # share of those with disk 2 across the gap, by which the order is often decided after all
    hiding: float = 0.0  # share of scenes in which disk 0 hides disk 1 for some past frames and lets it out in the next
    staying: float = 0.0  # share of those that are shown earlier: disk 1 stays hidden, or is about to be

    def __post_init__(self):
        for name in ("size", "n_disks", "memory"):
            checks.integer(name, getattr(self, name))
        if self.fewest is not None:
            checks.integer("fewest", self.fewest, most=self.n_disks)
        for name, least in (("radius", 0.5), ("grey", 0.0), ("speed", 0.0)):
            checks.extent(name, getattr(self, name), least)
        if self.inferred > 0 and self.n_disks < 3:
            raise ValueError(f"an order is inferred from a third disk, got n_disks={self.n_disks}")
        if self.hiding > 0 and self.n_disks < 2:
            raise ValueError(f"a disk is hidden by a second one, got n_disks={self.n_disks}")
        for name in ("ground", "meeting", "close", "joining", "inferred", "hiding", "staying"):
            checks.number(name, getattr(self, name), 0, 1)
        checks.number("kappa", self.kappa)
        checks.number("the most of grey", self.grey[1], 0, 1)
        if not 0 <= self.contrast < max(self.ground - self.grey[0], self.grey[1] - self.ground):
            raise ValueError(f"no grey in {self.grey} differs from the ground {self.ground} by {self.contrast}")
        if max(self.meeting, self.joining) > 0 and self.n_disks > 1 and self.speed[1] < MIN_MEETING_SPEED:
            raise ValueError(f"disks meet only at speeds of {MIN_MEETING_SPEED} and more, got speed={self.speed}")

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W) and next frame x (batch, 1, H, W)."""
        video = self.scenes(batch, generator).video()
        return video[:, :-1], video[:, -1:]

    def test_scenes(self, n: int, generator: torch.Generator) -> TestScenes:
        """Random scenes to judge a denoiser by, and meetings of two disks with exactly two futures."""
        return TestScenes.draw(self, n, generator, undecided=self._undecided)

    def _undecided(self, n: int, generator: torch.Generator) -> tuple[Tensor, Futures]:
        scenes, futures = undecided_meetings(self, n, generator)
        return scenes.past(), futures

    def scenes(self, batch: int, generator: torch.Generator) -> Scene:
        """Random scenes, a share ``meeting`` of which has an undecided first touch of disks 0 and 1.

        A disk that a scene lacks, where ``fewest`` is set, lies far outside of the frame. Disks that meet are there.
        """
        scene = self._anywhere(batch, generator)
        if self.fewest is not None:
            count = torch.randint(self.fewest, self.n_disks + 1, (batch,), generator=generator, device=generator.device)
            absent = torch.arange(self.n_disks, device=generator.device) >= count[:, None]
            scene = scene.replace(position=scene.position.masked_fill(absent[..., None], -1e3))  # it stays outside
        if self.n_disks > 1 and self.meeting > 0:
            scene = self._with_meetings(scene, generator)
        if self.joining > 0:
            for disk in range(2, self.n_disks):
                scene = self._join(scene, disk, generator)
        if self.hiding > 0:
            which = _uniform(generator, batch, 0, 1) < self.hiding
            scene, frames = hide(scene, which, self.speed[1], generator)
            if self.staying > 0:
                stays = _uniform(generator, batch, 0, 1) < self.staying
                scene = before_it_comes_out(scene, frames.masked_fill(~stays, -1), generator)
        return scene

    def _with_meetings(self, scene: Scene, generator: torch.Generator) -> Scene:
        """The scenes, a share of which has a meeting of disks 0 and 1, some with close futures or disk 2 across the gap."""
        batch = len(scene)
        meets = _uniform(generator, batch, 0, 1) < self.meeting
        scene = _replace_disks(scene, self._approach(scene.radius, _way(generator, batch)), meets)
        if self.close > 0:
            closer = meets & (_uniform(generator, batch, 0, 1) < self.close)
            scene = self._bring_closer(scene, closer, generator)
        if self.inferred > 0:
            bridged = meets & (_uniform(generator, batch, 0, 1) < self.inferred)
            if self.memory > 2:  # the order may have been visible long ago
                scene, _ = cross(scene, bridged, self.speed[1], generator)
            else:
                scene = self._bridge(scene, bridged, generator)
        return scene

    def meetings(self, batch: int, generator: torch.Generator, probability: Tensor | None = None) -> Scene:
        """Scenes in which disks 0 and 1 meet for the first time in the next frame.

        probability: (batch,) that disk 0 is nearer, by the ratio of the two radii; as in other scenes unless given. Raises
        ValueError where the range of radii cannot give it.
        """
        if self.n_disks < 2:
            raise ValueError("a meeting takes two disks, n_disks is 1")
        scene = self._anywhere(batch, generator)
        if probability is not None:
            radius = self._radii_for(probability, scene.radius, generator)
            scene = scene.replace(radius=radius, depth=draw_depth(radius, self.kappa, generator))
        return _replace_disks(scene, self._approach(scene.radius, _way(generator, batch)))

    def _bring_closer(self, scene: Scene, which: Tensor, generator: torch.Generator) -> Scene:
        """Other disks 0 and 1 in the scenes ``which``, (B,) bool: of four pairs that meet, the first with CLOSE futures."""
        batch, tries = len(scene), 4
        pool = self.meetings(tries * batch, generator)
        low, high = CLOSE
        apart = overlap_distance(pool).view(tries, batch)
        first = ((apart >= low) & (apart <= high)).to(torch.int8).argmax(0)  # the first of all where none is close
        chosen = pool[first * batch + torch.arange(batch, device=first.device)]
        pair = {name: getattr(chosen, name)[:, :2] for name in ("position", "velocity", "radius", "grey")}
        closer = _replace_disks(scene, pair, which)
        depth = draw_depth(closer.radius, self.kappa, generator)
        return closer.replace(depth=torch.where(which[:, None], depth, scene.depth))

    def _join(self, scene: Scene, disk: int, generator: torch.Generator, tries: int = 8) -> Scene:
        """The scenes, in a share ``joining`` of which a disk meets one of those before it, as disks 0 and 1 do in a meeting.

        Of some tries the first is taken in which it is no faster than other disks, and the two next frames of the pair are at
        least as far apart as CLOSE; where none is so, the scene stays as it is.
        """
        batch, rows = len(scene), torch.arange(len(scene), device=scene.radius.device)
        there = scene.position[..., 0] > -100  # and not absent
        joins = (_uniform(generator, batch, 0, 1) < self.joining) & there[:, disk]
        others, ways = [], []
        for _ in range(tries):
            others.append(torch.randint(disk, (batch,), generator=generator, device=generator.device))
            ways.append(_way(generator, batch))
        # all tries at once, as if they were scenes: small tensors take as long as large ones
        other, rows = torch.cat(others), rows.repeat(tries)
        both = torch.stack([other, torch.full_like(other, disk)], 1)
        pair = scene[rows].replace(**{k: getattr(scene, k)[rows[:, None], both] for k in ("radius", "grey")})
        pair = pair.replace(**self._approach(pair.radius, torch.cat(ways)))
        position = scene.position[rows, other] + pair.position[:, 1] - pair.position[:, 0]
        velocity = scene.velocity[rows, other] + pair.velocity[:, 1] - pair.velocity[:, 0]
        fits = joins[rows] & there[rows, other] & (velocity.norm(dim=1) <= self.speed[1])
        fits[fits.clone()] = overlap_distance(pair[fits]) >= CLOSE[0]
        fits = fits.view(tries, batch)
        first = fits.to(torch.int8).argmax(0) * batch + torch.arange(batch, device=rows.device)
        found = {"position": position[first, None], "velocity": velocity[first, None]}
        return _replace_disks(scene, found, fits.any(0), disk)

    def _bridge(self, scene: Scene, which: Tensor, generator: torch.Generator) -> Scene:
        """Disk 2 over the gap of disks 0 and 1 in the last past frame, beside their line, in the scenes ``which``, (B,) bool.

        Where it overlaps both and is seen to lie between them in depth, their order follows. Nothing here depends on the
        depths, so that these have the same law as in other scenes.
        """
        velocity, radius = scene.velocity[:, :2], scene.radius[:, :3]
        before = scene.position[:, :2] - velocity
        apart = before[:, 1] - before[:, 0]
        distance = apart.norm(dim=1)
        u = apart / distance[:, None]
        across = torch.stack([-u[:, 1], u[:, 0]], 1)
        middle = before[:, 0] + u * ((distance + radius[:, 0] - radius[:, 1]) / 2)[:, None]  # of the gap
        batch = len(scene)
        aside = radius[:, 2] * _uniform(generator, batch, 0.6, 1.2)
        aside = torch.where(_uniform(generator, batch, 0, 1) < 0.5, aside, -aside)
        share = _uniform(generator, batch, 0, 1)[:, None]
        drift = share * velocity[:, 0] + (1 - share) * velocity[:, 1]
        third = {"position": middle + aside[:, None] * across + drift, "velocity": drift}
        return _replace_disks(scene, {k: v[:, None] for k, v in third.items()}, which, first=2)

    def _anywhere(self, batch: int, generator: torch.Generator) -> Scene:
        """Scenes with all disks anywhere in the frame."""
        n = self.n_disks
        radius = _uniform(generator, (batch, n), *map(math.log, self.radius)).exp()
        speed = _uniform(generator, (batch, n), *self.speed)
        return Scene(
            position=_uniform(generator, (batch, n, 2), 0, self.size - 1),
            velocity=speed[..., None] * _direction(generator, (batch, n)),
            radius=radius,
            grey=self._greys(generator, (batch, n)),
            depth=draw_depth(radius, self.kappa, generator),
            ground=self.ground,
            size=self.size,
            memory=self.memory,
            kappa=self.kappa,
        )

    def _greys(self, generator: torch.Generator, shape) -> Tensor:
        """Uniform over what remains of the range without the band of low contrast around the ground."""
        below = max(0.0, self.ground - self.contrast - self.grey[0])
        above = max(0.0, self.grey[1] - self.ground - self.contrast)
        u = _uniform(generator, shape, 0, below + above)
        return torch.where(u < below, self.grey[0] + u, self.grey[1] - (u - below))

    def _radii_for(self, probability: Tensor, radius: Tensor, generator: torch.Generator) -> Tensor:
        """Radii with which disk 0 is in front of disk 1 with this probability; those of other disks are kept."""
        p = torch.as_tensor(probability, dtype=radius.dtype, device=radius.device)
        if self.kappa == 0 or ((p <= 0) | (p >= 1)).any():
            raise ValueError(f"probability must lie in (0, 1), and kappa must not be 0, got {p} and {self.kappa}")
        log_ratio = torch.logit(p) / self.kappa  # log r_0 - log r_1
        low, high = map(math.log, self.radius)
        room = high - low - log_ratio.abs()
        if (room < 0).any():
            most = torch.sigmoid(torch.tensor(self.kappa * (high - low))).item()
            raise ValueError(f"probability must be at most {most:.3f} with radii in {self.radius}, got {p.max():.3f}")
        smaller = low + room * _uniform(generator, len(p), 0, 1)
        pair = torch.stack([smaller + log_ratio.clamp_min(0), smaller + (-log_ratio).clamp_min(0)], 1)
        return torch.cat([pair.exp(), radius[:, 2:]], 1)

    def _approach(self, radius: Tensor, way: Tensor) -> dict[str, Tensor]:
        """Position and velocity of disks 0 and 1, whose edges part in the last past frame and overlap in the next.

        way: (B, 8), of :func:`_way`. Where they meet, how fast and in which direction.
        """
        u = _unit_vector(way[:, 0])
        across = torch.stack([-u[:, 1], u[:, 0]], 1)
        gap = _between(way[:, 1], *MEETING_GAP)
        closing = gap + 1.2 + (2 * self.speed[1] - gap - 1.2).clamp_min(0) * way[:, 2]
        sliding = _between(way[:, 3], -0.5, 0.5)
        relative = -closing[:, None] * u + sliding[:, None] * across  # velocity of disk 1 seen from disk 0
        distance = radius[:, 0] + radius[:, 1] + gap
        apart = distance[:, None] * u + relative  # from disk 0 to disk 1 in the next frame
        middle = _between(way[:, 4:6], 0.2 * self.size, 0.8 * self.size)
        # their common motion uses what the speed limit leaves over
        share = way[:, 6, None] * (2 * self.speed[1] - relative.norm(dim=1, keepdim=True))
        drift = _unit_vector(way[:, 7]) * share.clamp_min(0) / 2
        return {
            "position": torch.stack([middle - apart / 2, middle + apart / 2], 1),
            "velocity": torch.stack([drift - relative / 2, drift + relative / 2], 1),
        }


def _replace_disks(scene: Scene, disks: dict[str, Tensor], which: Tensor | None = None, first: int = 0) -> Scene:
    """Scenes with other fields (B, m, …) of m disks from ``first`` on; only the scenes ``which``, (B,) bool, if given."""
    changed = {}
    for name, other in disks.items():
        own = getattr(scene, name)
        last = first + other.shape[1]
        if which is not None:
            other = torch.where(which.view(-1, *[1] * (own.ndim - 1)), other, own[:, first:last])
        changed[name] = torch.cat([own[:, :first], other, own[:, last:]], 1)
    return scene.replace(**changed)


def _way(generator: torch.Generator, batch: int) -> Tensor:
    """What is random about how two disks come to meet, uniform in [0, 1): (batch, 8)."""
    shapes = [(batch, 1)] * 4 + [(batch, 2)] + [(batch, 1)] * 2
    return torch.cat([torch.rand(shape, generator=generator, device=generator.device) for shape in shapes], 1)


def _uniform(generator: torch.Generator, shape, low: float, high: float) -> Tensor:
    return _between(torch.rand(shape, generator=generator, device=generator.device), low, high)


def _between(u: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * u


def _direction(generator: torch.Generator, shape) -> Tensor:
    return _unit_vector(torch.rand(shape, generator=generator, device=generator.device))


def _unit_vector(u: Tensor) -> Tensor:
    angle = _between(u, 0, 2 * math.pi)
    return torch.stack([angle.cos(), angle.sin()], -1)
