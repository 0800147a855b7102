"""Any network as steps under each other, in the order in which its layers are called."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from dferlib.book.drawings.elements import Arrow, Element, Step
from dferlib.book.drawings.trace import Call, Shape, Trace
from dferlib.book.drawings.words import WHOLE, Extra, describe

MAPS, VOLUME = "B F C₀ H W", "B C₀ F H W"


@dataclass
class Unit:
    """A layer with what follows it, or several of a kind.

    Attributes:
        kinds: the classes of its layers.
        names: what each is called.
    """

    names: list[str]
    detail: str
    look: str
    count: int
    gives: Shape
    kinds: list[type[nn.Module]]
    extras: list[str] = field(default_factory=list)
    pool: str = ""

    def step(self) -> Step:
        """As a box."""
        first, many = self.names[0], len(self.names)
        name = first if many == 1 else f"{many} {_plural(first)}"
        if many > 1 and len(set(self.names)) > 1:
            name = f"{_plural(first.rsplit(' ', 1)[0])} {', '.join(one.rsplit(' ', 1)[1] for one in self.names)}"
        after = " after each" if many > 1 and self.extras else ""
        said = [self.detail, ", ".join(dict.fromkeys(self.extras)) + after, self.pool]
        details = "; ".join(part for part in said if part)
        return Step(name, details, self.look, count=self.count)


def _plural(name: str) -> str:
    """The name of a layer, of several."""
    noun, space, rest = name.partition(" ")
    if noun in ("Residual", "Mixed", "Transformer"):
        return f"{noun.lower()} {rest}s"
    if noun == "P3D":
        return f"{name}s"
    return f"{noun[0].lower()}{noun[1:]}s{space}{rest}"


def units(trace: Trace, name: str, calls: Sequence[Call] | None = None) -> list[Unit]:
    """The layers of a part, those that only follow another one together with it.

    Args:
        trace: of the model.
        name: of the part.
        calls: what to look at in place of all that is inside the part.
    """
    found: list[Unit] = []
    for call in trace.inside(name) if calls is None else calls:
        words = describe(call.module)
        if words is None:
            found += units(trace, call.name)
        elif not isinstance(words, Extra):
            found.append(Unit([words[0]], words[1], words[2], call.count, call.gives[0], [type(call.module)]))
        elif found and not _drops_nothing(call.module):
            last = found[-1]
            extras, count = [*last.extras, words.name], last.count + call.count
            found[-1] = replace(last, extras=extras, count=count, gives=call.gives[0])
    return found


def _drops_nothing(module: nn.Module) -> bool:
    return isinstance(module, nn.Dropout) and not module.p


def gathered(layers: Iterable[Unit], channel: int) -> list[Unit]:
    """The same with fewer boxes: equal layers in a row are one, and a pool belongs to what it follows.

    Args:
        layers: as `units` gives them.
        channel: the axis of the channels; layers are also one where only these differ.
    """
    found: list[Unit] = []
    for unit in layers:
        last = found[-1] if found else None
        if last and unit.names[0].startswith("Max-pool"):
            said = f"{last.pool}, " if last.pool else "then "
            said += f"max-pool{unit.names[0].removeprefix('Max-pool')}" + (f", {unit.detail}" if unit.detail else "")
            found[-1] = replace(last, pool=said, gives=unit.gives)
        elif last and not last.pool and _alike(last, unit, channel):
            detail = last.detail.replace("stride 2", "stride 2 at first")
            merged = replace(last, names=last.names + unit.names, count=last.count + unit.count, gives=unit.gives)
            found[-1] = replace(merged, detail=detail if len(set(merged.names)) == 1 else "three ways that take turns")
        else:
            found.append(unit)
    return found


def _alike(one: Unit, other: Unit, channel: int) -> bool:
    """Whether two layers are of one kind and give maps of one size."""
    sizes = [
        [size for axis, size in enumerate(unit.gives) if axis != channel % len(unit.gives)] for unit in (one, other)
    ]
    same = one.kinds == other.kinds[:1] * len(one.kinds) and sizes[0] == sizes[1] and one.extras == other.extras
    return same and (other.kinds[0] in WHOLE or one.names[0] == other.names[0])


def column(trace: Trace, name: str, axes: str = MAPS) -> list[Element]:
    """The layers of a part as boxes, with the shape behind each.

    Args:
        trace: of the model.
        name: of the part.
        axes: letters of the maps, see `Arrow`.
    """
    channel = axes.split().index("C₀")
    parts: list[Element] = []
    for unit in gathered(units(trace, name), channel):
        parts += [unit.step(), Arrow(unit.gives, fitting(unit.gives, axes, trace.model.input_spec.frames))]
    return parts


def fitting(shape: Shape, axes: str, frames: int) -> str:
    """The letters for a shape: without F where a single frame is looked at, f where time was shortened."""
    found = axes.split()
    if len(shape) == len(found) - 1 and "F" in found:
        found.remove("F")
    if "F" in found and shape[found.index("F")] != frames:
        size = shape[found.index("F")]
        extra = {frames + 1: "F+1", frames - 1: "F−1"}.get(size if isinstance(size, int) else 0, "f")
        found[found.index("F")] = extra if len(shape) < 5 else "f"
    return " ".join(found)


def blocks_of(trace: Trace, kind: type[nn.Module]) -> Sequence[Call]:
    """The calls of all parts of a class, those first that change no shape."""
    calls = [call for call in trace.calls if type(call.module) is kind]
    return sorted(calls, key=lambda call: call.takes != call.gives)
