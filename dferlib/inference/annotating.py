"""A video with what a model says of the faces in it drawn into its frames."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageOps
from tqdm import tqdm

from dferlib.errors import InputError
from dferlib.files import spell, written_whole
from dferlib.inference.clips import RATE, WINDOW
from dferlib.inference.lettering import for_pillow
from dferlib.inference.timeline import UNSURE, Heat, Timeline, to_label
from dferlib.video.faces.cutting import CROP
from dferlib.video.reading import largest_frame, probe, read_video

MAX_SIDE = 1280  # pixels of the longer side of the written video
CLOCK = Fraction(1, 90_000)  # seconds: the grid on which times are written
WARMEST = 0.7  # how much of the frame the strongest heat covers
BOX_COLOURS = ("#FFC20A", "#40B0FF", "#7CE577", "#FF7AC6")  # of the faces, in turn


def annotate_video(timelines: Sequence[Timeline], path: Path | str, *, progress: bool = False) -> None:
    """Draw boxes, probabilities and, where it was kept, the heat of Grad-CAM into a video; sound is left out.

    timelines = predict_faces("party.mp4", "best.safetensors", heat=True)
    annotate_video(timelines, "party.annotated.mp4")

    Args:
        timelines: of the faces of one video.
        path: the new video, an MP4 file with H.264. Every frame of the original is in it, at its own time, and the
            largest sets the size.
        progress: show a bar if it takes more than two seconds.

    Raises:
        InputError: there is no timeline, or they are of several videos; the video cannot be read or written.
    """
    if len({timeline.video for timeline in timelines}) != 1:
        raise InputError("give the timelines of the faces of one video")
    path, info = Path(path), probe(timelines[0].video)
    if min(info.width, info.height) < 2:
        raise InputError(f"{info.path} is too small to draw into: {info.width} x {info.height} pixels")
    if path.suffix.lower() != ".mp4":
        raise InputError(f"{path} cannot be written: end the name in .mp4")
    width, height = largest_frame(info, MAX_SIDE)
    frames = read_video(info.path, max_side=MAX_SIDE)
    bar = tqdm(frames, f"{spell(path.name)}: drawing", info.frames, unit="frame", delay=2, disable=not progress)
    with written_whole(path) as temporary, av.open(f"file:{temporary}", "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=max(1, math.ceil(info.rate)), options={"crf": "20"})
        # half the colours of H.264 need even sides
        stream.width, stream.height = width - width % 2, height - height % 2
        stream.pix_fmt, stream.time_base = "yuv420p", CLOCK
        stream.codec_context.time_base = CLOCK
        for time, original in bar:
            drawn = annotate(original, timelines, time=time, scale=info.scale(original))
            frame = av.VideoFrame.from_ndarray(_fit(drawn, stream.width, stream.height), format="rgb24")
            frame.pts, frame.time_base = round(time / CLOCK), CLOCK
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def annotate(frame: np.ndarray, timelines: Sequence[Timeline], *, time: float, scale: float = 1.0) -> np.ndarray:
    """Draw what is said of each face at a time.

    Args:
        frame: of the video, RGB uint8 `(H, W, 3)`.
        timelines: of the faces.
        time: seconds from the first frame of the video.
        scale: pixels of the frame over those in which the boxes are given; see `VideoInfo.scale`.

    Returns:
        uint8 `(H, W, 3)`, a new one.
    """
    image = Image.fromarray(frame)
    seen = [(one, box * scale) for one in timelines if (box := _box_at(one, time)) is not None]
    taken = {one.face: _edges(box) for one, box in seen}
    for timeline, box in seen:
        near = int(np.abs(timeline.times - time).argmin())
        if timeline.heat is not None:
            _draw_heat(image, timeline.heat, time=time, box=box)
        others = [edges for face, edges in taken.items() if face != timeline.face]
        _draw_answer(image, timeline, window=near, box=box, others=others)
    return np.asarray(image)


def _fit(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """A frame `(H, W, 3)` of another size is scaled to fit, with black around it; an odd side loses a pixel."""
    if frame.shape[0] - height not in (0, 1) or frame.shape[1] - width not in (0, 1):
        return np.asarray(ImageOps.pad(Image.fromarray(frame), (width, height), Image.Resampling.BILINEAR))
    return frame[:height, :width].copy()


def _box_at(timeline: Timeline, time: float) -> np.ndarray | None:
    """Where the face is at a time, between the frames in which it was looked for; None where it is out of sight."""
    times, boxes = timeline.track
    if not len(times) or not len(timeline.times) or np.abs(timeline.times - time).min() > WINDOW:
        return None
    after = min(int(np.searchsorted(times, time)), len(times) - 1)
    before = max(after - 1, 0)
    part = (time - times[before]) / (times[after] - times[before]) if after > before else 0.0
    box = boxes[before] + np.clip(part, 0, 1) * (boxes[after] - boxes[before])
    return box if np.isfinite(box).all() else None


def _draw_heat(image: Image.Image, heat: Heat, *, time: float, box: np.ndarray) -> None:
    """Colour the face by the strongest heat that any window which sees this moment has in its nearest frame."""
    from matplotlib import colormaps

    here = np.flatnonzero((heat.times[:, 0] <= time + 1 / RATE) & (heat.times[:, -1] >= time - 1 / RATE))
    if not len(here):
        return
    away = np.abs(heat.times[here] - time)
    nearest = away <= away.min(1, keepdims=True)  # several where a short window shows a frame more than once
    strongest = heat.maps[here][nearest].max(0)
    half = CROP * box[2] * heat.share / 2
    side = max(1, round(2 * half))
    large = Image.fromarray(strongest).resize((side, side), Image.Resampling.BICUBIC)
    colours = Image.fromarray(
        (colormaps["inferno"](0.4 + 0.6 * np.asarray(large) / 255)[..., :3] * 255).astype(np.uint8)
    )
    cover = large.point([round(WARMEST * value) for value in range(256)])
    image.paste(colours, (round(box[0] - half), round(box[1] - half)), cover)


def _beside(
    width: int,
    room: tuple[float, float],
    wide: float,
    rows: tuple[float, float],
    others: Sequence[tuple[int, int, int, int]],
) -> float:
    """Where bars begin: right of the face, else left of it, where the frame ends first or another face is."""
    left, right = room
    fits = [x for x in (right, left) if x >= 0 and x + wide <= width]
    free = [x for x in fits if not any(a < x + wide and x < c and b < rows[1] and rows[0] < d for a, b, c, d in others)]
    return next(iter([*free, *fits]), max(0.0, left))


def _edges(box: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is cut out around a box."""
    half = CROP * box[2] / 2
    left, top, right, bottom = (round(edge) for edge in (*(box[:2] - half), *(box[:2] + half)))
    return left, top, right, bottom


def _draw_answer(
    image: Image.Image,
    timeline: Timeline,
    *,
    window: int,
    box: np.ndarray,
    others: Sequence[tuple[int, int, int, int]],
) -> None:
    """The box, the answer above it, and a bar for each class beside it, where no other face is if there is room."""
    draw = ImageDraw.Draw(image, "RGBA")
    colour = BOX_COLOURS[(timeline.face - 1) % len(BOX_COLOURS)]
    line = max(10, round(min(image.size) / 24))
    left, top, right, bottom = _edges(box)
    draw.rectangle((left, top, right, bottom), outline=colour, width=max(1, line // 8))
    row = timeline.probabilities[window]
    label = to_label(row, timeline.classes, timeline.distances[window])
    said = label if label == UNSURE else f"{label} {100 * row.max():.0f} %"
    # inside the frame, wherever the face is
    x, y = float(np.clip(left, 0, image.width - 1)), max(0.0, top - 1.2 * line)
    words, font = for_pillow(f"{timeline.face}  {said}", 0.8 * line)
    draw.rectangle((x, y, x + draw.textlength(words, font) + 0.4 * line, y + 1.1 * line), fill=(0, 0, 0, 130))
    draw.text((x + 0.2 * line, y), words, colour, font)
    wide = 9 * line
    low = float(np.clip(top, 0, max(0, image.height - line * len(row))))
    room = (left - line / 2 - wide, right + line / 2)
    start = _beside(image.width, room, wide, (low, low + line * len(row)), others)
    draw.rectangle((start, low, start + wide, low + line * len(row)), fill=(0, 0, 0, 130))
    for k, (name, value) in enumerate(zip(timeline.classes, row, strict=True)):
        y = low + k * line
        draw.rectangle((start, y + 1, start + wide * value, y + line - 2), fill=(*ImageColor.getrgb(colour)[:3], 150))
        name, font = for_pillow(name, 0.8 * line)
        draw.text((start + 0.2 * line, y), name, "white", font)
