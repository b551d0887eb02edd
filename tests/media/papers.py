"""Documents as people send them, and as nobody should."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

SIZES = {"a4": A4, "letter": LETTER}


def pdf(path: Path, pages: int = 1, size: tuple[float, float] = A4, password: str | None = None) -> Path:
    """A page has its number, a frame all around at 36 points, and a square inch of black at the lower left."""
    canvas = Canvas(str(path), pagesize=size, encrypt=StandardEncryption(password) if password else None)
    for number in range(1, pages + 1):
        canvas.setFont("Helvetica", 14)
        canvas.drawString(100, size[1] - 100, f"This is page {number} of a fax")
        canvas.rect(36, 36, size[0] - 72, size[1] - 72)
        canvas.rect(72, 72, 72, 72, fill=1)
        canvas.showPage()
    canvas.save()
    return path


def grey_ramp(path: Path) -> Path:
    """A picture that goes from black at the left to white at the right."""
    ramp = np.tile(np.linspace(0, 255, 800, dtype=np.uint8), (600, 1))
    Image.fromarray(ramp).save(path)
    return path


def bomb(path: Path, side: int = 60_000) -> Path:
    """A PNG of a few octets that would be gigabytes of pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path
