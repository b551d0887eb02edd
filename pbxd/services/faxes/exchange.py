"""The shell that asks providers: one request, one answer of bounded size in bounded time, no redirects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import JsonValue
from yarl import URL

from pbxd.errors import TooLarge, Unavailable

MAX_ANSWER = 262_144


class Unreached(Unavailable):
    """The request did not get there: another try does no harm."""


class Answered(Unavailable):
    """It answered, and not with what was asked for."""

    def __init__(self, status: int) -> None:
        super().__init__(f"its answer was {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Replied:
    """An answer. `value` is its JSON; of other texts `text`, and the `first` and `last` word."""

    status: int
    value: JsonValue
    text: str


class Exchange:
    """Open from the first request to `close`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, method: str, url: URL, *, headers: Mapping[str, str], timeout_s: float, **body: Any) -> Replied:
        """Raises Unreached, Unavailable; reasons hold nothing of the URL."""
        async with self._answer(method, url, headers, timeout_s, body) as response:
            found = bytearray()
            async for chunk in response.content.iter_chunked(16_384):
                found += chunk
                if len(found) > MAX_ANSWER:
                    raise Unavailable(f"its answer has more than {MAX_ANSWER} bytes")
            text = bytes(found).decode("utf-8", "replace")
            return Replied(response.status, _value(text), text)

    async def fetch(
        self, method: str, url: URL, target: Path, *, headers: Mapping[str, str], timeout_s: float, most: int
    ) -> None:
        """Writes a file of at most `most` bytes to `target`. Raises Unavailable, TooLarge, OSError."""
        async with self._answer(method, url, headers, timeout_s, {}) as response:
            if response.status != 200:
                raise Answered(response.status)
            left = most
            with target.open("wb") as file:
                async for chunk in response.content.iter_chunked(65_536):
                    left -= len(chunk)
                    if left < 0:
                        raise TooLarge(f"the file has more than {most} bytes")
                    await asyncio.to_thread(file.write, chunk)

    @asynccontextmanager
    async def _answer(
        self, method: str, url: URL, headers: Mapping[str, str], timeout_s: float, body: Mapping[str, Any]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, use_dns_cache=False),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer cannot grow
                headers={"User-Agent": "pbxd", "Accept-Encoding": "identity"},
            )
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.request(
                method, url, headers=headers, timeout=timeout, allow_redirects=False, **body
            ) as response:
                yield response
        except aiohttp.ClientConnectorCertificateError:
            raise Unreached("its TLS certificate is not to be trusted") from None
        except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError):
            raise Unreached("it cannot be reached") from None
        except TimeoutError:
            raise Unavailable(f"no whole answer within {timeout_s:g} s") from None
        except aiohttp.ClientError:
            raise Unavailable("it gave no answer that can be read") from None


def _value(text: str) -> JsonValue:
    try:
        found: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        words = text.split()
        return {"text": text[:400].strip(), "first": words[0] if words else "", "last": words[-1] if words else ""}
    return found
