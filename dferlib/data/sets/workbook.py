"""Reading the first sheet of an Excel workbook, which is a zip of XML, without another package."""

import re
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree

from dferlib.errors import InputError

_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LARGEST = 1 << 27  # bytes of one part; the annotation of 16,372 clips takes about ten million


def read_workbook(path: str) -> Iterator[list[str]]:
    """Give the rows of the first sheet as text, without the cells that are empty.

    Raises:
        InputError: it is not a workbook, or it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            words = [_text(item) for item in _part(file, "xl/sharedStrings.xml").iter(f"{_SPACE}si")]
            sheets = [name for name in file.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name)]
            first = min(sheets, key=lambda name: (len(name), name))  # sheet2 comes before sheet10
            rows = list(_part(file, first).iter(f"{_SPACE}row"))
        yield from ([_value(cell, words) for cell in row.iter(f"{_SPACE}c")] for row in rows)
    except (zipfile.BadZipFile, ElementTree.ParseError, LookupError, ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{path} is not an Excel workbook (.xlsx), or it is damaged: copy it again") from error


def _part(file: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if name not in file.namelist():
        return ElementTree.Element("none")  # a workbook without text has no shared strings
    if file.getinfo(name).file_size > _LARGEST:
        raise ValueError(f"{name} is too large")
    return ElementTree.fromstring(file.read(name))


def _text(item: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in item.iter(f"{_SPACE}t"))


def _value(cell: ElementTree.Element, words: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _text(cell).strip()
    value = (cell.findtext(f"{_SPACE}v") or "").strip()
    return words[int(value)].strip() if cell.get("t") == "s" else value
