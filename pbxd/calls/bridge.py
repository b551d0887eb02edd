"""Two answered legs that hear each other: sound by wire, holds and digits in signalling by this.

They are relayed while that is enough: one codec, no digit to be said in tones, nobody else who listens. Otherwise they
meet in a room, which converts; what they hear goes on without a gap when one becomes the other.
"""

from __future__ import annotations

from media.plan import MediaPlan, relayable
from media.rooms import Room
from media.session import Media
from pbxd.calls.causes import passed_on
from pbxd.calls.info import Pressed
from pbxd.calls.leg import Leg
from pbxd.calls.record import Role
from pbxd.sip.message import Request, Response
from pbxd.sip.sdp import Direction
from pbxd.sip.transaction import ServerTransaction

RELAYED_REQUESTS = frozenset({"INFO", "MESSAGE"})
PASSED_FOR_INFO = ("Info-Package", "Content-Disposition")


class Bridge:
    """Joins `caller` and `callee`. What one side wants to hear and say bounds what the other is offered; with `music`
    who is held is not told, for it is to hear something else."""

    def __init__(self, media: Media, caller: Leg, callee: Leg, *, music: bool = False) -> None:
        self.music = music
        self._media = media
        self._room: Room | None = None
        self._mixed = 0
        self.caller = caller
        self.callee = callee

    def connect(self) -> None:
        """From now on each hears the other; again, after a change of their plans, changes what has to be changed."""
        if self._mixed or not _alike(self.caller.plan, self.callee.plan):
            self._meet()
        else:
            self.caller.media.relay(self.callee.media)
            self._close_room()
        self._agree()

    def mix(self) -> Room:
        """The room of both, for as long as `unmix` is not called as often as this: who records or listens needs one."""
        self._mixed += 1
        return self._meet()

    def unmix(self) -> None:
        """One of those who called `mix` needs the room no more."""
        self._mixed -= 1
        if not self._mixed and self._room is not None:
            self.connect()

    def close(self) -> None:
        """The call is over, or has another bridge."""
        self._close_room()

    def press(self, leg: Leg, pressed: Pressed) -> bool:
        """Says a digit, which `leg` sent in an INFO, to the other side; False when that takes no telephone events."""
        other = self.other(leg)
        if other.plan is None or other.plan.dtmf_send is None:
            return False
        self._say(other, pressed)
        return True

    def heard_digit(self, leg: Leg, pressed: Pressed) -> None:
        """Wire heard a digit of `leg`. A relay passes telephone events on; to a side that takes none it is said in
        tones, in a room, which does so by itself from then on."""
        other = self.other(leg)
        if self._room is None and other.plan is not None and other.plan.dtmf_send is None:
            self._say(other, pressed)

    def _say(self, to: Leg, pressed: Pressed) -> None:
        self._mixed += 1  # there will be more
        self._meet().digit(to.media, pressed.digit, pressed.duration_ms)

    def _meet(self) -> Room:
        if self._room is None:
            self._room = self._media.open_room(passes_digits=True)
            with self._media.wire.held():
                self._room.join(self.caller.media)
                self._room.join(self.callee.media)
        return self._room

    def _close_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.close()

    def _agree(self) -> None:
        """Each side may change to what the other can follow."""
        self.caller.prepare_for(self.callee)
        self.callee.prepare_for(self.caller)

    def other(self, leg: Leg) -> Leg:
        return self.callee if leg is self.caller else self.caller

    @property
    def held(self) -> frozenset[Role]:
        """Who is held by the other side."""
        sides = (self.caller, self.callee)
        return frozenset(self.other(leg).record.role for leg in sides if not leg.remote_direction.receives)

    def mirror(self, leg: Leg, now: float) -> None:
        """Lets the other side know what `leg` now wants: a hold reaches the phone that is held, and another codec is
        offered to it."""
        self.connect()
        direction = leg.remote_direction
        if self.music and not direction.receives:
            direction = Direction.SENDRECV
        self.other(leg).follow(direction, leg.plan.codec if leg.plan is not None else None, now)

    def pass_on(self, leg: Leg, transaction: ServerTransaction, request: Request, now: float) -> None:
        """Carries a request inside the dialog to the other side and its answer back; without their headers."""
        other = self.other(leg)

        def answered(status: int, response: Response | None, later: float) -> None:
            leg.session.respond(transaction, passed_on(status), later)

        headers = [(name, value) for name in PASSED_FOR_INFO if (value := request.headers.get(name)) is not None]
        other.session.request(
            request.method,
            now,
            headers=headers,
            body=request.body,
            content_type=request.headers.get("Content-Type"),
            on_final=answered,
        )


def _alike(one: MediaPlan | None, other: MediaPlan | None) -> bool:
    """Whether a relay is enough: no sound to convert."""
    return one is None or other is None or relayable(one, other)
