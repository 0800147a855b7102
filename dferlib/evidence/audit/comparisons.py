"""Rows side by side: the same method in different papers, and what a comparison says in words."""

import pandas as pd

from dferlib.data.sets import FERV39k
from dferlib.emotions import EMOTIONS
from dferlib.evidence.audit.finding import Finding
from dferlib.evidence.audit.recalls import fits, recall_rows
from dferlib.evidence.audit.tables import Tables

METRICS = ["UAR", "WAR"]
REASONS = {  # what may lie behind two numbers for one method
    "Former-DFER": "MSSTNet has the numbers that the method's authors give beside their code; those of LOGO-Former may "
    "come from a training by others.",
    "VGG13+LSTM": "The baseline may have been trained twice, or have two variants, and each paper copied another one.",
}


def conflicts(tables: Tables) -> pd.DataFrame:
    """UAR and WAR that papers print differently for one method, on one data set, with one sampling.

    Returns:
        A row for each data set, method, sampling and metric; a column for each paper.
    """
    rows = tables.reported[tables.reported["metric"].isin(METRICS)]
    keys = ["dataset", "protocol", "method", "sampling", "metric"]
    wide = rows.pivot_table(index=keys, columns="paper", values="value").droplevel("protocol")
    return wide[wide.nunique(axis=1) > 1].dropna(axis="columns", how="all")


def findings(tables: Tables) -> list[Finding]:
    """What differs between papers, and what a text says more broadly than its table."""
    pairs = conflicts(tables)
    methods = pairs.index.get_level_values("method").unique()
    return [
        *(_conflict(tables, pairs, method) for method in methods),
        _mixed_sampling(tables),
        _previous_best(tables),
        _each_class(tables),
        _left_out(tables),
        _two_clips(tables),
    ]


def _conflict(tables: Tables, pairs: pd.DataFrame, method: str) -> Finding:
    mine = pairs[pairs.index.get_level_values("method") == method].dropna(axis="columns")
    [dataset] = set(mine.index.get_level_values("dataset"))
    metrics = mine.index.get_level_values("metric")
    both = {str(paper): dict(zip(metrics, mine[paper].tolist(), strict=True)) for paper in mine}
    said = {paper: ", ".join(f"{name} {value:.2f}" for name, value in two.items()) for paper, two in both.items()}
    one, other = both
    stated = tables.stated[(tables.stated["kind"] == "source") & (tables.stated["method"] == method)]
    own = dict(zip(stated["metric"], stated["stated"], strict=True))
    sources = [paper for paper, two in both.items() if two == own]
    apart = max(abs(both[one][name] - both[other][name]) for name in both[one])
    return Finding(
        f"two-numbers-{method.split('+')[0].lower()}",
        f"{one}, {other}",
        f"Table 2 of each, {method} on {dataset}",
        f"{said[one]} ({one})",
        f"{said[other]} ({other})" + (f"; its authors have those of {sources[0]}" if sources else ""),
        f"Rows of one method, data set and sampling are set side by side. These are up to {apart:.2f} points apart.",
        REASONS[method],
        apart > 0 and (method != "Former-DFER" or sources == ["MSSTNet"]),
    )


def _mixed_sampling(tables: Tables) -> Finding:
    """Rows of MSSTNet's Table 3 that are STT's rows with the older sampling, where STT has a newer one, too."""
    stt, here = (_numbers(recall_rows(tables, paper)) for paper in ("STT", "MSSTNet"))
    rows = {method: numbers for (method, _), numbers in here.items()}
    old = [name for name in rows if rows[name] == stt.get((name, "TI")) and (name, "DS") in stt]
    new = [name for name in rows if rows[name] == stt.get((name, "DS"))]
    war = {name: (rows[name][-1], stt[name, "DS"][-1]) for name in old + new}
    worst = max(old, key=lambda name: war[name][1] - war[name][0])
    return Finding(
        "msstnet-two-samplings",
        "MSSTNet",
        f"Table 3, {' and '.join(old)}",
        f"WAR {war[worst][0]:.2f} for {worst}, beside {war[new[0]][0]:.2f} for {new[0]}",
        f"WAR {war[worst][1]:.2f} for {worst} with the sampling of {new[0]}",
        f"The rows are those of STT's Table 3: {len(old)} of them with time interpolation, {' and '.join(new)} with "
        "dynamic sampling. The table does not say so.",
        "The rows were copied from the tables in which each baseline first stood, and the column was left out.",
        old == ["3D ResNet18", "ResNet18+LSTM"] and new == ["Former-DFER", "ResNet18+GRU"],
    )


def _numbers(rows: pd.DataFrame) -> dict[tuple[str, str], tuple[float, ...]]:
    """By method and sampling, the recalls, UAR and WAR."""
    places = zip(rows.index.get_level_values("method"), rows.index.get_level_values("sampling"), strict=True)
    return dict(zip(places, map(tuple, rows.to_numpy().tolist()), strict=True))


def _previous_best(tables: Tables) -> Finding:
    """Whose numbers MSSTNet's gains are over."""
    rivals, own = dict[str, dict[str, float]](), dict[str, float]()
    for metric in ("WAR", "UAR", "disgust"):
        rows = tables.rows(paper="MSSTNet", table="Table 3", metric=metric)
        column = dict(zip(rows["method"], rows["value"], strict=True))
        own[metric] = column["MSSTNet (T=16)"]
        rivals[metric] = {name: value for name, value in column.items() if not name.startswith("MSSTNet")}
    best = {metric: max(of_it, key=of_it.__getitem__) for metric, of_it in rivals.items()}
    gains = {metric: own[metric] - rivals[metric][best[metric]] for metric in own}
    single = {metric: own[metric] - rivals[metric][best["WAR"]] for metric in own}

    def listed(numbers: dict[str, float]) -> str:
        return ", ".join(f"{name} {value:.2f}" for name, value in numbers.items())

    return Finding(
        "msstnet-previous-best",
        "MSSTNet",
        "Section 3, comparison with other methods",
        f"gains over the previous best method: {listed(gains)}",
        f"over {best['WAR']} alone: {listed(single)}",
        f"Each is over the best rival of its own column: {', '.join(f'{name} {who}' for name, who in best.items())}.",
        "It is meant column by column, which is the stricter reading: no rival is as good in all three.",
        len(set(best.values())) == len(best) and all(single[name] >= gains[name] for name in gains),
    )


def _each_class(tables: Tables) -> Finding:
    place = {"paper": "LOGO-Former", "table": "Table 1"}
    best = {name: float(tables.rows(**place, metric=name)["value"].max()) for name in EMOTIONS}
    own = {name: tables.value(**place, metric=name, method="LOGO-Former") for name in EMOTIONS}
    behind = [name for name in EMOTIONS if own[name] < best[name]]
    return Finding(
        "logo-each-class",
        "LOGO-Former",
        "Section 3.1",
        "better results class by class than the other methods",
        f"in {len(EMOTIONS) - len(behind)} of {len(EMOTIONS)}; not {' and '.join(behind)} ({own['disgust']:.2f} %)",
        "Table 1, column by column.",
        "The sentence is that of STT, which goes on to name the classes.",
        set(behind) == {"surprise", "disgust"} and own["disgust"] == 0,
    )


def _left_out(tables: Tables) -> Finding:
    def of(paper: str, table: str, metric: str) -> float:
        return tables.value(paper=paper, table=table, method=paper, metric=metric)

    own, other = (
        {metric: of(*place, metric) for metric in METRICS} for place in (("LOGO-Former", "Table 1"), ("STT", "Table 3"))
    )
    return Finding(
        "logo-without-stt",
        "LOGO-Former",
        "Table 1 and Section 3.1, best UAR on DFEW",
        f"UAR {own['UAR']:.2f}, WAR {own['WAR']:.2f} as the best of both",
        f"STT, by the same authors: UAR {other['UAR']:.2f}, WAR {other['WAR']:.2f}",
        "Table 3 of STT, which LOGO-Former cites and takes as its baseline in Table 2, has the same folds.",
        "STT was a preprint and no published method; the WAR is higher indeed.",
        other["UAR"] > own["UAR"] and other["WAR"] < own["WAR"],
    )  # fmt: skip


def _two_clips(tables: Tables) -> Finding:
    [[(clips,)]] = [FERV39k.OFFICIAL["splits"]["test"]]
    war = [
        tables.value(paper="LOGO-Former", table="Table 2", metric="WAR", method=method)
        for method in ("LOGO-Former", "Baseline w/ Reg")
    ]
    right = [round(value * clips / 100) for value in war]
    return Finding(
        "logo-two-clips",
        "LOGO-Former",
        "Table 2, last row against the baseline with the regulariser",
        f"WAR {war[0]:.2f} against {war[1]:.2f}",
        f"{right[0] - right[1]} clips of {clips:,}",
        "Both are whole numbers of the test clips of FERV39k; one training each.",
        "A table has two decimals by custom. What the row is there for is the cost.",
        0 < right[0] - right[1] < 5 and all(fits(value, clips) for value in war),
    )
