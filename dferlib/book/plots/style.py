"""The style of every figure, and what all of them begin with."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from dferlib.inference.drawing import INK as INK
from dferlib.inference.drawing import STYLE

BETWEEN = "#777777"  # as far from white as from the dark pages
ACCENT, SECOND = "#0072B2", "#D55E00"


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """A figure of that many inches, and its axes (rows, columns)."""
    # outside the style's context: the first figure chooses the backend, and leaving the context would undo half of
    # that; white paper, which the book's dark mode turns
    figure = plt.figure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")
    with plt.rc_context(STYLE):  # type: ignore[arg-type]
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes


def without_paper(figure: Figure) -> Figure:
    """The same figure of faces on nothing, and its words in a grey that can be read on a white page and on a dark one.

    Charts turn dark with the page; faces must not, and would stand there on a white card.
    """
    figure.patch.set_alpha(0)
    for words in figure.findobj(Text):
        words.set_color(BETWEEN)
    return figure


def show_image(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Show an image (H, W, 3) without axes."""
    axes.imshow(image)
    axes.set_axis_off()
    if title:
        axes.set_title(title, pad=3)
