"""What labels are worth if a backbone has learnt without any: a masked autoencoder against action units and nothing.

Three masked autoencoders learn from the training clips of MakeFaces, of which they get the frames and nothing else. A
GRU on the backbone of each is then trained with 1, 5, 20 and 100 % of the labels, and so it is on the backbone that
comes with dferlib, which has learnt action units from the truth of rendered frames, and on one that has learnt nothing.
Labels are those of people drawn at random, other ones with each seed; of the validation people there are as many.

First the backbones are frozen: with 20 % of the labels a head is trained on each. Which of the three is looked at
closer is decided by the validation clips. Then the whole networks are trained. The learning rate of each start is the
better of two on the validation clips, with 20 % of the labels and the first seed. All get the same number of steps.

Models that had all labels, or a fifth, are also asked about the photographs of `benchmarks.real_faces`. Nothing is
learnt from these.

The records go to results/masked_autoencoder/: a run each, about.json with what was pretrained and chosen, and
photographs.json. Backbones are kept in the cache folder. A run that was stopped goes on where it was.

pip install "dferlib[faces,face-weights]"; python -m benchmarks.masked_autoencoder    (an hour on one core)
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmarks.real_faces import PHOTOS
from dferlib.data.table import ClipSource
from dferlib.data.transforms import center_crop, normalise, stored_size, to_float
from dferlib.evidence.results import device_name, save_run, versions
from dferlib.evidence.studies.clips import fingerprints
from dferlib.evidence.transfer import some_people
from dferlib.files import cache_dir, make_folder, written_whole
from dferlib.inference.photographs import ASKED, Faces, ask, cut_faces, still_clips
from dferlib.makefaces import SPLITS, MakeFaces
from dferlib.makefaces.generator import source_hash
from dferlib.models import ClipModel, create_model
from dferlib.models.backbones import FACE_MEAN, FACE_STD, load_face_weights
from dferlib.models.masked_autoencoder import WAYS, MaskedAutoencoder, draw_masks
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.history import History
from dferlib.training.loop import train
from dferlib.training.self_supervised import BATCH, explained, pretrain

RECORDS = Path(__file__).parents[1] / "results" / "masked_autoencoder"
NOTHING, UNITS = "nothing", "action_units"
STARTS = (NOTHING, *WAYS, UNITS)
EPOCHS = {0.01: 40, 0.05: 40, 0.2: 40, 1.0: 12}  # by share of the labels
SEEDS = (0, 1, 2)
MIDDLE = 0.2  # the share with which choices are made
RATES = {"frozen": (1e-2, 3e-2, 1e-1), "tuned": (1e-3, 3e-3)}
MODEL, FRAMES = "resnet18_gru", 4  # four frames: half of the book's, so that all of it takes an hour
SHOWN = 3  # validation clips of which the record has what was filled in


@dataclass(frozen=True)
class Plan:
    """One training.

    Attributes:
        start: what its backbone has learnt, one of `STARTS`.
        how: "frozen" or "tuned".
        share: of the labels.
        seed: of everything, also of who is labelled.
    """

    start: str
    how: str
    share: float
    seed: int

    @property
    def name(self) -> str:
        """Of its record."""
        return f"{self.start}-{self.how}-{100 * self.share:g}-percent-seed{self.seed}"

    def config(self, rate: float) -> TrainConfig:
        """How it is trained."""
        scale = 0.0 if self.how == "frozen" else 1.0 if self.start == NOTHING else 0.5
        return TrainConfig(EPOCHS[self.share], lr=rate, backbone_lr_scale=scale, seed=self.seed, device="cpu")


class Work:
    """What all trainings share: clips, backbones, photographs, and what was chosen.

    Args:
        size: of MakeFaces.
        steps: of each pretraining.
        out: folder of the records.
        photos: folder of the photographs.
    """

    def __init__(self, size: str, steps: int, out: Path, photos: Path) -> None:
        self.steps, self.out, self.photos = steps, make_folder(out), photos
        self.clips: dict[str, ClipSource] = {split: MakeFaces(split, size) for split in SPLITS}
        self.part = cache(self._part)  # maps of frozen backbones are kept with the clips
        self.cuts = cache(self._cuts)
        self.about = self._read("about", {"source": source_hash(), "versions": versions(), "steps": steps})
        self.about |= {"batch": BATCH, "ways": self.about.get("ways", {}), "rates": self.about.get("rates", {})}
        self.said = self._read("photographs", {})

    def _read(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        file = self.out / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else default

    def write(self) -> None:
        """Write what is known so far."""
        for name, value in (("about", self.about), ("photographs", self.said)):
            with written_whole(self.out / f"{name}.json") as temporary:
                temporary.write_text(json.dumps(value, indent=1) + "\n")

    def _part(self, split: str, share: float, seed: int) -> ClipSource:
        return some_people(self.clips[split], share, seed)

    def _cuts(self) -> Faces:
        return cut_faces(self.photos, stored_size(create_model(MODEL).input_spec.size))

    def autoencoder(self, way: str) -> MaskedAutoencoder:
        """Pretrained, or as it was kept."""
        key = f"{source_hash()}-{self.clips['train'].fingerprint}-{self.steps}-{way}"
        file = make_folder(cache_dir() / "masked-autoencoder") / f"{key}.safetensors"
        model = MaskedAutoencoder(way)
        if not file.exists() or way not in self.about["ways"]:
            began = time.process_time()
            made = pretrain(self.clips["train"], way, self.steps, progress=False)
            seconds = time.process_time() - began
            weights = {name: value.contiguous() for name, value in made.model.state_dict().items()}
            with written_whole(file) as temporary:
                save_file(weights, temporary)
            found = explained(made.model, self.clips["val"])
            self.about["ways"][way] = {"errors": made.errors, "explained": found, "processor_seconds": seconds}
            self.about["ways"][way]["weights"] = hashlib.sha256(file.read_bytes()).hexdigest()
            self.write()
            print(f"{way}: explains {found:.3f} of what is hidden, {seconds:.0f} s", flush=True)
        model.load_state_dict(load_file(file))
        return model.eval()

    def model(self, start: str, seed: int) -> ClipModel:
        """A GRU on the backbone of a start; its own weights are those of the seed."""
        torch.manual_seed(seed)
        model = create_model(MODEL, frames=FRAMES, weights=None)
        if start == UNITS:
            load_face_weights(model.backbone)
        elif start != NOTHING:
            model.backbone.load_state_dict(self.autoencoder(start).backbone.state_dict())
        return model

    def rate(self, plan: Plan) -> float:
        """The learning rate of a start, chosen on all validation clips."""
        key, share = f"{plan.start}-{plan.how}", self.part("train", MIDDLE, SEEDS[0])
        if key not in self.about["rates"]:
            tried = {}
            for rate in RATES[plan.how]:
                config = replace(plan, share=MIDDLE, seed=SEEDS[0]).config(rate)
                history = train(self.model(plan.start, SEEDS[0]), share, self.clips["val"], config, progress=False)
                tried[rate] = history.best.val_uar
            self.about["rates"][key] = {"tried": tried, "rate": max(tried, key=lambda one: tried[one])}
            self.write()
        return self.about["rates"][key]["rate"]

    def do(self, plan: Plan) -> None:
        """Train, test, ask about photographs, and write the record, if it is not there."""
        if (self.out / f"{plan.name}.json").exists():
            return
        config, began = plan.config(self.rate(plan)), time.perf_counter()
        sources = {split: self.part(split, plan.share, plan.seed) for split in ("train", "val")}
        model = self.model(plan.start, plan.seed)
        history = train(model, sources["train"], sources["val"], config, progress=False)
        if plan.share >= MIDDLE and plan.how == "tuned":
            self.said[plan.name] = photographs_said(model.eval(), self.cuts())
            self.write()
        self._record(plan, config, model, history, sources, time.perf_counter() - began)

    def _record(
        self,
        plan: Plan,
        config: TrainConfig,
        model: ClipModel,
        history: History,
        sources: dict[str, ClipSource],
        seconds: float,
    ) -> None:
        overrides = {"frames": FRAMES, "weights": None}
        run = save_run(
            self.out,
            plan.name,
            config={
                "model": {"name": MODEL, "scale": "book", "overrides": overrides},
                "train": asdict(config),
                "data": {"share": plan.share, "clips": len(sources["train"])},
                "start": plan.start,
            },
            seed=plan.seed,
            data=fingerprints({**sources, "test": self.clips["test"]}),
            predictions=evaluate(model, self.clips["test"], device="cpu"),
            history=history,
            device=device_name("cpu"),
            seconds=seconds,
        )
        print(f"{plan.name}: test UAR {100 * run.metrics['uar']:.1f} %, {seconds:.0f} s", flush=True)

    def choose(self) -> str:
        """The way whose frozen backbone is best on the validation clips, the mean over seeds."""
        if "chosen" not in self.about:
            found = {
                way: float(np.mean([self._val_uar(Plan(way, "frozen", MIDDLE, seed)) for seed in SEEDS]))
                for way in WAYS
            }
            self.about |= {"frozen_val_uar": found, "chosen": max(found, key=lambda way: found[way])}
            self.write()
        return self.about["chosen"]

    def _val_uar(self, plan: Plan) -> float:
        history = json.loads((self.out / f"{plan.name}.json").read_text())["history"]
        return max(epoch["val_uar"] for epoch in history["epochs"])

    def fill_in(self) -> None:
        """Write what each way fills in of a few validation clips, each frame with the clip's first as the other."""
        clips = np.stack([self.clips["val"].read(k) for k in range(SHOWN)])
        count, frames = clips.shape[:2]
        pixels = center_crop(torch.from_numpy(clips), 56)
        seen = normalise(to_float(pixels), FACE_MEAN, FACE_STD).flatten(0, 1)
        others = seen.unflatten(0, (count, frames))[:, :1].expand(-1, frames, -1, -1, -1).flatten(0, 1)
        hidden = draw_masks(len(seen), 56, random=torch.Generator().manual_seed(0))
        arrays = {"clips": pixels.numpy(), "hidden": hidden.unflatten(0, (count, frames)).numpy()}
        for way in WAYS:
            with torch.no_grad():
                filled = self.autoencoder(way)(seen, others, hidden)
            for name, value in filled._asdict().items():
                arrays[f"{way}_{name}"] = value.unflatten(0, (count, frames)).numpy().astype(np.float16)
        with written_whole(self.out / "filled.npz") as temporary:
            np.savez_compressed(temporary, **arrays)


def photographs_said(model: ClipModel, cuts: Faces) -> dict[str, Any]:
    """Logits of each photograph, cut out by the detector's box."""
    ids = [f"{person}_{kind}" for person in cuts for kind in ASKED]
    clips = [clip for person in cuts.values() for clip in still_clips(person, "box", FRAMES)]
    return dict(zip(ids, ask(model, clips).round(4).tolist(), strict=True))


def tuned(starts: tuple[str, ...], shares: tuple[float, ...]) -> Iterator[Plan]:
    """Whole networks, from the shares that are asked for first to the last."""
    for share in shares:
        for seed in SEEDS:
            for start in starts:
                yield Plan(start, "tuned", share, seed)


def main(arguments: list[str] | None = None) -> None:
    """Do what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500, help="of each pretraining")
    parser.add_argument("--size", default="book", help="of MakeFaces")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="NUMBER_neutral.jpg and NUMBER_smiling.jpg")
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the records")
    given = parser.parse_args(arguments)
    work = Work(given.size, given.steps, given.out, given.photos)
    work.fill_in()
    for seed in SEEDS:
        for start in STARTS:
            work.do(Plan(start, "frozen", MIDDLE, seed))
    chosen = work.choose()
    for plan in tuned((NOTHING, chosen, UNITS), (MIDDLE, 0.05, 0.01, 1.0)):
        work.do(plan)
    for plan in tuned(tuple(way for way in WAYS if way != chosen), (MIDDLE,)):
        work.do(plan)


if __name__ == "__main__":
    main()
