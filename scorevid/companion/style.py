"""How the figures of chapters and book look, whatever the user has set up.

Figures are transparent and their axes have a middle grey, ``INK``, which is legible on a light and on a dark page. Colours are
those of Okabe and Ito, which the colour-blind can distinguish, and every curve has its own marker besides.
"""

from __future__ import annotations

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D46")
MARKERS = "osD^vPX"
INK = "#7a7a7a"  #: of axes, text and reference lines


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
