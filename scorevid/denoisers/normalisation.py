"""Bias-free batch normalisation, and the estimate of its statistics that evaluation uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Scaling(nn.Module):
    """Bias-free batch normalisation: divides each channel by its standard deviation, with a learned gain.

    The mean is subtracted for the deviation but not from x, and no shift is learned (Mohan et al. 2020). In training
    the deviation is that of the batch over (B, H, W), in evaluation a running average of its square. Once ``settled``,
    training uses the kept average as well. Where a batch is shared among processes, ``average`` is what averages over them.
    """

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.momentum, self.eps, self.settled = momentum, eps, False
        self.average: Callable[[Tensor], Tensor] | None = None
        self.gain = nn.Parameter(torch.ones(channels))
        self.register_buffer("variance", torch.ones(channels))

    @property
    def is_fixed(self) -> bool:
        """Whether it scales by what it keeps, whatever x."""
        return self.settled or not self.training

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
        if self.average is None:
            return x.var((0, 2, 3), correction=0)
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        return self.average(variance + (mean - self.average(mean.detach())).square())


def estimate_statistics(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]]) -> nn.Module:
    """Replace the running variances by their mean over the batches, and leave the network in evaluation mode.

    network: one that training takes, with ``squared_error(y, c, x, sigma)``, which is called with each batch.
    """
    scalings = [m for m in network.modules() if isinstance(m, Scaling)]
    momenta = [m.momentum for m in scalings]
    network.train()
    with torch.no_grad():
        for k, batch in enumerate(batches):
            for m in scalings:
                m.momentum = 1 / (k + 1)
            network.squared_error(*batch)
    for m, momentum in zip(scalings, momenta, strict=True):
        m.momentum = momentum
    return network.eval()
