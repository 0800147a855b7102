"""Clips that are made for a figure show what they are said to show."""

import numpy as np
import pytest

from dferlib.book.acting import Scene, act, act_levels, act_task, play, take
from dferlib.emotions import EMOTIONS
from dferlib.errors import InputError
from dferlib.makefaces import DIFFICULTIES, PHASES, TASKS, UNITS, MakeFaces

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


def test_what_is_no_emotion_of_the_data_set_has_no_levels() -> None:
    with pytest.raises(InputError, match="unknown emotion 'contempt'"):
        act_levels("contempt")


@pytest.mark.slow
def test_the_second_class_of_a_task_is_the_first_backwards() -> None:
    one, other = (act_task("onset", person=5, frames=20, size=32, seed=1)[name] for name in TASKS["onset"])
    for name, value in vars(one).items():
        if name not in ("phase", "seconds"):
            assert np.array_equal(value, getattr(other, name)[::-1]), name
    # the first smile rises slowly: more frames of onset than of offset; backwards it is the other way round
    onset, offset = (PHASES.index(name) for name in ("onset", "offset"))
    assert (one.phase == onset).sum() > 2 * (one.phase == offset).sum() > 0
    assert (other.phase == offset).sum() > 2 * (other.phase == onset).sum() > 0
    for scene in (one, other):
        rise = np.diff(scene.expression).clip(min=0)
        assert rise[scene.phase[1:] == onset].sum() > 0.8 * rise.sum() > 0  # backwards, the apex lies between frames


@pytest.mark.slow
def test_levels_show_one_person_weaker_and_weaker() -> None:
    scenes = act_levels("anger", person=4, seed=2)
    assert tuple(scenes) == tuple(DIFFICULTIES)
    assert {scene.frames.shape for scene in scenes.values()} == {(16, 3, 128, 128)}
    easy, standard, hard = scenes.values()
    assert np.array_equal(easy.phase, standard.phase) and np.array_equal(easy.phase, hard.phase)
    apex = easy.phase == PHASES.index("apex")
    brows = [scene.units[apex, UNITS.index("AU4")].mean() for scene in (easy, standard, hard)]
    assert brows[0] > brows[1] > brows[2] > 0.2
    assert 0.002 < easy.motion.max() < 0.03  # metres
    assert "AU4" in play(scenes, heat=True, alt="One face at three levels").html


@pytest.mark.slow
def test_a_clip_of_the_data_set_is_taken_with_its_truth() -> None:
    source = MakeFaces("val", "mini", progress=False)
    clip = int(np.flatnonzero(source.table.labels == EMOTIONS.index("surprise"))[0])
    scene, truth = take(source, clip), source.truth(clip)
    assert np.array_equal(scene.frames, source.read(clip))
    assert np.array_equal(scene.motion, source.motion(clip))
    for name in ("units", "expression", "phase", "landmarks"):
        assert np.array_equal(getattr(scene, name), truth[name])
