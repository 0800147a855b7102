"""A packed store of clips: parts that are written once, sealed with a checksum, and read through the memory map.

A part is a handful of files with one stem. Each layer is an array with a row a frame: `frames` (R, 3, S, S) uint8, and
whatever else has a value for every frame; the clips lie in it one after the other. The facts, a row a clip, are
written last: where they are, the part is whole. So a part is either finished or absent, however the writing ended, and
any number of processes may read finished parts while others write new ones.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dferlib.errors import InputError
from dferlib.files import written_whole

FRAMES = "frames"
PartArrays = tuple[dict[str, np.ndarray], Sequence[int] | np.ndarray, dict[str, np.ndarray]]  # what `write_part` takes


def facts_file(stem: Path) -> Path:
    """The file that seals a part."""
    return stem.with_name(stem.name + ".npz")


def layer_file(stem: Path, layer: str) -> Path:
    """The file of one layer of a part."""
    return stem.with_name(f"{stem.name}.{layer}.npy")


def write_part(
    stem: Path, layers: dict[str, np.ndarray], lengths: Sequence[int] | np.ndarray, facts: dict[str, np.ndarray]
) -> None:
    """Write a part: first its layers, then the facts with their checksums.

    Args:
        stem: folder and first part of the names of its files.
        layers: arrays with a row a frame, among them "frames" (R, 3, S, S) uint8.
        lengths: frames of each of the N clips; they add up to R.
        facts: arrays with a row a clip.

    Raises:
        InputError: the numbers of rows do not fit.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    for name, layer in layers.items():
        if len(layer) != lengths.sum():
            raise InputError(f"{len(layer)} rows in the layer {name!r} for clips of {lengths.sum()} frames in {stem}")
    for name, fact in facts.items():
        if len(fact) != len(lengths):
            raise InputError(f"{len(fact)} rows in the fact {name!r} for {len(lengths)} clips in {stem}")
    for name, layer in layers.items():
        with written_whole(layer_file(stem, name)) as path:
            np.save(path, layer)
    sums = np.array([(name, _digest(layer_file(stem, name))) for name in layers])
    with written_whole(facts_file(stem)) as path:
        np.savez_compressed(path, allow_pickle=False, sha256=sums, lengths=lengths, **facts)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ClipStore:
    """Clips in finished parts, as one sequence.

    Args:
        stems: of the parts, in order.

    Raises:
        InputError: a part is missing or cannot be read; the message names the file and what to do.
    """

    def __init__(self, stems: Sequence[Path]) -> None:
        self.stems = list(stems)
        self._facts = [self._load(facts_file(stem)) for stem in self.stems]
        self.lengths = np.concatenate([part["lengths"] for part in self._facts])
        counts = [len(part["lengths"]) for part in self._facts]
        self._part_of = np.repeat(np.arange(len(counts)), counts)
        self._start = np.concatenate([np.cumsum(part["lengths"]) - part["lengths"] for part in self._facts])
        self._maps: dict[tuple[int, str], np.ndarray] = {}

    @staticmethod
    def _load(path: Path) -> dict[str, np.ndarray]:
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"cannot read {path}: {error}; delete it and run again to make it anew") from error

    def _map(self, part: int, layer: str) -> np.ndarray:
        if (part, layer) not in self._maps:
            path = layer_file(self.stems[part], layer)
            try:
                self._maps[part, layer] = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                remedy = f"delete {facts_file(self.stems[part])} and run again to make the part anew"
                raise InputError(f"cannot read {path}: {error}; {remedy}") from error
        return self._maps[part, layer]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def fact_names(self) -> list[str]:
        """What is known of every clip: the names that `facts` takes."""
        return [name for name in self._facts[0] if name not in ("sha256", "lengths")]

    def facts(self, name: str) -> np.ndarray:
        """One fact of every clip, (N, ...)."""
        return np.concatenate([part[name] for part in self._facts])

    def read(self, index: int, frames: np.ndarray | None = None, layer: str = FRAMES) -> np.ndarray:
        """Read frames of one clip.

        Args:
            index: which clip.
            frames: (F,) which of its frames, in any order and as often as wanted; default all.
            layer: which layer.

        Returns:
            (F, ...) in the type of the layer, a copy.
        """
        start = self._start[index]
        clip = self._map(int(self._part_of[index]), layer)[start : start + self.lengths[index]]
        return np.array(clip if frames is None else clip[frames])

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of every pixel, from the checksums that were written with the parts."""
        digest = hashlib.sha256()
        for part in self._facts:
            digest.update(dict(part["sha256"])[FRAMES].encode())
        return digest.hexdigest()[:16]

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            InputError: one differs; the message names it.
        """
        for stem, part in zip(self.stems, self._facts, strict=True):
            for layer, digest in part["sha256"]:
                path = layer_file(stem, layer)
                if _digest(path) != digest:
                    remedy = f"delete {facts_file(stem)} and run again to make the part anew"
                    raise InputError(f"{path} does not match its checksum: {remedy}")
