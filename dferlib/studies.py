"""Studies: runs that answer one question together, made by one command and kept as records.

A study is a list of rows. Each row is trained with every seed, and the rows share the seeds, so that differences can be
taken seed by seed. Before that each row chooses its learning rate, on the validation split, from the same few values:
a baseline with a rate that suits another model proves nothing.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from dferlib.data.table import ClipSource
from dferlib.errors import choose
from dferlib.files import written_whole
from dferlib.models import create_model
from dferlib.results import Run, device_name, load_runs, save_run
from dferlib.training import TrainConfig, evaluate, train

# learning rate of the head, and what part of it the backbone gets
RATES = ((1e-3, 0.5), (3e-3, 0.2), (1e-2, 0.05), (3e-2, 0.02))


@dataclass(frozen=True)
class Row:
    """One line of a table: a model and how it differs from its default."""

    model: str
    overrides: dict[str, Any] = field(default_factory=dict)
    config: TrainConfig = field(default_factory=TrainConfig)


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
    "stt_against_controls": Study(
        "How much of STT's recall does its attention bring?",
        {
            "stt": Row("stt"),
            "no_attention": Row("stt", {"spatial": False, "temporal": False}),
            "single_frame": Row("single_frame"),
        },
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

    Raises:
        InputError: see `train` and `save_run`.
    """
    torch.manual_seed(row.config.seed)
    model = create_model(row.model, scale=scale, **row.overrides)
    started = perf_counter()
    history = train(model, sources["train"], sources[row.config.select], row.config, checkpoint, progress)
    per_segment, device = row.config.per_segment, row.config.device
    predictions = evaluate(model, sources["test"], device=device, per_segment=per_segment, progress=progress)
    return save_run(
        folder,
        name,
        config={
            "model": {"name": row.model, "scale": scale, "overrides": row.overrides},
            "train": asdict(row.config),
        },
        seed=row.config.seed,
        data={split: source.fingerprint for split, source in sources.items()},
        predictions=predictions,
        history=history,
        device=device_name(row.config.device),
        seconds=perf_counter() - started,
    )


def run_study(
    name: str,
    sources: dict[str, ClipSource],
    root: Path = Path("results"),
    keep_weights: bool = False,
    progress: bool = True,
) -> list[Run]:
    """Make the records of a study that are missing or that older code has made.

    Args:
        name: one of `STUDIES`.
        sources: the "train", "val" and "test" splits.
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
    fingerprints = {split: source.fingerprint for split, source in sources.items()}
    known = {run.name: run for run in load_runs(folder)} if folder.is_dir() else {}
    for title, row in study.rows.items():
        rate, backbone = _tuned(folder, title, row, sources, progress)
        for seed in study.seeds:
            chosen = replace(row, config=replace(row.config, lr=rate, backbone_lr_scale=backbone, seed=seed))
            done = known.get(f"{title}-seed{seed}")
            same = done is not None and done.is_current and done.record["data"] == fingerprints
            if done is None or not same or TrainConfig(**done.record["config"]["train"]) != chosen.config:
                weights = folder / title if keep_weights and seed == study.seeds[0] else None
                done = train_and_record(folder, f"{title}-seed{seed}", chosen, sources, "book", weights, progress)
            runs.append(done)
            if progress:
                print(
                    f"{done.name}: test UAR {100 * done.metrics['uar']:.1f} %, {done.record['seconds']:.0f} s",
                    flush=True,
                )
    return runs


def _tuned(folder: Path, title: str, row: Row, sources: dict[str, ClipSource], progress: bool) -> tuple[float, float]:
    """The pair of `RATES` with the best validation UAR, seed 100; every pair's result is written beside the records."""
    path = folder / f"{title}-rates.json"
    found: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []
    for rate, backbone in RATES[len(found) :]:
        config = replace(row.config, lr=rate, backbone_lr_scale=backbone, seed=100)
        torch.manual_seed(config.seed)
        model = create_model(row.model, **row.overrides)
        best = train(model, sources["train"], sources["val"], config, progress=progress).best
        found.append({"lr": rate, "backbone_lr_scale": backbone, "val_uar": best.val_uar})
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n")
    best_pair = max(found, key=lambda f: f["val_uar"])
    return best_pair["lr"], best_pair["backbone_lr_scale"]
