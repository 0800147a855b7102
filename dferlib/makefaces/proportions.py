"""The proportions of a face: local changes of its shape, drawn so that a face at rest measures what people's do.

A person's local changes, among them how high the brows grow, are drawn freely first. Their fifteen distances
(`realism.distances`) follow from them almost linearly. Then distances are drawn as people have them, all together, and
the changes moved towards these, as far as a likely face allows: the step weighs what a distance misses against how
unusual a change is, in units of its spread, and only `DECISIVE` changes are moved. Demanding every distance of each
face to the last digit takes changes of five times their spread, and such faces scowl.

`assets/proportions.npz` holds what this needs, from rendered people and from photographs of 25 others:
`python -m dferlib.makefaces.realism --fit` writes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

AGES = ("child", "young", "old")  # the corners of the mesh's age axis, at 1/3, 2/3 and 1
WEIGHTS = ("minweight", "averageweight", "maxweight")
LARGEST = 1.0  # of a local change: what its author drew
UNEVEN = 0.3  # of a local change's spread: by how much its two sides differ from their mean
BROW_POINTS = ("inner end", "middle", "outer end")
# metres: how much higher the hair of the whole brow grows, of its inner end, and of its middle
BROW_SPREADS, BROW_MOVES = (2.2e-3, 0.8e-3, 0.9e-3), np.array([[1, 1, 1], [1, 0, -1], [-0.5, 1, -0.5]])
BROW_UNEVEN, LARGEST_LIFT = 0.5e-3, 6.5e-3  # metres: by how much one side differs, and the most there is
# the spread of the changes that decide the distances: what people differ by, and no part alone looks odd
DECISIVE = {
    change: spread
    for spread, part, changes in (
        (0.3, "eyebrows", ("trans-up", "trans-forward")),
        (0.3, "eye", ("height1-incr", "height2-incr", "height3-incr", "scale-incr", "push2-out")),
        (0.2, "eye", ("trans-out",)),
        (0.25, "nose", ("scale-vert-incr", "trans-up")),
        (0.3, "nose", ("scale-horiz-incr", "width3-incr")),
        (0.25, "mouth", ("scale-horiz-incr", "upperlip-width-incr", "trans-up", "angles-up")),
        (0.25, "mouth", ("upperlip-volume-incr", "lowerlip-volume-incr")),
        (0.35, "mouth", ("upperlip-height-incr", "lowerlip-height-incr", "scale-vert-incr")),
        (0.3, "chin", ("height-incr", "width-incr", "bones-incr")),
        (0.3, "cheek", ("volume-incr",)),
        (0.3, "head", ("fat-incr",)),
        (0.2, "head", ("scale-horiz-incr", "scale-vert-incr")),
    )
    for change in (f"{part}-{name}" for name in changes)
}
OTHERS = 0.14  # the spread of all other changes; much larger ones give caricatures

# local changes that move whole parts sideways or pull the neck about: they make monsters, not people
LEFT_OUT = (
    *("head-trans", "neck-trans", "neck-double", "nose-trans-out", "nose-trans-in"),
    *("mouth-trans-out", "mouth-trans-in", "mouth-trans-forward", "mouth-trans-backward"),
)


@dataclass(frozen=True)
class Proportions:
    """What decides the fifteen distances of a rendered face, and how people's are distributed.

    P local changes, the last of them those of `BROW_MOVES`; T traits, G groups of people.

    Attributes:
        response: (P, 15) how each distance answers to each local change.
        expected: (T, 15) what each of the traits adds.
        step: (P, 15) the local changes that are likeliest in who misses one of each distance.
        mean: (G, 15) people's distances: of all, and what each group adds; see `groups`.
        factor: (15, 15) times fifteen normal numbers: what to add for one of them.
    """

    response: np.ndarray
    expected: np.ndarray
    step: np.ndarray
    mean: np.ndarray
    factor: np.ndarray

    def apply(self, free: np.ndarray, traits: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(P,) the freely drawn changes, moved to the distances of somebody drawn from people."""
        wanted = groups @ self.mean + self.factor @ rng.normal(size=self.factor.shape[1])
        return free + self.step @ (wanted - traits @ self.expected - free @ self.response)


@lru_cache(maxsize=1)
def load_proportions() -> Proportions | None:
    """The packaged ones; None where there are none, before they are first fitted."""
    file = Path(str(files("dferlib.makefaces") / "assets" / "proportions.npz"))
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as data:
        return Proportions(**{field.name: data[field.name] for field in fields(Proportions)})


def tent(x: float, centre: float, width: float) -> float:
    """1 at the centre, 0 from `width` on."""
    return max(0.0, 1 - abs(x - centre) / width)


def traits_of(female: float, age: float, weight: float, ancestry: np.ndarray) -> np.ndarray:
    """(T,) what else decides a face's distances: sex, age, weight and ancestry, and sex together with the others."""
    old, heavy = max(0.0, (age - 2 / 3) * 3), weight - 0.5
    child = tent(age, 1 / 3, 1 / 3)
    alone = [1.0, old, child, heavy, heavy**2, *ancestry[:2], ancestry[0] * ancestry[1]]
    return np.array([*alone, *(female * value for value in alone)])


def groups_of(female: float, ancestry: np.ndarray) -> np.ndarray:
    """(G,) the groups that a person counts as: everybody, men, of African and of Asian ancestry."""
    return np.array([1.0, 1 - female, *ancestry[:2]])


def changes_of(shape_names: tuple[str, ...]) -> dict[str, str]:
    """The P kinds of local change, each by the names of its two directions, in the order of the shapes.

    Left and right go together. The two directions of a kind stand one behind the other.
    """
    change = dict.fromkeys(name[2:].removeprefix("l-").removeprefix("r-") for name in shape_names if name[:2] == "l:")
    kept = [name for name in change if not name.startswith(LEFT_OUT)]
    return dict(zip(kept[::2], kept[1::2], strict=True))


def spreads(changes: Iterable[str]) -> np.ndarray:
    """(P,) the spread of each local change where it is drawn freely; the last are those of the brows."""
    return np.array([DECISIVE.get(change, OTHERS) for change in changes] + list(BROW_SPREADS))


def decisive(changes: Iterable[str]) -> np.ndarray:
    """(P,) which local changes are moved to people's distances."""
    return np.array([change in DECISIVE for change in changes] + [True] * len(BROW_SPREADS))


def draw_shape(
    names: tuple[str, ...], female: float, age: float, weight: float, ancestry: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the shape of somebody's face.

    Args:
        names: the head's shape offsets, in order (`Head.shape_names`).
        female: see `Identity`.
        age: see `Identity`.
        weight: see `Identity`.
        ancestry: see `Identity`.
        rng: the source of every draw.

    Returns:
        (K,) weights of the shape offsets: a blend of the corner bodies, plus local changes; and (2, 3) metres by which
        the left and the right brow grow higher at each of `BROW_POINTS`. Nobody's two sides are quite alike.
    """
    changes, known = changes_of(names), load_proportions()
    spread = spreads(changes)
    amounts = rng.normal(0, spread)
    uneven = rng.normal(0, UNEVEN * spread[: len(changes)])
    brows = rng.normal(0, BROW_UNEVEN, (2, len(BROW_POINTS)))
    if known is not None:
        amounts = known.apply(amounts, traits_of(female, age, weight, ancestry), groups_of(female, ancestry), rng)
    amounts, lifts = np.split(amounts, [len(changes)])
    brows = (lifts @ BROW_MOVES + brows - brows.mean(0)).clip(-LARGEST_LIFT, LARGEST_LIFT)
    amount: dict[str, float] = {}
    for (one, other), mean, half in zip(changes.items(), amounts, uneven, strict=True):
        for side, value in (("", mean), ("l-", mean + half), ("r-", mean - half)):
            amount[side + one] = float(np.clip(value, -LARGEST, LARGEST))
            amount[side + other] = -amount[side + one]
    sex = {"male": 1 - female, "female": female}
    ages = {name: tent(age, (i + 1) / 3, 1 / 3) for i, name in enumerate(AGES)}
    heavy = {name: tent(weight, i / 2, 1 / 2) for i, name in enumerate(WEIGHTS)}
    share = dict(zip(("african", "asian", "caucasian"), ancestry, strict=True))
    out = np.zeros(len(names), dtype=np.float32)
    for k, name in enumerate(names):
        kind, rest = name[:2], name[2:]
        if kind == "u:":
            s, a, w = rest.split("-")
            out[k] = sex[s] * ages[a] * heavy[w]
        elif kind == "r:":
            r, s, a = rest.split("-")
            out[k] = share[r] * sex[s] * ages[a]
        elif kind == "l:":
            out[k] = max(0.0, amount.get(rest, 0.0))
    return out, brows.astype(np.float32)


def amounts_of(shape: np.ndarray, brows: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(P,) the local changes of a person, the mean of both sides: what `draw_shape` put into (K,) and (2, 3)."""
    row = {name[2:]: k for k, name in enumerate(names) if name[:2] == "l:"}

    def of(change: str) -> float:
        return float(np.mean([shape[row[side + change]] for side in ("", "l-", "r-") if side + change in row]))

    return np.array(
        [of(one) - of(other) for one, other in changes_of(names).items()]
        + np.linalg.solve(BROW_MOVES.T, brows.mean(0)).tolist()
    )
