"""Where documents lie once nobody works with them: in the folder, or in a bucket.

Faxes are made, sent and bound from files. With a bucket a document goes there when its fax has ended, and its file is
removed when the bucket has it: whatever fails in between, one of both has it, and `tidy` tries again. What was put into
a bucket is found as long as the settings name it, also after documents stay in the folder again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from weakref import WeakValueDictionary

from yarl import URL

from pbxd.config.faxes import FaxStorage, StoragePlugin
from pbxd.errors import HouseError, NotFound, Unavailable
from pbxd.s3 import Credentials, Place
from pbxd.services.faxes.bucket import Bucket
from pbxd.services.faxes.exchange import Exchange
from pbxd.services.faxes.shelf import Files

log = logging.getLogger(__name__)

FETCHED = "fetched"
FETCHED_S = 3600.0  # how long a copy out of the bucket is kept
Ended = Callable[[str, str], Awaitable[bool]]
"""Whether the fax of a folder (`in` or `out`, and its id) is there and has ended."""


class Depot:
    """`trouble` is what the bucket said when it was last asked, None where that was well."""

    def __init__(self, files: Files, settings: FaxStorage, wall: Callable[[], float]) -> None:
        self._files = files
        self._wall = wall
        self._exchange = Exchange()
        self._busy: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()
        self.failures = 0
        self.reload(settings)

    def reload(self, settings: FaxStorage) -> None:
        """Where documents are put from now on."""
        self.settings = settings
        self.trouble: str | None = None
        place = place_of(settings)
        self.bucket = Bucket(place, self._exchange, self._wall) if place is not None else None

    async def close(self) -> None:
        await self._exchange.close()

    @property
    def in_bucket(self) -> bool:
        """Whether documents go into the bucket."""
        return self.bucket is not None and self.settings.plugin is StoragePlugin.S3

    async def put_away(self, *papers: Path) -> bool:
        """Hands over what is there of `papers`, which lie in one folder, and removes that; False: not now."""
        bucket = self.bucket
        if bucket is None or not self.in_bucket:
            return True
        try:
            async with self._alone(papers[0].parent):
                for paper in papers:
                    if paper.is_file():
                        await bucket.put(self._key(paper), paper)
                await self._files.remove(papers[0])
        except (HouseError, OSError) as error:
            log.warning("a fax cannot be put into the bucket now: %s", self._failed(error))
            return False
        self.trouble = None
        return True

    async def bring(self, paper: Path, sha256: str | None = None) -> Path:
        """Where a document can be read; what lies in the bucket is brought. Raises NotFound, Unavailable."""
        if await asyncio.to_thread(paper.is_file):
            return paper
        if self.bucket is None:
            raise NotFound("there is no such document")
        copy = self._copy_of(paper)
        if await asyncio.to_thread(_fresh, copy):
            return copy
        part = copy.with_name(f"{copy.name}.{secrets.token_hex(4)}")
        try:
            await self.bucket.get(self._key(paper), part)
            if sha256 is not None and await asyncio.to_thread(_sha256, part) != sha256:
                raise Unavailable("what the bucket has is not what was put there")
            part.replace(copy)
        except NotFound:
            raise
        except (HouseError, OSError) as error:
            log.warning("a fax cannot be had from the bucket now: %s", self._failed(error))
            raise Unavailable("the document cannot be had from where it is stored now") from None
        finally:
            part.unlink(missing_ok=True)
        self.trouble = None
        return copy

    async def remove(self, *papers: Path) -> None:
        """Forgets documents that lie in one folder, here and in the bucket. Raises Unavailable."""
        try:
            async with self._alone(papers[0].parent):
                for paper in papers:
                    self._copy_of(paper).unlink(missing_ok=True)
                    if self.bucket is not None:
                        await self.bucket.delete(self._key(paper))
                await self._files.remove(papers[0])
        except (HouseError, OSError) as error:
            log.warning("a fax cannot be deleted from the bucket now: %s", self._failed(error))
            raise Unavailable("the document cannot be deleted from where it is stored now") from None

    async def check(self) -> str | None:
        """What is wrong with where documents lie."""
        if self.bucket is None or not self.in_bucket:
            return None
        try:
            await self.bucket.check()
        except HouseError as error:
            self.trouble = error.message
        else:
            self.trouble = None
        return self.trouble

    async def tidy(self, wall: float, ended: Ended) -> None:
        """Hands over what still lies here, and removes copies. Raises StoreError."""
        await asyncio.to_thread(_forget_old, self._files.folder / FETCHED, wall - FETCHED_S)
        if not self.in_bucket:
            return
        for way, names in (("in", ("fax.pdf", "fax.tiff")), ("out", ("document.pdf",))):
            for folder in await asyncio.to_thread(_folders, self._files.folder / way):
                if await ended(way, folder.name) and not await self.put_away(*(folder / name for name in names)):
                    return

    def _alone(self, folder: Path) -> asyncio.Lock:
        """Held while documents of a folder are put away or removed: what is removed meanwhile is not left behind. It is
        there as long as somebody holds it or waits for it."""
        lock = self._busy.get(folder)
        if lock is None:
            lock = self._busy[folder] = asyncio.Lock()
        return lock

    def _key(self, paper: Path) -> str:
        return str(paper.relative_to(self._files.folder))

    def _copy_of(self, paper: Path) -> Path:
        folder = self._files.folder / FETCHED
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / f"{paper.parent.name}-{paper.name}"

    def _failed(self, error: HouseError | OSError) -> str:
        self.failures += 1
        self.trouble = error.message if isinstance(error, HouseError) else str(error.strerror)
        return self.trouble


def place_of(settings: FaxStorage) -> Place | None:
    """The bucket of the settings; None where none is named."""
    said = settings.s3
    if said.endpoint is None or not said.bucket or said.key is None or said.secret is None:
        return None
    credentials = Credentials(said.key.get_secret_value(), said.secret.get_secret_value(), said.region)
    return Place(URL(said.endpoint), said.bucket, credentials, said.prefix, said.path_style)


def _fresh(copy: Path) -> bool:
    if not copy.is_file():
        return False
    os.utime(copy)
    return True


def _folders(parent: Path) -> list[Path]:
    return sorted(one for one in parent.iterdir() if one.is_dir()) if parent.is_dir() else []


def _forget_old(folder: Path, before: float) -> None:
    for copy in folder.iterdir() if folder.is_dir() else ():
        if copy.stat().st_mtime < before:
            copy.unlink(missing_ok=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
