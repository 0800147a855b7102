"""What `dferlib predict` does: one video after the other, each with its timelines written and printed."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from dferlib.errors import InputError
from dferlib.files import make_folder
from dferlib.inference.annotating import annotate_video
from dferlib.inference.clips import STEP
from dferlib.inference.predictor import Predictor
from dferlib.inference.timeline import Timeline


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
) -> None:
    """Print a table of each video and write its timeline; one that cannot be read does not keep others from being done.

    Args:
        videos: the files.
        checkpoint: a file that `save_model` wrote.
        out: folder for NAME.timeline.png, .csv and .json, numbered where two names are the same; a second face of a
            video has NAME.face2.timeline.png.
        device: where the model runs.
        step: seconds from one window to the next.
        progress: show a bar for a video that takes more than two seconds, and one for all if there are several.
        most: how many faces of a video to follow.
        cropped: the middle square of each frame is the face already.
        annotate: also write NAME.annotated.mp4, with boxes and probabilities.
        heat: draw into it where the model looks.

    Raises:
        InputError: at least one video could not be done. If there are several, each has had its line on stderr.
    """
    predictor, taken, failed = Predictor(checkpoint, device), set[str](), 0
    make_folder(out)
    for video in tqdm(videos, "videos", unit="video", disable=not progress or len(videos) == 1):
        try:
            timelines = predictor.predict(
                video, most=most, step=step, progress=progress, cropped=cropped, heat=annotate and heat
            )
            name = _unused(Path(video).stem, taken)
            for timeline in timelines:
                _write(timeline, out, name=name)
            if annotate:
                annotate_video(timelines, out / f"{name}.annotated.mp4", progress=progress)
                tqdm.write(f"annotated video {out / f'{name}.annotated.mp4'}\n")
        except InputError as error:
            if len(videos) == 1:
                raise
            failed += 1
            tqdm.write(f"dferlib: {error}", file=sys.stderr)
    if failed:
        raise InputError(f"{failed} of {len(videos)} videos could not be done: see the lines above")


def _write(timeline: Timeline, out: Path, *, name: str) -> None:
    """Write the timeline of a face in three forms, and print it; further faces of a video are numbered."""
    name = name if timeline.face == 1 else f"{name}.face{timeline.face}"
    # the suffix is put on by hand because a video's name may have dots of its own
    picture, table, text = (out / f"{name}.timeline.{suffix}" for suffix in ("png", "csv", "json"))
    timeline.plot(picture)
    timeline.to_csv(table)
    timeline.to_json(text)
    which = f", face {timeline.face}" if timeline.face > 1 else ""
    heading = f"{timeline.video}{which}: {timeline.duration:.1f} s, percent of each class over time"
    tqdm.write(f"{heading}\n{timeline.table()}\ntimeline {picture}, numbers {table} and {text}\n")


def _unused(stem: str, taken: set[str]) -> str:
    """A name that no video before has had."""
    name, number = stem, 2
    while name.lower() in taken:  # two names may differ by case only where the file system sees none
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return name
