"""What chapters ask records for: the same numbers as from the records themselves."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from dferlib.book.asked import AskedRecord
from dferlib.book.records import Rows
from dferlib.errors import InputError
from dferlib.evidence.results import load_runs
from dferlib.makefaces.generator import source_hash

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


def test_a_recall_is_what_part_of_a_class_is_found(rows):
    told = [run.predictions() for run in means("stt_table1")["stt"]]
    fear = [
        np.mean(one.predicted[one.labels == one.classes.index("fear")] == one.classes.index("fear")) for one in told
    ]
    assert rows.recall("stt", "fear") == pytest.approx(np.mean(fear))
    with pytest.raises(InputError, match="unknown class 'joy'"):
        rows.recall("stt", "joy")


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


def asked_record(folder: Path, source: str = "") -> AskedRecord:
    """Of a benchmark that asked one model with kept weights, and one that it trained itself."""
    weights, record = folder / "study" / "row" / "best.safetensors", folder / "some_benchmark"
    for made in (weights.parent, record):
        made.mkdir(parents=True)
    weights.write_bytes(b"weights")
    kept = {"study": "study", "kept": "row", "weights": hashlib.sha256(b"weights").hexdigest()}
    models = [kept, {"study": "study", "kept": "", "weights": "of a file that is nowhere"}]
    (record / "about.json").write_text(json.dumps({"source": source or source_hash(), "models": models}))
    return AskedRecord("some_benchmark", record)


@pytest.mark.parametrize("change", ["nothing", "the clips", "the weights", "no weights"])
def test_a_record_of_asked_models_is_current_while_clips_and_kept_weights_are_the_same(tmp_path, change):
    record = asked_record(tmp_path, "other code" if change == "the clips" else "")
    if change == "the weights":
        (tmp_path / "study" / "row" / "best.safetensors").write_bytes(b"others")
    if change == "no weights":
        (tmp_path / "study" / "row" / "best.safetensors").unlink()
    assert record.is_current == (change == "nothing")


def test_arrays_of_a_record_are_what_was_written_as_numbers_that_can_be_reckoned_with(tmp_path):
    record = asked_record(tmp_path)
    arrays = {"half": np.array([0.5, np.nan], np.float16), "byte": np.array([-127, 127], np.int8)}
    np.savez(record.folder / "some.npz", **arrays, yes=np.array([True, False]))
    found = record.load("some.npz")
    for name, array in arrays.items():
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found[name], array)
    assert found["yes"].dtype == bool and found["yes"].tolist() == [True, False]


def test_a_record_that_is_not_there_says_which_script_makes_it(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*python -m benchmarks\.some_benchmark"):
        AskedRecord("some_benchmark", tmp_path / "nowhere")
