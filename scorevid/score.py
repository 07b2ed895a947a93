r"""The residual is the score, its derivative a covariance.

A denoiser trained by squared error approaches E[x | y, c], and for Gaussian noise (Miyasawa 1961; "Tweedie")

.. math:: d = f(y, c) - y = \sigma^2\, \nabla_y \log p_\sigma(y \mid c), \qquad
          \sigma^2 J_y = \sigma^2\, \partial f / \partial y = \mathrm{Cov}[x \mid y, c] .

So the residual in grey units, divided by σ², is a score in 1 / grey; and J_y of an optimal denoiser is symmetric and
positive semi-definite. Nothing here needs the normaliser of p.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

AnyDenoiser = Callable[[Tensor, Tensor], Tensor]


def residual(f: AnyDenoiser, y: Tensor, c: Tensor) -> Tensor:
    """d = f(y, c) − y, (B, 1, H, W) in grey units."""
    return f(y, c) - y


def residual_to_score(d: Tensor, sigma: float | Tensor) -> Tensor:
    """∇_y log p_σ(y | c) = d / σ², (B, 1, H, W) in 1 / grey. sigma: a number or (B,)."""
    return d / _level(sigma, d).square()


def score_to_residual(score: Tensor, sigma: float | Tensor) -> Tensor:
    """d = σ² ∇_y log p_σ(y | c), (B, 1, H, W) in grey units. sigma: a number or (B,)."""
    return score * _level(sigma, score).square()


def relative_error(d: Tensor, d_star: Tensor) -> Tensor:
    """‖d − d*‖² / ‖d*‖² of each example, (B,), dimensionless.

    d* is mostly −σz, so this hides what matters (it may be .1 % for a network that has not learned the odds at all):
    report the error where the futures differ, relative to the ambiguity there, beside it.
    """
    return (d - d_star).flatten(1).square().sum(1) / d_star.flatten(1).square().sum(1)


def cosine(d: Tensor, d_star: Tensor) -> Tensor:
    """Cosine of the angle between two residuals (or scores) of each example, (B,)."""
    return torch.cosine_similarity(d.flatten(1), d_star.flatten(1), dim=1, eps=torch.finfo(d.dtype).tiny)


def jvp(f: AnyDenoiser, y: Tensor, c: Tensor, v: Tensor) -> Tensor:
    """J_y v: the change of f along a change v of y, (B, 1, H, W) both."""
    return torch.func.jvp(lambda y: f(y, c), (y,), (v,))[1]


def vjp(f: AnyDenoiser, y: Tensor, c: Tensor, v: Tensor) -> Tensor:
    """J_yᵀ v: the weights on y of the projection ⟨v, f⟩, (B, 1, H, W) both. Equals J_y v for an optimal denoiser."""
    return torch.func.vjp(lambda y: f(y, c), y)[1](v)[0]


def covariance_product(f: AnyDenoiser, y: Tensor, c: Tensor, v: Tensor, sigma: float | Tensor) -> Tensor:
    """σ² J_y v, (B, 1, H, W): Cov[x | y, c] v as far as f is the posterior mean (second-order identity).

    Compare with ``scorevid.oracles.posterior_covariance(y, futures, sigma).product(v)``. sigma: a number or (B,).
    """
    return _level(sigma, v).square() * jvp(f, y, c, v)


@dataclass
class Shape:
    """What a Jacobian has of a covariance. All dimensionless.

    asymmetry: ‖(J − Jᵀ)/2‖ / ‖(J + Jᵀ)/2‖, 0 for a covariance. eigenvalues: (N,) of the symmetric part, ascending.
    leading: (N,) unit eigenvector of the largest.
    """

    asymmetry: float
    eigenvalues: Tensor
    leading: Tensor


def shape_of(jacobian: Tensor) -> Shape:
    """How near a square Jacobian (N, N) is to being symmetric and positive semi-definite, as that of E[x | y, c] is."""
    jacobian = jacobian.double()
    symmetric, rest = (jacobian + jacobian.T) / 2, (jacobian - jacobian.T) / 2
    values, vectors = torch.linalg.eigh(symmetric)
    return Shape((rest.norm() / symmetric.norm()).item(), values, vectors[:, -1])


def _level(sigma: float | Tensor, like: Tensor) -> Tensor:
    """σ shaped to scale a batch of frames; raises ValueError if it does not fit or is not positive and finite."""
    sigma = torch.as_tensor(sigma, dtype=like.dtype, device=like.device).reshape(-1, 1, 1, 1)
    if len(sigma) not in (1, len(like)):
        raise ValueError(f"sigma must be a number or ({len(like)},), got {len(sigma)} values")
    if not ((sigma > 0) & sigma.isfinite()).all():
        raise ValueError(f"sigma must be positive and finite, got {sigma.flatten().tolist()}")
    return sigma
