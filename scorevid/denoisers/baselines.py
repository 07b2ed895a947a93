r"""Predictions of the next frame that commit to one answer: what sampling is compared with.

:func:`copy`
    the last frame again.
:func:`extrapolate`
    each pixel goes on as it went: :math:`2 c_M - c_{M-1}`, cut to [0, 1].
:func:`motion`
    the last frame moved on by a dense optical flow. The flow v is found between the two last frames, as it reads at the
    pixels of the last one, and is taken to go on, :math:`\hat x(p) = c_M(p - v(p))`, with v, as usual, read where it
    lands. The flow is OpenCV's DIS (Kroeger et al. 2016) or scikit-image's TV-L1 (Zach et al. 2007; Wedel et al. 2009).
:func:`phase_advance`
    in a complex steerable pyramid (pyrtools) each coefficient keeps its amplitude and turns on by the phase it turned
    between the two last frames. The baseline of Fiquet and Simoncelli (2023) for one step of prediction; pyramid and
    number of orientations are our choice.

All are functions c (B, M, H, W) -> (B, 1, H, W), greys in [0, 1]. ``motion`` and ``phase_advance`` need packages of the
extra ``baselines`` and say so. A trained regression is :class:`scorevid.denoisers.conditioned.Regression`, the mean of the true law
:meth:`scorevid.worlds.futures.Futures.mean`.
"""

from __future__ import annotations

import importlib
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

ENLARGED = 4  # DIS looks at patches of 8 pixels: small frames are enlarged for it
LEAST_SIZE = 16  # pixels: a pyramid and patches want some
Flow = Literal["dis", "tvl1"]


def copy(c: Tensor) -> Tensor:
    """The last frame, (B, 1, H, W). c: (B, M, H, W)."""
    return _checked(c, 1)[:, -1:].clone()


def extrapolate(c: Tensor) -> Tensor:
    """The line through the last two frames, pixel by pixel, (B, 1, H, W). c: (B, M, H, W), M ≥ 2."""
    c = _checked(c, 2)
    return (2 * c[:, -1:] - c[:, -2:-1]).clamp(0, 1)


def motion(c: Tensor, flow: Flow = "dis") -> Tensor:
    """The last frame moved on by the optical flow between the last two, (B, 1, H, W).

    c: (B, M, H, W), M ≥ 2, frames of 16 pixels and more. Beyond the border the frame's edge is repeated. Raises
    ValueError for other shapes and for an unknown flow, ImportError without the packages.
    """
    _check_flow(flow)
    c = _checked(c, 2, LEAST_SIZE)
    # the flow from the last frame back to the one before says where each pixel of the last one came from
    return warp(c[:, -1:], optical_flow(c[:, -1:], c[:, -2:-1], flow))


def optical_flow(a: Tensor, b: Tensor, flow: Flow = "dis") -> Tensor:
    """Dense optical flow from a to b, (B, 2, H, W) as (x, y) in pixels: what is at p in a is at p + flow(p) in b.

    a, b: (B, 1, H, W) frames of 16 pixels and more, greys in [0, 1]. Raises as :func:`motion` does.
    """
    _check_flow(flow)
    if a.shape != b.shape or a.shape[1:2] != (1,):
        raise ValueError(f"two frames (B, 1, H, W) of one size are due, got {tuple(a.shape)} and {tuple(b.shape)}")
    find = _FLOWS[flow]()
    frames = _checked(torch.cat([a, b], 1), 2, LEAST_SIZE).detach().double().cpu().numpy()
    return torch.from_numpy(np.stack([find(*pair) for pair in frames]).astype(np.float64)).to(a)


def phase_advance(c: Tensor, orientations: int = 4) -> Tensor:
    """The last frame with the phases of its pyramid turned on as they turned before, (B, 1, H, W).

    c: (B, M, H, W), M ≥ 2, frames of 16 pixels and more. orientations: bands of each scale, 2 to 16. The high-pass and
    low-pass remainders have no phase and are extrapolated linearly; for the pyramid an odd row or column is doubled.
    Raises ValueError for other shapes, ImportError without the package.
    """
    if isinstance(orientations, bool) or not isinstance(orientations, int) or not 2 <= orientations <= 16:
        raise ValueError(f"orientations must be an integer in [2, 16], got {orientations!r}")
    c = _checked(c, 2, LEAST_SIZE)
    height, width = c.shape[2:]
    even = functional.pad(c[:, -2:], (0, width % 2, 0, height % 2), mode="replicate")  # as the pyramid needs it
    pyramids = _package("pyrtools", "pyrtools").pyramids.SteerablePyramidFreq
    frames = []
    for pair in even.detach().double().cpu().numpy():
        before, last = (pyramids(x, order=orientations - 1, is_complex=True) for x in pair)
        for key, now in last.pyr_coeffs.items():
            last.pyr_coeffs[key] = _advance(before.pyr_coeffs[key], now)
        frames.append(last.recon_pyr())
    return torch.from_numpy(np.stack(frames))[:, None, :height, :width].to(c).clamp(0, 1)


def _advance(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """What follows two coefficients: amplitude of the last, its phase turned on once more; without a phase, the line."""
    if not np.iscomplexobj(now):
        return 2 * now - before
    turn = now * before.conj()
    size = np.abs(turn)
    return now * np.divide(turn, size, out=np.ones_like(turn), where=size > 1e-12)


def _dis():
    cv2 = _package("cv2", "opencv-python-headless")
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finder.setFinestScale(0)

    def find(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """From a to b, (2, H, W) as (x, y) in pixels."""
        height, width = a.shape
        k = ENLARGED if min(a.shape) < 128 else 1
        a, b = (cv2.resize(v, (width * k, height * k), interpolation=cv2.INTER_CUBIC) for v in (a, b))
        a, b = ((v.clip(0, 1) * 255).round().astype(np.uint8) for v in (a, b))
        found = finder.calc(a, b, None)
        return cv2.resize(found, (width, height), interpolation=cv2.INTER_AREA).transpose(2, 0, 1) / k

    return find


def _tvl1():
    registration = _package("skimage.registration", "scikit-image")

    def find(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """From a to b, (2, H, W) as (x, y) in pixels."""
        return registration.optical_flow_tvl1(a, b)[::-1]  # scikit-image has (row, column)

    return find


_FLOWS = {"dis": _dis, "tvl1": _tvl1}


def warp(frame: Tensor, offset: Tensor) -> Tensor:
    """frame (B, C, H, W) read at p + offset(p), bilinear; offset (B, 2, H, W) as (x, y) in pixels.

    Beyond the border the frame's edge is repeated.
    """
    height, width = frame.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(height).to(frame), torch.arange(width).to(frame), indexing="ij")
    x = 2 * (columns + offset[:, 0]) / (width - 1) - 1
    y = 2 * (rows + offset[:, 1]) / (height - 1) - 1
    return functional.grid_sample(frame, torch.stack([x, y], 3), padding_mode="border", align_corners=True)


def _check_flow(flow: str) -> None:
    if flow not in _FLOWS:
        raise ValueError(f"flow must be one of {', '.join(_FLOWS)}, got {flow!r}")


def _package(module: str, name: str):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"this baseline takes {name}: install scorevid[baselines]") from error


def _checked(c: Tensor, memory: int, size: int = 1) -> Tensor:
    if not isinstance(c, Tensor) or c.ndim != 4 or not c.is_floating_point() or 0 in c.shape:
        raise ValueError(f"c must be floating-point frames (B, M, H, W), got {getattr(c, 'shape', type(c).__name__)}")
    if c.shape[1] < memory:
        raise ValueError(f"this baseline takes {memory} past frames or more, got {c.shape[1]}")
    if min(c.shape[2:]) < size:
        raise ValueError(f"this baseline takes frames of {size} pixels or more, got {tuple(c.shape[2:])}")
    if not c.isfinite().all():
        raise ValueError("c must be finite, got NaN or infinite values")
    return c
