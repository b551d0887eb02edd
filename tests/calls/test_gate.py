"""Limits on live calls: who is refused and how, and that every end of a call gives back what it held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from media.ports import PortPool
from pbxd.calls.admission import CallRefused, Refusal
from pbxd.calls.call import Call as LiveCall
from pbxd.calls.facilities import CallLimits
from pbxd.calls.gate import Barred, LimitLeaked, LimitPassed
from pbxd.calls.limits import Claims, Ticket
from pbxd.calls.record import Direction, Result
from pbxd.calls.stage import Stage
from pbxd.config.groups import LimitDirection, LimitScope
from pbxd.directory.accounts import Directory
from pbxd.directory.fraud import Outward
from pbxd.directory.model import CallLimit, ExtensionKind
from pbxd.store import Store, sqlite_url
from tests.calls.house import WALL, Handset, House, config_in
from tests.calls.ladders import ladder
from tests.calls.test_call import phones, talk
from tests.calls.test_switch import ask
from tests.clients.block import leased_block
from tests.wire import Wire


def limit(
    house: House,
    scope: LimitScope,
    name: str | None = None,
    most: int = 1,
    *,
    per: int = 0,
    hard: bool = True,
    direction: LimitDirection = LimitDirection.ANY,
) -> CallLimit:
    account = house.directory.default_account.id
    return CallLimit(f"lim_{scope}_{name}_{per}", account, "lim", scope, name, direction, per, most, hard)


def answered(house: House, asker: Handset, number: str) -> None:
    asker.number = number
    asker >> "INVITE" >> house >> 100 >> asker
    house >> 200 >> asker >> "ACK" >> house


# ---- refusals


async def test_an_account_that_is_full_refuses_and_says_why(house: House) -> None:
    house.limit(limit(house, LimitScope.ACCOUNT))
    alice, dave = phones(house, "alice", "dave")
    told: list[CallRefused] = []
    house.bus.subscribe(CallRefused, told.append)
    answered(house, alice, "600")
    dave.number = "600"
    dave >> "INVITE" >> house >> 100 >> dave
    house >> 486 >> dave >> "ACK" >> house  # from outside: busy
    said = next(rung.data for rung in house.wire.rungs if rung.label.startswith("486"))
    assert b'Reason: Q.850;cause=17;text="limit_account"' in said
    record = house.record
    assert (record.result, record.sip_status, record.q850) == (Result.CLIENT, 486, 17)
    assert record.reason == "limit_account: the account has 1 of 1 calls at a time"
    assert house.switch.refused[Refusal.LIMIT_ACCOUNT] == 1
    assert [event.reason for event in told] == [Refusal.LIMIT_ACCOUNT]
    assert f"decision: refused with 486: {record.reason}" in ladder(house.recording(record.id))
    alice >> "BYE" >> house >> 200 >> alice
    assert house.held() == {}
    answered(house, dave, "600")


async def test_a_rate_says_when_to_come_back(house: House) -> None:
    house.limit(limit(house, LimitScope.TRUNK, "wide", 1, per=60))
    asker = Handset(house.wire, "asker")
    asker.number = "7123"
    house.register("1002")
    provider = Handset(house.wire, "provider")
    assert provider.address[0] == "10.0.0.3"
    asker >> "INVITE" >> house >> 100 >> asker
    house >> "INVITE" >> provider >> 486 >> house >> "ACK" >> provider
    house >> 486 >> asker >> "ACK" >> house
    house.wire.after(20)
    asker >> "INVITE" >> house >> 100 >> asker
    house >> 503 >> asker >> "ACK" >> house
    said = next(rung.data for rung in house.wire.rungs if rung.label.startswith("503"))
    assert b"Retry-After: 40" in said
    assert b'Reason: Q.850;cause=34;text="limit_trunk"' in said
    assert house.records[-1].result is Result.SERVER


async def test_a_number_that_leads_nowhere_counts_nothing(house: House) -> None:
    house.limit(limit(house, LimitScope.ACCOUNT, per=60))
    asker = Handset(house.wire, "asker")
    for _ in range(3):
        assert ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>", uri="sip:777@lab.test")[-1].status == 404
    assert house.held() == {}


async def test_a_user_who_may_have_one_call_is_busy_and_their_mailbox_takes_it(house: House) -> None:
    house.limit(limit(house, LimitScope.USER, "1002"))
    alice, bob, carol = phones(house, "alice", "bob", "carol")
    house.register("1002", bob)
    talk(alice, house, bob)
    assert house.held() == {"account": 1, "trunk anyone": 1, "user 1002": 1}
    carol >> "INVITE" >> house >> 100 >> carol
    house >> 486 >> carol >> "ACK" >> house
    assert house.record.reason == "limit_user: the user 1002 has 1 of 1 calls at a time"
    assert house.held() == {"account": 1, "trunk anyone": 1, "user 1002": 1}
    bob >> "BYE" >> house >> 200 >> bob
    house >> "BYE" >> alice >> 200 >> house
    assert house.held() == {}


async def test_a_user_is_named_or_each_is(house: House) -> None:
    alice, bob, carol = phones(house, "alice", "bob", "carol")
    house.register("1002", bob)
    talk(alice, house, bob)
    for name, status in (("1002", 486), (None, 486), ("1001", 100)):
        house.limit(limit(house, LimitScope.USER, name))
        carol.act("INVITE", house)
        house.wire.after(1)
        rungs = [rung.label for rung in house.wire.rungs if rung.receiver is carol]
        assert rungs[-1] == f"{status} INVITE", name
    assert house.held()["user 1002"] == 2


async def test_a_soft_limit_is_told_and_the_call_goes_on(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.limit(limit(house, LimitScope.ACCOUNT, hard=False))
    told: list[LimitPassed] = []
    house.bus.subscribe(LimitPassed, told.append)
    alice, dave = phones(house, "alice", "dave")
    answered(house, alice, "600")
    answered(house, dave, "600")
    assert [event.reached.current for event in told] == [1]
    assert house.switch.gate.limits.soft[LimitScope.ACCOUNT] == 1
    assert "a soft limit is passed: the account has 1 of 1 calls at a time" in caplog.text
    assert house.held() == {"account": 2, "trunk anyone": 2}
    assert not house.records


async def test_the_house_calls_out_within_limits(house: House) -> None:
    account = house.directory.default_account.id
    (bob,) = phones(house, "bob")
    house.register("1002", bob)

    class Silent:
        def begin(self, stage: Stage, now: float) -> None:
            """Says nothing."""

        def digit(self, digit: str, now: float) -> None:
            """Hears nothing."""

        def talking(self, talks: bool) -> None:
            """Likewise."""

        def leave(self, now: float) -> None:
            """Nothing is left."""

    house.limit(limit(house, LimitScope.USER, "1002"))
    call = house.switch.call_out(account, "1002", Silent(), "Ring back")
    assert house.held() == {"account": 1, "user 1002": 1}
    with pytest.raises(Barred, match="limit_user"):
        house.switch.call_out(account, "1002", Silent(), "Ring back")
    call.hangup(house.wire.now)
    assert house.held() == {}


# ---- fraud, seen from here


class Suspicious:
    """Lets nobody call a number that begins with 79."""

    def __init__(self) -> None:
        self.tried: list[Outward] = []
        self.over: list[tuple[str, float]] = []

    def attempt(self, outward: Outward, wall: float) -> str | None:
        self.tried.append(outward)
        return "too dear" if outward.numbers[0].startswith("79") else None

    def ended(self, key: str, talked_s: float, wall: float) -> None:
        self.over.append((key, round(talked_s)))


async def test_a_watchman_refuses_and_hears_of_the_end(house: House) -> None:
    house.switch.gate.watchman = watchman = Suspicious()
    asker, provider = phones(house, "asker", "provider")
    asker.number = "7912"
    asker >> "INVITE" >> house >> 100 >> asker
    house >> 403 >> asker >> "ACK" >> house
    assert (house.record.sip_status, house.record.reason) == (403, "toll_fraud: too dear")
    assert house.held() == {}
    asker.number = "7123"
    asker >> "INVITE" >> house >> 100 >> asker
    house >> "INVITE" >> provider >> 200 >> house >> "ACK" >> provider
    house >> 200 >> asker >> "ACK" >> house
    (call_id,) = house.switch.calls
    assert watchman.tried[-1] == Outward(call_id, house.directory.default_account.id, "anyone", ("7123", "7123"))
    house.wire.after(8)
    asker >> "BYE" >> house >> 200 >> asker
    house >> "BYE" >> provider >> 200 >> house
    assert watchman.over == [(call_id, 8)]
    assert house.held() == {}


# ---- leaks


async def test_a_leak_is_found_within_a_minute_and_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    gate, account = house.switch.gate, house.directory.default_account.id
    told: list[LimitLeaked] = []
    house.bus.subscribe(LimitLeaked, told.append)
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    gate.look(house.wire.now)
    lost = gate.limits.admit(Claims("call_lost", account, Direction.OUTBOUND, users=("1001",)), house.wire.now)
    gate.look(house.wire.now + 59)
    assert gate.limits.leaks == 0
    gate.look(house.wire.now + 60)
    assert gate.limits.leaks == 1
    assert [event.ticket for event in told] == [lost]
    assert f"a call that is over still counted: account {account}, user 1001" in caplog.text
    assert house.held() == {"account": 1, "trunk anyone": 1, "user 1002": 1}


# ---- five hundred calls


class Ports(PortPool):
    """The ports of several blocks as one pool."""

    def __init__(self, pools: list[PortPool]) -> None:
        super().__init__(2, 4, rest_s=0)
        self._free.clear()
        for pool in pools:
            self._free.extend(pool._free)
        self.size = len(self._free)


@pytest.fixture
def ports() -> Iterator[PortPool]:
    with ExitStack() as leases:
        yield Ports([leases.enter_context(leased_block()).rtp_pool() for _ in range(3)])


@pytest_asyncio.fixture
async def large(tmp_path: Path, ports: PortPool) -> AsyncIterator[House]:
    """A house with room for a hundred calls at a time."""
    config = config_in(tmp_path)
    store = await Store.open(sqlite_url(tmp_path / "house.db"))
    directory = await Directory.load(store, config, WALL)
    house = House(Wire(), directory, store, config, ports, tmp_path, legs=512)
    house.admission.max_calls, house.admission.setup_rate = 1000, 10_000
    yield house
    house.facilities.media.close()
    house.mover.close()
    await asyncio.wait_for(store.close(), 10)


class Faulty:
    """An act that fails when it begins, or when it has to leave."""

    def __init__(self, at_begin: bool) -> None:
        self._at_begin = at_begin

    def begin(self, stage: Stage, now: float) -> None:
        if self._at_begin:
            raise ZeroDivisionError
        stage.answer(now)

    def digit(self, digit: str, now: float) -> None:
        """Hears nothing."""

    def talking(self, talks: bool) -> None:
        """Likewise."""

    def leave(self, now: float) -> None:
        raise ZeroDivisionError


class Ending(Enum):
    """How one of the calls ends."""

    CALLER_BYE = auto()
    CALLEE_BYE = auto()
    CANCEL = auto()
    RING_TIMEOUT = auto()
    BUSY = auto()
    REDIRECT = auto()
    GONE = auto()  # the phone's address answers nothing
    NO_ACK = auto()
    CALLER_SILENT = auto()
    CALLEE_SILENT = auto()
    API = auto()
    API_WHILE_RINGING = auto()
    TOO_LONG = auto()
    REFER = auto()
    FAULT = auto()
    FAULT_WHEN_LEAVING = auto()
    PROVIDER_BYE = auto()
    PROVIDER_REFUSES = auto()
    HOUSE_BYE = auto()
    DRAIN = auto()


_NUMBERS = {
    Ending.GONE: "1001",
    Ending.NO_ACK: "600",
    Ending.CALLER_SILENT: "600",
    Ending.TOO_LONG: "600",
    Ending.HOUSE_BYE: "600",
    Ending.FAULT_WHEN_LEAVING: "500",
    Ending.PROVIDER_BYE: "7123",
    Ending.PROVIDER_REFUSES: "7124",
}
_RINGING = {Ending.CANCEL, Ending.RING_TIMEOUT, Ending.API_WHILE_RINGING, Ending.GONE}
_REFUSED = {Ending.BUSY: 486, Ending.REDIRECT: 302, Ending.PROVIDER_REFUSES: 503}


@dataclass
class OneOfMany:
    """One call: its ends on the wire, and the call in the house."""

    ending: Ending
    live: LiveCall
    caller: Any = None
    callee: Any = None


class Crowd:
    """Who calls, and who is called."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.alice, self.provider, self.bob = phones(house, "alice", "provider", "bob")
        house.register("1002", self.bob)
        house.register("1001", cast(Handset, SimpleNamespace(public=("10.9.9.9", 5060), name="gone")))
        house.acts[ExtensionKind.FLOW] = lambda extension, _record: Faulty(at_begin=extension.number == "501")

    def call(self, ending: Ending) -> OneOfMany | None:
        """None where it was not let in."""
        house, number = self.house, _NUMBERS.get(ending, "1002")
        before, known = set(house.switch.calls), len(self.bob.calls) + len(self.provider.calls)
        caller = None
        if ending is Ending.NO_ACK:
            ask(house, self.alice, "INVITE", "Contact: <sip:a@10.0.0.2>", uri=f"sip:{number}@lab.test")
        else:
            self.alice.number = number
            caller = self.alice.invite(house)
            house.wire.settle()
        new = [live for name, live in house.switch.calls.items() if name not in before]
        if not new:
            return None
        called = self.provider if number.startswith("7") else self.bob
        rung = len(self.bob.calls) + len(self.provider.calls) > known
        return OneOfMany(ending, new[0], caller, called.calls[-1] if rung else None)

    def answer(self, one: OneOfMany) -> None:
        now = self.house.wire.now
        if one.callee is None:
            return
        if one.ending in _REFUSED:
            one.callee.session.reject(_REFUSED[one.ending], now)
        elif one.ending in _RINGING:
            one.callee.session.ring(180, now)
        else:
            one.callee.session.accept(one.callee.sdp(), now)

    def end(self, one: OneOfMany) -> None:
        now, live = self.house.wire.now, one.live
        match one.ending:
            case Ending.CALLER_BYE | Ending.CANCEL | Ending.HOUSE_BYE | Ending.FAULT_WHEN_LEAVING:
                one.caller.session.hangup(now)
            case Ending.CALLEE_BYE | Ending.PROVIDER_BYE:
                one.callee.session.hangup(now)
            case Ending.REFER:
                one.caller.session.request("REFER", now)
                self.house.wire.settle()
                one.caller.session.hangup(now)
            case Ending.CALLER_SILENT | Ending.CALLEE_SILENT:
                leg = live.caller if one.ending is Ending.CALLER_SILENT else live.callee
                assert leg is not None
                leg.fell_silent(now)
            case Ending.API | Ending.API_WHILE_RINGING:
                assert self.house.switch.hangup(live.record.id, now)
            case Ending.FAULT:
                live.fail(now)
            case _:
                return  # the far side or time ends it, or the drain


WAVES, AT_ONCE = 5, 100


async def test_five_hundred_calls_ended_by_every_means_leave_nothing(
    large: House, caplog: pytest.LogCaptureFixture
) -> None:
    house, wire = large, large.wire
    house.limit(
        limit(house, LimitScope.ACCOUNT, most=AT_ONCE),
        limit(house, LimitScope.ACCOUNT, most=WAVES * AT_ONCE, per=1_000_000),
        limit(house, LimitScope.USER, "1002", most=80),
    )
    crowd, limits, admitted = Crowd(house), house.switch.gate.limits, 0
    for wave in range(WAVES):
        wanted = [list(Ending)[index % len(Ending)] for index in range(AT_ONCE)]
        many = [one for ending in wanted if (one := crowd.call(ending)) is not None]
        admitted += len(many)
        assert house.held()["account"] == AT_ONCE
        assert house.held()["user 1002"] == sum(
            one.callee is not None and one.callee.party is crowd.bob for one in many
        )
        assert crowd.call(Ending.CALLER_BYE) is None
        assert house.switch.refused[Refusal.LIMIT_ACCOUNT] == wave + 1
        for one in many:
            crowd.answer(one)
        wire.settle()
        assert house.held()["account"] == AT_ONCE - 5 * len(_REFUSED)
        for one in many:
            crowd.end(one)
        wire.after(45)  # rings too long, gone, and no ACK
        assert house.held()["account"] == 2 * AT_ONCE // len(Ending)  # who waits for the longest duration, or the drain
        if wave == WAVES - 1:
            house.switch.hangup_all(wire.now, "the daemon stops")
        wire.after(700)
        assert not house.switch.calls
        assert house.held() == {}
        assert len(limits) == 0
        assert house.empty()
    assert admitted == WAVES * AT_ONCE == 500
    reasons = {record.reason for record in house.records}
    assert len(reasons) == 13, reasons  # of twenty endings, some in the same words
    _past_the_hour(house, crowd)
    limits.reconcile(house.switch.alive(), wire.now)
    assert limits.leaks == 0
    assert "still counted" not in caplog.text


def _past_the_hour(house: House, crowd: Crowd) -> None:
    """The window is full of all five hundred; what is refused later, or breaks at once, holds nothing either."""
    assert crowd.call(Ending.CALLER_BYE) is None
    assert house.records[-1].reason == "limit_account: the account has 500 of 500 calls within 1000000 s"
    house.limit()
    for number, status in (("777", 404), ("501", 500)):
        crowd.alice.number = number
        crowd.alice.invite(house)
        house.wire.settle()
        assert house.records[-1].sip_status == status
    crowd.alice.number, crowd.alice.codecs = "600", "3"
    crowd.alice.invite(house)
    house.wire.settle()
    assert house.records[-1].sip_status == 488
    assert house.held() == {}


async def test_a_fault_of_ours_while_a_call_is_let_in_holds_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = Handset(house.wire, "asker")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(house.switch, "_caller_leg", broken)
    assert ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>")[-1].status == 500
    assert house.held() == {}
    monkeypatch.setattr(house.switch, "_caller_leg", lambda *_: None)
    ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>")
    assert house.held() == {}


async def test_without_ports_nothing_is_held(house: House) -> None:
    asker = Handset(house.wire, "asker")
    ports = house.facilities.media.ports
    while ports.size > ports.in_use:
        ports.take(0.0)
    assert ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>")[-1].status == 503
    assert house.held() == {}


async def redirected(house: House, contact: str) -> tuple[Handset, Handset]:
    house.facilities.limits = CallLimits(ring_timeout_s=30, max_duration_s=600, follow_redirects=True)
    alice, provider, bob = phones(house, "alice", "provider", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob
    bob.session.reject(302, house.wire.now, headers=[("Contact", f"<sip:{contact}@lab.test>")])
    bob >> 302 >> house >> "ACK" >> bob
    return alice, provider


async def test_a_redirect_is_counted_by_where_it_leads(house: House) -> None:
    alice, provider = await redirected(house, "7123")
    house >> "INVITE" >> provider >> 180 >> house >> 180 >> alice
    assert house.held() == {"account": 1, "trunk anyone": 1, "trunk wide": 1}
    alice >> "CANCEL" >> house
    house.wire.after(1)
    assert house.held() == {}


async def test_a_redirect_to_a_full_trunk_is_not_followed(house: House) -> None:
    house.limit(limit(house, LimitScope.TRUNK, "out", 0))
    alice, _ = await redirected(house, "8123")
    house >> 480 >> alice >> "ACK" >> house
    assert any("not redirected: limit_trunk" in line for line in ladder(house.recording()))
    assert house.held() == {}


# ---- whom a call goes on to


async def test_a_forward_to_a_full_trunk_and_one_abroad_are_refused(house: House) -> None:
    account = house.directory.default_account
    user = house.directory.user(account, "1002")
    assert user is not None
    alice, bob, carol = phones(house, "alice", "bob", "carol")
    house.register("1002", bob)
    users = house.directory._snapshot.users
    users[account.id, "1002"] = replace(user, forward_busy="7123")
    house.switch.gate.watchman = watchman = Suspicious()
    house.limit(limit(house, LimitScope.TRUNK, "wide"))
    busy = house.switch.gate.limits.admit(Claims("other", account.id, Direction.OUTBOUND, trunks=("wide",)), 0)
    assert isinstance(busy, Ticket)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 486 >> house >> "ACK" >> bob
    house >> 503 >> alice >> "ACK" >> house
    assert house.records[-1].reason == "limit_trunk: the trunk wide has 1 of 1 calls at a time"
    house.switch.gate.limits.release(busy)
    assert not watchman.tried
    users[account.id, "1002"] = replace(user, forward_busy="7912")
    carol >> "INVITE" >> house >> 100 >> carol
    house >> "INVITE" >> bob >> 486 >> house >> "ACK" >> bob
    house >> 403 >> carol >> "ACK" >> house
    assert house.records[-1].reason == "toll_fraud: too dear"
    assert [outward.numbers for outward in watchman.tried] == [("7912",)]
    assert house.held() == {}


async def test_a_forward_holds_its_trunk_as_long_as_it_rings_or_talks(house: House) -> None:
    account = house.directory.default_account
    user = house.directory.user(account, "1002")
    assert user is not None
    alice, provider, bob = phones(house, "alice", "provider", "bob")
    house.register("1002", bob)
    house.directory._snapshot.users[account.id, "1002"] = replace(user, forward_busy="7123")
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob
    assert house.held() == {"account": 1, "trunk anyone": 1, "user 1002": 1}
    bob >> 486 >> house >> "ACK" >> bob
    house >> "INVITE" >> provider >> 180 >> house >> 180 >> alice
    assert house.held() == {"account": 1, "trunk anyone": 1, "trunk wide": 1}
    provider >> 200 >> house >> "ACK" >> provider
    house >> 200 >> alice >> "ACK" >> house
    assert house.held() == {"account": 1, "trunk anyone": 1, "trunk wide": 1}
    provider >> "BYE" >> house >> 200 >> provider
    house.wire.after(1)
    assert house.held() == {}
