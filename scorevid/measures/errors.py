r"""How good a denoiser is: squared error over σ, and the excess error where the futures differ.

The error over the whole frame hides what matters: nearly all pixels are certain. Where a meeting is undecided the
optimal denoiser is known (:mod:`scorevid.denoisers.exact`), and

.. math:: \text{excess} = \frac{\sum \| f(y, c) - \mathrm E[x \mid y, c] \|^2_D}
                               {\sum \sum_k w_k \| x_k - \mathrm E[x \mid c] \|^2_D}

sums, over scenes and over the pixels D in which the futures of a scene differ, the squared distance from the optimum,
relative to the ambiguity there: 0 is optimal, 1 is as bad as not knowing which future it will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from scorevid.denoisers.conditioned import Told
from scorevid.denoisers.exact import blind_posterior_mean, posterior_mean
from scorevid.denoisers.wiener import wiener
from scorevid.estimates import ratio_interval
from scorevid.measures.score_from_residual import AnyDenoiser, relative_error
from scorevid.noise.corruptions import Corruption, corrupt, optimum_and_score
from scorevid.noise.prior import NoisePrior
from scorevid.worlds.clips.patches import held_out
from scorevid.worlds.clips.world import Clips
from scorevid.worlds.futures import Futures
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

BATCH = 32  # frames at once; on a processor more are slower, as they leave its cache
SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0)


@torch.no_grad()
def squared_errors(
    f: AnyDenoiser, c: Tensor, x: Tensor, sigmas: Sequence[float], generator: torch.Generator, batch: int = BATCH
) -> Tensor:
    """Mean squared error a pixel of f(x + σz, c), for each σ and scene: (len(sigmas), B), in grey units squared."""
    errors = []
    for sigma in sigmas:
        y = x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        estimates = apply(_at(f, sigma), y, c, batch)
        errors.append((estimates - x).square().mean((1, 2, 3)))
    return torch.stack(errors)


@torch.no_grad()
def excess_and_ambiguity(
    f: AnyDenoiser,
    optimal: AnyDenoiser,
    c: Tensor,
    futures: Futures,
    sigma: float,
    generator: torch.Generator,
    batch: int = BATCH,
) -> tuple[Tensor, Tensor]:
    """Per scene, (B,) each: squared distance from the optimal denoiser where futures differ, and ambiguity there.

    The clean frame is drawn from the futures, so that y has its own law. The ratio of their sums is the excess error.
    """
    x = futures.draw(generator)
    y = x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    where = futures.where()
    distance = (apply(_at(f, sigma), y, c, batch) - optimal(y, c)).square() * where
    return distance.sum((1, 2, 3)), futures.ambiguity()


def excess_curve(
    f: AnyDenoiser,
    c: Tensor,
    futures: Futures,
    sigmas: Sequence[float],
    generator: torch.Generator,
    *,
    prior: NoisePrior | None = None,
    batch: int = BATCH,
) -> np.ndarray:
    """Excess error at each σ with its 95 % bootstrap interval over scenes, (3, len(sigmas)): value, low, high.

    prior: of σ, for the excess over the optimal blind denoiser; None for that over the optimal one told σ.
    """
    points = []
    for sigma in sigmas:
        optimal = posterior_mean(futures, sigma) if prior is None else blind_posterior_mean(futures, prior)
        above, ambiguity = excess_and_ambiguity(f, optimal, c, futures, sigma, generator, batch)
        points.append(ratio_interval(above.numpy(), ambiguity.numpy()))
    return np.array(points).T


@torch.no_grad()
def identity_distances(
    f: AnyDenoiser,
    c: Tensor,
    futures: Futures,
    sigma: float,
    corruption: Corruption,
    generator: torch.Generator,
    batch: int = BATCH,
) -> dict[str, np.ndarray]:
    """Squared distances between a residual, the optimal residual and the score of its noise, in grey², (B,) each.

    With the residual d of f, d* = E[x | y, c] − y and s = ∇ log p(y | c) of that noise, both exact
    (:mod:`scorevid.noise.corruptions`): "to optimum" ‖d − d*‖², "to score" ‖d − σ² s‖², "optimum to score" ‖d* − σ² s‖²,
    "residual" ‖d*‖², and "excess" ‖d − d*‖² in the pixels where the futures differ alone.
    """
    y = corrupt(futures.draw(generator), sigma, corruption, generator)
    optimum, score = optimum_and_score(futures, sigma, corruption)(y)
    d, d_star = apply(f, y, c, batch) - y, optimum - y
    distances = {
        "to optimum": d - d_star,
        "to score": d - score,
        "optimum to score": d_star - score,
        "residual": d_star,
        "excess": (d - d_star) * futures.where(),
    }
    return {name: v.square().sum((1, 2, 3)).numpy() for name, v in distances.items()}


def apply(f: AnyDenoiser, y: Tensor, c: Tensor, batch: int = BATCH) -> Tensor:
    """f over a long batch, in pieces."""
    return torch.cat([f(a, b) for a, b in zip(y.split(batch), c.split(batch), strict=True)])


def report(f: AnyDenoiser, world: Leaves | Gaussian | Clips, scenes: int = 1000, seed: int = 1_000_003) -> dict:
    """What goes on the card of trained weights: scores on scenes that training cannot have seen.

    All under Gaussian noise, whatever the noise of the training. Mean squared error a pixel at each σ over random scenes
    of the world, with that of copying the last frame. For
    moving leaves, the excess error at each σ where the futures of undecided meetings differ; for Gaussian video of one ρ,
    the relative squared error of the score; for natural video, scenes are patches of shots held out, as many of each shot
    as there are, up to an even share.
    """
    device = next(iter(f.parameters())).device if isinstance(f, torch.nn.Module) else "cpu"
    generator = torch.Generator(device).manual_seed(seed)
    if isinstance(world, Clips):
        world = replace(world, split="test")
        patches = held_out(world, max(1, scenes // len(world.clips())), seed)
        c, x, copied = patches.c.to(device), patches.x.to(device), patches.motion.square().mean()
    else:
        c, x = world.draw(scenes, generator)
        copied = (c[:, -1:] - x).square().mean()
    errors = squared_errors(f, c, x, SIGMAS, generator).mean(1)
    scores = {
        "seed": seed,
        "scenes": len(x),
        "squared_error": {str(s): round(e.item(), 7) for s, e in zip(SIGMAS, errors, strict=True)},
        "squared_error_copy": round(copied.item(), 7),
    }
    if isinstance(world, Clips) or isinstance(getattr(world, "rho", None), tuple):
        return scores
    if isinstance(world, Gaussian):
        return scores | {"score_error": _score_errors(f, world, c, x, generator)}
    meetings, ahead = undecided_meetings(world, scenes, generator)
    excess = excess_curve(f, meetings.past(), ahead, SIGMAS, generator)[0].tolist()
    return scores | {"excess_error": {str(s): round(e, 4) for s, e in zip(SIGMAS, excess, strict=True)}}


def _at(f: AnyDenoiser | Told, sigma: float) -> AnyDenoiser:
    """f(y, c), of a network told σ that at this level."""
    return f.at(sigma) if isinstance(f, Told) else f


def gaussian_score_error(f: AnyDenoiser, world: Gaussian, y: Tensor, c: Tensor, sigma: float) -> Tensor:
    """‖d − d*‖² / ‖d*‖² of each example of Gaussian video, (B,), against the optimal denoiser told σ.

    Without a border of ``BORDER`` pixels: the world is periodic, and what enters at a border a network cannot know.
    """
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    return relative_error((apply(f, y, c) - y)[inner], (wiener(world, sigma)(y, c) - y)[inner])


BORDER = 4


@torch.no_grad()
def _score_errors(f: AnyDenoiser, world: Gaussian, c: Tensor, x: Tensor, generator: torch.Generator) -> dict:
    scores = {}
    for sigma in SIGMAS:
        y = x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        scores[str(sigma)] = round(gaussian_score_error(f, world, y, c, sigma).mean().item(), 6)
    return scores
