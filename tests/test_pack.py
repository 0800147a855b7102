"""Packing a data set: the same table, folds and pixels as the original, and the same bytes however it was stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trees
from conftest import call
from PIL import Image

from dferlib import InputError
from dferlib.data import pack as module
from dferlib.data.pack import MANIFEST, SKIPPED, PackedClips, pack
from dferlib.data.protocols import public_splits
from dferlib.data.sets import BENCHMARKS
from dferlib.data.store import facts_file
from dferlib.video.faces.aligning import template
from dferlib.video.faces.landmarks import FIVE, find_landmarks


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
@pytest.mark.parametrize("name", trees.MADE)
def test_a_packed_set_is_the_original(
    name: str, made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_FRAMES", 20)  # several parts
    kind = BENCHMARKS[name]
    every = pack(name, made[name], tmp_path, size=16, workers=1, progress=False)
    assert len(list(tmp_path.glob("part-*.npz"))) > 2 and len(every) == len(kind(made[name], split="all"))
    prints = set()
    for fold in (1, kind.FOLDS):
        for split in (*kind.SPLITS, "all"):
            packed, original = PackedClips(tmp_path, fold, split), kind(made[name], fold, split, size=16)
            prints.add(packed.fingerprint)
            assert packed.classes == original.classes and packed.SPLITS == original.SPLITS
            wanted = original.table.rows.set_index("id")
            got = packed.table.rows.set_index("id")
            assert set(got.index) == set(wanted.index)
            got = got.loc[wanted.index]
            for column in wanted.columns:
                assert got[column].tolist() == wanted[column].tolist(), column
            for index in range(0, len(packed), 5):
                twin = original.table.ids.tolist().index(packed.table.ids[index])
                np.testing.assert_array_equal(packed.read(index), original.read(twin))
                np.testing.assert_array_equal(packed.read(index, np.array([-1, 0, 0])), original.read(twin)[[-1, 0, 0]])
    assert len(prints) == (1 + len(kind.SPLITS) if kind.FOLDS == 1 else 5)  # "all" is the same in all folds
    every.verify()


def test_parts_of_a_set_hold_out_and_map_like_the_original(made: dict[str, Path], tmp_path: Path) -> None:
    pack("mafw", made["MAFW"], tmp_path, size=16, workers=1, progress=False)
    packed, original = PackedClips(tmp_path, 2), BENCHMARKS["MAFW"](made["MAFW"], 2, size=16)
    for mine, theirs in zip(packed.hold_out(0.2), original.hold_out(0.2), strict=True):
        assert sorted(mine.table.ids) == sorted(theirs.table.ids)
        twin = theirs.table.ids.tolist().index(mine.table.ids[1])
        np.testing.assert_array_equal(mine.read(1), theirs.read(twin))
    emotions = [
        dict(zip(one.table.ids, one.table.labels, strict=True))
        for one in (packed.as_emotions(), original.as_emotions())
    ]
    assert emotions[0] == emotions[1]
    splits = public_splits(str(tmp_path), None, 2)
    original_splits = public_splits("MAFW", made["MAFW"], 2, 16)
    for split, source in splits.items():
        assert sorted(source.table.ids) == sorted(original_splits[split].table.ids)


@pytest.mark.slow
def test_processes_and_interruption_change_no_byte(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_FRAMES", 20)
    whole, shared, resumed = (tmp_path / name for name in ("whole", "shared", "resumed"))
    pack("DFEW", made["DFEW"], whole, 16, workers=1, progress=False)
    pack("DFEW", made["DFEW"], shared, 16, workers=2, progress=False)
    assert files(shared) == files(whole)
    write, count = module.write_part, 0

    def fail(*arguments: object) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_part", fail)
    with pytest.raises(KeyboardInterrupt):
        pack("DFEW", made["DFEW"], resumed, 16, workers=1, progress=False)
    with pytest.raises(InputError, match="not finished: 3 of 4 parts"):
        PackedClips(resumed)
    (resumed / ".part-00001.frames.4242.tmp.npy").write_bytes(b"what a killed process leaves behind")
    first = facts_file(resumed / "part-00000").stat()
    monkeypatch.setattr(module, "write_part", write)
    pack("DFEW", made["DFEW"], resumed, 16, workers=1, progress=False)
    assert files(resumed) == files(whole)
    assert facts_file(resumed / "part-00000").stat().st_mtime_ns == first.st_mtime_ns  # not made again


SLOW_PACK = """
import sys, time
from dferlib.data import pack as module
module.PART_FRAMES = 20
write = module.write_part
def slowly(*arguments):
    time.sleep(0.3)
    write(*arguments)
module.write_part = slowly
if __name__ == "__main__":
    module.pack("DFEW", sys.argv[1], sys.argv[2], 16, workers=2, progress=False)
"""


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_bytes_and_leaves_no_process(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, out, whole = tmp_path / "slow_pack.py", tmp_path / "killed", tmp_path / "whole"
    script.write_text(SLOW_PACK)
    running = subprocess.Popen([sys.executable, script, made["DFEW"], out], start_new_session=True)
    until = time.monotonic() + 60
    while not list(out.glob("part-*.npz")) and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert list(out.glob("part-*.npz"))
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            os.killpg(running.pid, 0)
        except ProcessLookupError:  # the workers are gone with their parent
            break
        time.sleep(0.05)
    else:
        pytest.fail("a worker outlives the process that started it")
    monkeypatch.setattr(module, "PART_FRAMES", 20)
    for folder in (out, whole):
        pack("DFEW", made["DFEW"], folder, 16, workers=1, progress=False)
    assert files(out) == files(whole)


def test_what_cannot_be_read_is_left_out_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = trees.dfew(tmp_path / "dfew"), tmp_path / "packed"
    broken = root / "Clip/clip_224x224/00005/2.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    for image in (root / "Clip/clip_224x224/00007").iterdir():
        image.unlink()
    assert call("pack", "DFEW", root, out, "--size", 16, "--workers", 1) == 0
    said = capsys.readouterr()
    assert "19 clips" in said.out and "0.00 GB" in said.out and "18 clips of DFEW" in said.out and "1 to 5" in said.out
    assert "2 things are wrong" in said.err
    packed = PackedClips(out, split="all")
    assert not {"5", "7", "00005", "00007"} & set(packed.table.ids.tolist()) and len(packed) == 18
    missing, unreadable = packed.skipped
    assert missing.startswith("missing: ") and "00007" in missing
    assert unreadable.startswith("unreadable: ") and str(broken) in unreadable
    assert len(PackedClips(out, split="train")) + len(PackedClips(out, split="test")) == 18


def test_another_packing_in_the_folder_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    root, out = trees.dfew(tmp_path / "dfew"), tmp_path / "packed"
    pack("DFEW", root, out, 16, workers=1, progress=False)
    with pytest.raises(InputError, match="packed with size 16, not 24"):
        pack("DFEW", root, out, 24, workers=1, progress=False)
    with pytest.raises(InputError, match="packed with data 'DFEW', not 'MAFW'"):
        pack("MAFW", made["MAFW"], out, 16, workers=1, progress=False)
    trees.image(root / "Clip/clip_224x224/00001/1.jpg", 3, size=(40, 40))
    with pytest.raises(InputError, match="out of date"):
        pack("DFEW", root, out, 16, workers=1, progress=False)
    (out / MANIFEST).write_text("{")
    with pytest.raises(InputError, match="cannot read"):
        PackedClips(out)
    (out / MANIFEST).unlink()
    with pytest.raises(InputError, match="holds parts of something else"):
        pack("DFEW", root, out, 16, workers=1, progress=False)


def test_wrong_input_is_one_line_and_status_1(
    made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made["DFEW"]
    for arguments, words in (
        (("XYZ", root, tmp_path / "o"), "unknown data set"),
        (("DFEW", tmp_path / "none", tmp_path / "o"), "there is no folder"),
        (("DFEW", made["CREMAD"], tmp_path / "o"), "is not DFEW as it is known"),
        (("DFEW", root, tmp_path / "o", "--size", 4), "give 8 to 1024"),
        (("DFEW", root, tmp_path / "o", "--layout", "x"), "unknown layout"),
    ):
        assert call("pack", *arguments) == 1
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type(usage)(1, 1, 0))
    assert call("pack", "DFEW", root, tmp_path / "o") == 1
    assert "GB more and the disk has 0.0 GB" in capsys.readouterr().err
    pack_folder = tmp_path / "o"
    with pytest.raises(InputError, match="not finished"):
        PackedClips(pack_folder)
    with pytest.raises(InputError, match="holds no packed clips"):
        PackedClips(tmp_path)


def test_a_fold_or_split_that_is_not_there_is_named(made: dict[str, Path], tmp_path: Path) -> None:
    pack("DFEW", made["DFEW"], tmp_path, 16, workers=1, progress=False)
    with pytest.raises(InputError, match="has no fold 6: it has 1, 2, 3, 4, 5"):
        PackedClips(tmp_path, 6)
    with pytest.raises(InputError, match="unknown split"):
        PackedClips(tmp_path, 1, "val")
    frames = next(tmp_path.glob("part-*.frames.npy"))
    data = bytearray(frames.read_bytes())
    data[-1] ^= 1
    frames.write_bytes(data)
    with pytest.raises(InputError, match="does not match its checksum"):
        PackedClips(tmp_path).verify()


def test_lists_of_one_fold_are_enough(tmp_path: Path) -> None:
    root = trees.dfew(tmp_path / "dfew")
    for path in root.rglob("set_[2-5].csv"):
        path.unlink()
    packed = pack("DFEW", root, tmp_path / "packed", 16, workers=1, progress=False)
    assert packed.about["folds"] == [1] and len(packed) == 20
    assert sum(line.startswith("missing: fold") for line in packed.skipped) == 4


def test_aligned_clips_show_the_face_and_those_without_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trees.dfew(tmp_path / "dfew")
    seen = []

    def align(frames, size):
        shown = [frame.mean() for frame in frames()]
        seen.append(shown)
        return None if len(shown) == 3 else np.stack([np.full((size, size, 3), grey, np.uint8) for grey in shown])

    monkeypatch.setattr("dferlib.data.pack.align_face", align)
    monkeypatch.setattr("dferlib.data.pack.landmarks_file", lambda: None)
    packed = pack("DFEW", root, tmp_path / "packed", 16, align=True, workers=1, progress=False)
    lengths = [trees.dfew_length(k) for k in range(1, 21)]
    assert len(packed) == sum(length != 3 for length in lengths) and len(seen) == 20
    assert sum("no face is found" in line for line in packed.skipped) == lengths.count(3)
    assert json.loads((packed.folder / MANIFEST).read_text())["aligned"] is True
    clip = packed.read(4)
    assert clip.shape[1:] == (3, 16, 16)
    np.testing.assert_allclose(clip.mean((1, 2, 3)), [trees.level(k) for k in range(len(clip))], atol=1)
    assert (packed.folder / SKIPPED).read_text().count("\n") == lengths.count(3)


@pytest.mark.slow
def test_a_model_trains_on_a_packed_store_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out, run = trees.oulu(tmp_path / "oulu"), tmp_path / "packed", tmp_path / "run"
    assert call("pack", "OuluCASIA", root, out, "--size", 64, "--workers", 1) == 0
    # every frame is a plain grey that tells its number: there is nothing to learn, but everything must fit
    assert (
        call("train", "frame_average", "--data", out, "--fold", 2, "--epochs", 1, "--out", run, "--device", "cpu") == 0
    )
    assert "test: 12 clips" in capsys.readouterr().out  # two of twelve people, six classes
    record = json.loads((run / "run.json").read_text())
    assert record["config"]["data"] == {"name": str(out), "fold": 2} and len(record["classes"]) == 6
    assert record["data"]["test"] == PackedClips(out, 2, "test").fingerprint
    checkpoint = run / "best.safetensors"
    assert call("evaluate", checkpoint, "--data", out, "--fold", 2, "--device", "cpu") == 0
    assert "test: 12 clips" in capsys.readouterr().out
    assert call("train", "frame_average", "--data", tmp_path / "nothing") == 1
    assert "one that `dferlib pack` wrote" in capsys.readouterr().err
    part = next(out.glob("part-*.frames.npy"))
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    assert call("train", "frame_average", "--data", out, "--fold", 2, "--out", tmp_path / "again") == 1
    assert "does not match its checksum" in capsys.readouterr().err


@pytest.mark.slow
def test_an_aligned_photograph_lies_as_the_template_does(tmp_path: Path) -> None:
    real = Path(__file__).parents[2] / "shared" / "real" / "london"
    if not real.is_dir():
        pytest.skip("the photographs of real people are not here")
    pytest.importorskip("dlib", reason="dlib is not installed")
    root = trees.dfew(tmp_path / "dfew")
    for folder in (root / "Clip/clip_224x224").iterdir():
        for image in folder.iterdir():
            Image.open(real / "001_neutral.jpg").resize((300, 300)).save(image)
    packed = pack("DFEW", root, tmp_path / "packed", 128, align=True, workers=1, progress=False)
    points = find_landmarks(packed.read(0)[0].transpose(1, 2, 0), np.array([[64.0, 64, 100]]))[0]
    assert np.abs(points - 128 * template()[list(FIVE)]).mean() < 3


def test_landmarks_are_packed_with_their_frames(tmp_path: Path) -> None:
    root = trees.ckplus(tmp_path / "ck")
    folder, points = (root / place / "S005" / "001" for place in ("cohn-kanade-images", "Landmarks"))
    for k in (1, 2, 3, 4):  # a white square of the frame, and the first landmark at its centre
        frame = np.zeros((49, 64, 3), np.uint8)
        frame[20 + k : 23 + k, 30:33] = 255
        Image.fromarray(frame).save(folder / f"S005_001_{k:08d}.png")
        lines = ["31.5 " + str(21.5 + k), *(f"{x} {y}" for x, y in trees.LANDMARKS[1:])]
        trees.text(points / f"S005_001_{k:08d}_landmarks.txt", lines)
    (root / "Landmarks/S010/001/S010_001_00000002_landmarks.txt").unlink()
    packed = pack("CKPlus", root, tmp_path / "out", size=98, workers=1, progress=False)
    at = packed.table.ids.tolist().index("S005_001")
    clip, found = packed.read(at), packed.landmarks(at)
    assert found.shape == (4, 68, 2) and found.dtype == np.float32
    for frame, (x, y) in zip(clip, found[:, 0], strict=True):
        bright = np.argwhere(frame[0] > 128).mean(0) + 0.5  # down, right
        np.testing.assert_allclose(bright[::-1], (x, y), atol=0.6)
    np.testing.assert_allclose(found[2, 1:], (trees.LANDMARKS[1:] - [7, 0]) * 2, rtol=1e-5)
    np.testing.assert_array_equal(packed.landmarks(at, np.array([2, 0])), found[[2, 0]])
    broken = packed.table.ids.tolist().index("S010_001")
    assert np.isnan(packed.landmarks(broken)).all() and packed.read(broken).any()
    assert [line for line in packed.skipped if "S010_001_00000002_landmarks.txt" in line]


def test_a_store_without_landmarks_says_so(made: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no landmarks: pack CK"):
        pack("AFEW", made["AFEW"], tmp_path / "out", size=8, workers=1, progress=False).landmarks(0)
