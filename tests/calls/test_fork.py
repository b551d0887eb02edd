"""Which phones of a user ring: by order, by what each wants beside others, by transport."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pbxd.calls.fork import Phone, ringing
from pbxd.config.groups import UserRing
from pbxd.directory.binding import Binding
from pbxd.directory.model import Aor, Device, User
from pbxd.sip.flow import Destination, Transport
from pbxd.sip.uri import Uri
from tests.calls.house import Handset, House
from tests.calls.test_call import phones
from tests.calls.test_following import hangs_up
from tests.directory.requests import request, tcp, udp
from tests.wire import Host


def about_to_dial(house: House, number: str, *names: str) -> list[Handset]:
    """A caller by the trunk, and phones."""
    alice, *others = phones(house, "alice", *names)
    alice.number = number
    return [alice, *others]


def set_up(house: House, ring: UserRing = UserRing.SIMULTANEOUS) -> None:
    """The user 1002 from now on; nobody waits longer than seven seconds for a phone."""
    account = house.directory.default_account
    user = house.directory.user(account, "1002")
    assert user is not None
    house.directory._snapshot.users[account.id, "1002"] = replace(user, ring_strategy=ring, ring_timeout_s=7)


def phone(house: House, name: str, host: Host | None = None, **options: Any) -> Device:
    """A phone of 1002 that logs in as `name`, registered where there is a host."""
    account = house.directory.default_account
    device = house.directory.device(account, name) or house.directory.device(account, "1002")
    assert device is not None
    device = replace(device, id=f"dev_{name}", auth_username=name, **options)
    house.directory._snapshot.devices[account.id, name] = device
    if host is not None:
        house.register("1002", host, device_name=name)
    return device


def answers(house: House, alice: Handset, bob: Handset) -> None:
    """Bob, whose phone rings, takes the call."""
    bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house


async def test_a_phone_that_does_not_ring_beside_others_is_left_in_peace(house: House) -> None:
    alice, bob, desk = about_to_dial(house, "1002", "bob", "desk")
    set_up(house)
    phone(house, "desk", desk, ring_on_fork=False)
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob
    answers(house, alice, bob)
    hangs_up(house, alice, bob)
    assert not desk.calls


async def test_it_rings_where_there_is_no_other(house: House) -> None:
    alice, desk = about_to_dial(house, "1002", "desk")
    set_up(house)
    phone(house, "desk", desk, ring_on_fork=False)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> desk
    answers(house, alice, desk)
    hangs_up(house, alice, desk)


async def test_phones_ring_one_after_the_other_in_their_order(house: House) -> None:
    alice, late, early = about_to_dial(house, "1002", "late", "early")
    set_up(house, UserRing.SEQUENTIAL)
    phone(house, "early", early, ring_order=1, ring_on_fork=False)
    phone(house, "late", late, ring_order=2)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> early >> 180 >> house >> 180 >> alice
    house.wire.after(7.0)
    house >> "CANCEL" >> early >> 200 >> house
    house >> "INVITE" >> late
    early >> 487 >> house >> "ACK" >> early
    answers(house, alice, late)
    hangs_up(house, alice, late)


async def test_a_user_may_want_specific_phones_alone(house: House) -> None:
    alice, desk = about_to_dial(house, "1002", "desk")
    set_up(house, UserRing.SPECIFIC)
    phone(house, "desk", desk, ring_on_fork=False)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 480 >> alice >> "ACK" >> house
    assert house.record.reason == "no phone is registered"


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
async def test_a_phone_registers_over_its_own_transport_alone(house: House, transport: Transport) -> None:
    device = phone(house, "1002", transport=transport)
    aor, contact = Aor(device.account_id, "1002"), ["<sip:1002@10.0.0.9:5062>"]
    refused = house.registrar.register(aor, device, request(contacts=contact), udp(), 0.0, 0.0)
    assert (refused.status, refused.reason) == (403, f"Register Over {transport.value}")
    assert not house.registrar.bindings(aor, 0.0)
    flow = replace(tcp(), transport=transport)
    assert house.registrar.register(aor, device, request(contacts=contact), flow, 0.0, 0.0).status == 200


async def test_a_phone_that_came_over_another_transport_before_is_not_called(house: House) -> None:
    alice, bob = about_to_dial(house, "1002", "bob")
    house.register("1002", bob)
    phone(house, "1002", transport=Transport.TLS)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 480 >> alice >> "ACK" >> house
    assert house.record.reason == "no phone is registered"


USER = User("us_1", "acc_1", "1001", "Alice")


def at(name: str, order: int = 0, *, fork: bool = True, port: int = 5060) -> Phone:
    device = Device(name, "acc_1", name, "", "", "", "1001", ring_order=order, ring_on_fork=fork)
    binding = Binding(name, Aor("acc_1", "1001"), Uri.sip("1001", "10.0.0.1", port), 0.0)
    return Phone(binding, device, Destination(Transport.UDP, "10.0.0.1", port))


@pytest.mark.parametrize(
    ("phones", "together", "in_turn", "specific"),
    [
        ([at("a"), at("b")], "ab", "ab", "ab"),
        ([at("a", 2), at("b", 1), at("c", 2)], "bac", "bac", "bac"),
        ([at("a", fork=False), at("b")], "b", "ab", "b"),
        ([at("a", 2, fork=False), at("b", 1, fork=False)], "b", "ba", ""),
        ([], "", "", ""),
    ],
)
def test_who_rings(phones: list[Phone], together: str, in_turn: str, specific: str) -> None:
    def rings(strategy: UserRing) -> str:
        return "".join(one.device.id for one in ringing(phones, replace(USER, ring_strategy=strategy)))

    assert [rings(strategy) for strategy in UserRing] == [together, in_turn, specific]


def test_all_places_of_the_one_phone_ring() -> None:
    first = at("a", fork=False)
    again = Phone(at("a", port=5070).binding, first.device, first.destination)
    assert ringing([first, at("b", 1, fork=False), again], USER) == [first, again]
