"""The drawings show what a model does: shapes, names and equations, in boxes that nothing runs over."""

import inspect
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dferlib import create_model, list_models
from dferlib.book.drawings import Drawing, draw_model
from dferlib.book.drawings.canvas import Bounds, Box, Line
from dferlib.book.drawings.elements import counted
from dferlib.book.drawings.pictures import seen_by
from dferlib.book.drawings.sources import EQUATIONS
from dferlib.book.drawings.style import STYLE
from dferlib.book.drawings.text import wrap
from dferlib.models import attention as family
from dferlib.models.backbones import build_backbone, spec_of
from dferlib.models.base import ClipModel

ROOT = Path(__file__).parents[1]
PAPERS = ROOT.parent / "shared" / "papers"
SVG = "{http://www.w3.org/2000/svg}"
SMALLEST = 60_000  # bytes that a drawing may have
LARGE = ("stt", "msstnet", "i3d", "p3d")  # stand for the others at the papers' size
VARIANTS = [
    ("stt", {"spatial": False}),
    ("stt", {"spatial": False, "temporal": False}),
    ("stt", {"temporal": False, "layers": 1}),
    ("logo_former", {"window": (8, 4, 4), "pool": "conv"}),
    ("msstnet", {"stages": (4,)}),
    ("msstnet", {"stages": (1, 2, 3, 4), "blocks": 3}),
    ("msstnet", {"stages": (1, 4)}),
    ("staner", {"attention": False, "peak": "last", "alpha": 0.3}),
    ("sgaer", {"peak": "middle"}),
    ("former_dfer", {"spatial_layers": 3, "frames": 3}),
    ("single_frame", {"frames": 24, "num_classes": 11}),
    ("frame_average", {"backbone": "dlib_face", "weights": None, "size": 150}),
    ("resnet18_lstm", {"backbone": "resnet18", "weights": None, "frames": 1}),
]
everything = pytest.mark.parametrize(
    "name, overrides",
    [*((name, {}) for name in list_models()), *VARIANTS],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "whole",
)


def shapes_in(svg: str) -> list[tuple[int | str, ...]]:
    """The shapes that a drawing shows, as a reader finds them."""
    found = []
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if shape := group.get("data-shape"):
            said = [text.text for text in group if text.text != "×"]
            values, axes = shape.split(","), group.get("data-axes", "").split(",")
            letters = [a for a, value in zip(axes, values, strict=True) if a != value]
            assert sorted(said) == sorted(values + letters), "the words are not what the attributes say"
            found.append(tuple(int(value) if value.isdigit() else value for value in values))
    return found


def test_the_shapes_of_stt_are_those_of_its_arithmetic() -> None:
    """8 frames of 56 px, the backbone halves four times, 16 places and a frame of class tokens."""
    drawing = draw_model("stt", layers=3)
    (model,), (block, who) = drawing.columns
    tokens = ("B", 1 + 8, (56 // 16 + 1) ** 2, 128)
    assert shapes_in(alone(drawing, model)) == [
        ("B", 8, 3, 56, 56), ("B", 8, 128, 4, 4), ("B", 8, 16, 128), tokens, tokens, ("B", 128), ("B", 7),
    ]  # fmt: skip
    assert shapes_in(alone(drawing, block)) == [tokens, tokens]
    assert "× 3" in words_of(alone(drawing, model))
    assert shapes_in(alone(drawing, who)) == []


def test_the_shapes_of_logo_former_are_those_of_its_arithmetic() -> None:
    """128 tokens and a class token ask 16 windows of 2 x 2 x 2."""
    drawing = draw_model("logo_former")
    block = shapes_in(alone(drawing, drawing.columns[1][0]))
    assert block == [("B", 8, 16, 128), ("B", 8 * 16 + 1, 128), ("B", 4 * 2 * 2, 128), ("B", 8, 16, 128)]


def test_the_shapes_of_c3d_are_those_of_its_arithmetic() -> None:
    """Pools that keep what does not divide by two; the first leaves time alone."""
    sizes, channels = (8, 56), (8, 16, 32, 64, 64)
    expected: list[tuple[int | str, ...]] = [("B", 8, 3, 56, 56)]
    for stage, width in enumerate(channels):
        sizes = (-(-sizes[0] // (2 if stage else 1)), -(-sizes[1] // 2))
        expected.append(("B", width, sizes[0], sizes[1], sizes[1]))
    expected += [("B", 64 * sizes[0] * sizes[1] ** 2), ("B", 128), ("B", 128), ("B", 7)]
    assert shapes_in(draw_model("c3d").svg()) == expected


def test_the_scales_of_msstnet_are_those_of_its_arithmetic() -> None:
    drawing = draw_model("msstnet")
    maps = [("B", 8, 16 * 2 ** max(stage - 1, 0), 32 // 2 ** max(stage - 1, 0)) for stage in range(5)]
    ends = [("B", 8, 16, 128), ("B", 128), ("B", 7)]
    expected = [("B", 8, 3, 64, 64), *((*shape, shape[-1]) for shape in maps), *ends]
    assert shapes_in(alone(drawing, drawing.columns[0][0])) == expected


class Watcher(TorchDispatchMode):
    """Notes the shape of every tensor that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes = set[tuple[int, ...]]()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        self.shapes |= {tuple(x.shape) for x in tree_leaves((args, result)) if isinstance(x, Tensor)}
        return result


@everything
def test_every_shape_is_computed_by_the_model(name: str, overrides: dict) -> None:
    """With three clips every one of them has B = 3; frames may be stacked upon the clips."""
    model = create_model(name, **overrides).eval()
    spec, watcher = model.input_spec, Watcher()
    with torch.no_grad(), watcher:
        model(torch.randn(3, spec.frames, 3, spec.size, spec.size))
    shown = shapes_in(draw_model(model).svg())
    assert len(shown) >= 4
    for _, first, *rest in shown:
        assert {(3, first, *rest), (3 * int(first), *rest)} & watcher.shapes, f"nothing has the shape {(first, *rest)}"


def alone(drawing: Drawing, sheet) -> str:  # type: ignore[no-untyped-def]
    """A panel as a picture of its own."""
    return Drawing(drawing.title, "A panel.", [[sheet]]).svg()


def words_of(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def pictures_in(drawing: Drawing) -> Iterator[ElementTree.Element]:
    """Every SVG in both forms of a drawing."""
    yield ElementTree.fromstring(drawing.svg())
    yield from ElementTree.fromstring(drawing.html()).iter(f"{SVG}svg")


@everything
def test_it_is_small_whole_and_described(name: str, overrides: dict) -> None:
    drawing = draw_model(name, **overrides)
    for text in (drawing.svg(), drawing.html()):
        assert len(text.encode()) < SMALLEST
        assert not re.search(r"<script|<image|<foreignObject|href=|url\(|@import|\bon\w+=", text)
        assert text.replace("http://www.w3.org/2000/svg", "").count("//") == 0, "it refers to something elsewhere"
    for picture in pictures_in(drawing):
        title, description = picture.find(f"{SVG}title"), picture.find(f"{SVG}desc")
        assert title is not None and description is not None and title.text and description.text
        assert picture.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert picture.get("role") == "img"
    titles = [picture.find(f"{SVG}title").get("id") for picture in pictures_in(drawing)]  # type: ignore[union-attr]
    assert len(set(titles)) == len(titles)


@everything
def test_the_notebook_has_both_forms(name: str, overrides: dict) -> None:
    drawing = draw_model(name, **overrides)
    assert drawing._repr_svg_() == drawing.svg()
    assert drawing._repr_html_() == drawing.html()
    both = [sorted(words_of(drawing.svg()))]
    both.append(sorted("".join(t.itertext()) for t in ElementTree.fromstring(drawing.html()).iter(f"{SVG}text")))
    assert both[0] == both[1]


@everything
def test_nothing_runs_over_anything(name: str, overrides: dict) -> None:
    assert not faults(draw_model(name, **overrides))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in LARGE else pytest.mark.thorough) for name in list_models()]
)
def test_nothing_runs_over_anything_at_the_papers_size(name: str) -> None:
    drawing = draw_model(name, scale="paper")
    assert not faults(drawing)
    assert len(drawing.html().encode()) < SMALLEST


def faults(drawing: Drawing) -> list[str]:
    """Words that meet, boxes that meet, words that stick out of their box, lines through either."""
    found = []
    for sheet in drawing.sheets:
        words, canvas = sheet.canvas.all_words(), sheet.canvas
        boxes = [thing.bounds for thing in canvas.behind if isinstance(thing, Box)]
        paper = Bounds(0, 0, drawing.wide, sheet.height)
        found += [f"{a.text!r} meets {b.text!r}" for a, b in combinations(words, 2) if a.bounds.meets(b.bounds)]
        found += [f"boxes meet at {a}" for a, b in combinations(boxes, 2) if a.meets(b)]
        for word in words:
            around = [box for box in boxes if box.meets(word.bounds)]
            found += [f"{word.text!r} sticks out" for box in around if not box.holds(word.bounds)]
        found += [f"{word.text!r} leaves the paper" for word in words if not paper.holds(word.bounds, slack=1)]
        found += [f"a box leaves the paper at {box}" for box in boxes if not paper.holds(box, slack=0)]
        for line in (thing for thing in canvas.things if isinstance(thing, Line)):
            for stretch in stretches(line):
                found += [f"a line through {word.text!r}" for word in words if stretch.meets(word.bounds)]
                found += [f"a line through the box at {box}" for box in boxes if stretch.meets(box, slack=0.5)]
                if not paper.holds(stretch):
                    found.append(f"a line leaves the paper at {stretch}")
    return found


def stretches(line: Line) -> Iterator[Bounds]:
    """The straight parts of a line, a pixel wide."""
    for (x, y), (x2, y2) in zip(line.points, line.points[1:], strict=False):
        assert x == pytest.approx(x2) or y == pytest.approx(y2), "lines are level or upright"
        across, down = (0.5, 0) if x == pytest.approx(x2) else (0, 0.5)
        yield Bounds(min(x, x2) - across, min(y, y2) - down, max(x, x2) + across, max(y, y2) + down)


def test_a_fault_is_found() -> None:
    drawing = draw_model("frame_average")
    drawing.sheets[0].canvas.words(
        60, 60, "over the clip and its words, far too long for the box that it is in", "name"
    )
    assert len(faults(drawing)) >= 2


@everything
def test_the_equations_of_a_paper_are_drawn_and_no_others(name: str, overrides: dict) -> None:
    model = create_model(name, **overrides)
    inside = {type(module) for module in model.modules()} & set(EQUATIONS)
    cited = {equation.label: kind for kind in inside for equation in EQUATIONS[kind][1].values()}
    drawn = {word for word in words_of(draw_model(model).svg()) if word.startswith("Eq. ")}
    assert drawn <= set(cited)
    if not overrides:
        assert drawn == set(cited)
        if type(model) in EQUATIONS:
            assert any(EQUATIONS[type(model)][0].cited in word for word in words_of(draw_model(model).svg()))


def numbers_in(text: str) -> set[int]:
    """The equations that a text names: "Eq. 3 to 8", "Eq. 1 and 2"."""
    named = set[int]()
    for first, link, last in re.findall(r"Eq\. (\d+)(?: (to|and) (\d+))?", text):
        named |= set(range(int(first), int(last) + 1)) if link == "to" else {int(first), int(last or first)}
    return named


@pytest.mark.parametrize("kind", EQUATIONS, ids=lambda kind: kind.__name__)
def test_an_equation_is_named_where_the_library_computes_it(kind: type[nn.Module]) -> None:
    paper, parts = EQUATIONS[kind]
    source = inspect.getsource(inspect.getmodule(kind))  # type: ignore[arg-type]
    assert {number for part in parts.values() for number in part.numbers} <= numbers_in(source)
    *names, year = re.findall(r"[A-Z]\w+|\d{4}", paper.cited)
    assert all(name in source for name in (*names, year)), "the source cites another paper"


@pytest.mark.parametrize("kind", [k for k in EQUATIONS if EQUATIONS[k][0].text], ids=lambda kind: kind.__name__)
def test_an_equation_stands_in_the_paper(kind: type[nn.Module]) -> None:
    if not PAPERS.is_dir():
        pytest.skip("the texts of the papers are not here")
    paper, parts = EQUATIONS[kind]
    text = (PAPERS / f"{paper.text}.md").read_text(encoding="utf-8")
    found = re.findall(r"\\tag\{(\d+)\}|\((\d+)\)\$*\s*$", text, re.MULTILINE)
    printed = {int(number) for pair in found for number in pair if number}
    assert {number for part in parts.values() for number in part.numbers} <= printed
    words = {word for part in parts.values() for word in re.findall(r"[A-Za-z]{2,}", part.formula.partition(",")[0])}
    assert not {word for word in words if word.lower() not in text.lower()}


def test_parameters_are_counted() -> None:
    assert [counted(n) for n in (903, 1024, 65_536, 999_999, 1_234_567, 28_000_000)] == [
        "903", "1.0 k", "66 k", "1000 k", "1.2 M", "28 M",
    ]  # fmt: skip
    model = create_model("stt")
    said = words_of(draw_model(model).svg())
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_modules()}
    for part in ("backbone", "project", "blocks.0", "blocks.0.spatial", "blocks.0.mlp", "head"):
        assert counted(sizes[part]) in said
    assert any(f"{counted(sizes[''])} parameters" in word for word in said)


@pytest.mark.parametrize("name", ["stt", "staner", "r3d18"])
def test_drawing_changes_nothing(name: str) -> None:
    model = create_model(name).train()
    model.backbone.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.random.get_rng_state()
    draw_model(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state), "chance goes on elsewhere"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_same_model_gives_the_same_drawing() -> None:
    assert draw_model("logo_former").svg() == draw_model("logo_former").svg()


class MotionAverage(ClipModel):
    """A model that a contributor has just written."""

    def __init__(self) -> None:
        super().__init__()
        self.input_spec = spec_of("slim", 32, 4)
        self.backbone = build_backbone("slim", None)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(128, 5))

    def features_from_maps(self, maps: Tensor) -> Tensor:
        return maps.diff(dim=1).abs().mean((1, 3, 4))


def test_a_new_model_has_a_drawing() -> None:
    drawing = draw_model(MotionAverage())
    assert not faults(drawing)
    shapes = [("B", 4, 3, 32, 32), ("B", 4, 128, 2, 2), ("B", 128), ("B", 5)]
    assert shapes_in(alone(drawing, drawing.columns[0][0])) == shapes
    assert "MotionAverage" in words_of(drawing.svg())


@pytest.mark.parametrize("kind", ["JointAttention", "SpatialAttention", "TemporalAttention", "LocalAttention"])
def test_who_looks_at_whom_is_asked_of_the_attention(kind: str) -> None:
    layer = getattr(family, kind)(16, 2, (2, 2, 2))
    seen = seen_by(layer, 4, 16, (2, 5))
    assert seen.sum() == layer.seen(4, 16)
    assert seen[2, 5]
    if kind == "TemporalAttention":
        assert seen[:, 5].all()


def test_pages_have_colours_for_light_and_for_dark() -> None:
    rules = re.findall(r"\{(--ink:#[^}]*)\}", STYLE.replace("font-family", "}{"))
    light, dark_system, light_pages, dark_pages = (dict(re.findall(r"--([\w-]+):([^;]+);", rule)) for rule in rules)
    assert light == light_pages
    assert dark_system == dark_pages
    assert set(light) == set(dark_pages)
    assert not [name for name, colour in light.items() if dark_pages[name] == colour]
    assert set(re.findall(r"var\(--([\w-]+)\)", STYLE)) == {*light, "wide", "gap"}
    assert "prefers-color-scheme:dark" in STYLE and "html[data-theme=dark]" in STYLE


def test_long_names_are_wrapped_and_sizes_stay_whole() -> None:
    assert wrap("one two three", 11, 50) == ["one two", "three"]
    assert wrap("stride 1\u00a0×\u00a02\u00a0×\u00a02", 11, 40) == ["stride", "1\u00a0×\u00a02\u00a0×\u00a02"]
    assert wrap("", 11, 40) == []
