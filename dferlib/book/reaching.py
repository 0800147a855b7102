"""A figure that answers: which frames and places of its clip a number inside a network can know."""

import math
from collections.abc import Sequence

import numpy as np

from dferlib.book.controls import choice, said, slider, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.errors import InputError, choose

FAMILIES = {
    "image": "frame by frame",
    "memory": "LSTM over averaged frames",
    "volume": "3-D convolution",
    "attention": "attention over space, then time",
}
STRIDES = {"none": "none", "first": "2 in the first layer", "all": "2 in every layer"}
MOST_FRAMES, MOST_PLACES, MOST_LAYERS = 32, 20, 10


def strides_of(stride: str, layers: int) -> list[int]:
    """The stride in time of each of some layers, the first one first."""
    return [2 if stride == "all" or (stride == "first" and layer == 0) else 1 for layer in range(layers)]


def over_time(F: int, frame: int, strides: Sequence[int]) -> tuple[int, int, int]:
    """How far back a number looks through layers whose windows have three frames, with padding.

    Args:
        F: frames of the clip.
        frame: near which the number stands.
        strides: of the layers in time, the first one first.

    Returns:
        The first and the last frame that it knows, and the one that it stands at.
    """
    lengths = [F]
    for stride in strides:
        lengths.append((lengths[-1] - 1) // stride + 1)
        frame //= stride
    low = high = frame
    for stride, length in zip(reversed(strides), lengths[-2::-1], strict=True):
        low, high = max(0, low * stride - 1), min(length - 1, high * stride + 1)
    return low, high, frame * math.prod(strides)


def known(family: str, F: int, S: int, query: tuple[int, int], layers: int, stride: str = "none") -> np.ndarray:
    """Which inputs (F, S) a number at a frame and a place can know; a frame has one side here.

    Args:
        family: a key of `FAMILIES`.
        F: frames.
        S: places of a frame.
        query: frame and place of the number.
        layers: of convolution, with windows of three.
        stride: in time, a key of `STRIDES`; it only counts for 3-D convolution.
    """
    frame, place = query
    cells = np.zeros((F, S), bool)
    near = slice(max(0, place - layers), place + layers + 1)
    if family == "image":
        cells[frame, near] = True
    elif family == "memory":
        cells[: frame + 1] = True
    elif family == "volume":
        low, high, _ = over_time(F, frame, strides_of(stride, layers))
        cells[low : high + 1, near] = True
    else:
        cells[:] = True
    return cells


def reach_explorer(
    F: int = 16, S: int = 15, *, family: str = "volume", layers: int = 3, query: tuple[int, int] = (8, 7)
) -> Interactive:
    """A clip as a grid of frames by places: choose a number and a family of networks, and see what it can know.

    Args:
        F: frames.
        S: places of a frame, which has one side here.
        family: the one at the beginning, a key of `FAMILIES`.
        layers: of convolution at the beginning.
        query: frame and place of the number at the beginning.

    Raises:
        InputError: there is no such family or number, or the clip is larger than the figure shows.
    """
    choose("family", family, FAMILIES)
    if not (1 <= F <= MOST_FRAMES and 1 <= S <= MOST_PLACES and 1 <= layers <= MOST_LAYERS):
        raise InputError(f"the figure shows up to {MOST_FRAMES} frames, {MOST_PLACES} places, {MOST_LAYERS} layers")
    if not (0 <= query[0] < F and 0 <= query[1] < S):
        raise InputError(f"there is no number at {query}: the clip has {F} frames of {S} places")
    fields = (
        f"<div>{choice('family', 'Network', FAMILIES.items(), family)}"
        f"{slider('layers', 'Layers', layers, (1, MOST_LAYERS), 1)}</div>"
        f"<div>{choice('stride', 'Stride', STRIDES.items())}</div>"
    )
    body = (
        '<div class="fim-live fim-grid-of-clip" tabindex="0" role="group" aria-label="The clip, frames to the right '
        'and places downwards: arrow keys move the number"></div><p class="fim-live fim-note">Frames to the right, '
        "places of a frame downwards. Orange: the number. Blue: what it can know.</p>"
        f'{said()}<div class="fim-live fim-sides">{fields}</div>{_still(F, S, layers, query)}'
    )
    alt = (
        f"A grid of {F} frames by {S} places with one number in orange and, in blue, the inputs that it can know, for "
        f"{len(FAMILIES)} families of networks, some layers and strides."
    )
    return explorer(body, {"F": F, "S": S, "query": query, "families": FAMILIES}, "reaching", alt=alt)


def _still(F: int, S: int, layers: int, query: tuple[int, int]) -> str:
    """What a number knows in each family, where scripts are off."""
    rows = []
    for family, name in FAMILIES.items():
        for stride, words in STRIDES.items() if family == "volume" else (("none", ""),):
            cells = known(family, F, S, query, layers, stride)
            frames = np.flatnonzero(cells.any(1)) + 1
            label = f"{name}, stride {words}" if words else name
            rows.append((label, f"{frames[0]} to {frames[-1]}", f"{int(cells.sum())} of {cells.size}"))
    title = f"What a number at frame {query[0] + 1}, place {query[1] + 1} knows, behind {layers} layers"
    return table(title, ("network", "frames", "inputs"), rows)
