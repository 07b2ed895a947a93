r"""When a sample makes its choice: how probable, on the way down, the future already is that it will end in.

With two futures :math:`D = \|x_A - x_B\|` apart and :math:`y = x_A + \sigma z` the log odds of A are those of the past
plus :math:`D^2 / 2\sigma^2` in the median (``book/theory.md``): 2 at σ = D/2, where even odds have become 7.4 : 1. So that
is where a choice should be made. :func:`follow` asks, along the way of each sample, the exact responsibility of the
future that it ends in, whichever denoiser the sampler uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from scorevid.denoisers.exact import responsibilities
from scorevid.measures import choices
from scorevid.sampling.ascent import schedule
from scorevid.sampling.solvers import ladder
from scorevid.studies import sampling as sweeps
from scorevid.worlds.futures import Futures

#: a choice is open while the future chosen is less probable than that, 7.4 : 1
#:
#: :meta hide-value:
OPEN = 1 / (1 + np.exp(-2))


@dataclass
class Ways:
    """The ways of B samples, one of each scene, through T noise levels; those that ended as a blend are left out.

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


def follow(
    f: Callable[..., Tensor],
    c: Tensor,
    ahead: Futures,
    settings: dict,
    generator: torch.Generator,
    batch_limit: int | None = None,
) -> Ways:
    """Sample once for each scene of two futures, and look at every step how probable its end already was.

    f, c, settings, generator: as in :func:`scorevid.studies.sampling.sample`, of a method with steps or of the ascent. The levels are
    those of the ladder or of the ascent's schedule, since residuals underestimate σ. Raises ValueError as the sampler and
    ``choices.projection`` do.
    """
    noisy: list[tuple[Tensor, Tensor]] = []
    samples = sweeps.sample(
        f,
        c,
        settings,
        generator,
        batch_limit=batch_limit,
        callback=lambda t, y, d, s, active: noisy.append((y, active)),
    )
    end = choices.classify(choices.projection(samples.x, ahead))[:, 0]
    chose = end != choices.BLEND
    distance = (ahead.frames[:, 0] - ahead.frames[:, 1]).flatten(1).norm(dim=1)
    ways, level = torch.full((2, len(noisy), len(end)), torch.nan).to(c)
    for k, ((y, active), s) in enumerate(zip(noisy, _levels(settings), strict=False)):  # a schedule has no end
        still = chose[active]
        own = active[still]
        ways[k, own] = responsibilities(y[still], ahead[own], s).gather(1, end[own, None])[:, 0].to(ways)
        level[k, own] = s / distance[own]
    return Ways(ways[:, chose], level[:, chose], int((~chose).sum()))


def _levels(settings: dict) -> Iterable[float]:
    """Noise levels of the evaluations that these settings foresee."""
    if "method" in settings:
        return ladder(settings["steps"], settings["sigma_0"], settings.get("sigma_L", 0.01)).tolist()
    return schedule(**{name: settings[name] for name in ("sigma_0", "h_0", "beta", "h_max") if name in settings})
