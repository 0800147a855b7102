"""Which records belong to a study, and whether a record is what training a row now would give."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dferlib.data.table import ClipSource
from dferlib.errors import choose
from dferlib.evidence.results import Run
from dferlib.evidence.studies.clips import fingerprints
from dferlib.evidence.studies.declared import STUDIES, Row, Study
from dferlib.training.config import TrainConfig


def pick_study(name: str, scale: str = "book") -> Study:
    """The study of a name.

    Raises:
        InputError: unknown, or not made for this scale.
    """
    study = STUDIES[choose("study", name, STUDIES)]
    choose(f"scale of {name}", scale, study.scales)
    return study


def study_folder(root: Path, name: str, scale: str) -> Path:
    """Where the records of a study are: those of paper scale have a folder of their own."""
    return root / (name if scale == "book" else f"{name}-{scale}")


def folders_beside(folder: Path, scale: str) -> list[Path]:
    """The folders of the other studies, as far as they are there."""
    folders = [study_folder(folder.parent, name, scale) for name in STUDIES]
    return [other for other in folders if other != folder and other.is_dir()]


def model_config(row: Row, scale: str) -> dict[str, Any]:
    """The model of a row, as a JSON file gives it back."""
    overrides: dict[str, Any] = json.loads(json.dumps(row.overrides))
    return {"name": row.model, "scale": scale, "overrides": overrides}


def training_config(folder: Path, row: Row) -> dict[str, Any]:
    """How a row is trained, as its record says it: `train`, and `start`, the predictions of the run it starts from."""
    found: dict[str, Any] = {"train": asdict(row.config)}
    if row.start:
        found["start"] = {row.start: json.loads((folder / f"{row.start}.json").read_text())["predictions"]}
    return found


def same_model(run: Run, row: Row) -> bool:
    """Whether a record is of the model of a row."""
    wanted = model_config(row, "")
    return run.model["name"] == wanted["name"] and run.model["overrides"] == wanted["overrides"]


def is_of(run: Run, row: Row) -> bool:
    """Whether a record is current and of this row, with whatever rate and seed; its clips are not looked at."""
    found, wanted = TrainConfig(**run.record["config"]["train"]), row.config
    free = ("lr", "seed", "device", "start") if row.start else ("lr", "seed", "device")
    same = replace(found, **{name: getattr(wanted, name) for name in free}) == wanted and same_model(run, row)
    return same and run.record["config"]["data"] == row.data and run.is_current


def same_run(run: Run, row: Row, sources: dict[str, ClipSource]) -> bool:
    """Whether a record is what training the row now would give, on whatever device."""
    if not same_model(run, row) or run.record["data"] != fingerprints(sources):
        return False
    recorded, asked = run.record["config"], training_config(run.path.parent, row)
    found, wanted = (replace(TrainConfig(**config["train"]), device="auto") for config in (recorded, asked))
    return found == wanted and recorded.get("start") == asked.get("start") and run.is_current
