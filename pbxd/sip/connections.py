"""The stream connections (TCP, TLS) of the house: accepted, opened, reused, and closed by name when a peer misbehaves.

RFC 3261 §18: one table of open connections, by number and by far address, for responses and new requests alike.
Everything is bounded: connections, those of one source, handshakes, messages that wait for a connection, bytes that
wait for a slow reader, and the time half a message may take.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pbxd.sip.addresses import Addresses
from pbxd.sip.connection import PING, PONG, Connection, Key, StreamSettings, TlsContexts
from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Destination, Flow, Outgoing, Transport
from pbxd.sip.losses import Closing, Loss
from pbxd.sip.message import Request, Response
from pbxd.sip.stream import KeepAlive
from pbxd.sip.tracer import SipTracer

log = logging.getLogger(__name__)

_ACCEPTS_PER_TURN = 16
_ACCEPT_PAUSE_S = 0.5  # when the process or the host is out of descriptors or memory
_BACKLOG = 512
_READ_BYTES = 16_384  # a turn of the loop reads so much of one connection, then it is the turn of the others
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Receiver(Protocol):
    """What the connections report to; it flushes the stack after each call."""

    def on_message(self, message: Request | Response | ParseError, flow: Flow) -> None: ...
    def on_turn_end(self) -> None: ...
    def on_unsendable(self, outgoing: Outgoing, loss: Loss) -> None: ...
    def on_lost(self, flow: Flow) -> None: ...


@dataclass(slots=True)
class _Opening:
    task: asyncio.Task[None]
    pending: list[Outgoing] = field(default_factory=list)


class Connections:
    """The table of RFC 3261 §18. `start` opens nothing by itself: listening sockets come by `serve`."""

    def __init__(
        self,
        receiver: Receiver,
        addresses: Addresses,
        settings: StreamSettings,
        contexts: TlsContexts,
        admit: Callable[[str], bool] | None = None,
    ) -> None:
        self.closings = dict.fromkeys(Closing, 0)
        self.tracer: SipTracer | None = None
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self._receiver = receiver
        self._addresses = addresses
        self._settings = settings
        self._contexts = contexts
        self._admit = admit
        self._by_number: dict[int, Connection] = {}
        self._by_key: dict[Key, Connection] = {}
        self._per_source: Counter[str] = Counter()
        self._openings: dict[Key, _Opening] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self._listeners: dict[socket.socket, Transport] = {}
        self._last_number = 0
        self._stopping = False
        self.resting = False  # no descriptor is left: nothing is accepted
        self._emptied: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def unfinished(self) -> int:
        """How many connections owe us the rest of a message."""
        return sum(connection.since is not None for connection in self._by_number.values())

    # ---- accepting

    def serve(self, listener: socket.socket, transport: Transport) -> None:
        """Accept connections on a bound socket, which belongs to the table from now on."""
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._listeners[listener] = transport
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_RESOURCES:
                    log.warning("accept failed: %s", error)
                else:
                    self._rest(listener)
                return
            self.resting = False
            refusal = self._refusal(address[0])
            if refusal is not None:
                self.closings[refusal] += 1
                accepted.close()
                continue
            self._per_source[address[0]] += 1
            task = loop.create_task(self._greet(accepted, self._listeners[listener], address))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _rest(self, listener: socket.socket) -> None:
        """No descriptor is left: who connects waits in the kernel, for asking again at once would change nothing."""
        if not self.resting:
            log.error("out of file descriptors: no SIP connections are accepted until some are free")
            self.resting = True
        self.closings[Closing.NO_FILES] += 1
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_ACCEPT_PAUSE_S, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _refusal(self, source: str) -> Closing | None:
        if self._admit is not None and not self._admit(source):
            return Closing.REFUSED
        if len(self._by_number) + len(self._handshakes) >= self._settings.max_connections:
            return Closing.FULL
        if self._per_source[source] >= self._settings.max_per_source:
            return Closing.FULL_SOURCE
        return None

    async def _greet(self, accepted: socket.socket, transport: Transport, address: tuple[Any, ...]) -> None:
        key = (transport, address[0], address[1], None)
        connection = self._new(key, accepted=True)
        secure = transport is Transport.TLS
        try:
            accepted.setblocking(False)
            _tune(accepted)
        except OSError:  # it is gone already
            accepted.close()
            self._release(address[0])
            return
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._contexts.server if secure else None,
                ssl_handshake_timeout=self._settings.handshake_s if secure else None,
            )
        except OSError as error:
            log.debug("no TLS with %s: %s", address[0], error)
            self.closings[Closing.HANDSHAKE] += 1
        finally:
            if connection.stream is None:
                self._release(address[0])

    # ---- sending

    def send(self, outgoing: Outgoing) -> None:
        """Write to the connection that the destination names, or to one that leads there, or open one. What cannot be
        sent comes back to `on_unsendable`, maybe later."""
        destination = outgoing.destination
        flow = destination.flow
        connection = self._by_number.get(flow.connection) if flow is not None else None
        if connection is None or connection.closing is not None:
            if flow is not None and flow.connection and not self._reconnectable(destination, flow):
                self._receiver.on_unsendable(outgoing, Loss.FLOW_GONE)
                return
            key = _key(destination)
            connection = self._by_key.get(key)
            if key in self._openings or connection is None or connection.closing is not None:
                self._send_when_open(key, outgoing)
                return
        self._write(connection, outgoing)

    def keep_alive(self, flow: Flow) -> bool:
        """Send a ping (RFC 5626 §4.4.1) on a connection; False when it is gone."""
        connection = self._by_number.get(flow.connection)
        if connection is None or connection.closing is not None or connection.stream is None:
            return False
        connection.stream.write(PING)
        return True

    def _reconnectable(self, destination: Destination, flow: Flow) -> bool:
        """Whether the far address is one that listens. The port a peer connected to us from is not (RFC 5626 §5.3),
        but a response may name another (RFC 3261 §18.2.2)."""
        if (destination.host, destination.port) != flow.remote:
            return True
        return not self._addresses.listens(flow.transport, flow.local[1])

    def _write(self, connection: Connection, outgoing: Outgoing) -> None:
        stream = connection.stream
        if stream is None or stream.is_closing():
            self._receiver.on_unsendable(outgoing, Loss.FLOW_GONE)
            return
        if stream.get_write_buffer_size() + len(outgoing.data) > self._settings.max_write_bytes:
            connection.close(Closing.SLOW_READER)
            self._receiver.on_unsendable(outgoing, Loss.SLOW_READER)
            return
        connection.used = now = time.monotonic()
        if self.tracer is not None:
            flow = connection.flow
            self.tracer.sip(True, outgoing.data, flow.transport.value, flow.local, flow.remote, now)
        stream.write(outgoing.data)

    def _send_when_open(self, key: Key, outgoing: Outgoing) -> None:
        opening = self._openings.get(key)
        if opening is None:
            problem = self._cannot_open(key)
            if problem is not None:
                self._receiver.on_unsendable(outgoing, problem)
                return
            task = asyncio.get_running_loop().create_task(self._open(key))
            opening = self._openings[key] = _Opening(task)
        if len(opening.pending) >= self._settings.max_pending:
            self._receiver.on_unsendable(outgoing, Loss.PENDING_FULL)
        else:
            opening.pending.append(outgoing)

    def _cannot_open(self, key: Key) -> Loss | None:
        if self._stopping:
            return Loss.STOPPED
        if len(self._openings) >= self._settings.max_opening:
            return Loss.OPENING_FULL
        if len(self._by_number) + len(self._handshakes) + len(self._openings) >= self._settings.max_connections:
            self.closings[Closing.FULL] += 1
            return Loss.CONNECTIONS_FULL
        if key[0] is Transport.TLS and self._context(key) is None:
            return Loss.NO_TLS
        return None

    def _context(self, key: Key) -> ssl.SSLContext | None:
        if key[0] is not Transport.TLS:
            return None
        return self._contexts.open if key[3] is None else self._contexts.verifying

    async def _open(self, key: Key) -> None:
        connection = self._new(key, accepted=False)
        loss: Loss | None = None
        try:
            async with asyncio.timeout(self._settings.connect_s):
                await self._connect(connection, key)
        except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot ask for
            loss, closing = _failure(error)
            self.closings[closing] += 1
            log.info("no %s connection to %s port %s: %s", key[0].value, key[1], key[2], _explain(error))
        finally:
            opening = self._openings.pop(key)
        for outgoing in opening.pending:
            if loss is not None:
                self._receiver.on_unsendable(outgoing, loss)
            else:
                self._write(connection, outgoing)
        self._receiver.on_turn_end()

    async def _connect(self, connection: Connection, key: Key) -> None:
        """Raises OSError (TimeoutError and ssl.SSLError are ones too) and ValueError."""
        transport, host, port, server_name = key
        loop = asyncio.get_running_loop()
        secure = transport is Transport.TLS
        name = (server_name or host) if secure else None
        if name is not None:
            name.encode("idna")  # raises here what it would raise in the middle of the handshake
        listener = self._addresses.way(transport, host).listener
        raw = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            _tune(raw)
            if listener is not None and not listener.wildcard:
                raw.bind((listener.host, 0))
            await loop.sock_connect(raw, (host, port))
        except BaseException:
            raw.close()
            raise
        await loop.create_connection(lambda: connection, sock=raw, ssl=self._context(key), server_hostname=name)

    # ---- what connections report

    def made(self, connection: Connection) -> None:
        self._by_number[connection.number] = connection
        self._by_key[connection.key] = connection
        if not connection.accepted:
            self._per_source[connection.key[1]] += 1

    def received(self, connection: Connection, data: bytes) -> None:
        now = time.monotonic()
        items = connection.parser.feed(data)
        for item, raw in zip(items, connection.parser.raw, strict=True):
            if isinstance(item, KeepAlive):
                self._hear_keep_alive(connection, item, now)
            else:
                connection.used = now
                if self.tracer is not None:
                    flow = connection.flow
                    self.tracer.sip(False, raw, flow.transport.value, flow.local, flow.remote, now)
                self._receiver.on_message(item, connection.flow)
        if items:
            connection.heard = True
            connection.since = None
        if (not items or connection.parser.pending) and connection.since is None:
            connection.since = now
        self._receiver.on_turn_end()
        if connection.parser.needs_close:  # only now: the answer that says so has been written
            connection.close(Closing.FRAMING)

    def lost(self, connection: Connection, error: Exception | None) -> None:
        if self._by_number.pop(connection.number, None) is None:
            return
        if self._by_key.get(connection.key) is connection:
            del self._by_key[connection.key]
        self._release(connection.key[1])
        closing = connection.closing or (Closing.PEER if error is None else Closing.BROKEN)
        connection.closing = closing
        self.closings[closing] += 1
        log.debug("connection %s with %s ended: %s", connection.number, connection.flow.remote[0], closing.value)
        if self._emptied is not None and not self._by_number:
            self._emptied.set()
        self._receiver.on_lost(connection.flow)
        self._receiver.on_turn_end()

    def _hear_keep_alive(self, connection: Connection, item: KeepAlive, now: float) -> None:
        """RFC 5626 §4.4.1. A pong is never answered, or two such peers would play for ever."""
        if connection.accepted:
            connection.used = now  # a phone that keeps its connection alive wants to be called on it
        stream = connection.stream
        if item is KeepAlive.PING and stream is not None and not stream.is_closing():
            if stream.get_write_buffer_size() < self._settings.max_write_bytes:
                stream.write(PONG)
            else:
                connection.close(Closing.SLOW_READER)

    # ---- care

    def sweep(self, now: float) -> None:
        """Close what has been half, silent or idle for too long, and ping where we are the client."""
        settings = self._settings
        for connection in list(self._by_number.values()):
            if connection.since is not None and now - connection.since > settings.message_s:
                connection.close(Closing.HALF_MESSAGE)
            elif connection.accepted and not connection.heard and now - connection.started > settings.silent_s:
                connection.close(Closing.SILENT)
            elif now - connection.used > settings.idle_s:
                connection.close(Closing.IDLE)
            elif not connection.accepted and now - connection.pinged > settings.keep_alive_s:
                connection.pinged = now
                self.keep_alive(connection.flow)

    def part_with(self, barred: Callable[[str], bool]) -> None:
        """Close the connections with addresses that may not connect any more."""
        for connection in list(self._by_number.values()):
            if connection.closing is None and barred(connection.flow.remote[0]):
                connection.close(Closing.REFUSED)

    def stop_listening(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()

    async def stop(self, grace_s: float) -> None:
        """Close everything: what is written has `grace_s` to leave, then it is cut off."""
        self._stopping = True
        self.stop_listening()
        await asyncio.sleep(0)  # every task has begun, and so owns its socket
        tasks = [*self._handshakes, *(opening.task for opening in self._openings.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self._by_number.values()):
            connection.close(Closing.STOPPED)
        if self._by_number:
            self._emptied = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), grace_s)
        for connection in list(self._by_number.values()):
            if connection.stream is not None:
                connection.stream.abort()
        await asyncio.sleep(0)  # an aborted connection is lost in the next turn

    def _new(self, key: Key, *, accepted: bool) -> Connection:
        self._last_number += 1
        return Connection(self, self._last_number, key, accepted=accepted, now=time.monotonic())

    def _release(self, source: str) -> None:
        self._per_source[source] -= 1
        if self._per_source[source] <= 0:
            del self._per_source[source]


def _key(destination: Destination) -> Key:
    return destination.transport, destination.host, destination.port, destination.server_name


def _tune(raw: socket.socket) -> None:
    """Find dead peers within two minutes, and never wait to fill a segment."""
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)  # RFC 5482


def _failure(error: Exception) -> tuple[Loss, Closing]:
    """What it is called that a connection could not be opened."""
    if isinstance(error, (ssl.SSLError, ValueError)):
        return Loss.HANDSHAKE, Closing.HANDSHAKE
    if isinstance(error, OSError) and error.errno in _OUT_OF_RESOURCES:
        return Loss.NO_FILES, Closing.NO_FILES
    return Loss.UNREACHABLE, Closing.CONNECT


def _explain(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else str(error) or type(error).__name__
