"""Pairs of clips that differ in one thing: that they do, and that flips and their intervals are counted right."""

import hashlib
import importlib
import json
import re
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import bootstrap

from dferlib import EMOTIONS, create_model
from dferlib.book.changing import OneThing, side_by_side, so_far
from dferlib.data.table import ArraySource, ClipTable
from dferlib.errors import InputError
from dferlib.evidence import changed
from dferlib.evidence.changed import AS_DRAWN, CHANGES, Edit, concerns, draw_take, edits, render_edits, render_take
from dferlib.evidence.flips import Answers, between_groups, over_people
from dferlib.evidence.studies import MakeFacesClips
from dferlib.makefaces import UNITS
from dferlib.makefaces.assets import load_head
from dferlib.makefaces.generator import source_hash
from dferlib.makefaces.protocol import Version
from dferlib.models.base import ClipModel
from dferlib.training.checkpoints import save_model

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "results" / "one_thing_changed"

# what of a take may differ after a change; of the parts that have fields, which of these
DIFFERS: dict[str, dict[str, set[str]]] = {
    "grain": {"grain": set()},
    "skin tone": {"person": {"skin_tone"}},
    "age": {"person": {"age", "shape", "brow_lifts"}},
    "sex": {"person": {"female", "shape", "brow_lifts"}},
    "beard": {"person": {"beard", "moustache"}},
    "hair": {"person": {"hairstyle"}},
    "glasses": {"in_front": set()},
    "light": {"scene": {"ambient", "lamps", "exposure", "light"}},
    "background": {"scene": {"background"}},
    "camera": {"camera": {field.name for field in fields(changed.Camera)}},
    "yaw": {"pose": set()},
    "speed": {"performance": {"expression", "earlier", "phase", "timing", "units", "gaze"}},
    "strength": {"performance": {"intensity", "units"}},
    "lowered brows": {"performance": {"units"}},
}


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return one == other


def differences(one: object, other: object) -> set[str]:
    """Names of the fields in which two of a kind differ."""
    return {f.name for f in fields(one) if not same(getattr(one, f.name), getattr(other, f.name))}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_changes_one_thing_and_nothing_else(name: str) -> None:
    parts = {"person", "performance", "scene", "camera"}
    found: dict[str, set[str]] = {}
    for number in range(14):
        one, other = (draw_take(number, edit) for edit in (CHANGES[name].before, CHANGES[name].after))
        for field in fields(one):
            ours, theirs = getattr(one, field.name), getattr(other, field.name)
            if field.name in parts and differences(ours, theirs):
                found.setdefault(field.name, set()).update(differences(ours, theirs))
            elif field.name not in parts and not same(ours, theirs):
                found.setdefault(field.name, set())
    assert found.keys() == DIFFERS[name].keys()
    for part, allowed in DIFFERS[name].items():
        assert found[part] <= allowed and bool(found[part]) == bool(allowed)


def test_what_is_changed_is_changed_as_it_says() -> None:
    weak, strong = (draw_take(3, Edit(strength=factor)).performance for factor in (0.6, 1.0))
    assert weak.intensity == pytest.approx(0.6 * strong.intensity)
    plain, more = (draw_take(2, edit).performance.units for edit in (AS_DRAWN, Edit(units={"AU4": 0.5})))
    column = UNITS.index("AU4")
    np.testing.assert_allclose(more[:, column], (plain[:, column] + 0.5).clip(0, 1), atol=1e-6)
    assert np.array_equal(np.delete(plain, column, 1), np.delete(more, column, 1))
    poses = [draw_take(5, Edit(yaw=yaw)).pose for yaw in (0.0, 0.35)]
    assert np.abs(poses[1] - poses[0]).max(0) == pytest.approx([0.35, 0, 0], abs=1e-6)
    assert abs(poses[0][:, 0].mean()) < 1e-6
    with pytest.raises(InputError, match="AU99"):
        draw_take(0, Edit(units={"AU99": 1.0}))


def test_a_face_that_moves_twice_as_fast_shows_what_the_other_shows_in_twice_the_time() -> None:
    """Of the movement alone: noise that belongs to no time is switched off, and one clip is twice as long."""
    knobs = replace(Version().knobs, held=0.0, carry_over=0.0, talking=0.0, movements=0.0)
    fast = draw_take(3, Edit(speed=2.0), Version(knobs=knobs)).performance
    slow = draw_take(3, AS_DRAWN, Version(knobs=knobs)).performance
    start, rise, hold, fall = slow.timing
    middle = start + rise + hold / 2
    assert fast.timing[1:] == pytest.approx([rise, hold, fall])  # in its own seconds, of which twice as many pass
    assert fast.timing[0] + rise + hold / 2 == pytest.approx(2 * middle, rel=1e-5)
    assert (fast.expression > 0.5).sum() < (slow.expression > 0.5).sum()


def test_another_sex_gives_the_shape_that_goes_with_it() -> None:
    names = load_head().shape_names
    columns = [k for k, name in enumerate(names) if name.startswith("u:female")]
    woman, man = (draw_take(1, getattr(CHANGES["sex"], which)).person for which in ("before", "after"))
    assert woman.shape[columns].sum() > 0.9 > 0.1 > man.shape[columns].sum() and man.male and not woman.male


@pytest.mark.slow
def test_pixels_differ_where_the_change_is() -> None:
    clips = {name: render_take(draw_take(1, CHANGES[name].after)).astype(float) for name in ("grain", "glasses")}
    plain = render_take(draw_take(1)).astype(float)
    apart = {name: np.abs(clip - plain).mean((0, 1)) for name, clip in clips.items()}
    assert 0 < apart["grain"].max() < 25, "the noise of a camera, all over"
    eyes, chin = apart["glasses"][18:38].max(), apart["glasses"][54:].max()
    assert eyes > 3 * chin


@pytest.mark.slow
def test_edits_are_rendered_once_each_and_as_if_alone() -> None:
    wanted = edits({name: CHANGES[name] for name in ("grain", "sex", "light")})
    assert wanted[0] == AS_DRAWN and len(wanted) == 5
    found = list(render_edits(4, wanted))
    assert [edit for edit, _ in found] == wanted
    for edit, clip in found:
        assert np.array_equal(clip, render_take(draw_take(4, edit)))


def test_beards_are_for_men_and_strength_for_expressions() -> None:
    men = [n for n in range(30) if concerns(n, CHANGES["beard"])]
    assert men == [n for n in range(30) if draw_take(n).person.female < 0.5] and 5 < len(men) < 25
    neutral = [n for n in range(14) if not concerns(n, CHANGES["strength"])]
    assert neutral == [n for n in range(14) if EMOTIONS[n % 7] == "neutral"]


@pytest.fixture
def answers() -> Answers:
    """Of 40 people, with three edits; the last edit does not concern the first ten."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 40, 3))
    logits[1] = logits[0] + rng.normal(size=(40, 3))
    logits[2, :10] = np.nan
    pairs = {"nothing": (0, 0), "one": (0, 1), "other": (1, 2)}
    return Answers(logits, np.arange(40) % 3, pairs, ("a", "b", "c"))


@pytest.mark.parametrize("change", ["nothing", "one", "other"])
def test_flips_are_counted_as_by_a_loop(answers: Answers, change: str) -> None:
    before, after = answers.pairs[change]
    for p, label in enumerate(answers.labels):
        one, other = (answers.logits[edit, p] for edit in (before, after))
        if np.isnan(one).any() or np.isnan(other).any():
            expected = [np.nan] * 4
        else:
            said, then = int(one.argmax()), int(other.argmax())
            b = one - one.mean(), other - other.mean()
            expected = [said != then, int(said == label) - int(then == label), int(then == 1) - int(said == 1)]
            expected.append(float(((b[1] - b[0]) ** 2).sum() ** 0.5) / apart(answers))
        found = [answers.flips(change), answers.lost(change), answers.towards(change, "b"), answers.moved(change)]
        np.testing.assert_allclose([values[p] for values in found], expected)


def apart(answers: Answers) -> float:
    drawn = [row - row.mean() for row in answers.logits[0]]
    pairs = [(one, other) for k, one in enumerate(drawn) for other in drawn[:k]]
    return float(np.mean([np.linalg.norm(one - other) for one, other in pairs]))


def test_where_nothing_changes_nothing_flips(answers: Answers) -> None:
    assert not answers.flips("nothing").any() and not answers.moved("nothing").any()
    found = over_people(answers.flips("nothing"))
    # none of n: the upper end u has (1 - u)^n = 2.5 %
    assert found.low == found.value == 0 and (1 - found.high) ** 40 == pytest.approx(0.025)


def test_an_interval_is_that_of_the_bootstrap_of_people(answers: Answers) -> None:
    values = np.stack([answers.lost("other"), answers.moved("other")])
    mean = values.mean(0)[10:]
    theirs = bootstrap((mean,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1))
    ours = over_people(values)
    assert ours.value == pytest.approx(mean.mean())
    assert (ours.low, ours.high) == pytest.approx(theirs.confidence_interval, abs=0.01)


def test_a_gap_between_groups_is_that_of_their_means_and_its_spread_that_of_two_samples() -> None:
    rng = np.random.default_rng(2)
    values, group = rng.normal(size=200), np.arange(200) < 80
    values[group] -= 1
    found = between_groups(values, group)
    assert found.value == pytest.approx(values[80:].mean() - values[:80].mean())
    expected = (values[:80].var(ddof=1) / 80 + values[80:].var(ddof=1) / 120) ** 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * expected, rel=0.06)


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT))
    try:
        yield importlib.import_module("benchmarks.one_thing_changed")
    finally:
        sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def asked(script):
    return importlib.import_module("benchmarks.asked")


def test_half_of_the_people_are_the_lighter_ones_or_any(asked) -> None:
    tones = np.repeat(np.linspace(0.9, 0.1, 10), 4)
    rows = pd.DataFrame({"id": [str(k) for k in range(40)], "label": np.arange(40) % 7, "frames": 1})
    rows = rows.assign(group=np.repeat([f"p{k}" for k in range(10)], 4), split="train", skin_tone=tones)
    source = ArraySource(ClipTable(rows, EMOTIONS), [np.zeros((1, 3, 8, 8), np.uint8)] * 40)
    lighter, half = (asked.learnt_from(source, people).table.rows for people in ("lighter", "half"))
    assert set(lighter["group"]) == {f"p{k}" for k in range(5, 10)} and len(lighter) == len(half) == 20
    assert half["group"].nunique() == 5 and set(half["group"]) != set(lighter["group"])
    assert asked.learnt_from(source, "all") is source


def test_answers_are_kept_apart_where_the_code_behind_them_is_another(
    asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ("benchmarks/some.py", "dferlib/evidence/maps.py", "dferlib/evidence/other.py", "dferlib/models/a/net.py")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(asked, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(asked, "cache_dir", lambda: tmp_path / "cache")

    def folder(*known: object) -> Path:
        return asked.kept_answers("some", ("maps",), *known)

    first = folder("weights")
    assert first.is_dir() and folder("weights") == first != folder("other weights")
    for name in files:
        (tmp_path / name).write_text('"""What it is."""\n\nx = 1  # one\n')
    (tmp_path / files[2]).write_text("x = 2\n")
    assert folder("weights") == first, "a comment says nothing, nor does what has no part in it"
    found = {first}
    for name in (files[0], files[1], files[3]):
        (tmp_path / name).write_text("x = 2\n")
        found.add(folder("weights"))
    monkeypatch.setattr(asked, "source_hash", lambda: "other clips")
    assert len(found | {folder("weights")}) == 5


@pytest.mark.parametrize("name", ["one_thing_changed", "map_scores", "using_time"])
def test_the_code_that_a_benchmark_names_is_there_and_is_all_that_it_asks(script, asked, name: str) -> None:
    """All of `dferlib.evidence` that is imported, also by what is imported; but for what runs studies and counts."""
    there = {path.stem for folder in ("benchmarks", "dferlib/evidence") for path in (ROOT / folder).glob("*.py")}
    code = importlib.import_module(f"benchmarks.{name}").CODE
    todo, found = [name], set()
    while todo:
        stem = todo.pop()
        found.add(stem)
        for folder in ("benchmarks", "dferlib/evidence"):
            path = ROOT / folder / f"{stem}.py"
            text = path.read_text() if path.exists() else ""
            asks = re.findall(r"from (?:benchmarks|dferlib\.evidence)\.(\w+) import", text)
            todo += set(asks) - found - {"asked", "results", "studies", "flips", "statistics", "source"}
    assert found == {name, *code} <= there


def test_whoever_is_asked_has_weights_or_a_rate_that_was_chosen(script, asked) -> None:
    losses = importlib.import_module("benchmarks.features").LOSSES
    for one in [*asked.MODELS.values(), *asked.VOLUMES.values(), *script.TREATMENTS.values(), *losses.values()]:
        folder = script.RESULTS / one.study
        assert (folder / one.kept / "best.safetensors" if one.kept else folder / f"{one.row}-rates.json").is_file()
        assert one.kept or one.row in asked.STUDIES[one.study].rows


@pytest.mark.slow
def test_a_run_with_treatments_that_was_stopped_goes_on_and_its_record_is_read(
    script, asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strewn(number, wanted):  # in place of rendered clips
        rng = np.random.default_rng(number)
        return [(edit, rng.integers(0, 256, (16, 3, 64, 64)).astype(np.uint8)) for edit in wanted]

    def train(model, learnt, val, config, folder, progress, resume):  # in place of the real one, see test_resume
        trained.append((config.seed, resume and (folder / "history.json").exists()))
        save_model(model, folder / "best.safetensors")
        epochs = config.epochs if len(trained) != 2 else 1  # the second one is stopped after its first epoch
        (folder / "history.json").write_text(json.dumps({"epochs": epochs * [{}]}))
        if epochs < config.epochs:
            raise KeyboardInterrupt

    trained: list[tuple[int, bool]] = []
    for module, name, value in (
        (script, "render_edits", strewn),
        (script, "MODELS", {"STT": asked.MODELS["STT"]}),
        (script, "TREATMENTS", {"plain": replace(script.TREATMENTS["plain"], settings={"epochs": 3})}),
        (script, "SEEDS", (0, 1)),
        (script, "MakeFacesClips", lambda: MakeFacesClips("mini")),
        (asked, "cache_dir", lambda: tmp_path),
        (asked, "train", train),
    ):
        monkeypatch.setattr(module, name, value)
    out, arguments = tmp_path / "record", ["--workers", "1", "--treatments", "--people"]
    with pytest.raises(KeyboardInterrupt):
        script.main([*arguments, "1", "--out", str(out)])
    assert not out.exists()
    script.main([*arguments, "1", "--out", str(out)])
    assert trained == [(0, False), (1, False), (1, True)], "the first was there, and the second goes on"
    (answers,) = (tmp_path / "one-thing-changed").glob("found-*")
    before, first = (answers / "0.npy").stat().st_mtime_ns, OneThing(out).answers("plain")[1].logits
    script.main([*arguments, "2", "--out", str(out)])  # nothing is trained, and whoever was asked is not asked again
    assert (answers / "0.npy").stat().st_mtime_ns == before and (answers / "1.npy").exists()
    found = OneThing(out)
    assert found.models == ("STT",) and found.treatments == ("plain",) and len(found.people) == 2
    seeds = [answers.logits for answers in found.answers("plain")]
    np.testing.assert_array_equal(seeds[1][:, :1], first)
    assert len(seeds) == 2 and not np.array_equal(*seeds, equal_nan=True)


def test_models_that_share_maps_say_what_they_say_alone(script) -> None:
    models = []
    for name in ("stt", "single_frame", "resnet18_gru"):
        torch.manual_seed(0)
        models.append(create_model(name).eval())
    clips = np.stack([clip for _, clip in render_edits(0, [AS_DRAWN, Edit(grain=1)])])
    said = script.ask_all([("maps" if k != 1 else "own", model) for k, model in enumerate(models)], clips)
    for model, logits in zip(models, said, strict=True):
        np.testing.assert_allclose(logits, changed.ask(model, clips), atol=1e-4)


class Fixed(ClipModel):
    """Says how bright the last frame is: the brighter, the more of the second class."""

    input_spec = create_model("stt").input_spec

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        bright = clips[:, -1].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(bright), bright], 1)


def test_the_answer_so_far_knows_nothing_of_what_comes() -> None:
    clip = np.zeros((12, 3, 64, 64), np.uint8)
    clip[6:] = 255
    said = so_far(Fixed(), clip)[:, 1]
    assert said.shape == (12,) and (said[:6] < 0.5).all() and (said[6:] > 0.5).all()


@pytest.mark.slow
def test_a_pair_is_shown_with_the_answers_of_the_model() -> None:
    torch.manual_seed(0)
    shown = side_by_side(create_model("stt").eval(), 3, "skin tone", ("light skin", "dark skin"))
    assert "light skin" in shown.html and "dark skin" in shown.html and EMOTIONS[3] in shown.alt


def test_the_record_is_whole(script) -> None:
    about = json.loads((RECORD / "about.json").read_text())
    one = OneThing()
    assert set(script.MODELS) == set(one.models) and len(one.models) >= 6
    assert about["edits"] == [repr(edit) for edit in edits()], "it was made with other changes"
    assert one.people["label"].value_counts().nunique() == 1 and len(one.people) >= 100
    for name in one.models + one.treatments:
        for answers in one.answers(name):
            assert answers.logits.shape == (len(edits()), len(one.people), 7)
            for change, whom in CHANGES.items():
                there = np.isfinite(answers.flips(change))
                assert there.all() if whom.whom == "all" else there.sum() >= 100
            assert answers.right().mean() > 0.5


@pytest.fixture
def record(tmp_path: Path, answers: Answers) -> Path:
    """Of one model with one seed, and one treatment with two; the kept weights lie beside it."""
    rng = np.random.default_rng(4)
    folder, weights = tmp_path / "one_thing_changed", tmp_path / "a" / "b" / "best.safetensors"
    for made in (folder, weights.parent):
        made.mkdir(parents=True)
    weights.write_bytes(b"weights")
    checksum = hashlib.sha256(b"weights").hexdigest()
    models = [{"name": "A", "file": "0.npz", "treatment": False, "study": "a", "kept": "b", "weights": checksum}]
    models += [{"name": "T", "file": f"{k}.npz", "treatment": True, "kept": ""} for k in (1, 2)]
    for k in range(3):
        np.savez(folder / f"{k}.npz", logits=answers.logits + 0.1 * rng.normal(size=answers.logits.shape))
    people = [{"number": n, "label": int(label)} for n, label in enumerate(answers.labels)]
    about = {"source": source_hash(), "classes": answers.classes, "pairs": answers.pairs}
    (folder / "about.json").write_text(json.dumps({**about, "models": models, "people": people}))
    return folder


def test_a_record_is_read_and_seeds_are_averaged_person_by_person(record: Path) -> None:
    one = OneThing(record)
    assert one.models == ("A",) and one.treatments == ("T",)
    first, second = one.answers("T")
    assert not np.array_equal(first.logits, second.logits, equal_nan=True)
    expected = (first.moved("one") + second.moved("one")) / 2
    np.testing.assert_allclose(one.each(lambda a: a.moved("one"), "T"), expected)
    assert one.mean(lambda a: a.moved("one"), "T").value == pytest.approx(expected.mean())
    assert one.mean(lambda a: a.flips("one")) == over_people(one.answers("A")[0].flips("one"))
    with pytest.raises(InputError, match="B"):
        one.answers("B")


def test_a_record_of_other_weights_is_not_current(record: Path) -> None:
    assert OneThing(record).is_current
    (record.parent / "a" / "b" / "best.safetensors").write_bytes(b"others")
    assert not OneThing(record).is_current


def test_without_a_record_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"benchmarks\.one_thing_changed"):
        OneThing(tmp_path)
