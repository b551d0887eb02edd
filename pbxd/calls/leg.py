"""A leg: one SIP session and its sound. The seam between signalling and media.

A leg knows nothing of the other legs: it reports to its owner, and may change owner when it moves to another call.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Protocol

from media.fax_session import T38Terms
from media.headers import LegHeaders
from media.plan import Codec, MediaPlan
from media.session import MediaSession, MediaStatistics
from media.wire import WireError
from pbxd.calls.crypto import all_secure, refusal_of
from pbxd.calls.facilities import Facilities
from pbxd.calls.image import Between, FaxUser, place_of, terms_of
from pbxd.calls.info import Pressed
from pbxd.calls.line import Line
from pbxd.calls.negotiate import Endpoint, Negotiation, offered_audio
from pbxd.calls.policy import OfferedAudio, Policy, silent
from pbxd.calls.record import LegRecord
from pbxd.calls.watch import Watch, agreed, heard, quality_of
from pbxd.sip.dialog import destination_of
from pbxd.sip.errors import SdpError
from pbxd.sip.flow import Destination, Transport
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Request, Response
from pbxd.sip.sdp import Direction, SessionDescription
from pbxd.sip.session import EndCause, Ending, Session, SessionSettings
from pbxd.sip.transaction import ServerTransaction
from pbxd.sip.uri import Uri
from pbxd.trace import Sound, Topic, score

log = logging.getLogger(__name__)

_session_ids = random.SystemRandom()

Headers = Sequence[tuple[str, str]]


class LegOwner(Protocol):
    """Who a leg belongs to: a call, or what rings on a call's behalf."""

    def wall(self, now: float) -> float:
        """Seconds since the epoch at the monotonic time `now`, by the call's own clock."""

    def leg_progressed(self, leg: Leg, status: int, now: float) -> None:
        """A called leg rings (or more); `leg.flowing` says whether its early media is up."""

    def leg_answered(self, leg: Leg, now: float) -> None:
        """The leg is answered and its media agreed: a called leg's 200, a calling leg's ACK."""

    def leg_changed(self, leg: Leg, now: float) -> None:
        """The far side changed the session: hold, resume, another codec or address."""

    def leg_fell_silent(self, leg: Leg, now: float) -> None:
        """No packet came of the leg for the RTP timeout."""

    def leg_pressed(self, leg: Leg, pressed: Pressed, now: float) -> None:
        """The far side pressed a digit: as a telephone event, or in its sound where that is listened to."""

    def leg_talks(self, leg: Leg, talking: bool) -> None:
        """The far side began to speak, or stopped; told in rooms only."""

    def leg_requested(self, leg: Leg, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A request in the dialog: INFO, MESSAGE, REFER..."""

    def leg_ended(self, leg: Leg, ending: Ending, now: float) -> None:
        """The leg is over. Once, always last."""


class Leg:
    """One dialog with its media. `allowed` bounds our direction: what the other side of the call wants. `prefer` is the
    codec that needs no conversion there, `within` those that can be joined with it (None: all). `line` is given back
    with the sound."""

    __slots__ = (
        "_answered_sdp",
        "_asked",
        "_facilities",
        "_first_offer",
        "_imaging",
        "_told",
        "_warned",
        "_watch",
        "allowed",
        "fax",
        "line",
        "media",
        "negotiation",
        "offered",
        "owner",
        "passage",
        "plan",
        "prefer",
        "record",
        "refusal",
        "session",
        "within",
    )

    session: Session

    def __init__(
        self, facilities: Facilities, owner: LegOwner, record: LegRecord, media: MediaSession, negotiation: Negotiation
    ) -> None:
        self._facilities = facilities
        self.owner = owner
        self.record = record
        self.media = media
        self.negotiation = negotiation
        self.offered: OfferedAudio | None = None
        self.allowed = Direction.SENDRECV
        self.prefer: Codec | None = None
        self.within: frozenset[Codec] | None = None
        self.plan: MediaPlan | None = None
        self.refusal = ""
        self.line: Line | None = None
        self._first_offer: SessionDescription | None = None
        self._answered_sdp = False
        self._asked: Codec | None = None
        self._imaging = False  # our offer of T.38 is out
        self.fax: FaxUser | None = None
        self.passage: Between | None = None  # while it is joined with another
        self._told = False
        self._warned = False
        self._watch = Watch(facilities.watchers)
        record.history = self._watch.history

    @classmethod
    def incoming(
        cls,
        facilities: Facilities,
        owner: LegOwner,
        record: LegRecord,
        transaction: ServerTransaction,
        policy: Policy,
        now: float,
    ) -> Leg | None:
        """A leg for an INVITE. None: it broke a rule and has been answered. Raises `media.OutOfPorts`."""
        request, flow = transaction.request, transaction.flow
        peer = destination_of(flow)
        leg = cls._with_media(facilities, owner, record, peer, policy, secure=peer.transport is Transport.TLS)
        session = Session.incoming(
            facilities.stack,
            transaction,
            request,
            table=facilities.sessions,
            contact=facilities.contact(request.uri.user, peer),
            settings=facilities.session,
            user=leg,
            now=now,
        )
        if session is None:
            leg.silence(now)
            return None
        leg.session = session
        return leg

    @classmethod
    def outgoing(
        cls,
        facilities: Facilities,
        owner: LegOwner,
        record: LegRecord,
        *,
        uri: Uri,
        from_: NameAddr,
        to: NameAddr,
        destinations: Sequence[Destination],
        headers: Headers,
        policy: Policy,
        settings: SessionSettings,
        now: float,
        image: bool = False,
        beyond: T38Terms | None = None,
    ) -> Leg:
        """Calls `uri` at the first of `destinations` that answers, with an offer of T.38 alone for an `image`; `beyond`
        is what the one who calls said of it. Raises `media.OutOfPorts`."""
        first = destinations[0]
        leg = cls._with_media(facilities, owner, record, first, policy, secure=all_secure(destinations))
        leg.negotiation.beyond = beyond
        leg.session = Session.outgoing(
            facilities.stack,
            table=facilities.sessions,
            request_uri=uri,
            from_=from_,
            to=to,
            contact=facilities.contact(from_.uri.user, first),
            destinations=destinations,
            offer=leg.negotiation.offer_image() if image else leg.negotiation.offer(),
            headers=headers,
            settings=settings,
            user=leg,
            now=now,
        )
        record.sip_call_id = leg.session.call_id
        return leg

    @classmethod
    def _with_media(
        cls,
        facilities: Facilities,
        owner: LegOwner,
        record: LegRecord,
        peer: Destination,
        policy: Policy,
        *,
        secure: bool,
    ) -> Leg:
        media = facilities.open_media(peer)
        endpoint = Endpoint(facilities.network.told(media.local[0], peer.host), media.local[1], media.rtcp_port)
        number = _session_ids.getrandbits(31)
        protection = policy.protection.over(secure=secure)
        if protection is not policy.protection:
            policy = replace(policy, protection=protection)
        leg = cls(facilities, owner, record, media, Negotiation(endpoint, policy, number, frozenset({peer.host})))
        facilities.hearers[media.key] = leg
        return leg

    @property
    def flowing(self) -> bool:
        """Whether media is agreed, early or for good."""
        return self.plan is not None

    @property
    def remote_direction(self) -> Direction:
        """What the far side last wished: SENDONLY or INACTIVE is a hold."""
        return self.negotiation.remote_direction

    # ---- what it may be joined with

    def can_join(self, other: Leg) -> bool:
        """Whether the sound of both can be joined, now or by the answer that this one has yet to give."""
        if other.plan is None or self._facilities.policy.converts or self._silent:
            return True
        theirs = other.plan.codec
        if self.plan is not None:
            return self.plan.codec.relays(theirs)
        codecs = self.offered.codecs if self.offered is not None else self.negotiation.policy.codecs
        return any(codec.relays(theirs) for codec in codecs)

    @property
    def _silent(self) -> bool:
        """Whether its far side called with T.38 alone."""
        return self.offered is not None and self.offered.image is not None

    def prepare_for(self, other: Leg) -> None:
        """From here on this leg agrees to what can be joined with `other`, best without conversion."""
        if other.plan is None:
            return
        theirs = other.plan.codec
        self.prefer = theirs
        if self.negotiation.policy.hears != other.negotiation.theirs:
            self.negotiation.policy = replace(self.negotiation.policy, hears=other.negotiation.theirs)
        if not self._facilities.policy.converts:
            known = other.negotiation.understood
            self.within = frozenset(codec for codec in Codec if codec.relays(theirs) or codec in known)

    # ---- a calling leg, before its answer

    def read_offer(self, *, images: bool = False, passes: bool = False) -> bool:
        """Reads the INVITE's offer, if there is one. T.38 counts where `images` are of use, and T.38 alone where the
        call `passes` on. False: it cannot be served (488), and `refusal` says why."""
        self.negotiation.images = images and self.negotiation.policy.images
        if self.session.remote_sdp is None:
            return True
        try:
            self._first_offer = SessionDescription.parse(self.session.remote_sdp)
            self.offered = offered_audio(self._first_offer, self.negotiation.policy)
            if self.offered is None:
                self.negotiation.images = (images or passes) and self.negotiation.policy.images
            place = place_of(self._first_offer)
            if self.offered is None and self.negotiation.images and place is not None:
                self.offered = silent(terms_of(self._first_offer.media[place]))
        except SdpError as error:
            self.refusal = error.reason
            return False
        protection = self.negotiation.policy.protection
        if self.offered is None:
            self.refusal = refusal_of(self._first_offer.media, protection) or "no codec in common"
        return self.offered is not None

    def ring(self, status: int, now: float, headers: Headers = ()) -> None:
        """Tells the caller that it rings."""
        self.session.ring(status, now, headers=headers)

    def ring_with_media(self, status: int, now: float, headers: Headers = ()) -> None:
        """Opens early media toward the caller, if it made an offer; else only rings. A second time changes nothing."""
        if self.offered is None or self._answered_sdp or self._silent:
            self.session.ring(status, now, headers=headers)
            return
        try:
            answer = self._answer_first_offer(now)
        except SdpError as error:
            self._break_off(now, str(error))
            return
        self.session.ring(status, now, answer=answer, headers=headers)

    def answer(self, now: float, headers: Headers = ()) -> None:
        """Answers the caller: with our answer, with the one given before in a 18x, or with our offer."""
        self.record.answered_at = self.owner.wall(now)
        if self.offered is None:
            sdp: bytes | None = self.negotiation.offer(self.allowed, self.prefer)
        elif self._answered_sdp:
            sdp = None
        else:
            try:
                sdp = self._answer_first_offer(now)
            except SdpError as error:
                self._break_off(now, str(error))
                return
        self.session.accept(sdp, now, headers=headers)

    def _answer_first_offer(self, now: float) -> bytes:
        assert self._first_offer is not None  # noqa: S101 - self.offered was read from it
        sdp, plan = self.negotiation.answer(self._first_offer, self.allowed, self.prefer, self.within)
        self._first_offer = None
        self._answered_sdp = True
        self._apply(plan, now)
        return sdp

    # ---- later

    def follow(self, direction: Direction, codec: Codec | None, now: float) -> None:
        """Offers the far side the direction that the other side of the call now wants, and what can be joined with its
        `codec`, if any of that is news."""
        wanted = self._codec_wanted(codec)
        if direction is self.allowed and wanted is None:
            return
        self.allowed = direction
        if self.session.established:
            self._asked = wanted
            self.session.offer(self.negotiation.offer(direction, wanted or self._codec_kept), now)

    def offer_image(self, now: float) -> None:
        """Asks the far side to go over to T.38; `fax` hears what came of it."""
        if self.session.established and not self._imaging and self.negotiation.t38 is None:
            self._imaging = True
            self.session.offer(self.negotiation.offer_image(), now)

    def ask_anew(self, now: float, codec: Codec | None = None) -> None:
        """Offers the far side what its policy allows by now, of that what can be joined with `codec`."""
        if self.session.established:
            self.session.offer(self.negotiation.offer(self.allowed, codec), now)

    def prepare_for_fax(self, fax: FaxUser) -> None:
        """From here on it carries a fax: G.711 as it is, or T.38."""
        self.fax = fax
        self.negotiation.images = fax.takes_images()
        self.negotiation.policy = self.negotiation.policy.for_fax()

    def _codec_wanted(self, codec: Codec | None) -> Codec | None:
        """The codec to change to, so that what speaks `codec` can be joined; None: no need, or no way."""
        if codec is None or self.plan is None or self._facilities.policy.converts:
            return None
        return None if codec.relays(self.plan.codec) or codec not in self.negotiation.understood else codec

    @property
    def _codec_kept(self) -> Codec | None:
        """The codec that a new offer of ours begins with."""
        return self.plan.codec if self.plan is not None else self.prefer

    def hangup(self, now: float, *, status: int = 480, reason: str | None = None) -> None:
        """Ends the leg from any state; its owner hears `leg_ended`."""
        self.session.hangup(now, status=status, reason=reason)

    def silence(self, now: float) -> None:
        """Stops the sound and writes down how it was; the SIP side may take a while longer to end."""
        if self.media.closed:
            return
        self.record.ended_at = self.owner.wall(now)
        if self.line is not None:
            answered = self.record.answered_at
            self.line.drop(now, 0.0 if answered is None else self.record.ended_at - answered)
        self._facilities.hearers.pop(self.media.key, None)
        self.media.close()
        self.negotiation.keys.wipe()
        if self.plan is None:
            return
        seen, headers = self.media.statistics(), self.media.headers()
        self._watch.end(seen.numbers, self.plan, now)
        samples = self._watch.history.samples()
        self.record.quality = quality_of(seen, samples, self._watch.silent_s)
        name, tracer = self.record.sip_call_id, self._facilities.tracer
        tracer.note(name, Topic.MEDIA, f"{self.record.role} over: {heard(seen)}", now)
        if samples:
            fewer = samples if len(samples) <= score.MAX_ROWS else self._watch.history.samples(score.MAX_ROWS)
            told = score.told(self.record.role, fewer, now, seen.numbers.longest_burst)
            tracer.note(name, Topic.QUALITY, told, now)
        if headers.records and (sound := self._sound(headers, seen)) is not None:
            tracer.sounded(name, sound)

    def _sound(self, headers: LegHeaders, seen: MediaStatistics) -> Sound | None:
        """None while its line has only one end."""
        remote = seen.numbers.source or (self.plan.remote if self.plan else None)
        return None if remote is None else Sound(self.media.local, remote, headers)

    def sound_of(self, sip_call_ids: Container[str]) -> Sound | None:
        """Its last RTP packets so far, if it is one of these dialogs."""
        if self.record.sip_call_id not in sip_call_ids:
            return None
        return self._sound(self.media.headers(), self.media.statistics())

    def listen(self) -> None:
        """Has its packets captured, if that is wanted."""
        name = self.record.sip_call_id
        self.media.tap(name if self._facilities.tracer.listens(name) else None)

    def noticed(self, what: str, now: float) -> None:
        """Wire saw something of its media."""
        self._facilities.tracer.note(self.record.sip_call_id, Topic.MEDIA, f"{self.record.role} {what}", now)

    def look(self, now: float) -> None:
        """A second has gone by: writes down how it sounds, when it is time to, and says when it is not heard."""
        if self.plan is None or self.media.closed:
            return
        answered = self.record.answered_at is not None
        for news in self._watch.look(self.media.numbers, self.plan, now, answered=answered):
            self.noticed(news, now)
            if not self._warned and news.startswith(score.ONE_WAY):
                self._warned = True
                log.warning("the %s is not heard", self.record.role, extra={"leg": self.record.id})

    def fell_silent(self, now: float) -> None:
        """Wire waited in vain."""
        self.owner.leg_fell_silent(self, now)

    def pressed(self, digit: str, duration_ms: int, now: float) -> None:
        """Wire heard a digit."""
        self.owner.leg_pressed(self, Pressed(digit, duration_ms), now)

    def talks(self, talking: bool) -> None:
        """Wire heard it begin or stop to speak."""
        self.owner.leg_talks(self, talking)

    def unreadable(self, packets: int, *, plain: bool) -> None:
        """Wire could not open so many packets in a row: they are dropped, and nobody hears noise."""
        why = "they are not protected" if plain else "they are under another key"
        log.warning(
            "no sound from %s: %d packets, and %s", self.record.party, packets, why, extra={"leg": self.record.id}
        )

    # ---- SessionUser

    def on_progress(self, status: int, sdp: bytes | None, response: Response, now: float) -> None:
        if self.record.ringing_at is None:
            self.record.ringing_at = self.owner.wall(now)
        if sdp is not None and self.plan is None:
            self._accept(sdp, now)
        self.owner.leg_progressed(self, status, now)

    def on_answered(self, sdp: bytes | None, response: Response, now: float) -> None:
        if sdp is not None and not self._accept(sdp, now):
            return
        if self.plan is None:
            self._break_off(now, "a 200 without an answer")
            return
        self._became_answered(now)

    def on_established(self, sdp: bytes | None, now: float) -> None:
        if sdp is not None and not self._accept(sdp, now):
            return
        if self.plan is None:
            self._break_off(now, "an ACK without an answer")
            return
        self._became_answered(now)

    def on_offer(self, sdp: bytes | None, now: float) -> None:
        if sdp is None:
            image = self.negotiation.t38 is not None
            ours = self.negotiation.offer_image() if image else self.negotiation.offer(self.allowed, self._codec_kept)
            self.session.answer(ours, now)
            return
        try:
            offer = SessionDescription.parse(sdp)
            if self._pages_in_the_way(offer):
                raise SdpError("a page is on its way", 488)
        except SdpError:
            self.session.refuse(488, now)
            return
        if self.passage is None or not self.passage.holds(offer, now):
            self.take(offer, now)

    def take(self, offer: SessionDescription, now: float) -> None:
        """Answers an offer in the session. One of ours that waits is of an older version than the answer (RFC 3264 §8):
        it is made anew, unless the answer says all that it would have said."""
        imaging, self._imaging = self._imaging, False
        asked, self._asked = self._asked, None
        waited, image = self.session.forget_offer(), self.negotiation.t38 is not None
        try:
            answer, plan = self.negotiation.answer(offer, self.allowed, asked or self._codec_kept, self.within)
            self._apply(plan, now)
        except SdpError:
            self.session.refuse(488, now)
            if waited and not imaging:
                self._asked = asked
                self.ask_anew(now, asked or self._codec_kept)
            return
        self.session.answer(answer, now)
        if imaging and self.negotiation.t38 is None:
            self.offer_image(now)
        elif waited and not imaging and image and self.negotiation.t38 is not None:
            self.ask_anew(now)  # it is to be sound again, and they have only refreshed it
        self.owner.leg_changed(self, now)

    def on_reanswer(self, sdp: bytes | None, status: int, now: float) -> None:
        if self._imaging:
            self._imaging = False
            self._image_answered(sdp if 200 <= status < 300 else None, status, now)
            return
        asked, self._asked = self._asked, None
        if 200 <= status < 300 and sdp is not None:
            self._accept(sdp, now)
            self.owner.leg_changed(self, now)
        elif status >= 300 and asked is not None:
            self.negotiation.understood -= {asked}
            self.owner.leg_changed(self, now)  # the other side is asked back

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.owner.leg_requested(self, transaction, request, now)

    def on_ended(self, ending: Ending, now: float) -> None:
        if self.record.sip_status is None:
            self.record.sip_status = ending.status
        self._end(ending, now)

    # ---- inside

    def _pages_in_the_way(self, offer: SessionDescription) -> bool:
        if self.fax is None or self.fax.may_change():
            return False
        return self.negotiation.takes_image(offer) is (self.negotiation.t38 is None)

    def _image_answered(self, sdp: bytes | None, status: int, now: float) -> None:
        """An answer that takes no stream at all leaves us without media: we ask for the sound again."""
        try:
            if sdp is not None:
                self._apply(self.negotiation.accept(SessionDescription.parse(sdp)), now)
            else:
                self.negotiation.image_refused()
        except SdpError:
            sdp = None
            self.session.offer(self.negotiation.offer(self.allowed, self._codec_kept), now)
        if sdp is not None:
            self.owner.leg_changed(self, now)
        elif self.fax is not None:
            self.fax.image_refused(status, now)

    def _became_answered(self, now: float) -> None:
        if self.record.answered_at is None:
            self.record.answered_at = self.owner.wall(now)
        self.record.sip_status = 200
        self.owner.leg_answered(self, now)

    def _accept(self, sdp: bytes, now: float) -> bool:
        try:
            self._apply(self.negotiation.accept(SessionDescription.parse(sdp)), now)
        except SdpError as error:
            self._break_off(now, str(error))
            return False
        return True

    def _break_off(self, now: float, why: str) -> None:
        log.warning("media cannot be agreed: %s", why, extra={"leg": self.record.id})
        self.record.sip_status = 488
        self.session.hangup(now, status=488, reason='SIP;cause=488;text="Not Acceptable Here"')
        self._end(Ending(EndCause.PROTOCOL, 488), now)

    def _apply(self, plan: MediaPlan, now: float) -> None:
        """Raises `SdpError` (488) when wire cannot do it."""
        try:
            self.media.apply(plan)
            self.listen()
        except WireError as error:
            raise SdpError("the media cannot be set up", 488) from error
        if plan == self.plan:
            return
        self.plan = plan
        codec = plan.codec.value if self.negotiation.t38 is None else "T.38"
        self.record.codec = codec
        self.noticed(agreed(plan, codec), now)
        self.record.srtp = plan.srtp.suite.value if plan.srtp is not None else None
        if plan.srtp is not None and not self.record.remote.startswith("tls:"):
            self._facilities.warn_of_bare_keys(self.record.party)
        if self.fax is not None:
            self.fax.agreed(now)

    def _end(self, ending: Ending, now: float) -> None:
        """Tells the owner, once. A far side that must be hung up because it makes no sense is not waited for."""
        if self._told:
            return
        self._told = True
        self.silence(now)
        self.owner.leg_ended(self, ending, now)
