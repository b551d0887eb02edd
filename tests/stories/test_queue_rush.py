"""Fifty people call the queue 520 at once, real phones answer, and two of these die: nobody is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.clients import ears
from tests.clients.callers import Caller, Callers, pitch_of
from tests.clients.house import Json
from tests.clients.lab import Lab, eventually
from tests.clients.line import Kind
from tests.clients.phone import Call, Phone
from tests.clients.phones import Make
from tests.clients.sound import RATE, Samples
from tests.clients.until import until
from tests.stories.call_centre import MUSIC_HZ, music
from tests.stories.test_queues import ask, operator, queue

CALLERS = 50
PEER = "127.0.0.11"
OPERATORS = {
    "1004": (Make.PJSUA2, 2950.0),
    "1005": (Make.PJSUA2, 3000.0),
    "1006": (Make.BARESIP_PY, 3050.0),
    "1007": (Make.PJSUA2, 3100.0),
    "1008": (Make.BARESIP_PY, 3150.0),
    "1009": (Make.PJSUA2, 3200.0),
}
DIES_RINGING, DIES_TALKING = "1004", "1005"
TALK_S = 0.5
MAX_GAP_MS = 100.0
PATIENCE_S = 5.0


@dataclass
class Rush:
    """Who talked to whom, as they heard each other."""

    callers: Callers
    over: threading.Event = field(default_factory=threading.Event)
    talked: dict[str, str] = field(default_factory=dict)  # operators by caller
    rang_in_vain: list[str] = field(default_factory=list)
    died_with: list[Caller] = field(default_factory=list)

    def serve(self, phone: Phone, hz: float) -> None:
        """One operator at work, until there is nobody left or the phone dies."""
        name, served = phone.line.extension, 0
        while (incoming := self.next_call(phone)) is not None:
            if name == DIES_RINGING:
                self.rang_in_vain.append(name)
                phone.kill()
                return
            incoming.answer()
            caller = self.meet(incoming, hz)
            self.talked[caller.number] = name
            served += 1
            if name == DIES_TALKING and served == 2:
                phone.kill()
                self.died_with.append(caller)
                return
            incoming.hang_up()

    def next_call(self, phone: Phone) -> Call | None:
        until(lambda: self.over.is_set() or phone.seen(Kind.INCOMING), f"{phone!r} to be rung", timeout=60)
        return phone.incoming() if phone.seen(Kind.INCOMING) else None

    def meet(self, incoming: Call, hz: float) -> Caller:
        """They hear each other, and nothing else; who it is."""
        known = until(lambda: pitch_of(incoming.listen(0.12)), f"{incoming!r} to hear a caller", timeout=8)
        assert known is not None
        caller = self.callers[known]
        caller.awaits(hz)
        until(lambda: both_hear(incoming, known, caller, hz), f"{caller.number} and {incoming!r} to talk", timeout=8)
        return caller


def both_hear(incoming: Call, caller_hz: float, caller: Caller, operator_hz: float) -> bool:
    """Whether they hear each other for half a second, whole and nothing else. A phone that a busy machine did not let
    speak or listen has another try."""
    begin = len(caller.packets)
    ends = ears.listen(recorded(incoming, TALK_S), caller_hz), ears.listen(caller.heard(begin), operator_hz)
    return all(
        heard.seconds > 0.8 * TALK_S
        and heard.purity > 0.9
        and heard.longest_gap_ms <= MAX_GAP_MS
        and abs(heard.dbfs + 15) < 3
        for heard in ends
    )


def recorded(call: Call, seconds: float) -> Samples:
    """The next `seconds` of sound, however late the phone writes them down."""
    start, wanted = call.recorded().size, round(seconds * RATE)
    until(lambda: call.recorded().size >= start + wanted, f"{call!r} to hear on", timeout=PATIENCE_S)
    return call.recorded()[start : start + wanted]


@pytest.fixture
def lab(new_lab: Callable[..., Lab], tmp_path: Path) -> Lab:
    return new_lab(
        **{
            "sound.music": music(tmp_path),
            "queues.support": {
                "title": "Support",
                "members": list(OPERATORS),
                "wrap_up_s": 0,
                "agent_ring_timeout_s": 3,
                "whisper": False,
            },
            "calls.rtp_timeout_s": 2,
        }
    )


@pytest.mark.unwitnessed
def test_fifty_callers_at_once_and_nobody_is_lost(lab: Lab) -> None:
    phones = {name: lab.phone(make, name, tone_hz=hz) for name, (make, hz) in OPERATORS.items()}
    with Callers(PEER, lab.house.sip, CALLERS) as callers:
        callers.call()
        eventually(lambda: bool(queue(lab)["waiting"] == CALLERS), "all to wait at once")
        for caller in callers.all:
            caller.awaits(MUSIC_HZ)
        rush = Rush(callers)
        with ThreadPoolExecutor(len(phones)) as pool:
            work = [pool.submit(rush.serve, phone, OPERATORS[name][1]) for name, phone in phones.items()]
            try:
                for name in phones:
                    assert ask(lab.house, f"/house/v1/operators/{name}", {"event": "login"})[0] == 200
                until(
                    lambda: all(one.ended_at for one in callers.all) or any(_failed(one) for one in work),
                    "every caller to have been served",
                    timeout=60,
                )
            finally:
                rush.over.set()
            for one in work:
                one.result()
    assert len(rush.talked) == CALLERS, "each heard an operator, and was heard"
    assert rush.rang_in_vain == [DIES_RINGING]
    (bereft,) = rush.died_with
    everybody_is_accounted_for(lab, rush, bereft)


def everybody_is_accounted_for(lab: Lab, rush: Rush, bereft: Caller) -> None:
    """The house says of each call what its two ends say."""
    eventually(lambda: len(records(lab)) == CALLERS, "the records")
    told = {one["caller"]: one for one in records(lab)}
    assert {number: one["operator"] for number, one in told.items()} == rush.talked
    assert {one["queue_exit"] for one in told.values()} == {"answered"}
    died = told.pop(bereft.number)
    assert (died["operator"], died["result"]) == (DIES_TALKING, "upstream")
    assert {(one["result"], one["ended_by"]) for one in told.values()} == {("success", "callee")}
    assert DIES_RINGING not in rush.talked.values()
    today = queue(lab)["today"]
    assert (today["entered"], today["handled"], today["abandoned"]) == (CALLERS, CALLERS, 0)
    assert operator(lab, DIES_TALKING)["today"]["handled"] == 2
    assert operator(lab, DIES_RINGING)["today"]["handled"] == 0
    for name in OPERATORS:
        eventually(lambda name=name: operator(lab, name)["activity"] == "waiting", f"{name} to be free")  # type: ignore[misc]


def records(lab: Lab) -> list[Json]:
    found: list[Json] = [one for one in lab.house.records() if one["called"] == "520"]
    return found


def _failed(one: Future[None]) -> bool:
    return one.done() and one.exception() is not None
