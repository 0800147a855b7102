"""The clips of a face that a model is asked about: one a window, cut out while the video runs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dferlib.data.sampling import segment_indices
from dferlib.inference.drawing import THUMBNAILS
from dferlib.video.faces.cutting import cut
from dferlib.video.faces.tracking import Track
from dferlib.video.reading import SampledVideo

RATE = 12.0  # frames a second in which the face is looked for
# Seconds that the model sees at once. A clip of MakeFaces lasts two, but a window names the expression that is anywhere
# in it, so a long one blurs when it came and went. One second holds a rise; slow rises are in the training clips too.
WINDOW = 1.0
STEP = 0.25  # seconds from one window to the next
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
    there = np.flatnonzero(np.isfinite(boxes[:, 2]))
    steps = np.arange(0, times[-1] + step / 2, step)
    after = np.searchsorted(times, steps).clip(0, len(times) - 1)
    before = (after - 1).clip(0)
    # the frame nearest to each step; two steps may share one where frames are rare
    middles = np.unique(np.where(steps - times[before] < times[after] - steps, before, after))
    out = []
    for middle in middles[np.isin(middles, there)]:
        first, last = np.searchsorted(times[there], times[middle] + np.array([-1, 1]) * (WINDOW / 2 + 1e-6))
        out.append((int(middle), there[first:last]))
    return out


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
    """The clips of one face in a video, a window each, in order.

    Iterating reads the video once and gives each clip, uint8 `(F, 3, size, size)`, as soon as its last frame has come;
    no more faces are in memory than one window holds. It also fills in `thumbnails`.

    Args:
        video: which.
        track: where the face is.
        step: seconds from one window to the next.
        form: what the model wants of a clip.

    Attributes:
        middles: the frame in the middle of each window, `(N,)`.
        frame_times: seconds of the frames of each clip, `(N, F)`.
        thumbnails: ten faces, evenly spaced, `(seconds, uint8 (112, 112, 3))` each; fewer where it is out of sight.
    """

    def __init__(self, video: SampledVideo, track: Track, *, step: float, form: ClipForm) -> None:
        placed = windows(track.times, track.boxes, step=step)
        self.middles = np.array([middle for middle, _ in placed])
        self._chosen = [form.choose(members) for _, members in placed]
        self.frame_times = track.times[np.stack(self._chosen)]
        self.thumbnails: tuple[tuple[float, np.ndarray], ...] = ()
        self._video, self._track, self._form = video, track, form

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[np.ndarray]:
        slots, shown = self._places_of_thumbnails()
        small: dict[int, np.ndarray] = {}
        recent: dict[int, np.ndarray] = {}  # faces that this window or a later one may need
        done = 0
        watched = self._video.frames("asking the model")
        for k, (box, (_, frame)) in enumerate(zip(self._track.boxes, watched, strict=False)):
            if np.isfinite(box[2]):
                place = box * self._video.info.scale(frame)
                recent[k] = self._form.cut(frame, place)
                if k in shown:
                    small[k] = cut(frame, place, size=THUMBNAIL_SIDE)
            while done < len(self._chosen) and self._chosen[done][-1] <= k:
                yield np.stack([recent[index] for index in self._chosen[done].tolist()])
                done += 1
                oldest = self._chosen[done][0] if done < len(self._chosen) else k
                recent = {index: face for index, face in recent.items() if index >= oldest}
        self.thumbnails = tuple((slot, small[k]) for slot, k in zip(slots, shown, strict=True) if k in small)

    def _places_of_thumbnails(self) -> tuple[list[float], list[int]]:
        """Evenly spaced seconds, and the frame nearest to each."""
        times = self._track.times
        count = min(THUMBNAILS, len(times))
        slots = (np.arange(count) + 0.5) * self._video.info.duration / count
        return slots.tolist(), np.abs(times[None] - slots[:, None]).argmin(1).tolist()
