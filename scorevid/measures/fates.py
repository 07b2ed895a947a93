r"""What became of a disk that all past frames hid, in frames that are predicted or rolled out.

A model of p(x | c) with M past frames knows of nothing that none of these show. Where one disk hides another in all of them
(:mod:`scorevid.worlds.leaves.hidden`), a roll-out can only drop the hidden one, or make up some other in its place. In the
control, where the disk is in view from the start, what a roll-out loses of it, it loses by its own errors.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.leaves.hidden import TOLERANCE, at_times, own_pixels, without_disk_1
from scorevid.worlds.leaves.scenes import Scene

KEPT, CHANGED, DROPPED = 0, 1, 2  #: fates of a disk
FATES = ("kept", "changed", "dropped")  #: their names


def fate(x_hat: Tensor, scene: Scene, times: Tensor) -> Tensor:
    r"""What became of disk 1 in predicted frames: :data:`KEPT`, :data:`CHANGED` or :data:`DROPPED`, (B,) long.

    x_hat: (B, H, W), one frame a scene. times: (B,), the time of each. It gives the scene's true frame x, and
    :math:`x_\varnothing`, the same without disk 1. On the pixels that are disk 1's alone
    (:func:`~scorevid.worlds.leaves.hidden.own_pixels`), with :math:`\|\cdot\|` the mean absolute difference, the disk is

    * kept where :math:`\|\hat x - x\| < \tfrac13 \|x - x_\varnothing\|`,
    * dropped where :math:`\|\hat x - x_\varnothing\| < \tfrac13 \|x - x_\varnothing\|`: nothing is there,
    * changed otherwise: something is there, but of another grey, in another place by some pixels, or behind disk 0.

    Away from edges x is the disk's grey and :math:`x_\varnothing` the ground's. Differences are taken pixel by pixel, so
    greys too light and too dark do not make up for each other. The third is that of the hidden scenes' ``TOLERANCE``.

    Raises ValueError for bad input, scenes of other than two disks, and scenes without pixels of disk 1's own.
    """
    if scene.radius.shape[1] != 2:
        raise ValueError(f"scenes must have two disks, got {scene.radius.shape[1]}")
    if not isinstance(x_hat, Tensor) or x_hat.ndim != 3:
        raise ValueError(f"x_hat must be frames (B, H, W), got {getattr(x_hat, 'shape', type(x_hat).__name__)}")
    checks.frames("x_hat", x_hat[:, None], 1, batch=len(scene), size=(scene.size, scene.size), finite=True)
    if np.shape(times) != (len(scene),):
        raise ValueError(f"times must be ({len(scene)},), got {np.shape(times)}")
    where = own_pixels(scene, times)
    checks.every("scenes must have pixels of disk 1 alone", where.any((1, 2)))
    present = at_times(scene, times)
    x, without = present.next_frame()[:, 0], without_disk_1(present).next_frame()[:, 0]
    difference = _mean_difference(x, without, where)
    if (difference == 0).any():
        raise ValueError("disk 1 must differ from the ground's grey, got the same")
    result = torch.full_like(times, CHANGED, dtype=torch.long)
    result[_mean_difference(x_hat, x, where) < TOLERANCE * difference] = KEPT
    result[_mean_difference(x_hat, without, where) < TOLERANCE * difference] = DROPPED
    return result


def count_fates(fates: Tensor) -> dict[str, int]:
    """How many of the fates (any shape, long) are "kept", "changed" and "dropped". Raises ValueError for others."""
    counts = {name: int((fates == k).sum()) for k, name in enumerate(FATES)}
    if sum(counts.values()) != fates.numel():
        raise ValueError(f"fates must be {KEPT}, {CHANGED} or {DROPPED}, got {fates.unique().tolist()}")
    return counts


def _mean_difference(a: Tensor, b: Tensor, where: Tensor) -> Tensor:
    """Mean absolute difference of frames (B, H, W) over the pixels chosen: (B,) grey units."""
    return (a - b).abs().masked_fill(~where, 0).sum((1, 2)) / where.sum((1, 2))
