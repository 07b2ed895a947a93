r"""Local linear weights: how an output pixel is put together from the noisy frame and from each past frame.

A bias-free network is homogeneous of degree one in (y, c) jointly, so by Euler's theorem

.. math:: f(y, c) = J_y\, y + J_c\, c, \qquad J_y = \partial f / \partial y, \quad J_c = \partial f / \partial c ,

exactly, at every input. Row i of the Jacobian is a set of adaptive filters, one for y and one for each past frame,
whose weighted sum is the output at pixel i (Mohan et al. 2020 for still images). Rows come from reverse-mode
differentiation, one backward pass for one pixel of every frame in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser, denoise
from scorevid.measures.score_from_residual import Sigma

Pixels = Sequence[tuple[int, int]] | Tensor  # (row, column) of P pixels, or integers (B, P, 2) of each example's own


@dataclass
class Rows:
    """Rows of the Jacobian for P output pixels of each of B examples; weights are dimensionless.

    on_y: (B, P, H, W) weights on the noisy frame. on_c: (B, P, M, H, W) weights on the past frames, oldest first.
    """

    on_y: Tensor
    on_c: Tensor

    def sums(self) -> Tensor:
        """Sum of the weights on each past frame, oldest first, and on y, last: (B, P, M + 1).

        They add up to about 1 where f keeps the mean grey level; single weights may be negative or above 1.
        """
        return torch.cat([self.on_c.sum((3, 4)), self.on_y.sum((2, 3))[..., None]], 2)

    def centroids(self, pixels: Pixels) -> Tensor:
        """Where the weights on each frame lie, from the output pixel on: (B, P, M + 1, 2) as (x, y) in pixels.

        pixels: those of the rows. The mean position counts each pixel by its weight squared, since weights have either sign;
        NaN for a frame without any. On a past frame it should be where the pixel came from, as optical flow tells.
        """
        energy = torch.cat([self.on_c, self.on_y[:, :, None]], 2).square()
        height, width = energy.shape[-2:]
        x = (energy.sum(3) * torch.arange(width).to(energy)).sum(3)
        y = (energy.sum(4) * torch.arange(height).to(energy)).sum(3)
        pixels = torch.as_tensor(pixels, device=energy.device) % torch.tensor([height, width], device=energy.device)
        return torch.stack([x, y], 3) / energy.sum((3, 4))[..., None] - pixels.flip(-1)[..., None, :].to(energy)


def rows(f: AnyDenoiser, y: Tensor, c: Tensor, pixels: Pixels, sigma: Sigma = None) -> Rows:
    """The rows of the Jacobian of f at (y, c) that belong to the given output pixels.

    f: a denoiser that can be differentiated; a network must be in evaluation mode. y (B, 1, H, W), c (B, M, H, W).
    pixels: counted from the top left, negative from the bottom right. One forward pass and P backward passes of the batch.
    Raises ValueError for shapes that do not fit, pixels outside of the frame, f in training mode, or f without gradient.
    """
    pixels = _pixels(f, y, c, pixels)
    batch = torch.arange(len(y), device=y.device)
    on_y, on_c = [], []
    with torch.enable_grad():
        y, c = y.detach().requires_grad_(), c.detach().requires_grad_()
        x_hat = denoise(f, y, c, sigma)
        if x_hat.shape != y.shape or not x_hat.requires_grad:
            got = f"{tuple(x_hat.shape)}, requires_grad={x_hat.requires_grad}"
            raise ValueError(f"f must return {tuple(y.shape)} and carry its gradient, got {got}")
        for pixel in pixels.unbind(1):
            # examples do not mix, so the sum over the batch has the gradient of each
            total = x_hat[batch, 0, pixel[:, 0], pixel[:, 1]].sum()
            weights = torch.autograd.grad(total, (y, c), retain_graph=True, allow_unused=True, materialize_grads=True)
            on_y.append(weights[0][:, 0])
            on_c.append(weights[1])
    return Rows(on_y=torch.stack(on_y, 1), on_c=torch.stack(on_c, 1))


def jacobian(
    f: AnyDenoiser, y: Tensor, c: Tensor, batch: int = 64, sigma: float | None = None
) -> tuple[Tensor, Tensor]:
    """J_y (N, N) and J_c (N, M, N) in full for one small frame of N = HW pixels, in row-major order.

    y (1, 1, H, W), c (1, M, H, W). Copies of the frame, ``batch`` of them, go forward once, and back for so many rows
    at a time. Raises ValueError as :func:`rows` does, and for more than one frame.
    """
    if len(y) != 1 or len(c) != 1:
        raise ValueError(f"y and c must be of one frame, got {len(y)} and {len(c)}")
    checks.integer("batch", batch)
    height, width = y.shape[2:]
    n = height * width
    batch = min(batch, n)
    order = torch.arange(-(-n // batch) * batch, device=y.device).clamp_max(n - 1)  # the last row fills the last pass
    pixels = torch.stack([order // width, order % width], 1).reshape(-1, batch, 2).transpose(0, 1)
    weights = rows(f, y.expand(batch, *y.shape[1:]), c.expand(batch, *c.shape[1:]), pixels, sigma)
    on_y, on_c = (v.transpose(0, 1).flatten(0, 1)[:n] for v in (weights.on_y, weights.on_c))
    return on_y.flatten(1), on_c.flatten(2)


def reconstruct(weights: Rows, y: Tensor, c: Tensor) -> Tensor:
    """J_y y + J_c c at the pixels of the rows, (B, P): what f gives there if it is homogeneous of degree one."""
    return (weights.on_y * y).sum((2, 3)) + (weights.on_c * c[:, None]).sum((2, 3, 4))


def _pixels(f: AnyDenoiser, y: Tensor, c: Tensor, pixels: Pixels) -> Tensor:
    """Pixels as (B, P, 2) integers within the frame."""
    checks.evaluation_mode(f)
    checks.noisy_and_past(y, c)
    pixels = torch.as_tensor(pixels, device=y.device)
    if pixels.ndim == 2:
        pixels = pixels.expand(len(y), *pixels.shape)
    fits = pixels.ndim == 3 and len(pixels) == len(y) and pixels.shape[2] == 2 and pixels.numel()
    if not fits or pixels.is_floating_point():
        got = f"{tuple(pixels.shape)} {pixels.dtype}"
        raise ValueError(f"pixels must be integers (P, 2) or ({len(y)}, P, 2), got {got}")
    size = torch.tensor(y.shape[2:], device=y.device)
    if ((pixels < -size) | (pixels >= size)).any():
        raise ValueError(f"pixels must lie within the frame {tuple(y.shape[2:])}, got {pixels.flatten(0, 1).tolist()}")
    return pixels
