"""What `make bench` has measured on one machine, as tables."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dferlib.errors import InputError

MIB = 2**20
LEAST_PART = 0.03  # of the time of a forward pass, for a kind of operation to be shown
PAPERS = ("stt", "logo_former", "msstnet", "staner")
COMPARED = (  # a model, what its time is told in parts of, and how that is called
    ("stt", "TimeSformer, timesformer-pytorch", "the TimeSformer of timesformer-pytorch"),
    ("former_dfer", "Former-DFER, torch.nn", "the same in torch.nn"),
    ("r2plus1d18", "r2plus1d_18, torchvision", "torchvision's"),
    ("logo_former", "stt", "stt"),
)
ONE_CLIP = "one clip"  # the group of rows in which every model takes its turn


@dataclass(frozen=True)
class Speeds:
    """The measurements of one machine.

    Attributes:
        record: what is in the file.
    """

    record: dict[str, Any]

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu") -> "Speeds":
        """The latest measurements in a folder that were made on a kind of device.

        Raises:
            InputError: there are none.
        """
        records = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
        mine = [record for record in records if record["machine"]["device"] == device]
        if not mine:
            raise InputError(f"there are no measurements of {device} in {folder}: `make bench` makes them")
        return cls(max(mine, key=lambda record: record["machine"]["date"]))

    def __str__(self) -> str:
        machine, rates = self.record["machine"], self.record["rates"]
        copies = rates["copies"][max(rates["copies"], key=int)]
        return (
            f"{machine['processor']}, {machine['threads']} threads, torch {machine['versions']['torch']}, "
            f"{machine['date'][:10]}: {rates['product'] / 1e9:.0f} GFLOP/s in products of large matrices, "
            f"{copies / 1e9:.1f} GB/s in large copies. Others had {100 * self.record['others']:.0f} % of the processor."
        )

    def row(self, model: str, work: str = "forward") -> dict[str, Any] | None:
        """What was measured of a model with one clip of 16 frames, if it was."""
        rows = (row for row in self.record["rows"] if row["group"] == ONE_CLIP)
        return next((row for row in rows if (row["model"], row["work"]) == (model, work)), None)

    def ratio(self, model: str, other: str, work: str = "forward") -> float | None:
        """The time of a model in parts of another's, if both were measured: the median over the turns."""
        rows = self.row(model, work), self.row(other, work)
        if not (rows[0] and rows[1]):
            return None
        return float(np.median(np.divide(rows[0]["seconds"], rows[1]["seconds"])))

    def finding(self) -> str:
        """What stands out, a line for each."""
        said = []
        for model, other, words in COMPARED:
            ratio = self.ratio(model, other)
            if ratio is not None:
                said.append(f"{model} takes {ratio:.2f} of the time of {words}")
        shares = {name: row["share"] for name in PAPERS if (row := self.row(name))}
        said.append(
            f"{', '.join(shares)} reach {100 * min(shares.values()):.0f} to {100 * max(shares.values()):.0f} % of the "
            "rate of large matrix products"
        )
        others = {row["model"]: row["share"] for row in self.forward_rows() if row["model"] not in shares}
        if others:
            last = min(others, key=others.__getitem__)
            said.append(f"the farthest from it is {last} with {100 * others[last]:.0f} %")
        return "\n".join(said)

    def models(self, quartiles: bool = False) -> pd.DataFrame:
        """A row a model, with one clip of 16 frames: the quickest first.

        Milliseconds are medians; shares are in percent of the rate of matrix products, by counted operations; memory is
        that of a forward and a backward pass, as counted.

        Args:
            quartiles: tell those of the times, too.
        """
        rows: dict[str, dict[str, Any]] = {}
        for row in self.record["rows"]:
            if row["group"] == ONE_CLIP:
                one, work = rows.setdefault(row["model"], {}), row["work"]
                one |= {"M parameters": row["parameters"] / 1e6, "training, MiB": row["peak"] / MIB}
                if work == "forward":
                    one["GMAC"] = row["operations"] / 2e9
                one |= {f"{work}, ms": 1000 * row["median"], f"{work}, share": 100 * row["share"]}
                one[f"{work}, quartiles"] = f"{1000 * row['low']:.0f} to {1000 * row['high']:.0f}"
        told = ("ms", "quartiles", "share") if quartiles else ("ms", "share")
        columns = [f"{work}, {what}" for work in ("forward", "training") for what in told]
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
        return table.reindex(columns=["M parameters", "GMAC", *columns, "training, MiB"]).sort_values("forward, ms")

    def forward_rows(self) -> list[dict[str, Any]]:
        """Those of forward passes of one clip of 16 frames."""
        return [row for row in self.record["rows"] if row["group"] == ONE_CLIP and row["work"] == "forward"]

    def forwards(self) -> tuple[dict[str, tuple[float, float, float, float]], set[str]]:
        """What `plots.speeds` draws: milliseconds of every forward pass, the quickest first, and the library's own."""
        rows = self.forward_rows()
        times: dict[str, tuple[float, float, float, float]] = {}
        for row in sorted(rows, key=lambda row: row["median"]):
            median, low, high = (1000 * row[key] for key in ("median", "low", "high"))
            times[row["model"]] = median, low, high, row["share"] * median
        return times, {row["model"] for row in rows if row["whose"] == "dferlib"}

    def other_sizes(self) -> pd.DataFrame:
        """A row for each other number of frames, and for large batches: milliseconds of a clip, shares, memory."""
        rows = [
            {
                **{key: row[key] for key in ("model", "work", "frames", "batch")},
                **{"ms a clip": 1000 * row["median"] / row["batch"], "share": 100 * row["share"]},
                "MiB": row["peak"] / MIB,
            }
            for row in self.record["rows"]
            if row["group"] != ONE_CLIP
        ]
        columns = ["model", "work", "frames", "batch", "ms a clip", "share", "MiB"]
        return pd.DataFrame(rows, columns=columns).set_index("model")

    def growth(self) -> pd.DataFrame:
        """Of each attention the power of frames and of places that its time grows with, and by its closed form."""
        found = self.record["attention"]["exponents"]
        columns = {
            f"{what}, {how}": {kind: one[how] for kind, one in kinds.items()}
            for what, kinds in found.items()
            for how in ("measured", "formula")
        }
        return pd.DataFrame(columns).rename_axis("attention")

    def saving(self) -> pd.DataFrame:
        """By which factors local and global attention together are cheaper than joint attention."""
        names = {
            **{"frames": "frames", "places": "places", "time": "time", "formula": "time by the formula"},
            **{"memory": "memory, fused", "memory_plain": "memory, scores kept", "pairs": "scores by the formula"},
        }
        table = pd.DataFrame(self.record["attention"]["saving"])[list(names)].rename(columns=names)
        return table.set_index(["frames", "places"])

    def parts(self) -> pd.DataFrame:
        """Where the time of each model's forward pass goes, and how near each kind of operation is to the best.

        Convolutions, products and attention are compared with the rate of matrix products, by counted operations; all
        others with copies that move as many bytes.
        """
        rows = []
        for model, kinds in self.record["parts"].items():
            total = sum(one["seconds"] for one in kinds.values())
            for kind, one in kinds.items():
                counted = one["share_of_products"] is not None
                share = one["share_of_products" if counted else "share_of_copies"]
                if one["seconds"] > LEAST_PART * total:
                    against = "products" if counted else "copies"
                    rows.append((model, kind, 100 * one["seconds"] / total, 100 * share, against))
        table = pd.DataFrame(rows, columns=["model", "operations", "% of the time", "% of the best", "against"])
        return table.set_index(["model", "operations"])
