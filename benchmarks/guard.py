"""Nothing gets slower unnoticed: ratios within one run, beside the values that were accepted last on this machine."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contestants import ENCODER, TIMESFORMER, TIMESFORMER_HF, TV_R2PLUS1D, TV_R3D
from dferlib.evidence.speed import Timing
from dferlib.files import written_whole

ACCEPTED = Path(__file__).with_name("accepted.json")
Place = tuple[str, str] | str  # model and work of a row of the group "one clip", or the name of a path

FORWARD, TRAINING = "forward", "training"
RATIOS: dict[str, tuple[Place, Place]] = {
    "STT / TimeSformer of timesformer-pytorch": (("stt", FORWARD), (TIMESFORMER, FORWARD)),
    "STT / TimeSformer of transformers": (("stt", FORWARD), (TIMESFORMER_HF, FORWARD)),
    "Former-DFER / its form in torch.nn": (("former_dfer", FORWARD), (ENCODER, FORWARD)),
    "R(2+1)D18 / torchvision's": (("r2plus1d18", FORWARD), (TV_R2PLUS1D, FORWARD)),
    "R3D18 / torchvision's": (("r3d18", FORWARD), (TV_R3D, FORWARD)),
    "STT, training / forward": (("stt", TRAINING), ("stt", FORWARD)),
    "LOGO-Former / STT": (("logo_former", FORWARD), ("stt", FORWARD)),
    "rendering a clip / matrix product": ("render", "render, product"),
    "packing / Pillow alone": ("pack", "pack, Pillow"),
    "reading a video / PyAV alone": ("read", "read, PyAV"),
}
TOLERANCE = 0.1  # a ratio may be so much larger than accepted, as a part


@dataclass(frozen=True)
class Ratio:
    """A ratio of two times, turn by turn.

    Attributes:
        name: one of `RATIOS`.
        found: median and quartiles; nothing if one of the two was not measured.
        accepted: the value that was accepted last on this machine, if there is one.
    """

    name: str
    found: tuple[float, float, float] | None
    accepted: float | None

    @property
    def verdict(self) -> str:
        """What to think of it. Worse is what is beyond the tolerance in three turns of four: noise is not."""
        if self.found is None:
            return "not measured"
        if self.accepted is None:
            return "new"
        _, low, high = self.found
        if low > self.accepted * (1 + TOLERANCE):
            return "WORSE"
        return "better" if high < self.accepted / (1 + TOLERANCE) else "as accepted"


def ratios(record: dict[str, Any], accepted: dict[str, float]) -> list[Ratio]:
    """All ratios of a run."""
    out = []
    for name, places in RATIOS.items():
        above, below = (_seconds(record, place) for place in places)
        found = None
        if above and below:
            both = Timing(tuple(above)).over(Timing(tuple(below)))
            found = (both.median, *both.middle)
        out.append(Ratio(name, found, accepted.get(name)))
    return out


def _seconds(record: dict[str, Any], place: Place) -> list[float] | None:
    if isinstance(place, str):
        return record["paths"].get(place, {}).get("seconds")
    rows = (row for row in record["rows"] if row["group"] == "one clip" and (row["model"], row["work"]) == place)
    return next((row["seconds"] for row in rows), None)


def load_accepted(machine: str) -> dict[str, float]:
    """The ratios that were accepted last on a machine; none if it is new."""
    return _everything().get(machine, {})


def accept(record: dict[str, Any]) -> None:
    """Let the ratios of a run be those that later ones are compared with; what it has not measured stays."""
    every, machine = _everything(), record["machine"]["name"]
    measured = {one.name: round(one.found[0], 4) for one in ratios(record, {}) if one.found}
    every[machine] = {**every.get(machine, {}), **measured}
    with written_whole(ACCEPTED) as temporary:
        temporary.write_text(json.dumps(every, indent=1) + "\n")


def _everything() -> dict[str, dict[str, float]]:
    return json.loads(ACCEPTED.read_text()) if ACCEPTED.exists() else {}
