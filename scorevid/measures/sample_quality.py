r"""Are predictions sharp where the future is undecided, and as diverse as it is?

Let the next frame be one of :math:`x_k` with probabilities :math:`w_k`
(:class:`~scorevid.worlds.futures.Futures`), and let :math:`\Omega` be the pixels in which these differ, dilated by one
(:func:`boundary`). The gradient energy of a frame there is

.. math:: E(x) = \frac{1}{|\Omega|} \sum_{p \in \Omega} \|\nabla x(p)\|^2

with forward differences, and the sharpness of a prediction is :math:`E(\hat x) / \sum_k w_k E(x_k)`. Samples of the
true law have sharpness 1 on average. E is convex, so by Jensen's inequality
:math:`E(\sum_k w_k x_k) \le \sum_k w_k E(x_k)`: the posterior mean, which is what squared error makes of an undecided
future, has at most sharpness 1, and less unless all possible futures have the same gradients in Ω.

A sampler that always shows the same future is sharp too. What it lacks is spread: with D the pixels that differ,

.. math::

    \frac{1}{S (S - 1)} \sum_{s \ne t} \|\hat x_s - \hat x_t\|_D^2
    = 2 \sum_{p \in D} \frac{1}{S - 1} \sum_s \bigl(\hat x_s(p) - \bar x(p)\bigr)^2

is, for independent samples of the true law, :math:`2 \sum_k w_k \|x_k - E x\|_D^2` in expectation for every S ≥ 2. The
ratio of the two, each summed over scenes, is the diversity: 1 for the truth, 0 if all samples are alike.

Both are necessary, neither is sufficient: noise raises them as edges do, beyond 1 if there is enough of it. Whether a
sample shows one of the futures, and as often as it should, is for :mod:`scorevid.measures.calibration`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from scorevid import checks
from scorevid.worlds.futures import Futures


def boundary(futures: Futures) -> Tensor:
    """Ω: the pixels in which possible futures differ, and their eight neighbours, (B, H, W) bool.

    Empty for a scene with one possible future. "Differ" is as in :meth:`~scorevid.worlds.futures.Futures.where`.
    """
    # A forward difference reads the next pixel, so the futures' gradients differ one pixel before the futures do.
    return functional.max_pool2d(futures.where().float(), 3, stride=1, padding=1)[:, 0] > 0


def gradient_energy(x: Tensor, where: Tensor) -> Tensor:
    """E(x): mean squared gradient over the pixels chosen, in grey² a pixel, (B, S).

    x: (B, S, H, W) frames of a floating-point type. where: (B, H, W) bool. The gradient is that of forward differences
    to the right and down; across the frame's edge it is zero. Raises ValueError for shapes or types that do not fit, and
    for scenes without a chosen pixel.
    """
    checks.frames("x", x, axes="BSHW")
    if where.shape != (size := (len(x), *x.shape[2:])) or where.dtype != torch.bool:
        raise ValueError(f"where must be a bool mask {size}, got {where.dtype} {tuple(where.shape)}")
    pixels = where.sum((1, 2))
    checks.every("scenes must have chosen pixels", pixels > 0)
    right = functional.pad(x.diff(dim=3).square(), (0, 1))
    down = functional.pad(x.diff(dim=2).square(), (0, 0, 0, 1))
    return (right + down).masked_fill(~where[:, None], 0).sum((2, 3)) / pixels[:, None]


def sharpness(x_hat: Tensor, futures: Futures) -> Tensor:
    """Gradient energy in Ω over the expected one of the true futures, (B, S), no unit: 1 like the truth, < 1 blurred.

    x_hat: (B, S, H, W). At most 1, up to rounding, for ``futures.mean()``. One true future by itself need not have 1,
    only their average with their probabilities has. Raises ValueError for shapes or types that do not fit, scenes whose
    possible futures do not differ, and scenes whose futures are all flat in Ω.
    """
    checks.samples(x_hat, futures)
    where = boundary(futures)
    checks.every("scenes must have futures that differ", where.any((1, 2)))
    expected = (futures.probabilities * gradient_energy(futures.frames, where)).sum(1, keepdim=True)
    checks.every("scenes must have futures with a gradient where they differ", expected[:, 0] > 0)
    return gradient_energy(x_hat, where) / expected


def pairwise_distance(x_hat: Tensor, futures: Futures) -> tuple[Tensor, Tensor]:
    """Mean squared distance of two samples of a scene, and what it is for the true law; each (B,), in grey².

    x_hat: (B, S, H, W), S ≥ 2 independent samples of each scene. Both are sums over the pixels in which possible futures
    differ, not dilated, so that the second is 2 ``futures.ambiguity()`` but for differences below the tolerance of
    ``futures.where()``; both are zero where the future is certain. The diversity with its interval is
    ``estimates.ratio_interval(*pairwise_distance(x_hat, futures))``. Raises ValueError for shapes or types that do not fit,
    and for fewer than two samples.
    """
    checks.samples(x_hat, futures, 2)
    where = futures.where()
    seen = 2 * x_hat.var(1, keepdim=True).masked_fill(~where, 0).sum((1, 2, 3))  # var divides by S − 1
    squares = (futures.frames - futures.mean()).square().masked_fill(~where, 0).sum((2, 3))
    return seen, 2 * (futures.probabilities * squares).sum(1)
