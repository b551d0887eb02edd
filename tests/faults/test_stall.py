"""A thread stands still: the one that carries sound, or the one that thinks."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from media.pulse import STALLED_AFTER_S, Pulse
from tests.clients.lab import Lab
from tests.clients.until import until
from tests.faults.ailing import AilingHouse, EchoCall, refused
from tests.faults.conftest import NewHouse
from tests.faults.levers import stopped, thread_of

Stage = Callable[[AilingHouse], Lab]
STALLED = "the wire thread does not turn"
NOT_FED = "the watchdog is not fed"


class Wheel:
    """Turns when asked to, unless it is stuck."""

    def __init__(self) -> None:
        self.turns = 0
        self.stuck = False

    def pulse(self) -> int:
        before = self.turns
        self.turns += not self.stuck
        return before


def test_a_pulse_is_missed_and_found_again() -> None:
    wheel = Wheel()
    pulse = Pulse(wheel)
    assert [pulse.beat(float(second)) for second in range(3)] == [False, False, False]
    wheel.stuck = True
    said = [(pulse.beat(float(second)), pulse.stalled_s) for second in range(3, 7)]
    assert said == [(False, 0.0), (True, STALLED_AFTER_S), (False, 2.0), (False, 3.0)]
    wheel.stuck = False
    assert [pulse.beat(7.0), pulse.beat(8.0)] == [False, True]
    assert (pulse.stalled, pulse.stalled_s, pulse.stalls) == (False, 0.0, 1)


def test_who_is_late_himself_sees_no_stall() -> None:
    pulse = Pulse(Wheel())
    assert [pulse.beat(now) for now in (0.0, 1.0, 60.0, 60.001, 61.0)] == [False] * 5
    assert pulse.stalls == 0


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Hears what a daemon that is started after it tells systemd, whose patience is two seconds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield listener


def _told(listener: socket.socket) -> list[str]:
    """What was said since somebody listened."""
    found = []
    while True:
        try:
            found.append(listener.recv(256).decode())
        except BlockingIOError:
            return found


def test_a_wire_thread_that_stands_still_is_noticed_and_recovers(
    systemd: socket.socket, new_house: NewHouse, stage: Stage
) -> None:
    house = new_house()
    house.expected = {STALLED, NOT_FED}
    lab = stage(house)
    call = EchoCall(lab, tcp=True)
    call.hears_itself()
    until(lambda: "WATCHDOG=1" in _told(systemd), "a living daemon to feed the watchdog")
    with stopped(thread_of(house.pid, "wire")):
        until(lambda: house.said(NOT_FED), "the stall to be noticed")
        status, said = house.ready()
        assert (status, said["status"]) == (503, "not_ready")
        assert said["checks"]["wire"].startswith("stalled for ")
        assert house.metrics()["pbxd_wire_stalled_seconds"] >= STALLED_AFTER_S
        answer, took = refused(lab, tcp=True)
        assert (answer.status, answer["Reason"]) == (503, 'Q.850;cause=42;text="media_stalled"')
        assert int(answer["Retry-After"]) > 0
        assert took < 0.5
        _told(systemd)
        heard = house.said(STALLED)
        deadline = time.monotonic() + 1.2  # more than the time between two feeds
        until(lambda: time.monotonic() > deadline, "systemd to wait in vain")
        assert _told(systemd) == []
    call.hears_itself()
    until(lambda: house.ready()[0] == 200, "the house to be well again")
    until(lambda: "WATCHDOG=1" in _told(systemd), "the watchdog to be fed again")
    metrics = house.metrics()
    assert (metrics["pbxd_wire_stalls_total"], metrics["pbxd_wire_stalled_seconds"], heard) == (1, 0, 1)
    assert metrics['pbxd_calls_refused_total{reason="media_stalled"}'] == 1
    call.hang_up()


def test_sound_goes_on_while_the_interpreter_stands_still(new_house: NewHouse, stage: Stage) -> None:
    house = new_house()
    lab = stage(house)
    call = EchoCall(lab)
    call.hears_itself()
    with stopped(house.pid):
        before = len(call.rtp.packets)
        call.hears_itself(packets=100)  # two seconds of sound
        during = call.rtp.packets[before:]
    gaps = [later.at - earlier.at for earlier, later in pairwise(during)]
    assert max(gaps) < 0.2, "a gap that a jitter buffer would not hide"
    assert [packet.sequence for packet in during] == [
        (during[0].sequence + place) & 0xFFFF for place in range(len(during))
    ]
    call.hang_up()
    assert house.metrics()["pbxd_wire_stalls_total"] == 0  # the one that was late was not the wire thread
