"""The chosen frame and the fusion: answers and accuracies are those of numpy, scikit-learn and the model itself."""

import re

import numpy as np
import pytest
import sklearn.metrics
import torch
from reader import Open, composed, number, press
from test_player import Shown, shown  # noqa: F401
from test_site import browser  # noqa: F401
from tiny import make_source

from dferlib import EMOTIONS, create_model
from dferlib.book.fusing import WAYS, Decisions, every_frame, fusion_explorer
from dferlib.data.transforms import prepare
from dferlib.errors import InputError

site = pytest.mark.site
N, F, C = 70, 5, len(EMOTIONS)


def made_up() -> Decisions:
    rng = np.random.default_rng(4)
    labels = np.arange(N) % C
    frames, whole = rng.dirichlet(np.ones(C), (N, F)), rng.dirichlet(np.ones(C), N)
    frames[np.arange(N), rng.integers(0, F, N), labels] += 0.6
    whole[np.arange(N), labels] += 0.15
    frames, whole = frames / frames.sum(2, keepdims=True), whole / whole.sum(1, keepdims=True)
    return Decisions(frames, whole, rng.integers(0, F, N), rng.integers(0, F, N), labels)


DECIDED = made_up()
CLIPS = {
    k: np.full((F, 3, 16, 16), 30 * k, np.uint8) + 8 * np.arange(F, dtype=np.uint8)[:, None, None, None]
    for k in (2, 0, 6)
}


def by_loops(way: str) -> np.ndarray:
    """What stands for SGAER, clip by clip, (N, C)."""
    found = []
    for n in range(N):
        each = DECIDED.frames[n]
        if way == "vote":
            votes = [int(np.argmax(frame)) for frame in each]
            found.append([votes.count(c) / F for c in range(C)])
        elif way == "max":
            highest = [max(frame[c] for frame in each) for c in range(C)]
            found.append([one / sum(highest) for one in highest])
        elif way == "mean":
            found.append([sum(frame[c] for frame in each) / F for c in range(C)])
        else:
            found.append(
                each[{"rule": DECIDED.rule[n], "apex": DECIDED.apex[n]}.get(way, int(way) if way.isdigit() else 0)]
            )
    return np.array(found)


def expected_uar(way: str, alpha: float) -> float:
    fused = alpha * by_loops(way) + (1 - alpha) * DECIDED.whole
    return sklearn.metrics.recall_score(DECIDED.labels, fused.argmax(1), average="macro")


@pytest.mark.parametrize("way", [*map(str, range(F)), *WAYS])
def test_each_way_is_what_its_loops_say(way: str) -> None:
    assert DECIDED.spatial(way) == pytest.approx(by_loops(way), abs=1e-12)
    assert DECIDED.spatial(way).sum(1) == pytest.approx(np.ones(N))
    for alpha in (0.0, 0.35, 1.0):
        assert DECIDED.uar(way, alpha) == pytest.approx(expected_uar(way, alpha))


def test_each_frame_is_answered_as_if_it_were_the_peak() -> None:
    torch.manual_seed(0)
    model = create_model("staner", weights=None, frames=4, peak="last").eval()
    source, frames = make_source(5, frames=6, side=model.input_spec.size), [0, 2, 3, 5]
    found = every_frame(model, source, frames)
    assert found.shape == (5, 4, C)
    for n in range(5):
        clip = prepare(torch.from_numpy(source.read(n, np.array(frames))[None]), model.input_spec)
        for k in range(4):
            shifted = clip.roll(3 - k, dims=1)  # now the last one is frame k
            with torch.inference_mode():
                expected = model.head.both(model.forward_features(shifted))[0].softmax(1)[0]
            assert found[n, k] == pytest.approx(expected.numpy(), abs=1e-5)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(InputError, match="clips of 5 frames"):
        fusion_explorer(DECIDED, {}, alt="x")
    with pytest.raises(InputError, match="clips of 5 frames"):
        fusion_explorer(DECIDED, {0: CLIPS[0][:3]}, alt="x")
    with pytest.raises(InputError, match="names of 7 classes"):
        fusion_explorer(DECIDED, CLIPS, classes=EMOTIONS[:5], alt="x")


def agrees(one: Shown, clip: int, way: str, alpha: float) -> None:
    """Bars, sentence and accuracies are those of the clip, the way and the weight."""
    parts = [by_loops(way)[clip], DECIDED.whole[clip]]
    parts.append(alpha * parts[0] + (1 - alpha) * parts[1])
    rows = one.page.locator(".fim-decisions > :not(.fim-head)")
    for c in range(C):
        cells = rows.nth(c).locator("i")
        for k, values in enumerate(parts):
            length = float(cells.nth(k).evaluate("one => one.style.getPropertyValue('--v')"))
            assert length == pytest.approx(values[c], abs=2e-4)
            assert ("top" in (cells.nth(k).get_attribute("class") or "")) == (c == values.argmax())
    said, true = one.page.locator(".fim-said").inner_text(), DECIDED.labels[clip]
    assert said.startswith(f"A clip of {EMOTIONS[true]}.")
    answer = re.search(r"Together: (\w+), .* which is (\w+)\.", said)
    assert answer and answer.groups() == (
        EMOTIONS[parts[2].argmax()],
        "right" if parts[2].argmax() == true else "wrong",
    )
    assert number(said.split("UAR of")[1]) == pytest.approx(100 * expected_uar(way, alpha), abs=0.051)
    assert number(said.split("TLER alone has")[1]) == pytest.approx(100 * expected_uar(way, 0), abs=0.051)
    assert number(said.split("SGAER alone")[1]) == pytest.approx(100 * expected_uar(way, 1), abs=0.051)
    for key in WAYS:
        shown_uar = number(one.page.locator(f"[data-uar={key}]").inner_text())
        assert shown_uar == pytest.approx(100 * expected_uar(key, alpha), abs=0.051)
    frames = one.page.locator(".fim-frames label")
    for k in range(F):
        values = DECIDED.frames[clip, k]
        assert frames.nth(k).locator("b").inner_text() == EMOTIONS[values.argmax()]
        assert number(frames.nth(k).locator("span").inner_text()) == pytest.approx(100 * values.max(), abs=0.51)
        assert ("right" in (frames.nth(k).get_attribute("class") or "").split()) == (values.argmax() == true)


@site
def test_frames_ways_and_the_weight_decide(shown: Open) -> None:  # noqa: F811
    one = shown(fusion_explorer(DECIDED, CLIPS, alt="Frames").html)
    page = one.page
    agrees(one, 2, "rule", 0.5)
    page.get_by_role("radio", name="frame 4: ").click()
    agrees(one, 2, "3", 0.5)
    page.keyboard.press("ArrowRight")
    agrees(one, 2, "4", 0.5)
    press(one, "alpha", "ArrowRight", "ArrowRight", "ArrowRight")
    agrees(one, 2, "4", 0.65)
    for way in WAYS:
        page.locator(f"input[value={way}]").check()
        agrees(one, 2, way, 0.65)
    page.locator("select").select_option("2")
    agrees(one, 6, "vote", 0.65)
    page.locator("input[value=apex]").check()
    assert page.locator(".fim-frames .chosen").count() == 1
    agrees(one, 6, "apex", 0.65)
    press(one, "alpha", "End")
    agrees(one, 6, "apex", 1.0)
    assert not one.wrong


@site
def test_the_faces_are_those_of_the_clip_and_its_frames(shown: Open) -> None:  # noqa: F811
    one = shown(fusion_explorer(DECIDED, CLIPS, alt="Frames").html)
    for place, clip in enumerate(CLIPS.values()):
        one.page.locator("select").select_option(str(place))
        for k in (0, F - 1):
            red, green, blue = one.pixel(f".fim-frames i >> nth={k}")
            assert [red, green, blue] == pytest.approx([int(clip[k, 0, 0, 0])] * 3, abs=10)


@site
def test_without_scripts_faces_and_accuracies_are_there(shown: Open) -> None:  # noqa: F811
    one = shown(fusion_explorer(DECIDED, CLIPS, alt="Frames").html, scripts=False)
    assert one.page.locator(".fim-sheet:visible").count() == len(CLIPS)
    rows = one.page.locator(".fim-still tbody tr")
    assert rows.count() == F + len(WAYS)
    for k, way in enumerate([*map(str, range(F)), *WAYS]):
        found = [number(text) for text in rows.nth(k).locator("td").all_inner_texts()]
        assert found == pytest.approx([100 * expected_uar(way, alpha) for alpha in (1, 0.5, 0)], abs=0.051)


@site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_light_and_dark_wide_and_narrow(width: int, scheme: str, shown: Open) -> None:  # noqa: F811
    piece = fusion_explorer(DECIDED, CLIPS, alt="Frames").html
    one = shown(piece, piece, scheme=scheme, width=width)
    composed(one, width, scheme)
    one.page.locator("input[value=vote]").first.check()
    found = one.page.evaluate("[...document.querySelectorAll('.fim')].map(one => one.fim.way)")
    assert found == ["vote", "rule"], "two do not know of each other"
    assert not one.wrong


def test_it_is_small_and_asks_for_nothing() -> None:
    piece = fusion_explorer(DECIDED, CLIPS, alt="Frames").html
    assert len(piece.encode()) <= 60_000
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']{0,11})""", piece)
    assert set(sources) == {"data:image/"}
    assert set(re.findall(r"https?://[^\"'\s]+", piece)) <= {"http://www.w3.org/2000/svg"}
    assert piece == fusion_explorer(DECIDED, CLIPS, alt="Frames").html
