r"""What the worlds of complex motion draw with: random numbers, swings of a known period, scenes that fulfil a condition.

A swing :math:`s_t = m + A \sin(\omega t + \phi)` of known :math:`\omega = 2\pi / \text{period}` has three unknowns. So three
values determine the next one,

.. math:: s_{t+1} = s_{t-2} + (1 + 2 \cos \omega)(s_t - s_{t-1}) ,

and it stays within its bounds however long it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import TypeVar

import torch
from torch import Tensor

Scenes = TypeVar("Scenes")  # a dataclass of tensors whose first axis is the scene

ROUNDS = 200  #: of drawing scenes without any that is wanted, after which these count as too rare


def uniform(generator: torch.Generator, shape, low: float, high: float) -> Tensor:
    """Uniform over [low, high), on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def direction(generator: torch.Generator, shape) -> Tensor:
    """Unit vectors (x, y) of uniform direction, (…, 2)."""
    angle = uniform(generator, shape, 0, 2 * math.pi)
    return torch.stack([angle.cos(), angle.sin()], -1)


def grey_levels(generator: torch.Generator, shape, contrast: float) -> Tensor:
    """Uniform over the grey levels in [0, 1] that differ from 0.5 by ``contrast`` or more, as often darker as lighter."""
    u = uniform(generator, shape, -1, 1)
    return 0.5 + torch.where(u < 0, -1.0, 1.0) * (contrast + (0.5 - contrast) * u.abs())


def choice(generator: torch.Generator, probabilities: Tensor) -> Tensor:
    """Index of one of the K entries of the last axis, drawn with its probability, (…). probabilities: (…, K), sum one."""
    flat = probabilities.flatten(0, -2)
    return torch.multinomial(flat, 1, generator=generator).view(probabilities.shape[:-1])


def swing(times: Tensor, amplitude: Tensor, phase: Tensor, period: float) -> Tensor:
    """A sin(2π t / period + φ). amplitude, phase: (…). times: (T,) in frames. Returns (…, T)."""
    return amplitude[..., None] * (2 * math.pi / period * times + phase[..., None]).sin()


def take(state: Scenes, index) -> Scenes:
    """The scenes of these indices."""
    return replace(
        state, **{f.name: v[index] for f in fields(state) if isinstance(v := getattr(state, f.name), Tensor)}
    )


def parts(n: int, most: int = 64) -> list[slice]:
    """n scenes in parts of at most so many, for what takes much memory."""
    return [slice(k, min(k + most, n)) for k in range(0, n, most)]


def collect(n: int, draw: Callable[[], Scenes], wanted: str) -> Scenes:
    """n scenes, from rounds of ``draw`` that each return those that fulfil a condition, maybe none.

    wanted: what the scenes are, for the ValueError that is raised where :data:`ROUNDS` rounds in a row bring none.
    """
    found: list[Scenes] = []
    missing, barren = n, 0
    while missing > 0:
        state = draw()
        tensors = {f.name: v for f in fields(state) if isinstance(v := getattr(state, f.name), Tensor)}
        some = len(next(iter(tensors.values())))
        found += [state] if some else []
        missing, barren = missing - some, 0 if some else barren + 1
        if barren == ROUNDS:
            raise ValueError(f"{missing} of {n} scenes were not found: {wanted}")
    return replace(state, **{name: torch.cat([getattr(each, name) for each in found])[:n] for name in tensors})
