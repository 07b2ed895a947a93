"""Frames and signed maps in rows and columns. Every function returns a matplotlib Figure."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scorevid.companion.style import COLOURS

PANEL = 1.15  # inches a frame
WIDE = 9.0  # inches, above which a figure is shrunk on a page so far that its titles have to be larger


def frames_row(frames, titles: Sequence[str] | None = None) -> Figure:
    """Frames side by side in grey levels. frames: (n, H, W), clipped to [0, 1] for display."""
    return grid(as_frames(frames, 3)[None], column_titles=titles)


def grid(images, row_titles: Sequence[str] | None = None, column_titles: Sequence[str] | None = None) -> Figure:
    """Frames in rows and columns, in grey levels clipped to [0, 1]. images: (R, C, H, W)."""
    images = as_frames(images, 4)
    figure, axes = _panels(images, row_titles, column_titles)
    for ax, image in zip(axes.flat, images.reshape(-1, *images.shape[2:]), strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    return figure


def signed_grid(
    images, row_titles: Sequence[str] | None = None, column_titles: Sequence[str] | None = None, *, root: bool = False
) -> Figure:
    """Signed maps in rows and columns, blue above zero and red below, white at zero. images: (R, C, H, W).

    Each row has one scale, symmetric about zero, given by its colour bar. root: colour goes with the square root of the
    value, so that small values beside large ones are seen.
    """
    figure, axes = _panels(images, row_titles, column_titles, extra=0.45)
    for row, maps in zip(axes, as_frames(images, 4), strict=True):
        _signed_row(figure, row, row, maps, root)
    return figure


def evidence(
    crops,
    filters,
    row_titles: Sequence[str],
    column_titles: Sequence[str],
    filter_titles: Sequence[str] | None = None,
    *,
    root: bool = False,
) -> Figure:
    """What was there and what was taken from it: frames in grey levels, then signed maps of the same pixels.

    crops, filters: (R, C, H, W) and (R, D, H, W), H and W odd, the pixel in question in the middle, where a cross marks it
    in the crops. Signed maps are as in :func:`signed_grid`. column_titles: C, of the crops. filter_titles: D, of the maps;
    made of those of the crops unless given.
    """
    crops, filters = as_frames(crops, 4), as_frames(filters, 4)
    titles = [*column_titles, *(filter_titles or [f"weights on\n{title}" for title in column_titles])]
    figure, axes = _panels(np.concatenate([crops, filters], 1), row_titles, titles, extra=0.45)
    for row, frames, maps in zip(axes, crops, filters, strict=True):
        for ax, frame in zip(row, frames, strict=False):
            ax.imshow(frame, cmap="gray", vmin=0, vmax=1)
            ax.plot(frame.shape[1] // 2, frame.shape[0] // 2, "+", color=COLOURS[1], ms=7)
        _signed_row(figure, row, row[len(frames) :], maps, root)
    return figure


def _signed_row(figure: Figure, row: Sequence[Axes], axes: Sequence[Axes], maps: np.ndarray, root: bool) -> None:
    """Signed maps (C, H, W) into C axes, on one scale symmetric about zero, with a colour bar at the end of the row."""
    limit = float(np.abs(maps).max()) or 1.0
    scale = mpl.colors.Normalize(-limit, limit)
    if root:
        scale = mpl.colors.FuncNorm((lambda v: np.sign(v) * np.abs(v) ** 0.5, lambda v: v * np.abs(v)), -limit, limit)
    for ax, image in zip(axes, maps, strict=True):
        drawn = ax.imshow(image, cmap="RdBu", norm=scale)
        ax.spines[:].set(visible=True, color="0.7", linewidth=0.6)  # zero is white, as a light page is
    figure.colorbar(drawn, ax=list(row), shrink=0.85, pad=0.02, ticks=[-limit, 0, limit], format="%.2g")


def _panels(images, row_titles, column_titles, extra: float = 0.0) -> tuple[Figure, np.ndarray]:
    rows, columns, height, width = as_frames(images, 4).shape
    for name, titles, count in (("row", row_titles, rows), ("column", column_titles, columns)):
        if titles is not None and len(titles) != count:
            raise ValueError(f"{name}_titles must be {count} {name} titles, got {len(titles)}")
    size = (PANEL * columns + extra + 0.3 * bool(row_titles), PANEL * height / width * rows + 0.2 * bool(column_titles))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    font = 0.83 * plt.rcParams["font.size"] * max(1.0, size[0] / WIDE)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for ax, title in zip(axes[0], column_titles or [], strict=False):
        ax.set_title(title, fontsize=font)
    for ax, title in zip(axes[:, 0], row_titles or [], strict=False):
        ax.set_ylabel(title, fontsize=font)
    return figure, axes


def as_frames(images, ndim: int) -> np.ndarray:
    """Frames as an array: (n, H, W), (R, C, H, W) or (T, R, C, H, W). Raises ValueError for others, and for NaN."""
    if isinstance(images, torch.Tensor):
        images = images.detach().cpu()
        images = images.float() if images.dtype == torch.bfloat16 else images  # which NumPy does not know
    images = np.asarray(images)
    if images.ndim != ndim or 0 in images.shape:
        expected = {3: "(n, H, W)", 4: "(R, C, H, W)", 5: "(T, R, C, H, W)"}[ndim]
        raise ValueError(f"frames must be {expected}, got {images.shape}")
    if not np.issubdtype(images.dtype, np.floating) or not np.isfinite(images).all():
        raise ValueError(f"frames must be finite floating-point numbers, got {images.dtype}")
    return images
