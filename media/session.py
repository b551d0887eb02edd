"""One leg's media: its ports, what was negotiated for it, what feeds it, and how it fared."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from media import quality
from media.plan import MediaPlan
from media.ports import OutOfPorts, PortPool
from media.wire import Latch, Leg, LegHeaders, LegStatistics, MediaEventKind, Mode, Tapped, Wire, WireError

__all__ = ["Latch", "Media", "MediaEvent", "MediaEventKind", "MediaSession", "MediaStatistics", "OutOfPorts", "Tapped"]

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

    __slots__ = ("_final", "_headers", "_leg", "_media", "_plan", "closed", "label", "local", "port_pair", "rtcp_port")

    def __init__(self, media: Media, leg: Leg, ip: str, port_pair: int) -> None:
        self._media = media
        self._leg = leg
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
        return self._leg.key

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
        self._media.wire.leg_plan(self._leg, plan)
        self._plan = plan

    def relay(self, other: MediaSession) -> None:
        """Each hears the other from now on, converted to its own codec and packet time."""
        if self.closed or other.closed:
            return
        self._media.wire.leg_mode(self._leg, Mode.RELAY, other._leg)
        self._media.wire.leg_mode(other._leg, Mode.RELAY, self._leg)

    def echo(self) -> None:
        """It hears itself."""
        self._set(Mode.ECHO)

    def idle(self) -> None:
        """It hears nothing, and nobody hears it."""
        self._set(Mode.IDLE)

    def _set(self, mode: Mode) -> None:
        if not self.closed:
            self._media.wire.leg_mode(self._leg, mode)

    def statistics(self) -> MediaStatistics:
        """Its numbers as they are now; after `close`, as they were then."""
        if self._final is not None:
            return self._final
        wire = self._media.wire
        ptime = self._plan.ptime_ms if self._plan is not None else 0
        return MediaStatistics(wire.leg_statistics(self._leg), wire.leg_drops(self._leg), ptime)

    def headers(self) -> LegHeaders:
        """The headers of its last RTP packets, both ways; after `close`, those it had then."""
        if self.closed:
            return self._headers
        numbers = self.statistics().numbers
        return self._media.wire.leg_headers(self._leg) if numbers.received or numbers.sent else _NO_HEADERS

    def tap(self, label: str | None) -> None:
        """Copies its packets, both ways, for `Media.tapped` to tell under this label; None: no longer.

        Raises WireError (EAGAIN) when wire is not to be reached.
        """
        if self.closed or label == self.label:
            return
        if (label is None) is not (self.label is None):
            self._media.wire.leg_tap(self._leg, label is not None)
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
        self.closed = True
        try:
            self._media.wire.leg_close(self._leg)
        finally:
            self._media.forget(self)


@dataclass(frozen=True, slots=True)
class MediaEvent:
    """Something wire noticed. `address` is the session's source; `digit` (0-9*#A-D) and `duration_ms` are DTMF's."""

    session: MediaSession
    kind: MediaEventKind
    at: float
    address: tuple[str, int] | None = None
    digit: str = ""
    duration_ms: int = 0


class Media:
    """Opens sessions on ports of the pool and tells what wire noticed about them."""

    def __init__(self, wire: Wire, ports: PortPool) -> None:
        self.wire = wire
        self.ports = ports
        self._sessions: dict[tuple[int, int], MediaSession] = {}
        self._listened: dict[tuple[int, int], MediaSession] = {}

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

    def events(self) -> list[MediaEvent]:
        """What happened since the last call, but not to sessions that were closed meanwhile."""
        events = []
        for event in self.wire.events():
            session = self._sessions.get(event.leg)
            if session is not None:
                address, digit, duration = event.address, event.digit, event.duration_ms
                events.append(MediaEvent(session, event.kind, event.at, address, digit, duration))
        return events

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
        """Closes every session."""
        for session in list(self._sessions.values()):
            session.close()
