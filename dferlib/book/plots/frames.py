"""Frames of clips: strips, galleries, heat maps, and what happens over a clip's time."""

import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from dferlib.book.plots.style import INK, new_figure, show_image, without_paper
from dferlib.emotions import COLOURS


def frame_strip(clips: Sequence[np.ndarray], names: Sequence[str], titles: Sequence[str] | None = None) -> Figure:
    """Clips as rows of frames.

    Args:
        clips: each (F, 3, S, S) uint8, all of the same F.
        names: a label for each row.
        titles: a title for each column.
    """
    count = len(clips[0])
    figure, axes = new_figure(min(9.0, 0.85 * count + 1), 0.82 * len(clips) + 0.25, len(clips), count)
    for row, (clip, name) in enumerate(zip(clips, names, strict=True)):
        for column, frame in enumerate(clip):
            title = titles[column] if titles is not None and row == 0 else ""
            show_image(axes[row, column], frame.transpose(1, 2, 0), title)
        axes[row, 0].text(-0.12, 0.5, name, transform=axes[row, 0].transAxes, ha="right", va="center")
    return without_paper(figure)


def png(image: np.ndarray) -> bytes:
    """An image (3, S, S), uint8 or float in [0, 1], as the bytes of a PNG file: what an image widget shows."""
    file = io.BytesIO()
    plt.imsave(file, _to_bytes(image))
    return file.getvalue()


def _to_bytes(image: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 of (3, S, S) uint8 or float in [0, 1]."""
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = (image.clip(0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def gallery(images: Sequence[np.ndarray], titles: Sequence[str], columns: int) -> Figure:
    """Images in a grid, each under its title.

    Args:
        images: each (3, S, S), uint8 or float in [0, 1].
        titles: one for each.
        columns: how many stand side by side.
    """
    rows = -(-len(images) // columns)
    tall = [title.count("\n") + 1 for title in titles]
    lines = sum(max(tall[k : k + columns]) for k in range(0, len(tall), columns))
    longest = max(len(line) for title in titles for line in title.split("\n"))
    side = min(2.1, 9.0 / columns)
    size = np.clip(110 * side / max(longest, 1), 7.5, 10.5)  # points: as large as the column lets it be
    figure, axes = new_figure(side * columns, side * rows + 0.021 * size * lines, rows, columns)
    for one in axes.flat:
        one.set_axis_off()
    for one, image, title in zip(axes.flat, images, titles, strict=False):
        show_image(one, _to_bytes(image))
        one.set_title(title, fontsize=size, pad=3)
    return without_paper(figure)


def heat_strip(
    clip: np.ndarray, heat: np.ndarray, titles: Sequence[str] | None = None, marks: np.ndarray | None = None
) -> Figure:
    """A clip above the same clip under a heat map.

    Args:
        clip: (F, 3, S, S) uint8.
        heat: (F, S, S) from 0 to 1.
        titles: a title for each frame.
        marks: (F, P, 2) points to draw on the upper row, right and down in pixels.
    """
    figure, axes = new_figure(min(9.0, 0.95 * len(clip) + 0.4), 2.2, 2, len(clip))
    for column, (frame, warm) in enumerate(zip(clip, heat, strict=True)):
        image = frame.transpose(1, 2, 0)
        show_image(axes[0, column], image, titles[column] if titles is not None else "")
        if marks is not None:  # the first pixel's middle is at 0 for matplotlib and at 0.5 for landmarks
            axes[0, column].scatter(*(marks[column].T - 0.5), s=0.6, color="#00E5FF", lw=0)
        show_image(axes[1, column], image)
        axes[1, column].imshow(warm, cmap="inferno", vmin=0, vmax=1, alpha=0.55)
    return without_paper(figure)


def over_time(
    lines: dict[str, np.ndarray], seconds: float, marks: dict[str, np.ndarray] | None = None, label: str = "intensity"
) -> Figure:
    """Curves over the time of a clip.

    Args:
        lines: by name, each (F,), in the colour of the emotion where the name is one.
        seconds: length of the clip.
        marks: by name, (F,) bool: moments to shade.
        label: of the upright axis.
    """
    figure, axes = new_figure(7.5, 2.8)
    (one,) = axes.flat
    count = len(next(iter(lines.values())))
    times = np.linspace(0, seconds, count)
    for shade, (name, where) in zip((0.06, 0.14, 0.06), (marks or {}).items(), strict=False):
        for start, end in _runs(where):
            half = seconds / (count - 1) / 2
            one.axvspan(times[start] - half, times[end] + half, color=INK, alpha=shade, lw=0)
            one.text((times[start] + times[end]) / 2, 1.02, name, ha="center", transform=one.get_xaxis_transform())
    for name, values in lines.items():
        one.plot(times, values, label=name, color=COLOURS.get(name), lw=1.6)
    one.set_xlabel("seconds")
    one.set_ylabel(label)
    one.set_xlim(0, seconds)
    one.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _runs(where: np.ndarray) -> list[tuple[int, int]]:
    """First and last position of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], where.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]
