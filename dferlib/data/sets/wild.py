"""DFEW, FERV39k, AFEW and MAFW: clips from movies and the web, with lists of what to learn from and what to test on."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from dferlib.data.sets.base import Benchmark, Clip
from dferlib.data.sets.files import is_video, read_text
from dferlib.data.sets.listed import CLIP_ID, Listed
from dferlib.data.sets.workbook import read_workbook
from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError

_ALIGNED = ("AlignedFaces_LBPTOP_Points", "AlignedFaces_LBPTOP_Points_Val")  # the folders of AFEW's aligned faces


class DFEW(Listed):
    """DFEW: 16,372 clips from movies, of which 11,697 have a single label; seven classes, five folds.

    The class order is that of `dferlib.EMOTIONS`. Nobody knows who is in which clip. The lists are the CSV files of
    the makers, with labels from 1, or the text files of Former-DFER, with labels from 0 and the number of frames;
    without any, `annotation.xlsx` gives the labels of all clips, but no folds, for split="all".

    Takes what `Benchmark` takes.

    Source: Jiang et al., "DFEW: A Large-Scale Database for Recognizing Dynamic Facial Expressions in the Wild", 2020.
    """

    name = "DFEW"
    CLASSES = EMOTIONS
    FOLDS = 5
    FIRST = 1
    OFFICIAL: ClassVar = {
        "totals": {"clips": 11697, "clips in original": 16372, "clips in clip_224x224": 15906}
        | {"clips in clip_224x224_16f": 15906},
        "splits": {"test": ((2341,), (2341,), (2340,), (2339,), (2336,))},
        "test classes of fold 1": dict(zip(EMOTIONS, (489, 379, 534, 435, 294, 29, 181), strict=True)),
    }

    def layouts(self) -> dict[str, tuple[str, ...]]:
        """Aligned faces first, all of their frames before the 16 that were interpolated; the videos last."""
        names = ("clip_224x224", "jpg_224", "jpg_256", "clip_224x224_16f", "clip_224x16f", "data", "original")
        return {name: (name,) for name in names}

    def _list(self, layout: str | None) -> Iterator[Clip]:
        fold = self.fold
        csv = {
            split: (
                f"EmoLabel_DataSplit/{split}(single-labeled)/set_{fold}.csv",
                f"{split}(single-labeled)/set_{fold}.csv",
                f"EmoLabel_DataSplit/{split}/set_{fold}.csv",
                f"single_{split}set_{fold}.csv",
                f"{split}_set_{fold}.csv",
            )
            for split in self.SPLITS
        }
        text = {split: (f"DFEW_set_{fold}_{split}.txt",) for split in self.SPLITS}
        if self.root.locate(*csv["train"]) is None and self.root.locate(*text["train"]) is not None:
            return self._from_text(layout, text)
        book = self.root.locate("Annotation/annotation.xlsx", "annotation.xlsx")
        if book is not None and self.root.locate(*csv["train"]) is None:
            return self._from_workbook(layout, book)
        return self._from_csv(layout, csv)

    def _from_csv(self, layout: str | None, places: Mapping[str, tuple[str, ...]]) -> Iterator[Clip]:
        folder = self._find(layout)
        there = self._numbered(folder)
        for split, path in self._lists(places):
            for k, line in enumerate(read_text(path), 1):
                parts = [part.strip().strip('"') for part in line.split(",")]
                if not line or (k == 1 and parts[-1] == "label"):
                    continue
                if len(parts) != 2:
                    raise InputError(f"{path}, line {k}: {line[:60]!r} is not a clip and a label with a comma between")
                yield from self._clip(parts[0], parts[1], 1, split, folder, there, f"{path}, line {k}")

    def _from_text(self, layout: str | None, places: Mapping[str, tuple[str, ...]]) -> Iterator[Clip]:
        """The lists of Former-DFER, with labels from 0."""
        there: dict[int, str] = {}
        for line in self._annotated(layout, places, 1):
            there = there or self._numbered(line.folder)
            name, about = line.steps[-1], (line.split, line.folder, there, line.where)
            yield from self._clip(name, line.label, 0, *about, line.frames)

    def _from_workbook(self, layout: str | None, path: str) -> Iterator[Clip]:
        """The annotation itself: every clip with its votes, its name and its label, 0 where there is no single one."""
        if self.split != "all":
            raise InputError(f"{path} has labels but no folds: add the folder EmoLabel_DataSplit, or give split='all'")
        folder = self._find(layout)
        there = self._numbered(folder)
        self.lists = os.path.relpath(path, self.root.path)
        for k, row in enumerate(read_workbook(path), 1):
            # the head has words there, and clips without a single label have 0
            if len(row) > 1 and re.fullmatch(r"[0-9]+(\.0+)?", row[-1]) and float(row[-1]) != 0:
                yield from self._clip(row[-2].removesuffix(".0"), row[-1], 1, "all", folder, there, f"{path}, row {k}")

    def _clip(
        self,
        name: str,
        label: str,
        first: int,
        split: str,
        folder: str,
        there: dict[int, str],
        where: str,
        frames: int | None = None,
    ) -> Iterator[Clip]:
        stem = Path(name).stem
        if not CLIP_ID.fullmatch(stem):
            raise InputError(f"{where}: {name[:60]!r} is not the number of a clip")
        if (known := self._number(label, first, self.CLASSES, f"{where}, clip {stem}")) is None:
            return
        number = f"{int(stem):05d}"
        path = self.root.inside(folder, there.get(int(stem), number + self._suffix(there)))
        if "16" in self.layout:
            frames = 16  # interpolated to as many
        yield Clip(number, known, number, split, path, frames)

    @staticmethod
    def _suffix(there: dict[int, str]) -> str:
        """What to call a clip that is not there: like its neighbours."""
        return Path(next(iter(there.values()), "")).suffix


class FERV39k(Listed):
    """FERV39k: 38,935 clips from 22 kinds of scenes, seven classes, one split.

    The table has the column `scene`. Nobody knows who is in which clip. The lists are those of the makers, or the text
    files of public code, `FERV39k_train.txt`: such code numbers the classes in several ways, so that the class is the
    one that is named in the path, and a number that stands for two classes is a problem.

    Takes what `Benchmark` takes.

    Source: Wang et al., "FERV39k: A Large-Scale Multi-Scene Dataset for Facial Expression Recognition in Videos", 2022.
    """

    name = "FERV39k"
    CLASSES = EMOTIONS
    OFFICIAL: ClassVar = {
        "totals": {"clips": 38935, "clips in 2_ClipsforFaceCrop": 38935},
        "splits": {"train": ((31088,),), "test": ((7847,),)},
        "frames": (8, 47),
    }

    def layouts(self) -> dict[str, tuple[str, ...]]:
        """The cropped faces."""
        return {"2_ClipsforFaceCrop": ("2_ClipsforFaceCrop",)}

    def _list(self, layout: str | None) -> Iterator[Clip]:
        csv = {split: (f"All_scenes/{split}_All.csv", f"{split}_All.csv") for split in self.SPLITS}
        text = {split: (f"FERV39k_{split}.txt",) for split in self.SPLITS}
        if self.root.locate(*csv["train"]) is None and self.root.locate(*text["train"]) is not None:
            return self._from_text(layout, text)
        return self._from_csv(layout, csv)

    def _count_clips(self, folder: str) -> None:
        there = (emotion for scene in self.root.folders(folder) for emotion in self.root.folders(scene))
        self.counts[f"clips in {self.layout}"] = sum(len(self.root.names(emotion)) for emotion in there)

    def _from_text(self, layout: str | None, places: Mapping[str, tuple[str, ...]]) -> Iterator[Clip]:
        words: dict[str, str] = {}  # of each number
        for line in self._annotated(layout, places, 3):
            if not words:
                self._count_clips(line.folder)
            scene, word, _ = line.steps
            if (label := self._label(word, line.where)) is None:
                continue
            if (other := words.setdefault(line.label, word)) != word:
                text = f"{line.where}: the clip lies under {word}, and its label {line.label[:40]} stood for {other}"
                self.note("inconsistent", text)
            name, path = "/".join(line.steps), self.root.inside(line.folder, *line.steps)
            yield Clip(name, label, name, line.split, path, line.frames, {"scene": scene})

    def _from_csv(self, layout: str | None, places: Mapping[str, tuple[str, ...]]) -> Iterator[Clip]:
        folder = self._find(layout)
        self._count_clips(folder)
        for split, path in self._lists(places):
            for k, line in enumerate(read_text(path), 1):
                if not line:
                    continue
                where, parts = f"{path}, line {k}", re.split(r"[\s,]+", line)
                steps = parts[0].replace("\\", "/").split("/")
                if len(parts) != 2 or len(steps) != 3:
                    raise InputError(f"{where}: {line[:60]!r} is not Scene/Emotion/number, a space and a class")
                if (label := self._label(parts[1], where)) is None:
                    continue
                if self._label(steps[1], where) not in (label, None):
                    self.note("inconsistent", f"{where}: the clip lies under {steps[1]}, its label is {parts[1][:40]}")
                name = "/".join(steps)
                yield Clip(name, label, name, split, self.root.inside(folder, *steps), more={"scene": steps[0]})


class AFEW(Benchmark):
    """AFEW: 773 clips of movies for training and 383 (381 in some years) for validation, seven classes.

    The labels of its test clips were never given away: papers report the validation split, `split="val"`. The aligned
    faces that came with it are in `Train_AFEW/AlignedFaces_LBPTOP_Points/Faces`, a folder for each clip, beside folders
    of videos that tell the class; a clip in which the makers found no face is missing there.

    Takes what `Benchmark` takes; there is one fold only.

    Source: Dhall et al., "Collecting Large, Richly Annotated Facial-Expression Databases from Movies", 2012.
    """

    name = "AFEW"
    CLASSES = EMOTIONS
    SPLITS = ("train", "val")
    OFFICIAL: ClassVar = {"splits": {"train": ((773,),), "val": ((383, 381),)}}

    def layouts(self) -> dict[str, tuple[str, ...]]:
        """The makers' aligned faces first; then the folders of frames, or the videos, in a folder for each class."""
        return {"aligned": (), "frames": (), "videos": ()}

    def _list(self, layout: str | None) -> Iterator[Clip]:
        found: dict[str, list[tuple[str, str, str]]] = {"frames": [], "videos": []}
        faces = {split: self._faces(split) for split in self.SPLITS}
        for split in self.SPLITS:
            if (folder := self.root.locate(split, f"{split}_AFEW")) is None:
                where = f"no folder {split.title()} is in it{self.root.hint()}"
                raise InputError(f"{self.root.path} is not AFEW as it is known: {where}")
            for place in self.root.folders(folder):
                if Path(place).name.lower().startswith(_ALIGNED[0].lower()):
                    continue
                for name in self.root.names(place):
                    path = self.root.inside(place, name)
                    kind = "videos" if is_video(name) else "frames" if Path(path).is_dir() else None
                    if kind:
                        found[kind].append((split, place, path))
        # what lies under the classes tells the class of each folder of faces
        named = found["videos"] or found["frames"]
        found["aligned"] = [(split, place, f"{faces[split]}/{Path(path).stem}") for split, place, path in named]
        if None in faces.values():
            found["aligned"] = []
        there = [kind for kind in self.layouts() if found[kind]]
        if not there or (layout is not None and layout not in there):
            wanted = f"the layout {layout!r}" if layout else "folders of frames and no videos"
            raise InputError(f"{self.root.path} has not {wanted}: it has {', '.join(there) or 'no clips at all'}")
        self.layout = layout or there[0]
        for split, place, path in found[self.layout]:
            if (label := self._label(Path(place).name, place)) is not None:
                name = Path(path).stem if is_video(path) else Path(path).name
                # videos of both splits may bear the same time code as their name
                yield Clip(f"{split}/{name}", label, f"{split}/{name}", split, path)

    def _faces(self, split: str) -> str | None:
        """The folder of the aligned faces, which the makers put beside the classes."""
        inner = [f"{outer}{name}/Faces" for name in _ALIGNED for outer in ("", f"{name}/")]
        return self.root.locate(*(f"{base}/{place}" for base in (split, f"{split}_AFEW") for place in inner))


class MAFW(Listed):
    """MAFW: 10,045 clips, of which 9,172 have a single label; eleven classes, five folds.

    Labels are taken by their names, as public loaders number them in several ways. The class order is that in which the
    paper names them; contempt, anxiety, helplessness and disappointment have no counterpart in `dferlib.EMOTIONS`.
    Without the makers' lists those of DFER-CLIP are read, `MAFW_set_1_train.txt`, or `MAFW_set_1_train_faces.txt`. They
    have numbers: 0 to 6 in the order of `dferlib.EMOTIONS`, then contempt, anxiety, helplessness and disappointment.
    `check-data` compares how often each class occurs with the makers' lists, which tells another order.

    Takes what `Benchmark` takes.

    Source: Liu et al., "MAFW: A Large-scale, Multi-modal, Compound Affective Database", 2022.
    """

    name = "MAFW"
    CLASSES = (
        "anger",
        "disgust",
        "fear",
        "happiness",
        "neutral",
        "sadness",
        "surprise",
        "contempt",
        "anxiety",
        "helplessness",
        "disappointment",
    )
    FOLDS = 5
    NUMBERED = (*EMOTIONS, *CLASSES[7:])  # the order in which DFER-CLIP numbers them
    OFFICIAL: ClassVar = {
        "totals": {"clips": 9172, "clips in clips": 10045},
        "classes": dict(zip(CLASSES, (1390, 639, 625, 1242, 1138, 1470, 1072, 236, 916, 262, 182), strict=True)),
    }

    def layouts(self) -> dict[str, tuple[str, ...]]:
        """Frames of every clip first, aligned ones before others; the videos last."""
        return {name: (name,) for name in ("frames_crop_align_224", "frames", "clips")}

    def _list(self, layout: str | None) -> Iterator[Clip]:
        makers = {split: (f"single/no_caption/set_{self.fold}/{split}.txt",) for split in self.SPLITS}
        names = {split: f"MAFW_set_{self.fold}_{split}" for split in self.SPLITS}
        text = {split: (f"{name}.txt", f"{name}_faces.txt") for split, name in names.items()}
        if self.root.locate(*makers["train"]) is None and self.root.locate(*text["train"]) is not None:
            return self._from_text(layout, text)
        return self._from_makers(layout, makers)

    def _from_text(self, layout: str | None, places: Mapping[str, tuple[str, ...]]) -> Iterator[Clip]:
        there: dict[int, str] = {}
        for line in self._annotated(layout, places, 1):
            there = there or self._numbered(line.folder)
            stem = Path(line.steps[0]).stem
            if not CLIP_ID.fullmatch(stem):
                raise InputError(f"{line.where}: {line.steps[0][:60]!r} is not the number of a clip")
            if (label := self._number(line.label, 0, self.NUMBERED, f"{line.where}, clip {stem}")) is not None:
                number = f"{int(stem):05d}"
                path = self.root.inside(line.folder, there.get(int(stem), line.steps[0]))
                yield Clip(number, label, number, line.split, path, line.frames)

    def _from_makers(self, layout: str | None, places: Mapping[str, tuple[str, ...]]) -> Iterator[Clip]:
        folder = self._find(layout)
        there = self._numbered(folder)
        for split, path in self._lists(places):
            for k, line in enumerate(read_text(path), 1):
                if not line:
                    continue
                where, parts = f"{path}, line {k}", line.split()
                stem = Path(parts[0]).stem
                if len(parts) != 2 or not CLIP_ID.fullmatch(stem):
                    raise InputError(f"{where}: {line[:60]!r} is not a clip such as 03747.mp4, a space and a class")
                if (label := self._label(parts[1], where)) is None:
                    continue
                name = there.get(int(stem), parts[0] if self.layout == "clips" else stem)
                number = f"{int(stem):05d}"
                yield Clip(number, label, number, split, self.root.inside(folder, name))
