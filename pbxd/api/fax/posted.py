"""What providers post: a form, a form with files, or JSON; and how they sign it. Reading is bounded, checks take a time
that says nothing of a secret."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from aiohttp import web

from pbxd.errors import Invalid, TooLarge

READ_TIMEOUT_S = 60.0
MAX_BODY = 48 << 20  # a long fax in base64
SMALL = 64 << 10  # what a body without a file is
SMALL_TIMEOUT_S = 5.0
MAX_LONG = 4  # long bodies of a provider that are read at a time
FREE_TIMEOUT_S = 3.0  # how long one waits until another is read
MAX_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Posted:
    """A body: as it came, its fields in the order they came, its files by field, and its JSON object."""

    raw: bytes
    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    value: Mapping[str, Any] | None = None

    def said(self) -> dict[str, Any]:
        """What it says of a fax: `fax` is an object in JSON, JSON in a field, or fields such as `fax[id]`."""
        flat: dict[str, Any] = dict(self.value) if self.value is not None else dict(self.fields)
        inner = flat.pop("fax", None)
        if isinstance(inner, str):
            try:
                inner = json.loads(inner)
            except (ValueError, RecursionError):
                inner = None
        for name in [name for name in flat if name.startswith("fax[") and name.endswith("]")]:
            flat[name[4:-1]] = flat[name]
        return flat | inner if isinstance(inner, dict) else flat


class Inlet:
    """Where bodies of one provider are read. A long one takes one of few slots; a small one takes none, so that those
    who send slowly, and need not prove themselves before, hold up nobody who tells how a fax ended."""

    def __init__(self) -> None:
        self._long = asyncio.Semaphore(MAX_LONG)

    async def read(self, request: web.Request) -> Posted:
        """Raises TooLarge, Invalid; TimeoutError where it does not come, or no slot is free, in time."""
        said = request.content_length or 0
        if said > MAX_BODY:
            raise TooLarge(f"the body has more than {MAX_BODY} bytes")
        raw = bytearray()
        if said <= SMALL:  # or nobody said
            async with asyncio.timeout(SMALL_TIMEOUT_S):
                if await _read(request, raw, SMALL):
                    return await _made(request, raw)
        async with asyncio.timeout(FREE_TIMEOUT_S):
            await self._long.acquire()
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                if not await _read(request, raw, MAX_BODY):
                    raise TooLarge(f"the body has more than {MAX_BODY} bytes")
            return await _made(request, raw)
        finally:
            self._long.release()


async def _read(request: web.Request, raw: bytearray, most: int) -> bool:
    """Reads on to the end of a body; False as soon as it has more than `most` bytes. Raises Invalid where it ends with
    its connection."""
    try:
        async for chunk in request.content.iter_chunked(65_536):
            raw += chunk
            if len(raw) > most:
                return False
    except ConnectionError:
        raise Invalid("the body did not come whole") from None
    return True


async def _made(request: web.Request, raw: bytearray) -> Posted:
    return await asyncio.to_thread(_posted, bytes(raw), request.content_type, request.headers.get("Content-Type", ""))


def _posted(raw: bytes, kind: str, said: str) -> Posted:
    if kind == "multipart/form-data":
        return _multipart(raw, said)
    try:
        if kind == "application/json":
            value = json.loads(raw)
            if not isinstance(value, dict):
                raise Invalid("Invalid payload")
            return Posted(raw, value=value)
        return Posted(raw, tuple(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)))
    except (ValueError, RecursionError):
        raise Invalid("Invalid payload") from None


def _multipart(raw: bytes, said: str) -> Posted:
    head = b"Content-Type: " + said.encode("latin-1", "replace") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + raw)
    if not message.is_multipart():
        raise Invalid("Invalid payload")
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, bytes]] = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes) or len(fields) + len(files) >= MAX_FIELDS:
            raise Invalid("Invalid payload")
        if part.get_filename() is None:
            fields.append((name, content.decode("utf-8", "replace")))
        else:
            files.append((name, content))
    return Posted(raw, tuple(fields), tuple(files))


def body_signature(secret: str, body: bytes) -> str:
    """HMAC-SHA256 of a body as it came, in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def phaxio_signature(
    token: str, url: str, fields: Iterable[tuple[str, str]], files: Iterable[tuple[str, bytes]] = ()
) -> str:
    """HMAC-SHA1 in hex as Phaxio signs: the URL, each field by name, then each file's name and SHA-1."""
    text = url + "".join(name + value for name, value in sorted(fields, key=lambda field: field[0]))
    for name, content in sorted(files, key=lambda file: file[0]):
        text += name + hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return hmac.new(token.encode(), text.encode(), hashlib.sha1).hexdigest()


def signalwire_signatures(key: str, url: str, posted: Posted) -> list[str]:
    """What `X-SignalWire-Signature` may be: HMAC-SHA1 of URL and body in hex, or of URL and fields by name in Base64,
    as SignalWire does (without the port of the URL, too); or HMAC-SHA256 of the body in hex, as the contract has it."""
    good = [body_signature(key, posted.raw)]
    fields = "".join(name + value for name, value in sorted(posted.fields))
    for one in {url, _without_port(url)}:
        good.append(hmac.new(key.encode(), one.encode() + posted.raw, hashlib.sha1).hexdigest())
        digest = hmac.new(key.encode(), (one + fields).encode(), hashlib.sha1).digest()
        good.append(base64.b64encode(digest).decode())
    return good


def signalwire_sha256(key: str, url: str, posted: Posted) -> str:
    """What `X-SignalWire-SHA256-Signature` is: HMAC-SHA256 of URL and body, in hex."""
    return hmac.new(key.encode(), url.encode() + posted.raw, hashlib.sha256).hexdigest()


def _without_port(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=re.sub(r":\d+$", "", parts.netloc)))


def same(given: str, expected: str) -> bool:
    """Whether they are, in a time that says nothing of either."""
    return hmac.compare_digest(
        hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest(), hashlib.sha256(expected.encode()).digest()
    )
