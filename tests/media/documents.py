"""Documents to fax, and what became of them, bit by bit: pages are bytes of 216 octets a line, white is 0."""

from __future__ import annotations

import ctypes
import random
import struct
from collections.abc import Sequence
from pathlib import Path

LINE = 216  # octets: 1728 pixels
STANDARD, FINE, SUPERFINE = 98, 196, 391  # lines an inch
_TIFF = ctypes.CDLL("libtiff.so.6")
_TIFF.TIFFOpen.restype = ctypes.c_void_p


def page(seed: int, lines: int = 300) -> bytes:
    """Text-like: rows of short strokes, white between the rows."""
    chance = random.Random(seed)
    rows = []
    for line in range(lines):
        if line % 12 == 0:
            row = bytearray(LINE)
            for _ in range(24):
                row[chance.randrange(LINE)] = chance.randrange(1, 256)
        rows.append(bytes(LINE) if line % 12 > 8 else bytes(row))
    return b"".join(rows)


def pages(count: int, lines: int = 300, seed: int = 1) -> list[bytes]:
    """So many, each another."""
    return [page(seed * 1000 + number, lines) for number in range(count)]


def write(path: Path, contents: Sequence[bytes], lines_per_inch: int = STANDARD) -> Path:
    """A TIFF of these pages, not compressed."""
    out = bytearray(struct.pack("<2sHI", b"II", 42, 0))
    link = 4
    for number, content in enumerate(contents):
        data_at = len(out)
        out += content
        ratio_at = len(out)
        out += struct.pack("<IIII", 204, 1, lines_per_inch, 1)
        struct.pack_into("<I", out, link, len(out))
        lines = len(content) // LINE
        tags = [
            (254, 4, 1, 2),
            (256, 4, 1, 8 * LINE),
            (257, 4, 1, lines),
            (258, 3, 1, 1),
            (259, 3, 1, 1),
            (262, 3, 1, 0),
            (273, 4, 1, data_at),
            (277, 3, 1, 1),
            (278, 4, 1, lines),
            (279, 4, 1, len(content)),
            (282, 5, 1, ratio_at),
            (283, 5, 1, ratio_at + 8),
            (296, 3, 1, 2),
            (297, 3, 2, number | len(contents) << 16),
        ]
        out += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        link = len(out)
        out += struct.pack("<I", 0)
    path.write_bytes(out)
    return path


def read(path: Path) -> list[bytes]:
    """The pages of any fax TIFF, by libtiff."""
    if not path.exists():
        return []
    tiff = ctypes.c_void_p(_TIFF.TIFFOpen(str(path).encode(), b"r"))
    if not tiff:
        return []
    found = []
    while True:
        lines = ctypes.c_uint32()
        _TIFF.TIFFGetField(tiff, 257, ctypes.byref(lines))
        row, rows = ctypes.create_string_buffer(LINE), []
        for line in range(lines.value):
            _TIFF.TIFFReadScanline(tiff, row, line, 0)
            rows.append(row.raw)
        found.append(b"".join(rows))
        if not _TIFF.TIFFReadDirectory(tiff):
            break
    _TIFF.TIFFClose(tiff)
    return found
