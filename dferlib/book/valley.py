"""A figure that answers: what local and global attention cost together, against the size of their windows."""

import itertools

from dferlib.book.controls import button, choice, said, slider, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.errors import InputError

MOST_FRAMES, MOST_SIDE = 64, 28
CLIPS = (
    (16, 4),
    (16, 7),
    (16, 14),
    (64, 4),
)  # to begin with: the paper's map, ResNet18's of 224 px, others


def divisors(number: int) -> list[int]:
    """What divides a number, from 1 to itself."""
    return [k for k in range(1, number + 1) if number % k == 0]


def window_sizes(F: int, side: int, square: bool = False) -> list[int]:
    """How many tokens the windows have that divide a clip, each number once.

    Args:
        F: frames.
        side: rows, and columns, of a frame's map.
        square: only windows with as many rows as columns.
    """
    sides = divisors(side)
    planes = {h * w for h, w in itertools.product(sides, sides) if h == w or not square}
    return sorted({f * plane for f in divisors(F) for plane in planes})


def keys_of_pair(F: int, side: int, size: int) -> int:
    """How many keys a query sees in local and global attention together: LOGO-Former, Eq. 9, divided by F H W."""
    return size + F * side * side // size


def holds(F: int, side: int, square: bool = False) -> list[int]:
    """The window sizes for which the first inequality of LOGO-Former's Eq. 9 holds."""
    return [size for size in window_sizes(F, side, square) if keys_of_pair(F, side, size) < F + side * side]


def window_valley(F: int = 16, side: int = 7, *, D: int = 512, square: bool = True) -> Interactive:
    """Local and global attention together against the size of their windows, beside divided and joint attention.

    The reader chooses the clip, whether windows must have as many rows as columns, and whether pairs of query and key
    are counted, as LOGO-Former's Eq. 9 does, or all multiply-accumulates of the layers, projections too.

    Args:
        F: frames at the beginning.
        side: rows, and columns, of a frame's map at the beginning.
        D: channels of a token, where projections are counted.
        square: whether only square windows are shown at the beginning.

    Raises:
        InputError: the clip is larger than the figure shows.
    """
    if not (1 <= F <= MOST_FRAMES and 1 <= side <= MOST_SIDE):
        raise InputError(f"the figure shows up to {MOST_FRAMES} frames of {MOST_SIDE} x {MOST_SIDE}, not {F} of {side}")
    body = (
        _still()
        + '<div class="fim-live fim-plot-of-valley"></div><ul class="fim-live fim-keys"></ul>'
        + said()
        + '<div class="fim-live fim-sides"><div>'
        + slider("frames", "Frames F", F, (1, MOST_FRAMES), 1)
        + slider("side", "Map H = W", side, (1, MOST_SIDE), 1)
        + "</div><div>"
        + choice("square", "Windows", [("1", "square, h = w"), ("", "any h and w")], "1" if square else "")
        + choice("all", "Count", [("", "pairs, as Eq. 9"), ("1", f"all, D = {D}")])
        + "</div></div>"
        + f'<p class="fim-live fim-presets">{"".join(_preset(*clip) for clip in CLIPS)}</p>'
    )
    alt = (
        f"Dots form a valley: what a query sees of a clip of {F} frames of {side} by {side} tokens by local and global "
        "attention together, against the tokens in a window. Level lines show divided and joint attention, and a grey "
        "band the windows for which the first inequality of Equation 9 holds."
    )
    return explorer(body, {"D": D}, "valley", alt=alt)


def _preset(F: int, side: int) -> str:
    return button(f"{F},{side}", f"{F} × {side} × {side}")


def _still() -> str:
    """What the inequalities say of some clips."""
    rows = []
    for F, side in CLIPS:
        best = min(keys_of_pair(F, side, size) for size in window_sizes(F, side))
        held = [", ".join(map(str, holds(F, side, square))) or "none" for square in (True, False)]
        S = side * side
        rows.append((f"{F} × {side} × {side}", *held, f"{best:,}", f"{F + S:,}", f"{F * S:,}"))
    head = ("clip", "g, square windows", "g, any windows", "keys, local + global at its best", "divided", "joint")
    return table("Window sizes g for which Equation 9 holds, and keys a query sees", head, rows)
