"""The command line. Everything heavy is imported inside the command that needs it, so that `--help` is quick."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dferlib.errors import InputError

if TYPE_CHECKING:
    from dferlib.data.table import ClipSource
    from dferlib.results import Run
    from dferlib.studies import MakeFacesClips
    from dferlib.training import Predictions

SPLITS = ("train", "val", "test")

app = typer.Typer(
    help="Dynamic facial expression recognition, rebuilt from four papers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Size = Annotated[str, typer.Option(help="How much data: mini (seconds to make), book or paper.")]
Difficulty = Annotated[str, typer.Option(help="How hard the clips are: easy, standard or hard.")]
Scale = Annotated[str, typer.Option(help="book (a laptop trains it in minutes) or paper (as published).")]
DataSeed = Annotated[int, typer.Option(help="Seed of the clips.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the clips; the user's cache folder if not given.")]
Data = Annotated[
    str, typer.Option(help="MakeFaces; with --root a public data set, such as DFEW; or a folder that `pack` wrote.")
]
Fold = Annotated[int | None, typer.Option(min=1, help="Which fold; of MakeFaces, its own split if not given.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 bad input (one line on stderr), 2 wrong usage, 130 interrupted."""
    try:
        app(arguments, prog_name="dferlib")
    except InputError as error:
        message = " ".join(str(error).split())
        print(f"dferlib: {message}", file=sys.stderr)
        raise SystemExit(1) from None
    except (MemoryError, RuntimeError) as error:
        kind, words = type(error).__name__, str(error)
        if not (kind in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in words):
            raise
        print(
            "dferlib: memory is full: take smaller batches or fewer jobs; `train` also has --set recompute=true",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    except SystemExit as status:
        if status.code == 130:
            print("dferlib: interrupted", file=sys.stderr)
        raise


@app.command(epilog="Example: dferlib makefaces --size book --difficulty hard --workers 2")
def makefaces(
    size: Size = "book",
    seed: DataSeed = 0,
    difficulty: Difficulty = "standard",
    task: Annotated[str, typer.Option(help="The classes: emotions, onset, direction, order ...")] = "emotions",
    prior: Annotated[str, typer.Option(help="How frequent the classes are: balanced or dfew.")] = "balanced",
    split: Annotated[list[str] | None, typer.Option(help="train, val or test; may be given twice. All if not.")] = None,
    root: Root = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that render; one a core if not given.")] = None,
) -> None:
    """Make the synthetic clips that are missing, and say how fast."""
    from dferlib.data.makefaces import DIFFICULTIES, Version, generate
    from dferlib.errors import choose

    knobs = DIFFICULTIES[choose("difficulty", difficulty, DIFFICULTIES)]
    generate(Version(size, seed, task, prior, knobs), root, tuple(split or SPLITS), workers, progress=True)


@app.command("check-data", epilog="Example: dferlib check-data DFEW ~/data/DFEW")
def check_data(
    name: Annotated[str, typer.Argument(help="DFEW, FERV39k, AFEW, MAFW, CREMAD, CKPlus or OuluCASIA.")],
    root: Annotated[Path, typer.Argument(help="The folder of the data set.")],
    layout: Annotated[str | None, typer.Option(help="Which layout, where the folder holds several.")] = None,
    every_frame: Annotated[bool, typer.Option("--every-frame", help="Decode every image: much slower.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List every problem, not 20 of each kind.")] = False,
) -> None:
    """Say what is in the folder of a public data set, and what is missing, damaged or not as published.

    Exit status 1 if anything is wrong.
    """
    from dferlib.data.check import check_data as check

    report = check(name, root, layout, every_frame)
    print("\n".join(report.facts))
    if report.problems:
        print("\n".join(report.lines(None if everything else 20)), file=sys.stderr)
        count = len(report.problems)
        raise InputError(f"{count} thing{'s are' if count > 1 else ' is'} wrong with {root}: they are listed above")
    print("nothing is wrong")


@app.command(epilog="Example: dferlib pack MAFW ~/data/MAFW packed/mafw --size 128 --align")
def pack(
    name: Annotated[str, typer.Argument(help="DFEW, FERV39k, AFEW, MAFW, CREMAD, CKPlus or OuluCASIA.")],
    root: Annotated[Path, typer.Argument(help="The folder of the data set.")],
    out: Annotated[Path, typer.Argument(help="The folder of the packed store.")],
    size: Annotated[int, typer.Option(help="Side of the frames in pixels: 8/7 of what the model takes.")] = 128,
    align: Annotated[bool, typer.Option("--align", help="Find the face, turn it upright and cut it out.")] = False,
    layout: Annotated[str | None, typer.Option(help="Which layout, where the folder holds several.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core if not given.")] = None,
) -> None:
    """Turn a public data set into a packed store, from which training reads at once; go on if it was stopped.

    What cannot be read is left out and listed in skipped.txt. Train with `dferlib train MODEL --data OUT --fold 1`.
    """
    from dferlib.data.pack import SKIPPED
    from dferlib.data.pack import pack as run

    packed = run(name, root, out, size, align, layout, workers)
    folds = packed.about["folds"]
    print(f"{len(packed)} clips of {packed.name} in {out}, fold{'s' if len(folds) > 1 else ''} {folds[0]}", end="")
    print(f" to {folds[-1]}" if len(folds) > 1 else "")
    if packed.skipped:
        print(f"{len(packed.skipped)} things are wrong with it: {out / SKIPPED} lists them", file=sys.stderr)


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
    out: Annotated[Path | None, typer.Option(help="Folder for the results; runs/MODEL-SEED if not given.")] = None,
    loss: Annotated[str | None, typer.Option(help="cross_entropy, label_smoothing, compact, center, ...")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of everything but the backbone.")] = None,
    backbone_lr_scale: Annotated[float | None, typer.Option(help="Part of it for the backbone; 0 freezes it.")] = None,
    device: Device = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting of TrainConfig; may be given often."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped training was.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write OUT/tensorboard.")] = False,
) -> None:
    """Train a model, choose the epoch on the validation split, test it once.

    What is not given is as `dferlib.recipes` has it for the scale. Writes best.safetensors, last.pt, history.json and
    the record of the run into the folder. `torchrun --nproc-per-node 2 -m dferlib.cli train ...` uses two processes.
    """
    from dferlib.files import make_folder
    from dferlib.models import create_model
    from dferlib.processes import make_fabric
    from dferlib.recipes import changed, recipe
    from dferlib.studies import Row, train_and_record
    from dferlib.training import CHECKPOINT

    given = {"epochs": epochs, "loss": loss, "lr": lr, "backbone_lr_scale": backbone_lr_scale}
    chosen = {name: value for name, value in given.items() if value is not None}
    config = changed(recipe(model, scale), settings or [], seed=seed, device=device, **chosen)
    side = create_model(model, scale=scale).input_spec.size  # a wrong name is told before any clip is rendered
    folder = make_folder(out or Path("runs") / f"{model}-{seed}")
    with make_fabric(device, config.precision).rank_zero_first():  # the first process makes them, all others find them
        sources = _splits(data, fold, size, data_seed, root, side)
    about = {} if data == "MakeFaces" and fold is None else {"name": data, "fold": fold or 1}
    row = Row(model, {}, config, about)
    run = train_and_record(folder, "run", row, sources, scale, folder, True, resume, tensorboard)
    if run is None:  # another process of torchrun has it
        return
    history = run.record["history"]
    best = history["epochs"][history["best_epoch"] - 1]
    name = {"val": "validation", "test": "TEST"}[config.select]
    print(f"kept epoch {best['epoch']} of {config.epochs}: {name} UAR {100 * best['val_uar']:.1f} %")
    _print_metrics(run.predictions(), "test")
    print(f"checkpoint {folder / CHECKPOINT}, record {run.path}, {run.record['seconds']:.0f} s")


@app.command(epilog="Example: dferlib evaluate runs/stt-0/best.safetensors --size book")
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A file that `dferlib train` wrote.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    data: Data = "MakeFaces",
    fold: Fold = None,
    size: Size = "book",
    data_seed: DataSeed = 0,
    root: Root = None,
    device: Device = "auto",
) -> None:
    """Test a checkpoint: UAR, WAR, the recall of each class, the confusion matrix."""
    from dferlib.checkpoints import load_model, read_metadata
    from dferlib.errors import choose
    from dferlib.training import evaluate as test

    model = load_model(checkpoint)
    per_segment = read_metadata(checkpoint)["metadata"].get("train", {}).get("per_segment", 1)
    choose("split", split, SPLITS)
    clips = _splits(data, fold, size, data_seed, root, model.input_spec.size, (split,))[split]
    _print_metrics(test(model, clips, device=device, per_segment=per_segment, progress=True), split)


@app.command(epilog="Example: dferlib predict clip.mp4 --checkpoint runs/stt-0/best.safetensors --out timelines")
def predict(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Video files that show a face.")],
    checkpoint: Annotated[Path, typer.Option(help="A file that `dferlib train` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the timelines: picture, CSV and JSON.")] = Path(),
    faces: Annotated[int, typer.Option(min=1, help="How many faces of a video to follow, the most visible.")] = 1,
    film: Annotated[bool, typer.Option("--film", help="Also write the video with boxes and probabilities.")] = False,
    heat: Annotated[bool, typer.Option("--heat", help="Also draw where the model looks (Grad-CAM); slower.")] = False,
    cropped: Annotated[
        bool, typer.Option("--cropped", help="The middle of the picture is the face already; needs no dlib.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Find the face in a video and print how probable each class is over time; write a picture of it."""
    from dferlib.predict import STEP, run

    run(videos, checkpoint, out, device, STEP, True, faces, cropped, film or heat, heat)


@app.command(epilog="Example: dferlib study stt_table1 --seeds 0,1 --jobs 2 --dry-run")
def study(
    name: Annotated[str | None, typer.Argument(help="Such as stt_table1; without it all studies are listed.")] = None,
    scale: Scale = "book",
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2; those of the study if not given.")] = None,
    device: Device = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the runs, the cores and the GPUs.")] = 1,
    out: Annotated[Path, typer.Option(help="The records go to a folder of the study's name in here.")] = Path(
        "results"
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is missing and what it costs.")] = False,
    keep_weights: Annotated[bool, typer.Option(help="Keep the weights of the first seed's runs.")] = False,
    again: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Only train this record's model again, such as stt-seed0, and compare."),
    ] = None,
    root: Root = None,
) -> None:
    """Make the records of a study that are missing, and compare its rows; interrupted, it goes on where it stopped.

    With --again nothing is written, and only --scale, --device, --out and --root count. Exit status 1 if the record
    comes out otherwise.
    """
    from dferlib.studies import MakeFacesClips, run_study
    from dferlib.studies.report import listing, plan, results_table
    from dferlib.studies.running import pick_study, study_folder

    if name is None:
        print("\n".join(listing(out)))
        return
    chosen = pick_study(name, scale)
    numbers = _numbers(seeds) if seeds else chosen.seeds
    if again is not None:
        _print_again(study_folder(out, name, scale), again, MakeFacesClips(scale, root), device)
        return
    print(chosen.question, flush=True)
    if dry_run:
        print("\n".join(plan(name, out, scale, numbers, device, jobs)))
        return
    runs = run_study(name, MakeFacesClips(scale, root), out, keep_weights, True, scale, numbers, device, jobs)
    print("\n".join(results_table(runs, len(numbers))))


def _print_again(folder: Path, name: str, clips: "MakeFacesClips", device: str) -> None:
    from dferlib.errors import choose
    from dferlib.results import load_runs
    from dferlib.studies import make_again

    runs = {run.name: run for run in load_runs(folder)} if folder.is_dir() else {}
    if not runs:
        raise InputError(f"there are no records in {folder}: `dferlib study {folder.name}` makes them")
    run = runs[choose(f"record in {folder}", name, runs)]
    was, now = run.predictions(), make_again(run, clips, device)
    uar, found = 100 * run.metrics["uar"], 100 * now.metrics()["uar"]
    if (was.logits == now.logits.astype(was.logits.dtype)).all():
        print(f"{name}: the same to the bit, {len(was.ids)} clips, UAR {uar:.1f} %")
        return
    others = int((was.predicted != now.predicted).sum())
    raise InputError(
        f"{name} comes out otherwise: UAR {found:.1f} %, recorded {uar:.1f} %; {others} of {len(was.ids)} answers "
        f"differ. It was made on {run.record['device']} with torch {run.record['versions']['torch']}"
    )


def _numbers(text: str) -> tuple[int, ...]:
    """The seeds of "0,1,2"."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = (-1,)
    if min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise InputError(f"--seeds {text}: give different numbers from 0 on, with commas between, such as 0,1,2")
    return numbers


@app.command(epilog="Example: dferlib results results --check")
def results(
    folder: Annotated[Path, typer.Argument(help="Where the records are, in any depth.")] = Path("results"),
    check: Annotated[bool, typer.Option("--check", help="Compute every metric again from the logits.")] = False,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="RUN RUN", help="Test two of them against each other.")
    ] = None,
) -> None:
    """List the records of finished runs; `old` marks one that this library would not make any more.

    That is found out by a few training steps for each kind of run: a minute or two, once for each version of the code.

    `select=test` marks one whose epoch was chosen on the test clips: its numbers are no results.
    """
    from dferlib.results import load_runs

    runs = load_runs(folder)
    if not runs:
        raise InputError(f"no records in {folder}: `dferlib train` writes one")
    names = [str(run.path.relative_to(folder).with_suffix("")) for run in runs]
    if compare is not None:
        _print_comparison(dict(zip(names, runs, strict=True)), compare)
        return
    width = max(len(name) for name in names)
    head = f"{'model':14} {'scale':6} {'seed':>4} {'epoch':>5} {'clips':>6} {'UAR %':>6} {'WAR %':>6}  state"
    print(f"{'run':{width}} {head}")
    for name, run in zip(names, runs, strict=True):
        if check:
            run.check()
        model, record, metrics = run.record["config"]["model"], run.record, run.metrics
        print(
            f"{name:{width}} {model['name']:14} {model['scale']:6} {record['seed']:4}"
            f" {record['history']['best_epoch']:5} {metrics['clips']:6}"
            f" {100 * metrics['uar']:6.1f} {100 * metrics['war']:6.1f}  {run.state}"
            f"{' select=test' if run.chosen_on_test else ''}"
        )
    if check:
        print(f"checked {len(runs)}: every metric is what the logits give")


@app.command(epilog="Example: dferlib bench stt --scale paper --device cuda --set batch_size=64")
def bench(
    model: Annotated[str, typer.Argument(help="Name of the model, such as stt or frame_average.")],
    scale: Scale = "book",
    device: Device = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="How often each figure is measured.")] = 5,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of TrainConfig; may be given often."),
    ] = None,
) -> None:
    """Say what a model costs and how fast this machine predicts with it and trains it, on clips of noise.

    What is not set is as `dferlib.recipes` has it for the scale. The memory is counted, not measured.
    """
    from dferlib.complexity import complexity, training_memory
    from dferlib.models import create_model
    from dferlib.recipes import changed, recipe
    from dferlib.results import device_name
    from dferlib.speed import measure_speed

    config = changed(recipe(model, scale), settings or [], device=device)
    net = create_model(model, scale=scale)
    spec, cost = net.input_spec, complexity(net)
    print(f"{model}, {scale} scale: {cost.parameters:,} parameters, {cost.gmac:.3f} GMAC", end="")
    print(f" for a clip of {spec.frames} frames of {spec.size} px")
    print(f"memory to train batches of {config.batch_size}: {training_memory(net, config).peak / 2**20:,.0f} MiB")
    speed = measure_speed(net, config, rounds, progress=True)
    print(f"{device_name(device)}, medians of {rounds}:")
    for what, rate in (("predicts", speed.predicted), ("trains on", speed.trained)):
        print(f"{what:9} {rate:8.1f} clips a second, {1000 * config.batch_size / rate:8.1f} ms a batch")


def _splits(
    data: str, fold: int | None, size: str, seed: int, root: Path | None, side: int, wanted: tuple[str, ...] = SPLITS
) -> dict[str, "ClipSource"]:
    """The clips of each wanted split, for a model that takes pictures of a side."""
    if data != "MakeFaces":
        from dferlib.data.pack import is_packed
        from dferlib.data.transforms import stored_size
        from dferlib.protocols import public_splits

        if root is None and not is_packed(data):
            raise InputError(f"where is {data}? Give its folder as --root, or one that `dferlib pack` wrote as --data")
        return public_splits(data, root, fold or 1, stored_size(side))
    from dferlib.data.makefaces import MakeFaces

    clips = {split: MakeFaces(split, size, seed, fold=fold, root=root) for split in wanted}
    for source in clips.values():
        source.verify()  # before hours are spent on pictures that a disk has spoilt
    return {**clips}


def _print_comparison(runs: dict[str, "Run"], names: tuple[str, str]) -> None:
    from dferlib.errors import choose
    from dferlib.statistics import compare

    one, other = (runs[choose("run", name, runs)].predictions() for name in names)
    found = compare(one, other)
    print(f"{names[0]} minus {names[1]}, {len(one.ids)} clips of {len(set(one.groups))} people, 95 % intervals:")
    for metric, gap, p, test in (
        ("UAR", found.uar, found.p_uar, "swapping the answers for each person"),
        ("WAR", found.war, found.p_war, "McNemar's exact test over clips"),
    ):
        low, high = (f"{100 * end:+.1f}" for end in (gap.low, gap.high))
        print(f"{metric} {100 * gap.value:+.1f} points ({low} to {high}), p = {p:.4f} by {test}")


def _print_metrics(predictions: "Predictions", split: str) -> None:
    import numpy as np

    from dferlib.metrics import calibration_error, f1
    from dferlib.statistics import interval

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


if __name__ == "__main__":
    main()
