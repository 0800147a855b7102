"""Faces of a video under their probabilities: what plays is what was seen and said at that moment."""

import re
from pathlib import Path

import numpy as np
import pytest
from test_player import pictures
from videos import encode

from dferlib.book.replaying import replay
from dferlib.errors import InputError
from dferlib.inference.clips import RATE
from dferlib.inference.timeline import Timeline
from dferlib.video.faces.tracking import Track

SECONDS = 2


def video(folder: Path) -> Path:
    """Left a face that gets brighter, right one that gets darker."""
    frames = []
    for k in range(25 * SECONDS + 1):
        frame = np.zeros((64, 128, 3), np.uint8)
        frame[:, :64], frame[:, 64:] = 40 + 3 * k, 220 - 3 * k
        frames.append(frame)
    return encode(folder / "two.mp4", frames, options={"crf": "4"})


def told(path: Path, middle: float, rows: np.ndarray, out_of_sight: slice = slice(0)) -> Timeline:
    """A face at a place; three windows, at the beginning, in the middle and at the end."""
    times = np.arange(0, SECONDS + 0.01, 0.25)
    boxes = np.tile([middle, 32.0, 20.0], (len(times), 1))
    boxes[out_of_sight] = np.nan
    when = np.array([0.0, SECONDS / 2, SECONDS])
    return Timeline(path, SECONDS, when, rows, ("glad", "sad"), boxes[:3], track=Track(times, boxes))


def test_faces_and_curves_are_those_of_the_moment(tmp_path: Path) -> None:
    path = video(tmp_path)
    glad = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])  # in the middle neither is above one half
    found = replay({"left": told(path, 32, glad), "right": told(path, 96, glad[::-1])}, alt="Two", size=24)
    count = RATE * SECONDS + 1
    for sheet, first, slope in zip(pictures(found.html), (40, 220), (3, -3), strict=True):
        shades = sheet[12::24, 12::24, 0].ravel()[: int(count)]
        seen = np.floor(25 * np.arange(count) / RATE + 1e-6)  # the last frame that has come
        assert shades == pytest.approx(first + slope * seen, abs=8)
    lines = re.findall(r'points="([^"]*)"', found.html)
    heights = [1 - float(pair.split(",")[1]) / 100 for pair in lines[0].split()]
    when = np.arange(count) / RATE
    assert len(lines) == 4 and heights == pytest.approx(np.interp(when, [0, 1, 2], glad[:, 0]), abs=0.001)
    shades = re.findall(r'x="(\d+)" width="(\d+)"', found.html)
    assert len(shades) == 2 and all(int(x) == pytest.approx(250, abs=45) for x, _ in shades)
    assert all(int(wide) == pytest.approx(500, abs=60) for _, wide in shades), "nearer to the middle than to the ends"


def test_a_face_out_of_sight_is_looked_for_where_it_goes(tmp_path: Path) -> None:
    path, rows = video(tmp_path), np.full((3, 2), 0.5)
    assert (
        replay({"left": told(path, 32, rows, slice(3, 6))}, alt="One").html
        == replay({"left": told(path, 32, rows)}, alt="One").html
    )


def test_faces_of_two_videos_are_told(tmp_path: Path) -> None:
    rows = np.full((3, 2), 0.5)
    with pytest.raises(InputError, match="not of 2"):
        replay({"a": told(Path("a.mp4"), 32, rows), "b": told(Path("b.mp4"), 32, rows)}, alt="x")


def test_an_annotated_video_plays_above_the_curves_of_all_faces(tmp_path: Path) -> None:
    """What plays is the other file, whole and not too wide; the curves are those of the faces, each under its name."""
    path = video(tmp_path)
    frames = [np.full((600, 1200, 3), 4 * k, np.uint8) for k in range(25 * SECONDS + 1)]
    other = encode(tmp_path / "annotated.mp4", frames, options={"crf": "4"})
    glad = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    faces = {"left": told(path, 32, glad), "right": told(path, 96, glad[::-1])}
    found = replay(faces, alt="Two", annotated=other)
    (sheet,) = pictures(found.html)
    assert sheet.shape[1] % 480 == 0 and sheet.shape[0] % 240 == 0
    count = int(RATE * SECONDS + 1)
    shades = sheet[120::240, 240::480, 0].ravel()[:count]
    assert shades == pytest.approx(4 * np.floor(25 * np.arange(count) / RATE + 1e-6), abs=8)
    drawn = re.findall(r'<polyline[^>]*points="([^"]*)"', found.html)
    alone = re.findall(r'<polyline[^>]*points="([^"]*)"', replay(faces, alt="Two", size=24).html)
    assert drawn == alone and len(drawn) == 4
    assert found.html.index("class: left") < found.html.index("class: right")
