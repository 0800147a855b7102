"""The book's pictures, in one style. Every function draws on a figure of its own and returns it."""

import io
import itertools
import math
from collections.abc import Collection, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from dferlib.emotions import COLOURS, EMOTIONS

INK, ACCENT, SECOND = "#333333", "#0072B2", "#D55E00"
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 9,
}


def _new(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, np.ndarray]:
    # outside the style's context: the first figure chooses the backend, and leaving the context would undo half of
    # that; white paper, so that pictures can be read in the book's dark mode
    figure = plt.figure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")
    with plt.rc_context(STYLE):  # type: ignore[arg-type]
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes


def _picture(axes: Axes, image: np.ndarray, title: str = "") -> None:
    axes.imshow(image)
    axes.set_axis_off()
    if title:
        axes.set_title(title, pad=3)


def film_strip(clips: Sequence[np.ndarray], names: Sequence[str], titles: Sequence[str] | None = None) -> Figure:
    """Clips as rows of frames.

    Args:
        clips: each (T, 3, S, S) uint8, all of the same T.
        names: a label for each row.
        titles: a title for each column.
    """
    count = len(clips[0])
    figure, axes = _new(min(9.0, 0.85 * count + 1), 0.82 * len(clips) + 0.25, len(clips), count)
    for row, (clip, name) in enumerate(zip(clips, names, strict=True)):
        for column, frame in enumerate(clip):
            title = titles[column] if titles is not None and row == 0 else ""
            _picture(axes[row, column], frame.transpose(1, 2, 0), title)
        axes[row, 0].text(-0.12, 0.5, name, transform=axes[row, 0].transAxes, ha="right", va="center")
    return figure


def png(picture: np.ndarray) -> bytes:
    """A picture (3, S, S), uint8 or float in [0, 1], as the bytes of a PNG file: what an image widget shows."""
    file = io.BytesIO()
    plt.imsave(file, _bytes(picture))
    return file.getvalue()


def _bytes(picture: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 of (3, S, S) uint8 or float in [0, 1]."""
    picture = np.asarray(picture)
    if picture.dtype != np.uint8:
        picture = (picture.clip(0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(picture.transpose(1, 2, 0))


def gallery(pictures: Sequence[np.ndarray], titles: Sequence[str], columns: int) -> Figure:
    """Pictures in a grid, each under its title.

    Args:
        pictures: each (3, S, S), uint8 or float in [0, 1].
        titles: one for each.
        columns: how many stand side by side.
    """
    rows = -(-len(pictures) // columns)
    lines = max(title.count("\n") + 1 for title in titles)
    side = min(2.1, 9.0 / columns)
    figure, axes = _new(side * columns, (side + 0.16 * lines) * rows, rows, columns)
    for one in axes.flat:
        one.set_axis_off()
    for one, picture, title in zip(axes.flat, pictures, titles, strict=False):
        _picture(one, _bytes(picture))
        one.set_title(title, fontsize=7.5, pad=3)
    return figure


def over_time(
    lines: dict[str, np.ndarray], seconds: float, marks: dict[str, np.ndarray] | None = None, label: str = "intensity"
) -> Figure:
    """Curves over the time of a clip.

    Args:
        lines: by name, each (T,), in the colour of the emotion where the name is one.
        seconds: length of the clip.
        marks: by name, (T,) bool: moments to shade.
        label: of the upright axis.
    """
    figure, axes = _new(7.5, 2.8)
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


def heat_strip(
    clip: np.ndarray, heat: np.ndarray, titles: Sequence[str] | None = None, marks: np.ndarray | None = None
) -> Figure:
    """A clip above the same clip under a heat map.

    Args:
        clip: (T, 3, S, S) uint8.
        heat: (T, S, S) from 0 to 1.
        titles: a title for each frame.
        marks: (T, P, 2) points to draw on the upper row, right and down in pixels.
    """
    figure, axes = _new(min(9.0, 0.95 * len(clip) + 0.4), 2.2, 2, len(clip))
    for column, (frame, warm) in enumerate(zip(clip, heat, strict=True)):
        picture = frame.transpose(1, 2, 0)
        _picture(axes[0, column], picture, titles[column] if titles is not None else "")
        if marks is not None:  # the first pixel's middle is at 0 for matplotlib and at 0.5 for landmarks
            axes[0, column].scatter(*(marks[column].T - 0.5), s=0.6, color="#00E5FF", lw=0)
        _picture(axes[1, column], picture)
        axes[1, column].imshow(warm, cmap="inferno", vmin=0, vmax=1, alpha=0.55)
    return figure


def curves(history: Sequence[dict[str, float]], best: int) -> Figure:
    """Loss, and training accuracy against validation recall, over the epochs.

    Args:
        history: one record an epoch, as `History.to_dict()["epochs"]` has them.
        best: the epoch that was chosen.
    """
    figure, axes = _new(7.0, 2.4, 1, 2)
    epochs = [record["epoch"] for record in history]
    left, right = axes[0]
    left.plot(epochs, [record["train_loss"] for record in history], color=ACCENT, marker="o", ms=3)
    left.set(xlabel="epoch", ylabel="training loss")
    right.plot(epochs, [100 * r["train_accuracy"] for r in history], color=INK, ls="--", label="training accuracy")
    right.plot(epochs, [100 * r["val_uar"] for r in history], color=ACCENT, marker="o", ms=3, label="validation UAR")
    right.axvline(best, color=SECOND, lw=1, label=f"chosen: epoch {best}")
    right.set(xlabel="epoch", ylabel="%", ylim=(0, 102))
    right.legend(loc="lower right", frameon=False)
    for panel in (left, right):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def confusion(counts: np.ndarray, classes: Sequence[str] = EMOTIONS) -> Figure:
    """A confusion matrix in percent of each true class, true classes as rows."""
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = _new(4.4, 3.9)
    panel = axes[0, 0]
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > 55 else INK
        panel.text(column, row, f"{share:.0f}", ha="center", va="center", color=ink)
    panel.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
    panel.set_yticks(range(len(classes)), classes)
    panel.set(xlabel="recognised as", ylabel="true class")
    panel.spines[:].set_visible(False)
    return figure


def plane(points: np.ndarray, labels: np.ndarray, classes: Sequence[str] = EMOTIONS) -> Figure:
    """Clips as points (N, 2), coloured by class."""
    figure, axes = _new(5.4, 3.8)
    panel = axes[0, 0]
    for k, name in enumerate(classes):
        mine = labels == k
        panel.scatter(points[mine, 0], points[mine, 1], s=9, color=COLOURS.get(name), label=name, alpha=0.8, lw=0)
    panel.set_axis_off()
    panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2, frameon=False)
    return figure


def recalls(rows: dict[str, Sequence[float]], classes: Sequence[str] = EMOTIONS) -> Figure:
    """Per-class recall in percent of several models, as dots on one line a class.

    Args:
        rows: for each model's name, one recall (0 to 1) a class.
        classes: names of the classes.
    """
    figure, axes = _new(6.2, 2.9)
    panel = axes[0, 0]
    for (name, values), marker, colour in zip(
        rows.items(), "osD^v", (ACCENT, SECOND, INK, "#009E73", "#CC79A7"), strict=False
    ):
        panel.plot(100 * np.asarray(values), range(len(classes)), marker, color=colour, label=name, ms=5, alpha=0.85)
    panel.set_yticks(range(len(classes)), classes)
    panel.invert_yaxis()
    panel.grid(axis="y", color="#DDDDDD", lw=0.7)
    panel.set(xlabel="recall in %", xlim=(0, 101))
    panel.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def pairs(
    names: Sequence[str], one: Sequence[float], other: Sequence[float], words: tuple[str, str], unit: str
) -> Figure:
    """Two numbers for each of several things, as two dots on one line a thing.

    Args:
        names: of the things.
        one: the first number of each.
        other: the second.
        words: what the two numbers are, for the legend.
        unit: of both, for the axis.
    """
    figure, axes = _new(6.2, 0.26 * len(names) + 0.9)
    panel, lines = axes[0, 0], range(len(names))
    panel.hlines(lines, one, other, color="#BBBBBB", lw=1.5)
    panel.plot(one, lines, "o", color=ACCENT, label=words[0], ms=6)
    panel.plot(other, lines, "x", color=SECOND, label=words[1], ms=6, mew=1.8)
    panel.set_yticks(lines, names)
    panel.invert_yaxis()
    panel.set(xlabel=unit, xlim=(0, 1.05 * max(*one, *other)))  # no mark is cut at the edge
    panel.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def reach(frames: int, places: int, seen: dict[str, np.ndarray], query: tuple[int, int]) -> Figure:
    """What a query sees, as a grid of frames by places, one panel an attention.

    Args:
        frames: T, drawn as columns.
        places: S, drawn as rows.
        seen: for each attention's name, (T, S) bool or weights from 0 to 1.
        query: frame and place that look.
    """
    figure, axes = _new(2.5 * len(seen), 0.16 * places + 0.8, 1, len(seen))
    for panel, (name, cells) in zip(axes[0], seen.items(), strict=True):
        panel.imshow(np.asarray(cells, dtype=float).T, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
        panel.add_patch(plt.Rectangle((query[0] - 0.5, query[1] - 0.5), 1, 1, color=SECOND))
        panel.set_xticks(np.arange(-0.5, frames), minor=True)
        panel.set_yticks(np.arange(-0.5, places), minor=True)
        panel.grid(which="minor", color="#BBBBBB", lw=0.5)
        panel.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
        panel.set(title=name, xlabel="frames", ylabel="places")
    return figure


def reach_in_frames(
    seen: dict[str, np.ndarray], query: tuple[int, int], windows: dict[str, tuple[int, int, int]] | None = None
) -> Figure:
    """What a query sees, as the maps of the clip's frames side by side, one row an attention.

    Args:
        seen: for each attention's name, (T, S) bool or weights from 0 to 1; the S places are a square map, row by row.
        query: frame and place that look.
        windows: for an attention's name, the frames, rows and columns of its windows: their borders are drawn, and a
            bar joins the frames of a window.
    """
    T, S = next(iter(seen.values())).shape
    side = math.isqrt(S)
    left = np.arange(T) * (side + 1)  # where each frame begins: one cell is free between two
    figure, axes = _new(8.4, 0.75 * len(seen) + 0.2, len(seen))  # room for the names is the same in all pictures
    for panel, (name, cells) in zip(axes[:, 0], seen.items(), strict=True):
        for start, cell in zip(left, np.asarray(cells, dtype=float).reshape(T, side, side), strict=True):
            edges = np.arange(side + 1)
            panel.pcolormesh(edges + start, edges, cell, cmap="Blues", vmin=0, vmax=1.4, ec="#BBBBBB", lw=0.5)
        column, row = left[query[0]] + query[1] % side, query[1] // side
        panel.add_patch(plt.Rectangle((column, row), 1, 1, color=SECOND, lw=0))
        if windows and name in windows:
            f, h, w = windows[name]
            corners = [(float(x + start), y) for start in left for x in range(0, side, w) for y in range(0, side, h)]
            for corner in corners:
                panel.add_patch(plt.Rectangle(corner, w, h, fill=False, ec=INK, lw=1.3))
            panel.hlines([side + 0.45] * (T // f), left[::f], left[f - 1 :: f] + side, color=INK, lw=1.8)
        panel.text(-1, side / 2, name, ha="right", va="center")
        panel.set(xlim=(-2 * side, left[-1] + side + 0.1), ylim=(side + 0.7, -0.1), aspect="equal")
        panel.set_axis_off()
    for t, start in enumerate(left):
        axes[0, 0].text(start + side / 2, -0.4, f"frame {t + 1}", ha="center", va="bottom")
    return figure


def growth(
    panels: dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]],
    label: str,
    dots: Collection[str] = (),
    spans: dict[str, tuple[float, float]] | None = None,
) -> Figure:
    """How things grow: lines on logarithmic axes, one panel for each thing that is varied.

    Args:
        panels: for each panel, under the label of its level axis, the lines by name: their x and their y.
        label: of the upright axis, which all panels share.
        dots: names of those that are drawn as dots without a line.
        spans: for a panel, an interval of x to shade.
    """
    figure, axes = _new(min(9.0, 2.9 * len(panels) + 1.4), 3.0, 1, len(panels))
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colours = dict(
        zip(names, (ACCENT, SECOND, "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#7F7F7F", INK), strict=False)
    )
    # lines that lie on each other stay visible: those with more gaps are drawn above the others
    strokes = ("-", (0, (6, 1, 1, 1)), (0, (4, 2)), (0, (1, 1.2)))
    orders = dict(zip(names, itertools.cycle((0, 2, 3, 1)), strict=False))
    every = [value for lines in panels.values() for _, y in lines.values() for value in y]
    handles = {}
    for panel, (title, lines) in zip(axes[0], panels.items(), strict=True):
        if spans and title in spans:
            panel.axvspan(*spans[title], color=INK, alpha=0.1, lw=0)
        for name, (x, y) in lines.items():
            style = {"marker": "o", "ms": 4, "ls": ""} if name in dots else {"ls": strokes[orders[name]], "lw": 1.7}
            (handles[name],) = panel.plot(x, y, color=colours[name], zorder=2 + orders[name] / 10, **style)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_ylim(min(every) / 1.15, max(every) * 1.15)
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_minor_formatter(NullFormatter())
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.set_xlabel(title)
    axes[0, 0].set_ylabel(label)
    figure.legend(handles.values(), handles, frameon=False, loc="outside right center")
    return figure


def lines(x: np.ndarray, curves: dict[str, np.ndarray], words: tuple[str, str]) -> Figure:
    """Several curves over the same values.

    Args:
        x: the values (N,).
        curves: by name, each (N,).
        words: what the level and the upright axis show.
    """
    figure, axes = _new(6.6, 2.9)
    panel = axes[0, 0]
    styles = zip((ACCENT, SECOND, "#009E73", "#CC79A7", INK), ("-", "--", "-.", ":", "-"), strict=True)
    for (name, values), (colour, style) in zip(curves.items(), styles, strict=False):
        panel.plot(x, values, ls=style, color=colour, lw=1.8, label=name)
    panel.grid(axis="y", color="#DDDDDD", lw=0.7)
    panel.set(xlabel=words[0], ylabel=words[1], xlim=(x[0], x[-1]))
    panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def intervals(panels: dict[str, dict[str, tuple[float, float, float]]]) -> Figure:
    """Values with their intervals, as dots with whiskers; a line stands at zero, where nothing differs.

    Args:
        panels: for each quantity (with its unit), by name, the value, the lower and the upper end; the same names in
            the same order in all.
    """
    names = list(next(iter(panels.values())))
    figure, axes = _new(min(2.6, 8 / len(panels)) * len(panels) + 1.2, 0.32 * len(names) + 0.8, 1, len(panels))
    for number, (panel, (title, rows)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        value, low, high = np.array([rows[name] for name in names]).T
        panel.axvline(0, color=SECOND, lw=1)
        panel.hlines(range(len(names)), low, high, color=ACCENT, lw=2)
        panel.plot(value, range(len(names)), "o", color=ACCENT, ms=6)
        panel.set_yticks(range(len(names)), names if number == 0 else [])
        panel.set(xlabel=title, ylim=(len(names) - 0.5, -0.5))
    return figure


def pushes(
    panels: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]], target: int, classes: Sequence[str] = EMOTIONS
) -> Figure:
    """Logits as bars, and how parts of a loss push each of them, as arrows against the gradient.

    Args:
        panels: by title, the logits (C,) and, by name of the part, its gradient (C,). An arrow of the length 4 of the
            axis is a gradient of 1.
        target: the true class, drawn with a frame.
        classes: names of the classes.
    """
    figure, axes = _new(min(2.6, 8.6 / len(panels)) * len(panels) + 0.6, 3.4, 1, len(panels))
    columns, parts = np.arange(len(classes)), list(next(iter(panels.values()))[1])
    colours, shifts = (INK, SECOND, ACCENT), np.linspace(-0.2, 0.2, len(parts))
    for panel, (title, (logits, gradients)) in zip(axes[0], panels.items(), strict=True):
        fills = [COLOURS.get(name, "#999999") for name in classes]
        frames = [1.8 * (k == target) for k in columns]
        panel.bar(columns, logits, color=[(fill, 0.5) for fill in fills], edgecolor=INK, linewidth=frames)
        for name, colour, shift in zip(parts, colours, shifts, strict=False):
            rise = -4 * gradients[name]
            panel.quiver(
                *(columns + shift, logits, 0 * rise, rise),
                **{"color": colour, "width": 0.014, "headwidth": 3.5, "headlength": 4, "headaxislength": 3.5},
                **{"angles": "xy", "scale_units": "xy", "scale": 1, "minlength": 0},
            )
        panel.axhline(0, color=INK, lw=0.8)
        panel.set_xticks(columns, classes, rotation=60, ha="right")
        panel.set_title(title)
    ends = [z - 4 * gradient for z, found in panels.values() for gradient in (0 * z, *found.values())]
    for panel in axes[0]:
        panel.set_ylim(min(0, np.min(ends)) - 0.5, max(0, np.max(ends)) + 0.5)
    axes[0, 0].set_ylabel("logit")
    keys = [plt.Line2D([], [], color=colour, lw=2, label=name) for name, colour in zip(parts, colours, strict=False)]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)
    return figure


def planes(panels: dict[str, tuple[np.ndarray, np.ndarray]], classes: Sequence[str]) -> Figure:
    """Points coloured by class, a panel for each of several things, all on one scale.

    Args:
        panels: by title, points (N, 2) and labels (N,).
        classes: names of the classes, at most seven.
    """
    figure, axes = _new(1.9 * len(panels), 2.4, 1, len(panels))
    colours, reach = list(COLOURS.values()), 1.05 * max(np.abs(points).max() for points, _ in panels.values())
    for panel, (title, (points, labels)) in zip(axes[0], panels.items(), strict=True):
        for k, name in enumerate(classes):
            mine = labels == k
            panel.scatter(points[mine, 0], points[mine, 1], s=7, color=colours[k], label=name, alpha=0.7, lw=0)
        panel.set(xticks=[], yticks=[], aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach), title=title)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(classes), markerscale=2, frameon=False)
    return figure
