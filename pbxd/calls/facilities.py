"""What every call works with: handed in once by the composition root, shared by all calls."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from media.keys import SrtpMode
from media.plan import Codec
from media.session import Media, MediaSession
from media.wire import WireError
from pbxd.calls.admission import CallRefused, Refusal
from pbxd.calls.policy import Policy
from pbxd.calls.studio import Studio
from pbxd.calls.watch import Watchers
from pbxd.directory.accounts import Directory
from pbxd.directory.registrar import Registrar
from pbxd.events import Bus
from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.lookup import ResolveError
from pbxd.sip.session import SessionSettings, SessionTable
from pbxd.sip.stack import Stack
from pbxd.sip.uri import Uri
from pbxd.trace import Sound, Topic

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
    """RFC 3263: a URI's next hops, at once when its host is an address; or why there are none."""

    def destinations(self, uri: Uri, callback: Callable[[Sequence[Destination] | ResolveError], None]) -> None: ...


class Hearer(Protocol):
    """Who a media session belongs to."""

    def fell_silent(self, now: float) -> None:
        """Nothing came for `Policy.silence_s`, though something should have."""

    def talks(self, talking: bool) -> None:
        """It began to speak, or stopped."""

    def pressed(self, digit: str, duration_ms: int, now: float) -> None:
        """A digit was heard: 0-9 * # A-D."""

    def noticed(self, what: str, now: float) -> None:
        """Anything that wire saw, in words."""

    def look(self, now: float) -> None:
        """A second has gone by: how is its sound?"""

    def listen(self) -> None:
        """What is to be captured has changed."""

    def sound_of(self, sip_call_ids: Container[str]) -> Sound | None:
        """Its RTP so far, if it belongs to one of these dialogs."""

    def unreadable(self, packets: int, *, plain: bool) -> None:
        """So many packets in a row could not be opened, by their looks because they are `plain` RTP."""


class Tracer(Protocol):
    """Told what becomes of a call, and why; must be quick, and must not raise. `name` is a call's id or the Call-ID of
    one of its dialogs."""

    def began(self, call_id: str, sip_call_id: str, account_id: str, now: float) -> None: ...

    def joined(self, call_id: str, sip_call_id: str) -> None:
        """Another dialog is the call's."""

    def note(self, name: str, topic: Topic, text: str, now: float) -> None: ...

    def listens(self, name: str) -> bool:
        """Whether the sound of this dialog is to be captured."""

    def sounded(self, name: str, sound: Sound) -> None:
        """The media of a leg is over."""

    def ended(self, call_id: str, now: float) -> None: ...


class Untraced:
    """A tracer that keeps nothing."""

    def began(self, call_id: str, sip_call_id: str, account_id: str, now: float) -> None:
        """Nothing is kept, here as in the rest."""

    def joined(self, call_id: str, sip_call_id: str) -> None:
        """Likewise."""

    def note(self, name: str, topic: Topic, text: str, now: float) -> None:
        """Likewise."""

    def listens(self, name: str) -> bool:
        """Never."""
        return False

    def sounded(self, name: str, sound: Sound) -> None:
        """Likewise."""

    def ended(self, call_id: str, now: float) -> None:
        """Likewise."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Times in seconds. `ring_timeout_s` ends a call that nobody answers, `max_duration_s` any call. With
    `music_on_hold` a phone that is held by another is not told, and hears music."""

    ring_timeout_s: float = 60.0
    max_duration_s: float = 14400.0
    follow_redirects: bool = False
    music_on_hold: bool = False


@dataclass(slots=True)
class Facilities:
    """The house as a call sees it. `clock` tells monotonic seconds, `wall` turns them into seconds since the epoch. A
    reload replaces `limits`, `policy`, `session` and `language`; a call keeps what it began with. `hearers` are told
    what wire noticed, by the key of their media. `refused` counts, by reason."""

    stack: Stack
    sessions: SessionTable
    media: Media
    directory: Directory
    registrar: Registrar
    resolver: Resolver
    network: Network
    bus: Bus
    studio: Studio
    clock: Callable[[], float]
    wall: Callable[[float], float]
    limits: CallLimits = field(default_factory=CallLimits)
    policy: Policy = field(default_factory=Policy)
    session: SessionSettings = field(default_factory=SessionSettings)
    language: str = "en-us"
    hearers: dict[tuple[int, int], Hearer] = field(default_factory=dict)
    tracer: Tracer = field(default_factory=Untraced)
    watchers: Watchers = field(default_factory=Watchers)
    refused: dict[Refusal, int] = field(default_factory=lambda: dict.fromkeys(Refusal, 0))

    def refuse(self, refusal: Refusal, source: str) -> None:
        """Counts and says that a call, or one leg of it, cannot be had."""
        self.refused[refusal] += 1
        self.bus.publish(CallRefused(refusal, source))

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
