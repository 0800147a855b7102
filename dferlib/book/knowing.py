"""The record of `benchmarks.features`, as sentences and figures of a chapter ask for it, and layouts to choose from."""

import html
from functools import cache
from pathlib import Path

import numpy as np

from dferlib.book.asked import AskedRecord
from dferlib.book.controls import choice, said
from dferlib.book.explorers import Interactive, explorer
from dferlib.emotions import COLOURS, EMOTIONS
from dferlib.errors import choose
from dferlib.evidence.class_distances import class_ratio, silhouette
from dferlib.evidence.drawn import Drawn, mean_of
from dferlib.evidence.linear_probes import explained
from dferlib.evidence.planes import clumping, same_class, shared_neighbours
from dferlib.evidence.statistics import Interval
from dferlib.evidence.time_scores import mean_over_people

MEASURES = {"ratio": class_ratio, "silhouette": silhouette}
BEFORE, SHUFFLED = ", before", ", shuffled"


class KnownFeatures(AskedRecord):
    """What features know of the test clips of MakeFaces.

    Args:
        folder: of the record; `results/features` of the project if not given.

    Attributes:
        labels: (N,) the class of each clip.
        groups: (N,) who is seen.
        traits: names of the traits, by kind.
        models: names of the models that were probed.
        seeds: of the STTs that learnt with either loss.

    Raises:
        InputError: there is no record.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__("features", folder)
        self.labels, self.groups = np.array(self.about["labels"]), np.array(self.about["groups"])
        self.traits: dict[str, list[str]] = self.about["traits"]
        self._names = [name for names in self.traits.values() for name in names]
        self.models = tuple(one["name"] for one in self.about["models"])
        self.seeds = tuple(sorted({one["seed"] for one in self.about["losses"]}))
        self._errors, self._spaces, self._planes = (self.load(f"{it}.npz") for it in ("probes", "features", "planes"))
        self.apart, self.kept = cache(self._apart), cache(self._kept)

    def known(self, name: str, *traits: str) -> Drawn:
        """How much of the variance of a trait, or the mean of several, is read from features, see `explained`.

        Args:
            name: a model; "STT, before" is STT before it was trained; "backbone, each place", "backbone, mean",
                "random weights" or "the label alone". With ", shuffled" the traits are those of other people.
            traits: their names, or a kind of them such as "who is seen".
        """
        wanted = [one for trait in traits for one in self.traits.get(trait, [trait])]
        columns = [self._names.index(choose("trait", one, self._names)) for one in wanted]
        spread = self._errors["shuffled spread" if name.endswith(SHUFFLED) else "spread"]
        return explained(self._errors[choose("model", name, self._errors)][:, columns], spread[:, columns])

    def gained(self, name: str, *traits: str) -> Interval:
        """How much more is read of a trait after training than before."""
        return (self.known(name, *traits) - self.known(f"{name}{BEFORE}", *traits)).interval()

    def space(self, name: str) -> np.ndarray:
        """Rounded features (N, D): "cross entropy, 0", "compact loss, 0" and so on, "STT, before", "random weights"."""
        return self._spaces[choose("space", name, self._spaces)]

    def _apart(self, name: str, measure: str = "ratio", only: str = "") -> Drawn:
        """How far apart the classes are in a space, by the "ratio" of distances or the "silhouette"; or `only` one."""
        number = EMOTIONS.index(only) if only else None
        of = MEASURES[choose("measure", measure, MEASURES)]
        return of(self.space(name), self.labels, self.groups, number)

    def loss_gap(self, measure: str, only: str = "", seed: int | None = None) -> Interval:
        """How much farther apart the compact loss has the classes than cross entropy: of a seed, or the mean of all."""
        seeds = self.seeds if seed is None else (seed,)
        both = [
            self.apart(f"compact loss, {s}", measure, only) - self.apart(f"cross entropy, {s}", measure, only)
            for s in seeds
        ]
        return mean_of(both).interval()

    @property
    def layouts(self) -> tuple[str, ...]:
        """The names of the layouts: "trained, 30, 0" has perplexity 30 and seed 0; or "trained, PCA"."""
        return tuple(self._planes)

    def plane(self, name: str) -> np.ndarray:
        """A layout (N', 2) of the first N' clips, in the middle of a square of 1000."""
        found = self._planes[choose("layout", name, self._planes)]
        return found + (1000 - np.ptp(found, 0)) / 2

    def laid_out(self, name: str) -> np.ndarray:
        """The features (N', D) that a layout shows."""
        of = name.split(",")[0]
        count = len(self.plane(name))
        if of == "noise":
            return np.random.default_rng(0).normal(size=(count, 128))
        return self.space({"trained": "cross entropy, 0"}.get(of, of))[:count]

    def _kept(self, name: str) -> np.ndarray:
        return shared_neighbours(self.plane(name), self.laid_out(name))

    def of_people(self, values: np.ndarray) -> Interval:
        """The mean over people of a number of each clip in a layout (N',)."""
        people = self.groups[: len(values)]
        return mean_over_people(np.array([values[people == who].mean() for who in np.unique(people)]))

    def between_seeds(self, space: str, perplexity: int) -> Interval:
        """Which part of the nearest neighbours in one layout are so in another that differs in nothing but the seed."""
        planes = [self.plane(f"{space}, {perplexity}, {seed}") for seed in range(self.about["seeds"])]
        pairs = [(one, other) for k, one in enumerate(planes) for other in planes[:k]]
        return self.of_people(np.mean([shared_neighbours(*pair) for pair in pairs], 0))

    def clumped(self, space: str, perplexity: int) -> float:
        """How clumped the points of a layout are, the mean over seeds; see `clumping`."""
        return float(np.mean([clumping(self.plane(f"{space}, {perplexity}, {s}")) for s in range(self.about["seeds"])]))


def leaf_through(record: KnownFeatures, alt: str) -> Interactive:
    """Layouts of the same clips that can be chosen by what they show, by perplexity and by seed.

    Args:
        record: that has them.
        alt: what it shows.
    """
    spaces = list(dict.fromkeys(name.split(", ")[0] for name in record.layouts))
    ways = [("PCA", "PCA"), *((str(p), f"t-SNE, perplexity {p}") for p in record.about["perplexities"])]
    count = len(record.plane(record.layouts[0]))
    told = {}
    for name in record.layouts:
        plane = record.plane(name)
        mine = same_class(plane, record.labels[:count]).mean()
        told[name] = [round(100 * record.kept(name).mean()), round(100 * mine)]
    data = {
        "labels": record.labels[:count].tolist(),
        "colours": list(COLOURS.values()),
        "planes": {name: record.plane(name).astype(int).ravel().tolist() for name in record.layouts},
        "told": told,
    }
    chosen = "30"
    body = (
        '<div class="fim-live fim-plane"></div>'
        + "".join(_still(record, name) for name in (f"{one}, {chosen}, 0" for one in spaces))
        + f'<ul class="fim-classes">{"".join(_class(name) for name in EMOTIONS)}</ul><div class="fim-live">'
        + choice("space", "Features", [(one, one) for one in spaces])
        + choice("way", "Layout", ways, chosen)
        + choice("seed", "Seed", [(str(k), str(k)) for k in range(record.about["seeds"])])
        + f"</div>{said()}"
    )
    return explorer(body, data, "planes", alt=alt)


def _class(name: str) -> str:
    return f'<li style="--c:{COLOURS[name]}">{html.escape(name)}</li>'


def _still(record: KnownFeatures, name: str) -> str:
    """One layout, where scripts are off."""
    dots = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="9" fill="{COLOURS[EMOTIONS[label]]}"/>'
        for (x, y), label in zip(record.plane(name), record.labels, strict=False)
    )
    return (
        f'<figure class="fim-still"><svg viewBox="-10 -10 1020 1020" aria-hidden="true">{dots}</svg>'
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
    )
