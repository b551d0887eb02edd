"""Which of our addresses a peer sees: the listener a message leaves by, and the host and port we name in it.

No socket here: `source` asks the kernel which local address it would use toward a peer. Answers are remembered until
`forget`, which the shell calls now and then because routes change.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pbxd.sip.flow import Destination, Flow, Transport

_MAX_REMEMBERED = 16_384
_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not bound to
_WORLD = {4: "192.0.2.1", 6: "2001:db8::1"}  # documentation addresses (RFC 5737, RFC 3849): nothing is sent there
_LOOPBACK = {4: "127.0.0.1", 6: "::1"}

Source = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Listener:
    """One bound socket: `host` as bound (maybe a wildcard), the actual `port`; `index` is a UDP socket's, else 0."""

    transport: Transport
    host: str
    port: int
    index: int = 0

    @property
    def family(self) -> int:
        return 6 if ":" in self.host else 4

    @property
    def wildcard(self) -> bool:
        return self.host in _WILDCARDS


@dataclass(frozen=True, slots=True)
class Way:
    """How a peer is reached by one transport. `listener` is None when we have none of that transport and family;
    `local` is our own address toward the peer, `advertised` what the peer is told."""

    listener: Listener | None
    local: str
    advertised: str


class Addresses:
    """The listeners of the house and the addresses it goes by.

    `external` (an IPv4 and an IPv6 literal, or None) replaces our own address toward peers outside `local_nets`.
    Raises ValueError for a network that is none.
    """

    def __init__(self, source: Source, *, external: Iterable[str | None] = (), local_nets: Iterable[str] = ()) -> None:
        self._source = source
        self._listeners: dict[Transport, list[Listener]] = {transport: [] for transport in Transport}
        self._wild_sockets: set[int] = set()
        self._ways: dict[tuple[Transport, str], Way] = {}
        self.advertise(external, local_nets)

    def advertise(self, external: Iterable[str | None], local_nets: Iterable[str]) -> None:
        """Go by these addresses from now on. Raises ValueError."""
        self._external = {6 if ":" in literal else 4: literal for literal in external if literal}
        self._local_nets = tuple(ipaddress.ip_network(net) for net in local_nets)
        self.forget()

    def add(self, listener: Listener) -> None:
        self._listeners[listener.transport].append(listener)
        if listener.index and listener.wildcard:
            self._wild_sockets.add(listener.index)
        self._ways.clear()

    def forget(self) -> None:
        """Ask the kernel again from now on."""
        self._ways.clear()

    @property
    def bound(self) -> dict[Transport, tuple[tuple[str, int], ...]]:
        """Where we really listen, port 0 replaced by what the kernel gave."""
        return {
            transport: tuple((each.host, each.port) for each in rows) for transport, rows in self._listeners.items()
        }

    @property
    def reachable(self) -> tuple[str, ...]:
        """Our addresses, for people: those bound one by one, and for a wildcard the one that leads to the world."""
        found: dict[str, None] = {}
        for rows in self._listeners.values():
            for listener in rows:
                address = self._source(_WORLD[listener.family]) if listener.wildcard else listener.host
                if address is not None:
                    found[address] = None
        return tuple(found)

    def listens(self, transport: Transport, port: int) -> bool:
        """Whether `port` is one of our listening ports: then a connection from it was accepted, not opened, by us."""
        return any(listener.port == port for listener in self._listeners[transport])

    def way(self, transport: Transport, peer: str) -> Way:
        """Raises ValueError when `peer` is no IP literal: a name must not reach the kernel, which would look it up."""
        key = (transport, peer)
        way = self._ways.get(key)
        if way is None:
            if len(self._ways) >= _MAX_REMEMBERED:
                self._ways.clear()
            way = self._ways[key] = self._find(transport, peer)
        return way

    def sent_by(self, destination: Destination) -> tuple[str, int]:
        """Host and port for the Via of a request to `destination` (RFC 3261 §18.1.1): where a response or a new
        connection reaches us. IPv6 without brackets."""
        return self.advertised(destination.host, destination.transport, destination.flow)

    def advertised(self, peer: str, transport: Transport, flow: Flow | None = None) -> tuple[str, int]:
        """The address and port to name in a Contact toward `peer`, an IP literal. A peer that came by `flow` is told
        the address it came to, or `external` in its place."""
        way = self.way(transport, peer)
        listener, host = way.listener, way.advertised
        if flow is not None and flow.transport is transport and (flow.socket or flow.connection):
            if flow.socket:
                listener = next((each for each in self._listeners[transport] if each.index == flow.socket), listener)
            local = self._local_of(flow, listener)
            if local:
                host = self.told(local, peer)
        return host, listener.port if listener is not None else self._fallback_port(transport)

    def source_of(self, flow: Flow) -> str:
        """As which address a datagram along `flow` must leave, when its socket is bound to all; else empty."""
        return flow.local[0] if flow.socket in self._wild_sockets and flow.local[0] not in _WILDCARDS else ""

    @staticmethod
    def _local_of(flow: Flow, listener: Listener | None) -> str | None:
        """The address of ours that a flow came to; None when nobody knows."""
        if flow.socket and listener is not None and not listener.wildcard:
            return listener.host
        return None if flow.local[0] in _WILDCARDS else flow.local[0]

    def local_ip_for(self, peer: str, flow: Flow | None = None) -> str:
        """Our own address toward `peer`, for RTP sockets: the one `flow` came to, else the SIP listener's when it is
        bound to one, else the kernel's choice. What the peer is told may differ: `advertised`."""
        if flow is not None and flow.local[0] not in _WILDCARDS:
            return flow.local[0]
        for transport in Transport:
            way = self.way(transport, peer)
            if way.listener is not None:
                return way.local
        return self.way(Transport.UDP, peer).local

    def _find(self, transport: Transport, peer: str) -> Way:
        address = ipaddress.ip_address(peer)
        source = self._source(peer)
        candidates = [listener for listener in self._listeners[transport] if listener.family == address.version]
        listener = min(candidates, key=lambda each: _distance(each, source, address), default=None)
        if listener is None or listener.wildcard:
            local = source or _LOOPBACK[address.version]
        else:
            local = listener.host
        return Way(listener, local, self.told(local, peer))

    def told(self, local: str, peer: str) -> str:
        """What `peer` is told in place of our address `local`."""
        local, _, _ = local.partition("%")  # the zone of a link-local address means nothing to others (RFC 4007 §11.2)
        external = self._external.get(6 if ":" in peer else 4)
        if external is None:
            return local
        address = ipaddress.ip_address(peer)
        return local if any(address in net for net in self._local_nets) else external

    def _fallback_port(self, transport: Transport) -> int:
        """We only go out by this transport: name the port it would have."""
        listeners = self._listeners[transport]
        return listeners[0].port if listeners else transport.default_port


def _distance(listener: Listener, source: str | None, peer: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """The socket bound to the address the kernel would use is best, then one bound to all; then one that is on the
    loopback interface exactly when the peer is. Of equals the one configured first."""
    if listener.host == source:
        return 0
    if listener.wildcard:
        return 1
    return 2 if ipaddress.ip_address(listener.host).is_loopback == peer.is_loopback else 3
