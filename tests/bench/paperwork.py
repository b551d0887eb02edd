"""Documents: how many pages of a PDF become fax pages in a second, and what one costs, each PDF in a process of its own
as in the house. Half of the pages are a letter, half have a grey picture that is dithered."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path

from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from media.pages import Kind, Layout, Pages, Resolution
from media.tiff import count_pages
from tests.bench.figures import Figure, Readings
from tests.media import papers

PAGES = 20
FASTEST = 2  # as many processes as the house lets draw at a time
BARS = {Resolution.STANDARD: 8.0, Resolution.FINE: 4.0, Resolution.SUPERFINE: 2.0}

FIGURES = tuple(
    figure
    for detail, bar in BARS.items()
    for figure in (
        Figure(f"PDF to TIFF, {detail.name.lower()}", "pages/s", bar=bar, digits=1, at_least=True),
        Figure(f"PDF to TIFF, {detail.name.lower()}: CPU a page", "ms", digits=0),
    )
)


def measure(folder: Path) -> Readings:
    """Two documents at a time, each detail for itself."""
    source = document(folder / "document.pdf")
    readings: dict[str, float] = {}
    for detail in BARS:
        name = f"PDF to TIFF, {detail.name.lower()}"
        cpu, began = _children(), time.monotonic()
        pages = asyncio.run(_rendered(source, folder, detail))
        readings[name] = pages / (time.monotonic() - began)
        readings[f"{name}: CPU a page"] = 1000 * (_children() - cpu) / pages
    return readings


def document(path: Path) -> Path:
    """A PDF of letters and pictures."""
    picture = ImageReader(str(papers.grey_ramp(path.with_suffix(".png"))))
    canvas = Canvas(str(path), pagesize=A4)
    for number in range(PAGES):
        canvas.setFont("Helvetica", 11)
        for line in range(45 if number % 2 else 15):
            canvas.drawString(
                60, A4[1] - 60 - 15 * line, f"{number} {line}: The quick brown fox jumps over the lazy dog."
            )
        if number % 2 == 0:
            canvas.drawImage(picture, 60, 60, width=470, height=350)
        canvas.showPage()
    canvas.save()
    return path


async def _rendered(source: Path, folder: Path, detail: Resolution) -> int:
    room = Pages(at_once=FASTEST)
    targets = [folder / f"{detail.name}-{number}.tif" for number in range(FASTEST)]
    await asyncio.gather(*(room.render(source, Kind.PDF, target, Layout(detail)) for target in targets))
    return sum(count_pages(target) for target in targets)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
