"""Predictions of the next frame that commit to one answer: what sampling is compared with.

They take the same arguments as any denoiser, f(y, c, sigma=None), and look at the past alone, c (B, M, H, W) with greys in
[0, 1]; y may be None. They return (B, 1, H, W). ``motion`` and ``phase_advance`` need packages of the extra ``baselines``. A
trained regression is :class:`scorevid.denoisers.conditioned.Regression`, the mean of the true law
:meth:`scorevid.worlds.futures.Futures.mean`.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.worlds.clips.flow import LEAST_SIZE, Flow, optical_flow, warp

ORIENTATIONS = 4  # bands of each scale of the pyramid


def copy(y: Tensor | None, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
    """The last frame, (B, 1, H, W). Raises ValueError for a c that holds no frames."""
    _check(c, 1)
    return c[:, -1:].clone()


def extrapolate(y: Tensor | None, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
    """2 c_M − c_{M−1}, cut to [0, 1]: each pixel continues its last change, (B, 1, H, W). Raises ValueError for M < 2."""
    _check(c, 2)
    return (2 * c[:, -1:] - c[:, -2:-1]).clamp(0, 1)


def motion(y: Tensor | None, c: Tensor, sigma: float | Tensor | None = None, *, flow: Flow = "dis") -> Tensor:
    r"""The last frame moved on by the optical flow between the last two (:mod:`scorevid.worlds.clips.flow`), (B, 1, H, W).

    The flow v, as it reads at the pixels of the last frame, is taken to continue, :math:`\hat x(p) = c_M(p - v(p))`, with v,
    as usual, read where it lands. Beyond the border the frame's edge is repeated. c: M ≥ 2 frames of 16 pixels and more.
    Raises ValueError for other frames and for an unknown flow, ModuleNotFoundError without the packages.
    """
    _check(c, 2, LEAST_SIZE)
    # the flow from the last frame back to the one before says where each pixel of the last one came from
    return warp(c[:, -1:], optical_flow(c[:, -1:], c[:, -2:-1], flow))


def phase_advance(y: Tensor | None, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
    """The last frame with the phases of its steerable pyramid advanced as they advanced before, (B, 1, H, W).

    Each complex coefficient (of pyrtools) keeps its amplitude, and its phase advances by as much as it did between the two
    last frames. The baseline of Fiquet and Simoncelli (2023) for one step of prediction; pyramid and number of orientations
    are our choice. The high-pass and low-pass remainders have no phase and are extrapolated linearly; for the pyramid an odd
    row or column is repeated. c: M ≥ 2 frames of 16 pixels and more. Raises ValueError for other frames, ModuleNotFoundError
    without the package.
    """
    _check(c, 2, LEAST_SIZE)
    height, width = c.shape[2:]
    even = functional.pad(c[:, -2:], (0, width % 2, 0, height % 2), mode="replicate")  # as the pyramid needs it
    pyramids = checks.installed("pyrtools", "baselines").pyramids.SteerablePyramidFreq
    frames = []
    for pair in even.detach().double().cpu().numpy():
        before, last = (pyramids(x, order=ORIENTATIONS - 1, is_complex=True) for x in pair)
        for key, now in last.pyr_coeffs.items():
            last.pyr_coeffs[key] = _advance(before.pyr_coeffs[key], now)
        frames.append(last.recon_pyr())
    return torch.from_numpy(np.stack(frames))[:, None, :height, :width].to(c).clamp(0, 1)


#: the five classical methods by name: denoisers that use the past only
#:
#: :meta hide-value:
CLASSICAL: dict[str, AnyDenoiser] = {
    "copy": copy,
    "extrapolation": extrapolate,
    "DIS flow": partial(motion, flow="dis"),
    "TV-L1 flow": partial(motion, flow="tvl1"),
    "phase advance": phase_advance,
}


def _advance(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """What follows two coefficients: amplitude of the last, its phase advanced once more; without a phase, the line."""
    if not np.iscomplexobj(now):
        return 2 * now - before
    turn = now * before.conj()
    size = np.abs(turn)
    return now * np.divide(turn, size, out=np.ones_like(turn), where=size > 1e-12)


def _check(c: Tensor, memory: int, least: int = 1) -> None:
    checks.frames("c", c, finite=True, least=least)
    if len(c) == 0 or c.shape[1] < memory:
        raise ValueError(f"c must be one scene or more, of {memory} past frames or more, got {tuple(c.shape)}")
