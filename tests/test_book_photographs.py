"""The rows of the records on photographs: what is right, how far rows are apart, and who is wrong."""

import json

import numpy as np
import pytest

from dferlib import InputError
from dferlib.book.photographs import Photographs
from dferlib.makefaces.realism.photographs import MEASURED

CLASSES = ("happiness", "sadness", "neutral")
PEOPLE = [f"{k:03d}" for k in range(MEASURED + 8)]


def record(lacks: str, seed: int, said: dict[str, str], default: str) -> dict:
    """A record in which everybody gets an answer with the logit 2, and those that set figures are always right."""
    right = {"neutral": "neutral", "smiling": "happiness"}
    rows = {}
    for k, person in enumerate(PEOPLE):
        for kind, own in right.items():
            answer = own if k < MEASURED else said.get(f"{k - MEASURED}_{kind}", default if kind == "neutral" else own)
            rows[f"{person}_{kind}"] = [2.0 * (name == answer) for name in CLASSES]
    return {"lacks": lacks, "seed": seed, "classes": CLASSES, "val_uar": 0.7 + 0.1 * seed, "logits": {"box": rows}}


@pytest.fixture
def photographs(tmp_path):
    made = [record("nothing", seed, {"7_smiling": "sadness"}, "neutral") for seed in (0, 1)]
    made += [record("light", 0, {}, "sadness"), record("light", 1, {}, "neutral")]
    colour = record("colour", 0, {"3_neutral": "sadness", "5_smiling": "neutral"}, "neutral")
    surest = f"{PEOPLE[MEASURED + 5]}_smiling"
    colour["logits"]["box"][surest] = [2 * logit for logit in colour["logits"]["box"][surest]]
    for one in [*made, colour]:
        (tmp_path / f"{one['lacks']}-seed{one['seed']}.json").write_text(json.dumps(one))
    return Photographs(tmp_path)


def test_a_part_is_of_those_who_set_no_figure_and_the_mean_over_seeds(photographs):
    assert photographs.right("nothing", "neutral").value == 1
    assert photographs.right("nothing", "smiling").value == pytest.approx(7 / 8)
    assert photographs.right("nothing").value == pytest.approx(15 / 16)
    assert photographs.right("light", "neutral").value == pytest.approx(1 / 2)
    assert photographs.called("light", "sadness") == pytest.approx(1 / 2)
    assert photographs.val_uar("light") == pytest.approx(0.75)
    wide = photographs.right("light", "neutral")
    assert (wide.low, wide.high) == (0, 1), "two seeds that do not agree at all say little"


def test_a_gap_is_taken_seed_by_seed(photographs):
    gap = photographs.gap("light", "nothing", "neutral")
    assert gap.value == pytest.approx(-1 / 2) and gap.low == -1 and gap.high == 0
    assert photographs.gap("nothing", "nothing").value == 0


def test_the_worst_are_the_surest_that_are_wrong(photographs):
    wrong = photographs.worst("colour")
    surer, less = f"{PEOPLE[MEASURED + 5]}_smiling", f"{PEOPLE[MEASURED + 3]}_neutral"
    assert wrong["photograph"].tolist() == [surer, less] and wrong["said"].tolist() == ["neutral", "sadness"]
    assert wrong["probability"].is_monotonic_decreasing and wrong["probability"].nunique() == 2
    only = photographs.worst("nothing")
    assert only["photograph"].tolist() == [f"{PEOPLE[-1]}_smiling"] and only["said"].tolist() == ["sadness"]
    assert only["probability"][0] == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    people = photographs.by_person(["nothing", "light"])
    assert list(people.index) == PEOPLE[MEASURED:]
    assert people.iloc[0] == pytest.approx((1 + 1 + 1 / 2 + 1) / 4) and people.iloc[-1] == pytest.approx(5 / 8)


def test_without_records_or_a_row_a_line_says_so(photographs, tmp_path):
    with pytest.raises(InputError, match="no records are in"):
        Photographs(tmp_path / "none")
    with pytest.raises(InputError, match="nothing"):
        photographs.right("nothign")
