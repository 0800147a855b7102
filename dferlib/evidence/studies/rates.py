"""The learning rate of a row: chosen on the validation clips, and written beside the records.

A grid of two rates makes every choice an end, and says nothing of what lies beyond. So a row begins with a few, and
while the best of them is the lowest or the highest the next one on the ladder is tried.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dferlib.data.table import ClipSource
from dferlib.evidence.probes import Probe, agree
from dferlib.evidence.results import probe_of
from dferlib.evidence.studies.clips import fingerprints
from dferlib.evidence.studies.declared import LADDER, Row
from dferlib.evidence.studies.matching import model_config, training_config
from dferlib.files import written_whole

TUNING_SEED = 100  # none of the runs has it


class Rates:
    """What the learning rates of a row came to so far, here or in a study beside that has tried them all.

    Args:
        folder: of the study.
        title: of the row.
        row: whose `rates` the choice begins with. One alone is taken as it is.
        sources: the clips that they are tried on.
        scale: of the model.
        beside: folders of other studies.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        row: Row,
        sources: dict[str, ClipSource],
        scale: str,
        beside: Sequence[Path] = (),
    ) -> None:
        self.path, self.rates = folder / f"{title}-rates.json", row.rates
        self.content: dict[str, Any] = {"rates": []}
        if len(row.rates) == 1:
            return
        made_with = _made_with(folder, row, sources, scale)
        self.content = _read(self.path, made_with)
        for path in (path for other in beside for path in sorted(other.glob("*-rates.json"))):
            known = {one["lr"]: one["val_uar"] for one in _read(path, made_with)["rates"]}
            while self.missing and known.keys() >= set(self.missing):
                for rate in self.missing:
                    self.add(rate, known[rate])

    @property
    def missing(self) -> list[float]:
        """Those that are to be tried: the first few, then one more while the best is at an end of the tried ones."""
        if len(self.rates) == 1:
            return []
        tried = [one["lr"] for one in self.content["rates"]]
        if first := [rate for rate in self.rates if rate not in tried]:
            return first
        below = [rate for rate in LADDER if rate < tried[0]][-1:]
        above = [rate for rate in LADDER if rate > tried[-1]][:1]
        return {tried[0]: below, tried[-1]: above}.get(self.best, [])

    @property
    def best(self) -> float:
        """The one with the highest validation UAR of those that were tried; of equals the farthest from both ends."""
        if len(self.rates) == 1:
            return self.rates[0]
        tried = self.content["rates"]
        places = range(len(tried))
        place = max(places, key=lambda place: (tried[place]["val_uar"], min(place, len(tried) - 1 - place)))
        return float(tried[place]["lr"])

    def add(self, rate: float, val_uar: float) -> None:
        """Write what a rate came to. In whatever order they come, the file is the same."""
        tried = [*self.content["rates"], {"lr": rate, "val_uar": val_uar}]
        self.content["rates"] = sorted(tried, key=lambda one: float(one["lr"]))
        with written_whole(self.path) as temporary:
            temporary.write_text(json.dumps(self.content, indent=1) + "\n")


def _made_with(folder: Path, row: Row, sources: dict[str, ClipSource], scale: str) -> dict[str, Any]:
    """What the choice of a rate depends on."""
    config = training_config(folder, replace(row, config=replace(row.config, device="auto")))
    model = model_config(row, scale)
    found = probe_of({"model": model, **config}, len(sources["train"].classes))
    return {"model": model, "probe": found, "data": fingerprints(sources), **config}


def _read(path: Path, made_with: dict[str, Any]) -> dict[str, Any]:
    """What was found about rates so far, if nothing that matters has changed."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    found |= {"rates": sorted(found.get("rates", []), key=lambda one: float(one["lr"]))}
    same = all(found.get(key) == value for key, value in made_with.items() if key != "probe")
    return found if same and agree(found.get("probe"), Probe(**made_with["probe"])) else {**made_with, "rates": []}
