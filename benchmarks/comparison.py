"""Contestants in turns: what is measured of whom, what there is time and memory for, and the rows that come out."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.contestants import ENCODER, FRAMES, TIMESFORMER, Contestant
from dferlib.evidence.complexity import PassCost, pass_cost
from dferlib.evidence.speed import LEAST, Product, Timing, Work, stopwatch, take_turns

OTHER_FRAMES = (8, 32, 64)
LARGE_BATCH = 32
LARGE_FIRST = ("stt", TIMESFORMER, "former_dfer", ENCODER, "logo_former")
SLOWEST_SHARE = 0.4  # of the rate of products that is expected of whoever has not been measured yet
MEMORY_SHARE = 0.7  # of the free memory that may be taken


@dataclass(frozen=True)
class Entry:
    """Something that is timed.

    Attributes:
        contestant: whose model.
        work: "forward" in evaluation, or "training": forward and backward.
        frames: of a clip.
        batch: clips.
    """

    contestant: Contestant
    work: str
    frames: int = FRAMES
    batch: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the clips."""
        return self.batch, self.frames, 3, self.contestant.size, self.contestant.size

    def __str__(self) -> str:
        return f"{self.contestant.name}, {self.work}, {self.frames} frames, batch {self.batch}"


def groups(contestants: list[Contestant]) -> dict[str, tuple[float, list[Entry]]]:
    """What is measured, in groups that take turns: the share of the time of each, and its entries, by their weight."""
    grow = [one for one in contestants if one.grows]
    large = sorted(
        (one for one in contestants if one.grows or one.name in LARGE_FIRST),
        key=lambda one: LARGE_FIRST.index(one.name) if one.name in LARGE_FIRST else len(LARGE_FIRST),
    )
    works = ("forward", "training")
    return {
        "one clip": (0.42, [Entry(one, work) for work in works for one in contestants]),
        "frames": (0.29, [Entry(one, work, T) for work in works for T in OTHER_FRAMES for one in grow]),
        "batches": (0.18, [Entry(one, work, batch=LARGE_BATCH) for work in works for one in large]),
    }


@dataclass
class Comparison:
    """The measurements so far.

    Attributes:
        device: where.
        rows: a row an entry: what it is, its counts, its seconds.
        left_out: what was not measured, and why.
    """

    device: torch.device
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    costs: dict[tuple[Any, ...], PassCost] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.half = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.measure = stopwatch(self.device)
        self.product = Product(self.device, self.half)
        self.products = take_turns({"": self.product}, 0.5, self.measure)[""].seconds

    @property
    def rate(self) -> float:
        """Floating-point operations a second in matrix products, of all that were timed."""
        return self.product.operations / Timing(self.products).median

    def count(self, entries: Iterable[Entry]) -> None:
        """Count operations and memory of what has not been counted yet."""
        for entry in tqdm(list(entries), "counting", unit="entry", leave=False):
            key = entry.contestant.name, entry.shape
            if key not in self.costs:
                net = entry.contestant.make(entry.frames)
                self.costs[key] = pass_cost(net, entry.shape)
                self.weights.setdefault(entry.contestant.name, sum(p.numel() for p in net.parameters()))

    def run(self, name: str, entries: list[Entry], seconds: float) -> None:
        """Time a group of entries in turns, as many of them as there is time for."""
        begin = perf_counter()
        self.count(entries)
        seconds -= perf_counter() - begin
        kept = self.fitting(entries, seconds)
        nets: dict[tuple[str, int], tuple[nn.Module, nn.Module]] = {}
        works: dict[str, Work] = {"product": self.product}
        for entry in kept:
            key = entry.contestant.name, entry.frames
            if key not in nets:
                nets[key] = pair_of(entry.contestant, entry.frames, self.device)
            works[str(entry)] = self.work(entry, nets[key])
        found = take_turns(works, seconds, self.measure, progress=True)
        self.products += found["product"].seconds
        for entry in kept:
            self.rows.append(self.row(name, entry, found[str(entry)], found["product"]))

    def fitting(self, entries: list[Entry], seconds: float) -> list[Entry]:
        """Those entries, in their order, that all repeats can be made of in so many seconds, and that memory holds."""
        kept, left = [], seconds - (LEAST + 1) * self.product.operations / self.rate
        free = psutil.virtual_memory().available
        if self.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.device)[0]
        for entry in entries:
            peak, needed = self.cost(entry).peak, (LEAST + 1) * self.expected(entry)
            if peak > MEMORY_SHARE * free:
                why = f"it needs {peak / 2**30:.0f} GiB"
            elif needed > left:
                why = f"no time: {needed:.0f} s for its {LEAST} rounds"
            else:
                kept.append(entry)
                left -= needed
                continue
            self.left_out.append({"what": str(entry), "why": why})
        return kept

    def cost(self, entry: Entry) -> PassCost:
        """What was counted."""
        return self.costs[entry.contestant.name, entry.shape]

    def operations(self, entry: Entry) -> int:
        """Floating-point operations that were counted."""
        return self.cost(entry).forward if entry.work == "forward" else self.cost(entry).both

    def expected(self, entry: Entry) -> float:
        """Seconds that an entry will take, by its operations and what the same model took before."""
        operations = self.operations(entry)
        for row in self.rows:
            if (row["model"], row["work"]) == (entry.contestant.name, entry.work):
                return operations * Timing(tuple(row["seconds"])).median / row["operations"]
        return operations / self.rate / SLOWEST_SHARE

    def work(self, entry: Entry, nets: tuple[nn.Module, nn.Module]) -> Work:
        """A pass over clips of noise."""
        clips, (asked, taught) = clips_for(entry).to(self.device), nets
        labels = torch.zeros(entry.batch, dtype=torch.int64, device=self.device)
        half = torch.autocast(self.device.type, self.half, enabled=self.half is not torch.float32)

        def forward() -> None:
            with torch.inference_mode(), half:
                asked(clips)

        def training() -> None:
            with half:
                loss = nn.functional.cross_entropy(taught(clips), labels)
            loss.backward()
            taught.zero_grad(set_to_none=True)

        return forward if entry.work == "forward" else training

    def row(self, group: str, entry: Entry, timing: Timing, product: Timing) -> dict[str, Any]:
        """What is kept of an entry."""
        operations, (low, high) = self.operations(entry), timing.middle
        rate = self.product.operations / product.median
        return {
            **{"group": group, "model": entry.contestant.name, "whose": entry.contestant.whose, "work": entry.work},
            **{"frames": entry.frames, "size": entry.contestant.size, "batch": entry.batch},
            **{"parameters": self.weights[entry.contestant.name], "operations": operations},
            "peak": self.cost(entry).peak,
            **{"median": timing.median, "low": low, "high": high, "repeats": len(timing.seconds)},
            "share": operations / timing.median / rate,
            "seconds": list(timing.seconds),
        }


def pair_of(contestant: Contestant, frames: int, device: torch.device) -> tuple[nn.Module, nn.Module]:
    """A model that is asked, and one with the same weights that is taught."""
    torch.manual_seed(0)
    asked = contestant.make(frames).to(device).eval()
    weights = [*asked.parameters(), *asked.buffers()]
    return asked, deepcopy(asked, {id(one): one for one in weights}).train()


def clips_for(entry: Entry) -> Tensor:
    """Clips of noise, lying in memory as each library wants them."""
    batch, frames, channels, size, _ = entry.shape
    if entry.contestant.whose == "dferlib":  # as `prepare` gives them
        return torch.randn(batch, frames, size, size, channels).permute(0, 1, 4, 2, 3)
    if entry.contestant.whose == "torchvision":
        return torch.randn(batch, channels, frames, size, size).transpose(1, 2)
    return torch.randn(*entry.shape)
