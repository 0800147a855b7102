"""Reading clips that lie in a folder of somebody else: as frames or as videos, and never outside that folder."""

# a data set has half a million files, and paths as text take a tenth of the time
# ruff: noqa: PTH112, PTH113, PTH114, PTH118, PTH120, PTH123, PTH202, PTH208

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from dferlib.errors import InputError
from dferlib.video.reading import probe, read_video

IMAGES = (".jpg", ".jpeg", ".png", ".bmp")
VIDEOS = (".mp4", ".avi", ".flv", ".mov", ".mkv", ".webm")
FORMATS = ("JPEG", "PNG", "BMP")
DEPTH = 2  # how many folders archives put around what is looked for
CROWD = 200  # a folder with more folders than this holds clips: archives add no such prefix
_NUMBER = re.compile(r"\d+$")
_FACE = re.compile(r"(.*_det_\d+)_\d+\.")  # what OpenFace calls the frames of each face, the first is frame_det_00


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a data set.

    Args:
        kind: "missing", "unreadable", "duplicate", "label", "inconsistent" or "unofficial"; or one of `TOLD`, where the
            clip is used as it is: "length" (other than the list says), "extra" (images that are left out).
        text: where, and what.
    """

    kind: str
    text: str


TOLD = ("length", "extra")


def existing_folder(path: Path | str) -> Path:
    """The whole path of a folder, behind all links.

    Raises:
        InputError: there is no such folder; a zip file is named as such.
    """
    given = Path(path).expanduser()
    if not given.exists():
        raise InputError(f"there is no folder {given}: give the folder of the data set")
    if not given.is_dir():
        what = "a zip file: unpack it and" if given.suffix.lower() == ".zip" else "a file, not a folder:"
        raise InputError(f"{given} is {what} give the folder of the data set")
    return given.resolve()


class Root:
    """A folder that nothing is read outside of, not even through a symbolic link, unless it leads to a named place.

    Args:
        path: the folder.
        links: folders elsewhere, on another disk say, into which symbolic links may lead.

    Raises:
        InputError: there is no such folder; a zip file is named as such.
    """

    def __init__(self, path: Path | str, links: Iterable[Path | str] = ()) -> None:
        self.path, self.links = existing_folder(path), tuple(map(existing_folder, links))
        self._prefix = os.path.join(self.path, "")
        self._allowed = tuple(os.path.join(place, "") for place in (self.path, *self.links))
        self._known: dict[str, bool] = {}
        self._listed: dict[str, tuple[str, ...]] = {}

    def _is_inside(self, path: str) -> bool:
        if path not in self._known:
            self._known[path] = os.path.join(os.path.realpath(path), "").startswith(self._allowed)
        return self._known[path]

    def inside(self, *parts: str | Path) -> str:
        """Join parts to the path of something in this folder, which need not exist.

        Raises:
            InputError: the path leaves the folder, by its text or through a symbolic link.
        """
        path = os.path.normpath(os.path.join(self.path, *parts))
        parent = os.path.dirname(path)
        there = path == str(self.path) or (path.startswith(self._prefix) and self._is_inside(parent))
        if not there or (os.path.islink(path) and not self._is_inside(path)):
            if not path.startswith(self._prefix):
                raise InputError(f"{path} lies outside of {self.path}: put the files themselves there")
            place = os.path.dirname(os.path.realpath(path))
            remedy = f"put the files themselves there, or allow it: --follow-links {place}, in Python links=[{place!r}]"
            raise InputError(f"{path} is a symbolic link out of {self.path}, which is not followed: {remedy}")
        return path

    def names(self, folder: str) -> tuple[str, ...]:
        """Names in a folder in alphabetical order, without hidden ones and what archives of a Mac leave behind."""
        if folder not in self._listed:
            try:
                names = os.listdir(self.inside(folder))
            except OSError as error:
                raise InputError(f"cannot read the folder {folder}: {error.strerror}; check its permissions") from error
            self._listed[folder] = tuple(sorted(name for name in names if not name.startswith((".", "__MACOSX"))))
        return self._listed[folder]

    def folders(self, folder: str) -> list[str]:
        """Paths of the folders in a folder, in alphabetical order."""
        return [path for name in self.names(folder) if os.path.isdir(path := self.inside(folder, name))]

    def locate(self, *wanted: str) -> str | None:
        """Find one of several relative paths here or below the one or two folders that an archive put around it.

        Upper and lower case count as the same where nothing fits exactly.

        Returns:
            The path of the first that exists, the shallowest first; None if there is none.
        """
        level = [str(self.path)]
        for depth in range(DEPTH + 1):
            for place in level:
                for relative in wanted:
                    if (found := self._step(place, relative.split("/"))) is not None:
                        return found
            if depth < DEPTH:
                level = [path for place in level for path in self._prefixes(place)]
        return None

    def _prefixes(self, folder: str) -> list[str]:
        paths = (os.path.join(folder, name) for name in self.names(folder))
        found = [path for path in paths if os.path.isdir(path) and self._is_inside(path)]
        return found if len(found) <= CROWD else []

    def _step(self, folder: str, parts: list[str]) -> str | None:
        for part in parts:
            if not os.path.isdir(folder):
                return None
            names = self.names(folder)
            fitting = [name for name in names if name.lower() == part.lower()]
            if not fitting:
                return None
            folder = self.inside(folder, part if part in fitting else fitting[0])
        return folder

    def hint(self) -> str:
        """Why something may not have been found: it is still packed, or behind a link that is not followed."""
        for name in self.names(str(self.path)):
            if name.lower().endswith((".zip", ".rar", ".7z", ".tar", ".gz")):
                return f"; unpack {name} first"
            if not self._is_inside(os.path.join(self.path, name)):
                return f"; {name} is a symbolic link out of it, which needs --follow-links"
        return ""


def frame_number(name: str) -> int | None:
    """The number at the end of a file's name, before the suffix; None if it has none."""
    found = _NUMBER.search(name.rpartition(".")[0])
    return int(found[0]) if found else None


def frame_names(root: Root, folder: str) -> list[str]:
    """Names of the frames in a folder, in the order of their numbers, padded with zeros or not.

    Where OpenFace has cut several faces out of one frame, they are those of the face that is seen longest.

    Raises:
        InputError: two files have the same number, a file is a symbolic link out of the root, or the folder cannot be
            read. A folder that does not exist has no frames.
    """
    return _frames(root, folder)[0]


def _frames(root: Root, folder: str) -> tuple[list[str], int]:
    """The names of the frames, and how many images are none."""
    numbered, images = [], 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if not name.lower().endswith(IMAGES) or name.startswith("."):
                    continue
                if entry.is_symlink():
                    root.inside(entry.path)
                images += 1
                if (number := frame_number(name)) is not None:
                    numbered.append((number, name))
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}; check its permissions") from error
    numbered.sort()
    if _has_twins(numbered):
        numbered = _longest_face(numbered)
    if _has_twins(numbered):
        one, two = next((a, b) for (i, a), (j, b) in pairwise(numbered) if i == j)
        raise InputError(f"{folder} holds one frame twice, {one} and {two}: delete one of them")
    return [name for _, name in numbered], images - len(numbered)


def _has_twins(numbered: list[tuple[int, str]]) -> bool:
    return len({number for number, _ in numbered}) < len(numbered)


def _longest_face(numbered: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The frames of the face that has most of them, of several the first; all frames if they do not name a face."""
    faces: dict[str, list[tuple[int, str]]] = {}
    for number, name in sorted(numbered, key=lambda frame: frame[1]):
        if (found := _FACE.match(name)) is None:
            return numbered
        faces.setdefault(found[1], []).append((number, name))
    longest = max(faces.values(), key=len)
    return sorted(longest)


def is_video(path: str) -> bool:
    """Whether a name is that of a video."""
    return path.lower().endswith(VIDEOS)


def count_frames(root: Root, path: str) -> tuple[int, int]:
    """How many frames a clip has, a folder of images or a video, and how many images that do not count as such.

    The first is 0 if there is no clip. The others show another face, see `frame_names`, or have no number.

    Raises:
        InputError: the video cannot be read, or see `frame_names`.
    """
    if not is_video(path):
        names, others = _frames(root, path)
        return len(names), others
    if not os.path.isfile(path):
        return 0, 0
    with open(path, "rb") as file:
        if file.read(40).startswith(b"version https://git-lfs"):
            raise InputError(f"{path} only stands for the video: run `git lfs pull` in its folder to get it")
    return probe(path).frames, 0


def read_image(path: str, size: int | None) -> np.ndarray:
    """Read an image as uint8 `(3, H, W)`, upright as its EXIF says; with `size`, its middle square, scaled to it.

    Raises:
        InputError: it is no JPEG, PNG or BMP, it is damaged or cut short, or it claims to be absurdly large.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return to_array(_to_rgb(image), size)
    except FileNotFoundError as error:
        raise InputError(f"there is no image {path}: it was there before; check the disk") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the image {path}: it is damaged or no image; copy it again") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """Eight bits a channel; Pillow would cut sixteen bits of grey, as infra-red cameras have them, off at 255."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.float32).clip(0, 65535) / 257 + 0.5).astype(np.uint8))
    return image.convert("RGB")


def to_array(image: Image.Image, size: int | None) -> np.ndarray:
    """An image as uint8 `(3, H, W)`; with `size`, its middle square, scaled to that side."""
    if size is not None and image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def read_clip(root: Root, path: str, count: int, frames: np.ndarray, size: int | None) -> np.ndarray:
    """Read frames of a clip, uint8 `(F, 3, H, W)`; each file is decoded once, however often it is asked for.

    Raises:
        InputError: a frame cannot be read, the clip is not what it was when it was counted, or its frames differ in
            size.
    """
    wanted = sorted({int(k) for k in frames})
    if not wanted or wanted[0] < 0 or wanted[-1] >= count:
        raise InputError(f"{path} has the frames 0 to {count - 1}: frames {frames.tolist()} cannot be read")
    if is_video(path):
        decoded, last = {}, None
        for k, (_, frame) in enumerate(islice(read_video(root.inside(path)), wanted[-1] + 1)):
            last = frame
            if k in wanted:
                decoded[k] = to_array(Image.fromarray(frame), size)
        if last is None:
            raise InputError(f"{path} shows nothing: copy it again")
        still = to_array(Image.fromarray(last), size)
    else:
        names = frame_names(root, root.inside(path))
        if len(names) != count:
            raise InputError(f"{path} has {len(names)} frames now, {count} when it was counted: read the table again")
        decoded = {k: read_image(root.inside(path, names[k]), size) for k in wanted}
        still = decoded[wanted[-1]]
    # a video may end a frame or two before its header says; its last frame is what a viewer then still sees
    clip = [decoded.get(int(k), still) for k in frames]
    if len(shapes := {frame.shape[1:] for frame in clip}) > 1:
        raise InputError(f"{path} has frames of different sizes, {sorted(shapes)}: give a size to scale them to")
    return np.stack(clip)


def read_landmarks(root: Root, path: str) -> np.ndarray:
    """Read the 68 landmarks of a frame, `(68, 2)` float64 in pixels of the frame.

    Raises:
        InputError: the file is missing, or not 68 lines of two numbers.
    """
    path = root.inside(path)
    if not os.path.isfile(path):
        raise InputError(f"there are no landmarks {path}: unpack them again")
    try:
        points = np.array([line.split() for line in read_text(path) if line], dtype=np.float64)
    except ValueError:
        points = np.empty(0)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise InputError(f"{path} is not 68 lines of two numbers: copy it again")
    return points


def in_square(points: np.ndarray, wide: int, high: int, size: int) -> np.ndarray:
    """Move points `(..., 2)` of an image to where `to_array` puts them: its middle square, scaled to `size`."""
    side = min(wide, high)
    return (points - np.array([(wide - side) // 2, (high - side) // 2])) * (size / side)


def image_size(path: str) -> tuple[int, int]:
    """Width and height of an image in pixels, by its header, upright as its EXIF says."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return (image.height, image.width) if turned else image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the image {path}: it is damaged or no image; copy it again") from error


def file_sizes(path: str) -> list[tuple[str, int]]:
    """Name and length of every file of a clip: what tells two copies of a data set apart without reading them."""
    if is_video(path):
        return [("", os.path.getsize(path))]
    with os.scandir(path) as entries:
        return sorted((e.name, e.stat().st_size) for e in entries if e.name.lower().endswith(IMAGES))


def read_text(path: str) -> list[str]:
    """Lines of a label file, stripped; UTF-8, or UTF-16 with its mark as Excel writes it.

    Raises:
        InputError: it cannot be read, is in another encoding, or no text.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check it") from error
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    if "\0" in text:
        raise InputError(f"{path} is no text, or not UTF-8: save it as UTF-8")
    return [line.strip() for line in text.splitlines()]
