r"""How sparse channel averages are: three measures that do not depend on their scale.

Of the averages :math:`\varphi_1 \dots \varphi_C \ge 0` of a block (absolute values are taken of those that may be negative):

- the share of active channels, with φ above a hundredth of the largest;
- the participation ratio :math:`(\sum_k \varphi_k)^2 / C \sum_k \varphi_k^2`, from 1/C for one active channel to 1 for equal
  ones (Treves and Rolls 1991);
- the Gini coefficient :math:`\sum_k (2k - C - 1)\, \varphi_{(k)} / C \sum_k \varphi_k`, of the values in rising order, from 0
  for equal ones to 1 − 1/C for one active channel (Hurley and Rickard 2009).

For many exponentially distributed averages the second and the third are 1/2. Of the transposed φ, channels by scenes, they say
to how few scenes a channel answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scorevid.estimates import Estimate, mean_interval
from scorevid.measures.representations.activations import channel_averages

ACTIVE = 0.01  #: of the largest average of a block, above which a channel counts as active


def active_fraction(phi: Tensor, threshold: float = ACTIVE) -> Tensor:
    """Share of the channels of phi (B, C) above ``threshold`` times the largest of the scene: (B,), 0 where all are zero."""
    phi = _checked(phi)
    return (phi > threshold * phi.amax(1, keepdim=True)).double().mean(1)


def participation_ratio(phi: Tensor) -> Tensor:
    """Of phi (B, C), as a share of the channels: (B,), NaN where all are zero."""
    phi = _checked(phi)
    return phi.sum(1).square() / (phi.shape[1] * phi.square().sum(1))


def gini(phi: Tensor) -> Tensor:
    """The Gini coefficient of phi (B, C): (B,), NaN where all are zero."""
    phi = _checked(phi).sort(1).values
    n = phi.shape[1]
    rank = torch.arange(1 - n, n, 2, dtype=phi.dtype, device=phi.device)
    return phi @ rank / (n * phi.sum(1))


@dataclass(frozen=True)
class Sparsity:
    """Of one block at one noise level: means over scenes with Student's intervals. sigma: in grey units."""

    block: str
    sigma: float
    channels: int
    active_fraction: Estimate
    participation_ratio: Estimate
    gini: Estimate


def sparsity_curve(
    network: nn.Module, c: Tensor, x: Tensor, sigmas: Sequence[float], *, generator: torch.Generator | None, **options
) -> list[Sparsity]:
    """The three measures of each block, at each σ in turn.

    network, c, x, options: of :func:`~scorevid.measures.representations.activations.channel_averages`, which says what it
    raises. Also raises ValueError for a block in which nothing is active in some scene.
    """
    found = []
    for sigma in sigmas:
        averages = channel_averages(network, c, x, sigma, generator=generator, **options)
        for block, phi in averages.items():
            measures = (mean_interval(m(phi).cpu().numpy()) for m in (active_fraction, participation_ratio, gini))
            found.append(Sparsity(block, float(sigma), phi.shape[1], *measures))
    return found


def _checked(phi: Tensor) -> Tensor:
    if not isinstance(phi, Tensor) or phi.ndim != 2 or 0 in phi.shape or not phi.isfinite().all():
        raise ValueError(f"phi must be finite averages (B, channels), got {getattr(phi, 'shape', type(phi).__name__)}")
    return phi.double().abs()
