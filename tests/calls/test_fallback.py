"""What the house does for a user who does not answer; and what phones hear of their user by SUBSCRIBE."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from pbxd.calls.call import Fallback
from pbxd.calls.record import Change, Result
from pbxd.calls.stage import Stage
from pbxd.directory.model import Aor
from pbxd.sip.message import Request, parse_message
from pbxd.sip.subscription import Package
from tests.calls.house import Handset, House
from tests.calls.test_call import phones, talk
from tests.calls.test_switch import ask
from tests.sip.party import nothing_left


class Machine:
    """Answers, and waits for the end."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.left = False
        self.stage: Stage | None = None

    def __call__(self, status: int) -> Machine:
        self.statuses.append(status)
        return self

    def begin(self, stage: Stage, now: float) -> None:
        self.stage = stage
        stage.answer(now)

    def digit(self, digit: str, now: float) -> None:
        """Nothing is pressed here."""

    def talking(self, talks: bool) -> None:
        """Nothing is said."""

    def leave(self, now: float) -> None:
        self.left = True


@pytest.fixture
def machine(house: House) -> Machine:
    machine = Machine()
    house.switch.fallback = lambda _user, _record: Fallback(5.0, machine)
    return machine


def ends_well(house: House, alice: Handset, machine: Machine) -> None:
    alice >> "BYE" >> house >> 200 >> alice
    assert machine.left
    assert house.record.result is Result.SUCCESS
    assert house.said[-2:] == [Change.ANSWERED, Change.ENDED]
    assert house.empty()


@pytest.mark.parametrize("status", [486, 480, 603, 500])
async def test_a_call_that_is_refused_is_taken(house: House, machine: Machine, status: int) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> status >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert machine.statuses == [status]
    ends_well(house, alice, machine)
    assert nothing_left(house.wire, alice, bob)


async def test_a_call_that_rings_too_long_is_taken(house: House, machine: Machine) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    house.wire.after(5.0)
    house >> 200 >> alice >> "ACK" >> house
    house >> "CANCEL" >> bob >> 200 >> house
    bob >> 487 >> house >> "ACK" >> bob
    assert machine.statuses == [480]
    ends_well(house, alice, machine)


async def test_a_user_without_a_phone_is_taken_at_once(house: House, machine: Machine) -> None:
    (alice,) = phones(house, "alice")
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 200 >> alice >> "ACK" >> house
    ends_well(house, alice, machine)


async def test_a_call_that_is_answered_is_not(house: House, machine: Machine) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    house.wire.after(10)
    alice >> "BYE" >> house >> 200 >> alice
    assert machine.statuses == []


async def test_a_caller_who_gives_up_is_not(house: House, machine: Machine) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    alice >> "CANCEL" >> house >> 200 >> alice
    house.wire.after(20)
    assert machine.statuses == []
    assert house.record.result is Result.CLIENT


# ---- SUBSCRIBE


def body(_resource: Hashable) -> bytes:
    return b"Messages-Waiting: no\r\n"


PACKAGE = Package("message-summary", "application/simple-message-summary", body)


@pytest.mark.parametrize(
    ("event", "user", "status"),
    [
        ("Event: presence", "bench", 489),
        ("Event: message-summary", "1001", 401),
        ("Event: message-summary", "bench", 403),  # a trunk has no lamp
        ("X-Event: none", "bench", 489),
    ],
)
async def test_who_may_subscribe_to_what(house: House, event: str, user: str, status: int) -> None:
    house.switch.watchers.offer(PACKAGE)
    asker = Handset(house.wire, "asker")
    answer = ask(house, asker, "SUBSCRIBE", event, "Contact: <sip:a@10.0.0.2>", uri="sip:1001@lab.test", user=user)[-1]
    assert answer.status == status
    assert (answer.headers.get("Allow-Events") == "message-summary") is (status == 489)
    assert len(house.switch.watchers.subscriptions) == 0


async def test_phones_that_do_not_ask_are_told_all_the_same(house: House) -> None:
    first, second = phones(house, "first", "second")
    house.register("1002", first, second)
    aor = Aor(house.directory.default_account.id, "1002")
    house.switch.watchers.changed(PACKAGE, aor, house.wire.now)
    assert house.stack.take_outgoing() == []
    house.switch.watchers.changed(PACKAGE, aor, house.wire.now, unsolicited=True)
    told = [parse_message(outgoing.data) for outgoing in house.stack.take_outgoing()]
    assert len(told) == 2
    for notify in told:
        assert isinstance(notify, Request)
        assert (notify.method, notify.body) == ("NOTIFY", b"Messages-Waiting: no\r\n")
        assert notify.headers.get("Event") == "message-summary"
        assert notify.headers.get("Subscription-State") == "active"
