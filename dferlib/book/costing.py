"""A figure that answers: what every model reaches against what it costs, by the cost that the reader chooses."""

import html
from collections.abc import Sequence

from dferlib.book.controls import choice, said
from dferlib.book.explorers import Interactive, explorer
from dferlib.book.zoo import COSTS, STARTS, Entry
from dferlib.errors import InputError, choose

PAPER = "paper_"  # how the keys of costs at paper scale begin
HEADS = {  # above the columns of the table
    "macs": "million MACs",
    "parameters": "million parameters",
    "memory": "MiB",
    "energy": "mJ, estimated",
    "paper_macs": "billion MACs",
    "paper_ms": "ms",
    "paper_memory": "MiB",
}


def cost_chart(entries: Sequence[Entry], cost: str = "macs", *, classes: int = 7, alt: str) -> Interactive:
    """UAR against cost on a logarithmic axis, with intervals and Pareto's front, and all of it in a table below.

    The reader chooses the cost, and a model by mouse, by touch, with the arrow keys or in the table; the figure then
    says what is known of it. A model whose records are still to be made again is marked.

    Args:
        entries: the models, see `dferlib.book.zoo.zoo`.
        cost: a key of `COSTS` for the beginning.
        classes: how many there are, for the line of chance.
        alt: what it shows, for those who do not see it.

    Raises:
        InputError: there are no models, or no such cost.
    """
    choose("cost", cost, COSTS)
    if not entries:
        raise InputError("there is no model to show: give the entries of dferlib.book.zoo.zoo")
    data = {
        "costs": COSTS,
        "starts": STARTS,
        "chance": 1 / classes,
        "models": [
            {
                **{"name": one.name, "uar": [one.uar.value, one.uar.low, one.uar.high], "costs": one.costs},
                **{"start": one.start, "seeds": one.seeds, "waiting": one.is_waiting},
                "printed": one.printed,
            }
            for one in entries
        ],
    }
    body = (
        f'<div class="fim-live fim-chosen">{choice("cost", "Cost", _names(), cost)}</div>'
        '<div class="fim-live fim-plot-of-costs" tabindex="0" role="group" aria-label="Models by cost and UAR: left '
        'and right go to the next model by cost, up and down by UAR"></div><ul class="fim-live fim-keys"></ul>'
        f"{said()}{_table(entries)}"
    )
    return explorer(body, data, "costs", alt=alt)


def _names() -> list[tuple[str, str]]:
    return [(key, f"{name[0].upper()}{name[1:]}") for key, (name, _) in COSTS.items()]


def _table(entries: Sequence[Entry]) -> str:
    """All that is known, with and without scripts: two lines a model, the second says where it comes from."""
    book = sum(not key.startswith(PAPER) for key in HEADS)
    groups = ("", "1"), ("", "1"), ("a clip at book scale", f"{book}"), ("at paper scale", f"{len(HEADS) - book}")
    top = "".join(
        f'<th scope="colgroup" colspan="{span}"{_hidden(PAPER if k == 3 else "")}>{text}</th>'
        for k, (text, span) in enumerate(groups)
    )
    heads = "".join(f'<th scope="col"{_hidden(key)}>{text}</th>' for key, text in HEADS.items())
    note = "* The record is of faces as the library rendered them before; it is to be made again."
    return (
        "<details open><summary>What each model reaches and costs; its record, its weights where they are kept, the "
        "command that makes it again, and what the papers print of it on real clips</summary><table>"
        f'<thead><tr>{top}</tr><tr><th scope="col">model</th><th scope="col">UAR in %</th>{heads}</tr></thead>'
        f"{''.join(map(_rows, entries))}</table>"
        f'<p class="fim-note">{note if any(one.is_waiting for one in entries) else ""}</p></details>'
    )


def _rows(entry: Entry) -> str:
    """One model's lines in the table."""
    mark = "*" if entry.is_waiting else ""
    low, high = (f"{100 * end:.1f}" for end in (entry.uar.low, entry.uar.high))
    cells = "".join(f"<td{_hidden(key)}>{_cost(entry, key)}</td>" for key in HEADS)
    codes = " ".join(f"<code>{html.escape(it)}</code>" for it in (entry.record, entry.weights, entry.command) if it)
    told = f" Printed: {html.escape(entry.printed)}." if entry.printed else ""
    return (
        f'<tbody data-model="{html.escape(entry.name)}"><tr><th scope="row"><button type="button" class="fim-name">'
        f"{html.escape(entry.name)}</button>{mark}</th>"
        f"<td>{100 * entry.uar.value:.1f} <small>{low} to {high}</small></td>{cells}</tr>"
        f'<tr class="fim-source"><td colspan="{2 + len(HEADS)}">{codes}<small>{told}</small></td></tr></tbody>'
    )


def _hidden(key: str) -> str:
    """Narrow pages leave the costs at paper scale to the sentence about a model."""
    return ' class="fim-wide"' if key.startswith(PAPER) else ""


def _cost(entry: Entry, key: str) -> str:
    """One cost; of the estimated energy both ends."""
    least = entry.costs["energy_least"] if key == "energy" else None
    return _short(entry.costs[key]) + ("" if least is None else f" <small>from {_short(least)}</small>")


def _short(value: float | None) -> str:
    """Three digits that count; nothing where nobody has measured."""
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"
