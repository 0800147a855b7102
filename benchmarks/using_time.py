"""Does a model use time? The same clips in other orders, at other speeds, and with another rise and fall.

The people, and ten models, are those of `benchmarks.one_thing_changed`, four with the weights that come with the
records and six trained there. What is shown to them is in `dferlib.evidence.using_time`. Four more are trained here
on the task "order", which only time can solve (`MakeFaces(task="order")`), all at the rate that the study `dynamics`
chose for the GRU. What was trained and what was answered is kept in the cache folder: a run that was stopped goes on
where it was.

The record goes to results/using_time/: about.json says who was seen and what was asked, clips.npz where the expression
is, and each model has its logits, and which frames it reads, in a file of its own.

python -m benchmarks.using_time    (a quarter of an hour on one core)
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.asked import MODELS, RESULTS, kept_answers, weights_of
from benchmarks.one_thing_changed import about_people, ask_all, load_models
from dferlib.data.transforms import prepare
from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError
from dferlib.evidence.frame_readings import HAS_TOKEN, read_by_gradient, read_by_token
from dferlib.evidence.results import versions
from dferlib.evidence.studies import MakeFacesClips
from dferlib.evidence.studies.declared import FROZEN
from dferlib.evidence.using_time import FRAMES, PLAIN, names, show, show_task, task_names
from dferlib.files import cache_dir, written_whole
from dferlib.makefaces import MakeFaces
from dferlib.makefaces.generator import source_hash
from dferlib.models import ClipModel, create_model
from dferlib.training.checkpoints import load_model
from dferlib.training.loop import train

RECORDS = RESULTS / "using_time"
PEOPLE = 105  # a multiple of seven: all classes are equally frequent
TASK = "order"
RATE = 0.03
LEARNERS = {  # two that cannot know the order, and two that read frame by frame
    "Single frame": "single_frame",
    "Frame average": "frame_average",
    "ResNet-LSTM": "resnet18_lstm",
    "ResNet-GRU": "resnet18_gru",
}
CODE = ("one_thing_changed", "changed", "frame_readings")  # that decides what is shown, asked and read
Arrays = Mapping[str, np.ndarray]


def learnt_the_task(name: str, sources: Mapping[str, MakeFaces]) -> Path:
    """The weights of a model that has learnt `TASK`, trained if need be and kept in the cache folder."""
    config = replace(FROZEN, lr=RATE, device="cpu")
    known = [asdict(config), name, TASK, sources["train"].fingerprint]
    key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache_dir() / "using-time" / key
    history = folder / "history.json"  # which grows with every epoch
    if not history.exists() or len(json.loads(history.read_text())["epochs"]) < config.epochs:
        torch.manual_seed(config.seed)
        model = create_model(name, num_classes=len(sources["train"].classes))
        train(model, sources["train"], sources["val"], config, folder, progress=False, resume=True)
    return folder / "best.safetensors"


@torch.no_grad()
def read_by(model: ClipModel, clip: np.ndarray, label: int) -> dict[str, np.ndarray]:
    """Which frames a model reads (F,), by each way that there is."""
    inputs = prepare(torch.from_numpy(clip[None]), model.input_spec)
    found = {"gradient": read_by_gradient(model, inputs, torch.tensor([label]))[0]}
    if model.config["name"] in HAS_TOKEN:
        found["token"] = read_by_token(model, inputs)[0]
    return found


def ask_about_emotions(number: int, paths: tuple[Path, ...]) -> dict[str, np.ndarray]:
    """What the models say of somebody's clips: logits (M, E, C), nan where there is no such clip, and readings."""
    shown, models, every = show(number), load_models(paths), names()
    if wrong := [model.config["name"] for _, model in models if model.input_spec.frames != FRAMES]:
        raise InputError(f"{wrong[0]} does not read {FRAMES} frames: the clips shown have as many")
    said = ask_all(models, np.stack(list(shown.clips.values())))
    logits = np.full((len(models), len(every), said.shape[-1]), np.nan, dtype=np.float32)
    logits[:, [every.index(name) for name in shown.clips]] = said
    nothing = {way: np.full(FRAMES, np.nan, np.float32) for way in ("gradient", "token")}
    read = [nothing | read_by(model, shown.clips[PLAIN], number % len(EMOTIONS)) for _, model in models]
    ways = {way: np.stack([one[way] for one in read]).astype(np.float32) for way in nothing}
    return {"logits": logits, **ways, "level": shown.level, "two": np.array(shown.two)}


def ask_about_task(number: int, paths: tuple[Path, ...]) -> dict[str, np.ndarray]:
    """What those who learnt the task say of somebody's clips: logits (M, ways, 2, 2), labels along the third axis."""
    clips = np.concatenate(list(show_task(number, TASK).values()))
    said = ask_all(load_models(paths), clips)
    return {"logits": said.reshape(len(paths), len(task_names()), 2, 2)}


def ask_everybody(
    ask: Callable[[int, tuple[Path, ...]], dict[str, np.ndarray]], paths: tuple[Path, ...], people: int, what: Any
) -> dict[str, np.ndarray]:
    """What is said of everybody, people along the first axis; whoever was asked about before is not asked again."""
    weights = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    folder = kept_answers("using_time", CODE, ask.__name__, what, weights)
    found = []
    for number in tqdm(range(people), ask.__name__, unit="person"):
        file = folder / f"{number}.npz"
        if not file.exists():
            with written_whole(file) as temporary:
                np.savez(temporary, **ask(number, paths))
        with np.load(file, allow_pickle=False) as data:
            found.append(dict(data))
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def write(out: Path, name: str, arrays: Arrays) -> str:
    """Write arrays to a file of the record; floats as half-floats."""
    small = {k: v.astype(np.float16) if v.dtype.kind == "f" else v for k, v in arrays.items()}
    with written_whole(out / f"{name}.npz") as temporary:
        np.savez_compressed(temporary, **small)
    return f"{name}.npz"


def file_of(name: str) -> str:
    """How the files of a model are called."""
    return name.lower().replace(" ", "_")


def models_about(asked: Mapping[str, Path], models: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the record says of each model that is asked."""
    found = []
    for name, path in asked.items():
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        has = load_model(path).config["name"]
        found.append({"name": name, "model": has, "weights": checksum, **models.get(name, {})})
    return found


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, render, ask, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=PEOPLE, help="how many")
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the record")
    given = parser.parse_args(arguments)
    clips = MakeFacesClips()
    asked = {name: weights_of(one, 0, clips) for name, one in tqdm(MODELS.items(), "weights", unit="model")}
    said = ask_everybody(ask_about_emotions, tuple(asked.values()), given.people, names())
    timed = {split: MakeFaces(split, task=TASK, workers=1) for split in ("train", "val")}
    taught = {name: learnt_the_task(one, timed) for name, one in tqdm(LEARNERS.items(), "the task", unit="model")}
    told = ask_everybody(ask_about_task, tuple(taught.values()), given.people, [TASK, task_names()])
    given.out.mkdir(parents=True, exist_ok=True)
    about_models = models_about(asked, {name: {"study": one.study, "kept": one.kept} for name, one in MODELS.items()})
    for k, one in enumerate(about_models):
        ways = {way: said[way][:, k] for way in ("gradient", "token") if np.isfinite(said[way][:, k]).all()}
        logits = said["logits"][:, k].swapaxes(0, 1)
        one["file"] = write(given.out, file_of(one["name"]), {"logits": logits, **ways})
    about_task = models_about(taught, {})
    for k, one in enumerate(about_task):
        logits = told["logits"][:, k].swapaxes(0, 1)
        one["file"] = write(given.out, f"task-{file_of(one['name'])}", {"logits": logits})
    write(given.out, "clips", {"level": said["level"], "two": said["two"]})
    about = {"source": source_hash(), "versions": versions(), "classes": EMOTIONS, "names": names(), "task": TASK}
    about |= {"task_names": task_names(), "models": about_models, "task_models": about_task}
    about |= {"people": about_people(given.people)}
    with written_whole(given.out / "about.json") as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
