"""Studies: runs that answer one question together, made by one command and kept as records.

A study is a list of rows. Each row is trained with every seed, and the rows share the seeds, so that differences can be
taken seed by seed. Before that each row chooses its learning rate, on the validation split, from the same few values:
a baseline with a rate that suits another model proves nothing. The backbones are frozen: their maps are computed once,
so that a run takes seconds, and the rows differ in what comes after.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from dferlib.data.makefaces.knobs import DIFFICULTIES
from dferlib.data.table import ClipSource
from dferlib.errors import choose
from dferlib.files import written_whole
from dferlib.models import create_model
from dferlib.results import Run, code_hash, device_name, load_runs, save_run
from dferlib.training import TrainConfig, evaluate, train

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
FROZEN = TrainConfig(backbone_lr_scale=0.0)
FEW = {"stt": (1e-3, 3e-3), "single_frame": (1e-2,)}  # where levels are compared, not models


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        model: name of the model.
        overrides: how it differs from its default.
        config: how it is trained.
        data: which clips, as arguments of `MakeFaces`; its defaults where nothing is said.
        rates: the learning rates to choose from; one alone is taken as it is.
    """

    model: str
    overrides: dict[str, Any] = field(default_factory=dict)
    config: TrainConfig = FROZEN
    data: dict[str, Any] = field(default_factory=dict)
    rates: tuple[float, ...] = RATES


# what gives a row its clips: from `Row.data` to the "train", "val" and "test" splits
Clips = Callable[[dict[str, Any]], dict[str, ClipSource]]


@dataclass(frozen=True)
class Study:
    """A question, and the rows that answer it.

    Attributes:
        question: in one sentence.
        rows: by name; the names become those of the records.
        seeds: of the runs.
    """

    question: str
    rows: dict[str, Row]
    seeds: tuple[int, ...] = (0, 1, 2)


STUDIES = {
    "stt_table1": Study(
        "What do STT's two attentions bring, and does the order of the paper's Table 1 show?",
        {
            "lstm": Row("resnet18_lstm"),
            "spatial": Row("stt", {"temporal": False}),
            "temporal": Row("stt", {"spatial": False}),
            "stt": Row("stt"),
            "no_attention": Row("stt", {"spatial": False, "temporal": False}),
            "single_frame": Row("single_frame"),
        },
        seeds=(0, 1, 2, 3, 4),
    ),
    "makefaces_difficulty": Study(
        "How hard are the three levels of MakeFaces, for a clip and for its middle frame?",
        {
            f"{model}-{level}": Row(model, data={"difficulty": level}, rates=rates)
            for model, rates in FEW.items()
            for level in DIFFICULTIES
        },
        seeds=(0, 1),
    ),
}


def train_and_record(
    folder: Path,
    name: str,
    row: Row,
    sources: dict[str, ClipSource],
    scale: str = "book",
    checkpoint: Path | None = None,
    progress: bool = True,
    resume: bool = False,
) -> Run:
    """Train one row with the seed of its config, test it once, and write the record.

    Args:
        folder: of the record.
        name: of the record.
        row: what to train.
        sources: the "train", "val" and "test" splits.
        scale: of the model.
        checkpoint: folder for the weights of the chosen epoch; not kept if not given.
        progress: show a bar.
        resume: go on from the state in the folder of the weights, if there is one.

    Raises:
        InputError: see `train` and `save_run`.
    """
    torch.manual_seed(row.config.seed)
    model = create_model(row.model, len(sources["train"].classes), scale, **row.overrides)
    started = perf_counter()
    history = train(model, sources["train"], sources[row.config.select], row.config, checkpoint, progress, resume)
    per_segment, device = row.config.per_segment, row.config.device
    predictions = evaluate(model, sources["test"], device=device, per_segment=per_segment, progress=progress)
    return save_run(
        folder,
        name,
        config={
            "model": {"name": row.model, "scale": scale, "overrides": row.overrides},
            "train": asdict(row.config),
            "data": row.data,
        },
        seed=row.config.seed,
        data={split: source.fingerprint for split, source in sources.items()},
        predictions=predictions,
        history=history,
        device=device_name(row.config.device),
        seconds=perf_counter() - started,
    )


def run_study(
    name: str, clips: Clips, root: Path = Path("results"), keep_weights: bool = False, progress: bool = True
) -> list[Run]:
    """Make the records of a study that are missing or that older code has made.

    Args:
        name: one of `STUDIES`.
        clips: gives each row its "train", "val" and "test" splits.
        root: the records go to `root/name`.
        keep_weights: also write the weights of the first seed's runs, beside the records.
        progress: say what is done.

    Returns:
        The records, row by row. It can be interrupted at any moment; the next call goes on where it stopped.

    Raises:
        InputError: unknown study, or see `train`.
    """
    study = STUDIES[choose("study", name, STUDIES)]
    folder, runs = root / name, []
    known = {run.name: run for run in load_runs(folder)} if folder.is_dir() else {}
    for title, row in study.rows.items():
        sources = clips(row.data)
        tuned = replace(row, config=replace(row.config, lr=_tuned(folder, title, row, sources)))
        for seed in study.seeds:
            chosen = replace(tuned, config=replace(tuned.config, seed=seed))
            done = known.get(f"{title}-seed{seed}")
            if done is None or not _same_run(done, chosen, sources):
                weights = folder / title if keep_weights and seed == study.seeds[0] else None
                done = train_and_record(folder, f"{title}-seed{seed}", chosen, sources, "book", weights, progress)
            runs.append(done)
            if progress:
                uar, seconds = 100 * done.metrics["uar"], done.record["seconds"]
                print(f"{done.name}: test UAR {uar:.1f} %, {seconds:.0f} s", flush=True)
    return runs


def _fingerprints(sources: dict[str, ClipSource]) -> dict[str, str]:
    return {split: source.fingerprint for split, source in sources.items()}


def _same_run(done: Run, row: Row, sources: dict[str, ClipSource]) -> bool:
    """Whether a record is what training the row now would give."""
    same = done.is_current and done.record["data"] == _fingerprints(sources)
    return same and TrainConfig(**done.record["config"]["train"]) == row.config


def _tuned(folder: Path, title: str, row: Row, sources: dict[str, ClipSource]) -> float:
    """Which of its rates has the best validation UAR, with seed 100; what each gave is written beside the records."""
    if len(row.rates) == 1:
        return row.rates[0]
    path = folder / f"{title}-rates.json"
    made_with = {"code": code_hash(row.model), "data": _fingerprints(sources), "train": asdict(row.config)}
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if {key: found.get(key) for key in made_with} != made_with:
        found = {**made_with, "rates": []}
    for rate in row.rates[len(found["rates"]) :]:
        config = replace(row.config, lr=rate, seed=100)
        torch.manual_seed(config.seed)
        model = create_model(row.model, len(sources["train"].classes), **row.overrides)
        best = train(model, sources["train"], sources["val"], config, progress=False).best
        found["rates"].append({"lr": rate, "val_uar": best.val_uar})
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n")
    return max(found["rates"], key=lambda one: one["val_uar"])["lr"]
