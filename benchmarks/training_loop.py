"""What the training loop adds to the bare steps, how fast batches are made, and how long a book-scale epoch takes.

python -m benchmarks.training_loop [MODEL]          (stt if not given)

The loop, the bare forward, backward and step, and the making of batches take turns on the same clips, who is first
changes from round to round, and what is compared are the medians over pairs: a busy machine slows all of them. The loop
is also compared by processor time, which counts only what this process does. The load of the machine is told beside the
figures.
"""

import os
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch

from dferlib import TrainConfig, create_model
from dferlib.data.table import ArraySource
from dferlib.evidence.speed import noise
from dferlib.training.loader import Batch, Loader
from dferlib.training.loop import Trainer
from dferlib.training.processes import make_fabric

BATCH, STEPS, ROUNDS = 32, 4, 20


def clocks() -> np.ndarray:
    """Seconds on the wall, and of this process on all processors."""
    return np.array([time.perf_counter(), time.process_time()])


def bare(name: str, batches: list[Batch]) -> Iterator[np.ndarray]:
    """Seconds a step of forward, backward and update takes, on batches that are there already."""
    model = create_model(name).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    while True:
        begin = clocks()
        for batch in batches:
            loss = torch.nn.functional.cross_entropy(model(batch.inputs), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        yield (clocks() - begin) / len(batches)


def looped(name: str, clips: ArraySource) -> Iterator[np.ndarray]:
    """Seconds a step of the library's loop takes, the making of the batches included."""
    config = TrainConfig(lr=1e-5, batch_size=BATCH, device="cpu", epochs=1000)
    fabric, model = make_fabric("cpu", "auto"), create_model(name)
    trainer = Trainer(fabric, model, train_source=clips, val_source=clips, config=config)
    for number in range(1, config.epochs + 1):
        trainer.state.step = 0
        begin = clocks()
        for _ in trainer.epoch(number):
            pass
        yield (clocks() - begin) / STEPS


def made(loader: Loader) -> Iterator[np.ndarray]:
    """Seconds that making a batch takes."""
    for epoch in range(2, sys.maxsize):
        begin = clocks()
        for step, indices in enumerate(np.split(loader.order(epoch), loader.ends)):
            loader.batch(indices, (epoch, step))
        yield (clocks() - begin) / STEPS


def main(name: str) -> None:
    clips, config = noise(create_model(name), BATCH * STEPS), TrainConfig(batch_size=BATCH)
    loader = Loader(clips, create_model(name), config=config, device=torch.device("cpu"))
    rivals = bare(name, list(loader.epoch(1))), looped(name, clips), made(loader)
    times = np.empty((ROUNDS + 2, len(rivals), 2))
    for turn, row in enumerate(times):
        for place in range(len(rivals)):
            who = (turn + place) % len(rivals)
            row[who] = next(rivals[who])
    times = times[2:]  # the first ones warm up
    plain, loop, make = np.median(times[..., 0], 0)
    added = np.median(times[:, 1] / times[:, 0], 0) - 1
    low, high = 100 * np.quantile(times[:, 1, 0] / times[:, 0, 0] - 1, (0.25, 0.75))
    ahead = np.median(times[:, 0, 0] / times[:, 2, 0])
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{name}, {torch.get_num_threads()} threads, batches of {BATCH} clips, medians of {ROUNDS} rounds, {load}")
    print(
        f"bare step {1000 * plain:.0f} ms, a step of the loop {1000 * loop:.0f} ms: {100 * added[0]:+.1f} %, ", end=""
    )
    print(f"half of the rounds {low:+.1f} to {high:+.1f} %")
    print(f"{100 * added[1]:+.1f} % of processor time, the making of the batches included")
    print(f"making a batch {1000 * make:.1f} ms: {ahead:.1f} times as fast as it is used")
    print(f"an epoch of 1,008 clips: {loop * 1008 / BATCH:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "stt")
