r"""The residual is the score, its derivative a covariance.

A denoiser trained by squared error approaches E[x | y, c], and for Gaussian noise (Miyasawa 1961; "Tweedie")

.. math:: d = f(y, c) - y = \sigma^2\, \nabla_y \log p_\sigma(y \mid c), \qquad
          \sigma^2 J_y = \sigma^2\, \partial f / \partial y = \mathrm{Cov}[x \mid y, c] .

So the residual in grey units, divided by σ², is a score in 1 / grey; and J_y of an optimal denoiser is symmetric and
positive semi-definite. Nothing here needs the normaliser of p.
"""

from __future__ import annotations

import math
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

    Compare with ``scorevid.denoisers.exact.Oracle.posterior_covariance(y, c, sigma).product(v)``. sigma: a number or (B,).
    """
    return _level(sigma, v).square() * jvp(f, y, c, v)


@dataclass
class Shape:
    """What J_y has of a covariance. Everything but ``leading`` is (B,) and dimensionless.

    asymmetry: ‖(J − Jᵀ)/2‖ / ‖(J + Jᵀ)/2‖, estimated; 0 for a covariance, and where J is zero. least, greatest: ends of
    the spectrum of the symmetric part, approached from within: least from above, greatest from below.
    leading: (B, 1, H, W), unit eigenvector of the greatest.
    """

    asymmetry: Tensor
    least: Tensor
    greatest: Tensor
    leading: Tensor


def jacobian_shape(
    f: AnyDenoiser, y: Tensor, c: Tensor, generator: torch.Generator, *, steps: int = 16, probes: int = 8
) -> Shape:
    """How near J_y of each example is to being symmetric and positive semi-definite, as that of E[x | y, c] is.

    Without writing the Jacobian down: Lanczos' method on its symmetric part for the two ends of the spectrum, with so
    many steps, and so many random vectors for the asymmetry (Hutchinson). Steps and probes each take one product with
    J_y and one with its transpose. y (B, 1, H, W), c (B, M, H, W). Raises ValueError unless 2 <= steps <= HW and probes >= 1.
    """
    if not (2 <= steps <= y[0].numel() and probes >= 1):
        raise ValueError(f"2 to {y[0].numel()} steps and 1 probe or more are due, got {steps} and {probes}")

    def halves(v: Tensor) -> Tensor:
        """Symmetric and antisymmetric part times v, (2, B, 1, H, W)."""
        forward, back = jvp(f, y, c, v), vjp(f, y, c, v)
        return torch.stack([forward + back, forward - back]) / 2

    def noise() -> Tensor:
        return torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)

    def apart(v: Tensor, basis: Tensor) -> Tensor:
        """What v (B, N) has orthogonal to the basis (B, k, N)."""
        return v - torch.einsum("bk,bkn->bn", torch.einsum("bkn,bn->bk", basis, v), basis)

    squares = torch.stack([halves(noise()).square().sum((2, 3, 4)) for _ in range(probes)]).sum(0)
    basis = torch.nn.functional.normalize(noise().flatten(1), dim=1)[:, None]  # (B, k, N), orthonormal
    images = []
    for _ in range(steps):
        images.append(halves(basis[:, -1].reshape(y.shape))[0].flatten(1))
        if len(images) == steps:
            break
        new, image = apart(images[-1], basis), images[-1].norm(dim=1, keepdim=True)
        spent = new.norm(dim=1, keepdim=True) <= 10 * torch.finfo(y.dtype).eps * math.sqrt(y[0].numel()) * image
        new = torch.where(spent, noise().flatten(1), new)  # an invariant subspace: go on outside of it
        for _ in range(3):  # once is not enough in floating point
            new = torch.nn.functional.normalize(apart(new, basis), dim=1)
        basis = torch.cat([basis, new[:, None]], 1)
    small = torch.einsum("bkn,bjn->bkj", basis, torch.stack(images, 1))
    values, vectors = torch.linalg.eigh((small + small.mT) / 2)
    leading = torch.einsum("bk,bkn->bn", vectors[:, :, -1], basis).reshape(y.shape)
    return Shape((squares[1] / squares[0]).sqrt().nan_to_num(), values[:, 0], values[:, -1], leading)


def _level(sigma: float | Tensor, like: Tensor) -> Tensor:
    """σ shaped to scale a batch of frames; raises ValueError if it does not fit or is not positive and finite."""
    sigma = torch.as_tensor(sigma, dtype=like.dtype, device=like.device).reshape(-1, 1, 1, 1)
    if len(sigma) not in (1, len(like)):
        raise ValueError(f"sigma must be a number or ({len(like)},), got {len(sigma)} values")
    if not ((sigma > 0) & sigma.isfinite()).all():
        raise ValueError(f"sigma must be positive and finite, got {sigma.flatten().tolist()}")
    return sigma
