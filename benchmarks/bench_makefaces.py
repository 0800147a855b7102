"""How many frames a second MakeFaces renders: what the two sizes of picture cost, end to end to disk and by stage.

python benchmarks/bench_makefaces.py
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from dferlib import EMOTIONS
from dferlib.data.makefaces import generator
from dferlib.data.makefaces.assets import load_head
from dferlib.data.makefaces.identity import sample_identity
from dferlib.data.makefaces.performance import perform, shape_weights
from dferlib.data.makefaces.render import Actor, sample_scene

PEOPLE = 28  # 112 clips of 12 frames


def to_disk(picture: int, workers: int) -> float:
    """Frames a second of the whole way: draw, render, write, in `workers` processes; their start included."""
    generator.SIZES["bench"] = generator.Size(picture, 12, (PEOPLE, 0, 0))
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        # the workers are processes of their own and know only the packaged sizes: render here, one thread each
        with torch.multiprocessing.get_context("fork").Pool(
            workers, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            jobs = [
                (Path(folder), "bench", "train", part, 0) for part in range(len(generator.parts_of("bench", "train")))
            ]
            pool.starmap(generator.write_part, jobs, chunksize=1)
        return PEOPLE * generator.CLIPS_PER_PERSON * 12 / (time.perf_counter() - begin)


def stages(picture: int) -> dict[str, float]:
    """Milliseconds on one thread: making a person ready, and rendering one frame of a clip of 12."""
    torch.set_num_threads(1)
    rng, people, clips = np.random.default_rng(0), [], []
    for k in range(6):
        identity = sample_identity(np.random.default_rng([1, k]), load_head().shape_names)
        begin = time.perf_counter()
        actor = Actor(identity, picture)
        people.append(time.perf_counter() - begin)
        done = perform(EMOTIONS[k], 12, rng)
        scene = sample_scene(rng, 12, picture, generator.HALF_WIDTH, generator.MISALIGNED)
        begin = time.perf_counter()
        actor.render(shape_weights(done, actor.action_index), np.zeros((12, 3)), scene)
        clips.append(time.perf_counter() - begin)
    return {"person": 1000 * float(np.median(people)), "frame": 1000 * float(np.median(clips)) / 12}


if __name__ == "__main__":
    for side in (64, 112):
        cost = stages(side)
        rates = {workers: to_disk(side, workers) for workers in sorted({1, os.cpu_count() or 1})}
        shown = ", ".join(f"{rate:.0f} frames/s with {n} process{'es' * (n > 1)}" for n, rate in rates.items())
        print(f"{side:3} px: {cost['person']:.0f} ms a person, {cost['frame']:.1f} ms a frame; to disk {shown}")
