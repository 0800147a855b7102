"""Commands about evidence: studies, records, and what a model costs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dferlib.cli.options import Dask, Device, Root, Scale, Settings
from dferlib.errors import InputError

if TYPE_CHECKING:
    from dferlib.evidence.results import Run
    from dferlib.evidence.studies import MakeFacesClips
    from dferlib.training.config import TrainConfig

app = typer.Typer()


@app.command(epilog="Example: dferlib study stt_table1 --seeds 0,1 --jobs 2 --dry-run")
def study(
    name: Annotated[str | None, typer.Argument(help="Such as stt_table1; without it all studies are listed.")] = None,
    scale: Scale = "book",
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2; those of the study if not given.")] = None,
    device: Device = "auto",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes that share the runs, the cores and the GPUs; one if not given.")
    ] = None,
    dask: Dask = None,
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

    The workers of a dask cluster make their own clips; the records are written here.
    With --again nothing is written, and only --scale, --device, --out and --root count. Exit status 1 if the record
    comes out otherwise.
    """
    from dferlib.devices import cluster
    from dferlib.evidence.studies import MakeFacesClips, run_study
    from dferlib.evidence.studies.matching import pick_study, study_folder
    from dferlib.evidence.studies.report import listing, plan, results_table

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
        print("\n".join(plan(name, out, scale, numbers, device, jobs or 1)))
        return
    clips = MakeFacesClips(scale, root)
    with cluster(dask) as (executor, places):
        runs = run_study(name, clips, out, keep_weights, True, scale, numbers, device, jobs or places, executor)
    print("\n".join(results_table(runs, len(numbers))))


def _print_again(folder: Path, name: str, clips: "MakeFacesClips", device: str) -> None:
    from dferlib.errors import choose
    from dferlib.evidence.results import load_runs
    from dferlib.evidence.studies import make_again

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
    mean: Annotated[bool, typer.Option("--mean", help="Also the mean of the runs: folds, or seeds.")] = False,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="RUN RUN", help="Test two of them against each other.")
    ] = None,
) -> None:
    """List the records of finished runs; `old` marks one that this library would not make any more.

    That is found out by a few training steps for each kind of run: a minute or two, once for each version of the code.

    `select=test` marks one whose epoch was chosen on the test clips: its numbers are no results. INCOMPLETE marks one
    whose data set was not whole; the record says what was not there.
    """
    from tqdm import tqdm

    from dferlib.evidence.results import load_runs

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
    states = [run.state for run in tqdm(runs, "probes", unit="record", delay=2, leave=False)]
    for name, run, state in zip(names, runs, states, strict=True):
        if check:
            run.check()
        model, record, metrics = run.record["config"]["model"], run.record, run.metrics
        print(
            f"{name:{width}} {model['name']:14} {model['scale']:6} {record['seed']:4}"
            f" {record['history']['best_epoch']:5} {metrics['clips']:6}"
            f" {100 * metrics['uar']:6.1f} {100 * metrics['war']:6.1f}  {state}"
            f"{' select=test' if run.chosen_on_test else ''}{' INCOMPLETE' if run.incomplete else ''}"
        )
    if check:
        print(f"checked {len(runs)}: every metric is what the logits give")
    if mean:
        _print_mean(runs)


def _print_mean(runs: list["Run"]) -> None:
    """The mean of some runs, and what all their test clips give together, each of which counts once."""
    import numpy as np

    from dferlib.training.metrics import summary

    others = {json.dumps(_kind(run), sort_keys=True) for run in runs}
    if len(others) > 1:
        raise InputError(
            f"the {len(runs)} runs are of {len(others)} kinds, by their models, data or training, and have no mean: "
            "give a folder whose runs differ in their fold or seed only"
        )
    told = [run.predictions() for run in runs]
    uar, war = (100 * np.mean([run.metrics[name] for run in runs]) for name in ("uar", "war"))
    print(f"mean of {len(runs)} runs: UAR {uar:.2f} %, WAR {war:.2f} %")
    ids = np.concatenate([one.ids for one in told])
    if len(set(ids.tolist())) == len(ids) and len(runs) > 1:  # folds; seeds have the same clips
        whole = summary(*(np.concatenate([getattr(one, name) for one in told]) for name in ("labels", "logits")))
        print(f"all {len(ids):,} clips together: UAR {100 * whole['uar']:.2f} %, WAR {100 * whole['war']:.2f} %")


def _kind(run: "Run") -> dict[str, Any]:
    """What a run has in common with those of other folds and seeds."""
    config = run.record["config"]
    without = {"data": "fold", "train": "seed"}
    kept = {part: {k: v for k, v in config[part].items() if k != name} for part, name in without.items()}
    return {"model": config["model"], "classes": run.record["classes"], **kept}


def _print_comparison(runs: dict[str, "Run"], names: tuple[str, str]) -> None:
    from dferlib.errors import choose
    from dferlib.evidence.statistics import compare

    one, other = (runs[choose("run", name, runs)].predictions() for name in names)
    found = compare(one, other)
    print(f"{names[0]} minus {names[1]}, {len(one.ids)} clips of {len(set(one.groups))} people, 95 % intervals:")
    for metric, gap, p, test in (
        ("UAR", found.uar, found.p_uar, "swapping the answers for each person"),
        ("WAR", found.war, found.p_war, "McNemar's exact test over clips"),
    ):
        low, high = (f"{100 * end:+.1f}" for end in (gap.low, gap.high))
        print(f"{metric} {100 * gap.value:+.1f} points ({low} to {high}), p = {p:.4f} by {test}")


@app.command(epilog="Example: dferlib audit stt-both-attentions")
def audit(
    name: Annotated[
        str | None, typer.Argument(metavar="FINDING", help="Its name in the list; without it all are listed.")
    ] = None,
) -> None:
    """List what in the four papers does not come out by their own data: what is printed, and what comes out.

    With a name: also where it stands, how it was computed again, and the likeliest innocent explanation.
    """
    from dferlib.book.folders import project_folder
    from dferlib.errors import choose
    from dferlib.evidence.audit import Tables
    from dferlib.evidence.audit import audit as find
    from dferlib.evidence.audit.checks import run_checks

    folder = project_folder("results")
    found = {finding.name: finding for finding in find(folder, progress=True)}
    if name is not None:
        one = found[choose("finding", name, found)]
        words = {"paper": one.paper, "where": one.where, "printed": one.printed, "by its own data": one.found}
        words |= {"how": one.how, "may well be": one.innocent}
        print("\n".join(f"{key:16}{value}" for key, value in words.items()))
        return
    width, papers = max(map(len, found)), max(len(finding.paper) for finding in found.values())
    print(f"{'finding':{width}}  {'paper':{papers}}  printed -> by its own data")
    for one in found.values():
        stale = "" if one.holds else "  DOES NOT FOLLOW ANY MORE"
        print(f"{one.name:{width}}  {one.paper:{papers}}  {one.printed} -> {one.found}{stale}")
    stated = run_checks(Tables(folder))
    right = sum(check.agrees for check in stated)
    print(
        f"{len(found)} findings. Of {len(stated)} numbers and marks in texts and tables, {right} come out as printed."
    )


@app.command(epilog="Example: dferlib claims --paper STT")
def claims(
    folder: Annotated[
        Path | None, typer.Argument(help="Where the records are; those that came with dferlib if not given.")
    ] = None,
    paper: Annotated[str, typer.Option(help="Only one: STT, LOGO-Former, MSSTNet or STANER.")] = "",
) -> None:
    """List what the four papers claim: the printed gain, ours with its interval, and a verdict by one rule.

    Gains are points of the metric, for a cost or a ratio of distances percent of it, for a score of maps hundredths;
    several printed ones are of several data sets. A star marks records that wait to be made again.
    `dferlib.evidence.claims` has the rule.
    """
    from dferlib.book.folders import project_folder
    from dferlib.evidence.claims import VERDICTS, judge

    found = judge(project_folder("results") if folder is None else folder)
    chosen = found.of(paper)
    width = max(len(one.claim.says) for one in chosen)
    place = max(len(f"{one.claim.paper}, {one.claim.where}") for one in chosen)
    print(f"{'verdict':19} {'claim':{width}} {'where':{place}} {'metric':9} {'printed':13} here")
    for one in chosen:
        claim, ours = one.claim, one.found
        printed = " ".join(f"{100 * gain:+.2f}" for gain in claim.printed.values()) or "-"
        here = "-" if ours is None else f"{100 * ours.value:+.1f}"
        if ours is not None and ours.low < ours.high:
            here += f" ({100 * ours.low:+.1f} to {100 * ours.high:+.1f}){' *' if one.waits else ''}"
        where = f"{claim.paper}, {claim.where}"
        print(f"{one.verdict:19} {claim.says:{width}} {where:{place}} {claim.metric:9} {printed:13} {here}")
    print(", ".join(f"{sum(one.verdict == said for one in chosen)} {said}" for said in VERDICTS))
    print(f"{found.decided} of {found.tested} that records test are decided, so intervals are of {found.level:.1%}")


@app.command(epilog="Example: dferlib bench stt --scale paper")
def bench(
    model: Annotated[
        str | None, typer.Argument(help="Name of the model, such as stt; without it all are measured.")
    ] = None,
    scale: Scale = "book",
    device: Device = "auto",
    seconds: Annotated[
        float | None, typer.Option(min=1, help="How long to measure each model; 20 for one, 6 for all if not given.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Say what a model costs, how fast this machine predicts with it and trains it, and how near that is to its best.

    As many repeats are made as fit into the time, at least three: the median is shown, the range of the middle half,
    and how many there were. The share is that of the rate of large matrix products in the same minute, by counted
    operations. The clips are noise; what is not set is as `dferlib.training.recipes` has it for the scale. The memory
    is counted, not measured.
    """
    from dferlib.devices import pick_device
    from dferlib.errors import choose
    from dferlib.evidence.results import device_name
    from dferlib.evidence.speed import machine_rates
    from dferlib.models import SCALES, list_models
    from dferlib.training.recipes import apply_settings, recipe

    names = list_models()
    if model is not None:
        names = [choose("model", model, names)]
    configs = {name: apply_settings(recipe(name, scale), settings or [], device=device) for name in names}
    choose("scale", scale, SCALES)
    product, copy = machine_rates(pick_device(device))
    print(f"{device_name(device)}: {product / 1e9:.0f} GFLOP/s in float32 products, {copy / 1e9:.1f} GB/s in copies")
    print(
        f"{'':8} {'clips':>6} {'ms a clip':>10}  {'half of the repeats':>20} {'clips/s':>9} {'share':>6} {'repeats':>8}"
    )
    for name, config in configs.items():
        _print_speed(name, scale, config, seconds or (20 if model else 6))


def _print_speed(name: str, scale: str, config: "TrainConfig", seconds: float) -> None:
    from dferlib.evidence.complexity import complexity, training_memory
    from dferlib.evidence.speed import measure_speed
    from dferlib.models import create_model

    net = create_model(name, scale=scale)
    spec, cost = net.input_spec, complexity(net)
    print(f"{name}, {scale} scale: {cost.parameters:,} parameters, {cost.gmac:.3f} GMAC", end="")
    print(f" for a clip of {spec.frames} frames of {spec.size} px", flush=True)
    for speed in measure_speed(net, config, seconds, progress=True):
        took, low, high = (1000 * value / speed.clips for value in (speed.timing.median, *speed.timing.middle))
        middle, repeats = f"{low:.1f} to {high:.1f}", len(speed.timing.seconds)
        print(f"{speed.work:8} {speed.clips:6} {took:10.1f}  {middle:>20} {1000 / took:9.1f}", end="")
        print(f" {100 * speed.share:4.0f} % {repeats:8}", flush=True)
    peak = training_memory(net.cpu(), config).peak
    print(f"memory to train batches of {config.batch_size}: {peak / 2**20:,.0f} MiB", flush=True)
