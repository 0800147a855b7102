"""The sentences of the chapters that have names, and the directive that shows them on another page.

The directive `findings` has a name on each line of its content. It shows a list of these sentences as the last runs of
their chapters have written them, each with a link to its chapter. Nothing is copied by hand: the sentences are in the
outputs that are kept.
"""

import os
from collections.abc import Iterable
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from execution.chapter import chapter_of, is_quick

DIRECTIVE = "{findings}"  # how a page asks for it
MINIATURE = "> **A miniature.** This book was built from short runs. The numbers below say nothing about the models."


def named_in(cells: Iterable[list[dict[str, Any]]]) -> dict[str, str]:
    """The sentences in the outputs of a chapter's cells that have names, by name; see `dferlib.book.sentences`."""
    shown = (output.get("metadata", {}).get("dferlib", {}) for outputs in cells for output in outputs)
    return {name: text for one in shown for name, text in one.get("sentences", {}).items()}


class Findings(SphinxDirective):
    """Shows sentences of chapters."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        stated = self.stated()
        lines = [self.point(name, stated) for name in map(str.strip, self.content) if name]
        lines = [MINIATURE, "", *lines] if is_quick() else lines
        shown = nodes.container()
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, shown)
        return shown.children

    def stated(self) -> dict[str, dict[str, str]]:
        """The named sentences of each chapter, by document."""
        found = {}
        for document in sorted(self.env.found_docs):
            if chapter := chapter_of(self.env, document):
                self.env.note_dependency(os.path.relpath(chapter.kept, self.env.srcdir))
                found[document] = named_in(chapter.load()["cells"])
        return found

    def point(self, name: str, stated: dict[str, dict[str, str]]) -> str:
        """A sentence as a point of a list.

        Raises:
            docutils.parsers.rst.DirectiveError: no chapter has it, or several have.
        """
        chapters = [document for document, named in stated.items() if name in named]
        if len(chapters) != 1:
            raise self.error(f"{', '.join(chapters) or 'no chapter'} shows a sentence with the name {name}")
        return f"- {stated[chapters[0]][name]} {{doc}}`/{chapters[0]}`"
