"""The files of a training in their folder. The first process writes them, all others only read."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from dferlib.data.table import ClipSource
from dferlib.errors import InputError
from dferlib.files import make_folder, written_whole
from dferlib.models.base import ClipModel
from dferlib.training.checkpoints import load_state, read_metadata, save_model, save_state
from dferlib.training.config import TrainConfig
from dferlib.training.history import write_tensorboard
from dferlib.training.known import know, write_known
from dferlib.training.processes import all_gather, is_first
from dferlib.training.state import TrainState

CHECKPOINT = "best.safetensors"
STATE = "last.pt"
HISTORY = "history.json"


class RunFolder:
    """Where a training keeps `best.safetensors`, `history.json`, `last.pt`, and `tensorboard/` if that is wanted.

    Args:
        path: the folder, made if need be; None for a training that keeps nothing.
        about: what the training is: "model", "train" and "data", each with its settings. A state is for no other.
        resume: go on from the state that is there.
        tensorboard: also write the course of the training for that program.

    Raises:
        InputError: the folder cannot be made or written, or none is given where one is needed.
    """

    def __init__(
        self, path: Path | str | None, about: dict[str, Any], *, resume: bool = False, tensorboard: bool = False
    ) -> None:
        self.path, self.about = None if path is None else make_folder(Path(path)), about
        self.resume, self.tensorboard = resume, tensorboard
        if self.path is None and (resume or tensorboard):
            what = "nothing to resume from" if resume else "no place for what TensorBoard reads"
            raise InputError(f"there is {what}: give the folder of the training as out")
        if self.path is not None and is_first():
            self._remove_leftovers(self.path)

    def save_epoch(self, model: ClipModel, state: TrainState) -> None:
        """Write what an epoch has changed: the best weights if they are new, the history, the state."""
        if self.path is None:
            return
        best, last = state.history.best, state.history.epochs[-1]
        if is_first():
            if best is last:
                about = {key: self.about[key] for key in ("train", "data")}
                save_model(model, self.path / CHECKPOINT, model.classes, state.best, **about, best=asdict(best))
            with written_whole(self.path / HISTORY) as path:
                path.write_text(json.dumps(state.history.to_dict(), indent=1))
        self.save_state(state)
        if self.tensorboard and is_first():
            write_tensorboard(self.path / "tensorboard", last)

    def note_known(self, model: ClipModel, train: ClipSource, val: ClipSource, config: TrainConfig) -> None:
        """Write what the model has learnt from beside its best weights, if that is lacking. Every process calls it."""
        path = self.path and self.path / CHECKPOINT
        lacking = path is not None and is_first() and "known" not in read_metadata(path)["metadata"]
        if all_gather([lacking])[0]:
            known = know(model, train, val, device=config.device, per_segment=config.per_segment)
            if path is not None and is_first():
                write_known(path, known, train)

    def save_state(self, state: TrainState) -> None:
        """Write all that is needed to go on. Every process must call it."""
        if self.path is None:
            return
        contents = state.state_dict()
        if is_first():
            save_state(self.path / STATE, contents, self.about)

    def load_state(self, state: TrainState, device: torch.device) -> None:
        """Go back to where the state in the folder was written, if one is there and the training is to be resumed.

        Raises:
            InputError: it is damaged, or of another training.
        """
        if self.path is None or not self.resume or not (self.path / STATE).exists():
            return
        contents = load_state(self.path / STATE, self.about, device)
        try:
            state.load_state_dict(contents)
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise InputError(
                f"{self.path / STATE} does not fit this training ({first}): start anew without resume"
            ) from error

    @staticmethod
    def _remove_leftovers(folder: Path) -> None:
        """Remove what a killed training has left half written."""
        for name in map(Path, (CHECKPOINT, STATE, HISTORY)):
            for path in folder.glob(f".{name.stem}.*.tmp{name.suffix}"):
                path.unlink(missing_ok=True)
