"""Several faces in a video, and the video with what the model says drawn into it."""

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import call

from dferlib import EMOTIONS, annotate_video, create_model, list_models, predict_faces, predict_video, save_model
from dferlib.cli import main
from dferlib.errors import InputError
from dferlib.inference.annotating import MAX_SIDE, annotate
from dferlib.inference.describing import load_describer
from dferlib.inference.timeline import Heat, Timeline
from dferlib.inference.writing import write_timelines
from dferlib.video.faces.cutting import CROP, cut
from dferlib.video.faces.finding import load_detector
from dferlib.video.faces.tracking import Track
from dferlib.video.reading import probe, read_video

BOXES = np.array([[60.0, 60.0, 40.0], [200.0, 70.0, 30.0]])


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds whose halves change differently; odd sides, and frames that are unevenly spaced."""
    path = tmp_path / "party.mkv"
    y, x = np.mgrid[:121, :261]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 121, 261, "bgr0"
        for k in range(40):
            blue = np.where(x < 130, 2 * k, 200 - 2 * k)
            pixels = np.stack([x % 256, y, blue], -1).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = k + k // 2
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def two_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dferlib.video.faces.tracking.detect", lambda frame, side: BOXES.copy())


def timeline(face: int = 1, heat: Heat | None = None) -> Timeline:
    times, boxes = np.arange(5) / 4, np.repeat(BOXES[face - 1 : face], 5, 0)
    rows = np.tile([0.7, 0.3], (5, 1))
    track = Track(np.arange(13) / 12, np.repeat(BOXES[face - 1 : face], 13, 0))
    return Timeline(Path("video.mp4"), 1.0, times, rows, ("glad", "sad"), boxes, (), face, track, heat)


@pytest.mark.slow
def test_each_face_has_its_own_timeline(video: Path, checkpoint: Path, two_people: None) -> None:
    first, second = predict_faces(video, checkpoint)
    assert (first.face, second.face) == (1, 2)
    np.testing.assert_allclose(first.boxes, np.repeat(BOXES[:1], len(first.boxes), 0))
    np.testing.assert_allclose(second.boxes, np.repeat(BOXES[1:], len(second.boxes), 0))
    np.testing.assert_allclose(first.probabilities, predict_video(video, checkpoint).probabilities)
    assert np.abs(first.probabilities - second.probabilities).max() > 1e-4
    assert len(predict_faces(video, checkpoint, most=1)) == 1
    with pytest.raises(InputError, match="0 faces"):
        predict_faces(video, checkpoint, most=0)


def test_who_takes_the_place_of_another_is_another_face(
    video: Path, checkpoint: Path, two_people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Left, the blue rises from frame to frame: after half of the video somebody else sits there."""
        return np.array([[float(frame[5, 5, 2] > 40), 0], [0, 1]])

    monkeypatch.setattr("dferlib.inference.predictor.load_describer", lambda: describe)
    found = predict_faces(video, checkpoint, most=3)
    assert len(found) == 3
    left = sorted((one for one in found if abs(one.boxes[0, 0] - BOXES[0, 0]) < 1), key=lambda one: one.times[0])
    assert len(left) == 2 and left[0].times[-1] < left[1].times[0]


def test_a_cropped_video_needs_no_detector(video: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    load_detector.cache_clear()
    load_describer.cache_clear()
    with pytest.raises(InputError, match="say that it is cropped"):
        predict_faces(video, checkpoint)
    (only,) = predict_faces(video, checkpoint, cropped=True)
    np.testing.assert_allclose(only.boxes, np.repeat([[130.5, 60.5, 121 / CROP]], len(only.boxes), 0))
    load_detector.cache_clear()
    load_describer.cache_clear()


@pytest.mark.slow
def test_the_heat_is_grad_cam_of_each_window(video: Path, checkpoint: Path, two_people: None) -> None:
    from dferlib import load_model
    from dferlib.data.transforms import prepare
    from dferlib.evidence.explain import grad_cam

    (first,) = predict_faces(video, checkpoint, most=1, heat=True)
    plain = predict_faces(video, checkpoint, most=1)[0]
    np.testing.assert_allclose(first.probabilities, plain.probabilities)
    assert plain.heat is None and first.heat is not None
    heat, model = first.heat, load_model(checkpoint)
    frames = model.input_spec.frames
    assert heat.maps.shape == (len(first.times), frames, 14, 14) and heat.times.shape == (len(first.times), frames)
    assert heat.share == 56 / 64
    window = 2
    shown = dict(read_video(video, 12))
    near = min(shown, key=lambda t: abs(t - first.times[window]))
    assert near == pytest.approx(first.times[window])
    pixels = [cut(shown[min(shown, key=lambda s: abs(s - t))], BOXES[0], 64) for t in heat.times[window]]
    clip = prepare(torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy())[None], model.input_spec)[0]
    wanted, label = grad_cam(model, clip)
    assert label == first.probabilities[window].argmax()
    blocks = wanted.reshape(frames, 14, 4, 14, 4).mean((2, 4))
    np.testing.assert_allclose(heat.maps[window] / 255, blocks, atol=0.02)


def test_boxes_words_and_bars_are_drawn_where_they_belong() -> None:
    plain = np.full((240, 400, 3), 90, np.uint8)
    got = annotate(plain, [timeline()], time=0.5)
    assert (plain == 90).all() and got.shape == plain.shape  # the original is left alone
    half = CROP * 20
    left, right = round(60 - half), round(60 + half)
    assert (got[60, [left, right]].astype(int) - 90).max(1).min() > 80  # the box, yellow on grey
    assert (got[60, left + 3 : right - 3] == 90).all() and (got[60, 380] == 90).all()
    # the bar of the first class is 7 / 3 times as long as that of the second
    rows = [np.ptp(np.flatnonzero(got[y, 90:].max(1).astype(int) > 110)) for y in (39, 49)]
    assert rows[0] > rows[1]
    both = annotate(plain, [timeline(), timeline(2)], time=0.5)
    assert (both[70, round(200 - CROP * 15)] != 90).any() and (got[70, round(200 - CROP * 15)] == 90).all()
    assert (annotate(plain, [timeline()], time=9.0) == 90).all()  # the face is not seen then
    large = annotate(np.full((480, 800, 3), 90, np.uint8), [timeline()], time=0.5, scale=2.0)
    assert (large[120, [round(120 - 2 * half), round(120 + 2 * half)]] != 90).any(1).all()


@pytest.mark.parametrize(("middles", "sides"), [((170, 290), ("left", "right")), ((80, 400), ("right", "left"))])
def test_bars_keep_off_other_faces(middles: tuple[int, int], sides: tuple[str, str]) -> None:
    """Of two faces that are near each other the bars stand outside; at the edges of the frame they stand inside."""
    frame = np.full((240, 480, 3), 100, np.uint8)
    faces = []
    for face, middle in enumerate(middles, 1):
        boxes = np.tile([middle, 120.0, 60.0], (5, 1))
        track = Track(np.arange(13) / 12, np.tile(boxes[:1], (13, 1)))
        rows = np.tile([0.7, 0.3], (5, 1))
        faces.append(Timeline(Path("v.mp4"), 1.0, np.arange(5) / 4, rows, ("glad", "sad"), boxes, (), face, track))
    shown = annotate(frame, faces, time=0.5)
    changed = (shown != 100).any(-1)
    half = round(CROP * 60 / 2)
    for middle, side in zip(middles, sides, strict=True):
        near = {
            "left": changed[:, middle - half - 12 : middle - half - 6],
            "right": changed[:, middle + half + 7 : middle + half + 12],
        }
        below = slice(120 - half + 12, 120 - half + 18)  # under the word that stands above the box
        assert near[side][below].all() and not near[{"left": "right", "right": "left"}[side]][below].any()


def test_heat_colours_the_face_where_it_is() -> None:
    maps = np.zeros((5, 2, 14, 14), np.uint8)
    maps[2, :, 9:, 4:10] = 255  # below the middle
    heat = Heat(np.arange(5)[:, None] / 4 + np.array([-0.1, 0.1]), maps, 0.875)
    plain = np.full((240, 400, 3), 90, np.uint8)
    change = np.abs(
        annotate(plain, [timeline(heat=heat)], time=0.5).astype(int) - annotate(plain, [timeline()], time=0.5)
    ).sum(-1)
    assert change[72:78, 55:65].min() > 60 and change[:60].max() == 0 and change[:, 84:].max() == 0
    later = annotate(plain, [timeline(heat=heat)], time=0.95).astype(int) - annotate(plain, [timeline()], time=0.95)
    assert (later == 0).all()


@pytest.mark.slow
def test_the_video_has_every_frame_at_its_time(video: Path, checkpoint: Path, two_people: None, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    annotate_video(predict_faces(video, checkpoint), out)
    original, made = list(read_video(video)), list(read_video(out))
    assert len(made) == len(original) == 40
    np.testing.assert_allclose([time for time, _ in made], [time for time, _ in original], atol=2e-3)
    assert made[0][1].shape == (120, 260, 3)  # even sides
    # outside of what was drawn it is the original, up to what the codec costs
    for (_, before), (_, after) in zip(original[::9], made[::9], strict=True):
        assert np.abs(before[:20, 200:258].astype(int) - after[:20, 200:258]).mean() < 12
    with pytest.raises(InputError, match="one video"):
        annotate_video([], out)
    with pytest.raises(InputError, match=r"end the name in \.mp4"):
        annotate_video([*predict_faces(video, checkpoint)], tmp_path / "out.avi")


def test_a_large_video_is_written_smaller(tmp_path: Path, checkpoint: Path) -> None:
    path = tmp_path / "large.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for _ in range(3):
            frame = np.full((1080, 1920, 3), 90, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    annotate_video(predict_faces(path, checkpoint, cropped=True), tmp_path / "small.mp4")
    info = probe(tmp_path / "small.mp4")
    assert (info.width, info.height) == (MAX_SIDE, 720)
    frame = next(read_video(tmp_path / "small.mp4"))[1].astype(int)
    assert np.abs(frame[360, 276:284] - 90).max() > 40  # the left edge of the middle square


@pytest.mark.slow
def test_the_command_writes_a_timeline_a_face_and_the_annotated_video(
    video: Path, checkpoint: Path, two_people: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as status:
        main(["predict", str(video), "--checkpoint", str(checkpoint), "--out", str(out), "--faces", "3", "--annotate"])
    assert status.value.code == 0
    names = {f"party{face}.timeline.{kind}" for face in ("", ".face2") for kind in ("png", "csv", "json")}
    assert {file.name for file in out.iterdir()} == names | {"party.annotated.mp4"}
    assert [json.loads((out / f"party{face}.timeline.json").read_text())["face"] for face in ("", ".face2")] == [1, 2]
    printed = capsys.readouterr().out
    assert "face 2" in printed and str(out / "party.annotated.mp4") in printed and EMOTIONS[0] in printed


@pytest.mark.slow
def test_several_videos_have_one_bar(
    video: Path, checkpoint: Path, two_people: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_timelines([video, video], checkpoint, tmp_path / "out")
    assert "videos: 100%" in capsys.readouterr().err


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of something that moves in the middle, 64 pixels wide."""
    path = tmp_path_factory.mktemp("face") / "face.mp4"
    y, x = np.mgrid[:64, :64]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for k in range(6):
            pixels = np.stack([4 * x, 4 * y, 120 + 100 * (np.hypot(x - 20 - 4 * k, y - 32) < 9)], -1).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_the_command_draws_the_heat_of_every_model(name: str, face: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_model(create_model(name), tmp_path / "m.safetensors")
    where = ["--checkpoint", tmp_path / "m.safetensors", "--out", tmp_path, "--device", "cpu"]
    command = ["predict", face, "--cropped", *where]
    drawn = {}
    for options in (["--annotate"], ["--annotate", "--heat"]):
        assert call(*command, *options) == 0
        drawn[len(options)] = [frame.astype(int) for _, frame in read_video(tmp_path / "face.annotated.mp4")]
    assert len(drawn[1]) == len(drawn[2]) == 6
    assert max(np.abs(one - other).max() for one, other in zip(drawn[1], drawn[2], strict=True)) > 20
