"""The book's pictures show what they are given."""

import io
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from dferlib.book import plots
from dferlib.evidence.statistics import Interval


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_png_holds_the_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 9, 9), dtype=np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(plots.png(image))).convert("RGB"))
    assert np.array_equal(shown, image.transpose(1, 2, 0))
    again = np.asarray(Image.open(io.BytesIO(plots.png(image / 255))).convert("RGB"))
    assert np.array_equal(again, shown)


def test_gallery_gives_every_image_its_title_and_leaves_the_rest_empty() -> None:
    images = [np.full((3, 4, 4), k / 5) for k in range(5)]
    figure = plots.gallery(images, list("abcde"), columns=3)
    filled = [axes for axes in figure.axes if axes.images]
    assert len(figure.axes) == 6
    assert [axes.get_title() for axes in filled] == list("abcde")
    assert [int(axes.images[0].get_array()[0, 0, 0]) for axes in filled] == [0, 51, 102, 153, 204]
    assert figure.get_facecolor()[3] == 0, "faces stand on no card of their own"
    assert {axes.title.get_color() for axes in filled} == {"#777777"}


def test_over_time_draws_lines_in_seconds_and_shades_each_run_of_a_mark() -> None:
    lines = {"happiness": np.linspace(0, 1, 5), "AU1": np.zeros(5)}
    marks = {"apex": np.array([True, True, False, False, True])}
    panel = plots.over_time(lines, seconds=2.0, marks=marks).axes[0]
    assert [line.get_label() for line in panel.lines] == list(lines)
    assert panel.lines[0].get_xdata().tolist() == [0, 0.5, 1, 1.5, 2]
    assert panel.lines[0].get_color() == plots.COLOURS["happiness"]
    assert [patch.get_x() for patch in panel.patches] == [-0.25, 1.75]
    assert [patch.get_width() for patch in panel.patches] == [1.0, 0.5]


def test_landmarks_are_drawn_where_their_pixels_are() -> None:
    clip = np.zeros((2, 3, 8, 8), np.uint8)
    marks = np.array([[[0.5, 0.5]], [[4.0, 7.5]]])
    figure = plots.heat_strip(clip, np.zeros((2, 8, 8)), marks=marks)
    first, second = (axes.collections[0].get_offsets().tolist() for axes in figure.axes[:2])
    assert first == [[0, 0]]
    assert second == [[3.5, 7]]


def test_reach_in_frames_folds_places_into_maps_and_marks_query_and_windows() -> None:
    seen = np.arange(4 * 16).reshape(4, 16) / 64
    figure = plots.attention_reach_in_frames({"a": seen, "b": seen > 0.5}, query=(2, 6), windows={"b": (2, 4, 2)})
    first, second = figure.axes
    assert np.array_equal([mesh.get_array() for mesh in first.collections], seen.reshape(4, 4, 4))
    (query,) = first.patches
    assert query.get_xy() == (2 * 5 + 2, 1)  # two frames of four columns and a gap, then the place in row 1, column 2
    borders = [(patch.get_xy(), patch.get_width(), patch.get_height()) for patch in second.patches[1:]]
    assert borders == [((5 * t + x, 0), 2, 4) for t in range(4) for x in (0, 2)]
    bars = second.collections[-1].get_segments()
    assert [[start[0], end[0]] for start, end in bars] == [[0, 9], [10, 19]]
    assert first.texts[0].get_text() == "a"
    assert [text.get_text() for text in first.texts[1:]] == [f"frame {t}" for t in (1, 2, 3, 4)]


def test_growth_draws_lines_dots_and_spans_and_loses_none_of_them() -> None:
    panels = {"frames": {"one": ([1, 2], [3, 6]), "two": ([1, 2], [5, 500])}, "places": {"two": ([4, 8], [0.1, 1])}}
    figure = plots.scaling(panels, "cost", dots=("two",), spans={"places": (4, 6)})
    left, right = figure.axes
    assert [line.get_xydata().tolist() for line in left.lines] == [[[1, 3], [2, 6]], [[1, 5], [2, 500]]]
    assert [line.get_marker() for line in left.lines] == ["None", "o"]
    assert left.lines[1].get_color() == right.lines[0].get_color() != left.lines[0].get_color()
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[0] < 0.1 < 500 < left.get_ylim()[1]
    assert not left.patches
    assert right.patches[0].get_x() == 4
    assert right.patches[0].get_width() == 2
    assert [text.get_text() for text in figure.legends[0].texts] == ["one", "two"]
    assert (left.get_xlabel(), right.get_xlabel(), left.get_ylabel()) == ("frames", "places", "cost")


def test_lines_draws_every_curve_over_the_same_values() -> None:
    x = np.array([1.0, 2, 4])
    panel = plots.lines(x, {"one": x**2, "two": -x}, ("lead", "gradient")).axes[0]
    assert {line.get_label(): line.get_ydata().tolist() for line in panel.lines} == {
        "one": [1, 4, 16],
        "two": [-1, -2, -4],
    }
    assert all(line.get_xdata().tolist() == [1, 2, 4] for line in panel.lines)
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("lead", "gradient")


def test_seeds_draws_a_line_for_each_and_the_means_of_those_that_are_there() -> None:
    panel = plots.seeds(pd.DataFrame({1: [60.0, 70.0], 4: [80.0, np.nan]}, index=[0, 5]), ("blocks", "UAR")).axes[0]
    *seeds, means = panel.lines
    assert [line.get_ydata()[:1].tolist() for line in seeds] == [[60], [70]]
    assert all(line.get_xdata().tolist() == [1, 4] for line in panel.lines)
    assert means.get_ydata().tolist() == [65, 80]
    assert panel.get_xticks().tolist() == [1, 4]


def test_intervals_reach_from_end_to_end_in_the_order_of_the_names() -> None:
    rows = {"a": (1.0, -0.5, 2.0), "b": (-3.0, -4.0, -2.5)}
    figure = plots.intervals({"UAR": rows, "error": dict(reversed(rows.items()))})
    for panel in figure.axes:
        zero, dots = panel.lines
        assert list(zero.get_xdata()) == [0, 0]
        assert dots.get_xdata().tolist() == [1, -3]
        assert [segment[:, 0].tolist() for segment in panel.collections[0].get_segments()] == [[-0.5, 2], [-4, -2.5]]
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "b"]
    assert (first.get_xlabel(), second.get_xlabel()) == ("UAR", "error")
    assert first.get_ylim()[0] > first.get_ylim()[1], "the first name stands above the second"


def test_pushes_point_against_the_gradient_and_stay_on_the_paper() -> None:
    logits, gradient = np.array([2.0, 0, -1]), np.array([-0.5, 1.0, 0])
    panel = plots.logit_gradients({"clip": (logits, {"loss": gradient})}, target=1, classes=list("abc")).axes[0]
    assert [bar.get_height() for bar in panel.patches] == [2, 0, -1]
    assert [bar.get_linewidth() > 0 for bar in panel.patches] == [False, True, False]
    (arrows,) = panel.collections
    assert arrows.Y.tolist() == [2, 0, -1]
    assert arrows.V.tolist() == [2, -4, 0]
    assert not arrows.U.any()
    low, high = panel.get_ylim()
    assert low < -4
    assert high > 4


def test_planes_share_one_scale_that_holds_every_point() -> None:
    wide, narrow, labels = np.array([[0, 5.0], [-1, 0]]), np.array([[1.0, 0], [0, 1]]), np.array([0, 1])
    figure = plots.scatter_panels({"wide": (wide, labels), "narrow": (narrow, labels)}, ["a", "b"])
    ((left, right, low, high),) = {(*panel.get_xlim(), *panel.get_ylim()) for panel in figure.axes}
    assert max(left, low) < -5
    assert min(right, high) > 5
    assert [group.get_offsets().tolist() for group in figure.axes[0].collections] == [[[0, 5]], [[-1, 0]]]
    colours = [group.get_facecolor()[0].tolist() for panel in figure.axes for group in panel.collections]
    assert colours[:2] == colours[2:]
    assert colours[0] != colours[1]


def test_pairs_show_every_mark_whole():
    figure = plots.pairs(["a", "b"], [90.0, 65.0], [94.0, 70.0], ("one", "other"), "%")
    panel = figure.axes[0]
    low, high = panel.get_xlim()
    assert low == 0 and high >= 1.04 * 94
    marks = [line.get_xdata() for line in panel.lines if line.get_linestyle() == "None"]
    assert [list(x) for x in marks] == [[90, 65], [94, 70]]


def test_dots_stand_where_the_two_numbers_are() -> None:
    panel = plots.dots([1, 2, 5], [10, 0, 80], ("light", "right, %")).axes[0]
    (drawn,) = panel.lines
    assert drawn.get_xydata().tolist() == [[1, 10], [2, 0], [5, 80]]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("light", "right, %") and panel.get_ylim()[0] == 0


def test_two_numbers_of_a_thing_are_seen_on_both_sides_of_zero() -> None:
    panel = plots.pairs(["a", "b"], [-2.0, 1.0], [0.5, -0.5], ("free", "shaped"), "sd").axes[0]
    low, high = panel.get_xlim()
    assert low < -2 and high > 1
    assert plots.pairs(["a"], [40.0], [80.0], ("one", "other"), "%").axes[0].get_xlim()[0] == 0


def test_the_audit_marks_what_stands_out() -> None:
    clips, counts = np.arange(140, 150), np.array([1, 2, 1, 0, 3, 9, 2, 1, 1, 0])
    panel = plots.peaks({"disgust": (clips, counts)}, 10).axes[0]
    assert panel.texts[0].get_text() == "145"
    assert panel.collections[1].get_segments()[0].tolist() == [[145, 0], [145, 9]]
    panel = plots.deviations(["a", "b", "b"], np.array([0.0, 0.2, 0.2]), np.array([0.0, 0.1, 0.1]), 0.01).axes[0]
    assert [text.get_text() for text in panel.texts] == ["b"]
    panel = plots.gaps(["a", "b"], [1.0, 2.5], "points").axes[0]
    assert [text.get_text() for text in panel.texts] == ["1.00", "2.50"]
    assert [bar.get_width() for bar in panel.patches] == [1.0, 2.5]


def test_courses_have_their_best_and_last_epochs() -> None:
    course = np.array([[60.0, 61.0], [64.0, 62.0], [63.0, 65.0], [62.0, 64.0]])
    panel = plots.epochs(course, ["fold 1", "fold 2"], late=2).axes[0]
    one, other, best, last = panel.lines
    assert (one.get_ydata().tolist(), other.get_label()) == ([60, 64, 63, 62], "fold 2")
    assert (best.get_xdata().tolist(), best.get_ydata().tolist()) == ([2, 3], [64, 65])
    assert (last.get_xdata().tolist(), last.get_ydata().tolist()) == ([4, 4], [62, 64])
    assert panel.get_ylim()[0] == 59


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """As WCAG 2 defines it."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_cells_show_values_with_the_ends_of_their_intervals() -> None:
    cells = {"one": {"a": Interval(1.5, 1.2, 1.8), "b": None}, "two": {"a": Interval(0, -1, 1), "b": Interval(2, 2, 3)}}
    panel = plots.interval_cells(cells, "what", digits=1, lines=(1,), cmap="Blues").axes[0]
    shown = panel.collections[0].get_array()
    assert np.ma.filled(shown.astype(float), np.nan).tolist()[0][0] == 1.5 and np.ma.getmaskarray(shown)[0, 1]
    assert [text.get_text() for text in panel.texts] == ["1.5\n1.2 to\n1.8", "0.0\n−1.0 to\n1.0", "2.0\n2.0 to\n3.0"]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["a", "b"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["one", "two"]
    shades = plots.interval_cells(
        {"one": {str(k): Interval(k / 20, 0, 1) for k in range(21)}}, "what", cmap="Blues"
    ).axes[0]
    for text, colour in zip(shades.texts, shades.collections[0].get_facecolors(), strict=True):
        assert contrast(to_rgb(text.get_color()), to_rgb(colour)) > 3.5
    percent = plots.interval_cells({"one": {"a": Interval(0.123, -0.1, 0.2)}}, "what", digits=0, times=100).axes[0]
    assert [text.get_text() for text in percent.texts] == ["12\n−10 to\n20"]
    np.testing.assert_allclose(percent.collections[0].get_array(), [[12.3]])
