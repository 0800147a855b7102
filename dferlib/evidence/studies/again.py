"""Making a record again, to see whether it comes out alike."""

import re
from dataclasses import replace
from pathlib import Path

import torch

from dferlib.errors import InputError
from dferlib.evidence.results import Run
from dferlib.evidence.studies.clips import Clips, fingerprints
from dferlib.evidence.studies.declared import Row
from dferlib.evidence.studies.job import train_and_test
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import Predictions


def make_again(run: Run, clips: Clips, device: str = "auto", progress: bool = True) -> Predictions:
    """Train a model as a record says, and let it judge the same test clips, to see whether they come out alike.

    A processor gives the same bits with the same number of threads, so it takes as many as the record names. Other
    devices and other versions of torch give other bits.

    Args:
        run: the record; it stays as it is.
        clips: gives the splits that it was made on.
        device: "auto", "cpu", "cuda" or "mps".
        progress: show a bar.

    Returns:
        What came out, to be compared with `run.predictions()`.

    Raises:
        InputError: the clips are not those of the record, or the weights that it started from are not there.
    """
    recorded, model = run.record["config"], run.model
    config, sources = TrainConfig(**{**recorded["train"], "device": device}), clips(recorded["data"])
    if run.record["data"] != fingerprints(sources):
        raise InputError(f"{run.name} was made on other clips than this library renders: they cannot be compared")
    if config.start:
        config = replace(config, start=str(run.path.parent / config.start))
        if not Path(config.start).exists():
            raise InputError(f"{run.name} started from {config.start}, which is not there: make that run first")
    row = Row(model["name"], model["overrides"], config, recorded["data"])
    threads, made_with = torch.get_num_threads(), re.search(r"(\d+) threads", run.record["device"])
    torch.set_num_threads(int(made_with[1]) if made_with else threads)
    try:
        return train_and_test(row, sources, model["scale"], progress=progress)[1]
    finally:
        torch.set_num_threads(threads)
