"""How the time of each attention grows with frames and places, beside what its closed form says."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dferlib.evidence.complexity import pass_cost
from dferlib.evidence.speed import Work, stopwatch, take_turns
from dferlib.models.attention import (
    Attention,
    DividedAttention,
    GlobalAttention,
    JointAttention,
    LocalAttention,
    MixingAttention,
    SpatialAttention,
    TemporalAttention,
)

DIM, HEADS, WINDOW = 512, 8, (4, 2, 2)  # of LOGO-Former at paper scale
KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "joint": (JointAttention,),
    "spatial": (SpatialAttention,),
    "temporal": (TemporalAttention,),
    "divided": (DividedAttention,),
    "mixing": (MixingAttention,),
    "local + global": (LocalAttention, GlobalAttention),
}
SWEEPS = {  # frames and places of the clips
    "frames": [(F, 16) for F in (8, 16, 32, 64)],
    "places": [(8, S) for S in (16, 64, 256)],
}
LARGE = (64, 64)  # where LOGO-Former's attention is compared with joint attention too, besides (64, 16)


def layers(kind: str) -> nn.Sequential:
    """The layers of a kind, one after the other."""
    return nn.Sequential(*(layer(DIM, HEADS, WINDOW) for layer in KINDS[kind]))


def formula(kind: str, F: int, S: int) -> int:
    """Multiply-accumulates of a kind for one clip, in closed form."""
    return sum(layer.cost(F, S, DIM) for layer in layers(kind))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The power of the size that fits the values best, on logarithmic axes."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def grow(device: torch.device, seconds: float) -> dict[str, Any]:
    """Time all attentions on clips of all sizes in turns.

    Returns:
        `points`: for each kind and size the seconds, median, quartiles and what the formula says; `exponents`: by
        what grows and kind, measured and by the formula; `saving`: see `saving`.
    """
    points = list(dict.fromkeys((kind, *at) for kind in KINDS for sweep in SWEEPS.values() for at in sweep))
    points += [(kind, *LARGE) for kind in ("joint", "local + global")]
    works = {f"{kind} {F} {S}": _forward(kind, F, S, device) for kind, F, S in points}
    found = take_turns(works, seconds, stopwatch(device), progress=True)
    rows = []
    for kind, F, S in points:
        timing = found[f"{kind} {F} {S}"]
        low, high = timing.middle
        rows.append({"attention": kind, "frames": F, "places": S, "macs": formula(kind, F, S)})
        rows[-1] |= {"median": timing.median, "low": low, "high": high, "repeats": len(timing.seconds)}
    return {"points": rows, "exponents": _exponents(rows), "saving": [saving(rows, F, S) for F, S in ((64, 16), LARGE)]}


def _forward(kind: str, F: int, S: int, device: torch.device) -> Work:
    net, clip = layers(kind).to(device).eval(), torch.randn(1, F, S, DIM, device=device)

    def work() -> Tensor:
        with torch.inference_mode():
            return net(clip)

    return work


def _exponents(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    by_place = {(row["attention"], row["frames"], row["places"]): row for row in rows}
    out: dict[str, dict[str, dict[str, float]]] = {}
    for which, (sweep, at) in enumerate(SWEEPS.items()):
        sizes = [place[which] for place in at]
        out[sweep] = {}
        for kind in KINDS:
            these = [by_place[kind, *place] for place in at]
            out[sweep][kind] = {
                "measured": exponent(sizes, [row["median"] for row in these]),
                "formula": exponent(sizes, [row["macs"] for row in these]),
            }
    return out


def saving(rows: list[dict[str, Any]], F: int, S: int) -> dict[str, float]:
    """By which factors LOGO-Former's attention is cheaper than joint attention over the same tokens.

    `time` as measured, and `formula`. `memory`: of a forward and a backward pass beyond the weights, with fused
    kernels, and `memory_plain` where each pair of query and key keeps its number; `pairs`: how many of these there are.
    """
    kinds = ("joint", "local + global")
    at = {row["attention"]: row for row in rows if (row["frames"], row["places"]) == (F, S)}
    joint, pair = (at[kind] for kind in kinds)
    keys = [sum(layer.seen(F, S) for layer in layers(kind)) for kind in kinds]
    fused, plain = ([_memory(kind, F, S, keep) for kind in kinds] for keep in (False, True))
    return {
        **{"frames": F, "places": S},
        **{"time": joint["median"] / pair["median"], "formula": joint["macs"] / pair["macs"]},
        **{"memory": fused[0] / fused[1], "memory_plain": plain[0] / plain[1], "pairs": keys[0] / keys[1]},
    }


def _memory(kind: str, F: int, S: int, keep_weights: bool) -> int:
    net = layers(kind)
    for layer in net:
        assert isinstance(layer, Attention)
        layer.keep_weights = keep_weights
    weights = sum(p.nbytes for p in net.parameters())
    return pass_cost(net, (1, F, S, DIM)).peak - weights - math.prod((F, S, DIM, 4))
