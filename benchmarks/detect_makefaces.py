"""Do other people's detectors see the faces of MakeFaces as faces, and is anybody seen less often?

Renders one frame of each of `PEOPLE` people at standard difficulty, of an expression at its apex, and shows it to two
detectors that were trained on photographs: dlib's frontal face detector (gradients and a linear classifier) and dlib's
max-margin network (King 2015). Where the first finds the face, dlib's predictor of 68 landmarks, trained on iBUG 300-W,
is compared with the rendered truth. The people are in no split of the data set. The record goes to
results/makefaces_detection/detection.json: a row for each face.

pip install "dferlib[faces,face-weights]"; python -m benchmarks.detect_makefaces   (about 4 minutes on one thread)
"""

import json
import time
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import dlib
import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm import tqdm

from dferlib import EMOTIONS
from dferlib.files import written_whole
from dferlib.makefaces import generator
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.blend_shapes import shape_weights
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.knobs import DIFFICULTIES
from dferlib.makefaces.landmarks import OUTER_CORNERS
from dferlib.makefaces.performance import perform
from dferlib.makefaces.render import Actor

PEOPLE, SIDE, DIFFICULTY, SEED = 280, 448, "standard", 2026
FRAMES = 25  # of the clip whose apex is rendered
FRONTAL = 10.0  # degrees of yaw and pitch
HIDDEN = 0.25  # share of the face; whoever holds a hand before more of it need not be found
RECORD = Path(__file__).parents[1] / "results" / "makefaces_detection" / "detection.json"


def render_apex(number: int) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """One face: the frame (SIDE, SIDE, 3) uint8, its landmarks (68, 2), and who and what it shows."""
    knobs, emotion = DIFFICULTIES[DIFFICULTY], EMOTIONS[number % len(EMOTIONS)]
    key = [SEED, len(generator.SPLITS), number]  # no split has this number
    rng = np.random.default_rng([*key, 1])
    actor = Actor(sample_identity(np.random.default_rng(key), load_head().shape_names), SIDE)
    performance = perform(emotion, FRAMES, rng, knobs)
    # a neutral face has no apex: take it in the middle
    at = int(performance.expression.argmax()) if emotion != "neutral" else FRAMES // 2
    pose = generator.sample_pose(FRAMES, knobs, rng)[at : at + 1]
    weights = shape_weights(performance, actor.action_index)[at : at + 1]
    frames, truth = generator.render_clip(actor, weights, pose, knobs, rng)
    facts = {"emotion": emotion, "intensity": performance.intensity, **actor.person.summary()}
    facts |= {name: float(angle) for name, angle in zip(("yaw", "pitch", "roll"), np.rad2deg(pose[0]), strict=True)}
    facts |= {"in_front": str(truth["in_front"]), "hidden": float(truth["hidden"][0])}
    return frames[0].transpose(1, 2, 0).copy(), truth["landmarks"][0], facts


@lru_cache(maxsize=1)
def detectors() -> dict[str, Callable[[np.ndarray], list[Any]]]:
    """What finds the boxes of faces in an image (S, S, 3), by name."""
    gradients = dlib.get_frontal_face_detector()
    network = dlib.cnn_face_detection_model_v1(model_file("mmod_human_face_detector.dat"))

    def half(image: np.ndarray) -> np.ndarray:
        """The network finds faces from 80 pixels on; in half the size, it takes a quarter of the time."""
        return np.asarray(Image.fromarray(image).reduce(2))

    return {"gradients": lambda image: list(gradients(image, 0)), "network": lambda p: list(network(half(p), 0))}


def model_file(name: str) -> str:
    """The path of one of dlib's models, in the package that brings them."""
    return str(metadata.distribution("face_recognition_models").locate_file(f"face_recognition_models/models/{name}"))


@lru_cache(maxsize=1)
def _predictor() -> Any:
    return dlib.shape_predictor(model_file("shape_predictor_68_face_landmarks.dat"))


def landmark_errors(image: np.ndarray, box: Any, truth: np.ndarray) -> np.ndarray:
    """(68,) how far dlib's landmarks are from the truth (68, 2), in distances between the outer corners of the eyes."""
    # dlib counts from the centre of the first pixel, the truth from its edge
    found = np.array([(point.x + 0.5, point.y + 0.5) for point in _predictor()(image, box).parts()])
    left, right = truth[list(OUTER_CORNERS)]
    return np.linalg.norm(found - truth, axis=1) / np.linalg.norm(right - left)


def examine(number: int) -> dict[str, Any]:
    """Render one face and show it to every detector: a row of the record."""
    image, truth, row = render_apex(number)
    found = {name: find(image) for name, find in detectors().items()}
    row |= {name: bool(boxes) for name, boxes in found.items()}
    row["landmark_error"] = None
    if found["gradients"]:
        largest = max(found["gradients"], key=lambda box: box.area())
        row["landmark_error"] = round(float(landmark_errors(image, largest, truth).mean()), 5)
    return row


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Faces, share found and mean error of the landmarks on frontal faces, by group.

    The groups by "hidden" and "in front" count all faces, the others those of which at most `HIDDEN` is hidden.
    """
    faces = pd.DataFrame(rows)
    frontal = faces[["yaw", "pitch"]].abs().max(axis=1) < FRONTAL
    faces["frontal_error"] = faces["landmark_error"].astype(float).where(frontal)
    much = faces["hidden"] > HIDDEN
    clear = faces[~much]
    quarters = ["lightest quarter", "second quarter", "third quarter", "darkest quarter"]
    groups = {
        "all": pd.Series("everybody", clear.index),
        "skin": pd.qcut(clear["skin_tone"], 4, labels=quarters),
        "sex": clear["female"].map(lambda female: "women" if female >= 0.5 else "men"),
        "age": pd.cut(clear["age"], 3, labels=["younger third", "middle third", "older third"]),
        "hair": clear["hairstyle"],
        "emotion": clear["emotion"].astype(pd.CategoricalDtype(EMOTIONS)),
        "hidden": much.map({False: f"at most {HIDDEN:.0%}", True: "more"}),
        "in front": faces["in_front"].replace("", "nothing"),
    }
    parts = {}
    for name, group in groups.items():
        by = faces.loc[group.index].groupby(group, observed=True)
        columns = {"faces": by.size(), **{d: by[d].mean() for d in ("gradients", "network")}}
        parts[name] = pd.DataFrame({**columns, "frontal_error": by["frontal_error"].mean()})
    return pd.concat(parts, names=["by", "group"])


def main() -> None:
    """Render, detect, print and write the record."""
    torch.set_num_threads(1)
    begin, recipe = time.perf_counter(), generator.source_hash()
    rows = [examine(number) for number in tqdm(range(PEOPLE), unit="face")]
    record = {
        **{"recipe": recipe, "dlib": dlib.__version__, "seconds": round(time.perf_counter() - begin)},
        **{"difficulty": DIFFICULTY, "side": SIDE, "seed": SEED, "faces": rows},
    }
    with written_whole(RECORD) as path:
        path.write_text(json.dumps(record, indent=1) + "\n")
    print(table(rows).to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
