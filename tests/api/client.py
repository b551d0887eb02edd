"""A real server on a free port and a Unix socket, and plain HTTP to talk to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from pbxd.api.server import Server


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of one answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Talks to one server, over TCP or the Unix socket."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base = base
        self._session = session

    async def ask(self, method: str, path: str, *, key: str | None = None, **options: Any) -> Answer:
        headers = {**options.pop("headers", {}), **({"X-API-Key": key} if key else {})}
        async with self._session.request(method, self.base + path, headers=headers, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)


@asynccontextmanager
async def serving(server: Server, unix: Path | None = None) -> AsyncIterator[tuple[Client, Client | None]]:
    """The server up, with a client over TCP and, with `unix`, one over the socket."""
    await server.start([("127.0.0.1", 0)], unix)
    ((host, port),) = server.bound
    connector = aiohttp.UnixConnector(str(unix)) if unix else None
    try:
        async with aiohttp.ClientSession() as over_tcp:
            if connector is None:
                yield Client(f"http://{host}:{port}", over_tcp), None
                return
            async with aiohttp.ClientSession(connector=connector) as over_unix:
                yield Client(f"http://{host}:{port}", over_tcp), Client("http://localhost", over_unix)
    finally:
        await server.stop()
