"""What chapters ask records for: the same numbers as from the records themselves."""

from pathlib import Path

import numpy as np
import pytest

from dferlib.book.records import Rows
from dferlib.errors import InputError
from dferlib.evidence.results import load_runs

RESULTS = Path(__file__).parents[1] / "results"


@pytest.fixture(scope="module")
def rows():
    return Rows("stt_table1", "before_attention", root=RESULTS)


def means(study):
    found = {}
    for run in load_runs(RESULTS / study):
        found.setdefault(run.name.rsplit("-seed", 1)[0], []).append(run)
    return found


def test_values_are_means_over_seeds_inside_their_intervals(rows):
    for row, runs in means("stt_table1").items():
        found = rows.uar(row)
        assert found.value == pytest.approx(np.mean([run.metrics["uar"] for run in runs]))
        assert found.low < found.value < found.high
    accuracy = [run.record["history"]["epochs"][-1]["train_accuracy"] for run in means("stt_table1")["stt"]]
    assert rows.train_accuracy("stt") == pytest.approx(np.mean(accuracy))


def test_a_gap_is_that_of_the_means_and_turns_with_its_rows(rows):
    one, other = rows.gap("stt", "lstm"), rows.gap("lstm", "stt")
    assert one.value == pytest.approx(rows.uar("stt").value - rows.uar("lstm").value)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low), abs=0.004)
    assert rows.gap("stt", "lstm") is one, "not drawn twice"


def test_rows_of_several_studies_stand_side_by_side(rows):
    assert {"stt", "resnet18_gru"} <= rows.runs.keys()
    assert rows.runs["single_frame"][0].path.parent.name == "stt_table1", "the first that has it"
    gap = rows.gap("stt", "resnet18_gru")
    assert gap.low < gap.value < gap.high


def test_unknown_rows_and_folders_are_told(rows):
    with pytest.raises(InputError, match=r"unknown row 'sst': .*stt"):
        rows.gap("sst", "lstm")
    with pytest.raises(InputError, match="no folder"):
        Rows("nothing", root=RESULTS)
