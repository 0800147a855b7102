"""The book's pictures show what they are given."""

import io

import numpy as np
from PIL import Image

from dferlib import plots


def test_png_holds_the_pixels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 9, 9), dtype=np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(plots.png(picture))).convert("RGB"))
    assert np.array_equal(shown, picture.transpose(1, 2, 0))
    again = np.asarray(Image.open(io.BytesIO(plots.png(picture / 255))).convert("RGB"))
    assert np.array_equal(again, shown)


def test_gallery_gives_every_picture_its_title_and_leaves_the_rest_empty() -> None:
    pictures = [np.full((3, 4, 4), k / 5) for k in range(5)]
    figure = plots.gallery(pictures, list("abcde"), columns=3)
    filled = [axes for axes in figure.axes if axes.images]
    assert len(figure.axes) == 6
    assert [axes.get_title() for axes in filled] == list("abcde")
    assert [int(axes.images[0].get_array()[0, 0, 0]) for axes in filled] == [0, 51, 102, 153, 204]


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
