"""Numbers, and what happens to a call for them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pbxd.calls.admission import Admission, Refusal
from pbxd.calls.causes import q850_in, q850_of, reason_q850
from pbxd.calls.dial import Refused, best_of
from pbxd.calls.record import Direction
from pbxd.calls.routing import Reject, ToEcho, ToTrunk, ToUser, route
from pbxd.directory.model import Account, Extension, ExtensionKind, Trunk, User

HOUSE = Account("acc_1", "house", "House", "pbxd")
ALICE = User("us_1", "acc_1", "1001", "Alice")
OUT = Trunk("tr_1", "acc_1", "out", "sip:192.0.2.1")


@dataclass
class Numbers:
    extensions: dict[str, Extension] = field(default_factory=dict)

    def extension(self, account: Account, number: str) -> Extension | None:
        return self.extensions.get(number)

    def user(self, account: Account, name: str) -> User | None:
        return ALICE if name == "1001" else None

    def outbound(self, account: Account, number: str) -> tuple[Trunk, str] | None:
        return (OUT, "9" + number) if number.startswith("8") else None


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
