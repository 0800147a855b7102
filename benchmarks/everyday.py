"""Make the weights that are meant for use: models that have learnt from clips of every difficulty.

The models of the studies learn from one difficulty, so that they can be compared. What people show to a model is of any
kind, easy and hard, and the answers about photographs are steadier from seed to seed where all three were learnt from:
results/everyday/about.json has the figures of each seed, beside those of models that saw `standard` alone. The
backbone is frozen, as in the studies. The rate is the recipe's, not chosen; of the seeds, the one that is best on the
validation clips is kept. No photograph decides anything.

python -m benchmarks.everyday                          (twenty minutes on one core)
python -m benchmarks.real_faces                        (then: what they say of photographs)
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.real_faces import PHOTOS
from benchmarks.rendered_to_real import WAYS, photographs_said, summary
from dferlib.data.protocols import Joined
from dferlib.data.table import ClipSource
from dferlib.data.transforms import stored_size
from dferlib.evidence.results import versions
from dferlib.files import make_folder, written_whole
from dferlib.inference.photographs import Faces, cut_faces
from dferlib.makefaces import MakeFaces
from dferlib.makefaces.generator import source_hash
from dferlib.makefaces.knobs import DIFFICULTIES
from dferlib.models import create_model
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.loop import train

OUT = Path(__file__).parents[1] / "results" / "everyday"
MODELS = ("stt", "logo_former")
LEARNT = {"standard alone": ("standard",), "every difficulty": tuple(DIFFICULTIES)}
KEPT = "every difficulty"
CONFIG = TrainConfig(backbone_lr_scale=0.0, device="cpu")
FILES = ("best.safetensors", "history.json")


def clips_of(split: str, difficulties: tuple[str, ...], size: str) -> ClipSource:
    """The clips of a split, of one difficulty or of several together."""
    return Joined({name: MakeFaces(split, size, difficulty=name) for name in difficulties})


def make(name: str, learnt: str, seed: int, cuts: Faces, size: str, folder: Path) -> dict[str, Any]:
    """Train a model, keep its weights in the folder, and say how it does on clips and on photographs."""
    torch.manual_seed(seed)
    model = create_model(name)
    sources = [clips_of(split, LEARNT[learnt], size) for split in ("train", "val")]
    history = train(model, *sources, replace(CONFIG, seed=seed), folder, progress=False)
    model.eval()
    said = {"classes": list(model.classes), "logits": photographs_said(model, cuts)}
    tested = {d: round(evaluate(model, clips_of("test", (d,), size)).metrics()["uar"], 4) for d in DIFFICULTIES}
    own = {"model": name, "learnt": learnt, "seed": seed, "val_uar": round(history.best.val_uar, 4)}
    return {**own, "test_uar": tested, "photographs": {way: summary(said, way) for way in WAYS}}


def main(arguments: list[str] | None = None) -> None:
    """Train every seed, write what was found, keep the best weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="NUMBER_neutral.jpg and NUMBER_smiling.jpg")
    parser.add_argument("--seeds", type=int, default=3, help="how many trainings of each")
    parser.add_argument("--size", default="book", help="of MakeFaces")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the weights")
    given = parser.parse_args(arguments)
    cuts, rows = cut_faces(given.photos, stored_size(create_model("stt").input_spec.size)), []
    for name in MODELS:
        best = -1.0
        for learnt in LEARNT:
            for seed in range(given.seeds):
                with tempfile.TemporaryDirectory() as place:
                    rows.append(make(name, learnt, seed, cuts, given.size, Path(place)))
                    print(rows[-1], flush=True)
                    if learnt == KEPT and rows[-1]["val_uar"] > best:
                        best, home = rows[-1]["val_uar"], make_folder(given.out / name)
                        for file in FILES:
                            shutil.copy(Path(place) / file, home / file)
    about = {"source": source_hash(), "versions": versions(), "size": given.size, "kept": KEPT, "rows": rows}
    with written_whole(given.out / "about.json") as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
