"""Are rendered faces shaped as people's? Fifteen distances of photographed people, of MakeFaces', and of freely shaped.

MakeFaces draws the proportions of a face as they were in the first 25 people of the London set. Here its people are
compared with the others, and so are faces that the mesh gives when nobody tells it how people are made. All are at
rest and seen from the front; dlib's landmarks are measured on all pictures by the same code. The table goes to
results/face_shapes.csv: means and standard deviations in distances between the eyes. How light each photographed face
is, as a mean grey value from 0 to 255, goes to results/face_lightness.csv.

pip install "dferlib[faces,face-weights]"; python -m benchmarks.face_shapes --photos london      (ten minutes)
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.real_faces import PHOTOS
from dferlib.evidence.lacks import at_rest, free_shape
from dferlib.files import written_whole
from dferlib.makefaces.portrait import PEOPLE
from dferlib.makefaces.proportions import groups_of
from dferlib.makefaces.realism.__main__ import FITTED, ROUNDS
from dferlib.makefaces.realism.comparing import composed
from dferlib.makefaces.realism.distances import DISTANCES, face_distances
from dferlib.makefaces.realism.light import light_measures
from dferlib.makefaces.realism.photographs import MEASURED, find_all, find_one, read_people, read_photographs
from dferlib.makefaces.realism.rendered import HALF_WIDTH, PIXELS, who

RESULTS = Path(__file__).parents[1] / "results"


def measured(person: int) -> dict[str, np.ndarray]:
    """The distances of somebody at rest, shaped as people are and freely; nothing where no face is found."""
    torch.set_num_threads(1)
    identity = who(person)
    faces = {"shaped": identity, "free": free_shape(identity, np.random.default_rng([PEOPLE, person, 2]))}
    found = {name: find_one(at_rest(face, PIXELS, HALF_WIDTH)) for name, face in faces.items()}
    return {name: face_distances(face[0][None])[0] for name, face in found.items() if face is not None}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="NUMBER_neutral.jpg, and people.csv")
    parser.add_argument("--people", type=int, default=200, help="how many rendered people")
    given = parser.parse_args(arguments)
    faces = find_all(read_photographs(given.photos))
    traits = read_people(given.photos).loc[faces.who][MEASURED:]
    real = face_distances(faces.points)[MEASURED:]
    wanted = np.concatenate([np.ones((len(traits), 1)), traits[["male", "african", "asian"]].to_numpy()], 1)
    table = pd.DataFrame({"real": real.mean(0), "real sd": real.std(0, ddof=1)}, pd.Index(DISTANCES, name="distance"))
    first = ROUNDS * FITTED  # the people before were rendered to fit the proportions
    drawn = {person: measured(person) for person in tqdm(range(first, first + given.people), "people", leave=False)}
    for name in ("shaped", "free"):
        there = {person: row[name] for person, row in drawn.items() if name in row}
        groups = np.stack([groups_of(who(person).female, who(person).ancestry) for person in there])
        rows = composed(np.stack(list(there.values())), groups, wanted)
        table[name], table[f"{name} sd"] = rows.mean(0), rows.std(0, ddof=1)
    print(table.round(3).to_string())
    light = pd.Series(light_measures(faces.aligned)[:, 0], pd.Index(faces.who, name="person"), name="lightness")
    for name, found in {"face_shapes": table.round(4), "face_lightness": light.round(1)}.items():
        with written_whole(RESULTS / f"{name}.csv") as temporary:
            found.to_csv(temporary)


if __name__ == "__main__":
    main()
