"""A figure that answers: how many clips get an answer above a threshold, and how many of these answers are right."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import softmax

from dferlib.book.controls import choice, said, slider, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.book.folders import project_folder
from dferlib.book.zoo import NAMES, waiting
from dferlib.errors import InputError
from dferlib.evidence.results import Run, load_runs
from dferlib.evidence.statistics import Interval

THRESHOLDS = np.arange(100) / 100
STILL = (0.0, 0.5, 0.9)  # thresholds of the table that stands there where scripts are off
DRAWS, SEED, LEVEL = 2000, 0, 0.95
SOURCES = {"rendered": "rendered test clips", "photographs": "photographs"}


@dataclass(frozen=True)
class Answers:
    """What a model has said of some clips.

    Attributes:
        confidence: the probability of its answer, (N,).
        right: whether the answer is right, bool (N,).
        people: who is seen, text (N,).
        is_waiting: whether the records of the model's study are still to be made again.
    """

    confidence: np.ndarray
    right: np.ndarray
    people: np.ndarray
    is_waiting: bool = False

    @classmethod
    def of_run(cls, run: Run) -> "Answers":
        """Those for the test clips of a record, with the temperature of its epoch where the record has one."""
        history, told = run.record["history"], run.predictions()
        best = next(epoch for epoch in history["epochs"] if epoch["epoch"] == history["best_epoch"])
        parts = softmax(told.logits.astype(float) / best.get("temperature", 1.0), axis=1)
        return cls(parts.max(1), told.predicted == told.labels, told.groups)

    @classmethod
    def of_photographs(cls, asked: Mapping[str, list[object]]) -> "Answers":
        """Those of one way of asking in a record of `benchmarks.real_faces`, among all seven classes."""
        people = [str(name).rsplit("_", 1)[0] for name in asked["ids"]]
        return cls(np.array(asked["confidence"], float), np.array(asked["right"], bool), np.array(people))


@dataclass(frozen=True)
class Kept:
    """What a threshold leaves of some answers, for each of T thresholds.

    Attributes:
        answered: how many clips have an answer above it, (T,).
        right: how many of these are right, (T,).
        claimed: their mean confidence, (T,), nan without answers.
        low: lower end of the part that is right, over people, (T,), nan without answers.
        high: upper end.
    """

    answered: np.ndarray
    right: np.ndarray
    claimed: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def part(self, k: int) -> Interval:
        """Of the answers above threshold number k, which part is right."""
        return Interval(float(self.right[k] / self.answered[k]), float(self.low[k]), float(self.high[k]))


def keep(answers: Answers, thresholds: np.ndarray = THRESHOLDS) -> Kept:
    """Answer where the confidence is above a threshold, else say "unsure".

    The interval draws people again. Where every answer is right, no draw has a wrong one; then the lower end is that
    of the exact interval for so many people, each of them one trial. Where none is, the same goes for the upper end.

    Args:
        answers: what a model has said.
        thresholds: (T,).
    """
    people, who = np.unique(answers.people, return_inverse=True)
    above = answers.confidence[:, None] > thresholds
    totals, hits = (np.zeros((len(people), len(thresholds))) for _ in range(2))
    np.add.at(totals, who, above)
    np.add.at(hits, who, above & answers.right[:, None])
    count, right = totals.sum(0), hits.sum(0)
    drawn = np.random.default_rng(SEED).multinomial(len(people), np.full(len(people), 1 / len(people)), DRAWS)
    tail = (1 - LEVEL) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = (drawn @ hits) / (drawn @ totals)
        claimed = (answers.confidence[:, None] * above).sum(0) / count
        least = tail ** (1 / (totals > 0).sum(0))
    ends = [np.full(len(thresholds), np.nan) for _ in range(2)]
    some = count > 0
    for end, part in zip(ends, (tail, 1 - tail), strict=True):
        end[some] = np.nanquantile(parts[:, some], part, axis=0)
    low = np.where(right == count, np.where(some, least, np.nan), ends[0])
    high = np.where(some & (right == 0), 1 - least, ends[1])
    return Kept(count.astype(int), right.astype(int), claimed, low, high)


def answers_of(way: str = "box", root: Path | None = None) -> dict[str, dict[str, Answers]]:
    """What the models say that photographs were shown to: by the model's name, of rendered clips and of photographs.

    Photographs are left out where their record has no confidences.

    Args:
        way: how the face was cut out of the photograph, "box" or "aligned".
        root: the folder of the studies; `results` of the project if not given.

    Raises:
        InputError: a record is missing or damaged.
    """
    root, found = root or project_folder("results"), dict[str, dict[str, Answers]]()
    late = waiting(root)
    for file in sorted((root / "real_faces").glob("*.json")):
        record = json.loads(file.read_text())
        study, row = file.stem.split("-", 1)
        (run,) = (one for one in load_runs(root / study) if one.name == f"{row}-seed0")
        mine = {"rendered": Answers.of_run(run)}
        if asked := record["ways"][way].get("confidences"):
            mine["photographs"] = Answers.of_photographs(asked)
        found[NAMES[record["model"]["name"]]] = {
            source: replace(one, is_waiting=study in late) for source, one in mine.items()
        }
    return found


def threshold_explorer(
    answers: Mapping[str, Mapping[str, Answers]], threshold: float = 0.5, *, model: str = "", alt: str
) -> Interactive:
    """A slider for the threshold: how many clips get an answer, and how many answers are right, here and there.

    Args:
        answers: by the model's name and by the source, a key of `SOURCES`; see `answers_of`.
        threshold: at the beginning, 0 to 0.99.
        model: which one is drawn at the beginning; by default the first.
        alt: what it shows, for those who do not see it.

    Raises:
        InputError: there are no answers, no such model, or the threshold is out of its range.
    """
    first = model or next(iter(answers), "")
    if first not in answers or not 0 <= threshold <= THRESHOLDS[-1]:
        raise InputError(
            f"no answers of {first or 'any model'}, or the threshold {threshold}: give a model of {', '.join(answers)}"
            f" and a threshold from 0 to {THRESHOLDS[-1]}"
        )
    shown = {f"{name}{'*' * any(one.is_waiting for one in mine.values())}": mine for name, mine in answers.items()}
    first = next(name for name in shown if name.rstrip("*") == first)
    kept = {name: {source: keep(one) for source, one in mine.items()} for name, mine in shown.items()}
    data = {
        "sources": SOURCES,
        "models": {
            name: {source: _listed(one, len(shown[name][source].right)) for source, one in mine.items()}
            for name, mine in kept.items()
        },
    }
    models = choice("model", "Model", [(name, name) for name in shown], first)
    body = (
        f'<div class="fim-live fim-sides"><div>{models}</div>'
        f"<div>{slider('threshold', 'Threshold', threshold, (0, float(THRESHOLDS[-1])), 0.01)}</div></div>"
        '<div class="fim-live fim-sides fim-charts">'
        + "".join(f'<div data-source="{source}"></div>' for source in SOURCES)
        + f'</div><ul class="fim-live fim-keys-of-lines"></ul>{said()}<div class="fim-live fim-all-models"></div>'
        + _still(kept, shown)
    )
    if any(name.endswith("*") for name in shown):
        body += '<p class="fim-note">* The records of this model wait to be made again, on the faces of today.</p>'
    return explorer(body, data, "answering", alt=alt)


def _listed(kept: Kept, clips: int) -> dict[str, object]:
    """What the script needs."""
    parts = {
        name: [None if np.isnan(x) else round(float(x), 4) for x in values]
        for name, values in (("claimed", kept.claimed), ("low", kept.low), ("high", kept.high))
    }
    return {"clips": clips, "answered": kept.answered.tolist(), "right": kept.right.tolist(), **parts}


def _still(kept: Mapping[str, Mapping[str, Kept]], answers: Mapping[str, Mapping[str, Answers]]) -> str:
    """Some thresholds, where scripts are off."""
    rows = []
    for name, mine in kept.items():
        for source, one in mine.items():
            cells = list[str]()
            for threshold in STILL:
                k = int(np.argmin(np.abs(THRESHOLDS - threshold)))
                count, right = int(one.answered[k]), int(one.right[k])
                cells.append(f"{100 * count / len(answers[name][source].right):.0f}")
                cells.append(
                    f"{100 * right / count:.0f} ({100 * one.low[k]:.0f} to {100 * one.high[k]:.0f})" if count else ""
                )
            rows.append([f"{name}, {SOURCES[source]}", *cells])
    head = ["model", *(f"{what} above {threshold:g}" for threshold in STILL for what in ("answered", "right"))]
    return table(
        "How many clips are answered above a threshold, and how many of these answers are right, in %", head, rows
    )
