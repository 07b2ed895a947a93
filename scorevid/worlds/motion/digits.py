r"""Digits: two handwritten digits that bounce off the edges of the frame, in directions that nobody knows beforehand.

This is in kind the stochastic moving digits of Srivastava, Mansimov and Salakhutdinov (2015, arXiv 1502.04681), as Denton and
Fergus (2018, arXiv 1802.07687) made them, who draw a new velocity at each bounce. Ours are made from the 8 × 8 digits of
``sklearn.datasets.load_digits`` (Alpaydin and Kaynak 1998), in smaller frames and with finitely many velocities.

A digit is a square patch of whole-pixel position p and velocity v. It goes on to p + v if it stays in the frame. Otherwise
it bounces in this very step, to p + u with another velocity u, of eight directions times the speeds of the world. Along
each axis on which the digit would have left, u is opposite to v and not zero. And the digit stays in the frame with it. Of
these velocities,

.. math:: P(u) \propto \exp\big(\kappa \cos \angle(u, v')\big) ,

where v′ is v with these components reversed: κ = 0 is a uniform law like that of Denton and Fergus, and with κ > 0 the mirror
image is the likeliest. Position and velocity of each digit can be seen in the last two past frames, and with them whether it
bounces next. Digits bounce independently: with two speeds each has up to six futures, and both together up to 36.

The ground is black, as is usual with such digits. A bias-free network, which is homogeneous, answers zero where its input is
zero, so that black suits it; two digits are combined by the larger of their greys. Networks are trained with the first
:data:`TRAINING` digits, and judged by the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from scorevid import checks
from scorevid.worlds.futures import Futures
from scorevid.worlds.motion.draws import choice, collect, parts, take
from scorevid.worlds.registry import TestScenes, register

TRAINING = 1437  #: of the 1797 digits, those that training uses
CLOSEST = 0.5  #: grey units: least distance of any two futures of scenes to be judged by


@dataclass(frozen=True, eq=False)
class Flights:
    """A batch of scenes up to the present.

    digit: (B, n) which of the digits. path: (B, T, n, 2) whole pixels (x, y) of the first pixel of each patch in T frames, the
    present last. velocity: (B, n, 2) of the last move, whole pixels a frame.
    """

    digit: Tensor
    path: Tensor
    velocity: Tensor

    def __len__(self) -> int:
        return len(self.digit)


@register("train-digits", "handwritten digits that bounce in random directions", "digits")
@dataclass(frozen=True)
class Digits:
    """The world of bouncing digits. Raises ValueError for values that describe no world, ModuleNotFoundError at the first draw
    where scikit-learn is not installed."""

    size: int = 32  # frames are size x size pixels
    memory: int = 3  # M, past frames
    n_digits: int = 2  # digits in a scene
    width: int = 12  # of a digit, in pixels
    speeds: tuple[int, ...] = (2, 4)  # pixels a frame along each axis that a digit moves along
    kappa: float = 1.0  # preference of the mirror image at a bounce; 0 for none

    def __post_init__(self):
        checks.integer("size", self.size)
        checks.integer("memory", self.memory, 2)
        checks.integer("n_digits", self.n_digits, 1, 3)  # the futures of all are combined
        checks.integer("width", self.width, 4, self.size)
        if not isinstance(self.speeds, tuple) or not self.speeds or len(set(self.speeds)) < len(self.speeds):
            raise ValueError(f"speeds must be different whole numbers of pixels, got {self.speeds!r}")
        for speed in self.speeds:
            checks.integer("speeds", speed)
        if self.room < 2 * max(self.speeds):
            raise ValueError(
                f"speeds must be at most half of the {self.room} pixels that digits have, got {self.speeds}"
            )
        checks.number("kappa", self.kappa, -20, 20)

    @property
    def room(self) -> int:
        """Largest coordinate of a patch's first pixel, in pixels."""
        return self.size - self.width

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W) and next frame x (batch, 1, H, W)."""
        video = self.video(batch, 1, generator)
        return video[:, :-1], video[:, -1:]

    def video(self, batch: int, frames: int, generator: torch.Generator, test: bool = False) -> Tensor:
        """M past frames and ``frames`` that follow, oldest first, (batch, M + frames, H, W). test: with the test digits."""
        checks.integer("frames", frames)
        return self.render(self.flights(batch, self.memory + frames, generator, test))

    def test_scenes(self, n: int, generator: torch.Generator) -> TestScenes:
        """Random scenes of the test digits to judge a denoiser by, and those with finitely many known futures."""
        video = self.video(n, 1, generator, test=True)
        c, x = video[:, :-1], video[:, -1:]
        return TestScenes(c, x, (c[:, -1:] - x).square().mean(), undecided=self.undecided)

    def undecided(self, n: int, generator: torch.Generator) -> tuple[Tensor, Futures]:
        """Past c (n, M, H, W) of scenes of test digits of which one or more bounce next, and the law of the next frame.

        In the last two past frames no patches overlap, so that these show all. Futures are at least :data:`CLOSEST` apart.
        Raises ValueError for bad input, and where such scenes are too rare.
        """
        checks.integer("n", n)

        def draw() -> Flights:
            flights = self.flights(min(max(4 * n, 64), 256), self.memory, generator, test=True)
            flights = take(flights, _apart(flights.path[:, -2:], self.width) & self.bounces(flights).any(1))
            return take(flights, self.futures(flights).closest() >= CLOSEST)

        flights = collect(n, draw, f"digits that bounce apart from each other are too rare in {self}")
        return self.render(flights), Futures.cat([self.futures(take(flights, part)) for part in parts(n)])

    def flights(self, batch: int, frames: int, generator: torch.Generator, test: bool = False) -> Flights:
        """Random scenes of so many frames. test: of the test digits."""
        first, last = (TRAINING, len(_digits(self.width))) if test else (0, TRAINING)
        shape, where = (batch, self.n_digits), {"generator": generator, "device": generator.device}
        velocities = self.velocities().to(generator.device)
        at = torch.randint(0, self.room + 1, (*shape, 2), **where)
        flights = Flights(
            digit=torch.randint(first, last, shape, **where),
            path=at[:, None],
            velocity=velocities[torch.randint(0, len(velocities), shape, **where)],
        )
        for _ in range(frames - 1):
            flights = self.step(flights, generator)
        return flights

    def velocities(self) -> Tensor:
        """All velocities there are, (V, 2) whole pixels a frame."""
        signs = [sign for sign in product((-1, 0, 1), repeat=2) if sign != (0, 0)]
        return torch.tensor([[speed * x, speed * y] for speed in self.speeds for x, y in signs])

    def step(self, flights: Flights, generator: torch.Generator) -> Flights:
        """The scenes one frame later, with a velocity drawn for each digit that bounces."""
        drawn = self.velocities().to(flights.path.device)[choice(generator, self.bounce_law(flights))]
        velocity = torch.where(self.bounces(flights)[..., None], drawn, flights.velocity)
        at = flights.path[:, -1] + velocity
        return replace(flights, path=torch.cat([flights.path, at[:, None]], 1), velocity=velocity)

    def bounces(self, flights: Flights) -> Tensor:
        """Which digits bounce in the next step, (B, n) bool."""
        return self._leaves(flights).any(2)

    def _leaves(self, flights: Flights) -> Tensor:
        """Along which axes a digit would leave the frame next, (B, n, 2) bool."""
        ahead = flights.path[:, -1] + flights.velocity
        return (ahead < 0) | (ahead > self.room)

    def bounce_law(self, flights: Flights) -> Tensor:
        """Probability of each of :meth:`velocities`, were it that a digit bounces next, (B, n, V); where it does, the law."""
        u = self.velocities().to(flights.path.device)
        out = self._leaves(flights)
        ahead = flights.path[:, -1, :, None] + u
        inside = ((ahead >= 0) & (ahead <= self.room)).all(3)
        inward = ((u * flights.velocity[:, :, None] < 0) | ~out[:, :, None]).all(3)
        mirror = torch.where(out, -flights.velocity, flights.velocity).float()
        cosine = torch.nn.functional.cosine_similarity(u.float(), mirror[:, :, None], dim=3)
        return (self.kappa * cosine).masked_fill(~(inside & inward), -torch.inf).softmax(2)

    def futures(self, flights: Flights) -> Futures:
        """All next frames with their exact probabilities."""
        u, bounces = self.velocities().to(flights.path.device), self.bounces(flights)[..., None]
        law = self.bounce_law(flights)
        u = torch.where(bounces[..., None], u, flights.velocity[:, :, None])  # (B, n, V, 2)
        law = torch.where(bounces, law, torch.eye(law.shape[2], device=law.device)[0])
        order = (law > 0).to(torch.int8).argsort(dim=2, descending=True, stable=True)
        order = order[..., : int((law > 0).sum(2).max()) if len(law) else 1]  # the possible ones are enough
        u, law = u.gather(2, order[..., None].expand(-1, -1, -1, 2)), law.gather(2, order)
        at = flights.path[:, -1, :, None] + torch.where(law[..., None] > 0, u, u[:, :, :1])  # none outside the frame
        n, most = law.shape[1:]
        combined = torch.tensor(list(product(range(most), repeat=n)), device=law.device)  # (K, n)
        digit = torch.arange(n, device=law.device)
        frames = self.render(replace(flights, path=at[:, digit, combined]))
        return Futures(frames, law[:, digit, combined].prod(2)).without_padding()

    def render(self, flights: Flights) -> Tensor:
        """The frames of each path, (B, T, H, W), in each pixel the largest grey of all digits."""
        batch, times, n, _ = flights.path.shape
        bank = _digits(self.width).to(flights.path.device).flatten(1)
        pixel = torch.arange(self.width, device=flights.path.device)
        patch = (pixel[:, None] * self.size + pixel).flatten()  # pixels of a digit at the origin
        x, y = flights.path.flatten(0, 1).unbind(2)  # (B T, n)
        frames = bank.new_zeros(batch * times, self.size**2)
        for k in range(n):
            at = (y[:, k] * self.size + x[:, k])[:, None] + patch
            shown = bank[flights.digit[:, k]].repeat_interleave(times, 0)
            frames.scatter_(1, at, torch.maximum(shown, frames.gather(1, at)))
        return frames.view(batch, times, self.size, self.size)


def _apart(path: Tensor, width: int) -> Tensor:
    """Whether no two patches overlap in any frame of the path (B, T, n, 2), (B,) bool."""
    distance = (path[:, :, :, None] - path[:, :, None]).abs().amax(4)
    alone = torch.eye(path.shape[2], dtype=torch.bool, device=path.device)
    return ((distance >= width) | alone).flatten(1).all(1)


@lru_cache(maxsize=4)
def _digits(width: int) -> Tensor:
    """All 1797 digits in grey levels in [0, 1], (1797, width, width), interpolated smoothly."""
    images = checks.installed("sklearn.datasets", "learn").load_digits().images
    small = torch.from_numpy(images).float()[:, None] / 16
    return interpolate(small, size=(width, width), mode="bicubic", align_corners=False)[:, 0].clamp(0, 1)
