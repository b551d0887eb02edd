"""Calls in queues on the virtual wire: who rings, who wins, who is given back, and how the flow goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from media.script import Prompt
from pbxd.calls.record import CallRecord
from pbxd.directory.model import ExtensionKind
from pbxd.services.queues import Control, QueueLine, Queues, Wishes
from pbxd.services.queues.archive import Archive
from pbxd.services.queues.elsewhere import NoNodes
from pbxd.services.queues.model import Exit, QueueRules, Strategy
from pbxd.services.queues.table import Activity, Status
from pbxd.store import Store, sqlite_url
from tests.calls.house import WALL, Handset
from tests.flows.stagehand import Stagehand
from tests.sip.party import nothing_left

WAITS = """
parts:
  begin:
    - enqueue: support
      wait_when_empty: true
      priority: 3
      save: outcome
      on_answered: after
      on_timeout: late
      on_queue_full: full
      on_digit: out
      on_failed: failed
  after: [say: Goodbye.]
  late: [say: Too late.]
  full: [say: Full.]
  out: [say: Out.]
  failed: [say: Failed.]
"""
IMPATIENT = "parts:\n  begin:\n    - enqueue: support\n      on_no_agents: nobody\n  nobody: [say: Nobody.]\n"


@dataclass
class Floor:
    """The house with one queue, `support`, whose operators are bob (1002) and carol (1001)."""

    hand: Stagehand
    queues: Queues

    def rules(self, members: tuple[str, ...] = ("1002", "1001"), **rules: object) -> None:
        made = QueueRules("support", **{"title": "Support", "whisper": False, **rules})  # type: ignore[arg-type]
        account = self.hand.house.directory.default_account.id
        self.queues.configure(account, {"support": (made, dict.fromkeys(members, 0))}, self.hand.house.wire.now)

    def phone(self, name: str, user: str) -> Handset:
        """A phone whose user has logged in."""
        found = Handset(self.hand.house.wire, name)
        self.hand.house.register(user, found)
        self.queues.control(self.hand.house.directory.default_account, user, Control.LOGIN)
        self.hand.house.wire.settle()
        return found

    def state(self, user: str) -> tuple[Status, Activity]:
        seen = self.queues.operator(self.hand.house.directory.default_account, user)
        return seen.status, seen.activity

    @property
    def record(self) -> CallRecord:
        return self.hand.house.records[-1]


@pytest_asyncio.fixture
async def floor(hand: Stagehand, tmp_path: Path) -> AsyncIterator[Floor]:
    house = hand.house
    store = await Store.open(sqlite_url(tmp_path / "queues.db"))
    queues = Queues(house.facilities, store, house.switch.calls.values, lambda *_: (), lambda: "2026-03-01")
    account = house.directory.default_account
    hand.desk.enqueue = lambda command, record: queues.act(
        account,
        command.queue,
        record,
        Wishes(command.priority, command.wait_when_empty, command.leave_digit),
    )

    def dialled(_extension: object, record: CallRecord) -> QueueLine:
        found = queues.act(account, "support", record, Wishes(direct=True))
        assert found is not None
        return found

    house.acts[ExtensionKind.ECHO] = dialled
    made = Floor(hand, queues)
    made.rules()
    hand.write(WAITS)
    yield made
    await store.close()


async def test_the_operator_answers_talks_and_leaves_and_the_flow_goes_on(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    alice = hand.talk_to()
    assert hand.saying == "<ringback>", "there is no music in this house"
    house.wire.after(7)
    bob = floor.phone("bob", "1002")
    house >> "INVITE" >> bob >> 180 >> house
    assert hand.saying == "<ringback>"
    assert floor.state("1002") == (Status.AVAILABLE, Activity.OFFERING)
    house.wire.after(2)
    bob >> 200 >> house >> "ACK" >> bob
    assert hand.bridged
    assert hand.saying == ""
    assert floor.state("1002") == (Status.AVAILABLE, Activity.IN_CALL)
    house.wire.after(30)
    hand.press("1")  # the other side's
    bob >> "BYE" >> house >> 200 >> bob
    assert hand.saying == "Goodbye."
    assert hand.act.variables["outcome"] == "answered"
    assert floor.state("1002") == (Status.AVAILABLE, Activity.WRAP_UP)
    hand.heard()
    house >> "BYE" >> alice >> 200 >> house
    record = floor.record
    assert (record.queue, record.queue_exit, record.operator) == ("support", "answered", "1002")
    assert record.queue_wait_s == pytest.approx(9, abs=0.5)
    assert house.empty()
    house.wire.after(10)
    assert floor.state("1002") == (Status.AVAILABLE, Activity.WAITING)


@dataclass(frozen=True, slots=True)
class Calls(NoNodes):
    """Who is in a call at a node."""

    callers: set[str]

    def busy(self, account_id: str) -> set[str]:
        del account_id
        return self.callers


async def test_an_operator_in_a_call_at_a_node_is_offered_none(floor: Floor) -> None:
    house, at_nodes = floor.hand.house, Calls({"1002"})
    floor.queues.elsewhere = at_nodes
    bob = floor.phone("bob", "1002")
    alice = floor.hand.talk_to()
    house.wire.after(5)
    assert floor.state("1002") == (Status.AVAILABLE, Activity.WAITING)
    at_nodes.callers.clear()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert floor.state("1002") == (Status.AVAILABLE, Activity.IN_CALL)
    alice >> "BYE" >> house >> 200 >> alice


async def test_the_phone_shows_queue_and_caller(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    bob = floor.phone("bob", "1002")
    hand.talk_to()
    house >> "INVITE" >> bob >> 180 >> house
    (invite,) = [rung.data.decode() for rung in house.wire.rungs if rung.receiver is bob and rung.says("INVITE")]
    assert 'From: "Support: Bench" <sip:bench@' in invite
    assert "X-Queue: support\r\nX-Queue-Wait: 0\r\n" in invite
    assert f"X-Call: {hand.call.record.id}\r\n" in invite


async def test_a_busy_phone_is_followed_by_the_next_operator(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    bob, carol = floor.phone("bob", "1002"), floor.phone("carol", "1001")
    hand.talk_to()
    house >> "INVITE" >> bob >> 486 >> house >> "ACK" >> bob
    house >> "INVITE" >> carol >> 180 >> house
    assert hand.saying == "<ringback>"
    assert floor.state("1002") == (Status.AVAILABLE, Activity.WAITING)
    seen = floor.queues.operator(house.directory.default_account, "1002")
    assert (seen.missed_in_a_row, seen.today.missed) == (1, 1)


async def test_nobody_answers_in_the_ring_time(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    bob = floor.phone("bob", "1002")
    hand.talk_to()
    house >> "INVITE" >> bob >> 180 >> house
    house.wire.after(20.1)
    house >> "CANCEL" >> bob >> "200 CANCEL" >> house
    bob >> 487 >> house >> "ACK" >> bob
    assert floor.state("1002") == (Status.AVAILABLE, Activity.WAITING)
    house.wire.after(5)
    house >> "INVITE" >> bob


async def test_an_answer_that_comes_after_the_ring_time_is_no_answer(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    bob = floor.phone("bob", "1002")
    hand.talk_to()
    house >> "INVITE" >> bob >> 180 >> house
    house.wire.lose("CANCEL")
    house.wire.after(20.1)
    house >> "CANCEL" >> bob
    bob >> 200 >> house
    house >> "ACK" >> bob
    house >> "BYE" >> bob >> 200 >> house
    assert not hand.bridged
    assert hand.saying == "<ringback>"


async def test_the_caller_hangs_up_while_it_rings(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    bob = floor.phone("bob", "1002")
    alice = hand.talk_to()
    house >> "INVITE" >> bob >> 180 >> house
    alice >> "BYE" >> house >> 200 >> alice
    house >> "CANCEL" >> bob >> "200 CANCEL" >> house
    bob >> 487 >> house >> "ACK" >> bob
    assert (floor.record.queue_exit, floor.record.operator) == ("abandon", None)
    assert floor.state("1002") == (Status.AVAILABLE, Activity.WAITING)
    assert house.empty()
    assert nothing_left(house.wire, alice, bob)


async def test_the_caller_hangs_up_the_conversation(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    bob = floor.phone("bob", "1002")
    alice = hand.talk_to()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house.wire.after(5)
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    assert (floor.record.queue_exit, floor.record.operator) == ("answered", "1002")
    assert house.empty()


async def test_whisper_and_accept(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    floor.rules(whisper=True, accept=True)
    bob = floor.phone("bob", "1002")
    hand.talk_to()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert hand.saying == "[whisper-queue] [confirm-accept]"
    assert floor.state("1002") == (Status.AVAILABLE, Activity.IN_CALL), "nobody else gets the caller meanwhile"
    hand.press_at("1002", "1")
    assert hand.bridged
    assert floor.queues.queue(house.directory.default_account.id, "support").talking == 1


@pytest.mark.parametrize("how", ["wrong digit", "hangs up", "nothing"])
async def test_who_does_not_accept_gives_the_caller_back(floor: Floor, how: str) -> None:
    house, hand = floor.hand.house, floor.hand
    floor.rules(whisper=True, accept=True)
    bob, carol = floor.phone("bob", "1002"), floor.phone("carol", "1001")
    hand.talk_to()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    if how == "hangs up":
        bob >> "BYE" >> house >> 200 >> bob
    else:
        if how == "wrong digit":
            hand.press_at("1002", "7")
        else:
            house.wire.after(21)
        house >> "BYE" >> bob >> 200 >> house
    house >> "INVITE" >> carol
    assert [leg.party for leg in hand.call.record.legs] == ["anyone", "1002", "1001"]
    (waiting,) = floor.queues.callers(house.directory.default_account.id)
    assert (waiting.position, waiting.place.value) == (1, "offered")


async def test_the_caller_leaves_while_the_operator_is_told(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    floor.rules(whisper=True)
    bob = floor.phone("bob", "1002")
    alice = hand.talk_to()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    assert floor.record.queue_exit == "abandon"
    assert floor.state("1002") == (Status.AVAILABLE, Activity.WAITING)
    assert house.empty()


async def test_ring_all_and_the_first_answer_wins(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    floor.rules(strategy=Strategy.RING_ALL, whisper=True)
    bob, carol = floor.phone("bob", "1002"), floor.phone("carol", "1001")
    hand.talk_to()
    house >> "INVITE" >> bob >> 180 >> house
    house >> "INVITE" >> carol >> 180 >> house
    house.wire.lose("CANCEL")
    carol >> 200 >> house >> "ACK" >> carol
    house >> "CANCEL" >> bob
    bob >> 200 >> house  # they crossed
    house >> "ACK" >> bob
    house >> "BYE" >> bob >> 200 >> house
    hand.heard()
    assert hand.bridged
    assert hand.call.record.operator == "1001"
    assert floor.state("1002") == (Status.AVAILABLE, Activity.WAITING)


async def test_a_claim_from_outside_rings_only_who_claimed(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    bob, carol = floor.phone("bob", "1002"), floor.phone("carol", "1001")
    hand.talk_to()
    house >> "INVITE" >> bob >> 180 >> house
    account = house.directory.default_account
    floor.queues.claim(account, "1001", hand.call.record.id)
    house.wire.settle()
    house >> "CANCEL" >> bob >> "200 CANCEL" >> house
    house >> "INVITE" >> carol >> 200 >> house >> "ACK" >> carol
    assert hand.bridged
    assert hand.call.record.operator == "1001"


async def test_a_claim_of_somebody_whose_phone_comes_later(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    account = house.directory.default_account
    floor.queues.control(account, "1001", Control.LOGIN)
    hand.talk_to()
    floor.queues.claim(account, "1001", hand.call.record.id)
    house.wire.after(3)
    carol = Handset(house.wire, "carol")
    house.register("1001", carol)
    house.wire.after(1)
    house >> "INVITE" >> carol >> 200 >> house >> "ACK" >> carol
    assert hand.bridged


async def test_ways_out(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    floor.rules(max_callers=1, leave_digit="0", max_wait_s=60)
    first = hand.talk_to()
    hand.press("5")
    assert hand.saying == "<ringback>"
    hand.press("0")
    assert hand.saying == "Out."
    hand.heard()
    house >> "BYE" >> first >> 200 >> house
    assert floor.record.queue_exit == "digit"
    second = hand.talk_to()
    house.wire.after(60)
    assert hand.saying == "Too late."
    hand.heard()
    house >> "BYE" >> second >> 200 >> house
    assert floor.record.queue_exit == "timeout"
    assert floor.record.queue_wait_s == pytest.approx(60, abs=0.2)


async def test_a_full_queue_and_one_that_is_not_there(floor: Floor) -> None:
    hand = floor.hand
    floor.rules(max_callers=1)
    hand.talk_to()
    hand.write(WAITS)
    hand.talk_to()
    assert hand.acts[-1].variables["outcome"] == "queue_full"
    hand.write(WAITS.replace("enqueue: support", "enqueue: nowhere"))
    hand.talk_to()
    assert hand.acts[-1].variables["outcome"] == "failed"


async def test_without_operators_the_flow_goes_on_at_once_unless_it_waits(floor: Floor) -> None:
    hand = floor.hand
    hand.write(IMPATIENT)
    hand.talk_to()
    assert hand.saying == "Nobody."


async def test_where_the_caller_stands_is_said_between_the_music(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    floor.rules(announce_position=True)
    hand.talk_to()
    house.wire.after(15)
    assert hand.saying == "[queue-next]"
    hand.heard()
    assert hand.saying == "<ringback>"
    house.wire.after(29)
    assert hand.saying == "<ringback>"
    house.wire.after(1)
    assert hand.saying == "[queue-next]"


async def test_how_long_it_takes_is_said_and_who_would_wait_too_long_is_not_taken(floor: Floor) -> None:
    """One operator, whose call took two minutes: 110 s of talk and 10 of wrap-up."""
    house, hand = floor.hand.house, floor.hand
    floor.rules(("1002",), announce_position=True, max_expected_wait_s=300)
    bob = floor.phone("bob", "1002")
    first = hand.talk_to()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house.wire.after(110)
    first >> "BYE" >> house >> 200 >> first
    house >> "BYE" >> bob >> 200 >> house
    hand.talk_to()
    house.wire.after(10)
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    hand.talk_to()
    hand.talk_to()
    hand.talk_to()
    assert hand.acts[-1].variables["outcome"] == "ewt", "six minutes"
    assert floor.queues.exits["ewt"] == 1
    hand.hall.played.clear()
    house.wire.after(14)
    assert told(hand) == []
    house.wire.after(1.5)
    assert told(hand) == [
        *(("queue-next", ()), ("queue-wait", (("minutes", "2"),))),
        *(("queue-position", (("position", "2"),)), ("queue-wait", (("minutes", "4"),))),
    ]
    house.wire.after(28)
    assert len(told(hand)) == 4
    house.wire.after(2)
    assert len(told(hand)) == 8, "every 30 s from then on"


def told(hand: Stagehand) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """The prompts that were played."""
    lines = [line for one in hand.hall.played for line in one.lines]
    return [(line.name, line.values) for line in lines if isinstance(line, Prompt)]


async def test_who_waits_when_the_house_stops_has_not_given_up(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    bob = floor.phone("bob", "1002")
    hand.talk_to()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    talks = hand.call.record
    house.wire.after(5)
    waits = hand.talk_to()
    floor.queues.stop()
    house.switch.hangup_all(house.wire.now, "the daemon stops")
    house.wire.settle()
    house >> "BYE" >> waits >> 200 >> house
    records = {record.id: record for record in house.records}
    assert (talks.queue_exit, talks.operator) == ("answered", "1002")
    (other,) = [one for one in records.values() if one.id != talks.id]
    assert (other.queue_exit, other.operator) == ("interrupted", None)


async def test_an_operator_on_a_call_of_their_own_is_not_rung(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    bob = floor.phone("bob", "1002")
    dave = Handset(house.wire, "dave")
    dave >> "INVITE" >> house >> 100 >> dave
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> dave
    hand.write(WAITS)
    alice = Handset(house.wire, "alice")
    alice.number = "500"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 200 >> alice >> "ACK" >> house
    house.wire.after(10)
    assert floor.state("1002") == (Status.AVAILABLE, Activity.WAITING)
    dave >> "CANCEL" >> house >> "200 CANCEL" >> dave
    house >> "CANCEL" >> bob >> "200 CANCEL" >> house
    bob >> 487 >> house >> "ACK" >> bob
    house >> 487 >> dave >> "ACK" >> house
    house.wire.after(1)
    house >> "INVITE" >> bob


async def test_a_queue_that_was_dialled_says_why_and_hangs_up(floor: Floor) -> None:
    house, hand = floor.hand.house, floor.hand
    floor.rules(max_wait_s=30)
    account = house.directory.default_account
    alice = Handset(house.wire, "alice")
    alice.number = "500"
    house.acts[ExtensionKind.FLOW] = lambda _extension, record: floor.queues.act(  # type: ignore[assignment,return-value]
        account, "support", record, Wishes(direct=True)
    )
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 200 >> alice >> "ACK" >> house
    house.wire.after(30)
    assert hand.saying == "[all-busy-later]"
    hand.heard()
    house >> "BYE" >> alice >> 200 >> house
    assert floor.record.queue_exit == "timeout"
    assert house.empty()


async def test_what_a_killed_house_had_written_down_goes_on(floor: Floor, store_url: str) -> None:
    """One talks, one has a break, one waits; the house is dead for an hour."""
    house, hand = floor.hand.house, floor.hand
    bob = floor.phone("bob", "1002")
    alice = hand.talk_to()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    talks = hand.call.record.id
    house.wire.after(30)
    account = house.directory.default_account
    waits = hand.talk_to()
    house.wire.after(4)
    store = await Store.open(store_url)
    try:
        floor.queues.archive = Archive(store)
        floor.queues.control(account, "1001", Control.LOGIN)
        floor.queues.control(account, "1001", Control.PAUSE)
        house.wire.after(0.6)  # written by itself
        await store.drain()
        again = Queues(house.facilities, store, list, lambda *_: (), lambda: "2026-03-01")
        now = house.wire.now + 3600
        lefts = {one.caller: one for one in await again.load(now, WALL + now, ())}
        assert [(one.exit, one.operator) for one in lefts.values()] == [
            (Exit.ANSWERED, "1002"),
            (Exit.INTERRUPTED, None),
        ]
        assert lefts[talks].talked_s == pytest.approx(34, abs=1), "not the hour in which nobody was there"
        assert again.operator(account, "1001").status is Status.ON_BREAK
        seen = again.operator(account, "1002")
        assert (seen.status, seen.activity) == (Status.AVAILABLE, Activity.WRAP_UP)
        assert (seen.today.offered, seen.today.handled, seen.today.missed) == (1, 1, 0)
        today = again.queue(account.id, "support").today
        assert (today.entered, today.handled, today.abandoned, today.exits["interrupted"]) == (2, 1, 0, 1)
        assert again.exits["interrupted"] == 1
        (day,) = await again.days(account.id, "2026-03-01", "2026-03-01")
        assert day.queue("support").entered == 2
    finally:
        await store.close()
    for phone in (alice, waits):
        phone >> "BYE" >> house >> 200 >> phone
