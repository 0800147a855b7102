"""A camera, or any other frames that come one by one, and what a model says of the face in them at that moment.

view = LiveView("best.safetensors")     in a notebook: the frame, a bar for each class, a button that stops it
view.start()

for moment in watch(frames, "best.safetensors"):     the same without a widget
    print(moment.label)

Frames stay in memory for a second and are then forgotten. Nothing is written, and nothing is sent anywhere.
"""

import io
import platform
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from dferlib.errors import InputError
from dferlib.inference.annotating import annotate
from dferlib.inference.asking import to_probabilities
from dferlib.inference.clips import RATE, WINDOW
from dferlib.inference.predictor import Predictor
from dferlib.inference.timeline import Timeline, to_label
from dferlib.video.faces.finding import DITHER, SIDE, detect
from dferlib.video.faces.following import follow
from dferlib.video.faces.tracking import Track
from dferlib.video.pixels import Pixels

NOBODY = "no face"
PATIENCE = 5.0  # seconds without a frame after which a camera counts as gone
# what FFmpeg calls the cameras of each system, and the first of them
CAMERAS = {"Linux": ("v4l2", "/dev/video0"), "Darwin": ("avfoundation", "0:none"), "Windows": ("dshow", "")}

Frames = Iterable[tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Moment:
    """What a model says of the last second.

    Attributes:
        time: seconds, as they came with the frame.
        frame: the last one, RGB uint8 `(H, W, 3)`.
        classes: names of the C classes.
        box: of the face in it: middle x, middle y and side in pixels; None if there is no face.
        probabilities: of each class, float64 `(C,)`; None if there is no face.
        distance: of the face from those that the model has learnt from; beyond 1 is unusual.
    """

    time: float
    frame: np.ndarray
    classes: tuple[str, ...]
    box: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    distance: float = 0.0

    @property
    def label(self) -> str:
        """The most probable class, "unsure" (see `to_label`), or "no face"."""
        return NOBODY if self.probabilities is None else to_label(self.probabilities, self.classes, self.distance)

    def annotated(self) -> np.ndarray:
        """The frame with the box, the answer and the probabilities in it, uint8 `(H, W, 3)`."""
        if self.box is None or self.probabilities is None:
            return self.frame
        now, boxes = np.array([self.time]), self.box[None]
        timeline = Timeline(
            video=Path(),
            duration=0.0,
            times=now,
            probabilities=self.probabilities[None],
            classes=self.classes,
            boxes=boxes,
            track=Track(now, boxes),
            distances=np.array([self.distance]),
        )
        return annotate(self.frame, [timeline], time=self.time)


def watch(frames: Frames, checkpoint: Path | str, device: str = "auto") -> Iterator[Moment]:
    """Say of each frame what a model sees in the second that ends with it.

    At most 12 frames a second are looked at; others that come in between are passed over. The most visible face of
    the last second counts. Nothing of the future is known, so that the boxes are not quite as steady as in
    `predict_video`, and an answer comes up to a second after the expression.

    Args:
        frames: seconds, rising, and RGB uint8 `(H, W, 3)`: see `camera`, or `dferlib.video.reading.read_video`.
        checkpoint: a file that `save_model` wrote.
        device: where the model runs.

    Raises:
        InputError: the checkpoint cannot be read, or dlib is not installed.
    """
    predictor = Predictor(checkpoint, device)
    last_second: deque[tuple[float, np.ndarray, np.ndarray]] = deque()
    for number, (now, frame) in enumerate(_thin_out(frames)):
        last_second.append((now, frame, detect(frame, SIDE * DITHER[number % len(DITHER)])))
        while now - last_second[0][0] > WINDOW + 1e-6:
            last_second.popleft()
        times, shown, found = zip(*last_second, strict=True)
        yield _judge(predictor, times=np.array(times), frames=shown, found=found)


def _thin_out(frames: Frames) -> Iterator[tuple[float, np.ndarray]]:
    """The frames that are at least a twelfth of a second apart, but for a hair."""
    last = -np.inf
    for now, frame in frames:
        if now - last >= 0.9 / RATE:
            last = now
            yield now, frame


def _judge(
    predictor: Predictor, *, times: np.ndarray, frames: tuple[np.ndarray, ...], found: tuple[np.ndarray, ...]
) -> Moment:
    """What is said at the end of a second of frames and detections."""
    now, frame, classes = float(times[-1]), frames[-1], predictor.model.classes
    # a camera may change its size: pixels of each frame over those of the last
    scales = [max(shown.shape[:2]) / max(frame.shape[:2]) for shown in frames]
    boxes = follow(times, [there / scale for there, scale in zip(found, scales, strict=True)])
    if not np.isfinite(boxes[-1, 2]):
        return Moment(now, frame, classes=classes)
    chosen = predictor.form.choose(np.flatnonzero(np.isfinite(boxes[:, 2])))
    clip = np.stack([predictor.form.cut(frames[k], boxes[k] * scales[k]) for k in chosen.tolist()])
    features = predictor.look(clip[None])
    probabilities, distance = to_probabilities(predictor.judge(features))[0], float(predictor.distances(features)[0])
    return Moment(now, frame, classes=classes, box=boxes[-1], probabilities=probabilities, distance=distance)


def camera(device: str = "", system: str = "") -> Iterator[tuple[float, np.ndarray]]:
    """The newest frame of a camera whenever one is asked for; those that come in between are forgotten.

    The camera is free again when the iterator is closed or given up.

    Args:
        device: which; the first one if not given. On Linux such as /dev/video0, on macOS a number such as 0:none, on
            Windows a name such as "video=Integrated Camera", which must be given.
        system: FFmpeg's name for the system's cameras, if not v4l2, avfoundation or dshow.

    Yields:
        Seconds since the first frame, and the frame, RGB uint8 `(H, W, 3)`.

    Raises:
        InputError: there is no such camera, it is used by another program, or it has stopped giving frames.
    """
    kind, first = CAMERAS.get(platform.system(), CAMERAS["Linux"])
    device = device or first
    if not device:
        raise InputError('which camera? Give its name, such as "video=Integrated Camera"')
    try:
        container = av.open(device, format=system or kind)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"cannot open the camera {device}: is it there, and free? ({error})") from error
    with container:
        if not container.streams.video:
            raise InputError(f"{device} gives no frames: choose another camera")
        newest = _Newest(container, Pixels(device, container.streams.video[0]))
        try:
            yield from newest
        finally:
            newest.close()


class _Newest:
    """Reads a camera in a thread of its own, and keeps the newest frame only."""

    def __init__(self, container: av.container.InputContainer, pixels: Pixels) -> None:
        self._container, self._pixels = container, pixels
        self._changed = threading.Condition()
        self._frame: tuple[float, av.VideoFrame] | None = None
        self._over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for frame in self._container.decode(video=0):
                with self._changed:
                    self._frame = time.monotonic(), frame
                    self._changed.notify()
                    if self._over:
                        return
        except av.FFmpegError:
            pass  # unplugged: there is no frame any more
        finally:
            with self._changed:
                self._over = True
                self._changed.notify()

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        start = None
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._frame is not None or self._over, PATIENCE):
                    raise InputError(f"the camera has given no frame for {PATIENCE:g} s: is it still there?")
                if self._frame is None:
                    return
                (now, frame), self._frame = self._frame, None
            start = now if start is None else start
            yield now - start, self._pixels.array(frame)

    def close(self) -> None:
        """Let the thread end; the container must not be closed while it reads."""
        with self._changed:
            self._over = True
        self._thread.join(PATIENCE)


class LiveView:
    """A widget for notebooks that shows a camera, the face in it and what a model says of it, until it is stopped.

    Args:
        checkpoint: a file that `save_model` wrote.
        frames: what to show instead of the first camera: `camera(device)` of another one, or a video's frames.
        device: where the model runs.

    Attributes:
        widget: to be put into a cell's output. Its button calls `stop`.

    Raises:
        InputError: ipywidgets is not installed.
    """

    def __init__(self, checkpoint: Path | str, frames: Frames | None = None, device: str = "auto") -> None:
        try:
            import ipywidgets
        except ImportError as error:
            raise InputError('the live view needs ipywidgets: pip install "dferlib[notebook]"') from error
        self._checkpoint, self._frames, self._device = checkpoint, frames, device
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._image = ipywidgets.Image(value=_jpeg(np.full((240, 320, 3), 90, np.uint8)), format="jpeg")
        self._words = ipywidgets.Label("not started")
        button = ipywidgets.Button(description="Stop", icon="stop")
        button.on_click(lambda _: self.stop())
        self.widget: Any = ipywidgets.VBox([self._image, ipywidgets.HBox([button, self._words])])

    def start(self) -> None:
        """Begin, beside whatever else the notebook does.

        Raises:
            InputError: it has been started before.
        """
        if self._thread is not None:
            raise InputError("this live view has been started before: make a new one")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the last frame; a camera has none."""
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """End at the next frame, and set the camera free."""
        self._stopped.set()
        self.wait()

    def _run(self) -> None:
        try:
            for moment in watch(self._until_stopped(), self._checkpoint, device=self._device):
                top = "" if moment.probabilities is None else f", {100 * moment.probabilities.max():.0f} %"
                self._image.value, self._words.value = _jpeg(moment.annotated()), f"{moment.label}{top}"
            self._words.value = "stopped" if self._stopped.is_set() else "no more frames"
        except InputError as error:  # nobody would see it in a thread
            self._words.value = str(error)

    def _until_stopped(self) -> Iterator[tuple[float, np.ndarray]]:
        frames = iter(camera() if self._frames is None else self._frames)
        try:
            for timed in frames:
                if self._stopped.is_set():
                    return
                yield timed
        finally:
            if isinstance(frames, Generator):
                frames.close()  # which sets a camera free


def _jpeg(frame: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=80)
    return file.getvalue()
