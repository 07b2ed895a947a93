r"""How alike two representations of the same scenes are, but for a rotation and a scale of the channels.

Linear centred kernel alignment (CKA; Kornblith et al. 2019) of representations A and B, scenes by channels, is

.. math:: \mathrm{CKA} = \frac{\mathrm{HSIC}(K, L)}{\sqrt{\mathrm{HSIC}(K, K)\, \mathrm{HSIC}(L, L)}},
   \qquad K = A A^\top,\; L = B B^\top .

With few scenes and many channels its usual estimate is near one even for independent features. So HSIC is estimated without
bias (Song et al. 2012): with the diagonals of K and L set to zero, over n scenes,

.. math:: \mathrm{HSIC} = \frac{1}{n(n-3)} \Big[ \mathrm{tr}(KL) + \frac{1^\top K 1\; 1^\top L 1}{(n-1)(n-2)}
   - \frac{2}{n-2}\, 1^\top K L 1 \Big] .

It is 0 on average for independent features, and may then be a little below.

The Procrustes distance is :math:`\sqrt{2 - 2 \|A^\top B\|_*}` of centred representations of unit Frobenius norm, with the sum
of singular values: what is left of their difference after the best rotation (Schönemann 1966; Ding et al. 2021). 0 is equal
but for rotation and scale, √2 the most. It is biased: independent features with more channels than scenes are not √2 apart.

Scenes drawn twice have a similarity that is no estimate of anything, so that a bootstrap fails. The intervals are those of the
jackknife, which leaves out a part of the scenes at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from scorevid import checks
from scorevid.estimates import Estimate

PARTS = 40  #: of the scenes, one of which the jackknife leaves out at a time


def unbiased_hsic(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    """HSIC of two kernels (n, n), symmetric, n ≥ 4, without bias; their diagonals play no part."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    of_k, of_l = k.sum(1), l.sum(1)
    total = (k * l).sum() + of_k.sum() * of_l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (of_k @ of_l)
    return float(total / (n * (n - 3)))


def linear_cka(a, b) -> float:
    """Unbiased linear CKA of representations (n, p) and (n, q) of the same n scenes, n ≥ 4.

    Axes after the first are flattened. NaN where one varies so little that its own HSIC is not positive. Raises ValueError for
    shapes that do not fit, and values that are not finite.
    """
    k, l = (_kernel(v) for v in _checked(a, b))  # noqa: E741
    own = unbiased_hsic(k, k) * unbiased_hsic(l, l)
    return unbiased_hsic(k, l) / math.sqrt(own) if own > 0 else math.nan


def procrustes_distance(a, b) -> float:
    """Procrustes distance of representations (n, p) and (n, q) of the same n scenes: 0 … √2. Raises as :func:`linear_cka`.

    The one with fewer channels is filled up with zeros.
    """
    from scipy.linalg import orthogonal_procrustes  # takes a second to load

    a, b = (v - v.mean(0) for v in _checked(a, b))
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if min(norms) == 0:
        return math.nan
    most = max(a.shape[1], b.shape[1])
    a, b = (np.pad(v / norm, ((0, 0), (0, most - v.shape[1]))) for v, norm in zip((a, b), norms, strict=True))
    return math.sqrt(max(0.0, 2 - 2 * orthogonal_procrustes(a, b)[1]))


def over_scenes(measure: Callable[..., float], a, b, groups=None, parts: int = PARTS) -> Estimate:
    """A measure of similarity with its 95 % interval over scenes, by the jackknife.

    measure: :func:`linear_cka` or :func:`procrustes_distance`, or another function of two representations. groups: (n,) to
    which group each scene belongs, a shot, say; its scenes are left out together. The groups are put into ``parts`` parts in
    turn. The margin is 1.96 times the jackknife's standard error. Raises ValueError as the measure does, and for fewer than
    eight groups.
    """
    checks.integer("parts", parts, 2)
    a, b = _checked(a, b)
    names = np.arange(len(a)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if names.shape != (len(a),) or names.max() + 1 < 8:
        raise ValueError(f"groups must be ({len(a)},), eight of them or more, got {names.shape}")
    n = int(names.max()) + 1
    part = names % min(parts, n)
    value = measure(a, b)
    without = np.array([measure(a[part != k], b[part != k]) for k in range(part.max() + 1)])
    margin = 1.96 * math.sqrt((len(without) - 1) * np.var(without))
    return Estimate(value, value - margin, value + margin, n, "jackknife")


def _kernel(a: np.ndarray) -> np.ndarray:
    a = a - a.mean(0)  # which changes nothing but rounding
    return a @ a.T


def _checked(a, b) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(v, dtype=float) for v in (a, b))
    if min(a.ndim, b.ndim) < 2 or len(a) != len(b) or len(a) < 4:
        raise ValueError(f"a and b must be (n, channels) of the same four scenes or more, got {a.shape} and {b.shape}")
    a, b = (v.reshape(len(v), -1) for v in (a, b))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a and b must be finite, got NaN or infinite values")
    return a, b
