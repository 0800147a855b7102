"""Printed tables set beside themselves: recalls and whole clips, means, and the course of a rival's trainings."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from dferlib.book.plots.style import ACCENT, INK, SECOND, new_figure


def peaks(panels: dict[str, tuple[np.ndarray, np.ndarray]], most: int) -> Figure:
    """How many printed percentages are whole numbers of so many clips; the highest bar is marked.

    Args:
        panels: by title, numbers of clips (N,) and how many percentages fit each (N,).
        most: how many percentages there are.
    """
    figure, axes = new_figure(2.8 * len(panels), 2.3, 1, len(panels))
    for number, (panel, (title, (clips, counts))) in enumerate(zip(axes[0], panels.items(), strict=True)):
        best = int(counts.argmax())
        panel.vlines(clips, 0, counts, color="#AAAAAA", lw=0.8)
        panel.vlines(clips[best], 0, counts[best], color=SECOND, lw=2.4)
        panel.annotate(f"{clips[best]:,}", (clips[best], counts[best]), (4, -2), textcoords="offset points", va="top")
        panel.set(xlabel=f"clips of {title}", ylim=(0, most + 0.5), xlim=(clips[0], clips[-1]))
        if number == 0:
            panel.set_ylabel("recalls that fit")
    return figure


def deviations(names: Sequence[str], uar: np.ndarray, war: np.ndarray, named: float) -> Figure:
    """How far UAR and WAR lie from what the recalls of their row give, in points.

    Args:
        names: of the rows.
        uar: computed minus printed (N,).
        war: the same (N,).
        named: rows farther away than this in UAR get their name.
    """
    figure, axes = new_figure(5.2, 2.8)
    panel, off = axes[0, 0], np.abs(uar) > named
    panel.axhline(0, color="#BBBBBB", lw=0.8)
    panel.axvline(0, color="#BBBBBB", lw=0.8)
    panel.plot(uar[~off], war[~off], "o", color=ACCENT, ms=6, alpha=0.5, label="rows that agree")
    panel.plot(uar[off], war[off], "D", color=SECOND, ms=7, label="rows that do not")
    for name, x, y in sorted(set(zip(np.asarray(names)[off], uar[off], war[off], strict=True))):
        panel.annotate(name, (x, y), (-8, 0), textcoords="offset points", ha="right", va="center")
    panel.set(xlabel="UAR: computed minus printed, in points", ylabel="WAR: the same")
    panel.legend(loc="upper left", frameon=False)
    return figure


def gaps(names: Sequence[str], values: Sequence[float], words: str) -> Figure:
    """Differences as bars, with their numbers.

    Args:
        names: of what is compared (N,).
        values: one number above the other (N,).
        words: what the level axis shows.
    """
    figure, axes = new_figure(6.2, 0.28 * len(names) + 0.8)
    panel, lines = axes[0, 0], range(len(names))
    panel.barh(lines, values, height=0.6, color=ACCENT)
    for line, value in zip(lines, values, strict=True):
        panel.annotate(f"{value:.2f}", (value, line), (4, 0), textcoords="offset points", va="center")
    panel.set_yticks(lines, names)
    panel.invert_yaxis()
    panel.set(xlabel=words, xlim=(0, 1.12 * max(values)))
    return figure


def epochs(course: np.ndarray, names: Sequence[str], late: int) -> Figure:
    """Test accuracy after every epoch, with the best epoch and the last; the late ones are shaded.

    Args:
        course: in percent (epochs, lines).
        names: of the lines.
        late: how many epochs at the end are late. Twice as many decide how far down the axis goes.
    """
    figure, axes = new_figure(7.4, 3.0)
    panel, time = axes[0, 0], np.arange(1, len(course) + 1)
    panel.axvspan(len(course) - late + 0.5, len(course) + 0.5, color="#F0F0F0", lw=0)
    for line, name in zip(course.T, names, strict=True):
        panel.plot(time, line, lw=1, label=name)
    best, lines = course.argmax(0), np.arange(course.shape[1])
    panel.plot(time[best], course[best, lines], "^", color=SECOND, ms=8, ls="", label="best test epoch")
    panel.plot(np.full(len(lines), time[-1]), course[-1], "o", color=INK, ms=5, ls="", label="last epoch")
    panel.set(xlabel="epoch", ylabel="WAR on the test clips in %", xlim=(1, len(course) + 1))
    panel.set_ylim(course[-2 * late :].min() - 1, course.max() + 1)
    panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure
