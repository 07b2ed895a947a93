"""Figures: drawn from arrays of the right shape, refused from others, leaving nothing behind."""

from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from scorevid.companion import figures
from scorevid.estimates import Estimate


@pytest.fixture(autouse=True)
def closed():
    with plt.rc_context():
        figures.use_style()
        yield
    plt.close("all")


def images(figure):
    return [image for ax in figure.axes for image in ax.images]


def test_frames_in_a_row_keep_their_grey_levels():
    frames = torch.rand(3, 8, 8)
    figure = figures.frames_row(frames, titles=["a", "b", "c"])
    assert isinstance(figure, Figure) and [ax.get_title() for ax in figure.axes] == ["a", "b", "c"]
    for frame, image in zip(frames, images(figure), strict=True):
        np.testing.assert_array_equal(image.get_array(), frame.numpy())
        assert image.get_clim() == (0, 1)


def test_signed_maps_are_symmetric_about_white():
    figure = figures.signed_grid(torch.randn(2, 3, 8, 8) * torch.tensor([1.0, 5.0])[:, None, None, None])
    limits = [image.get_clim() for image in images(figure)[:6]]
    assert all(low == -high for low, high in limits)
    assert len(set(limits[:3])) == 1 and len(set(limits)) == 2  # one scale a row
    assert matplotlib.colormaps["RdBu"](0.5)[:3] == pytest.approx((1, 1, 1), abs=0.05)


def test_colour_by_the_square_root_shows_small_weights_beside_large_ones():
    """Catches a scale that is not symmetric, and one that loses the sign."""
    image = images(figures.signed_grid(torch.tensor([-1.0, -0.01, 0.0, 0.01, 1.0]).view(1, 1, 1, 5), root=True))[0]
    shades = [float(image.norm(value)) for value in (-1.0, -0.01, 0.0, 0.01, 1.0)]
    assert shades == pytest.approx([0, 0.45, 0.5, 0.55, 1])
    assert float(image.norm.inverse(0.55)) == pytest.approx(0.01)


def test_filters_may_be_more_than_the_frames_they_act_on():
    crops, filters = torch.rand(2, 1, 5, 5), torch.randn(2, 3, 5, 5)
    figure = figures.evidence(crops, filters, ["a", "b"], ["y"], ["σ = 0.1", "σ = 1", "σ = 3"])
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == ["y", "σ = 0.1", "σ = 1", "σ = 3"]
    with pytest.raises(ValueError, match="4 column titles"):
        figures.evidence(crops, filters, ["a", "b"], ["y"])


def test_dots_go_from_top_to_bottom_and_beside_one_another():
    """Catches rows in the reverse order, and bars of the wrong length."""
    ax = figures.plt.figure().add_subplot()
    for k in range(2):
        figures.dots(ax, ["first", "second"], [(1, 0.5, 2), Estimate(3, 2, 3.5)], "both", k)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"] and ax.yaxis_inverted()
    (one, _, (bars,)), (other, _, _) = ax.containers
    assert (other.get_ydata() > one.get_ydata()).all()
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [[0.5, 2], [2, 3.5]]
    with pytest.raises(ValueError):
        figures.dots(ax, ["first"], [(1, 0.5, 2), (3, 2, 3.5)], "too many")


def test_maps_that_are_white_at_their_border_keep_an_outline():
    figure = figures.signed_grid(torch.zeros(1, 2, 4, 4))
    assert all(spine.get_visible() for ax in figure.axes[:2] for spine in ax.spines.values())


def test_frames_in_half_precision_can_be_drawn():
    figures.frames_row(torch.rand(1, 4, 4).bfloat16()).canvas.draw()


def test_a_map_of_zeros_can_be_drawn():
    figures.signed_grid(torch.zeros(1, 1, 4, 4)).canvas.draw()


def test_error_curves_have_a_marker_each_and_bars():
    curves = {k: [Estimate(1.0, 0.5, 2.0), (0.1, -0.1, 0.2)] for k in "abc"}
    figure = figures.error_curves([0.1, 1.0], curves)
    lines = [container.lines[0] for container in figure.axes[0].containers]
    assert len({line.get_marker() for line in lines}) == len({line.get_color() for line in lines}) == 3
    figure.canvas.draw()


def test_calibration_shows_the_diagonal():
    curve = {"probability": [0.1, 0.9], "frequency": [0.2, 0.8], "low": [0.1, 0.7], "high": [0.3, 0.9]}
    figure = figures.calibration({"ours": {"f": curve}, "theirs": {"f": curve}})
    for ax, title in zip(figure.axes, ("ours", "theirs"), strict=True):
        assert ax.get_title() == title
        np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0, 0], [1, 1]])
        np.testing.assert_allclose(ax.lines[1].get_xydata(), [[0.1, 0.2], [0.9, 0.8]])


def test_lines_are_sorted_and_leave_out_what_was_not_measured():
    records = [{"cost": 9, "slope": [1, 0.5, 2]}, {"cost": 3, "slope": [2, 1, 3]}, {"cost": 5, "slope": None}]
    ax = plt.figure().subplots()
    figures.lines(ax, {"a": records, "none": records[2:]}, "cost", "slope")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[3, 2], [9, 1]])
    assert ax.get_legend_handles_labels()[1] == ["a"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.frames_row(torch.rand(8, 8)), "n, H, W"),
        (lambda: figures.grid(torch.rand(2, 8, 8)), "R, C, H, W"),
        (lambda: figures.grid(torch.rand(2, 2, 8, 8), row_titles=["a"]), "row titles"),
        (lambda: figures.frames_row(torch.rand(2, 8, 8), titles=["a"]), "column titles"),
        (lambda: figures.error_curves([0.1, 1.0], {"a": np.ones((3, 3))}), "2 estimates of value, low and high"),
        (lambda: figures.error_curves([0.0, 1.0], {"a": np.ones((2, 3))}), "must be positive"),
        (lambda: figures.error_curves([0.1, 1.0], {"a": np.full((2, 3), np.nan)}), "low <= value <= high"),
        (lambda: figures.error_curves([0.1, 1.0], {"a": [(1, 2, 0)] * 2}), "low <= value <= high"),
        (lambda: figures.calibration({"a": {"f": {"probability": [0.1, 1.5]}}}), r"in \[0, 1\]"),
        (lambda: figures.frames_row(np.full((2, 8, 8), 200, np.uint8)), "floating-point"),
        (lambda: figures.frames_row(torch.full((2, 8, 8), 200, dtype=torch.uint8)), "floating-point"),
        (lambda: figures.signed_grid(torch.full((1, 1, 8, 8), np.nan)), "finite"),
        (lambda: figures.learning_curve([{"images": 1, "loss": 1.0}]), "at least two"),
    ],
)
def test_arrays_of_other_shapes_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_ticks_are_those_asked_for():
    _, ax = plt.subplots()
    figures.log_ticks(ax, [1, 4, 10.5])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "4", "10.5"] and ax.get_xscale() == "log"
    assert len(ax.xaxis.get_minorticklocs()) == 0
    plt.close("all")


def test_a_forest_has_a_row_for_each_estimate_and_leaves_out_what_is_not_there():
    panels = {"slope": [Estimate(1.1, 1.0, 1.3), (0.9, 0.8, 1.2)], "blends": [None, (0.0, 0.0, 0.1)]}
    figure = figures.forest(["one", "other"], panels, {"slope": 1})
    first, second = figure.axes
    assert [t.get_text() for t in first.get_yticklabels()] == ["one", "other"] and first.yaxis_inverted()
    assert [line.get_xdata()[0] for line in first.lines if line.get_linestyle() == "--"] == [1]
    (points,) = (line for line in second.lines if line.get_marker() == "o")
    assert list(points.get_ydata()) == [1] and second.get_xlabel() == "blends"
    with pytest.raises(ValueError, match="must have 3 estimates"):
        figures.forest(["one", "other", "third"], panels)


def test_columns_have_a_row_for_each_measure_and_share_axes():
    measured = [SimpleNamespace(slope=Estimate(s, 0.9 * s, 1.1 * s), error=(1, 1, 1)) for s in (1.0, 2.0)]
    both = {"a": measured, "b": measured}
    drawn = figures.columns(
        {"σ": ([0.1, 1.0], both), "τ": ([0.2, 0.5], both)}, {"slope": "slope", "error": "error / 1"}
    )
    axes = np.array(drawn.axes).reshape(2, 2)
    assert [ax.get_xlabel() for ax in axes[1]] == ["σ", "τ"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["slope", "error / 1"]
    assert all(ax.get_xscale() == "log" and len(ax.containers) == 2 for ax in axes.flat)
    assert axes[0, 0].get_ylim() == axes[0, 1].get_ylim()
    with pytest.raises(ValueError, match="low <= value <= high"):
        figures.columns({"σ": ([0.1], {"a": [SimpleNamespace(slope=(1.0, 2.0, 0.5))]})}, {"slope": "slope"})


def test_paired_differences_have_a_line_a_case_and_their_mean_a_thick_one():
    values = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]])
    figure = figures.paired({"first": values, "second": -values}, ["a", "b", "c"], [0.1, 1.0], "gain (dB)")
    first, second = figure.axes
    assert [line.get_ydata().tolist() for line in first.lines[:1]] == [[1.0, 2.0]]
    (mean,) = first.containers
    assert mean.lines[0].get_ydata().tolist() == [3.0, 4.0]
    assert mean.lines[0].get_linewidth() > 2 * first.lines[0].get_linewidth()
    low, high = mean.lines[2][0].get_segments()[0][:, 1]
    assert (3 - low, high - 3) == pytest.approx([4.3027 * 2 / 3**0.5] * 2, rel=1e-3)  # Student's t of three cases
    assert first.get_ylim() == second.get_ylim() and first.get_ylabel() == "gain (dB)"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c", "mean, 95 % interval"]
    figure.canvas.draw()


def test_many_paired_cases_share_one_look_and_one_entry_of_the_legend():
    """26 names of shots below a figure would leave no room for it."""
    figure = figures.paired({"p": np.ones((9, 2))}, [f"shot {k}" for k in range(9)], [0.1, 1.0], "gain (dB)")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one shot", "mean, 95 % interval"]
    lines = figure.axes[0].get_lines()
    assert len({line.get_color() for line in lines if line.get_alpha() == 0.4}) == 1


def test_paired_differences_wrap_into_rows_and_are_refused_in_another_shape():
    figure = figures.paired(dict.fromkeys("pqr", np.ones((2, 3))), ["a", "b"], [0.1, 0.5, 1], "gain", columns=2)
    assert [ax.get_title() for ax in figure.axes] == ["p", "q", "r", ""] and not figure.axes[3].axison
    with pytest.raises(ValueError, match=r"the panel 'p' must be \(3, 2\) differences, got \(2, 2\)"):
        figures.paired({"p": np.ones((2, 2))}, ["a", "b", "c"], [0.1, 1], "gain")
