"""What `dferlib predict` does: one video after the other, each with its timelines written and printed.

The first video is introduced before torch and the model are loaded, which takes seconds.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from dferlib.errors import InputError
from dferlib.files import make_folder, spell
from dferlib.inference.annotating import annotate_video
from dferlib.inference.clips import STEP
from dferlib.inference.timeline import UNSURE, Timeline
from dferlib.video.reading import VideoInfo, probe

if TYPE_CHECKING:
    from dferlib.inference.predictor import Predictor

LONGEST = 200  # bytes of a video's name that the names of its results have


def write_timelines(
    videos: Sequence[Path],
    checkpoint: Path,
    out: Path = Path(),
    *,
    device: str = "auto",
    step: float = STEP,
    progress: bool = True,
    most: int = 1,
    cropped: bool = False,
    annotate: bool = False,
    heat: bool = False,
    rest: tuple[float, float] | None = None,
) -> None:
    """Print a table of each video and write its timeline; one that cannot be read does not keep others from being done.

    Args:
        videos: the files.
        checkpoint: a file that `save_model` wrote.
        out: folder for NAME.timeline.png, .csv and .json, numbered where two names are the same; a second face of a
            video has NAME.face2.timeline.png.
        device: where the model runs.
        step: seconds from one window to the next.
        progress: introduce each video at once, and show a bar for what takes more than two seconds.
        most: how many faces of a video to follow.
        cropped: the middle square of each frame is the face already.
        annotate: also write NAME.annotated.mp4, with boxes and probabilities.
        heat: the same, with where the model looks drawn into it.
        rest: from which second to which the faces are at rest, see `predict_faces`.

    Raises:
        InputError: at least one video could not be done. If there are several, each has had its line on stderr.
    """
    known = _introduce_first(videos, progress)
    predictor, taken, failed = _load(checkpoint, device, out), set[str](), 0
    ask = partial(predictor.predict, most=most, step=step, progress=progress, cropped=cropped, heat=heat, rest=rest)
    for video in tqdm(videos, "videos", unit="video", disable=not progress or len(videos) == 1):
        try:
            info = known.pop(video, None) or _introduce(video, progress)
            timelines = ask(info)
            stem = out / _unused(shorten(Path(video).stem), taken)
            _write_all(timelines, stem, annotate=annotate or heat, progress=progress)
        except InputError as error:
            if len(videos) == 1:
                raise
            failed += 1
            tqdm.write(f"dferlib: {error}", file=sys.stderr)
    if failed:
        raise InputError(f"{failed} of {len(videos)} videos could not be done: see the lines above")


def _introduce_first(videos: Sequence[Path], progress: bool) -> dict[Path, VideoInfo]:
    """What the first video is, if it can be read; if not, that is told in its turn."""
    with suppress(InputError):
        return {video: _introduce(video, progress) for video in videos[:1]}
    return {}


def _load(checkpoint: Path, device: str, out: Path) -> "Predictor":
    """The model, whose loading takes seconds, introduced by what it has learnt from; and the folder, made."""
    from dferlib.inference.predictor import Predictor

    predictor = Predictor(checkpoint, device)
    make_folder(out)
    if predictor.learnt_from is not None:
        tqdm.write(f"{spell(checkpoint)} has learnt from {say_learnt(predictor.learnt_from)}")
    return predictor


def _introduce(video: Path, progress: bool) -> VideoInfo:
    """Say what a video is, if that is wanted."""
    info = probe(video)
    if progress:
        tqdm.write(f"{spell(video)}: {info.duration:.1f} s of {info.width} x {info.height} pixels")
        sys.stdout.flush()
    return info


def _write_all(timelines: list[Timeline], stem: Path, *, annotate: bool, progress: bool) -> None:
    """Write what is said of the faces of a video, and perhaps the video with that in it."""
    for timeline in timelines:
        _write(timeline, stem)
    if annotate:
        _annotate(timelines, stem, progress=progress)


def _write(timeline: Timeline, stem: Path) -> None:
    """Write the timeline of a face in three forms, and print it; further faces of a video are numbered."""
    name = stem.name if timeline.face == 1 else f"{stem.name}.face{timeline.face}"
    # the suffix is put on by hand because a video's name may have dots of its own
    picture, table, text = (stem.with_name(f"{name}.timeline.{suffix}") for suffix in ("png", "csv", "json"))
    timeline.plot(picture)
    timeline.to_csv(table)
    timeline.to_json(text)
    which = f", face {timeline.face}" if timeline.face > 1 else ""
    heading = f"{spell(timeline.video)}{which}: {timeline.duration:.1f} s, percent of each class over time"
    written = f"timeline {spell(picture)}, numbers {spell(table)} and {spell(text)}"
    far = int((timeline.distances > 1).sum())
    unlike = f"{UNSURE} in {far} of {len(timeline.times)} windows: the face is unlike those it has learnt from\n"
    tqdm.write(f"{heading}\n{timeline.table()}\n{unlike if far else ''}{written}\n")


def _annotate(timelines: list[Timeline], stem: Path, *, progress: bool) -> None:
    """Write the video with the answers in it, and say so."""
    path = stem.with_name(f"{stem.name}.annotated.mp4")
    annotate_video(timelines, path, progress=progress)
    tqdm.write(f"annotated video {spell(path)}\n")


def say_learnt(about: dict[str, Any]) -> str:
    """What a model has learnt from, in a line.

    Args:
        about: `name`, `clips` and `people`, as the checkpoint has them.
    """
    of = f" of {about['people']:,} people" if about["people"] < about["clips"] else ""
    rendered = ", which are rendered; no real person was among them" if about["name"] == "MakeFaces" else ""
    return f"{about['clips']:,} clips{of} of {about['name']}{rendered}"


def shorten(stem: str) -> str:
    """A name that leaves room for what is put behind it: a file system takes 255 bytes."""
    while len(os.fsencode(stem)) > LONGEST:
        stem = stem[:-1]
    return stem


def _unused(stem: str, taken: set[str]) -> str:
    """A name that no video before has had."""
    name, number = stem, 2
    while name.lower() in taken:  # two names may differ by case only where the file system sees none
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return name
