"""Values with their intervals as cells that are coloured by the value."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dferlib.book.formats import Ranged, written
from dferlib.book.plots.style import INK, new_figure

HALFWAY = 0.245  # relative luminance from which INK is read better than white: (L + .05)^2 = (.033 + .05) * 1.05


def interval_cells(
    cells: Mapping[str, Mapping[str, Ranged | None]],
    words: str,
    digits: int = 2,
    lines: tuple[int, ...] = (),
    times: float = 1,
    **how: Any,
) -> Figure:
    """A cell for each row and column, with a value and the ends of its interval in it.

    Args:
        cells: the values by row and column, as they are; None where there is none.
        words: what they are.
        digits: after the point.
        lines: rows above which a line is drawn.
        times: what they are multiplied by: 100 gives percent.
        how: goes to seaborn's heat map, such as `cmap`, `center`.
    """
    import seaborn as sns

    found = pd.DataFrame(cells).T
    values = found.map(lambda it: np.nan if it is None else times * it.value).astype(float)
    said = found.map(lambda it: "" if it is None else _stacked(it, digits, times))
    rows, columns = found.shape
    longest = max(len(str(name)) for name in found.index)
    figure, axes = new_figure(0.52 * columns + 0.075 * longest + 1.2, 0.5 * rows + 1.2)
    panel = axes[0, 0]
    sns.heatmap(
        values, annot=said, fmt="", annot_kws={"size": 7}, cbar_kws={"label": words, "pad": 0.01}, ax=panel, **how
    )
    painted = panel.collections[0].get_facecolors()[values.notna().to_numpy().ravel()]
    for text, colour in zip(panel.texts, painted, strict=True):  # seaborn turns to white too soon
        text.set_color(INK if sns.utils.relative_luminance(colour) > HALFWAY else "white")
    panel.hlines(lines, 0, columns, color=INK)
    panel.set_xticks(panel.get_xticks(), found.columns, rotation=35, ha="right")
    return figure


def _stacked(it: Ranged, digits: int, times: float) -> str:
    """A value over the ends of its interval, in three short lines, so that a page has room for many columns."""
    value, low, high = (written(round(times * end, digits) + 0.0, f".{digits}f") for end in (it.value, it.low, it.high))
    return f"{value}\n{low} to\n{high}"
