"""Any name of a file, and of a class: written, printed, and drawn as it is or spelled out."""

import io
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from PIL import Image, ImageDraw
from videos import encode, grey

from dferlib.cli import main
from dferlib.errors import InputError
from dferlib.files import spell
from dferlib.inference import lettering
from dferlib.inference.annotating import annotate
from dferlib.inference.timeline import Timeline
from dferlib.inference.writing import LONGEST, shorten, write_timelines
from dferlib.video.faces.tracking import Track
from dferlib.video.reading import probe, read_video

LATIN_1 = os.fsdecode(b"f\xeate")  # a name that is not UTF-8
NAMES = [
    "price $5 and $x^$ {0} %s 50%",
    "快乐",
    "سعيد",
    "feliz \U0001f600",
    "two\nlines\tand \x1b[31m",
    "%03d",
    "a:b?*",
    "-rf",
    "長" * 80,
    LATIN_1,
]
needs_any_name = pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="a file cannot have such a name here")


def test_a_name_is_spelled_where_it_cannot_be_printed() -> None:
    assert spell("a b.mp4") == "a b.mp4" and spell(Path("快乐/é.mp4")) == "快乐/é.mp4"
    assert spell("two\nlines\x1b") == r"two\nlines\x1b"
    assert spell(LATIN_1) == r"f\xeate"


def test_a_long_name_leaves_room() -> None:
    assert shorten("a" * LONGEST) == "a" * LONGEST
    assert shorten("長" * 80) == "長" * (LONGEST // 3)
    assert os.fsencode(shorten(LATIN_1 * 60)) == os.fsencode(LATIN_1 * 60)[:LONGEST]


@needs_any_name
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_video_of_any_name_is_read(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / "video.mp4", grey((40, 90, 140))).rename(tmp_path / f"{name}.mp4")
    assert probe(path).frames == len(list(read_video(path))) == 3


@needs_any_name
def test_a_photograph_named_as_a_series_is_one(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(grey([40 + 50 * number])[0]).save(tmp_path / f"me {number:02d}.png")
    Image.fromarray(grey([200])[0]).save(tmp_path / "me %02d.png")
    assert [int(frame.mean()) for _, frame in read_video(tmp_path / "me %02d.png")] == [200]


@needs_any_name
def test_no_name_ends_the_run(
    tmp_path: Path, checkpoint: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encode(tmp_path / "video.mp4", grey(range(30, 90, 10)))
    videos = [first.rename(tmp_path / f"{NAMES[0]}.mp4")]
    for name in NAMES[1:]:
        videos.append(tmp_path / f"{name}.mp4")
        videos[-1].write_bytes(videos[0].read_bytes())
    # a terminal that takes UTF-8 and nothing else, as most do
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict"))
    write_timelines(videos, checkpoint, tmp_path / "out", cropped=True, annotate=True)
    for name in NAMES:
        stem = tmp_path / "out" / shorten(name)
        assert json.loads(Path(f"{stem}.timeline.json").read_text())["video"] == str(tmp_path / f"{name}.mp4")
        assert probe(f"{stem}.annotated.mp4").frames == 6
        assert Image.open(f"{stem}.timeline.png").width > 1000


@needs_any_name
@pytest.mark.slow
def test_the_command_prints_any_name_on_any_terminal(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "video.mp4", grey((40, 90))).rename(tmp_path / f"快乐 {LATIN_1}.mp4")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii", errors="strict"))
    command = ["predict", str(path), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out"), "--cropped"]
    with pytest.raises(SystemExit) as status:
        main(command)
    sys.stdout.flush()
    assert status.value.code == 0 and rb"\u5feb\u4e50 f\xeate.mp4" in printed.getvalue()


# --- drawing


def timeline(name: str, classes: tuple[str, ...] = ("glad", "sad")) -> Timeline:
    times, rows, box = np.arange(5) / 4, np.tile([0.7, 0.3], (5, 1)), np.tile([60.0, 60.0, 40.0], (5, 1))
    return Timeline(Path(name), 1.25, times, rows, classes, box, track=Track(times, box))


def words(made: Timeline) -> list[str]:
    figure = made.figure()
    return [text.get_text() for axes in figure.axes for text in axes.findobj(matplotlib.text.Text)]


@pytest.fixture
def some_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A font of this machine that has one Chinese sign, a black square, and Latin letters, which are empty."""
    glyphs, pen = {".notdef": TTGlyphPen(None).glyph()}, TTGlyphPen(None)
    glyphs |= {f"u{code}": TTGlyphPen(None).glyph() for code in range(32, 127)}
    for point in ((0, 0), (0, 1000), (1000, 1000), (1000, 0)):
        pen.moveTo(point) if point == (0, 0) else pen.lineTo(point)
    pen.closePath()
    glyphs["u24555"] = pen.glyph()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({int(name[1:]): name for name in glyphs if name[0] == "u"})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": "One Sign", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "one-sign.ttf")
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist])
    fontManager.addfont(tmp_path / "one-sign.ttf")
    lettering.find_fonts.cache_clear()
    yield "\u5feb"
    lettering.find_fonts.cache_clear()


def test_a_dollar_is_no_formula(tmp_path: Path) -> None:
    name = "costs $5_x^$ \\frac{1} {0} %.mp4"
    made = timeline(name, ("$glad$", "$x^"))
    made.plot(tmp_path / "t.png")
    assert name in words(made) and "$glad$" in words(made)
    with matplotlib.rc_context({"text.usetex": True}):
        made.plot(tmp_path / "t.png")


def test_a_long_title_ends_within_the_figure() -> None:
    for name in ("长" * 80, "\u9577" * 80, "W" * 250):
        figure = timeline(f"{name}.mp4").figure()
        (title,) = [text for text in figure.axes[-1].findobj(matplotlib.text.Text) if text.get_text()]
        assert title.get_window_extent().x1 < figure.bbox.x1 and title.get_text().endswith(".mp4")


def test_the_format_is_asked_about_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = timeline("video.mp4")
    monkeypatch.setattr(Timeline, "figure", lambda self: pytest.fail("it was drawn"))
    for name in ("t.bmpp", "t"):
        with pytest.raises(InputError, match=r"end the name in \.png"):
            made.plot(tmp_path / name)

    def fail(self: Timeline) -> None:
        raise ValueError("something else")

    monkeypatch.setattr(Timeline, "figure", fail)
    with pytest.raises(ValueError, match="something else"):
        made.plot(tmp_path / "t.png")


def test_signs_that_no_font_has_are_spelled_out(tmp_path: Path) -> None:
    nobody = "\U000e0041"  # a tag, which is invisible and in no font of letters
    made = timeline(f"a{nobody}\n.mp4", (f"g{nobody}", "sad"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a missing glyph
        made.plot(tmp_path / "t.png")
    assert r"a\U000e0041\n.mp4" in words(made) and words(made).count(r"g\U000e0041") >= 1


def test_signs_that_a_font_has_are_drawn(some_font: str, tmp_path: Path) -> None:
    made = timeline(f"a{some_font}.mp4", (some_font, "sad"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.plot(tmp_path / "t.png")
        made.plot(tmp_path / "t.pdf")
    assert f"a{some_font}.mp4" in words(made)
    text, font = lettering.for_pillow(f"1  {some_font}", 20)
    assert text == f"1  {some_font}"
    canvas = Image.new("L", (120, 40))
    ImageDraw.Draw(canvas).text((0, 0), text, 255, font)
    assert (np.asarray(canvas) > 200).sum() == pytest.approx(20 * 20, rel=0.15)  # the square and nothing else


def test_arabic_is_in_the_font_that_comes_with_matplotlib(tmp_path: Path) -> None:
    made = timeline("سعيد.mp4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.plot(tmp_path / "t.png")
    assert "سعيد.mp4" in words(made)


def test_letters_from_right_to_left_are_spelled_where_nobody_orders_them() -> None:
    fonts = lettering.find_fonts("سعيد")
    assert lettering.write("سعيد", fonts, shaped=True) == "سعيد"
    assert lettering.write("a س", fonts, shaped=False) == r"a \u0633"


def test_the_names_of_classes_are_drawn_into_a_video(some_font: str) -> None:
    plain = np.full((240, 400, 3), 90, np.uint8)

    def drawn(name: str) -> np.ndarray:
        return annotate(plain, [timeline("video.mp4", (name, "sad"))], time=0.5)

    square = drawn(some_font)
    assert (square[35:49, 90:110] == 255).all(-1).sum() > 30  # the white sign on the first bar
    nobody = drawn("\U000e0041")
    assert np.array_equal(nobody, drawn(r"\U000e0041")) and not np.array_equal(nobody, square)
