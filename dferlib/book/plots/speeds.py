"""How long models take, against what the machine could do at its best."""

from collections.abc import Collection

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dferlib.book.plots.style import ACCENT, INK, SECOND, new_figure


def speeds(times: dict[str, tuple[float, float, float, float]], own: Collection[str]) -> Figure:
    """A row a model on a logarithmic axis: a dot for its time, a tick for the least that it could be, a line between.

    Args:
        times: by name, in milliseconds: the median, the quartiles, and the least.
        own: names of the library's models, which are drawn full; those of others are hollow.
    """
    figure, axes = new_figure(7.4, 0.23 * len(times) + 1.0)
    panel, heights = axes[0, 0], np.arange(len(times))
    median, low, high, least = np.array(list(times.values())).T
    mine = np.array([name in own for name in times])
    panel.hlines(heights, least, median, color="#CCCCCC", lw=2, zorder=1)
    panel.plot(least, heights, "|", color=INK, ms=9, mew=1.6, label="at the rate of matrix products")
    for chosen, colour, fill, word in ((mine, ACCENT, ACCENT, "dferlib"), (~mine, SECOND, "white", "others")):
        panel.hlines(heights[chosen], low[chosen], high[chosen], color=colour, lw=1.4, zorder=2)
        panel.plot(median[chosen], heights[chosen], "o", color=colour, mfc=fill, ms=5.5, zorder=3, label=word)
    panel.set_yticks(heights, list(times))
    panel.set(ylim=(len(times) - 0.4, -0.6), xlabel="milliseconds for a clip", xscale="log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(axis="x", color="#EEEEEE", lw=0.7)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
