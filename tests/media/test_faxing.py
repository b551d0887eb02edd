"""Faxes live on loopback: two legs of one wire, the thread of the modems, real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from media.fax import (
    FaxEvent,
    FaxEventKind,
    FaxOptions,
    FaxOutcome,
    FaxReason,
    FaxResult,
    FaxTransport,
)
from media.fax_gateway import FaxGateway
from media.fax_session import FaxSession
from media.faxing import AHEAD, Fax, FaxEngine
from media.plan import Codec, MediaPlan
from media.session import Media, MediaSession
from media.wire import FaxPort, Wire
from tests.media import documents

AUDIO, T38 = FaxTransport
LIMIT_S = 60.0


@dataclass
class Told:
    """What the engine tells of one fax."""

    events: list[FaxEvent] = field(default_factory=list)
    outcome: FaxOutcome | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def take(self, events: Sequence[FaxEvent], outcome: FaxOutcome | None) -> None:
        self.events += events
        if outcome is not None:
            self.outcome = outcome
            self.over.set()


@pytest.fixture
def engine() -> Iterator[FaxEngine]:
    engine = FaxEngine(Wire.now)
    engine.start()
    yield engine
    engine.stop()


def facing(media: Media) -> tuple[MediaSession, MediaSession]:
    """Two legs, each the far end of the other."""
    one, other = media.open("127.0.0.1"), media.open("127.0.0.1")
    for session, far in ((one, other), (other, one)):
        session.apply(
            MediaPlan(far.local, Codec.PCMA, 8, 8, latch_from=frozenset({"127.0.0.1"}), silence_s=0.0),
        )
    return one, other


def begin(engine: FaxEngine, leg: MediaSession, session: FaxSession) -> tuple[Fax, Told]:
    told = Told()
    return engine.add(session, leg.fax(session.transport), told.take), told


def sender(document: Path, transport: FaxTransport, now: float) -> FaxSession:
    return FaxSession(FaxOptions(ident="100"), document, now, sends=True, transport=transport)


def receiver(document: Path, transport: FaxTransport, now: float) -> FaxSession:
    return FaxSession(FaxOptions(ident="950"), document, now, sends=False, transport=transport)


def test_a_page_in_each_mode_at_once(tmp_path: Path, media: Media, engine: FaxEngine) -> None:
    """Sound, T.38, sound that goes over to T.38, and a gateway between the two: in real time, beside each other."""
    sent = documents.pages(1)
    document, now = documents.write(tmp_path / "sent.tif", sent), Wire.now()
    ends: dict[str, tuple[Told, Told]] = {}
    for name, transport in (("sound", AUDIO), ("t38", T38)):
        one, other = facing(media)
        _, out = begin(engine, one, sender(document, transport, now))
        _, back = begin(engine, other, receiver(tmp_path / f"{name}.tif", transport, now))
        ends[name] = out, back
    one, other = facing(media)
    sending, out = begin(engine, one, sender(document, AUDIO, now))
    receiving, back = begin(engine, other, receiver(tmp_path / "switched.tif", AUDIO, now))
    ends["switched"] = out, back
    left, middle_sound = facing(media)
    middle_packets, right = facing(media)
    _, out = begin(engine, left, sender(document, AUDIO, now))
    _, back = begin(engine, right, receiver(tmp_path / "gateway.tif", T38, now))
    engine.add_gateway(FaxGateway(FaxOptions(), now), middle_sound.fax(AUDIO), middle_packets.fax(T38))
    ends["gateway"] = out, back
    time.sleep(2.0)  # into CED
    assert sending.switchable
    assert receiving.switchable
    receiving.switch(T38, other.fax(T38))
    sending.switch(T38, one.fax(T38))
    for name, told in ends.items():
        for end in told:
            assert end.over.wait(LIMIT_S), name
            assert end.outcome is not None
            assert (end.outcome.result, end.outcome.pages_confirmed) == (FaxResult.SUCCESS, 1), (name, end.outcome)
        assert documents.read(tmp_path / f"{name}.tif") == sent
    assert FaxEventKind.TRANSPORT in {event.kind for event in ends["switched"][0].events}
    assert engine.turns_late == 0
    middle_sound.idle()


def test_a_fax_that_breaks_takes_no_other_with_it(
    tmp_path: Path, media: Media, engine: FaxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, now = documents.write(tmp_path / "sent.tif", documents.pages(1)), Wire.now()
    sound = [begin(engine, leg, sender(document, AUDIO, now)) for leg in facing(media)]
    (_, broken), (whole, other) = sound
    breaks = sound[0][0].session

    def fail(_now: float) -> None:
        raise IndexError("a frame like no other")

    def refuse(_now: float) -> None:
        raise ValueError("no such port")

    monkeypatch.setattr(breaks, "end_step", fail)
    engine.order(refuse)
    assert broken.over.wait(LIMIT_S)
    assert broken.outcome is not None
    assert (broken.outcome.result, broken.outcome.reason) == (FaxResult.FAILED, FaxReason.PROTOCOL)
    time.sleep(0.1)
    assert (len(engine), other.outcome) == (1, None)
    whole.hang_up()
    assert other.over.wait(LIMIT_S)
    assert other.outcome is not None
    assert other.outcome.reason is FaxReason.HUNG_UP


def test_an_engine_that_stops_ends_its_faxes(tmp_path: Path, media: Media) -> None:
    engine = FaxEngine(Wire.now)
    engine.start()
    one, _ = facing(media)
    _, told = begin(engine, one, receiver(tmp_path / "in.tif", AUDIO, Wire.now()))
    time.sleep(0.2)
    engine.stop()
    assert told.outcome is not None
    assert (told.outcome.result, told.outcome.reason) == (FaxResult.FAILED, FaxReason.HUNG_UP)
    assert len(engine) == 0


def test_a_fax_whose_call_ends_is_told_at_once(tmp_path: Path, media: Media, engine: FaxEngine) -> None:
    one, _ = facing(media)
    fax, told = begin(engine, one, receiver(tmp_path / "in.tif", T38, Wire.now()))
    fax.hang_up(FaxReason.CANCELLED)
    assert told.over.wait(2)
    assert told.outcome is not None
    assert (told.outcome.result, told.outcome.reason) == (FaxResult.CANCELLED, FaxReason.CANCELLED)
    fax.hang_up()
    time.sleep(0.1)
    assert len(engine) == 0


class Port:
    """A port whose wire says one frame each tick, and hears one."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.heard: list[bytes | None] = []
        self.underruns = self.overruns = 0
        self.closed = False

    def tick(self) -> None:
        if self.waiting:
            self.waiting.pop(0)
        else:
            self.underruns += 1
        if len(self.heard) < 64:
            self.heard.append(bytes(320))
        else:
            self.overruns += 1

    def hear(self) -> list[bytes | None]:
        heard, self.heard = self.heard, []
        return heard

    def say(self, frame: bytes) -> bool:
        self.waiting.append(frame)
        return len(self.waiting) <= 64

    def take(self) -> list[bytes]:
        return []

    def send(self, datagram: bytes) -> bool:
        return bool(datagram)

    def numbers(self) -> tuple[int, int]:
        return self.underruns, self.overruns


@pytest.mark.parametrize("stall", [5, 9, 15, 40, 63, 100, 400])
def test_a_stall_leaves_no_delay_and_no_gap_behind(tmp_path: Path, stall: int) -> None:
    engine = FaxEngine(lambda: 0.0)
    port = Port()
    told = Told()
    engine.add(receiver(tmp_path / "in.tif", AUDIO, 0.0), cast(FaxPort, port), told.take)
    now = 0.0
    for number in range(300):
        for _ in range(stall if number == 100 else 1):
            now += 0.02
            port.tick()
        engine.turn(now)
        if number < 100:
            assert len(port.waiting) == AHEAD
    assert len(port.waiting) == AHEAD
    before = port.underruns
    for _ in range(50):
        now += 0.02
        port.tick()
        engine.turn(now)
    assert port.underruns == before
    assert port.underruns <= (max(0, stall - AHEAD) if stall <= 50 else stall)


def test_a_page_goes_out_whole_however_late_its_modem_is(tmp_path: Path) -> None:
    """The thread is kept from running for most of a second, again and again, in the middle of a page without ECM: what
    the sender says was said ahead, and what the receiver hears waits for it."""
    sent = documents.pages(1, 1100)
    document = documents.write(tmp_path / "sent.tif", sent)
    now = 0.0
    engine = FaxEngine(lambda: now)
    near, far = Port(), Port()
    out, back = Told(), Told()
    options = FaxOptions(ecm=False)
    sending = FaxSession(options, document, now, sends=True)
    engine.add(sending, cast(FaxPort, near), out.take)
    engine.add(receiver(tmp_path / "in.tif", AUDIO, now), cast(FaxPort, far), back.take)
    paging = stalls = 0
    while out.outcome is None or back.outcome is None:
        now += 0.02
        paging = paging + 1 if sending.transmits else 0
        assert now < 120
        silences = near.underruns
        said = [port.waiting[0] if port.waiting else bytes(320) for port in (near, far)]
        for port, other in ((near, said[1]), (far, said[0])):
            port.tick()
            port.heard[-1] = other
        if paging % 90 > 40:  # 49 ticks: nearly a second
            stalls += 1
            assert near.underruns == silences
            continue
        engine.turn(now)
    assert stalls > 200
    assert (out.outcome.result, out.outcome.retries, far.overruns) == (FaxResult.SUCCESS, 0, 0)
    assert documents.read(tmp_path / "in.tif") == sent
