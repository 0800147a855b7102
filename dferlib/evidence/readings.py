"""What a printed cost may mean: every way to build a model that its paper allows, times every way to count.

Papers leave sizes open, and tools count differently. So a printed figure is set beside all readings at once, in closed
form. A near reading proves little: there are thousands, and some come near any figure. What counts is whether one way
of counting explains several figures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from dferlib.models.attention import Window, windows_of

# whether what attention does is counted: projections and products, projections, or neither (tools that look at layers
# only overlook products, and torch's own multi-head layer altogether)
ATTENTION = {"all": (1, 1), "no products": (1, 0), "nothing": (0, 0)}
NORMS = (0, 2)  # operations for each value that is normalised
UNITS = (1, 2)  # 2 counts a multiply-accumulate as two operations
CLASS_TOKENS = ("none", "one", "each place")


@dataclass(frozen=True)
class Work:
    """Parts of the cost of a clip, apart because tools differ in what they count.

    Attributes:
        layers: multiply-accumulates of convolutions and linear layers.
        projections: those of the linear layers inside attention.
        products: those of queries with keys, and of weights with values.
        normed: values that pass batch or layer normalisation.
        parameters: of convolutions and their batch norms.
    """

    layers: int = 0
    projections: int = 0
    products: int = 0
    normed: int = 0
    parameters: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def __mul__(self, times: int) -> "Work":
        return Work(*(times * part for part in vars(self).values()))

    def gmac(self, attention: str = "all", norms: int = 0, unit: int = 1) -> float:
        """The count in units of 1e9, see `ATTENTION`, `NORMS` and `UNITS`."""
        projections, products = ATTENTION[attention]
        counted = self.layers + projections * self.projections + products * self.products + norms * self.normed
        return unit * counted / 1e9


@dataclass(frozen=True)
class Reading:
    """One way to read a paper and to count.

    Attributes:
        choices: what was chosen, by name.
        gmac: the figure that it gives.
        work: what it was counted from.
    """

    choices: dict[str, Any]
    gmac: float
    work: Work


def nearest(readings: list[Reading], printed: float, count: int = 10) -> list[Reading]:
    """The readings that come nearest to a printed figure, the nearest first."""
    return sorted(readings, key=lambda reading: abs(reading.gmac - printed))[:count]


def _counted(choices: dict[str, Any], work: Work) -> Iterator[Reading]:
    """Every way to count a model; those that differ in nothing here are left out."""
    for attention, norms, unit in product(ATTENTION if work.projections else ("all",), NORMS, UNITS):
        found = work.gmac(attention, norms, unit)
        yield Reading({**choices, "attention": attention, "norms": norms, "unit": unit}, found, work)


# ---- the parts


def resnet18(size: int, stages: int = 4) -> tuple[Work, int]:
    """ResNet18 on a frame of `size` px up to one of its stages, and how wide the map is then."""
    side = -(-size // 2)
    work = _convolution(3, 64, 49, side**2)
    side, inputs = -(-side // 2), 64
    for stage in range(stages):
        outputs = 64 * 2**stage
        if stage:
            side = -(-side // 2)
            work += _convolution(inputs, outputs, 1, side**2)
        work += _convolution(inputs, outputs, 9, side**2) + _convolution(outputs, outputs, 9, side**2) * 3
        inputs = outputs
    return work, side


def _convolution(inputs: int, outputs: int, cells: int, places: int) -> Work:
    """A convolution without bias over `cells` cells at `places` places, and a batch norm."""
    weights = inputs * outputs * cells
    return Work(layers=weights * places, normed=outputs * places, parameters=weights + 2 * outputs)


def _attention(queries: int, seen: int, dim: int, keys: int | None = None) -> Work:
    """Attention of some tokens, each of which sees `seen` of `keys` tokens (default: as many), behind a layer norm."""
    own = queries if keys is None else keys
    return Work(
        projections=2 * (queries + own) * dim**2,
        products=2 * queries * seen * dim,
        normed=(queries if keys is None else queries + keys) * dim,
    )


def _mlp(tokens: int, dim: int, hidden: int) -> Work:
    return Work(layers=2 * tokens * dim * hidden, normed=tokens * dim)


# ---- the models


def transformer_readings(kind: str) -> list[Reading]:
    """Readings of LOGO-Former's Table 2.

    Args:
        kind: "LOGO-Former", or "Baseline", which is STT: its blocks attend over space and time, with one MLP (its Eq. 3
            to 12) or one each, or over both at once.
    """
    found: list[Reading] = []
    styles: tuple[Any, ...] = ("divided", "divided, two MLPs", "joint")
    for size, frames, stage, dim, ratio in product(
        (112, 128, 224), (8, 16), (3, 4), (256, 512, 768, 1024), (1, 2, 3, 4)
    ):
        backbone, side = resnet18(size, stage)
        places = side**2
        first = backbone * frames + Work(layers=frames * places * 64 * 2 ** (stage - 1) * dim)
        if kind == "LOGO-Former":
            styles = tuple((f, h, h) for f in (2, 4, 8) for h in range(2, side) if side % h == 0) or ((4, side, side),)
        for style, token in product(styles, CLASS_TOKENS):
            block = (_logo_block if kind == "LOGO-Former" else _stt_block)(frames, places, dim, ratio, style, token)
            choices = {"size": size, "frames": frames, "stage": stage, "dim": dim, "MLP ratio": ratio}
            named = {**choices, "class token": token, "window" if kind == "LOGO-Former" else "blocks": style}
            found += _counted(named, first + block * 4)  # N = 4
    return found


def _tokens(frames: int, places: int, token: str) -> int:
    return frames * places + {"none": 0, "one": 1, "each place": places}[token]


def _stt_block(frames: int, places: int, dim: int, ratio: int, style: str, token: str) -> Work:
    tokens = _tokens(frames, places, token)
    mlp = _mlp(tokens, dim, ratio * dim)
    if style == "joint":
        return _attention(tokens, tokens, dim) + mlp
    divided = _attention(tokens, places, dim) + _attention(tokens, frames + (token != "none"), dim)
    return divided + mlp * (2 if style == "divided, two MLPs" else 1)


def _logo_block(frames: int, places: int, dim: int, ratio: int, window: Window, token: str) -> Work:
    windows = prod(windows_of(window, frames, places))
    local, tokens = frames * places, _tokens(frames, places, token)
    near = _attention(local, local // windows, dim)
    return near + _attention(tokens, windows, dim, windows) + _mlp(tokens, dim, ratio * dim)


def former_dfer_readings() -> list[Reading]:
    """Readings of Former-DFER: where its S-Former stands, and how many blocks it and the T-Former have."""
    found: list[Reading] = []
    for size, frames, stage in product((112, 128, 224), (8, 16), (2, 3, 4)):
        backbone, _ = resnet18(size)
        _, side = resnet18(size, stage)
        dim, places = 64 * 2 ** (stage - 1), side**2
        for spatial, temporal, ratio in product((1, 2, 3, 4), (1, 2, 3, 4), (2, 4)):
            space = _attention(places, places, dim) + _mlp(places, dim, ratio * dim)
            time = _attention(frames + 1, frames + 1, 512) + _mlp(frames + 1, 512, ratio * 512)
            choices = {"size": size, "frames": frames, "S-Former after stage": stage}
            choices |= {"S-Former blocks": spatial, "T-Former blocks": temporal, "MLP ratio": ratio}
            found += _counted(choices, (backbone + space * spatial) * frames + time * temporal)
    return found


def r2plus1d_readings() -> list[Reading]:
    """Readings of R(2+1)D18: how many channels lie between the convolution over space and the one over time.

    The original's formula keeps the number of weights of the 3-D convolution that the two replace (Tran et al. 2018).
    torchvision applies it once a block, to the block's ends, and gives the stem 45.
    """
    found: list[Reading] = []
    choices = product(
        (112, 128, 224), (8, 16, 32), ("each layer", "each block"), (45, "formula"), ("1 x 1 x 1", "pair")
    )
    for size, frames, middle, stem, shortcut in choices:
        between = 45 if stem == 45 else _between(3, 64, 49)
        time, side = frames, -(-size // 2)
        work = _pair(3, 64, between, 49, (time * side**2, time * side**2))
        inputs = 64
        for stage in range(4):
            outputs = 64 * 2**stage
            ends, last = _between(inputs, outputs), _between(outputs, outputs)
            half = (-(-time // 2), -(-side // 2)) if stage else (time, side)
            early, late = time * half[1] ** 2, half[0] * half[1] ** 2  # places after the one over space, and over time
            work += _pair(inputs, outputs, ends, 9, (early, late))
            work += _pair(outputs, outputs, last if middle == "each layer" else ends, 9, (late, late))
            work += _pair(outputs, outputs, last, 9, (late, late)) * 2
            if stage and shortcut == "pair":
                narrow = inputs * outputs // (inputs + outputs)
                work += _convolution(inputs, narrow, 1, early) + _convolution(narrow, outputs, 1, late)
            elif stage:
                work += _convolution(inputs, outputs, 1, late)
            (time, side), inputs = half, outputs
        named = {"size": size, "frames": frames, "middle": middle, "stem": stem, "shortcut": shortcut}
        found += _counted(named, work)
    return found


def _between(inputs: int, outputs: int, cells: int = 9) -> int:
    """Channels between a convolution over space and one over three frames, M of Tran et al. 2018."""
    return 3 * cells * inputs * outputs // (cells * inputs + 3 * outputs)


def _pair(inputs: int, outputs: int, between: int, cells: int, places: tuple[int, int]) -> Work:
    return _convolution(inputs, between, cells, places[0]) + _convolution(between, outputs, 3, places[1])
