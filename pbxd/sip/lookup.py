"""RFC 3263 as a pure machine: a URI goes in, DNS questions come out, answers go in, a list to try comes out.

`lookup` is a generator: it yields the questions it cannot go on without (to be asked at the same time), is sent an
Answer for each, and returns the destinations in the order to try them. Whoever drives it owns the network, the cache
and the clock.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from pbxd.sip.errors import SipError
from pbxd.sip.flow import Destination, Transport
from pbxd.sip.uri import Uri

MAX_DESTINATIONS = 16
_MAX_SERVERS = 8  # SRV targets looked up for one URI
_MAX_SRV = 64  # SRV records of one answer that are looked at
_MAX_NAME = 253


class Kind(Enum):
    """The record types of DNS that SIP asks for; the value is the name of the type."""

    NAPTR = "NAPTR"
    SRV = "SRV"
    A = "A"
    AAAA = "AAAA"


@dataclass(frozen=True, slots=True)
class Question:
    """`name` is lower-case and without the final dot."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Naptr:
    """RFC 3403 §4.1."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """RFC 2782; `target` is empty when the service is decidedly not available."""

    priority: int
    weight: int
    port: int
    target: str


class Trouble(Enum):
    """Why a list of destinations could not be made."""

    UNSUPPORTED = "a scheme or transport we do not speak"
    BAD_NAME = "not a host name"
    NO_SUCH_HOST = "the name has no address"
    NOT_SERVED = "the domain says that it offers no SIP"  # RFC 2782: a lone SRV record with the target "."
    TIMEOUT = "no DNS server answered in time"
    SERVER_FAILURE = "the DNS servers could not answer"
    BUSY = "too many look-ups at once"
    CLOSED = "the resolver is closed"


class ResolveError(SipError):
    """A URI that leads nowhere; for a request that is a transport error (RFC 3263 §4.3, RFC 3261 §8.1.3.1: 503)."""

    def __init__(self, trouble: Trouble, name: str) -> None:
        super().__init__(f"{name}: {trouble.value}")
        self.trouble = trouble
        self.name = name


Record = Naptr | Srv | str


@dataclass(frozen=True, slots=True)
class Answer:
    """The records of one question, addresses as IP literals. Empty without `trouble`: there are none, surely."""

    records: tuple[Record, ...] = ()
    trouble: Trouble | None = None


Lookup = Generator[Sequence[Question], Mapping[Question, Answer], list[Destination]]


@dataclass(frozen=True, slots=True)
class Means:
    """What this host can use: `transports` in the order we like them, `kinds` of addresses likewise.

    # Not what RFC 6724 says: IPv4 comes first, because over UDP a dead IPv6 path is only noticed after 32 s.
    """

    transports: tuple[Transport, ...] = (Transport.UDP, Transport.TCP, Transport.TLS)
    kinds: tuple[Kind, ...] = (Kind.A, Kind.AAAA)


@dataclass(frozen=True, slots=True)
class _Server:
    transport: Transport
    host: str
    port: int


# RFC 3263 §4.1; a SIPS URI takes only the last
_NAPTR_SERVICES = {"SIP+D2U": Transport.UDP, "SIP+D2T": Transport.TCP, "SIPS+D2T": Transport.TLS}
_SRV_PREFIXES = {Transport.UDP: "_sip._udp.", Transport.TCP: "_sip._tcp.", Transport.TLS: "_sips._tcp."}


def lookup(uri: Uri, means: Means, rng: random.Random, *, verify: bool = True) -> Lookup:
    """Where to send a request for `uri` (RFC 3263 §4). With `verify` a TLS destination carries the name its
    certificate must prove: the domain of the URI, whatever DNS said on the way (RFC 5922 §7.2).

    Raises ResolveError.
    """
    target = (uri.params.get("maddr") or uri.host).strip("[]").rstrip(".").lower()
    transport = _demanded_transport(uri, means)
    server_name = target if verify else None
    default = Transport.TLS if uri.scheme == "sips" else Transport.UDP
    if (address := _literal(target)) is not None:
        chosen = _available(transport or default, means, target)
        return [_destination(_Server(chosen, target, uri.port or chosen.default_port), address, server_name)]
    if not target or len(target) > _MAX_NAME or any(not 0 < len(label) < 64 for label in target.split(".")):
        raise ResolveError(Trouble.BAD_NAME, target[:_MAX_NAME])
    if uri.port is not None:  # RFC 3263 §4.1, §4.2: an explicit port rules NAPTR and SRV out
        servers = [_Server(_available(transport or default, means, target), target, uri.port)]
    else:
        services = yield from _services(target, transport, secure=uri.scheme == "sips", means=means)
        servers = yield from _servers(target, services, rng)
        if not servers:  # RFC 3263 §4.1, §4.2: no SRV record at all
            chosen = _available(transport or default, means, target)
            servers = [_Server(chosen, target, chosen.default_port)]
    return (yield from _destinations(servers, means, server_name, target))


def order_by_weight(records: Iterable[Srv], rng: random.Random) -> list[Srv]:
    """RFC 2782: by priority; within one, a server comes first with a chance in proportion to its weight."""
    ordered: list[Srv] = []
    groups: dict[int, list[Srv]] = {}
    for record in records:
        groups.setdefault(record.priority, []).append(record)
    for priority in sorted(groups):
        group = sorted(groups[priority], key=lambda record: record.weight)  # weight 0 at the front, as the RFC wants
        while group:
            mark = rng.randint(0, sum(record.weight for record in group))
            chosen = 0
            for chosen, record in enumerate(group):  # noqa: B007
                mark -= record.weight
                if mark <= 0:
                    break
            ordered.append(group.pop(chosen))
    return ordered


@lru_cache(maxsize=1024)
def _literal(text: str) -> str | None:
    """An IP literal as it is always written, or None for a name."""
    if not text or not (text[-1].isdigit() or ":" in text):
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _demanded_transport(uri: Uri, means: Means) -> Transport | None:
    """The transport that the URI itself fixes, or None (RFC 3263 §4.1, RFC 3261 §26.2.2 for sips)."""
    if uri.scheme not in {"sip", "sips"}:
        raise ResolveError(Trouble.UNSUPPORTED, f"{uri.scheme}:{uri.host}")
    name = uri.transport
    if name is None:
        return None
    try:
        transport = Transport[name.upper()]
    except KeyError:
        raise ResolveError(Trouble.UNSUPPORTED, f"{uri.host};transport={name[:16]}") from None
    if uri.scheme == "sips":
        if transport is Transport.UDP:
            raise ResolveError(Trouble.UNSUPPORTED, f"sips:{uri.host};transport=udp")
        transport = Transport.TLS
    return _available(transport, means, uri.host)


def _available(transport: Transport, means: Means, name: str) -> Transport:
    if transport not in means.transports:
        raise ResolveError(Trouble.UNSUPPORTED, f"{name};transport={transport.value.lower()}")
    return transport


def _services(
    target: str, transport: Transport | None, *, secure: bool, means: Means
) -> Generator[Sequence[Question], Mapping[Question, Answer], list[tuple[Transport, str]]]:
    """The SRV names to ask for, best first: from NAPTR records, or made from the transports we speak."""
    if transport is not None:
        return [(transport, _SRV_PREFIXES[transport] + target)]
    question = Question(target, Kind.NAPTR)
    answer = (yield (question,))[question]
    usable: list[tuple[int, int, Transport, str]] = []
    for record in answer.records:
        if not isinstance(record, Naptr) or record.flags.lower() != "s" or not record.replacement:
            continue
        offered = _NAPTR_SERVICES.get(record.service.upper())
        if offered in means.transports and (offered is Transport.TLS or not secure):
            usable.append((record.order, record.preference, offered, record.replacement))
    usable.sort(key=lambda row: row[:2])
    # RFC 3403 §4.1: once a record of one order is usable, those of a higher order must not be looked at
    services = [(offered, name) for order, _, offered, name in usable if order == usable[0][0]]
    if services:
        return services[:_MAX_SERVERS]
    wanted = (Transport.TLS,) if secure else means.transports
    return [(offered, _SRV_PREFIXES[offered] + target) for offered in wanted if offered in means.transports]


def _servers(
    target: str, services: list[tuple[Transport, str]], rng: random.Random
) -> Generator[Sequence[Question], Mapping[Question, Answer], list[_Server]]:
    if not services:
        return []
    questions = [Question(name, Kind.SRV) for _, name in services]
    answers = yield questions
    servers: list[_Server] = []
    refused = False
    for (transport, _), question in zip(services, questions, strict=True):
        records = [record for record in answers[question].records if isinstance(record, Srv)][:_MAX_SRV]
        refused = refused or any(not record.target for record in records)
        ordered = order_by_weight((record for record in records if record.target and record.port), rng)
        servers.extend(_Server(transport, record.target, record.port) for record in ordered)
    if refused and not servers:
        raise ResolveError(Trouble.NOT_SERVED, target)
    return servers[:_MAX_SERVERS]


def _destinations(servers: list[_Server], means: Means, server_name: str | None, target: str) -> Lookup:
    names = dict.fromkeys(server.host for server in servers if _literal(server.host) is None)
    questions = [Question(name, kind) for name in names for kind in means.kinds]
    answers = (yield questions) if questions else {}
    found: dict[Destination, None] = {}
    troubles: list[Trouble] = []
    for server in servers:
        if (address := _literal(server.host)) is not None:  # RFC 2782 forbids it in SRV, and it is met
            found[_destination(server, address, server_name)] = None
            continue
        for kind in means.kinds:
            answer = answers[Question(server.host, kind)]
            if answer.trouble is not None:
                troubles.append(answer.trouble)
            for record in answer.records:
                if isinstance(record, str):
                    found[_destination(server, record, server_name)] = None
    if not found:
        raise ResolveError(troubles[0] if troubles else Trouble.NO_SUCH_HOST, target)
    return list(found)[:MAX_DESTINATIONS]


def _destination(server: _Server, host: str, server_name: str | None) -> Destination:
    name = server_name if server.transport is Transport.TLS else None
    return Destination(server.transport, host, server.port, server_name=name)
