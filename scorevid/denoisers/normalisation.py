"""Bias-free batch normalisation, and the estimate of its statistics that evaluation uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class ScaleNorm(nn.Module):
    """Bias-free batch normalisation: divides each channel by its standard deviation, with a learned gain.

    The mean is subtracted for the deviation but not from x, and no shift is learned (Mohan et al. 2020). In training
    the deviation is that of the batch over (B, H, W), in evaluation a running average of its square. Once ``frozen``,
    training uses the running average as well. Where processes share a batch, ``reduce_mean`` averages a tensor over them.
    """

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.momentum, self.eps, self.frozen = momentum, eps, False
        self.reduce_mean: Callable[[Tensor], Tensor] | None = None
        self.gain = nn.Parameter(torch.ones(channels))
        self.register_buffer("variance", torch.ones(channels))

    @property
    def is_fixed(self) -> bool:
        """Whether the scale does not depend on x: when frozen, and in evaluation."""
        return self.frozen or not self.training

    def scale(self, variance: Tensor) -> Tensor:
        """(C,) factors of channels with these variances (C,)."""
        return self.gain * (variance + self.eps).rsqrt()

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) with each channel scaled, the same shape."""
        variance = self.variance
        if not self.is_fixed:
            variance = self._variance(x.to(self.variance.dtype))
            with torch.no_grad():
                self.variance.lerp_(variance, self.momentum)
        return x * self.scale(variance).to(x.dtype)[:, None, None]

    def _variance(self, x: Tensor) -> Tensor:
        if self.reduce_mean is None:
            return x.var((0, 2, 3), correction=0)
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        return self.reduce_mean(variance + (mean - self.reduce_mean(mean.detach())).square())


def estimate_statistics(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]]) -> nn.Module:
    """Replace the running variances by their mean over the batches, and leave the network in evaluation mode.

    network: has ``squared_error(y, c, x, sigma)``, which is called with each batch.
    """
    norms = [m for m in network.modules() if isinstance(m, ScaleNorm)]
    momenta = [m.momentum for m in norms]
    network.train()
    with torch.no_grad():
        for k, batch in enumerate(batches):
            for m in norms:
                m.momentum = 1 / (k + 1)
            network.squared_error(*batch)
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum
    return network.eval()
