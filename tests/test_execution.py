"""How the book runs chapters: which, when, side by side, and what it keeps. Three tiny chapters of a tiny library."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from rich.console import Console

from execution import read_otherwise
from execution.chapter import Chapter, stale
from execution.needs import Present, parts
from execution.running import run

TOOLS = '''"""Tools."""

LIMIT = 3


def used(x):
    """Twice as much."""
    return 2 * x  # a comment


def unused(x):
    return 3 * x


class Box:
    def open(self):
        return LIMIT

    def close(self):
        return 0
'''
FILES = {
    "tiny/__init__.py": "",
    "tiny/tools.py": TOOLS,
    "tiny/weights.bin": "1 2 3",
    "tiny/makefaces/__init__.py": "def clips():\n    return 7\n",
    "tiny/makefaces/rendering.py": "def render():\n    return 8\n",
    "records/a/first.json": "1",
    "records/b/other.json": "2",
}
# "calls" calls the library, also in a process of its own; "reads" reads files; "asks" asks a record for its state
CHAPTERS = {
    "calls": [
        "import subprocess, sys\nfrom tiny.tools import used\nused(4)",
        "code = 'from tiny.tools import Box; print(Box().open())'",
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout)",
    ],
    "reads": [
        "from pathlib import Path\nfrom tiny.makefaces import clips\nclips()",
        "for path in sorted(Path('../records/a').glob('*.json')):\n    print(path.name, path.read_text())",
        "Path('../records/later.json').is_file(), Path('../records/b').is_dir()",
    ],
    "asks": [
        "import sys\nfrom tiny.tools import used, unused\nused(1)",
        "sys.audit('dferlib.state', '../records/b/other.json', '')\nunused(1)",
        "sys.audit('dferlib.state', '../records/b/other.json', 'current')\nprint('current')",
    ],
}


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def write_chapter(root: Path, name: str, cells: list[str], prose: str = "Prose.") -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(prose)])
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    write(root, f"notebooks/{name}.ipynb", nbformat.writes(notebook))


def chapters_in(root: Path) -> list[Chapter]:
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    return [Chapter(path, root / "_build" / "chapters" / f"{path.stem}.json") for path in notebooks]


def nobody(_: list[Path]) -> list[str]:
    raise AssertionError("nobody should ask for states")


def run_in(root: Path, together: int = 1, names: Iterable[str] = CHAPTERS) -> tuple[dict[str, str], str]:
    said, chapters = StringIO(), [one for one in chapters_in(root) if one.name in names]
    failed = run(chapters, lambda: Present(root, nobody), together, Console(file=said, width=200))
    return failed, said.getvalue()


def stale_in(root: Path, states: Callable[[list[Path]], list[str]] = nobody) -> dict[str, str]:
    return {one.name: reason for one, reason in stale(chapters_in(root), Present(root, states)).items()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The tiny book after its first build, three chapters at a time, and what was said meanwhile."""
    root = tmp_path_factory.mktemp("tiny")
    for name, text in FILES.items():
        write(root, name, text)
    for name, cells in CHAPTERS.items():
        write_chapter(root, name, cells)
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(root), prepend=os.pathsep)
    assert set(stale_in(root)) == set(CHAPTERS)
    failed, said = run_in(root, together=3)
    patch.undo()
    assert not failed
    return root, said


@pytest.fixture
def root(done: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be touched."""
    copy = tmp_path / "copy"
    shutil.copytree(done[0], copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(copy), prepend=os.pathsep)
    return copy


EDITS = {
    "nothing": ("tiny/tools.py", TOOLS, set()),
    "a comment": ("tiny/tools.py", TOOLS.replace("a comment", "another"), set()),
    "a docstring": ("tiny/tools.py", TOOLS.replace("Twice as much", "Two times"), set()),
    "the layout": ("tiny/tools.py", TOOLS.replace("2 * x", "(\n        2\n        * x\n    )"), set()),
    "a function that is called": ("tiny/tools.py", TOOLS.replace("2 * x", "4 * x"), {"calls", "asks"}),
    "a method called in another process": ("tiny/tools.py", TOOLS.replace("return LIMIT", "return 5"), {"calls"}),
    "a function that only a record's state needs": ("tiny/tools.py", TOOLS.replace("3 * x", "5 * x"), set()),
    "a method that nobody calls": ("tiny/tools.py", TOOLS.replace("return 0", "return 1"), set()),
    "a new function": ("tiny/tools.py", TOOLS + "\n\ndef new():\n    return 1\n", set()),
    "a new method": ("tiny/tools.py", TOOLS + "\n    def __len__(self):\n        return 1\n", {"calls", "asks"}),
    "a constant": ("tiny/tools.py", TOOLS.replace("LIMIT = 3", "LIMIT = 4"), {"calls", "asks"}),
    "weights": ("tiny/weights.bin", "1 2 4", set(CHAPTERS)),
    "how clips are made": ("tiny/makefaces/rendering.py", "def render():\n    return 9\n", {"reads"}),
    "a record that is read": ("records/a/first.json", "3", {"reads"}),
    "a record that is not read": ("records/b/other.json", "3", set()),
    "a new record in a folder that is listed": ("records/a/second.json", "1", {"reads"}),
    "a new record in a folder that is not": ("records/b/second.json", "1", set()),
    "a file that was looked for": ("records/later.json", "1", {"reads"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_concerns_the_chapters_that_depend_on_it(edit: str, root: Path) -> None:
    name, text, concerned = EDITS[edit]
    write(root, name, text)
    found = stale_in(root)
    assert set(found) == concerned
    assert all(name in reason or name.rpartition("/")[0] in reason for reason in found.values())


@pytest.mark.slow
def test_a_chapter_is_run_again_for_its_code_and_not_for_its_prose(root: Path) -> None:
    write_chapter(root, "reads", CHAPTERS["reads"], "Other prose.")
    assert not stale_in(root)
    write_chapter(root, "reads", [*CHAPTERS["reads"][:2], "1 + 1"])
    assert stale_in(root) == {"reads": "its code has changed"}


@pytest.mark.slow
def test_a_package_that_changes_concerns_every_chapter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execution.needs.version", lambda name: "99")
    assert set(stale_in(root)) == set(CHAPTERS)


@pytest.mark.slow
def test_a_state_that_changes_concerns_who_asked_for_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[Path]] = []

    def states(answer: str) -> Callable[[list[Path]], list[str]]:
        return lambda records: asked.append(records) or [answer] * len(records)

    monkeypatch.setattr(Present, "_behaviour", lambda *_: "another library")
    assert stale_in(root, states("old")) == {"asks": "the state of records/b/other.json has changed"}
    assert not stale_in(root, states("current"))
    assert asked == [[root / "records/b/other.json"]] * 2
    assert not stale_in(root, nobody), "they were asked with this library before"


@pytest.mark.slow
def test_it_says_what_it_does(done: tuple[Path, str]) -> None:
    lines = done[1].splitlines()
    assert {line for line in lines if "begins" in line} == {f"{name}: begins" for name in CHAPTERS}
    assert lines[0].startswith("3 at a time") and lines[-1].endswith("(3 of 3 done)")
    assert all(f"{count} of 3 done, about" in done[1] for count in range(3))


@pytest.mark.slow
def test_one_by_one_the_outputs_are_the_same(root: Path) -> None:
    before = [one.load()["cells"] for one in chapters_in(root)]
    assert run_in(root)[0] == {}
    assert [one.load()["cells"] for one in chapters_in(root)] == before
    assert "first.json 1" in json.dumps(before)
    shown = json.loads(chapters_in(root)[1].filled((root / "notebooks" / "calls.ipynb").read_text()))
    assert [cell.get("outputs", []) for cell in shown["cells"][1:]] == before[1]


@pytest.mark.slow
def test_a_failing_chapter_is_named_and_the_others_go_on(root: Path) -> None:
    write_chapter(root, "asks", ["print('so far')", "1 / 0", "print('never')"])
    write_chapter(root, "reads", ["import os\nprint(1)", "os._exit(3)"])
    failed, said = run_in(root, together=3)
    assert failed["asks"] == "code cell 2: ZeroDivisionError: division by zero"
    assert "DeadKernelError" in failed["reads"]
    assert set(failed) == {"asks", "reads"} and "calls: " in said
    assert "so far" in json.dumps(chapters_in(root)[0].load()["cells"])
    assert stale_in(root) == {name: f"it failed in {how}" for name, how in failed.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["records/a/first.json", "records/a/second.json", "tiny/makefaces/rendering.py"])
def test_what_is_edited_during_a_run_counts_as_other(name: str, root: Path) -> None:
    write_chapter(root, "reads", [*CHAPTERS["reads"], f"Path('../{name}').touch()"])
    assert run_in(root, names=["reads"])[0] == {}
    [(chapter, reason)] = stale_in(root).items()
    assert chapter == "reads"
    assert "has changed" in reason


@pytest.mark.slow
def test_it_can_be_stopped_and_goes_on(root: Path) -> None:
    shutil.rmtree(root / "_build")
    write_chapter(root, "asks", ["import time\ntime.sleep(600)"])
    # the tests may run where Ctrl-C is ignored, as it is in what a script starts with &
    code = "import signal, sys, test_execution; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; test_execution.run_in(test_execution.Path(sys.argv[1]), 2)"
    paths = [root, Path(__file__).parent, Path(__file__).parents[1] / "book", Path(__file__).parents[1]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    process = subprocess.Popen([sys.executable, "-c", code, str(root)], env=environment, stderr=subprocess.PIPE)
    others = [one for one in chapters_in(root) if one.name != "asks"]
    deadline = time.monotonic() + 120
    began: list[psutil.Process] = []
    while not (began and all(one.kept.is_file() for one in others)):  # the long one may be the last to begin
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
        began = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=30)[1]
    left = psutil.wait_procs(began, timeout=30)[1]
    assert not [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert stale_in(root) == {"asks": "it was not run yet"}


def test_the_parts_of_a_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "code.py",
        TOOLS + "\n    @property\n    def size(self):\n        def inner():\n            return 1\n",
    )
    found = parts(tmp_path / "code.py", 0)
    assert set(found) == {"", "used", "unused", "Box.open", "Box.close", "Box.size"}
    assert len(set(found.values())) == len(found)


def test_pages_of_a_miniature_are_read_again_for_the_book(tmp_path: Path) -> None:
    chapters, read = {}, {}
    for name, folder in (("a", "chapters"), ("b", "chapters_quick"), ("c", "chapters_quick"), ("new", "chapters")):
        kept = tmp_path / "_build" / "chapters" / f"{name}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        if name != "c":  # its run failed: there is nothing else to be shown
            kept.write_text("{}")
        chapters[Chapter(tmp_path / f"{name}.ipynb", kept)] = f"notebooks/{name}"
        read[f"notebooks/{name}"] = {f"_build/{folder}/{name}.json"}
    known = dict.fromkeys(set(read) - {"notebooks/new"}, 0)
    env = SimpleNamespace(all_docs=known, dependencies=read, srcdir=tmp_path)
    assert read_otherwise(env, chapters) == ["notebooks/b"]
