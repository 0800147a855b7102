"""What a reader does with a figure that answers, and reads in it."""

import re
from collections.abc import Callable

from test_player import Shown

Open = Callable[..., Shown]


def number(text: str) -> float:
    """The first number in a text, with a true minus sign."""
    return float(re.search(r"[-+]?\d[\d,]*\.?\d*", text.replace("−", "-"))[0].replace(",", ""))  # type: ignore[index]


def fields(one: Shown) -> dict[str, float]:
    """What stands beside each slider."""
    rows = one.page.locator(".fim-field:has(input)")
    keys = rows.locator("input").evaluate_all("all => all.map(input => input.dataset.key)")
    return dict(zip(keys, map(number, rows.locator("b").all_inner_texts()), strict=True))


def press(one: Shown, key: str, *keys: str) -> None:
    """Press keys on a slider."""
    for name in keys:
        one.page.locator(f"[data-key={key}]").press(name)


def drag(one: Shown, key: str, part: float) -> None:
    """Drag a slider's thumb with the mouse to a part of its line."""
    slider = one.page.locator(f"[data-key={key}]")
    slider.scroll_into_view_if_needed()
    box, at = slider.bounding_box(), float(slider.evaluate("one => (one.value - one.min) / (one.max - one.min)"))
    assert box
    y, inner = box["y"] + box["height"] / 2, box["width"] - 18  # the thumb stays within its line
    one.page.mouse.move(box["x"] + 9 + at * inner, y)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + 9 + part * inner, y, steps=4)
    one.page.mouse.up()
