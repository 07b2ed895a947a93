r"""One network, several memories: to look at fewer past frames, and to make room for more.

A network with a memory of M frames is trained on pasts of which the older frames are zero in a share of the examples
(``forget`` of :class:`~scorevid.noise.prior.PastNoise`). Frames of a video are never all zero, so a zero frame says that it
is not there, and the least squared error is that of the best answer for each number m of frames that are. So one set of
weights is a denoiser for each memory m ≤ M (:class:`ShorterMemory`): alike in data, seed and updates, at the cost of one
training. It is still homogeneous, as zero times any factor is zero, so that its local linear weights remain exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorevid import checks
from scorevid.denoisers.conditioned import Network, build_network
from scorevid.denoisers.following import Following
from scorevid.denoisers.unet import UNet


class ShorterMemory:
    """A denoiser f of memory M as one of memory m: the older frames, which it then does not see, are zero.

    f: a network trained for it, and for m = 0 with its whole past masked at times (``mask`` of
    :class:`~scorevid.noise.prior.PastNoise`). memory: m. Raises ValueError for an m that is not in 0 ... M.
    """

    def __init__(self, f: Network, memory: int):
        checks.integer("memory", memory, 0, f.memory)
        self.f, self.memory, self.needs_sigma = f, memory, f.needs_sigma
        self.widths = getattr(f, "widths", (1,))  # which say what sizes of frames fit

    @property
    def training(self) -> bool:
        """Whether the network is in training mode, where it depends on the batch."""
        return self.f.training

    def __call__(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """y (B, 1, H, W), c (B, m, H, W), the latest frames in grey levels, oldest first; returns (B, 1, H, W)."""
        checks.noisy_and_past(y, c, self.memory)
        older = c.new_zeros(len(c), self.f.memory - self.memory, *c.shape[2:])
        return self.f(y, torch.cat([older, c], 1), sigma)


def with_longer_memory(network: Network, config: dict) -> Network:
    """The network of a configuration, with the weights of a U-Net of a shorter memory perhaps; of what is new they are zero.

    So it gives what ``network`` gives for the latest frames, whatever the older ones are, and whatever the frames are that a
    :class:`~scorevid.denoisers.following.Following` network moves on. The rest of that one has its initial weights. Raises
    ValueError for a network of another kind or of other widths, and for a longer memory than that of the configuration.
    """
    longer, own = build_network(config), network.config
    backbone = longer.backbone if isinstance(longer, Following) else longer
    if not isinstance(backbone, UNet) or {**backbone.config, "memory": 0} != {**own, "memory": 0}:
        raise ValueError(f"the network must be a UNet that differs in its memory alone, got {own} for {longer.config}")
    extra = longer.memory - network.memory
    if extra < 0:
        raise ValueError(f"the memory must be at least the network's {network.memory}, got {longer.memory}")
    weights = dict(network.state_dict())
    name = "encoder.0.0.conv.weight"  # (channels, M + 1, 3, 3): past frames, oldest first, those moved on, then y
    old = weights[name]
    none = old.new_zeros(len(old), backbone.memory - network.memory, *old.shape[2:])
    weights[name] = torch.cat([none[:, :extra], old[:, :-1], none[:, extra:], old[:, -1:]], 1)
    backbone.load_state_dict(weights)
    return longer.eval()
