"""The public data sets: every layout gives the same table, and a broken copy one clear message."""

import copy
import logging
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import trees
from PIL import Image

import dferlib
from dferlib import (
    AFEW,
    CREMAD,
    DFEW,
    EMOTIONS,
    MAFW,
    CKPlus,
    FERV39k,
    InputError,
    OuluCASIA,
    TrainConfig,
    evaluate,
    train,
)
from dferlib.data.sampling import segment_indices
from dferlib.data.sets import BENCHMARKS

every = pytest.mark.parametrize("kind", BENCHMARKS.values(), ids=lambda kind: kind.name)


@pytest.fixture(scope="session")
def made(made):
    return {BENCHMARKS[name]: root for name, root in made.items()}


@pytest.fixture
def broken(made, tmp_path):
    def take(kind):
        return Path(shutil.copytree(made[kind], tmp_path / "copy", symlinks=True))

    return take


def grey(frames):
    """The level of each frame; videos and JPEGs may be off by a little."""
    return frames.mean((1, 2, 3))


def fails(kind, root, *words, **kwargs):
    """Check that there is one line that holds the words."""
    with pytest.raises(InputError) as caught:
        kind(root, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message
    return message


# ---------------------------------------------------------------- what all have in common


@every
def test_every_set_reads_its_frames_in_their_order(kind, made):
    for split in (*kind.SPLITS, "all"):
        source = kind(made[kind], split=split, size=16)
        assert source.classes == kind.CLASSES and len(source) == len(source.table) > 0
        for index in range(0, len(source), 5):
            count = int(source.table.frames[index])
            assert np.abs(grey(source.read(index)) - [trees.level(k) for k in range(count)]).max() < 3
        clip = source.read(0, segment_indices(int(source.table.frames[0]), 8, 2))
        assert clip.shape == (16, 3, 16, 16) and clip.dtype == np.uint8


@every
def test_frames_come_in_any_order_and_as_often_as_asked(kind, made):
    source = kind(made[kind], split="all", size=8)
    index = int(source.table.frames.argmax())
    last = int(source.table.frames[index]) - 1
    wanted = np.array([last, 0, 1, 1, 0])
    assert np.abs(grey(source.read(index, wanted)) - [trees.level(k) for k in wanted]).max() < 3
    for bad in ([last + 1], [-1], []):
        with pytest.raises(InputError, match=f"has the frames 0 to {last}"):
            source.read(index, np.array(bad, dtype=int))


@every
def test_splits_share_no_clip_and_no_person(kind, made):
    for fold in {1, kind.FOLDS}:
        first, second = (kind(made[kind], fold, split) for split in kind.SPLITS)
        assert not set(first.table.ids) & set(second.table.ids)
        assert not set(first.table.groups) & set(second.table.groups)
        both = kind(made[kind], fold, "all").table
        assert sorted([*first.table.ids, *second.table.ids]) == sorted(both.ids)
        assert set(first.table.rows["split"]) == {kind.SPLITS[0]}


@every
def test_every_clip_is_tested_in_one_fold(kind, made):
    if kind.FOLDS > 1:
        tested = [name for fold in range(1, kind.FOLDS + 1) for name in kind(made[kind], fold, "test").table.ids]
        assert sorted(tested) == sorted(kind(made[kind], split="all").table.ids)


@every
def test_the_layout_is_named_in_the_log(kind, made, caplog):
    with caplog.at_level(logging.INFO, "dferlib"):
        source = kind(made[kind])
    (record,) = caplog.records
    line = record.getMessage()
    assert kind.name in line and repr(source.layout) in line and str(made[kind]) in line and "'train'" in line


@every
def test_the_fingerprint_tells_copies_apart(kind, made, broken):
    root = broken(kind)
    source = kind(root, split="all")
    assert source.fingerprint == kind(made[kind], split="all").fingerprint
    assert source.fingerprint != kind(root, split=kind.SPLITS[1]).fingerprint
    assert source.fingerprint != kind(root, split="all", size=32).fingerprint
    assert source.fingerprint != source.select(np.arange(len(source))[::-1]).fingerprint
    path = root / source.table.rows["path"].iloc[3]
    path = path if path.is_file() else next(path.iterdir())
    path.write_bytes(path.read_bytes() + b"\0")
    assert source.fingerprint != kind(root, split="all").fingerprint


@every
def test_wrong_arguments_are_told(kind, made, tmp_path):
    fails(kind, made[kind], "fold", "0", fold=0)
    fails(kind, made[kind], str(kind.FOLDS + 1), fold=kind.FOLDS + 1)
    fails(kind, made[kind], "dev", *kind.SPLITS, "all", split="dev")
    fails(kind, made[kind], "prettiest", layout="prettiest")
    fails(kind, tmp_path / "nowhere", tmp_path / "nowhere", "no folder")
    fails(kind, tmp_path, tmp_path, kind.name)
    (tmp_path / "data.zip").write_bytes(b"PK")
    fails(kind, tmp_path / "data.zip", "zip", "unpack")
    fails(kind, tmp_path, "unpack data.zip")


@every
def test_folders_that_an_archive_puts_around_do_no_harm(kind, made, tmp_path):
    inside = tmp_path / "download" / "archive" / kind.name
    shutil.copytree(made[kind], inside)
    (tmp_path / "download" / "__MACOSX").mkdir()
    (inside / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    found, plain = kind(inside.parent, split="all"), kind(made[kind], split="all")
    assert found.table.ids.tolist() == plain.table.ids.tolist()
    assert found.table.labels.tolist() == plain.table.labels.tolist()
    assert found.table.frames.tolist() == plain.table.frames.tolist()


@every
def test_sources_can_be_copied_to_other_processes(kind, made):
    source = kind(made[kind], size=16)
    twin = pickle.loads(pickle.dumps(source))
    assert twin.fingerprint == source.fingerprint and (twin.read(2) == source.read(2)).all()


@every
def test_emotions_name_every_class(kind, made):
    source = kind(made[kind], split="all")
    assert list(source.emotions) == list(kind.CLASSES)
    mapped = source.as_emotions()
    assert mapped.classes == EMOTIONS
    names = dict(zip(source.table.ids, source.table.labels, strict=True))
    for name, label in zip(mapped.table.ids, mapped.table.labels, strict=True):
        assert EMOTIONS[label] == source.classes[names.pop(name)]
    assert all(source.classes[label] not in EMOTIONS for label in names.values())
    assert (mapped.read(0) == source.read(source.table.ids.tolist().index(mapped.table.ids[0]))).all()


@every
@pytest.mark.parametrize("share", [0.1, 0.25])
def test_a_part_of_the_training_clips_can_be_held_out(kind, made, share):
    source = kind(made[kind])
    rest, aside = source.hold_out(share)
    assert sorted([*rest.table.ids, *aside.table.ids]) == sorted(source.table.ids)
    assert not set(rest.table.groups) & set(aside.table.groups)
    people = len(set(source.table.groups))
    assert abs(len(set(aside.table.groups)) - share * people) <= 1
    assert set(aside.table.rows["split"]) == {"val"} and set(rest.table.rows["split"]) == {"train"}
    assert aside.table.ids.tolist() == kind(made[kind]).hold_out(share)[1].table.ids.tolist()
    assert rest.fingerprint != aside.fingerprint != source.fingerprint


def test_impossible_shares_are_told(made):
    source = DFEW(made[DFEW])
    for share in (0, 1, -0.1, 0.001):
        with pytest.raises(InputError, match="share"):
            source.hold_out(share)


def test_the_names_are_those_of_the_package():
    assert list(BENCHMARKS) == ["DFEW", "FERV39k", "AFEW", "MAFW", "CREMAD", "CKPlus", "OuluCASIA"]
    assert all(getattr(dferlib, name) is kind for name, kind in BENCHMARKS.items())


# ---------------------------------------------------------------- every layout


@pytest.mark.parametrize(
    ("place", "folder", "names"),
    [
        ("Clip/clip_224x224", "{:05d}", "{}.jpg"),
        ("Clip/clip_224x224", "{}", "ID_{:05d}.jpg"),
        ("Clip/clip_224x224_16f", "{:05d}", "{}.jpg"),
        ("Clip/jpg_224", "{:05d}", "{:03d}.jpg"),
        ("Clip/jpg_256", "{:05d}", "ID_{:05d}.jpg"),
        ("data_affine/single_label/data", "{:05d}", "ID_{:05d}.jpg"),
        ("clip_224x224", "{:05d}", "{}.png"),
        ("Clip/original", "{:05d}", ""),
    ],
)
def test_dfew_in_every_layout_of_frames(place, folder, names, tmp_path):
    trees.dfew_frames(tmp_path, place, folder, names)
    trees.dfew_lists(tmp_path)
    source = DFEW(tmp_path, 2, "test", size=16)
    layout = place.rpartition("/")[2]
    clips = [k for k in range(1, 21) if trees.dfew_fold(k) == 2]
    assert source.layout == layout
    assert source.table.ids.tolist() == [f"{k:05d}" for k in clips]
    assert source.table.labels.tolist() == [trees.dfew_label(k) - 1 for k in clips]
    assert source.table.frames.tolist() == [trees.dfew_length(k, layout) for k in clips]
    for index in range(len(source)):
        count = source.table.frames[index]
        assert np.abs(grey(source.read(index)) - [trees.level(k) for k in range(count)]).max() < 3


@pytest.mark.parametrize("where", trees.DFEW_LISTS)
@pytest.mark.parametrize("name", ["{:05d}", "{}", "{}.mp4"])
def test_dfew_with_every_kind_of_csv(where, name, made, tmp_path):
    shutil.copytree(made[DFEW] / "Clip/clip_224x224", tmp_path / "Clip/clip_224x224")
    trees.dfew_lists(tmp_path, where, name)
    for split in ("train", "test"):
        one, two = DFEW(tmp_path, 4, split), DFEW(made[DFEW], 4, split)
        assert one.table.rows.equals(two.table.rows)


@pytest.mark.parametrize(
    ("place", "folder"),
    [
        ("Clip/clip_224x224", "/data/somebody/DFEW_Face/{:05d}"),
        ("DFEW_Face", "/data/somebody/DFEW_Face/{:05d}"),
        ("DFEW_Face", "DFEW_Face/{}/"),
        ("DFEW_Face", "D:\\sets\\DFEW_Face\\{:05d}"),
    ],
)
def test_dfew_with_the_lists_of_former_dfer(place, folder, made, tmp_path):
    shutil.copytree(made[DFEW] / "Clip/clip_224x224", tmp_path / place)
    trees.dfew_former_lists(tmp_path, folder)
    one, two = DFEW(tmp_path, 3, "test"), DFEW(made[DFEW], 3, "test")
    columns = ["id", "label", "group", "split", "frames"]
    assert one.table.rows[columns].equals(two.table.rows[columns])
    assert (one.read(1) == two.read(1)).all()


def test_the_lists_of_former_dfer_say_how_many_frames_there_are(tmp_path):
    trees.dfew_frames(tmp_path)
    trees.dfew_former_lists(tmp_path)
    folder = tmp_path / "Clip/clip_224x224/00004"
    (folder / "5.jpg").unlink()
    source = DFEW(tmp_path)
    assert source.table.frames[source.table.ids == "00004"].tolist() == [4], "what is there is used"
    (told,) = [problem.text for problem in source.problems if problem.kind == "length"]
    assert all(word in told for word in ("'00004'", "should have 5 frames", str(folder), "holds 4"))


def test_dfew_with_nothing_but_the_workbook(tmp_path):
    trees.dfew_frames(tmp_path)
    trees.dfew_workbook(tmp_path)
    source = DFEW(tmp_path, split="all")
    clips = [k for k in range(1, 21) if k % 4]  # the others have no single label
    assert source.table.ids.tolist() == [f"{k:05d}" for k in clips]
    assert source.table.labels.tolist() == [trees.dfew_label(k) - 1 for k in clips]
    fails(DFEW, tmp_path, "annotation.xlsx", "no folds", "EmoLabel_DataSplit")
    (tmp_path / "Annotation/annotation.xlsx").write_bytes(b"PK\3\4 and so on")
    fails(DFEW, tmp_path, "annotation.xlsx", "damaged", split="all")


def test_dfew_prefers_all_aligned_frames_and_takes_what_is_asked_for(made, tmp_path):
    root = Path(shutil.copytree(made[DFEW], tmp_path / "DFEW"))
    trees.dfew_frames(root, "Clip/clip_224x224_16f")
    assert DFEW(root).layout == "clip_224x224"
    source = DFEW(root, layout="clip_224x224_16f")
    assert set(source.table.frames) == {16}
    fails(DFEW, root, "jpg_256", "clip_224x224, clip_224x224_16f", layout="jpg_256")
    (root / "Clip/clip_224x224_16f/00002/16.jpg").unlink()
    told = [problem.text for problem in DFEW(root, layout="clip_224x224_16f").problems if problem.kind == "length"]
    assert len(told) == 1 and "'00002' should have 16 frames" in told[0]


def test_ferv39k_knows_scenes_and_its_split(made):
    source = FERV39k(made[FERV39k], split="test")
    assert source.table.ids.tolist() == [
        "Action/Happy/0010",
        "School/Disgust/0015",
        "DailyLife/Angry/0020",
        "Action/Sad/0025",
        "School/Fear/0030",
    ]
    assert [EMOTIONS[k] for k in source.table.labels] == ["happiness", "disgust", "anger", "sadness", "fear"]
    assert source.table.rows["scene"].tolist() == ["Action", "School", "DailyLife", "Action", "School"]


@pytest.mark.parametrize("layout", ["frames", "videos"])
def test_afew_as_videos_and_as_frames(layout, tmp_path):
    trees.afew(tmp_path, layout)
    source = AFEW(tmp_path, split="val", size=16)
    assert source.layout == layout
    assert sorted(source.table.ids) == [f"val/0{k:05d}" for k in range(7)]
    for name, label, frames in zip(source.table.ids, source.table.labels, source.table.frames, strict=True):
        k = int(name[-5:])
        assert label == k and frames == 3 + k % 3
    fails(AFEW, tmp_path, "test", "train, val, all", split="test")


def test_afew_prefers_frames_to_videos_of_the_same_clips(tmp_path):
    trees.afew(tmp_path, "frames")
    for folder in [path for path in tmp_path.glob("*/*/*") if path.is_dir()]:
        trees.video(folder.with_suffix(".avi"), 7)
    assert AFEW(tmp_path).table.frames.max() == 5
    assert set(AFEW(tmp_path, layout="videos").table.frames) == {7}


@pytest.mark.parametrize("layout", ["data/frames", "data/clips", "data/frames/frames_crop_align_224"])
def test_mafw_takes_labels_by_their_names(layout, tmp_path):
    source = MAFW(trees.mafw(tmp_path, layout), 2, "test")
    assert source.layout == layout.rpartition("/")[2] and len(source.classes) == 11
    assert source.table.ids.tolist() == [f"{k:05d}" for k in (1, 6, 11, 16, 21)]
    names = [source.classes[label] for label in source.table.labels]
    assert names == ["contempt", "anger", "happiness", "anxiety", "fear"]
    assert source.emotions["contempt"] is None and source.emotions["anger"] == "anger"


def test_cremad_reads_actor_sentence_emotion_and_intensity_from_the_name(made):
    source = CREMAD(made[CREMAD], fold=2, split="test")
    assert source.table.ids.tolist() == [
        f"{actor}_{name}" for actor in (1002, 1012) for name in ("DFA_ANG_XX", "IEO_HAP_LO", "IEO_NEU_XX")
    ]
    assert source.table.groups.tolist() == ["1002"] * 3 + ["1012"] * 3
    assert [source.classes[k] for k in source.table.labels] == ["anger", "happiness", "neutral"] * 2
    assert source.table.rows["intensity"].tolist() == ["XX", "LO", "XX"] * 2
    assert source.table.rows["sentence"].tolist() == ["DFA", "IEO", "IEO"] * 2
    assert "surprise" not in source.classes


@pytest.mark.parametrize(
    "prefixes", [("", "", ""), ("extended-cohn-kanade-images", "Emotion_labels", "Landmarks"), ("CK+", "CK+", "CK+")]
)
def test_ckplus_folds_peaks_and_landmarks(prefixes, tmp_path):
    source = CKPlus(trees.ckplus(tmp_path, prefixes), fold=1, split="test")
    assert source.table.ids.tolist() == ["S005_001", "S042_001"]  # of twelve subjects the first and the eleventh
    assert [source.classes[k] for k in source.table.labels] == ["anger", "fear"]
    for index, count in enumerate([4, 5]):
        assert source.peak(index) == count - 1
        assert abs(source.read(index, np.array([source.peak(index)])).mean() - trees.level(count - 1)) < 1
        points = source.landmarks(index)
        assert points.shape == (count, 68, 2)
        for frame in range(count):
            assert np.abs(points[frame] - trees.LANDMARKS - [0, frame + 1]).max() < 1e-4
        assert (source.landmarks(index, np.array([2, 0])) == points[[2, 0]]).all()
    assert len(CKPlus(tmp_path, split="all")) == 12  # the second sessions and the empty ones have no label


@pytest.mark.parametrize(
    ("place", "layout", "options"),
    [
        ("OriginalImg/VL/Strong", "original", {}),
        ("B_OriginalImg/OriginalImg/VL/Strong", "original", {}),
        ("B_OriginalImg/VL/Strong", "original", {}),
        ("OriginalImg/NI/Dark", "original", {"camera": "NI", "light": "Dark"}),
        ("PreProcess Img/VL_Acropped/Strong", "cropped", {}),
        ("B_PreProcess Img/PreProcess Img/VL_Acropped/Weak", "cropped", {"light": "Weak"}),
    ],
)
def test_oulu_casia_in_every_layout(place, layout, options, tmp_path):
    trees.oulu(tmp_path, place)
    source = OuluCASIA(tmp_path, 2, "test", **options)
    assert source.layout == layout
    assert source.table.ids.tolist() == [f"{who}/{name}" for who in ("P002", "P012") for name in OuluCASIA.CLASSES]
    assert source.table.labels.tolist() == [*range(6)] * 2
    assert [source.peak(k) for k in (0, 6)] == [3, 1]


def test_oulu_casia_tells_what_camera_and_light_there_are(made):
    fails(OuluCASIA, made[OuluCASIA], "light", "Strong, Weak, Dark", light="dim")
    fails(OuluCASIA, made[OuluCASIA], "camera", "VL, NI", camera="UV")
    fails(OuluCASIA, made[OuluCASIA], "VL/Weak", light="Weak")


# ---------------------------------------------------------------- broken copies


def without(root, pattern):
    """Remove the first folder or file that fits; return its path."""
    path = sorted(root.glob(pattern))[0]
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return path


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        (DFEW, "Clip/clip_224x224/00002"),
        (FERV39k, "2_ClipsforFaceCrop/DailyLife/Sad/0011"),
        (MAFW, "data/frames/00001"),
        (CKPlus, "cohn-kanade-images/S010/001"),
        (OuluCASIA, "OriginalImg/VL/Strong/P002/Sadness"),
    ],
)
@pytest.mark.parametrize("empty", [True, False], ids=["empty", "absent"])
def test_a_clip_without_frames_is_named_or_left_out(kind, pattern, empty, broken):
    root = broken(kind)
    path = without(root, pattern)
    if empty:
        path.mkdir()
        (path / "Thumbs.db").write_bytes(b"no frame")
    fails(kind, root, "no frames", path, "strict=False")
    source = kind(root, split="all", strict=False)
    assert len(source.problems) == 1 and str(path) in source.problems[0].text
    assert len(source) == len(source.listed) - 1


def test_the_message_says_how_many_more_are_missing(broken):
    root = broken(DFEW)
    for clip in (2, 3, 4):
        without(root, f"Clip/clip_224x224/{clip:05d}")
    fails(DFEW, root, "00002", "2 more", "dferlib check-data DFEW")


def test_a_data_set_without_frames_or_lines_is_refused(tmp_path):
    trees.dfew_lists(tmp_path)
    (tmp_path / "Clip/clip_224x224").mkdir(parents=True)
    fails(DFEW, tmp_path, "00002", "no frames", "15 more")
    source = DFEW(tmp_path, strict=False)
    assert len(source) == len(source.table.labels) == 0 and len(source.problems) == 16
    for path in tmp_path.glob("EmoLabel_DataSplit/*/set_1.csv"):
        path.write_text("video_name,label\n")
    fails(DFEW, tmp_path, "empty")


def test_an_afew_without_clips_is_refused(tmp_path):
    (tmp_path / "Train/Angry").mkdir(parents=True)
    fails(AFEW, tmp_path, "no folder Val")
    (tmp_path / "Val").mkdir()
    fails(AFEW, tmp_path, "no clips at all")


@every
def test_an_unreadable_image_or_video_is_named_when_it_is_read(kind, broken):
    root = broken(kind)
    source = kind(root, split="all")
    path = root / source.table.rows["path"].iloc[1]
    if path.is_file():
        path.write_bytes(b"this is no video")
        fails(kind, root, path, split="all")
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
        fails(kind, root, path, "git lfs pull", split="all")
        return
    file = min(path.iterdir())
    whole = file.read_bytes()
    for content in (b"", b"this is no image", whole[: len(whole) // 2], b"GIF89a" + whole):
        file.write_bytes(content)
        with pytest.raises(InputError, match="cannot read the image") as caught:
            source.read(1)
        assert str(file) in str(caught.value)
        assert source.read(0).shape[1:] == (3, 128, 128)


def test_a_clip_that_changed_since_it_was_counted_is_told(broken):
    root = broken(DFEW)
    source = DFEW(root)
    without(root, "Clip/clip_224x224/00002/2.jpg")
    with pytest.raises(InputError, match="has 2 frames now, 3 when it was counted"):
        source.read(0)


@pytest.mark.parametrize("label", ["0", "8", "-1", "happy", "1.5", ""])
def test_a_label_outside_the_range_is_named_with_its_line(label, broken):
    root = broken(DFEW)
    path = root / "EmoLabel_DataSplit/train(single-labeled)/set_1.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], f"00004,{label}", *lines[4:]]))
    fails(DFEW, root, f"{path}, line 4", "00004", repr(label), "1 to 7")
    assert "00004" not in DFEW(root, strict=False).table.ids


def test_labels_of_other_sets_are_checked_too(broken, tmp_path):
    root = broken(FERV39k)
    path = root / "4_setups/All_scenes/train_All.csv"
    good = path.read_text()
    path.write_text(good.replace("DailyLife/Sad/0011 Sad", "DailyLife/Sad/0011 Bored"))
    fails(FERV39k, root, f"{path}, line 1", "'Bored'", "happiness, sadness")
    path.write_text(good.replace("DailyLife/Sad/0011 Sad", "DailyLife/Sad/0011 Fear"))
    fails(FERV39k, root, f"{path}, line 1", "lies under Sad", "Fear")
    label = trees.ckplus(tmp_path / "ck") / "Emotion/S011/001/S011_001_00000006_emotion.txt"
    for text in ("8.0000000e+00", "", "1 2", "3.0000000e+01"):
        label.write_text(text)
        fails(CKPlus, tmp_path / "ck", label, "0 to 7")
    label.write_text("   0.0000000e+00\n")
    assert "S011_001" not in CKPlus(tmp_path / "ck", split="all").table.ids  # neutral: no expression to learn


@pytest.mark.parametrize("twin", ["00002", "2"])
def test_a_duplicate_id_is_told(twin, broken):
    root = broken(DFEW)
    path = root / "EmoLabel_DataSplit/train(single-labeled)/set_1.csv"
    path.write_text(path.read_text() + f"{twin},2\n")
    fails(DFEW, root, "'00002' is listed twice")
    assert DFEW(root, strict=False).table.ids.tolist().count("00002") == 1


def test_a_clip_in_training_and_test_is_told(broken):
    root = broken(DFEW)
    path = root / "EmoLabel_DataSplit/test(single-labeled)/set_1.csv"
    path.write_text(path.read_text() + "00002,2\n")
    fails(DFEW, root, "'00002' is listed twice, in train and in test")


def test_two_folders_of_one_clip_are_told(broken):
    root = broken(DFEW)
    trees.frames(root / "Clip/clip_224x224/2", 3)
    fails(DFEW, root, root / "Clip/clip_224x224", "clip 2 twice, as 00002 and as 2")


def test_padded_and_unpadded_names_are_in_the_order_of_their_numbers(broken):
    root = broken(DFEW)
    folder = root / "Clip/clip_224x224/00002"
    shutil.rmtree(folder)
    for k in range(12):
        trees.image(folder / (f"{k + 1}.jpg" if k % 2 else f"00002_{k + 1:05d}.jpg"), k)
    levels = grey(DFEW(root).read(0))
    assert np.abs(levels - [trees.level(k) for k in range(12)]).max() < 2
    trees.image(folder / "0003.jpg", 2)
    fails(DFEW, root, folder, "one frame twice", "0003.jpg")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_that_excel_wrote_are_read(encoding, made, broken):
    root = broken(DFEW)
    trees.dfew_lists(root, encoding=encoding)
    assert DFEW(root).table.rows.equals(DFEW(made[DFEW]).table.rows)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("kind", [FERV39k, MAFW], ids=lambda kind: kind.name)
def test_the_mark_of_an_encoding_is_no_part_of_a_list_without_a_head(kind, encoding, made, broken):
    root = broken(kind)
    for path in (*root.rglob("*.csv"), *root.rglob("*.txt")):
        path.write_bytes(path.read_text().encode(encoding))
    assert kind(root).table.rows.equals(kind(made[kind]).table.rows)


@pytest.mark.parametrize(
    ("kind", "list_of", "text"),
    [
        (DFEW, "EmoLabel_DataSplit/train(single-labeled)/set_1.csv", "video_name,label\n00002,2\n"),
        (FERV39k, "4_setups/All_scenes/train_All.csv", "DailyLife/Sad/0011 Sad\n"),
        (MAFW, "Train & Test Set/single/no_caption/set_1/train.txt", "00001.mp4 contempt\n"),
    ],
)
def test_a_list_in_a_wrong_encoding_or_form_is_told_with_its_path(kind, list_of, text, broken):
    root = broken(kind)
    for raw in ("é".encode("latin-1") + text.encode(), text.encode("utf-16-le"), b"PK\3\4\0\0\xff", b"\xff\xfe\0"):
        (root / list_of).write_bytes(raw)
        fails(kind, root, root / list_of, "UTF-8")
    (root / list_of).write_text(text + "and what not: is this?\n")
    fails(kind, root, f"{root / list_of}, line")
    (root / list_of).unlink()
    fails(kind, root, list_of.rpartition("/")[2])


JUNK = [b"", b"\xff", b"\0", b",", b"9" * 5000, b"\n", b"../", b"1" * 300, " ²".encode(), b"-"]
NAMES = ["é", "²", "9" * 200, " ", "00001", "a.jpg"]


def damaged(path, trial, rng):
    """Break a list, or rename anything else; return what undoes it."""
    if path.suffix in (".csv", ".txt"):
        whole = path.read_bytes()
        at = int(rng.integers(len(whole)))
        path.write_bytes(whole[:at] + JUNK[trial % len(JUNK)] + whole[at + 1 :])
        return lambda: path.write_bytes(whole)
    other = path.with_name(NAMES[trial % len(NAMES)])
    if other.exists():
        return lambda: None
    path.rename(other)
    return lambda: other.rename(path)


@pytest.mark.slow
@every
def test_lists_and_names_damaged_at_random_give_a_table_or_one_line(kind, broken):
    """Whatever happens to bytes and names: no other exception, and no label or count out of range."""
    root, rng = broken(kind), np.random.default_rng(7)
    paths = sorted(path for path in root.rglob("*") if "Landmarks" not in path.parts)
    lists = [path for path in paths if path.suffix in (".csv", ".txt")] or paths
    refused = 0
    for trial in range(60):
        victims = lists if trial % 2 else paths
        undo = damaged(victims[rng.integers(len(victims))], trial // 2, rng)
        try:
            table = kind(root, split="all", strict=bool(trial % 3)).table
            assert set(table.labels) <= set(range(len(kind.CLASSES))) and (table.frames > 0).all()
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 1500
        undo()
    assert 0 < refused < 60
    assert len(kind(root, split="all")) == len(kind(root, split="all").listed)


# ---------------------------------------------------------------- nothing outside the root is read


@pytest.fixture
def outside(tmp_path):
    trees.frames(tmp_path / "outside/00002", 3)
    return tmp_path / "outside"


@pytest.mark.parametrize("what", ["frame", "clip", "clips", "list"])
def test_a_symbolic_link_out_of_the_root_is_refused(what, broken, outside):
    root = broken(DFEW)
    path = {
        "frame": root / "Clip/clip_224x224/00002/2.jpg",
        "clip": root / "Clip/clip_224x224/00002",
        "clips": root / "Clip/clip_224x224",
        "list": root / "EmoLabel_DataSplit/train(single-labeled)/set_1.csv",
    }[what]
    target = {"frame": outside / "00002/00002.jpg", "clip": outside / "00002", "clips": outside}.get(what)
    if target is None:
        target = outside / "set_1.csv"
        shutil.copy(path, target)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target)
    fails(DFEW, root, path, "symbolic link out of", root)


def test_a_folder_around_the_clips_that_is_a_link_out_is_named(made, tmp_path):
    (tmp_path / "Clip").symlink_to(made[DFEW] / "Clip")
    fails(DFEW, tmp_path, "Clip is a symbolic link out of it")


def test_a_link_that_appears_later_is_refused_too(broken, outside):
    root = broken(DFEW)
    source = DFEW(root)
    folder = root / "Clip/clip_224x224/00002"
    shutil.rmtree(folder)
    folder.symlink_to(outside / "00002")
    with pytest.raises(InputError, match="symbolic link out of"):
        source.read(0)


def test_links_within_the_root_are_followed_and_the_root_may_be_one(broken, made, tmp_path):
    root = broken(DFEW)
    (root / "Clip/clip_224x224").rename(root / "store")
    (root / "Clip/clip_224x224").symlink_to(root / "store")
    (tmp_path / "link").symlink_to(root)
    assert DFEW(tmp_path / "link").table.frames.tolist() == DFEW(made[DFEW]).table.frames.tolist()


@pytest.mark.parametrize(
    ("path", "word"),
    [("../../outside", "lies outside of"), ("../Sad/../../0011", "train_All.csv"), ("/etc/Sad/0011", "train_All.csv")],
)
def test_a_list_cannot_lead_out_of_the_root(path, word, broken, outside):
    root = broken(FERV39k)
    (root / "4_setups/All_scenes/train_All.csv").write_text(f"{path} Sad\n")
    fails(FERV39k, root, word)


# ---------------------------------------------------------------- frames, sampling, size


def test_frames_are_cut_to_their_middle_square(tmp_path):
    trees.oulu(tmp_path)
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, 4:28] = 200  # the middle square; black beside it
    file = tmp_path / "OriginalImg/VL/Strong/P001/Anger/000.jpeg"
    Image.fromarray(image).save(file.with_suffix(".png"))
    file.unlink()
    source = OuluCASIA(tmp_path, split="all", size=12)
    assert source.read(0, np.array([0])).min() == 200
    whole = OuluCASIA(tmp_path, split="all", size=None).read(0, np.array([0]))
    assert whole.shape == (1, 3, 24, 32) and (whole[0] == image.transpose(2, 0, 1)).all()


def test_frames_of_different_sizes_need_a_size(broken):
    root = broken(DFEW)
    trees.image(root / "Clip/clip_224x224/00002/2.jpg", 1, size=(40, 40))
    assert DFEW(root).read(0).shape == (3, 3, 128, 128)
    with pytest.raises(InputError, match="different sizes"):
        DFEW(root, size=None).read(0)


def test_the_frames_of_the_test_are_those_of_the_published_rule(tmp_path):
    """Former-DFER takes int(tick / 2 + tick k) with tick = (n - 1) / 8 as the start of each pair: 8, 26, 44, ..."""
    trees.dfew_lists(tmp_path)
    lengths = {2: 144, 3: 1, 4: 9, 5: 16, 7: 15}
    for clip in range(1, 21):
        for k in range(lengths.get(clip, 2)):
            trees.image(tmp_path / f"Clip/clip_224x224/{clip:05d}/{k + 1}.png", 0, size=(1, 1))
    for frame in range(144):  # a frame that bears its number
        Image.new("RGB", (1, 1), (frame, 0, 0)).save(tmp_path / f"Clip/clip_224x224/00002/{frame + 1}.png")
    source = DFEW(tmp_path, size=1)
    chosen = segment_indices(int(source.table.frames[0]), 8, 2)
    tick = (144 - 1) / 8
    starts = [int(tick / 2 + tick * k) for k in range(8)]
    assert starts[:3] == [8, 26, 44]
    assert source.read(0, chosen)[:, 0, 0, 0].tolist() == [frame for k in starts for frame in (k, k + 1)]
    for index, length in enumerate([144, 1, 9, 16]):
        assert source.table.frames[index] == length
        assert source.read(index, segment_indices(length, 8, 2)).shape == (16, 3, 1, 1)


def test_a_video_that_ends_before_its_header_says_holds_its_last_frame(made):
    source = copy.copy(CREMAD(made[CREMAD], size=8))
    claimed = source.table.rows.assign(frames=source.table.frames + 1)
    source.table = type(source.table)(claimed, source.classes)
    clip = source.read(0)
    assert len(clip) == 5 and (clip[4] == clip[3]).all()


@pytest.mark.slow
@pytest.mark.thorough
def test_a_table_of_a_hundred_thousand_clips(tmp_path):
    """A thousand clips in one scene, and 99 scenes that are links to it within the root: the reader must do it all."""
    scenes = [f"{k:02d}" for k in range(100)]
    clips = [f"{trees.FERV_WORDS[k % 7]}/{k:04d}" for k in range(1000)]
    for clip in clips:
        trees.frames(tmp_path / "2_ClipsforFaceCrop/00" / clip, 2, size=(1, 1))
    for scene in scenes[1:]:
        (tmp_path / "2_ClipsforFaceCrop" / scene).symlink_to("00")
    lines = [f"{scene}/{clip} {clip.partition('/')[0]}" for scene in scenes for clip in clips]
    trees.text(tmp_path / "4_setups/All_scenes/train_All.csv", lines[:80_000])
    trees.text(tmp_path / "4_setups/All_scenes/test_All.csv", lines[80_000:])
    started = time.perf_counter()
    source = FERV39k(tmp_path, split="all")
    seconds = time.perf_counter() - started
    print(f"read the table in {seconds:.1f} s")
    assert len(source) == 100_000 and np.bincount(source.table.labels).tolist() == [14300] * 6 + [14200]
    assert source.read(99_999).shape == (2, 3, 128, 128)
    assert seconds < 60  # 6 s on a laptop


def test_a_model_trains_on_what_a_folder_holds(made, tiny_model):
    source = OuluCASIA(made[OuluCASIA], size=16).as_emotions()
    rest, aside = source.hold_out(0.2)
    history = train(tiny_model(), rest, aside, TrainConfig(epochs=1, device="cpu"), None, progress=False)
    assert len(history.epochs) == 1
    found = evaluate(tiny_model(), OuluCASIA(made[OuluCASIA], split="test", size=16).as_emotions(), device="cpu")
    assert len(found.ids) == 12 and np.isfinite(found.logits).all()
