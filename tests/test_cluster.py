"""A dask cluster of two processes does what one process does, to the byte, also when one of them is killed."""

from pathlib import Path

import pytest
import trees

from dferlib import InputError
from dferlib.cli import main
from dferlib.data import pack as packing
from dferlib.data.pack import pack
from dferlib.devices import cluster
from dferlib.makefaces import Version, generate, generator

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address():
    """Two processes of a dask cluster."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as made:
        yield made.scheduler_address


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def call(*arguments):
    with pytest.raises(SystemExit) as status:
        main([str(argument) for argument in arguments])
    return status.value.code


def test_it_renders_what_one_process_renders(address, tmp_path):
    alone = generate(Version("mini"), tmp_path / "alone", ("val",), workers=1, progress=False)
    made = tmp_path / "made"
    assert call("makefaces", "--size", "mini", "--split", "val", "--root", made, "--dask", address) == 0
    assert files(made / alone.name) == files(alone)


def test_it_packs_what_one_process_packs(address, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "PART_FRAMES", 20)
    root = trees.dfew(tmp_path / "dfew")
    pack("DFEW", root, tmp_path / "alone", 16, workers=1, progress=False)
    assert call("pack", "DFEW", root, tmp_path / "made", "--size", 16, "--dask", address) == 0
    assert files(tmp_path / "made") == files(tmp_path / "alone")


def test_a_worker_that_would_do_other_work_is_told(address, tmp_path, monkeypatch):
    with cluster(address) as (executor, places):
        assert places == 2
        monkeypatch.setattr(generator, "source_hash", lambda: "another")
        with pytest.raises(InputError, match="a worker would render other pixels"):
            generate(Version("mini"), tmp_path, ("val",), progress=False, executor=executor)


def test_a_cluster_that_is_not_there_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dferlib.devices.PATIENCE", 1)
    for wrong in ("tcp://127.0.0.1:9", "nowhere at all"):
        assert call("makefaces", "--size", "mini", "--root", tmp_path, "--dask", wrong) == 1
        assert "no dask scheduler answers at" in capsys.readouterr().err.splitlines()[-1]
    with distributed.LocalCluster(n_workers=0, threads_per_worker=2, dashboard_address=None, processes=False) as made:
        with pytest.raises(InputError, match="has no workers"), cluster(made.scheduler_address):
            pass
        made.scale(1)
        told = r"several threads: start it with --nthreads 1"
        with pytest.raises(InputError, match=told), cluster(made.scheduler_address):
            pass
