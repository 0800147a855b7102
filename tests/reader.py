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


LOOKS = """() => {
    const seen = (selector) => [...document.querySelectorAll(`.fim ${selector}`)]
        .filter(one => one.getClientRects().length);
    const size = (one) => {
        const drawing = one.closest("svg");
        const scale = drawing ? drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width : 1;
        return scale * parseFloat(getComputedStyle(one).fontSize);
    };
    const inside = (one) => {
        const [box, whole] = [one, one.closest(".fim")].map(each => each.getBoundingClientRect());
        return box.left >= whole.left - 1 && box.right <= whole.right + 1;
    };
    const touched = (one) => (one.type === "radio" ? one.closest("label") : one).getBoundingClientRect().height;
    return {
        wide: document.documentElement.scrollWidth,
        letters: Math.min(...seen(":is(p, span, b, small, code, th, td, text, button, select)").map(size)),
        small: seen(":is(button, select, input)").filter(one => touched(one) < 24).map(one => one.outerHTML),
        outside: seen("*").filter(one => !inside(one)).map(one => one.outerHTML.slice(0, 90)),
        over: seen(":is(span, b, label, legend)")
            .filter(one => one.clientWidth && one.scrollWidth > one.clientWidth + 1 && !one.closest(".fim-screen"))
            .map(one => one.outerHTML.slice(0, 90)),
        nameless: seen(":is(input, select)").filter(one => !one.labels.length).length,
        ink: getComputedStyle(document.querySelector(".fim-said")).color,
    };
}"""


def composed(one: Shown, width: int, scheme: str) -> None:
    """The figure fits its page, can be read and touched, and shows where the keyboard is."""
    found = one.page.evaluate(LOOKS)
    assert found["wide"] <= width, "the page scrolls sideways"
    assert found["letters"] >= 9.5
    assert not found["small"], "what a finger misses"
    assert not found["outside"]
    assert not found["over"], "words that run into what stands beside them"
    assert not found["nameless"]
    ink = sum(map(int, re.findall(r"\d+", found["ink"])[:3])) / 3
    assert ink > 200 if scheme == "dark" else ink < 60
    first = one.page.locator(".fim :is(input, select) >> visible=true >> nth=0")
    first.focus()
    assert first.evaluate("one => getComputedStyle(one).outlineStyle") in ("auto", "solid")
