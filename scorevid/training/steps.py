"""What a run of training is made of: its settings, what it carries from step to step, how many steps, and what each sees."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from scorevid import checks
from scorevid.noise.corruptions import corrupt
from scorevid.noise.prior import NoisePrior, PastNoise

Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # y, c, x, sigma, as of noisy_batch


@dataclass(frozen=True)
class Settings:
    """How to train. What is not in the paper's summary is our choice. Raises ValueError for values that cannot be."""

    steps: int | None = None  # updates of the whole run, over which the rate falls; None: as many as fit the minutes
    batch: int = 48  # images in an update, of all processes together
    lr: float = 2e-3  # peak learning rate of Adam; after the warm-up it falls to zero as a cosine
    warmup: int = 500  # updates over which the learning rate rises, a tenth of the run at most
    freeze_norm_after: int | None = 2000  # updates, half of the run at most; then normalisation keeps its statistics
    frozen_lr_factor: float = 0.4  # factor on the learning rates from there on
    optimiser: Literal["adam", "muon"] = "muon"  # muon: for the kernels, with Adam for the gains
    lr_muon: float = 0.02  # peak learning rate of Muon
    ema_decay: float = 0.999  # of the exponential moving average of the weights, which is what gets published
    noise: NoisePrior = field(default_factory=NoisePrior)
    past: PastNoise = field(default_factory=PastNoise)
    seed: int = 0  # of the initial weights and of the data
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # auto: bf16 where the machine computes in it
    compile: bool = True  # use torch.compile

    def __post_init__(self):
        for name, most in (("steps", 10**12), ("batch", 10**6), ("warmup", 10**12), ("freeze_norm_after", 10**12)):
            if getattr(self, name) is not None or name in ("batch", "warmup"):
                checks.integer(name, getattr(self, name), most=most)
        checks.integer("seed", self.seed, 0, 2**63 - 1)
        for name in ("lr", "lr_muon", "frozen_lr_factor"):
            checks.number(name, getattr(self, name), high=1e6, above=0)
        checks.number("ema_decay", self.ema_decay, 0, math.nextafter(1, 0))
        checks.one_of("optimiser", self.optimiser, ("adam", "muon"))
        checks.one_of("precision", self.precision, ("auto", "bf16", "fp32"))

    def peak_lr(self, optimiser: torch.optim.Optimizer) -> float:
        """The peak learning rate of one of the optimisers."""
        return self.lr if isinstance(optimiser, torch.optim.Adam) else self.lr_muon


@dataclass
class TrainState:
    """What a run carries from step to step, beside weights and optimisers; a checkpoint holds it field by field."""

    planned_steps: int | None = None  # of the whole run; None until they are planned
    step: int = 0  # updates so far
    images: int = 0
    seconds: float = 0.0  # of training
    frozen: bool = False  # whether normalisation keeps its statistics
    frozen_at: int = 0  # the step since when, where the average of the weights began anew
    # sum and count since the last line of the log
    running_loss: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    changes: list[dict] = field(default_factory=list)  # settings that were other ones before a step, as the card tells
    made_on: dict = field(default_factory=dict)  # the machine

    @property
    def mean_loss(self) -> float:
        """The mean loss since the last log line, 0 if there was no step since."""
        total, count = self.running_loss.tolist()
        return total / count if count else 0.0

    @property
    def is_done(self) -> bool:
        """Whether all planned steps are done."""
        return self.planned_steps is not None and self.step >= self.planned_steps

    def should_freeze(self, after: int | None) -> bool:
        """Whether it is time to freeze normalisation: after so many steps, or half of the run."""
        half = after if self.planned_steps is None else self.planned_steps // 2
        return not self.frozen and after is not None and self.step >= min(after, half)


class StepPlanner:
    """How many steps fit the minutes of a run that begins at a step and at a second, from its speed once it is warm."""

    def __init__(self, minutes: float | None, step: int, start: float):
        self.first, self.end, self.warm = step, start + 60 * (minutes or 0), start

    def plan(self, step: int, now: float) -> int | None:
        """Steps of the whole run, once its speed is known, after 60 steps; None after any other. For each step in turn."""
        if step - self.first == 20:
            self.warm = now
        if step - self.first != 60:
            return None
        return step + max(1, int((self.end - now) * 40 / max(now - self.warm, 1e-9)))


def learning_rate(step: int, steps: int | None, warmup: int) -> float:
    """Factor on the peak rate: a linear rise, then half a cosine down to zero at the last step.

    steps: of the whole run, None while they are not planned yet. The rise takes at most a tenth of them.
    """
    warmup = warmup if steps is None else max(1, min(warmup, steps // 10))
    if steps is None or step < warmup:
        return min(1.0, (step + 1) / warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def generator_for(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of all randomness of one step; streams of different (seed, step) are independent."""
    state = np.random.SeedSequence([seed, step]).generate_state(1)[0]
    return torch.Generator(device).manual_seed(int(state))


def noisy_batch(world, noise: NoisePrior, batch: int, generator: torch.Generator, past=PastNoise()) -> Batch:  # noqa: B008
    """Training data, drawn anew: y (B, 1, H, W), c (B, M, H, W), x (B, 1, H, W) and sigma (B, 1, 1, 1)."""
    c, x = world.draw(batch, generator)
    sigma = noise.draw(batch, generator)
    y = corrupt(x, sigma, noise.corruption, generator)
    return y, past.put_on(c, generator), x, sigma
