r"""Learned weights against optimal ones, in linear-Gaussian video, where the optimum is a filter that can be computed.

For a few pixels well inside the frame, row i of the learned J = [J_c, J_y] is put beside the row of the optimal denoiser
that is given σ (:mod:`scorevid.denoisers.wiener`), all past frames and y together. With learned weights l and optimal ones o
of an example,

.. math:: \text{slope} = \frac{\sum l\, o}{\sum o^2}, \qquad \text{correlation} = \operatorname{corr}(l, o) :

a slope of 1 says that the weights are as large as they should be, a correlation of 1 that they lie where they should.
A past frame may be spoiled (:mod:`scorevid.noise.spoiling`); the optimum is then that of a past with a noisy frame, or
without that frame. It is given the noise of every frame: where a blind network comes near it, σ and how reliable each
frame is can be read off the frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.denoisers.wiener import Wiener
from scorevid.estimates import Estimate, mean_interval, ratio_interval
from scorevid.measures.errors import apply_batched
from scorevid.measures.linear_weights import rows
from scorevid.noise.corruptions import corrupt
from scorevid.noise.spoiling import spoil
from scorevid.worlds.gaussian import Gaussian

INSIDE = 8  # pixels from the border: the world is periodic, and what enters there a network cannot know
WORTHLESS = 1e6  # past noise, in grey units, of a frame that tells nothing


@dataclass(frozen=True)
class Summary:
    """Correlation and slope of learned weights with optimal ones, and error over the least possible; no unit, 1 is optimal."""

    correlation: Estimate | float
    slope: Estimate | float
    error_ratio: Estimate | float


@dataclass
class Agreement:
    """Rows of B examples at P pixels, weights on M past frames, oldest first, and on y; errors in grey²."""

    learned: Tensor  # (B, P, M + 1, H, W), moved along so that the output pixel is at (H // 2, W // 2)
    optimal: Tensor  # (M + 1, H, W), of :meth:`scorevid.denoisers.wiener.Wiener.weights`
    error: Tensor  # (B,) mean squared errors of f inside of the border
    least: Tensor  # (B,) of the optimum

    def correlation(self) -> Tensor:
        """Of the learned weights with the optimal ones, (B,)."""
        centred = [v - v.mean(1, keepdim=True) for v in self._flat()]
        return torch.cosine_similarity(*centred, dim=1)

    def correlation_of_mean(self) -> Estimate:
        """Of the weights averaged over scenes and pixels with the optimal ones, with the jackknife's interval over scenes.

        Raises ValueError for fewer than three scenes.
        """
        learned = self.learned.mean(1).flatten(1).double()
        n = len(learned)
        if n < 3:
            raise ValueError(f"an interval over scenes takes three or more, got {n}")
        total, optimal = learned.sum(0), self.optimal.flatten().double()
        means = torch.cat([total[None] / n, (total - learned) / (n - 1)])  # of all, and of all but one
        value, *without = torch.corrcoef(torch.cat([optimal[None], means]))[0, 1:].tolist()
        margin = float(1.96 * ((n - 1) * np.var(without)) ** 0.5)
        return Estimate(value, max(-1.0, value - margin), min(1.0, value + margin), n, "jackknife")

    def products(self) -> tuple[Tensor, Tensor]:
        """Σ l o and Σ o² of each example, (B,) each, whose ratio of sums is the slope."""
        learned, optimal = self._flat()
        return (learned * optimal).sum(1), optimal.square().sum(1)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Sum of the weights on each frame: learned, mean over the pixels, (B, M + 1), and optimal, (M + 1,)."""
        return self.learned.sum((3, 4)).mean(1), self.optimal.sum((1, 2))

    def summary(self) -> Summary:
        """Over all scenes, as estimates."""
        return Summary(
            correlation=mean_interval(self.correlation()),
            slope=ratio_interval(*self.products()),
            error_ratio=ratio_interval(self.error, self.least),
        )

    def worst(self) -> Summary:
        """In the scene that is worst in each: lowest correlation, slope farthest from 1, largest error over the least."""
        slope = torch.divide(*self.products())
        return Summary(
            correlation=self.correlation().min().item(),
            slope=slope[(slope - 1).abs().argmax()].item(),
            error_ratio=(self.error / self.least).max().item(),
        )

    def _flat(self) -> tuple[Tensor, Tensor]:
        """Learned and optimal weights of each example, (B, N) both."""
        return self.learned.flatten(1), self.optimal.expand_as(self.learned).flatten(1)


@torch.no_grad()
def agreement(
    f: AnyDenoiser,
    world: Gaussian,
    sigma: float,
    generator: torch.Generator,
    *,
    scenes: int = 32,
    pixels: int = 4,
    frame: int = -1,
    way: str | None = None,
    level: float | None = None,
) -> Agreement:
    """Weights and errors of f at one noise level, on scenes drawn from a world of one ρ without past noise.

    frame, way, level: what is done to a past frame, as in :func:`scorevid.noise.spoiling.spoil`; nothing unless a way is
    given. Raises ValueError as that does, for frames of less than 24 pixels, and for a world of several ρ or a noisy past.
    """
    if world.size < 3 * INSIDE or world.past_levels().any():
        raise ValueError(f"the world must have {3 * INSIDE} pixels or more and a past without noise, got {world}")
    c, x = world.draw(scenes, generator)
    if way is not None:
        c = spoil(c, frame, way, generator, level)
        noise = [0.0] * world.memory
        noise[frame] = level if way == "noise" else WORTHLESS
        world = replace(world, past_noise=tuple(noise))
    y = corrupt(x, sigma, "gaussian", generator)
    inside = (..., slice(INSIDE, -INSIDE), slice(INSIDE, -INSIDE))
    optimum = Wiener(world)
    error, least = ((apply_batched(g, y, c, sigma) - x)[inside].square().mean((1, 2, 3)) for g in (f, optimum))
    middle, room = world.size // 2, world.size - 2 * INSIDE
    probe_pixels = INSIDE + torch.randint(room, (pixels, 2), generator=generator, device=generator.device)
    learned = rows(f, y, c, probe_pixels, sigma)
    learned = torch.cat([learned.on_c, learned.on_y[:, :, None]], 2)
    moved = [learned[:, k].roll((middle - int(i), middle - int(j)), (2, 3)) for k, (i, j) in enumerate(probe_pixels)]
    return Agreement(torch.stack(moved, 1), optimum.weights(sigma).to(y), error, least)
