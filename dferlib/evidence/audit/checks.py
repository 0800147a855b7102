"""What texts and tables state of the tables' numbers: values, differences, gains, and marks of the best."""

from dataclasses import dataclass

import pandas as pd

from dferlib.errors import InputError
from dferlib.evidence.audit.finding import Finding
from dferlib.evidence.audit.tables import KEYS, Tables

KINDS = ("value", "difference", "gain", "best", "second")
ROUNDING = 0.011  # of a difference of two numbers with two decimals, each of which was rounded by itself


@dataclass(frozen=True)
class Check:
    """One stated number, and what the table gives.

    Attributes:
        stated: the row of `stated.csv`.
        value: what comes out.
        words: how: a subtraction, or whose number it is.
    """

    stated: pd.Series
    value: float
    words: str

    @property
    def agrees(self) -> bool:
        """Whether it comes out as stated, but for rounding."""
        return bool(abs(self.value - self.stated["stated"]) < ROUNDING)


def run_checks(tables: Tables) -> list[Check]:
    """Compute every stated number again, in the order of the file.

    Raises:
        InputError: a row that a statement is about is not in the tables.
    """
    return [_check(tables, row) for _, row in tables.stated.iterrows() if row["kind"] in KINDS]


def findings(tables: Tables) -> list[Finding]:
    """Those that have a name in the file; they hold as long as the number does not come out."""
    return [_finding(check) for check in run_checks(tables) if check.stated["name"]]


def _check(tables: Tables, row: pd.Series) -> Check:
    kind, against = row["kind"], row["against"]
    if kind in ("best", "second"):
        return _mark(tables, row)
    own = tables.value(**{key: row[key] for key in KEYS})
    if kind == "value":
        return Check(row, own, f"in {row['table']}")
    if kind == "difference":
        of_it = tables.rows(**{key: row[key] for key in KEYS if key not in ("method", "sampling")}, method=against)
        other = _same_sampling(of_it, row["sampling"])
    else:
        column = _column(tables, row)
        rivals = column[~column["method"].str.startswith(against)]
        other = float(rivals["value"].max())
    return Check(row, own - other, f"{own:.2f} − {other:.2f}")


def _same_sampling(rows: pd.DataFrame, sampling: str) -> float:
    """A rival's number, of its row with the same sampling where it has several."""
    chosen = rows if len(rows) == 1 else rows[rows["sampling"] == sampling]
    if len(chosen) != 1:
        raise InputError(f"{rows['method'].iloc[0]} has {len(chosen)} rows to compare with: say which in stated.csv")
    return float(chosen["value"].iloc[0])


def _column(tables: Tables, row: pd.Series) -> pd.DataFrame:
    """All rows of the same table, data set and metric."""
    return tables.rows(**{key: row[key] for key in ("paper", "table", "dataset", "metric")})


def _mark(tables: Tables, row: pd.Series) -> Check:
    """Which number deserves the mark; of costs the lowest is the best."""
    column = _column(tables, row)
    column = column[column["method"].str.startswith(row["against"])]
    ranked = sorted(set(column["value"]), reverse=row["metric"] != "GFLOPs")
    value = float(ranked[0 if row["kind"] == "best" else 1])
    return Check(row, value, f"of {column[column['value'] == value]['method'].iloc[0]}")


def _finding(check: Check) -> Finding:
    row = check.stated
    what = f"{row['metric']} of {row['method']}"
    printed, found, how = {
        "value": (
            f"{what} on {row['dataset']}: {row['stated']:.2f}",
            f"{check.value:.2f}",
            f"The row of the paper's own {row['table']}.",
        ),
        "difference": (
            f"{row['stated']:.2f} points of {row['metric']} above {row['against']}",
            f"{check.value:.2f}, which is {check.words}",
            f"The difference of two rows of {row['table']}.",
        ),
        "best": (
            f"{row['stated']:.2f} marked as the best {row['metric']} on {row['dataset']} for its number of frames",
            f"{check.value:.2f}, {check.words}",
            f"The largest of the rows of {row['table']} that belong together.",
        ),
        "second": (
            f"{row['stated']:.2f} marked as the second best of {row['metric']}",
            f"{check.value:.2f}, {check.words}",
            f"The column of {row['table']}, sorted.",
        ),
    }[row["kind"]]
    return Finding(row["name"], row["paper"], row["where"], printed, found, how, row["innocent"], not check.agrees)
