"""`dferlib check-data`: what it counts, and that it finds what is wrong."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trees
from conftest import call

from dferlib import InputError
from dferlib.data.check import check_data
from dferlib.data.sets import BENCHMARKS


@pytest.fixture
def copied(made, tmp_path):
    return lambda name: Path(shutil.copytree(made[name], tmp_path / "copy"))


@pytest.fixture
def official(monkeypatch):
    """Take the miniature trees for complete."""
    for kind in BENCHMARKS.values():
        monkeypatch.setattr(kind, "OFFICIAL", {})


def only(report, kind, *words):
    """Check that one thing is wrong, of this kind, with these words."""
    assert [problem.kind for problem in report.problems] == [kind]
    for word in words:
        assert str(word) in report.problems[0].text


@pytest.mark.parametrize("name", trees.MADE)
def test_a_good_copy_has_no_problems(name, made, official):
    report = check_data(name, made[name])
    assert report.problems == []
    assert name in report.facts[0] and str(made[name]) in report.facts[0]


def test_the_report_counts_clips_frames_classes_and_folds(made):
    facts = "\n".join(check_data("DFEW", made["DFEW"]).facts)
    lengths = [trees.dfew_length(k) for k in range(1, 21)]
    assert "layout    clip_224x224, labels from EmoLabel_DataSplit/train(single-labeled)/set_1.csv" in facts
    assert "clips     20\n" in facts
    assert f"{sum(lengths)} in all; 1 to 6 a clip" in facts and "20 clips have fewer than 16" in facts
    assert "happiness 3, sadness 3, neutral 3, anger 3, surprise 3, disgust 3, fear 2" in facts
    assert [f"fold {k}    train 16, test 4" in facts for k in range(1, 6)] == [True] * 5
    assert "of 12 people" in "\n".join(check_data("CREMAD", made["CREMAD"]).facts)
    assert "24 sequences" in "\n".join(check_data("CKPlus", made["CKPlus"]).facts)
    assert "splits    train 16, test 5" in "\n".join(check_data("FERV39k", made["FERV39k"]).facts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DFEW", "20 clips, 11697 officially"),
        ("DFEW", "20 clips in clip_224x224, 15906 officially"),
        ("DFEW", "4 clips in the split 'test' of fold 5, 2336 officially"),
        ("DFEW", "test classes of fold 1: disgust 1, 29 officially"),
        ("FERV39k", "16 clips in the split 'train', 31088 officially"),
        ("AFEW", "7 clips in the split 'val', 383 or 381 officially"),
        ("MAFW", "22 clips, 9172 officially"),
        ("CREMAD", "12 people, 91 officially"),
        ("CKPlus", "24 sequences, 593 officially"),
        ("CKPlus", "classes: surprise 1, 83 officially"),
        ("OuluCASIA", "72 clips, 480 officially"),
    ],
)
def test_differences_to_the_official_figures_are_told(name, expected, made):
    texts = [problem.text for problem in check_data(name, made[name]).problems if problem.kind == "unofficial"]
    assert expected in texts


def test_the_official_figures_agree_with_themselves():
    official = {name: kind.OFFICIAL for name, kind in BENCHMARKS.items()}
    assert sum(sum(fold) for fold in official["DFEW"]["splits"]["test"]) == official["DFEW"]["totals"]["clips"]
    assert sum(official["DFEW"]["test classes of fold 1"].values()) == official["DFEW"]["splits"]["test"][0][0]
    ferv = official["FERV39k"]
    assert ferv["splits"]["train"][0][0] + ferv["splits"]["test"][0][0] == ferv["totals"]["clips"]
    for name in ("CKPlus", "OuluCASIA"):
        assert sum(official[name]["classes"].values()) == official[name]["totals"]["clips"]


def test_a_clip_of_unofficial_length_is_named(copied):
    root = copied("FERV39k")
    trees.frames(root / "2_ClipsforFaceCrop/Action/Happy/0010", 60, "{:04d}.jpg")
    texts = [problem.text for problem in check_data("FERV39k", root).problems]
    assert any("has 60 frames, 8 to 47 officially" in text and "Action/Happy/0010" in text for text in texts)


def test_a_missing_clip_and_a_gap_are_missing(copied, official):
    root = copied("DFEW")
    shutil.rmtree(root / "Clip/clip_224x224/00003")
    only(check_data("DFEW", root), "missing", root / "Clip/clip_224x224/00003", "no frames")
    shutil.copytree(root / "Clip/clip_224x224/00009", root / "Clip/clip_224x224/00003")
    for number in (2, 3):
        (root / f"Clip/clip_224x224/00004/{number}.jpg").unlink()
    only(check_data("DFEW", root), "missing", root / "Clip/clip_224x224/00004", "2 frames are missing", "after 1.jpg")


@pytest.mark.parametrize(
    ("name", "first"),
    [("DFEW", "Clip/clip_224x224/00004/1.jpg"), ("OuluCASIA", "OriginalImg/VL/Strong/P001/Fear/000.jpeg")],
)
def test_a_clip_without_its_first_frame_is_told(name, first, copied, official):
    root = copied(name)
    (root / first).unlink()
    only(check_data(name, root), "missing", (root / first).parent, "the first frame is")


@pytest.mark.parametrize("content", [b"", b"no image at all", "half", "swapped"])
def test_an_image_that_cannot_be_read_is_named(content, copied, official):
    root = copied("DFEW")
    file = root / "Clip/clip_224x224/00004/3.jpg"  # the middle one of five
    whole = file.read_bytes()
    if content == "half":
        content = whole[: len(whole) // 2]
    if content == "swapped":
        content = whole[:2] + bytes(len(whole) - 4) + whole[-2:]  # begins and ends well, and holds nothing
    file.write_bytes(content)
    only(check_data("DFEW", root), "unreadable", file)


def test_damage_inside_of_any_image_is_found_on_request(copied, official):
    root = copied("DFEW")
    file = root / "Clip/clip_224x224/00004/1.jpg"
    whole = file.read_bytes()
    file.write_bytes(whole[:2] + bytes(len(whole) - 4) + whole[-2:])
    assert check_data("DFEW", root).problems == []
    only(check_data("DFEW", root, every_frame=True), "unreadable", file)


def test_a_damaged_video_is_named(copied, official):
    root = copied("CREMAD")
    file = root / "VideoFlash/1003_DFA_ANG_XX.flv"
    file.write_bytes(file.read_bytes()[:60])
    (root / "VideoFlash/1003-DFA.flv").write_bytes(b"")
    problems = {problem.kind: problem.text for problem in check_data("CREMAD", root).problems}
    assert str(file) in problems["unreadable"] and "1003-DFA.flv" in problems["inconsistent"]
    assert len(problems) == 2


def test_labels_and_duplicates_are_listed_all_at_once(copied, official):
    root = copied("DFEW")
    path = root / "EmoLabel_DataSplit/train(single-labeled)/set_2.csv"
    path.write_text(path.read_text() + "00001,1\n00003,9\n")
    trees.frames(root / "Clip/clip_224x224/5", 2)
    problems = check_data("DFEW", root).problems
    found = {(problem.kind, problem.text.partition(":")[0]) for problem in problems}
    assert ("duplicate", "clip '00001' is listed twice") in found
    assert ("label", f"{path}, line {len(path.read_text().splitlines())}, clip 00003") in found
    assert any("clip 5 twice" in problem.text for problem in problems if problem.kind == "duplicate")
    assert len(problems) == len(set(problems)) == 3


def test_folds_that_contradict_each_other_are_told(copied, official):
    root = copied("DFEW")
    path = root / "EmoLabel_DataSplit/train(single-labeled)/set_2.csv"
    path.write_text(path.read_text().replace("00001,1\n", "00001,2\n"))
    only(check_data("DFEW", root), "inconsistent", "'00001' has several labels", "happiness, sadness")
    path.write_text(path.read_text().replace("00001,2\n", ""))
    only(check_data("DFEW", root), "inconsistent", "'00001' is in 4 of 5 folds")
    path.write_text(path.read_text() + "00001,1\n")
    tested, learnt = (root / f"EmoLabel_DataSplit/{split}(single-labeled)/set_1.csv" for split in ("test", "train"))
    tested.write_text(tested.read_text().replace("00001,1\n", ""))
    learnt.write_text(learnt.read_text() + "00001,1\n")
    only(check_data("DFEW", root), "inconsistent", "'00001' is in 5 of 5 folds, and in the test part of 0")
    path.unlink()
    kinds = {problem.text.partition(":")[0]: problem.kind for problem in check_data("DFEW", root).problems}
    assert kinds["fold 2"] == "missing"


def test_the_list_of_former_dfer_must_agree_with_the_folders(tmp_path, official):
    trees.dfew_frames(tmp_path)
    trees.dfew_former_lists(tmp_path)
    assert check_data("DFEW", tmp_path).problems == []
    trees.image(tmp_path / "Clip/clip_224x224/00004/6.jpg", 5)
    only(check_data("DFEW", tmp_path), "length", "'00004' should have 5 frames", "holds 6")


def test_the_command_prints_facts_and_ends_with_0(made, official, capsys):
    assert call("check-data", "dfew", made["DFEW"]) == 0
    out = capsys.readouterr().out
    assert "clips     20" in out and "nothing is wrong" in out


def test_the_command_lists_what_is_wrong_and_ends_with_1(copied, official, capsys):
    root = copied("OuluCASIA")
    for k in range(1, 6):
        shutil.rmtree(root / f"OriginalImg/VL/Strong/P{k:03d}")
        (root / f"OriginalImg/VL/Strong/P{k:03d}").mkdir()
    assert call("check-data", "OuluCASIA", root) == 1
    out, err = capsys.readouterr()
    assert "of 7 people" in out
    assert err.count("missing: clip ") == 20 and "missing: and 10 more" in err
    assert err.splitlines()[-1] == f"dferlib: 30 things are wrong with {root}: they are listed above"
    assert call("check-data", "OuluCASIA", root, "--all") == 1
    assert capsys.readouterr().err.count("missing: clip ") == 30


def test_the_command_tells_wrong_names_and_folders_in_one_line(tmp_path, capsys):
    hollow = tmp_path / "hollow"
    (hollow / "OriginalImg/VL/Strong/P001").mkdir(parents=True)
    for arguments, word in (
        (["RAF-DB", tmp_path], "DFEW, FERV39k, AFEW, MAFW, CREMAD, CKPlus, OuluCASIA"),
        (["DFEW", tmp_path / "no"], "there is no folder"),
        (["DFEW", tmp_path], "not DFEW as it is known"),
        (["OuluCASIA", hollow], "no clip can be used"),
    ):
        assert call("check-data", *arguments) == 1
        err = capsys.readouterr().err
        assert err.startswith("dferlib: ") and word in err and err.count("\n") == 1
    with pytest.raises(InputError, match="layout of DFEW"):
        check_data("DFEW", trees.dfew(tmp_path), layout="jpg_512")


def test_the_command_shows_an_example():
    command = [sys.executable, "-m", "dferlib.cli", "check-data", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "Example: dferlib check-data DFEW" in shown.stdout
