"""The findings of the audit as a list on a page: each opens, and then says how it was found and what may excuse it."""

import html
from collections.abc import Iterable
from dataclasses import dataclass

from dferlib.evidence.audit import Finding

STYLE = (
    "<style>.fim-audit details{margin:.25em 0}.fim-audit summary{cursor:pointer}.fim-audit dl{margin:.3em 0 .8em 1.2em}"
    ".fim-audit dt{font-weight:600}.fim-audit dd{margin-left:1.2em}</style>"
)


@dataclass(frozen=True)
class FindingList:
    """Findings that open.

    Attributes:
        findings: in their order.
    """

    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        return "\n".join(f"{one.paper}, {one.where}: {one.printed}. {one.found}." for one in self.findings)

    def _repr_html_(self) -> str:
        return f'{STYLE}<div class="fim-audit">{"".join(map(_opening, self.findings))}</div>'


def finding_list(findings: Iterable[Finding], paper: str = "") -> FindingList:
    """The findings of a paper, or all.

    Args:
        findings: as `dferlib.evidence.audit.audit` gives them.
        paper: only those that concern it.
    """
    return FindingList(tuple(one for one in findings if paper in one.paper))


def _opening(one: Finding) -> str:
    rest = {"How it was found": one.how, "The likeliest innocent explanation": one.innocent}
    inside = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in rest.items())
    place = f"<b>{html.escape(one.paper)}</b>, {html.escape(one.where)}"
    both = f"{html.escape(one.printed)} → {html.escape(one.found)}"
    return f"<details><summary>{place}: {both}</summary><dl>{inside}</dl></details>"
