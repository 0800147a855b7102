"""Records of finished runs: what was done, with what, and what came out, so that anyone can check the numbers.

A run is two files: `<name>.json` with everything about it, and `<name>.npz` with id, group, label and logits of
every test clip. The JSON is written last and holds the checksum of the other, so a record is either whole or absent.
"""

import hashlib
import json
import math
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dferlib.errors import InputError
from dferlib.files import written_whole
from dferlib.training.metrics import summary

if TYPE_CHECKING:
    from dferlib.training.evaluation import Predictions
    from dferlib.training.history import History

FORMAT = "dferlib-run-1"
CURRENT, OLD, UNKNOWN = "current", "old", "unknown"  # states of a record
PACKAGES = ("torch", "torchvision", "numpy", "lightning", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """One record as it lies on disk.

    Args:
        path: the JSON file.
        record: what it holds: `config`, `seed`, `data`, `probe`, `device`, `versions`, `seconds`, `history` (with
            `best_epoch`), `classes` and `metrics`; `lacks` says what of its data was not there.
    """

    path: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the run: that of its files."""
        return self.path.stem

    @property
    def model(self) -> dict[str, Any]:
        """The model: `name`, `scale` and `overrides`."""
        return self.record["config"]["model"]

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics as they were written, see `dferlib.training.metrics.summary`."""
        return self.record["metrics"]

    @property
    def is_current(self) -> bool:
        """Whether this library still does what made this run."""
        return self.state == CURRENT

    @property
    def state(self) -> str:
        """Whether the probe of this run comes out the same today, see `probes`: "current", or else "old".

        It is "unknown" where the probe cannot be made, because weights that it starts from are not installed, say.
        """
        sys.audit("dferlib.state", str(self.path), "")  # whoever builds the book wants to know which records it shows
        found = self._state()
        sys.audit("dferlib.state", str(self.path), found)
        return found

    def _state(self) -> str:
        from dferlib.evidence.probes import agree, probe

        try:
            today = probe(self.record["config"], len(self.record["classes"]))
        except InputError:
            return UNKNOWN
        return CURRENT if agree(self.record.get("probe"), today) else OLD

    @property
    def chosen_on_test(self) -> bool:
        """Whether the epoch was chosen on the test clips: that shows what it does to the numbers, and nothing else."""
        return self.record["config"].get("train", {}).get("select") == "test"

    @property
    def incomplete(self) -> bool:
        """Whether its data set was not whole: its numbers are not those of the set that its name promises."""
        return bool(self.record.get("lacks"))

    def predictions(self) -> "Predictions":
        """Read id, group, label and logits of every test clip.

        Raises:
            InputError: the file is missing or damaged, or not the one that belongs to this record.
        """
        from dferlib.training.evaluation import Predictions

        path = self.path.with_suffix(".npz")
        if not path.is_file() or _checksum(path) != self.record["predictions"]:
            what = "is not the file of this record" if path.is_file() else "is missing"
            raise InputError(f"{path} {what}: restore it, or delete {self.path.name} and run again")
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("ids", "labels", "groups", "logits")}
        return Predictions(**arrays, classes=tuple(self.record["classes"]))

    def check(self) -> None:
        """Compute the metrics again from the logits.

        Raises:
            InputError: the predictions are missing or changed, or the written metrics are not those of the logits.
        """
        predictions = self.predictions()
        found = summary(predictions.labels, predictions.logits)
        for name, value in found.items():
            if not _same(value, self.metrics.get(name)):
                raise InputError(f"{self.path}: {name} is written as {self.metrics.get(name)}, the logits give {value}")


def save_run(
    folder: Path | str,
    name: str,
    *,
    config: dict[str, Any],
    seed: int,
    data: dict[str, str],
    lacks: dict[str, str] | None = None,
    predictions: "Predictions",
    history: "History",
    device: str,
    seconds: float,
) -> Run:
    """Write the record of one finished run, whole or not at all.

    Args:
        folder: of the study.
        name: of the run; becomes the name of both files.
        config: everything that was chosen: `model` (its `name`, `scale`, `overrides`), and `train`, how it was trained.
        seed: of the run.
        data: fingerprint of each split.
        lacks: what each split lacks that is not whole, in words; see `dferlib.data.table.lacks`.
        predictions: for the test split.
        history: of the training; its best epoch is the one that was tested.
        device: what computed it, as `device_name` says.
        seconds: wall time of training and testing.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    path, arrays = (Path(folder) / f"{name}.{suffix}" for suffix in ("json", "npz"))
    _write_predictions(arrays, predictions)
    record = {
        "format": FORMAT,
        "config": config,
        "seed": seed,
        "data": data,
        **({"lacks": lacks} if lacks else {}),
        "probe": probe_of(config, len(predictions.classes)),
        "device": device,
        "versions": versions(),
        "seconds": round(seconds, 2),
        "history": history.to_dict(),
        "classes": list(predictions.classes),
        "metrics": predictions.metrics(),
        "predictions": _checksum(arrays),
    }
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    return Run(path, record)


def _write_predictions(path: Path, predictions: "Predictions") -> None:
    with written_whole(path) as temporary:
        np.savez_compressed(
            temporary,
            ids=predictions.ids,
            labels=predictions.labels,
            groups=predictions.groups,
            logits=predictions.logits.astype(np.float32),
        )


def copy_run(run: Run, folder: Path, name: str) -> Run:
    """Copy a record to another folder, under another name, whole or not at all.

    Raises:
        InputError: see `Run.predictions` and `save_run`.
    """
    run.predictions()  # they belong to the record
    path = folder / f"{name}.json"
    for suffix in (".npz", ".json"):
        with written_whole(path.with_suffix(suffix)) as temporary:
            temporary.write_bytes(run.path.with_suffix(suffix).read_bytes())
    return Run(path, run.record)


def load_runs(folder: Path | str) -> list[Run]:
    """Read all records in a folder and the folders in it, sorted by path; other JSON files are passed over.

    Raises:
        InputError: there is no such folder, or a JSON file in it cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"there is no folder {root}: give the one that holds the records, such as results")
    runs = []
    for path in sorted(root.rglob("*.json")):
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {path} ({error}): restore or delete it") from error
        if isinstance(record, dict) and record.get("format") == FORMAT:
            runs.append(Run(path, record))
    return runs


def probe_of(config: dict[str, Any], classes: int) -> dict[str, Any]:
    """What this library does with a configuration, as files keep it, see `dferlib.evidence.probes`."""
    from dferlib.evidence.probes import probe, to_dict

    return to_dict(probe(config, classes))


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("dferlib", *PACKAGES)}}


def device_name(device: str = "auto") -> str:
    """Name the processor behind a device, for the record: "cpu x86_64, 2 threads" or "cuda NVIDIA ..."."""
    import torch

    from dferlib.devices import pick_device

    kind = pick_device(device).type
    if kind == "cuda":
        return f"cuda {torch.cuda.get_device_name()}"
    return f"{kind} {platform.machine()}, {torch.get_num_threads()} threads"


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0, abs_tol=1e-12) or (math.isnan(one) and math.isnan(other))
    return one == other
