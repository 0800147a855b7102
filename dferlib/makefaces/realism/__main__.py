"""Compare rendered people with photographed ones; fit the generator to them.

    python -m dferlib.makefaces.realism london                  tables and a picture go to the folder "realism"
    python -m dferlib.makefaces.realism london --fit            and the generator is fitted anew first

The folder has photographs named as in the Face Research Lab London Set, and its `people.csv`. The first 25 people set
the figures; it says how near MakeFaces comes to these, to all others, and to both together. In each comparison men and
ancestries count as they do among the photographed.
"""

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from dferlib.files import written_whole
from dferlib.makefaces.proportions import Proportions, groups_of, load_proportions
from dferlib.makefaces.realism.comparing import compare, composed, correlation_gap, within, write
from dferlib.makefaces.realism.distances import DISTANCES, face_distances
from dferlib.makefaces.realism.fitting import correct, fit
from dferlib.makefaces.realism.light import MEASURES, light_measures
from dferlib.makefaces.realism.photographs import MEASURED, find_all, read_people, read_photographs
from dferlib.makefaces.realism.rendered import for_each, frame_of_a_clip, landmarks_at_rest, who

ASSET = Path(__file__).parents[1] / "assets" / "proportions.npz"
FITTED, COMPARED = 500, 200  # people rendered for each round of the fit, and for the comparison: others
FITS, ROUNDS = 2, 5  # the first rounds fit, those after them correct
LEAST_PEOPLE = 8  # photographed, of a group that is compared by itself


def main(arguments: list[str] | None = None) -> None:
    """Do what the head of this module says."""
    parser = argparse.ArgumentParser(prog="python -m dferlib.makefaces.realism", description=(__doc__ or ""))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("photographs", type=Path, help="folder of NUMBER_neutral.jpg and people.csv")
    parser.add_argument("--fit", action="store_true", help="fit the generator to the first 25 people before")
    parser.add_argument("--people", type=int, default=COMPARED, help="how many rendered people to compare")
    parser.add_argument("--out", type=Path, default=Path("realism"), help="folder of the tables and the picture")
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    given = parser.parse_args(arguments)
    faces = find_all(read_photographs(given.photographs))
    traits = read_people(given.photographs).loc[faces.who]
    real = face_distances(faces.points)
    measured = np.arange(len(real)) < MEASURED
    if given.fit:
        renew(traits[measured], real[measured], given.workers)
    people = range(ROUNDS * FITTED, ROUNDS * FITTED + given.people)
    shown = for_each(landmarks_at_rest, people, given.workers, "portraits")
    rendered = face_distances(np.stack(list(shown.values())))
    clips = for_each(frame_of_a_clip, people, given.workers, "clips")
    lit, light = light_measures(np.stack(list(clips.values()))), light_measures(faces.aligned)
    parts = {"all photographs": measured | True, f"the first {MEASURED}": measured, "the others": ~measured}
    belong = np.stack([groups_of(who(p).female, who(p).ancestry) for p in shown])
    counted = np.concatenate([np.ones((len(traits), 1)), traits[["male", "african", "asian"]].to_numpy()], 1)
    for name, part in parts.items():
        report(
            f"{name} ({part.sum()} people)", compare(DISTANCES, real[part], composed(rendered, belong, counted[part]))
        )
        print(f"correlations differ by {correlation_gap(real[part], rendered):.2f} (root mean square)\n")
    alike = composed(rendered, belong, counted)
    tables = {"distances": compare(DISTANCES, real, alike), "light": compare(MEASURES, light, lit)}
    report("light, all photographs", tables["light"])
    for name, (photographed, drawn) in groups(traits, list(shown)).items():
        if photographed.sum() >= LEAST_PEOPLE:
            report(
                f"{name} ({photographed.sum()} photographed)", compare(DISTANCES, real[photographed], rendered[drawn])
            )
    write(tables, given.out)
    print(f"the tables and the picture are in {given.out}")


def groups(traits: pd.DataFrame, rendered: list[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Women, men and those of one ancestry: who belongs to them among the photographed and the rendered people."""
    people = [who(person) for person in rendered]
    female, share = np.array([p.female for p in people]), np.stack([p.ancestry for p in people])
    caucasian = (traits["african"] + traits["asian"] == 0).to_numpy()
    return {
        "women": ((traits["male"] == 0).to_numpy(), female > 0.5),
        "men": ((traits["male"] == 1).to_numpy(), female < 0.5),
        "african": ((traits["african"] == 1).to_numpy(), share[:, 0] > 0.5),
        "asian": ((traits["asian"] == 1).to_numpy(), share[:, 1] > 0.5),
        "caucasian": (caucasian, share[:, 2] > 0.5),
    }


def report(title: str, table: pd.DataFrame) -> None:
    """Print a table, and how many of its measures agree."""
    agree = within(table)
    print(f"{title}: {agree.sum()} of {len(table)} within the bounds")
    print(table.assign(agrees=agree.map({True: "", False: "no"})).round(3).to_string(), flush=True)


def renew(traits: pd.DataFrame, real: np.ndarray, workers: int) -> None:
    """Fit `assets/proportions.npz`: to people drawn freely, to those drawn from what was found, and correct it.

    What was there stays if this is stopped before its end.
    """
    before = ASSET.read_bytes() if ASSET.exists() else None
    ASSET.unlink(missing_ok=True)
    try:
        for turn in range(ROUNDS):
            load_proportions.cache_clear()
            people = range(turn * FITTED, (turn + 1) * FITTED)
            shown = for_each(landmarks_at_rest, people, workers, f"round {turn + 1} of {ROUNDS}")
            rendered = face_distances(np.stack(list(shown.values())))
            everyone, known = [who(person) for person in shown], load_proportions()
            if known is None or turn < FITS:
                found = fit(everyone, rendered, traits, real)
            else:
                found = correct(known, everyone, rendered, traits, real)
            save(found)
    except BaseException:
        if before is not None:
            ASSET.write_bytes(before)
        raise
    finally:
        load_proportions.cache_clear()


def save(found: Proportions) -> None:
    """Write the asset."""
    with written_whole(ASSET) as path, path.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, **{f.name: getattr(found, f.name).astype(np.float32) for f in fields(found)}
        )


if __name__ == "__main__":
    main()
