"""One stream connection (TCP or TLS): bytes to messages, and how it may end."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Protocol, cast

from pbxd.sip.flow import Flow, Transport
from pbxd.sip.losses import Closing
from pbxd.sip.stream import StreamParser

PING, PONG = b"\r\n\r\n", b"\r\n"  # RFC 5626 §3.5.1

# Transport, far host and port, and the name the far certificate proved: connections whose peer proved a name are for
# requests to that name only (RFC 5923 §9)
Key = tuple[Transport, str, int, str | None]


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Bounds of stream connections; times in seconds.

    `idle_s` is longer than the longest registration, whose connection is the only way to the phone (RFC 5626 §5.3);
    TCP keep-alive finds the dead ones earlier. `keep_alive_s` is ours, on connections we opened (RFC 5626 §4.4.1).
    """

    connect_s: float = 5.0
    handshake_s: float = 10.0
    message_s: float = 10.0
    silent_s: float = 60.0
    idle_s: float = 7500.0
    keep_alive_s: float = 100.0
    max_connections: int = 2000
    max_per_source: int = 500
    max_opening: int = 200
    max_pending: int = 64  # messages that wait for one connection to open
    max_write_bytes: int = 262_144


@dataclass(frozen=True, slots=True)
class TlsContexts:
    """`server` for listeners; `verifying` where the peer must prove a name, `open` where it need not."""

    server: ssl.SSLContext | None = None
    verifying: ssl.SSLContext | None = None
    open: ssl.SSLContext | None = None


class Table(Protocol):
    """Who keeps the connections, and is told what happens to each."""

    @property
    def buffer(self) -> memoryview: ...
    def made(self, connection: Connection) -> None: ...
    def received(self, connection: Connection, data: bytes) -> None: ...
    def lost(self, connection: Connection, error: Exception | None) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """One stream. All connections read into one buffer, because what is read is parsed before the next read."""

    __slots__ = ("_buffer", "_table", "accepted", "closing", "flow", "heard", "key", "number", "parser", "pinged",
                 "since", "started", "stream", "used")  # fmt: skip

    def __init__(self, table: Table, number: int, key: Key, *, accepted: bool, now: float) -> None:
        self._table = table
        self._buffer = table.buffer
        self.number = number
        self.key = key
        self.accepted = accepted
        self.parser = StreamParser()
        self.closing: Closing | None = None
        self.heard = False  # anything whole came
        self.since: float | None = None  # when the message that is not whole yet began
        self.started = self.used = self.pinged = now
        self.stream: asyncio.Transport | None = None
        self.flow = Flow(key[0], ("", 0), (key[1], key[2]), connection=number)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.stream = cast(asyncio.Transport, transport)
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if local and remote:
            self.flow = Flow(self.key[0], local[:2], remote[:2], connection=self.number)
        self._table.made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._table.received(self, bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.lost(self, exc)

    def close(self, closing: Closing) -> None:
        """End it: what was written is still sent, except to a peer that does not read."""
        if self.closing is not None or self.stream is None:
            return
        self.closing = closing
        if closing in {Closing.SLOW_READER, Closing.BROKEN}:
            self.stream.abort()
        else:
            self.stream.close()
