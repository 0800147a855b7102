"""What a study would cost, how much of it is done, and what came out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dferlib.devices import pick_device
from dferlib.errors import InputError
from dferlib.evidence.complexity import complexity
from dferlib.evidence.results import Run, load_runs
from dferlib.evidence.speed import noise
from dferlib.evidence.statistics import compare, interval
from dferlib.evidence.studies.board import span
from dferlib.evidence.studies.declared import STUDIES, Row
from dferlib.evidence.studies.matching import folders_beside, is_of, pick_study, study_folder
from dferlib.makefaces import Version
from dferlib.makefaces.protocol import CLIPS_PER_PERSON
from dferlib.models import SCALES, create_model
from dferlib.training.evaluation import Predictions
from dferlib.training.loop import train

STEPS = 3  # the first of them warms up, and others may be held up


def listing(root: Path) -> list[str]:
    """Every study: its question, and how many of its records are there and made by this code, at each scale."""
    runs = [
        ((name, scale), row.at(scale), run)
        for name, study in STUDIES.items()
        for scale in study.scales
        for known in [_known(study_folder(root, name, scale))]
        for title, row in study.rows.items()
        for run in _of_row(known, title, study.seeds)
    ]
    there, current = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for place, row, run in tqdm(runs, "probes", unit="record", delay=2, leave=False):
        there[place] += 1
        current[place] += is_of(run, row)
    lines = []
    for name, study in STUDIES.items():
        lines.append(f"{name}: {study.question}")
        for scale in study.scales:
            if scale == SCALES[0] or study_folder(root, name, scale).is_dir():
                found, wanted = current[name, scale], len(study.rows) * len(study.seeds)
                old = there[name, scale] - found
                lines.append(f"    {scale}: {found} of {wanted} records current, {old} old")
    return lines


def plan(
    name: str, root: Path, scale: str = "book", seeds: Sequence[int] | None = None, device: str = "auto", jobs: int = 1
) -> list[str]:
    """What a study would do and cost, row by row, without doing it.

    The hours follow from the seconds of the records that are there, by whatever machine and code they were made; where
    a row has none, from one training step on this machine. Runs that another study has made count as done. Whether the
    clips have changed is not looked at.

    Raises:
        InputError: unknown study, scale or device.
    """
    study, folder = pick_study(name, scale), study_folder(root, name, scale)
    known, wanted = _known(folder), seeds or study.seeds
    elsewhere = [run for other in folders_beside(folder, scale) for run in load_runs(other)]
    width, total = max(map(len, study.rows)), 0.0
    lines = [f"{'row':{width}} {'parameters':>10} {'GMAC':>8} {'runs':>5} {'tuning':>6} {'each':>8} {'all':>8}"]
    for title, declared in tqdm(study.rows.items(), "probes", unit="row", delay=2, leave=False):
        row = declared.at(scale, device)
        others = [] if row.start else [run for run in elsewhere if is_of(run, row)]
        runs = _of_row(known, title, wanted) + others
        missing = len(set(wanted) - {run.record["seed"] for run in runs if is_of(run, row)})
        tuned = len(row.rates) == 1 or bool(others) or (folder / f"{title}-rates.json").exists()
        tuning = 0 if tuned else len(row.rates)
        try:
            cost = complexity(create_model(row.model, scale=scale, **row.overrides))
            taken = [run.record["seconds"] for run in runs]
            each = float(np.mean(taken)) if taken else measured(row, scale)
        except InputError as error:
            lines.append(f"{title:{width}} cannot be run: {error}")
            continue
        total += each * (missing + tuning)
        lines.append(
            f"{title:{width}} {cost.parameters:10,} {cost.gmac:8.3f} {missing:5} {tuning:6} "
            f"{span(each):>8} {span(each * (missing + tuning)):>8}{'' if taken else '  (from one step)'}"
        )
    together = f", {span(total / jobs)} in {jobs} processes that do not slow each other" if jobs > 1 else ""
    return [*lines, f"in all about {span(total)}{together}"]


def results_table(runs: Sequence[Run], seeds: int) -> list[str]:
    """What came out: mean UAR and WAR of each row, how sure they are, and how they differ from those of the first row.

    Args:
        runs: row by row, each with the same seeds.
        seeds: how many.

    Returns:
        Lines of text. Intervals are of 95 %, over people and seeds together; differences are taken seed by seed, on the
        same clips. A row that was tested on other clips than the first one has no difference.
    """
    rows = {runs[k].name.rsplit("-seed", 1)[0]: runs[k : k + seeds] for k in range(0, len(runs), seeds)}
    told = {title: [run.predictions() for run in some] for title, some in rows.items()}
    first, base = next(iter(told.items()))
    width = max(map(len, rows))
    lines = [f"{'row':{width}} {'UAR %':>6} {'95 %':>13} {'WAR %':>6} {'95 %':>13}  UAR minus {first}"]
    for title, found in told.items():
        uar, war = (interval(found, metric) for metric in ("uar", "war"))
        lines.append(
            f"{title:{width}} {100 * uar.value:6.1f} {_ends(uar.low, uar.high):>13} "
            f"{100 * war.value:6.1f} {_ends(war.low, war.high):>13}  {_gap(found, base)}"
        )
    return [*lines, f"means of {seeds} seed{'s' if seeds > 1 else ''}; intervals over people and seeds"]


def measured(row: Row, scale: str) -> float:
    """Seconds of one training of a row on this machine, from the fastest of a few steps on noise."""
    few = {"book": 7, "paper": 2}  # clips that a processor takes seconds for, not minutes
    count = few[scale] if pick_device(row.config.device).type == "cpu" else row.config.batch_size
    model = create_model(row.model, scale=scale, **row.overrides)
    source = noise(model, count)
    config = replace(
        row.config, epochs=STEPS, batch_size=count, milestones=(), schedule="cosine", start="", balance="none"
    )
    step = min(epoch.seconds for epoch in train(model, source, source, config, progress=False).epochs)
    version = Version(scale, **{key: value for key, value in row.data.items() if key in ("task", "prior", "seed")})
    clips = CLIPS_PER_PERSON * row.data.get("people", version.people("train"))
    return step / count * clips * row.config.epochs


def _known(folder: Path) -> dict[str, Run]:
    return {run.name: run for run in load_runs(folder)} if folder.is_dir() else {}


def _of_row(known: dict[str, Run], title: str, seeds: Sequence[int]) -> list[Run]:
    return [known[name] for name in (f"{title}-seed{seed}" for seed in seeds) if name in known]


def _ends(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _gap(found: list[Predictions], base: list[Predictions]) -> str:
    """How much higher the UAR of a row is than that of the first one, seed by seed."""
    if found is base or not np.array_equal(found[0].ids, base[0].ids):
        return "-"
    gap = compare(found, base).uar
    return f"{100 * gap.value:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
