"""Numbers, and what happens to a call for them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dialplan.hours import Opening
from pbxd.calls.admission import Admission, Refusal
from pbxd.calls.causes import q850_in, q850_of, reason_q850
from pbxd.calls.dial import Refused, best_of
from pbxd.calls.dispatch import Asked, Dispatch, dispatch
from pbxd.calls.record import Direction
from pbxd.calls.routing import Reject, ToEcho, ToGroup, ToHouse, ToQueue, ToTrunk, ToUser, described, inbound, route
from pbxd.directory.model import (
    Account,
    Aor,
    Destination,
    DestinationKind,
    Extension,
    ExtensionKind,
    Number,
    QueueSpec,
    RingGroup,
    Trunk,
    User,
)

HOUSE = Account("acc_1", "house", "House", "pbxd", frozenset({"house.example"}))
OTHER = Account("acc_2", "other", "Other", "other.example", frozenset({"other.example"}))
ALICE = User("us_1", "acc_1", "1001", "Alice", out_cid_number="+12025550100")
GROUP = RingGroup("rg_1", "acc_1", "sales", ("1001",))
QUEUE = QueueSpec("q_1", "acc_1", "support")
DID = "+12025550123"
OUT = Trunk("tr_1", "acc_1", "out", "sip:192.0.2.1")


@dataclass
class Numbers:
    """The directory of the account HOUSE; OTHER has nothing but what is direct."""

    extensions: dict[str, Extension] = field(default_factory=dict)
    direct: dict[str, Number] = field(default_factory=dict)

    def account(self, account_id: str) -> Account | None:
        return {one.id: one for one in (HOUSE, OTHER)}.get(account_id)

    def aor(self, account: Account, name: str) -> Aor | None:
        return Aor(account.id, name) if self.user(account, name) else None

    def extension(self, account: Account, number: str) -> Extension | None:
        return self.extensions.get(number) if account is HOUSE else None

    def user(self, account: Account, name: str) -> User | None:
        return ALICE if name == "1001" and account is HOUSE else None

    def outbound(self, account: Account, number: str) -> tuple[Trunk, str] | None:
        return (OUT, "9" + number) if number.startswith(("8", "+4930")) and account is HOUSE else None

    def number(self, e164: str) -> Number | None:
        return self.direct.get(e164)

    def ring_group(self, account: Account, name: str) -> RingGroup | None:
        return GROUP if name == GROUP.name else None

    def queue(self, account: Account, name: str) -> QueueSpec | None:
        return QUEUE if name == QUEUE.name else None


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


def leading(kind: DestinationKind, name: str = "", **more: object) -> Number:
    values = {"id": "did_1", "account_id": "acc_1", "number": DID, "dest": Destination(kind, name), **more}
    return Number(**values)  # type: ignore[arg-type]


def test_a_number_of_ours_leads_where_it_says() -> None:
    def leads(kind: DestinationKind, name: str) -> object:
        return inbound(NUMBERS, HOUSE, leading(kind, name))

    flow = leads(DestinationKind.FLOW, "reception")
    assert isinstance(flow, ToHouse)
    assert (flow.extension.kind, dict(flow.extension.options)) == (ExtensionKind.FLOW, {"flow": "reception"})
    box = leads(DestinationKind.VOICEMAIL, "1001")
    assert isinstance(box, ToHouse)
    assert (box.extension.kind, dict(box.extension.options)) == (ExtensionKind.VOICEMAIL_LEAVE, {"mailbox": "1001"})
    user = leads(DestinationKind.USER, "1001")
    assert isinstance(user, ToUser)
    assert (user.user, user.direction) == (ALICE, Direction.INBOUND)
    assert leads(DestinationKind.EXTENSION, "600") == ToEcho(NUMBERS.extensions["600"], Direction.INBOUND)
    assert leads(DestinationKind.RING_GROUP, "sales") == ToGroup(GROUP, Direction.INBOUND)
    assert leads(DestinationKind.QUEUE, "support") == ToQueue(QUEUE, Direction.INBOUND)
    assert leads(DestinationKind.FORWARD, "8123") == ToTrunk(OUT, "98123")
    assert leads(DestinationKind.HANGUP, "") == Reject(480, "this number takes no calls now")
    for kind in (DestinationKind.USER, DestinationKind.EXTENSION, DestinationKind.RING_GROUP, DestinationKind.QUEUE):
        assert leads(kind, "gone") == Reject(404, f"the {kind.value} that this number leads to is not there")


def test_its_hours_decide_where_it_leads() -> None:
    closed = Destination(DestinationKind.HANGUP, "")
    number = leading(DestinationKind.EXTENSION, "600", schedule="office", closed=closed)
    night = Destination(DestinationKind.VOICEMAIL, "1001")

    def at(opening: Opening, number: Number = number) -> object:
        return inbound(NUMBERS, HOUSE, number, hours=lambda _account, name: {"office": opening}[name])

    assert at(Opening.OPEN) == ToEcho(NUMBERS.extensions["600"], Direction.INBOUND)
    assert at(Opening.CLOSED) == Reject(480, "this number takes no calls now")
    assert at(Opening.HOLIDAY) == at(Opening.CLOSED)
    assert isinstance(at(Opening.HOLIDAY, replace(number, holiday=night)), ToHouse)
    assert isinstance(at(Opening.CLOSED, replace(number, closed=None)), ToEcho)


def test_a_number_may_refuse_who_hides() -> None:
    number = leading(DestinationKind.EXTENSION, "600", allow_anonymous=False)
    assert inbound(NUMBERS, HOUSE, number, anonymous=True) == Reject(433, "this number takes no anonymous calls")
    assert isinstance(inbound(NUMBERS, HOUSE, number), ToEcho)


def test_numbers_are_those_of_the_account_alone() -> None:
    theirs = Numbers(NUMBERS.extensions, {DID: leading(DestinationKind.EXTENSION, "600", account_id="acc_2")})
    assert route(theirs, HOUSE, DID, source=OUT) == Reject(404, "no such number")
    ours = Numbers(NUMBERS.extensions, {DID: leading(DestinationKind.EXTENSION, "600")})
    assert route(ours, HOUSE, DID, source=OUT) == ToEcho(NUMBERS.extensions["600"], Direction.INBOUND)
    assert route(ours, HOUSE, "12025550123", source=None) == ToEcho(NUMBERS.extensions["600"], Direction.INTERNAL)
    asleep = Numbers(NUMBERS.extensions, {DID: leading(DestinationKind.EXTENSION, "600", active=False)})
    assert route(asleep, HOUSE, DID, source=None) == Reject(404, "no such number")


WITH_DID = Numbers(NUMBERS.extensions, {DID: leading(DestinationKind.FLOW, "reception")})


def asked(caller: str, domain: str, called: str, *, accounts: tuple[Account, ...] = (HOUSE, OTHER)) -> Dispatch | None:
    return dispatch(WITH_DID, accounts, Asked(caller, domain, called), default=HOUSE)


def test_a_node_is_told_where_a_call_goes() -> None:
    found = asked("1001", "house.example", "600")
    assert found is not None
    assert (found.route, found.direction) == (ToEcho(NUMBERS.extensions["600"], Direction.INTERNAL), Direction.INTERNAL)
    found = asked("1001", "House.Example.", "8123")
    assert found is not None
    assert (found.route, found.caller, found.caller_cid) == (ToTrunk(OUT, "98123"), ALICE, "+12025550100")
    found = asked("1001", "", "493012345678")
    assert found is not None
    assert found.route == ToTrunk(OUT, "9+493012345678")


def test_a_number_of_ours_is_inbound_whoever_calls() -> None:
    for caller, domain in (("14155551234", "carrier.example"), ("1001", "house.example"), ("1001", "other.example")):
        found = asked(caller, domain, "12025550123")
        assert found is not None
        assert (found.account, found.called, found.direction) == (HOUSE, DID, Direction.INBOUND)
        assert isinstance(found.route, ToHouse)
    assert asked("14155551234", "carrier.example", "12025550123", accounts=(OTHER,)) is None


def test_who_is_no_user_gets_nowhere() -> None:
    found = asked("1001", "other.example", "600")
    assert found is not None
    assert (found.account, found.route) == (OTHER, Reject(403, "the caller is no user of this domain"))
    assert asked("1001", "nowhere.example", "600") is None
    assert asked("1001", "house.example", "600", accounts=(OTHER,)) is None


def test_every_route_can_be_told_in_words() -> None:
    assert described(ToGroup(GROUP, Direction.INBOUND)) == "the ring group sales has 1 users"
    assert described(ToQueue(QUEUE, Direction.INBOUND)) == "the queue support"


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
