"""Photographs: the download that is checked, the faces that are cut, and what a model says of them."""

import functools
import hashlib
import http.server
import io
import threading
import zipfile
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from PIL import Image

from dferlib import InputError
from dferlib.inference import photographs
from dferlib.inference.photographs import ARCHIVES, cut_faces, fetch_london, still_clips
from dferlib.models import InputSpec

PHOTOS = Path(__file__).parents[2] / "shared" / "real" / "london"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page on this machine that has the archives, as pooch sees the real one: names, and an MD5 sum for each."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for number, archive in zip(("03", "08"), ARCHIVES, strict=True):
        picture = io.BytesIO()
        Image.new("RGB", (8, 8), (int(number), 0, 0)).save(picture, "png")
        with zipfile.ZipFile(shelf / archive, "w") as file:
            for person in ("001", "002"):
                file.writestr(f"{archive[:-4]}/{person}_{number}.jpg", picture.getvalue())
            file.writestr(f"__MACOSX/{archive[:-4]}/._001_{number}.jpg", b"nothing")
            file.writestr(f"{archive[:-4]}/001_{number}.tem", b"landmarks")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(shelf))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def registry(self):
        self.base_url = f"http://127.0.0.1:{server.server_port}/"
        self.registry = {name: f"md5:{hashlib.md5((shelf / name).read_bytes()).hexdigest()}" for name in ARCHIVES}

    monkeypatch.setattr(pooch.Pooch, "load_registry_from_doi", registry)
    yield shelf
    server.shutdown()


def test_a_download_is_named_by_person_and_kind(page, tmp_path):
    folder = fetch_london(tmp_path / "london")
    names = {f"{person}_{kind}.jpg" for person in ("001", "002") for kind in ("neutral", "smiling")}
    assert {file.name for file in folder.glob("*.jpg")} == names
    assert Image.open(folder / "002_neutral.jpg").getpixel((0, 0)) == (3, 0, 0)
    assert Image.open(folder / "002_smiling.jpg").getpixel((0, 0)) == (8, 0, 0)


def test_a_photograph_that_is_there_stays_and_one_that_is_gone_comes_back(page, tmp_path):
    folder = tmp_path / "london"
    folder.mkdir()
    (folder / "001_neutral.jpg").write_bytes(b"somebody's own")
    fetch_london(folder)
    (folder / "002_smiling.jpg").unlink()
    fetch_london(folder)
    assert (folder / "001_neutral.jpg").read_bytes() == b"somebody's own"
    assert Image.open(folder / "002_smiling.jpg").getpixel((0, 0)) == (8, 0, 0)


def test_an_archive_that_is_not_what_its_page_says_is_refused(page, tmp_path, monkeypatch):
    told = dict.fromkeys(ARCHIVES, "md5:" + "0" * 32)

    def registry(self, given=pooch.Pooch.load_registry_from_doi):
        given(self)
        self.registry = told

    monkeypatch.setattr(pooch.Pooch, "load_registry_from_doi", registry)
    with pytest.raises(InputError, match=r"the London set does not come from doi:.*download neutral_front\.zip"):
        fetch_london(tmp_path / "london")
    assert not list((tmp_path / "london").glob("*.jpg"))


def test_without_a_network_or_pooch_one_line_says_so(tmp_path, monkeypatch):
    def unreachable(self):
        raise OSError("no route to host")

    monkeypatch.setattr(pooch.Pooch, "load_registry_from_doi", unreachable)
    with pytest.raises(InputError, match="no route to host"):
        fetch_london(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(InputError, match=r'pip install "dferlib\[photographs\]"'):
        fetch_london(tmp_path)


def test_a_folder_without_pairs_is_told(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "001_neutral.jpg")
    with pytest.raises(InputError, match=r"no photographs NUMBER_neutral.jpg and NUMBER_smiling.jpg are in"):
        cut_faces(tmp_path, 64)


def test_people_without_a_face_or_a_pair_are_left_out(tmp_path, monkeypatch):
    for name, grey in {
        "001_neutral": 10,
        "001_smiling": 20,
        "002_neutral": 30,
        "003_neutral": 40,
        "003_smiling": 0,
    }.items():
        Image.new("RGB", (90, 90), (grey,) * 3).save(tmp_path / f"{name}.jpg", quality=100)
    box = np.array([[20.0, 20.0, 60.0]])
    monkeypatch.setattr(photographs, "detect", lambda photo, side: box if photo.max() > 2 else box[:0])
    monkeypatch.setattr(photographs, "find_landmarks", lambda photo, boxes: np.zeros((1, 5, 2)))
    monkeypatch.setattr(photographs, "warp", lambda photo, points, size: photo[:size, :size])
    found = cut_faces(tmp_path, 16)
    assert list(found) == ["001"]
    for kind, grey in {"neutral": 10, "smiling": 20}.items():
        for way in ("box", "aligned"):
            assert found["001"][kind][way].shape == (16, 16, 3)
            assert abs(int(np.median(found["001"][kind][way])) - grey) <= 2
    still = still_clips(found["001"], "aligned", 3)
    assert [clip.shape for clip in still] == [(3, 16, 16, 3)] * 2 and still[0].mean() < still[1].mean()


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.exists(), reason="the photographs of the London set are not here")
def test_real_photographs_are_found_whole(tmp_path):
    for kind in ("neutral", "smiling"):
        (tmp_path / f"001_{kind}.jpg").symlink_to(PHOTOS / f"001_{kind}.jpg")
    found = cut_faces(tmp_path, 64)["001"]
    assert all(found[kind][way].std() > 20 for kind in found for way in found[kind])
    model = torch.nn.Module()
    model.input_spec = InputSpec(size=56, frames=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    model.forward = lambda clips: clips.mean((1, 3, 4))
    clips = [clip for way in ("box", "aligned") for clip in still_clips(found, way, 4)]
    logits = photographs.ask(model, clips * 9)
    assert logits.shape == (36, 3) and np.allclose(logits[:4], logits[-4:])
    expected = np.stack([clip[:, 4:60, 4:60].mean((0, 1, 2)) / 255 for clip in clips])
    np.testing.assert_allclose(logits[:4], expected, atol=1e-5)
