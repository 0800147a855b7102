"""Classes are matched by their names: the same number is another class in another data set."""

from pathlib import Path

import numpy as np
import pytest
from conftest import call
from tiny import make_model, make_source

from dferlib import EMOTIONS, InputError, OuluCASIA, match_classes
from dferlib.data.classes import Relabelled
from dferlib.data.protocols import public_splits
from dferlib.data.sets import CREMAD
from dferlib.data.table import ArraySource, ClipTable
from dferlib.evidence.statistics import compare
from dferlib.evidence.studies import Row, train_and_record
from dferlib.training.config import TrainConfig
from dferlib.training.evaluation import Predictions, evaluate
from dferlib.training.loop import train

OTHERS = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")  # those of CK+
CONFIG = TrainConfig(epochs=1, lr=1e-3, batch_size=8, device="cpu")


def in_order(source: ArraySource, classes: tuple[str, ...]) -> ArraySource:
    """The same clips with the same classes in another order, clip by clip."""
    labels = [classes.index(source.classes[label]) for label in source.table.labels]
    return ArraySource(ClipTable(source.table.rows.assign(label=labels), classes), source.clips)


def renamed(source: ArraySource, classes: tuple[str, ...]) -> ArraySource:
    """The same clips with the same numbers for other classes."""
    return ArraySource(ClipTable(source.table.rows, classes), source.clips)


def test_clips_get_the_label_of_the_class_of_the_same_name():
    source = renamed(make_source(21), OTHERS)
    found = match_classes(source, EMOTIONS, {"contempt": None})
    kept = [k for k in range(21) if OTHERS[source.table.labels[k]] != "contempt"]
    assert found.table.ids.tolist() == [source.table.ids[k] for k in kept] and len(found) == 18
    assert [EMOTIONS[k] for k in found.table.labels] == [OTHERS[source.table.labels[k]] for k in kept]
    for index, k in enumerate(kept[:3]):
        assert np.array_equal(found.read(index, np.array([1, 0])), source.read(k, np.array([1, 0])))
    other = match_classes(source, EMOTIONS, {"contempt": "disgust"})
    assert len(other) == 21 and isinstance(other, Relabelled)
    assert len({source.fingerprint, found.fingerprint, other.fingerprint}) == 3
    assert match_classes(source, OTHERS) is source  # so that its records stay what they are


def test_a_class_without_a_counterpart_is_told_with_what_to_do():
    source = renamed(make_source(14), OTHERS)
    with pytest.raises(InputError, match=r"contempt; the model has neutral besides.*--map contempt=.*'contempt': None"):
        match_classes(source, EMOTIONS)
    with pytest.raises(InputError, match="does not know: joy;"):
        match_classes(source, EMOTIONS, {"contempt": None, "happiness": "joy"})
    with pytest.raises(InputError, match="unknown class of the data 'neutral'"):
        match_classes(source, EMOTIONS, {"neutral": None})
    with pytest.raises(InputError, match="no clips are left"):
        match_classes(source, EMOTIONS, dict.fromkeys(OTHERS))


def test_evaluation_answers_in_the_classes_of_the_model():
    model, source = make_model(), make_source(21, "test")
    model.classes = EMOTIONS
    plain = evaluate(model, source, device="cpu")
    turned = evaluate(model, in_order(source, EMOTIONS[::-1]), device="cpu")
    assert turned.classes == EMOTIONS and turned.labels.tolist() == plain.labels.tolist()
    assert turned.metrics() == plain.metrics()
    with pytest.raises(InputError, match="contempt"):
        evaluate(model, renamed(source, OTHERS), device="cpu")
    few = match_classes(renamed(source, OTHERS), EMOTIONS, {"contempt": None})
    assert evaluate(model, few, device="cpu").metrics()["recalls"][EMOTIONS.index("neutral")] is None


def test_six_classes_of_two_sets_are_not_the_same_six(made: dict[str, Path]):
    """Surprise and neutral would be compared as if they were one, and the others with their neighbours."""
    model = make_model(num_classes=6)
    model.classes = CREMAD.CLASSES
    oulu = OuluCASIA(made["OuluCASIA"], split="test", size=16)
    with pytest.raises(InputError, match=r"surprise; the model has neutral besides"):
        evaluate(model, oulu, device="cpu")
    found = evaluate(model, match_classes(oulu, CREMAD.CLASSES, {"surprise": None}), device="cpu")
    names = dict(zip(oulu.table.ids, (oulu.classes[k] for k in oulu.table.labels), strict=True))
    assert [found.classes[k] for k in found.labels] == [names[clip] for clip in found.ids]
    assert len(found.ids) == 5 * len(oulu) / 6


def test_training_and_validation_are_matched_by_name(tmp_path: Path):
    source, judge = make_source(28), make_source(14, "val", seed=1)
    histories = []
    for val in (judge, in_order(judge, EMOTIONS[::-1])):
        history = train(make_model(), source, val, CONFIG, progress=False)
        histories.append([(epoch.val_uar, epoch.train_loss) for epoch in history.epochs])
    assert histories[0] == histories[1]
    with pytest.raises(InputError, match="contempt; the model has neutral besides"):
        train(make_model(), source, renamed(judge, OTHERS), CONFIG, progress=False)


def test_test_clips_of_other_classes_are_told_before_anything_is_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    learnt: list[object] = []
    monkeypatch.setattr("dferlib.evidence.studies.job.train", lambda *_, **__: learnt.append(1))
    sources = {"train": make_source(14), "val": make_source(14), "test": renamed(make_source(14), OTHERS)}
    with pytest.raises(InputError, match="contempt; the model has neutral besides"):
        train_and_record(tmp_path, "run", Row("single_frame", config=CONFIG), sources, progress=False)
    assert not learnt


def test_a_model_that_knows_its_classes_does_not_learn_others_in_their_place():
    model, source = make_model(), make_source(28)
    train(model, source, source, CONFIG, progress=False)
    other = renamed(source, OTHERS)
    with pytest.raises(InputError, match=r"other classes.*contempt, neutral.*start"):
        train(model, other, other, CONFIG, progress=False)
    train(model, in_order(source, EMOTIONS[::-1]), source, CONFIG, progress=False)
    assert model.classes == EMOTIONS


def test_what_has_learnt_nothing_has_no_classes(monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    model, source = make_model(), make_source(28)
    monkeypatch.setattr("dferlib.training.loop.Trainer.epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        train(model, source, source, CONFIG, progress=False)
    assert not hasattr(model, "classes")


def test_runs_of_other_classes_are_not_compared():
    ids, labels = np.array(["a", "b", "c"]), np.array([0, 1, 2])
    one, other = (Predictions(ids, labels, ids, np.eye(7)[:3], classes) for classes in (EMOTIONS, OTHERS))
    with pytest.raises(InputError, match=r"other classes apart: happiness.*anger, contempt"):
        compare(one, other)


def test_the_command_takes_the_mapping_and_says_it(
    made: dict[str, Path], checkpoint: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["evaluate", checkpoint, "--data", "CKPlus", "--root", made["CKPlus"], "--split", "train"]
    assert call(*command, "--device", "cpu") == 1
    error = capsys.readouterr().err
    assert error.startswith("dferlib: ") and error.count("\n") == 1 and "contempt" in error and "neutral" in error
    assert call(*command, "--device", "cpu", "--map", "contempt=") == 0
    learnt = public_splits("CKPlus", made["CKPlus"])["train"]
    contempt = (learnt.table.labels == OTHERS.index("contempt")).sum()
    out = capsys.readouterr().out
    assert f"classes matched by name: contempt left out with {contempt} clips; no clips of neutral" in out
    assert contempt > 0 and f"train: {len(learnt) - contempt} clips" in out
    assert call(*command, "--map", "contempt=disgust", "--device", "cpu") == 0
    assert "contempt counts as disgust" in capsys.readouterr().out
    assert call(*command, "--map", "contempt") == 1
    assert "write contempt=NAME" in capsys.readouterr().err
