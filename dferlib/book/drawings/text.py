"""How wide words are: in DejaVu Sans, the widest of the fonts that browsers take for sans-serif, so that all fit."""

from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont

_MEASURE = 100  # pixels of the font that is measured; widths scale
_ROUNDED = 1.03  # browsers round every letter to the pixels of a screen


@cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), _MEASURE)


@cache
def width_of(text: str, size: float, bold: bool = False) -> float:
    """How many pixels a line of text takes at most, in a font of that many pixels."""
    return _font(bold).getlength(text) * size / _MEASURE * _ROUNDED


def wrap(text: str, size: float, width: float, bold: bool = False) -> list[str]:
    """The lines that a text falls into where it may be that wide. A word that is wider has a line of its own.

    What a no-break space joins stays in one line.
    """
    lines: list[str] = []
    for word in filter(None, text.split(" ")):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size, bold) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
