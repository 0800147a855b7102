"""CREMA-D, CK+ and Oulu-CASIA: expressions on request before a camera, with people who are known by a number."""

import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from dferlib.data.sets.base import Clip, SubjectFolds
from dferlib.data.sets.files import frame_names, is_video, read_landmarks, read_text
from dferlib.errors import InputError, choose


class _Peaked(SubjectFolds):
    """Sequences that begin neutral and end at the peak."""

    def peak(self, index: int) -> int:
        """The frame of a clip that shows the expression at its peak: the last one."""
        return int(self.table.frames[index]) - 1


class CREMAD(SubjectFolds):
    """CREMA-D: 7,442 videos of 91 actors who say one of twelve sentences, six classes (no surprise).

    It has no official split. Here fold i of ten tests on the actors i, i + 10, i + 20, ... in ascending order. The
    table has the columns `sentence` and `intensity` ("LO", "MD", "HI", or "XX" where none was asked for).

    Takes what `Benchmark` takes.

    Source: Cao et al., "CREMA-D: Crowd-Sourced Emotional Multimodal Actors Dataset", 2014.
    """

    name = "CREMAD"
    CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
    OFFICIAL: ClassVar = {"totals": {"clips": 7442, "people": 91}}

    def layouts(self) -> dict[str, tuple[str, ...]]:
        """The videos."""
        return {"VideoFlash": ("VideoFlash",)}

    def _list(self, layout: str | None) -> list[Clip]:
        folder = self._find(layout)
        clips = []
        for file in self.root.names(folder):
            if not is_video(file):
                continue
            name = Path(file).stem
            if not (parts := re.fullmatch(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX?)", name)):
                self.note("inconsistent", f"{folder}/{file}: the name is not like 1001_DFA_ANG_XX.flv")
                continue
            actor, sentence, word, intensity = parts.groups()
            if (label := self._label(word, f"{folder}/{file}")) is not None:
                more = {"sentence": sentence, "intensity": intensity}
                clips.append(Clip(name, label, actor, "train", self.root.inside(folder, file), more=more))
        return self._split_by_subject(clips)


class CKPlus(_Peaked):
    """CK+: 593 sequences of 123 people from neutral to the peak; 327 of 118 people have a label; seven classes.

    The classes are those of the set's code book without neutral, which no labelled sequence bears. Contempt has no
    counterpart in `dferlib.EMOTIONS`. Fold i of ten tests on the subjects i, i + 10, i + 20, ... in ascending order
    among those with a label. Sequences without a label are left out.

    Takes what `Benchmark` takes.

    Source: Lucey et al., "The Extended Cohn-Kanade Dataset (CK+)", 2010.
    """

    name = "CKPlus"
    CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
    OFFICIAL: ClassVar = {
        "totals": {"clips": 327, "people": 118, "sequences": 593},
        "classes": dict(zip(CLASSES, (45, 18, 59, 25, 69, 28, 83), strict=True)),
    }

    def layouts(self) -> dict[str, tuple[str, ...]]:
        """The frames as they were taken."""
        return {"cohn-kanade-images": ("cohn-kanade-images", "extended-cohn-kanade-images")}

    def _list(self, layout: str | None) -> list[Clip]:
        base = self._find(layout)
        images = self._sessions(base)
        self.counts["sequences"] = sum(
            any(name.endswith(".png") for name in self.root.names(f)) for f in images.values()
        )
        if (emotion := self.root.locate("Emotion", "Emotion_labels")) is None:
            raise InputError(f"{self.root.path} lacks the folder Emotion: without it no sequence has a label")
        codes = self._codes(self._sessions(emotion))
        self.lists = os.path.relpath(emotion, self.root.path)
        clips = []
        for name, label in codes.items():
            folder = images.get(name, self.root.inside(base, *name.split("_")))
            clips.append(Clip(name, label, name.split("_")[0], "train", folder))
        return self._split_by_subject(clips)

    def _sessions(self, folder: str) -> dict[str, str]:
        """The folders S005/001 and so on, through a folder of the same name that an archive may have put around."""
        subjects = [path for path in self.root.folders(folder) if re.fullmatch(r"S\d+", Path(path).name)]
        inner = self.root.folders(folder)
        if not subjects and len(inner) == 1:
            return self._sessions(inner[0])
        paths = (session for subject in subjects for session in self.root.folders(subject))
        return {"_".join(path.replace(os.sep, "/").split("/")[-2:]): path for path in paths}

    def _codes(self, sessions: dict[str, str]) -> dict[str, int]:
        """The label of every sequence that has one; most folders are empty."""
        found = {}
        for name, folder in sessions.items():
            files = [file for file in self.root.names(folder) if file.endswith("_emotion.txt")]
            if len(files) > 1:
                self.note("duplicate", f"{folder} holds {len(files)} labels for one sequence: {', '.join(files)}")
                continue
            for file in files:
                path = self.root.inside(folder, file)
                text = " ".join(read_text(path)).strip()
                if not re.fullmatch(r"[0-7](\.0*(e\+00)?)?", text):
                    self.note("label", f"{path}: the label is {text[:40]!r}: it must be 0 to 7")
                elif int(text[0]):
                    found[name] = int(text[0]) - 1
        return found

    def landmarks(self, index: int, frames: np.ndarray | None = None) -> np.ndarray:
        """Read the 68 landmarks of frames of one clip, in pixels of the frame as it lies on disk.

        Args:
            index: which clip.
            frames: (F,) which of its frames; default all.

        Returns:
            (F, 68, 2) float64, x to the right and y down.

        Raises:
            InputError: the set has no landmarks, or a file is missing or not 68 lines of two numbers.
        """
        if self.root.locate("Landmarks") is None:
            raise InputError(f"{self.root.path} lacks the folder Landmarks: unpack it there")
        files = self.landmark_files(index)
        if not files:
            raise InputError(f"there are no landmarks for {self.table.ids[index]}: unpack them again")
        wanted = files if frames is None else [files[int(k)] for k in frames]
        return np.stack([read_landmarks(self.root, path) for path in wanted])

    def landmark_files(self, index: int) -> list[str]:
        """Paths of the files with the landmarks of each frame of a clip; none where they were not unpacked."""
        row = self.table.rows.iloc[index]
        folder = self._landmark_folders.get(str(row["id"]))
        if folder is None:
            return []
        names = frame_names(self.root, str(self.root.path / row["path"]))
        return [str(Path(folder) / f"{Path(name).stem}_landmarks.txt") for name in names]

    @cached_property
    def _landmark_folders(self) -> dict[str, str]:
        base = self.root.locate("Landmarks")
        return {} if base is None else self._sessions(base)


class OuluCASIA(_Peaked):
    """Oulu-CASIA: 480 sequences of 80 people from neutral to the peak, for each camera and light; six classes.

    Fold i of ten tests on the subjects i, i + 10, i + 20, ... in ascending order.

    Args:
        root: the folder of the data set.
        fold: from 1 to 10.
        split: "train", "test" or "all".
        camera: "VL" (visible light) or "NI" (near infra-red).
        light: "Strong", "Weak" or "Dark".
        layout: "cropped" or "original"; the cropped faces if they are there.
        size: see `Benchmark`.
        strict: see `Benchmark`.
        links: see `Benchmark`.

    Source: Zhao et al., "Facial expression recognition from near-infrared videos", 2011.
    """

    name = "OuluCASIA"
    CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
    FIRST = 0
    OFFICIAL: ClassVar = {"totals": {"clips": 480, "people": 80}, "classes": dict.fromkeys(CLASSES, 80)}

    def __init__(
        self,
        root: Path | str,
        fold: int = 1,
        split: str = "train",
        *,
        camera: str = "VL",
        light: str = "Strong",
        layout: str | None = None,
        size: int | None = 128,
        strict: bool = True,
        links: Iterable[Path | str] = (),
    ) -> None:
        self.camera = choose("camera", camera, ("VL", "NI"))
        self.light = choose("light", light, ("Strong", "Weak", "Dark"))
        super().__init__(root, fold, split, layout=layout, size=size, strict=strict, links=links)

    def layouts(self) -> dict[str, tuple[str, ...]]:
        """Cropped faces first."""
        return {
            "cropped": (f"{self.camera}_Acropped/{self.light}", f"PreProcess Img/{self.camera}_Acropped/{self.light}"),
            "original": (f"OriginalImg/{self.camera}/{self.light}", f"{self.camera}/{self.light}"),
        }

    def _list(self, layout: str | None) -> list[Clip]:
        folder = self._find(layout)
        clips = []
        for subject in self.root.folders(folder):
            who = Path(subject).name
            if not re.fullmatch(r"P\d{3}", who):
                self.note("inconsistent", f"{subject}: the name of a subject is like P012")
                continue
            there = {}
            for place in self.root.folders(subject):
                if (label := self._label(Path(place).name, place)) is not None:
                    there[label] = place
            for label, name in enumerate(self.CLASSES):
                # everybody has shown all six: a folder that is not there is missing
                path = there.get(label, self.root.inside(subject, name.title()))
                clips.append(Clip(f"{who}/{name}", label, who, "train", path))
        return self._split_by_subject(clips)
