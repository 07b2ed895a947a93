"""What a denoiser is: any callable f(y, c, sigma=None) that estimates the clean next frame, and says whether it needs σ.

So networks, closed-form optima and predictions from the past alone are all alike to samplers, scores and local linear
weights. A plain function f(y, c) is a blind denoiser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class Denoiser(Protocol):
    """f(y, c, sigma=None) -> x̂. y (B, 1, H, W) noisy frames, c (B, M, H, W) past frames, x̂ (B, 1, H, W), all in grey levels.

    needs_sigma: whether it must be given the noise level, in grey units, a number or (B,); a blind denoiser ignores it.
    """

    needs_sigma: bool

    def __call__(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """The estimate of the clean next frame."""


AnyDenoiser = Denoiser | Callable[[Tensor, Tensor], Tensor]


def needs_sigma(f: AnyDenoiser) -> bool:
    """Whether f must be given σ; a plain function f(y, c) need not."""
    return getattr(f, "needs_sigma", False)


def denoise(f: AnyDenoiser, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
    """f(y, c, sigma) of a denoiser that needs σ, f(y, c) of any other. Raises ValueError where σ is needed and missing."""
    if not needs_sigma(f):
        return f(y, c)
    if sigma is None:
        raise ValueError(f"this denoiser needs the noise level: give sigma, got {sigma}")
    return f(y, c, sigma)
