"""Do the maps look where the face moves? Heat maps of every kind and model, scored against what is true of the clips.

The people are in no data set; each shows one clip, and nobody is neutral, because a face at rest has nowhere to look.
Asked are the models of `benchmarks.asked`, a volume model among them. Each map explains the class that is shown. Beside
the scores of a model stand those of the same model with weights drawn by chance, another draw for each person, and
those of controls that ask no model. What a map does to the answer is always the trained model's answer. What is cheap
comes first. Deletion, insertion and the steps on the way to chance weights are for fewer people, and so are occlusion
and integrated gradients; all of these are for the models alone whose weights come with the records, and for the volume
model. Everything is kept in the cache folder: a run that was stopped goes on where it was.

The record goes to results/map_scores/: about.json says who was seen and what was asked, and each model has its scores
in a file of its own; nan where nobody was asked.

python -m benchmarks.map_scores --minutes 20    (on one core)
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.asked import MODELS, RESULTS, VOLUMES, kept_answers, weights_of
from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import prepare
from dferlib.emotions import EMOTIONS
from dferlib.evidence.changed import draw_take, render_motion, render_take
from dferlib.evidence.heat_maps import KINDS, heat_map, kinds_of
from dferlib.evidence.map_scores import (
    CASCADE,
    SCORES,
    as_seen,
    drawn_anew,
    edges_of,
    energy,
    gaussian,
    moving_region,
    place,
    play_out,
    pointing,
    rank_correlation,
    timing,
)
from dferlib.evidence.results import versions
from dferlib.evidence.studies import MakeFacesClips
from dferlib.files import written_whole
from dferlib.makefaces.generator import source_hash
from dferlib.makefaces.render import Actor
from dferlib.models import ClipModel
from dferlib.training.checkpoints import load_model

RECORDS = RESULTS / "map_scores"
PEOPLE, FEW = 96, 18  # who is asked for what is cheap, and for what is dear; as many of each class
OTHER = 1000  # seed of the draws for person 0: a head that began with seed 0 has hardly moved in its training
DEAR = ("integrated gradients", "occlusion")
CONTROLS = ("its own motion", "another expression's motion", "mean face", "Gaussian")
EVERY = MODELS | VOLUMES
MOST = tuple(name for name, one in EVERY.items() if one.kept or name in VOLUMES)  # who is asked for what is dear
CODE = ("changed", "explain", "heat_maps", "rollout")  # that draws clips and maps; beside `dferlib.evidence.map_scores`
SHOWN = [name for name in EMOTIONS if name != "neutral"]


@dataclass(frozen=True)
class Seen:
    """Somebody's clip and what is true of it.

    Attributes:
        clip: (N, 3, S, S) uint8.
        motion: (N, S, S) metres.
        other: the same, if the person had shown the next expression of `SHOWN`.
        curve: (N,) how far the expression has risen.
        label: index into `EMOTIONS`.
    """

    clip: np.ndarray
    motion: np.ndarray
    other: np.ndarray
    curve: np.ndarray
    label: np.ndarray


def numbers(people: int) -> list[int]:
    """The first people who are not neutral."""
    return list(islice((n for n in count() if EMOTIONS[n % len(EMOTIONS)] in SHOWN), people))


def see(number: int, folder: Path) -> Seen:
    """Render somebody's clip, or read it where it was kept."""
    path = folder / f"{number}.npz"
    if not path.exists():
        take = draw_take(number)
        actor = Actor(take.person, take.size)
        following = SHOWN[(SHOWN.index(EMOTIONS[take.label]) + 1) % len(SHOWN)]
        other = render_motion(draw_take(number, emotion=following), actor)
        curve, label = take.performance.expression, np.array(take.label)
        seen = Seen(render_take(take, actor), render_motion(take, actor), other, curve, label)
        with written_whole(path) as temporary:
            np.savez(temporary, **asdict(seen))
    with np.load(path) as kept:
        return Seen(**kept)


@dataclass(frozen=True)
class Question:
    """A model and somebody's clip as the model sees it."""

    model: ClipModel
    clip: torch.Tensor
    region: np.ndarray
    curve: np.ndarray
    label: int

    def scores(self, heat: np.ndarray, wanted: Sequence[str]) -> np.ndarray:
        """Some scores of a map, nan for the others."""
        found = np.full(len(SCORES), np.nan)
        if "energy" in wanted:
            found[:3] = [score(heat, self.region) for score in (energy, place, pointing)]
            found[3] = timing(heat, self.curve)
        if "deletion" in wanted:
            found[4:] = play_out(self.model, self.clip, heat, self.label)
        return found

    def heat(self, kind: str, model: ClipModel | None = None) -> np.ndarray:
        """The map of the class that is shown."""
        return heat_map(model or self.model, self.clip, self.label, kind)[0]


def ask(model: ClipModel, seen: Seen) -> Question:
    """Cut a clip, and what is true of it, to what a model sees."""
    spec = model.input_spec
    frames = segment_indices(len(seen.clip), spec.frames)
    clip = prepare(torch.from_numpy(seen.clip[frames])[None], spec)[0]
    return Question(model, clip, moving_region(as_seen(seen.motion, spec)), seen.curve[frames], int(seen.label))


@dataclass(frozen=True)
class Stage:
    """What is asked in one go.

    Attributes:
        dear: whether of the kinds that are dear, or of all others.
        scores: which.
        steps: down to where weights are drawn anew.
        people: of how many.
        models: of which.
    """

    dear: bool
    scores: tuple[str, ...]
    steps: tuple[str, ...]
    people: int
    models: tuple[str, ...]


STAGES = {
    "place": Stage(False, SCORES[:4], CASCADE[3:], PEOPLE, tuple(EVERY)),
    "play": Stage(False, SCORES[4:], CASCADE[:3], FEW, MOST),
    "dear": Stage(True, SCORES, (CASCADE[0], CASCADE[3]), FEW, MOST),
}


def examine(question: Question, number: int, stage: Stage) -> dict[str, np.ndarray]:
    """Scores of maps, with the trained weights and with all drawn anew, and how alike maps stay on the way there."""
    shape = (len(KINDS), len(SCORES))
    trained, chance = np.full(shape, np.nan), np.full(shape, np.nan)
    alike = np.full((len(KINDS), len(CASCADE)), np.nan)
    seed = number or OTHER
    drawn = {parts: drawn_anew(question.model, parts, seed) for parts in dict.fromkeys((*stage.steps, CASCADE[-1]))}
    for kind in kinds_of(question.model):
        if (kind in DEAR) == stage.dear:
            row, first = KINDS.index(kind), question.heat(kind)
            maps = {parts: question.heat(kind, model) for parts, model in drawn.items()}
            trained[row] = question.scores(first, stage.scores)
            chance[row] = question.scores(maps[CASCADE[-1]], stage.scores)
            for parts in stage.steps:
                alike[row, CASCADE.index(parts)] = rank_correlation(first, maps[parts])
    return {"trained": trained, "chance": chance, "alike": alike}


def examine_controls(question: Question, seen: Seen, face: np.ndarray, stage: Stage) -> dict[str, np.ndarray]:
    """Scores of the maps that ask no model, and what part of the clip moves."""
    spec = question.model.input_spec
    edges = as_seen(np.repeat(edges_of(face)[None], len(seen.clip), 0), spec)
    heats = (as_seen(seen.motion, spec), as_seen(seen.other, spec), edges, gaussian(spec.frames, spec.size))
    controls = np.stack([question.scores(heat, stage.scores) for heat in heats])
    return {"controls": controls, "area": np.array([question.region.mean()])}


def jobs(models: Sequence[str], people: Sequence[int]) -> Iterator[tuple[str, int, str]]:
    """Model, person and stage: first everybody's place, then all the rest, person by person."""
    for stages in (("place",), tuple(STAGES)[1:]):
        for number, stage, name in product(people, stages, models):
            if number in people[: STAGES[stage].people] and name in STAGES[stage].models:
                yield name, number, stage


def work(models: dict[str, tuple[ClipModel, Path]], people: Sequence[int], minutes: float, folder: Path) -> None:
    """Ask what was not asked before, until the time is over; each answer in a file of its own."""
    seen = {number: see(number, folder) for number in tqdm(people, "clips", unit="person")}
    face = np.mean([one.clip.mean(0) for one in seen.values()], 0)
    until = time.monotonic() + 60 * minutes
    for name, number, stage in tqdm(list(jobs(list(models), people)), "maps", unit="clip"):
        model, kept = models[name]
        path = kept / f"{number}-{stage}.npz"
        if path.exists():
            continue
        if time.monotonic() > until:
            print("the time is over: the next run goes on here")
            return
        question = ask(model, seen[number])
        found = examine(question, number, STAGES[stage])
        if not STAGES[stage].dear:
            found |= examine_controls(question, seen[number], face, STAGES[stage])
        with written_whole(path) as temporary:
            np.savez(temporary, **found)


def gather(kept: Path, people: Sequence[int]) -> dict[str, np.ndarray]:
    """All answers of one model as arrays (P, ...), nan where there is none."""
    rows: list[dict[str, np.ndarray]] = []
    for number in people:
        row: dict[str, np.ndarray] = {}
        for stage in STAGES:
            if (path := kept / f"{number}-{stage}.npz").exists():
                with np.load(path) as data:
                    for key, value in data.items():
                        row[key] = np.where(np.isnan(row[key]), value, row[key]) if key in row else value
        rows.append(row)
    shapes = {key: value.shape for row in rows for key, value in row.items()}
    return {
        key: np.stack([row.get(key, np.full(shape, np.nan)) for row in rows]).astype(np.float32)
        for key, shape in shapes.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, render, ask, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=PEOPLE, help="how many")
    parser.add_argument("--minutes", type=float, default=20, help="after which nothing new is begun")
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the record")
    given = parser.parse_args(arguments)
    clips, people, about, models = MakeFacesClips(), numbers(given.people), list[dict[str, Any]](), {}
    for name, one in tqdm(EVERY.items(), "weights", unit="model"):
        path = weights_of(one, 0, clips)
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        models[name] = (load_model(path), kept_answers("map_scores", CODE, given.people, checksum))
        about.append(
            {
                **{"name": name, **asdict(one), "weights": checksum, "is_volume": name in VOLUMES},
                "file": f"{name.lower().replace(' ', '_')}.npz",
            }
        )
    work(models, people, given.minutes, kept_answers("map_scores", ("changed",), "clips"))
    given.out.mkdir(parents=True, exist_ok=True)
    for one in about:
        with written_whole(given.out / one["file"]) as temporary:
            np.savez_compressed(temporary, **gather(models[one["name"]][1], people))
    facts = {"source": source_hash(), "versions": versions(), "classes": EMOTIONS, "kinds": KINDS, "scores": SCORES}
    facts |= {"cascade": CASCADE, "controls": CONTROLS, "models": about}
    facts |= {"people": [{"number": n, "label": n % len(EMOTIONS)} for n in people]}
    with written_whole(given.out / "about.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
