"""The record of a benchmark that asks models, as the readers of the chapters have it in common."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from dferlib.book.folders import project_folder
from dferlib.errors import InputError
from dferlib.makefaces.generator import source_hash


class AskedRecord:
    """A folder with `about.json`, which says who was seen and which models were asked, and arrays beside it.

    Args:
        benchmark: the script of `benchmarks` that makes the record, which lies in a folder of that name.
        folder: of the record; the one in `results` of the project if not given.

    Attributes:
        folder: of the record.
        about: what `about.json` says; among it `source`, the code of the clips, and `models`, each with its `weights`.

    Raises:
        InputError: there is no record.
    """

    def __init__(self, benchmark: str, folder: Path | None = None) -> None:
        self.folder = folder or project_folder("results") / benchmark
        try:
            self.about: dict[str, Any] = json.loads((self.folder / "about.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"no record is in {self.folder}: `python -m benchmarks.{benchmark}` makes it") from error

    @property
    def is_current(self) -> bool:
        """Whether today's clips, and the kept weights that were asked, are those of the record."""
        return self.about["source"] == source_hash() and all(
            self._checksum(one) == one["weights"] for one in self.about["models"] if one["kept"]
        )

    def _checksum(self, model: dict[str, Any]) -> str:
        """Of the kept weights of a model; nothing where they are gone."""
        weights = self.folder.parent / model["study"] / model["kept"] / "best.safetensors"
        return hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else ""

    def load(self, file: str) -> dict[str, np.ndarray]:
        """The arrays of a file of the record: numbers as float64, whatever they were rounded to."""
        with np.load(self.folder / file, allow_pickle=False) as data:
            return {name: value if value.dtype == bool else value.astype(np.float64) for name, value in data.items()}
