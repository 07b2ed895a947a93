"""Dense optical flow between two frames, and frames carried along it.

The flow is OpenCV's DIS (Kroeger et al. 2016) or scikit-image's TV-L1 (Zach et al. 2007; Wedel et al. 2009), from packages
of the extra ``baselines``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scorevid import checks

ENLARGED = 4  # DIS looks at patches of 8 pixels: small frames are enlarged for it
LEAST_SIZE = 16  # pixels: a pyramid and patches want some
Flow = Literal["dis", "tvl1"]


def optical_flow(a: Tensor, b: Tensor, flow: Flow = "dis") -> Tensor:
    """Dense optical flow from a to b, (B, 2, H, W) as (x, y) in pixels: what is at p in a is at p + flow(p) in b.

    a, b: (B, 1, H, W) frames of 16 pixels and more, greys in [0, 1]. Raises ValueError for other frames and for an unknown
    flow, ModuleNotFoundError without the packages.
    """
    checks.one_of("flow", flow, _FLOWS)
    checks.frames("a", a, 1, finite=True, least=LEAST_SIZE)
    checks.frames("b", b, 1, batch=len(a), size=tuple(a.shape[2:]), finite=True)
    find = _FLOWS[flow]()
    frames = torch.cat([a, b], 1).detach().double().cpu().numpy()
    return torch.from_numpy(np.stack([find(*pair) for pair in frames]).astype(np.float64)).to(a)


def warp(frame: Tensor, offset: Tensor) -> Tensor:
    """frame (B, C, H, W) read at p + offset(p), bilinear; offset (B, 2, H, W) as (x, y) in pixels.

    Beyond the border the frame's edge is repeated.
    """
    height, width = frame.shape[2:]
    x, y = (pixel_grid(offset) + offset).unbind(1)
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], 3)
    return functional.grid_sample(frame, grid, padding_mode="border", align_corners=True)


def pixel_grid(flow: Tensor) -> Tensor:
    """Where the pixels of a frame are that has this flow, (2, H, W) as (x, y)."""
    rows, columns = (torch.arange(n).to(flow) for n in flow.shape[2:])
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"))


def _dis():
    cv2 = checks.installed("cv2", "baselines")
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
    registration = checks.installed("skimage.registration", "baselines")

    def find(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """From a to b, (2, H, W) as (x, y) in pixels."""
        return registration.optical_flow_tvl1(a, b)[::-1]  # scikit-image has (row, column)

    return find


_FLOWS = {"dis": _dis, "tvl1": _tvl1}
