"""One leg's media: its ports, what was negotiated for it, what feeds it, and how it fared."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from media import quality
from media.plan import MediaPlan, relayable
from media.ports import OutOfPorts, PortPool
from media.rooms import Room
from media.wire import Latch, Leg, LegStatistics, MediaEventKind, Mode, RoomEvent, Wire, WireError

__all__ = [
    "Latch",
    "Media",
    "MediaEvent",
    "MediaEventKind",
    "MediaSession",
    "MediaStatistics",
    "OutOfPorts",
    "relayable",
]

PORTS_TRIED = 128  # pairs of the range that somebody else on this machine may have taken


@dataclass(frozen=True, slots=True)
class MediaStatistics:
    """How one leg fared: wire's numbers, its drops by name, and what they mean to a listener."""

    numbers: LegStatistics
    drops: dict[str, int]
    ptime_ms: int

    @property
    def loss(self) -> float:
        """Share of the packets to us that were lost on the way, 0 to 1."""
        return self.numbers.lost / self.numbers.expected if self.numbers.expected else 0.0

    @property
    def remote_loss(self) -> float | None:
        """Share of our packets that the far end lost, in all it reported; None while it reported nothing."""
        if self.numbers.remote_lost is None or not self.numbers.sent:
            return None
        return min(1.0, max(0, self.numbers.remote_lost) / self.numbers.sent)

    @property
    def mos(self) -> float | None:
        """Mean opinion score of what we heard (ITU-T G.107); None when nothing was heard."""
        if not self.numbers.received:
            return None
        round_trip = self.numbers.round_trip_ms or 0.0
        return quality.mos(self.loss, self.numbers.jitter_ms, round_trip, self.ptime_ms or 20)

    @property
    def remote_mos(self) -> float | None:
        """Mean opinion score of what the far end heard, by its reports."""
        loss = self.remote_loss
        if loss is None:
            return None
        jitter, round_trip = self.numbers.remote_jitter_ms or 0.0, self.numbers.round_trip_ms or 0.0
        return quality.mos(loss, jitter, round_trip, self.ptime_ms or 20)


class MediaSession:
    """The media of one leg, from `Media.open` to `close`. It may be fed by another session, by itself, or not at all.

    `local` is the address its RTP socket is bound to, `rtcp_port` the port of its RTCP socket.
    """

    __slots__ = (
        "_bridge_room",
        "_final",
        "_in_room",
        "_media",
        "_other",
        "_plan",
        "closed",
        "leg",
        "local",
        "port_pair",
        "room",
        "rtcp_port",
    )

    def __init__(self, media: Media, leg: Leg, ip: str, port_pair: int) -> None:
        self._media = media
        self.leg = leg
        self.room: Room | None = None
        self._plan: MediaPlan | None = None
        self._other: MediaSession | None = None
        self._in_room = False
        self._bridge_room: Room | None = None
        self._final: MediaStatistics | None = None
        self.local = (ip, leg.rtp_port)
        self.rtcp_port = leg.rtcp_port
        self.port_pair = port_pair
        self.closed = False

    @property
    def key(self) -> tuple[int, int]:
        """What wire's events name it by."""
        return self.leg.key

    @property
    def plan(self) -> MediaPlan | None:
        """What was applied last."""
        return self._plan

    def apply(self, plan: MediaPlan) -> None:
        """Takes up what was negotiated, again after each re-negotiation; what does not change goes on undisturbed.

        Raises WireError (EINVAL) when an address or a number in the plan makes no sense.
        """
        if self.closed or plan == self._plan:
            return
        self._media.wire.leg_plan(self.leg, plan)
        self._plan = plan
        if self._other is not None:
            self._connect(self._other)

    def bridge(self, other: MediaSession, *, in_room: bool = False) -> None:
        """Each hears the other from now on, and digits reach it in the way it takes them. What wire can relay is
        relayed untouched; for all else, or with `in_room`, they share a room of their own. Which of the two it is, is
        looked at again with every plan that either gets."""
        if self.closed or other.closed:
            return
        self.part()
        other.part()
        self._other, other._other = other, self
        self._in_room = other._in_room = in_room
        self._connect(other)

    def part(self) -> None:
        """Forgets who it was bridged with; what it hears now goes on."""
        other, self._other = self._other, None
        if other is not None:
            other._other = None

    def _connect(self, other: MediaSession) -> None:
        one_room = self.room is not None and self.room is other.room
        if not self._in_room and _relayable(self._plan, other._plan):
            self._relay(other)
        elif not one_room:
            room = self._media.open_room(passes_digits=True, closes_itself=True)
            self._bridge_room = other._bridge_room = room
            with self._media.wire.held():
                room.join(self)
                room.join(other)

    def relay(self, other: MediaSession) -> None:
        """Each hears the other from now on, packet by packet."""
        if self.closed or other.closed:
            return
        self.part()
        other.part()
        self._relay(other)

    def _relay(self, other: MediaSession) -> None:
        with self._media.wire.held():
            self._leave_room()
            other._leave_room()
            self._media.wire.leg_mode(self.leg, Mode.RELAY, other.leg)
            self._media.wire.leg_mode(other.leg, Mode.RELAY, self.leg)

    def echo(self) -> None:
        """It hears itself."""
        self._set(Mode.ECHO)

    def idle(self) -> None:
        """It hears nothing, and nobody hears it."""
        self._set(Mode.IDLE)

    def entered(self, room: Room) -> None:
        """Called by the room it joined."""
        if room is not self._bridge_room:
            self.part()
        self.room = room

    def left(self) -> None:
        """Called by the room that lets it go."""
        self.idle()

    def _leave_room(self) -> None:
        room, self.room = self.room, None
        if room is not None:
            room.forget(self)

    def _set(self, mode: Mode) -> None:
        if not self.closed:
            self.part()
            self._leave_room()
            self._media.wire.leg_mode(self.leg, mode)

    def statistics(self) -> MediaStatistics:
        """Its numbers as they are now; after `close`, as they were then."""
        if self._final is not None:
            return self._final
        wire = self._media.wire
        ptime = self._plan.ptime_ms if self._plan is not None else 0
        return MediaStatistics(wire.leg_statistics(self.leg), wire.leg_drops(self.leg), ptime)

    def close(self) -> None:
        """Says BYE on RTCP and gives the ports back. Closing twice does nothing."""
        if self.closed:
            return
        self._final = self.statistics()
        self.part()
        self._leave_room()
        self.closed = True
        try:
            self._media.wire.leg_close(self.leg)
        finally:
            self._media.forget(self)


def _relayable(one: MediaPlan | None, other: MediaPlan | None) -> bool:
    """Whether wire's relay does all that the two need: the same codec, and digits that both sides take in the same way.
    Without plans nothing is said against it yet."""
    if one is None or other is None:
        return True
    return one.codec.relays(other.codec) and _digits_pass(one, other) and _digits_pass(other, one)


def _digits_pass(one: MediaPlan, other: MediaPlan) -> bool:
    return (one.dtmf_receive is None) == (other.dtmf_send is None)


@dataclass(frozen=True, slots=True)
class MediaEvent:
    """Something wire noticed. `address` is the session's source; `digit` (0-9*#A-D) and `duration_ms` are DTMF's,
    `talking` is TALKING's: whether it began to; `packets` and `plain` are SRTP_FAILED's: how many in a row could not be
    opened, and whether they look like RTP without protection."""

    session: MediaSession
    kind: MediaEventKind
    at: float
    address: tuple[str, int] | None = None
    digit: str = ""
    duration_ms: int = 0
    talking: bool = False
    packets: int = 0
    plain: bool = False


class Media:
    """Opens sessions on ports of the pool and tells what wire noticed about them."""

    def __init__(self, wire: Wire, ports: PortPool) -> None:
        self.wire = wire
        self.ports = ports
        self._sessions: dict[tuple[int, int], MediaSession] = {}
        self._rooms: dict[tuple[int, int], Room] = {}
        self._closing: dict[tuple[int, int], Room] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, ip: str) -> MediaSession:
        """A session on local address `ip` ("0.0.0.0" and "::" let the system choose). Raises OutOfPorts; WireError when
        the system refuses for another reason, EMFILE above all."""
        for _ in range(PORTS_TRIED):
            port = self.ports.take(self.wire.now())
            try:
                leg = self.wire.leg_open(ip, port, port + 1)
            except WireError as error:
                self.ports.give_back(port, self.wire.now())
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            session = MediaSession(self, leg, ip, port)
            self._sessions[session.key] = session
            return session
        raise OutOfPorts(f"{PORTS_TRIED} port pairs in a row are in use by other programs")

    def open_room(self, *, gated: bool = False, passes_digits: bool = False, closes_itself: bool = False) -> Room:
        """A room with nobody in it; one that `closes_itself` does so when its last member is gone. Raises WireError
        (ENOSPC) when there are as many as sessions at most."""
        room = Room(self.wire, self._forget_room, gated=gated, passes_digits=passes_digits, closes_itself=closes_itself)
        self._rooms[room.key] = room
        return room

    @property
    def rooms(self) -> list[Room]:
        """Those that are open."""
        return list(self._rooms.values())

    def events(self) -> list[MediaEvent]:
        """What happened since the last call, but not to sessions that were closed meanwhile. What rooms have to tell
        goes to whoever plays in them."""
        events = []
        for event in self.wire.events():
            if isinstance(event, RoomEvent):
                self._tell_room(event)
                continue
            session = self._sessions.get(event.leg)
            if session is not None:
                events.append(MediaEvent(session, event.kind, *event[2:]))
        return events

    def _tell_room(self, event: RoomEvent) -> None:
        room = self._rooms.get(event.room) or self._closing.get(event.room)
        if room is None:
            return
        room.take(event)
        if room.closed and not room.playing:
            self._closing.pop(event.room, None)

    def _forget_room(self, room: Room) -> None:
        del self._rooms[room.key]
        if room.playing:
            self._closing[room.key] = room  # the ends of its players are still to come

    def forget(self, session: MediaSession) -> None:
        """Called by the session when it closes."""
        del self._sessions[session.key]
        self.ports.give_back(session.port_pair, self.wire.now())

    def close(self) -> None:
        """Closes every room and every session."""
        for room in self.rooms:
            room.close()
        for session in list(self._sessions.values()):
            session.close()
