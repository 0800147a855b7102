"""Small pictures inside a drawing: a clip of faces, who looks at whom, regions of a face, a chain over time."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from dferlib.book.drawings.canvas import Bounds, Canvas, Path, pen
from dferlib.book.drawings.elements import Painter
from dferlib.models.attention import GlobalAttention, LocalAttention, Window

MOST = 26.0  # pixels of a face


def _square(x: float, y: float, wide: float, high: float) -> str:
    return pen("M", x, y, "h", wide, "v", high, "h", -wide, "z")


def faces(frames: int, chosen: int | None = None) -> Painter:
    """The frames of a clip, in which a face smiles and stops smiling; one of them may be marked."""

    def paint(canvas: Canvas, x: float, y: float, width: float) -> float:
        step = min(MOST + 4, (width + 4) / frames)
        side = step - 4 if step > 14 else step - 2
        squares, heads, lines = [], [], []
        for k in range(frames):
            left, middle = x + k * step, side / 2
            squares.append(_square(left, y, side, side))
            smile = math.exp(-(((k + 0.5) / frames - 0.6) ** 2) / 0.06)
            heads.append(_head(left + middle, y + middle, 0.36 * side))
            lines.append(_features(left + middle, y + middle, 0.36 * side, smile))
        bounds = Bounds(x, y, x + (frames - 1) * step + side, y + side)
        canvas.put(Path(bounds, "".join(squares), "cell"))
        canvas.put(Path(bounds, "".join(heads), "skin"))
        canvas.put(Path(bounds, "".join(lines), "feature"))
        if chosen is not None:
            left = x + chosen * step
            mark = Bounds(left - 1.5, y - 1.5, left + side + 1.5, y + side + 1.5)
            canvas.put(Path(mark, _square(left - 1.5, y - 1.5, side + 3, side + 3), "query open"))
        return y + side

    return paint


def _head(x: float, y: float, radius: float) -> str:
    wide, tall = 0.88 * radius, 1.12 * radius
    half = ("a", wide, tall, 0, 1, 0)
    return pen("M", x - wide, y, *half, 2 * wide, 0.0, *half, -2 * wide, 0.0)


def _features(x: float, y: float, radius: float, smile: float) -> str:
    eyes = "".join(pen("M", x + side * 0.38 * radius, y - 0.3 * radius, "v", 0.16 * radius) for side in (-1, 1))
    half, bend = (0.34 + 0.16 * smile) * radius, 0.62 * smile * radius
    return eyes + pen("M", x - half, y + 0.42 * radius, "q", half, bend, 2 * half, 0.0)


def seen_by(attention: nn.Module, frames: int, places: int, query: tuple[int, int]) -> np.ndarray:
    """Which tokens (F, S) can change what an attention gives for a query: where the gradient is not zero.

    Args:
        attention: takes tokens (B, F, S, D).
        frames: F.
        places: S.
        query: its frame and its place.
    """
    asks: Any = attention
    weight, generator = asks.qkv.weight, torch.Generator().manual_seed(0)
    tokens = torch.randn(1, frames, places, asks.qkv.in_features, generator=generator)
    tokens = tokens.to(weight.device, weight.dtype).requires_grad_()
    with torch.enable_grad():
        asked = attention(tokens)[0, query[0], query[1]].square().sum()
        (gradient,) = torch.autograd.grad(asked, tokens)
    return (gradient[0].abs().sum(-1) > 0).cpu().numpy()


def reach(attention: nn.Module, frames: int, places: int, look: str, first: str = "") -> Painter:
    """Who looks at whom: the query and the tokens that it sees, in frames of places.

    Args:
        attention: of the model; it is asked.
        frames: F, with the class token's if there is one.
        places: S, a square map.
        look: the colour.
        first: a word under the first frame.
    """
    side = math.isqrt(places)
    query = (math.floor(0.6 * frames), side * (side // 3) + side // 2)
    if side == 1:  # a sequence, which is all that such an attention is given
        seen = seen_by(attention, 1, frames, (0, query[0])).reshape(frames, 1, 1)
    else:
        seen = seen_by(attention, frames, places, query).reshape(frames, side, side)
    pooled = attention.window if isinstance(attention, GlobalAttention) else None
    window = attention.window if isinstance(attention, LocalAttention) else None

    def paint(canvas: Canvas, x: float, y: float, width: float) -> float:
        cell, gap = _cells(frames, side, width)
        y += 5 * (window is not None)  # the bars over the frames of a window
        step = side * cell + gap
        ends = Bounds(x, y, x + frames * step - gap, y + side * cell)
        canvas.put(
            Path(ends, "".join(_square(x + f * step, y, side * cell, side * cell) for f in range(frames)), "cell")
        )
        inset = 0.08 * cell
        spots = [(f, row, column) for f, row, column in np.argwhere(seen).tolist() if not pooled]
        cells = [
            _square(x + f * step + column * cell + inset, y + row * cell + inset, cell - 2 * inset, cell - 2 * inset)
            for f, row, column in spots
        ]
        if pooled:
            cells = list(_pooled((x, y), (cell, step), (frames, side), pooled))
        canvas.put(Path(ends, "".join(cells), f"seen {look}"))
        if window:
            canvas.put(Path(ends, _borders((x, y), (cell, step), (frames, side), window), "border"))
        row, column = divmod(query[1], side)
        spot = _square(x + query[0] * step + column * cell, y + row * cell, cell, cell)
        canvas.put(Path(ends, spot, "query"))
        under = y + side * cell + 12
        if first:
            canvas.words(x, under, first, "axis")
            return under + 3
        return y + side * cell

    return paint


def _cells(frames: int, side: int, width: float) -> tuple[float, float]:
    """The side of a cell, and the gap between two frames."""
    gap = 6.0 if frames <= 9 else 4.0
    return min(7.0 if side > 1 else 16.0, (width - gap * (frames - 1)) / (frames * side)), gap


def _pooled(
    at: tuple[float, float], sizes: tuple[float, float], clip: tuple[int, int], window: Window
) -> Iterator[str]:
    """A cell as large as a window, in each frame."""
    (x, y), (cell, step), (frames, side), (_, h, w) = at, sizes, clip, window
    for frame in range(frames):
        for row in range(0, side, h):
            for column in range(0, side, w):
                yield _square(x + frame * step + column * cell + 1, y + row * cell + 1, w * cell - 2, h * cell - 2)


def _borders(at: tuple[float, float], sizes: tuple[float, float], clip: tuple[int, int], window: Window) -> str:
    """The borders of the windows in each frame, and a bar over the frames that share theirs."""
    (x, y), (cell, step), (frames, side), (f, h, w) = at, sizes, clip, window
    lines: list[str] = []
    for frame in range(frames):
        left = x + frame * step
        lines += [pen("M", left + k * cell, y, "v", side * cell) for k in range(w, side, w)]
        lines += [pen("M", left, y + k * cell, "h", side * cell) for k in range(h, side, h)]
    bars = [pen("M", x + first * step, y - 3, "h", (f - 1) * step + side * cell) for first in range(0, frames, f)]
    return "".join(lines + bars)


def chain(frames: int) -> Painter:
    """A cell for each frame and arrows from one to the next: what a recurrent layer does."""

    def paint(canvas: Canvas, x: float, y: float, width: float) -> float:
        step = min(30.0, width / (frames - 0.4))
        side = 0.6 * step
        bounds = Bounds(x, y, x + (frames - 1) * step + side, y + side)
        cells = [_square(x + k * step, y, side, side) for k in range(frames)]
        arrows = [
            pen("M", x + k * step + side, y + side / 2, "h", step - side, "m", -3, -2.5, "l", 3, 2.5, "l", -3, 2.5)
            for k in range(frames - 1)
        ]
        canvas.put(Path(bounds, "".join(cells[:-1]), "cell"))
        canvas.put(Path(bounds, cells[-1], "seen time"))
        canvas.put(Path(bounds, "".join(arrows), "feature"))
        return y + side

    return paint


def regions(boxes: Sequence[tuple[int, ...]], size: int, names: Sequence[str]) -> Painter:
    """A face with boxes on it, each with its name.

    Args:
        boxes: top, bottom, left and right of each, in pixels.
        size: the side of the frame in pixels.
        names: of the boxes.
    """

    def paint(canvas: Canvas, x: float, y: float, width: float) -> float:
        side = min(110.0, width - 70)
        unit = side / size
        frame = Bounds(x, y, x + side, y + side)
        canvas.put(Path(frame, _square(x, y, side, side), "cell"))
        canvas.put(Path(frame, _head(x + side / 2, y + 0.49 * side, 0.44 * side), "skin"))
        canvas.put(Path(frame, _face(x, y, side), "feature"))
        for (top, bottom, left, right), name in zip(boxes, names, strict=True):
            here = _square(x + left * unit, y + top * unit, (right - left) * unit, (bottom - top) * unit)
            canvas.put(Path(frame, here, "query open"))
            middle = y + (top + bottom) / 2 * unit
            canvas.put(Path(frame, pen("M", x + right * unit, middle, "H", x + side + 8), "feature"))
            canvas.words(x + side + 12, middle + 3.5, name, "mark")
        return y + side

    return paint


def _face(x: float, y: float, side: float) -> str:
    """Brows, eyes, nose and mouth where an aligned face has them."""

    def curve(left: float, top: float, half: float, bend: float) -> str:
        across = (half * side, bend * side, 2 * half * side, 0.0)
        return pen("M", x + left * side, y + top * side, "q", *across)

    lines = [curve(middle - 0.09, 0.17, 0.09, -0.05) for middle in (0.31, 0.69)]
    lines += [curve(middle - 0.07, 0.3, 0.07, -0.06) for middle in (0.31, 0.69)]
    nose = pen("M", x + 0.5 * side, y + 0.34 * side, "v", 0.2 * side, "q", 0.0, 0.05 * side, 0.07 * side, 0.03 * side)
    return "".join([*lines, nose, curve(0.34, 0.72, 0.16, 0.14)])


def _grid(x: float, y: float, side: float, cells: int) -> str:
    """The lines inside a square that cut it into cells."""
    steps = [j * side / cells for j in range(1, cells)]
    return "".join(pen("M", x + at, y, "v", side, "M", x, y + at, "h", side) for at in steps)


def patches(maps: Sequence[tuple[object, int]], grid: int) -> Painter:
    """The maps of several stages, each cut into as many patches; one of them is marked on all.

    Args:
        maps: the side of each map, and the number of its stage.
        grid: patches along a side.
    """

    def paint(canvas: Canvas, x: float, y: float, width: float) -> float:
        side, step = 72.0, min(100.0, (width - 72) / max(len(maps) - 1, 1))
        for k, (size, stage) in enumerate(maps):
            assert isinstance(size, int)
            left, patch = x + k * step, side / grid
            bounds = Bounds(left, y, left + side, y + side)
            canvas.put(Path(bounds, _square(left, y, side, side), "cell"))
            row = column = grid // 2
            canvas.put(Path(bounds, _square(left + column * patch, y + row * patch, patch, patch), "seen time"))
            fine, coarse = _grid(left, y, side, size), _grid(left, y, side, grid)
            canvas.put(Path(bounds, fine, "fine"))
            canvas.put(Path(bounds, coarse, "feature"))
            canvas.words(left + side / 2, y + side + 13, f"stage {stage}", "mark", "middle")
            canvas.words(left + side / 2, y + side + 26, f"{size} × {size}", "mark", "middle")
        return y + side + 29

    return paint
