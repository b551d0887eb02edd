"""The process that opens documents from outside: with limits of its own, and nothing to lose.

    python -m media.pagemaker examine '{"source": ..., "kind": "text", "pdf": ..., "paper": "a4", "max_pages": 200}'
    python -m media.pagemaker render '{"source": ..., "kind": "pdf", "tiff": ..., "resolution": 196, ...}'
    python -m media.pagemaker bind '{"source": ..., "pdf": ..., "max_pages": 200}'

`media.pages` starts it. PDFium, Pillow and reportlab are loaded here and never in the daemon. It says on standard
output how many pages there are, or in a sentence why there are none.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, ImageSequence
from pypdfium2 import PdfDocument, PdfiumError
from pypdfium2.raw import FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY

from media.halftone import Bits, bilevel
from media.paper import H_DPI, POINTS, WIDTH, Kind, Paper, Placement, Resolution, place
from media.sheets import Coding, TiffWriter, encode, to_pdf
from media.typesetting import CannotSet, set_text

MEMORY = 1 << 30  # octets of address space
CPU_S = 120
FILE_OCTETS = 256 << 20
MAX_PIXELS = 120_000_000
MAX_SIDE_PT = 200 * POINTS
SUPERFINE_SCALE = 2
_FORMATS = {Kind.PNG: "PNG", Kind.JPEG: "JPEG", Kind.TIFF: "TIFF"}


class Refused(Exception):
    """A document that cannot be faxed; the message says why."""


def _pdf(path: Path, max_pages: int) -> PdfDocument:
    try:
        document = PdfDocument(path)
    except PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code in (FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY) or "password" in str(error).lower():
            raise Refused("the PDF is encrypted: send one that opens without a password") from None
        raise Refused("the PDF is broken") from None
    if not len(document):
        raise Refused("the PDF has no pages")
    if len(document) > max_pages:
        raise Refused(f"the PDF has {len(document)} pages, more than {max_pages}")
    for index in range(len(document)):
        width, height = _size(document, index)
        if max(width, height) > MAX_SIDE_PT or min(width, height) < 1:
            raise Refused(f"page {index + 1} measures {width / POINTS:.0f} × {height / POINTS:.0f} inches")
    return document


def _size(document: PdfDocument, index: int) -> tuple[float, float]:
    try:
        width, height = document.get_page_size(index)
    except PdfiumError:
        raise Refused(f"page {index + 1} of the PDF is broken") from None
    return float(width), float(height)


def _pdf_pages(document: PdfDocument, paper: Paper, resolution: Resolution) -> Iterator[Bits]:
    document.init_forms()
    detail = SUPERFINE_SCALE if resolution is Resolution.SUPERFINE else 1
    for index in range(len(document)):
        width, height = _size(document, index)
        where = place(width, height, paper, resolution)
        across = height if where.turned else width
        try:
            page = document[index]
            bitmap = page.render(
                scale=detail * where.columns / across, rotation=90 if where.turned else 0, grayscale=True
            )
        except PdfiumError:
            raise Refused(f"page {index + 1} of the PDF is broken") from None
        grey = bitmap.to_pil()
        yield _laid(grey, where)
        bitmap.close()
        page.close()


def _laid(grey: Image.Image, where: Placement) -> Bits:
    """The page on its paper."""
    scaled = grey.convert("L").resize((where.columns, where.rows), Image.Resampling.BOX)
    sheet = np.zeros((where.height, WIDTH), bool)
    left = (WIDTH - where.columns) // 2
    sheet[: where.rows, left : left + where.columns] = bilevel(scaled)
    return sheet


def _image_pages(path: Path, kind: Kind, paper: Paper, resolution: Resolution, max_pages: int) -> Iterator[Bits]:
    count = 0
    with Image.open(path, formats=[_FORMATS[kind]]) as file:
        for frame in ImageSequence.Iterator(file):
            count += 1
            if count > max_pages:
                raise Refused(f"the file has more than {max_pages} pages")
            x_dpi, y_dpi = (float(one) for one in frame.info.get("dpi", (0, 0)))
            said = 30 <= x_dpi <= 2400 and 30 <= y_dpi <= 2400
            is_fax = frame.mode == "1" and frame.width == WIDTH and said
            if is_fax and abs(x_dpi - H_DPI) < 5 and abs(y_dpi - resolution.value) < 5:
                yield ~np.asarray(frame)  # a fax page already: pel by pel
                continue
            upright = ImageOps.exif_transpose(frame) or frame
            if not said:
                x_dpi = y_dpi = H_DPI
            size = upright.width / x_dpi * POINTS, upright.height / y_dpi * POINTS
            where = place(*size, paper, resolution, enlarge=not said)
            grey = _on_white(upright)
            yield _laid(grey.transpose(Image.Transpose.ROTATE_270) if where.turned else grey, where)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("L")
    return image.convert("L")


def _examine(said: dict[str, Any]) -> int:
    """How many pages there are. Text is set, so that what is sent later is what was looked at."""
    source, kind, max_pages = Path(said["source"]), Kind(said["kind"]), int(said["max_pages"])
    if kind is Kind.PDF:
        return len(_pdf(source, max_pages))
    if kind is not Kind.TEXT:
        with Image.open(source, formats=[_FORMATS[kind]]) as file:
            pages = int(getattr(file, "n_frames", 1))
        if pages > max_pages:
            raise Refused(f"the file has {pages} pages, more than {max_pages}")
        return pages
    try:
        text = source.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"the text is not UTF-8 (byte {error.start})") from None
    return set_text(text, Path(said["pdf"]), Paper(said["paper"]), max_pages)


def _render(said: dict[str, Any]) -> int:
    """Every page as fax pages, and those as PDF where it is wanted."""
    source, kind, max_pages = Path(said["source"]), Kind(said["kind"]), int(said["max_pages"])
    paper, resolution = Paper(said["paper"]), Resolution(said["resolution"])
    if kind is Kind.PDF:
        pages = _pdf_pages(_pdf(source, max_pages), paper, resolution)
    else:
        pages = _image_pages(source, kind, paper, resolution, max_pages)
    with TiffWriter(Path(said["tiff"])) as writer:
        for page in pages:
            writer.add(encode(page, resolution.value, Coding(said["coding"])))
    if not writer.pages:
        raise Refused("there are no pages in it")
    if said.get("pdf"):
        to_pdf(Path(said["tiff"]), Path(said["pdf"]), max_pages)
    return writer.pages


def _bind(said: dict[str, Any]) -> int:
    pages = to_pdf(Path(said["source"]), Path(said["pdf"]), int(said["max_pages"]))
    if not pages:
        raise Refused("there are no pages in it")
    return pages


_WORK = {"examine": _examine, "render": _render, "bind": _bind}


def _limit() -> None:
    os.nice(10)  # calls come first
    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, FILE_OCTETS),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def main() -> int:
    """The process: its limits, then its work; the answer is a line of JSON."""
    _limit()
    answer: dict[str, object]
    try:
        answer = {"pages": _WORK[sys.argv[1]](json.loads(sys.argv[2]))}
    except (Refused, CannotSet) as error:
        answer = {"refused": str(error)}
    except (Image.DecompressionBombWarning, Image.DecompressionBombError, MemoryError):
        answer = {"refused": "the file takes more memory than a fax may"}
    except (
        OSError,
        ValueError,
        SyntaxError,
        TypeError,
        EOFError,
        KeyError,
        IndexError,
        OverflowError,
        ZeroDivisionError,
    ):
        answer = {"refused": "the file is broken"}  # whatever Pillow's readers make of one
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
