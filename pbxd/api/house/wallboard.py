"""What happens in queues, as it happens: server-sent events for wallboards (HTML Living Standard §9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from pbxd.api.contract import Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.queues import CallerRow, OperatorRow, QueueRow
from pbxd.api.house.tenancy import account_of
from pbxd.api.house.views import moment
from pbxd.directory.model import Account
from pbxd.errors import Denied, Overloaded
from pbxd.events import Bus
from pbxd.services.queues import QueueNews
from pbxd.services.queues.model import (
    Announce,
    Claimed,
    Connected,
    Event,
    Joined,
    Left,
    Offered,
    OperatorChanged,
    Returned,
    Withdrawn,
)

PATH = "/house/v1/queue-events"
MOST_WATCHERS = 100
MOST_WAITING = 1000  # events for one watcher; who is slower is let go
BEAT_S = 15.0
RETRY_MS = 2000

Identify = Callable[[web.Request], Identity]

_NAMES: dict[type[Event], str] = {
    Joined: "joined",
    Offered: "offered",
    Withdrawn: "withdrawn",
    Claimed: "claimed",
    Connected: "connected",
    Returned: "returned",
    Announce: "announced",
    Left: "left",
    OperatorChanged: "operator",
}


def wallboard_routes(house: House, bus: Bus, identify: Identify) -> list[web.RouteDef]:
    """GET the events of an account's queues: first a `snapshot`, then each one as it happens. `?account=` as elsewhere.
    Who reads too slowly is let go, and gets a new snapshot when it comes again."""
    watching = 0

    async def watch(request: web.Request) -> web.StreamResponse:
        nonlocal watching
        identity = identify(request)
        if not identity.may("queues:read"):
            raise Denied("this key lacks the scope queues:read")
        account = account_of(house, identity, request.query.get("account"))
        if watching >= MOST_WATCHERS:
            raise Overloaded("too many watch already")
        watching += 1
        try:
            return await _stream(house, bus, account, request)
        finally:
            watching -= 1

    return [web.get(PATH, watch)]


async def _stream(house: House, bus: Bus, account: Account, request: web.Request) -> web.StreamResponse:
    news: asyncio.Queue[QueueNews] = asyncio.Queue(MOST_WAITING)
    slow = False

    def hear(event: QueueNews) -> None:
        nonlocal slow
        if event.account_id == account.id:
            slow = slow or news.full()
            if not slow:
                news.put_nowait(event)

    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    unsubscribe = bus.subscribe(QueueNews, hear)
    try:
        await response.prepare(request)
        await response.write(f"retry: {RETRY_MS}\n\n".encode() + _said("snapshot", _snapshot(house, account)))
        while not slow:
            try:
                async with asyncio.timeout(BEAT_S):
                    event = await news.get()
            except TimeoutError:
                await response.write(b": nothing new\n\n")
            else:
                await response.write(_said(_NAMES[type(event.event)], _plain(event)))
    except ConnectionError:
        pass  # who watched has gone
    finally:
        unsubscribe()
    return response


def _snapshot(house: House, account: Account) -> dict[str, Any]:
    queues = house.queues
    return {
        "at": moment(house.wall()).isoformat(),
        "queues": [QueueRow.of(one).model_dump(mode="json") for one in queues.queues(account.id)],
        "callers": [CallerRow.of(one).model_dump(mode="json") for one in queues.callers(account.id)],
        "operators": [OperatorRow.of(one).model_dump(mode="json") for one in queues.operators(account.id)],
    }


def _plain(news: QueueNews) -> dict[str, Any]:
    """The event's fields; those of a lease beside the others, without times of the monotonic clock."""
    said = asdict(news.event)
    lease = said.pop("lease", None)
    if lease is not None:
        said |= {"lease_id": lease["id"], **{name: lease[name] for name in ("epoch", "operator", "caller", "queue")}}
    return {"at": moment(news.at).isoformat(), **said}


def _said(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
