"""`/media/{key}`: what media nodes play, and the voicemails that they bring. `system/…` is the house's own; what begins
with an account is that account's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from pbxd.api.contract import Download, Identity
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.tenancy import may_act_for
from pbxd.api.house.views import View
from pbxd.errors import Conflict, Denied, Invalid, NotFound, TooLarge
from pbxd.objects import NoRoom, Stored, content_type_of, words_of
from pbxd.services.prompts import SYSTEM

__all__ = ["EDGE"]

CHUNK = 1 << 16
CHUNK_TIMEOUT_S = 10.0
UPLOAD_TIMEOUT_S = 300.0
_BODY = "application/octet-stream"
_ACCOUNT = "acc_"  # begins an account's id
_VOICEMAILS = "vm/"  # what is behind this in a key belongs to the account before it


class KeyPath(BaseModel):
    model_config = ConfigDict(frozen=True)

    key: str = Field(
        description="`system/<lang>/<gender>/<id>.wav`, `<account>/vm/<callId>.wav`, or, for the house, what it likes "
        "that is no account's",
        examples=["lab/vm/abc123.wav"],
    )


class StoredView(View):
    key: str = Field(description="with the account's id in it, whatever it was named by")
    size: int = Field(description="octets")
    etag: str
    content_type: str


@EDGE.operation("GET", "/media/{key:.+}", tag="media", scope=SCOPE, errors=(NotFound,))
async def get_media(edge: Edge, path: KeyPath, identity: Identity) -> Download:
    """Get an object: a prompt, a greeting, music, a voicemail.

    With an ETag and If-None-Match, ranges and If-Range. `<account>/vm/<callId>.wav` is what was put there, or else the
    message that the call left in a mailbox of the house.
    """
    key = _readable(edge, identity, path.key)
    name = words_of(key)[-1]
    try:
        found = await edge.media.objects.find(key)
    except NotFound:
        message = await _message(edge, key)
        if message is None:
            raise
        found = message
    return Download(found, content_type_of(key), name)


async def _message(edge: Edge, key: str) -> Path | None:
    """The house's own voicemail of that key, if there is one."""
    account, folder, name = [*words_of(key), "", ""][:3]
    if folder != "vm" or not name.endswith(".wav") or key.count("/") != 2:
        return None
    path = edge.media.message(account, name.removesuffix(".wav"))
    return path if path is not None and await asyncio.to_thread(path.is_file) else None


@EDGE.operation(
    "PUT",
    "/media/{key:.+}",
    tag="media",
    scope=SCOPE,
    errors=(Invalid, NotFound, Conflict, TooLarge, NoRoom),
    body_type=_BODY,
)
async def put_media(edge: Edge, path: KeyPath, identity: Identity, request: web.Request) -> StoredView:
    """Put an object in the place of what is there: a finished voicemail, a prompt.

    Whole or not at all: it is on the disk when this answers. `edge.media_max_mb` bounds it.
    """
    key = _writable(edge, identity, path.key)
    most = edge.media.most_octets
    if (request.content_length or 0) > most:
        raise TooLarge(f"an object is at most {most} octets")
    if not request.body_exists:
        raise Invalid("the body is the object")
    async with asyncio.timeout(UPLOAD_TIMEOUT_S):
        stored = await edge.media.objects.put(key, _chunks(request), most)
    return _view(stored)


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    empty = True
    while True:
        async with asyncio.timeout(CHUNK_TIMEOUT_S):
            chunk = await request.content.read(CHUNK)
        if not chunk:
            break
        empty = False
        yield chunk
    if empty:
        raise Invalid("the body is the object")


def _view(stored: Stored) -> StoredView:
    return StoredView(key=stored.key, size=stored.size, etag=stored.etag, content_type=stored.content_type)


# ---- whose it is


def _readable(edge: Edge, identity: Identity, key: str) -> str:
    """The key as it is kept. What begins with `system` is everybody's to hear. Raises Invalid, NotFound."""
    words_of(key)
    first, _, rest = key.partition("/")
    return key if first == SYSTEM else _owned(edge, identity, key, first, rest)


def _writable(edge: Edge, identity: Identity, key: str) -> str:
    """The same for who wants to put something there. Raises Denied for what is the house's own."""
    words_of(key)
    first, _, rest = key.partition("/")
    if first == SYSTEM and not is_house(edge, identity):
        raise Denied("the system prompts are the house's own")
    return key if first == SYSTEM else _owned(edge, identity, key, first, rest)


def _owned(edge: Edge, identity: Identity, key: str, first: str, rest: str) -> str:
    account = edge.directory.account_named(first)
    if account is None:
        if first.startswith(_ACCOUNT) or rest.startswith(_VOICEMAILS) or not is_house(edge, identity):
            raise NotFound("there is no such object")
        return key  # of no account: only the house and its nodes get there
    if not rest or not may_act_for(edge, identity, account.id):
        raise NotFound("there is no such object")
    return f"{account.id}/{rest}"


def is_house(edge: Edge, identity: Identity) -> bool:
    """Whether it is a node or a key of the house itself."""
    return identity.account_id in (None, edge.directory.default_account.id)
