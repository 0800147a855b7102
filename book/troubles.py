"""What the library says when something goes wrong, read from its code, for the page "When it goes wrong".

Every `InputError` is found, with all its wordings. "…" stands for what is filled in when it is raised.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1] / "dferlib"
FILLED_IN = "…"
INSTALL = ("pip install", "go online")  # messages with these words stand in the first section, whatever their module
# the sections of the page: how the modules begin whose messages stand there; the first that fits counts
SECTIONS = {
    "installing": (),
    "videos": ("video/", "inference/"),
    "datasets": ("data/check", "data/classes", "data/pack", "data/protocols", "data/sets/"),
    "clips": ("data/",),
    "makefaces": ("makefaces/",),
    "models": ("models/",),
    "training": ("training/",),
    "records": ("evidence/", "book/"),
    "commands": ("cli/", "devices", "errors", "files"),
}
# what to add to the messages that begin like this
NOTES = {
    "unknown … …": "A name is mistyped, or belongs to another version.",
    "…: no clip can be used in": "The first thing that is wrong follows; `dferlib check-data` lists them all.",
    "no clips are left": "Leave out fewer classes, or say what they count as.",
    "… lacks the list of the": "The makers of the set hand out its lists with the clips: put them beside the clips.",
    "… is not … as it is known": "Chapter 13 shows how a set may lie on disk, and how one is read that does not.",
    "… rows in the": "Give the function that makes a store arrays of one length.",
    "the prior … is for": "Leave the prior out, or choose a task with as many classes.",
    "… places are not a square map": "Give square frames, and a backbone that keeps them square.",
    "cannot read the checkpoint": "Copy it again. What other programs write, such as a `.pth`, is no checkpoint.",
    "… is no dferlib checkpoint": "Another program wrote it. Give a file that `dferlib train` wrote.",
    "… … weight …": "The file is whole, but made for another version of the model: train it again with this one.",
    "… does not fit the weight": "Build the model with the settings that the file was made with, or give another.",
    "cannot read the clip": "Open the file in another program. If it is broken there as well, copy it again.",
    "the data set holds no clips": "Look at the split and the fold that were asked for.",
    "the data has … classes": "Make a model of as many classes as the data has.",
    "the model takes … frames, which": "Choose a number of frames for each segment that divides those of the model.",
    "a … lies outside 0 to": "Labels are numbers of classes, and begin with 0.",
    "… comes out otherwise": "On the same processor and versions the same comes out, to the last bit. Elsewhere some "
    "answers differ; if they do on the same machine, what the library computes has changed since.",
    "the probe of … failed": "A few training steps tell whether a record is current. They have failed; the last line "
    "of their error follows.",
    "…: … is written as": "The record was edited or damaged: restore it, or make it again.",
    "the runs are of different clips": "Compare runs of one study.",
    "the runs tell other classes apart": "Compare runs of one task.",
    "… was made on other clips": "The renderer has changed since: `dferlib study` makes the record again.",
}


@dataclass(frozen=True)
class Message:
    """What an error says.

    Attributes:
        module: the file that raises it, relative to the library.
        text: with "…" for what is filled in.
    """

    module: str
    text: str

    @property
    def section(self) -> str:
        """Where on the page it stands.

        Raises:
            LookupError: there is no section for its module.
        """
        if any(words in self.text for words in INSTALL):
            return next(iter(SECTIONS))
        found = (name for name, begins in SECTIONS.items() if self.module.startswith(begins))
        if section := next(found, ""):
            return section
        raise LookupError(f"no section of the page has messages of {self.module}: add it to SECTIONS")

    @property
    def line(self) -> str:
        """The line on the page."""
        note = next((note for begin, note in NOTES.items() if self.text.startswith(begin)), "")
        return f"- `` {self.text} ``" + (f"\\\n  {note}" if note else "")


def messages(library: Path = LIBRARY) -> list[Message]:
    """All messages, each once, in the order of the files."""
    found: dict[Message, None] = {}
    for path in sorted(library.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for said, function in _raised(tree, tree):
            texts = (re.sub(f"{FILLED_IN}+", FILLED_IN, text) for text in _wordings(said, function, tree))
            found |= dict.fromkeys(Message(path.relative_to(library).as_posix(), text) for text in texts)
    return list(found)


def filled(page: str) -> str:
    """The page with the messages of each section in place of the section's name in curly brackets."""
    lines: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for message in messages():
        if message.line not in lines[message.section]:
            lines[message.section].append(message.line)
    for section, own in lines.items():
        page = page.replace(f"{{{{ {section} }}}}", "\n".join(own))
    return page


def _raised(node: ast.AST, function: ast.AST) -> Iterator[tuple[ast.expr, ast.AST]]:
    """What each InputError is given, and the function that it is raised in."""
    function = node if isinstance(node, ast.FunctionDef) else function
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "InputError":
        yield node.args[0], function
    for child in ast.iter_child_nodes(node):
        yield from _raised(child, function)


def _wordings(node: ast.expr, function: ast.AST, tree: ast.Module, seen: frozenset[str] = frozenset()) -> list[str]:
    """Every text that an expression can be, as far as it stands in this function or in its file."""

    def joined(*parts: ast.expr) -> list[str]:
        return ["".join(texts) for texts in product(*(_wordings(part, function, tree, seen) for part in parts))]

    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return joined(*parts)
        case ast.FormattedValue(value=value):
            return joined(value)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return joined(left, right)
        case ast.IfExp(body=one, orelse=other):
            return [text for text in joined(one) + joined(other) if text]  # of something and nothing, something
        case ast.Name(id=name) if name not in seen:
            given = _assigned(name, ast.walk(function)) or _assigned(name, tree.body)
        case ast.Call(func=ast.Name(id=name)) if name not in seen:
            own = (part for part in tree.body if isinstance(part, ast.FunctionDef) and part.name == name)
            function = next(own, ast.Module([], []))
            given = [part.value for part in ast.walk(function) if isinstance(part, ast.Return) and part.value]
        case _:
            return [FILLED_IN]
    texts = [text for value in given for text in _wordings(value, function, tree, seen | {name})]
    return list(dict.fromkeys(texts)) or [FILLED_IN]


def _assigned(name: str, nodes: Iterable[ast.AST]) -> list[ast.expr]:
    """What a name is set to."""
    found = [node for node in nodes if isinstance(node, ast.Assign)]
    return [node.value for node in found if name in (getattr(target, "id", "") for target in node.targets)]
