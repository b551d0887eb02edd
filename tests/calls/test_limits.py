"""What a call is counted against, and that it is given back: once, whatever happens in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from pbxd.calls import limits as limits_module
from pbxd.calls.limits import LEASE_S, Claims, LimitReached, Limits, Subject, Ticket
from pbxd.calls.record import Direction
from pbxd.config.groups import LimitDirection, LimitScope
from pbxd.directory.model import CallLimit
from pbxd.errors import Overloaded

ACCOUNT = "acc_1"


def limit(
    scope: LimitScope = LimitScope.ACCOUNT,
    name: str = "",
    most: int = 2,
    *,
    per: int = 0,
    hard: bool = True,
    direction: LimitDirection = LimitDirection.ANY,
    account: str = ACCOUNT,
) -> CallLimit:
    """One limit, its id made of all it says."""
    made = f"{account}/{scope}/{name}/{direction}/{per}"
    return CallLimit(made, account, "lim", scope, name, direction, per, most, hard)


@dataclass
class Book:
    """Rules as a list."""

    rules: list[CallLimit] = field(default_factory=list)

    def of(self, subject: Subject) -> Iterator[CallLimit]:
        for one in self.rules:
            named = subject.scope is LimitScope.ACCOUNT or one.scope_id in (None, subject.id)
            if one.account_id == subject.account_id and one.scope_kind is subject.scope and named:
                yield one

    def named(self, account_id: str) -> Iterable[tuple[Subject, CallLimit]]:
        for one in self.rules:
            if one.account_id == account_id:
                yield Subject(account_id, one.scope_kind, one.scope_id or account_id), one


def counters(*rules: CallLimit) -> Limits:
    return Limits(Book(list(rules)))


def claims(
    call: str,
    direction: Direction = Direction.OUTBOUND,
    *,
    users: tuple[str, ...] = (),
    trunks: tuple[str, ...] = (),
) -> Claims:
    return Claims(call, ACCOUNT, direction, users=users, trunks=trunks)


def admitted(limits: Limits, wanted: Claims, now: float = 0.0) -> Ticket:
    found = limits.admit(wanted, now)
    assert isinstance(found, Ticket)
    return found


def refused(limits: Limits, wanted: Claims, now: float = 0.0) -> LimitReached:
    found = limits.admit(wanted, now)
    assert isinstance(found, LimitReached)
    return found


def current(limits: Limits, now: float = 0.0) -> dict[tuple[str, str, str], int]:
    return {(str(one.scope), one.id, str(one.direction)): one.current for one in limits.readings(ACCOUNT, now)}


# ---- at a time


def test_a_call_over_the_limit_is_refused_until_one_has_ended() -> None:
    limits = counters(limit(most=2))
    first, _ = admitted(limits, claims("a")), admitted(limits, claims("b"))
    reached = refused(limits, claims("c"))
    assert (reached.reason, reached.text) == ("limit_account", "the account has 2 of 2 calls at a time")
    assert reached.retry_after_s is None
    assert limits.release(first)
    admitted(limits, claims("c"))


def test_a_ticket_is_given_back_once() -> None:
    limits = counters(limit(most=2))
    ticket = admitted(limits, claims("a"))
    admitted(limits, claims("b"))
    assert [limits.release(ticket), limits.release(ticket)] == [True, False]
    assert limits.release_call(ACCOUNT, "a") == 0
    assert current(limits)[("account", ACCOUNT, "any")] == 1


def test_an_old_ticket_does_not_give_back_a_new_one_of_the_same_call() -> None:
    limits = counters()
    old = admitted(limits, claims("a"))
    assert limits.release(old)
    new = admitted(limits, claims("a"))
    assert not limits.release(old)
    assert limits.held(new.subjects[0]) == 1


def test_who_asks_twice_is_counted_once() -> None:
    limits = counters(limit(most=1), limit(per=60, most=5))
    assert admitted(limits, claims("a", users=("1001",))) is admitted(limits, claims("a", users=("1001",)))
    assert current(limits) == {("account", ACCOUNT, "any"): 1, ("user", "1001", "any"): 1}
    assert [one.current for one in limits.readings(ACCOUNT, 0.0) if one.limit and one.limit.period_s] == [1]


def test_the_same_id_in_another_account_is_another_call() -> None:
    limits = counters()
    admitted(limits, claims("a"))
    other = admitted(limits, replace(claims("a"), account_id="acc_2"))
    assert len(limits) == 2
    limits.release(other)
    assert current(limits)[("account", ACCOUNT, "any")] == 1


def test_who_asks_for_something_else_changes_their_ticket() -> None:
    limits = counters(limit(most=1), limit(LimitScope.TRUNK, "full", 0), limit(LimitScope.TRUNK, "free", 1))
    old = admitted(limits, claims("a", trunks=("free",)))
    assert refused(limits, claims("a", trunks=("full",))).id == "full"
    assert current(limits)[("trunk", "free", "any")] == 1  # nothing was lost
    admitted(limits, claims("a", trunks=("other",)))
    assert not limits.release(old)
    assert current(limits) == {
        ("account", ACCOUNT, "any"): 1,
        ("trunk", "free", "any"): 0,
        ("trunk", "full", "any"): 0,
        ("trunk", "other", "any"): 1,
    }


def test_all_or_nothing() -> None:
    limits = counters(limit(most=10), limit(LimitScope.USER, "1001", 10, per=60), limit(LimitScope.TRUNK, "out", 0))
    reached = refused(limits, claims("a", users=("1001",), trunks=("out",)))
    assert (reached.scope, reached.id) == (LimitScope.TRUNK, "out")
    assert set(current(limits).values()) == {0}
    assert len(limits) == 0


def test_a_direction_counts_its_own() -> None:
    limits = counters(limit(most=1, direction=LimitDirection.INBOUND))
    admitted(limits, claims("a", Direction.OUTBOUND))
    admitted(limits, claims("b", Direction.INBOUND))
    admitted(limits, claims("c", Direction.INTERNAL))
    reached = refused(limits, claims("d", Direction.INBOUND))
    assert reached.text == "the account has 1 of 1 inbound calls at a time"


def test_a_part_counts_against_what_it_names_and_not_against_the_account() -> None:
    limits = counters(limit(most=1), limit(LimitScope.TRUNK, "out", 2))
    admitted(limits, claims("a"))
    parts = [admitted(limits, replace(claims("a", trunks=("out",)), part=str(number))) for number in (1, 2)]
    refused(limits, replace(claims("a", trunks=("out",)), part="3"))
    limits.release(parts[0])
    assert current(limits) == {("account", ACCOUNT, "any"): 1, ("trunk", "out", "any"): 1}
    assert limits.release_call(ACCOUNT, "a") == 2
    assert set(current(limits).values()) == {0}


@pytest.mark.parametrize(
    ("scope", "direction", "answer"),
    [
        (LimitScope.ACCOUNT, Direction.OUTBOUND, (503, 34)),
        (LimitScope.TRUNK, Direction.OUTBOUND, (503, 34)),
        (LimitScope.TRUNK, Direction.INBOUND, (486, 17)),
        (LimitScope.ACCOUNT, Direction.INBOUND, (486, 17)),
        (LimitScope.NUMBER, Direction.INBOUND, (486, 17)),
        (LimitScope.USER, Direction.OUTBOUND, (486, 17)),
    ],
)
def test_what_the_caller_is_told(scope: LimitScope, direction: Direction, answer: tuple[int, int]) -> None:
    assert LimitReached(scope, "x", limit(scope, "x"), 2).answer(direction) == answer


# ---- within a window


def test_a_window_slides() -> None:
    limits = counters(limit(most=2, per=60))
    for at in (0.0, 20.0):
        limits.release(admitted(limits, claims(f"{at}"), at))
    reached = refused(limits, claims("c"), 59.5)
    assert (reached.retry_after_s, reached.text) == (1, "the account has 2 of 2 calls within 60 s")
    admitted(limits, claims("c"), 60.0)
    assert refused(limits, claims("d"), 61.0).retry_after_s == 19
    admitted(limits, claims("d"), 80.0)


def test_a_refused_call_does_not_count_in_a_window() -> None:
    limits = counters(limit(most=1, per=60))
    admitted(limits, claims("a"), 0.0)
    for at in range(1, 60):
        refused(limits, claims(f"b{at}"), at)
    admitted(limits, claims("c"), 60.0)


def test_a_window_is_kept_when_its_limit_changes() -> None:
    book = Book([limit(most=2, per=60)])
    limits = Limits(book)
    admitted(limits, claims("a"), 0.0)
    admitted(limits, claims("b"), 1.0)
    book.rules = [replace(book.rules[0], max_count=3)]
    admitted(limits, claims("c"), 2.0)
    refused(limits, claims("d"), 3.0)


def test_a_window_of_what_is_over_is_forgotten() -> None:
    limits = counters(limit(most=2, per=60))
    limits.release(admitted(limits, claims("a"), 0.0))
    limits.reconcile((), 59.0)
    assert len(limits._windows) == 1
    limits.reconcile((), 60.0)
    assert not limits._windows


# ---- soft


def test_a_soft_limit_warns_and_lets_through() -> None:
    limits = counters(limit(most=1, hard=False), limit(most=1, per=60, hard=False))
    assert admitted(limits, claims("a")).warnings == ()
    warnings = admitted(limits, claims("b")).warnings
    assert [warning.limit.period_s for warning in warnings] == [0, 60]
    assert limits.soft[LimitScope.ACCOUNT] == 2
    for number in range(20):
        admitted(limits, claims(f"c{number}"))
    assert [one.current for one in limits.readings(ACCOUNT, 0.0)] == [22, 3]  # a window counts to twice and one more


# ---- when it does not match


def test_a_leak_is_found_counted_and_given_back() -> None:
    limits = counters(limit(most=2))
    gone, alive = admitted(limits, claims("gone")), admitted(limits, claims("alive"))
    assert limits.reconcile({"alive"}, 60.0) == [gone]
    assert limits.leaks == 1
    assert not limits.release(gone)
    assert current(limits)[("account", ACCOUNT, "any")] == 1
    assert limits.reconcile({"alive"}, 120.0) == []
    assert limits.release(alive)


def test_a_call_elsewhere_lives_as_long_as_is_heard_of_it() -> None:
    limits = counters(limit(most=1))
    wanted = replace(claims("remote"), remote=True)
    ticket = admitted(limits, wanted, 0.0)
    assert limits.reconcile((), LEASE_S - 1) == []
    assert limits.renew(ACCOUNT, "remote", LEASE_S - 1)
    assert limits.reconcile((), 2 * LEASE_S - 2) == []
    assert limits.reconcile((), 2 * LEASE_S) == [ticket]
    assert not limits.renew(ACCOUNT, "remote", 2 * LEASE_S)


def test_a_reset_clears_what_is_stuck_and_leaves_what_is_there() -> None:
    limits = counters(limit(most=9), limit(most=3, per=60))
    admitted(limits, claims("alive"))
    stuck = [admitted(limits, claims("stuck")), admitted(limits, replace(claims("elsewhere"), remote=True))]
    other = admitted(limits, replace(claims("stuck"), account_id="acc_2"))
    assert limits.reset(ACCOUNT, {"alive"}) == stuck
    assert [one.current for one in limits.readings(ACCOUNT, 0.0)] == [1, 0]
    assert limits.held(other.subjects[0]) == 1
    assert limits.leaks == 0


def test_there_is_no_end_of_room_that_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "MAX_TICKETS", 2)
    limits = counters()
    admitted(limits, claims("a"))
    admitted(limits, claims("b"))
    with pytest.raises(Overloaded):
        limits.admit(claims("c"), 0.0)
    admitted(limits, claims("a"))  # who is in may ask again


# ---- any sequence

NAMES = st.sampled_from(["1001", "1002"])
ANY_CLAIMS = st.builds(
    Claims,
    call_id=st.sampled_from([f"call{number}" for number in range(6)]),
    account_id=st.sampled_from([ACCOUNT, "acc_2"]),
    direction=st.sampled_from(list(Direction)),
    users=st.lists(NAMES, max_size=2).map(tuple),
    numbers=st.lists(st.just("+4930123456"), max_size=1).map(tuple),
    trunks=st.lists(st.sampled_from(["in", "out"]), max_size=2).map(tuple),
    part=st.sampled_from(["", "1", "2"]),
    remote=st.booleans(),
)
ANY_LIMITS = st.lists(
    st.builds(
        CallLimit,
        id=st.uuids().map(str),
        name=st.just("any"),
        account_id=st.sampled_from([ACCOUNT, "acc_2"]),
        scope_kind=st.sampled_from(list(LimitScope)),
        scope_id=st.sampled_from(["1001", "1002", "+4930123456", "in", "out", None]),
        direction=st.sampled_from(list(LimitDirection)),
        period_s=st.sampled_from([0, 0, 30]),
        max_count=st.integers(0, 4),
        hard=st.sampled_from([True, True, False]),
    ),
    max_size=6,
)


class Sequences(RuleBasedStateMachine):
    """Everything that may be done, in any order, against a second way of counting."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.limits = Limits(self.book)
        self.now = 0.0
        self.held: dict[tuple[str, str, str], Ticket] = {}

    @rule(rules=ANY_LIMITS)
    def change_limits(self, rules: list[CallLimit]) -> None:
        self.book.rules = rules

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=tickets, wanted=ANY_CLAIMS)
    def admit(self, wanted: Claims) -> object:
        found = self.limits.admit(wanted, self.now)
        if isinstance(found, LimitReached):
            assert found.limit.hard
            assert found.current >= found.limit.max_count
            return multiple()
        self.held[wanted.account_id, wanted.call_id, wanted.part] = found
        return found

    @rule(ticket=tickets)
    def release(self, ticket: Ticket) -> None:
        key = ticket.claims.account_id, ticket.claims.call_id, ticket.claims.part
        mine = self.held.get(key) is ticket
        assert self.limits.release(ticket) is mine
        if mine:
            del self.held[key]

    @rule(account=st.sampled_from([ACCOUNT, "acc_2"]), number=st.integers(0, 5))
    def end_call(self, account: str, number: int) -> None:
        mine = [key for key in self.held if key[:2] == (account, f"call{number}")]
        assert self.limits.release_call(account, f"call{number}") == len(mine)
        for key in mine:
            del self.held[key]

    @rule(live=st.sets(st.sampled_from([f"call{number}" for number in range(6)])))
    def reconcile(self, live: set[str]) -> None:
        leaked = self.limits.reconcile(live, self.now)
        assert all(ticket.claims.remote or ticket.claims.call_id not in live for ticket in leaked)
        self.held = {key: ticket for key, ticket in self.held.items() if ticket not in leaked}
        assert all(ticket.claims.remote or ticket.claims.call_id in live for ticket in self.held.values())

    @rule(account=st.sampled_from([ACCOUNT, "acc_2"]), live=st.sets(st.sampled_from(["call0", "call1"])))
    def reset(self, account: str, live: set[str]) -> None:
        cleared = self.limits.reset(account, live)
        self.held = {key: ticket for key, ticket in self.held.items() if ticket not in cleared}
        assert all(key[1] in live for key in self.held if key[0] == account)

    @invariant()
    def every_counter_is_the_sum_of_the_tickets(self) -> None:
        assert len(self.limits) == len(self.held)
        wanted = Counter(subject for ticket in self.held.values() for subject in ticket.subjects)
        assert {subject: counts.total() for subject, counts in self.limits._held.items()} == wanted
        for subject, counts in self.limits._held.items():
            assert all(number >= 0 for number in counts.values())
            assert sum(self.limits.held(subject, LimitDirection(one.value)) for one in Direction) == wanted[subject]

    def teardown(self) -> None:
        for ticket in list(self.held.values()):
            assert self.limits.release(ticket)
        assert not self.limits._held
        assert not self.limits._calls
        assert not self.limits._leases


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(rules=ANY_LIMITS, wanted=st.lists(ANY_CLAIMS, max_size=30))
def test_a_refusal_changes_nothing(rules: list[CallLimit], wanted: list[Claims]) -> None:
    limits = Limits(Book(rules))
    for one in wanted:
        before = {subject: dict(+counts) for subject, counts in limits._held.items()}
        windows = {place: list(window.times) for place, window in limits._windows.items()}
        if isinstance(limits.admit(one, 0.0), LimitReached):
            assert {subject: dict(+counts) for subject, counts in limits._held.items()} == before
            assert {place: list(window.times) for place, window in limits._windows.items()} == windows
