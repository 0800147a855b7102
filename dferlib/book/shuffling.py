"""Two clips with the same frames, and a button that shuffles them: what is left when order is lost."""

import html
from collections.abc import Mapping

import numpy as np

from dferlib.book.explorers import Interactive, explorer
from dferlib.book.playing import player
from dferlib.book.sprites import COLUMNS
from dferlib.errors import InputError


def shuffler(clips: Mapping[str, np.ndarray], *, alt: str, seconds: float = 2.0) -> Interactive:
    """Two clips under one scrubber, with all their frames below them, in order or shuffled.

    A shuffle hides the names of the clips and may change their sides. Putting them in order tells.

    Args:
        clips: two, by name, (F, 3, H, W); both hold the same frames.
        alt: what it shows, for those who do not see it.
        seconds: between the first frame and the last.

    Raises:
        InputError: not two clips, or not of the same frames.
    """
    if len(clips) != 2:
        raise InputError(f"two clips can be compared, not {len(clips)}")
    held = [sorted(frame.tobytes() for frame in clip) for clip in clips.values()]
    if held[0] != held[1]:
        raise InputError(f"{' and '.join(clips)} do not hold the same frames: their order is not all that differs")
    frames = len(held[0])
    shown = player(clips, alt=alt, seconds=seconds, arrange="side")
    data = {"names": list(clips), "frames": frames, "columns": min(COLUMNS, frames), "rows": -(-frames // COLUMNS)}
    same = f"Both rows hold the same {frames} frames. Only their order tells {html.escape(' from '.join(clips))}."
    body = (
        f'{shown.html}<p class="fim-still">{same}</p><div class="fim-live fim-shuffle-bar">'
        '<button type="button" class="fim-toggle" data-do="shuffle">shuffle the frames</button>'
        '<button type="button" class="fim-toggle" data-do="order">put them in order</button></div>'
        '<p class="fim-live fim-said" aria-live="polite"></p>'
    )
    return explorer(body, data, "shuffle", alt=alt)
