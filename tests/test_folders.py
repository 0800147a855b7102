"""Folders and lists as people have them: a few frames short, in the makers' layout, of public code, on another disk."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import trees
from conftest import call
from tiny import same_probe

from dferlib import AFEW, DFEW, MAFW, FERV39k, InputError, OuluCASIA, PackedClips, TrainConfig
from dferlib.data.check import check_data
from dferlib.data.classes import match_classes
from dferlib.data.pack import pack
from dferlib.data.protocols import Part, public_splits
from dferlib.data.sets import BENCHMARKS
from dferlib.data.table import lacks
from dferlib.evidence import studies


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the miniature trees for complete."""
    for kind in BENCHMARKS.values():
        monkeypatch.setattr(kind, "OFFICIAL", {})


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """DFEW with sixteen frames a clip, of which clip 6, a test clip of fold 1, has thirteen."""
    root = tmp_path / "dfew"
    trees.dfew_frames(root, "Clip/clip_224x224_16f")
    trees.dfew_lists(root)
    for number in (3, 9, 16):
        (root / f"Clip/clip_224x224_16f/00006/{number}.jpg").unlink()
    return root


def kinds(problems: list) -> list[str]:
    return [problem.kind for problem in problems]


def test_a_clip_that_is_shorter_than_its_list_says_is_used_and_told(
    short: Path, official: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "dferlib"):
        data = DFEW(short, split="test")
    assert len(data) == 4 and data.table.frames.tolist() == [16, 13, 16, 16]
    assert data.read(1).shape == (13, 3, 128, 128)
    assert kinds(data.problems) == ["length"] and "should have 16 frames" in data.problems[0].text
    assert "4 clips; see `problems`, 1 in all: clip '00006' should have 16 frames" in caplog.text
    assert data.lacks == "1 of its clips are of another length than listed"
    assert DFEW(short).lacks == "" and lacks(DFEW(short).hold_out()[1]) == ""
    found = check_data("DFEW", short).problems
    assert kinds(found) == ["length", "missing"]  # the second names the gap


def test_packing_keeps_the_short_clip_and_says_what_is_not_there(short: Path, official: None, tmp_path: Path) -> None:
    shutil.rmtree(short / "Clip/clip_224x224_16f/00011")
    packed = pack("DFEW", short, tmp_path / "out", 16, workers=1, progress=False)
    assert len(packed) == 19 and packed.lacks.startswith("19 of 20 clips of the split 'all'")
    test = PackedClips(tmp_path / "out", 1, "test")
    assert test.table.ids.tolist() == ["00001", "00006", "00016"] and test.table.frames.tolist() == [16, 13, 16]
    wanted = "3 of 4 clips of the split 'test'; 1 of its clips are of another length than listed"
    assert test.lacks == wanted
    assert PackedClips(tmp_path / "out", 2, "test").lacks == ""
    assert DFEW(short, split="test", strict=False).lacks == wanted
    assert sorted(line.partition(":")[0] for line in packed.skipped) == ["length", "missing"]
    again = pack("DFEW", short, tmp_path / "out", 16, workers=1, progress=False)
    assert again.fingerprint == packed.fingerprint


def test_a_set_below_the_official_figures_is_incomplete(made: dict[str, Path]) -> None:
    assert DFEW(made["DFEW"], split="test").lacks == "4 of 2341 clips of the split 'test'"
    assert AFEW(made["AFEW"], split="val").lacks == "7 of 383 clips of the split 'val'"
    data = OuluCASIA(made["OuluCASIA"], split="test")
    assert data.lacks == "72 of 480 clips of the set are listed"
    turned = match_classes(Part(data, np.arange(len(data)), "test"), data.classes[::-1])
    assert lacks(turned) == data.lacks  # whatever is made of it


def test_each_record_of_an_incomplete_set_says_so(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    same_probe(monkeypatch)
    row = studies.Row("single_frame", config=TrainConfig(epochs=1, batch_size=8, device="cpu"))
    sources = public_splits("AFEW", made["AFEW"], size=64)
    run = studies.train_and_record(tmp_path, "small", row, sources, progress=False)
    monkeypatch.setattr(AFEW, "OFFICIAL", {})
    whole = studies.train_and_record(
        tmp_path, "whole", row, public_splits("AFEW", made["AFEW"], size=64), progress=False
    )
    assert run is not None and whole is not None
    few = {"train": "14 of 773 clips of the split 'train'", "test": "7 of 383 clips of the split 'val'"}
    assert run.record["lacks"] == {**few, "val": few["train"]} and run.incomplete
    assert "lacks" not in whole.record and not whole.incomplete
    assert json.loads((tmp_path / "small.json").read_text())["lacks"] == run.record["lacks"]
    assert call("results", tmp_path) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "INCOMPLETE" in lines["small"] and "INCOMPLETE" not in lines["whole"]


def test_the_command_says_what_is_not_there(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("pack", "DFEW", made["DFEW"], tmp_path / "out", "--size", 16, "--workers", 1) == 0
    told = capsys.readouterr().err
    assert "INCOMPLETE, and each record made from it will say so: 20 of 11697 clips of the set are listed" in told


def afew_of_the_makers(root: Path) -> Path:
    """As it is handed out: videos under their classes, and beside these the aligned faces."""
    trees.afew(root, "videos")
    for split, name in (("Train", "AlignedFaces_LBPTOP_Points"), ("Val", "AlignedFaces_LBPTOP_Points_Val")):
        (root / split).rename(root / f"{split}_AFEW")
        for clip in (root / f"{split}_AFEW").glob("*/*.avi"):
            trees.frames(root / f"{split}_AFEW" / name / "Faces" / clip.stem, 6, "{:07d}.jpg")
            (root / f"{split}_AFEW" / name / "LBPTOP").mkdir(exist_ok=True)
    return root


def test_afew_as_its_makers_hand_it_out(tmp_path: Path, official: None) -> None:
    root = afew_of_the_makers(tmp_path)
    data, videos = AFEW(root, split="val"), AFEW(root, split="val", layout="videos")
    assert (data.layout, videos.layout) == ("aligned", "videos") and len(data) == 7
    for column in ("id", "label", "group"):
        assert data.table.rows[column].tolist() == videos.table.rows[column].tolist()
    assert set(data.table.frames) == {6} and set(videos.table.frames) == {3, 4, 5}
    assert data.table.rows["path"][0].startswith("Val_AFEW/AlignedFaces_LBPTOP_Points_Val/Faces/")
    assert check_data("AFEW", root).problems == [] and check_data("AFEW", root, "videos").problems == []
    learnt = public_splits("AFEW", root, layout="videos", size=16)
    assert set(learnt["test"].table.frames) == {3, 4, 5}
    assert set(public_splits("AFEW", root)["test"].table.frames) == {6}
    shutil.rmtree(root / "Train_AFEW/AlignedFaces_LBPTOP_Points/Faces/000003")
    with pytest.raises(InputError, match=r"000003.*no frames.*`dferlib pack`, leaves such clips out"):
        AFEW(root)
    shutil.rmtree(root / "Train_AFEW/AlignedFaces_LBPTOP_Points")
    assert AFEW(root).layout == "videos"  # with faces for one split alone nothing could be tested


def test_ferv39k_with_the_lists_of_public_code(made: dict[str, Path], tmp_path: Path) -> None:
    root = Path(shutil.copytree(made["FERV39k"], tmp_path / "ferv"))
    makers = {split: FERV39k(root, split=split) for split in ("train", "test")}
    shutil.rmtree(root / "4_setups")
    # one of the ways in which such code numbers the classes
    numbers = {"Neutral": 0, "Happy": 1, "Sad": 2, "Surprise": 3, "Fear": 4, "Disgust": 5, "Angry": 6}
    for split, data in makers.items():
        clips = zip(data.table.ids, data.table.frames, strict=True)
        lines = [f"D:\\data\\2_ClipsforFaceCrop\\{name} {count} {numbers[name.split('/')[1]]}" for name, count in clips]
        trees.text(root / f"annotation/FERV39K_{split}.txt", lines)
    for split, data in makers.items():
        found = FERV39k(root, split=split)
        assert found.lists == "annotation/FERV39K_train.txt"
        for column in ("id", "label", "group", "split", "frames", "path", "scene"):
            assert found.table.rows[column].tolist() == data.table.rows[column].tolist()
    path = root / "annotation/FERV39K_test.txt"
    path.write_text(path.read_text().replace(" 1\n", " 2\n", 1))
    with pytest.raises(InputError, match="lies under Happy, and its label 2 stood for Sad"):
        FERV39k(root, split="test")
    path.write_text("Happy/0001 8 1\n")
    with pytest.raises(InputError, match="is not a folder, a number of frames and a label"):
        FERV39k(root, split="test")


@pytest.mark.parametrize(("place", "suffix"), [("data/frames", ""), ("data/clips_faces", "_faces")])
def test_mafw_with_the_lists_of_public_code(place: str, suffix: str, tmp_path: Path) -> None:
    """They number the seven emotions as DFEW does, and then the four others: not as the paper names them."""
    makers = MAFW(trees.mafw(tmp_path / "makers"), 2, "all")
    root = trees.mafw(tmp_path / "public", place)
    shutil.rmtree(root / "Train & Test Set")
    numbers = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
    numbers = (*numbers, "contempt", "anxiety", "helplessness", "disappointment")
    for split in ("train", "test"):
        rows = makers.table.rows[makers.table.rows["split"] == split]
        words = [numbers.index(MAFW.CLASSES[label]) for label in rows["label"]]
        lines = [
            f"/scratch/somebody/{place}/{name} {count} {word}"
            for name, count, word in zip(rows["id"], rows["frames"], words, strict=True)
        ]
        trees.text(root / f"annotation/MAFW_set_2_{split}{suffix}.txt", lines)
    found = MAFW(root, 2, "all")
    assert found.problems == [] and len(found) == 22
    mine = found.table.rows.set_index("id").loc[makers.table.ids]
    for column in ("label", "split", "frames"):
        assert mine[column].tolist() == makers.table.rows[column].tolist()
    path = root / f"annotation/MAFW_set_2_test{suffix}.txt"
    path.write_text(path.read_text().replace("\n", "1\n", 1))  # a label of two digits
    with pytest.raises(InputError, match="it must be 0 to 10"):
        MAFW(root, 2, "test")


def test_of_several_faces_in_a_frame_the_one_that_is_seen_longest_is_taken(tmp_path: Path, official: None) -> None:
    root = trees.afew(tmp_path)
    folder = root / "train/Happy/000000"
    shutil.rmtree(folder)
    for face, frames in ((0, (1, 2)), (1, (1, 2, 3, 4)), (2, (2, 3, 4, 5))):
        for frame in frames:
            trees.image(folder / f"frame_det_{face:02d}_{frame:06d}.bmp", 5 * face + frame)
    data = AFEW(root)
    index = data.table.ids.tolist().index("train/000000")
    assert data.table.frames[index] == 4
    assert data.read(index)[:, 0, 0, 0].tolist() == [trees.level(5 + frame) for frame in (1, 2, 3, 4)]
    assert kinds(data.problems) == ["extra"] and "6 images are left out" in data.problems[0].text
    assert kinds(check_data("AFEW", root).problems) == ["extra"]
    trees.image(folder / "000001.bmp", 3)  # whose face that is, nobody knows
    with pytest.raises(InputError, match="holds one frame twice"):
        AFEW(root)


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, Path]:
    """DFEW whose clips lie on another disk, and that disk."""
    root, disk = trees.dfew(tmp_path / "home/dfew"), tmp_path / "disk"
    for name in ("00001", "00007"):
        clip = root / "Clip/clip_224x224" / name
        clip.rename(disk / name) if disk.exists() else shutil.copytree(clip, disk / name) and shutil.rmtree(clip)
        clip.symlink_to(disk / name)
    return root, disk


def test_links_are_followed_into_named_folders_alone(linked: tuple[Path, Path], tmp_path: Path, official: None) -> None:
    root, disk = linked
    refused = r"symbolic link out of .*which is not followed: .*--follow-links .*/disk, in Python links="
    with pytest.raises(InputError, match=refused):
        DFEW(root, split="all")
    data = DFEW(root, split="all", links=[disk])
    plain = DFEW(trees.dfew(tmp_path / "plain"), split="all")
    assert data.table.rows.equals(plain.table.rows) and data.fingerprint == plain.fingerprint
    for index in (0, 6):
        np.testing.assert_array_equal(data.read(index), plain.read(index))
    other = tmp_path / "other"
    (disk / "00007/1.jpg").rename(tmp_path / "1.jpg")
    (disk / "00007/1.jpg").symlink_to(tmp_path / "1.jpg")  # a link in there that leads on
    with pytest.raises(InputError, match="there is no folder"):
        DFEW(root, links=[other])
    other.mkdir()
    for links in ([disk], [disk, other], [tmp_path / "home"]):
        with pytest.raises(InputError, match="symbolic link out of"):
            DFEW(root, split="all", links=links)
    assert len(DFEW(root, split="all", links=[tmp_path])) == 20


def test_the_commands_follow_links_that_are_named(
    linked: tuple[Path, Path], tmp_path: Path, official: None, capsys: pytest.CaptureFixture[str]
) -> None:
    root, disk = linked
    named = ["--follow-links", disk]
    assert call("check-data", "DFEW", root) == 1 and "--follow-links" in capsys.readouterr().err
    assert call("check-data", "DFEW", root, *named) == 0
    assert call("pack", "DFEW", root, tmp_path / "out", "--size", 16, "--workers", 1, *named) == 0
    assert len(PackedClips(tmp_path / "out", split="all")) == 20
    assert len(public_splits("DFEW", root, links=[disk])["test"]) == 4
    capsys.readouterr()
    assert call("train", "stt", *named, "--out", tmp_path / "run") == 1
    assert "--layout and --follow-links are for the folder of a public data set" in capsys.readouterr().err
