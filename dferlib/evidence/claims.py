"""The claims of the four papers, one by one: what is printed, what our records say of it, and a verdict by one rule.

`claims.toml` has every claim in our own words, with the rows of `results/reported.csv` that it is printed in and the
rows of a study, or the other record, that test it. No verdict is written down anywhere. It follows from the
interval of our gain (over people and seeds, see `statistics`) and from the printed gains, by `verdict`:

- *holds here*: the interval lies above 0.
- *contradicted*: it lies below 0.
- *not seen here*: it holds 0, and all of it lies below every gain that is printed. A gain as large would have shown.
- *cannot be told here*: anything else. The interval holds 0 and a printed gain; or no gain is printed; or no record
  tests the claim. And where the base begins from nothing, and the row from a backbone that knows faces, a gain may come
  from that alone: it does not count as one. A loss does, all the more.

**Many claims.** Of a hundred intervals of 95 % some miss by chance. So the level is chosen after the claims are judged
(Benjamini and Yekutieli 2005): if R of m tested claims are decided, each interval has the level 1 - 0.05 R / m, and R
is the largest number for which this comes out even. Of the decided verdicts, one in twenty is then expected to be wrong
at most, as far as chance goes. What is counted and not measured, a cost, has no interval and is not among the m.
"""

import csv
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dferlib.errors import InputError, choose
from dferlib.evidence.kept_gains import GAINS, is_old
from dferlib.evidence.results import load_runs
from dferlib.evidence.statistics import Interval, draw_gaps, interval_of
from dferlib.evidence.studies.declared import SCRATCH, STUDIES
from dferlib.training.evaluation import Predictions

HOLDS, NOT_SEEN, CANNOT_TELL = "holds here", "not seen here", "cannot be told here"
CONTRADICTED = "contradicted"
VERDICTS = (HOLDS, NOT_SEEN, CANNOT_TELL, CONTRADICTED)
PAPERS = ("STT", "LOGO-Former", "MSSTNet", "STANER")
DECLARED = Path(__file__).with_name("claims.toml")
WRONG = 0.05  # the part of the decided verdicts that may be wrong by chance
COST, RATIO, OF_MAPS = "GFLOPs", "ratio", ("place", "timing")
UNEQUAL = "The rival begins from nothing here, and this model from a backbone that knows faces."

Key = tuple[str, str, str, str]  # study, row, base and metric
Draws = tuple[float, np.ndarray]  # a gain as measured, and in each draw


@dataclass(frozen=True)
class Claim:
    """What a paper says, and what is needed to judge it.

    Attributes:
        paper: one of `PAPERS`.
        where: the table, figure or section.
        says: the claim, in a few words of our own.
        needs: the control without which the printed gain does not show what is claimed.
        settle: what would settle it on real data.
        metric: what is printed: "UAR", "WAR", "Acc" (our WAR), a class (its recall), "GFLOPs", "ratio": of the
            distances between classes by those within, or a score of maps.
        printed: the gain by data set, in parts of 1; of a cost the part that is saved. Nothing where none is printed.
        ours: the study, its row, and the base that the row should be above; None if no record tests the claim.
        counted: instead of records, two models at paper scale, the cheaper one first: `model` and its overrides.
        kept: instead, a record of `kept_gains.GAINS` and what of it is asked: two losses of whose features the first
            should have the classes farther apart, or whose maps and which score of them.
        lacks: why none of these is there.
    """

    paper: str
    where: str
    says: str
    needs: str
    settle: str
    metric: str
    printed: dict[str, float]
    ours: tuple[str, str, str] | None = None
    counted: tuple[dict[str, Any], dict[str, Any]] | None = None
    kept: tuple[str, str, str] | None = None
    lacks: str = ""

    @property
    def key(self) -> Key | None:
        """What tests it. Claims with the same key have the same interval."""
        tests = self.ours or self.kept
        return None if tests is None else (*tests, self.metric)

    @property
    def tested_by(self) -> str:
        """The records that test it, in words; nothing if none do."""
        if self.kept is not None:
            record, what, other = self.kept
            return f"{what} against {other}, in {record}" if self.metric == RATIO else f"{other} of {what}, in {record}"
        return "" if self.ours is None else " minus ".join(self.ours[1:]) + f" in {self.ours[0]}"


@dataclass(frozen=True)
class Judged:
    """A claim and what becomes of it here.

    Attributes:
        claim: what is claimed.
        found: our gain with its interval, in parts of 1; None where nothing tests the claim.
        waits: whether it comes from records that wait to be made again, see `results/waiting.txt`.
        lacks: what is missing: records, or an equal start.
    """

    claim: Claim
    found: Interval | None = None
    waits: bool = False
    lacks: str = ""

    @property
    def favoured(self) -> bool:
        """Whether the row starts from faces and the base from nothing, so that a gain may come from that alone."""
        return self.lacks == UNEQUAL

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        return verdict(self.found, self.claim.printed.values(), self.favoured)


@dataclass(frozen=True)
class Judgement:
    """All claims, judged together.

    Attributes:
        claims: in the order of the papers.
        level: of the intervals, which the number of decided claims gives.
        tested: how many claims records test.
        decided: how many of these have a verdict other than "cannot be told here".
    """

    claims: tuple[Judged, ...]
    level: float
    tested: int
    decided: int

    def of(self, paper: str = "", said: str = "") -> list[Judged]:
        """Those of a paper, and with a verdict; of all if not given.

        Raises:
            InputError: no such paper or verdict.
        """
        papers = (choose("paper", paper, PAPERS),) if paper else PAPERS
        said = choose("verdict", said, VERDICTS) if said else ""
        return [one for one in self.claims if one.claim.paper in papers and said in ("", one.verdict)]

    def find(self, says: str) -> Judged:
        """The claim that says this.

        Raises:
            InputError: there is none.
        """
        choose("claim", says, (one.claim.says for one in self.claims))
        return next(one for one in self.claims if one.claim.says == says)


def verdict(found: Interval | None, printed: Iterable[float], favoured: bool = False) -> str:
    """The rule, see the head of this module.

    Args:
        found: our gain; None if nothing tests the claim.
        printed: the gains that the paper prints, for several data sets. Those that are not above 0 say nothing about
            how large the gain should be.
        favoured: whether our rows favour the claim by something that it is not about.
    """
    sizes = [gain for gain in printed if gain > 0]
    if found is None:
        return CANNOT_TELL
    if found.low > 0:
        return CANNOT_TELL if favoured else HOLDS
    if found.high < 0:
        return CONTRADICTED
    return NOT_SEEN if sizes and found.high < min(sizes) else CANNOT_TELL


def judge(root: Path, level: float | None = None) -> Judgement:
    """Judge every claim by the records of a folder.

    Args:
        root: the folder of the studies, such as `results`, with `reported.csv` and `waiting.txt`.
        level: of the intervals; the one that bounds the part of wrong verdicts if not given.

    Raises:
        InputError: a file is missing or damaged, or a claim names what is not there.
    """
    claims = read_claims(root)
    draws = _draws(root, {claim.key for claim in claims if claim.key is not None})
    waiting = set(_read(root / "waiting.txt").split())
    judged = [_unjudged(claim, draws, waiting, root) for claim in claims]
    tested = [(one, draws[one.claim.key]) for one in judged if one.claim.key in draws]
    if level is None:
        level = 1 - WRONG * max(_decided(tested), 1) / max(len(tested), 1)
    there = {id(one): replace(one, found=interval_of(*found, level)) for one, found in tested}
    decided = sum(one.verdict != CANNOT_TELL for one in there.values())
    return Judgement(tuple(there.get(id(one), one) for one in judged), level, len(tested), decided)


def _unjudged(claim: Claim, draws: dict[Key | None, Draws], waiting: set[str], root: Path) -> Judged:
    """A claim without the interval that only all of them together can have."""
    if claim.counted is not None:
        return Judged(claim, _saved(*claim.counted))
    if claim.kept is not None:
        record = claim.kept[0]
        if claim.key in draws:
            return Judged(claim, waits=is_old(root / record))
        return Judged(claim, lacks=f"Not kept: {claim.tested_by}. `python -m benchmarks.{record}` makes it.")
    if claim.ours is None:
        return Judged(claim, lacks=claim.lacks)
    study, *pair = claim.ours
    if claim.key not in draws:
        return Judged(claim, lacks=f"Records of {' or '.join(pair)} are missing: `dferlib study {study}` makes them.")
    row, base = (STUDIES[study].rows[name].config.backbone_lr_scale == SCRATCH.backbone_lr_scale for name in pair)
    return Judged(claim, waits=study in waiting, lacks=UNEQUAL if base and not row else "")


def read_claims(root: Path, declared: Path = DECLARED) -> list[Claim]:
    """The claims, with the gains that the papers print.

    Args:
        root: the folder with `reported.csv`.
        declared: the file of the claims.

    Raises:
        InputError: a file is missing, or a claim names a row that is not in `reported.csv`.
    """
    rows = list(csv.DictReader(_read(root / "reported.csv").splitlines()))
    return [
        _claim({**{key: value for key, value in group.items() if key != "claim"}, **claim}, rows)
        for group in tomllib.loads(_read(declared))["group"]
        for claim in group["claim"]
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path} ({error}): give the folder of the project's results") from error


def _claim(told: dict[str, Any], rows: list[dict[str, str]]) -> Claim:
    paper, table, metric = told["paper"], told.get("table", ""), told.get("metric", "UAR")
    printed = {}
    if "more" in told:
        about = [row for row in rows if (row["paper"], row["table"], row["metric"]) == (paper, table, metric)]
        place = f"{paper}, {table}, {metric}"
        more = _printed(about, place, told["more"], told.get("sampling", ""))
        less = _printed(about, place, told["less"], told.get("less_sampling", ""))
        gain = (lambda one, other: 1 - one / other) if metric == COST else (lambda one, other: (one - other) / 100)
        printed = {data: gain(value, less[data]) for data, value in more.items() if data in less}
        if not printed:
            raise InputError(f"{place} has no data set with both rows of {told['says']!r}")
    return Claim(
        **{name: told[name] for name in ("paper", "says", "needs", "settle")},
        where=told.get("where", table),
        metric=metric,
        printed=printed,
        ours=tuple(told["ours"]) if "ours" in told else None,
        counted=tuple(told["counted"]) if "counted" in told else None,
        kept=tuple(told["kept"]) if "kept" in told else None,
        lacks=told.get("lacks", ""),
    )


def _printed(rows: list[dict[str, str]], place: str, method: str, sampling: str) -> dict[str, float]:
    """What rows of a table print for a method, by data set."""
    found: dict[str, float] = {}
    for row in rows:
        if row["method"] == method and sampling in ("", row["sampling"]):
            if row["dataset"] in found:
                raise InputError(f"{method!r} stands twice in {place}: give its sampling")
            found[row["dataset"]] = float(row["value"])
    if not found:
        raise InputError(f"reported.csv has no {method!r} in {place}: a claim names it")
    return found


def _draws(root: Path, keys: set[Key]) -> dict[Key | None, Draws]:
    """The gains of all comparisons that have records; of seeds that both rows have."""
    told: dict[tuple[str, str], dict[int, Predictions]] = {}
    for study in sorted({key[0] for key in keys} - GAINS.keys()):
        for run in load_runs(root / study) if (root / study).is_dir() else ():
            told.setdefault((study, run.name.rsplit("-seed", 1)[0]), {})[run.record["seed"]] = run.predictions()
    found: dict[Key | None, Draws] = {}
    for study, row, base, metric in sorted(keys):
        if study in GAINS:
            if gain := GAINS[study](root / study, row, base):
                found[study, row, base, metric] = gain
            continue
        first, second = told.get((study, row), {}), told.get((study, base), {})
        if seeds := sorted(first.keys() & second.keys()):
            one, other = ([_of_class(some[seed], metric) for seed in seeds] for some in (first, second))
            found[study, row, base, metric] = draw_gaps(one, other)["uar" if metric == "UAR" else "war"]
    return found


def _of_class(told: Predictions, metric: str) -> Predictions:
    """The clips of a class alone, whose WAR is its recall; all clips if the metric is no class."""
    if metric not in told.classes:
        return told
    mine = told.labels == told.classes.index(metric)
    parts = {name: getattr(told, name)[mine] for name in ("ids", "labels", "groups", "logits")}
    return replace(told, **parts, features=None)


def _decided(tested: Sequence[tuple[Judged, Draws]]) -> int:
    """The largest R for which R claims are decided with intervals of the level 1 - 0.05 R / m."""
    count = len(tested)
    while count:
        level = 1 - WRONG * count / len(tested)
        said = [replace(one, found=interval_of(*draws, level)).verdict for one, draws in tested]
        if (found := sum(one != CANNOT_TELL for one in said)) >= count:
            return count
        count = found  # wider intervals decide no more than these
    return 0


def _saved(cheap: dict[str, Any], dear: dict[str, Any]) -> Interval:
    """What part of a model's operations another one saves; a count, so its ends are the value."""
    saved = 1 - _gmac(**cheap) / _gmac(**dear)
    return Interval(saved, saved, saved)


@cache
def _gmac(model: str, **overrides: Any) -> float:
    """What a model costs at paper scale."""
    from dferlib.evidence.complexity import complexity
    from dferlib.models import create_model

    return complexity(create_model(model, scale="paper", **overrides)).gmac
