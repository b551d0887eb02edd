"""What the tests of the network shells share: real sockets on loopback, a stack that writes down what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from media.wire import Wire
from pbxd.certificates import client_context, self_signed, server_context
from pbxd.sip.connection import TlsContexts
from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Destination, Flow, Outgoing, Transport
from pbxd.sip.message import Request, Response
from pbxd.sip.transport import Machine, Transports, TransportSettings

LOOPBACK = ("127.0.0.1", 0)
PATIENCE_S = 5.0  # a test that waits so long has failed
Result = TypeVar("Result")


async def soon(awaitable: Awaitable[Result]) -> Result:
    """What `awaitable` gives, or a failure of the test."""
    return await asyncio.wait_for(awaitable, PATIENCE_S)


class Recorder:
    """In place of a Stack: `happened` gets (what, ...) for each call, `outgoing` is sent at the next flush."""

    def __init__(self) -> None:
        self.happened: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.outgoing: list[Outgoing] = []
        self.instead: list[Outgoing] = []  # sent when something fails
        self.wake_at: float | None = None
        self.fail_on = b"\0never"

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        if self.fail_on in data:
            raise RuntimeError("a bug")
        self.happened.put_nowait(("datagram", data, flow))

    def receive_message(self, message: Request | Response, flow: Flow, now: float) -> None:
        if self.fail_on in message.body:
            raise RuntimeError("a bug")
        self.happened.put_nowait(("message", message, flow))

    def receive_error(self, error: ParseError, flow: Flow) -> None:
        self.happened.put_nowait(("error", error, flow))

    def transport_failed(self, what: Outgoing | Destination | Flow, now: float) -> None:
        self.outgoing, self.instead = self.instead, []
        self.happened.put_nowait(("failed", what))

    def take_outgoing(self) -> list[Outgoing]:
        taken, self.outgoing = self.outgoing, []
        return taken

    def timer(self) -> float | None:
        return self.wake_at

    def handle_timer(self, now: float) -> None:
        if self.wake_at is not None and now >= self.wake_at:
            self.happened.put_nowait(("timer", now - self.wake_at))
            self.wake_at = None

    async def next(self, what: str) -> Any:
        """The next thing that happened, which must be `what`; its value (a pair becomes a tuple)."""
        name, *values = await soon(self.happened.get())
        assert name == what, (name, values)
        return values[0] if len(values) == 1 else tuple(values)


@contextlib.asynccontextmanager
async def running(
    settings: TransportSettings, machine: Machine, wire: Wire | None = None, **arguments: Any
) -> AsyncIterator[Transports]:
    """Transports on a real wire, from start to stop."""
    wire = wire or Wire(legs=16, sip_ring=1 << 20)
    wire.start()
    transports = Transports(wire, settings, **arguments)
    transports.machine = machine
    try:
        await transports.start()
        yield transports
        await transports.stop()
    finally:
        wire.close()


def everywhere(host: str, contexts: TlsContexts) -> TransportSettings:
    """All three transports on free ports of `host`."""
    address = ((host, 0),)
    return TransportSettings(udp=address, tcp=address, tls=address, tls_contexts=contexts)


def contexts(directory: Path) -> TlsContexts:
    """A house called pbx.example at 127.0.0.1 and ::1, which trusts nobody but itself."""
    identity = self_signed(directory, ["pbx.example", "127.0.0.1", "::1"], datetime.datetime.now(datetime.UTC))
    return TlsContexts(
        server_context(identity),
        client_context(verify=True, authorities=identity.certificate),
        client_context(verify=False),
    )


def with_streams(settings: TransportSettings, **changes: Any) -> TransportSettings:
    return replace(settings, streams=replace(settings.streams, **changes))


def options(branch: str, host: str = "127.0.0.1", port: int = 5060, transport: str = "UDP", body: bytes = b"") -> bytes:
    shown = f"[{host}]" if ":" in host else host
    head = (
        "OPTIONS sip:pbx.example SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {shown}:{port};branch=z9hG4bK{branch};rport\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:1001@pbx.example>;tag=f1\r\nTo: <sip:pbx.example>\r\n"
        f"Call-ID: {branch}@test\r\nCSeq: 1 OPTIONS\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Peer(asyncio.DatagramProtocol):
    """A UDP socket at the far side."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, host: str = "127.0.0.1") -> AsyncIterator[Peer]:
        transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(cls, (host, 0))
        peer.transport = transport
        peer.address = transport.get_extra_info("sockname")[:2]
        try:
            yield peer
        finally:
            transport.close()

    transport: asyncio.DatagramTransport
    address: tuple[str, int]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.received.put_nowait((data, addr[:2]))

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        self.transport.sendto(data, to)

    async def next(self) -> tuple[bytes, tuple[str, int]]:
        return await soon(self.received.get())


def to(transport: Transport, address: tuple[str, int], data: bytes, **more: Any) -> Outgoing:
    return Outgoing(data, Destination(transport, *address, **more))


async def until_idle() -> None:
    """A few turns of the loop: enough for what is already on its way."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Turn the loop until `condition` holds; a failure of the test when it never does."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing tells when it comes to hold
            await asyncio.sleep(0)


def later(seconds: float) -> float:
    return time.monotonic() + seconds
