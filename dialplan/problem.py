"""What is wrong with a call flow, in the words of the person who wrote it, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

MAX_PROBLEMS = 200
"""Of one file: nobody reads more, and none is worth more of a daemon's time."""
MAX_COMPARED = 1000


class Severity(StrEnum):
    """An error keeps a flow from going live; a warning is only said."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file, counted from one as editors do."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `key` is the dotted way to it, such as `parts.welcome.2.choices.3`."""

    file: str
    mark: Mark | None
    key: str
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = f"{self.file}:{self.mark.line}:{self.mark.column}" if self.mark else self.file
        said = f"warning: {self.message}" if self.severity is Severity.WARNING else self.message
        return ": ".join(filter(None, (where, self.key, said)))


class FlowError(Exception):
    """A flow cannot be used. `problems` are all of them, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by file and place."""
    return sorted(dict.fromkeys(problems), key=lambda one: (one.file, one.mark or Mark(0, 0)))


def suggestion(word: str, words: Iterable[str]) -> str:
    """` (did you mean …?)`, or nothing when nothing is near."""
    alike = [other for other in words if abs(len(other) - len(word)) <= 3]
    near = get_close_matches(word, alike[:MAX_COMPARED], n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""
