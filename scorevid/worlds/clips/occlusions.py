r"""Where one thing comes to cover another, estimated from optical flow between the last frame and the next.

Let f be the flow from the last frame to the next, b the flow back, each the median over 5 × 5 pixels of what was found.
Every pixel q of the last frame is sent to q + f(q) and shared among the four pixels around, bilinearly; what arrives at p
is its *coverage*

.. math:: C_f(p) = \sum_q \Lambda\big(p - q - f(q)\big) , \qquad \Lambda(x, y) = (1 - |x|)_+ \, (1 - |y|)_+ ,

1 wherever the motion is smooth and keeps areas. The cases (range maps, as in unsupervised learning of flow; Wang et al.
2018):

*disoccluded*
    pixels of the next frame with :math:`C_f < ½`: nothing in the last frame has come there.
*entered*
    the same, where b points out of the frame: the camera has turned, or something has come in.
*occluded*
    pixels of the last frame with :math:`C_b < ½`: nothing in the next frame has come from there.
*occluding*
    pixels of the next frame that cover these: occluded pixels carried on by the motion of what they belong to.

In flat regions flow is a matter of chance, and occlusion makes no difference there: pixels of less contrast than 0.03, root
mean square over 9 × 9 pixels in either frame, count as none of these. Who is in front shows in f as far as its jumps lie on
contours of what is in front. With DIS, on textures that move past one another by 2 to 4 pixels, nine in ten estimated pixels
lie within 2 pixels of true ones, and the reverse. It sees less of motion below a pixel and of motion much faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scorevid import checks
from scorevid.worlds.clips.flow import Flow, optical_flow, pixel_grid

WINDOW = 2  # pixels about each over which the median of the flow is taken
AROUND, CONTRAST = 4, 0.03  # pixels about each over which contrast is taken, the least of it in grey units
LEAST = 0.25  # coverage by occluded pixels from which on a pixel counts as occluding


@dataclass(frozen=True)
class Occlusions:
    """What became visible and what was covered between two frames; see the module.

    flow: (B, 2, H, W) as (x, y) in pixels, from each pixel of the next frame to where it was in the last one.
    disoccluded, entered, occluding: (B, H, W) bool, pixels of the next frame. occluded: (B, H, W) bool, pixels of the
    last.
    """

    flow: Tensor
    disoccluded: Tensor
    entered: Tensor
    occluding: Tensor
    occluded: Tensor

    def near(self, pixels: int = 2) -> Tensor:
        """Pixels of the next frame at most so many rows and columns from an occluding or disoccluded one, (B, H, W) bool.

        Those within the same distance of the border are left out: what happens there depends on what is beyond.
        """
        checks.integer("pixels", pixels, 0)
        grown = dilate(self.disoccluded | self.occluding, pixels)
        height, width = grown.shape[1:]
        inside = grown[:, pixels : height - pixels, pixels : width - pixels]
        return functional.pad(inside, [pixels] * 4)


def estimate_occlusions(last: Tensor, following: Tensor, flow: Flow = "dis") -> Occlusions:
    """Optical flow and occlusions from the last frames to the next ones.

    last, following: (B, 1, H, W), greys in [0, 1], 16 pixels and more each way. Flow and errors are as in
    :func:`scorevid.worlds.clips.flow.optical_flow`.
    """
    back, forth = _median(optical_flow(following, last, flow)), _median(optical_flow(last, following, flow))
    structured = torch.maximum(*(local_contrast(x, AROUND) for x in (following, last))) >= CONTRAST
    uncovered, outside = (coverage(forth) < 0.5) & structured, _outside(back)
    occluded = (coverage(back) < 0.5) & ~_outside(forth)
    carried = coverage(forth, occluded.to(forth)) > LEAST
    return Occlusions(
        flow=back,
        disoccluded=uncovered & ~outside,
        entered=uncovered & outside,
        occluding=carried & structured & ~uncovered,
        occluded=occluded & structured,
    )


def coverage(flow: Tensor, weight: Tensor | None = None) -> Tensor:
    """C at each pixel, (B, H, W): how much of another frame's pixels arrives there.

    flow: (B, 2, H, W) as (x, y) in pixels, by which the other frame's pixels move. weight: (B, H, W) of these, 1 unless
    given. What leaves the frame is lost.
    """
    batch, _, height, width = flow.shape
    arrival = flow + pixel_grid(flow)
    corner = arrival.floor()
    weight = torch.ones_like(flow[:, 0]) if weight is None else weight
    total = flow.new_zeros(batch, height * width)
    for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        x, y = (corner + torch.tensor(step).to(corner)[:, None, None]).unbind(1)
        share = (1 - (arrival[:, 0] - x).abs()) * (1 - (arrival[:, 1] - y).abs())
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        index = y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
        total.scatter_add_(1, index.flatten(1), (share * weight * inside).flatten(1))
    return total.view(batch, height, width)


def _outside(flow: Tensor) -> Tensor:
    """Whether the flow points out of the frame, by more than half a pixel, (B, H, W) bool."""
    x, y = (flow + pixel_grid(flow)).unbind(1)
    height, width = flow.shape[2:]
    return (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)


def _median(flow: Tensor) -> Tensor:
    """The flow's median over the window about each pixel, (B, 2, H, W)."""
    size = 2 * WINDOW + 1
    padded = functional.pad(flow, [WINDOW] * 4, mode="replicate")
    return padded.unfold(2, size, 1).unfold(3, size, 1).flatten(4).median(4).values


def local_contrast(frames: Tensor, pixels: int) -> Tensor:
    """Standard deviation of the greys over so many pixels about each, (B, H, W). frames: (B, 1, H, W)."""
    padded = functional.pad(frames, [pixels] * 4, mode="reflect")
    mean, square = (functional.avg_pool2d(v, 2 * pixels + 1, 1)[:, 0] for v in (padded, padded.square()))
    return (square - mean.square()).clamp_min(0).sqrt()


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """The mask with a border of so many pixels more, (B, H, W) bool."""
    return functional.max_pool2d(mask[:, None].float(), 2 * pixels + 1, 1, padding=pixels)[:, 0] > 0
