"""The buttons that open a chapter elsewhere: none without an address, and with one they lead to the right notebook."""

import json
import re
import shutil
from pathlib import Path

import pytest
from chapters import ROOT
from pages import build

NOTEBOOK = {
    "cells": [{"cell_type": "markdown", "metadata": {}, "source": ["# A chapter\n"]}],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 4,
}


def links(folder: Path, address: str) -> list[str]:
    """The places outside to which the page of a small book leads, built with this book's own settings."""
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("*.md", "mathjax"))
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "01_a_chapter.ipynb").write_text(json.dumps(NOTEBOOK))
    (folder / "_toc.yml").write_text("format: jb-book\nroot: notebooks/01_a_chapter\n")
    settings = (ROOT / "_config.yml").read_text(encoding="utf-8")
    settings, found = re.subn('repository_url: ""', f'repository_url: "{address}"', settings)
    assert found == 1, "the address is the owner's to set"
    (folder / "_config.yml").write_text(settings, encoding="utf-8")
    done = build(folder, folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    page = (folder / "_build" / "html" / "notebooks" / "01_a_chapter.html").read_text(encoding="utf-8")
    return re.findall(r'href="(https://[^"?]*(?:colab|binder)[^"]*)"', page)


@pytest.mark.slow
@pytest.mark.site
def test_chapters_open_elsewhere_once_the_project_has_an_address(tmp_path: Path) -> None:
    assert links(tmp_path / "without", "") == []
    binder, colab = links(tmp_path / "with", "https://github.com/somebody/faces")
    notebook = "notebooks/01_a_chapter.ipynb"
    assert binder == f"https://mybinder.org/v2/gh/somebody/faces/main?urlpath=lab/tree/{notebook}"
    assert colab == f"https://colab.research.google.com/github/somebody/faces/blob/main/{notebook}"
