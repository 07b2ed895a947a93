r"""When a sample makes its choice: how probable, on the way down, the future already is that it will end in.

With two futures :math:`D = \|x_A - x_B\|` apart and :math:`y = x_A + \sigma z` the log odds of A are those of the past
plus :math:`D^2 / 2\sigma^2` in the median (``book/theory.md``): 2 at σ = D/2, where even odds have become 7.4 : 1. So that
is where a choice should be made. :func:`trace_choice` asks, along the trajectory of each sample, the exact responsibility of
the future that it ends in, whichever denoiser the sampler uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from scorevid.denoisers.exact import Oracle
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.measures import choices
from scorevid.sampling.sampler import Sampler
from scorevid.worlds.futures import Futures

#: a choice is open while the future chosen is less probable than that, 7.4 : 1
#:
#: :meta hide-value:
OPEN = 1 / (1 + np.exp(-2))


@dataclass
class Trajectories:
    """B samples on their way, one of each scene, at T noise levels; those that ended as a blend are left out.

    probability: (T, B) of the future that the sample ends in, given its noisy frame, by the exact formula. level: (T, B)
    σ in units of the distance D of the scene's futures; both NaN where the sample is at its end already. blends: number
    of samples left out.
    """

    probability: Tensor
    level: Tensor
    blends: int

    def quartiles(self, edges) -> np.ndarray:
        """Quartiles and median of the probability between successive levels σ/D: (3, len(edges) − 1), lower one first."""
        pairs = pairwise(edges)
        groups = [self.probability[(self.level > low) & (self.level <= high)].numpy() for low, high in pairs]
        return np.array([np.percentile(g, [25, 50, 75]) if len(g) else np.full(3, np.nan) for g in groups]).T

    def levels_of_choice(self) -> Tensor:
        """The last σ/D at which the choice was open, of each sample for which it ever was, (n,)."""
        still = self.probability < OPEN
        last = len(still) - 1 - still.flip(0).int().argmax(0)
        return self.level.gather(0, last[None])[0][still.any(0)]


def trace_choice(
    f: AnyDenoiser,
    c: Tensor,
    futures: Futures,
    sampler: Sampler,
    *,
    generator: torch.Generator,
    batch_limit: int | None = None,
) -> Trajectories:
    """Sample once for each scene of two futures, and look at every step how probable its end already was.

    f, c, generator, batch_limit: as for any sampler. The levels are those that the sampler foresees, since residuals
    underestimate σ. Raises ValueError as the sampler and :func:`~scorevid.measures.choices.projection` do.
    """
    noisy: list[tuple[Tensor, Tensor]] = []
    samples = sampler(
        f,
        c,
        generator=generator,
        batch_limit=batch_limit,
        callback=lambda t, y, d, sigma, active: noisy.append((y, active)),
    )
    end = choices.classify(choices.projection(samples.x, futures))[:, 0]
    chose = end != choices.BLEND
    distance = (futures.frames[:, 0] - futures.frames[:, 1]).flatten(1).norm(dim=1)
    probability, level = torch.full((2, len(noisy), len(end)), torch.nan).to(c)
    levels = sampler.levels()  # those of an ascent have no end
    for k, ((y, active), sigma) in enumerate(zip(noisy, levels, strict=False)):
        still = chose[active]
        own = active[still]
        r = Oracle(futures[own]).responsibilities(y[still], c[own], sigma)
        probability[k, own] = r.gather(1, end[own, None])[:, 0].to(probability)
        level[k, own] = sigma / distance[own]
    return Trajectories(probability[:, chose], level[:, chose], int((~chose).sum()))
