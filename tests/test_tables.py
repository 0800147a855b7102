"""The book's tables say what is in them, in words and in columns that can be read."""

from dataclasses import dataclass, fields
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from dferlib.book import table
from dferlib.book.tables import attributes
from dferlib.evidence.statistics import Interval
from dferlib.makefaces.camera import CameraStrengths
from dferlib.makefaces.knobs import Knobs

FRAME = pd.DataFrame(
    {"UAR, %": [71.26, np.nan], "clips": [1200, 7], "kind <of>": ["a & b", "c"]}, pd.Index(["one", "two"], name="model")
)


def test_a_table_holds_its_numbers_and_words_under_its_heads() -> None:
    read = ElementTree.fromstring(table(FRAME, "Models & what they reach.")._repr_html_())
    rows = [[cell.text for cell in row] for row in read.iter("tr")]
    assert rows[0] == ["model", "UAR, %", "clips", "kind <of>"]
    assert rows[1] == ["one", "71.3", "1,200", "a & b"]
    assert rows[2] == ["two", "–", "7", "c"]
    assert [caption.text for caption in read.iter("caption")] == ["Models & what they reach."]


def test_numbers_stand_to_the_right_as_they_are_asked_for_and_words_to_the_left() -> None:
    shown = table(FRAME, "Models.", how=".2")._repr_html_()
    assert '<td style="text-align: right">71.26</td>' in shown
    assert '<td style="text-align: right">1,200</td>' in shown
    assert '<td style="text-align: left">c</td>' in shown
    assert '<th scope="col" style="text-align: left">kind &lt;of&gt;</th>' in shown
    assert '<th scope="col" style="text-align: right">clips</th>' in shown


def test_intervals_are_numbers_and_columns_can_be_written_in_their_own_way() -> None:
    gains = FRAME.assign(gain=[Interval(0.021, -0.01, 0.05), None])
    shown = table(gains, "Models.", {"UAR, %": ".2f", "gain": "+points"})._repr_html_()
    assert '<td style="text-align: right">71.26</td>' in shown
    assert '<td style="text-align: right">+2.1&nbsp;points (−1.0&nbsp;to&nbsp;+5.0)</td>' in shown
    assert ">1,200</td>" in shown, "a column that is not named is written as usual"
    assert "2.1 (−1.0 to 5.0)" in repr(table(gains, "Models."))


def test_the_same_table_is_the_same_text() -> None:
    assert table(FRAME, "Models.") == table(FRAME, "Models.")
    assert repr(table(FRAME, "Models.")).startswith("Models.\n")


@dataclass
class Thing:
    """A thing.

    Attributes:
        size: how large it is,
            from 1: in metres.
        name: what it is called.
    """

    size: float
    name: str


def test_what_a_docstring_says_of_attributes_can_stand_in_a_table() -> None:
    assert attributes(Thing) == {"size": "how large it is, from 1: in metres", "name": "what it is called"}
    for kind in (Knobs, CameraStrengths):
        assert list(attributes(kind)) == [field.name for field in fields(kind)]
