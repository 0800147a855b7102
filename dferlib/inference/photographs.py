"""Photographs of people at rest and smiling: the faces in them, and what a model of clips says of each.

Nothing here learns from a photograph. The photographs lie in one folder, NUMBER_neutral.jpg and NUMBER_smiling.jpg, as
in the Face Research Lab London Set (DeBruine and Jones 2017, CC BY 4.0), which `fetch_london` brings.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from dferlib.data.transforms import prepare
from dferlib.errors import InputError
from dferlib.files import make_folder
from dferlib.models.base import ClipModel
from dferlib.video.faces.aligning import warp
from dferlib.video.faces.cutting import cut
from dferlib.video.faces.finding import DITHER, SIDE, detect
from dferlib.video.faces.landmarks import find_landmarks

ASKED = {"neutral": "neutral", "smiling": "happiness"}  # what a file's name says, and the class it should get
LONDON = "doi:10.6084/m9.figshare.5047666.v5"
ARCHIVES = {"neutral_front.zip": "neutral", "smiling_front.zip": "smiling"}  # 001_03.jpg and 001_08.jpg, say
BATCH = 16

Faces = dict[str, dict[str, dict[str, np.ndarray]]]  # of a person, of a kind, in a way: (S, S, 3) uint8


def fetch_london(folder: Path | str) -> Path:
    """Download the London set's front views, 102 people at rest and smiling, and name them as `cut_faces` reads them.

    Args:
        folder: made if it is not there; photographs that are there already are left as they are.

    Returns:
        The folder.

    Raises:
        InputError: the package pooch is missing, the page cannot be reached, or a file is not what its page says.
    """
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise InputError('to download the photographs needs pooch: pip install "dferlib[photographs]"') from error
    folder = make_folder(Path(folder))
    page = pooch.create(path=folder / "archives", base_url=f"{LONDON}/", retry_if_failed=2)
    try:
        page.load_registry_from_doi()  # with the MD5 sum of each file, which `fetch` compares
        for archive, kind in ARCHIVES.items():
            for name in page.fetch(archive, processor=pooch.Unzip(), progressbar=True):
                if name.endswith(".jpg") and "__MACOSX" not in name:
                    photo = folder / f"{Path(name).stem.split('_')[0]}_{kind}.jpg"
                    if not photo.exists():  # copied, so that one that was deleted comes back the next time
                        shutil.copy(name, photo)
    except (OSError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise InputError(
            f"the London set does not come from {LONDON}: {told}. Try again later, or download "
            f"{' and '.join(ARCHIVES)} from its page by hand"
        ) from error
    return folder


def cut_faces(folder: Path | str, size: int) -> Faces:
    """Find the face in each photograph of people of whom both kinds are there; people without a face are left out.

    Args:
        folder: with NUMBER_neutral.jpg and NUMBER_smiling.jpg.
        size: side S of the cut faces in pixels.

    Returns:
        By person and kind, the face (S, S, 3) uint8 by the detector's box, and aligned by landmarks.

    Raises:
        InputError: dlib is not installed, or the folder has no such photographs.
    """
    people = sorted(file.name.split("_")[0] for file in Path(folder).glob("*_neutral.jpg"))
    people = [one for one in people if (Path(folder) / f"{one}_smiling.jpg").exists()]
    if not people:
        raise InputError(f"no photographs NUMBER_neutral.jpg and NUMBER_smiling.jpg are in {folder}")
    found: Faces = {}
    for person in tqdm(people, "finding faces", unit="person", delay=2, leave=False):
        cuts = {}
        for kind in ASKED:
            photo = np.asarray(Image.open(Path(folder) / f"{person}_{kind}.jpg").convert("RGB"))
            boxes = np.concatenate([detect(photo, SIDE * dither)[:1] for dither in DITHER])
            if len(boxes):
                box = boxes.mean(0)
                points = find_landmarks(photo, box[None])[0]
                cuts[kind] = {"box": cut(photo, box, size), "aligned": warp(photo, points, size)}
        if len(cuts) == len(ASKED):
            found[person] = cuts
    return found


def still_clips(cuts: dict[str, dict[str, np.ndarray]], way: str, frames: int) -> list[np.ndarray]:
    """A person's photographs as clips that stand still, one of each kind, (F, S, S, 3) uint8."""
    return [np.repeat(cuts[kind][way][None], frames, 0) for kind in ASKED]


def ask(model: ClipModel, clips: Iterable[np.ndarray]) -> np.ndarray:
    """Logits of clips (F, S, S, 3) uint8, float64 (N, C)."""
    given, out = list(clips), []
    for start in range(0, len(given), BATCH):
        batch = torch.from_numpy(np.stack(given[start : start + BATCH])).permute(0, 1, 4, 2, 3).contiguous()
        with torch.inference_mode():
            out.append(model(prepare(batch, model.input_spec)).double())
    return torch.cat(out).numpy()
