"""The whole door on a real wire's guard and a real store, in virtual time: who is banned, slowed, or left in peace."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from media.wire import Wire
from pbxd.config import Config
from pbxd.config.security import Security
from pbxd.directory.accounts import Directory
from pbxd.directory.authentication import Outcome, Reason, Verdict
from pbxd.directory.doorman import PhoneMisconfigured
from pbxd.directory.evidence import Cause
from pbxd.errors import Conflict, Invalid
from pbxd.sip.flow import Transport
from pbxd.store import Store
from tests.directory.door import Door, flow_from

ATTACKER, OFFICE, NEIGHBOUR = "192.0.2.66", "192.0.2.7", "192.0.2.8"
PEER = "127.0.0.11"  # a trunk's


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(legs=4, sip_ring=1 << 12)
    wire.start()
    yield wire
    wire.close()


@pytest.fixture
def door(config: Config, wire: Wire, store: Store, directory: Directory) -> Door:
    return Door(config, wire, store, directory)


async def test_a_phone_with_a_wrong_password_gets_the_truth_and_no_ban(door: Door) -> None:
    seen = [door.log_in(OFFICE, 30.0 * attempt, password="wrong") for attempt in range(200)]
    assert [verdict.status for verdict in seen[:4]] == [401, 401, 403, 403]
    assert {(verdict.status, verdict.phrase) for verdict in seen[2:]} == {(403, "Wrong User Name Or Password")}
    assert door.banned == []
    assert door.events == [PhoneMisconfigured(OFFICE, "1001", 3)]
    (phone,) = door.entrance.misconfigured()
    assert (phone.source, phone.username, phone.failures, phone.first, phone.last) == (OFFICE, "1001", 200, 0.0, 5970.0)
    assert door.log_in(OFFICE, 6000.0).outcome is Outcome.PASS  # somebody has typed it anew
    assert door.entrance.misconfigured() == []


async def test_a_user_that_does_not_exist_hears_the_same(door: Door) -> None:
    def shape(verdict: Verdict) -> tuple[object, ...]:
        names = tuple(name for name, _ in verdict.headers)
        return verdict.outcome, verdict.reason, verdict.status, verdict.phrase, names

    known = [shape(door.log_in(OFFICE, 0.3 * attempt, password="wrong")) for attempt in range(40)]
    unknown = [shape(door.log_in(NEIGHBOUR, 0.3 * attempt, user="4242", password="wrong")) for attempt in range(40)]
    assert known == unknown
    assert {each[1] for each in known} == {Reason.WRONG, Reason.TOO_OFTEN}


async def test_a_user_that_does_not_exist_costs_the_same_work(door: Door) -> None:
    """Function by function, from the first request to the answer, whatever state its sender is in."""

    def work(source: str, user: str) -> list[str]:
        called: list[str] = []
        for attempt in range(14):
            sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
            door.log_in(source, 0.3 * attempt, user=user, password="wrong")
            sys.setprofile(None)
        return called

    gc.disable()  # its callbacks would be counted
    try:
        work("192.0.2.1", "1001")  # what is made once is made
        known, unknown = work("192.0.2.2", "1001"), work("192.0.2.3", "4242")
    finally:
        gc.enable()
    assert len(known) > 1000
    assert known == unknown


async def test_what_is_not_looked_at_is_refused_even_when_it_is_right(door: Door) -> None:
    for attempt in range(8):
        door.log_in(ATTACKER, 0.3 * attempt, password=f"guess-{attempt}")
    assert door.log_in(ATTACKER, 2.5).reason is Reason.TOO_OFTEN
    assert door.log_in(NEIGHBOUR, 2.5).outcome is Outcome.PASS  # the phone itself is elsewhere
    assert door.log_in(ATTACKER, 60.0).outcome is Outcome.PASS


async def test_guessing_is_banned(door: Door) -> None:
    for attempt in range(12):
        door.log_in(ATTACKER, 0.01 * attempt, password=f"guess-{attempt}")
    assert door.banned == []
    door.log_in(ATTACKER, 0.13, password="guess")
    assert door.banned == [(ATTACKER, Cause.GUESSING)]
    assert not door.doorman.admit(ATTACKER)
    assert door.doorman.admit(OFFICE)
    door.doorman.tick(700.0)
    assert door.banned == []
    assert door.doorman.admit(ATTACKER)


async def test_nobody_has_a_phone_banned_by_forging_its_address(door: Door) -> None:
    """He sends as the phone does; what we answer goes to the phone, so he never sees a nonce that is good there."""
    door.register(OFFICE, 0.0)
    his = door.knock(ATTACKER, 0.0)
    for each in range(400):
        now = 1.0 + 0.01 * each
        assert door.log_in(OFFICE, now, password="forged", told=his).reason is Reason.ELSEWHERE
        door.knock(OFFICE, now, user=str(each), port=5062)
        door.doorman.unreadable(flow_from(OFFICE), now)
    assert door.banned == []
    (slowed,) = door.entrance.slowed()
    assert (slowed.name, slowed.cause) == (OFFICE, Cause.MALFORMED)
    assert door.log_in(OFFICE, 6.0).outcome is Outcome.PASS
    door.doorman.tick(6.0 + door.doorman.slow_s)
    assert door.entrance.slowed() == []


async def test_a_stranger_whose_address_is_forged_is_not_banned_for_long(door: Door) -> None:
    for attempt in range(4):
        start = 4000.0 * attempt
        for each in range(20):
            door.knock(NEIGHBOUR, start + 0.01 * each, user=str(each))
        (ban,) = door.entrance.bans.active.values()
        assert ban.ends - start <= 3601
        door.doorman.tick(ban.ends)


async def test_what_came_over_a_connection_was_not_forged(door: Door) -> None:
    for each in range(61):
        door.doorman.unreadable(flow_from(ATTACKER, transport=Transport.TCP), 0.01 * each)
    (ban,) = door.entrance.bans.active.values()
    assert (ban.name, ban.cause, ban.ends - 0.6) == (ATTACKER, Cause.MALFORMED, 600.0)


async def test_a_trunk_and_an_allowed_network_are_never_banned(door: Door) -> None:
    door.entrance.allow("198.51.100.0/24", "our second house", "admin", 0.0)
    for source in (PEER, "198.51.100.77", "127.0.0.1"):
        for each in range(300):
            now = 0.01 * each
            door.knock(source, now, user=str(each))
            door.log_in(source, now, password="wrong")
            door.doorman.unreadable(flow_from(source), now)
    assert (door.banned, door.entrance.slowed(), door.entrance.misconfigured()) == ([], [], [])
    for network in (PEER, "198.51.100.77", "198.51.100.0/25"):
        with pytest.raises(Conflict, match="never banned"):
            door.entrance.ban(network, 60, "", "admin", 3.0)
    door.entrance.ban("198.51.0.0/16", 60, "a whole region", "admin", 3.0)
    assert door.doorman.admit("198.51.100.77")
    assert not door.doorman.admit("198.51.101.77")


async def test_a_trunk_that_is_known_by_name_is_never_banned_either(door: Door) -> None:
    door.entrance.resolved("carrier.example", ["203.0.113.5"])
    door.entrance.resolved("elsewhere.example", ["203.0.113.6"])
    for source in ("203.0.113.5", "203.0.113.6"):
        for each in range(100):
            door.doorman.unreadable(flow_from(source), 0.01 * each)
    assert door.banned == [("203.0.113.6", Cause.MALFORMED)]


async def test_to_allow_a_network_frees_it(door: Door) -> None:
    for each in range(20):
        door.knock(ATTACKER, 0.01 * each, user=str(each))
    assert door.banned == [(ATTACKER, Cause.SPRAY)]
    door.entrance.allow("192.0.2.64/26", "", "admin", 1.0)
    assert door.banned == []
    door.entrance.disallow("192.0.2.64/26", "admin", 2.0)
    for each in range(20):
        door.knock(ATTACKER, 10.0 + 0.01 * each, user=str(each))
    assert door.banned == [(ATTACKER, Cause.SPRAY)]


async def test_switched_off_the_house_bans_nobody_by_itself(door: Door) -> None:
    door.doorman.enabled = False
    for each in range(300):
        door.log_in(ATTACKER, 0.01 * each, user=str(each), password="wrong")
        door.doorman.unreadable(flow_from(ATTACKER), 0.01 * each)
    assert door.banned == []
    door.entrance.ban(ATTACKER, 60, "", "admin", 3.0)
    assert not door.doorman.admit(ATTACKER)


async def test_an_ipv6_customer_is_banned_with_all_his_addresses(door: Door) -> None:
    for each in range(20):
        door.knock(f"2001:db8:1:2::{each:x}", 0.01 * each, user=str(each), port=5062)
    assert door.banned == [("2001:db8:1:2::/64", Cause.SPRAY)]
    assert not door.doorman.admit("2001:db8:1:2:ffff::1")
    assert door.doorman.admit("2001:db8:1:3::1")


async def test_a_reload_changes_what_is_too_much(door: Door, config: Config) -> None:
    def say(**said: object) -> None:
        door.entrance.apply(config.model_copy(update={"security": Security.model_validate(said)}), 0.0)

    say(strangers={"numbers": 3}, ban={"first_s": 5, "unproven_max_s": 5})
    for each in range(3):
        door.knock(ATTACKER, 0.1 * each, user=str(each))
    (ban,) = door.entrance.bans.active.values()
    assert (ban.name, round(ban.ends - 0.2, 3)) == (ATTACKER, 5.0)
    say(allow=["192.0.2.64/26"])
    assert door.doorman.admit(ATTACKER)
    say(enabled=False)
    assert not door.doorman.admit(ATTACKER)
    door.doorman.tick(6.0)
    for each in range(300):
        door.knock(ATTACKER, 7.0 + 0.01 * each, user=str(each))
    assert door.banned == []


@pytest.mark.parametrize("network", ["nonsense", "0.0.0.0/0"])
async def test_what_cannot_be_banned(door: Door, network: str) -> None:
    with pytest.raises(Invalid):
        door.entrance.ban(network, 60, "", "admin", 0.0)


async def test_wire_is_told(door: Door, wire: Wire) -> None:
    door.entrance.ban("203.0.113.0/24", None, "", "admin", 0.0)
    wire.unban("203.0.113.0/24")  # what it did not hold, it does not mind
    assert door.entrance.lift("203.0.113.0/24", "admin", 1.0).hits == 0
