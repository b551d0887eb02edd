"""The thread of all faxes: takes what wire heard to the sessions, steps them together, and gives wire what they say.

Everything between is a pure machine (media.fax_session); nothing here decides anything. Sessions belong to this thread
from `add` on: what others want of one is ordered, and what happens is told through `tell`, on this thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from media.fax import FaxEvent, FaxOutcome, FaxReason, FaxResult, FaxTransport
from media.fax_gateway import FaxGateway
from media.fax_session import FRAME_OCTETS, FaxSession, Stepped, T38Terms, step
from media.spandsp import FRAME_MS, Ear, Tone
from media.wire import FaxPort

log = logging.getLogger(__name__)

AHEAD: Final = 10  # frames that are said ahead of time: so late this thread may be
TALK_AHEAD: Final = 40  # and so many more while a modem talks: then nobody answers, and it may run ahead
HASTE: Final = 4  # of these in a turn
TURN_S: Final = 0.01
STEP_S: Final = FRAME_MS / 1000
NICE: Final = -10  # below the packet mover, before all else: a frame that comes late is a line of a page
STEPS_MAX: Final = 50  # of a session in one turn: it catches up on a second
WAITING_MAX: Final = 250  # frames that were heard and wait: five seconds
_SILENCE: Final = bytes(FRAME_OCTETS)
_BROKEN: Final = FaxOutcome(FaxResult.FAILED, FaxReason.PROTOCOL, detail="a fault of ours")

Tell = Callable[[Sequence[FaxEvent], FaxOutcome | None], None]


class _Line:
    """A port of wire, and what has to be brought to a session from it. A frame that wire missed has been silence at the
    far end: it is left out when it comes, so that what is said keeps its place and no delay piles up; and for one that
    was heard and lost there is silence to say. What is heard for a step that was taken `early` is over when it comes:
    `alive` is whether the last of it was sound at all."""

    __slots__ = ("_lost", "_missed", "_owed", "alive", "early", "frames", "last", "port", "transport")

    def __init__(self, port: FaxPort, transport: FaxTransport, now: float) -> None:
        self.port = port
        self.transport = transport
        self.frames: deque[bytes | None] = deque()
        self.last = now
        self.early = 0
        self.alive = False
        self._missed = self._lost = self._owed = 0
        if transport is FaxTransport.AUDIO:
            for _ in range(AHEAD):
                port.say(_SILENCE)

    def steps(self, now: float, *, haste: bool = False) -> int:
        """How many are due: the sound tells the time, or the clock does. In `haste` some more."""
        if self.transport is FaxTransport.AUDIO:
            self.frames.extend(self.port.hear())
            self._keep_place()
            while self.early and self.frames:
                self.alive = self.frames.popleft() is not None
                self.early -= 1
            more = min(HASTE, TALK_AHEAD - self.early) if haste else 0
            return min(STEPS_MAX, len(self.frames) + more)
        return min(STEPS_MAX, int((now - self.last) / STEP_S))

    def _keep_place(self) -> None:
        missed, lost = self.port.numbers()
        while len(self.frames) > WAITING_MAX:
            self.frames.popleft()
            self._lost -= 1
        self._owed += missed - self._missed - (lost - self._lost)
        self._missed, self._lost = missed, lost
        while self._owed < 0 and self.port.say(_SILENCE):
            self._owed += 1

    def put(self, said: bytes, datagrams: Sequence[bytes]) -> None:
        """What the session has for the far end."""
        if self.transport is FaxTransport.AUDIO:
            if self._owed:
                self._owed -= 1
            elif said:
                self.port.say(said)
            return
        for datagram in datagrams:
            self.port.send(datagram)


class Fax:
    """One session on one line, in the hands of the engine. Orders are carried out by its thread, in turn."""

    def __init__(
        self, engine: FaxEngine, session: FaxSession, line: _Line, tell: Tell, heard: Callable[[Tone], None] | None
    ) -> None:
        self._engine = engine
        self._heard = heard
        self._ear = Ear() if heard is not None else None
        self._tones = Tone(0)
        self.session = session
        self.line = line
        self.tell = tell

    def switch(self, transport: FaxTransport, port: FaxPort, t38: T38Terms | None = None) -> None:
        """Goes on over `transport`, with a port that its leg has for it. Ask `switchable` first."""

        def order(now: float) -> None:
            self.line = _Line(port, transport, now)
            if not self.session.switch(transport, now, t38):
                self.session.hang_up(now, FaxReason.PROTOCOL)  # there is no way back for pages that were confirmed

        self._engine.order(order)

    @property
    def switchable(self) -> bool:
        """Whether no page has begun: as of a moment ago."""
        return self.session.outcome is None and self.session.switchable

    def hang_up(self, reason: FaxReason = FaxReason.HUNG_UP) -> None:
        """The call is over, for this reason."""
        self._engine.order(lambda now: self.session.hang_up(now, reason))

    # ---- for the engine

    @property
    def stepper(self) -> Stepped:
        """What is stepped."""
        return self.session

    @property
    def underruns(self) -> int:
        """Of its port."""
        return self.line.port.numbers()[0]

    def due(self, now: float) -> int:
        """How many steps."""
        return self.line.steps(now, haste=self.session.transmits)

    def feed(self, now: float) -> Stepped:
        """What came for one step."""
        line = self.line
        if line.transport is FaxTransport.AUDIO:
            if line.frames:
                self._hear(line.frames.popleft())
            else:
                line.early += 1
                self.session.hear(_SILENCE if line.alive else None)
        else:
            for datagram in line.port.take():
                self.session.receive(datagram, now)
            line.last += STEP_S
        return self.session

    def _hear(self, frame: bytes | None) -> None:
        self.line.alive = frame is not None
        self.session.hear(frame)
        if self._ear is None or self._heard is None or frame is None:
            return
        tones = self._ear.hear(frame)
        for tone in tones & ~self._tones:
            self._heard(tone)
        self._tones = tones

    def stepped(self) -> bool:
        """What the step brought is passed on. Whether it goes on."""
        session = self.session
        self.line.put(session.said, session.datagrams)
        events = session.take_events()
        if events:
            self.tell(events, session.outcome)
        return session.outcome is None

    def give_up(self, now: float) -> None:
        """It broke: what is told of it is told at last."""
        try:
            self.session.hang_up(now, FaxReason.PROTOCOL)
        except Exception:
            log.exception("a fax cannot be ended as it should")
        self.tell(self.session.take_events(), self.session.outcome or _BROKEN)


class Gateway:
    """A fax that goes through: one line of sound, one of T.38."""

    def __init__(self, gateway: FaxGateway, sound: FaxPort, packets: FaxPort, now: float) -> None:
        self.gateway = gateway
        self._sound = _Line(sound, FaxTransport.AUDIO, now)
        self._packets = _Line(packets, FaxTransport.T38, now)

    @property
    def stepper(self) -> Stepped:
        """What is stepped."""
        return self.gateway

    @property
    def underruns(self) -> int:
        """Of its sound."""
        return self._sound.port.numbers()[0]

    def due(self, now: float) -> int:
        """How many steps: the sound tells the time."""
        return self._sound.steps(now)

    def feed(self, now: float) -> Stepped:
        """What came for one step, from both sides."""
        if self._sound.frames:
            self.gateway.hear(self._sound.frames.popleft())
        for datagram in self._packets.port.take():
            self.gateway.receive(datagram, now)
        return self.gateway

    def stepped(self) -> bool:
        """What the step brought is passed on."""
        self._sound.put(self.gateway.said, ())
        self._packets.put(b"", self.gateway.datagrams)
        return True

    @property
    def over(self) -> bool:
        """Whether one of its legs has let go of it."""
        return self._sound.port.closed or self._packets.port.closed

    def give_up(self, _now: float) -> None:
        """It broke."""
        self.gateway.close()


class Relay:
    """A fax that goes through in T.38 on both sides: datagrams as they are. `heard_at` is when the last one came."""

    __slots__ = ("_one", "_other", "heard_at")

    def __init__(self, one: FaxPort, other: FaxPort, now: float) -> None:
        self._one, self._other = one, other
        self.heard_at = now

    def turn(self, now: float) -> bool:
        """Passes on what has come. It goes on until one of its legs has let go of it."""
        for source, to in ((self._one, self._other), (self._other, self._one)):
            for datagram in source.take():
                self.heard_at = now
                to.send(datagram)
        return not (self._one.closed or self._other.closed)


class FaxEngine:
    """One thread for all faxes. `clock` is wire's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: list[Fax | Gateway] = []
        self._relays: list[Relay] = []
        self._orders: deque[Callable[[float], None]] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.turns_late = 0  # turns that began more than what is said ahead after their time
        self.steps = 0
        self.gateways = self.relays = 0  # begun
        self.underruns = 0  # frames that were not there when they were to be said, of faxes that have ended

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="fax", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Every fax ends as hung up; its end is told. The thread is gone then."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __len__(self) -> int:
        return len(self._lines) + len(self._relays)

    def order(self, what: Callable[[float], None]) -> None:
        """Has it done on the thread, before the next step."""
        self._orders.append(what)

    def add(self, session: FaxSession, port: FaxPort, tell: Tell, heard: Callable[[Tone], None] | None = None) -> Fax:
        """Takes a session that has not been stepped yet. `tell` and `heard`, of tones before the fax, are called on the
        engine's thread."""
        fax = Fax(self, session, _Line(port, session.transport, self._clock()), tell, heard)
        self.order(lambda _: self._lines.append(fax))
        return fax

    def add_gateway(self, gateway: FaxGateway, sound: FaxPort, packets: FaxPort) -> None:
        """Takes a gateway; it leaves when one of its legs does."""
        line = Gateway(gateway, sound, packets, self._clock())
        self.gateways += 1
        self.order(lambda _: self._lines.append(line))

    def add_relay(self, one: FaxPort, other: FaxPort) -> Relay:
        """Passes the datagrams of two legs on to each other, until one leaves."""
        relay = Relay(one, other, self._clock())
        self.relays += 1
        self.order(lambda _: self._relays.append(relay))
        return relay

    def turn(self, now: float) -> None:
        """All that is due: orders, then steps, one of each session at a time."""
        while self._orders:
            order = self._orders.popleft()
            try:
                order(now)
            except Exception:  # its fax ends by its timers; the others go on
                log.exception("an order to a fax failed")
        self._relays = [relay for relay in self._relays if relay.turn(now)]
        due = {line: line.due(now) for line in self._lines}
        while batch := [line for line, steps in due.items() if steps > 0]:
            broken = step([line.feed(now) for line in batch], now)
            self.steps += len(batch)
            for line in batch:
                due[line] -= 1
                if line.stepper in broken:
                    line.give_up(now)
                elif line.stepped():
                    continue
                due[line] = 0
                self._lines.remove(line)
                self.underruns += line.underruns
        self._end_the_ended()

    def _end_the_ended(self) -> None:
        """Those that were ended by an order, or by their legs, and have no step any more to tell it."""
        for line in tuple(self._lines):
            if isinstance(line, Gateway):
                if line.over:
                    self._lines.remove(line)
                    self.underruns += line.underruns
                    line.gateway.close()
            elif line.session.outcome is not None:
                self._lines.remove(line)
                line.stepped()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # refused: then it runs as everybody does
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        due = self._clock()
        while not self._stop.is_set():
            self.turn(self._clock())
            due += TURN_S
            wait = due - self._clock()
            if wait < -AHEAD * STEP_S:
                self.turns_late += 1
            if wait < 0:
                due = self._clock()
            else:
                self._stop.wait(wait)
        now = self._clock()
        for line in self._lines:
            if isinstance(line, Fax):
                line.session.hang_up(now)
        self._end_the_ended()
