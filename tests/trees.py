"""Miniature copies of the seven data sets, in every layout that is about. Frames show a number, not a face."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

DFEW_CLIPS = 20  # clip k, from 1, has label 1 + (k - 1) % 7 and lies in test fold 1 + (k - 1) % 5
FERV_WORDS = ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear")
MAFW_WORDS = (
    "happiness",
    "contempt",
    "sadness",
    "helplessness",
    "neutral",
    "anxiety",
    "anger",
    "disappointment",
    "surprise",
    "disgust",
    "fear",
)
LANDMARKS = np.linspace(0.5, 400.25, 136).reshape(68, 2)


def level(frame: int) -> int:
    """The grey level of a frame, by which a test knows it; frames count from 0."""
    return 10 + 12 * (frame % 20)


def image(path: Path, frame: int, size: tuple[int, int] = (24, 24), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (level(frame),) * 3 if mode == "RGB" else level(frame)).save(path)


def frames(folder: Path, count: int, names: str = "{:05d}.jpg", first: int = 1, **kwargs) -> None:
    for k in range(count):
        image(folder / names.format(k + first), k, **kwargs)


def video(path: Path, count: int, size: tuple[int, int] = (64, 48), rate: int = 25) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = {".flv": "flv1", ".avi": "mpeg4", ".mp4": "mpeg4"}[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for k in range(count):
            frame = np.full((size[1], size[0], 3), level(k), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def text(path: Path, lines: Sequence[str], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))


def workbook(path: Path, rows: Sequence[Sequence[str | int]]) -> None:
    """An Excel workbook with these rows in its first sheet; words go to the table of shared strings, as in Excel's."""
    words = sorted({cell for row in rows for cell in row if isinstance(cell, str)})
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    cell = {str: lambda c: f'<c t="s"><v>{words.index(c)}</v></c>', int: lambda c: f"<c><v>{c}</v></c>"}
    body = "".join("<row>" + "".join(cell[type(c)](c) for c in row) + "</row>" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        strings = "".join(f"<si><t>{word}</t></si>" for word in words)
        file.writestr("xl/sharedStrings.xml", f"<sst {space}>{strings}</sst>")
        file.writestr("xl/worksheets/sheet2.xml", f"<worksheet {space}><sheetData></sheetData></worksheet>")
        file.writestr("xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{body}</sheetData></worksheet>")


def dfew_length(clip: int, layout: str = "clip_224x224") -> int:
    return 16 if "16" in layout else 1 + clip % 6


def dfew_fold(clip: int) -> int:
    return 1 + (clip - 1) % 5


def dfew_label(clip: int) -> int:
    return 1 + (clip - 1) % 7


def dfew_frames(root: Path, layout: str = "Clip/clip_224x224", folder: str = "{:05d}", names: str = "{}.jpg") -> None:
    for clip in range(1, DFEW_CLIPS + 1):
        if layout.endswith("original"):
            video(root / layout / f"{folder.format(clip)}.mp4", dfew_length(clip))
        else:
            frames(root / layout / folder.format(clip), dfew_length(clip, layout), names.replace("ID", f"{clip:05d}"))


DFEW_LISTS = (
    "EmoLabel_DataSplit/{split}(single-labeled)/set_{fold}.csv",
    "Clip/EmoLabel_DataSplit/{split}/set_{fold}.csv",
    "label/single_{split}set_{fold}.csv",
    "label/{split}_set_{fold}.csv",
)


def dfew_lists(root: Path, where: str = DFEW_LISTS[0], name: str = "{:05d}", encoding: str = "utf-8") -> None:
    for fold in range(1, 6):
        for split in ("train", "test"):
            clips = [k for k in range(1, DFEW_CLIPS + 1) if (dfew_fold(k) == fold) == (split == "test")]
            lines = [f"{name.format(k)},{dfew_label(k)}" for k in clips]
            text(root / where.format(split=split, fold=fold), ["video_name,label", *lines], encoding)


def dfew_former_lists(root: Path, folder: str = "/data/somebody/DFEW_Face/{:05d}") -> None:
    for fold in range(1, 6):
        for split in ("train", "test"):
            clips = [k for k in range(1, DFEW_CLIPS + 1) if (dfew_fold(k) == fold) == (split == "test")]
            lines = [f"{folder.format(k)} {dfew_length(k)} {dfew_label(k) - 1}" for k in clips]
            text(root / f"annotation/DFEW_set_{fold}_{split}.txt", lines)


def dfew_workbook(root: Path) -> None:
    head = ["1happy", "2sad", "3neutral", "4angry", "5surprise", "6disgust", "7fear", "order", "label"]
    rows = [[0] * 7 + [k, dfew_label(k) if k % 4 else 0] for k in range(1, DFEW_CLIPS + 1)]
    workbook(root / "Annotation/annotation.xlsx", [head, *rows])


def dfew(root: Path) -> Path:
    dfew_frames(root)
    dfew_lists(root)
    return root


def ferv39k(root: Path) -> Path:
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for k in range(21):
        clip = f"{('Action', 'DailyLife', 'School')[k % 3]}/{FERV_WORDS[k % 7]}/{k + 10:04d}"
        frames(root / "2_ClipsforFaceCrop" / clip, 8 + k % 4, "{:04d}.jpg")
        lines["test" if k % 5 == 0 else "train"].append(f"{clip} {FERV_WORDS[k % 7]}")
    for split, found in lines.items():
        text(root / f"4_setups/All_scenes/{split}_All.csv", found)
    return root


def afew(root: Path, layout: str = "frames") -> Path:
    for split, count in (("train", 14), ("val", 7)):
        for k in range(count):
            folder = root / (split if layout == "frames" else split.title()) / FERV_WORDS[k % 7]
            if layout == "frames":
                frames(folder / f"0{k:05d}", 3 + k % 3, "{:03d}.jpg")
            else:
                video(folder / f"0{k:05d}.avi", 3 + k % 3)
    return root


def mafw(root: Path, layout: str = "data/frames") -> Path:
    for k in range(1, 23):
        if layout.endswith("clips"):
            video(root / layout / f"{k:05d}.mp4", 3 + k % 3)
        else:
            frames(root / layout / f"{k:05d}", 3 + k % 3)
    for fold in range(1, 6):
        for split in ("train", "test"):
            clips = [k for k in range(1, 23) if (1 + k % 5 == fold) == (split == "test")]
            lines = [f"{k:05d}.mp4 {MAFW_WORDS[k % 11]}" for k in clips]
            text(root / f"Train & Test Set/single/no_caption/set_{fold}/{split}.txt", lines)
    return root


def cremad(root: Path, actors: int = 12) -> Path:
    for actor in range(1001, 1001 + actors):
        for k, name in enumerate(("DFA_ANG_XX", "IEO_HAP_LO", "IEO_NEU_XX")):
            video(root / f"VideoFlash/{actor}_{name}.flv", 4 + k)
    return root


def ckplus(root: Path, prefixes: tuple[str, str, str] = ("", "", "")) -> Path:
    """Subjects 5, 10, 11, 22, ...: 12 of them with two sessions each, the second without a label; one more is empty."""
    images, emotions, points = (root / prefix for prefix in prefixes)
    for k in range(12):
        subject = f"S{(5, 10, 11, 22, 26, 28, 32, 34, 35, 37, 42, 500)[k]:03d}"
        for session in ("001", "002"):
            name, count = f"{subject}_{session}", 4 + k % 3
            frames(
                images / "cohn-kanade-images" / subject / session,
                count,
                name + "_{:08d}.png",
                size=(64, 49),
                mode="L" if k % 2 else "RGB",
            )
            for frame in range(1, count + 1):
                lines = [f"   {x:.7e}   {y + frame:.7e}" for x, y in LANDMARKS]
                text(points / "Landmarks" / subject / session / f"{name}_{frame:08d}_landmarks.txt", lines)
            folder = emotions / "Emotion" / subject / session
            folder.mkdir(parents=True)
            if session == "001":
                text(folder / f"{name}_{count:08d}_emotion.txt", [f"   {1 + k % 7}.0000000e+00"])
    (images / "cohn-kanade-images/S005/003").mkdir()
    (emotions / "Emotion/S005/003").mkdir()
    return root


def oulu(root: Path, place: str = "OriginalImg/VL/Strong", subjects: int = 12) -> Path:
    for k in range(1, subjects + 1):
        for word in ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise"):
            frames(root / place / f"P{k:03d}" / word, 2 + k % 3, "{:03d}.jpeg", first=0, size=(32, 24))
    return root


MADE = {
    "DFEW": dfew,
    "FERV39k": ferv39k,
    "AFEW": afew,
    "MAFW": mafw,
    "CREMAD": cremad,
    "CKPlus": ckplus,
    "OuluCASIA": oulu,
}
"""What makes a copy of a data set in a folder, by its name."""
