"""What an attention sees, and what it costs as clips grow."""

import itertools
import math
from collections.abc import Collection, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dferlib.book.plots.style import ACCENT, INK, SECOND, new_figure


def attention_reach(frames: int, places: int, seen: dict[str, np.ndarray], query: tuple[int, int]) -> Figure:
    """What a query sees, as a grid of frames by places, one panel an attention.

    Args:
        frames: F, drawn as columns.
        places: S, drawn as rows.
        seen: for each attention's name, (F, S) bool or weights from 0 to 1.
        query: frame and place that look.
    """
    figure, axes = new_figure(2.5 * len(seen), 0.16 * places + 0.8, 1, len(seen))
    for panel, (name, cells) in zip(axes[0], seen.items(), strict=True):
        panel.imshow(np.asarray(cells, dtype=float).T, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
        panel.add_patch(plt.Rectangle((query[0] - 0.5, query[1] - 0.5), 1, 1, color=SECOND))
        panel.set_xticks(np.arange(-0.5, frames), minor=True)
        panel.set_yticks(np.arange(-0.5, places), minor=True)
        panel.grid(which="minor", color="#BBBBBB", lw=0.5)
        panel.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
        panel.set(title=name, xlabel="frames", ylabel="places")
    return figure


def attention_reach_in_frames(
    seen: dict[str, np.ndarray], query: tuple[int, int], windows: dict[str, tuple[int, int, int]] | None = None
) -> Figure:
    """What a query sees, as the maps of the clip's frames side by side, one row an attention.

    Args:
        seen: for each attention's name, (F, S) bool or weights from 0 to 1; the S places are a square map, row by row.
        query: frame and place that look.
        windows: for an attention's name, the frames, rows and columns of its windows: their borders are drawn, and a
            bar joins the frames of a window.
    """
    F, S = next(iter(seen.values())).shape
    side = math.isqrt(S)
    left = np.arange(F) * (side + 1)  # where each frame begins: one cell is free between two
    figure, axes = new_figure(8.4, 0.75 * len(seen) + 0.2, len(seen))  # room for the names is the same in all figures
    for panel, (name, cells) in zip(axes[:, 0], seen.items(), strict=True):
        for start, cell in zip(left, np.asarray(cells, dtype=float).reshape(F, side, side), strict=True):
            edges = np.arange(side + 1)
            panel.pcolormesh(edges + start, edges, cell, cmap="Blues", vmin=0, vmax=1.4, ec="#BBBBBB", lw=0.5)
        column, row = left[query[0]] + query[1] % side, query[1] // side
        panel.add_patch(plt.Rectangle((column, row), 1, 1, color=SECOND, lw=0))
        if windows and name in windows:
            f, h, w = windows[name]
            corners = [(float(x + start), y) for start in left for x in range(0, side, w) for y in range(0, side, h)]
            for corner in corners:
                panel.add_patch(plt.Rectangle(corner, w, h, fill=False, ec=INK, lw=1.3))
            panel.hlines([side + 0.45] * (F // f), left[::f], left[f - 1 :: f] + side, color=INK, lw=1.8)
        panel.text(-1, side / 2, name, ha="right", va="center")
        panel.set(xlim=(-2 * side, left[-1] + side + 0.1), ylim=(side + 0.7, -0.1), aspect="equal")
        panel.set_axis_off()
    for t, start in enumerate(left):
        axes[0, 0].text(start + side / 2, -0.4, f"frame {t + 1}", ha="center", va="bottom")
    return figure


def scaling(
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
    figure, axes = new_figure(min(9.0, 2.9 * len(panels) + 1.4), 3.0, 1, len(panels))
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
