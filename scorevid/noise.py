r"""The noise prior: the law from which training draws the noise level σ of each example.

The denoiser never sees σ, so this law is part of what it estimates: the optimal blind denoiser averages over the
posterior p(σ | y, c) under this prior. In a frame of N pixels that posterior is narrow, about :math:`\sigma/\sqrt{2N}`,
and the prior matters little inside its range and a lot at its ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from scorevid.corruptions import CORRUPTIONS, Corruption


@dataclass(frozen=True)
class NoisePrior:
    """σ in grey units, log-uniform or uniform over [sigma_min, sigma_max].

    The paper trains "over a range of σ"; the range and the law are our choice.
    """

    sigma_min: float = 0.02  # least noise level
    sigma_max: float = 5.0  # greatest noise level
    law: Literal["log-uniform", "uniform"] = "log-uniform"  # which of log σ and σ is uniform
    corruption: Corruption = "gaussian"  # distribution of the noise itself; the paper's identity takes Gaussian

    def __post_init__(self):
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise ValueError(f"0 < sigma_min < sigma_max is due, got [{self.sigma_min}, {self.sigma_max}]")
        if self.law not in ("log-uniform", "uniform"):
            raise ValueError(f"law must be 'log-uniform' or 'uniform', got {self.law!r}")
        if self.corruption not in CORRUPTIONS:
            raise ValueError(f"the corruption must be one of {', '.join(CORRUPTIONS)}, got {self.corruption!r}")

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch, 1, 1, 1) noise levels, one for each example, on the generator's device."""
        u = torch.rand(batch, 1, 1, 1, generator=generator, device=generator.device)
        if self.law == "uniform":
            return self.sigma_min + (self.sigma_max - self.sigma_min) * u
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** u
