"""What a fax page measures: 1728 pels across 215 mm, and so many lines as the paper is long (ITU-T T.4 §2, §4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Self

WIDTH = 1728  # pels
H_DPI = 204
POINTS = 72  # an inch
PRINTABLE_PT = WIDTH / H_DPI * POINTS
MM_PT = POINTS / 25.4


class Resolution(Enum):
    """Lines per inch."""

    STANDARD = 98
    FINE = 196
    SUPERFINE = 391


class Paper(StrEnum):
    """What pages are fitted on; AUTO takes for each page what it was made for."""

    AUTO = "auto"
    A4 = "a4"
    LETTER = "letter"
    LEGAL = "legal"


class Kind(StrEnum):
    """What a document is, by its first bytes."""

    PDF = "pdf"
    TEXT = "text"
    TIFF = "tiff"
    PNG = "png"
    JPEG = "jpeg"

    @classmethod
    def of(cls, start: bytes) -> Self | None:
        """What a document is that begins with `start`, 1 KiB of it or all; None where it is none of ours.

        A file is text where nothing in it speaks against that: no control characters but those of layout.
        """
        if b"%PDF-" in start:
            return cls("pdf")
        if start.startswith((b"II*\0", b"MM\0*")):
            return cls("tiff")
        if start.startswith(b"\x89PNG\r\n\x1a\n"):
            return cls("png")
        if start.startswith(b"\xff\xd8\xff"):
            return cls("jpeg")
        if _CONTROLS.isdisjoint(start):
            return cls("text")
        return None


_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\v\f\r") | {127}
SIZES_MM = {Paper.A4: (210.0, 297.0), Paper.LETTER: (215.9, 279.4), Paper.LEGAL: (215.9, 355.6)}
_ALIKE_PT = 12.0


@dataclass(frozen=True, slots=True)
class Placement:
    """How one page of a document lies on a fax page: `columns` × `rows` pels of it, centred, on a page of `height`
    lines; turned by a quarter before that where `turned`."""

    columns: int
    rows: int
    height: int
    turned: bool


def paper_of(width_pt: float, height_pt: float) -> Paper:
    """What paper a page of that size was made for, upright or not."""
    short, long = sorted((width_pt, height_pt))
    for paper, (width, height) in SIZES_MM.items():
        if abs(short - width * MM_PT) < _ALIKE_PT and abs(long - height * MM_PT) < _ALIKE_PT:
            return paper
    return Paper.A4


def place(
    width_pt: float, height_pt: float, paper: Paper, resolution: Resolution, *, enlarge: bool = False
) -> Placement:
    """Where a page of that size goes: as large as it is, or as large as it can be where it does not fit ; with
    `enlarge`, as large as it can be. One that does not fit is turned where that leaves more of it."""
    if paper is Paper.AUTO:
        paper = paper_of(width_pt, height_pt)
    paper_pt = SIZES_MM[paper][1] * MM_PT
    upright = min(PRINTABLE_PT / width_pt, paper_pt / height_pt)
    lying = min(PRINTABLE_PT / height_pt, paper_pt / width_pt)
    turned = lying > upright and upright < 1.0 and not enlarge
    if turned:
        width_pt, height_pt = height_pt, width_pt
    scale = max(upright, lying) if turned else upright
    if not enlarge:
        scale = min(scale, 1.0)
    height = round(paper_pt / POINTS * resolution.value)
    columns = min(WIDTH, max(1, round(width_pt * scale / POINTS * H_DPI)))
    rows = min(height, max(1, round(height_pt * scale / POINTS * resolution.value)))
    return Placement(columns, rows, height, turned)
