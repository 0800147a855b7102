"""The clips of a face that a model is asked about: one a window, cut out while the video runs."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dferlib.data.sampling import segment_indices
from dferlib.inference.drawing import THUMBNAILS
from dferlib.video.faces.cutting import cut
from dferlib.video.reading import VideoInfo

RATE = 12.0  # frames a second in which the face is looked for
# Seconds that the model sees at once. A clip of MakeFaces lasts two, but a window names the expression that is anywhere
# in it, so a long one blurs when it came and went. One second holds a rise; slow rises are in the training clips too.
WINDOW = 1.0
STEP = 0.25  # seconds from one window to the next
REACH = WINDOW / 2 + 1e-6  # seconds from the middle of a window to its ends, and a hair
THUMBNAIL_SIDE = 112  # pixels


def windows(times: np.ndarray, boxes: np.ndarray, step: float) -> list[tuple[int, np.ndarray]]:
    """Lay windows over the frames that show the face.

    Args:
        times: seconds of each frame `(N,)`, rising.
        boxes: `(N, 3)`, nan where there is no face.
        step: seconds from one window to the next.

    Returns:
        For each window the frame in its middle, and all with a face that are at most half a second away from it.
    """
    laid = Windows(step)
    out = [window for k, time in enumerate(times.tolist()) for window in laid.add(time, np.isfinite(boxes[k, 2]))]
    return out + list(laid.close())


class Windows:
    """Does what `windows` does, frame by frame.

    Args:
        step: seconds from one window to the next.
    """

    def __init__(self, step: float) -> None:
        self._step, self._steps = step, 0  # how many steps have their window
        self._count = 0  # of frames
        self._before = 0.0, False  # when the last frame was, and whether it shows the face
        self._middle = -1  # of the last window
        self._due: deque[tuple[int, float]] = deque()  # middles of windows whose last frame has not come
        self._there: deque[tuple[int, float]] = deque()  # frames with a face that these or later windows may hold

    @property
    def oldest(self) -> int:
        """The first frame that a later window may hold."""
        return self._there[0][0] if self._there else self._count

    def add(self, time: float, there: bool) -> Iterator[tuple[int, np.ndarray]]:
        """Go on by a frame, and give the windows that are whole by now: the frame in the middle, and all members.

        Args:
            time: seconds of the frame.
            there: whether it shows the face.
        """
        now, (before, was_there) = self._count, self._before
        self._count, self._before = now + 1, (time, there)
        if there:
            self._there.append((now, time))
        while (step := self._steps * self._step) <= time:
            self._steps += 1
            # the frame nearest to each step; two steps may share one where frames are rare
            if now and step - before < time - step:
                self._want(now - 1, before, was_there)
            else:
                self._want(now, time, there)
        while self._due and time >= self._due[0][1] + REACH:
            yield self._whole()
        earliest = self._due[0][1] if self._due else time
        while self._there and self._there[0][1] < earliest - REACH:
            self._there.popleft()

    def close(self) -> Iterator[tuple[int, np.ndarray]]:
        """No frame comes any more: give the windows that are left."""
        time, there = self._before
        if len(np.arange(0, time + self._step / 2, self._step)) > self._steps:
            self._want(self._count - 1, time, there)
        while self._due:
            yield self._whole()

    def _want(self, middle: int, time: float, there: bool) -> None:
        if there and middle != self._middle:
            self._middle = middle
            self._due.append((middle, time))

    def _whole(self) -> tuple[int, np.ndarray]:
        middle, time = self._due.popleft()
        return middle, np.array([frame for frame, when in self._there if time - REACH <= when < time + REACH])


@dataclass(frozen=True)
class ClipForm:
    """What a model wants of a clip.

    Attributes:
        segments: into how many equal parts a window is divided.
        per_segment: how many neighbouring frames are taken from the middle of each.
        size: side of a cut-out face in pixels.
    """

    segments: int
    per_segment: int
    size: int

    def choose(self, members: np.ndarray) -> np.ndarray:
        """The frames `(F,)` that the model sees, among those of a window, `(N,)`."""
        return members[segment_indices(len(members), self.segments, self.per_segment)]

    def cut(self, frame: np.ndarray, box: np.ndarray) -> np.ndarray:
        """A face `(3, size, size)`; see `dferlib.video.faces.cutting.cut`."""
        return cut(frame, box, size=self.size).transpose(2, 0, 1)


class FaceClips:
    """The clips of one face in a video, a window each, made while the video runs.

    No more faces are in memory than one window holds, and those of the thumbnails.

    Args:
        info: of the video.
        step: seconds from one window to the next.
        form: what the model wants of a clip.

    Attributes:
        middles: the frame in the middle of each window so far.
        frame_times: seconds of the frames of each clip, `(F,)` each.
    """

    def __init__(self, info: VideoInfo, *, step: float, form: ClipForm) -> None:
        self.middles: list[int] = []
        self.frame_times: list[np.ndarray] = []
        self._info, self._form, self._windows = info, form, Windows(step)
        self._slots = ((np.arange(THUMBNAILS) + 0.5) * info.duration / THUMBNAILS).tolist()
        self._recent: dict[int, tuple[float, np.ndarray]] = {}  # faces that a window may need
        self._small: dict[int, np.ndarray] = {}

    def add(
        self, number: int, *, box: np.ndarray, times: Sequence[float], frame: np.ndarray | None
    ) -> Iterator[np.ndarray]:
        """Go on by a frame, and give each clip that is whole by now, uint8 `(F, 3, size, size)`.

        Args:
            number: of the frame.
            box: where the face is, `(3,)` in pixels of the first frame; nan where it is out of sight.
            times: seconds of the frames so far, and of the next one at least, if there is one.
            frame: RGB uint8 `(H, W, 3)`; it need not be given where the face is out of sight.
        """
        there = frame is not None and bool(np.isfinite(box[2]))
        if frame is not None and there:
            place = box * self._info.scale(frame)
            self._recent[number] = times[number], self._form.cut(frame, place)
            # of a video with so few frames every one is a thumbnail
            if number < THUMBNAILS or self._slot(number, times):
                self._small[number] = cut(frame, place, size=THUMBNAIL_SIDE)
        yield from self._clips(self._windows.add(times[number], there))

    def close(self) -> Iterator[np.ndarray]:
        """No frame comes any more: give the clips that are left."""
        yield from self._clips(self._windows.close())

    def thumbnails(self, times: np.ndarray) -> tuple[tuple[float, np.ndarray], ...]:
        """Ten faces, evenly spaced, `(seconds, uint8 (112, 112, 3))` each; fewer where it is out of sight.

        Args:
            times: seconds of all frames, `(N,)`.
        """
        count = min(THUMBNAILS, len(times))
        slots = (np.arange(count) + 0.5) * self._info.duration / count
        shown = np.abs(times[None] - slots[:, None]).argmin(1).tolist()
        return tuple((slot, self._small[k]) for slot, k in zip(slots.tolist(), shown, strict=True) if k in self._small)

    def _clips(self, windows: Iterator[tuple[int, np.ndarray]]) -> Iterator[np.ndarray]:
        for middle, members in windows:
            chosen = self._form.choose(members).tolist()
            self.middles.append(middle)
            self.frame_times.append(np.array([self._recent[k][0] for k in chosen]))
            yield np.stack([self._recent[k][1] for k in chosen])
        self._recent = {k: face for k, face in self._recent.items() if k >= self._windows.oldest}

    def _slot(self, number: int, times: Sequence[float]) -> bool:
        """Whether a frame may be the nearest to one of the thumbnails' moments."""
        first = (times[number - 1] + times[number]) / 2 - 1e-6
        last = (times[number] + times[number + 1]) / 2 + 1e-6 if number + 1 < len(times) else np.inf
        return any(first <= slot <= last for slot in self._slots)
