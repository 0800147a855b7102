"""Sphinx extension that runs the chapters whose outputs may be others now, and shows all with their outputs.

A run notes what it depends on (`tracker`): files that it read or looked for, folders that it listed, functions of the
library that it called, states of records that it asked for. Its outputs are kept in `_build/chapters`, with a digest of
each of these (`needs`), and shown again as long as no digest changes. The others are run side by side (`running`).
Sentences that have names can be shown on other pages, too (`findings`).
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from rich.console import Console
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from dferlib.devices import do_jobs, start_workers
from execution.chapter import Chapter, chapter_of, is_quick, stale
from execution.findings import DIRECTIVE, Findings
from execution.needs import Present
from execution.running import run, workers

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = Console(highlight=False, soft_wrap=True)


def states(records: list[Path]) -> list[str]:
    """Whether records are current; see `dferlib.evidence.probes`."""
    found: dict[Path, str] = {}
    with start_workers(min(workers(), len(records)), script=False) as pool, CONSOLE.status("") as line:
        for record, state in do_jobs(pool, state_of, partial(next, iter(records), None), workers()):
            found[record] = state
            line.update(f"{len(found)} of {len(records)} records looked at: are they current?")
    return [found[record] for record in records]


def state_of(record: Path) -> str:
    """Whether a record is current."""
    from dferlib.evidence.results import Run

    return Run(record, json.loads(record.read_text())).state if record.is_file() else "missing"


def refresh(app: Sphinx, env: BuildEnvironment, *_: object) -> list[str]:
    """Run what must be run; the documents that show other outputs then."""
    chapters = {one: name for name in sorted(env.found_docs) if (one := chapter_of(app.env, name))}
    todo = stale(chapters, Present(ROOT, states))
    CONSOLE.print(f"\n{len(chapters) - len(todo)} of {len(chapters)} chapters have their outputs.")
    others = read_otherwise(env, chapters)
    if not todo and not others:
        return []
    for reason in dict.fromkeys(todo.values()):
        names = ", ".join(one.name for one in todo if todo[one] == reason)
        CONSOLE.print(f"To be run, because {reason}: {names}", markup=False)
    if any("MakeFaces(" in one.notebook.read_text() for one in todo):  # so that no two chapters make the same clips
        make = [sys.executable, "-m", "dferlib.cli", "makefaces", "--size", "mini" if is_quick() else "book"]
        subprocess.run(make, check=True)
    failed = run(todo, lambda: Present(ROOT, states), workers(), CONSOLE) if todo else {}
    if failed:
        app.statuscode = 1
        app.connect("build-finished", lambda *_: say(failed))
    telling = [name for name in env.found_docs if DIRECTIVE in Path(env.doc2path(name)).read_text(encoding="utf-8")]
    return [*(chapters[one] for one in todo), *others, *telling]


def read_otherwise(env: BuildEnvironment, chapters: dict[Chapter, str]) -> list[str]:
    """The documents that were read with outputs of the other kind, of a miniature or of the book: see `is_quick`."""
    return [
        name
        for one, name in chapters.items()
        if name in env.all_docs
        and one.kept.is_file()
        and os.path.relpath(one.kept, env.srcdir) not in map(str, env.dependencies[name])
    ]


def say(failed: dict[str, str]) -> None:
    """Say at the end which chapters did not run to theirs."""
    for name, how in failed.items():
        CONSOLE.print(f"{name} failed in {how}", style="red", markup=False)


def fill(app: Sphinx, document: str, source: list[str]) -> None:
    """Put the outputs into a chapter before it is read."""
    one = chapter_of(app.env, document)
    if one is not None and one.kept.is_file():
        source[0] = one.filled(source[0])
        app.env.note_dependency(os.path.relpath(one.kept, app.srcdir))


def begin_anew_after_trouble(app: Sphinx) -> None:
    """Forget what Sphinx knows of the pages if the last build was stopped or had warnings.

    It would take pages for finished that were read and not written, and would not warn of the same thing again.
    """
    mark = Path(app.doctreedir) / "unfinished"
    if mark.exists():
        (mark.parent / "environment.pickle").unlink(missing_ok=True)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    app.connect("build-finished", lambda app, error: None if error or app._warncount else mark.unlink())


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    begin_anew_after_trouble(app)
    if sys.platform == "linux":  # elsewhere a process with torch in it cannot be forked
        app.parallel = workers()
    app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True  # it does not say so, but only acts later
    app.connect("env-get-outdated", refresh)
    app.connect("source-read", fill)
    app.add_directive("findings", Findings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
