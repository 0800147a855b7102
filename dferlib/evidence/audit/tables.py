"""The tables of the papers, and what their texts state, as data."""

from pathlib import Path

import numpy as np
import pandas as pd

from dferlib.errors import InputError

KEYS = ("paper", "table", "dataset", "metric", "method", "sampling")


class Tables:
    """The data of the audit.

    Attributes:
        reported: a row for each printed number: `KEYS`, and its `value`.
        stated: a row for each number or mark that is stated elsewhere; see the head of `stated.csv`.
        logs: accuracy in percent on the test clips after every `epoch`, by `dataset` and `fold`: the public logs of
            Former-DFER.

    Args:
        folder: with `reported.csv`, `stated.csv` and `former_dfer_logs.csv`.

    Raises:
        InputError: one of them is missing.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.reported = self._read("reported.csv").drop(columns="note").fillna({"sampling": "", "protocol": ""})
        self.stated = self._read("stated.csv").fillna("")
        self.logs = self._read("former_dfer_logs.csv")

    def _read(self, name: str) -> pd.DataFrame:
        path = self.folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing: give the folder with the tables of the papers, `results`")
        return pd.read_csv(path, comment="#")

    def rows(self, **wanted: str) -> pd.DataFrame:
        """The reported rows with these values in their columns.

        Raises:
            InputError: there is none.
        """
        found = self.reported
        for column, value in wanted.items():
            found = found[found[column] == value]
        if found.empty:
            raise InputError(f"no row of reported.csv has {', '.join(wanted.values())}: restore the file")
        return found

    def value(self, **wanted: str) -> float:
        """The one number with these values in its columns; also where papers repeat it.

        Raises:
            InputError: there is none, or there are different ones.
        """
        found = np.unique(self.rows(**wanted)["value"])
        if len(found) > 1:
            raise InputError(f"{', '.join(wanted.values())} has several values in reported.csv: say which table")
        return float(found[0])

    def course(self, dataset: str) -> np.ndarray:
        """Test accuracy in percent after every epoch, (epochs, folds)."""
        mine = self.logs[self.logs["dataset"] == dataset]
        return mine.pivot_table(index="epoch", columns="fold", values="test_war").to_numpy()
