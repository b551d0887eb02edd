"""Calls on nodes go by the rules of the house, for those whose domain or number they are."""

from __future__ import annotations

import pytest

from dialplan.hours import Opening
from pbxd.calls.dispatch import Asked, Dispatch, dispatch
from pbxd.calls.record import Direction
from pbxd.calls.routing import Reject, ToEcho, ToHouse, ToTrunk
from pbxd.directory.model import (
    Account,
    Aor,
    Destination,
    DestinationKind,
    Extension,
    ExtensionKind,
    Number,
    RingGroup,
    Trunk,
    User,
)

HOUSE = Account("acc_1", "house", "House", "house.example", frozenset({"house.example"}))
OTHER = Account("acc_2", "other", "Other", "other.example", frozenset({"other.example"}))
ALICE = User("us_1", "acc_1", "1001", "Alice", out_cid_number="+12025550100")
BOB = User("us_2", "acc_2", "1001", "Bob")
ECHO = Extension("ext_1", "acc_1", "600", ExtensionKind.ECHO)
OUT = Trunk("tr_1", "acc_1", "out", "sip:192.0.2.1")
DID = "+12025550123"
LEADS = Number(
    "did_1",
    "acc_1",
    DID,
    Destination(DestinationKind.FLOW, "reception"),
    closed=Destination(DestinationKind.HANGUP, ""),
    schedule="office",
    allow_anonymous=False,
)
STRANGER = Reject(403, "the caller is no user of this domain")


class Books:
    """The directory of the account HOUSE; OTHER has a user, and a default carrier."""

    def account(self, account_id: str) -> Account | None:
        return {one.id: one for one in (HOUSE, OTHER)}.get(account_id)

    def aor(self, account: Account, name: str) -> Aor | None:
        return Aor(account.id, name) if self.user(account, name) else None

    def is_foreign(self, account: Account, host: str) -> bool:
        return host in OTHER.domains and account is not OTHER

    def coded(self, account: Account, dialled: str) -> Extension | None:
        return None

    def extension(self, account: Account, number: str) -> Extension | None:
        return ECHO if number == ECHO.number and account is HOUSE else None

    def user(self, account: Account, name: str) -> User | None:
        return {HOUSE.id: ALICE, OTHER.id: BOB}[account.id] if name == "1001" else None

    def outbound(self, account: Account, number: str) -> tuple[Trunk, str] | None:
        return (OUT, "9" + number) if number.startswith(("8", "+4930")) and account is HOUSE else None

    def carrier(self, account: Account) -> Trunk | None:
        return OUT if account is OTHER else None

    def number(self, e164: str) -> Number | None:
        return LEADS if e164 == DID else None

    def ring_group(self, account: Account, name: str) -> RingGroup | None:
        return None


def asked(
    caller: str,
    domain: str,
    called: str,
    *,
    accounts: tuple[Account, ...] = (HOUSE, OTHER),
    opening: Opening = Opening.OPEN,
) -> Dispatch | None:
    hours = {"office": opening}
    return dispatch(
        Books(), accounts, Asked(caller, domain, called), default=HOUSE, hours=lambda _account, name: hours[name]
    )


def told(caller: str, domain: str, called: str, opening: Opening = Opening.OPEN) -> Dispatch:
    found = asked(caller, domain, called, opening=opening)
    assert found is not None
    return found


def test_a_phone_of_a_domain_calls_its_extensions_and_out() -> None:
    found = told("1001", "house.example", "600")
    assert (found.route, found.direction, found.caller) == (
        ToEcho(ECHO, Direction.INTERNAL),
        Direction.INTERNAL,
        ALICE,
    )
    found = told("1001", "House.Example.", "8123")
    assert (found.route, found.direction) == (ToTrunk(OUT, "98123"), Direction.OUTBOUND)
    assert found.caller_cid == "+12025550100"
    assert told("1001", "", "493012345678").route == ToTrunk(OUT, "9+493012345678")
    assert told("1001", "house.example", "777").route == Reject(404, "no such number")


def test_the_default_carrier_is_asked_in_the_way_of_the_world() -> None:
    for called in ("14155551234", "+14155551234"):
        found = told("1001", "other.example", called)
        assert (found.account, found.direction) == (OTHER, Direction.OUTBOUND)
        assert found.route == ToTrunk(OUT, "+14155551234", by_default=True)
    assert told("1001", "other.example", "777").route == Reject(404, "no such number")


@pytest.mark.parametrize(
    ("caller", "domain"),
    [("14155551234", "carrier.example"), ("1001", "house.example"), ("1001", "other.example"), ("14155551234", "")],
)
@pytest.mark.parametrize("called", ["12025550123", "+12025550123", "0012025550123"])
def test_a_number_of_ours_is_inbound_whoever_calls(caller: str, domain: str, called: str) -> None:
    found = told(caller, domain, called)
    assert (found.account, found.called, found.direction) == (HOUSE, DID, Direction.INBOUND)
    assert isinstance(found.route, ToHouse)
    assert (found.route.extension.options["flow"], found.route.direction) == ("reception", Direction.INBOUND)


def test_hours_and_hiding_callers_count_here_too() -> None:
    closed = told("14155551234", "carrier.example", "12025550123", Opening.CLOSED).route
    assert isinstance(closed, Reject)
    assert closed.status == 603
    hidden = told("anonymous", "carrier.example", "12025550123").route
    assert isinstance(hidden, Reject)
    assert hidden.status == 433


def test_who_is_no_user_gets_nowhere() -> None:
    assert told("2001", "other.example", "600").route == STRANGER
    assert told("14155551234", "house.example", "8123").route == STRANGER
    assert asked("1001", "nowhere.example", "600") is None


def test_a_number_behind_another_domain_is_not_ours() -> None:
    def at(host: str) -> object:
        found = dispatch(Books(), (HOUSE, OTHER), Asked("1001", "house.example", "600", host), hours=lambda *_: None)
        assert found is not None
        return found.route

    assert at("other.example") == Reject(404, "the number is one of another account")
    assert at("house.example") == at("") == ToEcho(ECHO, Direction.INTERNAL)


def test_an_account_that_is_not_served_is_not_there() -> None:
    assert asked("14155551234", "carrier.example", "12025550123", accounts=(OTHER,)) is None
    assert asked("1001", "house.example", "600", accounts=(OTHER,)) is None
