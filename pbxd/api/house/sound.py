"""Sound in and out of the house's own API: bodies that are no JSON, with the same scopes and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from pbxd.api.contract import Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.tenancy import account_of
from pbxd.api.house.views import moment_or_none
from pbxd.errors import Denied, Invalid, NotFound, TooLarge
from pbxd.services.voicemail import Box, GreetingKind

PREFIX = "/house/v1/voicemail"
UPLOAD_S = 30.0
GREETING_BYTES = 16 << 20  # a minute at 48 kHz in stereo, and room

Identify = Callable[[web.Request], Identity]


def sound_routes(house: House, identify: Identify) -> list[web.RouteDef]:
    """GET a message's WAV file, with ranges; GET, PUT and DELETE a greeting, uploaded in any format."""

    def allowed(request: web.Request, scope: str) -> str:
        """The account that the request is about."""
        identity = identify(request)
        if not identity.may(scope):
            raise Denied(f"this key lacks the scope {scope}")
        return account_of(house, identity, request.query.get("account")).id

    async def message(request: web.Request) -> web.StreamResponse:
        account = allowed(request, "voicemail:read")
        voicemail, number = house.voicemail, request.match_info["number"]
        found = voicemail.message(account, number, request.match_info["id"])
        path = voicemail.archive.path(found)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound("the sound of this message is gone")
        said = {"Content-Type": "audio/wav", "Content-Disposition": f'attachment; filename="{found.id}.wav"'}
        if (received := moment_or_none(found.received_at)) is not None:
            said["X-Received-At"] = received.isoformat()
        return web.FileResponse(path, headers=said)

    async def greeting(request: web.Request) -> web.StreamResponse:
        box, kind = _wanted(house, request, allowed(request, "voicemail:read"))
        path = house.voicemail.archive.greeting(box, kind)
        if path is None or not await asyncio.to_thread(path.is_file):
            raise NotFound("there is no such greeting")
        return web.FileResponse(path, headers={"Content-Type": "audio/wav"})

    async def upload(request: web.Request) -> web.StreamResponse:
        box, kind = _wanted(house, request, allowed(request, "voicemail:write"))
        async with asyncio.timeout(UPLOAD_S):
            content = await _whole(request)
        if not content:
            raise Invalid("the body is the greeting: an audio file")
        await house.voicemail.set_greeting(box.account_id, box.number, kind, content)
        return web.Response(status=204)

    async def remove(request: web.Request) -> web.StreamResponse:
        box, kind = _wanted(house, request, allowed(request, "voicemail:write"))
        await house.voicemail.set_greeting(box.account_id, box.number, kind, b"")
        return web.Response(status=204)

    greetings = PREFIX + "/{number}/greetings/{kind}"
    return [
        web.get(PREFIX + "/{number}/messages/{id}/sound", message),
        web.get(greetings, greeting),
        web.put(greetings, upload),
        web.delete(greetings, remove),
    ]


async def _whole(request: web.Request) -> bytes:
    """The body. Raises TooLarge as soon as it is."""
    content = bytearray()
    async for piece in request.content.iter_any():
        content += piece
        if len(content) > GREETING_BYTES:
            raise TooLarge(f"a greeting has {GREETING_BYTES >> 20} MiB at most")
    return bytes(content)


def _wanted(house: House, request: web.Request, account_id: str) -> tuple[Box, GreetingKind]:
    box = house.voicemail.box(account_id, request.match_info["number"])
    try:
        return box, GreetingKind(request.match_info["kind"])
    except ValueError:
        raise Invalid(f"a greeting is one of {', '.join(GreetingKind)}") from None
