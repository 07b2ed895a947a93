r"""Singular values of the local linear weights: how many directions a denoiser keeps, and whether it chooses them anew.

With J_y = U S Vᵀ at one input, noise in y passes by :math:`\mathbb{E}\|J_y z\|^2 = \sum_i s_i^2` for white z of variance 1.
That sum is the *effective dimension* (Mohan et al. 2020): N for a denoiser that keeps everything, 0 for one that
does not look at y; a projection has its rank.

The leading k columns of U span what is kept. How far a basis is *adaptive* is measured by the overlap of two of them,

.. math:: \text{overlap} = \tfrac1k \| U_a^\top U_b \|_F^2 ,

1 for the same subspace, k / N for two that are drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.measures.score_from_residual import Sigma, vjp


@dataclass
class Spectrum:
    """Singular values (N,), greatest first, and the left singular vectors as columns, (N, N); dimensionless."""

    values: Tensor
    vectors: Tensor

    def dimension(self) -> float:
        """The effective dimension Σ s², in pixels."""
        return self.values.square().sum().item()

    def rank(self) -> int:
        """The effective dimension as a whole number, 1 at least: how many leading vectors span what is kept."""
        return min(len(self.values), max(1, round(self.dimension())))


def spectrum(on_y: Tensor) -> Spectrum:
    """The singular value decomposition of J_y (N, N), as from :func:`scorevid.measures.linear_weights.jacobian`.

    Raises ValueError for anything but a finite square matrix.
    """
    if on_y.ndim != 2 or on_y.shape[0] != on_y.shape[1] or not on_y.isfinite().all():
        raise ValueError(f"J_y must be a finite matrix (N, N), got {tuple(on_y.shape)}")
    u, s, _ = torch.linalg.svd(on_y)
    return Spectrum(values=s, vectors=u)


def overlap(a: Spectrum, b: Spectrum, k: int | None = None) -> float:
    """How much of the span of a's k leading vectors lies in b's; k is the smaller rank of the two unless given.

    Raises ValueError for spectra of different size and for k out of range.
    """
    n = len(a.values)
    k = min(a.rank(), b.rank()) if k is None else k
    if len(b.values) != n or not 1 <= k <= n:
        raise ValueError(f"a and b must be of one size, k within 1 and {n}, got {n}, {len(b.values)} and k = {k}")
    return (a.vectors[:, :k].T @ b.vectors[:, :k]).square().sum().item() / k


@torch.no_grad()
def effective_dimension(
    f: AnyDenoiser, y: Tensor, c: Tensor, generator: torch.Generator, probes: int = 8, sigma: Sigma = None
) -> Tensor:
    """Σ s² of J_y at each example, (B,) in pixels, as the mean of ‖J_yᵀ z‖² over white ``probes``, without the Jacobian.

    J_y and its transpose have the same singular values, and products with the transpose are there for every network.
    f, y, c, sigma: as in :mod:`scorevid.measures.score_from_residual`. For N pixels of which d are kept the relative standard
    error is about √(2 / (d · probes)). Raises ValueError for no probes.
    """
    checks.integer("probes", probes)
    noise = (torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype) for _ in range(probes))
    return sum(vjp(f, y, c, z, sigma).square().sum((1, 2, 3)) for z in noise) / probes
