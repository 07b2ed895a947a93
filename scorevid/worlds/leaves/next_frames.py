r"""Depth orders of moving leaves, and the exact law of their next frame.

The depth order of disks of radius r is Plackett–Luce: each disk draws the score :math:`\kappa \log r + \text{Gumbel}`,
and the highest is nearest. So

.. math:: P(i \text{ in front of } j) = \frac{1}{1 + (r_j / r_i)^{\kappa}} .

Everything but the depth order can be read off the past frames, and the order only where disks overlap. When two disks
are about to meet, the past leaves open which will cover the other, and p(x | c) is a finite set of futures with known
probabilities.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.scenes import Scene


def draw_depth(radius: Tensor, kappa: float, generator: torch.Generator) -> Tensor:
    """Depth ranks of disks, 0 the nearest, drawn by the Gumbel trick. radius: (B, n). Returns (B, n) long."""
    u = torch.rand(radius.shape, generator=generator, device=generator.device)
    score = kappa * radius.log() - u.clamp_min(1e-12).log().neg().log()
    return score.argsort(1, descending=True).argsort(1)


def futures(scene: Scene, tolerance: float = 1e-4) -> Futures:
    """All next frames that the past allows, with their exact probabilities, for scenes of up to six disks.

    Goes through all n! depth orders, drops those that contradict an overlap visible in the past, weights the rest by
    Plackett–Luce, and merges next frames whose greys differ by at most ``tolerance``. Futures are in the lexical order of
    the depth orders: of two undecided disks, the first future has disk 0 in front. K is the largest number in the batch.

    The probabilities are p(x | c) for scenes that are :func:`~scorevid.worlds.leaves.meetings.determined`.
    """
    n = scene.radius.shape[1]
    if n > 6:
        raise ValueError(f"all futures are listed for up to 6 disks, got {n}")
    orders = torch.tensor(list(permutations(range(n))), device=scene.radius.device)  # (n!, n), nearest first
    score = (scene.kappa * scene.radius.double().log())[:, orders]  # (B, n!, n)
    log_p = (score - score.flip(2).logcumsumexp(2).flip(2)).sum(2)  # each rank is a softmax over the disks left
    past = scene.past()
    found: list[tuple[Tensor, Tensor]] = []  # different frames (B, H, W), and log weights (B,), −∞ where not met
    for k, rank in enumerate(orders.argsort(1)):
        video = scene.replace(depth=rank.expand_as(scene.depth)).video()
        consistent = (video[:, :-1] - past).abs().amax((1, 2, 3)) <= tolerance
        weight, frame = log_p[:, k].masked_fill(~consistent, -torch.inf), video[:, -1]
        for i, (other, total) in enumerate(found):
            equal = ((frame - other).abs().amax((1, 2)) <= tolerance) & (total > -torch.inf)
            found[i] = other, torch.where(equal, torch.logaddexp(total, weight), total)
            weight = weight.masked_fill(equal, -torch.inf)
        if (weight > -torch.inf).any():
            found.append((frame, weight))
    frames, p = torch.stack([f for f, _ in found], 1), torch.stack([w for _, w in found], 1).softmax(1)
    most = int((p > 0).sum(1).max())
    first = (p > 0).to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
    chosen = frames.gather(1, first[:, :, None, None].expand(-1, -1, *frames.shape[2:]))
    return Futures(chosen, p.gather(1, first).to(frames.dtype))
