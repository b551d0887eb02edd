"""What the acts of voicemail work with: the archive, the desk, and what is done with a message that is there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from media.script import Line, Prompt, Recorded
from media.spoken import CannotSay, language
from pbxd.calls.stage import Stage
from pbxd.config.mailboxes import Greeting, Voicemail
from pbxd.events import Bus
from pbxd.services.voicemail.archive import Archive, Box, remove
from pbxd.services.voicemail.dictation import Desk
from pbxd.services.voicemail.pins import Pins
from pbxd.services.voicemail.rules import (
    Folder,
    GreetingKind,
    Left,
    Message,
    Reason,
    VoicemailChange,
    VoicemailChanged,
)

log = logging.getLogger(__name__)


RingBack = Callable[[Stage, str, Callable[[bool, float], None], float], Callable[[float], None] | None]
"""(stage, number, over, now): rings the number for who is on the stage. `over` hears when that has ended whether they
talked, and then the stage is the act's again. What ends it before; None where that number cannot be rung."""


def _nobody(_stage: Stage, _number: str, _over: Callable[[bool, float], None], _now: float) -> None:
    """Nobody can be rung."""


@dataclass(slots=True)
class Post:
    """The office behind all acts. `wall` is the time in seconds since the epoch; `left` counts, for the metrics; `ring`
    calls back."""

    archive: Archive
    pins: Pins
    desk: Desk
    bus: Bus
    rules: Voicemail
    wall: Callable[[], float]
    on_delivered: Callable[[Message], None] = lambda _message: None
    ring: RingBack = _nobody
    left: dict[Left, int] = field(default_factory=lambda: dict.fromkeys(Left, 0))

    def deliver(self, message: Message, seconds: float) -> Message:
        """A message is whole: it is in the mailbox, its lamp is lit, mail goes out."""
        self.left[Left.DELIVERED] += 1
        whole = self.archive.keep(replace(message, seconds=round(seconds, 3)))
        self.say(VoicemailChange.RECEIVED, whole)
        self.on_delivered(whole)
        return whole

    def discard(self, message: Message) -> None:
        """There is no message after all."""
        self.remove(message)

    def move(self, message: Message, folder: Folder) -> Message:
        """Puts a message into another folder, if it is still there and not in it."""
        current = self.archive.box_of(message).messages.get(message.id)
        if current is None or current.folder is folder:
            return current or message
        change = VoicemailChange.SAVED
        if folder is Folder.DELETED:
            change = VoicemailChange.DELETED
        elif current.folder is Folder.DELETED:
            change = VoicemailChange.RESTORED
        deleted_at = self.wall() if folder is Folder.DELETED else None
        moved = self.archive.keep(replace(current, folder=folder, deleted_at=deleted_at))
        self.say(change, moved)
        return moved

    def remove(self, message: Message) -> None:
        """Forgets a message for good, file and all."""
        path = self.archive.drop(message)
        self.desk.aside(lambda: remove(path), _heard)

    def purge(self) -> None:
        """Removes what was deleted long enough ago."""
        before = self.wall() - self.rules.keep_deleted_s
        for box in self.archive:
            for message in tuple(box.messages.values()):
                if message.deleted_at is not None and message.deleted_at <= before:
                    self.remove(message)
                    self.say(VoicemailChange.PURGED, message)

    def set_greeting(self, box: Box, kind: GreetingKind, name: str | None) -> None:
        """Takes up a greeting by the name of its file; None goes back to what is played without one."""
        before = self.archive.greeting(box, kind)
        if name is None:
            box.greetings.pop(kind, None)
        else:
            box.greetings[kind] = name
        self.archive.keep_box(box)
        if before is not None:
            self.desk.aside(lambda: remove(before), _heard)
        self.bus.publish(VoicemailChanged(VoicemailChange.GREETING, box.account_id, box.number))

    def say(self, change: VoicemailChange, message: Message) -> None:
        number = self.archive.box_of(message).number
        self.bus.publish(VoicemailChanged(change, message.account_id, number, message.id))

    def greeting(self, box: Box, reason: Reason) -> tuple[Line, ...]:
        """What a caller hears first: the temporary greeting, else what the mailbox is set to."""
        standard = Prompt("vm-busy" if reason is Reason.BUSY else "vm-greeting")
        name = self.archive.greeting(box, GreetingKind.NAME)
        temporary = self.archive.greeting(box, GreetingKind.TEMPORARY)
        own = self.archive.greeting(box, GreetingKind(reason.value))
        if temporary is not None:
            return (Recorded(temporary),)
        if own is not None and box.rules.greeting is Greeting.RECORDED:
            return (Recorded(own),)
        if name is not None and box.rules.greeting is not Greeting.STANDARD:
            return (Recorded(name), Prompt("vm-named-busy" if reason is Reason.BUSY else "vm-named"))
        return (standard,)


def said_number(number: str, tongue: str) -> str:
    """A number digit by digit; empty where it is none."""
    try:
        return language(tongue).digits(number)
    except CannotSay:
        return ""


def said_count(count: int, tongue: str) -> str:
    """A count in words."""
    try:
        return language(tongue).number(count)
    except CannotSay:
        return str(count)


def _heard(result: object) -> None:
    if isinstance(result, Exception):
        log.error("a file of voicemail could not be removed", exc_info=result)
