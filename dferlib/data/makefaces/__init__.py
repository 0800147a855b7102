"""MakeFaces: rendered clips of faces that nobody has to ask for, with the truth of every frame."""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from dferlib import EMOTIONS
from dferlib.data.makefaces.actions import PHASES, UNITS
from dferlib.data.makefaces.generator import CLIPS_PER_PERSON, SIZES, SPLITS, generate, part_files, parts_of
from dferlib.data.table import ClipTable
from dferlib.errors import InputError

__all__ = ["PHASES", "SIZES", "SPLITS", "UNITS", "MakeFaces", "generate"]

_PERSONAL = ("female", "age", "african", "asian", "caucasian", "skin_tone", "hairstyle", "beard")


class MakeFaces:
    """One split of the synthetic data set, made on first use and read from disk afterwards.

    The classes are equally frequent, and no person is in two splits.

    Args:
        split: "train", "val" or "test".
        size: "mini" (252 clips, seconds to make) or "book" (2,212 clips, minutes).
        seed: decides every pixel; another seed gives other people.
        root: folder of the data; default the cache folder.
        workers: processes that generate what is missing; default one a core.
        progress: show a progress bar while generating.

    Raises:
        InputError: unknown split or size, or a folder that cannot be written.
    """

    def __init__(
        self,
        split: str = "train",
        size: str = "book",
        seed: int = 0,
        root: Path | None = None,
        workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self.split, self.size, self.seed = split, size, seed
        parts = range(len(parts_of(size, split)))
        self.folder = generate(root, size, seed, (split,), workers, progress)
        self._files = [part_files(self.folder, split, part) for part in parts]
        self._truth = [self._load(truth) for _, truth in self._files]
        self._pictures = [np.load(frames, mmap_mode="r") for frames, _ in self._files]
        self._part_of = np.repeat(parts, [len(truth["label"]) for truth in self._truth])
        self._row_of = np.concatenate([np.arange(len(truth["label"])) for truth in self._truth])

    @staticmethod
    def _load(path: Path) -> dict[str, np.ndarray]:
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"cannot read {path}: {error}; delete it and run again to make it anew") from error

    @property
    def classes(self) -> tuple[str, ...]:
        """The seven emotions, in the order of the labels."""
        return EMOTIONS

    @cached_property
    def table(self) -> ClipTable:
        """One row a clip: id, label, group (the person), split, frames, intensity, and facts about the person."""
        joined = {
            name: np.concatenate([t[name] for t in self._truth])
            for name in ("label", "person", "intensity", *_PERSONAL)
        }
        count = len(joined["label"])
        person = [f"{self.split}-{k:04d}" for k in joined.pop("person")]
        rows = {
            "id": [f"{who}-{i % CLIPS_PER_PERSON}" for i, who in enumerate(person)],
            "label": joined.pop("label").astype(np.int64),
            "group": person,
            "split": [self.split] * count,
            "frames": np.full(count, SIZES[self.size].frames),
            **joined,
        }
        return ClipTable(pd.DataFrame(rows), self.classes)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of every pixel, from the checksums that were written with the parts."""
        digest = hashlib.sha256()
        for truth in self._truth:
            digest.update(str(truth["sha256"]).encode())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._row_of)

    def read(self, index: int, frames: np.ndarray | None = None) -> np.ndarray:
        """Read frames of one clip.

        Args:
            index: which clip.
            frames: (T,) which of its frames, in any order and as often as wanted; default all.

        Returns:
            (T, 3, S, S) uint8.
        """
        clip = self._pictures[self._part_of[index]][self._row_of[index]]
        return np.asarray(clip if frames is None else clip[frames])

    def truth(self, index: int) -> dict[str, np.ndarray]:
        """What the face did in one clip of T frames.

        Returns:
            `units` (T, 22) intensity of each of `UNITS`, `expression` (T,) how far it has risen, `phase` (T,) index
            into `PHASES`, `pose` (T, 3) yaw, pitch and roll in radians, `gaze` (T, 2) right and up, `intensity` ().
        """
        part, row = self._truth[self._part_of[index]], self._row_of[index]
        return {name: part[name][row] for name in ("units", "expression", "phase", "pose", "gaze", "intensity")}

    def verify(self) -> None:
        """Compare every part with its checksum.

        Raises:
            InputError: a part differs; the message names it.
        """
        for (frames, _), truth in zip(self._files, self._truth, strict=True):
            if hashlib.sha256(frames.read_bytes()).hexdigest() != str(truth["sha256"]):
                raise InputError(f"{frames} does not match its checksum: delete it and run again to make it anew")
