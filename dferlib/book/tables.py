"""Tables in one style, in the notebook, on Colab and on the page: a caption, numbers to the right, words left."""

import html
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

import pandas as pd

from dferlib.book.formats import Ranged, written


@dataclass(frozen=True)
class Table:
    """A table that a notebook and a page show.

    Attributes:
        html: what they show.
        text: the same for a terminal.
    """

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def table(frame: pd.DataFrame, caption: str, how: str | Mapping[str, str] = ".1", empty: str = "–") -> Table:
    """Rows and columns with a caption, for readers: names in words, units in the heads or in the caption.

    Args:
        frame: its index names the rows, the name of the index heads them; columns of numbers, intervals or words.
        caption: what the table shows, above it.
        how: how numbers that are not whole are written, see `dferlib.book.formats.written`; or this by the name of
            the column, where one that is not named is written as usual.
        empty: what stands where there is no number.
    """
    values = frame.astype(object)
    sides = ["left" if all(isinstance(value, str) for value in values[name]) else "right" for name in frame.columns]
    forms = [how if isinstance(how, str) else how.get(str(name), "") for name in frame.columns]
    heads = "".join(_head(str(name), side) for name, side in zip(frame.columns, sides, strict=True))
    body = ""
    for name, row in zip(frame.index, values.to_numpy(), strict=True):
        cells = (_cell(value, side, form, empty) for value, side, form in zip(row, sides, forms, strict=True))
        body += f'<tr><th scope="row" style="text-align: left">{html.escape(str(name))}</th>{"".join(cells)}</tr>'
    corner = _head(str(frame.index.name or ""), "left")
    shown = (
        f'<table class="numbers"><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{corner}{heads}</tr></thead><tbody>{body}</tbody></table>"
    )
    plain = frame.map(lambda value: written(value) if isinstance(value, Ranged) else value)
    return Table(shown, f"{caption}\n{plain.to_string()}")


def attributes(kind: type) -> dict[str, str]:
    """What the docstring of a class says of each of its attributes, in one line each.

    Args:
        kind: a class whose docstring ends with a section "Attributes:".
    """
    _, listed = inspect.cleandoc(kind.__doc__ or "").split("Attributes:\n")
    said = re.findall(r"^    (\w+): (.+?)(?=^    \w+: |\Z)", listed, re.MULTILINE | re.DOTALL)
    return {name: " ".join(words.split()).removesuffix(".") for name, words in said}


def _head(name: str, side: str) -> str:
    return f'<th scope="col" style="text-align: {side}">{html.escape(name)}</th>'


def _cell(value: object, side: str, how: str, empty: str) -> str:
    if value is None or value != value:  # NaN
        said = empty
    elif isinstance(value, Real | Ranged) and not isinstance(value, bool):
        said = written(value, "" if isinstance(value, Integral) else how).replace(" ", "&nbsp;")
        said = said.replace("&nbsp;(", " (")  # a line may end before an interval, and nowhere else
    else:
        said = html.escape(str(value))
    return f'<td style="text-align: {side}">{said}</td>'
