"""The comparison of rendered people with photographed ones, as a table and a picture."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

MEAN_BOUND = 0.25  # of a real standard deviation: as far apart may the means of a distance be
SPREAD_BOUNDS = (0.8, 1.25)  # of the real standard deviation


def compare(names: tuple[str, ...], real: np.ndarray, rendered: np.ndarray) -> pd.DataFrame:
    """Set the measures of N photographed and M rendered people beside each other.

    Args:
        names: of K measures.
        real: (N, K).
        rendered: (M, K).

    Returns:
        A row for each measure: means, standard deviations, `apart` (of the means, in real standard deviations) and
        `ratio` (of the standard deviations, rendered to real).
    """
    spread = real.std(0, ddof=1)
    table = pd.DataFrame({"real": real.mean(0), "real sd": spread}, index=pd.Index(names, name="measure"))
    table["rendered"], table["rendered sd"] = rendered.mean(0), rendered.std(0, ddof=1)
    table["apart"] = (table["rendered"] - table["real"]) / spread
    table["ratio"] = table["rendered sd"] / spread
    return table


def composed(rendered: np.ndarray, groups: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Move the measures of rendered people to what they would be if their groups were as frequent as others' are.

    Of the people photographed in London three quarters are of one ancestry, of MakeFaces a third: their means differ
    where the groups' do, though everybody may look as they should.

    Args:
        rendered: (M, K) measures.
        groups: (M, G) how much each of them belongs to each group, see `proportions.groups_of`.
        wanted: (N, G) the same of those with whom they are compared.
    """
    by_group, *_ = np.linalg.lstsq(groups, rendered, rcond=None)
    return rendered + (wanted.mean(0) - groups.mean(0)) @ by_group


def within(table: pd.DataFrame) -> pd.Series:
    """Which measures of a table agree: in mean within `MEAN_BOUND`, in spread within `SPREAD_BOUNDS`."""
    return (table["apart"].abs() <= MEAN_BOUND) & table["ratio"].between(*SPREAD_BOUNDS)


def correlation_gap(real: np.ndarray, rendered: np.ndarray) -> float:
    """The root of the mean squared difference between the correlations of K measures in real and rendered people."""
    above = np.triu_indices(real.shape[1], 1)
    gap = np.corrcoef(real.T)[above] - np.corrcoef(rendered.T)[above]
    return float(np.sqrt(np.square(gap).mean()))


def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """A panel for each table: rendered people's means and spreads, in units of real people's, who are the band."""
    rows = sum(len(table) for table in tables.values())
    figure, axes = plt.subplots(
        len(tables),
        squeeze=False,
        figsize=(7, 0.26 * rows + 1.2),
        layout="constrained",
        height_ratios=[len(table) for table in tables.values()],
    )
    for ax, (title, table) in zip(axes[:, 0], tables.items(), strict=True):
        at = np.arange(len(table))[::-1]
        ax.axvspan(-1, 1, color="0.92", zorder=0)
        ax.axvline(0, color="0.6", linewidth=1, zorder=1)
        ax.errorbar(table["apart"], at, xerr=table["ratio"], fmt="o", markersize=4, capsize=2)
        ax.set(yticks=at, yticklabels=table.index, title=title, xlim=(-3.5, 3.5))
    axes[-1, 0].set_xlabel(
        "real standard deviations from the real mean;\nbars: a standard deviation of the rendered, band: of the real"
    )
    return figure


def write(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write each table as CSV, and the picture of all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.round(4).to_csv(folder / f"{name}.csv")
    figure = draw(tables)
    figure.savefig(folder / "realism.png", dpi=150)
    plt.close(figure)
