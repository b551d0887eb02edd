"""A fax that goes through the house, between the two legs of a bridge.

    both sides do T.38        the re-INVITE is passed on, and the datagrams go through as they are
    one does, one does not    a gateway between T.38 and the sound of G.711, whichever side is which
    neither                   sound, as in any call

Who asks for T.38 waits until the other side has been asked; what that says, or does not say in time, decides. What each
leg may do is in its policy: on one of G711 nobody is asked, and PASSTHROUGH on either side keeps the call as it is.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from media.fax import FaxMode, FaxOptions, FaxTransport
from media.fax_gateway import FaxGateway
from media.faxing import FaxEngine, Relay
from media.wire import WireError
from pbxd.calls import image
from pbxd.calls.facilities import Facilities
from pbxd.calls.leg import Leg
from pbxd.calls.policy import LAWS
from pbxd.sip.sdp import SessionDescription
from pbxd.sip.timers import TimerHandle

PATIENCE_S: Final = 4.0  # that long the other side may take to say whether it does T.38
LOOK_S: Final = 5.0  # how often it is looked whether anything goes through


class Way(Enum):
    """What carries the call between the two."""

    SOUND = "sound"
    PACKETS = "T.38 on both sides"
    GATEWAY = "the gateway between T.38 and G.711"
    NOTHING = "nothing: one side is in T.38, and the other in no sound of G.711"


class Passage:
    """Between `caller` and `callee`, from their bridge's making to its end. `connect` leads what is a fax."""

    def __init__(self, facilities: Facilities, engine: FaxEngine, caller: Leg, callee: Leg) -> None:
        self._facilities = facilities
        self._engine = engine
        self._legs = (caller, callee)
        self._waiting: tuple[Leg, SessionDescription] | None = None
        self._timer: TimerHandle | None = None
        self._look: TimerHandle | None = None
        self._declined: set[Leg] = set()
        self._relay: Relay | None = None
        self._images = [False, False]
        self.way = Way.SOUND
        for leg in self._legs:
            leg.fax = leg.passage = Crossing(self, leg)
            leg.negotiation.beyond = self.other(leg).negotiation.t38

    def connect(self) -> bool:
        """Joins the two if one of them is T.38; again changes what has to be changed. False: neither is."""
        images = [leg.negotiation.t38 is not None for leg in self._legs]
        if any(leg.plan is None for leg in self._legs):
            return False
        way = self._way_of(images)
        if way is self.way and images == self._images:
            return way is not Way.SOUND
        self.way, self._images, self._relay = way, images, None
        now = self._facilities.clock()
        if way is Way.SOUND:
            self._stop_looking()
        elif way is Way.NOTHING:
            self._part(now)
        else:
            self._join(now)
        for leg in self._legs:
            leg.noticed(f"a fax goes through by {way.value}" if way is not Way.SOUND else "is sound again", now)
        return way is not Way.SOUND

    def close(self) -> None:
        """The two are not together any more."""
        self._forget_waiting()
        self._stop_looking()
        for leg in self._legs:
            if isinstance(leg.passage, Crossing) and leg.passage.passage is self:
                leg.passage = leg.negotiation.beyond = None
                if isinstance(leg.fax, Crossing):  # and not somebody's who has the leg by now
                    leg.fax, leg.negotiation.images = None, False

    # ---- what the far side of a leg offers

    def holds(self, leg: Leg, offer: SessionDescription, now: float) -> bool:
        """Whether this offer waits until the other side has been asked; `Leg.take` follows then."""
        other, plain = self.other(leg), any(one.negotiation.policy.fax is FaxMode.PASSTHROUGH for one in self._legs)
        wants = image.alone(offer) and leg.session.established
        leg.negotiation.images = wants and not plain and leg.negotiation.policy.images
        if not leg.negotiation.images or leg.negotiation.t38 is not None or other.negotiation.t38 is not None:
            return False
        if self._who_waits() not in (None, leg):  # both ask at once: nobody needs to be asked
            return False
        self._forget_waiting()  # the same one asks again, and has taken back what was asked before
        place = image.place_of(offer)
        assert place is not None  # noqa: S101 - it is alone
        other.negotiation.beyond = image.terms_of(offer.media[place])
        if not self._ask(other, now):
            return False
        self._waiting = leg, offer
        self._timer = self._facilities.stack.schedule(now + PATIENCE_S, self._expired)
        return True

    def agreed(self, leg: Leg, now: float) -> None:
        """Media of `leg` is agreed anew."""
        other = self.other(leg)
        other.negotiation.beyond = leg.negotiation.t38
        if leg.negotiation.t38 is None and other.negotiation.t38 is not None and self.way is Way.PACKETS:
            other.negotiation.beyond = None
            other.ask_anew(now)  # the fax is over: it is to be sound again as well
        if self._who_waits() is other:
            self._resolve(now)
        elif self.way is not Way.SOUND:
            self.connect()

    def declined(self, leg: Leg, now: float) -> None:
        """The far side of `leg` stays in sound."""
        self._declined.add(leg)
        if self._who_waits() is self.other(leg) and not self._ask(leg, now):
            self._resolve(now)

    def other(self, leg: Leg) -> Leg:
        """The one that is not `leg`."""
        caller, callee = self._legs
        return callee if leg is caller else caller

    # ---- inside

    def _ask(self, leg: Leg, now: float) -> bool:
        """Asks for T.38, or else for the sound that a gateway needs. False: there is nothing to ask for."""
        if not leg.session.established:
            return False
        if leg not in self._declined and leg.negotiation.policy.images:
            leg.offer_image(now)
            return True
        if leg.plan is None or leg.plan.codec in LAWS:
            return False
        leg.negotiation.policy = leg.negotiation.policy.for_fax()
        leg.prefer = None
        leg.ask_anew(now)
        return True

    def _expired(self, now: float) -> None:
        self._timer = None
        self._resolve(now)

    def _who_waits(self) -> Leg | None:
        """Nobody, once their offer was taken back."""
        if self._waiting is not None and self._waiting[0].session.held is None:
            self._forget_waiting()
        return None if self._waiting is None else self._waiting[0]

    def _resolve(self, now: float) -> None:
        """Answers who has waited."""
        waiting = self._waiting if self._who_waits() is not None else None
        self._forget_waiting()
        if waiting is None:
            return
        leg, offer = waiting
        other = self.other(leg)
        if other.negotiation.t38 is None and (other.plan is None or other.plan.codec not in LAWS):
            leg.session.refuse(488, now)  # neither T.38 nor anything that modems can be heard in
            return
        leg.take(offer, now)

    def _forget_waiting(self) -> None:
        self._waiting = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _way_of(self, images: list[bool]) -> Way:
        if all(images):
            return Way.PACKETS
        if not any(images):
            return Way.SOUND
        sounding = self._legs[images.index(False)].plan
        return Way.GATEWAY if sounding is not None and sounding.codec in LAWS else Way.NOTHING

    def _part(self, now: float) -> None:
        """Neither can use what the other sends, such as where T.38 was said yes to after the other side was told no:
        it is to be sound again."""
        self._stop_looking()
        for leg in self._legs:
            leg.media.idle()
            if leg.negotiation.t38 is not None:
                leg.ask_anew(now)

    def _join(self, now: float) -> None:
        try:
            ports = [
                leg.media.fax(FaxTransport.AUDIO if leg.negotiation.t38 is None else FaxTransport.T38)
                for leg in self._legs
            ]
        except WireError:  # one of them has just gone: so has the call
            return
        if self.way is Way.PACKETS:
            self._relay = self._engine.add_relay(*ports)
            self._look_later(now)
            return
        sounding, imaging = self._legs if self._legs[0].negotiation.t38 is None else reversed(self._legs)
        sound, packets = ports if sounding is self._legs[0] else reversed(ports)
        sounding.negotiation.policy = sounding.negotiation.policy.for_fax()  # whatever it offers meanwhile
        terms = imaging.negotiation.t38
        self._stop_looking()
        self._engine.add_gateway(FaxGateway(FaxOptions(), now, terms), sound, packets)

    # ---- a fax that goes through in silence has stalled

    def _look_later(self, now: float) -> None:
        self._stop_looking()
        self._look = self._facilities.stack.schedule(now + LOOK_S, self._looked)

    def _looked(self, now: float) -> None:
        leg, relay = self._legs[0], self._relay
        limit = leg.negotiation.policy.silence_s
        if relay is None:
            return
        if limit and now - relay.heard_at > limit:
            self._look = None
            leg.fell_silent(now)
        else:
            self._look_later(now)

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None


class Crossing:
    """One end of a passage, for its leg: the FaxUser of that, and who is asked before an offer is answered."""

    __slots__ = ("_leg", "passage")

    def __init__(self, passage: Passage, leg: Leg) -> None:
        self.passage = passage
        self._leg = leg

    def holds(self, offer: SessionDescription, now: float) -> bool:
        """As Passage's."""
        return self.passage.holds(self._leg, offer, now)

    # ---- FaxUser

    def may_change(self) -> bool:
        """Its T.30 is between those outside."""
        return True

    def takes_images(self) -> bool:
        return self._leg.negotiation.policy.images

    def agreed(self, now: float) -> None:
        self.passage.agreed(self._leg, now)

    def image_refused(self, status: int, now: float) -> None:
        self.passage.declined(self._leg, now)
