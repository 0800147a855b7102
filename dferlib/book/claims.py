"""The claims of a paper as a picture and as a table, from `dferlib.evidence.claims`."""

import html
from itertools import groupby

from matplotlib.figure import Figure

from dferlib.book.explorers import Interactive
from dferlib.book.formats import written
from dferlib.book.plots.gains import LOOKS, Gain, gains
from dferlib.evidence.claims import COST, OF_MAPS, RATIO, VERDICTS, Judged, Judgement

WAITS = "from records that wait to be made again"
STYLE = """
.claims table { border-collapse: collapse; width: 100%; font-size: 0.9em; }
.claims caption { caption-side: top; text-align: left; padding: 0.4em 0; }
.claims th, .claims td { text-align: left; vertical-align: top; padding: 0.3em 0.6em; }
.claims tbody tr { border-top: 1px solid rgba(128, 128, 128, 0.35); }
.claims tbody th { padding-top: 0.9em; }
.claims td:first-child { min-width: 14em; }
.claims td + td { white-space: nowrap; }
.claims summary { cursor: pointer; }
.claims details p { margin: 0.3em 0 0.3em 1em; white-space: normal; }
.claims i { display: inline-block; width: 0.7em; height: 0.7em; margin-right: 0.4em; }
"""


def claims_figure(judgement: Judgement, paper: str) -> Figure:
    """The printed gains of a paper against ours, a row for each claim that records test.

    Claims without records have no row, and neither have costs, which are counted and have no interval, nor distances
    and scores of maps.
    """
    rows = [
        Gain(
            one.claim.says,
            (100 * one.found.value, 100 * one.found.low, 100 * one.found.high),
            [100 * gain for gain in one.claim.printed.values()],
            VERDICTS.index(one.verdict),
            one.waits,
        )
        for one in judgement.of(paper)
        if one.found is not None and one.claim.ours is not None
    ]
    return gains(rows, VERDICTS, WAITS)


def claims_table(judgement: Judgement, paper: str) -> Interactive:
    """Every claim of a paper: what is printed, what was found here, the verdict; and, to unfold, what it would need."""
    chosen = judgement.of(paper)
    rows = []
    for where, some in groupby(chosen, lambda one: one.claim.where):
        rows.append(f'<tr><th colspan="4" scope="rowgroup">{html.escape(where[0].upper() + where[1:])}</th></tr>')
        rows += [_row(one) for one in some]
    star = f" * {WAITS}." if any(one.waits for one in chosen) else ""
    caption = (
        f"The claims of {paper}. Gains are points of the metric, of a cost or of a ratio of distances percent of it; "
        f"scores of maps stand as they are. “Here” is our gain with its interval of {written(judgement.level, '%')}. "
        f"Unfold a claim to see the control that it needs, and what would settle it.{star}"
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Claim", "Printed", "Here", "Verdict"))
    body = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    alt = f"Table of the {len(chosen)} claims of {paper} with their verdicts"
    return Interactive(f'<div class="claims"><style>{STYLE}</style>{body}</div>', alt)


def _row(one: Judged) -> str:
    claim, unit = one.claim, "%" if one.claim.metric in (COST, RATIO) else "points"
    tested = claim.tested_by if one.found else ""
    notes = {
        "What it needs.": claim.needs,
        "Tested by:": tested,
        "What is missing here.": one.lacks,
        "What would settle it.": claim.settle,
    }
    told = "".join(f"<p><b>{name}</b> {html.escape(text)}</p>" for name, text in notes.items() if text)
    printed = "<br>".join(f"{written(gain, '+.2%')[:-2]} {html.escape(data)}" for data, gain in claim.printed.items())
    metric = f" <small>{html.escape(claim.metric)}</small>" if printed else ""
    cells = (
        f"<details><summary>{html.escape(claim.says)}</summary>{told}</details>",
        f"{printed}{metric}" if printed else "no number",
        _found(one, unit),
        f'<i style="background:{LOOKS[VERDICTS.index(one.verdict)][0]}"></i>{one.verdict}',
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _found(one: Judged, unit: str) -> str:
    if one.found is None:
        return "no record"
    if one.claim.counted is not None:
        return f"{written(one.found.value, '+%')} (counted)"
    if one.claim.metric in OF_MAPS:
        return written(one.found, "+.2f") + (" *" if one.waits else "")
    return written(one.found, f"+{unit}").replace(f" {unit}", "") + (" *" if one.waits else "")
