"""Which frames of a clip a model sees."""

import numpy as np

from dferlib.errors import InputError


def segment_indices(
    n_frames: int, segments: int, per_segment: int = 1, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Divide a clip into equal segments and take consecutive frames from each.

    With `rng` the frames start at random within each segment (training); without it they are the middle ones
    (testing), that is, segment s of S starts at floor(s n/S + n/(2S) - T/2). A clip that is too short for
    S x T different frames shows some of them twice; the order in time is always kept.

    Args:
        n_frames: how many frames the clip has (n).
        segments: how many segments (S).
        per_segment: how many consecutive frames of each (T).
        rng: the source of chance for training.

    Returns:
        Positions in the clip, int64 `(S * T,)`, never falling and all in `[0, n_frames)`.

    Raises:
        InputError: one of the numbers is below 1.

    Source: STT, section 3.2 and "Training and Testing Settings"; the paper gives no rule for short clips.
    """
    for name, number in (("n_frames", n_frames), ("segments", segments), ("per_segment", per_segment)):
        if number < 1:
            raise InputError(f"{name} is {number}: a clip needs at least 1")
    s = np.arange(segments)
    # floor of the published rule in whole numbers, so that no rounding can move a frame
    starts = (2 * s * n_frames + n_frames - segments * per_segment) // (2 * segments)
    room = n_frames / segments - per_segment + 1  # how far the start can move without leaving its segment
    if rng is not None and room > 0:
        starts = np.floor(s * n_frames / segments + rng.random(segments) * room).astype(np.int64)
    starts = starts.clip(0, max(n_frames - per_segment, 0))
    frames = (starts[:, None] + np.arange(per_segment)).clip(max=n_frames - 1)
    return np.sort(frames.astype(np.int64), axis=None)  # segments shorter than T overlap: time must not run back


def time_interpolation(n_frames: int, count: int) -> np.ndarray:
    """Spread `count` frames evenly over a clip, first and last included; the nearest frame stands for each time.

    Args:
        n_frames: how many frames the clip has.
        count: how many are wanted.

    Returns:
        Positions in the clip, int64 `(count,)`, never falling. One frame alone is the middle one.

    Raises:
        InputError: one of the numbers is below 1.
    """
    if n_frames < 1 or count < 1:
        raise InputError(f"cannot take {count} frames from a clip of {n_frames}: both must be at least 1")
    if count == 1:
        return np.array([(n_frames - 1) // 2], dtype=np.int64)
    # round half up, in whole numbers
    return (2 * np.arange(count, dtype=np.int64) * (n_frames - 1) + count - 1) // (2 * (count - 1))
