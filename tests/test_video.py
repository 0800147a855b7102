"""Videos that are written here, frame by frame, so that what must come back is known."""

import tracemalloc
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dferlib.errors import InputError
from dferlib.video.reading import MAX_HOLD, SampledVideo, probe, read_video


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    times: Sequence[float],
    matrix: Sequence[int] | None = None,
    pixel: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode frames at the given seconds."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=1000)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        if pixel is not None:
            stream.codec_context.sample_aspect_ratio = pixel
        if matrix is not None:
            stream.set_display_matrix(matrix)
        ends = [*times[1:], times[-1] + 0.04]
        for pixels, time, end in zip(frames, times, ends, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            frame.duration = round((end - time) * 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbered(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Grey frames; the grey says which it is."""
    return [np.full((*size, 3), 20 + 200 * k // max(count - 1, 1), np.uint8) for k in range(count)]


def which(frame: np.ndarray, count: int) -> int:
    return round((float(frame.mean()) - 20) / 200 * (count - 1))


def steady(count: int, rate: float = 25) -> list[float]:
    return [k / rate for k in range(count)]


def uneven(count: int, seed: int) -> list[float]:
    """Times in whole milliseconds, from 10 ms to 400 ms apart."""
    return [0.0, *np.cumsum(np.random.default_rng(seed).integers(10, 400, count - 1) / 1000).tolist()]


@pytest.mark.parametrize("times", [steady(20), uneven(20, seed=0)], ids=["constant", "variable"])
@pytest.mark.parametrize("kind", ["mp4", "mkv", "mov"])
def test_every_frame_comes_at_its_time(tmp_path: Path, times: list[float], kind: str) -> None:
    path = write_video(tmp_path / f"video.{kind}", numbered(20), times)
    got = list(read_video(path))
    np.testing.assert_allclose([time for time, _ in got], times, atol=2e-3)
    assert [which(frame, 20) for _, frame in got] == list(range(20))
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for _, frame in got)


def test_probe_says_what_the_file_holds(tmp_path: Path) -> None:
    info = probe(write_video(tmp_path / "video.mp4", numbered(50), steady(50)))
    assert (info.width, info.height, info.frames) == (64, 48, 50)
    assert info.duration == pytest.approx(2.0, abs=0.04)  # how long the last frame lasts is up to the container
    assert info.rate == pytest.approx(25, rel=0.03)


@pytest.mark.parametrize("rate", [3.0, 12.0, 60.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_tick_shows_what_a_viewer_sees_then(tmp_path: Path, rate: float, seed: int) -> None:
    times = uneven(24, seed)
    path = write_video(tmp_path / "video.mp4", numbered(24), times)
    got = list(read_video(path, rate=rate))
    ticks = []
    while len(ticks) / rate <= times[-1]:
        ticks.append(len(ticks) / rate)
    seen = [max(k for k in range(24) if times[k] <= tick + 1e-6) for tick in ticks]
    np.testing.assert_allclose([time for time, _ in got], ticks, atol=1e-9)
    assert [which(frame, 24) for _, frame in got] == seen


def test_a_sampled_video_can_be_gone_through_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", numbered(24), uneven(24, 1))
    video = SampledVideo(probe(path), rate=12)
    wanted = list(read_video(path, rate=12))
    for _ in range(2):
        for (time, frame), (then, seen) in zip(video.frames("reading"), wanted, strict=True):
            assert time == then and np.array_equal(frame, seen)
    assert max(next(video.frames("reading", 32))[1].shape) == 32


def test_a_frame_does_not_stay_for_ever(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", numbered(4), [0.0, 0.5, 20.0, 20.5])
    times = [time for time, _ in read_video(path, rate=4)]
    assert max(time for time in times if time < 19) < 0.5 + MAX_HOLD
    assert [time for time in times if time > 19] == [20.0, 20.25, 20.5]


# 16.16 fixed point: (x, y) goes to (-y, x), clockwise where y points down: a phone held upright
CLOCKWISE = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]


def test_a_turned_video_is_turned_back(tmp_path: Path) -> None:
    frame = np.full((48, 64, 3), 30, np.uint8)
    frame[:16, :16] = 220  # top left, so that clockwise it ends top right
    path = write_video(tmp_path / "video.mp4", [frame] * 3, steady(3), matrix=CLOCKWISE)
    assert (probe(path).width, probe(path).height) == (48, 64)
    for _, seen in read_video(path):
        assert seen.shape == (64, 48, 3)
        assert seen[2:14, 34:46].mean() > 180
        assert seen[20:].mean() < 60 and seen[:14, :28].mean() < 60


def test_pixels_become_square_and_large_frames_smaller(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv", numbered(3), steady(3), pixel=Fraction(3, 2))
    assert (probe(path).width, probe(path).height) == (96, 48)
    assert next(read_video(path))[1].shape == (48, 96, 3)
    assert next(read_video(path, max_side=48))[1].shape == (24, 48, 3)
    assert next(read_video(path, max_side=4000))[1].shape == (48, 96, 3)


def test_only_a_few_frames_are_in_memory(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", numbered(100, (240, 320)), steady(100))
    tracemalloc.start()
    assert sum(1 for _ in read_video(path, rate=25)) == 100
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * 240 * 320 * 3


def bad_file(folder: Path, kind: str) -> Path:
    path = folder / "video.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path = folder / "video.txt"
        path.write_text("not a video\n" * 50)
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "play list":
        write_video(folder / "part.ts", numbered(5), steady(5))
        path = folder / "video.m3u8"
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\npart.ts\n#EXT-X-ENDLIST\n")
    elif kind == "sound":
        with wave.open(str(path := folder / "song.wav"), "wb") as song:
            song.setparams((1, 2, 8000, 0, "NONE", ""))
            song.writeframes(bytes(4000))
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there is no video"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "not a video"),
        ("noise", "not a video"),
        ("play list", "not a video"),
        ("sound", "not a video|no frames"),
    ],
)
def test_what_is_no_video_gets_one_clear_line(tmp_path: Path, kind: str, message: str) -> None:
    path = bad_file(tmp_path, kind)
    for attempt in (lambda: probe(path), lambda: next(read_video(path))):
        with pytest.raises(InputError, match=message) as caught:
            attempt()
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_video_without_frames_says_so(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="no frames"):
        probe(path)


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv", numbered(3), steady(3))
    named = b"V_MPEG4/ISO/ASP"  # what the file says of its encoding
    assert path.read_bytes().count(named) == 1
    path.write_bytes(path.read_bytes().replace(named, b"V_NONSENSE/1234"))
    with pytest.raises(InputError, match="cannot be decoded"):
        probe(path)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
@pytest.mark.parametrize(("kind", "options"), [("mp4", {"movflags": "faststart"}), ("mp4", {}), ("mkv", {})])
def test_a_truncated_video_is_refused(tmp_path: Path, part: float, kind: str, options: dict[str, str]) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(50)]
    path = write_video(tmp_path / f"video.{kind}", frames, steady(50), options=options)
    assert probe(path).frames == 50
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(InputError, match="truncated"):
        probe(path)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_an_impossible_rate_is_refused(tmp_path: Path, rate: float) -> None:
    path = write_video(tmp_path / "video.mp4", numbered(3), steady(3))
    with pytest.raises(InputError, match="rate"):
        next(read_video(path, rate=rate))


@pytest.fixture(scope="module")
def sound_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(8)]
    return write_video(tmp_path_factory.mktemp("video") / "video.mp4", frames, steady(8)).read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=30))
def test_damage_never_escapes_as_another_error(
    tmp_path: Path, sound_bytes: bytes, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(sound_bytes)
    for place, value in flips:
        data[int(place * len(data))] = value
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    try:
        probe(path)
        frames = [frame for _, frame in read_video(path, rate=10)]
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert frames and all(frame.ndim == 3 and frame.shape[2] == 3 for frame in frames)
