"""Sphinx extension that fills the pages of the reference: a section for each module, found when the book is built.

A page `book/api_WING.md` gets every module of the wing in place of `{{ modules }}`, and `book/api.md` gets the names
that `dferlib` itself has in place of `{{ names }}`. So a new module or a new name is on its page by itself. The page
`book/when_it_goes_wrong.md` gets every message of the library, see `troubles`, and `book/what_came_after.md` what
others have reported, see `since`.
"""

import importlib
import os
import pkgutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import since
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import dferlib
import troubles

GROUND = ("dferlib.errors", "dferlib.files", "dferlib.devices", "dferlib.emotions")
NO_PAGE = ("dferlib.makefaces.baking", "dferlib.cli")  # whoever bakes assets reads the code; `--help` is for the other
HIDDEN = ("_", "__main__")


def modules_of(page: str) -> list[str]:
    """The modules that a page such as "api_data" is about, a folder before its files."""
    if page == "api_ground":
        return list(GROUND)
    wing = importlib.import_module(f"dferlib.{page.removeprefix('api_')}")
    found = [wing.__name__, *(module.name for module in pkgutil.walk_packages(wing.__path__, f"{wing.__name__}."))]
    shown = [name for name in found if not name.split(".")[-1].startswith(HIDDEN)]
    return [name for name in shown if not name.startswith(NO_PAGE)]


def section(module: str) -> str:
    """A module's heading, its docstring, and everything public that is defined in it."""
    options = "   :members:\n   :ignore-module-all:\n"
    return f"## `{module}`\n\n```{{eval-rst}}\n.. automodule:: {module}\n{options}```\n"


def names() -> str:
    """A table of what `dferlib` itself has, each with its first line and a link to where it is described."""
    values = [value for name in dferlib.__all__ if callable(value := getattr(dferlib, name))]
    lines = [f"   ~{value.__module__}.{value.__qualname__}" for value in values]
    return "\n".join(["```{eval-rst}", ".. autosummary::", "   :nosignatures:", "", *lines, "```"])


def fill(app: Sphinx, document: str, source: list[str]) -> None:
    """Put what is generated in place of its name in curly brackets."""
    page = Path(document).name
    if page == "api":
        source[0] = source[0].replace("{{ names }}", names())
    elif page.startswith("api_"):
        source[0] = source[0].replace("{{ modules }}", "\n".join(map(section, modules_of(page))))
    elif page == "when_it_goes_wrong":
        source[0] = troubles.filled(source[0])
        for file in troubles.LIBRARY.rglob("*.py"):  # the page is read again when one of them has changed
            app.env.note_dependency(os.path.relpath(file, app.srcdir))
    elif page == "what_came_after":
        source[0] = since.filled(source[0])
        for name in ("reported_since.csv", "reported.csv"):
            app.env.note_dependency(os.path.relpath(since.RESULTS / name, app.srcdir))


def whole_sentences(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Keep napoleon from taking what stands before a colon under "Returns" for a type: here types are annotations."""
    for k, line in enumerate(lines[:-1]):
        if line == "Returns:":
            text = lines[k + 1]
            lines[k + 1] = text.replace(text.lstrip(), f": {text.lstrip()}")


def is_field(_app: Sphinx, _what: str, _name: str, value: Any, _skip: bool, _options: Any) -> bool | None:
    """Leave out the fields of a named tuple, of which Python says no more than their number."""
    return True if type(value).__name__ == "_tuplegetter" else None


def outdated(_: Sphinx, env: BuildEnvironment, *__: object) -> list[str]:
    """The pages to read again where modules have come or gone; what changes within them Sphinx sees by itself."""
    folder = Path(dferlib.__path__[0])
    modules = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    before, env.dferlib_modules = getattr(env, "dferlib_modules", modules), modules  # type: ignore[attr-defined]
    generated = ("api", "when_it_goes_wrong")
    return [] if before == modules else [name for name in env.found_docs if Path(name).name.startswith(generated)]


def forget_unused(_: Sphinx, env: BuildEnvironment) -> None:
    """Show no source that nothing on a page comes from, of other libraries for one.

    viewcode forgets it by itself, but only where pages are read one after the other.
    """
    sources = getattr(env, "_viewcode_modules", {})
    for name in [name for name, entry in sources.items() if entry and not entry[2]]:
        del sources[name]


@cache
def titles(env: BuildEnvironment) -> dict[str, Any]:
    """The tables of contents of all pages, with nothing left in them but titles of pages, and the pages below."""
    found = {name: toc.deepcopy() for name, toc in env.tocs.items()}
    for item in (item for toc in found.values() for item in toc if len(item) > 1):
        if below := list(item.findall(addnodes.toctree)):
            item[1][:] = below
        else:
            item.pop(1)
    return found


def slim_sidebar(app: Sphinx, _page: str, _template: str, context: dict[str, Any], _document: Any) -> None:
    """Draw the sidebar from titles. Sphinx copies every name of the reference for every page, and throws them away."""
    draw: Callable[..., str] = context["toctree"]

    def drawn(**options: Any) -> str:
        whole = app.env.tocs
        app.env.tocs = titles(app.env)
        try:
            return draw(**options)
        finally:
            app.env.tocs = whole

    context["toctree"] = drawn


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", whole_sentences, priority=100)  # before napoleon
    app.connect("autodoc-skip-member", is_field)
    app.connect("env-get-outdated", outdated)
    app.connect("env-updated", forget_unused)
    app.connect("html-page-context", slim_sidebar, priority=100)  # before the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
