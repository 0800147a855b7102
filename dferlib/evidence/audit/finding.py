"""What the audit says of a paper."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that does not come out as it is printed.

    Attributes:
        name: short, the same in every version.
        paper: whose; several where they share it.
        where: section, table or equation.
        printed: what is printed there.
        found: what the paper's own data give.
        how: how that was computed.
        innocent: the likeliest harmless reason.
        holds: whether the finding still follows from the data.
    """

    name: str
    paper: str
    where: str
    printed: str
    found: str
    how: str
    innocent: str
    holds: bool
