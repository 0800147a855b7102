"""Following faces from frame to frame: boxes and descriptors in, a smooth box for every moment out. Plain geometry."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

NEAR = 0.5  # in box sides: how far a face may seem to jump from one frame to the next, by the detector's error alone
SPEED = 1.0  # in box sides a second: how fast it may move on top of that
REACH = 1.0  # in box sides: and no farther than that, however long it was out of sight
GROWTH = 1.5  # how many times larger or smaller a face may be than it was when last seen
FEWEST = 3  # frames that must show a face; what the detector sees once or twice is mostly no face
PASSING = 0.1  # of the frames with the main face: who is seen less often is not followed
GAP = 0.5  # seconds without a detection that are bridged
SMOOTH = 0.25  # seconds, the spread of the weights that smooth the boxes
SAME = 0.6  # two descriptors of one person are nearer to each other than this, says dlib
AWAY = 3 * SMOOTH  # seconds out of sight after which a face is found again wherever it is: nothing is smoothed so far


def follow(times: np.ndarray, found: Sequence[np.ndarray]) -> np.ndarray:
    """Follow one face through a video: the one that is seen most, counted by frames times size.

    The same person is whoever is where the face was: a person who has been out of sight is found again close to the
    old place, and who appears in the place of another, as after a cut, is taken for the other. `follow_all` can also
    look at the faces.

    Args:
        times: seconds of each frame `(N,)`, rising.
        found: the boxes in each, N arrays `(K, 3)`.

    Returns:
        `(N, 3)`: middle x, middle y and side of the smoothed box; nan where the face is out of sight for longer than
        half a second. All nan if no face is seen in three frames (or all, where there are fewer).
    """
    tracks = follow_all(times, found)
    return tracks[0] if tracks else np.full((len(times), 3), np.nan)


def follow_all(
    times: np.ndarray, found: Sequence[np.ndarray], descriptors: Sequence[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Follow every face through a video, each as `follow` follows one; the most visible comes first.

    A face that is seen in fewer than a tenth of the frames that show the first is left out: it passes by, or is no
    face.

    Args:
        times: seconds of each frame `(N,)`, rising.
        found: the boxes in each, N arrays `(K, 3)`.
        descriptors: of these faces, N arrays `(K, D)`; then faces tell who is who.

    Returns:
        For each face `(N, 3)`, see `follow`.
    """
    seen = [face for face in link(times, found, descriptors=descriptors) if len(face) >= min(FEWEST, len(times))]
    seen.sort(key=lambda face: -sum(box[2] for box in face.values()))
    tracks = []
    for face in seen:
        if len(face) >= PASSING * len(seen[0]):
            boxes = np.full((len(times), 3), np.nan)
            boxes[list(face)] = list(face.values())
            tracks.append(smooth(times, bridge(times, boxes)))
    return tracks


def link(
    times: np.ndarray, found: Sequence[np.ndarray], descriptors: Sequence[np.ndarray] | None = None
) -> list[dict[int, np.ndarray]]:
    """Sort detections into faces: each joins the face that was last seen nearest, or starts a new one.

    If descriptors are given, it joins only faces that look like it. And one of these that has been out of sight for
    long may be anywhere.

    Args:
        times: seconds of each frame `(N,)`, rising.
        found: the boxes in each, N arrays `(K, 3)`.
        descriptors: of these faces, N arrays `(K, D)`.

    Returns:
        A mapping a face, from the number of a frame to the box. No box is in two of them, and none is left out.
    """
    faces: list[dict[int, np.ndarray]] = []
    last: list[int] = []  # the frame in which each face was last seen
    sums: list[np.ndarray] = []  # of its descriptors
    known = descriptors if descriptors is not None else [np.zeros((len(boxes), 1)) for boxes in found]  # all alike
    for now, boxes in enumerate(found):
        pairs = []
        for which, face in enumerate(faces):
            old, passed = face[last[which]], times[now] - times[last[which]]
            for k, box in enumerate(boxes):
                distance = np.hypot(*(box[:2] - old[:2])) / max(box[2], old[2])
                growth = abs(np.log(box[2] / old[2]))
                near = distance <= min(NEAR + SPEED * passed, REACH) and growth <= np.log(GROWTH)
                anywhere = descriptors is not None and passed > AWAY
                alike = np.linalg.norm(known[now][k] - sums[which] / len(face)) < SAME
                if alike and (near or anywhere):
                    pairs.append((not near, distance + growth, which, k))
        taken: set[int] = set()
        for _, _, which, k in sorted(pairs):
            if last[which] < now and k not in taken:
                faces[which][now], last[which] = boxes[k], now
                sums[which] = sums[which] + known[now][k]
                taken.add(k)
        for k in sorted(set(range(len(boxes))) - taken):
            faces.append({now: boxes[k]})
            last.append(now)
            sums.append(known[now][k])
    return faces


def bridge(times: np.ndarray, boxes: np.ndarray, longest: float = GAP) -> np.ndarray:
    """Fill gaps of at most `longest` seconds by straight lines between the boxes `(N, 3)` on their two sides."""
    there = np.flatnonzero(np.isfinite(boxes[:, 2]))
    filled = boxes.copy()
    for before, after in pairwise(there):
        if after > before + 1 and times[after] - times[before] <= longest:
            inside = slice(before + 1, after)
            part = ((times[inside] - times[before]) / (times[after] - times[before]))[:, None]
            filled[inside] = boxes[before] * (1 - part) + boxes[after] * part
    return filled


def smooth(times: np.ndarray, boxes: np.ndarray, width: float = SMOOTH) -> np.ndarray:
    """Replace each box `(N, 3)` by the straight line through its neighbours in time, at its own time.

    The line is the least-squares one with Gaussian weights of standard deviation `width` seconds, cut off at three.
    A face at rest or in even motion is followed without lag, at the ends too; rows of nan stay so and do not count.
    """
    out = fit_lines(times, boxes, width=width)
    # a line through a face that shrinks very fast could end below nothing
    out[:, 2] = np.maximum(out[:, 2], 1.0)
    return out


def fit_lines(times: np.ndarray, values: np.ndarray, width: float) -> np.ndarray:
    """What `smooth` does, for rows `(N, D)` of anything: the weighted line through each row's neighbours in time."""
    there = np.flatnonzero(np.isfinite(values).all(1))
    out = np.full_like(values, np.nan)
    for k in there:
        near = there[np.searchsorted(times[there], times[k] - 3 * width) :]
        near = near[: np.searchsorted(times[near], times[k] + 3 * width, side="right")]
        t = times[near] - times[k]
        weights = np.exp(-0.5 * (t / width) ** 2)
        weights /= weights.sum()
        middle = weights @ t
        spread = weights @ (t - middle) ** 2
        slope = (weights * (t - middle)) @ values[near] / spread if spread > 1e-12 else np.zeros(values.shape[1])
        out[k] = weights @ values[near] - slope * middle
    return out
