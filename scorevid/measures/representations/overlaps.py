r"""How far the same units are active: at two noise levels, in two groups of scenes.

The Jaccard index of two sets of units is :math:`|A \cap B| / |A \cup B|`. A bias-free ReLU network is linear as long as its
active set stays the same, so the index says how far two inputs are answered by the same linear map. Sets of a share p of all
units, drawn independently, have p/(2 − p); two scenes have more in common, as most of a frame is ground. Sets come from
:func:`~scorevid.measures.representations.activations.active_sets`. Networks of different seeds have no units in common.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from scorevid.estimates import Estimate, mean_interval


def jaccard(a: Tensor, b: Tensor) -> Tensor:
    """The index of sets a and b of the same scenes, (B, units) bool each: (B,); 1 for two empty sets."""
    _check(a, b)
    if len(a) != len(b):
        raise ValueError(f"sets must be of the same scenes, got {len(a)} and {len(b)}")
    union = (a | b).sum(1)
    return torch.where(union > 0, (a & b).sum(1) / union.clamp_min(1), 1.0).double()


def by_chance(a: Tensor, b: Tensor) -> Tensor:
    """The index of independent sets of the same sizes as a and b, (B, units) bool each: (B,), for many units."""
    _check(a, b)
    p, q = a.double().mean(1), b.double().mean(1)
    return p * q / (p + q - p * q)


def overlap(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, Estimate]:
    """Mean index over the same scenes, of each block by its name, with Student's interval.

    a, b: of :func:`~scorevid.measures.representations.activations.active_sets`, at two noise levels, say. Raises ValueError
    for other blocks and shapes that do not fit.
    """
    if a.keys() != b.keys():
        raise ValueError(f"sets must be of the same blocks, got {', '.join(a)} and {', '.join(b)}")
    return {name: mean_interval(jaccard(a[name], b[name]).cpu().numpy()) for name in a}


def between_scenes(sets: Tensor) -> Tensor:
    """The index of any two of the sets of B scenes, (B, units) bool: (B, B); 1 for two empty sets."""
    _check(sets, sets)
    shared = (sets.float() @ sets.float().T).double()
    size = shared.diagonal()
    union = size[:, None] + size - shared
    return torch.where(union > 0, shared / union.clamp_min(1), 1.0)


def separation(a: Tensor, b: Tensor) -> Estimate:
    """By how much two scenes of one group are more alike than two of different groups, in mean index, over all pairs.

    a (n, units), b (m, units) bool: sets of the scenes of two groups, decided and undecided ones, say; n, m ≥ 3. The mean
    within both groups less the mean between them: 0 where they do not differ. The interval is the jackknife's over scenes. No
    scene of one group may have its twin in the other, as twins are more alike than others.
    """
    _check(a, b)
    n, m = len(a), len(b)
    if min(n, m) < 3:
        raise ValueError(f"groups must have three scenes or more, got {n} and {m}")
    index = between_scenes(torch.cat([a, b])).cpu().numpy()
    first = np.arange(n + m) < n

    def difference(rows: np.ndarray) -> float:
        one, other = rows[first[rows]], rows[~first[rows]]
        within = [(index[np.ix_(g, g)].sum() - len(g)) / (len(g) * (len(g) - 1)) for g in (one, other)]
        return float(np.mean(within) - index[np.ix_(one, other)].mean())

    every = np.arange(n + m)
    value = difference(every)
    without = np.array([difference(np.delete(every, k)) for k in every])
    # two samples: each group's own jackknife variance adds up
    variance = sum((len(v) - 1) * np.var(v) for v in (without[first], without[~first]))
    margin = 1.96 * math.sqrt(variance)
    return Estimate(value, value - margin, value + margin, n + m, "jackknife")


def _check(a: Tensor, b: Tensor) -> None:
    for name, sets in (("a", a), ("b", b)):
        if not isinstance(sets, Tensor) or sets.dtype != torch.bool or sets.ndim != 2 or not sets.shape[1]:
            raise ValueError(
                f"{name} must be sets (B, units) of bool, got {getattr(sets, 'shape', type(sets).__name__)}"
            )
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"sets must be of the same units, got {a.shape[1]} and {b.shape[1]}")
