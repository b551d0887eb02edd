"""What a call leaves behind when it is over: nothing that only the garbage collector could free."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pbxd.calls.call import Call
from tests.calls.house import Handset, House
from tests.calls.test_call import talk


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def live_call(house: House) -> weakref.ref[Call]:
    (call,) = house.switch.calls.values()
    return weakref.ref(call)


@pytest.mark.usefixtures("no_collector")
async def test_a_call_that_was_answered_is_gone_when_both_have_heard_of_its_end(house: House) -> None:
    alice, bob = Handset(house.wire, "alice"), Handset(house.wire, "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    call = live_call(house)
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    assert call() is None


@pytest.mark.usefixtures("no_collector")
async def test_a_call_that_was_given_up_is_gone_when_the_callee_has_heard_of_it(house: House) -> None:
    alice, bob = Handset(house.wire, "alice"), Handset(house.wire, "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    call = live_call(house)
    alice >> "CANCEL" >> house
    house.wire.after(1)
    assert call() is None


@pytest.mark.usefixtures("no_collector")
async def test_when_the_transactions_are_over_no_cycle_is_left(house: House) -> None:
    alice, bob = Handset(house.wire, "alice"), Handset(house.wire, "bob")
    house.register("1002", bob)
    for _ in range(2):
        talk(alice, house, bob)
        alice >> "BYE" >> house >> 200 >> alice
        house >> "BYE" >> bob >> 200 >> house
        house.wire.after(40)
    assert house.stack.idle
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        left = {type(thing).__qualname__ for thing in gc.garbage if type(thing).__module__.startswith("pbxd.calls")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert left == set()
