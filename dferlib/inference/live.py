"""A camera, or any other pictures that come one by one, and what a model says of the face in them at that moment.

view = LiveView("best.safetensors")     in a notebook: the picture, a bar for each class, a button that stops it
view.start()

for moment in watch(pictures, "best.safetensors"):     the same without a widget
    print(moment.label)

Pictures stay in memory for a second and are then forgotten. Nothing is written, and nothing is sent anywhere.
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
from dferlib.inference.predictor import RATE, SURE, UNSURE, WINDOW, Predictor, Timeline, to_probabilities
from dferlib.video import faces
from dferlib.video.reading import upright

NOBODY = "no face"
PATIENCE = 5.0  # seconds without a picture after which a camera counts as gone
# what FFmpeg calls the cameras of each system, and the first of them
CAMERAS = {"Linux": ("v4l2", "/dev/video0"), "Darwin": ("avfoundation", "0:none"), "Windows": ("dshow", "")}

Pictures = Iterable[tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Moment:
    """What a model says of the last second.

    Attributes:
        time: seconds, as they came with the picture.
        picture: the last one, RGB uint8 `(H, W, 3)`.
        classes: names of the C classes.
        box: of the face in it: middle x, middle y and side in pixels; None if there is no face.
        probabilities: of each class, float64 `(C,)`; None if there is no face.
    """

    time: float
    picture: np.ndarray
    classes: tuple[str, ...]
    box: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    @property
    def label(self) -> str:
        """The most probable class, "unsure" if it has no more than half of the probability, or "no face"."""
        if self.probabilities is None:
            return NOBODY
        top = int(self.probabilities.argmax())
        return self.classes[top] if self.probabilities[top] > SURE else UNSURE

    def drawn(self) -> np.ndarray:
        """The picture with the box, the answer and the probabilities in it, uint8 `(H, W, 3)`."""
        if self.box is None or self.probabilities is None:
            return self.picture
        now, boxes = np.array([self.time]), self.box[None]
        seen = Timeline(Path(), 0.0, now, self.probabilities[None], self.classes, boxes, track=(now, boxes))
        return annotate(self.picture, [seen], self.time)


def watch(pictures: Pictures, checkpoint: Path | str, device: str = "auto") -> Iterator[Moment]:
    """Say of each picture what a model sees in the second that ends with it.

    At most 12 pictures a second are looked at; others that come in between are passed over. The most visible face of
    the last second counts. Nothing of the future is known, so that the boxes are not quite as steady as in
    `predict_video`, and an answer comes up to a second after the expression.

    Args:
        pictures: seconds, rising, and RGB uint8 `(H, W, 3)`: see `camera`, or `dferlib.video.reading.read_video`.
        checkpoint: a file that `save_model` wrote.
        device: where the model runs.

    Raises:
        InputError: the checkpoint cannot be read, or dlib is not installed.
    """
    predictor = Predictor(checkpoint, device)
    kept: deque[tuple[float, np.ndarray, np.ndarray]] = deque()
    for number, (now, picture) in enumerate(_spaced(pictures)):
        kept.append((now, picture, faces.detect(picture, faces.SIDE * faces.DITHER[number % len(faces.DITHER)])))
        while now - kept[0][0] > WINDOW + 1e-6:
            kept.popleft()
        yield _judged(predictor, *zip(*kept, strict=True))


def _spaced(pictures: Pictures) -> Iterator[tuple[float, np.ndarray]]:
    """The pictures that are at least a twelfth of a second apart, but for a hair."""
    last = -np.inf
    for now, picture in pictures:
        if now - last >= 0.9 / RATE:
            last = now
            yield now, picture


def _judged(
    predictor: Predictor, times: tuple[float, ...], pictures: tuple[np.ndarray, ...], found: tuple[np.ndarray, ...]
) -> Moment:
    """What is said at the end of a second of pictures and detections."""
    boxes = faces.follow(np.array(times), found)
    nothing = Moment(times[-1], pictures[-1], predictor.model.classes)
    if not np.isfinite(boxes[-1, 2]):
        return nothing
    chosen = predictor.choose(np.flatnonzero(np.isfinite(boxes[:, 2])))
    clip = np.stack([predictor.cut(pictures[k], boxes[k]) for k in chosen.tolist()])
    said = to_probabilities(predictor.logits(clip[None]))[0]
    return Moment(nothing.time, nothing.picture, nothing.classes, boxes[-1], said)


def camera(device: str = "", system: str = "") -> Iterator[tuple[float, np.ndarray]]:
    """The newest picture of a camera whenever one is asked for; those that come in between are forgotten.

    The camera is free again when the iterator is closed or given up.

    Args:
        device: which; the first one if not given. On Linux such as /dev/video0, on macOS a number such as 0:none, on
            Windows a name such as "video=Integrated Camera", which must be given.
        system: FFmpeg's name for the system's cameras, if not v4l2, avfoundation or dshow.

    Yields:
        Seconds since the first picture, and the picture, RGB uint8 `(H, W, 3)`.

    Raises:
        InputError: there is no such camera, it is used by another program, or it has stopped giving pictures.
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
            raise InputError(f"{device} gives no pictures: choose another camera")
        newest = _Newest(container)
        try:
            yield from newest
        finally:
            newest.close()


class _Newest:
    """Reads a camera in a thread of its own, and keeps the newest picture only."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self._container = container
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
            pass  # unplugged: there is no picture any more
        finally:
            with self._changed:
                self._over = True
                self._changed.notify()

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        start = None
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._frame is not None or self._over, PATIENCE):
                    raise InputError(f"the camera has given no picture for {PATIENCE:g} s: is it still there?")
                if self._frame is None:
                    return
                (now, frame), self._frame = self._frame, None
            start = now if start is None else start
            yield now - start, upright(frame.to_ndarray(format="rgb24"), frame.rotation)

    def close(self) -> None:
        """Let the thread end; the container must not be closed while it reads."""
        with self._changed:
            self._over = True
        self._thread.join(PATIENCE)


class LiveView:
    """A widget for notebooks that shows a camera, the face in it and what a model says of it, until it is stopped.

    Args:
        checkpoint: a file that `save_model` wrote.
        pictures: what to show instead of the first camera: `camera(device)` of another one, or a film's pictures.
        device: where the model runs.

    Attributes:
        widget: to be put into a cell's output. Its button calls `stop`.

    Raises:
        InputError: ipywidgets is not installed.
    """

    def __init__(self, checkpoint: Path | str, pictures: Pictures | None = None, device: str = "auto") -> None:
        try:
            import ipywidgets
        except ImportError as error:
            raise InputError('the live view needs ipywidgets: pip install "dferlib[notebook]"') from error
        self._checkpoint, self._pictures, self._device = checkpoint, pictures, device
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
        """Wait for the last picture; a camera has none."""
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """End at the next picture, and set the camera free."""
        self._stopped.set()
        self.wait()

    def _run(self) -> None:
        try:
            for moment in watch(self._until_stopped(), self._checkpoint, self._device):
                top = "" if moment.probabilities is None else f", {100 * moment.probabilities.max():.0f} %"
                self._image.value, self._words.value = _jpeg(moment.drawn()), f"{moment.label}{top}"
            self._words.value = "stopped" if self._stopped.is_set() else "no more pictures"
        except InputError as error:  # nobody would see it in a thread
            self._words.value = str(error)

    def _until_stopped(self) -> Iterator[tuple[float, np.ndarray]]:
        pictures = iter(camera() if self._pictures is None else self._pictures)
        try:
            for shown in pictures:
                if self._stopped.is_set():
                    return
                yield shown
        finally:
            if isinstance(pictures, Generator):
                pictures.close()  # which sets a camera free


def _jpeg(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=80)
    return file.getvalue()
