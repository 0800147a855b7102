"""The head: which triangles of the base mesh it keeps, its shape offsets, and how it follows the head's bone."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from dferlib.makefaces.assets import Part
from dferlib.makefaces.baking.source import Obj, Source

GROUPS = {
    "body": Part.SKIN,
    "helper-l-eye": Part.LEFT_EYE,
    "helper-r-eye": Part.RIGHT_EYE,
    "helper-tongue": Part.TONGUE,
    "helper-upper-teeth": Part.TEETH,
    "helper-lower-teeth": Part.TEETH,
    "helper-l-eyelashes-1": Part.LASHES,
    "helper-l-eyelashes-2": Part.LASHES,
    "helper-r-eyelashes-1": Part.LASHES,
    "helper-r-eyelashes-2": Part.LASHES,
    "helper-hair": Part.LONG_HAIR,
}
BELOW, BESIDE = 0.44, 0.24  # metres of body kept below the top of the head, and to each side: shoulders, no arms
SEXES, AGES = ("male", "female"), ("child", "young", "old")
WEIGHTS = ("minweight", "averageweight", "maxweight")
ANCESTRIES = ("african", "asian", "caucasian")
HEIGHTS, PROPORTIONS = ("minheight", "maxheight"), ("idealproportions", "uncommonproportions")
PLACES = ("cheek", "chin", "ear", "eyebrows", "eye", "forehead", "head", "mouth", "nose", "neck")
LEAST = 2e-4  # metres: local changes that move no vertex farther are not seen
NECK = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75}  # how much each bone of the neck follows the head
PIVOT = "neck03"


def triangles_of(mesh: Obj) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The head's triangles, as they lie in the base mesh.

    Returns:
        triangles: (M, 3) vertices.
        places: (M, 3) texture coordinates.
        part: (M,) values of `Part`.
    """
    quads, places, part = [], [], []
    floor = mesh.vertices[:, 2].max() - BELOW
    for group, which in GROUPS.items():
        corners = mesh.vertices[mesh.quads[group]]
        kept = np.ones(len(corners), bool)
        if which == Part.SKIN:
            kept = (corners[..., 2].min(1) > floor) & (np.abs(corners[..., 0]).max(1) < BESIDE)
        quads.append(mesh.quads[group][kept])
        places.append(mesh.quad_places[group][kept])
        part.append(np.full(kept.sum(), which, np.uint8))
    halves = ([0, 1, 2], [0, 2, 3])
    corners, where = (np.concatenate([np.concatenate(x)[:, half] for half in halves]) for x in (quads, places))
    real = (corners != np.roll(corners, 1, 1)).all(1)  # some quadrilaterals are triangles with a corner named twice
    return corners[real], where[real], np.concatenate(part * 2)[real]


def identities(source: Source, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Sex, age and weight ("u:"), with muscle, height and proportions at their middle; then ancestry ("r:")."""
    folder = "mpfb2/targets/macrodetails"

    def target(name: str) -> np.ndarray:
        return source.target(f"{folder}/{name}.target.gz", count)

    for sex, age, weight in product(SEXES, AGES, WEIGHTS):
        who = f"{sex}-{age}-averagemuscle-{weight}"
        ways = [f"height/{who}-{end}" for end in HEIGHTS] + [f"proportions/{who}-{end}" for end in PROPORTIONS]
        yield f"u:{sex}-{age}-{weight}", target(f"universal-{who}") + sum(0.5 * target(way) for way in ways)
    for ancestry, sex, age in product(ANCESTRIES, SEXES, AGES):
        yield f"r:{ancestry}-{sex}-{age}", target(f"{ancestry}-{sex}-{age}")


def local_changes(source: Source, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Changes of one feature each ("l:"), in pairs: more of it, less of it."""
    starts = tuple(side + place for side in ("", "l-", "r-") for place in PLACES)
    for folder, about in source.json("mpfb2/targets/target.json").items():
        ends = [category["opposites"] for category in about["categories"] if "opposites" in category]
        for opposites, side, way in product(ends, ("left", "right", "unsided"), ("positive", "negative")):
            name = opposites[f"{way}-{side}"]
            if name.startswith(starts):
                yield f"l:{name}", source.target(f"mpfb2/targets/{folder}/{name}.target.gz", count)


def facial_actions(source: Source, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """The 52 face units ("f:"), in the order of their names."""
    folder = "faceunits01/targets/faceunits"
    for name in source.names(folder):
        yield f"f:{name}", source.target(f"{folder}/{name}.target", count)


def follows_head(source: Source, count: int) -> np.ndarray:
    """(count,) how much each vertex follows when the head turns: the weights of the bones that do."""
    bones = source.json("mpfb2/rigs/standard/rig.default.json")
    weights = source.json("mpfb2/rigs/standard/weights.default.json")["weights"]
    total, following = np.zeros(count), np.zeros(count)
    for bone in bones:
        vertices, weight = np.array(weights.get(bone) or np.zeros((0, 2))).T
        above = bone
        while above and above != "head":
            above = bones[above]["parent"]
        share = 1.0 if above == "head" else NECK.get(bone, 0.0)
        np.add.at(total, vertices.astype(int), weight)
        np.add.at(following, vertices.astype(int), share * weight)
    return following / np.maximum(total, 1e-12)


def bake_head(source: Source) -> dict[str, np.ndarray]:
    """The arrays of `head.npz`, see `assets.Head`. `base` says which vertex of the base mesh each of its V is."""
    mesh = source.base()
    count = len(mesh.vertices)
    corners, places, part = triangles_of(mesh)
    used, triangles = np.unique(corners, return_inverse=True)
    names, shapes = [], []
    for find in (identities, local_changes, facial_actions):
        for name, offsets in find(source, count):
            if name[0] != "l" or np.linalg.norm(offsets[used], axis=1).max() > LEAST:
                names.append(name)
                shapes.append(offsets[used].astype(np.float16))
    pivot = source.json("mpfb2/rigs/standard/rig.default.json")[PIVOT]["head"]["vertex_indices"]
    return {
        "V": mesh.vertices[used].astype(np.float32),
        "tri": triangles.reshape(-1, 3).astype(np.int32),
        "tuv": mesh.places[places].astype(np.float32),
        "part": part,
        "B": np.stack(shapes),
        "labels": np.array(names),
        "wv": follows_head(source, count)[used].astype(np.float32),
        "pivot": mesh.vertices[pivot].mean(0),
        "base": used,
    }
