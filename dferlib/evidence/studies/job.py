"""One training of a study, which needs no folder that others see, and one training with its record."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from dferlib.data.classes import match_classes
from dferlib.data.table import ClipSource, lacks
from dferlib.errors import InputError
from dferlib.evidence.results import Run, device_name, save_run
from dferlib.evidence.studies.clips import Clips, fingerprints
from dferlib.evidence.studies.declared import Row
from dferlib.evidence.studies.matching import model_config, training_config
from dferlib.files import written_whole
from dferlib.models import ClipModel, create_model
from dferlib.training.checkpoints import change_metadata, read_metadata
from dferlib.training.evaluation import Predictions, evaluate
from dferlib.training.history import History
from dferlib.training.loop import train
from dferlib.training.processes import is_first
from dferlib.training.run_folder import CHECKPOINT

Files = dict[str, bytes]  # by their paths in the folder of a study


@dataclass(frozen=True)
class Job:
    """One training, as it is handed to a process of any machine.

    Args:
        title: of the row.
        row: with the learning rate and the seed of the training.
        scale: of the model.
        clips: gives the row its clips.
        data: fingerprints of these clips as the one that asks sees them.
        tuning: try the rate on the validation clips; otherwise make a record.
        weights: the folder in that of the study for the trained weights; not kept if empty.
        needs: files that it starts from.
    """

    title: str
    row: Row
    scale: str
    clips: Clips
    data: dict[str, str]
    tuning: bool = False
    weights: str = ""
    needs: Files = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Of the record, or of the attempt."""
        config = self.row.config
        return f"{self.title}, rate {config.lr:g}" if self.tuning else f"{self.title}-seed{config.seed}"


def do_job(job: Job) -> float | Files:
    """Train; return the validation UAR of a rate, or the files of the record, the last of which seals it.

    Raises:
        InputError: this process has other clips, or see `train`.
    """
    sources = job.clips(job.row.data)
    if fingerprints(sources) != job.data:
        raise InputError(
            f"{job.title}: a worker has other clips than the one that asks: give it the same dferlib, and numba or none"
        )
    with TemporaryDirectory() as place:
        folder = Path(place)
        write_files(folder, job.needs)
        if job.tuning:
            return _train(_from(folder, job.row), sources, "val", job.scale)[1].best.val_uar
        weights = folder / job.weights if job.weights else None
        train_and_record(folder, job.name, job.row, sources, job.scale, weights, progress=False)
        kept = [f"{job.weights}/{CHECKPOINT}"] if job.weights else []
        return {name: (folder / name).read_bytes() for name in (*kept, f"{job.name}.npz", f"{job.name}.json")}


def write_files(folder: Path, files: Files) -> None:
    """Write each file whole or not at all, in their order."""
    for name, content in files.items():
        with written_whole(folder / name) as temporary:
            temporary.write_bytes(content)


def train_and_record(
    folder: Path,
    name: str,
    row: Row,
    sources: dict[str, ClipSource],
    scale: str = "book",
    checkpoint: Path | None = None,
    progress: bool = True,
    resume: bool = False,
    tensorboard: bool = False,
) -> Run | None:
    """Train one row with the seed of its config, test it once, and write the record. `torchrun`'s first process writes.

    Args:
        folder: of the record.
        name: of the record.
        row: what to train. If `row.start` names a run, `row.config.start` says where in the folder its weights are.
        sources: the "train", "val" and "test" splits.
        scale: of the model.
        checkpoint: folder for the weights of the chosen epoch; not kept if not given.
        progress: show a bar.
        resume: go on from the state in the folder of the weights, if there is one.
        tensorboard: also write what TensorBoard shows to that folder.

    Returns:
        The record; None in every process of `torchrun` but the first.

    Raises:
        InputError: see `train` and `save_run`.
    """
    started = perf_counter()
    history, predictions = train_and_test(
        _from(folder, row), sources, scale, checkpoint, progress and is_first(), resume, tensorboard
    )
    if not is_first():
        return None
    if row.start and checkpoint:
        _name_start(checkpoint / CHECKPOINT, row.config.start)
    return save_run(
        folder,
        name,
        config={"model": model_config(row, scale), **training_config(folder, row), "data": row.data},
        seed=row.config.seed,
        data=fingerprints(sources),
        lacks={split: told for split, source in sources.items() if (told := lacks(source))},
        predictions=predictions,
        history=history,
        device=device_name(row.config.device),
        seconds=perf_counter() - started,
    )


def train_and_test(
    row: Row,
    sources: dict[str, ClipSource],
    scale: str,
    checkpoint: Path | None = None,
    progress: bool = False,
    resume: bool = False,
    tensorboard: bool = False,
) -> tuple[History, Predictions]:
    """Train a row with the seed of its config, and test it once; see `train_and_record`."""
    config = row.config
    test = match_classes(sources["test"], sources["train"].classes)  # what does not fit is told before hours are spent
    model, history = _train(row, sources, config.select, scale, checkpoint, progress, resume, tensorboard)
    per_segment = config.per_segment
    return history, evaluate(model, test, device=config.device, per_segment=per_segment, progress=progress)


def _train(
    row: Row,
    sources: dict[str, ClipSource],
    select: str,
    scale: str,
    checkpoint: Path | None = None,
    progress: bool = False,
    resume: bool = False,
    tensorboard: bool = False,
) -> tuple[ClipModel, History]:
    """Train the model of a row, which begins as its seed says; the split `select` chooses the epoch."""
    torch.manual_seed(row.config.seed)
    model = create_model(row.model, len(sources["train"].classes), scale, **row.overrides)
    shown = {"progress": progress, "resume": resume, "tensorboard": tensorboard}
    return model, train(model, sources["train"], sources[select], row.config, checkpoint, **shown)


def _name_start(path: Path, start: str) -> None:
    """Have a checkpoint say from which run of its study it started, not where this process had the weights of that."""
    change_metadata(path, train={**read_metadata(path)["metadata"]["train"], "start": start})


def _from(folder: Path, row: Row) -> Row:
    """The row with the whole path of the weights that it starts from."""
    if not row.start:
        return row
    return replace(row, config=replace(row.config, start=str(folder / row.config.start)))
