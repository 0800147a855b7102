"""How fast is `dferlib predict`, what takes the time, and what is left of it beside a process that is busy?

python -m benchmarks.predicting                  (about 5 minutes on two cores that do nothing else)
python -m benchmarks.predicting --minutes 10     (also a video of ten minutes, whose frames must cost what others cost)

The videos are made here: a rendered face that smiles and moves before a wall, with noise, 25 frames a second, H.264,
of 640 x 360 and of 1920 x 1080 pixels; and two such faces that walk past each other. A video of a real person is
measured too where one is given (--video FILE). A look is a frame in which the face is looked for, 12 a second.

Prints a table and writes results/predicting/MACHINE.json here. Parts are processor time of one thread, which other
work on the machine disturbs little; rates are by the clock, and the file says what part of the processor others had.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from benchmarks.machine import Others, describe, machine_name
from dferlib.devices import threads
from dferlib.files import written_whole
from dferlib.inference.clips import RATE, STEP
from dferlib.inference.describing import load_describer
from dferlib.inference.predictor import Predictor
from dferlib.makefaces.actions import VARIANTS
from dferlib.makefaces.portrait import portrait
from dferlib.video.faces.cutting import cut
from dferlib.video.faces.finding import DITHER, SIDE, detect
from dferlib.video.faces.identity import Sight
from dferlib.video.reading import show_video

ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "results" / "stt_table1" / "stt" / "best.safetensors"
RESULTS = Path(__file__).with_name("results") / "predicting"
SIZES = {"640 x 360": (640, 360, 1_000_000), "1920 x 1080": (1920, 1080, 8_000_000)}  # the last: bits a second
FPS, SECONDS, CYCLE = 25, 20, 50  # frames a second, of a video, frames from one smile to the next
PEOPLE = (5, 2)
LOOKS = 120  # of which the parts are timed
RUNS = 3  # of each end-to-end measurement, of which the median counts
BUSY = "while True: pass"
TIMED = """
import json, sys, time
from dferlib.inference.predictor import Predictor
checkpoint, video = sys.argv[1:]
predictor = Predictor(checkpoint, "cpu")
predictor.predict(video, most=1) if len(sys.argv) > 3 else None
begin, worked = time.perf_counter(), time.process_time()
looks = len(predictor.predict(video, most=1)[0].track.times)
print(json.dumps({"looks": looks, "seconds": time.perf_counter() - begin, "processor": time.process_time() - worked}))
"""


def act(person: int, side: int) -> list[np.ndarray]:
    """The frames of one smile, `(side, side, 3)` each."""
    frames = []
    for k in range(CYCLE):
        turn = 2 * np.pi * k / CYCLE
        units = {unit: x * (0.5 - 0.5 * np.cos(turn)) for unit, x in VARIANTS["happiness"][0].items()}
        pose = (0.12 * np.sin(turn), 0.05 * np.sin(2 * turn), 0.06)
        face = np.asarray(portrait(units, person, side, pose, half_width=0.14).frames[0])
        frames.append((255 * face.clip(0, 1)).round().astype(np.uint8).transpose(1, 2, 0))
    return frames


def make_video(path: Path, width: int, height: int, *, bits: int, people: tuple[int, ...] = PEOPLE[:1]) -> Path:
    """Write `SECONDS` in which one face moves about, or two walk past each other; the end is like the beginning."""
    rng, side = np.random.default_rng(0), int(0.62 * height) // 2 * 2
    coarse = Image.fromarray(rng.integers(60, 200, (height // 20, width // 20, 3), dtype=np.uint8))
    wall = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = rng.normal(0, 3, (height + 64, width + 64, 1)).round().astype(np.int16)  # of the camera
    acts = [act(person, side) for person in people]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", bits
        for k in range(SECONDS * FPS):
            turn, frame = 2 * np.pi * k / (SECONDS * FPS), wall.copy()
            for n, frames in enumerate(acts):
                way = 0.2 * np.sin(3 * turn) if len(acts) == 1 else 0.49 * np.cos(turn + np.pi * n)
                x, y = int((width - side) * (0.5 + way)), int((height - side) * (0.5 + 0.2 * np.sin(4 * turn)))
                frame[y : y + side, x : x + side] = frames[k % CYCLE]
            down, right = rng.integers(0, 64, 2)
            frame += noise[down : down + height, right : right + width]
            coded = av.VideoFrame.from_ndarray(frame.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(coded))
        container.mux(stream.encode())
    return path


def repeat(path: Path, out: Path, times: int) -> Path:
    """A video several times in a row, without coding it anew."""
    with av.open(str(out), "w") as container:
        copy = None
        for turn in range(times):
            with av.open(str(path)) as source:
                stream = source.streams.video[0]
                copy = copy or container.add_stream_from_template(stream)
                shift = round(turn * SECONDS / Fraction(stream.time_base))
                for packet in source.demux(stream):
                    if packet.dts is not None and packet.pts is not None:
                        packet.dts, packet.pts, packet.stream = packet.dts + shift, packet.pts + shift, copy
                        container.mux(packet)
    return out


class Stopwatch:
    """Processor time of named parts, in milliseconds of each call."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    def __call__(self, part: str, do: Callable[[], Any]) -> Any:
        """What `do` gives; its time counts for a part."""
        begin = time.process_time()
        out = do()
        self.spent.setdefault(part, []).append(1000 * (time.process_time() - begin))
        return out

    def medians(self) -> dict[str, float]:
        """Of each part."""
        return {part: float(np.median(spent)) for part, spent in self.spent.items()}


def parts(path: Path) -> dict[str, float]:
    """Milliseconds of processor time that each part takes for one look at one face."""
    watch, predictor, know = Stopwatch(), Predictor(CHECKPOINT, "cpu"), load_describer()
    begin = time.process_time()
    looks = sum(1 for _ in show_video(path, RATE))
    decode = 1000 * (time.process_time() - begin) / looks
    before: Sight | None = None
    for k, (_, shown) in zip(range(LOOKS), show_video(path, RATE), strict=False):
        small = watch("convert, for the detector", lambda: shown.array(SIDE))  # noqa: B023
        boxes = watch("detect", lambda: detect(small, SIDE * DITHER[k % len(DITHER)]))  # noqa: B023
        sight = Sight(small, boxes[:1], know)
        if before and len(boxes) and len(before.boxes):
            watch("compare with the look before", lambda: sight.changed(before))  # noqa: B023
        if know and len(boxes):
            watch("describe", sight.describe)
        before = sight
        frame = watch("convert, whole", shown.array)
        if len(boxes):
            box = boxes[0] * (max(frame.shape) / max(small.shape))
            watch("cut", lambda: cut(frame, box, size=predictor.form.size))  # noqa: B023
    clips = np.random.default_rng(0).integers(
        0, 256, (16, predictor.spec.frames, 3, *[predictor.form.size] * 2), np.uint8
    )
    for _ in range(10):
        watch("model", lambda: predictor.logits(clips))
    medians = watch.medians()
    return {"decode": decode, **medians, "model": medians["model"] / len(clips) / STEP / RATE}


def shares(costs: dict[str, float]) -> dict[str, float]:
    """What each part takes of a usual look, in which nobody is described because places tell who is who."""
    usual = {part: ms for part, ms in costs.items() if part != "describe"}
    return {part: ms / sum(usual.values()) for part, ms in usual.items()}


@contextmanager
def busy(how_many: int) -> Iterator[None]:
    """So many processes that do nothing but work, each on one core."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(how_many)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def rate(path: Path, beside: int) -> dict[str, float]:
    """Looks a second by the clock once all is loaded, and milliseconds of processor time for each; medians of runs."""
    place = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-c", TIMED, str(CHECKPOINT), str(path)]
    others = Others()
    with busy(beside):
        runs = [json.loads(subprocess.check_output(command, env=place)) for _ in range(RUNS)]
    looks = runs[0]["looks"]
    return {
        "looks_a_second": looks / float(np.median([run["seconds"] for run in runs])),
        "processor_ms": 1000 * float(np.median([run["processor"] for run in runs])) / looks,
        "others": others.share(),  # the busy processes are this one's, and are not counted
    }


def command(path: Path, out: Path) -> dict[str, float]:
    """The whole command: seconds to its first line and to its end, processor time, and the most memory, in bytes."""
    begin = time.perf_counter()
    arguments = [
        sys.executable,
        "-m",
        "dferlib.cli",
        "predict",
        str(path),
        "--checkpoint",
        str(CHECKPOINT),
        "--out",
        str(out),
    ]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        first = time.perf_counter() - begin
        process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"dferlib predict has failed on {path}")
    kib = 1 if sys.platform == "darwin" else 1024
    worked = used.ru_utime + used.ru_stime
    seconds = time.perf_counter() - begin
    return {"first_line": first, "seconds": seconds, "processor": worked, "memory": used.ru_maxrss * kib}


def measure(folder: Path, minutes: float, extra: Path | None) -> dict[str, Any]:
    """Everything: the record that is written."""
    found: dict[str, Any] = {"machine": describe(torch.device("cpu")), "videos": {}}
    others, videos = Others(), {}
    for name, (width, height, bits) in SIZES.items():
        videos[name] = make_video(folder / f"{height}.mp4", width, height, bits=bits)
    videos["640 x 360, two faces"] = make_video(folder / "two.mp4", 640, 360, bits=1_000_000, people=PEOPLE)
    videos |= {"real": extra} if extra else {}
    for name, path in videos.items():
        print(f"{name} ...", flush=True)
        with threads(1):
            costs = parts(path)
        idle, beside = rate(path, 0), rate(path, 1)
        found["videos"][name] = {
            **{"parts_ms": costs, "shares": shares(costs), "idle": idle, "beside_a_busy_process": beside},
            "of_idle_speed": beside["looks_a_second"] / idle["looks_a_second"],
            "command": command(path, folder),
        }
    if minutes:
        print(f"{minutes:g} minutes ...", flush=True)
        long = repeat(videos["640 x 360"], folder / "long.mp4", round(60 * minutes / SECONDS))
        found["long"] = {"minutes": minutes, "command": command(long, folder), "idle": rate(long, 0)}
        short = found["videos"]["640 x 360"]["idle"]["processor_ms"]
        found["long"]["of_short_cost"] = found["long"]["idle"]["processor_ms"] / short
    return {**found, "others": others.share()}


def show(record: dict[str, Any]) -> None:
    """Print a record."""
    for name, video in record["videos"].items():
        costs = ", ".join(
            f"{part} {video['parts_ms'][part]:.1f} ({100 * x:.0f} %)" for part, x in video["shares"].items()
        )
        print(f"\n{name}\n  processor time of each part, ms a look: {costs}")
        if "describe" in video["parts_ms"]:
            print(f"  where places do not tell who is who, also: describe {video['parts_ms']['describe']:.1f}")
        for where in ("idle", "beside_a_busy_process"):
            one = video[where]
            cost = f"{one['processor_ms']:.1f} ms of processor time each"
            print(f"  {where.replace('_', ' ')}: {one['looks_a_second']:.1f} looks a second, {cost}")
        print(f"  beside a busy process it has {100 * video['of_idle_speed']:.0f} % of its speed")
        whole = video["command"]
        print(
            f"  the command: first line after {whole['first_line']:.1f} s, done after {whole['seconds']:.1f} s, "
            f"{whole['processor']:.1f} s of processor time, {whole['memory'] / 2**20:.0f} MiB"
        )
    if "long" in record:
        one = record["long"]
        cost = f"{one['idle']['processor_ms']:.1f} ms of processor time a look"
        print(
            f"\n{one['minutes']:g} minutes of 640 x 360: first line after {one['command']['first_line']:.1f} s, "
            f"done after {one['command']['seconds']:.0f} s, {one['command']['memory'] / 2**20:.0f} MiB\n"
            f"  {cost}, {one['of_short_cost']:.2f} of what the short one needs"
        )
    print(f"\nothers had {100 * record['others']:.0f} % of the processor")


def main() -> None:
    """Make the videos, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predicting")
    parser.add_argument("--minutes", type=float, default=0.0, help="also a video of so many minutes")
    parser.add_argument("--video", type=Path, help="also this one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = measure(Path(folder), given.minutes, given.video)
    RESULTS.mkdir(exist_ok=True, parents=True)
    path = RESULTS / f"{machine_name(torch.device('cpu'))}.json"
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    show(record)
    print(f"written to {path}")


if __name__ == "__main__":
    main()
