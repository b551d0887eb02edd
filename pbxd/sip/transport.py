"""The shell of the stack: sockets, clock and event loop on one side, `Stack` on the other.

UDP comes and goes through wire's rings, streams through `Connections`. No decision is made here: datagrams and
messages go into the stack, what it wants sent goes out, and one timer wakes it when it asks to be woken.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pbxd.sip.addresses import Addresses, Listener
from pbxd.sip.connection import PING, StreamSettings, TlsContexts
from pbxd.sip.connections import Connections
from pbxd.sip.errors import ParseError, SipError
from pbxd.sip.flow import Destination, Flow, Outgoing, Transport
from pbxd.sip.lookup import Kind, Means
from pbxd.sip.losses import Loss
from pbxd.sip.message import Request, Response
from pbxd.sip.overload import Overload, OverloadReason
from pbxd.sip.tracer import SipTracer

log = logging.getLogger(__name__)

_UDP = Transport.UDP.value
_BATCH = 64  # datagrams of one turn of the loop: about 20 ms of work
_MAX_ROUNDS = 64  # of sending what failed sending gave rise to, before others get their turn
_MAX_FLOWS = 16_384
_TIMER_SLACK_S = 0.001  # timers due within a millisecond share one wake-up
_SWEEP_S = 1.0
_ROUTE_REFRESH_SWEEPS = 30
# A full send buffer is a lost datagram: the transaction sends again (RFC 3261 §17.1.1.2)
_LOST_NOT_FAILED = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EINTR})
# What sending as an address that is no longer ours gives
_NOT_OURS = frozenset({errno.EINVAL, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.ENODEV})
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


class SipSockets(Protocol):
    """The SIP side of wire: UDP sockets behind rings. `event_fd` is readable as long as datagrams wait; `sip_receive`
    gives (data, socket, (ip, port), arrival in monotonic seconds, local IP), the last one empty for a socket that is
    bound to one address; `sip_send` gives 0 or an errno, and leaves as `local_ip` when that is given. What is ordered
    between `hold` and `release` costs one waking of wire's thread."""

    @property
    def event_fd(self) -> int: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...
    def sip_open(self, ip: str, port: int) -> int: ...
    def sip_close(self, index: int) -> None: ...
    def sip_address(self, index: int) -> tuple[str, int]: ...
    def sip_receive(self, limit: int) -> Sequence[tuple[bytes, int, tuple[str, int], float, str]]: ...
    def sip_send(self, index: int, data: bytes, ip: str, port: int, local_ip: str = "") -> int: ...


class Machine(Protocol):
    """The stack, as its shell sees it."""

    def receive(self, data: bytes, flow: Flow, now: float) -> None: ...
    def receive_message(self, message: Request | Response, flow: Flow, now: float) -> None: ...
    def receive_error(self, error: ParseError, flow: Flow) -> None: ...
    def transport_failed(self, what: Outgoing | Destination | Flow, now: float) -> None: ...
    def take_outgoing(self) -> list[Outgoing]: ...
    def timer(self) -> float | None: ...
    def handle_timer(self, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Where to listen and what to be called. Addresses are (IP literal, port), port 0 takes a free one; `external` is
    what peers outside `local_nets` are told, an IPv4 and an IPv6 literal; times in seconds."""

    udp: tuple[tuple[str, int], ...] = ()
    tcp: tuple[tuple[str, int], ...] = ()
    tls: tuple[tuple[str, int], ...] = ()
    external: tuple[str | None, ...] = ()
    local_nets: tuple[str, ...] = ()
    tls_contexts: TlsContexts = field(default_factory=TlsContexts)
    streams: StreamSettings = field(default_factory=StreamSettings)
    queue_delay_limit_s: float = 0.2
    stop_grace_s: float = 0.5


class BindError(SipError):
    """Addresses that cannot be listened on; `problems` has one clear sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Transports:
    """RFC 3261 §18. `start` binds everything; call `flush` after any input to the stack that did not come from here.

    The addresses (`sent_by` for the stack, `advertised` and `local_ip_for` for Contact and SDP) are in `addresses`.
    """

    def __init__(
        self,
        sockets: SipSockets,
        settings: TransportSettings,
        *,
        admit: Callable[[str], bool] | None = None,
    ) -> None:
        """`admit` says whether an IP literal may connect, or be heard where the sockets let it through. Set `machine`
        before `start`."""
        self.machine: Machine
        self._kernel = _KernelSource()
        self._tracer: SipTracer | None = None
        self.addresses = Addresses(self._kernel, external=settings.external, local_nets=settings.local_nets)
        self.connections = Connections(self, self.addresses, settings.streams, settings.tls_contexts, admit)
        self.overload = Overload(settings.queue_delay_limit_s)
        self.losses = dict.fromkeys(Loss, 0)
        self._admit = admit
        self._sockets = sockets
        self._settings = settings
        self._lost_hooks: list[Callable[[Flow, float], None]] = []
        self._flows: dict[tuple[int, tuple[str, int], str], Flow] = {}
        self._locals: dict[int, tuple[str, int]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweeps = 0
        self._flushing = False
        self._running = False

    # ---- life

    async def start(self) -> None:
        """Bind all listeners. Raises BindError with every problem at once, and then nothing is left open."""
        problems: list[str] = []
        for host, port in self._settings.udp:
            self._bind(Transport.UDP, host, port, problems)
        for transport, addresses in ((Transport.TCP, self._settings.tcp), (Transport.TLS, self._settings.tls)):
            if transport is Transport.TLS and addresses and self._settings.tls_contexts.server is None:
                problems.append("sip.tls: there is no certificate to listen with")
                continue
            for host, port in addresses:
                self._bind(transport, host, port, problems)
        if problems:
            self.connections.stop_listening()
            for index in self._locals:
                self._sockets.sip_close(index)
            self._kernel.close()
            raise BindError(problems)
        self._running = True
        loop = asyncio.get_running_loop()
        loop.add_reader(self._sockets.event_fd, self.pump)
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep)
        self.flush()

    async def stop(self) -> None:
        """Send what is ready, close all connections, let go of wire's bell. Wire itself is stopped by its owner."""
        self.flush()
        asyncio.get_running_loop().remove_reader(self._sockets.event_fd)
        await self.connections.stop(self._settings.stop_grace_s)
        self._running = False
        self._kernel.close()
        for handle in (self._timer, self._sweeper):
            if handle is not None:
                handle.cancel()
        self._timer = self._sweeper = None

    @property
    def bound(self) -> dict[Transport, tuple[tuple[str, int], ...]]:
        """Where we listen, with actual ports."""
        return self.addresses.bound

    @property
    def means(self) -> Means:
        """What the resolver may promise: transports and address families we can really send by."""
        listeners = self.addresses.bound
        kinds = [Kind.AAAA if ":" in host else Kind.A for rows in listeners.values() for host, _ in rows]
        transports = [Transport.TCP]
        if listeners[Transport.UDP]:
            transports.insert(0, Transport.UDP)
        if self._settings.tls_contexts.verifying is not None:
            transports.append(Transport.TLS)
        return Means(tuple(transports), tuple(kind for kind in (Kind.A, Kind.AAAA) if kind in kinds))

    @property
    def overloaded(self) -> OverloadReason | None:
        """Why new calls and registrations should get a 503 with Retry-After just now; None when they should not."""
        return self.overload.reason

    def on_connection_lost(self, hook: Callable[[Flow, float], None]) -> None:
        """Call `hook(flow, now)` after a stream connection ended (the registrar's bindings on it lead nowhere)."""
        self._lost_hooks.append(hook)

    def trace(self, tracer: SipTracer) -> None:
        """Tell `tracer` of every message from now on."""
        self._tracer = self.connections.tracer = tracer

    # ---- in

    def pump(self) -> None:
        """Take one batch of datagrams from wire into the stack and send what comes of it. When more wait, wire's bell
        rings again in the next turn of the loop: timers and connections come in between."""
        now = time.monotonic()
        datagrams = self._sockets.sip_receive(_BATCH)
        self.overload.observe(OverloadReason.QUEUE_DELAY, now - datagrams[0][3] if datagrams else 0.0, now)
        receive, admit, tracer = self.machine.receive, self._admit, self._tracer
        self._sockets.hold()
        try:
            for data, index, remote, _, local_ip in datagrams:
                try:
                    if admit is not None and not admit(remote[0]):
                        continue
                    flow = self._flow(index, remote, local_ip)
                    if tracer is not None:
                        tracer.sip(False, data, _UDP, flow.local, remote, now)
                    receive(data, flow, now)
                except Exception:
                    self.losses[Loss.FAULT] += 1
                    log.exception("a datagram of %s broke the stack", remote[0])
            self.flush()
        finally:
            self._sockets.release()

    def on_message(self, message: Request | Response | ParseError, flow: Flow) -> None:
        """From a stream; RFC 3261 §18.3: an unreadable request is answered where that is possible."""
        now = time.monotonic()
        try:
            if isinstance(message, ParseError):
                self.machine.receive_error(message, flow)
            else:
                self.machine.receive_message(message, flow, now)
        except Exception:
            self.losses[Loss.FAULT] += 1
            log.exception("a message of %s broke the stack", flow.remote[0])

    def on_turn_end(self) -> None:
        self.flush()

    def on_lost(self, flow: Flow) -> None:
        now = time.monotonic()
        for hook in (self.machine.transport_failed, *self._lost_hooks):
            try:
                hook(flow, now)
            except Exception:
                self.losses[Loss.FAULT] += 1
                log.exception("the end of a connection with %s broke its owner", flow.remote[0])

    def _flow(self, index: int, remote: tuple[str, int], local_ip: str) -> Flow:
        key = (index, remote, local_ip)
        flow = self._flows.get(key)
        if flow is None:
            if len(self._flows) >= _MAX_FLOWS:
                self._flows.clear()
            bound_ip, port = self._locals[index]
            flow = self._flows[key] = Flow(Transport.UDP, (local_ip or bound_ip, port), remote, socket=index)
        return flow

    # ---- out

    def flush(self) -> None:
        """Send all that the stack wants sent and set its timer. A call from within a flush is part of that flush; one
        before the start waits for it, one after the stop does nothing."""
        if self._flushing or not self._running:
            return
        self._flushing = True
        try:
            for _ in range(_MAX_ROUNDS):
                batch = self.machine.take_outgoing()
                if not batch:
                    break
                for outgoing in batch:
                    if outgoing.destination.transport is Transport.UDP:
                        self._send_datagram(outgoing)
                    else:
                        self.connections.send(outgoing)
            else:
                asyncio.get_running_loop().call_soon(self.flush)
        finally:
            self._flushing = False
        self._arm()

    def keep_alive(self, flow: Flow) -> bool:
        """Send a double CRLF on a flow to keep NAT bindings open (RFC 5626 §3.5.1); False when the flow is gone."""
        if not self._running:
            return False
        if flow.transport is Transport.UDP:
            return self._send_along(flow, PING, *flow.remote) == 0
        return self.connections.keep_alive(flow)

    def on_unsendable(self, outgoing: Outgoing, loss: Loss) -> None:
        """RFC 3261 §18.4, §17.1.4: the transaction is told."""
        self.losses[loss] += 1
        try:
            self.machine.transport_failed(outgoing, time.monotonic())
        except Exception:
            self.losses[Loss.FAULT] += 1
            log.exception("a message that could not be sent broke the stack")

    def _send_datagram(self, outgoing: Outgoing) -> None:
        destination = outgoing.destination
        flow = destination.flow
        if flow is not None and flow.socket:
            self._show(outgoing, flow.local)
            number = self._send_along(flow, outgoing.data, destination.host, destination.port)
        else:
            try:
                listener = self.addresses.way(Transport.UDP, destination.host).listener
            except ValueError:
                self.on_unsendable(outgoing, Loss.NOT_AN_ADDRESS)
                return
            if listener is None:
                self.on_unsendable(outgoing, Loss.NO_SOCKET)
                return
            self._show(outgoing, self._locals[listener.index])
            number = self._sockets.sip_send(listener.index, outgoing.data, destination.host, destination.port)
        if number == 0:
            return
        if number in _LOST_NOT_FAILED:
            self.losses[Loss.SEND_BUFFER_FULL] += 1
        else:
            log.debug("not sent to %s port %s: %s", destination.host, destination.port, os.strerror(number))
            self.on_unsendable(outgoing, Loss.NETWORK)

    def _show(self, outgoing: Outgoing, local: tuple[str, int]) -> None:
        if self._tracer is not None:
            destination = outgoing.destination
            remote = (destination.host, destination.port)
            self._tracer.sip(True, outgoing.data, _UDP, local, remote, time.monotonic())

    def _send_along(self, flow: Flow, data: bytes, host: str, port: int) -> int:
        """From the address the flow came to (RFC 3581 §4). When that is no longer ours, any other may still arrive."""
        local_ip = self.addresses.source_of(flow)
        number = self._sockets.sip_send(flow.socket, data, host, port, local_ip)
        if local_ip and number in _NOT_OURS:
            number = self._sockets.sip_send(flow.socket, data, host, port)
        return number

    # ---- time

    def _arm(self) -> None:
        """One timer of the loop for all of the stack's. One that is set too early stays: it costs one idle wake-up,
        where setting it anew would cost every message."""
        at = self.machine.timer()
        if at is None or (self._timer is not None and self._armed <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed = at
        delay = max(at - time.monotonic(), 0.0) + _TIMER_SLACK_S
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = time.monotonic()
        self.overload.observe(OverloadReason.TIMER_DELAY, now - self._armed, now)
        try:
            self.machine.handle_timer(now)
        except Exception:
            self.losses[Loss.FAULT] += 1
            log.exception("a timer broke the stack")
        self.flush()

    def _sweep(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        self._sweeps += 1
        if self._sweeps % _ROUTE_REFRESH_SWEEPS == 0:
            self.addresses.forget()
        now = time.monotonic()
        self.overload.expire(now)
        self.connections.sweep(now)

    # ---- binding

    def _bind(self, transport: Transport, host: str, port: int, problems: list[str]) -> None:
        try:
            if transport is Transport.UDP:
                index = self._sockets.sip_open(host, port)
                self._locals[index] = actual = self._sockets.sip_address(index)
                self.addresses.add(Listener(transport, host, actual[1], index))
            else:
                listening = _listening_socket(host, port)
                self.connections.serve(listening, transport)
                self.addresses.add(Listener(transport, host, listening.getsockname()[1]))
        except OSError as error:
            if host == "::" and error.errno in _NO_IPV6:
                log.warning("this host has no IPv6: not listening on [::]:%s %s", port, transport.value)
            else:
                problems.append(_bind_problem(transport, host, port, error))


def _listening_socket(host: str, port: int) -> socket.socket:
    """Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def _bind_problem(transport: Transport, host: str, port: int, error: OSError) -> str:
    reasons = {
        errno.EADDRINUSE: "another program uses this port already",
        errno.EADDRNOTAVAIL: "this host has no such address",
        errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE",
        errno.EAFNOSUPPORT: "this host has no IPv6",
    }
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    reason = reasons.get(error.errno or 0) or error.strerror or str(error)
    return f"sip.{transport.value.lower()} {where}: {reason}"


class _KernelSource:
    """The address the kernel would send from to a peer; None when there is no way there. Nothing is sent.

    A spare descriptor makes room for the question where none is left: an answer that is wrong would be remembered.
    """

    def __init__(self) -> None:
        self._spare: socket.socket | None = None

    def __call__(self, peer: str) -> str | None:
        self._keep_spare()
        try:
            return self._ask(peer)
        except OSError as error:
            if error.errno not in _NO_FILES or self._spare is None:
                return None
        self.close()
        try:
            return self._ask(peer)
        except OSError:
            return None
        finally:
            self._keep_spare()

    def close(self) -> None:
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    def _keep_spare(self) -> None:
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @staticmethod
    def _ask(peer: str) -> str | None:
        family = socket.AF_INET6 if ":" in peer else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((peer, 9))
            source: str = probe.getsockname()[0]
            return source
