"""What the chapters draw more than once. Every function returns a matplotlib Figure.

Figures are transparent and their axes have a middle grey, ``INK``, which is legible on a light and on a dark page. Colours are
those of Okabe and Ito, which the colour-blind can distinguish, and every curve has its own marker besides.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scorevid.estimates import Estimate, mean_interval

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D46")
MARKERS = "osD^vPX"
INK = "#707070"  #: of axes, text and reference lines
PANEL = 1.15  # inches a frame
Curve = Sequence[Estimate | Sequence[float]]  # an estimate, or (value, low, high), for each point


def use_style() -> None:
    """Set matplotlib up for the book: sizes, colours, no ground, PNG only, whatever a matplotlibrc says.

    In the kernel of a notebook, figures appear below their cell, whatever MPLBACKEND says, and a cell that leaves a figure
    unseen fails, so that no run passes over it.
    """
    kernel = _kernel()
    if kernel is not None:
        _show_inline(kernel)
    mpl.rcdefaults()
    plt.rcParams.update(
        {
            **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
            **dict.fromkeys(("axes.facecolor", "figure.facecolor", "savefig.facecolor"), "none"),
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.dpi": 120,
            "figure.figsize": (6.4, 3.6),
            "font.size": 9,
            "image.interpolation": "nearest",
            "legend.frameon": False,
            "lines.linewidth": 1.5,
            "lines.markersize": 5,
        }
    )


def _kernel():
    """The shell of the notebook's kernel that this runs in, or None."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return shell if hasattr(shell, "kernel") else None


def _show_inline(kernel) -> None:
    from IPython.core.pylabtools import select_figure_formats
    from matplotlib_inline.config import InlineBackend

    kernel.enable_matplotlib("inline")
    InlineBackend.instance(parent=kernel).close_figures = True
    select_figure_formats(kernel, {"png"}, bbox_inches="tight")
    kernel.events.register("post_run_cell", _fail_unseen)


def _fail_unseen(result) -> None:
    """Make a cell fail that has left figures open which its backend cannot show."""
    backend, unseen = plt.get_backend().lower(), len(plt.get_fignums())
    if not unseen or backend not in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template"):
        return
    plt.close("all")
    if result is not None and result.success:
        message = f"{unseen} figure(s) drawn and not shown: the backend is {backend}; %matplotlib inline shows them"
        result.error_in_exec = problem = RuntimeError(message)
        _kernel().showtraceback((RuntimeError, problem, None))


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


def error_curves(sigmas, curves: Mapping[str, Curve], *, logy: bool = True) -> Figure:
    """Curves over the noise level with error bars. sigmas: (S,). curves: label -> S estimates.

    Points whose lower end is not positive get a bar down to the bottom of a logarithmic axis.
    """
    figure, ax = plt.subplots()
    draw_curves(ax, sigmas, curves, logy=logy)
    return figure


def draw_curves(ax: Axes, sigmas, curves: Mapping[str, Curve], *, logy: bool = True) -> None:
    """What :func:`error_curves` draws, into axes that are there already."""
    sigmas = np.asarray(sigmas, dtype=float)
    if sigmas.ndim != 1 or not (np.isfinite(sigmas) & (sigmas > 0)).all():
        raise ValueError(f"noise levels must be positive numbers in one row, got {sigmas.tolist()}")
    for k, (label, curve) in enumerate(curves.items()):
        error_bars(ax, sigmas, curve, label, k, least=1e-3 if logy else None)
    if logy:
        ax.set_yscale("log")
    ax.set_xlabel("noise level σ (grey units)")
    log_ticks(ax, sigmas)
    if len(curves) > 1:
        ax.legend()


def paired(panels: Mapping[str, Sequence], cases: Sequence[str], sigmas, y_label: str, columns: int = 0) -> Figure:
    """Differences within each case: a thin line a case, and a thick grey one for their mean with its 95 % interval.

    panels: title -> differences (C, S), NaN where a case has none. cases: C names, for the legend below. sigmas: (S,) noise
    levels. columns: panels side by side, all of them unless given. A dashed line marks zero.
    """
    columns = min(columns or len(panels), len(panels))
    rows, ticks = -(-len(panels) // columns), sigmas if columns < 4 else sigmas[::2]
    size = (8.4 if columns > 2 else 3.6 * columns, 2.5 * rows + 0.8)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    for ax, (title, values) in zip(axes.flat, panels.items(), strict=False):
        values = np.asarray(values, dtype=float)
        if values.shape != (len(cases), len(sigmas)):
            expected = (len(cases), len(sigmas))
            raise ValueError(f"the panel {title!r} must be {expected} differences, got {values.shape}")
        for k, (case, row) in enumerate(zip(cases, values, strict=True)):
            look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
            ax.plot(sigmas, row, lw=0.8, ms=4, alpha=0.8, label=case, **look)
        means = [mean_interval(column[np.isfinite(column)]) for column in values.T]
        error_bars(ax, sigmas, means, "mean, 95 % interval", color=INK, marker="o", ms=5, lw=2.5, zorder=5)
        ax.axhline(0, color="0.5", lw=1, ls="--")
        ax.set(title=title, xlabel="noise level σ")
        log_ticks(ax, ticks)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel(y_label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def learning_curve(log: Sequence[Mapping[str, float]]) -> Figure:
    """Loss against images seen, both logarithmic. log: records with ``images`` and ``loss``."""
    if len(log) < 2:
        raise ValueError(f"a curve takes at least two records, the log has {len(log)}")
    figure, ax = plt.subplots()
    ax.plot([line["images"] for line in log], [line["loss"] for line in log])
    ax.set(xscale="log", yscale="log", xlabel="training images", ylabel="squared error a pixel")
    return figure


def calibration(panels: Mapping[str, Mapping[str, Mapping]]) -> Figure:
    """Frequency against probability with the diagonal, panels side by side.

    panels: title -> label -> curve with "probability", "frequency", "low" and "high", (P,) each, as of
    :func:`scorevid.studies.sampling.bins`.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels) + 0.6, 3.8), sharey=True, squeeze=False)
    for ax, (title, curves) in zip(axes[0], panels.items(), strict=True):
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", zorder=0, label="as often as it should")
        for k, (label, curve) in enumerate(curves.items()):
            p = np.asarray(curve["probability"], dtype=float)
            if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
                raise ValueError(f"probabilities must lie in [0, 1], got {p.tolist()}")
            shift = 0.008 * (k - (len(curves) - 1) / 2)  # so that error bars do not hide one another
            error_bars(ax, p + shift, np.transpose([curve[name] for name in ("frequency", "low", "high")]), label, k)
        ax.set(title=title, xlabel="probability", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes[0, 0].set_ylabel("frequency")
    axes[0, 0].legend()
    return figure


def columns(
    panels: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence]]], measures: Mapping[str, str]
) -> Figure:
    """Several measures, a row each, against several things, a column each, on logarithmic x axes.

    panels: label of the x axis -> (its values (K,), label of the curve -> K summaries). measures: the attributes of a
    summary that are drawn, estimates, -> label of the y axis.
    """
    size = (8.2, 2.1 * len(measures))
    figure, axes = plt.subplots(len(measures), len(panels), figsize=size, sharex="col", sharey="row", squeeze=False)
    for column, (x_label, (x, curves)) in zip(axes.T, panels.items(), strict=True):
        for k, (label, summaries) in enumerate(curves.items()):
            for ax, name in zip(column, measures, strict=True):
                error_bars(ax, x, [getattr(summary, name) for summary in summaries], label, k)
        log_ticks(column[-1], x)
        column[-1].set_xlabel(x_label)
    for ax, y_label in zip(axes[:, 0], measures.values(), strict=True):
        ax.set_ylabel(y_label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(curves))
    return figure


def forest(
    rows: Sequence[str],
    panels: Mapping[str, Curve],
    ideal: Mapping[str, float | None] | None = None,
    height: float = 0.3,
) -> Figure:
    """Estimates with their intervals, a row each; panels side by side share the rows.

    panels: label of the x axis -> as many estimates as rows, None where there is none. ideal: label -> where its panel has
    a dashed line. height: inches a row. Raises ValueError for a panel with more or fewer.
    """
    size = (1.6 + 1.55 * len(panels), 0.9 + height * len(rows))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    for k, (ax, (label, found)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        if len(found) != len(rows):
            raise ValueError(f"the panel {label!r} must have {len(rows)} estimates or None, got {len(found)}")
        there = [row for row, estimate in enumerate(found) if estimate is not None]
        value, low, high = np.array([tuple(found[row]) for row in there]).T
        bars = np.maximum([value - low, high - value], 0)
        ax.errorbar(value, there, xerr=bars, color=COLOURS[k], marker="o", ls="", capsize=2)
        if ideal and ideal.get(label) is not None:
            ax.axvline(ideal[label], color="0.6", ls="--", lw=1, zorder=0)
        ax.set_xlabel(label)
        ax.grid(axis="y", color=INK, alpha=0.2)
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].invert_yaxis()
    return figure


def lines(ax: Axes, groups: Mapping[str, Sequence[Mapping]], x: str, y: str) -> None:
    """One line with error bars for each group of records. groups: label -> records with numbers ``x`` and estimates ``y``.

    Records in which the estimate is None, where no line could be fitted, are left out.
    """
    for k, (label, records) in enumerate(groups.items()):
        measured = sorted((record for record in records if record[y] is not None), key=lambda record: record[x])
        if measured:
            error_bars(ax, [record[x] for record in measured], [record[y] for record in measured], label, k)
    ax.set_xlabel(x)
    ax.set_ylabel(y)


def error_bars(ax: Axes, x, curve: Curve, label: str, k: int = 0, *, least: float | None = None, **look) -> None:
    """Estimates at x (P,) with their intervals, in the k-th colour and marker; look: other options of ``Axes.errorbar``.

    least: share of the value below which no bar goes, for logarithmic axes. Raises ValueError for a curve of another length,
    intervals without their value, and NaN.
    """
    bars = np.asarray([tuple(point) for point in curve], dtype=float)
    if bars.shape != (len(x), 3):
        raise ValueError(f"the curve {label!r} must be {len(x)} estimates of value, low and high; got {bars.shape}")
    value, low, high = bars.T
    slack = 1e-9 * (1 + np.abs(value))
    if not ((low <= value + slack) & (value <= high + slack)).all():  # false for NaN too
        raise ValueError(f"the curve {label!r} must have low <= value <= high everywhere, and no NaN")
    low = low if least is None else np.maximum(low, value * least)
    bars = np.maximum([value - low, high - value], 0)
    look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]} | look
    ax.errorbar(x, value, bars, capsize=2, label=label, **look)


def dots(ax: Axes, rows: Sequence[str], curve: Curve, label: str, k: int = 0) -> None:
    """One estimate a row with a horizontal bar, in the k-th colour and marker, and a little lower the larger k is.

    rows: their names, from top to bottom. curve: as many estimates.
    """
    value, low, high = np.transpose([tuple(point) for point in curve])
    look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)], "ls": "", "ms": 4}
    ax.errorbar(value, np.arange(len(rows)) + 0.2 * k, xerr=[value - low, high - value], capsize=2, label=label, **look)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.4, -0.6)


def log_ticks(ax: Axes, ticks: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """A logarithmic x axis with labels at these ticks only, plain numbers unless given."""
    ax.set_xscale("log")
    ax.set_xticks(list(ticks), labels or [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


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
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for ax, title in zip(axes[0], column_titles or [], strict=False):
        ax.set_title(title, fontsize="small")
    for ax, title in zip(axes[:, 0], row_titles or [], strict=False):
        ax.set_ylabel(title, fontsize="small")
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
