"""The record of `benchmarks.map_scores`, and clips under their heat maps, as a chapter asks for them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dferlib.book.asked import AskedRecord
from dferlib.book.explorers import Interactive
from dferlib.book.playing import Heat, player
from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import center_crop, prepare, resize, stored_size
from dferlib.errors import choose
from dferlib.evidence.changed import draw_take, render_motion, render_take
from dferlib.evidence.flips import over_people
from dferlib.evidence.map_scores import as_seen
from dferlib.evidence.statistics import Interval
from dferlib.makefaces.render import Actor
from dferlib.models.base import ClipModel


class MapScores(AskedRecord):
    """The scores of every kind of map, for every model and P people, and those of the controls.

    Args:
        folder: of the record; `results/map_scores` of the project if not given.

    Attributes:
        people: a row for each of P people: number and label.
        models: names of the models.
        volumes: those among them that convolve over time as well as space.
        kinds: of maps.
        controls: maps that ask no model.
        scores: names of the scores.
        cascade: down to where weights are drawn anew.

    Raises:
        InputError: there is no record.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__("map_scores", folder)
        self.people = pd.DataFrame(self.about["people"])
        self.kinds, self.controls, self.scores, self.cascade = (
            tuple(self.about[name]) for name in ("kinds", "controls", "scores", "cascade")
        )
        self._files = {one["name"]: one["file"] for one in self.about["models"]}
        self.models = tuple(self._files)
        self.volumes = tuple(one["name"] for one in self.about["models"] if one.get("is_volume"))
        self._read = cache(self._load)

    def _load(self, model: str) -> dict[str, np.ndarray]:
        return self.load(self._files[choose("model", model, self._files)])

    def having(self, kind: str, score: str = "energy") -> tuple[str, ...]:
        """The models for which a kind of map, or a control, has a score."""
        return tuple(name for name in self.models if np.isfinite(self._of(kind, score, name, "trained")).any())

    def each(self, kind: str, score: str, *models: str, weights: str = "trained") -> np.ndarray:
        """A score for each person, the mean over the models that have it.

        Args:
            kind: of map, or the name of a control.
            score: one of `scores`.
            models: names; all if none is given.
            weights: "trained", or "chance" where all weights are drawn by chance.

        Returns:
            (P,), nan for people of whom no such map was made.
        """
        names = [name for name in models or self.models if name in self.having(kind, score)]
        return np.mean([self._of(kind, score, name, weights) for name in names], 0)

    def mean(self, kind: str, score: str, *models: str, weights: str = "trained") -> Interval:
        """The mean of `each` over people, with its interval over people."""
        return over_people(self.each(kind, score, *models, weights=weights))

    def gain(self, kind: str, score: str, *models: str) -> Interval:
        """How much the score of trained weights is above that of weights drawn by chance, person by person."""
        return over_people(self.each(kind, score, *models) - self.each(kind, score, *models, weights="chance"))

    def above(self, kind: str, control: str, score: str, *models: str) -> Interval:
        """How much the score of a kind of map is above that of a control, person by person, on the same models."""
        names = [name for name in models or self.models if name in self.having(kind, score)]
        return over_people(self.each(kind, score, *names) - self.each(control, score, *names))

    def alike(self, kind: str, step: str, *models: str) -> Interval | None:
        """The rank correlation of maps with those of the trained model, where weights are drawn anew down to a step.

        Where nobody was asked there is none.
        """
        column = self.cascade.index(choose("step", step, self.cascade))
        names = [name for name in models or self.models if name in self.having(kind)]
        each = np.mean([self._read(name)["alike"][:, self.kinds.index(kind), column] for name in names], 0)
        each = each[np.isfinite(each)]
        if not len(each):
            return None
        # maps that no part of the drawn weights touches are the same for everybody
        return Interval(each[0], each[0], each[0]) if np.ptp(each) < 1e-6 else over_people(each)

    def area(self) -> Interval:
        """The part of the clip that moves: what the hottest pixel of a map without any knowledge would score."""
        return over_people(np.mean([self._read(name)["area"][:, 0] for name in self.models], 0))

    def _of(self, kind: str, score: str, model: str, weights: str) -> np.ndarray:
        column = self.scores.index(choose("score", score, self.scores))
        if kind in self.controls:
            return self._read(model)["controls"][:, self.controls.index(kind), column]
        return self._read(model)[weights][:, self.kinds.index(choose("kind of map", kind, self.kinds)), column]


def seen_by(model: ClipModel, number: int, emotion: str | None = None) -> tuple[np.ndarray, torch.Tensor, np.ndarray]:
    """Somebody's clip as a model sees it, and where the face moves in it.

    Args:
        model: whose input decides frames and pixels.
        number: of the person, see `draw_take`.
        emotion: what the person shows, if not the class of the number.

    Returns:
        shown: (F, 3, H, W) uint8, for people to look at.
        clip: (F, 3, H, W) normalised.
        motion: (F, H, W) metres.
    """
    take = draw_take(number, emotion=emotion)
    actor, spec = Actor(take.person, take.size), model.input_spec
    stored = render_take(take, actor)
    stored = stored[segment_indices(len(stored), spec.frames)]
    frames = torch.from_numpy(stored)[None]
    shown = center_crop(resize(frames, stored_size(spec.size)), spec.size)[0]
    return shown.numpy(), prepare(frames, spec)[0], as_seen(render_motion(take, actor), spec)


def under_maps(shown: np.ndarray, heats: Mapping[str, np.ndarray], alt: str, first: int = 0) -> Interactive:
    """One clip as often as there are heat maps, each under its own, in one player.

    Args:
        shown: (F, 3, H, W) uint8.
        heats: (F, H, W) by the name of the map; each is brought to a maximum of 1.
        alt: what can be seen.
        first: the frame that is shown at rest.
    """
    scaled = {name: heat / max(float(heat.max()), 1e-12) for name, heat in heats.items()}
    overlay = Heat("maps", scaled, shown=True)
    return player(dict.fromkeys(scaled, shown), (), [overlay], alt=alt, first=first, arrange="side")
