"""Controls of figures that answer, and tables that stand in their place where scripts are off."""

import html
from collections.abc import Iterable, Sequence


def slider(key: str, name: str, value: float, ends: tuple[float, float], step: float, colour: str = "") -> str:
    """A slider with its name before it and room for its value behind it.

    Args:
        key: by which the script finds it.
        name: what it moves.
        value: at the beginning.
        ends: lowest and highest value.
        step: between two values.
        colour: of its line and thumb; by default that of the page.
    """
    low, high = ends
    style = f' style="--accent:{colour}"' if colour else ""
    return (
        f'<label class="fim-field"{style}><span>{html.escape(name)}</span><input type="range" data-key="{key}" '
        f'min="{low:g}" max="{high:g}" step="{step:g}" value="{value:g}"><b></b></label>'
    )


def choice(key: str, name: str, options: Iterable[tuple[str, str]], chosen: str = "") -> str:
    """One of several, with its name before it.

    Args:
        key: by which the script finds it.
        name: what is chosen.
        options: value and text of each.
        chosen: the value at the beginning; by default the first.
    """
    listed = "".join(
        f'<option value="{html.escape(value)}"{" selected" * (value == chosen)}>{html.escape(text)}</option>'
        for value, text in options
    )
    return (
        f'<label class="fim-field"><span>{html.escape(name)}</span><select data-key="{key}">{listed}</select></label>'
    )


def button(action: str, text: str) -> str:
    """A button.

    Args:
        action: by which the script finds it.
        text: on it.
    """
    return f'<button type="button" class="fim-toggle" data-action="{action}">{html.escape(text)}</button>'


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that stands there where scripts are off.

    Args:
        title: above it.
        head: above its columns.
        rows: what stands in it; the first of each row is its name.
    """
    top = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in head)
    lines = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>{"".join(f"<td>{html.escape(one)}</td>" for one in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<table class="fim-still"><caption>{html.escape(title)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
    )


def said() -> str:
    """Where the script says in words what is seen; it is read aloud when it changes."""
    return '<p class="fim-said fim-live" role="status" aria-live="polite"></p>'
