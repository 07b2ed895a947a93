"""What the chapters draw more than once: curves, points and intervals here, frames in ``frames``, all in one ``style``.

Every function returns a matplotlib Figure, or draws into axes that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scorevid.companion.frames import as_frames, evidence, frames_row, grid, signed_grid  # noqa: F401 drawn by chapters
from scorevid.companion.style import COLOURS, INK, MARKERS, use_style  # noqa: F401 used by chapters
from scorevid.estimates import Estimate, mean_interval

Curve = Sequence[Estimate | Sequence[float]]  # an estimate, or (value, low, high), for each point


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

    panels: title -> differences (C, S), NaN where a case has none. cases: C names, for the legend below; where they are more
    than eight the lines are alike, and the legend says what one of them is. sigmas: (S,) noise levels. columns: panels
    side by side, all of them unless given. A dashed line marks zero.
    """
    several = len(cases) > 8  # more than can be found in a legend
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
            look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)], "ms": 4, "alpha": 0.8}
            if several:
                look, case = {"color": COLOURS[0], "alpha": 0.4}, None if k else "one shot"
            ax.plot(sigmas, row, lw=0.8, label=case, **look)
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
        ax.errorbar(value, there, xerr=bars, color=COLOURS[k % len(COLOURS)], marker="o", ls="", capsize=2)
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
