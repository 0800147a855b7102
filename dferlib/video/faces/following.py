"""Following faces from frame to frame: boxes and descriptors in, a smooth box for every moment out. Plain geometry."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from dferlib.video.faces.smoothing import SETTLED, SMOOTH, bridge, smooth

NEAR = 0.5  # in box sides: how far a face may seem to jump from one frame to the next, by the detector's error alone
SPEED = 1.0  # in box sides a second: how fast it may move on top of that
REACH = 1.0  # in box sides: and no farther than that, however long it was out of sight
GROWTH = 1.5  # how many times larger or smaller a face may be than it was when last seen
FEWEST = 3  # frames that must show a face; what the detector sees once or twice is mostly no face
PASSING = 0.1  # of the frames with the main face: who is seen less often is not followed
SAME = 0.6  # two descriptors of one person are nearer to each other than this, says dlib
AWAY = 3 * SMOOTH  # seconds out of sight after which a face is found again wherever it is: nothing is smoothed so far
KEPT, APART = 5, 1.0  # how many looks at a face are kept until it must be described, and the seconds between them


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
    linker = _linked(times, found, descriptors)
    return [linker.track(face) for face in linker.visible()]


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
    return _linked(times, found, descriptors).faces


def _linked(times: np.ndarray, found: Sequence[np.ndarray], descriptors: Sequence[np.ndarray] | None) -> "Linker":
    linker = Linker()
    for k, (time, boxes) in enumerate(zip(times.tolist(), found, strict=True)):
        linker.add(time, boxes, Known(descriptors[k]) if descriptors is not None else None)
    return linker


class Look(Protocol):
    """What can be asked about the faces in a frame."""

    def describe(self) -> np.ndarray:
        """A descriptor of each, `(K, D)`."""

    def changed(self, before: Any) -> bool:
        """Whether something else is where the only face of the frame before was."""


class Known(NamedTuple):
    """A look at faces whose descriptors are there already, and therefore count.

    Attributes:
        descriptors: `(K, D)`.
    """

    descriptors: np.ndarray

    def describe(self) -> np.ndarray:
        """Those."""
        return self.descriptors

    def changed(self, before: Any) -> bool:
        """They shall tell."""
        return True


class Linker:
    """Does what `link` does, frame by frame, and asks who somebody is only where places cannot decide.

    They can as long as one face alone is in the frame and in the one before, near enough, and what is to be seen in its
    place has not changed at once, as it does at a cut. Some looks at such a face are kept; they are described once
    there is somebody to compare it with.

    Attributes:
        faces: a mapping a face, from the number of a frame to the box.
        times: seconds of each frame.
    """

    def __init__(self) -> None:
        self.faces: list[dict[int, np.ndarray]] = []
        self.times: list[float] = []
        self._sizes, self._counts = np.empty(0), np.empty(0)  # of each face: its boxes' sides added up, their number
        self._last, self._seen = np.empty((0, 3)), np.empty(0)  # its last box, and when that was
        self._sums: list[np.ndarray | float] = []  # of its descriptors, ...
        self._described: list[int] = []  # ... and of how many
        self._kept: list[list[tuple[float, Look]]] = []
        self._alone: tuple[int, Look] | None = None  # the face that was alone in the frame before

    def add(self, time: float, boxes: np.ndarray, look: Look | None = None) -> None:
        """Go on by a frame.

        Args:
            time: its seconds, more than those of the one before.
            boxes: of the faces in it, `(K, 3)`.
            look: what can be asked about them; without it place alone decides.
        """
        now = len(self.times)
        self.times.append(time)
        before, self._alone = self._alone, None
        if look is not None and len(boxes) == 1:
            if before is not None and self._near(boxes)[0][before[0], 0] and not look.changed(before[1]):
                face = before[0]
                self._join(face, now, boxes[0])
                self._keep(face, look)
                self._alone = face, look
                return
            if not self.faces:
                self._begin(now, boxes[0])
                self._keep(0, look)
                self._alone = 0, look
                return
        known = look.describe() if look is not None else np.zeros((len(boxes), 1))  # all alike
        joined = self._pair(boxes, known, looks=look is not None)
        for k, box in enumerate(boxes):
            if k in joined:
                self._join(joined[k], now, box)
            else:
                joined[k] = self._begin(now, box)
            self._learn(joined[k], known[k])
        if look is not None and len(boxes) == 1:
            self._alone = joined[0], look

    def visible(self) -> list[int]:
        """The numbers of the faces that count so far, the most visible first: by frames times size."""
        order = np.argsort(-self._sizes, kind="stable")
        order = order[self._counts[order] >= min(FEWEST, len(self.times))]
        return order[self._counts[order] >= PASSING * self._counts[order[:1]]].tolist() if len(order) else []

    def track(self, face: int) -> np.ndarray:
        """The boxes of a face, smoothed, `(N, 3)`; nan where it is out of sight."""
        boxes, times = self._boxes(face, 0), np.array(self.times)
        return smooth(times, bridge(times, boxes))

    def settled(self, face: int, frame: int) -> np.ndarray:
        """One box of `track`, `(3,)`, which stays as it is once `SETTLED` seconds have come after it."""
        start = frame
        while start and self.times[start - 1] >= self.times[frame] - SETTLED - 1e-6:
            start -= 1
        times, boxes = np.array(self.times[start:]), self._boxes(face, start)
        return smooth(times, bridge(times, boxes), rows=[frame - start])[0]

    def _boxes(self, face: int, start: int) -> np.ndarray:
        """As they were found, from a frame on."""
        there, nowhere = self.faces[face], np.full(3, np.nan)
        return np.stack([there.get(k, nowhere) for k in range(start, len(self.times))])

    def _near(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Whether each face may have come to each box, `(faces, K)`; what that costs; and how long it was away."""
        old, new = self._last[:, None], boxes[None]
        passed = self.times[-1] - self._seen
        distance = np.hypot(new[..., 0] - old[..., 0], new[..., 1] - old[..., 1]) / np.maximum(new[..., 2], old[..., 2])
        growth = np.abs(np.log(new[..., 2] / old[..., 2]))
        near = (distance <= np.minimum(NEAR + SPEED * passed, REACH)[:, None]) & (growth <= np.log(GROWTH))
        return near, distance + growth, passed

    def _pair(self, boxes: np.ndarray, known: np.ndarray, looks: bool) -> dict[int, int]:
        """Which box joins which face."""
        near, cost, passed = self._near(boxes)
        maybe = near | (passed > AWAY)[:, None] if looks else near
        pairs = []
        for face in np.flatnonzero(maybe.any(1)).tolist():
            alike = np.linalg.norm(known - self._mean(face), axis=1) < SAME
            pairs += [(not near[face, k], cost[face, k], face, k) for k in np.flatnonzero(maybe[face] & alike).tolist()]
        joined: dict[int, int] = {}
        for _, _, face, k in sorted(pairs):
            if k not in joined and face not in joined.values():
                joined[k] = face
        return joined

    def _begin(self, now: int, box: np.ndarray) -> int:
        """A new face."""
        self.faces.append({now: box})
        self._sizes, self._counts = np.append(self._sizes, box[2]), np.append(self._counts, 1)
        self._last, self._seen = np.vstack([self._last, box]), np.append(self._seen, self.times[now])
        self._sums.append(0.0)
        self._described.append(0)
        self._kept.append([])
        return len(self.faces) - 1

    def _join(self, face: int, now: int, box: np.ndarray) -> None:
        self.faces[face][now] = self._last[face] = box
        self._sizes[face] += box[2]
        self._counts[face] += 1
        self._seen[face] = self.times[now]

    def _keep(self, face: int, look: Look) -> None:
        """Keep the newest look at a face, and a few before it."""
        kept = self._kept[face]
        if len(kept) > 1 and self.times[-1] - kept[-2][0] < APART:
            kept.pop()
        kept.append((self.times[-1], look))
        del kept[:-KEPT]

    def _learn(self, face: int, descriptor: np.ndarray) -> None:
        self._sums[face] = self._sums[face] + descriptor
        self._described[face] += 1

    def _mean(self, face: int) -> np.ndarray | float:
        """What it looks like, on average."""
        for _, look in self._kept[face]:
            self._learn(face, look.describe()[0])
        self._kept[face].clear()
        return self._sums[face] / self._described[face]
