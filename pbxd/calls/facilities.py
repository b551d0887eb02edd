"""What every call works with: handed in once by the composition root, shared by all calls."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from media.keys import SrtpMode
from media.plan import Codec
from media.session import Media, MediaSession
from media.wire import WireError
from pbxd.calls.policy import Policy
from pbxd.directory.accounts import Directory
from pbxd.directory.registrar import Registrar
from pbxd.events import Bus
from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.session import SessionSettings, SessionTable
from pbxd.sip.stack import Stack
from pbxd.sip.uri import Uri

log = logging.getLogger(__name__)

WARNED_MAX = 1000  # parties


class Network(Protocol):
    """Our addresses, as far sides see them."""

    def advertised(self, peer: Destination) -> tuple[str, int]:
        """Host and port to name to `peer` in Contact."""

    def local_ip_for(self, peer_ip: str, flow: Flow | None = None) -> str:
        """The address of ours that packets to `peer_ip` leave from, where its media socket is bound: the one its `flow`
        came to."""

    def told(self, local_ip: str, peer_ip: str) -> str:
        """As which address `peer_ip` reaches what is bound to `local_ip`."""


class Resolver(Protocol):
    """RFC 3263: a URI's next hops, at once when its host is an address."""

    def destinations(self, uri: Uri, callback: Callable[[Sequence[Destination]], None]) -> None: ...


class Hearer(Protocol):
    """Who a media session belongs to."""

    def fell_silent(self, now: float) -> None:
        """Nothing came for `Policy.silence_s`, though something should have."""

    def unreadable(self, packets: int, *, plain: bool) -> None:
        """So many packets in a row could not be opened, by their looks because they are `plain` RTP."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Times in seconds. `ring_timeout_s` ends a call that nobody answers, `max_duration_s` any call."""

    ring_timeout_s: float = 60.0
    max_duration_s: float = 14400.0
    follow_redirects: bool = False


@dataclass(slots=True)
class Facilities:
    """The house as a call sees it. `wall` turns monotonic seconds into seconds since the epoch. A reload replaces
    `limits`, `policy` and `session`; a call keeps what it began with. `hearers` are
    told what wire noticed, by the key of their media."""

    stack: Stack
    sessions: SessionTable
    media: Media
    directory: Directory
    registrar: Registrar
    resolver: Resolver
    network: Network
    bus: Bus
    wall: Callable[[float], float]
    limits: CallLimits = field(default_factory=CallLimits)
    policy: Policy = field(default_factory=Policy)
    session: SessionSettings = field(default_factory=SessionSettings)
    hearers: dict[tuple[int, int], Hearer] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)

    def contact(self, user: str | None, peer: Destination) -> Uri:
        """Our Contact toward `peer`."""
        host, port = self.network.advertised(peer)
        if peer.transport is Transport.UDP:
            return Uri.sip(user, host, port)
        return Uri.sip(user, host, port, transport=peer.transport.value.lower())

    def policy_for(self, codecs: tuple[Codec, ...], srtp: SrtpMode | None = None) -> Policy:
        """The policy for a phone or trunk with codecs and SRTP of its own; the house's where it has none."""
        policy = replace(self.policy, codecs=codecs) if codecs else self.policy
        return policy if srtp is None else replace(policy, protection=replace(policy.protection, mode=srtp))

    def warn_of_bare_keys(self, party: str) -> None:
        """Says once of each that its keys travel where others can read them."""
        if party not in self._warned and len(self._warned) < WARNED_MAX:
            self._warned.add(party)
            log.warning("the SRTP keys of %s travel over signalling without TLS: who reads it can listen", party)

    def open_media(self, peer: Destination) -> MediaSession:
        """Ports for a stream with `peer`. Raises `media.OutOfPorts`."""
        try:
            return self.media.open(self.network.local_ip_for(peer.host, peer.flow))
        except WireError as error:
            if peer.flow is None or error.errno != errno.EADDRNOTAVAIL:
                raise
        return self.media.open(self.network.local_ip_for(peer.host))  # the address it came to is ours no longer
