"""Plain text as a PDF: lines as they are, tabs every eight columns, long lines broken at words, form feeds obeyed.

Fonts are looked for once: one of equal width first, then others that know more letters. A letter that none of them has
is an error that names it: a fax with boxes in place of words helps nobody.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import reportlab
from reportlab.lib.pagesizes import A4, LEGAL, LETTER
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.pdfgen.canvas import Canvas

from media.paper import Paper

_SIZES = {Paper.AUTO: A4, Paper.A4: A4, Paper.LETTER: LETTER, Paper.LEGAL: LEGAL}
MARGIN_PT = 42.0
SIZE_PT = 10.0
LEADING_PT = 12.0
TAB_COLUMNS = 8
_DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
_FONTS = (
    _DEJAVU / "DejaVuSansMono.ttf",
    _DEJAVU / "DejaVuSans.ttf",
    Path(reportlab.__file__).parent / "fonts" / "Vera.ttf",  # always there; Latin alone
)
_RIGHT_TO_LEFT = {"R", "AL", "RLE", "RLO", "RLI"}
_UNSEEN = {"\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\ufe0e", "\ufe0f", "\u00ad"}


class CannotSet(ValueError):
    """A text that cannot be set; the message says why."""


def set_text(text: str, target: Path, paper: Paper, max_pages: int) -> int:
    """Writes `text` as PDF to `target`; the number of its pages. Raises CannotSet."""
    width, height = _SIZES[paper]
    lines_on_page = int((height - 2 * MARGIN_PT) // LEADING_PT)
    canvas = Canvas(str(target), pagesize=(width, height), pageCompression=1, invariant=1)
    canvas.setCreator("pbxd")
    count = line_number = 0
    for line in _lines(_plain(text), width - 2 * MARGIN_PT):
        if line is None or line_number == lines_on_page:
            canvas.showPage()
            count, line_number = count + 1, 0
        if count >= max_pages:
            raise CannotSet(f"the text has more than {max_pages} pages")
        if line is not None:
            _draw(canvas, line, height - MARGIN_PT - (line_number + 1) * LEADING_PT)
            line_number += 1
    canvas.showPage()
    canvas.save()
    return count + 1


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFC", text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    return text.replace("\v", "\n").rstrip()


def _lines(text: str, width: float) -> Iterator[list[tuple[float, str]] | None]:
    """Every line as pieces and where each begins; None for a new page."""
    if not text.strip():
        raise CannotSet("the text is empty")
    for number, sheet in enumerate(text.split("\f")):
        if number:
            yield None
        for line in sheet.split("\n"):
            yield from _broken(line, width)


def _broken(line: str, width: float) -> Iterator[list[tuple[float, str]]]:
    """A line that is too long, broken at the last space, or anywhere in a word that has none."""
    pieces: list[tuple[float, str]] = []
    at, space = 0.0, -1
    for letter in line:
        if letter in _UNSEEN:
            continue
        if letter == "\t":
            stop = TAB_COLUMNS * _width("0")
            at = (at // stop + 1) * stop
            space = len(pieces)
            continue
        wide = _width(letter)
        if at + wide > width and letter != " ":
            if not 0 < space < len(pieces):
                space = len(pieces)
            yield pieces[:space]
            start = pieces[space][0] if space < len(pieces) else at
            pieces = [(x - start, one) for x, one in pieces[space:]]
            at, space = at - start, -1
        pieces.append((at, letter))
        at += wide
        if letter == " ":
            space = len(pieces)
    yield pieces


def _draw(canvas: Canvas, line: list[tuple[float, str]], y: float) -> None:
    """Letters that stand side by side in one font are drawn as one word, so that a PDF reader can find it."""
    run, run_at, end, font = "", 0.0, 0.0, ""
    for x, letter in [*line, (-1.0, "")]:
        own = _font(letter) if letter else ""
        if run and (own != font or abs(x - end) > 0.01):
            canvas.setFont(font, SIZE_PT)
            canvas.drawString(MARGIN_PT + run_at, y, run)
            run = ""
        if letter:
            if not run:
                run_at, font = x, own
            run += letter
            end = x + _width(letter)


@cache
def _width(letter: str) -> float:
    return float(pdfmetrics.stringWidth(letter, _font(letter), SIZE_PT))


@cache
def _font(letter: str) -> str:
    """The name of the first font that has this letter. Raises CannotSet."""
    code = ord(letter)
    named = f"U+{code:04X} {unicodedata.name(letter, '')}".strip()
    if unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT:
        raise CannotSet(f"text that runs from right to left ({named}) cannot be set: send it as PDF")
    for name, letters in _fonts():
        if code in letters:
            return name
    raise CannotSet(f"no font here has the letter {named}: send the text as PDF")


@cache
def _fonts() -> list[tuple[str, frozenset[int]]]:
    found = []
    for path in _FONTS:
        try:
            font = TTFont(path.stem, str(path))
        except (TTFError, OSError):
            continue
        pdfmetrics.registerFont(font)
        found.append((path.stem, frozenset(font.face.charToGlyph)))
    return found
