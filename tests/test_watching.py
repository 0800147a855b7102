"""What `predict` does only once, only where it must, and only for a while: reading, telling apart, holding frames."""

import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from videos import encode

from dferlib import predict_faces
from dferlib.devices import threads
from dferlib.errors import InputError
from dferlib.inference import predictor as predicting
from dferlib.inference.clips import RATE
from dferlib.inference.writing import write_timelines
from dferlib.video import reading
from dferlib.video.faces.following import Linker, follow_all
from dferlib.video.faces.identity import Sight
from dferlib.video.faces.smoothing import SETTLED
from dferlib.video.faces.tracking import AHEAD, track_faces
from dferlib.video.pixels import Shown
from dferlib.video.reading import SampledVideo, probe

# --- imports


def test_the_help_and_the_first_line_need_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from dferlib.cli import main\n"
        "try: main(['predict', '--help'])\n"
        "except SystemExit: pass\n"
        "import dferlib.inference.writing\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'matplotlib', 'dlib', 'scipy', 'sklearn'}\n"
        "print('loaded:', sorted(heavy & sys.modules.keys()))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--checkpoint" in said and said.endswith("loaded: []\n")


def test_a_video_is_introduced_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = encode(tmp_path / "mine.mp4", [np.zeros((48, 64, 3), np.uint8)] * 50)

    def load(*given: object) -> None:
        assert capsys.readouterr().out == f"{path}: 2.0 s of 64 x 48 pixels\n"
        raise InputError("this is as far as it goes")

    monkeypatch.setattr(predicting, "Predictor", load)
    with pytest.raises(InputError, match="as far as it goes"):
        write_timelines([path], tmp_path / "none.safetensors", tmp_path)


# --- who is who

SIDE = 60  # pixels of a face


def face(seed: int, colour: int) -> np.ndarray:
    """Something that looks like nothing else, `(SIDE, SIDE, 3)`; its colour says who it is."""
    coarse = np.random.default_rng(seed).integers(140, 256, (6, 6), dtype=np.uint8)
    fine = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    out = np.repeat(fine[..., None], 3, 2)
    out[..., colour] = out[..., colour] // 4
    return out


ANNA, BERT = face(1, 1), face(2, 2)


def stage(*people: tuple[np.ndarray, float]) -> np.ndarray:
    """A dark frame with faces `(face, x)` in it; the later are in front."""
    frame = np.full((120, 400, 3), 30, np.uint8)
    for person, x in people:
        frame[30 : 30 + SIDE, round(x) : round(x) + SIDE] = person
    return frame


def find(frame: np.ndarray, side: float = 0) -> np.ndarray:
    """Both faces; nobody where they touch, but Bert where he hides Anna."""
    green, blue = ((frame[..., 0] > 100) & (frame[..., channel] < 90) for channel in (1, 2))
    spans = [np.flatnonzero(mask[40:80].mean(0) > 0.6) for mask in (blue, green)]
    if any(0 < len(span) < 0.9 * SIDE for span in spans):
        return np.empty((0, 3))
    return np.array([[span.mean() + 0.5, 60.0, SIDE] for span in spans if len(span)]).reshape(-1, 3)


class Describer:
    """Who a face is, by its colour; and how many it has been asked about."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        self.asked += len(boxes)
        colours = [frame[50:70, round(x) - 10 : round(x) + 10].mean((0, 1)) for x in boxes[:, 0]]
        return np.array([[float(colour[1] < 100), float(colour[2] < 100)] for colour in colours]).reshape(-1, 2)


@pytest.fixture
def describe(monkeypatch: pytest.MonkeyPatch) -> Describer:
    monkeypatch.setattr("dferlib.video.faces.tracking.detect", find)
    return Describer()


def video_of(path: Path, frames: Sequence[np.ndarray]) -> SampledVideo:
    """A video in which every frame is looked at."""
    return SampledVideo(probe(encode(path, frames, options={"crf": "12"})), 25.0)


def test_one_face_that_does_not_leave_its_place_is_not_asked_who_it_is(tmp_path: Path, describe: Describer) -> None:
    video = video_of(tmp_path / "one.mp4", [stage((ANNA, 100 + 30 * np.sin(k / 16))) for k in range(75)])
    (track,) = track_faces(video, describe)
    assert np.isfinite(track.boxes).all() and np.ptp(track.boxes[:, 0]) > 50  # it does move
    assert describe.asked == 0


def test_people_who_cross_are_told_apart(tmp_path: Path, describe: Describer) -> None:
    frames = [stage((ANNA, 20 + 4 * k), (BERT, 324 - 4 * k)) for k in range(75)]
    first, second = track_faces(video_of(tmp_path / "two.mp4", frames), describe)
    assert describe.asked > 0
    # Bert, who is in front, goes left all the time, and Anna right
    assert first.boxes[0, 0] > 300 and first.boxes[-1, 0] < 100 and np.isfinite(first.boxes).all()
    assert second.boxes[0, 0] < 100 and second.boxes[-1, 0] > 300
    by_place = track_faces(video_of(tmp_path / "two.mp4", frames))
    assert any(abs(track.boxes[0, 0] - track.boxes[-1, 0]) < 50 for track in by_place), (
        "place alone takes one for the other"
    )


def test_who_sits_in_the_place_of_another_after_a_cut_is_another(tmp_path: Path, describe: Describer) -> None:
    frames = [stage((ANNA if k < 30 else BERT, 100)) for k in range(60)]
    tracks = track_faces(video_of(tmp_path / "cut.mp4", frames), describe)
    there = sorted(np.flatnonzero(np.isfinite(track.boxes[:, 2])).tolist() for track in tracks)
    assert there == [list(range(30)), list(range(30, 60))]
    assert describe.asked <= 4, "only the looks around the cut"


def test_who_comes_back_elsewhere_is_known_again(tmp_path: Path, describe: Describer) -> None:
    """Anna leaves, Bert comes, and after him Anna on the other side."""
    shots = [(ANNA, 60.0)] * 30 + [None] * 25 + [(BERT, 60.0)] * 30 + [None] * 25 + [(ANNA, 300.0)] * 30
    frames = [stage(shot) if shot else stage() for shot in shots]
    anna, bert = track_faces(video_of(tmp_path / "back.mp4", frames), describe)
    assert np.flatnonzero(np.isfinite(anna.boxes[:, 2])).tolist() == [*range(30), *range(110, 140)]
    assert np.flatnonzero(np.isfinite(bert.boxes[:, 2])).tolist() == list(range(55, 85))
    assert describe.asked <= 12, "a few looks at each"


def test_the_same_place_has_changed_if_somebody_else_is_there() -> None:
    people = [face(seed, 1) for seed in range(6)]
    here, box = np.array([[130.0, 60.0, SIDE]]), np.array([[133.0, 60.0, SIDE]])
    for one in people:
        old = Sight(stage((one, 100)), here)
        assert not Sight(stage((one, 103)), box).changed(old)
        assert not Sight(np.repeat(np.repeat(stage((one, 103)), 2, 0), 2, 1), 2 * box).changed(old)  # a larger frame
        assert all(Sight(stage((other, 103)), box).changed(old) for other in people if other is not one)
    nothing = np.full((120, 400, 3), 90, np.uint8)
    assert not Sight(nothing, here).changed(Sight(nothing, here))
    assert Sight(stage((people[0], 100)), here).changed(Sight(nothing, here))


moments = st.lists(
    st.tuples(st.floats(0.05, 0.4), st.lists(st.tuples(st.floats(0, 300), st.floats(60, 120)), max_size=2)),
    min_size=1,
    max_size=60,
)


@settings(deadline=None, derandomize=True)
@given(video=moments)
def test_a_settled_box_is_that_of_the_whole_video(video: list) -> None:
    linker, times = Linker(), np.cumsum([0, *[gap for gap, _ in video]])
    found = [np.array([(x, 100.0, side) for x, side in boxes]).reshape(-1, 3) for _, boxes in video]
    early: dict[tuple[int, int], np.ndarray] = {}
    for now, (time, boxes) in enumerate(zip(times.tolist(), found, strict=False)):
        linker.add(time, boxes)
        for frame in range(now + 1):
            if time > times[frame] + SETTLED + 1e-6:
                for number in range(len(linker.faces)):
                    if (number, frame) not in early:
                        early[number, frame] = linker.settled(number, frame)
    for (number, frame), box in early.items():
        np.testing.assert_array_equal(box, linker.track(number)[frame])
    whole = follow_all(times[: len(found)], found)
    np.testing.assert_array_equal(whole, [linker.track(number) for number in linker.visible()])


# --- one passage, few frames


class Passages:
    """Counts how often a video is gone through, and the frames of it that are there at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passages, self.most, self._alive = 0, 0, weakref.WeakSet[Shown]()
        original = SampledVideo.shown

        def shown(video: SampledVideo, doing: str) -> Any:
            self.passages += 1
            return original(video, doing)

        counting = self

        class Counted(Shown):
            def __init__(self, *given: Any) -> None:
                super().__init__(*given)
                counting._alive.add(self)
                counting.most = max(counting.most, len(counting._alive))

        monkeypatch.setattr(SampledVideo, "shown", shown)
        monkeypatch.setattr(reading, "Shown", Counted)


@pytest.fixture
def passages(monkeypatch: pytest.MonkeyPatch) -> Passages:
    return Passages(monkeypatch)


def moving(seconds: float) -> list[np.ndarray]:
    return [stage((ANNA, 100 + 20 * np.sin(k / 16))) for k in range(round(25 * seconds))]


@pytest.mark.slow
@pytest.mark.parametrize("cropped", [False, True])
def test_the_frames_that_are_held_do_not_grow_with_the_video(
    tmp_path: Path,
    checkpoint: Path,
    describe: Describer,
    passages: Passages,
    monkeypatch: pytest.MonkeyPatch,
    cropped: bool,
) -> None:
    monkeypatch.setattr(predicting, "load_describer", lambda: describe)
    held = []
    for seconds in (6, 30):
        passages.most = passages.passages = 0
        (line,) = predict_faces(encode(tmp_path / "long.mp4", moving(seconds)), checkpoint, cropped=cropped)
        assert passages.passages == 1 and len(line.times) >= 4 * seconds - 1
        held.append(passages.most)
    assert held[0] == held[1] <= AHEAD + SETTLED * RATE + 6


def overtaken() -> list[np.ndarray]:
    """Anna alone, then Bert alone for longer: he is the most visible in the end."""
    return [stage((ANNA, 40) if k < 60 else (BERT, 300)) for k in range(150)]


@pytest.mark.slow
def test_a_face_that_comes_to_the_fore_late_is_asked_about_in_a_second_passage(
    tmp_path: Path, checkpoint: Path, describe: Describer, passages: Passages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "load_describer", lambda: describe)
    path = encode(tmp_path / "two.mp4", overtaken(), options={"crf": "12"})
    first, second = predict_faces(path, checkpoint, most=2)
    assert passages.passages == 1 and first.boxes[0, 0] > 250 > second.boxes[0, 0]
    (alone,) = predict_faces(path, checkpoint, most=1)
    assert passages.passages == 3  # one more, and another for Bert
    same(alone, first)
    monkeypatch.setattr(predicting, "LARGEST", 1000)
    for large, wanted in zip(predict_faces(path, checkpoint, most=2), (first, second), strict=True):
        same(large, wanted)
    assert passages.passages == 5


def same(one: Any, other: Any) -> None:
    for name in ("times", "probabilities", "boxes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert len(one.thumbnails) == len(other.thumbnails) > 0
    for (time, small), (then, wanted) in zip(one.thumbnails, other.thumbnails, strict=True):
        assert time == then and np.array_equal(small, wanted)


def test_a_step_in_which_no_face_is_seen_is_told(tmp_path: Path, checkpoint: Path, describe: Describer) -> None:
    frames = [stage((ANNA, 100)) if 20 <= k < 40 else stage() for k in range(75)]
    path = encode(tmp_path / "short.mp4", frames)
    with pytest.raises(InputError, match="take a smaller step"):
        predict_faces(path, checkpoint, step=2.5)


# --- threads


def test_the_number_of_threads_is_as_before(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, used = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        model = predicting.Predictor(checkpoint, "cpu")
        forward: Callable[..., Any] = model.model.forward_features
        monkeypatch.setattr(
            model.model, "forward_features", lambda *given: (used.append(torch.get_num_threads()), forward(*given))[1]
        )
        model.logits(np.zeros((1, model.spec.frames, 3, 64, 64), np.uint8))
        assert used == [1] and torch.get_num_threads() == 2
        with pytest.raises(KeyError), threads(1):
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
