"""Places in natural video where evidence of different kind is to be had, as pixels (row, column).

What is known exactly for moving leaves (:mod:`scorevid.worlds.leaves.probes`) is estimated here, from the next frame and from
optical flow between it and the last past frame. In each frame one pixel of each kind is taken, the one that is most of
its kind, and none where nothing is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from scorevid.worlds.clips.occlusions import dilate, local_contrast

#: Kinds of places, and what makes a pixel the most of its kind.
PROBES = {
    "flat": "the least contrast, where nothing moves",
    "still edge": "the most contrast, where nothing moves",
    "moving edge": "the most contrast, where something moves that is seen in both frames",
    "occluding": "where something has come to cover what was seen before: most in the middle of such a region",
    "disoccluded": "where something is seen that was covered before, likewise",
}
STILL, MOVING = 0.25, 0.75  # pixels a frame: at most, and at least
EDGE = 0.04  # grey units: the least contrast of an edge, root mean square over 5 × 5 pixels
MARGIN = 8  # pixels from the border: what came in there no past frame shows


def probe_pixels(x: Tensor, flow: Tensor, occluding: Tensor, disoccluded: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """For each of ``PROBES`` one pixel a frame, (B, 2) integers (row, column), and whether there is one, (B,) bool.

    x: (B, 1, H, W) next frames, greys. flow: (B, 2, H, W) as (x, y) in pixels, from each pixel of x to where it was in the
    last frame. occluding, disoccluded: (B, H, W) bool. Raises ValueError for shapes that do not fit and for frames of 16
    pixels and less. Where there is none, the pixel is the middle of the frame.
    """
    size = x.shape[-2:]
    shapes = [tuple(v.shape) for v in (x, flow, occluding, disoccluded)]
    due = [(len(x), 1, *size), (len(x), 2, *size), (len(x), *size), (len(x), *size)]
    if shapes != due or min(size) <= 2 * MARGIN:
        raise ValueError(f"x, flow and two masks of one size above {2 * MARGIN} pixels are due, got {shapes}")
    contrast = local_contrast(x, 2)
    speed = flow.norm(dim=1)
    seen = ~dilate(occluding | disoccluded, 2)
    still, moving = (speed <= STILL) & seen, (speed >= MOVING) & seen
    edge = contrast >= EDGE
    scores = {
        "flat": (1 - contrast).masked_fill(~still, 0),
        "still edge": contrast.masked_fill(~(still & edge), 0),
        "moving edge": contrast.masked_fill(~(moving & edge), 0),
        "occluding": _depth(occluding) + 1e-3 * contrast * occluding,
        "disoccluded": _depth(disoccluded) + 1e-3 * contrast * disoccluded,
    }
    inside = torch.zeros(size, dtype=torch.bool, device=x.device)
    inside[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    found = {}
    for kind, score in scores.items():
        best, at = score.masked_fill(~inside, 0).flatten(1).max(1)
        at = at.where(best > 0, size[0] // 2 * size[1] + size[1] // 2)
        found[kind] = torch.stack([at // size[1], at % size[1]], 1), best > 0
    return found


def _depth(mask: Tensor) -> Tensor:
    """Share of a pixel's 5 × 5 neighbours that are in the mask with it, 0 outside of it, (B, H, W)."""
    share = functional.avg_pool2d(mask[:, None].float(), 5, 1, padding=2)[:, 0]
    return share * mask
