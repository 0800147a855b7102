"""From a video to a timeline, from end to end."""

import csv
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import make_source

from dferlib import EMOTIONS, load_model, predict_video
from dferlib.cli import main
from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import prepare
from dferlib.errors import InputError
from dferlib.inference.clips import RATE, WINDOW, windows
from dferlib.inference.predictor import Predictor, predict_faces
from dferlib.inference.timeline import UNSURE, Timeline
from dferlib.inference.writing import write_timelines
from dferlib.training.known import Known, read_known, write_known
from dferlib.video.faces.cutting import cut
from dferlib.video.reading import read_video

REAL = Path(__file__).parents[2] / "shared" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the photographs and videos of real people are not here")


def write_video(path: Path, frames: list[np.ndarray], rate: int = 25) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(12)]
    return write_video(tmp_path_factory.mktemp("video") / "noise.mp4", frames)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Four seconds of a slowly changing pattern; whoever asks finds a face in it with `found_everywhere`."""
    y, x = np.mgrid[:120, :160]
    frames = [np.stack([x + k, y + k, x * 0 + 2 * k], -1).astype(np.uint8) for k in range(100)]
    return write_video(tmp_path / "my.holiday.mp4", frames)


@pytest.fixture
def found_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dferlib.video.faces.tracking.detect", lambda frame, side: np.array([[80.0, 60.0, 50.0]]))


def timeline(rows: list[list[float]], times: list[float] | None = None) -> Timeline:
    count = len(rows)
    when = np.array(times if times is not None else np.arange(count) / 4)
    faces_seen = tuple((float(t), np.full((8, 8, 3), 90, np.uint8)) for t in when[:10])
    box = np.random.default_rng(0).uniform(50, 100, (count, 3))
    return Timeline(Path("video.mp4"), float(when[-1]) + 0.5, when, np.array(rows), ("glad", "sad"), box, faces_seen)


@settings(deadline=None, derandomize=True)
@given(
    gaps=st.lists(st.floats(0.01, 0.6), min_size=1, max_size=40),
    hidden=st.sets(st.integers(0, 39)),
    step=st.floats(0.1, 1.0),
)
def test_windows_hold_what_is_near_and_shows_the_face(gaps: list[float], hidden: set[int], step: float) -> None:
    times = np.cumsum(gaps) - gaps[0]
    boxes = np.ones((len(times), 3))
    boxes[[k for k in hidden if k < len(times)]] = np.nan
    got = windows(times, boxes, step)
    middles = [middle for middle, _ in got]
    assert middles == sorted(set(middles)) and not set(middles) & hidden
    for middle, members in got:
        wanted = [k for k, t in enumerate(times) if abs(t - times[middle]) <= WINDOW / 2 + 1e-6 and k not in hidden]
        assert members.tolist() == wanted and middle in wanted
    for k in range(int(times[-1] / step) + 1):  # every step is answered by its nearest frame
        distance = np.abs(times - k * step)
        best = set(np.flatnonzero(distance <= distance.min() + 1e-9).tolist())
        assert best & (set(middles) | hidden)


@pytest.mark.slow
def test_the_timeline_is_what_the_model_says_of_each_window(
    video: Path, checkpoint: Path, found_everywhere: None
) -> None:
    got = predict_video(video, checkpoint)
    model = load_model(checkpoint)
    sampled = list(read_video(video, RATE))
    times = np.array([time for time, _ in sampled])
    crops = np.stack([cut(frame, np.array([80.0, 60, 50]), 64) for _, frame in sampled]).transpose(0, 3, 1, 2)
    placed = windows(times, np.ones((len(times), 3)), 0.25)
    assert len(got.times) == len(placed) == 17  # the last at the video's end
    for row, (middle, members) in enumerate(placed):
        clip = crops[members[segment_indices(len(members), model.input_spec.frames)]]
        with torch.no_grad():
            wanted = model(prepare(torch.from_numpy(clip)[None], model.input_spec)).softmax(1)[0]
        assert got.times[row] == times[middle]
        np.testing.assert_allclose(got.probabilities[row], wanted.numpy(), atol=1e-5)
    np.testing.assert_allclose(got.probabilities.sum(1), 1, atol=1e-12)
    assert got.classes == EMOTIONS and got.probabilities.std(0).max() > 1e-5
    np.testing.assert_allclose(got.boxes, [[80.0, 60.0, 50.0]] * 17)
    assert len(got.thumbnails) == 10 and all(face.shape == (112, 112, 3) for _, face in got.thumbnails)
    assert np.allclose(np.diff([time for time, _ in got.thumbnails]), got.duration / 10)


@pytest.fixture
def knowing(checkpoint: Path, tmp_path: Path) -> Path:
    """The same checkpoint, which says what it has learnt from: features of its own at random, and a limit."""
    path = tmp_path / "knowing.safetensors"
    path.write_bytes(checkpoint.read_bytes())
    clips = make_source(35, "train")
    features = torch.randn(35, load_model(path).head[-1].in_features, generator=torch.Generator().manual_seed(0))
    write_known(path, Known(features.half(), torch.arange(35, dtype=torch.uint8) % 7, 1.0), clips)
    return path


@pytest.mark.slow
def test_the_seconds_of_rest_are_the_zero_line(video: Path, knowing: Path, found_everywhere: None) -> None:
    predictor, seen = Predictor(knowing, "cpu"), []
    look = predictor.look
    predictor.look = lambda clips: seen.append(look(clips)) or seen[-1]  # type: ignore[method-assign,assignment,func-returns-value]
    plain = predictor.predict(video, most=1)[0]
    features = torch.cat(seen)
    rest = features[(plain.times >= 1) & (plain.times <= 2)].mean(0)
    assert ((plain.times >= 1) & (plain.times <= 2)).sum() == 5 < len(plain.times)
    neutral = read_known(knowing).features[2::7].double().mean(0)  # type: ignore[union-attr]
    wanted = predictor.judge(features + (0.5 * (neutral - rest)).float()).softmax(1).numpy()
    moved = predict_faces(video, knowing, most=1, device="cpu", rest=(1, 2))[0]
    np.testing.assert_allclose(moved.probabilities, wanted, atol=1e-5)
    assert np.abs(moved.probabilities - plain.probabilities).max() > 1e-3
    np.testing.assert_array_equal(moved.distances, plain.distances)
    with pytest.raises(InputError, match=r"face 1 is not seen from 50 s to 60 s"):
        predict_faces(video, knowing, most=1, device="cpu", rest=(50, 60))


@pytest.mark.slow
def test_the_command_says_what_was_learnt_from_and_where_faces_are_unlike_it(
    video: Path, knowing: Path, found_everywhere: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*more: str) -> str:
        command = [str(video), "--checkpoint", str(knowing), "--out", str(tmp_path / "out"), "--device", "cpu"]
        with pytest.raises(SystemExit) as ended:
            main(["predict", *command, *more])
        assert ended.value.code == 0
        return capsys.readouterr().out

    shown = told("--rest", "1", "2")
    assert f"{knowing} has learnt from 35 clips of " in shown and "unlike" not in shown
    known = read_known(knowing)
    assert known is not None
    write_known(knowing, replace(known, limit=1e-6), make_source(35, "train"))
    assert "unsure in 17 of 17 windows: the face is unlike those it has learnt from" in told()
    with (tmp_path / "out" / "my.holiday.timeline.csv").open(newline="") as file:
        assert {line["label"] for line in csv.DictReader(file)} == {UNSURE}


def test_boxes_are_in_pixels_of_the_video(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "large.mp4", [np.zeros((720, 1280, 3), np.uint8)] * 6)
    monkeypatch.setattr(
        "dferlib.video.faces.tracking.detect", lambda frame, side: np.array([[frame.shape[1] / 4, 90.0, 100.0]])
    )
    np.testing.assert_allclose(predict_video(path, checkpoint).boxes[0], [320, 180, 200])


@pytest.mark.slow
def test_moments_without_a_face_have_no_row(video: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the blue of the video rises by 2 a frame of 1/25 s: from 1.2 s to 2.4 s there is nobody
    def detect(frame: np.ndarray, side: float) -> np.ndarray:
        hidden = 60 <= frame[..., 2].mean() < 120
        return np.empty((0, 3)) if hidden else np.array([[80.0, 60.0, 50.0]])

    monkeypatch.setattr("dferlib.video.faces.tracking.detect", detect)
    got = predict_video(video, checkpoint)
    assert not ((got.times > 1.3) & (got.times < 2.3)).any()
    assert (got.times < 1.2).sum() >= 5 and (got.times > 2.4).sum() >= 5
    assert not [time for time, _ in got.thumbnails if 1.3 < time < 2.3]


def test_csv_and_json_read_back_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet([1, 1], 9)
    made = timeline(rows.tolist())
    made.to_csv(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for name, wanted in (
        *zip(made.classes, made.probabilities.T, strict=True),
        ("time", made.times),
        *zip(("x", "y", "side"), made.boxes.T, strict=True),
    ):
        np.testing.assert_array_equal([float(line[name]) for line in lines], wanted)
    assert [line["label"] for line in lines] == made.labels
    made.to_json(tmp_path / "t.json")
    read = json.loads((tmp_path / "t.json").read_text())
    assert read["classes"] == ["glad", "sad"] and len(read["windows"]) == 9
    np.testing.assert_array_equal([list(w["probabilities"].values()) for w in read["windows"]], made.probabilities)


def test_a_weak_answer_is_unsure() -> None:
    made = timeline([[0.9, 0.1], [0.5, 0.5], [0.499, 0.501]])
    assert made.labels == ["glad", UNSURE, "sad"]
    assert "unsure" in made.table() and len(timeline([[0.6, 0.4]] * 400).table().splitlines()) == 17


@pytest.mark.slow
@pytest.mark.parametrize(
    "times", [[0.0], [0.0, 0.25], [0.0, 0.25, 0.5, 3.0, 3.25, 5.0], np.arange(0, 600, 0.25).tolist()]
)
def test_the_figure_of_any_timeline_can_be_drawn(tmp_path: Path, times: list[float]) -> None:
    made = timeline([[k % 3 / 2, 1 - k % 3 / 2] for k in range(len(times))], times)
    made.plot(tmp_path / "t.png")
    with Image.open(tmp_path / "t.png") as image:
        assert len(image.convert("RGB").getcolors(maxcolors=image.width * image.height)) > 20 and min(image.size) > 500
    with pytest.raises(InputError, match="png"):
        made.plot(tmp_path / "t.xyz")
    assert [file.name for file in tmp_path.iterdir()] == ["t.png"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noise", "black"])
def test_a_video_without_a_face_says_so(
    tmp_path: Path, noise: Path, checkpoint: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = noise if kind == "noise" else write_video(tmp_path / "b.mp4", [np.zeros((96, 128, 3), np.uint8)] * 8)
    with pytest.raises(SystemExit) as status:
        main(["predict", str(path), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")])
    assert status.value.code == 1
    error = capsys.readouterr().err
    # a busy machine shows a progress bar before it
    assert error.endswith(f"dferlib: no face found in {path}: give a video in which a face looks towards the camera\n")
    assert not any((tmp_path / "out").iterdir())


def test_what_cannot_be_read_is_one_line_and_status_1(
    tmp_path: Path, checkpoint: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    for arguments, message in (
        ([str(tmp_path / "none.mp4"), "--checkpoint", str(checkpoint)], "there is no video"),
        ([str(video), "--checkpoint", str(checkpoint)], "truncated"),
        ([str(video), "--checkpoint", str(video)], "not safetensors"),
    ):
        with pytest.raises(SystemExit) as status:
            main(["predict", *arguments, "--out", str(tmp_path)])
        error = capsys.readouterr().err
        assert status.value.code == 1 and message in error and error.count("\n") == 1


@pytest.mark.slow
def test_one_bad_video_does_not_stop_the_others(
    tmp_path: Path, video: Path, checkpoint: Path, found_everywhere: None, capsys: pytest.CaptureFixture[str]
) -> None:
    same = tmp_path / "other"
    same.mkdir()
    twin = same / video.name
    twin.write_bytes(video.read_bytes())
    out = tmp_path / "out"
    with pytest.raises(InputError, match="1 of 3"):
        write_timelines([video, tmp_path / "none.mp4", twin], checkpoint, out, progress=False)
    printed = capsys.readouterr()
    assert "there is no video" in printed.err
    names = {f"my.holiday{number}.timeline.{kind}" for number in ("", "-2") for kind in ("png", "csv", "json")}
    assert {file.name for file in out.iterdir()} == names
    for word in (*EMOTIONS, str(out / "my.holiday.timeline.png")):
        assert word in printed.out


@pytest.mark.parametrize("step", [0.0, -1.0, 0.01, float("nan")])
def test_an_impossible_step_is_refused(noise: Path, checkpoint: Path, step: float) -> None:
    with pytest.raises(InputError, match="step"):
        predict_video(noise, checkpoint, step=step)


@pytest.mark.slow
def test_a_long_video_takes_no_more_memory_than_a_short_one(
    tmp_path: Path, checkpoint: Path, found_everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = np.zeros((1, 128))  # one person, whom nobody need describe
    monkeypatch.setattr("dferlib.inference.predictor.load_describer", lambda: lambda frame, boxes: looks)
    frames = [np.full((48, 64, 3), k % 250, np.uint8) for k in range(1200)]
    path = write_video(tmp_path / "long.mp4", frames, rate=10)
    predict_video(write_video(tmp_path / "short.mp4", frames[:20], rate=10), checkpoint)  # loads what is loaded once
    tracemalloc.start()
    got = predict_video(path, checkpoint, step=5.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    every_face = got.duration * RATE * 64 * 64 * 3
    assert len(got.times) == 25 and every_face > 17e6 and peak < 0.4 * every_face


@pytest.mark.slow
@needs_real
def test_a_smile_is_seen_where_it_is() -> None:
    trained = Path(__file__).parents[1] / "results" / "everyday" / "stt" / "best.safetensors"
    got = predict_video(REAL / "video" / "single_face.mp4", trained)
    happy = got.probabilities[:, EMOTIONS.index("happiness")]
    third = got.duration / 3
    assert len(got.times) == 10
    assert happy[got.times > 2 * third].mean() > happy[got.times < third].mean() + 0.1


@pytest.mark.slow
@needs_real
def test_the_video_without_a_face_is_refused(checkpoint: Path) -> None:
    with pytest.raises(InputError, match="no face found in"):
        predict_video(REAL / "video" / "no_face.mp4", checkpoint)
