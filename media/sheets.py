"""Fax pages as a TIFF file (TIFF 6.0 §11, RFC 2306) and as a PDF file: both hold the same T.4 or T.6 code.

Pages are written as they come: two hundred of them take no more memory than one.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from PIL import Image, ImageSequence

from media.halftone import Bits
from media.paper import H_DPI, POINTS

_SHORT, _LONG, _RATIONAL = 3, 4, 5
_STRIP_OFFSET, _STRIP_SIZE = 273, 279


class Coding(Enum):
    """How lines are coded: the value of the TIFF tag Compression."""

    G3 = 3  # T.4, one-dimensional (MH)
    G4 = 4  # T.6 (MMR)


@dataclass(frozen=True, slots=True)
class Page:
    """One coded page. `lines` and `columns` in pels, the resolution in lines per inch."""

    data: bytes
    columns: int
    lines: int
    x_dpi: int
    y_dpi: int
    coding: Coding


def encode(black: Bits, y_dpi: int, coding: Coding = Coding.G4, x_dpi: int = H_DPI) -> Page:
    """A page of bits, coded by libtiff."""
    lines, columns = black.shape
    inked = Image.fromarray(np.ascontiguousarray(black).view(np.uint8) * np.uint8(255)).convert(
        "1", dither=Image.Dither.NONE
    )
    file = io.BytesIO()
    compression = "group4" if coding is Coding.G4 else "group3"
    inked.save(file, "TIFF", compression=compression, tiffinfo={278: lines})  # one strip
    with Image.open(file) as coded:
        tags = coded.tag_v2  # type: ignore[attr-defined]
        offset, size = int(tags[_STRIP_OFFSET][0]), int(tags[_STRIP_SIZE][0])
    return Page(file.getvalue()[offset : offset + size], columns, lines, x_dpi, y_dpi, coding)


class TiffWriter:
    """Writes pages, one behind the other; a context."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.pages = 0

    def __enter__(self) -> Self:
        self._file: BinaryIO = self._path.open("wb")
        self._file.write(b"II*\0" + struct.pack("<I", 0))
        self._link = 4  # where the offset of the next directory belongs
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, page: Page) -> None:
        file = self._file
        data_at = file.seek(0, io.SEEK_END)
        file.write(page.data + bytes(len(page.data) % 2))
        rationals_at = file.tell()
        file.write(struct.pack("<4I", page.x_dpi, 1, page.y_dpi, 1))
        directory_at = file.tell()
        entries = [
            (254, _LONG, 1, 2),  # a page of several
            (256, _SHORT, 1, page.columns),
            (257, _LONG, 1, page.lines),
            (258, _SHORT, 1, 1),
            (259, _SHORT, 1, page.coding.value),
            (262, _SHORT, 1, 0),  # 0 is white
            (266, _SHORT, 1, 1),
            (_STRIP_OFFSET, _LONG, 1, data_at),
            (274, _SHORT, 1, 1),
            (277, _SHORT, 1, 1),
            (278, _LONG, 1, page.lines),
            (_STRIP_SIZE, _LONG, 1, len(page.data)),
            (282, _RATIONAL, 1, rationals_at),
            (283, _RATIONAL, 1, rationals_at + 8),
            (292 if page.coding is Coding.G3 else 293, _LONG, 1, 0),
            (296, _SHORT, 1, 2),  # inches
            (297, _SHORT, 2, self.pages),  # of an unknown number
        ]
        packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
        file.write(struct.pack("<H", len(entries)) + packed + struct.pack("<I", 0))
        file.seek(self._link)
        file.write(struct.pack("<I", directory_at))
        self._link = directory_at + 2 + len(packed)
        self.pages += 1


class PdfWriter:
    """Writes the same pages as PDF (ISO 32000-1 §7.4.6 for their code); a context."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[int, int] = {}
        self._pages: list[int] = []

    def __enter__(self) -> Self:
        self._file: BinaryIO = self._path.open("wb")
        self._file.write(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if kind is None:
            self._finish()
        self._file.close()

    def add(self, page: Page) -> None:
        """Raises ValueError for a page that is not T.6."""
        if page.coding is not Coding.G4:
            raise ValueError("a PDF page is coded as T.6")
        width, height = page.columns / page.x_dpi * POINTS, page.lines / page.y_dpi * POINTS
        number = 3 + 3 * len(self._pages)
        self._pages.append(number)
        drawing = f"q {width:.2f} 0 0 {height:.2f} 0 0 cm /Fax Do Q".encode()
        image = (
            f"/Type /XObject /Subtype /Image /Width {page.columns} /Height {page.lines} /ColorSpace /DeviceGray "
            "/BitsPerComponent 1 /Filter /CCITTFaxDecode "
            f"/DecodeParms << /K -1 /Columns {page.columns} /Rows {page.lines} >>"
        )
        self._object(
            number,
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.2f} {height:.2f}] "
            f"/Resources << /XObject << /Fax {number + 2} 0 R >> >> /Contents {number + 1} 0 R >>".encode(),
        )
        self._object(number + 1, _stream("", drawing))
        self._object(number + 2, _stream(image, page.data))

    def _object(self, number: int, content: bytes) -> None:
        self._places[number] = self._file.tell()
        self._file.write(f"{number} 0 obj\n".encode() + content + b"\nendobj\n")

    def _finish(self) -> None:
        self._object(1, b"<< /Type /Catalog /Pages 2 0 R >>")
        kids = " ".join(f"{number} 0 R" for number in self._pages)
        self._object(2, f"<< /Type /Pages /Kids [{kids}] /Count {len(self._pages)} >>".encode())
        table_at, count = self._file.tell(), len(self._places) + 1
        rows = "".join(f"{self._places[number]:010} 00000 n \n" for number in range(1, count))
        self._file.write(f"xref\n0 {count}\n0000000000 65535 f \n{rows}".encode())
        trailer = f"trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{table_at}\n%%EOF\n"
        self._file.write(trailer.encode())


def _stream(dictionary: str, data: bytes) -> bytes:
    return f"<< {dictionary} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream"


def to_pdf(source: Path, target: Path, max_pages: int) -> int:
    """The pages of a fax TIFF as PDF; how many. May raise whatever a broken file makes Pillow raise."""
    pages = 0
    with Image.open(source, formats=["TIFF"]) as file, PdfWriter(target) as writer:
        for frame in ImageSequence.Iterator(file):
            if pages == max_pages:
                break
            x_dpi, y_dpi = resolution_of(frame)
            writer.add(encode(~np.asarray(frame.convert("1", dither=Image.Dither.NONE)), y_dpi, x_dpi=x_dpi))
            pages += 1
    return pages


def resolution_of(frame: Image.Image) -> tuple[int, int]:
    """What a TIFF page says of its resolution, in dpi; that of a standard fax where it says nothing sane."""
    x_dpi, y_dpi = frame.info.get("dpi", (0, 0))
    if not (30 <= x_dpi <= 2400 and 30 <= y_dpi <= 2400):
        return H_DPI, 98
    return round(x_dpi), round(y_dpi)
