"""Draw `wings.svg`, the picture of the page on architecture, from the imports: `python book/_static/draw_wings.py`."""

from pathlib import Path

import grimp
import networkx as nx

PICTURE = Path(__file__).with_name("wings.svg")
GROUND = "errors · files · devices · emotions"
# column, row, and what a wing is in a few words
WINGS = {
    "cli": (1, 0, "the command line"),
    "book": (0, 1, "what chapters show"),
    "inference": (1, 2, "a model on your own video"),
    "evidence": (1, 3, "studies, records, intervals"),
    "training": (1, 4, "loss, optimiser, loop, metrics"),
    "models": (1, 5, "one file a paper, on one attention"),
    "makefaces": (2, 5, "rendered clips that know the truth"),
    "data": (2, 6, "clips as tables; public data sets"),
    "video": (2, 7, "frames of any file; faces in them"),
    GROUND: (0, 8, "one exception, whole files, which device, the seven classes"),
}
WIDE, HIGH, ACROSS, DOWN, EDGE = 236, 54, 252, 88, 8  # pixels


def imports() -> nx.DiGraph:
    """Which wing imports which, also inside functions and for type checkers; without what follows from others."""
    graph = grimp.build_graph("dferlib", cache_dir=None)
    wings = nx.DiGraph()
    for module in graph.modules - {"dferlib"}:
        for other in graph.find_modules_directly_imported_by(module):
            ends = [name if (name := path.split(".")[1]) in WINGS else GROUND for path in (module, other)]
            if ends[0] != ends[1]:
                wings.add_edge(*ends)
    return nx.transitive_reduction(wings)


def box(name: str) -> tuple[float, float, float]:
    """The left and upper edge of a wing, and its width."""
    column, row, _ = WINGS[name]
    if name == GROUND:
        return EDGE, EDGE + row * DOWN, 2 * ACROSS + WIDE
    return EDGE + column * ACROSS, EDGE + row * DOWN, WIDE


def arrow(one: str, other: str) -> str:
    """A line from the foot of a wing to the head of what it imports."""
    (left, top, wide), (left2, top2, wide2) = box(one), box(other)
    if top2 <= top:
        raise SystemExit(f"{one} imports {other}, which is not below it")
    x = left + wide / 2
    x2 = x if other == GROUND else left2 + wide2 / 2
    return f'<line x1="{x:g}" y1="{top + HIGH:g}" x2="{x2:g}" y2="{top2 - 3:g}"/>'


def svg() -> str:
    """The picture."""
    width, height = 2 * EDGE + 2 * ACROSS + WIDE, 2 * EDGE + 8 * DOWN + HIGH
    lines = [arrow(one, other) for one, other in sorted(imports().edges)]
    boxes = []
    for name, (_, _, words) in WINGS.items():
        left, top, wide = box(name)
        middle = left + wide / 2
        boxes += [
            f'<rect x="{left:g}" y="{top:g}" width="{wide:g}" height="{HIGH}" rx="8"/>',
            f'<text class="name" x="{middle:g}" y="{top + 22:g}">{name}</text>',
            f'<text x="{middle:g}" y="{top + 41:g}">{words}</text>',
        ]
    style = (
        "text{font:14px sans-serif;fill:#444;text-anchor:middle}.name{font-weight:bold;font-size:16px;fill:#111}"
        "rect{fill:#eef4f8;stroke:#0072b2;stroke-width:1.5}line{stroke:#555;stroke-width:1.5;marker-end:url(#tip)}"
    )
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    paper = f'<path d="M0 0H{width}V{height}H0z" fill="#fff"/>'  # white, so that it is readable in dark mode, too
    marker = f'<defs><style>{style}</style>{tip}<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>'
    return "\n".join([head, marker, paper, *lines, *boxes, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
