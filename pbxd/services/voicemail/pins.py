"""PINs: few digits, so that guessing must end early. Hashed where they are kept, and looked at in a worker thread."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from enum import Enum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pbxd.errors import Invalid
from pbxd.services.voicemail.archive import Archive, Box
from pbxd.services.voicemail.dictation import Aside

LEAST, MOST = 3, 12


class Verdict(Enum):
    RIGHT = "right"
    WRONG = "wrong"
    LOCKED = "locked"


def check_pin(pin: str) -> str:
    """`pin`, if it can be one. Raises Invalid."""
    if not (LEAST <= len(pin) <= MOST and pin.isascii() and pin.isdigit()):
        raise Invalid(f"a PIN is {LEAST} to {MOST} digits")
    return pin


class Pins:
    """Looks at PINs and changes them. `tries` wrong ones in a row lock a mailbox for `lock_s`; `locked` counts that."""

    def __init__(self, archive: Archive, aside: Aside, wall: Callable[[], float]) -> None:
        self._archive = archive
        self._aside = aside
        self._wall = wall
        self._hasher = PasswordHasher()
        self.tries = 5
        self.lock_s = 900.0
        self.wrong = 0
        self.locked = 0

    def is_locked(self, box: Box) -> bool:
        return box.locked_until is not None and self._wall() < box.locked_until

    def check(self, box: Box | None, pin: str, done: Callable[[Verdict], None]) -> None:
        """Tells `done`. A try is counted before it is looked at, so that many at once gain nothing; nobody learns
        whether a mailbox is there."""
        if box is None:
            self.wrong += 1
            self._aside(lambda: self._hasher.hash(pin), lambda _hash: done(Verdict.WRONG))
            return
        if self.is_locked(box):
            done(Verdict.LOCKED)
            return
        box.wrong_pins += 1
        hashed = box.pin_hash
        if hashed is None:
            declared = box.rules.pin.get_secret_value() if box.rules.pin is not None else ""
            right = bool(declared) and hmac.compare_digest(declared.encode(), pin.encode(errors="replace"))
            self._judged(box, right=right, done=done)
        else:
            self._aside(
                lambda: self._verify(hashed, pin), lambda right: self._judged(box, right=right is True, done=done)
            )

    def change(self, box: Box, pin: str, done: Callable[[bool], None]) -> None:
        """Gives the mailbox another PIN, and unlocks it. Raises Invalid."""
        check_pin(pin)

        def hashed(result: str | Exception) -> None:
            if isinstance(result, Exception):
                done(False)
                return
            box.pin_hash, box.wrong_pins, box.locked_until = result, 0, None
            self._archive.keep_box(box)
            done(True)

        self._aside(lambda: self._hasher.hash(pin), hashed)

    def _verify(self, hashed: str, pin: str) -> bool:
        try:
            return self._hasher.verify(hashed, pin)
        except (VerificationError, InvalidHashError):
            return False

    def _judged(self, box: Box, *, right: bool, done: Callable[[Verdict], None]) -> None:
        if right:
            box.wrong_pins, box.locked_until = 0, None
        else:
            self.wrong += 1
            if box.wrong_pins >= self.tries:
                self.locked += 1
                box.wrong_pins, box.locked_until = 0, self._wall() + self.lock_s
        self._archive.keep_box(box)
        done(Verdict.RIGHT if right else Verdict.LOCKED if self.is_locked(box) else Verdict.WRONG)
