"""A dask cluster of two processes does what one process does, to the byte, also when one of them is killed."""

import multiprocessing
import os
import signal
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trees
from conftest import call
from safetensors.numpy import load_file
from tiny import make_source

from dferlib import InputError
from dferlib.data import pack as packing
from dferlib.data.pack import pack
from dferlib.devices import cluster
from dferlib.evidence import studies
from dferlib.makefaces import Version, generate, generator
from dferlib.training.config import TrainConfig

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address():
    """Two processes of a dask cluster."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made:
        yield made.scheduler_address


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_renders_what_one_process_renders(address, tmp_path):
    alone = generate(Version("mini"), None, ("val",), progress=False)
    assert call("makefaces", "--size", "mini", "--split", "val", "--root", tmp_path, "--dask", address) == 0
    assert files(tmp_path / alone.name / "val") == files(alone / "val")


def test_it_packs_what_one_process_packs(address, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "PART_FRAMES", 20)
    root = trees.dfew(tmp_path / "dfew")
    pack("DFEW", root, tmp_path / "alone", 16, workers=1, progress=False)
    assert call("pack", "DFEW", root, tmp_path / "made", "--size", 16, "--dask", address) == 0
    assert files(tmp_path / "made") == files(tmp_path / "alone")


def mortal_clips(log: Path, data: dict) -> dict:
    """Noise in the shape that real models take. The third job to get some, or one after it, ends its worker."""
    if multiprocessing.parent_process() is not None:
        (log / f"{uuid.uuid4()}.job").touch()
        if len(list(log.glob("*.job"))) >= 3:
            with suppress(FileExistsError):  # two may be the third at once: one of them dies
                (log / "killed").touch(exist_ok=False)
                time.sleep(1)  # until what its worker has done before is fetched
                os.kill(os.getpid(), signal.SIGKILL)
    counts = {"train": 14, "val": 7, "test": 14}
    return {s: make_source(n, s, seed=k, frames=8, side=64) for k, (s, n) in enumerate(counts.items())}


def same(one: object, other: object) -> bool:
    """Whether two records are alike in all but times and the processor."""
    if isinstance(one, dict) and isinstance(other, dict):
        kept = one.keys() - {"seconds", "device"}
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in kept)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.thorough  # test_studies.py has the same with processes of its own
def test_a_study_is_that_of_one_process_though_a_worker_is_killed(address, tmp_path, monkeypatch):
    config = TrainConfig(epochs=1, device="cpu", backbone_lr_scale=0.0)
    rows = {"first": studies.Row("single_frame", {}, config, rates=(1e-3, 1e-2))}
    rows["second"] = replace(rows["first"], start="first", rates=(1e-3,))
    monkeypatch.setitem(studies.STUDIES, "small", studies.Study("?", rows, (0, 1)))
    log = tmp_path / "log"
    log.mkdir()
    clips, folders = partial(mortal_clips, log), [tmp_path / name / "small" for name in ("alone", "shared")]
    alone = studies.run_study("small", clips, tmp_path / "alone", progress=False)
    with cluster(address) as (executor, places):
        shared = studies.run_study("small", clips, tmp_path / "shared", True, False, jobs=places, executor=executor)
    assert len(list(log.glob("*.job"))) == 7, "two rates, two seeds of each row, and one of them again"
    for one, other in zip(alone, shared, strict=True):
        other.check()
        assert one.name == other.name and same(one.record, other.record)
        assert (one.predictions().logits == other.predictions().logits).all()
    assert len({(folder / "first-rates.json").read_text() for folder in folders}) == 1
    weights = [load_file(folder / "first-seed1" / "best.safetensors") for folder in folders]
    assert all((weights[0][key] == weights[1][key]).all() for key in weights[0])
    assert (folders[1] / "second" / "best.safetensors").exists(), "kept weights come back, too"
    assert not list(tmp_path.rglob("*.tmp*"))


def test_a_worker_that_would_do_other_work_is_told(address, tmp_path, monkeypatch):
    with cluster(address) as (executor, places):
        assert places == 2
        monkeypatch.setattr(generator, "source_hash", lambda: "another")
        with pytest.raises(InputError, match="a worker would render other pixels"):
            generate(Version("mini"), tmp_path, ("val",), progress=False, executor=executor)
        monkeypatch.setattr("dferlib.evidence.studies.agenda.fingerprints", lambda sources: {"train": "others"})
        with pytest.raises(InputError, match="a worker has other clips than the one that asks"):
            studies.run_study("stt_fig6", partial(mortal_clips, tmp_path), tmp_path, executor=executor)


def test_a_cluster_that_is_not_there_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dferlib.devices.PATIENCE", 1)
    for wrong in ("tcp://127.0.0.1:9", "nowhere at all"):
        assert call("makefaces", "--size", "mini", "--root", tmp_path, "--dask", wrong) == 1
        assert "no dask scheduler answers at" in capsys.readouterr().err.splitlines()[-1]
    with distributed.LocalCluster(n_workers=0, threads_per_worker=2, dashboard_address=":0", processes=False) as made:
        with pytest.raises(InputError, match="has no workers"), cluster(made.scheduler_address):
            pass
        made.scale(1)
        told = r"several threads: start it with --nthreads 1"
        with pytest.raises(InputError, match=told), cluster(made.scheduler_address):
            pass
