"""The page "When it goes wrong" has every message of the library, and nothing that the library does not say."""

import ast
from html.parser import HTMLParser
from pathlib import Path

import pytest

import troubles

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "when_it_goes_wrong.md").read_text(encoding="utf-8")


def raised() -> dict[str, list[str]]:
    """Where an InputError is raised, and the fixed words of what it says there; found without the page's own code."""
    found = {}
    for path in (ROOT / "dferlib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError":
                said = node.args[0]
                parts = [said] if isinstance(said, ast.Constant) else getattr(said, "values", [])
                words = [part.value for part in parts if isinstance(part, ast.Constant)]
                found[f"{path.relative_to(ROOT)}:{node.lineno}"] = words
    return found


class Text(HTMLParser):
    """What a page says."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_every_message_is_on_the_page() -> None:
    wanted, lines = raised(), troubles.filled(PAGE).splitlines()
    assert len(wanted) > 200
    missing = [place for place, words in wanted.items() if not any(all(w in line for w in words) for line in lines)]
    assert not missing, "book/troubles.py does not find what is raised there"


@pytest.mark.site
def test_the_built_page_has_them_all(html: Path) -> None:
    reader = Text()
    reader.feed((html / "book" / "when_it_goes_wrong.html").read_text(encoding="utf-8"))
    said = " ".join("".join(reader.said).split())
    assert not [message.text for message in troubles.messages() if " ".join(message.text.split()) not in said]


def test_each_section_has_messages_and_a_place() -> None:
    found = {message.section for message in troubles.messages()}
    assert found == set(troubles.SECTIONS)
    assert not [section for section in troubles.SECTIONS if PAGE.count(f"{{{{ {section} }}}}") != 1]


def test_each_note_belongs_to_a_message() -> None:
    texts = [message.text for message in troubles.messages()]
    stale = [begin for begin in troubles.NOTES if not any(text.startswith(begin) for text in texts)]
    assert not stale, "nothing says this any more: remove the note from book/troubles.py, or change how it begins"


def test_all_wordings_are_found(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    (tmp_path / "video" / "made.py").write_text("""
PACKAGE = "dlib"
def why(x):
    if x:
        return f"{x} is cold"
    return "nobody knows"
def open(path, count):
    what = "empty" if path else "gone"
    remedy = "copy it again"
    if count:
        raise InputError(f"{path} is {what}: {remedy}" + (f"; {count} more" if count > 1 else ""))
    if count is None:
        raise InputError(why(count))
    number = count + 1
    raise InputError(f"{PACKAGE} has {count + number}: it 'must' be {number:.1f} or more") from None
""")
    assert {message.text for message in troubles.messages(tmp_path)} == {
        "… is empty: copy it again; … more",
        "… is gone: copy it again; … more",
        "… is cold",
        "nobody knows",
        "dlib has …: it 'must' be … or more",
    }
    assert {message.section for message in troubles.messages(tmp_path)} == {"videos"}


def test_a_module_without_a_section_is_told() -> None:
    with pytest.raises(LookupError, match=r"no section of the page has messages of sound/reading\.py"):
        _ = troubles.Message("sound/reading.py", "… is silent").section
