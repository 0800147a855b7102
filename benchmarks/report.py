"""What `make bench` prints and draws: the tables of chapter 12, its chart, and the ratios."""

from pathlib import Path

from benchmarks.guard import Ratio
from dferlib.book import plots
from dferlib.book.speeds import Speeds


def tables(speeds: Speeds) -> list[str]:
    """Each table as text, under what it shows."""
    shown = (
        ("One clip of 16 frames; shares in percent of the rate of matrix products", speeds.models(True), 1),
        ("Other numbers of frames, and batches", speeds.other_sizes(), 1),
        ("The powers of frames and places that the time of attention grows with", speeds.growth(), 2),
        ("Local + global attention: by which factors it is cheaper than joint attention", speeds.saving(), 2),
        ("Where the time of a forward pass goes", speeds.parts(), 0),
    )
    return [
        f"{title}\n{table.to_string(float_format=f'{{:.{digits}f}}'.format, na_rep='-')}"
        for title, table, digits in shown
    ]


def draw(speeds: Speeds, path: Path) -> None:
    """The chart of chapter 12 as a file; none, where there was no time for a forward pass."""
    times, own = speeds.forwards()
    path.unlink(missing_ok=True)
    if times:
        plots.speeds(times, own).savefig(path)


def verdicts(found: list[Ratio]) -> list[str]:
    """A line for each ratio."""
    lines = [f"{'ratio, turn by turn':42} {'now':>7} {'middle half':>16} {'accepted':>9}"]
    for one in found:
        now, middle, accepted = "-", "", "-"
        if one.found:
            now, middle = f"{one.found[0]:.2f}", "{1:.2f} to {2:.2f}".format(*one.found)
        if one.accepted is not None:
            accepted = f"{one.accepted:.2f}"
        lines.append(f"{one.name:42} {now:>7} {middle:>16} {accepted:>9}  {one.verdict}")
    return lines
