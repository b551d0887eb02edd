"""Ringing: one INVITE to each target at once, the first answer wins, the others are cancelled (RFC 3261 §16.7)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from media.fax import FaxMode
from media.fax_session import T38Terms
from media.keys import SrtpMode
from media.plan import Codec
from media.session import OutOfFiles, OutOfPorts
from pbxd.calls.admission import Refusal
from pbxd.calls.causes import COMPLETED_ELSEWHERE, whose_doing
from pbxd.calls.crypto import all_secure
from pbxd.calls.facilities import Facilities
from pbxd.calls.info import Pressed
from pbxd.calls.leg import Headers, Leg, LegOwner
from pbxd.calls.line import Line
from pbxd.calls.policy import OfferedAudio
from pbxd.calls.record import CallRecord, LegRecord, Role
from pbxd.directory.binding import read_q
from pbxd.ids import new_id
from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Destination, place
from pbxd.sip.headers import NameAddr
from pbxd.sip.lookup import ResolveError
from pbxd.sip.message import Request, Response
from pbxd.sip.session import EndCause, Ending, SessionSettings
from pbxd.sip.transaction import ServerTransaction
from pbxd.sip.uri import Uri
from pbxd.trace import Topic

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """One place to ring: the URI to ask for, who it is in the record, and its next hops if they are known already.
    `codecs`, `srtp` and `fax` are those of its own policy, empty and None for the house's; an `image` is offered T.38
    first, and sound when it refuses that. `line` is held while it rings and talks, None where the call itself holds
    all."""

    party: str
    uri: Uri
    to: NameAddr
    from_: NameAddr
    headers: Headers
    settings: SessionSettings
    destinations: tuple[Destination, ...] = ()
    resolve: Uri | None = None
    codecs: tuple[Codec, ...] = ()
    srtp: SrtpMode | None = None
    fax: FaxMode = FaxMode.AUTO
    image: bool = False
    line: Line | None = None

    def give_up(self, now: float) -> None:
        """It never became a leg."""
        if self.line is not None:
            self.line.drop(now)


@dataclass(frozen=True, slots=True)
class Refused:
    """The best of the answers that were no answers. `why` says what of ours was missing, where it was ours."""

    status: int
    ending: Ending | None
    why: str | None = None


class DialOwner(LegOwner, Protocol):
    """The call for which it rings. `leg_answered` brings the leg that won; it is the call's from then on."""

    def dial_failed(self, refused: Refused, now: float) -> None:
        """Nobody answered, and nobody will."""


class Dial:
    """The branches of one ringing. It owns its legs until one of them answers."""

    def __init__(
        self,
        facilities: Facilities,
        owner: DialOwner,
        record: CallRecord,
        targets: Sequence[Target],
        offered: OfferedAudio | None,
    ) -> None:
        self._facilities = facilities
        self._owner = owner
        self._record = record
        self._offered = offered
        self._targets = targets
        self._legs: list[Leg] = []
        self._images: dict[Leg, tuple[Target, Sequence[Destination]]] = {}  # those that were offered T.38 alone
        self._resolving = 0
        self._refusals: list[Refused] = []
        self._over = False

    def start(self, now: float) -> None:
        """Sends the INVITEs, to a name as soon as it is resolved."""
        self._resolving = len(self._targets)
        for target in self._targets:
            if target.destinations:
                self._invite(target, target.destinations, now)
            else:
                found = partial(self._resolved, target)
                self._facilities.resolver.destinations(target.resolve or target.uri, found)

    def cancel(self, now: float, reason: str | None = None) -> None:
        """Stops all ringing; the owner hears nothing more."""
        self._over = True
        for leg in tuple(self._legs):
            leg.silence(now)
            leg.hangup(now, reason=reason)

    def wall(self, now: float) -> float:
        return self._owner.wall(now)

    def _resolved(self, target: Target, found: Sequence[Destination] | ResolveError) -> None:
        now = self._facilities.clock()
        if isinstance(found, ResolveError):
            self._resolving -= 1
            target.give_up(now)
            if not self._over:
                self._refuse(Refused(503, None, f"{target.party} cannot be found: {found.trouble.value}"), now)
            return
        self._invite(target, found, now)

    def _invite(self, target: Target, destinations: Sequence[Destination], now: float) -> None:
        self._resolving -= 1
        if self._over:
            target.give_up(now)
            return
        if not destinations:
            target.give_up(now)
            self._refuse(Refused(503, None), now)
            return
        self._call(replace(target, image=target.image or self._beyond is not None), destinations, now)

    @property
    def _beyond(self) -> T38Terms | None:
        """What a caller who offers T.38 alone says of it."""
        return self._offered.image if self._offered is not None else None

    def _call(self, target: Target, destinations: Sequence[Destination], now: float) -> None:
        policy = self._facilities.policy_for(target.codecs, target.srtp, target.fax).like(self._offered)
        if not policy.codecs:
            log.info("no codec in common with %s", target.party, extra={"call": self._record.id})
            target.give_up(now)
            self._refuse(Refused(488, None), now)
            return
        if not policy.protection.over(secure=all_secure(destinations)).possible:
            log.warning("%s requires SRTP, and its keys may not travel without TLS", target.party)
            target.give_up(now)
            self._refuse(Refused(488, None), now)
            return
        record = self._leg_record(target, destinations[0], now)
        image = target.image and policy.images
        try:
            leg = Leg.outgoing(
                self._facilities,
                self,
                record,
                uri=target.uri,
                from_=target.from_,
                to=target.to,
                destinations=destinations,
                headers=target.headers,
                policy=policy,
                settings=target.settings,
                now=now,
                image=image,
                beyond=self._beyond,
            )
        except OutOfPorts as error:
            refusal = Refusal.FILES_FULL if isinstance(error, OutOfFiles) else Refusal.PORTS_FULL
            self._facilities.refuse(refusal, record.remote)
            target.give_up(now)
            self._refuse(Refused(503, None, refusal.value), now)
            return
        leg.line = target.line
        self._legs.append(leg)
        if image:
            self._images[leg] = replace(target, image=False), destinations
        self._record.legs.append(record)
        tracer = self._facilities.tracer
        tracer.joined(self._record.id, record.sip_call_id)
        tracer.note(self._record.id, Topic.DECISION, f"rings {target.party} at {record.remote}", now)

    def _leg_record(self, target: Target, first: Destination, now: float) -> LegRecord:
        wall = self._owner.wall(now)
        return LegRecord(
            id=new_id("leg", wall),
            role=Role.CALLEE,
            party=target.party,
            sip_call_id="",
            remote=place(first.transport, first.host, first.port),
            started_at=wall,
        )

    # ---- LegOwner

    def leg_progressed(self, leg: Leg, status: int, now: float) -> None:
        if not self._over:
            self._owner.leg_progressed(leg, status, now)

    def leg_answered(self, leg: Leg, now: float) -> None:
        if self._over:
            leg.hangup(now, reason=COMPLETED_ELSEWHERE)
            return
        self._legs.remove(leg)
        self.cancel(now, COMPLETED_ELSEWHERE)
        leg.owner = self._owner
        self._owner.leg_answered(leg, now)

    def leg_changed(self, leg: Leg, now: float) -> None:
        """An early leg may change its media; what flows follows by itself."""

    def leg_fell_silent(self, leg: Leg, now: float) -> None:
        """A phone that only rings need not speak."""

    def leg_pressed(self, leg: Leg, pressed: Pressed, now: float) -> None:
        """Digits of a phone that only rings mean nothing."""

    def leg_talks(self, leg: Leg, talking: bool) -> None:
        """Nobody listens to a phone that rings."""

    def leg_requested(self, leg: Leg, transaction: ServerTransaction, request: Request, now: float) -> None:
        self._owner.leg_requested(leg, transaction, request, now)

    def leg_ended(self, leg: Leg, ending: Ending, now: float) -> None:
        if leg in self._legs:
            self._legs.remove(leg)
        if not self._over:
            status = leg.record.sip_status or _STATUS_OF_CAUSE.get(ending.cause, 480)
            text = f"{leg.record.party} at {leg.record.remote} {whose_doing(ending)} ({status})"
            self._facilities.tracer.note(self._record.id, Topic.DECISION, text, now)
            again = self._images.pop(leg, None)
            if again is not None and status in _NO_IMAGES:
                self._call(*again, now)
            else:
                self._refuse(Refused(status, ending), now)

    def _refuse(self, refused: Refused, now: float) -> None:
        self._refusals.append(refused)
        if refused.status >= 600:
            self.cancel(now)
        elif self._legs or self._resolving:
            return
        self._over = True
        self._owner.dial_failed(best_of(self._refusals), now)


_NO_IMAGES = frozenset({415, 488, 606})  # to an offer of T.38 alone: sound may do
_STATUS_OF_CAUSE = {EndCause.TIMEOUT: 408, EndCause.TRANSPORT: 503, EndCause.PROTOCOL: 502, EndCause.NO_ACK: 408}


def best_of(refusals: Sequence[Refused]) -> Refused:
    """The response to pass on: 6xx before all, then what a person can do something about, then the lowest class
    (RFC 3261 §16.7 step 6, which leaves the choice within a class to us)."""
    return min(refusals, key=lambda refused: _rank(refused.status))


def _rank(status: int) -> tuple[int, int]:
    if status >= 600:
        return (0, status)
    if status == 486:
        return (1, status)
    return (status // 100, 1 if status in (408, 480) else 0)


def redirect_contacts(refused: Refused) -> list[Uri]:
    """The contacts of a 3xx, best first; none for any other end."""
    message = refused.ending.message if refused.ending and 300 <= refused.status < 400 else None
    try:
        contacts = message.contacts if isinstance(message, Response) else []
    except ParseError:
        return []
    return [contact.uri for contact in sorted(contacts, key=lambda contact: -read_q(contact.params.get("q")))]
