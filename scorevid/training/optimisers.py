r"""Optimisers for the denoiser: Adam, or Muon for the kernels with Adam for the gains.

Muon (Jordan 2024) replaces the step that momentum would take by about the nearest orthogonal matrix. Each kernel
(out, in, 3, 3) is taken for a matrix W (out, 9 in), a view on the same memory, with gradient G and momentum M:

.. math:: M \leftarrow \mu M + (1 - \mu) G , \qquad
          W \leftarrow W - \eta \sqrt{\max(1, n / m)} \; \text{orthogonal}\big((1 - \mu) G + \mu M\big) .

PyTorch's Muon rounds G to bf16, for which matrices as small as these are no faster, while the last digit of a gradient
becomes a thousandth of the loss within fifty updates. Here it stays in single precision, so that several processes train
what one does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scorevid import checks


def make_optimiser(network: nn.Module, name: str, lr: float, lr_muon: float) -> list[torch.optim.Optimizer]:
    """Optimisers to step together, with these learning rates to begin with."""
    parameters = list(network.parameters())
    if name == "adam":
        return [torch.optim.Adam(parameters, lr, fused=True)]
    checks.one_of("optimiser", name, ("adam", "muon"))
    inner = [p for p in parameters if p.ndim == 4 and min(p.shape[:2]) > 1]
    rest = [p for p in parameters if not any(p is q for q in inner)]
    return [KernelMuon(inner, lr_muon), torch.optim.Adam(rest, lr, fused=True)]


class KernelMuon(torch.optim.Optimizer):
    """Muon on convolution kernels, in single precision; see the module."""

    def __init__(self, kernels: list[Tensor], lr: float, momentum: float = 0.95):
        self.kernels = kernels
        self.views = [nn.Parameter(_matrix(k.data)) for k in kernels]
        super().__init__(self.views, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """One update of the kernels in place, from their gradients."""
        if closure is not None:
            raise ValueError("KernelMuon takes no closure")
        (group,) = self.param_groups
        directions = []
        for kernel, view in zip(self.kernels, self.views, strict=True):
            layout = torch.contiguous_format if kernel.is_contiguous() else torch.channels_last
            gradient = _matrix(kernel.grad.contiguous(memory_format=layout))
            state = self.state[view]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(gradient)
            momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
            directions.append(gradient.lerp(momentum, group["momentum"]))
        for view, direction in zip(self.views, orthogonal(directions), strict=True):
            height, width = view.shape
            view.add_(direction, alpha=-group["lr"] * math.sqrt(max(1.0, height / width)))

    def zero_grad(self, set_to_none: bool = True):
        """Forget the gradients of the kernels; they are dropped whatever set_to_none says."""
        for kernel in self.kernels:
            kernel.grad = None


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """For each matrix (n, m) about the nearest whose rows or columns are orthonormal, whichever are fewer.

    Five steps of the quintic Newton-Schulz iteration of Jordan (2024), X ← (a + b XXᵀ + c (XXᵀ)²) X, whose coefficients make
    it fast and bring singular values above a fiftieth of the norm to between about .7 and 1.2. Each step is a polynomial
    in XXᵀ, so all of them are taken on these small symmetric matrices, those of one size together, and X is multiplied by
    their product once; so is X divided by its norm, whose square is the trace of XXᵀ. What rounding adds to XXᵀ grows
    twelvefold a step, for which single precision has digits enough, and bf16 has not: raises ValueError for anything but
    fp32 and fp64.
    """
    for x in matrices:
        if x.ndim != 2 or x.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"matrices must be in fp32 or fp64, got {tuple(x.shape)} in {x.dtype}")
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = [x.mT if x.shape[0] > x.shape[1] else x for x in matrices]
    found: dict[int, Tensor] = {}
    for size in {len(x) for x in wide}:
        alike = [k for k, x in enumerate(wide) if len(x) == size]
        gram, product = torch.stack([wide[k] @ wide[k].mT for k in alike]), None
        norm = gram.diagonal(dim1=1, dim2=2).sum(1).sqrt().clamp(min=1e-7)[:, None, None]
        gram /= norm.square()
        for left in reversed(range(5)):
            factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
            factor.diagonal(dim1=1, dim2=2).add_(a)
            product = factor if product is None else factor @ product
            if left:
                gram = factor @ gram @ factor
        found |= {k: factor @ wide[k] for k, factor in zip(alike, product / norm, strict=True)}
    return [found[k].mT if x.shape[0] > x.shape[1] else found[k] for k, x in enumerate(matrices)]


def _matrix(kernel: Tensor) -> Tensor:
    """A view (out, columns) on a kernel's own memory, whichever its layout; the order of columns is immaterial."""
    ordered = kernel if kernel.is_contiguous() else kernel.permute(0, 2, 3, 1)
    return ordered.view(len(kernel), -1)
