"""A figure that answers: which tokens of a clip a query sees, by every kind of attention, and what that costs."""

import html
from collections.abc import Sequence

import numpy as np
import torch

from dferlib.book.controls import choice, said, slider
from dferlib.book.explorers import Interactive, explorer
from dferlib.errors import InputError, choose
from dferlib.models.attention import (
    Attention,
    GlobalAttention,
    JointAttention,
    LocalAttention,
    MixingAttention,
    SpatialAttention,
    TemporalAttention,
    Window,
    windows_of,
)

STEPS: dict[str, type[Attention]] = {
    "joint": JointAttention,
    "spatial": SpatialAttention,
    "temporal": TemporalAttention,
    "mixing": MixingAttention,
    "local": LocalAttention,
    "global": GlobalAttention,
}
KINDS = {  # the layers that follow each other, again and again
    "joint": ("joint",),
    "spatial": ("spatial",),
    "temporal": ("temporal",),
    "mixing": ("mixing",),
    "divided": ("temporal", "spatial"),
    "local": ("local",),
    "global": ("global",),
    "local + global": ("local", "global"),
}
MOST_FRAMES, MOST_SIDE, MOST_LAYERS = 16, 14, 4
WIDTH, HEADS = 24, 4  # of the layers that are asked what they see: each head has six channels, which divide by three


def reach(steps: Sequence[str], F: int, S: int, window: Window, query: tuple[int, int], layers: int = 1) -> np.ndarray:
    """Which tokens can change the result of a query, found by the gradient of layers with random weights.

    Args:
        steps: kinds of attention, keys of `STEPS`, that follow each other, again and again, each with a shortcut.
        F: frames.
        S: places, a square map, row by row.
        window: frames, rows and columns of the windows of local and global attention.
        query: frame and place.
        layers: how many steps are taken.

    Returns:
        (F, S) bool; the query itself is always there, by the shortcut.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokens = torch.randn(1, F, S, WIDTH, dtype=torch.float64, requires_grad=True)
        y: torch.Tensor = tokens
        for k in range(layers):
            y = y + STEPS[steps[k % len(steps)]](WIDTH, HEADS, window).double()(y)
    (slope,) = torch.autograd.grad(y[0, query[0], query[1]].square().sum(), tokens)
    return (slope[0].norm(dim=-1) > 0).numpy()


def cost(steps: Sequence[str], F: int, S: int, D: int, window: Window) -> tuple[int, int]:
    """Multiply-accumulates of some layers of attention for one clip, and how many keys a query sees in all of them."""
    with torch.device("meta"):
        made: list[Attention] = [STEPS[name](D, 1, window) for name in steps]
    return sum(layer.cost(F, S, D) for layer in made), sum(layer.seen(F, S) for layer in made)


def attention_explorer(
    F: int = 8,
    side: int = 4,
    *,
    kind: str = "joint",
    window: Window = (2, 2, 2),
    D: int = 512,
    query: tuple[int, int] = (3, 6),
    dims: Sequence[int] = (64, 128, 256, 512, 768),
) -> Interactive:
    """A clip as small maps of tokens: choose a query and an attention, and see which tokens it sees and what it costs.

    Args:
        F: frames at the beginning.
        side: rows, and columns, of a frame's map at the beginning.
        kind: the attention at the beginning, a key of `KINDS`.
        window: frames, rows and columns of the windows at the beginning; as many rows as columns.
        D: channels of a token at the beginning.
        query: frame and place of the query at the beginning.
        dims: the channels to choose from, beside D.

    Raises:
        InputError: there is no such attention, the window does not divide the clip, or the clip is larger than the
            figure shows.
    """
    choose("attention", kind, KINDS)
    windows_of(window, F, side * side)
    if F > MOST_FRAMES or side > MOST_SIDE or window[1] != window[2]:
        raise InputError(
            f"the figure shows up to {MOST_FRAMES} frames of {MOST_SIDE} x {MOST_SIDE}, and square windows"
        )
    if not (0 <= query[0] < F and 0 <= query[1] < side * side):
        raise InputError(f"there is no token {query}: the clip has {F} frames of {side * side} places")
    data = {"kinds": KINDS, "kind": kind, "query": query, "window": window[:2], "most": [MOST_FRAMES, MOST_SIDE]}
    body = _still(F, side, window, D, query) + _live(F, side, D, sorted({*dims, D}))
    alt = (
        f"A clip of {F} frames of {side} by {side} tokens. For each of {len(KINDS)} kinds of attention it shows which "
        "tokens a query sees, how many keys these are, and how many multiply-accumulates the layer takes."
    )
    return explorer(body, data, "attending", alt=alt)


def _live(F: int, side: int, D: int, dims: Sequence[int]) -> str:
    """What is there with scripts: controls, and room for what the script draws."""
    sizes = [("0", "1")]  # the script lists those that divide the clip
    fields = (
        slider("frames", "Frames F", F, (1, MOST_FRAMES), 1)
        + slider("side", "Map H = W", side, (1, MOST_SIDE), 1)
        + slider("layers", "Layers", 1, (1, MOST_LAYERS), 1)
        + choice("f", "Window f", sizes)
        + choice("h", "h = w", sizes)
        + choice("D", "Channels D", [(str(dim), str(dim)) for dim in dims], str(D))
    )
    return (
        '<div class="fim-live fim-tokens" tabindex="0" role="group" aria-label="Tokens of the clip: arrow keys move '
        'the query, page up and page down change its frame"></div>'
        '<ul class="fim-live fim-legend"></ul>'
        f'{said()}<div class="fim-live fim-fields">{fields}</div>'
        '<div class="fim-live fim-kinds" role="radiogroup" aria-label="Kind of attention"></div>'
    )


def _still(F: int, side: int, window: Window, D: int, query: tuple[int, int]) -> str:
    """All kinds below each other, as they are at the beginning."""
    rows = ""
    for name, steps in KINDS.items():
        cells = reach(steps, F, side * side, window, query, len(steps)).reshape(F, side, side)
        macs, keys = cost(steps, F, side * side, D, window)
        strip = "".join(_frame(cells[t], query[1] if t == query[0] else None) for t in range(F))
        words = f"{name}: {int(cells.sum())} of {cells.size} tokens reach the query"
        rows += (
            f'<li><span>{html.escape(name)}</span><span class="fim-strip" role="img" aria-label="{html.escape(words)}">'
            f"{strip}</span><b>{keys:,} keys</b><b>{macs / 1e6:,.1f} M</b></li>"
        )
    sizes = f"{F} frames of {side} × {side} tokens, windows of {' × '.join(map(str, window))}, D = {D}"
    return (
        f'<div class="fim-still"><p class="fim-title">{sizes}</p><ul class="fim-all-kinds">{rows}</ul>'
        "<p>Orange: the query. Blue: the tokens that reach it. M: millions of multiply-accumulates.</p></div>"
    )


def _frame(cells: np.ndarray, query: int | None) -> str:
    """A frame's map (H, W) bool with its query, if that is in it."""
    side = len(cells)
    path = "".join(f"M{x} {y}h1v1h-1z" for y, x in np.argwhere(cells).tolist())
    lines = "".join(f"M0 {k}H{side}M{k} 0V{side}" for k in range(side + 1))
    place = "" if query is None else f'x="{query % side}" y="{query // side}"'
    asked = f'<rect class="fim-query" {place} width="1" height="1"/>' if place else ""
    return (
        f'<svg viewBox="0 0 {side} {side}" aria-hidden="true"><path class="fim-direct" d="{path}"/>{asked}'
        f'<path class="fim-mesh" d="{lines}"/></svg>'
    )
