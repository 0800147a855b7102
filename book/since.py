"""What has been reported since the four papers, from `results/reported_since.csv`, for the page "What came after".

The page has a place for each table and each sentence with numbers. A sentence whose numbers no longer bear it stops the
build, as those of the chapters do.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from dferlib.book.sentences import state

RESULTS = Path(__file__).resolve().parents[1] / "results"
SETS = ("DFEW", "FERV39k", "MAFW")
OURS = {  # the four papers' own models: method, and by set the table
    "STT": ("STT", {"DFEW": "Table 3"}),
    "LOGO-Former": ("LOGO-Former", {"DFEW": "Table 1", "FERV39k": "Table 2"}),
    "MSSTNet": ("MSSTNet (T=16)", {"DFEW": "Table 3", "FERV39k": "Table 2"}),
}
BEFORE = {  # what each has learnt from before it sees the clips of a data set
    "VideoMAE": "not VoxCeleb2; the table says no more",
    "VideoMAE, VoxCeleb2": "videos of faces, hidden in part",
    "MAE-DFER": "videos of faces, hidden in part",
    "DFER-CLIP": "pictures with their captions",
    "S2D": "photographs with labels of expressions",
    "S2D, oversampled": "the same; rare classes drawn more often",
    "S4D": "videos and photographs of faces",
    "HiCMAE": "videos of faces with sound",
}


class Since:
    """The numbers, by who said them.

    Args:
        folder: with `reported_since.csv` and `reported.csv`.
    """

    def __init__(self, folder: Path = RESULTS) -> None:
        self.rows = pd.read_csv(folder / "reported_since.csv", keep_default_na=False, dtype={"fold": str})
        self.papers = pd.read_csv(folder / "reported.csv")

    def value(self, method: str, dataset: str, metric: str, kind: str = "reported") -> float:
        """What was said of a method as a whole.

        Raises:
            LookupError: nothing was, or several things were.
        """
        rows = self._select(method, dataset, metric, kind)
        if len(rows := rows[rows.fold == ""]) != 1:
            raise LookupError(f"{len(rows)} rows of reported_since.csv have {kind} {metric} of {method} on {dataset}")
        return float(rows.value.iloc[0])

    def folds(self, method: str, dataset: str, metric: str) -> pd.Series:
        """What was said of each fold."""
        rows = self._select(method, dataset, metric, "reported")
        return rows[rows.fold != ""].value

    def quoted(self, method: str, dataset: str, metric: str) -> pd.Series:
        """What others say of a method, by who says it."""
        return self._select(method, dataset, metric, "quoted").set_index("said_by").value

    def _select(self, method: str, dataset: str, metric: str, kind: str) -> pd.DataFrame:
        wanted = {"method": method, "dataset": dataset, "metric": metric, "kind": kind}
        return self.rows[(self.rows[list(wanted)] == pd.Series(wanted)).all(axis=1)]

    def paper(self, name: str, dataset: str, metric: str) -> float | None:
        """What one of the four papers prints of its own model, if it does."""
        method, tables = OURS[name]
        wanted = {
            "paper": name,
            "table": tables.get(dataset, ""),
            "dataset": dataset,
            "method": method,
            "metric": metric,
        }
        rows = self.papers[(self.papers[list(wanted)] == pd.Series(wanted)).all(axis=1)]
        return float(rows.value.iloc[0]) if len(rows) else None


def results_table(since: Since) -> str:
    """Markdown: UAR and WAR of each method on each set, from those who made it, the four papers first."""
    lines = ["| Method | What it has learnt from before | " + " | ".join(SETS) + " |", "|---|---|" + "--:|" * len(SETS)]
    for name in OURS:
        cells = [_pair(since.paper(name, one, "UAR"), since.paper(name, one, "WAR")) for one in SETS]
        lines.append(f"| {name} | see its chapter | {' | '.join(cells)} |")
    for name, before in BEFORE.items():
        cells = [_pair(*(_found(since, name, one, metric) for metric in ("UAR", "WAR"))) for one in SETS]
        lines.append(f"| {name} | {before} | {' | '.join(cells)} |")
    return "\n".join(lines)


def quotes_table(since: Since) -> str:
    """Markdown: what others say of a method, where they do not agree."""
    said = since.rows[(since.rows.kind == "quoted") & since.rows.said_by.isin(["HumanOmni", "a survey", "FaVChat"])]
    names = list(dict.fromkeys(said.said_by))
    lines = ["| Of | " + " | ".join(names) + " | its authors |", "|---|" + "--:|" * (len(names) + 1)]
    for (method, dataset), rows in said.groupby(["method", "dataset"], sort=False):
        cells = []
        for name in names:
            own = rows[rows.said_by == name].set_index("metric").value
            cells.append(_pair(own.get("UAR"), own.get("WAR")))
        own = [_found(since, str(method), str(dataset), metric) for metric in ("UAR", "WAR")]
        if len({cell for cell in (*cells, _pair(*own)) if cell != "–"}) > 1:
            lines.append(f"| {method}, {dataset} | {' | '.join((*cells, _pair(*own)))} |")
    return "\n".join(lines)


def _found(since: Since, method: str, dataset: str, metric: str) -> float | None:
    try:
        return since.value(method, dataset, metric)
    except LookupError:
        return None


def _pair(uar: float | None, war: float | None) -> str:
    both = [f"{float(value):.2f}" if value is not None else "–" for value in (uar, war)]
    return "–" if both == ["–", "–"] else " / ".join(both)


def faces_first(s: Since) -> str:
    """What the clips of a pretraining are worth."""
    gains = [s.value("VideoMAE, VoxCeleb2", one, "UAR") - s.value("VideoMAE", one, "UAR") for one in SETS]
    return state(
        "**What it is pretrained on is worth more than how.** The same network, VideoMAE, gains {dfew:.2f} points "
        "of UAR on DFEW, {ferv:.2f} on FERV39k and {mafw:.2f} on MAFW where it has seen VoxCeleb2, unlabelled "
        "videos of people who talk.",
        dfew=gains[0], ferv=gains[1], mafw=gains[2], holds=min(gains) > 2,
    ).text  # fmt: skip


def motion_is_cheap(s: Since) -> str:
    """MAE-DFER against VideoMAE on the same clips, beside a second run."""
    one, other = "MAE-DFER", "VideoMAE, VoxCeleb2"
    gaps = [s.value(one, name, "UAR") - s.value(other, name, "UAR") for name in SETS]
    again = [abs(s.value(one, name, "UAR", "run again") - s.value(one, name, "UAR")) for name in SETS]
    return state(
        "**MAE-DFER is as good as VideoMAE, and cheaper.** On the three sets its UAR differs by {least:+.2f} to "
        "{most:+.2f} points from that of VideoMAE with the same clips, with {cost:.0f} instead of {before:.0f} "
        "GFLOPs. Three repeated runs of MAE-DFER itself, two by its authors, differ from what was printed by "
        "{smallest:.2f} to {largest:.2f} points. So the tables cannot say which of the two is better.",
        least=min(gaps), most=max(gaps), cost=s.value(one, "", "GFLOPs"), before=s.value(other, "", "GFLOPs"),
        smallest=min(again), largest=max(again), holds=max(map(abs, gaps)) <= max(again),
    ).text  # fmt: skip


def folds_differ(s: Since) -> str:
    """How far the folds of one method are apart."""
    spread = {
        name: float(s.folds(name, "DFEW", "UAR").max() - s.folds(name, "DFEW", "UAR").min())
        for name in ("MAE-DFER", "S2D")
    }
    gap = s.value("MAE-DFER", "DFEW", "UAR") - s.value("S2D", "DFEW", "UAR")
    return state(
        "**The folds of one method differ more than two methods do.** On the five folds of DFEW the UAR of MAE-"
        "DFER spreads over {mae:.2f} points, and that of S2D over {s2d:.2f}. The two methods are {gap:.2f} apart.",
        mae=spread["MAE-DFER"], s2d=spread["S2D"], gap=gap, holds=min(spread.values()) > gap > 0,
    ).text  # fmt: skip


def two_metrics(s: Since) -> str:
    """What oversampling does to the two metrics."""
    uar, war = (
        [s.value("S2D, oversampled", one, metric) - s.value("S2D", one, metric) for one in SETS]
        for metric in ("UAR", "WAR")
    )
    return state(
        "**One metric is bought with the other.** S2D with the rare classes drawn more often gains {up:.2f} points"
        " of UAR on DFEW, and loses {down:.2f} of WAR; on FERV39k it gains {more:.2f} and loses {less:.2f}.",
        up=uar[0], down=-war[0], more=uar[1], less=-war[1], holds=min(uar) > 0 > max(war),
    ).text  # fmt: skip


def total_of_folds(s: Since) -> str:
    """A total that is not the mean of its folds, and how many are."""
    gaps = {}
    for method, dataset in (
        ("MAE-DFER", "DFEW"),
        ("HiCMAE", "MAFW"),
        *((n, d) for n in ("S2D", "S2D, oversampled") for d in ("DFEW", "MAFW")),
    ):
        for metric in ("UAR", "WAR"):
            gaps[method, dataset, metric] = s.folds(method, dataset, metric).mean() - s.value(method, dataset, metric)
    odd = [key for key, gap in gaps.items() if abs(gap) > 0.02]
    return state(
        "Of {count} totals that are printed with their folds, {right} are the mean of the folds, up to rounding. "
        "One is not: the folds of {method} on {dataset} give a {metric} of {mean:.2f}, and {total:.2f} is printed."
        " The likeliest innocent reason is a number from another run.",
        count=len(gaps), right=len(gaps) - len(odd), method=odd[0][0], dataset=odd[0][1], metric=odd[0][2],
        mean=s.folds(*odd[0]).mean(), total=s.value(*odd[0]), holds=len(odd) == 1,
    ).text  # fmt: skip


def quotes_differ(s: Since) -> str:
    """How many values one method has in the tables of others."""
    said = s.quoted("MMA-DFER", "DFEW", "UAR")
    return state(
        "**A number that is copied changes.** Three tables of others quote the UAR of MMA-DFER on DFEW: as "
        "{low:.2f}, {middle:.2f} and {high:.2f}.",
        low=said.min(), middle=said.median(), high=said.max(), holds=said.nunique() == len(said) == 3,
    ).text  # fmt: skip


def since_then(s: Since) -> str:
    """How far the field has come since the best of the four papers."""
    best = max(OURS, key=lambda name: s.paper(name, "DFEW", "UAR") or 0)
    before = s.paper(best, "DFEW", "UAR") or 0
    found = {name: _found(s, name, "DFEW", "UAR") for name in BEFORE}
    above = {name: value for name, value in found.items() if value and value > before}
    top = max(above, key=lambda name: above[name])
    return state(
        "**All that is above the four papers has first learnt from videos of other faces, or from their labels.** "
        "The best of the four on DFEW is {best}, with a UAR of {before:.2f}. Above it are {count:word} rows of the "
        "table, up to {top:.2f} ({which}). Each begins with unlabelled videos of faces, or with labelled photographs.",
        best=best, before=before, count=len(above), top=above[top], which=top,
        holds=set(above) <= {"VideoMAE, VoxCeleb2", "MAE-DFER", "S2D", "S2D, oversampled"} and len(above) > 2,
    ).text  # fmt: skip


def of_hours(s: Since) -> str:
    """What a pretraining costs."""
    hours = s.value("VideoMAE", "", "GPU hours of pretraining")
    return state("VideoMAE's authors tell of {hours} hours of one V100", hours=int(hours), holds=hours > 0).text


PLACES: dict[str, Callable[[Since], str]] = {
    "since_results": results_table,
    "since_quotes": quotes_table,
    "since_then": since_then,
    "since_faces": faces_first,
    "since_motion": motion_is_cheap,
    "since_folds": folds_differ,
    "since_metrics": two_metrics,
    "since_total": total_of_folds,
    "since_quoted": quotes_differ,
    "since_hours": of_hours,
}


def filled(page: str, folder: Path = RESULTS) -> str:
    """The page with its tables and sentences in place of their names in curly brackets."""
    since = Since(folder)
    for name, make in PLACES.items():
        if (place := f"{{{{ {name} }}}}") in page:
            page = page.replace(place, make(since))
    return page
