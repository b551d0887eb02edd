"""The rules of queues in virtual time: who is offered whom, what an answer is worth, how callers leave."""

from __future__ import annotations

import json
from random import Random
from typing import TypeVar

import pytest

from pbxd.services.queues.machine import CLAIM_S, Acd
from pbxd.services.queues.model import (
    Announce,
    Claimed,
    Connected,
    Event,
    Exit,
    Lease,
    Left,
    Offered,
    OperatorChanged,
    QueueRules,
    Returned,
    Seen,
    Strategy,
    Verdict,
    Why,
    Withdrawn,
)
from pbxd.services.queues.plain import plain, restored
from pbxd.services.queues.roster import REST_S
from pbxd.services.queues.table import CALLER, OPERATOR, STATUS, Activity, Control, Place, Status, Step, Turn

Kind = TypeVar("Kind")


class Stand:
    """One queue, some operators who are logged in, and what the machine said."""

    def __init__(self, *operators: str, penalties: dict[str, int] | None = None, **rules: object) -> None:
        self.now = 100.0
        self.leases = iter(range(1000))
        self.acd = Acd(lambda: f"lease_{next(self.leases)}", Random(1))
        self.rules = QueueRules("support", **rules)  # type: ignore[arg-type]
        members = {name: (penalties or {}).get(name, 0) for name in ("a", "b", "c")}
        self.acd.configure({"support": (self.rules, members)}, self.now)
        self.said: list[Event] = []
        for name in operators:
            self.login(name)

    def login(self, name: str) -> None:
        self.acd.see({name: Seen(True)}, self.now)
        assert self.acd.control(name, Control.LOGIN, self.now)
        self.now += 1

    def join(self, call: str, **more: object) -> Exit | None:
        return self.acd.join(call, "support", self.now, **more)  # type: ignore[arg-type]

    def after(self, seconds: float) -> None:
        """Time goes by, timer by timer."""
        until = self.now + seconds
        while (timer := self.acd.timer) is not None and timer <= until:
            self.now = timer
            self.acd.handle_timer(timer)
        self.now = until

    def told(self, kind: type[Kind]) -> list[Kind]:
        """The events of that kind since the last look; the others are kept."""
        self.said += self.acd.events_to_send()
        found: list[Kind] = [event for event in self.said if isinstance(event, kind)]
        self.said = [event for event in self.said if not isinstance(event, kind)]
        return found

    def offers(self) -> list[tuple[str, str]]:
        return [(event.lease.operator, event.lease.caller) for event in self.told(Offered)]

    def lease(self, operator: str) -> Lease:
        lease = self.acd.roster.get(operator).lease
        assert lease is not None
        return lease

    def answer(self, operator: str) -> Lease:
        """The operator answers and is connected."""
        lease = self.lease(operator)
        assert self.acd.confirm(lease.id, lease.epoch, self.now) is Verdict.WON
        assert self.acd.connected(lease, self.now)
        return lease

    def state(self, operator: str) -> tuple[Status, Activity]:
        found = self.acd.roster.get(operator)
        return found.status, found.activity


def test_a_caller_waits_until_somebody_logs_in_answers_and_wraps_up() -> None:
    stand = Stand()
    assert stand.join("x") is None
    stand.after(30)
    assert stand.offers() == []
    stand.login("a")
    assert stand.offers() == [("a", "x")]
    assert stand.state("a") == (Status.AVAILABLE, Activity.OFFERING)
    stand.answer("a")
    (connected,) = stand.told(Connected)
    assert connected.waited_s == 31
    assert stand.state("a") == (Status.AVAILABLE, Activity.IN_CALL)
    stand.after(60)
    stand.acd.leave("x", stand.now)
    (left,) = stand.told(Left)
    assert (left.exit, left.operator, left.waited_s, left.talked_s) == (Exit.ANSWERED, "a", 31, 60)
    assert stand.state("a") == (Status.AVAILABLE, Activity.WRAP_UP)
    stand.join("y")
    stand.after(9.9)
    assert stand.offers() == [], "wrap-up is 10 s"
    stand.after(0.2)
    assert stand.offers() == [("a", "y")]
    figures = stand.acd.day.queue("support")
    assert (figures.entered, figures.handled, figures.talked_s, figures.wrapped_s) == (2, 1, 60, 10)


def test_ring_time_is_20_s_and_a_late_answer_is_refused() -> None:
    stand = Stand("a", "b")
    stand.join("x")
    assert stand.offers() == [("a", "x")], "the longest idle"
    first = stand.lease("a")
    stand.after(19.9)
    assert stand.told(Withdrawn) == []
    stand.after(0.1)
    assert [(one.lease.operator, one.why) for one in stand.told(Withdrawn)] == [("a", Why.NO_ANSWER)]
    assert stand.offers() == [("b", "x")], "somebody else is tried first"
    assert stand.acd.confirm(first.id, first.epoch, stand.now) is Verdict.STALE
    assert stand.acd.confirm("lease_of_nobody", 1, stand.now) is Verdict.UNKNOWN
    stand.after(20)
    assert stand.offers() == [("a", "x")], "then it begins anew"
    again = stand.lease("a")
    assert (again.id, again.epoch) == (first.id, first.epoch + 1), "one lease, the next epoch"
    assert stand.acd.confirm(first.id, first.epoch, stand.now) is Verdict.STALE
    assert stand.acd.confirm(again.id, again.epoch, stand.now) is Verdict.WON


def test_three_missed_pause_and_an_answer_forgives() -> None:
    stand = Stand("a")
    stand.join("x")
    for _ in range(2):
        stand.after(20 + REST_S)
    assert stand.state("a")[0] is Status.AVAILABLE
    stand.answer("a")
    stand.acd.leave("x", stand.now)
    stand.join("y")
    stand.told(OperatorChanged)
    stand.after(10 + 3 * (20 + REST_S))
    assert stand.state("a") == (Status.ON_BREAK, Activity.WAITING)
    assert Why.AUTO_PAUSE in [one.why for one in stand.told(OperatorChanged)]
    assert stand.acd.day.operator("a").missed == 5
    stand.offers()
    stand.after(100)
    assert stand.offers() == []
    assert stand.acd.control("a", Control.UNPAUSE, stand.now)
    assert stand.offers() == [("a", "y")]


@pytest.mark.parametrize("why", [Why.DECLINED, Why.UNREACHABLE])
def test_a_phone_that_refuses_has_a_rest(why: Why) -> None:
    stand = Stand("a")
    stand.join("x")
    stand.offers()
    stand.acd.failed(stand.lease("a"), why, stand.now)
    assert stand.offers() == []
    stand.after(REST_S)
    assert stand.offers() == [("a", "x")]
    assert stand.acd.roster.get("a").missed == (1 if why is Why.DECLINED else 0)


def test_who_is_on_a_call_or_unreachable_is_never_offered_anybody() -> None:
    stand = Stand("a", "b")
    stand.acd.see({"a": Seen(True, on_call=True), "b": Seen(False)}, stand.now)
    stand.join("x")
    assert stand.offers() == []
    stand.acd.see({"a": Seen(True), "b": Seen(False)}, stand.now)
    assert stand.offers() == [("a", "x")]
    stand.acd.see({"a": Seen(True, on_call=True)}, stand.now)
    assert [one.why for one in stand.told(Withdrawn)] == [Why.ON_CALL], "while it rings they call somebody"
    assert stand.acd.roster.get("a").missed == 0
    stand.acd.see({"b": Seen(True)}, stand.now)
    assert stand.offers() == [("b", "x")]
    stand.acd.see({"b": Seen(False)}, stand.now)
    assert [one.why for one in stand.told(Withdrawn)] == [Why.UNREACHABLE], "its phone has died"


def test_ring_all_the_first_wins_and_the_others_ring_no_more() -> None:
    stand = Stand("a", "b", "c", strategy=Strategy.RING_ALL)
    stand.join("x")
    stand.join("y")
    assert stand.offers() == [("a", "x"), ("b", "x"), ("c", "x")]
    verdicts = [stand.acd.claim(name, "x", stand.now) for name in ["b", "a", "c"] * 34]
    assert verdicts.count(Verdict.WON) == 1
    assert verdicts[0] is Verdict.WON
    assert set(verdicts[1:]) == {Verdict.STALE}
    assert [(one.lease.operator, one.why) for one in stand.told(Withdrawn)] == [("a", Why.TAKEN), ("c", Why.TAKEN)]
    assert stand.offers() == [("a", "y"), ("c", "y")], "who is free again serves the next one"


def test_ring_all_and_everybody_answers_at_once() -> None:
    stand = Stand("a", "b", "c", strategy=Strategy.RING_ALL)
    stand.join("x")
    leases = [stand.lease(name) for name in "bca"]
    verdicts = [stand.acd.confirm(lease.id, lease.epoch, stand.now) for lease in leases]
    assert verdicts == [Verdict.WON, Verdict.STALE, Verdict.STALE]
    assert stand.state("b") == (Status.AVAILABLE, Activity.IN_CALL)
    assert [stand.acd.roster.get(name).missed for name in "ac"] == [0, 0], "who was slower has not missed it"
    assert stand.acd.connected(stand.lease("b"), stand.now)


def test_ring_all_rings_who_logs_in_later_too() -> None:
    stand = Stand("a", strategy=Strategy.RING_ALL)
    stand.join("x")
    assert stand.offers() == [("a", "x")]
    stand.login("b")
    assert stand.offers() == [("b", "x")]


def test_claims_from_outside() -> None:
    stand = Stand("a", "b")
    stand.join("x")
    assert stand.offers() == [("a", "x")]
    assert stand.acd.claim("nobody", "x", stand.now) is Verdict.UNKNOWN
    assert stand.acd.claim("b", "z", stand.now) is Verdict.UNKNOWN
    assert stand.acd.claim("b", "x", stand.now) is Verdict.WON, "free, and of the queue"
    assert [(one.lease.operator, one.why) for one in stand.told(Withdrawn)] == [("a", Why.TAKEN)]
    assert stand.acd.claim("a", "x", stand.now) is Verdict.STALE
    (claimed,) = stand.told(Claimed)
    stand.after(CLAIM_S)
    assert [(one.lease.operator, one.why) for one in stand.told(Returned)] == [("b", Why.NO_ANSWER)], "who did not come"
    assert not stand.acd.connected(claimed.lease, stand.now)
    assert stand.offers() == [("a", "x")], "the caller is not lost"


@pytest.mark.parametrize("moment", ["paused", "offline", "on_call", "of another queue"])
def test_who_may_not_claim(moment: str) -> None:
    stand = Stand("a")
    stand.acd.see({"a": Seen(False)}, stand.now)
    stand.join("x")
    if moment == "paused":
        stand.acd.control("a", Control.PAUSE, stand.now)
    elif moment == "offline":
        stand.acd.control("a", Control.LOGOUT, stand.now)
    elif moment == "on_call":
        stand.acd.see({"a": Seen(True, on_call=True)}, stand.now)
    else:
        stand.acd.control("a", Control.AVAILABLE, stand.now, {})
    assert stand.acd.claim("a", "x", stand.now) is Verdict.STALE


def test_exits_are_exact() -> None:
    stand = Stand("a", max_wait_s=60, max_callers=2)
    stand.acd.control("a", Control.PAUSE, stand.now)
    begun = stand.now
    stand.join("times out")
    stand.join("abandons")
    assert stand.join("too many") is Exit.QUEUE_FULL
    stand.after(10)
    stand.acd.leave("abandons", stand.now)
    stand.join("leaves")
    stand.acd.leave("leaves", stand.now, Exit.DIGIT)
    stand.acd.leave("leaves", stand.now, Exit.DIGIT)
    stand.after(50)
    lefts = {one.caller: (one.exit, one.waited_s) for one in stand.told(Left)}
    assert lefts == {
        "too many": (Exit.QUEUE_FULL, 0),
        "abandons": (Exit.ABANDON, 10),
        "leaves": (Exit.DIGIT, 0),
        "times out": (Exit.TIMEOUT, 60),
    }
    assert stand.now == begun + 60
    figures = stand.acd.day.queue("support")
    assert (figures.entered, figures.abandoned, figures.service_level) == (4, 1, 0.0)


def test_no_agents_at_once_and_when_the_last_one_leaves() -> None:
    stand = Stand()
    assert stand.join("x", wait_when_empty=False) is Exit.NO_AGENTS
    assert stand.join("patient", wait_when_empty=True) is None
    stand.login("a")
    stand.acd.control("a", Control.PAUSE, stand.now)
    assert stand.join("y", wait_when_empty=False) is None, "a break ends"
    stand.acd.control("a", Control.LOGOUT, stand.now)
    assert [(one.caller, one.exit) for one in stand.told(Left)] == [("x", Exit.NO_AGENTS), ("y", Exit.NO_AGENTS)]
    assert list(stand.acd.callers) == ["patient"]


def test_position_and_expected_wait_after_15_s_and_every_30() -> None:
    stand = Stand("a", announce_position=True, max_expected_wait_s=130)
    stand.join("x")
    stand.answer("a")
    stand.after(50)
    stand.acd.leave("x", stand.now)  # 50 s of talk and 10 of wrap-up
    stand.acd.control("a", Control.PAUSE, stand.now)
    stand.acd.control("a", Control.UNPAUSE, stand.now)
    stand.join("y")
    stand.after(10)
    stand.answer("a")
    stand.join("z")
    stand.told(Announce)
    begun, heard = stand.now, []
    for _ in range(50):
        stand.after(1)
        heard += [(stand.now - begun, one.caller, one.position, one.expected_s) for one in stand.told(Announce)]
    assert heard == [(15, "z", 1, 60.0), (45, "z", 1, 60.0)]
    assert stand.join("second") is None
    assert stand.join("third") is Exit.EWT, "three minutes"


def test_priority_goes_before_patience() -> None:
    stand = Stand()
    stand.join("first")
    stand.join("vip", priority=5)
    stand.join("last")
    assert [stand.acd.position(stand.acd.callers[one]) for one in ("first", "vip", "last")] == [2, 1, 3]
    stand.login("a")
    assert stand.offers() == [("a", "vip")]


def test_penalties_are_asked_last() -> None:
    stand = Stand("a", "b", "c", penalties={"a": 2, "b": 1})
    for caller in "xyz":
        stand.join(caller)
    assert stand.offers() == [("c", "x"), ("b", "y"), ("a", "z")]


def test_priority_asks_by_penalty_then_by_the_order_of_the_queue() -> None:
    stand = Stand("a", "b", "c", strategy=Strategy.PRIORITY, penalties={"a": 1}, wrap_up_s=0)
    asked = []
    for number in range(3):
        stand.join(f"call {number}")
        asked += stand.offers()
    assert asked == [("b", "call 0"), ("c", "call 1"), ("a", "call 2")]
    for name in "bca":
        stand.answer(name)
        stand.acd.leave(f"call {'bca'.index(name)}", stand.now)
    stand.join("again")
    assert stand.offers() == [("b", "again")], "not who has waited longest"


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        (Strategy.LONGEST_IDLE, ["a", "b", "c", "a"]),
        (Strategy.ROUND_ROBIN, ["a", "b", "c", "a"]),
        (Strategy.LEAST_CALLS, ["a", "b", "c", "a"]),
        (Strategy.PRIORITY, ["a", "a", "a", "a"]),
    ],
)
def test_whose_turn_it_is(strategy: Strategy, wanted: list[str]) -> None:
    stand = Stand("a", "b", "c", strategy=strategy, wrap_up_s=0)
    asked = []
    for number in range(4):
        stand.join(f"call {number}")
        ((operator, caller),) = stand.offers()
        asked.append(operator)
        stand.answer(operator)
        stand.after(10)
        stand.acd.leave(caller, stand.now)
    assert asked == wanted


def test_round_robin_counts_turns_and_longest_idle_time() -> None:
    """They differ when somebody has talked for long."""
    turns = {}
    for strategy in (Strategy.ROUND_ROBIN, Strategy.LONGEST_IDLE):
        stand = Stand("a", "b", strategy=strategy, wrap_up_s=0)
        stand.join("long")
        stand.answer("a")
        stand.join("short")
        stand.answer("b")
        stand.after(5)
        stand.acd.leave("short", stand.now)
        stand.after(5)
        stand.acd.leave("long", stand.now)
        stand.offers()
        stand.join("next")
        turns[strategy] = stand.offers()
    assert turns == {Strategy.ROUND_ROBIN: [("a", "next")], Strategy.LONGEST_IDLE: [("b", "next")]}


def test_who_answers_and_does_not_come_gives_the_caller_back_its_place() -> None:
    stand = Stand("a")
    stand.join("x")
    stand.join("y")
    lease = stand.lease("a")
    stand.acd.confirm(lease.id, lease.epoch, stand.now)
    assert stand.acd.position(stand.acd.callers["y"]) == 1
    stand.acd.failed(lease, Why.DECLINED, stand.now)
    assert stand.acd.position(stand.acd.callers["x"]) == 1
    assert stand.acd.callers["x"].place is Place.WAITING
    assert stand.state("a") == (Status.AVAILABLE, Activity.WAITING)


def test_a_caller_who_hangs_up_while_claimed_has_abandoned() -> None:
    stand = Stand("a")
    stand.join("x")
    lease = stand.lease("a")
    stand.acd.confirm(lease.id, lease.epoch, stand.now)
    stand.acd.leave("x", stand.now)
    (left,) = stand.told(Left)
    assert (left.exit, left.operator) == (Exit.ABANDON, None)
    assert [(one.lease.operator, one.why) for one in stand.told(Withdrawn)] == [("a", Why.CALLER_LEFT)]
    assert stand.acd.roster.get("a").missed == 0


def test_pause_and_logout_while_it_rings_and_while_they_talk() -> None:
    stand = Stand("a", "b")
    stand.join("x")
    stand.acd.control("a", Control.PAUSE, stand.now)
    assert [one.why for one in stand.told(Withdrawn)] == [Why.NOT_AVAILABLE]
    assert stand.acd.roster.get("a").missed == 0
    stand.answer("b")
    stand.acd.control("b", Control.LOGOUT, stand.now)
    assert stand.state("b") == (Status.OFFLINE, Activity.IN_CALL), "the conversation goes on"
    stand.acd.leave("x", stand.now)
    stand.after(10)
    assert stand.state("b") == (Status.OFFLINE, Activity.WAITING)
    assert not stand.acd.control("b", Control.PAUSE, stand.now)
    assert not stand.acd.control("b", Control.UNPAUSE, stand.now)


def test_available_ends_wrap_up() -> None:
    stand = Stand("a")
    stand.join("x")
    stand.answer("a")
    stand.acd.leave("x", stand.now)
    stand.join("y")
    stand.offers()
    assert stand.acd.control("a", Control.AVAILABLE, stand.now)
    assert stand.offers() == [("a", "y")]


def test_one_operator_of_two_queues_serves_who_waits_longest() -> None:
    stand = Stand()
    both = {name: (QueueRules(name), {"a": 0}) for name in ("support", "sales")}
    stand.acd.configure(both, stand.now)
    stand.acd.join("later", "support", stand.now + 1)
    stand.acd.join("earlier", "sales", stand.now)
    stand.login("a")
    assert stand.offers() == [("a", "earlier")]
    stand.acd.control("a", Control.AVAILABLE, stand.now, {"support": 0})
    assert [one.why for one in stand.told(Withdrawn)] == [Why.NOT_AVAILABLE], "no longer of this queue"
    assert stand.offers() == [("a", "later")]


def test_a_queue_that_is_gone_lets_everybody_go() -> None:
    stand = Stand("a")
    stand.join("x")
    stand.acd.configure({}, stand.now)
    assert [(one.caller, one.exit) for one in stand.told(Left)] == [("x", Exit.NO_AGENTS)]
    assert stand.state("a") == (Status.AVAILABLE, Activity.WAITING)


def test_members_who_come_and_go_with_the_configuration() -> None:
    stand = Stand("a")
    stand.join("x")
    stand.answer("a")
    stand.acd.configure({"support": (stand.rules, {"b": 3})}, stand.now)
    assert stand.acd.roster.get("a").queues == {}
    assert stand.acd.queues_of("b") == {"support": 3}


def test_another_day_counts_anew() -> None:
    stand = Stand("a")
    stand.join("x")
    stand.answer("a")
    stand.acd.leave("x", stand.now)
    over = stand.acd.begin_day("2026-03-02", stand.now + 59)
    assert (over.queue("support").handled, over.operator("a").logged_in_s) == (1, 60)
    assert stand.acd.day.queue("support").handled == 0
    assert stand.acd.day.name == "2026-03-02"


def test_the_state_travels_as_plain_data_and_goes_on() -> None:
    stand = Stand("a", "b", announce_position=True)
    for caller in ("talks", "rings", "waits"):
        stand.join(caller, number="1001", priority=0)
    stand.answer("a")
    stand.after(4)
    stand.offers()
    data = json.loads(json.dumps(plain(stand.acd, stand.now)))
    stand.acd = restored(data, lambda: "lease_new", Random(1), now := 5_000.0)
    stand.now = now
    assert stand.state("a") == (Status.AVAILABLE, Activity.IN_CALL)
    ringing = stand.lease("b")
    assert (ringing.caller, ringing.until) == ("rings", now + 16)
    assert stand.acd.position(stand.acd.callers["waits"]) == 2
    stand.after(16)
    assert [one.why for one in stand.told(Withdrawn)] == [Why.NO_ANSWER]
    stand.acd.leave("talks", stand.now)
    stand.after(10)
    assert stand.offers() == [("b", "rings"), ("a", "waits")], "b after its rest, a after its wrap-up"
    assert stand.acd.day.queue("support").entered == 3


def test_a_phone_at_a_node_rings_for_callers_at_nodes_only() -> None:
    stand = Stand("a")
    stand.acd.see({"a": Seen(True, afar=True)}, stand.now)
    stand.join("here")
    assert stand.offers() == []
    stand.join("there", remote=True)
    assert stand.offers() == [("a", "there")]
    stand.acd.leave("there", stand.now)
    stand.acd.see({"a": Seen(True)}, stand.now)
    assert stand.offers() == [("a", "here")]
    stand.acd.see({"a": Seen(True, afar=True)}, stand.now)
    assert [one.why for one in stand.told(Withdrawn)][-1] is Why.UNREACHABLE, "its phone here has gone"


def test_who_comes_back_takes_the_place_that_it_had() -> None:
    stand = Stand(max_wait_s=60)
    stand.join("new")
    stand.join("back", remote=True, waited_s=50)
    assert [stand.acd.position(stand.acd.callers[one]) for one in ("back", "new")] == [1, 2]
    stand.after(10)
    assert [(one.caller, one.exit) for one in stand.told(Left)] == [("back", Exit.TIMEOUT)]
    stand.join("at node", remote=True)
    assert stand.acd.interrupt(stand.now, {"at node"}) == {"at node"}
    figures = stand.acd.day.queue("support")
    assert (figures.entered, figures.exits[Exit.INTERRUPTED]) == (2, 1), "who is at a node comes back again"


def test_calls_at_nodes_that_ended_before_the_restart_hold_nobody() -> None:
    stand = Stand("a", "b")
    for name in ("a", "b"):
        stand.acd.see({name: Seen(True, False, afar=True)}, stand.now)
    for caller in ("talks", "talked", "waited"):
        stand.join(caller, remote=True)
    stand.answer("a")
    stand.answer("b")
    stand.after(5)
    stand.told(Left)
    assert stand.acd.interrupt(stand.now, {"talks"}) == set()
    assert {one.caller: (one.exit, one.operator) for one in stand.told(Left)} == {
        "talked": (Exit.ANSWERED, "b"),
        "waited": (Exit.ABANDON, None),
    }
    assert stand.state("a") == (Status.AVAILABLE, Activity.IN_CALL)
    assert stand.state("b") == (Status.AVAILABLE, Activity.WRAP_UP)


def test_a_house_that_stops_interrupts_who_waits_and_offers_nothing_more() -> None:
    stand = Stand("a", "b", "c")
    for caller in ("talks", "is claimed", "rings", "waits"):
        stand.join(caller)
    stand.answer("a")
    claimed = stand.lease("b")
    stand.acd.confirm(claimed.id, claimed.epoch, stand.now)
    stand.after(5)
    stand.offers()
    assert stand.acd.interrupt(stand.now, ()) == set()
    assert {one.caller: (one.exit, one.operator, one.talked_s) for one in stand.told(Left)} == {
        "talks": (Exit.ANSWERED, "a", 5),
        "is claimed": (Exit.INTERRUPTED, None, 0),
        "rings": (Exit.INTERRUPTED, None, 0),
        "waits": (Exit.INTERRUPTED, None, 0),
    }
    assert stand.offers() == []
    assert stand.state("a") == (Status.AVAILABLE, Activity.WRAP_UP)
    assert [stand.state(name) for name in "bc"] == [(Status.AVAILABLE, Activity.WAITING)] * 2
    figures = stand.acd.day.queue("support")
    assert (figures.handled, figures.abandoned, figures.exits[Exit.INTERRUPTED]) == (1, 0, 3)
    assert [stand.acd.day.operator(name).missed for name in "abc"] == [0, 0, 0]


@pytest.mark.parametrize("data", [{}, {"version": 0}, {"version": 1}, {"version": 1, "queues": [{"rules": {}}]}])
def test_what_is_no_state_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="state of the queues"):
        restored(data, lambda: "", Random(1), 0.0)


def test_a_call_waits_once_and_only_where_there_is_a_queue() -> None:
    stand = Stand()
    stand.join("x")
    with pytest.raises(ValueError, match="waits already"):
        stand.join("x")
    with pytest.raises(KeyError):
        stand.acd.join("y", "sales", stand.now)
    stand.acd.leave("never here", stand.now)


def test_the_tables_know_every_state_and_event() -> None:
    assert {place for place, _ in CALLER} == set(Place) - {Place.LEFT}
    assert {step for _, step in CALLER} == set(Step)
    assert {activity for activity, _ in OPERATOR} == set(Activity)
    assert {turn for _, turn in OPERATOR} == set(Turn)
    assert {event for _, event in STATUS} == set(Control)
