"""Gains that were claimed beside gains that were found."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from dferlib.book.plots.style import INK, new_figure

LOOKS = ("#0072B2", "o"), ("#CC79A7", "s"), ("#8C8C8C", "o"), ("#D55E00", "D")  # colour and mark of each kind
STRAIGHT = 5.0  # points to both sides of 0 that the axis shows in their true proportion
TICKS = (-50, -20, -5, -2, 0, 2, 5, 20, 50)


@dataclass(frozen=True)
class Gain:
    """A row of the picture. All gains are in points.

    Attributes:
        name: what stands at the left.
        found: the gain with the ends of its interval: value, low, high.
        printed: gains that were claimed, one for each data set.
        kind: a number into the names of `gains`.
        hollow: whether the mark is drawn hollow.
    """

    name: str
    found: tuple[float, float, float]
    printed: Sequence[float]
    kind: int
    hollow: bool


def gains(rows: Sequence[Gain], kinds: Sequence[str], hollow: str) -> Figure:
    """Claimed gains as upright strokes, and what was found as marks with intervals, a row each; a line stands at zero.

    The axis is straight near zero and logarithmic beyond, so that gains of a point and of fifty can both be seen.

    Args:
        rows: from top to bottom.
        kinds: at most four names, for the legend.
        hollow: what a hollow mark means.
    """
    figure, axes = new_figure(7.6, 0.235 * len(rows) + 1.0)
    panel = axes[0, 0]
    panel.axvline(0, color=INK, lw=0.8)
    for number, row in enumerate(rows):
        (value, low, high), (colour, mark) = row.found, LOOKS[row.kind]
        panel.hlines(number, low, high, color=colour, lw=1.8)
        panel.plot(value, number, mark, color=colour, mfc="white" if row.hollow else colour, ms=5.5, mew=1.4)
        panel.plot(row.printed, [number] * len(row.printed), "|", color="black", ms=12, mew=1.8)
    panel.set_xscale("symlog", linthresh=STRAIGHT, linscale=0.9)
    panel.set_yticks(range(len(rows)), [row.name for row in rows])
    panel.set(ylim=(len(rows) - 0.5, -0.5), xlabel="gain in points")
    ends = [end for row in rows for end in (*row.found, *row.printed)]
    low, high = min(*ends, -2), max(*ends, 2)
    panel.set_xticks([tick for tick in TICKS if low <= tick <= high])
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+.0f}".replace("-", "−") if x else "0"))
    panel.minorticks_off()
    panel.set_xlim(low * 1.2, high * 1.2)
    panel.grid(axis="x", color="#E5E5E5", lw=0.7)
    panel.set_axisbelow(True)
    shown = sorted({row.kind for row in rows})
    keys = [Line2D([], [], color=LOOKS[kind][0], marker=LOOKS[kind][1], lw=1.8, label=kinds[kind]) for kind in shown]
    keys.append(Line2D([], [], color="black", marker="|", ms=11, mew=1.8, lw=0, label="printed"))
    if any(row.hollow for row in rows):
        keys.append(Line2D([], [], color=INK, marker="o", mfc="white", lw=0, label=hollow))
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False)
    return figure
