"""Frames as they come: what is said of the last second, the camera, the widget."""

import io
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from dferlib import load_model
from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import prepare
from dferlib.errors import InputError
from dferlib.inference.live import LiveView, Moment, camera, watch
from dferlib.inference.timeline import UNSURE
from dferlib.video.faces.cutting import cut

BOX = np.array([80.0, 60.0, 50.0])


@pytest.fixture
def found_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dferlib.inference.live.detect", lambda frame, side: BOX[None].copy())


def frame(k: int) -> np.ndarray:
    y, x = np.mgrid[:120, :160]
    picture = np.stack([x, y, 120 * ((x + 5 * k) // 20 % 2)], -1).astype(np.uint8)
    picture[0, 0, 2] = 4 * k  # outside the face
    return picture


def stream(count: int, rate: float = 12) -> Iterator[tuple[float, np.ndarray]]:
    return ((k / rate, frame(k)) for k in range(count))


@pytest.mark.slow
def test_each_moment_is_what_the_model_says_of_the_second_before(checkpoint: Path, found_everywhere: None) -> None:
    moments, model = list(watch(stream(30), checkpoint)), load_model(checkpoint)
    assert len(moments) == 30
    for now, moment in enumerate(moments):
        window = range(max(0, now - 12), now + 1)
        chosen = [window[k] for k in segment_indices(len(window), model.input_spec.frames)]
        clip = np.stack([cut(frame(k), BOX, 64) for k in chosen]).transpose(0, 3, 1, 2).copy()
        with torch.no_grad():
            wanted = model(prepare(torch.from_numpy(clip)[None], model.input_spec)).softmax(1)[0]
        np.testing.assert_allclose(moment.probabilities, wanted, atol=1e-5)
        np.testing.assert_allclose(moment.box, BOX)
        assert moment.time == now / 12 and (moment.frame == frame(now)).all()
    said = np.stack([moment.probabilities for moment in moments])
    assert said.std(0).max() > 1e-5


def test_a_fast_camera_is_thinned_out_and_a_slow_one_is_not(checkpoint: Path, found_everywhere: None) -> None:
    fast = [moment.time for moment in watch(stream(60, rate=60), checkpoint)]
    assert 9 <= len(fast) <= 13 and min(np.diff(fast)) >= 0.9 / 12
    assert len(list(watch(stream(6, rate=3), checkpoint))) == 6


def test_a_face_that_is_gone_is_not_answered_for(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dferlib.inference.live.detect", lambda seen, side: BOX[None].copy() if seen[0, 0, 2] < 60 else BOX[None][:0]
    )
    moments = list(watch(stream(30), checkpoint))
    assert [moment.label == "no face" for moment in moments] == [False] * 15 + [True] * 15
    gone = moments[-1]
    assert gone.box is None and (gone.annotated() == gone.frame).all()
    assert (moments[0].annotated() != moments[0].frame).any()


def test_a_weak_answer_is_unsure() -> None:
    for row, wanted in (([0.9, 0.1], "glad"), ([0.5, 0.5], UNSURE)):
        assert Moment(0.0, frame(0), ("glad", "sad"), BOX, np.array(row)).label == wanted


@pytest.mark.slow
def test_frames_are_forgotten_after_a_second(checkpoint: Path, found_everywhere: None) -> None:
    class Kept(np.ndarray):
        """An array that can be counted."""

    seen: list[weakref.ref[Kept]] = []

    def shown() -> Iterator[tuple[float, np.ndarray]]:
        for k in range(60):
            one = frame(k).view(Kept)
            seen.append(weakref.ref(one))
            yield k / 12, one

    for _ in watch(shown(), checkpoint):
        assert sum(one() is not None for one in seen) <= 16


def write_video(path: Path, count: int = 12) -> Path:
    with av.open(str(path), "w") as container:
        out = container.add_stream("ffv1", rate=12)
        out.width, out.height, out.pix_fmt = 160, 120, "bgr0"
        for k in range(count):
            container.mux(out.encode(av.VideoFrame.from_ndarray(frame(k), format="rgb24")))
        container.mux(out.encode())
    return path


def readers() -> int:
    return sum("_read" in thread.name for thread in threading.enumerate())


def test_a_camera_gives_its_newest_frame_and_is_set_free(tmp_path: Path) -> None:
    path = str(write_video(tmp_path / "c.mkv"))  # FFmpeg reads it as it reads a camera, only faster
    shown = list(camera(path, "matroska"))
    assert (shown[-1][1] == frame(11)).all() and shown[0][0] == 0
    assert (np.diff([now for now, _ in shown]) > 0).all() and readers() == 0
    slow = camera(path, "matroska")
    next(slow)
    time.sleep(0.3)  # whoever is slow misses what came meanwhile
    assert (next(slow)[1] == frame(11)).all()
    slow.close()
    assert readers() == 0


def test_no_camera_is_one_line() -> None:
    with pytest.raises(InputError, match="cannot open the camera /dev/no-such-camera"):
        next(camera("/dev/no-such-camera"))


def test_a_camera_that_falls_silent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dferlib.inference.live.PATIENCE", 0.1)

    class Silent:
        streams = type("S", (), {"video": (1,)})

        def __enter__(self) -> "Silent":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def decode(self, video: int) -> Iterator[None]:
            time.sleep(0.5)
            yield from ()

    monkeypatch.setattr(av, "open", lambda *_, **__: Silent())
    with pytest.raises(InputError, match=r"no frame for 0\.1 s"):
        next(camera("x"))


def test_the_widget_shows_the_last_frame(checkpoint: Path, found_everywhere: None) -> None:
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    view = LiveView(checkpoint, stream(5))
    image, row = view.widget.children
    words = row.children[1]
    assert words.value == "not started"
    view.start()
    view.wait()
    assert words.value == "no more frames"
    with Image.open(io.BytesIO(image.value)) as shown:
        assert shown.size == (160, 120) and shown.format == "JPEG"
        wanted = list(watch(stream(5), checkpoint))[-1].annotated()
        assert np.abs(np.asarray(shown).astype(int) - wanted).mean() < 8
    with pytest.raises(InputError, match="started before"):
        view.start()


def test_the_button_stops_an_endless_stream_and_closes_it(checkpoint: Path, found_everywhere: None) -> None:
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    closed, shown = threading.Event(), threading.Event()

    def endless() -> Iterator[tuple[float, np.ndarray]]:
        try:
            for k in range(10**9):
                yield k / 12, frame(k)
                shown.set()
        finally:
            closed.set()

    view = LiveView(checkpoint, endless())
    view.start()
    assert shown.wait(30)
    button, words = view.widget.children[1].children
    button.click()
    assert closed.is_set() and words.value == "stopped"
    view.stop()  # once more does no harm


def test_what_goes_wrong_is_told_in_the_widget(tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    view = LiveView(tmp_path / "none.safetensors", stream(3))
    view.start()
    view.wait()
    assert "none.safetensors" in view.widget.children[1].children[1].value
