"""What a chapter's outputs depend on, and a digest of each of these things as it is now.

A need is a line of the tracker: "file PATH", "list PATH", "code PATH", "code PATH:FUNCTION" or "state PATH"; "versions"
stands for Python and the packages, "behaviour" for all that the state of a record can depend on. Comments, docstrings
and the layout of code are in no digest.
"""

import ast
import hashlib
import platform
import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import dferlib
from dferlib.evidence.source import BEHAVIOUR, digest_of, meaning
from tracker.definitions import WHOLE, functions

MISSING = "missing"
BUILT = ("_build", "__pycache__")
WORDS = {"file": "{}", "list": "what is in {}", "code": "{}", "state": "the state of {}", "versions": "a package"}


class Present:
    """Things as they are now.

    Args:
        root: the folder that paths are relative to.
        states: says of records, as paths, whether they are current; asked at most once about each.
    """

    def __init__(self, root: Path, states: Callable[[list[Path]], list[str]]) -> None:
        self.root, self.states = root, states
        self.known: dict[str, str] = {}

    def ask_states(self, needs: Iterable[str]) -> None:
        """Ask for several states at once: of an old version of the library each may take a second."""
        new = sorted(set(needs) - set(self.known))
        if new:
            answers = self.states([self.root / need.removeprefix("state ") for need in new])
            self.known |= dict(zip(new, answers, strict=True))

    def digest(self, need: str) -> str:
        """What a need is like now; a state must have been asked for."""
        if need not in self.known:
            kind, _, name = need.partition(" ")
            self.known[need] = getattr(self, f"_{kind}")(name)
        return self.known[need]

    def edited_since(self, needs: Iterable[str], seconds: float) -> list[str]:
        """Those that were changed after a time, in seconds since the epoch."""
        return [need for need in needs if self._edited(need) > seconds]

    def _edited(self, need: str) -> float:
        kind, _, name = need.partition(" ")
        path = self.root / name.partition(":")[0]
        some = files(path) if kind == "code" and path.is_dir() else [path]
        return max((one.stat().st_mtime for one in some if one.exists()), default=0.0)

    def _file(self, name: str) -> str:
        path = self.root / name
        return hashed(path.read_bytes()) if path.is_file() else "folder" if path.is_dir() else MISSING

    def _list(self, name: str) -> str:
        folder = self.root / name
        return hashed(*sorted(filter(shown, (path.name for path in folder.iterdir())))) if folder.is_dir() else MISSING

    def _code(self, name: str) -> str:
        module, _, function = name.partition(":")
        path = self.root / module
        if path.is_dir():
            return hashed(*(content(file) for file in files(path)))
        if not path.is_file():
            return MISSING
        found = parts(path, path.stat().st_mtime_ns).get(function, MISSING)
        if function or path.name != "__init__.py":
            return found
        return hashed(found, *(content(file) for file in files(path.parent) if is_data(file, path.parent)))

    def _behaviour(self, _: str) -> str:
        return digest_of(BEHAVIOUR, Path(dferlib.__path__[0]))

    def _versions(self, _: str) -> str:
        names = {re.split(r"[^\w.-]", wanted)[0] for wanted in requires("dferlib") or ()}
        found = (f"{name} {installed}" for name in sorted(names) if (installed := version_of(name)))
        return ", ".join([f"Python {platform.python_version()}", *found])


def in_words(need: str) -> str:
    """What changed, for people."""
    kind, _, name = need.partition(" ")
    module, _, function = name.partition(":")
    return WORDS[kind].format(f"{function} in {module}" if function else module)


def hashed(*things: str | bytes) -> str:
    """A short digest of some things, in their order."""
    total = hashlib.sha256()
    for thing in things:
        one = thing.encode() if isinstance(thing, str) else thing
        total.update(len(one).to_bytes(8, "big") + one)
    return total.hexdigest()[:20]


def shown(name: str) -> bool:
    """Whether a file or folder of that name is anybody's data."""
    return not name.startswith(".") and name not in BUILT and not name.endswith((".py", ".ipynb"))


def files(folder: Path) -> list[Path]:
    """All files of a package, sorted."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.relative_to(folder).parts)


def is_data(path: Path, package: Path) -> bool:
    """Whether a file is data of this package, and not of one inside it."""
    owner = next(folder for folder in path.parents if (folder / "__init__.py").is_file() or folder == package)
    return path.suffix != ".py" and owner == package


def content(path: Path) -> str:
    """A digest of a file, of code by what it says."""
    if path.suffix != ".py":
        return hashed(path.read_bytes())
    found = parts(path, path.stat().st_mtime_ns)
    return hashed(*(f"{name} {found[name]}" for name in sorted(found)))


@cache
def parts(path: Path, _: int) -> dict[str, str]:
    """Digests of the functions of a file, by name, and under "" of the rest: what happens when it is imported.

    The rest has the signatures of methods, which inheritance and introspection see. A function of the module that is
    not decorated is not in it: whoever does not call it does not notice it.

    Args:
        path: the file.
        _: when it was last changed.
    """
    tree, found = meaning(path), dict[str, str]()
    for name, node in functions(tree):
        found[name] = hashed(found.get(name, ""), ast.dump(node))  # a property and its setter have one name
        node.body = []
    tree.body = [node for node in tree.body if not isinstance(node, ast.FunctionDef) or node.decorator_list]
    found[""] = hashed(ast.dump(tree))
    return found


def version_of(name: str) -> str:
    """The version of a package; "" if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def read_notes(path: Path, root: Path) -> dict[str, str]:
    """What the tracker has noted: the needs, and the states that it was told."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        kind, name = line.split(" ", 1)
        if kind == "state":
            name, _, state = name.rpartition(" ")
            found[f"state {name}"] = state
        elif kind == "list" and (root / name / "__init__.py").is_file():
            continue  # by whoever imports from it
        elif kind == "code" and WHOLE in name:
            found[f"code {name.partition(WHOLE)[0]}{WHOLE}"] = ""
        else:
            found[line] = ""
    return found
