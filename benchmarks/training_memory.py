"""How much memory it takes to train STT as its paper does: float32, bfloat16, with activation checkpointing or without.

python -m benchmarks.training_memory

The bytes are counted, not allocated (`dferlib.evidence.complexity.training_memory`), so this runs anywhere. How well
the count fits is measured on a book-scale STT, by what a process really takes while it trains. Writes
results/memory/stt.json.
"""

import json
import multiprocessing
import resource
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import torch

from dferlib import TrainConfig, create_model
from dferlib.evidence.complexity import training_memory
from dferlib.files import written_whole
from dferlib.training.activation_checkpointing import checkpoint_activations
from dferlib.training.optimiser import make_optimizer
from dferlib.training.recipes import recipe

RECORD = Path(__file__).parents[1] / "results" / "memory" / "stt.json"
MIB = 2**20
KEYS = ("weights", "gradients", "states", "activations", "peak", "measured")
CHECKED = 128  # clips a step of the book-scale model, so that what Python itself takes does not matter


def really(config: TrainConfig) -> int:
    """Bytes that this new process takes more, at the most, when it trains the book-scale STT for two steps."""
    model = create_model("stt").train()
    optimizer, spec = make_optimizer(model, config), model.input_spec

    def step(count: int) -> None:
        clips = torch.zeros(count, spec.frames, 3, spec.size, spec.size)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            loss = torch.nn.functional.cross_entropy(model(clips).float(), torch.zeros(count, dtype=torch.int64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with checkpoint_activations(model) if config.recompute else nullcontext():
        step(1)  # loads what torch loads once
        before = psutil.Process().memory_info().rss
        for _ in range(2):
            step(config.batch_size)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before


def rows(name: str, scale: str, config: TrainConfig) -> list[dict[str, object]]:
    """The memory of each precision, with and without activation checkpointing."""
    model, found = create_model(name, scale=scale), []
    for precision in ("32-true", "bf16-mixed"):
        for recompute in (False, True):
            changed = replace(config, precision=precision, recompute=recompute)
            memory = asdict(training_memory(model, changed))
            found.append({"model": name, "scale": scale, "batch": config.batch_size, "precision": precision})
            found[-1].update({"recompute": recompute, **memory})
            if scale == "book":
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    fixed = sum(memory[part] for part in ("weights", "gradients", "states"))
                    found[-1]["measured"] = pool.apply(really, (changed,)) + fixed
            shown = ", ".join(f"{key} {round(value / MIB):,}" for key, value in found[-1].items() if key in KEYS)
            print(
                f"{name}, {scale}, batch {config.batch_size}, {precision}, recompute {recompute}: {shown} MiB",
                flush=True,
            )
    return found


def main() -> None:
    """Count, measure and write the record."""
    table = rows("stt", "paper", recipe("stt", "paper")) + rows("stt", "book", TrainConfig(batch_size=CHECKED))
    with written_whole(RECORD) as path:
        path.write_text(json.dumps({"unit": "bytes", "torch": torch.__version__, "rows": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
