"""How a result that three of the papers print came about, by the public logs of its training."""

from dferlib.evidence.audit.finding import Finding
from dferlib.evidence.audit.tables import Tables
from dferlib.evidence.epochs import choice


def findings(tables: Tables) -> list[Finding]:
    """Former-DFER, the method that all gains are over, on both data sets that its logs are of."""
    return [_dfew(tables), _afew(tables)]


def _dfew(tables: Tables) -> Finding:
    printed = tables.value(paper="STT", table="Table 3", dataset="DFEW", method="Former-DFER", metric="WAR")
    papers = tables.rows(dataset="DFEW", method="Former-DFER", metric="WAR")["paper"].unique()
    course = tables.course("DFEW") / 100
    found = choice(course)
    best, last, late = (100 * one.value for one in (found.best, found.last, found.late))
    return Finding(
        "former-dfer-on-dfew",
        ", ".join(papers),
        "Tables of results on DFEW, Former-DFER",
        f"WAR {printed:.2f}",
        f"{last:.2f} after the last epoch, {late:.2f} in the mean of the last twenty",
        f"Public logs of {course.shape[1]} folds and {len(course)} epochs: the mean of each fold's best test epoch is "
        f"{best:.2f}, as printed.",
        "DFEW has no validation split, and the papers do not say how they chose. It flatters whoever does the same.",
        bool(round(best, 2) == printed and found.over_last.low > 0 and found.over_late.low > 0),
    )


def _afew(tables: Tables) -> Finding:
    printed = tables.value(paper="STT", table="Table 4", dataset="AFEW", method="Former-DFER", metric="WAR")
    own = tables.value(paper="STT", table="Table 4", dataset="AFEW", method="STT", metric="WAR")
    course = tables.course("AFEW")[:, 0]
    return Finding(
        "former-dfer-on-afew",
        "STT",
        "Table 4, Former-DFER",
        f"WAR {printed:.2f}",
        f"{course[-1]:.2f} after the last epoch",
        f"Public log of {len(course)} epochs: epoch {course.argmax() + 1} is the best on the test clips, with "
        f"{course.max():.2f}, as printed. STT is {own - printed:.2f} points above it; how its epoch was chosen is not "
        "said.",
        "AFEW's test labels are not public; its validation clips serve to choose and to report.",
        bool(round(course.max(), 2) == printed and course[-1] < course.max()),
    )
