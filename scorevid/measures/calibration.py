r"""Which future did a sample choose, how often, and is that as often as it should?

For a scene with two futures :math:`x_A, x_B` (the first and second of its
:class:`~scorevid.worlds.futures.Futures`) a distance :math:`D = \|x_A - x_B\|` apart, a sample lies between them at

.. math:: u = \langle \hat x - x_B,\, x_A - x_B \rangle / D^2 ,

1 for A, 0 for B; u > ¾ counts as A, u < ¼ as B, between is a blend. What is left orthogonal to :math:`x_A - x_B` is
the error of rendering, and reported apart: measured by its distance to the futures, a small blur of every edge would
drown the choice. With more futures, the one is chosen that counts as chosen against each of the others (:func:`choose`).
Over scenes of various odds, :mod:`scorevid.measures.logit` fits a line to the log odds of the choices; the expected calibration
error (:func:`calibration_error`) assumes no such line.
Whether the samples could have come from the true law at all is a question for :mod:`scorevid.measures.proper_scores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from scorevid.worlds.futures import Futures

BLEND = -1  #: in place of the number of a future: none was chosen


def place(x_hat: Tensor, futures: Futures) -> Tensor:
    """u: where each sample lies between the two futures of its scene, (B, S): 1 at the first, 0 at the second.

    x_hat: (B, S, H, W) samples, or any other frames to be judged, such as denoised ones. Raises ValueError for scenes
    that have not exactly two futures, or shapes that do not fit.
    """
    second, difference = _pair(x_hat, futures)
    return ((x_hat - second) * difference).sum((2, 3)) / difference.square().sum((2, 3))


def rendering_error(x_hat: Tensor, futures: Futures) -> Tensor:
    """Mean square, in grey² a pixel, of what x_hat − x_B has orthogonal to x_A − x_B, (B, S). As :func:`place`."""
    second, difference = _pair(x_hat, futures)
    along = place(x_hat, futures)[:, :, None, None] * difference
    return (x_hat - second - along).square().mean((2, 3))


def odds(futures: Futures) -> Tensor:
    """w_A of each scene, (B,): the probability of the future that :func:`place` puts at u = 1."""
    return futures.probabilities[torch.arange(len(futures)), _possible(futures)[:, 0]]


def classify(u: Tensor, upper: float = 0.75, lower: float = 0.25) -> Tensor:
    """The future chosen: 0 for A (u > upper), 1 for B (u < lower), −1 (``BLEND``) between. Same shape as u."""
    if not lower < upper:
        raise ValueError(f"lower < upper is due, got {lower}, {upper}")
    choice = torch.full(u.shape, BLEND, dtype=torch.long, device=u.device)
    return choice.masked_fill(u > upper, 0).masked_fill(u < lower, 1)


def choose(x_hat: Tensor, futures: Futures, upper: float = 0.75) -> Tensor:
    r"""The future that each sample chose, (B, S): its index among the K of its scene, or −1 (``BLEND``).

    x_hat: (B, S, H, W). Future k is chosen if, for every other possible future j, the sample lies beyond ``upper`` on
    the way from :math:`x_j` to :math:`x_k`. No two can be chosen at once, errors of rendering orthogonal to all
    differences play no part, and of two futures the choice is that of :func:`classify`. A sample undecided in any one
    respect is a blend. Where only one future is possible, all samples choose it.

    Raises ValueError for shapes that do not fit, upper outside [½, 1), and equal futures in one scene.
    """
    _check_frames(x_hat, futures)
    if not 0.5 <= upper < 1:
        raise ValueError(f"upper must lie in [0.5, 1), got {upper}")
    possible = futures.probabilities > 0
    others = possible[:, None] & ~torch.eye(possible.shape[1], dtype=torch.bool, device=possible.device)  # (B, k, j)
    frames = futures.frames.flatten(2).double()
    frames, samples = (v - frames.mean(1, keepdim=True) for v in (frames, x_hat.flatten(2).double()))
    square = frames.square().sum(2)
    distance = square[:, :, None] + square[:, None] - 2 * frames @ frames.mT  # (B, K, K) squared
    if (others & possible[:, :, None] & (distance <= 1e-12)).any():
        raise ValueError("two possible futures of a scene are equal: merge them")
    along = samples @ frames.mT  # (B, S, K)
    advance = 2 * (along[..., None] - along[:, :, None]) - (square[:, :, None] - square[:, None])[:, None]
    beyond = advance > (2 * upper - 1) * distance[:, None]  # ‖x̂ − x_j‖² − ‖x̂ − x_k‖² = (2u − 1) ‖x_k − x_j‖²
    chosen = (beyond | ~others[:, None]).all(3) & possible[:, None]
    return torch.where(chosen.any(2), chosen.int().argmax(2), BLEND)


def tally(choice: Tensor, n_futures: int) -> np.ndarray:
    """How often each of the K futures was chosen, (B, K), from choices (B, S) of :func:`choose`; blends are left out."""
    if choice.ndim != 2 or choice.is_floating_point() or not ((choice >= BLEND) & (choice < n_futures)).all():
        raise ValueError(f"choices (B, S) from -1 to {n_futures - 1} are due, got {choice.dtype} {tuple(choice.shape)}")
    return np.stack([(choice == k).sum(1).cpu().numpy() for k in range(n_futures)], 1)


@dataclass
class Counts:
    """How often each future was chosen; each (B,), integers: ``first``, ``second``, ``blends`` add up to S."""

    first: np.ndarray
    second: np.ndarray
    blends: np.ndarray

    def frequency(self) -> np.ndarray:
        """Share of A among the samples that chose, (B,); NaN where none did."""
        with np.errstate(invalid="ignore"):
            return self.first / (self.first + self.second)

    def blend_rate(self) -> float:
        """Share of blends among all samples of all scenes."""
        return float(self.blends.sum() / (self.first + self.second + self.blends).sum())


def blend_share(u: Tensor) -> tuple[float, float, float]:
    """Share of blends among all samples, from u (B, S), with Wilson's interval for these scenes: (share, low, high)."""
    blends = classify(u) == BLEND
    low, high = wilson(int(blends.sum()), blends.numel())
    return blends.double().mean().item(), float(low), float(high)


def count(u: Tensor, upper: float = 0.75, lower: float = 0.25) -> Counts:
    """Choices of each scene from u (B, S)."""
    choice = classify(u, upper, lower).cpu().numpy()
    return Counts(*((choice == k).sum(1) for k in (0, 1, BLEND)))


def wilson(successes, trials, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval for a proportion: lower and upper end, of the broadcast shape of the arguments.

    Without trials it is [0, 1]. Raises ValueError for counts that are none.
    """
    successes, trials = np.broadcast_arrays(successes, trials)
    interval = np.vectorize(
        lambda k, n: tuple(stats.binomtest(k, n).proportion_ci(confidence, method="wilson")) if n else (0.0, 1.0),
        otypes=[float, float],
    )
    return interval(_integers(successes), _integers(trials))


def share_gap(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """By how much one share is larger than another, with its interval: (gap, low, high), also where both are zero.

    one, other: shares with Wilson's intervals, (value, low, high) each. The interval is Newcombe's (1998, his method 10),
    for independent samples: wider than need be for shares of the same scenes. Raises ValueError for values out of order.
    """
    (p, p_low, p_high), (q, q_low, q_high) = one, other
    if not (0 <= p_low <= p <= p_high <= 1 and 0 <= q_low <= q <= q_high <= 1):
        raise ValueError(f"shares (value, low, high) in [0, 1] are due, got {tuple(one)} and {tuple(other)}")
    gap = p - q
    return gap, gap - float(np.hypot(p - p_low, q_high - q)), gap + float(np.hypot(p_high - p, q - q_low))


@dataclass
class CalibrationError:
    """Mean distance of frequencies from probabilities, in bins of scenes of like probability.

    value: the expected calibration error as it is usually given. chance: its mean for choices that follow the true
    probabilities, with the same scenes and counts. corrected: the error less what chance adds to it, with ``interval``
    (low, high). For drawing: probability and frequency, the means of each bin, (bins,).
    """

    value: float
    chance: float
    corrected: float
    interval: tuple[float, float]
    probability: np.ndarray
    frequency: np.ndarray


def calibration_error(
    probability, first, second, *, bins: int = 10, replicates: int = 1000, confidence: float = 0.95, seed: int = 0
) -> CalibrationError:
    r"""Expected calibration error of choices between two futures, blends left out.

    Scenes are sorted by w_A and cut into ``bins`` bins of equal numbers. With :math:`g_m` the mean of :math:`f - w_A` over the
    scenes of bin m, f the frequency of A, the value is the mean of :math:`|g_m|`. (Scene by scene most of :math:`|f - w_A|`
    would be the chance of few samples. But in bins errors of like scenes may cancel: see
    :func:`scorevid.measures.proper_scores.brier_excess`, without bias scene by scene.) What chance still adds is taken out in
    quadrature, :math:`\sqrt{\max(\mathrm{value}^2 - \mathrm{chance}^2, 0)}`, which leaves a fraction of it where there
    is no error, and next to nothing where it is large. The interval is the bootstrap's (scenes drawn within bins, the
    spread put around the value) with chance taken out of its ends: it reaches zero where chance explains the value.

    probability in [0, 1], first, second: as in :func:`~scorevid.measures.logit.fit_logit`; scenes without a choice are left out. Raises
    ValueError for input out of range and fewer than two scenes a bin.
    """
    p, a, b = check_counts(probability, first, second)
    order = p.argsort(kind="stable")
    order = order[(a + b)[order] > 0]
    p, a, n = p[order], a[order], (a + b)[order]
    if bins < 1 or len(p) < 2 * bins:
        raise ValueError(f"at least one bin and two scenes a bin are due, got {len(p)} with choices for {bins} bins")
    random = np.random.default_rng(seed)
    blocks = np.array_split(np.arange(len(p)), bins)
    exact = random.binomial(n.astype(int), p, size=(replicates, len(p))) / n - p
    drawn = [random.choice(block, size=(replicates, len(block))) for block in blocks]
    gap, share = a / n - p, np.array([len(block) for block in blocks]) / len(p)

    def error(groups):
        return np.stack([np.abs(g.mean(-1)) for g in groups], -1) @ share

    value, again = error([gap[block] for block in blocks]), error([gap[d] for d in drawn])
    chance = error([exact[:, block] for block in blocks]).mean()
    tail = 50 * (1 - confidence)
    off = again.mean() - np.percentile(again, [100 - tail, tail])
    low, high, corrected = np.sqrt((np.clip([*(value + off), value], 0, None) ** 2 - chance**2).clip(0))
    return CalibrationError(
        value=float(value),
        chance=float(chance),
        corrected=float(corrected),
        interval=(float(low), float(high)),
        probability=np.array([p[block].mean() for block in blocks]),
        frequency=np.array([(a / n)[block].mean() for block in blocks]),
    )


def _pair(x_hat: Tensor, futures: Futures) -> tuple[Tensor, Tensor]:
    """x_B and x_A − x_B, (B, 1, H, W), of the two possible futures."""
    _check_frames(x_hat, futures)
    possible = _possible(futures)
    rows = torch.arange(len(futures), device=possible.device)[:, None]
    pair = futures.frames[rows, possible].to(x_hat)
    return pair[:, 1:], pair[:, :1] - pair[:, 1:]


def _check_frames(x_hat: Tensor, futures: Futures) -> None:
    if x_hat.ndim != 4 or len(x_hat) != len(futures) or x_hat.shape[2:] != futures.frames.shape[2:]:
        due = (len(futures), "S", *futures.frames.shape[2:])
        raise ValueError(f"x_hat must be ({', '.join(map(str, due))}), got {tuple(x_hat.shape)}")


def _possible(futures: Futures) -> Tensor:
    """Places of the two futures of positive probability, (B, 2)."""
    wrong = int((futures.count() != 2).sum())
    if wrong:
        raise ValueError(f"scenes with exactly two futures are due, {wrong} of {len(futures)} have another number")
    return (futures.probabilities > 0).to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :2]


def check_counts(probability, first, second) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as floats, (B,) each. Raises ValueError for shapes, probabilities or counts that are none."""
    p, a, b = (np.asarray(v, dtype=float) for v in (probability, first, second))
    if not (p.ndim == 1 and p.shape == a.shape == b.shape and len(p) > 1):
        raise ValueError(f"probability, first and second must be (B,) with B > 1, got {p.shape}, {a.shape}, {b.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    return p, _integers(a).astype(float), _integers(b).astype(float)


def _integers(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts)
    if (counts < 0).any() or (counts != np.floor(counts)).any():
        raise ValueError("counts must be non-negative integers")
    return counts.astype(int)
