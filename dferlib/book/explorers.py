"""What answers on a page: pieces of HTML that hold their own data, style and script, and ask for nothing.

The same piece works in a notebook, on the built page and offline. It is complete where scripts are off; a script only
makes it move. Two of them on a page, even two that are equal, do not know of each other.
"""

import hashlib
import html
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dferlib.errors import InputError

SCRIPTS = Path(__file__).parent / "scripts"
LIMIT = 400_000  # bytes


@dataclass(frozen=True)
class Interactive:
    """A figure that answers, shown by Jupyter and on the page.

    Attributes:
        html: all of it.
        alt: what it shows, in words.
    """

    html: str = field(repr=False)
    alt: str

    @property
    def kilobytes(self) -> float:
        """How large it is."""
        return len(self.html.encode()) / 1000

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": f"[{self.alt}]"}


def explorer(body: str, data: object, kind: str, *, alt: str) -> Interactive:
    """Frame, style and script around a figure that answers.

    Args:
        body: HTML that is whole by itself: what stands there where scripts are off. What has the class `fim-still` is
            shown only then, what has the class `fim-live` only with scripts.
        data: what the script gets, anything that JSON can hold.
        kind: which script and style, the name of files in `dferlib/book/scripts`.
        alt: what the figure shows, for those who do not see it.

    Raises:
        InputError: the text is missing, there is no such script, or it all is larger than a page should load.
    """
    if not alt.strip():
        raise InputError("an interactive figure needs alt=...: what it shows, for those who do not see it")
    if not (SCRIPTS / f"{kind}.js").is_file():
        raise InputError(f"there is no script {kind}.js in {SCRIPTS}")
    text = _whole(body, data, kind, alt)
    if len(text.encode()) > LIMIT:
        raise InputError(
            f"this figure has {len(text.encode()) // 1000} kB, and {LIMIT // 1000} are the most: show less"
        )
    return Interactive(text, alt)


def room(data: object, kind: str, alt: str) -> int:
    """How many bytes of HTML are left for the body of such a figure."""
    return LIMIT - len(_whole("", data, kind, alt).encode())


def _whole(body: str, data: object, kind: str, alt: str) -> str:
    style, script = (_read("base", end) + _read(kind, end) for end in ("css", "js"))
    told = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    key = hashlib.sha256(f"{body}{told}{script}".encode()).hexdigest()[:12]
    return (
        f'<div class="fim fim-{kind}" data-fim="{key}" role="group" aria-label="{html.escape(alt)}">'
        f"<style>{style}</style>{body}"
        f'<script>(() => {{"use strict";\n{script}begin("{key}", {told});\n}})()</script></div>'
    )


def _read(name: str, end: str) -> str:
    path = SCRIPTS / f"{name}.{end}"
    return path.read_text(encoding="utf-8") if path.is_file() else ""
