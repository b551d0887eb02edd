"""The live monitor: who hears what, who is too slow, and that without a watcher nothing is subscribed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from pbxd.calls.record import CallChanged, CallRecord, Change, Direction, Result
from pbxd.directory.bans import Ban, Banned, parse_network
from pbxd.directory.doorman import PhoneMisconfigured
from pbxd.directory.evidence import Cause
from pbxd.directory.model import Aor
from pbxd.directory.registrar import PhoneUnregistered, UnregisterReason
from pbxd.errors import Overloaded
from pbxd.events import Bus
from pbxd.services import monitor as monitor_module
from pbxd.services.monitor import MAX_WATCHERS, Monitor, Sights, Tap, Topic, Watcher
from pbxd.sip.uri import Uri

WALL = 1_790_000_000.0


class House:
    """What a monitor looks at."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.calls: list[CallRecord] = []
        self.dropped: dict[str, dict[str, int]] = {"stack": {"malformed": 3}}
        self.taps: list[Tap] = []
        self.monitor = Monitor(
            self.bus, Sights(lambda: self.calls, lambda: self.dropped, lambda: 7, lambda: WALL, self.log)
        )

    @contextmanager
    def log(self, tap: Tap) -> Iterator[None]:
        self.taps.append(tap)
        try:
            yield
        finally:
            self.taps.remove(tap)

    def call(self, change: Change, account_id: str = "acc_1") -> CallRecord:
        record = CallRecord("call_1", account_id, Direction.INTERNAL, "1001", "Ann", "1002", WALL)
        self.bus.publish(CallChanged(change, record))
        return record

    @property
    def listeners(self) -> int:
        return sum(map(len, self.bus._listeners.values()))


@pytest.fixture
def house() -> House:
    return House()


async def heard(watcher: Watcher) -> list[dict[str, Any]]:
    return [json.loads(text) for text in await watcher.next()]


async def test_without_watchers_it_costs_nothing(house: House) -> None:
    assert (house.listeners, house.taps) == (0, [])
    watcher = Watcher()
    house.monitor.watch(watcher)
    assert house.listeners > 5
    assert len(house.taps) == house.monitor.watchers == 1
    house.monitor.leave(watcher)
    house.monitor.leave(watcher)
    assert (house.listeners, house.taps, house.monitor.watchers) == (0, [], 0)


async def test_what_there_is_comes_first(house: House) -> None:
    house.calls.append(house.call(Change.STARTED))
    watcher = Watcher()
    house.monitor.watch(watcher)
    (hello,) = await heard(watcher)
    assert (hello["type"], hello["at"], hello["registrations"]) == ("hello", WALL, 7)
    assert [call["id"] for call in hello["calls"]] == ["call_1"]
    house.monitor.leave(watcher)


async def test_calls_registrations_bans_and_refusals_are_told(house: House) -> None:
    watcher = Watcher()
    house.monitor.watch(watcher)
    await watcher.next()
    record = CallRecord("call_2", "acc_1", Direction.INBOUND, "1", "", "2", WALL, ended_at=WALL, result=Result.SUCCESS)
    house.bus.publish(CallChanged(Change.ENDED, record))
    phone = Aor("acc_1", "1001")
    house.bus.publish(PhoneUnregistered(phone, Uri.parse("sip:1001@192.0.2.7"), UnregisterReason.EXPIRED))
    network = parse_network("192.0.2.9")
    house.bus.publish(Banned(Ban("ban_1", network, Cause.SCANNER, "a scanner", "svmap", "house", WALL, WALL + 600)))
    house.bus.publish(PhoneMisconfigured("192.0.2.7", "1001", 20))
    call, gone, ban, refusal = await heard(watcher)
    assert (call["type"], call["change"], call["id"], call["result"]) == ("call", "ended", "call_2", "success")
    assert (gone["type"], gone["account"], gone["user"], gone["reason"]) == (
        "registration",
        "acc_1",
        "1001",
        "expired",
    )
    assert (ban["type"], ban["change"], ban["network"], ban["until"]) == ("ban", "banned", "192.0.2.9", WALL + 600)
    assert (refusal["type"], refusal["what"], refusal["source"]) == ("refusal", "phone", "192.0.2.7")
    house.monitor.leave(watcher)


async def test_drops_are_told_by_how_many_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "LOOK_S", 0.01)
    watcher = Watcher(frozenset({Topic.DROP}))
    house.monitor.watch(watcher)
    await watcher.next()
    house.dropped["stack"] = {"malformed": 5, "looped": 1}
    found = await heard(watcher)
    assert [(one["layer"], one["reason"], one["count"]) for one in found] == [
        ("stack", "malformed", 2),
        ("stack", "looped", 1),
    ]
    house.monitor.leave(watcher)


async def test_lines_of_the_log_come_from_any_thread(house: House) -> None:
    watcher = Watcher(frozenset({Topic.LOG}))
    house.monitor.watch(watcher)
    await watcher.next()
    line: Mapping[str, Any] = {"level": "info", "event": "here"}
    house.taps[0](line)
    thread = threading.Thread(target=house.taps[0], args=({"level": "error", "event": "there", "path": object},))
    thread.start()
    thread.join()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [one["line"]["event"] for one in await heard(watcher)] == ["here", "there"]
    house.monitor.leave(watcher)


async def test_an_account_hears_its_own_and_nothing_of_the_house(house: House) -> None:
    own, other, everything = Watcher(account_id="acc_1"), Watcher(account_id="acc_2"), Watcher()
    house.calls.append(house.call(Change.STARTED, "acc_2"))
    for watcher in (own, other, everything):
        house.monitor.watch(watcher)
    hello = [(await heard(watcher))[0] for watcher in (own, other, everything)]
    assert [len(one["calls"]) for one in hello] == [0, 1, 1]
    assert ["registrations" in one for one in hello] == [False, False, True]
    house.call(Change.ANSWERED, "acc_1")
    house.taps[0]({"event": "a secret of the house"})
    house.bus.publish(PhoneMisconfigured("192.0.2.7", "1001", 20))
    house.call(Change.ENDED, "acc_2")
    assert [one["change"] for one in await heard(own)] == ["answered"]
    assert [one["change"] for one in await heard(other)] == ["ended"]
    assert [one["type"] for one in await heard(everything)] == ["call", "log", "refusal", "call"]
    for watcher in (own, other, everything):
        house.monitor.leave(watcher)


async def test_who_is_too_slow_is_told_how_much_is_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "MAX_WAITING", 3)
    slow, quick = Watcher(frozenset({Topic.CALL})), Watcher(frozenset({Topic.CALL}))
    house.monitor.watch(slow)
    house.monitor.watch(quick)
    await quick.next()
    for _ in range(5):
        house.call(Change.HELD)
        await quick.next()
    found = await heard(slow)
    assert [one["type"] for one in found] == ["hello", "call", "call", "lost"]
    assert found[-1]["count"] == 3
    house.call(Change.RESUMED)
    assert [one.get("change") for one in await heard(slow)] == ["resumed"]
    assert (quick.lost, house.monitor.lost) == (0, 3)
    house.monitor.leave(slow)
    assert house.monitor.lost == 3
    house.monitor.leave(quick)


async def test_no_more_than_so_many_watch(house: House) -> None:
    watchers = [Watcher() for _ in range(MAX_WATCHERS)]
    for watcher in watchers:
        house.monitor.watch(watcher)
    with pytest.raises(Overloaded):
        house.monitor.watch(Watcher())
    house.monitor.leave(watchers.pop())
    house.monitor.watch(watchers[0])
    for watcher in watchers:
        house.monitor.leave(watcher)


async def test_a_stop_ends_all_after_what_waits(house: House) -> None:
    watcher = Watcher()
    house.monitor.watch(watcher)
    house.monitor.stop()
    assert [one["type"] for one in await heard(watcher)] == ["hello"]
    assert await heard(watcher) == []
    with pytest.raises(Overloaded):
        house.monitor.watch(Watcher())
    house.monitor.leave(watcher)
