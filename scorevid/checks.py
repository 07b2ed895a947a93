"""Checks of arguments, made before any work: a ValueError names the argument, its value and what is expected."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

LARGEST = 2**63 - 1  # of the integers that torch takes


def integer(name: str, value: object, least: int = 1, most: int = LARGEST) -> None:
    """An integer, no bool, of at least so much, and at most."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        what = "a positive integer" if least == 1 else f"an integer of {least} or more"
        what += f", {most:,} at most" if most != LARGEST or (whole and value > most) else ""
        raise ValueError(f"{name} must be {what}, got {value!r}")


def number(
    name: str, value: object, low: float = -math.inf, high: float = math.inf, *, above: float | None = None
) -> None:
    """A finite number in [low, high], and greater than ``above`` where that is given."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    if above is not None:
        if not above < value <= high:
            raise ValueError(f"{name} must lie in ({above:g}, {high:g}], got {value!r}")
    elif not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {value!r}")


def extent(name: str, value: object, least: float = -math.inf, most: float = math.inf) -> None:
    """A range, two finite numbers (least, most) in order, both in [least, most]."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"{name} must be a range (least, most), got {value!r}")
    for word, end in zip(("least", "most"), value, strict=True):
        number(f"the {word} of {name}", end, least, most)
    if value[0] > value[1]:
        raise ValueError(f"{name} must be a range (least, most) with least <= most, got {value!r}")


def counts(name: str, values) -> np.ndarray:
    """Whole numbers of 0 or more, returned as an array of integers."""
    values = np.asarray(values)
    if not ((values >= 0) & (values == np.floor(values))).all():
        raise ValueError(f"{name} must be non-negative integers, got {values}")
    return values.astype(int)


def counts_and_law(chosen, probabilities) -> tuple[np.ndarray, np.ndarray]:
    """How often each of K futures was chosen, and the true law, (B, K) both; the law is returned with sum one."""
    n, w = counts("counts", chosen), np.asarray(probabilities, dtype=float)
    if n.ndim != 2 or n.shape != w.shape or 0 in n.shape:
        raise ValueError(f"counts and probabilities must be (B, K), got {n.shape} and {w.shape}")
    total = w.sum(1, keepdims=True)
    if not ((w >= 0).all() and np.allclose(total, 1, atol=1e-4)):
        raise ValueError("the probabilities of each scene must be non-negative and sum to one")
    return n, w / total


def one_of(name: str, value: object, known: Iterable[str]) -> None:
    """One of these words."""
    if value not in (known := list(known)):
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def frames(
    name: str,
    x: object,
    channels: int | None = None,
    *,
    batch: int | None = None,
    size=None,
    finite=False,
    least: int = 1,
    axes: str = "BCHW",
) -> None:
    """Floating-point frames (B, C, H, W), none of them empty; of so many channels, examples, and of size (H, W), if given.

    least: pixels of height and width, at the least.
    """
    asked = (batch, channels, *(size or (None, None)))
    expected = f"({', '.join(letter if n is None else str(n) for letter, n in zip(axes, asked, strict=True))})"
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} must be a tensor {expected}, got {type(x).__name__}")
    if x.ndim != 4 or any(n is not None and m != n for m, n in zip(x.shape, asked, strict=True)):
        raise ValueError(f"{name} must be {expected}, got {tuple(x.shape)}")
    if min(x.shape[2:]) < least:
        raise ValueError(f"{name} must be frames of {least} pixels or more each way, got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"{name} must be floating-point grey levels in [0, 1], got {x.dtype}")
    if finite and not x.isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinite values")


def multiples(step: int, x: Tensor) -> None:
    """Frames (…, H, W) whose height and width are multiples of a step."""
    if x.shape[-2] % step or x.shape[-1] % step:
        raise ValueError(f"height and width must be multiples of {step}, got {tuple(x.shape[-2:])}")


def widths(values: Iterable[int]) -> None:
    """Channels of a network at each scale."""
    if not values or min(values) < 1 or max(values) > 10**6:
        raise ValueError(
            f"widths must be positive integers, one for each scale, 1,000,000 at most, got {tuple(values)}"
        )


def noisy_and_past(y: Tensor, c: Tensor, memory: int | None = None) -> None:
    """y (B, 1, H, W) and c (B, M, H, W), floating-point, of one batch and size; M the memory if given."""
    frames("y", y, 1)
    frames("c", c, memory, batch=len(y), size=tuple(y.shape[2:]))


def levels(sigma: float | Tensor | None, like: Tensor) -> Tensor:
    """σ as (1, 1, 1, 1) or (B, 1, 1, 1), of dtype and device of frames ``like`` (B, …).

    sigma: a number, (B,) or (B, 1, 1, 1), positive and finite.
    """
    if sigma is None:
        raise ValueError("sigma must be given, as this denoiser needs the noise level, got None")
    level = torch.as_tensor(sigma, dtype=like.dtype)  # checked where it is: a number must not make a GPU wait
    if (
        level.ndim not in (0, 1, 4)
        or level.numel() not in (1, len(like))
        or level.numel() != max(level.shape, default=1)
    ):
        raise ValueError(f"sigma must be a number, ({len(like)},) or ({len(like)}, 1, 1, 1), got {tuple(level.shape)}")
    if not ((level > 0) & level.isfinite()).all():
        raise ValueError(f"sigma must be positive and finite, got {level.flatten().tolist()}")
    return level.reshape(-1, 1, 1, 1).to(like.device)


def ladder_ends(sigma_0: float, sigma_L: float) -> None:
    """0 < σ_L < σ_0 < ∞."""
    if not 0 < sigma_L < sigma_0 < math.inf:
        raise ValueError(f"sigma_L and sigma_0 must fulfil 0 < sigma_L < sigma_0, got {sigma_L} and {sigma_0}")


def samples(x_hat: Tensor, futures, least: int = 1, *, finite: bool = False) -> None:
    """x_hat (B, S, H, W), floating-point, S >= least, for the B scenes of futures with frames (B, K, H, W)."""
    frames("x_hat", x_hat, batch=len(futures), size=tuple(futures.frames.shape[2:]), axes="BSHW")
    if x_hat.shape[1] < least:
        raise ValueError(f"x_hat must hold {least} samples a scene or more, got {x_hat.shape[1]}")
    if finite and (lost := int((~x_hat.isfinite()).flatten(2).any(2).sum())):
        raise ValueError(f"x_hat must be finite, {lost} of {x_hat.shape[0] * x_hat.shape[1]} samples are not")


def every(expected: str, good: Tensor) -> None:
    """What must be so in each of B scenes, (B,) bool."""
    if wrong := int((~good).sum()):
        raise ValueError(f"{expected}, {wrong} of {len(good)} do not")


def same_device(generator: object, x: Tensor) -> None:
    """A ``torch.Generator`` on the kind of device that x is on."""
    if not isinstance(generator, torch.Generator) or generator.device.type != x.device.type:
        raise ValueError(f"generator must be a torch.Generator on {x.device}, got {generator!r}")


def evaluation_mode(f: object) -> None:
    """A network must be in evaluation mode: in training mode its output depends on the rest of the batch."""
    if getattr(f, "training", False):
        raise ValueError("the denoiser is in training mode, where it depends on the batch: call its eval() first")


def installed(module: str, extra: str) -> ModuleType:
    """A module that comes with an extra of this package. Raises ModuleNotFoundError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        message = f"{module} is needed here ({problem}): pip install 'scorevid[{extra}]'"
        raise ModuleNotFoundError(message, name=module) from problem
