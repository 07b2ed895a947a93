"""What a step of training sees: noisy next frames and their past, drawn anew from a generator of that step alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scorevid.noise.corruptions import corrupt
from scorevid.noise.prior import NoisePrior, PastNoise

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
NO_PAST_NOISE = PastNoise()


def noisy_batch(
    world, noise: NoisePrior, batch: int, generator: torch.Generator, past: PastNoise = NO_PAST_NOISE
) -> Batch:
    """One batch of training data: y (B, 1, H, W), c (B, M, H, W), x (B, 1, H, W), sigma (B, 1, 1, 1)."""
    c, x = world.draw(batch, generator)
    sigma = noise.draw(batch, generator)
    y = corrupt(x, sigma, noise.corruption, generator)
    return y, past.put_on(c, generator), x, sigma


def generator_for(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of all randomness of one step; streams of different (seed, step) are independent."""
    state = np.random.SeedSequence([seed, step]).generate_state(1)[0]
    return torch.Generator(device).manual_seed(int(state))
