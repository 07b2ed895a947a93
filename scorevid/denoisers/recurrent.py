r"""A past of any length, carried along in a state: the other way to remember.

The :class:`~scorevid.denoisers.unet.UNet` sees all past frames at once, each in a channel of its own. Here they are taken in
one after the other, oldest first. A state h of some channels starts from zero and meets each frame in turn,

.. math:: h \leftarrow \mathrm{ReLU}( A c_j + B h ), \qquad f(y, c) = \mathrm{UNet}(y, h) ,

with 3 × 3 convolutions A and B, and a normalisation that only scales after A. The same A and B serve for every frame, as the
gains of a Kalman filter do once they have settled (:mod:`scorevid.denoisers.wiener`). B moves the state along with the
video, a pixel a frame at the most for each of its layers.

Nothing is added anywhere. In evaluation mode f is therefore homogeneous of degree one, jointly in both arguments, and by
Euler's theorem exactly locally linear, :math:`f(y, c) = J_y\, y + J_c\, c`. A frame of zeros leaves a state of zero as it is.
So older frames that are zero are the same as no frames at all, and training on such frames (``forget`` of
:class:`~scorevid.noise.prior.PastNoise`) is training on a shorter past. The number of parameters is the same for each memory.

The paper has no such network; recurrence, state and its start are our choice. The ReLU keeps B from turning the state over,
and B starts from a part of the identity, as Le, Jaitly and Hinton (2015, arXiv 1504.00941) have it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scorevid import checks
from scorevid.denoisers.unet import ScaledConv, UNet

KEPT = 0.8  # of the state from one frame to the next, at the start of training


class Recurrent(nn.Module):
    """f(y, c) = UNet(y, h(c)): blind to σ, with a state h along the past. The state has as many channels as the finest scale.

    memory: number M of past frames it is trained with, at least 1; it takes any number of them. widths: of the
    :class:`~scorevid.denoisers.unet.UNet`, which also says what sizes of frames fit. Raises ValueError for other values.
    """

    needs_sigma = False

    def __init__(self, memory: int = 2, widths: Sequence[int] = (32, 64, 128)):
        super().__init__()
        checks.integer("memory", memory)
        self.memory, self.widths = memory, tuple(widths)
        channels = self.widths[0]
        self.backbone = UNet(channels, self.widths)
        self.look = ScaledConv(1, channels)
        self.carry = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        with torch.no_grad():
            nn.init.dirac_(self.carry.weight).mul_(KEPT)

    @property
    def config(self) -> dict:
        """Arguments that build this network again."""
        return {"type": "Recurrent", "memory": self.memory, "widths": list(self.widths)}

    def state(self, c: Tensor) -> Tensor:
        """What is remembered of past frames (B, m, H, W), oldest first, for any m ≥ 1: (B, channels, H, W)."""
        seen = self.look(c.flatten(0, 1)[:, None].to(self.carry.weight.dtype)).unflatten(0, c.shape[:2])
        h = F.relu(seen[:, 0])
        for frame in seen.unbind(1)[1:]:
            h = F.relu(frame + self.carry(h))
        return h

    def forward(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """y (B, 1, H, W) and c (B, m, H, W) in grey levels, m ≥ 1; returns (B, 1, H, W). sigma is ignored."""
        checks.noisy_and_past(y, c)
        return self.backbone(y, self.state(c))

    def squared_error(self, y: Tensor, c: Tensor, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """The training loss: mean square of f(y, c) − x over frames and pixels."""
        return (self(y, c) - x).square().mean()
