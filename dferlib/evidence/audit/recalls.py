"""Arithmetic with per-class recalls, and with whole clips: k of n clips are right, and k and n are whole numbers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dferlib.data.sets import AFEW, DFEW
from dferlib.emotions import EMOTIONS
from dferlib.evidence.audit.finding import Finding
from dferlib.evidence.audit.tables import Tables

CLASSES = list(EMOTIONS)
ROUNDING = 0.0101  # between a printed mean and the mean of printed recalls: half a digit in each
WIDE = (10_000, 14_000)  # clips of DFEW with one label: class sizes are looked for as if there were so many


def recall_rows(tables: Tables, paper: str = "") -> pd.DataFrame:
    """The rows that print a recall for each class, with UAR and WAR, by paper, table, method and sampling.

    Args:
        tables: of the papers.
        paper: only those of one; else all, with rows that several papers print.
    """
    rows = tables.reported[tables.reported["dataset"] == "DFEW"]
    rows = rows[rows["paper"] == paper] if paper else rows
    wide = rows.pivot_table(index=["paper", "table", "method", "sampling"], columns="metric", values="value")
    return wide.dropna(subset=[*CLASSES, "UAR", "WAR"])[[*CLASSES, "UAR", "WAR"]]


def fits(value: float, clips: int | np.ndarray, digits: int = 2) -> np.ndarray:
    """Whether a percentage with so many decimals is some whole number of so many clips."""
    right = np.round(np.asarray(clips) * value / 100)
    return np.abs(100 * right / clips - value) <= 0.5 / 10**digits + 1e-9


def explained(values: Sequence[float], clips: np.ndarray) -> np.ndarray:
    """How many printed percentages are whole numbers of so many clips, for each number of clips."""
    return np.sum([fits(value, clips) for value in values], axis=0)


def class_sizes(rows: pd.DataFrame) -> dict[str, int]:
    """How many test clips of each class a table's recalls are parts of, found from nothing but its numbers.

    WAR is the mean of the recalls, weighted by the classes' shares; so a fit gives the shares roughly. It leaves out
    rows whose UAR is not the mean of their recalls. Then the number of clips of a class is the one of which most
    printed recalls are whole numbers.

    Args:
        rows: as `recall_rows` gives them.
    """
    different = rows.drop_duplicates()
    sound = different[~off_the_mean(different)]
    shares = np.linalg.lstsq(sound[CLASSES].to_numpy(), sound["WAR"].to_numpy(), rcond=None)[0]
    found = {}
    for name, share in zip(CLASSES, shares, strict=True):
        clips = np.arange(int(WIDE[0] * share), int(WIDE[1] * share) + 1)
        found[name] = int(clips[explained(different[name].tolist(), clips).argmax()])
    return found


def off_the_mean(rows: pd.DataFrame) -> pd.Series:
    """Of each row, whether its UAR is not the mean of its recalls, beyond rounding."""
    return (rows[CLASSES].mean(axis=1) - rows["UAR"]).abs() > ROUNDING


def recomputed(rows: pd.DataFrame, sizes: dict[str, int]) -> pd.DataFrame:
    """UAR and WAR from the recalls: `mean` of the seven, and `war` of whole clips.

    Args:
        rows: as `recall_rows` gives them.
        sizes: clips of each class.
    """
    counts = np.array([sizes[name] for name in CLASSES])
    right = np.round(rows[CLASSES].to_numpy() * counts / 100)
    return rows.assign(mean=rows[CLASSES].mean(axis=1), war=100 * right.sum(1) / counts.sum())


def findings(tables: Tables) -> list[Finding]:
    """What does not add up."""
    parts = (_clips_of_dfew, _gru, _disgust, _three_clips, _clips_of_afew, _clips_of_oulu)
    return [part(tables) for part in parts]


def _stated(tables: Tables, name: str) -> pd.Series:
    return tables.stated[tables.stated["name"] == name].iloc[0]


def _clips_of_dfew(tables: Tables) -> Finding:
    row, sizes = _stated(tables, "stt-clips-of-dfew"), class_sizes(recall_rows(tables, "STT"))
    printed, total = int(row["stated"]), sum(sizes.values())
    return Finding(
        row["name"],
        row["paper"],
        row["where"],
        f"{printed:,} clips of DFEW in five folds",
        f"{total:,} clips",
        f"A recall is a whole number of clips by another. In {row['table']} most recalls of a class fit one number of "
        f"clips alone; the seven add up to {total:,}, which is the size of the folds as they are handed out.",
        row["innocent"],
        total == DFEW.OFFICIAL["totals"]["clips"] and total != printed,
    )


def _gru(tables: Tables) -> Finding:
    rows = recall_rows(tables)
    found = recomputed(rows, class_sizes(rows))
    off = found[off_the_mean(found)]
    other = found.drop(off.index)
    one = off.iloc[0]
    far = (other["war"] - other["WAR"]).abs().max()
    names = off.index.get_level_values("method").unique()
    return Finding(
        "mean-of-recalls",
        ", ".join(off.index.get_level_values("paper").unique()),
        ", ".join(f"{table} of {paper}" for paper, table, *_ in off.index),
        f"{', '.join(names)}: UAR {one['UAR']:.2f}, WAR {one['WAR']:.2f}",
        f"UAR {one['mean']:.2f}, WAR {one['war']:.2f}",
        f"UAR is the mean of the seven recalls in the row. The other {len(other)} of {len(rows)} rows agree, and with "
        f"the class sizes that the recalls give, their WAR comes out, too, but for {far:.3f} points.",
        "The row was copied from one paper to the next; a recall, or both means, may be those of another run.",
        list(names) == ["ResNet18+GRU"] and len(off) == off.index.get_level_values("paper").nunique() and far < 0.01,
    )


def _disgust(tables: Tables) -> Finding:
    rows = recall_rows(tables, "STT")
    clips, values = class_sizes(rows)["disgust"], rows["disgust"]
    own = float(values.xs("STT", level="method").iloc[0])
    near = round(100 * np.round(own * clips / 100) / clips, 2)
    fitting = int(sum(bool(fits(value, clips)) for value in values))
    return Finding(
        "stt-disgust",
        "STT",
        "Table 3, disgust of STT",
        f"{own:.2f} %",
        f"no whole number of {clips} clips; the nearest would be {near:.2f} %",
        f"{fitting} of the {len(values)} recalls in the column are whole numbers of {clips} clips.",
        f"A mistyped {near:.2f}. It is too little to change the printed UAR.",
        fitting >= len(values) - 2 and not fits(own, clips),
    )


def _three_clips(tables: Tables) -> Finding:
    """Former-DFER and two rows beside it are of fewer clips, and the log of a fold says how many fewer."""
    rows = recall_rows(tables, "STT")
    sizes, theirs = class_sizes(rows), rows.xs("DS", level="sampling").drop(["STT", "ResNet18+GRU"], level="method")
    best = {}
    for name in ("anger", "fear"):
        near = np.arange(sizes[name] - 10, sizes[name] + 1)
        best[name] = int(near[explained(theirs[name].tolist(), near).argmax()])
    fewer = sum(sizes[name] - clips for name, clips in best.items())
    official, fold = DFEW.OFFICIAL["splits"]["test"][0][0], tables.course("DFEW")[:, 0]
    logged = max(n for n in range(official - 100, official + 1) if all(fits(value, n, 3) for value in fold))
    names = theirs.index.get_level_values("method")
    return Finding(
        "three-clips-fewer",
        "STT",
        f"Table 3, {', '.join(names)} with dynamic sampling",
        f"tested on the same folds as the other rows: {sizes['anger']:,} clips of anger, {sizes['fear']} of fear",
        f"{best['anger']:,} of anger and {best['fear']} of fear, {fewer} clips fewer",
        "Most of the recalls in the rows fit these numbers. In Former-DFER's log of fold 1 all results are "
        f"whole numbers of {logged:,} clips, where the fold has {official:,}.",
        "A few clips could not be read. It changes nothing in the first decimal.",
        fewer == official - logged == 3,
    )


def _clips_of_afew(tables: Tables) -> Finding:
    row = _stated(tables, "stt-clips-of-afew")
    column = tables.rows(paper="STT", table="Table 4", metric="WAR").set_index("method")["value"]
    [(stated, other)] = AFEW.OFFICIAL["splits"]["val"]
    of_stated, of_other = (int(explained(column.tolist(), np.array(clips))) for clips in (stated, other))
    fewer = max(clips for clips in range(1, other) if fits(column["STT"], clips))
    return Finding(
        row["name"],
        row["paper"],
        f"{row['where']}, and {row['table']}",
        f"{int(row['stated'])} clips to validate on; WAR {column['STT']:.2f}",
        f"the column is of {other} clips; STT's WAR fits neither, but {fewer} clips",
        f"Of the {len(column)} printed WAR, {of_other} are whole numbers of {other} clips and {of_stated} of {stated}. "
        f"{other} clips are what some years' lists have. {fewer} is the largest smaller number that STT's WAR fits.",
        row["innocent"],
        of_other > 2 * of_stated and not fits(column["STT"], np.array([row["stated"], other])).any(),
    )


def _clips_of_oulu(tables: Tables) -> Finding:
    row = _stated(tables, "staner-clips-of-oulu-casia")
    column = tables.rows(paper="STANER", table="Table 1", dataset="Oulu-CASIA")["value"].tolist()
    clips = int(row["stated"])
    count = int(explained(column, np.array(clips)))
    return Finding(
        row["name"],
        row["paper"],
        f"{row['where']}, and {row['table']}",
        f"{min(column):.2f} to {max(column):.2f} % of {clips} sequences",
        f"{count} of the {len(column)} are whole numbers of {clips} sequences",
        "Ten folds of equal size give whole numbers, whether they are put together or averaged.",
        row["innocent"],
        count == 0,
    )
