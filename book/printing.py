"""The whole book as one PDF: a browser prints every page of the built book, in the order of reading.

    python book/printing.py _build/html faces-in-motion.pdf

The bookmarks are the titles of the pages. Figures that move show the picture that they begin with. Solutions and
claims are unfolded; code that the page folds away is left to the notebook.
"""

import argparse
import io
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, PdfMargins, sync_playwright
from pypdf import PdfWriter

TOC = Path(__file__).parents[1] / "_toc.yml"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox"]  # it reads this book's own files, and containers often let it have no sandbox
MARGIN: PdfMargins = {"top": "14mm", "bottom": "14mm", "left": "14mm", "right": "14mm"}
SCALE = 0.7  # a screen's letters are large on paper, and a screen is wider
PAPER = "details.hide { display: none !important; } * { animation: none !important; transition: none !important; }"
# formulas are set by a script; a page without any has none to wait for
READY = "() => !window.MathJax || !window.MathJax.startup || window.MathJax.startup.promise.then(() => true)"


def page_names(toc: Path) -> list[str]:
    """The pages of a table of contents in the order of reading, such as "notebooks/07_stt"."""
    return re.findall(r"^ *(?:- )?(?:root|file): *(\S+)$", toc.read_text(encoding="utf-8"), re.MULTILINE)


def printed(page: Page, file: Path) -> tuple[str, bytes]:
    """The title of a page of the book, and the page as PDF."""
    page.goto(file.resolve().as_uri())
    page.wait_for_function(READY)
    page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.add_style_tag(content=PAPER)
    title = page.title().split(" — ")[0]
    return title, page.pdf(format="A4", scale=SCALE, margin=MARGIN, print_background=True)


def print_book(html: Path, toc: Path, out: Path) -> int:
    """Print the pages of a built book into one PDF.

    Args:
        html: where the built book is.
        toc: its table of contents.
        out: the PDF.

    Returns:
        How many pages of paper it has.
    """
    names = page_names(toc)
    if missing := [name for name in names if not (html / f"{name}.html").exists()]:
        sys.exit(f"{html} has no page {missing[0]}.html: build the book first, with `make book`")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit("printing needs Chromium. On Debian and Ubuntu: apt-get install chromium")
    whole = PdfWriter()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        page = browser.new_page(color_scheme="light", reduced_motion="reduce")
        for name in names:
            title, pdf = printed(page, html / f"{name}.html")
            whole.append(io.BytesIO(pdf), outline_item=title)
            print(f"{title}: {len(whole.pages)} pages so far", flush=True)
        browser.close()
    whole.compress_identical_objects()
    whole.write(out)
    return len(whole.pages)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("html", type=Path, help="the built book")
    parser.add_argument("out", type=Path, help="the PDF")
    given = parser.parse_args()
    count = print_book(given.html, TOC, given.out)
    print(f"{given.out}: {count} pages, {given.out.stat().st_size / 1e6:.1f} MB")
