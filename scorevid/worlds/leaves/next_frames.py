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
from scorevid.worlds.leaves.scenes import Scene, covers

MOST = 6  #: disks in a group that touch one another, whose orders are all gone through


def draw_depth(radius: Tensor, kappa: float, generator: torch.Generator) -> Tensor:
    """Depth ranks of disks, 0 the nearest, drawn by the Gumbel trick. radius: (B, n). Returns (B, n) long."""
    u = torch.rand(radius.shape, generator=generator, device=generator.device)
    score = kappa * radius.log() - u.clamp_min(1e-12).log().neg().log()
    return score.argsort(1, descending=True).argsort(1)


def futures(scene: Scene, tolerance: float = 1e-4, seen: float = 0.0) -> Futures:
    """All next frames that the past allows, with their exact probabilities.

    Disks that share no pixel in any frame have independent orders, since their Plackett–Luce scores are independent. So a
    scene is taken apart into :func:`groups` of disks, and its futures are all combinations of those of its groups. Of a
    group of m disks all m! depth orders are gone through. Those that contradict an overlap visible in the past are dropped,
    the rest are weighted by Plackett–Luce, and next frames whose greys differ by at most ``tolerance`` are merged. The futures
    of a group are in the lexical order of its depth orders: of two undecided disks, the first future has disk 0 in front.
    K is the largest number in the batch.

    seen: an order is contradicted only by a past that differs by more than this, as a norm in grey units; by default any
    pixel that differs by more than the tolerance contradicts it.

    The probabilities are p(x | c) for scenes that are :func:`~scorevid.worlds.leaves.meetings.determined`. Raises ValueError
    for a group of more than :data:`MOST` disks.
    """
    together = groups(scene)
    size = together.sum(2)
    if (most := int(size.max())) > MOST:
        raise ValueError(f"all futures are listed for up to {MOST} disks that touch one another, got {most}")
    first = together.int().argmax(2) == torch.arange(size.shape[1], device=size.device)  # disks that lead their group
    ahead = Futures(scene.next_frame(), scene.radius.new_ones(len(scene), 1))
    for m in range(2, most + 1):
        rows, leads = (first & (size == m)).nonzero(as_tuple=True)
        part = _part(scene, rows, together[rows, leads].nonzero()[:, 1].view(-1, m))
        law = _of_group(part, tolerance, seen)
        open_ = law.count() > 1
        rows, law, within = rows[open_], law[open_], _covered(part[open_])
        turn = torch.arange(len(rows), device=rows.device) - torch.searchsorted(rows, rows)  # of groups of one scene
        for k in range(int(turn.max()) + 1 if len(turn) else 0):
            ahead = _combined(ahead, rows[turn == k], law[turn == k], within[turn == k])
    return ahead


def groups(scene: Scene) -> Tensor:
    """Which disks belong to one group, (B, n, n) bool: those that touch in any frame, directly or through others."""
    linked = touching(scene)
    for _ in range(linked.shape[2].bit_length()):  # twice as many links in between each time
        linked = (linked.float() @ linked.float()) > 0
    return linked


def touching(scene: Scene) -> Tensor:
    """Which disks may cover one pixel in any frame, by their distance and by the boxes around them: (B, n, n) bool."""
    times = torch.arange(-scene.memory, 1).to(scene.position)
    at = scene.position[:, None] + times[:, None, None] * scene.velocity[:, None]  # (B, T, n, 2)
    reach = (scene.radius.square() + scene.radius).sqrt()[:, None] + 1e-3  # beyond it a disk covers nothing
    near = torch.cdist(at, at) < reach[..., None] + reach[..., None, :]
    low, high = (at - reach[..., None]).clamp_min(0), (at + reach[..., None]).clamp_max(scene.size - 1)
    shared = torch.minimum(high[:, :, :, None], high[:, :, None]) >= torch.maximum(low[:, :, :, None], low[:, :, None])
    return (near & shared.all(4)).any(1) | torch.eye(reach.shape[2], dtype=torch.bool, device=reach.device)


def _part(scene: Scene, rows: Tensor, members: Tensor) -> Scene:
    """The scenes ``rows``, (G,), with only the disks ``members``, (G, m), in their order of depth."""
    kept = {k: getattr(scene, k)[rows[:, None], members] for k in ("position", "velocity", "radius", "grey", "depth")}
    return scene.replace(**kept | {"depth": kept["depth"].argsort(1).argsort(1)})


def _covered(scene: Scene) -> Tensor:
    """Pixels of the next frame that any disk covers, (B, 1, H, W) bool."""
    order = torch.arange(scene.radius.shape[1], device=scene.radius.device).expand_as(scene.radius)
    return torch.stack([cover > 0 for cover in covers(scene, torch.zeros(1), order)]).any(0)


def _of_group(scene: Scene, tolerance: float, seen: float) -> Futures:
    """The futures of scenes of few disks, by all orders of depth; those that agree where disks touch are rendered once."""
    n, size = scene.radius.shape[1], scene.size
    orders = torch.tensor(list(permutations(range(n))), device=scene.radius.device)  # (n!, n), nearest first
    score = (scene.kappa * scene.radius.double().log())[:, orders]  # (B, n!, n)
    log_p = (score - score.flip(2).logcumsumexp(2).flip(2)).sum(2)  # each rank is a softmax over the disks left
    ranks = orders.argsort(1)
    behind = (ranks[:, :, None] > ranks[:, None]).flatten(1).double()  # (n!, n²)
    bits = touching(scene).flatten(1) * 2.0 ** torch.arange(n * n, dtype=torch.double, device=ranks.device)
    relations = bits @ behind.T  # (B, n!), one number for all that is decided where disks touch
    alike = relations[:, :, None] == relations[:, None]  # (B, n!, n!)
    log_p = log_p[:, None].masked_fill(~alike, -torch.inf).logsumexp(2)
    once = alike.int().argmax(2) == torch.arange(len(orders), device=ranks.device)
    past = scene.past()
    found: list[tuple[Tensor, Tensor]] = []  # different frames (B, H, W), and log weights (B,), −∞ where not met
    for k, rank in enumerate(ranks):
        rows = once[:, k].nonzero()[:, 0]
        if not len(rows):
            continue
        some = scene[rows]
        video = some.replace(depth=rank.expand_as(some.depth)).video()
        away = video[:, :-1] - past[rows]
        consistent = (away.abs().amax((1, 2, 3)) <= tolerance) | (away.flatten(1).norm(dim=1) < seen)
        weight = torch.full_like(log_p[:, k], -torch.inf)
        weight[rows] = log_p[rows, k].masked_fill(~consistent, -torch.inf)
        frame = past.new_zeros(len(past), size, size)
        frame[rows] = video[:, -1]
        for i, (other, total) in enumerate(found):
            equal = ((frame - other).abs().amax((1, 2)) <= tolerance) & (total > -torch.inf)
            found[i] = other, torch.where(equal, torch.logaddexp(total, weight), total)
            weight = weight.masked_fill(equal, -torch.inf)
        if (weight > -torch.inf).any():
            found.append((frame, weight))
    if not found:  # no scene at all
        return Futures(scene.next_frame(), scene.radius.new_ones(len(scene), 1))
    frames, p = torch.stack([f for f, _ in found], 1), torch.stack([w for _, w in found], 1).softmax(1)
    return Futures(frames, p.to(frames.dtype)).without_padding()


def _combined(ahead: Futures, rows: Tensor, law: Futures, within: Tensor) -> Futures:
    """Futures of scenes, those of the scenes ``rows``, (G,), combined with the futures ``law`` of one more group each.

    within: (G, 1, H, W) bool, the pixels of that group.
    """
    k = law.frames.shape[1]
    p = torch.nn.functional.pad(ahead.probabilities[:, :, None], (0, k - 1))
    p[rows] = ahead.probabilities[rows, :, None] * law.probabilities[:, None]
    frames = ahead.frames[:, :, None].repeat(1, 1, k, 1, 1)
    frames[rows] = torch.where(within[:, None], law.frames[:, None], frames[rows])
    return Futures(frames.flatten(1, 2), p.flatten(1)).without_padding()
