"""The record of `benchmarks.one_thing_changed`, as the sentences and figures of a chapter ask for it."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dferlib.book.asked import AskedRecord
from dferlib.book.explorers import Interactive
from dferlib.book.panels import Bars
from dferlib.book.playing import player
from dferlib.data.sampling import segment_indices
from dferlib.data.transforms import prepare
from dferlib.emotions import EMOTIONS
from dferlib.errors import choose
from dferlib.evidence.changed import CHANGES, draw_take, render_take
from dferlib.evidence.flips import Answers, over_people
from dferlib.evidence.statistics import Interval
from dferlib.models.base import ClipModel

Asked = Callable[[Answers], np.ndarray]  # from what a model says, a number for each of P people


class OneThing(AskedRecord):
    """What every model says of everybody's clip, as it is drawn and with one thing changed.

    Args:
        folder: of the record; `results/one_thing_changed` of the project if not given.

    Attributes:
        people: a row for each of P people: number, label, and what `Identity.summary` says.
        models: names of the models.
        treatments: names of the ways in which STT has learnt, "plain" among them; each has several seeds.

    Raises:
        InputError: there is no record.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__("one_thing_changed", folder)
        self.people = pd.DataFrame(self.about["people"])
        self._files: dict[str, list[str]] = {}
        for one in self.about["models"]:
            self._files.setdefault(one["name"], []).append(one["file"])
        self.models = tuple(one["name"] for one in self.about["models"] if not one["treatment"])
        self.treatments = tuple(dict.fromkeys(one["name"] for one in self.about["models"] if one["treatment"]))
        self.answers = cache(self._read)

    def _read(self, name: str) -> list[Answers]:
        """What a model says, one for each seed."""
        pairs = {change: tuple(pair) for change, pair in self.about["pairs"].items()}
        labels, classes = self.people["label"].to_numpy(), tuple(self.about["classes"])
        files = self._files[choose("model", name, self._files)]
        return [Answers(self.load(file)["logits"], labels, pairs, classes) for file in files]

    def each(self, what: Asked, *names: str) -> np.ndarray:
        """A number for each person, (P,), the mean over models and seeds: of all `models` if none is named."""
        return np.mean([what(one) for name in names or self.models for one in self.answers(name)], 0)

    def mean(self, what: Asked, *names: str) -> Interval:
        """The mean over people, with its interval over people; of all `models` if none is named."""
        return over_people(self.each(what, *names))


@torch.inference_mode()
def so_far(model: ClipModel, clip: np.ndarray) -> np.ndarray:
    """What a model says of a clip that ends at each of its frames.

    Args:
        model: ready to evaluate.
        clip: (F, 3, S, S) uint8.

    Returns:
        (F, C) probabilities. The last row is its answer to the whole clip; before, few frames stand for many.
    """
    spec = model.input_spec
    seen = np.stack([clip[segment_indices(end, spec.frames)] for end in range(1, len(clip) + 1)])
    return model(prepare(torch.from_numpy(seen), spec)).softmax(1).numpy()


def side_by_side(model: ClipModel, number: int, change: str, names: tuple[str, str], most: int = 3) -> Interactive:
    """Somebody's clip before and after a change, and the model's answers as the clip goes on.

    Args:
        model: who is asked.
        number: of the person.
        change: one of `CHANGES`.
        names: what the two clips are called.
        most: how many classes are shown: those that are most probable at the end of either.
    """
    one = CHANGES[choose("change", change, CHANGES)]
    clips = [render_take(draw_take(number, edit)) for edit in (one.before, one.after)]
    said = [so_far(model, clip) for clip in clips]
    order = np.argsort(-np.maximum(said[0][-1], said[1][-1]), kind="stable")[:most]
    bars: Mapping[str, Mapping[str, np.ndarray]] = {
        name: {EMOTIONS[k]: rows[:, k] for k in sorted(order)} for name, rows in zip(names, said, strict=True)
    }
    last = len(clips[0]) - 1
    shown = EMOTIONS[number % len(EMOTIONS)]
    ends = "; ".join(
        f"{name}: {EMOTIONS[int(rows[-1].argmax())]}, {100 * rows[-1].max():.0f} percent"
        for name, rows in zip(names, said, strict=True)
    )
    return player(
        dict(zip(names, clips, strict=True)),
        [Bars("the answer so far", bars, first=last)],
        alt=f"The same clip of {shown} twice, with one thing changed. At the end the model says of {ends}.",
        first=last,
    )
