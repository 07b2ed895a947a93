"""What chapter 6 measures of the density that a denoiser holds: log odds of futures, and how far its score is no gradient.

Records are plain data with a number for each scene, so that the chapter takes intervals over scenes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scorevid.denoisers.exact import Oracle
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.estimates import mean_interval, ratio_interval
from scorevid.measures import choices, density
from scorevid.worlds.futures import Futures


def read_odds(f: AnyDenoiser, c: Tensor, ahead: Futures, *, generator: torch.Generator, **how) -> dict:
    """Log odds of the first of two futures, read from errors, as plain data, a number a scene.

    true, and read: "within" the hull of the futures and from "whole" frames, in nats. entropy: of the choice, "true", "within"
    and "whole". by_level: what each noise level, in units of D/2, adds for a unit of log σ, with intervals over scenes: to the
    "slope" of the odds read on the true ones (a line through zero, as A and B are exchangeable) and to the "entropy". how: as
    for :func:`~scorevid.measures.density.future_errors`.
    """
    errors = density.future_errors(f, c, ahead, generator=generator, **how)
    w = choices.first_probability(ahead).double()
    true, chosen = torch.logit(w), torch.special.entr(w) + torch.special.entr(1 - w)
    both = {"within": errors.within, "whole": errors.whole}
    added = (errors.within / errors.sigma.square()[..., None]).double()  # (L, B, 2)
    odds, entropy = added[..., 1] - added[..., 0], (added * ahead.probabilities).sum(2)
    return {
        "true": _listed(true),
        "read": {name: _listed(-errors.log_odds(e)[:, 1]) for name, e in both.items()},
        "entropy": {"true": _listed(chosen)} | {name: _listed(errors.entropy(e)) for name, e in both.items()},
        "by_level": {
            "level": _listed((2 * errors.sigma / distance(ahead)).mean(1)),
            "slope": [list(ratio_interval(v * true, true.square())) for v in odds],
            "entropy": [list(mean_interval(v)) for v in entropy],
        },
    }


def distance(ahead: Futures) -> Tensor:
    """D = ‖x_A − x_B‖ of scenes with two futures, (B,), in grey units."""
    return (ahead.frames[:, 0] - ahead.frames[:, 1]).flatten(1).norm(dim=1)


def inconsistency(
    f: AnyDenoiser, c: Tensor, ahead: Futures, level: float, *, generator: torch.Generator, nodes: int = 8
) -> dict:
    """Log ratios of the noisy densities at the two futures along three paths, in nats, as plain data, a number a scene.

    level: σ in units of D. exact: the ratio in closed form. straight: along the line from B to A. around: two numbers, along
    two lines each, by way of the frame that has its left half from A and by way of the one that has its right half from A;
    halves of the pixels in which A and B differ. They would be equal if the network's score were a gradient.
    """
    a, b = ahead.frames[:, :1].to(c), ahead.frames[:, 1:2].to(c)
    sigma = level * distance(ahead).to(c)
    z = torch.randn(a.shape, generator=generator).to(c)
    share = (a - b).square().sum(2, keepdim=True).cumsum(3)
    left = (share <= share[..., -1:] / 2).to(a)
    corners = (left * a + (1 - left) * b, left * b + (1 - left) * a)
    exact = Oracle(ahead)
    ends = [exact.log_density(x + sigma.view(-1, 1, 1, 1) * z, c, sigma) for x in (a, b)]

    def through(*points: Tensor) -> list[float]:
        return _listed(density.along(f, c, points, sigma, z, nodes=nodes))

    around = [through(b, corner, a) for corner in corners]
    return {"level": level, "exact": _listed(ends[0] - ends[1]), "straight": through(b, a), "around": around}


def _listed(values: Tensor) -> list[float]:
    return np.round(values.double().numpy(), 5).tolist()
