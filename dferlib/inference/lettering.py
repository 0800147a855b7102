"""Names of any script in a drawing: as they are where the machine has a font for them, else spelled out."""

import unicodedata
from functools import lru_cache
from typing import Any, NamedTuple

from PIL import ImageFont, features

USUAL = "DejaVu Sans"  # which comes with matplotlib
RIGHT_TO_LEFT = ("R", "AL")  # such letters must be ordered and joined


class Font(NamedTuple):
    """A font of this machine.

    Attributes:
        family: as matplotlib names it.
        path: of its file.
    """

    family: str
    path: str


@lru_cache(maxsize=1000)
def find_fonts(text: str) -> tuple[Font, ...]:
    """The fonts that together have as many signs of a text as can be had: the usual one first, and few."""
    from matplotlib.font_manager import fontManager

    others = [entry for entry in fontManager.ttflist if "Last Resort" not in entry.name]  # which only has boxes
    others.sort(key=lambda entry: (entry.style != "normal", entry.weight != 400))
    usual = Font(USUAL, str(fontManager.findfont(USUAL)))
    fonts, missing = [usual], {sign for sign in text if not has_sign(usual.path, sign)}
    for entry in others:
        if not missing:
            break
        found = {sign for sign in missing if has_sign(entry.fname, sign)}
        fonts += [Font(entry.name, entry.fname)] if found else []
        missing -= found
    return tuple(fonts)


@lru_cache(maxsize=10_000)
def has_sign(path: str, sign: str) -> bool:
    """Whether a font has a sign; one of pixels has none that can be drawn in any size."""
    font = _load(path)
    return font is not None and bool(font.get_char_index(ord(sign)))


@lru_cache(maxsize=16)
def _load(path: str) -> Any:
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        return None
    return font if font.scalable else None


def write(text: str, fonts: tuple[Font, ...], *, shaped: bool) -> str:
    r"""A text in which the signs that no font has are spelled out, such as \u5feb.

    Args:
        text: as it is.
        fonts: those that there are.
        shaped: whether who draws puts letters that run from right to left in order.
    """

    def draws(sign: str) -> bool:
        ordered = shaped or unicodedata.bidirectional(sign) not in RIGHT_TO_LEFT
        return sign.isprintable() and ordered and any(has_sign(font.path, sign) for font in fonts)

    return "".join(sign if draws(sign) else sign.encode("unicode_escape").decode() for sign in text)


def for_pillow(text: str, size: float) -> tuple[str, Any]:
    """A text as Pillow can draw it, and the font, which is one for all of it.

    Args:
        text: as it is.
        size: of its letters in pixels.
    """
    if not (text.isascii() and text.isprintable()):
        for font in find_fonts(text):
            if write(text, (font,), shaped=bool(features.check("raqm"))) == text:
                return text, ImageFont.truetype(font.path, size)
        text = write(text, (), shaped=False)
    return text, ImageFont.load_default(size)


def for_matplotlib(*texts: str) -> tuple[dict[str, Any], list[str]]:
    """Settings with which matplotlib draws texts as they stand, and the texts as it can draw them."""
    from matplotlib import ft2font

    fonts, shaped = find_fonts("".join(texts)), hasattr(ft2font, "__libraqm_version__")
    # $ is money, unless somebody has asked for formulas
    settings = {"font.family": [font.family for font in fonts], "text.parse_math": False, "text.usetex": False}
    return settings, [write(text, fonts, shaped=shaped) for text in texts]
