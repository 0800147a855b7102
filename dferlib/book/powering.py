"""A figure that answers: how many seeds it takes to see a gap between two models, by formula and in drawn studies."""

import math
from collections.abc import Sequence

from scipy import stats

from dferlib.book.controls import button, said, slider, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.errors import InputError

GAPS, SPREADS, SEEDS = (0.1, 6.0), (0.2, 6.0), (2, 40)
STUDIES = 40  # that are drawn
WANTED, LEVEL = 0.8, 0.05
SEED = 1


def power_explorer(gap: float, spread: float, seeds: int, *, claimed: float | None = None, alt: str) -> Interactive:
    """A true gap, its spread from seed to seed and a number of seeds to drag: the power of a paired t test.

    The curve is `power`. Beside it are studies with so many seeds, drawn with a seed; a button draws others.

    Args:
        gap: between two models at the beginning, in points, from 0.1 to 6.
        spread: standard deviation of the paired differences at the beginning, in points, from 0.2 to 6.
        seeds: of each model at the beginning, from 2 to 40.
        claimed: a gap that stands in the table where scripts are off, beside some others.
        alt: what it shows, for those who do not see it.

    Raises:
        InputError: a value is out of its range.
    """
    inside = (GAPS[0] <= gap <= GAPS[1], SPREADS[0] <= spread <= SPREADS[1], SEEDS[0] <= seeds <= SEEDS[1])
    if not all(inside):
        raise InputError(
            f"a gap of {gap}, spread {spread}, {seeds} seeds: give a gap from {GAPS[0]:g} to {GAPS[1]:g}, a spread from"
            f" {SPREADS[0]:g} to {SPREADS[1]:g}, and {SEEDS[0]} to {SEEDS[1]} seeds"
        )
    counts = range(SEEDS[0], SEEDS[1] + 1)
    reach = float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(WANTED))
    data = {
        "edges": [round(edge_of(count), 6) for count in counts],
        "wanted": WANTED,
        "reach": reach,
        "studies": STUDIES,
        "seed": SEED,
    }
    gaps = sorted({0.5, 1.0, 2.0, 4.0} | ({claimed} if claimed else set()))
    return explorer(_body(gap, spread, seeds, gaps), data, "powering", alt=alt)


def edge_of(seeds: int) -> float:
    """How large t must be, in either direction, for a paired test of so many seeds to call a gap significant."""
    return float(stats.t.ppf(1 - LEVEL / 2, seeds - 1))


def power(seeds: int, gap: float, spread: float) -> float:
    """How probable it is that a paired t test finds a true gap.

    Args:
        seeds: of each model, at least 2.
        gap: the true difference.
        spread: standard deviation of the paired differences.
    """
    shift, edge = gap * math.sqrt(seeds) / spread, edge_of(seeds)
    below = float(stats.nct.cdf(-edge, seeds - 1, shift))
    return float(stats.nct.sf(edge, seeds - 1, shift)) + (0.0 if math.isnan(below) else below)  # nan: next to nothing


def _body(gap: float, spread: float, seeds: int, gaps: Sequence[float]) -> str:
    """All of it but style and script. The script draws both sides."""
    sliders = (
        slider("gap", "true gap", gap, GAPS, 0.1)
        + slider("spread", "spread", spread, SPREADS, 0.1)
        + slider("seeds", "seeds", seeds, SEEDS, 1)
    )
    return (
        f'<div class="fim-live">{sliders}<div class="fim-sides fim-charts"><div class="fim-power"></div>'
        f'<div class="fim-studies"></div></div>{button("again", "Draw again")}</div>{said()}'
        f"{_still(spread, gaps, (2, 3, 5, 10, 20, 40))}"
    )


def _still(spread: float, gaps: Sequence[float], counts: Sequence[int]) -> str:
    """The power at some places, where scripts are off."""
    rows = [[str(count), *(f"{100 * power(count, gap, spread):.0f}" for gap in gaps)] for count in counts]
    head = ["seeds", *(f"a gap of {gap:g}" for gap in gaps)]
    return table(f"Power of a paired t test in %, for gaps in points and a spread of {spread:.1f} points", head, rows)
