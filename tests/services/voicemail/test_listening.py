"""Listening by phone: every key, every way in, and hanging up at each step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from media import wav
from pbxd.calls.record import Direction
from pbxd.calls.stage import Stage
from pbxd.services.voicemail import Folder, GreetingKind, Reason
from tests.services.voicemail.theatre import ACCOUNT, House, Theatre, tone


def at_the_message(house: House, seconds: float = 20.0) -> Theatre:
    """An owner to whom the only new message begins to be played."""
    house.scribe.said = tone(seconds)
    house.leave_one()
    owner = house.listens()
    owner.press("1")
    owner.played_next()  # the envelope
    return owner


def test_a_new_message_is_heard_and_saved(house: House) -> None:
    message = house.leave_one()
    owner = house.listens()
    owner.hears("vm-counts", "vm-main-menu")
    owner.press("1")
    owner.hears("vm-from", "vm-received", "vm-message-menu")
    assert house.box().messages[message.id].folder is Folder.SAVED
    owner.press("#")
    owner.hears("vm-no-more", "vm-main-menu")
    owner.press("#")
    owner.hears("goodbye")
    assert owner.reason == "the caller was done"


def test_whoever_hangs_up_in_the_middle_has_not_heard_it(house: House) -> None:
    owner = at_the_message(house)
    owner.wait(3)
    owner.hang_up()
    assert house.messages()[0].folder is Folder.NEW


def test_back_pause_and_on(house: House) -> None:
    owner = at_the_message(house)
    path = house.voicemail.archive.path(house.messages()[0])
    assert owner.playing_recording() == (path, 0)
    owner.wait(7.0)
    owner.press("4")
    assert owner.playing_recording() == (path, 2000)
    owner.wait(1.0)
    owner.press("6")
    assert owner.playing_recording() == (path, 8000)
    owner.press("5")
    owner.wait(30.0)
    owner.press("5")
    assert owner.playing_recording() == (path, 8000)
    owner.press("1")
    assert owner.playing_recording() == (path, 0)
    owner.press("666666")
    assert owner.playing_recording() == (path, 19900)
    owner.press("44444")
    assert owner.playing_recording() == (path, 0)


def test_delete_and_restore(house: House) -> None:
    owner = at_the_message(house)
    owner.press("7")
    owner.hears("vm-deleted", "vm-no-more", "vm-main-menu")
    assert house.messages()[0].folder is Folder.DELETED
    owner.press("3")
    owner.press("7")
    owner.hears("vm-undeleted", "vm-message-menu")
    assert house.messages()[0].folder is Folder.SAVED


def test_urgent_ones_come_first(house: House) -> None:
    first = house.leave_one()
    second = house.leave_one()
    house.voicemail.mark(ACCOUNT, "1002", second.id, urgent=True)
    assert [one.id for one in house.box().of(Folder.NEW)] == [second.id, first.id]
    owner = house.listens()
    owner.press("1")
    owner.hears("vm-is-urgent", "vm-from", "vm-message-menu")


def test_a_message_is_forwarded(house: House) -> None:
    owner = at_the_message(house, 3.0)
    owner.press("8")
    owner.hears("vm-forward-to")
    owner.press("1003#")
    owner.hears("vm-forward-menu")
    owner.press("1")
    owner.hears("vm-forwarded", "vm-message-menu")
    (copy,) = house.messages("1003")
    assert (copy.caller, copy.forwarded_by, copy.seconds) == ("1001", "1002", 3.0)


@pytest.mark.parametrize("hangs_up", [False, True])
def test_a_comment_goes_before_it(house: House, hangs_up: bool) -> None:
    owner = at_the_message(house, 3.0)
    house.scribe.said = tone(1.0, 700)
    owner.press("81003#2")
    owner.played()
    if hangs_up:
        owner.hang_up()
    else:
        owner.press("#")
        owner.hears("vm-forwarded", "vm-message-menu")
    (copy,) = house.messages("1003")
    assert copy.seconds == 4.0
    assert wav.read(house.voicemail.archive.path(copy)).seconds == 4.0


@pytest.mark.parametrize(("number", "prompt"), [("77#", "vm-no-mailbox"), ("1003#", "vm-full")])
def test_forwarding_that_cannot_be(house: House, number: str, prompt: str) -> None:
    house.leave_one("1003")
    house.leave_one("1003")
    owner = at_the_message(house)
    owner.press("8" + number)
    owner.hears(prompt, "vm-message-menu")


def test_a_greeting_is_recorded_by_phone(house: House) -> None:
    owner = house.listens()
    owner.press("0")
    owner.hears("vm-options-menu")
    owner.press("31")
    owner.hears("vm-say-greeting")
    owner.press("#")
    owner.hears("vm-review-greeting")
    assert house.box().greetings == {}
    owner.press("1")
    owner.hears("vm-kept", "vm-options-menu")
    assert list(house.box().greetings) == [GreetingKind.TEMPORARY]
    owner.press("33")
    assert house.box().greetings == {}
    assert house.files() == []


def test_a_greeting_that_was_not_kept_is_gone(house: House) -> None:
    owner = house.listens()
    owner.press("011")
    owner.played()
    owner.press("#")
    assert len(house.files()) == 1
    owner.hang_up()
    assert (house.files(), house.box().greetings) == ([], {})


def test_the_pin_is_changed_by_phone(house: House) -> None:
    owner = house.listens()
    owner.press("05")
    owner.press("4711#4711#")
    owner.hears("vm-pin-changed", "vm-options-menu")
    assert house.box().pin_hash is not None
    assert "4711" not in (house.box().pin_hash or "")
    stranger = house.anybody()
    stranger.press("1002#1002#")
    stranger.hears("wrong-pin", "enter-pin")
    stranger.press("4711#")
    stranger.hears("vm-none", "vm-main-menu")


@pytest.mark.parametrize(("entered", "prompt"), [("12#", "vm-bad-pin"), ("123#124#", "vm-pins-differ")])
def test_a_pin_that_is_none(house: House, entered: str, prompt: str) -> None:
    owner = house.listens()
    owner.press("05" + entered)
    owner.hears(prompt, "vm-options-menu")
    assert house.box().pin_hash is None


def test_wrong_pins_lock_and_time_unlocks(house: House) -> None:
    guesser = house.anybody()
    guesser.press("1002#")
    guesser.press("1#2#")
    assert house.box().wrong_pins == 2
    guesser.press("3#")
    guesser.hears("vm-locked")
    assert guesser.reason == "the mailbox is locked"
    for _ in range(2):
        owner = house.anybody()
        owner.press("1002#1002#")
        owner.hears("vm-locked")
    house.clock.now += 601
    owner = house.anybody()
    owner.press("1002#1002#")
    owner.hears("vm-none", "vm-main-menu")
    assert house.voicemail.post.pins.locked == 1


def test_nobody_learns_which_mailboxes_there_are(house: House) -> None:
    guesser = house.anybody()
    guesser.press("4444#")
    guesser.hears("enter-pin")
    guesser.press("1#")
    guesser.hears("wrong-pin", "vm-mailbox")
    guesser.press("4445#1#4446#1#")
    guesser.hears("goodbye")
    assert guesser.reason == "wrong PINs"


def test_a_caller_from_outside_is_not_believed_its_number(house: House) -> None:
    house.listens("1002", Direction.INBOUND).hears("vm-mailbox")


def test_a_shared_mailbox_is_its_users(house: House) -> None:
    house.scribe.said = tone(1.0)
    act = house.voicemail.leaving((ACCOUNT, "1999"), Reason.UNAVAILABLE, lambda _left, _now: None)
    assert act is not None
    caller = house.caller(act)
    caller.played()
    caller.hang_up()
    house.listens("1004").hears("vm-counts", "vm-main-menu")
    house.listens("1002").hears("vm-none", "vm-main-menu")  # who has one of their own hears that


@pytest.mark.parametrize(
    "pressed", ["", "0", "01", "011", "05", "0512#", "1", "17", "18", "181003#", "181003#2", "15", "9"]
)
def test_hanging_up_anywhere_is_harmless(house: House, pressed: str) -> None:
    house.leave_one()
    owner = house.listens()
    for digit in pressed:
        owner.press(digit)
    owner.hang_up()
    owner.wait(100)
    assert len(house.messages()) == 1


def test_random_keys_lead_nowhere_bad(house: House) -> None:
    house.leave_one()
    owner = house.listens()
    for number in range(400):
        if owner.stage.closed:
            owner = house.listens()
        owner.press("0123456789*#"[(number * 7 + number // 5) % 12])
        if number % 3 == 0:
            owner.played()
        owner.wait(0.5)
    owner.hang_up()
    assert not house.box().locked_until


@pytest.mark.parametrize("talked", [True, False])
def test_who_left_it_is_called_back(house: House, talked: bool) -> None:
    rung: list[str] = []
    ends: list[Callable[[bool, float], None]] = []
    stopped: list[float] = []

    def ring(_stage: Stage, number: str, over: Callable[[bool, float], None], _now: float) -> Callable[[float], None]:
        rung.append(number)
        ends.append(over)
        return stopped.append

    house.voicemail.post.ring = ring
    owner = at_the_message(house)
    owner.press("2")
    assert rung == ["1001"]
    owner.press("7")  # for the other side, not for us
    assert house.messages()[0].folder is Folder.NEW
    ends[0](talked, 5.0)
    if not talked:
        owner.hears("vm-not-reached", "vm-message-menu")
    owner.press("7")
    assert house.messages()[0].folder is Folder.DELETED
    assert stopped == []


def test_hanging_up_while_it_rings_ends_the_ringing(house: House) -> None:
    stopped: list[float] = []
    house.voicemail.post.ring = lambda _stage, _number, _over, _now: stopped.append
    owner = at_the_message(house)
    owner.press("2")
    owner.hang_up()
    assert len(stopped) == 1


def test_a_number_that_cannot_be_called_back(house: House) -> None:
    owner = at_the_message(house)
    owner.press("2")
    owner.hears("vm-no-call-back", "vm-message-menu")
