"""The packed store: what is written is read back, whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dferlib import InputError
from dferlib.data.store import ClipStore, facts_file, layer_file, write_part


def clips_of(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (n, 3, 5, 5), dtype=np.uint8) for n in lengths]


def write(stem: Path, clips: list[np.ndarray], **facts: np.ndarray) -> None:
    frames = np.concatenate(clips)
    depth = frames.sum((1, 2, 3)).astype(np.float32)  # another layer, with a number a frame
    write_part(stem, {"frames": frames, "depth": depth}, [len(c) for c in clips], facts)


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_any_frame_of_any_clip_comes_back(parts: list[list[int]], seed: int, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("store")
    every = [clips_of(lengths, seed + k) for k, lengths in enumerate(parts)]
    for k, clips in enumerate(every):
        write(folder / f"part-{k}", clips, label=np.arange(len(clips)) + 10 * k)
    store = ClipStore([folder / f"part-{k}" for k in range(len(parts))])
    flat = [clip for clips in every for clip in clips]
    assert len(store) == len(flat)
    assert store.lengths.tolist() == [len(clip) for clip in flat]
    assert store.facts("label").tolist() == [i + 10 * k for k, clips in enumerate(every) for i in range(len(clips))]
    rng = np.random.default_rng(seed)
    for index, clip in enumerate(flat):
        assert np.array_equal(store.read(index), clip)
        chosen = rng.integers(0, len(clip), 7)
        assert np.array_equal(store.read(index, chosen), clip[chosen])
        assert np.array_equal(store.read(index, layer="depth"), clip.sum((1, 2, 3)).astype(np.float32))
    store.verify()


def test_what_is_read_can_be_changed_without_changing_the_store(tmp_path: Path) -> None:
    clips = clips_of([2])
    write(tmp_path / "p", clips)
    store = ClipStore([tmp_path / "p"])
    store.read(0)[:] = 0
    assert np.array_equal(store.read(0), clips[0])


def test_rows_that_do_not_fit_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    frames = np.zeros((4, 3, 2, 2), np.uint8)
    with pytest.raises(InputError, match="4 rows in the layer 'frames' for clips of 5 frames"):
        write_part(tmp_path / "p", {"frames": frames}, [2, 3], {})
    with pytest.raises(InputError, match="1 rows in the fact 'label' for 2 clips"):
        write_part(tmp_path / "p", {"frames": frames}, [2, 2], {"label": np.zeros(1)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layer", ["frames", "depth"])
def test_one_changed_byte_is_found(layer: str, tmp_path: Path) -> None:
    write(tmp_path / "p", clips_of([2, 3]))
    path = layer_file(tmp_path / "p", layer)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"p\.{layer}\.npy does not match its checksum: delete .*p\.npz"):
        ClipStore([tmp_path / "p"]).verify()


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*p\.npz"):
        ClipStore([tmp_path / "p"])
    write(tmp_path / "p", clips_of([2]))
    layer_file(tmp_path / "p", "frames").unlink()
    with pytest.raises(InputError, match=r"cannot read .*p\.frames\.npy"):
        ClipStore([tmp_path / "p"]).read(0)
    layer_file(tmp_path / "p", "frames").write_bytes(b"not an array")
    with pytest.raises(InputError, match=r"cannot read .*p\.frames\.npy"):
        ClipStore([tmp_path / "p"]).read(0)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    write(tmp_path / "p", clips_of([2]))
    np.save(layer_file(tmp_path / "p", "frames"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot read"):
        ClipStore([tmp_path / "p"]).read(0)


def test_the_fingerprint_follows_the_pixels(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / name, clips_of([2], seed))
    a, b, c = (ClipStore([tmp_path / name]).fingerprint for name in "abc")
    assert a == b != c


READER = """
import sys
from pathlib import Path
import numpy as np
from dferlib.data.store import ClipStore, facts_file
folder, seen = Path(sys.argv[1]), 0
while seen < 20:
    stems = [folder / f"part-{k}" for k in range(20) if facts_file(folder / f"part-{k}").exists()]
    if len(stems) > seen:
        store = ClipStore(stems)
        store.verify()
        assert all((store.read(i) == store.facts("value")[i]).all() for i in range(len(store)))
        seen = len(stems)
"""


def test_others_read_while_one_writes(tmp_path: Path) -> None:
    """Two readers see every part only when it is whole."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    readers = [subprocess.Popen([sys.executable, "-c", READER, str(tmp_path)], env=env) for _ in range(2)]
    for k in range(20):
        clips = [np.full((3, 3, 16, 16), (k + i) % 256, np.uint8) for i in range(4)]
        values = np.array([(k + i) % 256 for i in range(4)], dtype=np.uint8).reshape(4, 1, 1, 1, 1)
        write_part(tmp_path / f"part-{k}", {"frames": np.concatenate(clips)}, [3] * 4, {"value": values})
    assert [reader.wait(timeout=60) for reader in readers] == [0, 0]
    assert len(list(tmp_path.glob("*.npz"))) == 20 == len([facts_file(tmp_path / f"part-{k}") for k in range(20)])
