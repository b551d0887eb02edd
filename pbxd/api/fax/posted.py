"""What providers post: a form, a form with files, or JSON; and how they sign it. Reading is bounded, checks take a time
that says nothing of a secret."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from pbxd.errors import Invalid, TooLarge

READ_TIMEOUT_S = 60.0
MAX_BODY = 48 << 20  # a long fax in base64
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


async def read_posted(request: web.Request) -> Posted:
    """Raises TooLarge, Invalid, TimeoutError."""
    if (request.content_length or 0) > MAX_BODY:
        raise TooLarge(f"the body has more than {MAX_BODY} bytes")
    raw = bytearray()
    async with asyncio.timeout(READ_TIMEOUT_S):
        async for chunk in request.content.iter_chunked(65_536):
            raw += chunk
            if len(raw) > MAX_BODY:
                raise TooLarge(f"the body has more than {MAX_BODY} bytes")
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


def same(given: str, expected: str) -> bool:
    """Whether they are, in a time that says nothing of either."""
    return hmac.compare_digest(
        hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest(), hashlib.sha256(expected.encode()).digest()
    )
