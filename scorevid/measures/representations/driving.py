"""What drives a channel: the places in frames at which it answers most strongly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from scorevid import checks
from scorevid.measures.representations.activations import activation_maps

GREY = 0.5  #: of what lies outside of the frame


@dataclass(frozen=True)
class Driving:
    """The n places that drive a channel most, at most one a scene, the strongest first.

    scene: (n,) numbers of the scenes. row, column: (n,) in pixels of the frame. activation: (n,). patches: (n, M + 1, size,
    size) past frames and clean next frame about these places, grey outside of the frame.
    """

    scene: Tensor
    row: Tensor
    column: Tensor
    activation: Tensor
    patches: Tensor


def driving_patches(
    network: nn.Module,
    block: str,
    channel: int,
    c: Tensor,
    x: Tensor,
    sigma: float,
    *,
    generator: torch.Generator | None,
    n: int = 6,
    size: int = 16,
    batch: int = 32,
) -> Driving:
    """Where in B scenes a channel of a block answers most strongly.

    c (B, M, H, W), x (B, 1, H, W) clean next frames, to which noise of level sigma (grey units) is added before the network
    sees them; generator: of the noise, None for noisy x. n: places, B at most. size: of the patches, in pixels, even. Raises
    ValueError for shapes, names and numbers that do not fit.
    """
    checks.integer("n", n, most=len(x))
    checks.integer("size", size, 2)
    maps = activation_maps(network, block, c, x, sigma, generator=generator, batch=batch)
    checks.integer("channel", channel, 0, maps.shape[1] - 1)
    a = maps[:, channel]  # (B, h, w)
    strongest, at = a.flatten(1).max(1)
    order = strongest.topk(n).indices
    scale = x.shape[2] // a.shape[1]
    row, column = (scale * v[order] + scale // 2 for v in (at // a.shape[2], at % a.shape[2]))
    half = size // 2
    film = pad(torch.cat([c, x], 1), [half] * 4, value=GREY)
    patches = [film[k, :, i : i + size, j : j + size] for k, i, j in zip(order, row, column, strict=True)]
    return Driving(order, row, column, strongest[order], torch.stack(patches))
