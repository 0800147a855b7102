"""The style of every figure, and what all of them begin with."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dferlib.inference.drawing import INK as INK
from dferlib.inference.drawing import STYLE

ACCENT, SECOND = "#0072B2", "#D55E00"


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """A figure of that many inches, and its axes (rows, columns)."""
    # outside the style's context: the first figure chooses the backend, and leaving the context would undo half of
    # that; white paper, so that figures can be read in the book's dark mode
    figure = plt.figure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")
    with plt.rc_context(STYLE):  # type: ignore[arg-type]
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes


def show_image(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Show an image (H, W, 3) without axes."""
    axes.imshow(image)
    axes.set_axis_off()
    if title:
        axes.set_title(title, pad=3)
