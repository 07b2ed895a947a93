r"""The residual is the score, its derivative a covariance.

A denoiser trained by squared error approaches E[x | y, c], and for Gaussian noise (Miyasawa 1961; "Tweedie")

.. math:: d = f(y, c) - y = \sigma^2\, \nabla_y \log p_\sigma(y \mid c), \qquad
          \sigma^2 J_y = \sigma^2\, \partial f / \partial y = \mathrm{Cov}[x \mid y, c] .

So the residual in grey units, divided by σ², is a score in 1 / grey; and J_y of an optimal denoiser is symmetric and
positive semi-definite. Nothing here needs the normaliser of p.

Everywhere f is any denoiser, y (B, 1, H, W), c (B, M, H, W), and sigma its noise level, which a blind one does not need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser, denoise

Sigma = float | Tensor | None  # what a denoiser may need: the noise level in grey units, a number or (B,)


def residual(f: AnyDenoiser, y: Tensor, c: Tensor, sigma: Sigma = None) -> Tensor:
    """d = f(y, c) − y, (B, 1, H, W) in grey units."""
    return denoise(f, y, c, sigma) - y


def score(f: AnyDenoiser, y: Tensor, c: Tensor, sigma: float | Tensor) -> Tensor:
    """∇_y log p_σ(y | c) = d / σ², (B, 1, H, W) in 1 / grey. Raises ValueError for σ that is not positive and finite."""
    return residual(f, y, c, sigma) / checks.levels(sigma, y).square()


def relative_error(d: Tensor, d_star: Tensor) -> Tensor:
    """‖d − d*‖² / ‖d*‖² of each example, (B,), dimensionless.

    d* is mostly −σz, so this hides what matters (it may be 0.1 % for a network that has not learned the odds at all):
    report the error where the futures differ, relative to the ambiguity there, beside it.
    """
    return (d - d_star).flatten(1).square().sum(1) / d_star.flatten(1).square().sum(1)


def cosine(d: Tensor, d_star: Tensor) -> Tensor:
    """Cosine of the angle between two residuals (or scores) of each example, (B,)."""
    return torch.cosine_similarity(d.flatten(1), d_star.flatten(1), dim=1, eps=torch.finfo(d.dtype).tiny)


def jvp(f: AnyDenoiser, y: Tensor, c: Tensor, v: Tensor, sigma: Sigma = None) -> Tensor:
    """J_y v: the change of f along a change v of y, (B, 1, H, W) both."""
    return torch.func.jvp(lambda y: denoise(f, y, c, sigma), (y,), (v,))[1]


def vjp(f: AnyDenoiser, y: Tensor, c: Tensor, v: Tensor, sigma: Sigma = None) -> Tensor:
    """J_yᵀ v: the weights on y of the projection ⟨v, f⟩, (B, 1, H, W) both. Equals J_y v for an optimal denoiser."""
    return torch.func.vjp(lambda y: denoise(f, y, c, sigma), y)[1](v)[0]


def covariance_product(f: AnyDenoiser, y: Tensor, c: Tensor, v: Tensor, sigma: float | Tensor) -> Tensor:
    """σ² J_y v, (B, 1, H, W): Cov[x | y, c] v as far as f is the posterior mean (second-order identity).

    Compare with ``scorevid.denoisers.exact.Oracle.posterior_covariance(y, c, sigma).product(v)``.
    """
    return checks.levels(sigma, v).square() * jvp(f, y, c, v, sigma)


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
    f: AnyDenoiser, y: Tensor, c: Tensor, generator: torch.Generator, *, sigma: Sigma = None, steps=16, probes=8
) -> Shape:
    """How near J_y of each example is to being symmetric and positive semi-definite, as that of E[x | y, c] is.

    Without writing the Jacobian down: Lanczos' method on its symmetric part for the two ends of the spectrum, with so
    many steps, and so many random vectors for the asymmetry (Hutchinson). Steps and probes each take one product with
    J_y and one with its transpose. Raises ValueError unless 2 <= steps <= HW and probes >= 1.
    """
    checks.integer("probes", probes)
    if not 2 <= steps <= y[0].numel():
        raise ValueError(f"steps must lie in [2, {y[0].numel()}], got {steps}")

    def halves(v: Tensor) -> Tensor:
        """Symmetric and antisymmetric part times v, (2, B, 1, H, W)."""
        forward, back = jvp(f, y, c, v, sigma), vjp(f, y, c, v, sigma)
        return torch.stack([forward + back, forward - back]) / 2

    def noise() -> Tensor:
        return torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)

    def orthogonal(v: Tensor, basis: Tensor) -> Tensor:
        """What v (B, N) has orthogonal to the basis (B, k, N)."""
        return v - torch.einsum("bk,bkn->bn", torch.einsum("bkn,bn->bk", basis, v), basis)

    squares = torch.stack([halves(noise()).square().sum((2, 3, 4)) for _ in range(probes)]).sum(0)
    basis = normalize(noise().flatten(1), dim=1)[:, None]  # (B, k, N), orthonormal
    images = []
    for _ in range(steps):
        images.append(halves(basis[:, -1].reshape(y.shape))[0].flatten(1))
        if len(images) == steps:
            break
        new, image = orthogonal(images[-1], basis), images[-1].norm(dim=1, keepdim=True)
        exhausted = new.norm(dim=1, keepdim=True) <= 10 * torch.finfo(y.dtype).eps * math.sqrt(y[0].numel()) * image
        new = torch.where(exhausted, noise().flatten(1), new)  # an invariant subspace: go on outside of it
        for _ in range(3):  # once is not enough in floating point
            new = normalize(orthogonal(new, basis), dim=1)
        basis = torch.cat([basis, new[:, None]], 1)
    small = torch.einsum("bkn,bjn->bkj", basis, torch.stack(images, 1))
    values, vectors = torch.linalg.eigh((small + small.mT) / 2)
    return Shape(
        asymmetry=(squares[1] / squares[0]).sqrt().nan_to_num(),
        least=values[:, 0],
        greatest=values[:, -1],
        leading=torch.einsum("bk,bkn->bn", vectors[:, :, -1], basis).reshape(y.shape),
    )
