"""One leg's media: its ports, what was negotiated for it, what feeds it, and how it fared."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from media import quality
from media.fax import FaxTransport
from media.headers import LegHeaders
from media.plan import MediaPlan, relayable
from media.ports import OutOfFiles, OutOfPorts, PortPool
from media.rooms import Room
from media.wire import (
    FaxPort,
    Latch,
    Leg,
    LegStatistics,
    MediaEventKind,
    Mode,
    RoomEvent,
    Tapped,
    Wire,
    WireError,
)

__all__ = [
    "Latch",
    "Media",
    "MediaEvent",
    "MediaEventKind",
    "MediaSession",
    "MediaStatistics",
    "OutOfFiles",
    "OutOfPorts",
    "Tapped",
    "relayable",
]

_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_HEADERS = LegHeaders(b"", 0)
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
        "_final",
        "_headers",
        "_media",
        "_plan",
        "closed",
        "label",
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
        self._final: MediaStatistics | None = None
        self._headers = _NO_HEADERS
        self.local = (ip, leg.rtp_port)
        self.rtcp_port = leg.rtcp_port
        self.port_pair = port_pair
        self.closed = False
        self.label: str | None = None

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

    def relay(self, other: MediaSession) -> None:
        """Each hears the other from now on, packet by packet: for plans that are `relayable`."""
        if self.closed or other.closed:
            return
        with self._media.wire.held():
            self._leave_room()
            other._leave_room()
            self._media.wire.leg_mode(self.leg, Mode.RELAY, other.leg)
            self._media.wire.leg_mode(other.leg, Mode.RELAY, self.leg)

    def echo(self) -> None:
        """It hears itself."""
        self._set(Mode.ECHO)

    def fax(self, transport: FaxTransport) -> FaxPort:
        """It carries a fax from now on: sound of G.711 frame by frame, or T.38's datagrams. What it heard and said
        before is gone; each call gives another port. Raises WireError (ESTALE) when it is closed."""
        if self.closed:
            raise WireError(errno.ESTALE, "the session is closed")
        self._leave_room()
        port = FaxPort()
        mode = Mode.T38 if transport is FaxTransport.T38 else Mode.MODEM
        self._media.wire.leg_fax(self.leg, mode, port)
        return port

    def idle(self) -> None:
        """It hears nothing, and nobody hears it."""
        self._set(Mode.IDLE)

    def entered(self, room: Room) -> None:
        """Called by the room it joined."""
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
            self._leave_room()
            self._media.wire.leg_mode(self.leg, mode)

    def numbers(self) -> LegStatistics:
        """Those of its `statistics` that are wire's."""
        return self._media.wire.leg_statistics(self.leg) if self._final is None else self._final.numbers

    def statistics(self) -> MediaStatistics:
        """Its numbers as they are now; after `close`, as they were then."""
        if self._final is not None:
            return self._final
        wire = self._media.wire
        ptime = self._plan.ptime_ms if self._plan is not None else 0
        return MediaStatistics(wire.leg_statistics(self.leg), wire.leg_drops(self.leg), ptime)

    def headers(self) -> LegHeaders:
        """The headers of its last RTP packets, both ways; after `close`, those it had then."""
        if self.closed:
            return self._headers
        numbers = self.statistics().numbers
        return self._media.wire.leg_headers(self.leg) if numbers.received or numbers.sent else _NO_HEADERS

    def tap(self, label: str | None) -> None:
        """Copies its packets, both ways, for `Media.tapped` to tell under this label; None: no longer.

        Raises WireError (EAGAIN) when wire is not to be reached.
        """
        if self.closed or label == self.label:
            return
        if (label is None) is not (self.label is None):
            self._media.wire.leg_tap(self.leg, label is not None)
        self.label = label
        if label is not None:
            self._media.listen_to(self)

    @property
    def remote(self) -> tuple[str, int] | None:
        """Where its packets come from, or would go to; None while that is not known."""
        return self.statistics().numbers.source or (self._plan.remote if self._plan is not None else None)

    def close(self) -> None:
        """Says BYE on RTCP and gives the ports back. Closing twice does nothing."""
        if self.closed:
            return
        self._final = self.statistics()
        self._headers = self.headers()
        self._leave_room()
        self.closed = True
        try:
            self._media.wire.leg_close(self.leg)
        finally:
            self._media.forget(self)


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
        self._listened: dict[tuple[int, int], MediaSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, ip: str) -> MediaSession:
        """A session on local address `ip` ("0.0.0.0" and "::" let the system choose). Raises OutOfPorts, which
        is OutOfFiles where not ports are missing but descriptors; WireError when the system refuses otherwise."""
        for _ in range(PORTS_TRIED):
            port = self.ports.take(self.wire.now())
            try:
                leg = self.wire.leg_open(ip, port, port + 1)
            except WireError as error:
                self.ports.give_back(port, self.wire.now())
                if error.errno in _NO_FILES:
                    raise OutOfFiles(str(error)) from error
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            session = MediaSession(self, leg, ip, port)
            self._sessions[session.key] = session
            return session
        raise OutOfPorts(f"{PORTS_TRIED} port pairs in a row are in use by other programs")

    def open_room(self, *, gated: bool = False, passes_digits: bool = False) -> Room:
        """A room with nobody in it. Raises WireError (ENOSPC) when there are as many as sessions at most."""
        room = Room(self.wire, self._forget_room, gated=gated, passes_digits=passes_digits)
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

    def listen_to(self, session: MediaSession) -> None:
        """Called by the session when it is tapped."""
        self._listened[session.key] = session

    @property
    def listening(self) -> bool:
        """Whether there may be more for `tapped` to tell."""
        return bool(self._listened)

    def tapped(self) -> list[tuple[MediaSession, Tapped]]:
        """The packets of tapped sessions since the last call, the last ones of closed sessions among them."""
        packets = self.wire.tapped()
        found = [(self._listened[packet.leg], packet) for packet in packets if packet.leg in self._listened]
        if not packets:
            for key in [key for key, session in self._listened.items() if session.closed or session.label is None]:
                del self._listened[key]
        return found

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
