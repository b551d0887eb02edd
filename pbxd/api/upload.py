"""A form as people send files in it (RFC 7578), read as it comes: a file goes to a file of ours without a name."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from typing import Any, BinaryIO

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from pbxd.api.contract import Room, Upload
from pbxd.errors import Invalid, TooLarge

FORM_TIMEOUT_S = 120.0
MAX_FIELD = 4096
MAX_PARTS = 32
CHUNK = 1 << 16


async def form_of(request: web.Request, room: Room, files: AsyncExitStack) -> dict[str, Any]:
    """Its fields by name; files are closed with `files`. A body that is no form has no fields.

    Raises Invalid, TooLarge.
    """
    if request.content_length is not None and request.content_length > room.octets + MAX_PARTS * MAX_FIELD:
        raise TooLarge(room.said)
    if request.content_type != "multipart/form-data":
        return {}
    try:
        async with asyncio.timeout(FORM_TIMEOUT_S):
            return await _fields(request, room, files)
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError, web.RequestPayloadError):
        raise Invalid("the form cannot be read") from None


async def _fields(request: web.Request, room: Room, files: AsyncExitStack) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    left = room.octets
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None or len(fields) >= MAX_PARTS:
            raise Invalid("the form is none of ours")
        if part.name in fields:
            raise Invalid("a field of the form is given twice")
        if part.filename is None:
            value = bytearray()
            while chunk := await part.read_chunk():
                value += chunk
                if len(value) > MAX_FIELD:
                    raise TooLarge("a field of the form is too long")
            fields[part.name] = value.decode()
            continue
        file: BinaryIO = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with `files`
        octets = 0
        while chunk := await part.read_chunk(CHUNK):
            octets += len(chunk)
            if octets > left:
                raise TooLarge(room.said)
            file.write(chunk)
        left -= octets
        file.seek(0)
        content_type = part.headers.get("Content-Type", "application/octet-stream").partition(";")[0].strip().lower()
        fields[part.name] = Upload(part.filename, content_type, file, octets)
    return fields
