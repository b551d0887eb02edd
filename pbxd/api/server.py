"""The HTTP listeners: TCP addresses and the Unix socket of the command line, one application behind both."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import stat
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from pbxd.api.origin import Origins
from pbxd.api.surface import Failure, Surface, failure_of
from pbxd.errors import Conflict
from pbxd.logs import get_logger

MAX_BODY_BYTES = 1 << 20
MAX_LINE_BYTES = 8190
KEEPALIVE_S = 30.0
LINGER_S = 0.5  # for the rest of a body that nobody wants, so that its sender reads why
STOP_S = 1.0
BACKLOG = 128
HSTS = "max-age=31536000"  # who once came over HTTPS is not led back to HTTP

_SECURITY_HEADERS = {
    "Server": "pbxd",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves surfaces and plain routes. The first surface answers for paths nobody owns."""

    def __init__(
        self,
        surfaces: Sequence[Surface[Any]],
        routes: Iterable[web.RouteDef] = (),
        origins: Origins | None = None,
    ) -> None:
        self.requests: Counter[str] = Counter()  # by status class: "2xx"
        self.bound: list[tuple[str, int]] = []  # the TCP addresses listened on, with the real ports
        self.bound_tls: list[tuple[str, int]] = []
        self.origins = origins or Origins()
        self._surfaces = surfaces
        self._log = get_logger(part="http")
        self._unix_path: Path | None = None
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._edge])
        app.add_routes([*routes, *(route for surface in surfaces for route in surface.routes())])
        app.on_response_prepare.append(_secure)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            lingering_time=LINGER_S,
            shutdown_timeout=STOP_S,
        )

    async def start(self, tcp: Iterable[tuple[str, int]], unix: Path | None = None) -> None:
        """Listen on each (host, port) and on the Unix socket `unix`. Raises OSError naming the address, or Conflict."""
        await self._runner.setup()
        for host, port in tcp:
            await web.TCPSite(self._runner, host, port, backlog=BACKLOG, reuse_address=True).start()
        self.bound = [(address[0], address[1]) for address in self._runner.addresses]
        if unix:
            await web.SockSite(self._runner, _unix_socket(unix), backlog=BACKLOG).start()
            self._unix_path = unix
        self._log.info("http is up", addresses=[f"{host}:{port}" for host, port in self.bound], socket=str(unix))

    async def start_tls(self, addresses: Iterable[tuple[str, int]], context: ssl.SSLContext) -> None:
        """Listen for HTTPS too, once started. Raises OSError naming the address."""
        before = len(self._runner.addresses)
        for host, port in addresses:
            site = web.TCPSite(self._runner, host, port, backlog=BACKLOG, reuse_address=True, ssl_context=context)
            await site.start()
        self.bound_tls = [(address[0], address[1]) for address in self._runner.addresses[before:]]
        self._log.info("https is up", addresses=[f"{host}:{port}" for host, port in self.bound_tls])

    async def stop(self) -> None:
        """Close the listeners, let requests under way finish for a second, remove the socket. Idempotent."""
        await self._runner.cleanup()
        if self._unix_path:
            self._unix_path.unlink(missing_ok=True)
            self._unix_path = None

    @web.middleware
    async def _edge(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Everything that goes wrong becomes an answer in the shape of the surface that owns the path."""
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - the edge: nothing passes without an answer
            response = self._failed(request, failure_of(error))
        if response.status in (401, 403):
            self._log.info("a request was refused", status=response.status, source=self.origins.of(request).address)
        elif self.origins.of(request).secure and request.transport and request.remote:
            response.headers["Strict-Transport-Security"] = HSTS
        self.requests[f"{response.status // 100}xx"] += 1
        return response

    def _failed(self, request: web.Request, failure: Failure) -> web.Response:
        owner = next((surface for surface in self._surfaces if surface.owns(request.path)), self._surfaces[0])
        return owner.failure(failure)


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SECURITY_HEADERS)


def _unix_socket(path: Path) -> socket.socket:
    """A bound socket of mode 0600. One left behind by a dead daemon is replaced; a live one raises Conflict."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Conflict(f"{path} is in the way: it is not a socket")
        if _answers(path):
            raise Conflict(f"another pbxd is running on {path}")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
