"""The mailboxes and their messages: in memory for those who ask, in rows and WAV files for those who come after us.

    data_dir/voicemail/MAILBOX/MESSAGE.wav      a message; its row is there before its first sample
    data_dir/voicemail/MAILBOX/GREETING.wav     a greeting, never changed under its name

A row without a length is a message that was being left when the process died: `recover` makes it whole.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pbxd.config.mailboxes import Mailbox
from pbxd.ids import new_id
from pbxd.services.voicemail.dictation import Judgement, judge_left
from pbxd.services.voicemail.rules import Counts, Folder, GreetingKind, Message, Origin
from pbxd.store import Store
from pbxd.store.schema import mailboxes, messages

log = logging.getLogger(__name__)

MESSAGE, GREETING = "vmm", "vmg"

Key = tuple[str, str]
"""Account id and number."""


@dataclass(slots=True)
class Box:
    """One mailbox. `rules` are what the configuration says of it, `users` whose it is."""

    id: str
    account_id: str
    number: str
    rules: Mailbox
    created_at: float
    pin_hash: str | None = None
    wrong_pins: int = 0
    locked_until: float | None = None
    greetings: dict[GreetingKind, str] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)

    @property
    def users(self) -> tuple[str, ...]:
        return (self.number,) if self.rules.users is None else self.rules.users

    def of(self, folder: Folder) -> list[Message]:
        """Whole messages, urgent ones first, else in the order they came."""
        found = [one for one in self.messages.values() if one.folder is folder and one.seconds is not None]
        return sorted(found, key=lambda one: (not one.urgent, one.received_at, one.id))

    @property
    def counts(self) -> Counts:
        new, old = self.of(Folder.NEW), self.of(Folder.SAVED)
        return Counts(len(new), len(old), sum(one.urgent for one in new), sum(one.urgent for one in old))

    @property
    def full(self) -> bool:
        kept = [one for one in self.messages.values() if one.folder is not Folder.DELETED]
        seconds = sum(one.seconds or 0.0 for one in kept)
        return len(kept) >= self.rules.max_messages or seconds >= self.rules.max_seconds


class Archive:
    """All mailboxes of all accounts, by account and number."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._save_box = store.upsert(mailboxes)
        self._save_message = store.upsert(messages)
        self._drop_message = store.delete_by_id(messages)
        self._boxes: dict[Key, Box] = {}
        self._loaded: dict[Key, Box] = {}  # also those that a reload took away, for who is in the middle of one
        self._by_id: dict[str, Box] = {}
        self._of_user: dict[Key, Box] = {}

    def __iter__(self) -> Iterator[Box]:
        return iter(self._boxes.values())

    async def load(self, declared: Mapping[Key, Mailbox], wall: float) -> None:
        """Reads what there is, and makes what is declared, by account and number, and missing. A mailbox that is
        declared no more stays where it is, messages and all, and is back when it is declared again. Raises
        StoreError."""
        await self._store.drain()
        rows = await self._store.rows(select(mailboxes))
        known = {(row.account_id, row.number): row._asdict() for row in rows}
        boxes = {
            key: self._kept(key, rules) or _box(known.get(key), *key, rules, wall) for key, rules in declared.items()
        }
        fresh = [(self._save_box, _box_row(box)) for key, box in boxes.items() if key not in known]
        if fresh:
            await self._store.commit(fresh)
        unread = {box.id: box for key, box in boxes.items() if key not in self._loaded}
        if unread:
            for row in await self._store.rows(select(messages)):
                if row.mailbox_id in unread:
                    unread[row.mailbox_id].messages[row.id] = _message(row._asdict())
        self._boxes = boxes
        self._loaded |= boxes
        self._by_id = {box.id: box for box in self._loaded.values()}
        self._of_user = {(box.account_id, user): box for box in reversed(boxes.values()) for user in box.users}
        self._of_user |= {key: box for key, box in boxes.items() if box.number in box.users}

    def _kept(self, key: Key, rules: Mailbox) -> Box | None:
        box = self._loaded.get(key)
        if box is not None:
            box.rules = rules
        return box

    # ---- who and where

    def box(self, account_id: str, number: str) -> Box | None:
        return self._boxes.get((account_id, number))

    def box_of(self, message: Message) -> Box:
        """The mailbox that it is in, also one that is declared no more."""
        return self._by_id[message.mailbox_id]

    def of_user(self, account_id: str, user: str) -> Box | None:
        """The mailbox of a user: that of its own number, or the first shared one."""
        return self._of_user.get((account_id, user))

    def place(self, box: Box) -> Path:
        return self._folder / box.id

    def path(self, message: Message) -> Path:
        return self._folder / message.mailbox_id / f"{message.id}.wav"

    def greeting(self, box: Box, kind: GreetingKind) -> Path | None:
        name = box.greetings.get(kind)
        return None if name is None else self.place(box) / name

    def new_greeting(self, box: Box, wall: float) -> Path:
        """Where a greeting may be written."""
        return self.place(box) / f"{new_id(GREETING, wall)}.wav"

    # ---- what changes

    def begin(self, box: Box, origin: Origin, wall: float, forwarded_by: str | None = None) -> Message:
        """A message that is going to be left."""
        message = Message(
            id=new_id(MESSAGE, wall),
            account_id=box.account_id,
            mailbox_id=box.id,
            caller=origin.caller,
            caller_name=origin.caller_name,
            call_id=origin.call_id,
            received_at=wall,
            forwarded_by=forwarded_by,
        )
        return self.keep(message)

    def keep(self, message: Message) -> Message:
        """Takes up a message as it is now."""
        self.box_of(message).messages[message.id] = message
        self._store.write(self._save_message, _message_row(message))
        return message

    def drop(self, message: Message) -> Path:
        """Forgets a message; gives its file, which is for the caller to remove."""
        self.box_of(message).messages.pop(message.id, None)
        self._store.write(self._drop_message, {"key": message.id})
        return self.path(message)

    def keep_box(self, box: Box) -> None:
        self._store.write(self._save_box, _box_row(box))

    # ---- after a crash

    def broken(self) -> list[Message]:
        """Messages that were being left when the last process died."""
        return [one for box in self for one in box.messages.values() if one.seconds is None]

    def strays(self, wall: float) -> list[Message]:
        """Files without a row: the process died before the store took it. May block."""
        found = []
        for box in self:
            place = self.place(box)
            names = [path.stem for path in place.glob(f"{MESSAGE}_*.wav")] if place.is_dir() else []
            found += [
                Message(name, box.account_id, box.id, "", "", "", received_at=wall)
                for name in names
                if name not in box.messages
            ]
        return found

    def inspect(self, broken: list[Message], least_s: float) -> list[tuple[Message, Judgement | None]]:
        """Makes the files of `broken` whole and judges them; None where there is nothing to save. May block."""
        return [(message, judge_left(self.path(message), least_s)) for message in broken]


def remove(*paths: Path) -> None:
    """Removes files that are not needed any more. May block; what fails is logged and comes back as a stray."""
    for path in paths:
        try:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        except OSError as error:
            log.warning("%s cannot be removed: %s", path, error.strerror or error)


def _box(row: Mapping[str, Any] | None, account_id: str, number: str, rules: Mailbox, wall: float) -> Box:
    if row is None:
        return Box(new_id("mbx", wall), account_id, number, rules, wall)
    greetings = {GreetingKind(kind): str(name) for kind, name in json.loads(row["greetings"]).items()}
    return Box(
        row["id"],
        account_id,
        number,
        rules,
        row["created_at"],
        row["pin_hash"],
        row["wrong_pins"],
        row["locked_until"],
        greetings,
    )


def _box_row(box: Box) -> dict[str, Any]:
    return {
        "id": box.id,
        "account_id": box.account_id,
        "number": box.number,
        "pin_hash": box.pin_hash,
        "wrong_pins": box.wrong_pins,
        "locked_until": box.locked_until,
        "greetings": json.dumps({kind.value: name for kind, name in box.greetings.items()}),
        "created_at": box.created_at,
    }


def _message(row: Mapping[str, Any]) -> Message:
    return replace(Message(**row), folder=Folder(row["folder"]))


def _message_row(message: Message) -> dict[str, Any]:
    return asdict(message) | {"folder": message.folder.value}
