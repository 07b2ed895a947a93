r"""Moving leaves: disks that move and occlude one another, and the exact law of their next frame.

A scene has n disks of radius r, grey level g, position and constant velocity over a uniform grey ground. Its depth
order is Plackett–Luce: each disk draws the score :math:`\kappa \log r + \text{Gumbel}` and the highest is nearest, so

.. math:: P(i \text{ in front of } j) = \frac{1}{1 + (r_j / r_i)^{\kappa}} .

Everything but the depth order can be read off the past frames. The order shows only where disks overlap, so when two
disks are about to meet, the past leaves it open which will cover the other, and p(x | c) is a finite set of futures
with known probabilities (:func:`futures`).

How disks are drawn is told in :mod:`scorevid.worlds.leaves.scenes`. The recipe of the paper is not known in detail; sizes,
speeds, κ and the share of meetings are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice, permutations

import torch
from torch import Tensor

from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.scenes import Scene, covers
from scorevid.worlds.registry import register


@register("train", "moving leaves", "leaves")
@dataclass(frozen=True)
class Leaves:
    """The world of moving leaves: disks that move over a uniform ground and occlude one another.

    Two disks "meet" when they touch for the first time in the next frame, so that the past cannot tell which is nearer.
    Radii are log-uniform, so that the log odds of who is nearer have no favourite size. Raises ValueError for values
    that describe no world.
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

    def __post_init__(self):
        for name in ("size", "n_disks", "memory"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a positive integer, got {getattr(self, name)!r}")
        if self.fewest is not None and not (isinstance(self.fewest, int) and 1 <= self.fewest <= self.n_disks):
            raise ValueError(f"fewest must lie in 1 to n_disks = {self.n_disks}, got {self.fewest!r}")
        for name, least in (("radius", 0.5), ("grey", 0.0), ("speed", 0.0)):
            low, high = getattr(self, name)
            if not least <= low <= high < math.inf:
                raise ValueError(f"{name} must be a range (least, most) with {least} <= least <= most, got {low, high}")
        if self.grey[1] > 1 or not 0 <= self.ground <= 1:
            raise ValueError(f"grey levels lie in [0, 1], got grey={self.grey}, ground={self.ground}")
        if not 0 <= self.contrast < max(self.ground - self.grey[0], self.grey[1] - self.ground):
            raise ValueError(f"no grey in {self.grey} differs from the ground {self.ground} by {self.contrast}")
        if not (math.isfinite(self.kappa) and 0 <= self.meeting <= 1 and 0 <= self.close <= 1):
            given = f"{self.kappa}, {self.meeting}, {self.close}"
            raise ValueError(f"kappa must be finite, meeting and close in [0, 1], got {given}")
        if self.meeting > 0 and self.n_disks > 1 and self.speed[1] < MIN_MEETING_SPEED:
            raise ValueError(f"disks meet only at speeds of {MIN_MEETING_SPEED} and more, got speed={self.speed}")

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W) and next frame x (batch, 1, H, W)."""
        video = self.scenes(batch, generator).video()
        return video[:, :-1], video[:, -1:]

    def scenes(self, batch: int, generator: torch.Generator) -> Scene:
        """Random scenes, a share ``meeting`` of which has an undecided first touch of disks 0 and 1.

        A disk that a scene lacks, where ``fewest`` is set, lies far outside of the frame. Disks that meet are there.
        """
        scene = self._anywhere(batch, generator)
        if self.fewest is not None:
            count = torch.randint(self.fewest, self.n_disks + 1, (batch,), generator=generator, device=generator.device)
            absent = torch.arange(self.n_disks, device=generator.device) >= count[:, None]
            scene.position.masked_fill_(absent[..., None], -1e3)  # far outside of the frame, and it stays there
        if self.n_disks < 2 or self.meeting == 0:
            return scene
        meets = _uniform(generator, batch, 0, 1) < self.meeting
        together = self._approach(scene, generator)
        for name in ("position", "velocity"):
            pair = torch.where(meets[:, None, None], together[name], getattr(scene, name)[:, :2])
            setattr(scene, name, torch.cat([pair, getattr(scene, name)[:, 2:]], 1))
        if self.close > 0:
            closer = meets & (_uniform(generator, batch, 0, 1) < self.close)
            scene = self._bring_closer(scene, closer, generator)
        return scene

    def meetings(self, batch: int, generator: torch.Generator, odds: Tensor | None = None) -> Scene:
        """Scenes in which disks 0 and 1 meet for the first time in the next frame, apart from all others.

        odds: (batch,) wanted probability that disk 0 is nearer; sets the ratio of the two radii. Raises ValueError
        where the range of radii cannot give it. Without it radii are drawn as everywhere.
        """
        if self.n_disks < 2:
            raise ValueError("a meeting takes two disks, n_disks is 1")
        scene = self._anywhere(batch, generator)
        if odds is not None:
            scene = self._nearer(scene.replace(radius=self._radii_for(odds, scene.radius, generator)), generator)
        pair = self._approach(scene, generator)
        return scene.replace(**{k: torch.cat([v, getattr(scene, k)[:, 2:]], 1) for k, v in pair.items()})

    def _bring_closer(self, scene: Scene, which: Tensor, generator: torch.Generator) -> Scene:
        """Other disks 0 and 1 in the scenes told, (B,) bool: of four pairs that meet, the first with CLOSE futures."""
        batch, tries = len(scene), 4
        pool = self.meetings(tries * batch, generator)
        low, high = CLOSE
        apart = overlap_distance(pool).view(tries, batch)
        first = ((apart >= low) & (apart <= high)).to(torch.int8).argmax(0)  # the first of all where none is close
        found = pool[first * batch + torch.arange(batch, device=first.device)]
        changed = {}
        for name in ("position", "velocity", "radius", "grey"):
            own, other = getattr(scene, name), getattr(found, name)
            pair = torch.where(which.view(-1, *[1] * (own.ndim - 1)), other[:, :2], own[:, :2])
            changed[name] = torch.cat([pair, own[:, 2:]], 1)
        closer = self._nearer(scene.replace(**changed), generator)
        return closer.replace(depth=torch.where(which[:, None], closer.depth, scene.depth))

    def _anywhere(self, batch: int, generator: torch.Generator) -> Scene:
        n = self.n_disks
        radius = _uniform(generator, (batch, n), *map(math.log, self.radius)).exp()
        speed = _uniform(generator, (batch, n), *self.speed)
        scene = Scene(
            position=_uniform(generator, (batch, n, 2), 0, self.size - 1),
            velocity=speed[..., None] * _direction(generator, (batch, n)),
            radius=radius,
            grey=self._greys(generator, (batch, n)),
            depth=torch.zeros(batch, n, dtype=torch.long, device=generator.device),
            ground=self.ground,
            size=self.size,
            memory=self.memory,
            kappa=self.kappa,
        )
        return self._nearer(scene, generator)

    def _greys(self, generator: torch.Generator, shape) -> Tensor:
        """Uniform over what remains of the range without the band of low contrast around the ground."""
        below = max(0.0, self.ground - self.contrast - self.grey[0])
        above = max(0.0, self.grey[1] - self.ground - self.contrast)
        u = _uniform(generator, shape, 0, below + above)
        return torch.where(u < below, self.grey[0] + u, self.grey[1] - (u - below))

    def _nearer(self, scene: Scene, generator: torch.Generator) -> Scene:
        """Draw the depth order anew for the scene's radii (Plackett–Luce by the Gumbel trick)."""
        exponential = _uniform(generator, scene.radius.shape, 0, 1).clamp_min(1e-12).log().neg()
        score = self.kappa * scene.radius.log() - exponential.log()
        return scene.replace(depth=score.argsort(1, descending=True).argsort(1))

    def _radii_for(self, odds: Tensor, radius: Tensor, generator: torch.Generator) -> Tensor:
        odds = torch.as_tensor(odds, dtype=radius.dtype, device=radius.device)
        if self.kappa == 0 or ((odds <= 0) | (odds >= 1)).any():
            raise ValueError("odds must lie in (0, 1), and kappa must not be 0 to choose them")
        log_ratio = torch.logit(odds) / self.kappa  # log r_0 - log r_1
        low, high = map(math.log, self.radius)
        room = high - low - log_ratio.abs()
        if (room < 0).any():
            most = torch.sigmoid(torch.tensor(self.kappa * (high - low))).item()
            raise ValueError(f"radii in {self.radius} give odds of at most {most:.3f}, got {odds.max():.3f}")
        smaller = low + room * _uniform(generator, len(odds), 0, 1)
        pair = torch.stack([smaller + log_ratio.clamp_min(0), smaller + (-log_ratio).clamp_min(0)], 1)
        return torch.cat([pair.exp(), radius[:, 2:]], 1)

    def _approach(self, scene: Scene, generator: torch.Generator) -> dict[str, Tensor]:
        """Place disks 0 and 1 so that their edges part in the last past frame and overlap in the next."""
        batch = len(scene)
        u = _direction(generator, batch)
        across = torch.stack([-u[:, 1], u[:, 0]], 1)
        gap = _uniform(generator, batch, *MEETING_GAP)
        closing = gap + 1.2 + (2 * self.speed[1] - gap - 1.2).clamp_min(0) * _uniform(generator, batch, 0, 1)
        sliding = _uniform(generator, batch, -0.5, 0.5)
        relative = -closing[:, None] * u + sliding[:, None] * across  # velocity of disk 1 seen from disk 0
        distance = scene.radius[:, 0] + scene.radius[:, 1] + gap
        apart = distance[:, None] * u + relative  # from disk 0 to disk 1 in the next frame
        middle = _uniform(generator, (batch, 2), 0.2 * self.size, 0.8 * self.size)
        # their common motion uses what the speed limit leaves over
        share = _uniform(generator, batch, 0, 1)[:, None] * (2 * self.speed[1] - relative.norm(dim=1, keepdim=True))
        drift = _direction(generator, batch) * share.clamp_min(0) / 2
        return {
            "position": torch.stack([middle - apart / 2, middle + apart / 2], 1),
            "velocity": torch.stack([drift - relative / 2, drift + relative / 2], 1),
        }


MEETING_GAP = (1.1, 1.6)  # pixels between the edges one frame before; more than the width of an anti-aliased edge
MIN_MEETING_SPEED = 1.5  # pixels a frame; slower disks cannot close the gap and overlap
CLOSE = (0.5, 1.6)  # grey units: distance of two futures at which the choice is made at little noise, and hard to learn


def overlap_distance(scene: Scene) -> Tensor:
    r"""D = ‖x_A − x_B‖ of the next frames with disk 0 and with disk 1 in front, were there no other disks: (B,).

    The two frames differ where both disks are, by the product of their coverages and the difference of their greys.
    """
    order = torch.arange(scene.radius.shape[1], device=scene.radius.device).expand_as(scene.radius)
    first, second = islice(covers(scene, torch.zeros(1), order), 2)
    return (first * second).flatten(1).norm(dim=1) * (scene.grey[:, 0] - scene.grey[:, 1]).abs()


def futures(scene: Scene, tolerance: float = 1e-4) -> Futures:
    """All next frames that the past allows, with their exact probabilities.

    Goes through all n! depth orders, drops those that contradict an overlap visible in the past, weights the rest by
    Plackett–Luce, and merges equal next frames. ``tolerance`` is the grey difference under which frames count as
    equal. Scenes of up to six disks. Returns :class:`~scorevid.worlds.futures.Futures` with K the largest number found
    in the batch, in the lexical order of the depth orders: of two undecided disks, the first future has disk 0 in front.

    The probabilities are p(x | c) where the past determines radii, greys, places and velocities;
    :func:`~scorevid.worlds.leaves.meetings.determined` tells for which scenes it does.
    """
    n = scene.radius.shape[1]
    if n > 6:
        raise ValueError(f"all futures are listed for up to 6 disks, got {n}")
    orders = torch.tensor(list(permutations(range(n))), device=scene.radius.device)  # (n!, n), nearest first
    ranks = orders.argsort(1)
    log_p = _log_plackett_luce(scene.kappa * scene.radius.double().log(), orders)  # (B, n!)
    past = scene.past()
    found: list[tuple[Tensor, Tensor]] = []  # different frames (B, H, W), and log weights (B,), −∞ where not met
    for k, rank in enumerate(ranks):
        video = scene.replace(depth=rank.expand_as(scene.depth)).video()
        consistent = (video[:, :-1] - past).abs().amax((1, 2, 3)) <= tolerance
        weight, frame = log_p[:, k].masked_fill(~consistent, -torch.inf), video[:, -1]
        for place, (other, total) in enumerate(found):
            equal = ((frame - other).abs().amax((1, 2)) <= tolerance) & (total > -torch.inf)
            found[place] = other, torch.where(equal, torch.logaddexp(total, weight), total)
            weight = weight.masked_fill(equal, -torch.inf)
        if (weight > -torch.inf).any():
            found.append((frame, weight))
    frames, p = torch.stack([f for f, _ in found], 1), torch.stack([w for _, w in found], 1).softmax(1)
    most = int((p > 0).sum(1).max())
    first = (p > 0).to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
    chosen = frames.gather(1, first[:, :, None, None].expand(-1, -1, *frames.shape[2:]))
    return Futures(chosen, p.gather(1, first).to(frames.dtype))


def _log_plackett_luce(score: Tensor, orders: Tensor) -> Tensor:
    """log P of each order, nearest first: each place is a softmax over the disks left. (B, n), (K, n) -> (B, K)."""
    ordered = score[:, orders]  # (B, K, n)
    left = ordered.flip(2).logcumsumexp(2).flip(2)
    return (ordered - left).sum(2)


def _uniform(generator: torch.Generator, shape, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def _direction(generator: torch.Generator, shape) -> Tensor:
    angle = _uniform(generator, shape, 0, 2 * math.pi)
    return torch.stack([angle.cos(), angle.sin()], -1)
