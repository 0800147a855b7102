"""Notes what a chapter depends on while it runs. Python imports this file by itself, in every process of the run.

`execution` puts this folder on the path of a run and says in the environment which folder is watched,
BOOK_WATCHED, and where the notes go, BOOK_NOTES. The notes are lines:

file PATH           a file that was opened or looked for, whether it is there or not
list PATH           a folder whose contents were looked at
code PATH           a module that was imported
code PATH:FUNCTION  a function of it that was called
state PATH STATE    a record that was asked for its state, and the answer

Paths are relative to the watched folder. What is not below it is not noted.
"""

import ast
import os
import stat
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from tracker.definitions import WHOLE, functions

WATCHED = os.environ["BOOK_WATCHED"] + os.sep
NOT_WATCHED = (sys.prefix, str(Path(__file__).parent), str(Path(__file__).parents[1]))  # where Python looks for modules
NOTES = os.open(os.environ["BOOK_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
BUILT = ("_build", "__pycache__")
WRITING = os.O_WRONLY | os.O_RDWR

noted: set[str] = set()
asking = 0  # how many records are being asked for their state


def note(line: str) -> None:
    """Write a line, once. Whole lines, because several processes write to one file."""
    if line not in noted:
        noted.add(line)
        os.write(NOTES, f"{line}\n".encode())


def inside(path: str) -> str:
    """A path relative to the watched folder; "" for others, and for hidden and built files, which are nobody's work."""
    if not path.startswith(WATCHED) or path.startswith(NOT_WATCHED):
        return ""
    name = path.removeprefix(WATCHED)
    return "" if any(part.startswith(".") or part in BUILT for part in Path(name).parts) else name


def place(path: Any) -> str:
    """The same for whatever a file can be named with; "" also for code, which is noted when it is imported."""
    if isinstance(path, int) or path is None:
        return ""
    name = inside(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100
    return "" if name.endswith((".py", ".ipynb")) else name


def hear(event: str, arguments: tuple[Any, ...]) -> None:
    """What the interpreter is about to do, and what `Run.state` says."""
    global asking
    if event == "open":
        path, _, flags = arguments
        if not flags & WRITING and (name := place(path)):
            note(f"file {name}")
    elif event in ("os.listdir", "os.scandir"):
        if name := place(arguments[0] or "."):
            note(f"list {name}")
    elif event == "dferlib.state":
        path, state = arguments
        asking += -1 if state else 1
        if state and (name := place(path)):
            note(f"state {name} {state}")


def noting_stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
    """`os.stat`, which is how one looks whether a file is there. The interpreter does not tell its listeners of it."""
    found = None
    try:
        found = real_stat(path, *arguments, **options)
        return found
    finally:
        if (found is None or not stat.S_ISDIR(found.st_mode)) and (name := place(path)):
            note(f"file {name}")


class Called(set[str]):
    """The functions that were called."""

    def add(self, function: str) -> None:
        """A function is called for the first time. What finds out a record's state does not count: the state does."""
        if not asking:
            super().add(function)
            note(f"code {function}")


class Loader(SourceFileLoader):
    """Imports a module such that each function says when it is called first. A profiler would slow all others down."""

    def get_code(self, fullname: str) -> Any:
        """Compile the source anew."""
        module, tree = inside(self.path), ast.parse(self.get_data(self.path), self.path)
        note(f"code {module}")
        for name, node in functions(tree) if WHOLE not in module else ():
            called = repr(f"{module}:{name}")
            [call] = ast.parse(f"{called} in __called__ or __called__.add({called})").body
            for part in ast.walk(call):
                ast.copy_location(part, node.body[-1])
            node.body.insert(0 if ast.get_docstring(node, clean=False) is None else 1, call)
        first = sum(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
        first += ast.get_docstring(tree, clean=False) is not None
        tree.body[first:first] = ast.parse(f"from {__name__} import called as __called__").body
        return compile(tree, self.path, "exec", dont_inherit=True)


class Finder:
    """Finds modules as the others do, and takes over those in the watched folder."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Called by `import`."""
        others = (finder for finder in sys.meta_path if finder is not cls)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and type(spec.loader) is SourceFileLoader and inside(spec.loader.path):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


called = Called()
real_stat = os.stat
for capabilities in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
    capabilities.add(noting_stat)
os.stat = noting_stat
sys.addaudithook(hear)
sys.meta_path.insert(0, Finder)
