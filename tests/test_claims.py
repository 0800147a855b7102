"""The claims of the papers: the rule at its edges, what is printed and where, and verdicts that follow the records."""

import csv
import html
import json
import re
import shutil
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chapters import ROOT
from conftest import call
from test_prose import typed
from test_results import save
from tiny import same_probe

from dferlib import EMOTIONS, InputError
from dferlib.book.claims import claims_figure, claims_table
from dferlib.book.sentences import SentenceError, state
from dferlib.evidence import claims as module
from dferlib.evidence.claims import (
    CANNOT_TELL,
    CONTRADICTED,
    DECLARED,
    HOLDS,
    NOT_SEEN,
    PAPERS,
    VERDICTS,
    Claim,
    Judged,
    Judgement,
    judge,
    read_claims,
    verdict,
)
from dferlib.evidence.kept_gains import draw_distance_gain
from dferlib.evidence.results import load_runs
from dferlib.evidence.statistics import Interval, compare
from dferlib.evidence.studies import STUDIES
from dferlib.evidence.studies.declared import FROM_NOTHING
from dferlib.training.evaluation import Predictions

RESULTS = ROOT / "results"
CLAIMS = read_claims(RESULTS)
CHAPTER = ROOT / "notebooks" / "17_claims.ipynb"


@pytest.fixture(scope="module")
def judged() -> Judgement:
    return judge(RESULTS)


# --- the rule


@pytest.mark.parametrize(
    ("low", "high", "printed", "said"),
    [
        (0.001, 0.02, [0.05], HOLDS),  # smaller than printed, and still there
        (0.0, 0.02, [0.01], CANNOT_TELL),  # an end at 0 is no gain
        (-0.02, 0.0, [0.01], NOT_SEEN),  # nor a loss
        (-0.02, -0.001, [0.01], CONTRADICTED),
        (-0.02, -0.001, [], CONTRADICTED),
        (-0.01, 0.009, [0.01], NOT_SEEN),
        (-0.01, 0.01, [0.01], CANNOT_TELL),  # the printed gain is still possible
        (-0.01, 0.011, [0.01], CANNOT_TELL),
        (-0.01, 0.01, [0.03, 0.02], NOT_SEEN),
        (-0.01, 0.01, [0.03, 0.005], CANNOT_TELL),  # as large as on one of the data sets
        (-0.01, 0.01, [0.03, -0.02, 0.0], NOT_SEEN),  # where none is printed there is none to miss
        (-0.01, 0.01, [-0.02], CANNOT_TELL),
        (-0.01, 0.01, [], CANNOT_TELL),  # how large should it have been?
    ],
)
def test_the_rule_at_its_edges(low: float, high: float, printed: list[float], said: str) -> None:
    assert verdict(Interval((low + high) / 2, low, high), printed) == said


def test_a_gain_of_a_favoured_row_is_no_gain_and_a_loss_is_one() -> None:
    assert verdict(Interval(0.5, 0.4, 0.6), [0.01], favoured=True) == CANNOT_TELL
    assert verdict(Interval(-0.5, -0.6, -0.4), [0.01], favoured=True) == CONTRADICTED
    assert verdict(Interval(0.0, -0.001, 0.001), [0.01], favoured=True) == NOT_SEEN


def test_without_records_nothing_can_be_told() -> None:
    assert verdict(None, [0.01]) == CANNOT_TELL


# --- what is claimed, where it is printed, and what tests it


def test_there_is_a_claim_for_all_that_was_asked_for() -> None:
    """Every row of seven tables that are ablations or comparisons, and two figures that were printed as curves."""
    groups = tomllib.loads(DECLARED.read_text())["group"]
    told = [{**group, **claim} for group in groups for claim in group["claim"]]
    named = {(one["paper"], one["table"], one[side]) for one in told for side in ("more", "less") if "table" in one}
    with (RESULTS / "reported.csv").open() as file:
        rows = {(row["paper"], row["table"], row["method"]) for row in csv.DictReader(file)}
    tables = {"STT": (1, 2, 4), "LOGO-Former": (2,), "MSSTNet": (1,), "STANER": (1, 2, 3)}
    wanted = {row for row in rows if row[1] in {f"Table {number}" for number in tables[row[0]]}}
    assert len(wanted) > 50
    assert wanted <= named
    layers = [claim.says for claim in CLAIMS if (claim.paper, claim.where) == ("STT", "Fig. 6")]
    assert layers == [f"Four blocks beat {number}" for number in ("one", "two", "three", "five", "six")]
    assert [claim for claim in CLAIMS if (claim.paper, claim.where) == ("MSSTNet", "Fig. 3")]
    assert {claim.paper for claim in CLAIMS} == set(PAPERS)
    assert len(CLAIMS) >= 40
    assert len({claim.says for claim in CLAIMS}) == len(CLAIMS), "they are found by what they say"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.says)
def test_a_claim_is_tested_by_rows_that_exist_or_says_why_not(claim: Claim) -> None:
    assert claim.needs and claim.settle and claim.where
    assert len(claim.says) <= 56, "it must fit beside a picture"
    ways = (claim.ours, claim.counted, claim.kept)
    assert sum(way is not None for way in ways) + bool(claim.lacks) == 1
    if claim.ours is not None:
        study, *pair = claim.ours
        row, base = (STUDIES[study].rows[name] for name in pair)
        assert row != base
        assert row.data == base.data, "both are tested on the same clips"
    assert claim.metric in {"UAR", "WAR", "Acc", "GFLOPs", "ratio", "place", "timing", *EMOTIONS}


def test_no_number_is_typed_into_a_claim() -> None:
    texts = [text for one in CLAIMS for text in (one.says, one.needs, one.settle, one.lacks)]
    assert not [number for text in texts for number in typed(text)]


@pytest.mark.parametrize(
    ("paper", "says", "points"),
    [  # differences that the texts of the papers state, as they state them
        ("STT", "Spatial attention alone beats the LSTM", [1.13]),
        ("STT", "Temporal attention alone beats the LSTM", [1.28]),
        ("STT", "Both attentions together beat the LSTM", [2.56]),
        ("STT", "Label smoothing beats cross entropy", [0.14]),
        ("STT", "The compact loss beats cross entropy", [0.43]),
        ("STT", "STT beats Former-DFER, which parts space from time", [0.89]),
        ("STT", "STT beats EC-STFL", [9.23]),
        ("STT", "On a small set STT beats Former-DFER", [1.69]),
        ("STT", "On a small set STT beats a 3D ResNet18", [6.97]),
        ("LOGO-Former", "LOGO-Former beats Former-DFER", [0.52]),
        ("LOGO-Former", "LOGO-Former beats EC-STFL", [8.86]),
        ("MSSTNet", "MSSTNet tells disgust better than ResNet18 and LSTM", [9.65]),
        ("STANER", "On Oulu-CASIA STANER beats PPDN", [4.93]),
        ("STANER", "On Oulu-CASIA STANER beats DTAGN", [8.06]),
        ("STANER", "On Oulu-CASIA STANER beats DCPN", [3.29]),
        ("STANER", "On Oulu-CASIA STANER beats PHRNN-MSCNN", [3.27]),
        # and of tables, subtracted by hand: two data sets, two samplings of one baseline, and a cost
        ("STANER", "Attention helps in the whole (STANER over C4)", [98.23 - 96.19, 89.52 - 86.50]),
        ("MSSTNet", "With four frames, two blocks beat one", [49.89 - 49.94, 69.71 - 68.97]),
        ("STT", "STT beats ResNet18 with an LSTM, interpolated frames", [54.58 - 42.86]),
        ("STT", "STT beats ResNet18 with an LSTM, sampled frames", [54.58 - 51.32]),
        ("LOGO-Former", "LOGO-Former computes less than the baseline", [100 * (25.16 - 10.27) / 25.16]),
    ],
)
def test_a_printed_gain_is_what_the_paper_prints(paper: str, says: str, points: list[float]) -> None:
    (claim,) = [one for one in CLAIMS if (one.paper, one.says) == (paper, says)]
    assert [100 * gain for gain in claim.printed.values()] == pytest.approx(points, abs=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"spatial attention only"', '"no attention at all"', "no 'no attention at all'"),
        ('less_sampling = "DS"', 'sampling = "DS"', "give its sampling"),
        ('metric = "WAR"', 'metric = "fear"', "no 'STT' in STT, Table 4, fear"),
    ],
)
def test_a_claim_about_a_row_that_is_not_printed_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    (tmp_path / "claims.toml").write_text(DECLARED.read_text().replace(old, new))
    with pytest.raises(InputError, match=words):
        read_claims(RESULTS, tmp_path / "claims.toml")


def test_two_rows_on_different_data_sets_have_no_gain(tmp_path: Path) -> None:
    reported = (RESULTS / "reported.csv").read_text()
    moved = reported.replace("STT,Table 2,DFEW,5-fold,compact loss", "STT,Table 2,AFEW,5-fold,compact loss")
    (tmp_path / "reported.csv").write_text(moved)
    with pytest.raises(InputError, match="no data set with both rows of 'The compact loss beats cross entropy'"):
        read_claims(tmp_path)


# --- what the records say


def test_a_gain_is_that_of_the_records_and_their_intervals_are_those_of_compare(judged: Judgement) -> None:
    runs = {(run.path.parent.name, run.name): run for run in load_runs(RESULTS)}
    for says, name in (
        ("Both attentions together beat the LSTM", "uar"),
        ("STANER beats its frame branch (C3)", "war"),
    ):
        one = judged.find(says)
        study, row, base = one.claim.ours or ("", "", "")
        told = [[runs[study, f"{title}-seed{seed}"].predictions() for seed in range(5)] for title in (row, base)]
        expected = getattr(compare(*told, level=judged.level), name)
        assert one.found == expected
    fear = judged.find("STT tells fear better than Former-DFER")
    k, means = EMOTIONS.index("fear"), []
    for row in ("stt", "former_dfer"):
        means.append(np.mean([runs["comparison", f"{row}-seed{seed}"].metrics["recalls"][k] for seed in range(5)]))
    assert fear.found is not None and fear.found.value == pytest.approx(means[0] - means[1])


def test_the_level_is_the_widest_step_at_which_enough_claims_are_decided(judged: Judgement) -> None:
    """By loops over every number, with intervals from the draws sorted by hand."""
    draws = module._draws(RESULTS, {claim.key for claim in CLAIMS if claim.key is not None})
    tested = [one for one in judged.claims if one.claim.key in draws]
    best = 0
    for count in range(1, len(tested) + 1):
        decided = 0
        for one in tested:
            value, drawn = draws[one.claim.key]
            tail = 0.05 * count / len(tested) / 2
            found = Interval(value, float(np.quantile(drawn, tail)), float(np.quantile(drawn, 1 - tail)))
            decided += verdict(found, one.claim.printed.values(), one.favoured) != CANNOT_TELL
        best = count if decided >= count else best
    assert (judged.tested, judged.decided) == (len(tested), best)
    assert judged.level == pytest.approx(1 - 0.05 * best / len(tested))
    tried = [one for one in judged.claims if one.claim.key is not None and one.found is not None]
    assert sum(one.verdict != CANNOT_TELL for one in tried) == best


def test_with_no_true_gain_few_verdicts_are_wrong() -> None:
    """Claims without any effect: a decided one is wrong, and in most rounds there must be none."""
    rng, rounds = np.random.default_rng(0), 200
    one, wrong = Judged(replace(CLAIMS[0], printed={})), 0  # so that there is no "not seen", which would be right
    for _ in range(rounds):
        values = rng.normal(size=40)
        tested = [(one, (value, value + rng.normal(size=2000))) for value in values]
        wrong += module._decided(tested) > 0
    assert wrong / rounds < 0.09  # 5 %, and the scatter of 200 rounds


def predictions(right: float, seed: int) -> Predictions:
    """Forty people with two clips of each class, of which so many are right."""
    rng, count = np.random.default_rng(seed), 40 * 14
    labels = np.arange(count) % 7
    told = np.where(rng.random(count) < right, labels, (labels + 1) % 7)
    return Predictions(
        ids=np.array([f"clip-{k}" for k in range(count)]),
        labels=labels,
        groups=np.array([f"person {k // 14}" for k in range(count)]),
        logits=np.eye(7, dtype=np.float32)[told],
        classes=EMOTIONS,
    )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Judgement]:
    """Judges claims by records of one study, whose rows are right so often."""
    same_probe(monkeypatch)
    shutil.copy(RESULTS / "reported.csv", tmp_path)

    def made(waiting: str = "", **right: float) -> Judgement:
        (tmp_path / "waiting.txt").write_text(waiting)
        for place, (row, share) in enumerate(right.items()):
            for seed in range(3):
                told = predictions(share, 10 * place + seed)
                save(tmp_path / "stt_table2", f"{row}-seed{seed}", seed=seed, predictions=told)
        return judge(tmp_path)

    return made


def test_a_verdict_follows_the_records(world: Callable[..., Judgement]) -> None:
    says = "The compact loss beats cross entropy"
    assert world(compact=0.9, cross_entropy=0.6).find(says).verdict == HOLDS
    assert world(compact=0.6, cross_entropy=0.9).find(says).verdict == CONTRADICTED
    level = world(compact=0.7, cross_entropy=0.7).find(says)
    assert level.verdict == CANNOT_TELL and level.found is not None and level.found.low < 0.0043 < level.found.high
    far = world(compact=0.7, ec_stfl=0.7).find("The compact loss serves better than EC-STFL's")
    assert far.verdict == NOT_SEEN, "the printed gain is larger than all of the interval"


def test_records_that_wait_and_records_that_are_not_there_are_told(world: Callable[..., Judgement]) -> None:
    says = "The compact loss beats cross entropy"
    assert not world(compact=0.9, cross_entropy=0.6).find(says).waits
    found = world("sampling stt_table2", compact=0.9, cross_entropy=0.6)
    assert found.find(says).waits
    missing = found.find("The compact loss beats label smoothing")
    assert missing.found is None and missing.verdict == CANNOT_TELL
    assert "label_smoothing" in missing.lacks and "dferlib study stt_table2" in missing.lacks
    assert found.find("Both attentions together beat the LSTM").found is None
    assert (found.tested, found.decided) == (1, 1) and found.level == pytest.approx(0.95)


def test_a_rival_that_begins_from_nothing_is_no_rival(judged: Judgement) -> None:
    unequal = {one.claim.ours for one in judged.claims if one.favoured}
    rivals = {rival for _, row, rival in filter(None, unequal)}
    assert rivals == {*FROM_NOTHING, "c3d", "r3d18-center", "r3d18-ec_stfl"}
    assert {study for study, *_ in filter(None, unequal)} == {"comparison"}
    far = judged.find("STT beats C3D")
    assert far.found is not None and far.found.low > 0.3 and far.verdict == CANNOT_TELL
    assert not judged.find("STT beats a 3D ResNet18 with the same start").favoured


def test_a_cost_is_counted_and_has_no_width(judged: Judgement) -> None:
    found = judged.find("LOGO-Former computes less than the baseline").found
    assert found is not None and found.low == found.value == found.high


def test_an_unknown_name_is_told(judged: Judgement, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown paper 'SST': choose one of STT, "):
        judged.of("SST")
    with pytest.raises(InputError, match="unknown verdict"):
        judged.of(said="true")
    with pytest.raises(InputError, match="unknown claim"):
        judged.find("the moon")
    with pytest.raises(InputError, match=r"cannot read .*reported\.csv"):
        judge(tmp_path)


DRAWN_TOGETHER = "The compact loss draws classes together and apart"


def features_of(tight: float, seed: int, labels: np.ndarray) -> np.ndarray:
    """Of each clip its class's place, and around it noise that is so wide."""
    rng = np.random.default_rng(seed)
    return np.round(20 * (np.eye(7)[labels] + tight * rng.normal(size=(len(labels), 7)))).astype(np.int8)


@pytest.mark.parametrize(("compact", "plain", "said"), [(0.3, 0.9, HOLDS), (0.9, 0.3, CONTRADICTED)])
def test_a_claim_about_distances_is_judged_by_the_features_that_are_kept(
    world: Callable[..., Judgement], tmp_path: Path, compact: float, plain: float, said: str
) -> None:
    missing = world().find(DRAWN_TOGETHER)
    assert missing.verdict == CANNOT_TELL and "benchmarks.features" in missing.lacks
    labels, groups = np.arange(140) % 7, np.arange(140) // 7
    folder = tmp_path / "features"
    folder.mkdir()
    arrays = {f"compact loss, {s}": features_of(compact, s, labels) for s in (0, 1, 2)}
    arrays |= {f"cross entropy, {s}": features_of(plain, 5 + s, labels) for s in (0, 1)}
    arrays |= {"STT, before": features_of(5, 9, labels), "LOGO-Former, compact loss, 0": features_of(5, 9, labels)}
    np.savez(folder / "features.npz", **arrays)
    about = {"source": "old", "labels": labels.tolist(), "groups": [str(who) for who in groups]}
    (folder / "about.json").write_text(json.dumps(about))
    judged = world()
    found = judged.find(DRAWN_TOGETHER)
    assert found.verdict == said and found.waits and not found.lacks
    ratios = {}  # by loops over pairs of different people
    for name, one in arrays.items():
        far = [(np.linalg.norm(one[i] - 1.0 * one[j]), labels[i] == labels[j]) for i in range(140) for j in range(140)
               if groups[i] != groups[j]]  # fmt: skip
        ratios[name] = np.mean([d for d, same in far if not same]) / np.mean([d for d, same in far if same])
    gains = [ratios[f"compact loss, {s}"] / ratios[f"cross entropy, {s}"] - 1 for s in (0, 1)]
    assert found.found is not None and found.found.value == pytest.approx(np.mean(gains))
    assert judged.tested == judged.decided == 1, "it counts among those that records test"
    assert "features" in found.claim.tested_by and "compact loss" in found.claim.tested_by
    table = claims_table(judged, "STT").html
    assert found.claim.tested_by in table and f"{100 * found.found.value:+.1f}".replace("-", "−") in table
    other = judged.find("The regulariser draws classes together and apart")
    assert other.verdict == CANNOT_TELL and "LOGO-Former, cross entropy" in other.lacks


def test_the_interval_of_distances_is_over_people_and_over_seeds(tmp_path: Path) -> None:
    """Seeds that disagree make it wider than the people do."""
    labels, groups = np.arange(140) % 7, np.arange(140) // 7
    same = {f"{loss}, {s}": features_of(0.5, 0, labels) for loss in ("one", "other") for s in range(4)}
    mixed = same | {f"one, {s}": features_of(0.2 if s < 2 else 1.0, s, labels) for s in range(4)}
    spread = {}
    for name, arrays in (("same", same), ("mixed", mixed)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "features.npz", **arrays)
        about = {"labels": labels.tolist(), "groups": [str(who) for who in groups]}
        (tmp_path / name / "about.json").write_text(json.dumps(about))
        value, draws = draw_distance_gain(tmp_path / name, "one", "other") or (0.0, np.zeros(0))
        spread[name] = draws.std()
        assert draws.mean() == pytest.approx(value, abs=0.05)
    assert spread["same"] == 0 and spread["mixed"] > 0.1
    assert draw_distance_gain(tmp_path / "same", "one", "a third") is None


def save_maps(folder: Path, trained: np.ndarray, chance: np.ndarray, face: np.ndarray) -> None:
    """A record of one model, whose Grad-CAM has these places and timings (P, 2)."""
    folder.mkdir()
    nothing = np.full_like(trained, np.nan)
    maps = {name: np.stack([nothing, one], 1) for name, one in (("trained", trained), ("chance", chance))}
    np.savez(folder / "stt.npz", **maps, controls=np.stack([9 + face, face], 1))
    about = {"source": "old", "models": [{"name": "STT", "file": "stt.npz"}], "kinds": ["Layer-CAM", "Grad-CAM"]}
    (folder / "about.json").write_text(
        json.dumps(about | {"scores": ["place", "timing"], "controls": ["its own motion", "mean face"]})
    )


def test_a_claim_about_maps_is_judged_against_chance_weights_and_the_mean_face(
    world: Callable[..., Judgement], tmp_path: Path
) -> None:
    where, when = "Grad-CAM lights up the parts of the face that tell", "Frames without the expression light up less"
    assert "benchmarks.map_scores" in world().find(where).lacks
    rng = np.random.default_rng(0)
    trained, chance, face = (np.array(one) + 0.1 * rng.normal(size=(60, 2)) for one in ([1.5, 0.6], [0.9, 0], [1.6, 0]))
    trained[0] = np.nan
    save_maps(tmp_path / "map_scores", trained, chance, face)
    judged = world()
    assert judged.find(where).verdict == CONTRADICTED, "above chance weights, and below the mean face"
    assert judged.find(when).verdict == HOLDS and judged.find(when).waits
    found = judged.find(where).found
    assert found is not None and found.value == pytest.approx(np.nanmean(trained[:, 0] - face[:, 0]))
    spread = np.nanstd(trained[:, 0] - face[:, 0]) / 59**0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.2)
    assert f"{found.value:+.2f}".replace("-", "−") in claims_table(judged, "STT").html


# --- what is shown


def test_the_command_lists_them(judged: Judgement, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("claims", RESULTS, "--paper", "MSSTNet") == 0
    head, *lines, tally, level = capsys.readouterr().out.splitlines()
    mine = judged.of("MSSTNet")
    assert head.startswith("verdict") and len(lines) == len(mine)
    assert all(one.claim.says in line and line.startswith(one.verdict) for one, line in zip(mine, lines, strict=True))
    assert tally.startswith(f"{len(judged.of('MSSTNet', HOLDS))} holds here")
    assert f"{judged.decided} of {judged.tested}" in level
    assert all(("*" in line) == one.waits for one, line in zip(mine, lines, strict=True))
    assert call("claims", RESULTS, "--paper", "nobody") == 1
    assert "unknown paper 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("paper", PAPERS)
def test_a_picture_has_a_row_for_each_claim_that_records_test(judged: Judgement, paper: str) -> None:
    panel = claims_figure(judged, paper).axes[0]
    rows = [one for one in judged.of(paper) if one.claim.ours is not None and one.found is not None]
    assert [label.get_text() for label in panel.get_yticklabels()] == [one.claim.says for one in rows]
    strokes = [line for line in panel.lines if line.get_marker() == "|"]
    for one, line in zip(rows, strokes, strict=True):
        assert sorted(line.get_xdata()) == pytest.approx(sorted(100 * gain for gain in one.claim.printed.values()))
    ends = [segment[:, 0] for whisker in panel.collections for segment in whisker.get_segments()]
    expected = [(100 * one.found.low, 100 * one.found.high) for one in rows if one.found is not None]
    assert np.allclose(ends, expected)
    low, high = panel.get_xlim()
    assert all(low < end < high for pair in expected for end in pair)


@pytest.mark.parametrize("paper", PAPERS)
def test_a_table_has_every_claim_with_its_verdict_control_and_proof(judged: Judgement, paper: str) -> None:
    text = claims_table(judged, paper).html
    rows = re.findall(r"<tr><td>.*?</tr>", text)
    assert len(rows) == len(judged.of(paper))
    for one, row in zip(judged.of(paper), rows, strict=True):
        said = [one.claim.says, one.claim.needs, one.claim.settle, one.lacks]
        assert all(html.escape(part) in row for part in said)
        assert row.endswith(f"</i>{one.verdict}</td></tr>")
        assert row.count("<br>") == max(len(one.claim.printed) - 1, 0)
    assert "<caption>" in text and text.count("<table") == text.count("</table>") == 1


def sentences(judgement: Judgement, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The cells of the chapter that state something, run on a judgement; what did not hold is missing."""
    monkeypatch.setenv("DFERLIB_QUICK", "0")
    cells = [cell for cell in json.loads(CHAPTER.read_text())["cells"] if cell["cell_type"] == "code"]
    names = {**vars(module), "state": state, "judgement": judgement, "Counter": Counter}
    found = {}
    for cell in cells:
        if cell["id"].startswith("state-"):
            try:
                exec("".join(cell["source"]), dict(names))
            except SentenceError:
                continue
            found[cell["id"]] = "holds"
    return found


def test_a_flipped_record_changes_the_verdict_and_fails_the_text(
    judged: Judgement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sentences(judged, monkeypatch)
    assert {f"state-{paper.lower()}" for paper in PAPERS} <= before.keys(), "every sentence of the chapter holds"
    says = "It is attention that brings the gain of both"
    assert judged.find(says).verdict == HOLDS
    for path in RESULTS.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "stt_table1").unlink()
    for path in (RESULTS / "stt_table1").glob("*-seed*.*"):
        row = path.name.split("-seed")[0]
        other = {"stt": "no_attention", "no_attention": "stt"}.get(row, row)
        target = tmp_path / "stt_table1" / path.name.replace(row, other, 1)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    flipped = judge(tmp_path)
    assert flipped.find(says).verdict == CONTRADICTED
    assert "state-stt" not in sentences(flipped, monkeypatch)


def test_verdicts_have_four_names() -> None:
    assert VERDICTS == ("holds here", "not seen here", "cannot be told here", "contradicted")
