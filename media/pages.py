"""Documents made into fax pages and back, each in a process of its own (media.pagemaker) that can be killed.

PDF, plain text, TIFF, PNG and JPEG become pages of 1728 pels; received pages become a PDF. What is encrypted, broken,
empty or too large is refused in words. A process has 1 GiB, two minutes of a processor and `patience_s` of time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from media.paper import Kind, Paper, Resolution

MAX_PAGES = 200
PATIENCE_S = 150.0
_G4 = 4
_TOO_MUCH = "reading it took too much time or memory"

__all__ = ["MAX_PAGES", "BadDocument", "Kind", "Layout", "Pages", "Paper", "Resolution"]


class BadDocument(ValueError):
    """A document that cannot be faxed; the message says why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How pages are made."""

    resolution: Resolution = Resolution.FINE
    paper: Paper = Paper.AUTO
    max_pages: int = MAX_PAGES


class Pages:
    """The printing room: `at_once` processes at most, the others wait."""

    def __init__(self, at_once: int = 2, patience_s: float = PATIENCE_S) -> None:
        self._turn = asyncio.Semaphore(at_once)
        self._patience_s = patience_s

    async def examine(self, source: Path, kind: Kind, pdf: Path, layout: Layout) -> int:
        """How many pages a document has; text is set as `pdf`. Raises BadDocument, OSError."""
        said = _said(source, layout) | {"kind": kind.value}
        return await self._made("examine", said, {"pdf": pdf} if kind is Kind.TEXT else {})

    async def render(self, source: Path, kind: Kind, tiff: Path, layout: Layout, pdf: Path | None = None) -> int:
        """Writes the fax pages of a PDF or an image to `tiff`, and what they look like to `pdf`; how many there are.

        Both whole or not at all. Raises BadDocument, OSError.
        """
        said = _said(source, layout) | {"kind": kind.value, "resolution": layout.resolution.value, "coding": _G4}
        return await self._made("render", said, {"tiff": tiff} | ({"pdf": pdf} if pdf else {}))

    async def bind(self, tiff: Path, pdf: Path, max_pages: int = MAX_PAGES) -> int:
        """Writes received pages as PDF; how many there are. Raises BadDocument, OSError."""
        return await self._made("bind", {"source": str(tiff), "max_pages": max_pages}, {"pdf": pdf})

    async def _made(self, work: str, said: dict[str, object], targets: dict[str, Path]) -> int:
        """Runs one process; what it wrote takes its place once all of it is there."""
        parts = {name: path.with_name(path.name + ".part") for name, path in targets.items()}
        said |= {name: str(part) for name, part in parts.items()}
        try:
            async with self._turn:
                pages = await self._run(work, said)
            for name, part in parts.items():
                part.replace(targets[name])
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
        return pages

    async def _run(self, work: str, said: dict[str, object]) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "media.pagemaker", work, json.dumps(said)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(self._patience_s):
                written, _ = await process.communicate()
        except TimeoutError:
            raise BadDocument(_TOO_MUCH) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            answer = json.loads(written)
        except ValueError:  # it was killed
            raise BadDocument(_TOO_MUCH) from None
        if "refused" in answer:
            raise BadDocument(str(answer["refused"]))
        return int(answer["pages"])


def _said(source: Path, layout: Layout) -> dict[str, object]:
    return {"source": str(source), "paper": layout.paper.value, "max_pages": layout.max_pages}
