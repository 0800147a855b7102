"""A chapter and the outputs that are kept of it."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dferlib.files import written_whole
from execution.needs import Present, hashed, in_words, read_notes

if TYPE_CHECKING:
    from sphinx.environment import BuildEnvironment

# what a chapter takes on one thread of a machine of 2024: an estimate until it has been run here
SECONDS = {"12_costs": 120.0}
USUAL = 85.0


@dataclass(frozen=True)
class Chapter:
    """A notebook and where its outputs are kept.

    Args:
        notebook: the file.
        kept: a JSON file: `needs` with their digests, `cells` with the outputs of each code cell, `seconds`, which the
            run took, and `failed`, in which cell and how. It may be missing.
    """

    notebook: Path
    kept: Path

    @property
    def name(self) -> str:
        """Of the notebook."""
        return self.notebook.stem

    def load(self) -> dict[str, Any]:
        """What is kept; where nothing is, the same with nothing in it."""
        if self.kept.is_file():
            return json.loads(self.kept.read_text())
        return {"needs": {}, "cells": [], "seconds": SECONDS.get(self.name, USUAL), "failed": ""}

    def why_run(self, present: Present) -> str:
        """Why its outputs may be others now, in words; "" if they are the same. States of records are not looked at."""
        kept = self.load()
        if not kept["needs"]:
            return "it was not run yet"
        if kept["failed"]:
            return f"it failed in {kept['failed']}"
        if kept["needs"]["cells"] != digest_of_code(json.loads(self.notebook.read_text())):
            return "its code has changed"
        later = ("cells", "behaviour", "state")
        return self._changed([need for need in kept["needs"] if need.split(" ")[0] not in later], present)

    def states_to_ask(self, present: Present) -> list[str]:
        """The states that may be others now."""
        needs = self.load()["needs"]
        states = [need for need in needs if need.startswith("state ")]
        return states if states and needs["behaviour"] != present.digest("behaviour") else []

    def why_run_for(self, states: list[str], present: Present) -> str:
        """Which of these states is another now, in words; "" if none is."""
        reason, kept = self._changed(states, present), self.load()
        if states and not reason:
            kept["needs"]["behaviour"] = present.digest("behaviour")  # so that nobody asks again
            self.write(kept)
        return reason

    def _changed(self, needs: list[str], present: Present) -> str:
        kept = self.load()["needs"]
        return next((f"{in_words(need)} has changed" for need in needs if present.digest(need) != kept[need]), "")

    def write(self, kept: dict[str, Any]) -> None:
        """Keep this instead."""
        with written_whole(self.kept) as temporary:
            temporary.write_text(json.dumps(kept))

    def filled(self, text: str) -> str:
        """The notebook with the outputs that are kept."""
        notebook, kept = json.loads(text), self.load()["cells"]
        for number, (cell, outputs) in enumerate(zip(code_cells(notebook), kept, strict=False), 1):
            cell["outputs"], cell["execution_count"] = outputs, number
        return json.dumps(notebook)


def is_quick() -> bool:
    """Whether the chapters are to be short."""
    return bool(int(os.environ.get("DFERLIB_QUICK", "0")))


def chapter_of(env: "BuildEnvironment", document: str) -> Chapter | None:
    """The chapter that a document is, if it is one."""
    notebook = Path(env.doc2path(document))
    folder = Path(env.app.outdir).parent / ("chapters_quick" if is_quick() else "chapters")
    return Chapter(notebook, folder / f"{notebook.stem}.json") if notebook.suffix == ".ipynb" else None


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The code cells of a notebook, but for that which papermill adds where it is given parameters."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [cell for cell in cells if "injected-parameters" not in cell["metadata"].get("tags", [])]


def digest_of_code(notebook: dict[str, Any]) -> str:
    """A digest of what a notebook does, whatever it says between."""
    return hashed(*("".join(cell["source"]) for cell in code_cells(notebook)))


def stale(chapters: Iterable[Chapter], present: Present) -> dict[Chapter, str]:
    """The chapters that must be run, and why."""
    reasons = {chapter: chapter.why_run(present) for chapter in chapters}
    asking = {chapter: chapter.states_to_ask(present) for chapter, reason in reasons.items() if not reason}
    present.ask_states(state for states in asking.values() for state in states)  # all at once
    reasons |= {chapter: chapter.why_run_for(states, present) for chapter, states in asking.items()}
    return {chapter: reason for chapter, reason in reasons.items() if reason}


def keep(chapter: Chapter, output: Path, notes: Path, began: float, present: Present, trouble: str = "") -> str:
    """Keep the outputs of a run that has ended, and what they depend on.

    Args:
        chapter: the chapter.
        output: the notebook that papermill has written.
        notes: of the tracker.
        began: when, in seconds since the epoch. What was edited later may or may not have been seen by the run, so its
            outputs are shown once and not again.
        present: what is now.
        trouble: what went wrong, if no cell shows it.

    Returns:
        What failed, or "".
    """
    notebook = json.loads(output.read_text())
    found = read_notes(notes, present.root)
    found.pop(f"list {os.path.relpath(chapter.notebook.parent, present.root)}", None)  # Python looks there for modules
    needs = {"cells": digest_of_code(notebook)}
    needs |= {need: present.digest(need) for need in ("versions", "behaviour")}
    needs |= {need: state or present.digest(need) for need, state in found.items()}
    needs |= dict.fromkeys(present.edited_since(found, began), "edited meanwhile")
    cells = [cell["outputs"] for cell in code_cells(notebook)]
    failed = failure(notebook) or trouble
    seconds = chapter.load()["seconds"] if failed else round(time.time() - began, 1)
    chapter.write({"needs": needs, "cells": cells, "seconds": seconds, "failed": failed})
    return failed


def failure(notebook: dict[str, Any]) -> str:
    """The cell that failed in a run, and how; "" if none did."""
    for number, cell in enumerate(code_cells(notebook), 1):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                return f"code cell {number}: {output['ename']}: {output['evalue']}"
    return ""
