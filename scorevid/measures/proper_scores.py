r"""Samples against the law that they ought to follow: proper scores, and an exact test.

The futures :math:`x_k` of a scene and their probabilities :math:`w_k` are the whole law of the outcome, so a score of the
samples is averaged over the outcomes exactly, :math:`\sum_k w_k\, \mathrm{score}(\hat x_1 \ldots \hat x_S, x_k)`, and
not left to the one that happened. The energy score (Gneiting and Raftery 2007; for numbers it is the CRPS)

.. math:: \mathrm{ES}(q, x) = E\|\hat x - x\| - \tfrac12 E\|\hat x - \hat x'\|

of samples with law q is computed in its fair form, in which the second mean is over pairs of *different* samples
(Ferro 2014): then the score of S samples is on average that of their law, whatever S. It is least for the true law, where it
is the floor :math:`\tfrac12 \sum_{jk} w_j w_k \|x_j - x_k\|`; the excess over it is half the squared energy distance.

Counts of choices are tested exactly: a handful of samples a scene would not bear the χ² approximation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scoringrules
import torch
from scipy import special
from torch import Tensor

from scorevid import checks
from scorevid.measures.choices import first_probability, projection
from scorevid.worlds.futures import Futures


@dataclass
class Scores:
    """Scores of each scene, (B,), least is best: for intervals over scenes, of ratios and of paired differences.

    samples: of the samples, on average over the outcomes. draws: of as many draws from the true law, on the same scenes.
    floor: what such draws score on average, in closed form.
    """

    samples: np.ndarray
    draws: np.ndarray
    floor: np.ndarray


def energy_scores(x_hat: Tensor, futures: Futures, *, generator: torch.Generator) -> Scores:
    """Energy scores in grey units of each scene's pixels, as one vector, in which its futures differ.

    x_hat: (B, S, H, W) with S > 1. The pixels are those of :meth:`~scorevid.worlds.futures.Futures.where`; errors of rendering
    elsewhere are left out. generator: of the draws from the true law. Raises ValueError for shapes that do not fit, samples
    that are not finite, and scenes without a choice.
    """
    checks.samples(x_hat, futures, 2, finite=True)
    draws = torch.multinomial(futures.probabilities, x_hat.shape[1], replacement=True, generator=generator)
    x_hat, futures, draws = x_hat.cpu(), futures.to("cpu"), draws.cpu().numpy()
    where = futures.where()[:, 0]
    checks.every("scenes must have futures that differ", where.any((1, 2)))
    scores = []
    for b, pixels in enumerate(where):
        frames = futures.frames[b][:, pixels].double().numpy()
        weights = futures.probabilities[b].double().numpy()
        distance = np.linalg.norm(frames[:, None] - frames, axis=-1)
        of_samples = _expected(x_hat[b][:, pixels].double().numpy(), frames, weights)
        scores.append((of_samples, _expected(frames[draws[b]], frames, weights), weights @ distance @ weights / 2))
    samples, of_draws, floor = np.array(scores).T
    return Scores(samples=samples, draws=of_draws, floor=floor)


def crps_scores(x_hat: Tensor, futures: Futures, *, generator: torch.Generator) -> Scores:
    """CRPS of where samples lie between the two futures of a scene (:func:`~scorevid.measures.choices.projection`).

    The outcome is u = 1 with probability w_A and else 0, and the floor w_A (1 − w_A). Blind to errors of rendering
    orthogonal to x_A − x_B; no unit. x_hat, generator and what it raises: as :func:`energy_scores`, and ValueError for
    scenes that have not exactly two futures.
    """
    checks.samples(x_hat, futures, 2, finite=True)
    u, w = projection(x_hat, futures).double(), first_probability(futures).double()
    draws = torch.bernoulli(w[:, None].expand_as(u), generator=generator).cpu().numpy()
    u, w = u.cpu().numpy(), w.cpu().numpy()

    def crps(outcome: float, u: np.ndarray) -> np.ndarray:
        return scoringrules.crps_ensemble(np.full(len(u), outcome), u, estimator="fair", backend="numpy")

    of_samples, of_draws = (w * crps(1.0, v) + (1 - w) * crps(0.0, v) for v in (u, draws))
    return Scores(samples=of_samples, draws=of_draws, floor=w * (1 - w))


def pixel_crps_scores(x_hat: Tensor, futures: Futures) -> Scores:
    """CRPS of the grey of a pixel, in grey units, on average over the pixels in which the futures of a scene differ.

    For any number of futures, and blind to how pixels depend on one another. ``draws`` is the floor, as no draws are made.
    x_hat and what it raises: as :func:`energy_scores`.
    """
    checks.samples(x_hat, futures, 2, finite=True)
    where = futures.where()[:, 0].cpu()
    checks.every("scenes must have futures that differ", where.any((1, 2)))
    scores = []
    for b, pixels in enumerate(where):
        greys = futures.frames[b].cpu()[:, pixels].double().numpy()
        weights = futures.probabilities[b].cpu().double().numpy()
        samples = np.broadcast_to(
            x_hat[b].cpu()[:, pixels].double().numpy().T, (len(greys), greys.shape[1], x_hat.shape[1])
        )
        each = scoringrules.crps_ensemble(greys, samples, estimator="fair", backend="numpy")
        apart = np.abs(greys[:, None] - greys).mean(2)
        scores.append((weights @ each.mean(1), weights @ apart @ weights / 2))
    of_samples, floor = np.array(scores).T
    return Scores(samples=of_samples, draws=floor, floor=floor)


@dataclass
class PooledTest:
    """All scenes at once against the true law: two statistics with their Monte-Carlo p-values.

    divergence: mean of Σ_k (q_k − w_k)² / w_k, the χ² divergence of the law of the choices, 0 on average for the true law;
    infinite where an impossible future was chosen, NaN where no scene has two choices. Its p-value is one-sided. sharpness:
    mean over choices of log w_chosen − E log w, in nats, 0 on average for the true law. Positive: likely futures are chosen
    too often; negative: too seldom. Its p-value is two-sided.
    """

    divergence: float
    p_divergence: float
    sharpness: float
    p_sharpness: float


def pooled_calibration_test(counts, probabilities, *, replicates: int = 2000, seed: int = 0) -> PooledTest:
    r"""Could all these choices have been drawn from the true law? Exact for discrete counts, however few.

    counts: (B, K), how often each future was chosen, blends left out, as often as you like in every scene. probabilities:
    (B, K), the true w. Both statistics are compared with ``replicates`` sets of
    counts drawn from the true law, all scenes anew each time, and the observed one is counted with them. The divergence
    is that of :math:`\sum_k n_k (n_k - 1) / (n (n - 1) w_k) - 1`, scenes weighted by n − 1; it sees any departure, given
    enough samples a scene. The sharpness sees a logit slope other than 1, in few samples too, and no departure that leaves
    the mean of log w alone. Decide for one before looking, or halve the level. Samples of one scene must be independent.
    Raises ValueError for bad input, and for no choices at all.
    """
    counts, w = checks.counts_and_law(counts, probabilities)
    n = counts.sum(1)
    if not n.any():
        raise ValueError("counts must hold at least one choice, got none")
    impossible = w == 0
    entropy, log_w = special.entr(w).sum(1, keepdims=True), np.log(np.where(impossible, 1, w))
    pairs = (n - 1).clip(0)

    def statistics(counts: np.ndarray) -> tuple[float, float]:
        agree = counts * (counts - 1) / np.where(impossible, 1, w) / n.clip(1)[:, None]
        return agree.sum() - pairs.sum(), (counts * (log_w + entropy)).sum() / n.sum()

    random = np.random.default_rng(seed)
    drawn = np.array([statistics(random.multinomial(n, w)) for _ in range(replicates)])
    seen = (np.inf, -np.inf) if counts[impossible].any() else statistics(counts)
    slack = 1e-9 * (1 + np.abs(drawn))  # equal but for rounding is equal
    above, below = (drawn >= seen - slack).sum(0), (drawn <= seen + slack).sum(0)
    return PooledTest(
        divergence=float(seen[0] / pairs.sum()) if pairs.any() else float("nan"),
        p_divergence=float((1 + above[0]) / (1 + replicates)),
        sharpness=float(seen[1]),
        p_sharpness=float(min(2 * (1 + min(above[1], below[1])) / (1 + replicates), 1)),
    )


def _expected(samples: np.ndarray, outcomes: np.ndarray, weights: np.ndarray) -> float:
    """Σ_k w_k ES(samples (S, D), outcomes_k (K, D))."""
    possible = ((x, w) for x, w in zip(outcomes, weights, strict=True) if w > 0)
    return sum(w * float(scoringrules.es_ensemble(x, samples, estimator="fair", backend="numpy")) for x, w in possible)
