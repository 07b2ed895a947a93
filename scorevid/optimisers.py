"""Optimisers for the denoiser: Adam, or Muon for the kernels with Adam for the gains.

Muon (Jordan 2024) replaces the momentum of a matrix by the nearest orthogonal one. PyTorch's works on matrices, so it
is handed each kernel (out, in, 3, 3) as a view (out, 9 in) on the same memory.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def make_optimiser(network: nn.Module, name: str, lr: float, lr_muon: float) -> list[torch.optim.Optimizer]:
    """Optimisers to step together; each group holds its peak learning rate under "peak"."""
    parameters = list(network.parameters())
    if name == "adam":
        optimisers = [torch.optim.Adam(parameters, lr, fused=True)]
    elif name == "muon":
        inner = [p for p in parameters if p.ndim == 4 and min(p.shape[:2]) > 1]
        rest = [p for p in parameters if not any(p is q for q in inner)]
        optimisers = [KernelMuon(inner, lr_muon), torch.optim.Adam(rest, lr, fused=True)]
    else:
        raise ValueError(f"optimiser must be 'adam' or 'muon', got {name!r}")
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return optimisers


class KernelMuon(torch.optim.Muon):
    """Muon on convolution kernels through matrix views."""

    def __init__(self, kernels: list[Tensor], lr: float):
        self.kernels = kernels
        self.views = [nn.Parameter(_matrix(k.data)) for k in kernels]
        super().__init__(self.views, lr=lr, weight_decay=0.0)

    @torch.no_grad()
    def step(self, closure=None):
        """One update of the kernels in place, from their gradients."""
        for kernel, view in zip(self.kernels, self.views, strict=True):
            view.grad = _matrix(kernel.grad.contiguous(memory_format=_layout(kernel)))
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True):
        """Forget the gradients of the kernels and of their views."""
        for kernel in self.kernels:
            kernel.grad = None
        super().zero_grad(set_to_none)


def _layout(kernel: Tensor) -> torch.memory_format:
    contiguous = kernel.is_contiguous()
    return torch.contiguous_format if contiguous else torch.channels_last


def _matrix(kernel: Tensor) -> Tensor:
    """A view (out, columns) on a kernel's own memory, whichever its layout; the order of columns is immaterial."""
    ordered = kernel if kernel.is_contiguous() else kernel.permute(0, 2, 3, 1)
    return ordered.view(len(kernel), -1)


def learning_rate(step: int, steps: int | None, warmup: int) -> float:
    """Factor on the peak rate: a linear rise, then half a cosine down to zero at the last step.

    steps: of the whole run, None while they are not planned yet. The rise takes at most a tenth of them.
    """
    warmup = warmup if steps is None else max(1, min(warmup, steps // 10))
    if steps is None or step < warmup:
        return min(1.0, (step + 1) / warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))
