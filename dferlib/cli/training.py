"""Commands that train a model and test it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dferlib.cli.options import (
    SPLITS,
    Data,
    DataSeed,
    Device,
    Fold,
    Layout,
    Links,
    Map,
    Root,
    Scale,
    Settings,
    Size,
)
from dferlib.errors import InputError, choose

if TYPE_CHECKING:
    from dferlib.data.table import ClipSource
    from dferlib.evidence.results import Run
    from dferlib.training.config import TrainConfig
    from dferlib.training.evaluation import Predictions

app = typer.Typer()


@app.command(epilog="Example: dferlib train stt --epochs 8 --seed 0 --out runs/stt --set ema=0.99")
def train(
    model: Annotated[str, typer.Argument(help="Name of the model, such as stt or frame_average.")],
    scale: Scale = "book",
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training clips.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights, the order of clips and augmentation.")] = 0,
    data: Data = "MakeFaces",
    fold: Fold = None,
    size: Size = "book",
    data_seed: DataSeed = 0,
    root: Root = None,
    layout: Layout = None,
    follow_links: Links = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results, else runs/MODEL-SEED, or -foldK.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="The backbone's start: makefaces, imagenet, dlib, or none.")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="cross_entropy, label_smoothing, compact, center, ...")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of everything but the backbone.")] = None,
    backbone_lr_scale: Annotated[float | None, typer.Option(help="Part of it for the backbone; 0 freezes it.")] = None,
    device: Device = "auto",
    settings: Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped training was.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write OUT/tensorboard.")] = False,
) -> None:
    """Train a model, choose the epoch on the validation split, test it once.

    What is not given is as `dferlib.training.recipes` has it for the scale. Writes best.safetensors, last.pt,
    history.json and the record of the run into the folder. `torchrun --nproc-per-node 2 -m dferlib.cli train ...`
    uses two processes.
    """
    from dferlib.evidence.studies import Row, train_and_record
    from dferlib.files import make_folder
    from dferlib.models import create_model
    from dferlib.training.processes import make_fabric
    from dferlib.training.recipes import apply_settings, recipe

    given = {"epochs": epochs, "loss": loss, "lr": lr, "backbone_lr_scale": backbone_lr_scale}.items()
    chosen = {name: value for name, value in given if value is not None}
    config = apply_settings(recipe(model, scale), settings or [], seed=seed, device=device, **chosen)
    side = create_model(model, scale=scale, **_start(weights)).input_spec.size  # wrong names are told before rendering
    folder = make_folder(out or _folder(model, seed, fold))
    with make_fabric(device, config.precision).rank_zero_first():  # the first process makes them, all others find them
        sources = _splits(data, fold, size, data_seed, root, side, layout=layout, links=follow_links)
    about = {} if data == "MakeFaces" and fold is None else {"name": data, "fold": fold or 1}
    row = Row(model, _start(weights), config, about | ({} if layout is None else {"layout": layout}))
    _print_begun_anew(folder, resume)
    run = train_and_record(folder, "run", row, sources, scale, folder, True, resume, tensorboard)
    if run is not None:  # another process of torchrun has it
        _print_run(run, sources, config, folder)


def _print_begun_anew(folder: Path, resume: bool) -> None:
    """Say that a training begins at the beginning, where somebody may think that it goes on."""
    from dferlib.training.processes import is_first
    from dferlib.training.run_folder import STATE

    if (folder / STATE).exists() == resume or not is_first():
        return
    where = f"{folder} has no training to go on with" if resume else f"{folder} has a training, which is written over"
    print(f"{where}: it begins anew" + ("" if resume else "; --resume would go on"), file=sys.stderr, flush=True)


def _print_run(run: "Run", sources: dict[str, "ClipSource"], config: "TrainConfig", folder: Path) -> None:
    from dferlib.training.run_folder import CHECKPOINT

    _print_chosen_epoch(run.record["history"], config)
    _print_lacks(sources)
    _print_metrics(run.predictions(), "test")
    print(f"checkpoint {folder / CHECKPOINT}, record {run.path}, {run.record['seconds']:.0f} s")


def _start(weights: str | None) -> dict[str, Any]:
    """What the backbone starts from, as `create_model` takes it; the model's default if nothing is said."""
    return {} if weights is None else {"weights": None if weights == "none" else weights}


def _folder(model: str, seed: int, fold: int | None) -> Path:
    """Where a training keeps what it makes, if nobody says: each fold has a folder of its own."""
    return Path("runs") / (f"{model}-{seed}" if fold is None else f"{model}-{seed}-fold{fold}")


@app.command(epilog="Example: dferlib evaluate runs/stt-0/best.safetensors --size book")
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A file that `dferlib train` wrote.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    data: Data = "MakeFaces",
    fold: Fold = None,
    size: Size = "book",
    data_seed: DataSeed = 0,
    root: Root = None,
    layout: Layout = None,
    follow_links: Links = None,
    map: Map = None,
    device: Device = "auto",
    fine_tune: Annotated[
        str | None,
        typer.Option(metavar="PERCENT,...", help="Go on: fine-tune on so much of the people, such as 1,5,20,100."),
    ] = None,
    settings: Settings = None,
    out: Annotated[Path, typer.Option(help="Folder for the records of fine-tuning.")] = Path("runs/fine-tuned"),
) -> None:
    """Test a checkpoint: UAR, WAR, the recall of each class, the confusion matrix.

    Classes are matched by their names. A class that the model does not know needs --map.

    With --fine-tune it is then trained further on parts of the training people, each part from the same start, and
    tested on the same test clips: what the weights are worth for somebody who has labelled that much. Interrupted, it
    goes on where it stopped.
    """
    from dferlib.data.classes import match_classes
    from dferlib.training.checkpoints import load_model, read_metadata
    from dferlib.training.evaluation import evaluate as test
    from dferlib.training.recipes import apply_settings, recipe

    model = load_model(checkpoint)
    about = read_metadata(checkpoint)["metadata"]
    per_segment = about.get("train", {}).get("per_segment", 1)
    choose("split", split, SPLITS)
    shares = _shares(fine_tune, split, settings)
    given = {"device": device, "per_segment": per_segment}
    config = apply_settings(recipe(model.config["name"], model.config["scale"]), settings or [], **given)
    side, wanted = model.input_spec.size, (split,) if fine_tune is None and fold is None else SPLITS
    found = _splits(data, fold, size, data_seed, root, side, wanted, layout=layout, links=follow_links)
    sources = {name: match_classes(source, model.classes, _names(map or [])) for name, source in found.items()}
    _print_lacks(sources)
    _print_classes(found[split], sources[split], _names(map or []))
    _print_other_clips(about, found, split)
    before = test(model, sources[split], device=device, per_segment=per_segment, progress=True)
    _print_metrics(before, split)
    if shares:
        told = {"name": data, "fold": fold or 1}
        _print_fine_tuned(checkpoint, sources, out, before, config=config, shares=shares, about=told)


def _print_other_clips(about: dict[str, Any], found: dict[str, "ClipSource"], split: str) -> None:
    """Say that a model may be tested on what it knows: in another fold, the test clips are others."""
    from dferlib.data.table import name_of

    if split == "train" or "train" not in found or about.get("known", {}).get("name") != name_of(found["train"]):
        return
    if about.get("data", {}).get("train") != found["train"].fingerprint:
        told = "CAREFUL: the model has learnt from other clips of this data set than the training clips of this fold"
        print(f"{told}; where it knows the {split} clips, the numbers are too high", file=sys.stderr, flush=True)


def _shares(text: str | None, split: str, settings: list[str] | None) -> list[float]:
    """The parts of "1,5,20,100"."""
    if text is None:
        if settings:
            raise InputError(f"--set {settings[0]} says how to train, and nothing is trained: give --fine-tune, too")
        return []
    if split != "test":
        raise InputError(f"--fine-tune chooses epochs by the validation clips and tests on the test clips, not {split}")
    try:
        shares = [float(part) / 100 for part in text.split(",")]
    except ValueError:
        shares = [0.0]
    if not all(0 < share <= 1 for share in shares):
        raise InputError(f"--fine-tune {text}: give percentages above 0 and up to 100, such as 1,5,20,100")
    return shares


def _print_fine_tuned(
    checkpoint: Path,
    sources: dict[str, "ClipSource"],
    folder: Path,
    before: "Predictions",
    *,
    config: "TrainConfig",
    shares: list[float],
    about: dict[str, object],
) -> None:
    """A line for each part: how much it is, what it gives, and by how much that is more than before."""
    from dferlib.evidence.statistics import compare, interval
    from dferlib.evidence.transfer import fine_tune
    from dferlib.files import make_folder

    steps = fine_tune(checkpoint, sources, make_folder(folder), config=config, shares=shares, about=about)
    print(f"\n{'part':>6} {'clips':>6} {'people':>6} {'UAR %':>6} {'95 %':>14}  more than before")
    for step in steps:
        after = step.run.predictions()
        sure, gap = interval(after), compare(after, before).uar
        low, high, least, most = (f"{100 * end:.1f}" for end in (sure.low, sure.high, gap.low, gap.high))
        part, ends = f"{100 * step.share:g}%", f"{low} to {high}"
        print(f"{part:>6} {step.clips:6} {step.people:6} {100 * sure.value:6.1f} {ends:>14}", end="")
        print(f"  {100 * gap.value:+.1f} ({least} to {most})", flush=True)
    print(f"records in {folder}; intervals are over the test people")


def _splits(
    data: str,
    fold: int | None,
    size: str,
    seed: int,
    root: Path | None,
    side: int,
    wanted: tuple[str, ...] = SPLITS,
    *,
    layout: str | None,
    links: list[Path] | None,
) -> dict[str, "ClipSource"]:
    """The clips of each wanted split, for a model that takes frames of a side."""
    if (root is None or data == "MakeFaces") and (layout is not None or links):
        raise InputError("--layout and --follow-links are for the folder of a public data set, given as --root")
    if data != "MakeFaces" and (size != "book" or seed):
        raise InputError(f"--size and --data-seed are of MakeFaces, and the data is {data}: leave them out")
    if data != "MakeFaces":
        from dferlib.data.packed import is_packed
        from dferlib.data.protocols import public_splits
        from dferlib.data.transforms import stored_size

        if root is None and not is_packed(data):
            raise InputError(f"where is {data}? Give its folder as --root, or one that `dferlib pack` wrote as --data")
        splits = public_splits(data, root, fold or 1, stored_size(side), layout, links or ())
        _print_enlarged(data, splits["test"], stored_size(side))
        return splits
    from dferlib.makefaces import MakeFaces

    clips = {split: MakeFaces(split, size, seed, fold=fold, root=root) for split in wanted}
    for source in clips.values():
        source.verify()  # before hours are spent on clips that a disk has spoilt
    return {**clips}


def _print_enlarged(data: str, clips: "ClipSource", side: int) -> None:
    """Say that clips were packed smaller than the model takes them: nothing is seen in them that was not kept."""
    packed = int(getattr(clips, "about", {}).get("size", side))
    if packed < side:
        told = f"{data} holds frames of {packed} px, and the model takes them from {side} px: they are enlarged"
        print(f"{told}; pack with --size {side} to keep what there is", file=sys.stderr, flush=True)


def _names(settings: list[str]) -> dict[str, str | None]:
    """What each class counts as, of "NAME=NAME" and "NAME="."""
    pairs = [setting.partition("=") for setting in settings]
    if lacking := [name for name, sign, _ in pairs if not sign]:
        raise InputError(f"--map {lacking[0]}: write {lacking[0]}=NAME, or {lacking[0]}= to leave the class out")
    return {name: other or None for name, _, other in pairs}


def _print_lacks(sources: dict[str, "ClipSource"]) -> None:
    """Say what is not as it should be in each split; the record has it, too."""
    from dferlib.data.table import lacks

    for split, source in sources.items():
        if told := lacks(source):
            print(f"{split} is INCOMPLETE: {told}")


def _print_classes(source: "ClipSource", clips: "ClipSource", names: dict[str, str | None]) -> None:
    """Say by which names the classes of the data were matched with those of the model."""
    if clips is source:
        return
    told = [f"{name} counts as {other}" for name, other in names.items() if other]
    if gone := [name for name, other in names.items() if other is None]:
        told.append(f"{', '.join(gone)} left out with {len(source) - len(clips)} clips")
    if empty := [name for name in clips.classes if name not in {names.get(own, own) for own in source.classes}]:
        told.append(f"no clips of {', '.join(empty)}")
    print(f"classes matched by name{': ' if told else ''}{'; '.join(told)}")


def _print_chosen_epoch(history: dict[str, Any], config: "TrainConfig") -> None:
    best = history["epochs"][history["best_epoch"] - 1]
    name = {"val": "validation", "test": "TEST"}[config.select]
    print(f"kept epoch {best['epoch']} of {config.epochs}: {name} UAR {100 * best['val_uar']:.1f} %")


def _print_metrics(predictions: "Predictions", split: str) -> None:
    import numpy as np

    from dferlib.evidence.statistics import interval
    from dferlib.training.metrics import calibration_error, f1

    metrics, classes = predictions.metrics(), predictions.classes
    sure = interval(predictions)
    print(f"{split}: {metrics['clips']} clips, UAR {100 * metrics['uar']:.1f} %, WAR {100 * metrics['war']:.1f} %")
    print(f"95 % interval of the UAR over people: {100 * sure.low:.1f} to {100 * sure.high:.1f} %")
    print(
        f"macro F1 {100 * np.nanmean(f1(predictions.labels, predictions.predicted, len(classes))):.1f} %, "
        f"calibration error {100 * calibration_error(predictions.labels, predictions.logits):.1f} %"
    )
    width = max(map(len, (*classes, "class")))
    print("\nRecall of each class, and how many of its clips were taken for which:")
    print(f"{'class':{width}} recall  " + "  ".join(f"{name:>5}" for name in classes))
    for name, recall, row in zip(classes, metrics["recalls"], metrics["confusion"], strict=True):
        share = "-" if recall is None else f"{100 * recall:.1f} %"
        counts = "  ".join(f"{count:{max(len(column), 5)}}" for column, count in zip(classes, row, strict=True))
        print(f"{name:{width}} {share:>7} {counts}")
