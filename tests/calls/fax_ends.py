"""Two faxes at the far ends of a call that the house bridges: its SIP and its engine are real, and so is T.30; sound
and datagrams go by hand, 20 ms at a time, in virtual time."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from media.fax import FaxOptions, FaxTransport
from media.fax_session import FaxSession, step
from media.faxing import FaxEngine
from media.session import MediaSession
from media.wire import WireError
from pbxd.calls.leg import Leg
from tests.calls.house import House
from tests.media.fax_line import STEP, companded


class Port:
    """What a leg hears and says, with the far end of the leg on the other side of it."""

    def __init__(self, transport: FaxTransport) -> None:
        self.transport = transport
        self.closed = False
        self.heard: deque[bytes | None] = deque()
        self.said: deque[bytes] = deque()
        self.came: list[bytes] = []
        self.sent: list[bytes] = []

    def hear(self) -> list[bytes | None]:
        frames = list(self.heard)
        self.heard.clear()
        return frames

    def say(self, frame: bytes) -> bool:
        self.said.append(frame)
        return True

    def take(self) -> list[bytes]:
        taken, self.came = self.came, []
        return taken

    def send(self, datagram: bytes) -> bool:
        self.sent.append(datagram)
        return True

    def numbers(self) -> tuple[int, int]:
        return 0, 0


class FaxEnds:
    """The ports of the house's legs, by their sessions; `join` puts faxes there."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = house
        self.engine = house.facilities.faxes = FaxEngine(lambda: house.wire.now)
        self.ports: dict[tuple[int, int], Port] = {}
        self.faxes: list[tuple[Leg, FaxSession]] = []
        ends = self

        def fax(session: MediaSession, transport: FaxTransport) -> Port:
            if session.closed:
                raise WireError(116, "the session is closed")
            ends._let_go(session)
            port = ends.ports[session.key] = Port(transport)
            return port

        relay, close = MediaSession.relay, MediaSession.close

        def relayed(session: MediaSession, other: MediaSession) -> None:
            ends._let_go(session)
            ends._let_go(other)
            relay(session, other)

        def closed(session: MediaSession) -> None:
            ends._let_go(session)
            close(session)

        monkeypatch.setattr(MediaSession, "fax", fax)
        monkeypatch.setattr(MediaSession, "relay", relayed)
        monkeypatch.setattr(MediaSession, "close", closed)

    def _let_go(self, session: MediaSession) -> None:
        port = self.ports.pop(session.key, None)
        if port is not None:
            port.closed = True

    @property
    def legs(self) -> tuple[Leg, Leg]:
        (call,) = self.house.switch.calls.values()
        assert call.caller is not None
        assert call.callee is not None
        return call.caller, call.callee

    def way(self) -> list[str]:
        """How each leg carries the call now."""
        self.engine.turn(self.house.wire.now)
        return [
            "sound" if (port := self.ports.get(leg.media.key)) is None else port.transport.value for leg in self.legs
        ]

    def send(self, document: Path, received: Path, *, caller_sends: bool = True) -> None:
        """A fax at each far end, one sends to the other; each as its leg carries it now."""
        now = self.house.wire.now
        for leg in self.legs:
            sends = (leg is self.legs[0]) is caller_sends
            transport = self.ports[leg.media.key].transport
            options = FaxOptions(ident="+12025550100" if sends else "+12025550150")
            t38 = leg.negotiation.t38
            session = FaxSession(
                options, document if sends else received, now, sends=sends, transport=transport, t38=t38
            )
            self.faxes.append((leg, session))

    def run(self, limit_s: float = 240.0) -> None:
        """Until both have ended."""
        wire, until = self.house.wire, self.house.wire.now + limit_s
        while any(fax.outcome is None for _, fax in self.faxes):
            assert wire.now < until
            step([fax for _, fax in self.faxes], wire.now)
            for leg, fax in self.faxes:
                self._carry(self.ports[leg.media.key], fax)
            self.engine.turn(wire.now)
            wire.after(STEP)

    def _carry(self, port: Port, fax: FaxSession) -> None:
        if port.transport is FaxTransport.T38:
            port.came += fax.datagrams
            for datagram in port.sent:
                fax.receive(datagram, self.house.wire.now)
            port.sent.clear()
            return
        port.heard.append(companded(fax.said) if fax.said else bytes(320))
        fax.hear(companded(port.said.popleft()) if port.said else None)
