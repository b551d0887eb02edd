"""Numbers at which the house itself speaks: it reads back digits, plays a prompt, says who is calling."""

from __future__ import annotations

from media.script import BREATH, Line, Prompt
from media.spoken import CannotSay, language
from pbxd.calls.gather import Gathered, GatherRules
from pbxd.calls.stage import Stage

READ_BACK = GatherRules(least=1, most=32, first_s=30.0, next_s=2.5)


class ReadBack:
    """Reads back the digits that are pressed, until nobody presses any more."""

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        stage.answer(now)
        self._ask((BREATH, Prompt("press-digits")), now)

    def digit(self, digit: str, now: float) -> None:
        self._stage.hush()
        self._stage.keep_ahead(digit)
        self._ask((), now)

    def talking(self, talks: bool) -> None:
        """Speech changes nothing here."""

    def leave(self, now: float) -> None:
        """Nothing is left to do."""

    def _ask(self, lines: tuple[Line, ...], now: float) -> None:
        self._stage.ask(lines, READ_BACK, self._heard, now)

    def _heard(self, outcome: Gathered, digits: str, now: float) -> None:
        if digits:
            said = language(self._stage.language).digits(digits)
            self._ask((Prompt("you-pressed", (("digits", said),)),), now)
        elif outcome is Gathered.TIMEOUT:
            goodbye = (Prompt("goodbye"), BREATH)
            self._stage.play(goodbye, lambda _whole, later: self._stage.hangup(later, "no more digits"))
        else:
            self._ask((Prompt("press-digits"),), now)


class Announcement:
    """Plays lines once, and hangs up."""

    def __init__(self, *lines: Line) -> None:
        self._lines = lines

    def begin(self, stage: Stage, now: float) -> None:
        stage.answer(now)
        stage.play((BREATH, *self._lines, BREATH), lambda _whole, later: stage.hangup(later, "all was said"))

    def digit(self, digit: str, now: float) -> None:
        """Digits change nothing here."""

    def talking(self, talks: bool) -> None:
        """Nor does speech."""

    def leave(self, now: float) -> None:
        """Nothing is left to do."""


def caller_announcement(number: str, tongue: str) -> Announcement:
    """Says the number of who is calling, digit by digit."""
    try:
        said = language(tongue).digits(number)
    except CannotSay:  # a name, or nothing at all
        said = ""
    return Announcement(Prompt("you-are-caller", (("caller", said),)) if said else Prompt("unknown-caller"))
