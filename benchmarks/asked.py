"""The models that the benchmarks ask, their weights, shipped or trained here, and where answers are kept."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dferlib.data.protocols import Part
from dferlib.data.table import ClipSource
from dferlib.evidence.source import digest_of
from dferlib.evidence.studies import STUDIES, MakeFacesClips
from dferlib.files import cache_dir, make_folder
from dferlib.makefaces.generator import source_hash
from dferlib.models import create_model
from dferlib.training.loop import train

RESULTS = Path(__file__).parents[1] / "results"
HALF = 2  # times as many epochs where half of the people are there to learn from


@dataclass(frozen=True)
class Asked:
    """A model that is asked.

    Attributes:
        study: whose row it is.
        row: how it is trained, with the learning rate that the row chose.
        kept: the folder beside the records that has its weights; it is trained here if there is none.
        settings: of the training, where they are others than the row's.
        people: who is learnt from: "all", "lighter" or "half".
    """

    study: str
    row: str
    kept: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    people: str = "all"


MODELS = {
    "Single frame": Asked("before_attention", "single_frame"),
    "Frame average": Asked("before_attention", "frame_average"),
    "ResNet-LSTM": Asked("before_attention", "resnet18_lstm"),
    "ResNet-GRU": Asked("before_attention", "resnet18_gru"),
    "Former-DFER": Asked("before_attention", "former_dfer"),
    "NR-DFERNet": Asked("before_attention", "nr_dfernet"),
    "STT": Asked("stt_table1", "stt", "stt"),
    "LOGO-Former": Asked("logo_table2", "logo-former", "logo-former"),
    "MSSTNet": Asked("msstnet_table1", "8-frames-1-blocks", "8-frames-1-blocks"),
    "STANER": Asked("staner_table1", "STANER", "STANER"),
}
VOLUMES = {  # that convolve over time, too; of those with records, the one that learns enough to be asked
    "Inflated ResNet": Asked("initialisation", "inflated_resnet-makefaces"),
}

PLACES = ("benchmarks", "dferlib/evidence")
LIBRARY = ("models/**/*.py", "data/sampling.py", "data/transforms.py")  # through what every answer goes


@cache  # the maps of a frozen backbone are kept with the clips
def learnt_from(source: ClipSource, people: str) -> ClipSource:
    """The clips of the people that are learnt from: of the lighter half, or of as many of everybody."""
    if people == "all":
        return source
    rows = source.table.rows
    tones = rows.groupby("group")["skin_tone"].first()
    if people == "lighter":
        chosen = tones.sort_values().index[: len(tones) // 2]
    else:
        chosen = np.random.default_rng(0).permutation(tones.index)[: len(tones) // 2]
    return Part(source, np.flatnonzero(rows["group"].isin(chosen)), "train")


def kept_answers(script: str, code: Sequence[str], *known: Any) -> Path:
    """The folder for what a script has found out: another one where code, clips or what is known are others.

    Comments, docstrings and the layout of code do not count.

    Args:
        script: its name in `benchmarks`; what it says counts, too.
        code: other scripts of `benchmarks` and modules of `dferlib.evidence` that decide what is found, by file name.
        known: what else decides it, such as the checksums of weights.
    """
    patterns = [*(f"dferlib/{it}" for it in LIBRARY), *(f"{at}/{it}.py" for at in PLACES for it in (script, *code))]
    told = [source_hash(), digest_of(patterns, RESULTS.parent), *known]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
    return make_folder(cache_dir() / script.replace("_", "-") / f"found-{key}")


def weights_of(asked: Asked, seed: int, clips: MakeFacesClips) -> Path:
    """The weights of a model, trained if need be and kept in the cache folder."""
    if asked.kept:
        return RESULTS / asked.study / asked.kept / "best.safetensors"
    row = STUDIES[asked.study].rows[asked.row].at("book", "cpu")
    rates = json.loads((RESULTS / asked.study / f"{asked.row}-rates.json").read_text())["rates"]
    best = max(rates, key=lambda one: one["val_uar"])["lr"]
    epochs = row.config.epochs * (1 if asked.people == "all" else HALF)
    config = replace(row.config, **{"lr": best, "epochs": epochs, "seed": seed, **asked.settings})
    sources = clips({})
    known = [asdict(config), row.model, row.overrides, asked.people, sources["train"].fingerprint]
    key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache_dir() / "one-thing-changed" / key
    history = folder / "history.json"  # which grows with every epoch
    if not history.exists() or len(json.loads(history.read_text())["epochs"]) < config.epochs:
        torch.manual_seed(seed)
        model = create_model(row.model, **row.overrides)
        learnt = learnt_from(sources["train"], asked.people)
        train(model, learnt, sources["val"], config, folder, progress=False, resume=True)
    return folder / "best.safetensors"
