"""Clips that are made for a figure show what they are said to show."""

import numpy as np
import pytest

from dferlib.book.acting import Scene, act, play
from dferlib.errors import InputError
from dferlib.makefaces import PHASES, UNITS

F, S = 6, 48


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {name: act(name, person=3, frames=F, size=S) for name in ("happiness", "neutral")}


@pytest.mark.slow
def test_a_scene_shows_its_emotion_and_its_truth(scenes: dict[str, Scene]) -> None:
    smile, rest = scenes["happiness"], scenes["neutral"]
    assert smile.frames.shape == (F, 3, S, S) and smile.frames.dtype == np.uint8
    assert smile.landmarks.shape == (F, 68, 2) and 0 < smile.landmarks.mean() < S
    assert "AU12" in smile.strongest() and "AU43" not in smile.strongest(len(UNITS))
    assert max(values.max() for values in smile.strongest().values()) > 0.7
    assert not rest.phases() and rest.expression.max() == 0
    moved = smile.motion.reshape(F, -1).max(1)
    assert moved[smile.expression.argmax()] > 2 * moved[smile.expression.argmin()]
    for name, where in smile.phases().items():
        assert (smile.phase[where] == PHASES.index(name)).all()


@pytest.mark.slow
def test_the_same_comes_out_again_and_others_for_another_seed(scenes: dict[str, Scene]) -> None:
    assert np.array_equal(act("happiness", person=3, frames=F, size=S).frames, scenes["happiness"].frames)
    assert not np.array_equal(act("happiness", person=3, frames=F, size=S, seed=1).units, scenes["happiness"].units)


@pytest.mark.slow
def test_scenes_play_with_their_units_and_overlays(scenes: dict[str, Scene]) -> None:
    html = play(scenes, alt="Two faces").html
    assert html.count('class="fim-sprite') == html.count('class="fim-heat') == html.count('class="fim-points"') == 2
    assert "AU12 has its peak" in html
    assert "--n:2" in html and 'aria-label="Two faces"' in html


def test_an_unknown_emotion_is_told() -> None:
    with pytest.raises(InputError, match="unknown emotion 'joy'"):
        act("joy")
