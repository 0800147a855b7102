"""How many frames a second MakeFaces makes: end to end to disk, by stage, the compiled loops against those in torch.

python -m benchmarks.rendering

Rates are by the clock, of several runs the fastest and the median: measure on an idle machine. Milliseconds are
processor time of one thread, which other work on the machine disturbs little.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import torch

from dferlib.makefaces import generator, kernel, protocol, raster
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.render import Actor

SIDES = (64, 112)
FRAMES = 12
PEOPLE = 16  # with four clips each
RUNS = 3
FIRST_CLIP = """
import time
import numpy as np
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.identity import sample_identity
from dferlib.makefaces.render import Actor
from dferlib.makefaces.scene import sample_scene
rng = np.random.default_rng(0)
actor = Actor(sample_identity(rng, load_head().shape_names), 64)
scene = sample_scene(rng, 1, 64, 0.085, 0.003)
begin = time.perf_counter()
actor.render(np.zeros((1, 52)), np.zeros((1, 3)), scene)
print(time.perf_counter() - begin)
"""


def version_of(side: int) -> protocol.Version:
    """Standard difficulty at `side` px, with `PEOPLE` people to train on."""
    protocol.SIZES["bench"] = protocol.Size(side, FRAMES, (PEOPLE, 7, 7))
    return protocol.Version(size="bench")


class Watched:
    """The loops of the renderer with a stop watch on each."""

    def __init__(self, loops: ModuleType, seconds: dict[str, float]) -> None:
        self.loops, self.seconds = loops, seconds

    def __getattr__(self, name: str):
        def timed(*given):
            begin = time.thread_time()
            out = getattr(self.loops, name)(*given)
            self.seconds[name] += time.thread_time() - begin
            return out

        return timed


def stages(side: int, loops: ModuleType) -> dict[str, float]:
    """Milliseconds a frame of each stage: a person's share, the loops, the rest of the renderer, camera and truth."""
    version, spent = version_of(side), defaultdict(float)
    render = Actor.render

    def watched(*given):
        begin = time.thread_time()
        out = render(*given)
        spent["renderer"] += time.thread_time() - begin
        return out

    clips = 0
    for k in range(1 + PEOPLE // 2):
        if k == 1:  # the first person loads the head
            spent.clear()
            clips = 0
        identity = sample_identity(np.random.default_rng([1, k]), load_head().shape_names)
        begin = time.thread_time()
        actor = Actor(identity, side)
        spent["person"] += (time.thread_time() - begin) / protocol.CLIPS_PER_PERSON
        actor.loops = Watched(loops, spent)
        begin = time.thread_time()
        with patch.object(Actor, "render", watched):
            generator.make_clip(actor, version, k % 7, np.random.default_rng(k))
        spent["all"] += time.thread_time() - begin
        clips += 1
    whole, rendered = spent.pop("all"), spent.pop("renderer")
    person = spent.pop("person")
    parts = {"person": person, **spent, "rest of the renderer": rendered - sum(spent.values())}
    parts |= {"camera, occluders, truth": whole - rendered, "all": whole + person}
    return {name: 1000 * seconds / clips / FRAMES for name, seconds in parts.items()}


def to_disk(side: int, workers: int) -> tuple[float, float]:
    """The whole way, draw, render, apply the camera, write, in `workers` processes, their start included.

    Returns:
        Frames a second by the clock, and milliseconds of processor time a frame.
    """
    version, before = version_of(side), os.times()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        # the library's own processes know only the packaged sizes: fork
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
            generator.generate(version, Path(folder), ("train",), workers, False, pool)
        seconds, after = time.perf_counter() - begin, os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    frames = PEOPLE * protocol.CLIPS_PER_PERSON * FRAMES
    return frames / seconds, 1000 * worked / frames


def first_clip() -> tuple[float, float]:
    """Seconds until the first frame is there: with nothing compiled yet, and with machine code on disk."""
    with tempfile.TemporaryDirectory() as folder:
        command, place = [sys.executable, "-c", FIRST_CLIP], {**os.environ, "NUMBA_CACHE_DIR": folder}
        cold, warm = (
            float(subprocess.run(command, env=place, capture_output=True, check=True).stdout) for _ in range(2)
        )
    return cold, warm


def main() -> None:
    torch.set_num_threads(1)
    paths = {"torch": raster, **({"compiled": kernel} if kernel.available() else {})}
    for side in SIDES:
        for path, loops in paths.items():
            cost = stages(side, loops)
            print(f"{side:3} px, {path}: ms a frame: " + ", ".join(f"{k} {v:.2f}" for k, v in cost.items()))
            with patch.object(kernel, "available", lambda loops=loops: loops is kernel):
                for workers in (1, 2):
                    rates = sorted(to_disk(side, workers) for _ in range(RUNS if loops is kernel else 1))
                    (best, _), (middle, _) = rates[-1], rates[len(rates) // 2]
                    cost = min(worked for _, worked in rates)
                    shown = f"{best:.0f} frames/s to disk, median {middle:.0f}; {cost:.2f} ms of work a frame"
                    print(f"{side:3} px, {path}, {workers} processes: {shown}")
    if kernel.available():
        cold, warm = first_clip()
        print(f"the first frame of a process: {cold:.1f} s where nothing is compiled yet, {warm:.1f} s afterwards")


if __name__ == "__main__":
    main()
