"""What of the rendered clips decides how a model does on photographs: one thing is taken away at a time.

MakeFaces draws people whose faces are proportioned, whose pictures are lit and taken, and whose expressions are as
strong as of people. Here STT learns from clips that lack one of these, or all, and is asked about photographs of people
at rest and smiling.

In the first rows the backbone is the one that comes with dferlib, and its head has learnt from clips that lack
something; in `levels` it has learnt from clips of every difficulty. In the rows `backbone-...` the head's clips are
whole, and the backbone has learnt from frames that lack something; they are to be compared with `backbone-nothing`, as
these backbones have seen a quarter of the people, and each fewer times. In `both-everything` frames and clips lack
everything that can be left out; in `clips-everything` the clips do, and the backbone is that of `backbone-nothing`.

The photographs are those of `benchmarks.real_faces`; nothing is learnt from them. The proportions were fitted to the
first 25 people, so the figures are of the others. Each record, in results/rendered_to_real/, has the logits of every
photograph, from which all figures follow.

pip install "dferlib[faces,face-weights]"; python -m benchmarks.rendered_to_real    (three hours on one core)
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from tqdm import tqdm

from benchmarks.real_faces import PHOTOS
from dferlib.data.protocols import Joined
from dferlib.data.table import ArraySource, ClipTable
from dferlib.data.transforms import stored_size
from dferlib.evidence.lacks import LACKS, Lack, free_shape, nothing_in_the_way, plain_pictures
from dferlib.evidence.results import versions
from dferlib.files import cache_dir, make_folder, written_whole
from dferlib.inference.photographs import ASKED, Faces, ask, cut_faces, still_clips
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.generator import make_clip, source_hash
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.knobs import DIFFICULTIES
from dferlib.makefaces.protocol import CLIPS_PER_PERSON, Version
from dferlib.makefaces.realism.photographs import MEASURED
from dferlib.makefaces.render import Actor
from dferlib.models import create_model
from dferlib.training import pretraining
from dferlib.training.config import TrainConfig
from dferlib.training.loop import train

RECORDS = Path(__file__).parents[1] / "results" / "rendered_to_real"
SPLITS = ("train", "val")
WAYS = ("box", "aligned")
CONFIG = TrainConfig(backbone_lr_scale=0.0, lr=1e-3, device="cpu")  # the book's, with the rate that STT chose


OF_BACKBONES = {  # its frames have expressions of any strength, whatever a difficulty says
    "nothing": Lack(),
    "proportions": Lack(shaped=False),
    "pictures": Lack(plain_pictures),
    "disguise": Lack(disguised=False),
    "everything": Lack(lambda k: nothing_in_the_way(plain_pictures(k)), shaped=False, disguised=False),
}
WHOLE, EMPTY = (LACKS["nothing"],), (LACKS["everything"],)
# what the clips of the head lack, one kind of clips after the other, and what the backbone's frames do
ROWS: dict[str, tuple[tuple[Lack, ...], str | None]] = {
    **{name: ((lack,), None) for name, lack in LACKS.items()},
    "levels": (tuple(Lack(lambda _, knobs=knobs: knobs) for knobs in DIFFICULTIES.values()), None),
    **{f"backbone-{name}": (WHOLE, name) for name in OF_BACKBONES},
    "clips-everything": (EMPTY, "nothing"),
    "both-everything": (EMPTY, "everything"),
}
PEOPLE, EPOCHS = 740, 16  # of the backbones that are made here


def render(lack: Lack, split: str, size: str) -> ArraySource:
    """The clips of a split, with everybody and everything as in `standard` but for what they lack."""
    version = Version(size)
    version = replace(version, knobs=lack.knobs(version.knobs))
    labels, names = version.labels(split), load_head().shape_names
    clips, groups = [], []
    for number in tqdm(range(version.people(split)), split, unit="person", leave=False):
        key = [version.seed, SPLITS.index(split), number]  # as `generator.make_person` has it
        person = sample_identity(np.random.default_rng(key), names)
        actor = Actor(
            person if lack.shaped else free_shape(person, np.random.default_rng([*key, 0])), version.spec.side
        )
        for c in range(CLIPS_PER_PERSON):
            label = int(labels[CLIPS_PER_PERSON * number + c])
            clips.append(make_clip(actor, version, label, np.random.default_rng([*key, 1 + c]))[0])
            groups.append(f"{split}-{number:04d}")
    ids = [f"{split}-{k:05d}" for k in range(len(clips))]
    rows = pd.DataFrame({"id": ids, "label": labels, "group": groups, "split": split, "frames": version.spec.frames})
    return ArraySource(ClipTable(rows, version.classes), clips)


def make_backbone(name: str) -> dict[str, torch.Tensor]:
    """The weights of a backbone that has learnt from frames that lack something; made once, kept in the cache."""
    file = make_folder(cache_dir()) / f"backbone-{source_hash()}-{PEOPLE}-{EPOCHS}-{name}.safetensors"
    if not file.exists():
        lack = OF_BACKBONES[name]
        reshape = None if lack.shaped else free_shape
        count = PEOPLE + pretraining.HELD_OUT
        people = [
            pretraining.render_person(k, reshape, lack.knobs)
            for k in tqdm(range(count), f"backbone-{name}", unit="person", leave=False)
        ]
        cut = sum(len(one["frames"]) for one in people[:PEOPLE])
        examples = pretraining.examples_of(pretraining.joined(people))
        backbone, _ = pretraining.fit(examples[:cut], examples[cut:], EPOCHS, lack.disguised)
        pretraining.write(backbone, file, {"recipe": source_hash(), "lacks": name})
    return load_file(file)


def photographs_said(model: Any, cuts: Faces) -> dict[str, Any]:
    """Logits of each photograph, by the way in which it is shown."""
    frames = model.input_spec.frames
    ids = [f"{person}_{kind}" for person in cuts for kind in ASKED]
    found: dict[str, Any] = {}
    for way in WAYS:
        logits = ask(model, [clip for person in cuts.values() for clip in still_clips(person, way, frames)])
        found[way] = dict(zip(ids, logits.round(4).tolist(), strict=True))
    return found


def examine(name: str, seeds: list[int], cuts: Faces, size: str, out: Path) -> None:
    """Render what a row learns from, train with each seed, ask, and write a record for each."""
    missing = [seed for seed in seeds if not (out / f"{name}-seed{seed}.json").exists()]
    if not missing:
        return
    clips, of_backbone = ROWS[name]
    weights = make_backbone(of_backbone) if of_backbone else None
    sources = [Joined({str(k): render(lack, split, size) for k, lack in enumerate(clips)}) for split in SPLITS]
    for seed in missing:
        torch.manual_seed(seed)
        model = create_model("stt")
        if weights is not None:
            model.backbone.load_state_dict(weights)
        config = replace(CONFIG, seed=seed)
        history = train(model, *sources, config, progress=False)
        model.eval()
        record = {
            **{"lacks": name, "seed": seed, "size": size, "source": source_hash(), "versions": versions()},
            **{
                "val_uar": history.best.val_uar,
                "classes": list(model.classes),
                "logits": photographs_said(model, cuts),
            },
        }
        with written_whole(out / f"{name}-seed{seed}.json") as temporary:
            temporary.write_text(json.dumps(record) + "\n")
        told = {way: summary(record, way) for way in WAYS}
        print(f"{name} {seed}: validation UAR {100 * history.best.val_uar:.1f} %, {told}", flush=True)


def summary(record: dict[str, Any], way: str, first: int = MEASURED) -> dict[str, float]:
    """How many photographs of the people after the first ones get their own class, of seven."""
    rows = record["logits"][way]
    people = sorted({name.split("_")[0] for name in rows})[first:]
    classes = record["classes"]
    return {
        kind: float(np.mean([classes[int(np.argmax(rows[f"{person}_{kind}"]))] == wanted for person in people]))
        for kind, wanted in ASKED.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """Do what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", default=list(ROWS), help=", ".join(ROWS))
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="NUMBER_neutral.jpg and NUMBER_smiling.jpg")
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the records")
    parser.add_argument("--size", default="book", help="of MakeFaces")
    parser.add_argument("--seeds", type=int, default=3, help="how many trainings of each")
    given = parser.parse_args(arguments)
    cuts = cut_faces(given.photos, stored_size(create_model("stt").input_spec.size))
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.rows:
        examine(name, list(range(given.seeds)), cuts, given.size, given.out)


if __name__ == "__main__":
    main()
