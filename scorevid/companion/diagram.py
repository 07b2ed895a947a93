"""A picture of the network, from the shapes that pass through it."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from scorevid.companion.style import COLOURS
from scorevid.denoisers.unet import UNet

WIDTH, HEIGHT, STEP, FLOOR = 1.5, 0.7, 2.3, 1.2  # of a box; from box to box, from scale to scale


def shapes(network: UNet, height: int = 32, width: int = 32) -> dict[str, tuple[int, int, int]]:
    """(channels, height, width) that each part gives for one frame: in, encoder.0 …, decoder.0 …, out.

    Raises ValueError for frames that the network does not take.
    """
    passed = {"in": (network.memory + 1, height, width)}
    parts = [(n, m) for n, m in network.named_modules() if n.count(".") == 1 and n[:7] in ("encoder", "decoder")]

    def note(name, _module, _given, result) -> None:
        passed[name] = tuple(result.shape[1:])

    hooks = [module.register_forward_hook(partial(note, name)) for name, module in [*parts, ("out", network.out)]]
    training, weight = network.training, next(network.parameters())
    try:
        with torch.no_grad():  # in evaluation mode, so that no statistics change
            network.eval()(weight.new_zeros(1, 1, height, width), weight.new_zeros(1, network.memory, height, width))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return passed


def draw_network(network: UNet, height: int = 32, width: int = 32) -> Figure:
    """The blocks of a network and what passes between them.

    height, width: of the frames whose shapes are given, pixels. Raises ValueError for frames that the network does not take.
    """
    passed = shapes(network, height, width)
    scales = len(network.widths)
    figure, ax = plt.subplots(figsize=(8.4, 0.5 + 0.75 * scales))
    last = 2 * scales - 1
    spots = {"in": (-1, 0), "out": (last, 0)}
    spots |= {f"encoder.{k}": (k, k) for k in range(scales)}
    spots |= {f"decoder.{k}": (2 * scales - 2 - k, k) for k in range(scales - 1)}
    titles = {"in": "y and c" if network.memory else "y", "out": "f(y, c)"}
    for name, (column, level) in spots.items():
        channels, rows, columns = passed[name]
        line, ground = ("0.4", "white") if name in titles else (COLOURS[0], "#dcebf5")
        corner = column * STEP, -level * FLOOR
        ax.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0.06", lw=1, ec=line, fc=ground))
        if name in titles:
            text = f"{titles[name]}\n{channels} × {rows} × {columns}"
        else:
            text = f"{channels} channels\n{rows} × {columns}"
        ax.text(corner[0] + WIDTH / 2, corner[1] + HEIGHT / 2, text, ha="center", va="center", fontsize=8)
    down = [f"encoder.{k}" for k in range(scales)]
    up = [f"decoder.{k}" for k in reversed(range(scales - 1))]
    path = ["in", *down, *up, "out"]
    labels = ["", *["halved"] * (scales - 1), *["doubled"] * (scales - 1), ""]
    for (a, b), label in zip(pairwise(path), labels, strict=True):
        _arrow(ax, spots[a], spots[b], label)
    if network.lateral:
        for k in range(scales - 1):
            label = "features handed over" if k == 0 else ""
            _arrow(ax, spots[f"encoder.{k}"], spots[f"decoder.{k}"], label, color=COLOURS[1], ls="--")
    ax.set(xlim=(-STEP - 0.1, last * STEP + WIDTH + 0.1), ylim=(-(scales - 1) * FLOOR - 0.1, HEIGHT + 0.1))
    ax.axis("off")
    return figure


def _arrow(ax, one: tuple[int, int], other: tuple[int, int], label: str, color: str = "0.3", ls: str = "-") -> None:
    """From the side of one box to the side of the next, or round a corner from scale to scale."""
    (a, i), (b, k) = one, other
    start, end = (a * STEP + WIDTH + 0.08, -i * FLOOR + HEIGHT / 2), (b * STEP - 0.08, -k * FLOOR + HEIGHT / 2)
    bend = "arc3"
    if k > i:  # down, from below the box
        start, bend = (a * STEP + WIDTH / 2, -i * FLOOR - 0.08), "angle,angleA=-90,angleB=180,rad=4"
    elif k < i:  # up, to below the box
        end, bend = (b * STEP + WIDTH / 2, -k * FLOOR - 0.08), "angle,angleA=180,angleB=-90,rad=4"
    line = {"color": color, "ls": ls, "lw": 1.1, "connectionstyle": bend, "shrinkA": 0, "shrinkB": 0}
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, **line))
    if i == k:
        ax.text((start[0] + end[0]) / 2, start[1] + 0.06, label, fontsize=8, color=color, ha="center", va="bottom")
    else:
        x, side = (start[0] + 0.08, "left") if k > i else (end[0] - 0.08, "right")
        ax.text(x, max(start[1], end[1]) - 0.25, label, fontsize=8, color=color, ha=side, va="center")
