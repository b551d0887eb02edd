"""The dialog: what two user agents remember of each other (RFC 3261 §12)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Self

from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Request, Response
from pbxd.sip.uri import Uri

"""RFC 3261 §8.1.1.5."""


PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    )
)
"""What is behind a NAT: RFC 1918, RFC 6598, RFC 4193 and link-local addresses."""


class Role(Enum):
    """Who sent the request that made the dialog."""

    UAC = "uac"
    UAS = "uas"


class DialogState(Enum):
    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Dialog:
    """One dialog, ours being the local side.

    `peer` is where the peer's last message came from, as a place to send to; `resolved` what RFC 3263 found for the
    next hop when that is a name. The dialog itself never asks anybody.
    """

    __slots__ = (
        "call_id",
        "charset",
        "contact",
        "local",
        "local_seq",
        "peer",
        "remote",
        "remote_seq",
        "remote_target",
        "resolved",
        "role",
        "route_set",
        "secure",
        "state",
    )

    def __init__(
        self,
        *,
        role: Role,
        call_id: str,
        local: NameAddr,
        remote: NameAddr,
        local_seq: int,
        remote_seq: int | None,
        remote_target: Uri,
        route_set: tuple[str, ...],
        contact: Uri,
        peer: Destination | None,
        secure: bool = False,
        state: DialogState = DialogState.EARLY,
        charset: str = "utf-8",
    ) -> None:
        self.role = role
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.local_seq = local_seq
        self.remote_seq = remote_seq
        self.remote_target = remote_target
        self.route_set = route_set
        self.contact = contact
        self.peer = peer
        self.secure = secure
        self.state = state
        self.charset = charset
        """How the peer's bytes are read and written back: its tags and names must return as they came."""
        self.resolved: tuple[Destination, ...] = ()

    # ---- creation

    @classmethod
    def uas(cls, request: Request, to_tag: str, contact: Uri, flow: Flow, *, local_seq: int) -> Self:
        """The dialog a request to us opens (RFC 3261 §12.1.1). `local_seq` is where our CSeq numbers start. A request
        without Contact, which §8.1.1.8 forbids, gets its From as target: with a symmetric peer that still works."""
        target = _contact(request)
        return cls(
            role=Role.UAS,
            call_id=request.call_id,
            local=request.to.with_tag(to_tag),
            remote=request.from_,
            local_seq=local_seq,
            remote_seq=request.cseq.number,
            remote_target=target or request.from_.uri,
            route_set=tuple(request.headers.values("Record-Route")),
            contact=contact,
            peer=destination_of(flow),
            secure=flow.transport.secure and request.uri.scheme == "sips",
            charset=request.charset,
        )

    @classmethod
    def uac(cls, request: Request, response: Response, contact: Uri, peer: Destination | None) -> Self:
        """The dialog a response to our request opens (RFC 3261 §12.1.2). `peer` is where the request went."""
        target = _contact(response)
        return cls(
            role=Role.UAC,
            call_id=request.call_id,
            local=request.from_,
            remote=response.to,
            local_seq=request.cseq.number,
            remote_seq=None,
            remote_target=target or request.uri,
            route_set=tuple(reversed(response.headers.values("Record-Route"))),
            contact=contact,
            peer=peer,
            secure=request.uri.scheme == "sips",
            charset=response.charset,
        )

    # ---- identity

    @property
    def local_tag(self) -> str:
        return self.local.tag or ""

    @property
    def remote_tag(self) -> str:
        """Empty for a peer of RFC 2543 that sends none (RFC 3261 §12.1.1)."""
        return self.remote.tag or ""

    @property
    def id(self) -> tuple[str, str, str]:
        return self.call_id, self.local_tag, self.remote_tag

    # ---- requests of ours

    def request(self, method: str, *, seq: int | None = None) -> Request:
        """A request inside the dialog (RFC 3261 §12.2.1.1), its headers filled in up to Contact. `seq` repeats a number
        (ACK); otherwise the next one is used up. Via and Max-Forwards are the stack's."""
        if seq is None:
            self.local_seq += 1
            seq = self.local_seq
        uri = self.remote_target
        routes = self.route_set
        if routes:
            first = parsed_route(routes[0])
            if "lr" not in first.params:  # a strict router: it finds itself in the Request-URI, the target comes last
                uri, routes = _request_uri(first), (*routes[1:], f"<{self.remote_target}>")
        request = Request(method, uri, charset=self.charset)
        add = request.headers.add
        for route in routes:
            add("Route", route)
        add("From", str(self.local))
        add("To", str(self.remote))
        add("Call-ID", self.call_id)
        add("CSeq", f"{seq} {method}")
        if method in TARGET_REFRESHING:
            add("Contact", f"<{self.contact}>")
        return request

    @property
    def next_hop(self) -> Uri:
        """Where requests go first: the topmost route or the target, loose and strict alike (RFC 3261 §8.1.2)."""
        return parsed_route(self.route_set[0]) if self.route_set else self.remote_target

    def destinations(self, *, symmetric: bool) -> list[Destination]:
        """Where requests in the dialog go, the best first.

        A peer that is not where its Contact says (NAT), or whose next hop is a name that nobody resolved, is reached
        the way its last message came; a stream connection is used again while it lives (RFC 5923), with the address
        as what to fall back on.
        """
        hop = self.next_hop
        peer = self.peer
        address = address_of(hop)
        if address is None:
            return [*self.resolved] if self.resolved else ([peer] if peer is not None else [])
        if peer is None:
            return [address]
        at_home = same_host(address.host, peer.host)
        if peer.transport.reliable:
            if not (at_home or symmetric):
                return [address]
            leaks = peer.transport.secure and not address.transport.secure
            return [peer] if leaks or not at_home else [peer, address]
        if symmetric and not self.route_set and not (at_home and address.port == peer.port):
            return [peer]
        if symmetric and self.route_set and _is_private(address.host) and not _is_private(peer.host):
            return [peer]  # a proxy behind NAT that records the route it knows
        if address.transport is not Transport.UDP:
            return [address]
        return [Destination(Transport.UDP, address.host, address.port, peer.flow)]

    # ---- requests of theirs

    def accepts(self, request: Request) -> int | None:
        """None if the request is in order, or the status to refuse it with (RFC 3261 §12.2.2). Takes its CSeq."""
        number = request.cseq.number
        if request.method == "ACK":
            return None
        if self.remote_seq is not None and number < self.remote_seq:
            return 500
        self.remote_seq = number
        return None

    def refresh_target(self, message: Request | Response) -> bool:
        """Takes the Contact of a target refresh request or its 2xx (RFC 3261 §12.2). True if the next hop changed."""
        target = _contact(message)
        if target is None or target == self.remote_target:
            return False
        self.remote_target = target
        if not self.route_set:
            self.resolved = ()
        return not self.route_set

    def confirm(self, response: Response) -> bool:
        """A 2xx makes the dialog; the route set is read again from it (RFC 3261 §13.2.2.4). True if the next hop
        changed."""
        before = self.next_hop
        self.state = DialogState.CONFIRMED
        self.route_set = tuple(reversed(response.headers.values("Record-Route")))
        self.refresh_target(response)
        return self.next_hop != before

    def came_by(self, flow: Flow) -> None:
        """Notes where a message of the peer came from."""
        if self.peer is None or self.peer.flow != flow:
            self.peer = destination_of(flow)

    # ---- plain data

    def to_plain(self) -> dict[str, Any]:
        """The dialog as JSON values."""
        return {
            "role": self.role.value,
            "state": self.state.value,
            "call_id": self.call_id,
            "local": str(self.local),
            "remote": str(self.remote),
            "local_seq": self.local_seq,
            "remote_seq": self.remote_seq,
            "remote_target": str(self.remote_target),
            "route_set": list(self.route_set),
            "contact": str(self.contact),
            "peer": None if self.peer is None else _destination_to_plain(self.peer),
            "secure": self.secure,
            "charset": self.charset,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The dialog `to_plain` wrote. Raises KeyError, ValueError or ParseError for anything else."""
        return cls(
            role=Role(plain["role"]),
            state=DialogState(plain["state"]),
            call_id=plain["call_id"],
            local=NameAddr.parse(plain["local"]),
            remote=NameAddr.parse(plain["remote"]),
            local_seq=plain["local_seq"],
            remote_seq=plain["remote_seq"],
            remote_target=Uri.parse(plain["remote_target"]),
            route_set=tuple(plain["route_set"]),
            contact=Uri.parse(plain["contact"]),
            peer=None if plain["peer"] is None else _destination_from_plain(plain["peer"]),
            secure=plain["secure"],
            charset=plain["charset"],
        )

    def __repr__(self) -> str:
        return f"<Dialog {self.role.name} {self.state.name} {self.call_id} {self.local_tag}->{self.remote_tag}>"


TARGET_REFRESHING = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"})
"""Methods whose Contact replaces the remote target (RFC 3261 §12.2, RFC 3311, RFC 6665 §4.4.1, RFC 3515)."""


def destination_of(flow: Flow) -> Destination:
    """The way back along a flow."""
    return Destination(flow.transport, flow.remote[0], flow.remote[1], flow)


def address_of(uri: Uri) -> Destination | None:
    """The place a URI names by itself, or None when its host is a name (RFC 3263 §4.1, §4.2)."""
    host = (uri.params.get("maddr") or uri.host).strip("[]")
    if not _is_address(host):
        return None
    named = (uri.transport or "").upper()
    if uri.scheme == "sips":
        transport = Transport.TLS
    else:
        transport = Transport.__members__.get(named, Transport.UDP)
    return Destination(transport, host, uri.port or transport.default_port)


def same_host(one: str, other: str) -> bool:
    """Whether two IP literals are the same address, however they are written."""
    return one == other or (":" in one and ":" in other and ipaddress.ip_address(one) == ipaddress.ip_address(other))


@lru_cache(maxsize=1024)
def parsed_route(text: str) -> Uri:
    """The URI of one Route or Record-Route value. The same few proxies come again and again."""
    return NameAddr.parse(text).uri


@lru_cache(maxsize=4096)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _is_private(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return any(address in network for network in PRIVATE)


def _contact(message: Request | Response) -> Uri | None:
    """Where the peer wants to be reached, None when it does not say or it cannot be read."""
    try:
        contacts = message.contacts
    except ParseError:
        return None
    return contacts[0].uri if contacts else None


def _request_uri(route: Uri) -> Uri:
    """A strict router's URI as a Request-URI: no headers, no method parameter (RFC 3261 §12.2.1.1, §19.1.1)."""
    params = {name: value for name, value in route.params.items() if name != "method"}
    return route.with_(params=params, headers="")


def _destination_to_plain(place: Destination) -> dict[str, Any]:
    flow = place.flow
    return {
        "transport": place.transport.value,
        "host": place.host,
        "port": place.port,
        "server_name": place.server_name,
        "flow": None
        if flow is None
        else {
            "transport": flow.transport.value,
            "local": list(flow.local),
            "remote": list(flow.remote),
            "socket": flow.socket,
            "connection": flow.connection,
        },
    }


def _destination_from_plain(plain: Mapping[str, Any]) -> Destination:
    flow = plain["flow"]
    return Destination(
        Transport(plain["transport"]),
        plain["host"],
        plain["port"],
        None
        if flow is None
        else Flow(
            Transport(flow["transport"]),
            (flow["local"][0], flow["local"][1]),
            (flow["remote"][0], flow["remote"][1]),
            flow["socket"],
            flow["connection"],
        ),
        plain["server_name"],
    )
