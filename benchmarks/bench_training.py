"""What the training loop adds to the bare steps, how fast batches are made, and how long a book-scale epoch takes.

python benchmarks/bench_training.py [MODEL]
"""

import sys
import time

import numpy as np
import torch

from dferlib import EMOTIONS, TrainConfig, create_model, train
from dferlib.data.table import ArraySource, ClipTable
from dferlib.data.transforms import Augment, normalise

CLIPS, BATCH = 256, 32


def source(count: int) -> ArraySource:
    """Noise in the shape of MakeFaces book clips: speed does not depend on what is in the picture."""
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"id": [str(k) for k in range(count)], "label": np.arange(count) % 7, "group": np.arange(count)}
    )
    table = ClipTable(rows.assign(split="train", frames=12), EMOTIONS)
    return ArraySource(table, [rng.integers(0, 256, (12, 3, 64, 64), dtype=np.uint8) for _ in range(count)])


def bare(name: str, clips: torch.Tensor) -> float:
    """Seconds a step of forward, backward and update on a batch that is there already."""
    model = create_model(name).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    labels = torch.arange(len(clips)) % 7
    times = []
    for _ in range(24):
        begin = time.perf_counter()
        loss = torch.nn.functional.cross_entropy(model(clips), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        times.append(time.perf_counter() - begin)
    return float(np.median(times[8:]))  # the first ones warm up


def batches(size: int) -> tuple[torch.Tensor, float]:
    """A batch as the loop makes it, and the seconds to augment and normalise one."""
    raw, augment = torch.randint(0, 256, (BATCH, 8, 3, 64, 64), dtype=torch.uint8), Augment(size)
    times = []
    for _ in range(8):
        begin = time.perf_counter()
        batch = normalise(augment(raw), (0.4,) * 3, (0.2,) * 3)
        times.append(time.perf_counter() - begin)
    return batch, float(np.median(times[1:]))


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "stt"
    spec = create_model(name).input_spec
    batch, make = batches(spec.size)
    step = bare(name, batch)
    clips, few = source(CLIPS), source(7)
    begin = time.perf_counter()
    train(create_model(name), clips, few, TrainConfig(epochs=1), progress=False)
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    train(create_model(name), clips, few, TrainConfig(epochs=3), progress=False)
    loop = (time.perf_counter() - begin - first) / 2 / (CLIPS // BATCH)
    print(f"{name}, {torch.get_num_threads()} threads, batches of {BATCH} clips")
    print(f"bare step {1000 * step:.0f} ms; a step of the loop {1000 * loop:.0f} ms ({100 * (loop / step - 1):+.1f} %)")
    print(f"making a batch {1000 * make:.0f} ms: {step / make:.1f} times as fast as it is used")
    print(f"an epoch of 1,008 clips: {loop * 32:.0f} s")
