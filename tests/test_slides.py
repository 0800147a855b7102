"""The slides of a chapter: each of its figures under what was found, and nothing of exercises and boxes."""

import pytest
from chapters import ROOT

BODY = """<section id="page"><h1>STT<a class="headerlink" href="#page">#</a></h1>
<p><strong>The page begins</strong> with words.</p>
<div class="admonition"><p><strong>You need nothing but this.</strong></p><div class="picture">in a box</div></div>
<section id="idea"><h2>The <em>idea</em></h2><p>Before: <strong>this is not a finding here</strong></p>
<p><strong>Two steps reach <em>all</em> tokens.</strong> More words.</p>
<figure id="fig-a"><div class="picture"><img src="../a.png"></div><figcaption>What it shows</figcaption></figure>
<p>A <strong>token</strong>.</p><p><strong>A token</strong> is a vector.</p>
<div class="fim">alive <table class="numbers"></table></div>
<p><strong>The third finding is short.</strong></p><table class="numbers"><caption>UAR</caption></table>
<section id="below"><h3>Below</h3><div class="dfer-drawing">the model</div></section></section>
<section id="exercises"><h2>Exercises</h2><div class="exercise admonition"><div class="fim">asked</div></div>
<details><summary>solved</summary><div class="picture">answer</div></details></section></section>"""


@pytest.fixture
def slides(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "book")
    import slides

    return slides


def test_each_figure_stands_under_the_last_finding_above_it(slides) -> None:
    title, found = slides.slides_of(BODY)
    assert title == "STT"
    assert [(one.section, one.anchor, one.finding) for one in found] == [
        ("The <em>idea</em>", "idea", "Two steps reach <em>all</em> tokens."),
        ("The <em>idea</em>", "idea", "Two steps reach <em>all</em> tokens."),
        ("The <em>idea</em>", "idea", "The third finding is short."),
        ("Below", "below", ""),
    ]
    assert [one.figure.split(">")[0] for one in found] == [
        '<figure id="fig-a"', '<div class="fim"', '<table class="numbers"', '<div class="dfer-drawing"',
    ]  # fmt: skip


def test_a_figure_is_whole(slides) -> None:
    figure = slides.slides_of(BODY)[1][0].figure
    assert "../a.png" in figure and "What it shows" in figure
