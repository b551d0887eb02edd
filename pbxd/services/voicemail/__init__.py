"""Voicemail: mailboxes by number, messages left in them, and how their owners hear of these.

rules      messages, greetings, events         archive    mailboxes and messages, in rows and files
dictation  writing down what is said           pins       looking at PINs
post       what the acts work with             menu       one key out of a few
leaving    leaving a message                   listening  options  forwarding   listening by phone
notices    mail and webhook                    lamp       the lamp (RFC 3842)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from media.convert import BadAudio, convert
from media.transcription import CannotTranscribe, Transcriber
from pbxd.calls.call import Fallback
from pbxd.calls.facilities import Facilities
from pbxd.calls.record import CallRecord, Direction
from pbxd.calls.stage import Act, Delegate, Stage
from pbxd.config.mailboxes import Mailbox
from pbxd.config.mailboxes import Voicemail as VoicemailRules
from pbxd.directory.model import Extension, User
from pbxd.errors import Conflict, Invalid, NotFound, Unavailable
from pbxd.outbox import Outbox
from pbxd.services.voicemail.archive import Archive, Box, Key, remove
from pbxd.services.voicemail.dictation import Desk
from pbxd.services.voicemail.leaving import Done, Leaving
from pbxd.services.voicemail.listening import Listening
from pbxd.services.voicemail.notices import read_sound, tell
from pbxd.services.voicemail.pins import Pins, Verdict, check_pin
from pbxd.services.voicemail.post import Post
from pbxd.services.voicemail.rules import (
    Counts,
    Folder,
    GreetingKind,
    Left,
    Message,
    Reason,
    VoicemailChange,
    VoicemailChanged,
)
from pbxd.store import Store

__all__ = [
    "Box",
    "Counts",
    "Folder",
    "GreetingKind",
    "Left",
    "Message",
    "Reason",
    "Verdict",
    "Voicemail",
    "VoicemailChange",
    "VoicemailChanged",
]

log = logging.getLogger(__name__)

GREETING_HZ = 8000
RETRY_S = 60.0
NOTICE = "voicemail-notice"
HOUSEKEEPING_S = 3600.0

Found = TypeVar("Found")


class Voicemail:
    """The service. `load` it, then `serve` with an outbox, then `stop`; `load` again takes up other settings."""

    def __init__(self, store: Store, folder: Path, facilities: Facilities, desk: Desk, rules: VoicemailRules) -> None:
        self._store = store
        self._facilities = facilities
        self._outbox: Outbox | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._untold: dict[str, Message] = {}
        self._transcriber: Transcriber | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="transcripts")
        archive = Archive(store, folder)
        pins = Pins(archive, desk.aside, self.wall)
        self.post = Post(archive, pins, desk, facilities.bus, rules, self.wall, self._delivered)

    def wall(self) -> float:
        """Seconds since the epoch."""
        facilities = self._facilities
        return facilities.wall(facilities.clock())

    @property
    def archive(self) -> Archive:
        return self.post.archive

    # ---- life

    async def load(self, declared: Mapping[Key, Mailbox], rules: VoicemailRules) -> None:
        """Takes up the settings, at the start and at a reload; mailboxes by account and number. Raises StoreError."""
        await self.archive.load(declared, self.wall())
        self.post.rules = rules
        self.post.pins.tries, self.post.pins.lock_s = rules.pin_tries, float(rules.lock_s)

    async def recover(self) -> int:
        """Delivers what was being said when the last process died; how many messages. Before calls come."""
        archive, least_s = self.archive, self.post.rules.message_min_s
        strays = await asyncio.to_thread(archive.strays, self.wall())
        delivered = 0
        for message, found in await asyncio.to_thread(archive.inspect, [*archive.broken(), *strays], least_s):
            if found is None:
                self.post.discard(message)
            else:
                self.post.deliver(message, found.seconds)
                delivered += 1
        if delivered:
            log.warning("%d messages were being left when the house died; they are delivered as they are", delivered)
        return delivered

    def serve(self, outbox: Outbox, transcriber: Transcriber | None = None) -> None:
        """From now on owners are told of messages, also of those that nobody was told of yet; and what they say, where
        there is a transcriber."""
        self._outbox, self._transcriber = outbox, transcriber
        waiting = [one for box in self.archive for one in box.messages.values() if _untold(one)]
        for message in waiting:
            self._tell(message)
        self._spawn(self._keep_house(), "voicemail-housekeeping")

    async def stop(self) -> None:
        """Begins nothing more."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        if self._transcriber is not None:
            self._transcriber.close()
        self._writer.shutdown(wait=False, cancel_futures=True)

    @property
    def telling(self) -> int:
        """How many messages are just now handed to the outbox."""
        return sum(task.get_name() == NOTICE for task in self._tasks)

    async def _keep_house(self) -> None:
        turns = 0
        while True:
            await asyncio.sleep(RETRY_S)
            turns += 1
            for message in tuple(self._untold.values()):
                self._tell(message)
            if self._transcriber is not None:
                self._transcriber.tidy()
            if turns % round(HOUSEKEEPING_S / RETRY_S) == 0:
                self.post.purge()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- telling

    def _delivered(self, message: Message) -> None:
        if self._outbox is not None:
            self._tell(message)

    def _tell(self, message: Message) -> None:
        if self._outbox is not None:
            self._untold.pop(message.id, None)
            self._spawn(self._told(self._outbox, message), NOTICE)

    async def _told(self, outbox: Outbox, message: Message) -> None:
        message = await self._in_words(message)
        box = self.archive.box_of(message)
        sound = None
        if box.rules.mail is not None and box.rules.attach:
            sound = await asyncio.to_thread(read_sound, self.archive.path(message))
        if not await tell(outbox, box, message, sound):
            self._untold[message.id] = message
            return
        current = box.messages.get(message.id)
        if current is not None:
            self.archive.keep(replace(current, told_at=self.wall()))

    async def _in_words(self, message: Message) -> Message:
        """The message with what it says; as it is where nobody can tell. It is in its mailbox meanwhile."""
        if self._transcriber is None or message.transcript is not None or not self.post.rules.transcribe:
            return message
        path, loop = self.archive.path(message), asyncio.get_running_loop()
        try:
            words = await loop.run_in_executor(self._writer, self._transcriber.transcribe, path)
        except CannotTranscribe as error:
            log.warning("the message %s has no transcript: %s", message.id, error)
            return message
        current = self.archive.box_of(message).messages.get(message.id)
        if current is None or not words:
            return message
        return self.archive.keep(replace(current, transcript=words))

    # ---- acts

    def leaving(self, key: Key, reason: Reason | None, done: Done) -> Act | None:
        """The act of somebody who leaves a message in a mailbox; None where there is none. Without a reason there is no
        greeting, only the beep."""
        box = self.archive.box(*key)
        return None if box is None else Leaving(self.post, box, reason, done)

    def leave(self, stage: Stage, mailbox: str, reason: Reason, done: Done, now: float) -> Act | None:
        """Lets the caller on `stage` leave a message. Until `done` is told, with the caller still there, the act that
        this gives is to be told what happens on the stage: digits, speech, the end. None: there is no such mailbox."""
        act = self.leaving((stage.record.account_id, mailbox), reason, done)
        if act is not None:
            act.begin(stage, now)
        return act

    def listening(self, account_id: str, number: str | None) -> Act | None:
        """The act of somebody who listens to the mailbox `number`, whose PIN is asked for; without one, the number too.
        None: there is no such mailbox."""
        box = self.archive.box(account_id, number) if number is not None else None
        if number is not None and box is None:
            return None
        return Listening(self.post, box, asks_pin=True, clock=self._facilities.clock)

    def leave_at(self, extension: Extension, _record: CallRecord) -> Act:
        """The act of a number that takes messages."""
        return _Final(self.leaving, (extension.account_id, str(extension.options["mailbox"])), Reason.UNAVAILABLE)

    def listen_own(self, _extension: Extension, record: CallRecord) -> Act:
        """The act of the number for one's own mailbox. Who has none, or is no phone of ours, is asked for one."""
        internal = record.direction is Direction.INTERNAL
        box = self.archive.of_user(record.account_id, record.legs[0].party) if internal else None
        asks = box is None or (self.post.rules.own_needs_pin and box.rules.pin is not None)
        return Listening(self.post, box, asks_pin=asks, clock=self._facilities.clock)

    def listen_any(self, _extension: Extension, _record: CallRecord) -> Act:
        """The act of the number for any mailbox."""
        return Listening(self.post, None, asks_pin=True, clock=self._facilities.clock)

    def fallback(self, user: User, _record: CallRecord) -> Fallback | None:
        """What is done for a user who does not answer."""
        if user.mailbox is not None:
            box = self.archive.box(user.account_id, user.mailbox)
        else:
            box = self.archive.of_user(user.account_id, user.name)
        if box is None or not box.rules.answers:
            return None
        key = box.account_id, box.number
        return Fallback(box.rules.answers_after_s, lambda status: _Final(self.leaving, key, Reason.of(status)))

    # ---- what the API asks for

    def boxes(self, account_id: str | None = None) -> Sequence[Box]:
        """Those of an account, or all."""
        return [box for box in self.archive if account_id in (None, box.account_id)]

    def box(self, account_id: str, number: str) -> Box:
        """Raises NotFound."""
        box = self.archive.box(account_id, number)
        if box is None:
            raise NotFound(f"there is no mailbox {number}")
        return box

    def message(self, account_id: str, number: str, message_id: str) -> Message:
        """A whole message. Raises NotFound."""
        message = self.box(account_id, number).messages.get(message_id)
        if message is None or message.seconds is None:
            raise NotFound("there is no such message")
        return message

    def move(self, account_id: str, number: str, message_id: str, folder: Folder) -> Message:
        """Raises NotFound; Conflict for a message that was heard, which is never new again."""
        message = self.message(account_id, number, message_id)
        if folder is Folder.NEW and message.folder is not Folder.NEW:
            raise Conflict("a message that was heard is not new again")
        return self.post.move(message, folder)

    def mark(self, account_id: str, number: str, message_id: str, *, urgent: bool) -> Message:
        """Raises NotFound."""
        message = self.message(account_id, number, message_id)
        if message.urgent is not urgent:
            message = self.archive.keep(replace(message, urgent=urgent))
            self.post.say(VoicemailChange.SAVED, message)
        return message

    def purge(self, account_id: str, number: str, message_id: str) -> Message:
        """Removes a message for good. Raises NotFound."""
        message = self.message(account_id, number, message_id)
        self.post.say(VoicemailChange.PURGED, message)
        self.post.remove(message)
        return message

    async def set_pin(self, account_id: str, number: str, pin: str) -> Box:
        """Raises NotFound, Invalid, Unavailable."""
        box = self.box(account_id, number)
        check_pin(pin)
        changed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.post.pins.change(box, pin, changed.set_result)
        if not await changed:
            raise Unavailable("the PIN could not be hashed")
        self.post.bus.publish(VoicemailChanged(VoicemailChange.PIN, box.account_id, box.number))
        return box

    async def set_greeting(self, account_id: str, number: str, kind: GreetingKind, content: bytes) -> Box:
        """Takes up an uploaded greeting, any audio file; nothing at all removes it. Raises NotFound, Invalid,
        Unavailable."""
        box = self.box(account_id, number)
        if not content:
            self.post.set_greeting(box, kind, None)
            return box
        path = self.archive.new_greeting(box, self.wall())
        try:
            await asyncio.to_thread(_converted, content, path, float(self.post.rules.greeting_max_s))
        except BadAudio as error:
            raise Invalid(f"this is no greeting: {error}") from None
        except OSError as error:
            raise Unavailable(f"the greeting cannot be kept: {error.strerror or error}") from None
        self.post.set_greeting(box, kind, path.name)
        return box


def _untold(message: Message) -> bool:
    return message.seconds is not None and message.told_at is None and message.folder is Folder.NEW


def _converted(content: bytes, path: Path, most_s: float) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = path.with_suffix(".upload")
    try:
        source.write_bytes(content)
        convert(source, path, GREETING_HZ, most_s)
    finally:
        remove(source)


class _Final(Delegate):
    """Leaving a message as the last thing of a call."""

    def __init__(self, make: Callable[[Key, Reason, Done], Act | None], key: Key, reason: Reason) -> None:
        self._make = make
        self._key = key
        self._reason = reason

    def begin(self, stage: Stage, now: float) -> None:
        self._act = self._make(self._key, self._reason, lambda left, later: stage.hangup(later, left.value))
        if self._act is None:
            stage.hangup(now, "the mailbox is gone")
        else:
            self._act.begin(stage, now)
