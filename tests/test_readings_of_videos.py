"""What people's videos and photographs are like: joined, turned, mirrored, of several streams, sizes and depths."""

import gc
import itertools
import logging
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, ColorTrc
from PIL import Image, ImageOps
from videos import ALONE, corner, dolby, encode, grey, heic, joined

from dferlib.data.sets.files import image_size, read_image
from dferlib.errors import InputError
from dferlib.inference.annotating import annotate_video
from dferlib.inference.clips import ClipForm, FaceClips
from dferlib.inference.timeline import Timeline
from dferlib.video.clock import Clock
from dferlib.video.faces.aligning import align
from dferlib.video.faces.tracking import track_faces, track_middle
from dferlib.video.hdr import to_screen
from dferlib.video.reading import SampledVideo, probe, read_video

QUIET = {"x265-params": f"log-level=none:{ALONE}"}
RAMP = range(30, 230, 10)  # greys of twenty frames


def greys(path: Path) -> list[int]:
    return [round(float(frame.mean())) for _, frame in read_video(path)]


# --- the clock


@pytest.mark.parametrize(
    ("suffix", "codec"), [("ts", "libx264"), ("ts", "mpeg2video"), ("mpg", "mpeg1video"), ("m2v", "mpeg2video")]
)
@pytest.mark.parametrize("first", [0, 20, 10**6], ids=["again", "on", "jump"])
def test_time_goes_on_where_files_were_joined(tmp_path: Path, suffix: str, codec: str, first: int) -> None:
    one = encode(tmp_path / f"one.{suffix}", grey(RAMP), codec)
    two = encode(tmp_path / f"two.{suffix}", grey(RAMP), codec, first=first)
    path = joined(tmp_path / f"both.{suffix}", one, two)
    info, times = probe(path), [time for time, _ in read_video(path)]
    assert info.frames == 40 and info.duration == pytest.approx(40 / 25, abs=0.05)
    np.testing.assert_allclose(times, np.arange(40) / 25, atol=0.05)
    np.testing.assert_allclose(greys(path), [*greys(one), *greys(two)], atol=3)


def moved(kind: str, times: list[int], keys: set[int]) -> list[int]:
    """Where packets of 25 a second come to lie, whose file has the time of decoding for that of showing."""
    clock, out = Clock(kind), []
    for k, time in enumerate(times):
        packet = av.Packet(b"0")
        packet.time_base, packet.duration = Fraction(1, 25), 1
        packet.pts = packet.dts = time
        packet.is_keyframe = k in keys
        clock.move(packet)
        out.append(packet.pts)
    return out


def test_only_a_new_recording_starts_the_clock_again() -> None:
    mixed = [0, 3, 1, 2, 6, 4, 5]
    assert moved("matroska,webm", mixed, keys={0}) == mixed
    assert moved("mpegts", [*mixed, *mixed], keys={0, 7}) == [*mixed, *(7 + time for time in mixed)]
    assert moved("mpegts", [0, 1, 2, 3000, 3001], keys={0}) == [0, 1, 2, 3, 4]  # two minutes: a jump here ...
    assert moved("matroska,webm", [0, 1, 2, 3000, 3001], keys={0}) == [0, 1, 2, 3000, 3001]  # ... and a gap there
    assert moved("matroska,webm", [0, 1, 10**9, 10**9 + 1], keys={0}) == [0, 1, 2, 3]
    assert moved("avi", [0, 1, 1 << 62, 2], keys={0, 2})[-1] == 2


def test_a_gap_in_time_stays(tmp_path: Path) -> None:
    one, two = encode(tmp_path / "one.ts", grey(RAMP)), encode(tmp_path / "two.ts", grey(RAMP), first=100)
    times = [time for time, _ in read_video(joined(tmp_path / "both.ts", one, two))]
    # to two frames: whatever is shown before it is decoded is moved by the program that writes it
    np.testing.assert_allclose(times, [*np.arange(20) / 25, *(4 + np.arange(20) / 25)], atol=0.081)


def test_frames_with_one_time_all_come(tmp_path: Path) -> None:
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=1000)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "bgr0"
        for values, time in zip(grey(RAMP), np.repeat(range(10), 2).tolist(), strict=True):
            frame = av.VideoFrame.from_ndarray(values, format="rgb24")
            frame.pts = 0
            for packet in stream.encode(frame):
                packet.pts = packet.dts = 40 * time
                packet.time_base = Fraction(1, 1000)
                container.mux(packet)
    times = [time for time, _ in read_video(path)]
    assert len(times) == 20 and (np.diff(times) > 0).all() and times[-1] == pytest.approx(0.36, abs=0.01)


def test_a_bare_stream_has_its_frames_counted(tmp_path: Path) -> None:
    info = probe(encode(tmp_path / "video.h264", grey(RAMP)))
    assert info.frames == 20 and info.duration == pytest.approx(0.8)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "flv", "asf"])
def test_what_would_be_read_by_half_is_refused(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": "libvpx", "flv": "flv1", "asf": "wmv2"}.get(suffix, "libx264")
    one, two = (encode(tmp_path / f"{name}.{suffix}", grey(RAMP), codec) for name in ("one", "two"))
    assert probe(one).frames == 20
    with pytest.raises(InputError, match="several videos in one file"):
        probe(joined(tmp_path / f"both.{suffix}", one, two))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("nut", "mpeg4"), ("nut", "ffv1"), ("rm", "rv10"), ("ivf", "libvpx"), ("y4m", "rawvideo")]
)
@pytest.mark.parametrize("size", [(48, 64), (96, 128)])
def test_the_head_of_the_next_video_is_not_taken_for_a_frame(
    tmp_path: Path, suffix: str, codec: str, size: tuple[int, int]
) -> None:
    one, two = encode(tmp_path / f"one.{suffix}", grey(RAMP), codec), tmp_path / f"two.{suffix}"
    encode(two, grey(RAMP, size), codec)
    assert probe(one).frames == 20 and len(greys(one)) == 20
    with pytest.raises(InputError, match="several videos in one file"):
        probe(joined(tmp_path / f"both.{suffix}", one, two))


CODECS = ("libx264", "libx265", "mpeg2video", "mpeg4")


@pytest.mark.parametrize("suffix", ["ts", "m2ts"])
@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(CODECS, 2)))
def test_a_codec_that_changes_at_a_join_is_refused(tmp_path: Path, first: str, second: str, suffix: str) -> None:
    """One half was lost: without a word, or as "damaged"."""
    one = encode(tmp_path / f"one.{suffix}", grey(RAMP), first, options=QUIET)
    two = encode(tmp_path / f"two.{suffix}", grey(RAMP), second, options=QUIET)
    with pytest.raises(InputError, match="from one codec to another"):
        probe(joined(tmp_path / f"both.{suffix}", one, two))


@pytest.mark.parametrize("codec", CODECS)
def test_no_frame_is_taken_for_the_beginning_of_another_codec(tmp_path: Path, codec: str) -> None:
    """Noise has every pattern of bits that there can be."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 240, 320, 3), dtype=np.uint8)
    path = encode(tmp_path / "noise.ts", noise, codec, options=QUIET | {"g": "6", "b": "20000000"})
    assert path.stat().st_size > 500_000 and probe(path).frames == 24


def test_a_gif_that_follows_another_is_not_overlooked(tmp_path: Path) -> None:
    made = [encode(tmp_path / f"{n}.gif", grey(RAMP[:n], (96, 128)), "gif", "rgb8") for n in (9, 11)]
    assert [probe(path).frames for path in made] == [9, 11]
    with pytest.raises(InputError, match="several videos in one file"):
        probe(joined(tmp_path / "both.gif", *made))


def test_the_heads_of_a_second_ogg_are_no_lost_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = (encode(tmp_path / f"{k}.ogg", grey([k]), "libvpx") for k in (60, 160))
    np.testing.assert_allclose(greys(joined(tmp_path / "both.ogg", one, two)), (60, 160), atol=3)
    assert not caplog.records


def test_frames_that_are_lost_are_counted_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "video.avi", grey(RAMP), "mjpeg", "yuvj420p")
    data = bytearray(path.read_bytes())
    for start in [k for k in range(len(data)) if data[k : k + 4] == b"00dc"][3:6]:
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        data[start + 8 : start + 8 + length] = bytes(length)
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "dferlib"):
        assert len(list(read_video(path))) == 17
        assert len(list(read_video(path))) == 17
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 3 of its 20 frames cannot be decoded and are left out"
    ]


def test_an_empty_packet_does_not_end_the_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.avi", grey(RAMP), "mjpeg", "yuvj420p")
    data = path.read_bytes()
    place = data.index(b"00dc", data.index(b"movi")) + 4
    length = struct.unpack("<I", data[place : place + 4])[0]
    step = 8 + length + length % 2
    # a frame that shows what was shown before has no bytes: the third one becomes such a frame and a filler
    third = place - 4 + 2 * step
    filler = b"00dc" + bytes(4) + b"JUNK" + struct.pack("<I", step - 16) + bytes(step - 16)
    without_index = data[:third] + filler + data[third + step : data.index(b"idx1")]
    path.write_bytes(without_index)
    assert len(list(read_video(path))) >= 18


def test_an_avi_may_end_in_empty_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.avi", grey(RAMP[:1]), "mjpeg", "yuvj420p", first=30)  # written as 30 empty ones
    assert probe(path).frames == 1
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="truncated"):
        probe(path)


# --- sizes


def part(path: Path, size: tuple[int, int], wide: Fraction | None = None, first: int = 0) -> Path:
    """Two seconds in which a white square stands a quarter from the left and halfway down."""
    frame = np.full((*size, 3), 40, np.uint8)
    side = size[0] // 4
    frame[size[0] // 2 - side // 2 :, size[1] // 4 - side // 2 :][:side, :side] = 220
    return encode(path, [frame] * 50, wide=wide, first=first)


@pytest.fixture
def grown(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A small video, a large one, and both as one."""
    small, large = part(tmp_path / "small.ts", (120, 160)), part(tmp_path / "large.ts", (240, 320))
    return small, large, joined(tmp_path / "both.ts", small, large)


def find_square(frame: np.ndarray, side: float = 0) -> np.ndarray:
    """Where it is, to stand for a detector."""
    y, x = np.nonzero(frame[..., 0] > 130)
    return np.array([[x.mean() + 0.5, y.mean() + 0.5, np.sqrt(len(x))]])


def crops(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The boxes and the middle frame of each clip."""
    video = SampledVideo(probe(path), 12.0)
    (track,) = track_faces(video)
    made, clips = FaceClips(video.info, step=0.25, form=ClipForm(4, 1, size=48)), []
    for k, (box, (_, frame)) in enumerate(zip(track.boxes, video.frames("reading"), strict=True)):
        clips += made.add(k, box=box, times=track.times, frame=frame)
    return track.boxes, np.stack([*clips, *made.close()])[:, 2]


def test_a_part_of_another_size_has_the_boxes_and_crops_that_it_has_alone(
    grown: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dferlib.video.faces.tracking.detect", find_square)
    small, large, both = (crops(path) for path in grown)
    np.testing.assert_allclose(both[0], np.tile([40, 60, 30], (48, 1)), atol=0.6)  # in pixels of the first
    np.testing.assert_allclose(large[0], np.tile([80, 120, 60], (24, 1)), atol=0.6)
    assert np.abs(both[1][0].astype(int) - small[1][0]).max() < 12
    assert np.abs(both[1][-1].astype(int) - large[1][-1]).max() < 12


def test_the_middle_of_each_size_is_its_own(tmp_path: Path, grown: tuple[Path, Path, Path]) -> None:
    small, _, _ = grown
    tall = part(tmp_path / "tall.ts", (320, 240))
    (track,) = track_middle(SampledVideo(probe(joined(tmp_path / "turned.ts", small, tall)), 12.0))
    first, last = track.boxes[0] * 1.15, track.boxes[-1] * 1.15
    np.testing.assert_allclose(first, [80 * 1.15, 60 * 1.15, 120])
    np.testing.assert_allclose(last, [60 * 1.15, 80 * 1.15, 120])  # 120 x 160 where the longer side is 160


def test_the_annotated_copy_shows_the_whole_of_each_size(
    grown: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dferlib.video.faces.tracking.detect", find_square)

    def copy(path: Path) -> list[np.ndarray]:
        (track,) = track_faces(SampledVideo(probe(path), 12.0))
        rows = np.tile([0.7, 0.3], (len(track.times), 1))
        info = probe(path)
        one = Timeline(path, info.duration, track.times, rows, ("glad", "sad"), track.boxes, track=track)
        annotate_video([one], out := tmp_path / "copy.mp4")
        return [frame for _, frame in read_video(out)]

    small, large, both = grown
    got, alone, before = copy(both), copy(large), copy(small)
    assert len(got) == 100 and {frame.shape for frame in got} == {(240, 320, 3)}
    assert np.abs(got[-1].astype(int) - alone[-1]).mean() < 3
    doubled = np.asarray(Image.fromarray(before[10]).resize((320, 240), Image.Resampling.BILINEAR))
    assert np.abs(got[10].astype(int) - doubled).mean() < 6


def test_an_aligned_clip_may_change_its_size(grown: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def landmarks(frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Five points of the box, as a face that looks straight ahead has them."""
        five = np.array([[0.4, -0.2], [0.15, -0.2], [-0.15, -0.2], [-0.4, -0.2], [0, 0.2]])
        return boxes[:, None, :2] + boxes[:, None, 2:] * five

    monkeypatch.setattr("dferlib.video.faces.aligning.detect", find_square)
    monkeypatch.setattr("dferlib.video.faces.aligning.find_landmarks", landmarks)
    small, large, both = (align(lambda path=path: (f for _, f in read_video(path)), 48) for path in grown)
    assert small is not None and large is not None and both is not None
    assert np.abs(both[:50].astype(int) - small).mean() < 2
    assert np.abs(both[50:].astype(int) - large).mean() < 2


def test_a_pixel_may_have_another_shape_in_another_part(tmp_path: Path) -> None:
    anamorphic, square = part(tmp_path / "one.ts", (120, 160), Fraction(3, 2)), part(tmp_path / "two.ts", (96, 192))
    frames = [frame.shape[:2] for _, frame in read_video(joined(tmp_path / "both.ts", anamorphic, square, anamorphic))]
    assert frames == [(120, 240)] * 50 + [(96, 192)] * 50 + [(120, 240)] * 50


# --- turned and mirrored

# of the eight, what brings a stored frame upright, as ISO/IEC 14496-12 writes it: x' = ax + cy, y' = bx + dy
EIGHT: dict[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]] = {
    (1, 0, 0, 1): lambda frame: frame,
    (-1, 0, 0, 1): np.fliplr,
    (-1, 0, 0, -1): lambda frame: np.rot90(frame, 2),
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda frame: frame.swapaxes(0, 1),
    (0, 1, -1, 0): lambda frame: np.rot90(frame, -1),
    (0, -1, -1, 0): lambda frame: np.rot90(frame.swapaxes(0, 1), 2),
    (0, -1, 1, 0): lambda frame: np.rot90(frame),
}


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("matrix", EIGHT, ids=str)
def test_the_whole_display_matrix_counts(tmp_path: Path, matrix: tuple[int, ...], suffix: str) -> None:
    a, b, c, d = matrix
    path = encode(tmp_path / f"video.{suffix}", [corner()] * 3, "mpeg4", matrix=[a, b, 0, c, d, 0])
    wanted = EIGHT[a, b, c, d](corner())
    info = probe(path)
    assert (info.height, info.width) == wanted.shape[:2]
    for _, frame in read_video(path):
        assert frame.shape == wanted.shape and np.abs(frame.astype(int) - wanted).mean() < 8


@pytest.mark.parametrize("degrees", [1, 44, 89, 91, 134, 180, 271, 359])
@pytest.mark.parametrize("mirrored", [False, True])
def test_what_is_askew_is_turned_as_near_as_it_can_be(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(degrees, hflip=mirrored)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(corner(), format="rgb24")))
        container.mux(stream.encode())
    wanted = np.rot90(corner(), round(degrees / 90))
    wanted = np.fliplr(wanted) if mirrored else wanted
    frame = next(read_video(path))[1]
    assert frame.shape == wanted.shape and np.abs(frame.astype(int) - wanted).mean() < 8


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_upright_in_all_eight_orientations(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(corner()).save(path, exif=exif, **({} if suffix == "png" else {"quality": 95}))
    with Image.open(path) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    info, ((_, frame),) = probe(path), list(read_video(path))
    assert (info.height, info.width) == wanted.shape[:2] == frame.shape[:2]
    assert np.abs(frame.astype(int) - wanted).mean() < 4
    if suffix in ("jpg", "png"):  # as a frame of a data set
        np.testing.assert_array_equal(read_image(str(path), None), wanted.transpose(2, 0, 1))
        assert image_size(str(path)) == wanted.shape[1::-1]


# --- depth, colours, streams


def test_a_frame_is_set_free_when_the_next_one_comes(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.mp4", [corner()] * 30, "mpeg4", matrix=[0, 1, 0, -1, 0, 0])

    def count() -> int:
        return sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())

    gc.collect()
    before = count()
    gc.disable()  # what stays is in a circle
    try:
        for _ in read_video(path):
            pass
        assert count() - before < 10
    finally:
        gc.enable()


def ramp() -> np.ndarray:
    return np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)


@pytest.mark.parametrize("pixels", ["gray16be", "rgb48be", "rgba64be", "ya16be"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, pixels: str) -> None:
    path = tmp_path / "frame.png"
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp(), format="gray16le").reformat(format=pixels)))
        container.mux(stream.encode())
    wanted = ramp()[..., None] / 257
    assert np.abs(next(read_video(path))[1] - wanted).max() < 2
    assert np.abs(read_image(str(path), None).transpose(1, 2, 0) - wanted).max() < 1.5


def test_grey_of_sixteen_bits_in_a_video(tmp_path: Path) -> None:
    path = tmp_path / "infra-red.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "gray16le"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp(), format="gray16le")))
        container.mux(stream.encode())
    assert np.abs(next(read_video(path))[1] - ramp()[..., None] / 257).max() < 2


def pq(light: float) -> float:
    """The signal of a light in cd/m2 (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    part = (light / 10000) ** m1
    return ((c1 + c2 * part) / (1 + c3 * part)) ** m2


def hlg(light: float) -> float:
    """The signal of a light in cd/m2 on a screen of 1000 cd/m2 (ITU-R BT.2100)."""
    scene = (light / 1000) ** (1 / 1.2)
    a, b = 0.17883277, 0.28466892
    return (3 * scene) ** 0.5 if scene <= 1 / 12 else a * np.log(12 * scene - b) + 0.55991073


@pytest.mark.parametrize(("curve", "number"), [(pq, 16), (hlg, 18)])
@pytest.mark.parametrize("tagged", [True, False])
def test_hdr_is_shown_as_an_ordinary_screen_shows_it(
    tmp_path: Path, curve: Callable[[float], float], number: int, tagged: bool
) -> None:
    lights = [1, 10, 50, 100, 200, 600]  # cd/m2; white paper has 203
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": f"log-level=none:{ALONE}:crf=4"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.color_range = number, 1
        if tagged:
            stream.codec_context.color_primaries = stream.codec_context.colorspace = 9  # BT.2020
        for k, light in enumerate(lights):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            for plane, value in zip(frame.planes, (64 + 876 * curve(light), 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, round(value), np.uint16).tobytes())
            frame.pts, frame.color_range, frame.color_trc = k, 1, number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    wanted = [255 * min(1.0, light / 203) ** (1 / 2.4) for light in lights]  # ITU-R BT.1886
    got = [frame.reshape(-1, 3).mean(0) for _, frame in read_video(path)]
    np.testing.assert_allclose(got, np.repeat(wanted, 3).reshape(-1, 3), atol=4)
    small = [frame for _, frame in read_video(path, max_side=32)]
    assert small[0].shape == (24, 32, 3)
    np.testing.assert_allclose([frame.mean() for frame in small], wanted, atol=4)


@pytest.mark.slow
@pytest.mark.parametrize("curve", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67])
def test_hdr_has_the_colours_that_swscale_makes(curve: ColorTrc) -> None:
    signal = np.random.default_rng(0).uniform(0.4, 0.46, (8, 8, 3))  # pale: the screen has all of these colours
    pixels = (65535 * signal).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le")
    frame.color_trc, frame.color_primaries = curve, ColorPrimaries.BT2020
    reference = frame.reformat(
        format="rgb24", dst_color_trc=ColorTrc.BT709, dst_color_primaries=ColorPrimaries.BT709
    ).to_ndarray()
    np.testing.assert_allclose(to_screen(pixels, curve).astype(int), reference, atol=3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_what_only_dolby_vision_can_colour_is_refused(tmp_path: Path, suffix: str) -> None:
    alone = dolby(tmp_path / f"profile5.{suffix}", grey(RAMP), profile=0, full_range=1)
    for attempt in (lambda: probe(alone), lambda: next(read_video(alone))):
        with pytest.raises(InputError, match=r"profile5.* is Dolby Vision of profile 5.*convert it to SDR"):
            attempt()
    beside = dolby(tmp_path / f"profile8.{suffix}", grey(RAMP), profile=1, full_range=0)
    np.testing.assert_allclose(greys(beside), RAMP, atol=3)


def test_a_later_part_in_dolby_vision_is_refused(tmp_path: Path) -> None:
    beside = dolby(tmp_path / "beside.ts", grey(RAMP), profile=1, full_range=0)
    alone = dolby(tmp_path / "alone.ts", grey(RAMP), profile=0, full_range=1)
    with pytest.raises(InputError, match="Dolby Vision of profile 5"):
        list(read_video(joined(tmp_path / "both.ts", beside, alone)))


@pytest.mark.parametrize("default", [0, 1, 2])
def test_of_several_streams_the_default_one_is_read(tmp_path: Path, default: int) -> None:
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(3)]
        for k, stream in enumerate(streams):
            stream.height, stream.width, stream.pix_fmt = 48, 64 + 16 * k, "yuv420p"
            stream.disposition = Disposition.default if k == default else Disposition.original
        for number, (k, stream) in itertools.product(range(5), enumerate(streams)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64 + 16 * k, 3), 50 + 50 * k, np.uint8), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    assert probe(path).width == 64 + 16 * default and probe(path).frames == 5
    np.testing.assert_allclose(greys(path), [50 + 50 * default] * 5, atol=3)


def test_pixels_that_cannot_be_converted_are_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.colorspace = 10  # BT.2020 with constant luminance
        stream.codec_context.color_trc = 16
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.colorspace, frame.color_trc = 10, 16
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match=r"cannot be shown: its pixels are yuv420p.*convert it"):
        next(read_video(path))


# --- albums


def test_an_animated_webp_says_what_to_do(tmp_path: Path) -> None:
    one, *more = (Image.fromarray(frame) for frame in grey((40, 90, 140)))
    one.save(tmp_path / "moves.webp", save_all=True, append_images=more, duration=40)
    for attempt in (lambda path: probe(path), lambda path: next(read_video(path))):
        with pytest.raises(InputError, match=r"animated WebP.*save it as GIF"):
            attempt(tmp_path / "moves.webp")
    one.save(tmp_path / "stands.webp")
    assert len(list(read_video(tmp_path / "stands.webp"))) == 1


def test_an_animated_avif_has_all_its_frames(tmp_path: Path) -> None:
    one, *more = (Image.fromarray(frame) for frame in grey((40, 90, 140)))
    one.save(tmp_path / "moves.avif", save_all=True, append_images=more, duration=40)
    np.testing.assert_allclose(greys(tmp_path / "moves.avif"), (40, 90, 140), atol=3)
    assert probe(tmp_path / "moves.avif").frames == 3


def test_heic_shows_its_main_image_or_says_what_to_do(tmp_path: Path) -> None:
    images = grey((40, 90, 140), (64, 64))
    np.testing.assert_allclose(greys(heic(tmp_path / "one.heic", images[:1])), [40], atol=3)
    np.testing.assert_allclose(greys(heic(tmp_path / "burst.heic", images)), [40], atol=3)
    with pytest.raises(InputError, match=r"in tiles.*save it as JPEG"):
        probe(heic(tmp_path / "phone.heic", images, tiles=True))
