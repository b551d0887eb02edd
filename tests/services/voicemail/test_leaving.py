"""Leaving a message, and hanging up at every step of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from media import wav
from media.recorder import RecordingEnd
from media.sound import Samples
from pbxd.calls.stage import Stage
from pbxd.services.voicemail import Folder, GreetingKind, Left, Reason, VoicemailChange
from pbxd.store import Store
from tests.services.voicemail.conftest import MAILBOXES
from tests.services.voicemail.theatre import ACCOUNT, House, hush, tone, write


def left(house: House) -> dict[Left, int]:
    return {left: count for left, count in house.voicemail.post.left.items() if count}


def test_a_message_is_left_reviewed_and_kept(house: House) -> None:
    caller = house.leaves()
    assert caller.answered
    caller.hears("vm-greeting")
    caller.wait(2.0)
    caller.press("#")
    caller.hears("vm-review")
    assert house.box().counts.new == 0
    caller.press("1")
    caller.hears("vm-saved")
    assert caller.reason == "a message was left"
    (message,) = house.messages()
    assert (message.caller, message.caller_name, message.call_id) == ("1001", "Somebody", "call_1")
    assert (message.seconds, message.folder, message.urgent) == (2.0, Folder.NEW, False)
    assert [event.change for event in house.events] == [VoicemailChange.RECEIVED]
    assert left(house) == {Left.DELIVERED: 1}


def test_hanging_up_in_the_greeting_leaves_nothing(house: House) -> None:
    house.leaves().hang_up()
    assert (house.messages(), house.files(), left(house)) == ([], [], {Left.NOTHING: 1})


def test_hanging_up_while_speaking_leaves_what_was_said(house: House) -> None:
    message = house.leave_one()
    assert message.seconds == 2.0
    assert house.files() == [message.id]


@pytest.mark.parametrize("pressed", ["", "2", "4"])
def test_hanging_up_in_the_review_delivers(house: House, pressed: str) -> None:
    caller = house.leaves()
    caller.played()
    caller.press("#" + pressed)
    caller.hang_up()
    (message,) = house.messages()
    assert (message.seconds, message.urgent) == (2.0, pressed == "4")
    assert left(house) == {Left.DELIVERED: 1}


def test_hanging_up_after_it_is_kept_changes_nothing(house: House) -> None:
    caller = house.leaves()
    caller.played()
    caller.press("#1")
    caller.hang_up()
    assert len(house.messages()) == 1
    assert left(house) == {Left.DELIVERED: 1}


def test_whoever_says_nothing_more_is_done(house: House) -> None:
    caller = house.leaves()
    caller.played()
    house.scribe.takes[-1].path.write_bytes(wav.header(8000, 1, 0) + tone(2.0).tobytes() + hush(6.0).tobytes())
    caller.act.talking(True)
    caller.wait(30.0)
    caller.act.talking(False)
    caller.wait(5.9)
    assert house.scribe.takes[-1].end is None
    caller.wait(0.2)
    caller.hears("vm-review")
    for _ in range(3):
        caller.wait(6.1)
        caller.played()
    assert caller.reason == "a message was left"
    (message,) = house.messages()
    assert message.seconds == 2.5  # half a second of the silence stays


def test_music_is_no_silence(house: House) -> None:
    caller = house.leaves()
    caller.played()
    caller.wait(6.1)  # nobody spoke, and there was sound all the time
    assert house.scribe.takes[-1].end is None
    caller.hang_up()
    assert len(house.messages()) == 1


@pytest.mark.parametrize("said", [hush(3.0), tone(0.3), tone(3.0, level=20)], ids=["silence", "a click", "noise"])
def test_silence_leaves_nothing(house: House, said: Samples) -> None:
    house.scribe.said = said
    caller = house.leaves()
    caller.played()
    caller.press("#")
    caller.hears("vm-too-short")
    assert caller.reason == "no message was left"
    assert (house.messages(), house.files(), left(house)) == ([], [], {Left.NOTHING: 1})


def test_it_may_be_said_again(house: House) -> None:
    caller = house.leaves()
    caller.played()
    caller.press("#3")
    house.scribe.said = tone(4.0)
    caller.played()
    caller.press("#1")
    (message,) = house.messages()
    assert message.seconds == 4.0
    assert house.files() == [message.id]


def test_a_full_mailbox_takes_nothing(house: House) -> None:
    house.leave_one("1003")
    house.leave_one("1003")
    caller = house.leaves("1003")
    caller.act.digit("#", 0.0)
    caller.hears("vm-full")
    assert caller.reason == "the mailbox is full"
    assert len(house.messages("1003")) == 2


def test_no_file_no_message(house: House) -> None:
    house.scribe.broken = True
    caller = house.leaves()
    caller.hears("vm-greeting", "vm-failed")
    assert (house.messages(), left(house)) == ([], {Left.FAILED: 1})


def test_a_disk_that_fills_up_keeps_what_was_said(house: House) -> None:
    caller = house.leaves()
    caller.played()
    house.scribe.takes[-1].finish(RecordingEnd.DISK_FULL)
    caller.hears("vm-cut-off", "vm-review")
    caller.hang_up()
    (message,) = house.messages()
    assert message.seconds == 2.0


def test_a_disk_that_fills_up_after_the_hang_up(house: House) -> None:
    caller = house.leaves()
    caller.played()
    house.scribe.takes[-1].stop = lambda: None  # type: ignore[method-assign]
    caller.hang_up()
    assert house.messages()[0].seconds is None
    house.scribe.takes[-1].finish(RecordingEnd.DISK_FULL)
    assert house.messages()[0].seconds == 2.0


@pytest.mark.parametrize(("status", "prompt"), [(486, "vm-busy"), (600, "vm-busy"), (480, "vm-greeting")])
def test_the_greeting_says_why(house: House, status: int, prompt: str) -> None:
    house.leaves(status=status).hears(prompt)


def test_greetings_of_the_owner_come_first(house: House) -> None:
    box, post = house.box(), house.voicemail.post
    for kind in (GreetingKind.NAME, GreetingKind.UNAVAILABLE, GreetingKind.TEMPORARY):
        path = house.voicemail.archive.new_greeting(box, 1.0)
        write(path, tone(1.0))
        post.set_greeting(box, kind, path.name)
        assert house.leaves().playing_recording()[0] == path
    assert len(house.files()) == 3
    post.set_greeting(box, GreetingKind.TEMPORARY, None)
    assert len(house.files()) == 2


async def test_what_a_dead_process_left_behind_is_delivered(house: House, store: Store, tmp_path: Path) -> None:
    caller = house.leaves()
    caller.played()
    (broken,) = house.messages()
    await store.drain()
    archive = house.voicemail.archive
    write(archive.place(house.box()) / "vmm_stray.wav", tone(1.5))  # its row was not written yet
    write(archive.place(house.box()) / "vmm_empty.wav", hush(1.5))
    again = await House(store, tmp_path / "voicemail").load(MAILBOXES)
    assert await again.voicemail.recover() == 2
    assert {one.id: (one.seconds, one.caller) for one in again.messages()} == {
        broken.id: (2.0, "1001"),
        "vmm_stray": (1.5, ""),
    }
    assert again.files() == sorted([broken.id, "vmm_stray"])
    third = await House(store, tmp_path / "voicemail").load(MAILBOXES)
    assert await third.voicemail.recover() == 0
    assert len(third.messages()) == 2


async def test_a_mailbox_may_go_while_a_message_is_left(house: House) -> None:
    caller = house.leaves()
    caller.played()
    await house.load({"1003": MAILBOXES["1003"]})
    caller.hang_up()
    await house.load(MAILBOXES)
    (message,) = house.messages()
    assert message.seconds == 2.0


async def test_a_mailbox_that_is_declared_no_more_keeps_its_messages(house: House, store: Store) -> None:
    message = house.leave_one()
    await house.load({"1003": MAILBOXES["1003"]})
    assert house.voicemail.archive.box(ACCOUNT, "1002") is None
    await house.load(MAILBOXES)
    assert house.messages() == [replace(message)]


def test_a_message_that_was_deleted_is_gone_after_a_while(house: House) -> None:
    message = house.leave_one()
    house.voicemail.move(ACCOUNT, "1002", message.id, Folder.DELETED)
    house.voicemail.post.purge()
    assert len(house.messages()) == 1
    house.clock.now += 604_801
    house.voicemail.post.purge()
    assert (house.messages(), house.files()) == ([], [])


class Flow:
    """An act of somebody else's that has a message left in the middle of it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.ends: list[Left] = []

    def begin(self, stage: Stage, now: float) -> None:
        found = self.house.voicemail.leave(stage, "1002", Reason.BUSY, lambda left, _now: self.ends.append(left), now)
        assert found is not None
        self.digit, self.talking, self.leave = found.digit, found.talking, found.leave


@pytest.mark.parametrize("said", [tone(1.0), hush(1.0)], ids=["sound", "silence"])
def test_a_flow_goes_on_after_a_message(house: House, said: Samples) -> None:
    flow = Flow(house)
    house.scribe.said = said
    caller = house.caller(flow)
    caller.hears("vm-busy")
    caller.press("#")
    caller.act.digit("1", 0.0)
    caller.played()
    assert flow.ends == [Left.DELIVERED if said.any() else Left.NOTHING]
    assert caller.reason is None
    assert not caller.stage.closed


def test_no_mailbox_no_act(house: House) -> None:
    assert house.voicemail.leaving((ACCOUNT, "77"), Reason.BUSY, lambda _left, _now: None) is None
