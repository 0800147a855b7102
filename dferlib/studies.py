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

from dferlib.config import BALANCES, SELECTS
from dferlib.data.makefaces.knobs import DIFFICULTIES
from dferlib.data.makefaces.performance import DYNAMICS
from dferlib.data.table import ClipSource
from dferlib.errors import choose
from dferlib.files import written_whole
from dferlib.models import create_model
from dferlib.models.logo_former import VARIANTS as LOGO_VARIANTS
from dferlib.models.staner import VARIANTS as STANER_VARIANTS
from dferlib.objectives import LOSSES
from dferlib.processes import is_first
from dferlib.results import Run, code_hash, device_name, load_runs, save_run
from dferlib.training import TrainConfig, evaluate, train

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
SLOW_RATES = (1e-3, 3e-3)  # for heads of several blocks of attention, whose best rate is one of these two
FEW = {"stt": SLOW_RATES, "single_frame": (1e-2,)}  # where data are compared, not models
FROZEN = TrainConfig(backbone_lr_scale=0.0)
WHOLE = TrainConfig(backbone_lr_scale=0.5)
SCRATCH = TrainConfig(backbone_lr_scale=1.0)
FIVE, TEN = tuple(range(5)), tuple(range(10))
# what a backbone starts from, and how it is then trained: from nothing, faces of MakeFaces, a million photographs
STARTS: dict[str, tuple[dict[str, Any], TrainConfig]] = {
    "scratch": ({"weights": None}, SCRATCH),
    "makefaces": ({}, WHOLE),
    "makefaces_frozen": ({}, FROZEN),
    "dlib_frozen": ({"backbone": "dlib_face", "weights": "dlib", "size": 150}, FROZEN),
}


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
        FIVE,
    ),
    "stt_table2": Study(
        "Is the compact loss better than cross entropy and label smoothing (STT, Table 2), or than losses on features?",
        {loss: Row("stt", config=replace(FROZEN, loss=loss), rates=SLOW_RATES) for loss in LOSSES if loss != "joint"},
        TEN,
    ),
    "stt_fig6": Study(
        "How many blocks does STT need (STT, Fig. 6)?",
        {f"{layers}-layers": Row("stt", {"layers": layers}, rates=SLOW_RATES) for layers in (1, 2, 3, 4)},
        FIVE,
    ),
    "before_attention": Study(
        "How far do models without attention come, from one frame to networks of three dimensions?",
        {
            **{name: Row(name) for name in ("single_frame", "frame_average", "resnet18_lstm", "resnet18_gru")},
            "former_dfer": Row("former_dfer"),
            "nr_dfernet": Row("nr_dfernet", rates=SLOW_RATES),
            **{name: Row(name, config=SCRATCH, rates=SLOW_RATES) for name in ("c3d", "r3d18", "r2plus1d18")},
        },
        FIVE,
    ),
    "sampling": Study(
        "How many frames of a clip are needed, and spread how?",
        {
            "2x1": Row("former_dfer", {"frames": 2}),
            "4x1": Row("former_dfer", {"frames": 4}),
            "8x1": Row("former_dfer"),
            "12x1": Row("former_dfer", {"frames": 12}),
            "4x2": Row("former_dfer", config=replace(FROZEN, per_segment=2)),
            "2x4": Row("former_dfer", config=replace(FROZEN, per_segment=4)),
            "1x8": Row("former_dfer", config=replace(FROZEN, per_segment=8)),
        },
        FIVE,
    ),
    "uneven": Study(
        "What do classes as uneven as DFEW's do to UAR and WAR, and what helps?",
        {
            balance: Row("former_dfer", config=replace(FROZEN, balance=balance), data={"prior": "dfew"})
            for balance in BALANCES
        },
        FIVE,
    ),
    "choosing": Study(
        "How much does choosing the epoch on the test clips add to the numbers?",
        {select: Row("former_dfer", config=replace(FROZEN, select=select)) for select in SELECTS},
        TEN,
    ),
    "logo_table2": Study(
        "What do local attention and the regulariser bring to LOGO-Former (Table 2)?",
        {
            name.lower().replace(" ", "_").replace("/", ""): Row(
                model, overrides, replace(FROZEN, loss=loss), rates=SLOW_RATES
            )
            for name, (model, overrides, loss) in LOGO_VARIANTS.items()
        },
        FIVE,
    ),
    "msstnet_table1": Study(
        "How many scales, blocks and frames does MSSTNet need (Table 1)?",
        {
            **{
                f"stages-{'-'.join(map(str, stages))}": Row(
                    "msstnet", {"frames": 4, "stages": stages}, rates=SLOW_RATES
                )
                for stages in ((4,), (3, 4), (1, 2, 3, 4))
            },
            **{
                f"{frames}-frames-{blocks}-blocks": Row(
                    "msstnet", {"frames": frames, "blocks": blocks}, rates=SLOW_RATES
                )
                for frames in (4, 8, 12)
                for blocks in (1, 2, 3)
            },
        },
        FIVE,
    ),
    "staner_table1": Study(
        "What do STANER's branches, its attention and the fusion bring (Table 1)?",
        {
            **{name: Row(*STANER_VARIANTS[name]) for name in ("C1", "C2", "C3")},
            **{name: Row(*STANER_VARIANTS[name], replace(FROZEN, loss="joint")) for name in ("C4", "STANER")},
            "STANER-average": Row("staner"),  # the same network, trained on its average decision alone
        },
        FIVE,
    ),
    "initialisation": Study(
        "What does each start of the backbone bring?",
        {
            f"{model}-{start}": Row(model, overrides, config, rates=SLOW_RATES)
            for model in ("single_frame", "resnet18_lstm", "stt")
            for start, (overrides, config) in STARTS.items()
        },
    ),
    "dynamics": Study(
        "Can models tell classes apart that differ in nothing but the order of their frames?",
        {
            f"{model}-{task}": Row(model, data={"task": task}, rates=rates)
            for model, rates in FEW.items()
            for task in DYNAMICS
        },
        seeds=(0, 1),
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
    tensorboard: bool = False,
) -> Run | None:
    """Train one row with the seed of its config, test it once, and write the record.

    Under `torchrun` every process calls this, and the first one writes.

    Args:
        folder: of the record.
        name: of the record.
        row: what to train.
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
    progress = progress and is_first()
    torch.manual_seed(row.config.seed)
    model = create_model(row.model, len(sources["train"].classes), scale, **row.overrides)
    started = perf_counter()
    judge = sources[row.config.select]
    history = train(model, sources["train"], judge, row.config, checkpoint, progress, resume, tensorboard)
    per_segment, device = row.config.per_segment, row.config.device
    predictions = evaluate(model, sources["test"], device=device, per_segment=per_segment, progress=progress)
    if not is_first():
        return None
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
                assert done is not None  # no study is run by torchrun
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
    made_with = {
        "code": code_hash(row.model, row.overrides),
        "data": _fingerprints(sources),
        "train": asdict(row.config),
    }
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
