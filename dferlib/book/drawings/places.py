"""The map of the book: the way from a clip to an answer, every chapter at its place on it, and where the reader is."""

import re

from dferlib.book.drawings.canvas import FONTS, Bounds, Box, Canvas, pen
from dferlib.book.drawings.canvas import Path as Shape
from dferlib.book.drawings.drawing import Drawing, Sheet
from dferlib.book.drawings.text import wrap
from dferlib.book.folders import LIBRARY
from dferlib.errors import InputError, choose

# the way, and the chapters at each place, each with a few words
PLACES: dict[str, dict[str, str]] = {
    "Data": {"01_makefaces": "MakeFaces", "02_a_face_in_motion": "A face in motion", "13_data_sets": "Data sets"},
    "Sampling": {"03_from_video_to_tensor": "From video to tensor"},
    "Frame features": {
        "05_before_attention": "Frames, memory, volumes",
        "22_masked_autoencoder": "Without labels",
    },
    "Attention, time": {
        "06_attention": "Attention",
        "07_stt": "STT",
        "09_logo_former": "LOGO-Former",
        "10_msstnet": "MSSTNet",
        "11_staner": "STANER",
    },
    "Head": {"08_compact_loss": "The compact loss"},
    "Answers": {
        "04_measuring": "Measuring",
        "12_costs": "Costs",
        "14_your_own_video": "Your own video",
        "15_rendered_to_real": "Rendered to real",
        "16_audit": "An audit",
        "17_claims": "The claims",
        "18_one_thing_changed": "One thing changed",
        "19_maps": "Maps",
        "20_using_time": "Using time",
        "21_features": "Features",
    },
}
WIDE, GAP, HIGH, LINE = 114.0, 6.0, 30.0, 13.0


def chapters() -> list[str]:
    """The names of the chapters in the order of reading, from the book's table of contents.

    Raises:
        InputError: the table of contents is missing.
    """
    for place in (LIBRARY / "shipped" / "_toc.yml", LIBRARY.parent / "_toc.yml"):
        if place.is_file():
            return re.findall(r"^ *- file: notebooks/(\S+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
    raise InputError(f"{LIBRARY} came without the book's _toc.yml: install dferlib from a clone or its wheel")


def book_map(current: str | None = None) -> Drawing:
    """Draw where in the book the reader is.

    Args:
        current: the name of a chapter, such as "07_stt", or None before the first. What comes before it in the table
            of contents is drawn as read, what comes after it as still to come.

    Raises:
        InputError: no such chapter.
    """
    order = chapters()
    here = order.index(choose("chapter", current, order)) if current is not None else -1
    known = {name for some in PLACES.values() for name in some}
    rest = [name for name in order if name not in known]
    places = {place: {name: words for name, words in some.items() if name in order} for place, some in PLACES.items()}
    if rest:  # a chapter that has no place yet
        places["More"] = {name: name.split("_", 1)[-1].replace("_", " ").capitalize() for name in rest}
    columns = [[_place(title, some, order, here)] for title, some in places.items()]
    said = "The way from data to answers, with the chapters at each place: "
    said += "; ".join(f"{title}: {', '.join(some.values())}" for title, some in places.items())
    if current is not None:
        word = next(some[current] for some in places.values() if current in some)
        said += f". You are at {_number(current)}, {word}"
    return Drawing("Where in the book you are", f"{said}.", columns, WIDE, GAP, len(columns))


def _number(name: str) -> str:
    """The number that a chapter's file bears."""
    return str(int(found.group())) if (found := re.match(r"\d+", name)) else ""


def _place(title: str, some: dict[str, str], order: list[str], here: int) -> Sheet:
    """A place on the way and its chapters."""
    canvas, y = Canvas(), HIGH + 6
    current = any(order.index(name) == here for name in some)
    tip = 8.0
    outline = pen("M1 1H", WIDE - tip, "L", WIDE - 1, HIGH / 2, "L", WIDE - tip, HIGH - 1, "H1L", tip, HIGH / 2, "z")
    canvas.put(Shape(Bounds(1, 1, WIDE - 1, HIGH - 1), outline, "here" if current else "plain"))
    canvas.words(WIDE / 2 + 2, HIGH / 2 + 4.5, title, "place inside" if current else "place", "middle")
    for name, words in some.items():
        place = order.index(name)
        look = "here" if place == here else "frame" if place < here else "plain"
        top, at = y, y + 16
        lines = wrap(words, FONTS["text"][0], WIDE - 36, place == here)
        canvas.words(9, at, _number(name), "eq inside" if place == here else "eq")
        for line in lines:
            canvas.words(30, at, line, "count inside" if place == here else "count")
            at += LINE
        y = at - LINE + 9
        canvas.behind.append(Box(Bounds(1, top, WIDE - 1, y), look))
        canvas.said.append(f"{_number(name)} {words}" + (" (you are here)" if place == here else ""))
        y += 5
    return Sheet(title, canvas, y)
