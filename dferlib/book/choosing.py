"""A figure that answers: which frames of a clip a model sees, and what it sees of the expression in them."""

import numpy as np

from dferlib.book.acting import Scene
from dferlib.book.controls import button, said, slider, table
from dferlib.book.explorers import Interactive, explorer
from dferlib.book.sprites import COLUMNS, as_bytes, sheet, webp
from dferlib.data.sampling import segment_indices, time_interpolation
from dferlib.errors import InputError
from dferlib.makefaces import PHASES

MOST_FRAMES, MOST_SEGMENTS, MOST_RUN = 160, 16, 8
DRAWS = 24  # of training, prepared for the button
QUALITY = 60
WAYS = {  # by name: the words beside it, with S segments of T frames, F in all
    "evaluation": "S × T, evaluation",
    "training": "S × T, training",
    "dense": "1 × F, dense run",
    "spread": "F × 1, spread",
    "interpolated": "F, interpolated",
}


def generator(seed: int, draw: int) -> np.random.Generator:
    """The source of chance of one draw, so that a reader can draw the same again with `segment_indices`."""
    return np.random.default_rng([seed, draw])


def chosen(way: str, n: int, S: int, T: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """The frames that a way takes of a clip, as `dferlib.data.sampling` says: S * T positions, never falling.

    Args:
        way: one of `WAYS`: S segments of T frames in evaluation or training, one run of S * T frames, S * T segments of
            one frame, or S * T frames interpolated over time.
        n: frames of the clip.
        S: segments.
        T: frames of each.
        rng: the source of chance for training.
    """
    if way == "interpolated":
        return time_interpolation(n, S * T)
    segments, run = {"dense": (1, S * T), "spread": (S * T, 1)}.get(way, (S, T))
    return segment_indices(n, segments, run, rng if way == "training" else None)


def sampling_explorer(scene: Scene, *, n: int = 96, S: int = 8, T: int = 2, seed: int = 0) -> Interactive:
    """A clip as a strip: choose how long it is and how it is cut, and see which frames are taken and what they show.

    The reader may say that the same movement was recorded in n frames; the nearest frame of the scene stands for each.

    Args:
        scene: the clip, see `dferlib.book.acting.act`.
        n: frames of the clip at the beginning.
        S: segments at the beginning.
        T: frames of each at the beginning.
        seed: of the draws of training.

    Raises:
        InputError: more frames, segments or frames of each than the figure shows.
    """
    if not (1 <= n <= MOST_FRAMES and 1 <= S <= MOST_SEGMENTS and 1 <= T <= MOST_RUN):
        raise InputError(
            f"the figure shows up to {MOST_FRAMES} frames, {MOST_SEGMENTS} segments and runs of {MOST_RUN}"
        )
    count = len(scene.frames)
    data = {
        "ways": WAYS,
        "expression": [round(float(value), 3) for value in scene.expression],
        "phase": [int(value) for value in scene.phase],
        "phases": PHASES,
        "columns": min(COLUMNS, count),
        "rows": -(-count // COLUMNS),
        "draws": [generator(seed, draw).random(MOST_SEGMENTS).tolist() for draw in range(DRAWS)],
    }
    picture = webp(sheet(as_bytes(scene.frames)), QUALITY)
    body = (
        f'<img class="fim-still fim-sheet dark-light" src="{picture}" alt="All {count} frames, row by row">'
        + _still(scene, n, S, T, seed)
        + f'<div class="fim-live fim-sides"><div>{slider("n", "Frames n", n, (1, MOST_FRAMES), 1)}'
        + f"{button('draw', 'Draw for training again')}</div>"
        + f"<div>{slider('S', 'Segments S', S, (1, MOST_SEGMENTS), 1)}{slider('T', 'Run T', T, (1, MOST_RUN), 1)}</div>"
        + '</div><div class="fim-live fim-course"></div>'
        + '<div class="fim-live fim-ways" role="radiogroup" aria-label="Way to choose frames"></div>'
        + said()
        + '<div class="fim-live fim-faces" role="img"></div>'
        + '<p class="fim-live fim-note">Frames are counted from 0, as in the library. '
        "A tall mark is taken more than once.</p>"
    )
    alt = (
        f"A curve of how far an expression has risen over a clip, and below it marks for the frames that {len(WAYS)} "
        "ways to choose take. For each: the highest intensity that it sees, and how many of its frames lie in each "
        "phase of the expression. The faces of the chosen way stand below."
    )
    return explorer(body, data, "choosing", alt=alt)


def places(taken: np.ndarray, n: int, count: int) -> np.ndarray:
    """Where the frames `taken` of n lie among `count` frames that show the same movement."""
    last = count - 1
    return taken * last / (n - 1) if n > 1 else np.full(len(taken), last / 2)


def _still(scene: Scene, n: int, S: int, T: int, seed: int) -> str:
    """What each way takes and sees, as it is at the beginning."""
    rows, count = [], len(scene.frames)
    for way, words in WAYS.items():
        taken = chosen(way, n, S, T, generator(seed, 0))
        where = places(taken, n, count)
        highest = np.interp(where, np.arange(count), scene.expression).max()
        within = scene.phase[(where + 0.5).astype(int)]
        counts = [str(int((within == k).sum())) for k in range(1, len(PHASES))]
        rows.append((words, ", ".join(map(str, taken.tolist())), f"{highest:.2f}", *counts))
    title = f"n = {n}, S = {S}, T = {T}, F = {S * T}: which frames are taken, from 0, and what they show"
    return table(title, ("way", "frames", "highest", *PHASES[1:]), rows)
