"""The shell: what is taken is kept, what is kept is sent, what failed is repeated, and nothing twice once confirmed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pbxd.errors import Conflict, Invalid, NotFound, Overloaded, TooLarge, Unavailable
from pbxd.outbox import Kind, Letter, Outbox, Request, Rules, State
from pbxd.outbox import outbox as shell
from pbxd.outbox.verdict import permanent, temporary
from tests.outbox.keeping import WALL, Hands, MemoryKeeper, ScriptedSender, until

HOOK = Request("https://example.com/T0/secret", b"{}", headers={"Authorization": "Bearer secret"})
RULES = Rules(retry_s=(60, 300), max_age_s=1000.0, max_waiting=3, max_bytes=1000)


class Desk:
    """One outbox with its surroundings; `restart` is a new process over the same keeper."""

    def __init__(self) -> None:
        self.keeper = MemoryKeeper()
        self.web = ScriptedSender()
        self.hands = Hands()
        self.outbox = self._made()

    def _made(self) -> Outbox:
        hands = self.hands
        return Outbox(
            self.keeper, self.web, None, RULES, clock=hands.clock, wall=hands.wall, rng=random.Random(1)
        )  # fmt: skip

    async def restart(self) -> None:
        await self.outbox.stop()
        self.outbox = self._made()
        await self.outbox.start()

    async def later(self, seconds: float) -> None:
        self.hands.now += seconds
        self.outbox.rules = self.outbox.rules  # wakes it, as its timer would
        for _ in range(20):
            await asyncio.sleep(0)

    def state(self, item_id: str) -> State:
        return self.keeper.parcels[item_id].item.state


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.outbox.start()
    yield desk
    desk.keeper.broken = False
    desk.web.gate.set()
    await desk.outbox.stop()


async def test_what_is_taken_is_kept_sent_and_its_content_forgotten(desk: Desk) -> None:
    item = await desk.outbox.put_request("acc_1", HOOK, summary="voicemail of 1001")
    assert (item.state, item.key, item.destination) == (State.WAITING, item.id, "https://example.com:443")
    await until(lambda: desk.outbox.waiting == 0)
    assert desk.keeper.history == [(item.id, State.SENDING, 1), (item.id, State.DELIVERED, 1)]
    assert [(parcel.item.id, parcel.body) for parcel in desk.web.sent] == [(item.id, b"{}")]
    kept = desk.keeper.parcels[item.id]
    assert (kept.address, kept.body, kept.item.reason) == ("{}", b"", "HTTP 200")
    assert desk.outbox.delivered == {Kind.HTTP: 1, Kind.MAIL: 0}


async def test_the_same_key_is_sent_once(desk: Desk) -> None:
    first = await desk.outbox.put_request("acc_1", HOOK, key="vm-1")
    await until(lambda: desk.outbox.waiting == 0)
    again = await desk.outbox.put_request("acc_1", HOOK, key="vm-1")
    assert (again.id, again.state) == (first.id, State.DELIVERED)
    other = await desk.outbox.put_request("acc_2", HOOK, key="vm-1")
    assert other.id != first.id
    with pytest.raises(Conflict):
        await desk.outbox.put_request("acc_1", Request("https://other.example/"), key="vm-1")
    await until(lambda: desk.outbox.waiting == 0)
    assert len(desk.web.sent) == 2


async def test_a_failure_is_repeated_until_it_arrives(desk: Desk) -> None:
    desk.web.script = [temporary("HTTP 503"), temporary("HTTP 500")]
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.outbox.failed[Kind.HTTP] == 1)
    await desk.later(47)  # 60 s less a fifth is 48
    assert len(desk.web.sent) == 1
    await desk.later(25)
    await until(lambda: desk.outbox.failed[Kind.HTTP] == 2)
    assert (await desk.outbox.get(item.id)).reason == "HTTP 500"
    assert desk.outbox.oldest_s == 72
    await desk.later(360)
    await until(lambda: desk.outbox.waiting == 0)
    assert (await desk.outbox.get(item.id)).attempts == 3
    assert desk.state(item.id) is State.DELIVERED


async def test_a_lasting_refusal_is_dead_at_once_and_may_be_raised(desk: Desk) -> None:
    desk.web.script = [permanent("HTTP 410")]
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.outbox.dead[Kind.HTTP] == 1 and desk.outbox.waiting == 0)
    dead = await desk.outbox.get(item.id)
    assert (dead.state, dead.reason, dead.ended_at) == (State.DEAD, "HTTP 410", WALL)
    assert (await desk.outbox.retry(item.id)).state is State.WAITING
    await until(lambda: desk.state(item.id) is State.DELIVERED)
    assert desk.web.sent[-1].body == b"{}"
    with pytest.raises(Conflict, match="it is delivered"):
        await desk.outbox.retry(item.id)


async def test_after_the_last_try_it_is_a_dead_letter(desk: Desk) -> None:
    desk.web.script = [temporary("HTTP 503")] * 9
    item = await desk.outbox.put_request("acc_1", HOOK)
    for _ in range(5):
        await desk.later(361)
    await until(lambda: desk.outbox.waiting == 0)
    assert (desk.state(item.id), desk.outbox.dead[Kind.HTTP]) == (State.DEAD, 1)
    assert len(desk.web.sent) == 3  # the next one would have been after 1000 s


async def test_waiting_is_hurried_and_cancelled_but_not_what_is_under_way(desk: Desk) -> None:
    desk.web.script = [temporary("HTTP 503")]
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.outbox.failed[Kind.HTTP] == 1 and desk.state(item.id) is State.WAITING)
    desk.web.gate.clear()
    await until(lambda: desk.web.finished == 1)
    await desk.outbox.retry(item.id)
    await until(lambda: len(desk.web.sent) == 2)
    for meddle in (desk.outbox.cancel, desk.outbox.retry):
        with pytest.raises(Conflict, match="being sent right now"):
            await meddle(item.id)
    desk.web.script = [temporary("HTTP 503")]
    desk.web.gate.set()
    await until(lambda: desk.outbox.failed[Kind.HTTP] == 2 and desk.state(item.id) is State.WAITING)
    cancelled = await desk.outbox.cancel(item.id)
    assert (cancelled.state, desk.keeper.parcels[item.id].body) == (State.CANCELLED, b"")
    await desk.later(10_000)
    assert len(desk.web.sent) == 2
    with pytest.raises(Conflict, match="ended already"):
        await desk.outbox.cancel(item.id)
    with pytest.raises(NotFound):
        await desk.outbox.cancel("out_none")


async def test_what_cannot_be_taken_is_refused(desk: Desk) -> None:
    with pytest.raises(TooLarge):
        await desk.outbox.put_request("acc_1", replace(HOOK, body=b"x" * 1001))
    with pytest.raises(Invalid):
        await desk.outbox.put_request("acc_1", HOOK, key="")
    with pytest.raises(Unavailable, match=r"mail\.server"):
        await desk.outbox.put_letter("acc_1", Letter("ann@example.org", "x", "y"))
    with pytest.raises(Unavailable, match=r"mail\.server"):
        await desk.outbox.prove_mail("ann@example.org")
    desk.web.gate.clear()
    for _ in range(3):
        await desk.outbox.put_request("acc_1", HOOK)
    with pytest.raises(Overloaded):
        await desk.outbox.put_request("acc_1", HOOK)


async def test_a_full_disk_refuses_what_is_new_and_begins_nothing(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.web.script = [temporary("HTTP 503")]
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.outbox.failed[Kind.HTTP] == 1 and desk.state(item.id) is State.WAITING)
    desk.keeper.broken = True
    with pytest.raises(Unavailable, match="the store does not take it now"):
        await desk.outbox.put_request("acc_1", HOOK)
    with pytest.raises(Unavailable):
        await desk.outbox.cancel(item.id)
    await desk.later(100)
    await until(lambda: "waits for the store" in caplog.text)
    assert len(desk.web.sent) == 1
    desk.keeper.broken = False
    await desk.later(5)
    await until(lambda: desk.state(item.id) is State.DELIVERED)
    assert desk.keeper.parcels[item.id].item.attempts == 2  # the try that did not happen is not counted


async def test_what_was_confirmed_is_not_sent_again_while_that_cannot_be_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "KEEPER_PAUSE_S", 0.02)
    desk.web.gate.clear()
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: len(desk.web.sent) == 1)
    desk.keeper.broken = True
    desk.web.gate.set()
    await until(lambda: desk.outbox.delivered[Kind.HTTP] == 1)
    await desk.later(5000)
    assert (len(desk.web.sent), desk.state(item.id)) == (1, State.SENDING)
    desk.keeper.broken = False
    await until(lambda: desk.state(item.id) is State.DELIVERED)
    assert len(desk.web.sent) == 1


async def test_one_slow_server_does_not_hold_up_the_others(desk: Desk) -> None:
    desk.outbox.rules = replace(RULES, max_waiting=100)
    slow, fast = Request("https://slow.example/"), Request("https://fast.example/")
    desk.web.gate.clear()
    for _ in range(5):
        await desk.outbox.put_request("acc_1", slow)
    await until(lambda: len(desk.web.sent) == 2)
    quick = await desk.outbox.put_request("acc_1", fast)
    await until(lambda: len(desk.web.sent) == 3)
    assert desk.web.sent[-1].item.id == quick.id


async def test_a_restart_takes_up_what_was_under_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "STOP_S", 0.02)
    desk.web.gate.clear()
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: len(desk.web.sent) == 1)
    await desk.outbox.stop()
    assert desk.state(item.id) is State.SENDING
    desk.web.gate.set()
    await desk.restart()
    assert desk.outbox.waiting == 1
    await desk.later(73)
    await until(lambda: desk.state(item.id) is State.DELIVERED)
    assert [parcel.item.attempts for parcel in desk.web.sent] == [1, 2]


async def test_a_stop_waits_for_what_is_under_way(desk: Desk) -> None:
    desk.web.gate.clear()
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: len(desk.web.sent) == 1)
    stopping = asyncio.create_task(desk.outbox.stop())
    await asyncio.sleep(0)
    desk.web.gate.set()
    await stopping
    assert desk.state(item.id) is State.DELIVERED


@pytest.mark.parametrize("push", [-3600.0, 3600.0, -1e8])
async def test_a_clock_that_jumped_delays_nothing_for_long(desk: Desk, push: float) -> None:
    desk.web.script = [temporary("HTTP 503")]
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.outbox.failed[Kind.HTTP] == 1 and desk.state(item.id) is State.WAITING)
    desk.hands.push = push
    await desk.later(73)  # while it runs, the wall clock means nothing
    await until(lambda: desk.state(item.id) is State.DELIVERED)
    desk.web.script = [temporary("HTTP 503")]
    other = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.outbox.failed[Kind.HTTP] == 2 and desk.state(other.id) is State.WAITING)
    desk.hands.push = 2 * push
    await desk.restart()
    await desk.later(451)  # one and a half of the longest pause
    await until(lambda: desk.state(other.id) is State.DELIVERED)


async def test_an_item_that_breaks_its_sender_harms_nobody_else(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.web.script = [RuntimeError("boom")]
    bad = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.outbox.failed[Kind.HTTP] == 1 and desk.state(bad.id) is State.WAITING)
    good = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.state(good.id) is State.DELIVERED)
    assert "failed in an unforeseen way" in caplog.text


async def test_the_log_says_what_happened_and_no_secret(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    desk.web.script = [temporary("HTTP 503"), permanent("HTTP 410")]
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.outbox.failed[Kind.HTTP] == 1 and desk.state(item.id) is State.WAITING)
    await desk.outbox.retry(item.id)
    await until(lambda: desk.outbox.waiting == 0)
    assert f"{item.id} to https://example.com:443 is tried again: HTTP 503" in caplog.text
    assert f"{item.id} to https://example.com:443 is given up: HTTP 410" in caplog.text
    assert "secret" not in caplog.text


async def test_what_ended_long_ago_is_forgotten(desk: Desk) -> None:
    item = await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: desk.outbox.waiting == 0)
    await desk.later(604_800 - 1)
    assert item.id in desk.keeper.parcels
    await desk.later(3601)
    await until(lambda: item.id not in desk.keeper.parcels)


async def test_a_taking_in_that_is_cut_short_is_not_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = desk.keeper.add

    async def slow(parcel: object) -> object:
        await kept(parcel)  # type: ignore[arg-type]
        await asyncio.sleep(60)
        return None

    monkeypatch.setattr(desk.keeper, "add", slow)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await desk.outbox.put_request("acc_1", HOOK)
    await until(lambda: len(desk.web.sent) == 1 and desk.outbox.waiting == 0)
