"""What others have reported since: every number has its place, and the page says what the numbers give."""

import csv
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pandas as pd
import pytest
import since

from dferlib.book.sentences import SentenceError

ROOT = Path(__file__).parents[1]
with (ROOT / "results" / "reported_since.csv").open() as file:
    ROWS = list(csv.DictReader(file))
PAGE = (ROOT / "book" / "what_came_after.md").read_text(encoding="utf-8")


def test_every_number_has_a_place_that_does_not_change() -> None:
    for row in ROWS:
        assert float(row["value"]) > 0
        if row["metric"] in ("UAR", "WAR"):
            assert row["dataset"] in since.SETS and 20 < float(row["value"]) < 90
        fixed = r"/blob/[0-9a-f]{40}/|/issues/\d+$|arxiv\.org/abs/\d+\.\d+v\d+$"
        assert row["url"].startswith("https://") and re.search(fixed, row["url"]), "a commit, an issue or a version"


def test_nothing_is_said_twice() -> None:
    keys = [tuple(row[name] for name in ("method", "dataset", "fold", "metric", "kind", "said_by")) for row in ROWS]
    assert len(keys) == len(set(keys))


def test_totals_are_the_means_of_their_folds_but_for_one() -> None:
    """Computed without the page's code."""
    folds, totals = defaultdict(list), {}
    for row in ROWS:
        key = row["method"], row["dataset"], row["metric"]
        if row["kind"] == "reported" and row["fold"]:
            folds[key].append(float(row["value"]))
        elif row["kind"] == "reported":
            totals[key] = float(row["value"])
    off = {key: mean(values) - totals[key] for key, values in folds.items()}
    assert all(len(values) == 5 for values in folds.values())
    assert [key for key, gap in off.items() if abs(gap) > 0.02] == [("S2D, oversampled", "DFEW", "WAR")]
    said = since.total_of_folds(since.Since())
    assert f"{mean(folds['S2D, oversampled', 'DFEW', 'WAR']):.2f}" in said and "74.81" in said


def test_the_page_is_filled() -> None:
    text = since.filled(PAGE)
    assert "{{" not in text
    assert all(PAGE.count(f"{{{{ {name} }}}}") == 1 for name in since.PLACES)
    assert "| MAE-DFER | videos of faces, hidden in part | 63.41 / 74.43 | 43.12 / 52.07 | 41.62 / 54.31 |" in text
    assert "| STT | see its chapter | 54.58 / 66.65 | – | – |" in text
    assert "| S4D | videos and photographs of faces | – / 76.68 | – / 53.65 | – / 58.44 |" in text


def test_a_quote_is_shown_only_where_tables_differ() -> None:
    text = since.quotes_table(since.Since())
    assert "| DFER-CLIP, MAFW | 38.89 / 52.55 | 39.89 / 52.55 | – | 39.89 / 52.55 |" in text
    assert "MAE-DFER" not in text, "all quote it as it is printed"


def test_no_number_is_typed_into_the_page() -> None:
    prose = re.sub(r"\(https?://[^)]*\)|\{[\w:]+\}`[^`]*`|ViT-B/32", " ", PAGE)
    assert not re.findall(r"\d+\.\d+|\d+ ?%", prose)


@pytest.mark.parametrize(
    ("place", "method", "metric", "value"),
    [
        ("since_faces", "VideoMAE", "UAR", 63.0),
        ("since_motion", "VideoMAE, VoxCeleb2", "UAR", 66.0),
        ("since_folds", "S2D", "UAR", 50.0),
        ("since_metrics", "S2D, oversampled", "WAR", 80.0),
        ("since_then", "DFER-CLIP", "UAR", 70.0),
    ],
)
def test_a_sentence_that_no_longer_holds_stops_the_build(tmp_path, place, method, metric, value) -> None:
    for name in ("reported.csv", "reported_since.csv"):
        (tmp_path / name).write_bytes((ROOT / "results" / name).read_bytes())
    rows = pd.read_csv(tmp_path / "reported_since.csv", keep_default_na=False, dtype=str)
    changed = (rows.method == method) & (rows.metric == metric) & (rows.dataset == "DFEW") & (rows.fold == "")
    rows.loc[changed & (rows.kind == "reported"), "value"] = str(value)
    rows.to_csv(tmp_path / "reported_since.csv", index=False)
    with pytest.raises(SentenceError):
        since.filled(f"{{{{ {place} }}}}", tmp_path)


def test_the_citations_of_the_page_are_there() -> None:
    known = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    for key in re.findall(r"\{cite:p\}`(\w+)`", PAGE):
        assert f"{{{key}," in known
