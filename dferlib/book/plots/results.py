"""What training and evaluation came to: curves, confusion, recalls, intervals, embeddings, gradients."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dferlib.book.plots.style import ACCENT, INK, SECOND, new_figure
from dferlib.emotions import COLOURS, EMOTIONS


def curves(history: Sequence[dict[str, float]], best: int) -> Figure:
    """Loss, and training accuracy against validation recall, over the epochs.

    Args:
        history: one record an epoch, as `History.to_dict()["epochs"]` has them.
        best: the epoch that was chosen.
    """
    figure, axes = new_figure(8.4, 2.4, 1, 2)
    epochs = [record["epoch"] for record in history]
    left, right = axes[0]
    left.plot(epochs, [record["train_loss"] for record in history], color=ACCENT, marker="o", ms=3)
    left.set(xlabel="epoch", ylabel="training loss")
    right.plot(epochs, [100 * r["train_accuracy"] for r in history], color=INK, ls="--", label="training accuracy")
    right.plot(epochs, [100 * r["val_uar"] for r in history], color=ACCENT, marker="o", ms=3, label="validation UAR")
    right.axvline(best, color=SECOND, lw=1, label=f"chosen: epoch {best}")
    right.set(xlabel="epoch", ylabel="%", ylim=(0, 102))
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)  # within, the line would cross its words
    for panel in (left, right):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def confusion(counts: np.ndarray, classes: Sequence[str] = EMOTIONS) -> Figure:
    """A confusion matrix in percent of each true class, true classes as rows."""
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = new_figure(4.4, 3.9)
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


def scatter(points: np.ndarray, labels: np.ndarray, classes: Sequence[str] = EMOTIONS) -> Figure:
    """Clips as points (N, 2), coloured by class."""
    figure, axes = new_figure(5.4, 3.8)
    panel = axes[0, 0]
    for k, name in enumerate(classes):
        mine = labels == k
        panel.scatter(points[mine, 0], points[mine, 1], s=9, color=COLOURS.get(name), label=name, alpha=0.8, lw=0)
    panel.set_axis_off()
    panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2, frameon=False)
    return figure


def scatter_panels(panels: dict[str, tuple[np.ndarray, np.ndarray]], classes: Sequence[str]) -> Figure:
    """Points coloured by class, a panel for each of several things, all on one scale.

    Args:
        panels: by title, points (N, 2) and labels (N,).
        classes: names of the classes, at most seven.
    """
    side = max(1.9, 6.4 / len(panels))
    figure, axes = new_figure(side * len(panels), side + 0.5, 1, len(panels))
    colours, reach = list(COLOURS.values()), 1.05 * max(np.abs(points).max() for points, _ in panels.values())
    for panel, (title, (points, labels)) in zip(axes[0], panels.items(), strict=True):
        for k, name in enumerate(classes):
            mine = labels == k
            panel.scatter(points[mine, 0], points[mine, 1], s=7, color=colours[k], label=name, alpha=0.7, lw=0)
        panel.set(xticks=[], yticks=[], aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach), title=title)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(classes), markerscale=2, frameon=False,
        handletextpad=0.1, columnspacing=1.2,
    )  # fmt: skip
    return figure


def recalls(rows: dict[str, Sequence[float]], classes: Sequence[str] = EMOTIONS) -> Figure:
    """Per-class recall in percent of several models, as dots on one line a class.

    Args:
        rows: for each model's name, one recall (0 to 1) a class.
        classes: names of the classes.
    """
    figure, axes = new_figure(6.2, 2.9)
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
    figure, axes = new_figure(6.2, 0.26 * len(names) + 0.9)
    panel, lines = axes[0, 0], range(len(names))
    panel.hlines(lines, one, other, color="#BBBBBB", lw=1.5)
    panel.plot(one, lines, "o", color=ACCENT, label=words[0], ms=6)
    panel.plot(other, lines, "x", color=SECOND, label=words[1], ms=6, mew=1.8)
    panel.set_yticks(lines, names)
    panel.invert_yaxis()
    ends = min(0.0, *one, *other), max(*one, *other)
    panel.set(xlabel=unit, xlim=(1.05 * ends[0], 1.05 * ends[1]))  # no mark is cut at the edge
    panel.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def dots(x: Sequence[float], y: Sequence[float], words: tuple[str, str]) -> Figure:
    """Two numbers of each of several things, as dots in a plane.

    Args:
        x: the first number of each.
        y: the second.
        words: what the two numbers are, for the axes.
    """
    figure, axes = new_figure(5.0, 2.8)
    panel = axes[0, 0]
    panel.plot(x, y, "o", color=ACCENT, ms=6, alpha=0.8)
    panel.set(xlabel=words[0], ylabel=words[1], ylim=(0, 1.05 * max(y)))
    return figure


def lines(x: np.ndarray, curves: dict[str, np.ndarray], words: tuple[str, str]) -> Figure:
    """Several curves over the same values.

    Args:
        x: the values (N,).
        curves: by name, each (N,).
        words: what the level and the upright axis show.
    """
    figure, axes = new_figure(6.6, 2.9)
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
    figure, axes = new_figure(min(2.6, 8 / len(panels)) * len(panels) + 1.2, 0.32 * len(names) + 0.8, 1, len(panels))
    for number, (panel, (title, rows)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        value, low, high = np.array([rows[name] for name in names]).T
        panel.axvline(0, color=SECOND, lw=1)
        panel.hlines(range(len(names)), low, high, color=ACCENT, lw=2)
        panel.plot(value, range(len(names)), "o", color=ACCENT, ms=6)
        panel.set_yticks(range(len(names)), names if number == 0 else [])
        panel.set(xlabel=title, ylim=(len(names) - 0.5, -0.5))
    return figure


def seeds(values: pd.DataFrame, words: tuple[str, str]) -> Figure:
    """What each seed gives for several numbers, such as those of blocks: a thin line a seed, and squares at the means.

    Args:
        values: a row for each seed, a column for each number; where one is missing its line has a gap.
        words: what the level and the upright axis show.
    """
    figure, axes = new_figure(6.2, 2.6)
    panel, numbers = axes[0, 0], list(values.columns)
    for _, line in values.iterrows():
        panel.plot(numbers, line, "o-", color="#999999", ms=4, lw=0.8)
    panel.plot(numbers, values.mean(), "s", color=ACCENT, label="mean")
    panel.set(xlabel=words[0], ylabel=words[1], xticks=numbers)
    panel.legend(frameon=False)
    return figure


def logit_gradients(
    panels: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]], target: int, classes: Sequence[str] = EMOTIONS
) -> Figure:
    """Logits as bars, and how parts of a loss push each of them, as arrows against the gradient.

    Args:
        panels: by title, the logits (C,) and, by name of the part, its gradient (C,). An arrow of the length 4 of the
            axis is a gradient of 1.
        target: the true class, drawn with a frame.
        classes: names of the classes.
    """
    figure, axes = new_figure(min(2.6, 8.6 / len(panels)) * len(panels) + 0.6, 3.4, 1, len(panels))
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
