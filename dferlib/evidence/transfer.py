"""What weights are worth on another data set: as they are, and after fine-tuning on a part of it.

The parts are of people: with one in a hundred of them, the others' clips are not looked at, not even to choose the
epoch. So the curve says what somebody gets who has labelled that much.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dferlib.data.protocols import Part
from dferlib.data.table import ClipSource
from dferlib.errors import InputError
from dferlib.evidence.results import Run, load_runs
from dferlib.evidence.studies.declared import Row
from dferlib.evidence.studies.job import train_and_record
from dferlib.evidence.studies.matching import same_run
from dferlib.training.checkpoints import read_metadata
from dferlib.training.config import TrainConfig

SHARES = (0.01, 0.05, 0.2, 1.0)
MOST_EPOCHS = 6  # times those of the whole: a small part is seen more often, so that there are steps enough


@dataclass(frozen=True)
class Step:
    """Fine-tuning on one part.

    Attributes:
        share: of the people, as asked for.
        clips: how many clips that were to learn from.
        people: how many people are in them.
        run: the record, with the predictions for the test clips.
    """

    share: float
    clips: int
    people: int
    run: Run


def some_people(source: ClipSource, share: float, seed: int = 0) -> ClipSource:
    """All clips of people drawn at random, one after another, until they have a share of the clips.

    A larger share holds all of a smaller one, so that results differ by what is added and not by who was drawn.

    Args:
        source: the clips. Where nobody knows who is in them, each is a person of its own.
        share: how much, above 0 and up to 1.
        seed: of the draw.

    Raises:
        InputError: the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise InputError(f"share is {share}: give a part above 0 and up to 1, such as 0.05")
    if share == 1:
        return source
    _, person, counts = np.unique(source.table.groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(counts))
    before = np.cumsum(counts[order]) - counts[order]  # clips of those who were drawn earlier
    drawn = order[before < share * len(source)]
    return Part(source, np.flatnonzero(np.isin(person, drawn)), source.table.rows["split"].iloc[0])


def fine_tune(
    checkpoint: Path,
    sources: dict[str, ClipSource],
    folder: Path,
    *,
    config: TrainConfig,
    shares: Sequence[float] = SHARES,
    about: dict[str, object] | None = None,
    progress: bool = True,
) -> Iterator[Step]:
    """Fine-tune weights on parts of a data set, one after another, each from the same start.

    Args:
        checkpoint: the weights to start from.
        sources: "train", "val" and "test", in the classes of the checkpoint (see `match_classes`).
        folder: of the records, which are named after the weights and the clips, so that those of others stay. One that
            is there and would be made the same again is taken from there.
        config: how the whole is trained. Smaller parts get more epochs, up to `MOST_EPOCHS` times as many.
        shares: of the training and of the validation people.
        about: what the record says of the data.
        progress: show bars.

    Yields:
        What came of each share.

    Raises:
        InputError: a share is out of range, or see `train`.
    """
    model = read_metadata(checkpoint)["config"]
    key = hashlib.sha256(checkpoint.read_bytes() + "".join(sources[s].fingerprint for s in sorted(sources)).encode())
    known = {run.name: run for run in load_runs(folder)} if folder.is_dir() else {}
    for share in shares:
        parts = {split: some_people(sources[split], share, config.seed) for split in ("train", "val")}
        more = min(MOST_EPOCHS, math.ceil(len(sources["train"]) / len(parts["train"])))
        how = replace(config, start=str(checkpoint), epochs=more * config.epochs)
        row = Row(model["name"], model["overrides"], how, {**(about or {}), "share": share})
        name, splits = f"{key.hexdigest()[:8]}-{100 * share:g}-percent", {**parts, "test": sources["test"]}
        run = known.get(name)
        if run is None or not same_run(run, row, splits):
            made = train_and_record(folder, name, row, splits, model["scale"], None, progress)
            assert made is not None  # there is one process
            run = made
        people = len(np.unique(parts["train"].table.groups))
        yield Step(share, len(parts["train"]), people, run)
