"""The shell that keeps files in a bucket of a store that speaks S3: put, fetched, deleted, each whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from pbxd.errors import NotFound, Unavailable
from pbxd.s3 import EMPTY_SHA256, Place, signed
from pbxd.services.faxes.exchange import Answered, Exchange, Replied

TIMEOUT_S = 60.0
LOOK_S = 10.0
MAX_FILE = 256 << 20
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_TYPES = {".pdf": "application/pdf", ".tiff": "image/tiff"}


class Bucket:
    """One bucket. `wall` is the time in seconds since the epoch. Every method raises Unavailable, and says why."""

    def __init__(self, place: Place, exchange: Exchange, wall: Callable[[], float]) -> None:
        self.place = place
        self._exchange = exchange
        self._wall = wall

    async def put(self, key: str, file: Path) -> None:
        """Keeps a file under a key, in the place of what was there. Raises OSError, too."""
        digest = await asyncio.to_thread(_sha256, file)
        headers = {"Content-Type": _TYPES.get(file.suffix, "application/octet-stream")}
        with await asyncio.to_thread(file.open, "rb") as content:
            url = self.place.url(key)
            said = signed("PUT", url, self.place.credentials, self._wall(), digest, headers)
            reply = await self._exchange.ask("PUT", url, headers=said, timeout_s=TIMEOUT_S, data=content)
        _well(reply)

    async def get(self, key: str, target: Path) -> None:
        """Writes what is kept under a key to `target`. Raises NotFound, TooLarge, OSError, too."""
        url = self.place.url(key)
        said = signed("GET", url, self.place.credentials, self._wall())
        try:
            await self._exchange.fetch("GET", url, target, headers=said, timeout_s=TIMEOUT_S, most=MAX_FILE)
        except Answered as error:
            if error.status == 404:
                raise NotFound("there is no such document") from None
            raise

    async def delete(self, key: str) -> None:
        """Forgets what is kept under a key; it is no mistake if that is nothing."""
        url = self.place.url(key)
        said = signed("DELETE", url, self.place.credentials, self._wall())
        reply = await self._exchange.ask("DELETE", url, headers=said, timeout_s=LOOK_S)
        if reply.status != 404:
            _well(reply)

    async def check(self) -> None:
        """Looks whether the bucket is there, and opens to what we are configured with."""
        url = self.place.url().with_query({"list-type": "2", "max-keys": "1"})
        said = signed("GET", url, self.place.credentials, self._wall(), EMPTY_SHA256)
        _well(await self._exchange.ask("GET", url, headers=said, timeout_s=LOOK_S))


def _well(reply: Replied) -> None:
    if not 200 <= reply.status < 300:
        code = _CODE.search(reply.text)
        raise Unavailable(f"its answer was {reply.status}" + (f" {code[1]}" if code else ""))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
