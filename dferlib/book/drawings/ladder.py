"""MSSTNet's scales: the stages of its backbone at the left, a T-Former for each of the chosen ones at the right."""

from dataclasses import dataclass
from typing import Any

from dferlib.book.drawings.canvas import Canvas, sizes
from dferlib.book.drawings.elements import SPINE, Arrow, Element, Plus, Step, letters
from dferlib.book.drawings.sources import cite
from dferlib.book.drawings.trace import Trace
from dferlib.book.drawings.words import FRAME, TIME, TOKEN
from dferlib.models import MSSTNet

LEFT, BETWEEN, SIDE = 112.0, 24.0, 20.0  # the stages; the room beside them; that of what comes from the scale before
BOX = 27.0  # the height of a stage


def stage_name(trace: Trace, number: int, net: str = "backbone.net") -> str:
    """The name of the stem (0) or a stage of a backbone."""
    if f"{net}.stem" in trace:
        return f"{net}.blocks.{number - 1}" if number else f"{net}.stem"
    return f"{net}.{number}"


@dataclass
class Ladder(Element):
    """From the clip to the tokens behind the last T-Former."""

    trace: Trace

    def draw(self, canvas: Canvas, x: float, y: float, width: float) -> float:
        """Draw it."""
        model: Any = self.trace.model
        chosen, bottom, foot, spine = model.backbone.stages, y, y, x + SPINE
        for number in range(max(chosen) + 1):
            name = stage_name(self.trace, number)
            top = bottom
            if number in chosen[1:]:  # its scale stands under the scale before
                top = max(bottom + 15, foot - BOX)
                canvas.line((spine, bottom), (spine, top), tip=True)
            box = Step(f"Stage {number}" if number else "Stem", "", FRAME, count=self.trace.count(name))
            bottom, shape = box.draw(canvas, x, top, LEFT), self.trace.gives(name)
            fork, below = number in chosen, number < max(chosen)
            beside = not fork and number > chosen[0]  # a T-Former, which leaves no room for sizes that nobody uses
            bottom = (Arrow() if beside else Arrow(shape, "B F C₀ H W", tip=not fork)).draw(canvas, x, bottom, LEFT)
            if fork:
                canvas.line((spine, bottom), (spine, bottom + 20), (x + LEFT + BETWEEN, bottom + 20), tip=True)
                foot = self._scale(canvas, chosen.index(number), x + LEFT + BETWEEN, bottom, x + width, foot)
                if below and number + 1 not in chosen:
                    canvas.line((spine, bottom), (spine, bottom + 60), tip=True)
                    bottom += 60
        lane, low = x + width - SIDE / 2, foot + 18
        shape = self.trace.gives(f"t_formers.{len(chosen) - 1}")
        canvas.line((lane, foot), (lane, low), (spine, low), (spine, low + 34), tip=True)
        canvas.put(sizes(spine + 11, low + 15, shape, letters(shape, "B F S D")))
        return low + 34

    def _scale(self, canvas: Canvas, k: int, x: float, y: float, right: float, before: float) -> float:
        """Patches, embedding, the sum with the scale that ends at `before`, the T-Former; returns where it ends."""
        trace = self.trace
        model: Any = trace.model
        grid, lane = model.backbone.grid, right - SIDE / 2
        words = f"{grid} × {grid} patches to tokens; their time is added"
        embed = Step("Embedding", words, TOKEN, cite(MSSTNet, "embed"), trace.count(f"embed.{k}"))
        bottom = embed.draw(canvas, x, y, right - SIDE - x)
        bottom = Arrow().draw(canvas, x, bottom, right - x)
        if k:
            canvas.line((lane, before), (lane, bottom + 7), (x + SPINE + 7, bottom + 7))
            bottom = Plus("the scale before", above=True).draw(canvas, x, bottom, right - x)
            bottom = Arrow().draw(canvas, x, bottom, right - x)
        former = Step(
            f"T-Former {k + 1}", "over time, then MLP", TIME,
            count=trace.count(f"t_formers.{k}.0"), copies=len(model.t_formers[k]),
        )  # fmt: skip
        return former.draw(canvas, x, bottom, right - x)
