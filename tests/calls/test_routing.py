"""Numbers, and what happens to a call for them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from dialplan.hours import Opening
from pbxd.calls.admission import Admission, Refusal
from pbxd.calls.causes import q850_in, q850_of, reason_q850
from pbxd.calls.dial import Refused, best_of
from pbxd.calls.record import Direction
from pbxd.calls.routing import (
    Reject,
    ToEcho,
    ToGroup,
    ToHouse,
    ToTrunk,
    ToUser,
    described,
    number_called,
    onward,
    route,
)
from pbxd.directory.model import (
    Account,
    Destination,
    DestinationKind,
    Extension,
    ExtensionKind,
    Number,
    RingGroup,
    Trunk,
    User,
)

HOUSE = Account("acc_1", "house", "House", "pbxd")
ALICE = User("us_1", "acc_1", "1001", "Alice")
OUT = Trunk("tr_1", "acc_1", "out", "sip:192.0.2.1")
DID = "+12025550123"
GROUP = RingGroup("rgp_1", "acc_1", "sales", ("1001", "1003", "gone"))
OTHERS = Account("acc_2", "other", "Other", "other.example")


@dataclass
class Numbers:
    extensions: dict[str, Extension] = field(default_factory=dict)
    direct: dict[str, Number] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=lambda: {"1001": ALICE})
    wholesale: Trunk | None = None

    def extension(self, account: Account, number: str) -> Extension | None:
        return self.extensions.get(number)

    def coded(self, account: Account, dialled: str) -> Extension | None:
        return self.extensions.get("*55") if dialled.startswith("*55") else None

    def user(self, account: Account, name: str) -> User | None:
        return self.users.get(name)

    def outbound(self, account: Account, number: str) -> tuple[Trunk, str] | None:
        return (OUT, "9" + number) if number.startswith("8") else None

    def carrier(self, account: Account) -> Trunk | None:
        return self.wholesale

    def number(self, e164: str) -> Number | None:
        return self.direct.get(e164)

    def ring_group(self, account: Account, name: str) -> RingGroup | None:
        return GROUP if name == "sales" else None


def extension(number: str, kind: ExtensionKind, user: str | None = None) -> Extension:
    return Extension("ext_1", "acc_1", number, kind, user)


NUMBERS = Numbers(
    {
        "600": extension("600", ExtensionKind.ECHO),
        "1001": extension("1001", ExtensionKind.USER, "1001"),
        "1002": extension("1002", ExtensionKind.USER, "gone"),
    }
)


def test_an_extension_rings_its_user() -> None:
    found = route(NUMBERS, HOUSE, "1001", source=None)
    assert found == ToUser(ALICE, NUMBERS.extensions["1001"], Direction.INTERNAL)


def test_a_call_from_a_trunk_is_inbound() -> None:
    found = route(NUMBERS, HOUSE, "600", source=OUT)
    assert found == ToEcho(NUMBERS.extensions["600"], Direction.INBOUND)


def test_what_is_no_extension_may_leave_by_a_trunk() -> None:
    assert route(NUMBERS, HOUSE, "8123", source=None) == ToTrunk(OUT, "98123")


def test_a_trunk_calls_out_only_in_transit() -> None:
    assert route(NUMBERS, HOUSE, "8123", source=OUT) == Reject(403, "calls of this trunk may not leave again")
    through = replace(OUT, transit=True)
    assert route(NUMBERS, HOUSE, "8123", source=through) == ToTrunk(OUT, "98123")


def test_what_leads_nowhere_is_refused_with_the_right_status() -> None:
    assert route(NUMBERS, HOUSE, "777", source=None) == Reject(404, "no such number")
    assert route(NUMBERS, HOUSE, "", source=None) == Reject(484, "no number was dialled")
    assert route(NUMBERS, HOUSE, "1002", source=None) == Reject(404, "the extension has no user")


def test_a_code_is_dialled_with_a_number_behind_it() -> None:
    coded = Numbers({"*55": extension("*55", ExtensionKind.LISTEN), "*551": extension("*551", ExtensionKind.ECHO)})
    for dialled in ("*55", "*551002"):
        assert route(coded, HOUSE, dialled, source=None) == ToHouse(coded.extensions["*55"], Direction.INTERNAL)
    assert isinstance(route(coded, HOUSE, "*551", source=None), ToEcho), "a number of its own goes first"


WHOLESALE = replace(OUT, id="tr_9", name="wholesale")
WITH_CARRIER = replace(NUMBERS, wholesale=WHOLESALE)


@pytest.mark.parametrize("dialled", ["+14155551234", "14155551234", "004930123456", "0301234"])
def test_what_no_route_fits_leaves_by_the_default_carrier(dialled: str) -> None:
    found = route(WITH_CARRIER, HOUSE, dialled, source=None)
    assert found == ToTrunk(WHOLESALE, dialled, by_default=True)
    assert described(found) == f"no route fits: the default carrier wholesale takes {dialled}"
    assert route(WITH_CARRIER, HOUSE, dialled, source=None, by_default=False) == Reject(404, "no such number")
    assert route(NUMBERS, HOUSE, dialled, source=None) == Reject(404, "no such number")


def test_a_route_an_extension_and_an_own_number_come_before_the_carrier() -> None:
    assert route(WITH_CARRIER, HOUSE, "81234567", source=None) == ToTrunk(OUT, "981234567")
    assert isinstance(route(WITH_CARRIER, HOUSE, "600", source=None), ToEcho)
    own = replace(with_number(DestinationKind.USER, "1001"), wholesale=WHOLESALE)
    assert isinstance(route(own, HOUSE, DID, source=None), ToUser)


@pytest.mark.parametrize("dialled", ["777", "112", "123456", "+12", "sales", "*4155551234", "1" * 19, "+1415555123\n"])
def test_what_is_no_number_of_the_world_needs_a_route(dialled: str) -> None:
    assert route(WITH_CARRIER, HOUSE, dialled, source=None) == Reject(404, "no such number")


def test_what_came_by_a_trunk_leaves_by_a_route_alone() -> None:
    for trunk in (OUT, replace(OUT, transit=True)):
        assert route(WITH_CARRIER, HOUSE, "+14155551234", source=trunk) == Reject(404, "no such number")


def test_what_is_forwarded_leaves_by_the_carrier_too() -> None:
    found = onward(WITH_CARRIER, HOUSE, "+14155551234", Direction.INBOUND)
    assert found == ToTrunk(WHOLESALE, "+14155551234", by_default=True)


def with_number(kind: DestinationKind, name: str = "", **more: Any) -> Numbers:
    direct = Number("did_1", "acc_1", DID, Destination(kind, name), **more)
    return Numbers(NUMBERS.extensions, {DID: direct})


@pytest.mark.parametrize("dialled", [DID, "12025550123", "0012025550123", "01112025550123"])
def test_a_trunk_may_write_a_number_in_its_own_way(dialled: str) -> None:
    found = route(with_number(DestinationKind.USER, "1001"), HOUSE, dialled, source=OUT)
    assert isinstance(found, ToUser)
    assert (found.user, found.extension.number, found.direction) == (ALICE, DID, Direction.INBOUND)


def test_a_number_leads_wherever_it_says() -> None:
    def led(kind: DestinationKind, name: str = "") -> str:
        return described(route(with_number(kind, name), HOUSE, DID, source=OUT))

    kinds = DestinationKind
    assert led(kinds.FLOW, "reception") == f"the house itself answers {DID}: flow"
    assert led(kinds.VOICEMAIL, "1001") == f"the house itself answers {DID}: voicemail_leave"
    assert led(kinds.EXTENSION, "600") == "600 is an echo"
    assert led(kinds.RING_GROUP, "sales") == f"{DID} rings the group sales"
    assert led(kinds.FORWARD, "8123") == "a route leads to 98123 by trunk out"
    assert led(kinds.FORWARD, "1001") == "1001 rings the phones of user 1001"
    assert led(kinds.HANGUP) == "no route (603): calls to this number are not taken"
    assert led(kinds.QUEUE, "support") == f"the house itself answers {DID}: queue"
    assert led(kinds.CONFERENCE, "700") == "no route (404): the number leads to 700, which does not exist"
    assert led(kinds.RING_GROUP, "none") == "no route (404): there is no ring group none"
    assert led(kinds.USER, "none") == "no route (404): the extension has no user"


def test_a_flow_is_told_by_name() -> None:
    found = route(with_number(DestinationKind.FLOW, "reception"), HOUSE, DID, source=OUT)
    assert isinstance(found, ToHouse)
    assert (found.extension.account_id, found.extension.options) == ("acc_1", {"flow": "reception"})


@pytest.mark.parametrize(
    ("opening", "holiday", "led"),
    [
        (Opening.OPEN, "600", "1001 rings"),
        (None, "600", "1001 rings"),  # a schedule that is missing closes nothing
        (Opening.CLOSED, "600", "the house itself answers"),
        (Opening.HOLIDAY, "600", "600 is an echo"),
        (Opening.HOLIDAY, None, "the house itself answers"),
    ],
)
def test_hours_decide_where_a_number_leads(opening: Opening | None, holiday: str | None, led: str) -> None:
    asked: list[tuple[str, str]] = []

    def hours(account_id: str, schedule: str) -> Opening | None:
        asked.append((account_id, schedule))
        return opening

    numbers = with_number(
        DestinationKind.EXTENSION,
        "1001",
        schedule="shop",
        closed=Destination(DestinationKind.VOICEMAIL, "1001"),
        holiday=Destination(DestinationKind.EXTENSION, holiday) if holiday else None,
    )
    assert described(route(numbers, HOUSE, DID, source=OUT, hours=hours)).startswith(led)
    assert asked == [("acc_1", "shop")]


def test_a_number_may_refuse() -> None:
    asleep = with_number(DestinationKind.USER, "1001", active=False)
    assert route(asleep, HOUSE, DID, source=OUT) == Reject(404, "the number is not in service")
    shy = with_number(DestinationKind.USER, "1001", allow_anonymous=False)
    found = route(shy, HOUSE, DID, source=OUT, private=True)
    assert found == Reject(433, "the number takes no calls of callers who hide")
    assert isinstance(route(shy, HOUSE, DID, source=OUT), ToUser)


def test_a_number_belongs_to_its_account_alone() -> None:
    numbers = with_number(DestinationKind.USER, "1001")
    assert number_called(numbers, HOUSE, "12025550123", default=HOUSE) is not None
    assert number_called(numbers, OTHERS, DID, default=HOUSE) is None
    assert number_called(numbers, OTHERS, DID, default=OTHERS) is not None  # the house's carrier carries for all
    assert route(numbers, OTHERS, DID, source=None) == Reject(404, "no such number")


def test_a_user_may_send_all_calls_on() -> None:
    def users(**forwards: str) -> Numbers:
        sent = {name: replace(ALICE, name=name, forward_always=to) for name, to in forwards.items()}
        extensions = {name: extension(name, ExtensionKind.USER, name) for name in (*forwards, "1001")}
        return Numbers(extensions, {}, {**sent, "1001": ALICE})

    assert described(route(users(u2="1001"), HOUSE, "u2", source=None)) == "1001 rings the phones of user 1001"
    assert route(users(u2="8555"), HOUSE, "u2", source=OUT) == ToTrunk(OUT, "98555")
    assert route(users(u2="u3", u3="u2"), HOUSE, "u2", source=None) == Reject(482, "calls are forwarded in a circle")
    assert route(users(u2="777"), HOUSE, "u2", source=None) == Reject(404, "calls are forwarded to no such number")


def test_a_group_rings_those_who_may_be_disturbed() -> None:
    numbers = with_number(DestinationKind.RING_GROUP, "sales")
    numbers.users["1003"] = replace(ALICE, name="1003", dnd=True)
    found = route(numbers, HOUSE, DID, source=OUT)
    assert isinstance(found, ToGroup)
    assert found.users == (ALICE,)


def test_the_best_refusal_is_the_one_a_person_can_use() -> None:
    def best(*statuses: int) -> int:
        return best_of([Refused(status, None) for status in statuses]).status

    assert best(480, 486, 404) == 486
    assert best(486, 603) == 603
    assert best(503, 408) == 408
    assert best(408, 404) == 404
    assert best(500, 302) == 302


def test_admission_refuses_in_order_of_urgency() -> None:
    late = False
    admission = Admission(max_calls=2, setup_rate=10, overloaded=lambda: late)
    assert admission.refusal(1) is None
    assert admission.refusal(2) is Refusal.CALLS_FULL
    late = True
    assert admission.refusal(0) is Refusal.OVERLOADED
    admission.draining = True
    assert admission.refusal(0) is Refusal.DRAINING


def test_calls_that_come_too_fast_wait_for_their_turn() -> None:
    admission = Admission(max_calls=100, setup_rate=10, overloaded=lambda: False)
    assert [admission.count(5.0) for _ in range(11)] == [None] * 10 + [Refusal.TOO_FAST]
    assert admission.count(5.15) is None
    assert admission.count(5.15) is Refusal.TOO_FAST


def test_causes_go_both_ways() -> None:
    assert (q850_of(486), q850_of(404), q850_of(200), q850_of(699)) == (17, 1, 16, 127)
    assert q850_in('SIP;cause=200, Q.850;text="x";cause=31') == 31
    assert q850_in("SIP;cause=200") is None
    assert q850_in(None) is None
    assert reason_q850(16, "Normal") == 'Q.850;cause=16;text="Normal"'
