"""Tables in one style, in the notebook, on Colab and on the page: a caption, numbers under each other, no index row."""

import html
from dataclasses import dataclass
from numbers import Integral, Real

import pandas as pd

from dferlib.book.formats import written


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


def table(frame: pd.DataFrame, caption: str, how: str = ".1", empty: str = "–") -> Table:
    """Rows and columns with a caption, for readers: names in words, units in the heads or in the caption.

    Args:
        frame: its index names the rows, the name of the index heads them; columns of numbers or words.
        caption: what the table shows, above it.
        how: how numbers that are not whole are written, see `dferlib.book.formats.written`.
        empty: what stands where there is no number.
    """
    rows = {
        str(name): [_cell(value, how, empty) for value in values]
        for name, values in zip(frame.index, frame.astype(object).to_numpy(), strict=True)
    }
    columns = [str(name) for name in frame.columns]
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in (str(frame.index.name or ""), *columns))
    body = "".join(f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>' for name, cells in rows.items())
    shown = (
        f'<table class="numbers"><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )
    return Table(shown, f"{caption}\n{frame.to_string()}")


def _cell(value: object, how: str, empty: str) -> str:
    """A number to the right, a word to the left."""
    if value is None or value != value:  # NaN
        return f'<td style="text-align: right">{empty}</td>'
    if isinstance(value, Real) and not isinstance(value, bool):
        return f'<td style="text-align: right">{written(value, "" if isinstance(value, Integral) else how)}</td>'
    return f'<td style="text-align: left">{html.escape(str(value))}</td>'
