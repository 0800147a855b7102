import numpy as np
import pandas as pd
import pytest

from dferlib import EMOTIONS, InputError
from dferlib.data.table import ArraySource, ClipTable


def rows(**changes):
    columns = {
        "id": ["a", "b", "c"],
        "label": [0, 6, 3],
        "group": [7, 7, "who"],
        "split": ["train", "test", "train"],
        "frames": [1, 5, 9],
    }
    return pd.DataFrame({**columns, **changes})


def test_a_table_gives_its_columns_with_the_promised_types():
    table = ClipTable(rows(), EMOTIONS)
    assert len(table) == 3
    assert table.labels.dtype == np.int64 and table.labels.tolist() == [0, 6, 3]
    assert table.frames.dtype == np.int64 and table.frames.tolist() == [1, 5, 9]
    assert table.ids.dtype.kind == "U" and table.ids.tolist() == ["a", "b", "c"]
    assert table.groups.tolist() == ["7", "7", "who"]


def test_select_takes_a_split_a_mask_or_positions_in_their_order():
    table = ClipTable(rows(), EMOTIONS)
    assert table.select("train").ids.tolist() == ["a", "c"]
    assert table.select(table.labels > 2).ids.tolist() == ["b", "c"]
    assert table.select(np.array([2, 0])).ids.tolist() == ["c", "a"]
    # what was selected is a table like any other: it can be selected from again by position
    assert table.select("train").select(np.array([1])).ids.tolist() == ["c"]


def test_select_of_an_unknown_split_lists_those_that_exist():
    with pytest.raises(InputError, match=r"'val'.*test, train"):
        ClipTable(rows(), EMOTIONS).select("val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ["a", "b", "a"]}, "'a' occurs twice"),
        ({"id": [1, "b", "1"]}, "'1' occurs twice"),
        ({"id": ["a", None, "c"]}, "row 1 .* has no id"),
        ({"group": [7, 7, float("nan")]}, "row 2 .* has no group: give who is seen, or the clip's own id"),
        ({"group": [7, "", "who"]}, "row 1 .* has no group"),
        ({"label": [0, 7, 1]}, "'b' has label 7.*0 to 6"),
        ({"label": [0, -1, 1]}, "'b' has label -1"),
        ({"label": [0.0, 1.5, 2.0]}, "'label'.*integers"),
        ({"frames": [3, 3, 0]}, "'c' has frames 0"),
    ],
)
def test_a_bad_table_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        ClipTable(rows(**changes), EMOTIONS)


def test_classes_are_names_each_once():
    assert ClipTable(rows(), list(EMOTIONS)).classes == EMOTIONS
    with pytest.raises(InputError, match="a class twice: happy, sad, happy"):
        ClipTable(rows(label=[0, 1, 2]), ("happy", "sad", "happy"))
    with pytest.raises(InputError, match="are the text 'abc': give a list of names"):
        ClipTable(rows(label=[0, 1, 2]), "abc")


def test_a_table_without_a_column_is_refused():
    with pytest.raises(InputError, match="'group'"):
        ClipTable(rows().drop(columns="group"), EMOTIONS)


def clips():
    return [np.full((frames, 3, 4, 4), frames, np.uint8) for frames in (1, 5, 9)]


def test_an_array_source_reads_frames_in_the_asked_order():
    held = clips()
    held[1][:, 0, 0, 0] = np.arange(5)
    source = ArraySource(ClipTable(rows(), EMOTIONS), held)
    assert len(source) == 3 and source.classes == EMOTIONS
    assert source.read(1, np.array([4, 0, 0]))[:, 0, 0, 0].tolist() == [4, 0, 0]


def test_the_fingerprint_sees_one_pixel_one_label_and_one_name():
    table = ClipTable(rows(), EMOTIONS)
    marks = {ArraySource(table, clips()).fingerprint}
    assert ArraySource(ClipTable(rows(), EMOTIONS), clips()).fingerprint in marks
    pixel = clips()
    pixel[2][8, 2, 3, 3] ^= 1
    marks.add(ArraySource(table, pixel).fingerprint)
    marks.add(ArraySource(ClipTable(rows(label=[0, 6, 4]), EMOTIONS), clips()).fingerprint)
    marks.add(ArraySource(ClipTable(rows(id=["a", "b", "d"]), EMOTIONS), clips()).fingerprint)
    assert len(marks) == 4


def test_an_array_source_refuses_clips_that_do_not_fit_the_table():
    table = ClipTable(rows(), EMOTIONS)
    with pytest.raises(InputError, match="2 clips for a table of 3"):
        ArraySource(table, clips()[:2])
    with pytest.raises(InputError, match=r"clip 'c' is float32.*uint8"):
        ArraySource(table, [*clips()[:2], np.zeros((9, 3, 4, 4), np.float32)])
    with pytest.raises(InputError, match="clip 'b' is uint8"):
        ArraySource(table, [clips()[0], clips()[0], clips()[2]])
    with pytest.raises(InputError, match=r"clip 'a' is uint8 \(1, 4, 4, 3\): it must be uint8 \(1, 3, height, width\)"):
        ArraySource(table, [clip.transpose(0, 2, 3, 1) for clip in clips()])
    with pytest.raises(InputError, match="clip 'a' is list: it must be a NumPy array"):
        ArraySource(table, [list(clip) for clip in clips()])
