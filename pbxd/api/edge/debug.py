"""`/debug`: the live monitor, one JSON object a message, for as long as somebody watches."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, ConfigDict, Field

from pbxd.api.contract import Identity
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.tenancy import account_of
from pbxd.errors import Invalid, NotFound, Overloaded
from pbxd.services.monitor import Topic, Watcher

__all__ = ["EDGE"]

HEARTBEAT_S = 20.0
SEND_TIMEOUT_S = 10.0
MAX_HEARD_OCTETS = 4096  # of what a watcher says, which nobody listens to


class DebugQuery(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)

    topics: Annotated[
        str | None, Field(max_length=128, description=f"some of {', '.join(Topic)}; none: all", examples=["call,ban"])
    ] = None
    account_id: Annotated[
        str | None, Field(alias="accountId", max_length=256, description="only what is of this account: its id or slug")
    ] = None

    def wanted(self) -> frozenset[Topic]:
        """The topics. Raises Invalid."""
        if not self.topics:
            return frozenset(Topic)
        try:
            return frozenset(Topic(name.strip()) for name in self.topics.split(","))
        except ValueError:
            raise Invalid(f"topics: some of {', '.join(Topic)}, joined by commas") from None


@EDGE.operation(
    "GET",
    "/debug",
    tag="observability",
    scope=SCOPE,
    status=101,
    errors=(Invalid, NotFound, Overloaded),
    answer_type="application/json",
)
async def watch_house(edge: Edge, query: DebugQuery, identity: Identity, request: web.Request) -> web.StreamResponse:
    """Watch the house: a WebSocket with one JSON object a message.

    First `hello` with the calls that are up, then each event of a call, a registration, a trunk, a refusal, a drop, a
    ban, and each line of the log, as it happens. Who is too slow misses events and is told how many (`lost`). The key
    of an account that is not the house's own sees that account's calls and registrations.
    """
    account = query.account_id
    if not account and identity.account_id not in (None, edge.directory.default_account.id):
        account = identity.account_id
    account_id = account_of(edge, identity, account).id if account else None
    watcher = Watcher(query.wanted(), account_id)
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise Invalid("this is a WebSocket: come with Upgrade: websocket")
    edge.monitor.watch(watcher)
    try:
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MAX_HEARD_OCTETS, compress=False)
        await socket.prepare(request)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read(socket, watcher), name="debug-reader")
            await _write(socket, watcher)
            reading.cancel()
    finally:
        edge.monitor.leave(watcher)
    return socket


async def _read(socket: web.WebSocketResponse, watcher: Watcher) -> None:
    """Hear nothing but the end."""
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            break
    watcher.end()


async def _write(socket: web.WebSocketResponse, watcher: Watcher) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        while not socket.closed and (texts := await watcher.next()):
            for text in texts:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await socket.send_str(text)
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.close(code=WSCloseCode.GOING_AWAY)
