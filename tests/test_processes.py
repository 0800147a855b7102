"""Two processes do what one does."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dferlib.evidence.results import load_runs

ROOT = Path(__file__).parents[1]

CASES = (
    {},
    {"optimizer": "sgd", "sam": 0.05, "ema": 0.5, "loss": "label_smoothing", "balance": "weights"},
    {"backbone_lr_scale": 0, "balance": "sampling"},
)
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import numpy as np
import torch
from tiny import TinyModel, make_source
from dferlib.evidence import studies
from dferlib.training.processes import rank_and_world_size
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import evaluate
from dferlib.training.loop import train

torch.set_num_threads(1)
for number, changes in enumerate({cases!r}):
    torch.manual_seed(0)
    model, folder = TinyModel(), f"{{sys.argv[1]}}/{{number}}"
    model.drop.p = 0.0
    config = TrainConfig(**{{"epochs": 3, "batch_size": 9, "lr": 1e-2, "device": "cpu", **changes}})
    train(model, make_source(38), make_source(23, "val"), config, folder, progress=False)
    found = evaluate(model, make_source(31, "test"), batch_size=4, device="cpu", features=True)
    file = f"{{folder}}/found{{rank_and_world_size()[0]}}.npz"
    np.savez(file, ids=found.ids, logits=found.logits, features=found.features)
if {record}:
    sources = {{s: make_source(n, s, frames=8, side=64) for s, n in (("train", 28), ("val", 14), ("test", 21))}}
    row = studies.Row("single_frame", config=TrainConfig(epochs=2, batch_size=8, device="cpu"))
    folder = Path(sys.argv[1]) / "record"
    run = studies.train_and_record(folder, "run", row, sources, checkpoint=folder)
    (folder / f"{{rank_and_world_size()[0]}}.txt").write_text("none" if run is None else run.name)
"""


def start(folder, cases=CASES, record=False):
    """Two processes that run the script."""
    folder.mkdir()
    path = folder.with_suffix(".py")
    path.write_text(SCRIPT.format(tests=str(ROOT / "tests"), cases=cases, record=record))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*launch, str(path), str(folder)], env=env, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What two processes have written: the cases, and a record."""
    folder = tmp_path_factory.mktemp("processes") / "2"
    launched = start(folder, record=True)
    told = launched.communicate()[1]
    assert launched.returncode == 0, told
    return folder


@pytest.mark.slow
def test_two_processes_give_what_one_gives(shared, tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(ROOT / "tests"), cases=CASES, record=False))
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path)])
    runpy.run_path(str(script))  # the one process is this
    for number in map(str, range(len(CASES))):
        one, two = tmp_path / number, shared / number
        histories = (json.loads((folder / "history.json").read_text())["epochs"] for folder in (one, two))
        for single, double in zip(*histories, strict=True):
            for key in ("train_loss", "train_accuracy", "val_uar", "val_war"):
                assert double[key] == pytest.approx(single[key], abs=1e-4), (number, key)
        alone = np.load(one / "found0.npz")
        for rank in range(2):  # each process has every clip once, in order, however uneven their shares
            found = np.load(two / f"found{rank}.npz")
            assert found["ids"].tolist() == alone["ids"].tolist() and len(set(found["ids"])) == 31
            # the first steps of Adam are as long for rounding errors as for gradients
            near = 1e-4 if CASES[int(number)].get("optimizer") == "sgd" else 0.05
            for name in ("logits", "features"):
                np.testing.assert_allclose(found[name], alone[name], atol=near, err_msg=f"{number} {name}")


@pytest.mark.slow
def test_of_two_processes_the_first_alone_writes_the_record(shared):
    folder = shared / "record"
    assert [(folder / f"{rank}.txt").read_text() for rank in range(2)] == ["run", "none"]
    (run,) = load_runs(folder)
    run.check()
    assert run.is_current, "its probe was made by one process"
    assert run.metrics["clips"] == 21 and len(run.record["history"]["epochs"]) == 2
    assert not list(folder.glob(".*tmp*"))


@pytest.mark.slow
def test_when_one_process_dies_all_end_and_the_state_is_whole(tmp_path):
    launcher = start(tmp_path / "run", [{"epochs": 1000}])
    path = tmp_path / "run" / "0" / "last.pt"
    while not path.exists():
        assert launcher.poll() is None
        time.sleep(0.01)
    workers = [int(pid) for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()]
    os.kill(workers[-1], signal.SIGKILL)
    launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    assert torch.load(path, weights_only=True)["state"]["history"]


def share(rank, port, x, queue):
    """One of two processes: batch normalisation of its part, and the gradients of a loss over all."""
    from dferlib.training.processes import synchronise_batch_norm

    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    mine = [x[:5], x[5:]][rank].clone().requires_grad_()
    net = nn.Sequential(nn.BatchNorm2d(3))
    nn.init.uniform_(net[0].weight, generator=torch.Generator().manual_seed(0))
    with synchronise_batch_norm(net):
        out = net(mine)
        (out.pow(3) * torch.arange(4.0)).sum().backward()
    assert type(net[0]) is nn.BatchNorm2d
    found = (out, mine.grad, net[0].weight.grad, *net[0].buffers())
    queue.put((rank, [value.detach().numpy() for value in found]))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_synchronise_batch_normalisation_is_that_of_the_whole_batch():
    import socket

    x = torch.randn(8, 3, 2, 4, generator=torch.Generator().manual_seed(1)) * 3 + 100
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    workers = [context.Process(target=share, args=(rank, port, x, queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    parts = dict(queue.get() for _ in workers)
    for worker in workers:
        worker.join()
    whole, net = x.clone().requires_grad_(), nn.BatchNorm2d(3)
    nn.init.uniform_(net.weight, generator=torch.Generator().manual_seed(0))
    out = net(whole)
    (out.pow(3) * torch.arange(4.0)).sum().backward()
    near = {"atol": 1e-3, "rtol": 1e-3}
    np.testing.assert_allclose(np.concatenate([parts[0][0], parts[1][0]]), out.detach(), **near)
    np.testing.assert_allclose(np.concatenate([parts[0][1], parts[1][1]]), whole.grad, **near)
    np.testing.assert_allclose(parts[0][2] + parts[1][2], net.weight.grad, **near)
    for rank in range(2):
        for found, expected in zip(parts[rank][3:], net.buffers(), strict=True):
            np.testing.assert_allclose(found, expected, **near)
