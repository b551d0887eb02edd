"""Collecting the digits that somebody presses: how many, how long to wait, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Gathered(Enum):
    """How collecting ended."""

    COMPLETE = "complete"  # as many as there may be
    TERMINATED = "terminated"  # by a terminator, which is not one of the digits
    TIMEOUT = "timeout"  # enough of them, and then no more; or too few


@dataclass(frozen=True, slots=True)
class GatherRules:
    """From `least` to `most` digits. `first_s` is how long the first may take, `next_s` each of the others; any of
    `terminators` ends it early."""

    least: int = 1
    most: int = 32
    first_s: float = 7.0
    next_s: float = 4.0
    terminators: str = "#"


class Gather:
    """One collecting, in virtual time: `press` and `expire` say when it is over, `due` when to call `expire`."""

    def __init__(self, rules: GatherRules, now: float) -> None:
        self.rules = rules
        self.digits = ""
        self.outcome: Gathered | None = None
        self.due = now + rules.first_s

    @property
    def enough(self) -> bool:
        return len(self.digits) >= self.rules.least

    def press(self, digit: str, now: float) -> Gathered | None:
        """One digit was pressed; None while more may come."""
        if self.outcome is None and digit in self.rules.terminators:
            self.outcome = Gathered.TERMINATED
        elif self.outcome is None:
            self.digits += digit
            self.due = now + self.rules.next_s
            if len(self.digits) >= self.rules.most:
                self.outcome = Gathered.COMPLETE
        return self.outcome

    def expire(self, now: float) -> Gathered | None:
        """The time at `due` has come, unless a digit came before it."""
        if self.outcome is None and now >= self.due:
            self.outcome = Gathered.TIMEOUT
        return self.outcome
