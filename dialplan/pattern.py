"""Regular expressions whose cost is bounded by their size times the length of the text.

What a flow says about digits and words is matched here and not by Python's `re`, because that takes exponential time
on patterns like `(1+)+#`, and a call must never wait for one. A pattern describes the whole text. It knows literals,
`.`, classes (`[0-9]`, `[^*#]`), `\\d \\w \\s`, groups, `|`, `*`, `+`, `?` and `{2,4}`; it does not know
back-references, look-around and anchors. Thompson's construction; each step walks a set of states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

MAX_PATTERN = 200
MAX_STATES = 500
MAX_REPEAT = 64
MAX_DEPTH = 16
MAX_SUBJECT = 256

_CLASSES = {"d": (("0", "9"),), "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")), "s": ((" ", " "), ("\t", "\r"))}
_ANY = (("\0", "\U0010ffff"),)
_MATCH = 0  # the index of the final state


@dataclass(frozen=True, slots=True)
class _Set:
    """One character out of ranges, or, negated, out of none of them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def __contains__(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) is not self.negated


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Syntax, ...]


@dataclass(frozen=True, slots=True)
class _Either:
    ways: tuple[_Syntax, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    what: _Syntax
    least: int
    most: int | None


_Syntax = _Set | _Sequence | _Either | _Repeat


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        self.at += 1
        return self.text[self.at - 1 : self.at]

    def either(self, depth: int) -> _Syntax:
        if depth > MAX_DEPTH:
            raise ValueError(f"groups are nested deeper than {MAX_DEPTH}")
        ways = [self.sequence(depth)]
        while self.peek() == "|":
            self.take()
            ways.append(self.sequence(depth))
        return ways[0] if len(ways) == 1 else _Either(tuple(ways))

    def sequence(self, depth: int) -> _Syntax:
        parts = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repeated(self.atom(depth)))
        return _Sequence(tuple(parts))

    def atom(self, depth: int) -> _Syntax:
        sign = self.take()
        if sign == "(":
            if self.peek() == "?":
                raise ValueError("(?…) is not known here")
            inside = self.either(depth + 1)
            if self.take() != ")":
                raise ValueError("a ( is not closed")
            return inside
        if sign == "[":
            return self.bracket()
        if sign == "\\":
            return _Set(self.escape())
        if sign == ".":
            return _Set(_ANY)
        if sign in "*+?{":
            raise ValueError(f"{sign} has nothing before it to repeat; write \\{sign} for the sign itself")
        if sign in "^$":
            raise ValueError(f"{sign} is not needed: a pattern describes the whole text")
        return _Set(((sign, sign),))

    def escape(self) -> tuple[tuple[str, str], ...]:
        sign = self.take()
        if not sign:
            raise ValueError("a \\ stands at the end")
        if sign in _CLASSES:
            return _CLASSES[sign]
        if sign.isalnum():
            raise ValueError(f"\\{sign} is not known here")
        return ((sign, sign),)

    def bracket(self) -> _Syntax:
        negated = self.peek() == "^"
        if negated:
            self.take()
        ranges: list[tuple[str, str]] = []
        while (sign := self.take()) != "]":
            if not sign:
                raise ValueError("a [ is not closed")
            if sign == "\\":
                ranges += self.escape()
            elif self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.take()
                high = self.take()
                if high < sign:
                    raise ValueError(f"{sign}-{high} goes downwards")
                ranges.append((sign, high))
            else:
                ranges.append((sign, sign))
        return _Set(tuple(ranges), negated)

    def repeated(self, what: _Syntax) -> _Syntax:
        sign = self.peek()
        if not sign or sign not in "*+?{":
            return what
        self.take()
        if sign == "{":
            least, most = self.counts()
        else:
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        following = self.peek()
        if following and following in "*+?{":
            raise ValueError(f"{sign} and {following} stand one after the other")
        return _Repeat(what, least, most)

    def counts(self) -> tuple[int, int | None]:
        inside, closed, _ = self.text[self.at :].partition("}")
        low, comma, high = inside.partition(",")
        wrong = not closed or not (low.isascii() and low.isdecimal()) or (high and not high.isdecimal())
        if wrong or len(low) > 3 or len(high) > 3:
            raise ValueError("a count is written {4}, {2,} or {2,4}")
        self.at += len(inside) + 1
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise ValueError(f"a count goes upwards, to {MAX_REPEAT} at most")
        return least, most


@dataclass(slots=True)
class _State:
    """Takes one character and goes to `to[0]`, or, without a set, goes to each of `to` at once."""

    accepts: _Set | None
    to: tuple[int, ...]


class _Program:
    """Built from the end to the beginning: each piece is told where it goes on."""

    def __init__(self) -> None:
        self.states: list[_State] = [_State(None, ())]
        self._pieces = 0

    def add(self, accepts: _Set | None, to: tuple[int, ...]) -> int:
        self.states.append(_State(accepts, to))
        return len(self.states) - 1

    def emit(self, syntax: _Syntax, after: int) -> int:
        self._pieces += 1  # an empty group makes no state, and may still be repeated without end
        if max(self._pieces, len(self.states)) > MAX_STATES:
            raise ValueError("the pattern is too large when its counts are written out")
        if isinstance(syntax, _Set):
            return self.add(syntax, (after,))
        if isinstance(syntax, _Sequence):
            for part in reversed(syntax.parts):
                after = self.emit(part, after)
            return after
        if isinstance(syntax, _Either):
            return self.add(None, tuple([self.emit(way, after) for way in syntax.ways]))
        return self.repeat(syntax, after)

    def repeat(self, syntax: _Repeat, after: int) -> int:
        if syntax.most is None:
            again = self.add(None, ())
            self.states[again].to = (self.emit(syntax.what, again), after)
            entry = again
        else:
            entry = after
            for _ in range(syntax.most - syntax.least):
                entry = self.add(None, (self.emit(syntax.what, entry), after))
        for _ in range(syntax.least):
            entry = self.emit(syntax.what, entry)
        return entry


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern. Two of one text are equal."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Raises ValueError with a sentence."""
        _compiled(text)
        return cls(text)

    def matches(self, subject: str) -> bool:
        """Whether it describes all of `subject`. A text longer than anyone types or says is described by nothing."""
        if len(subject) > MAX_SUBJECT:
            return False
        states, start = _compiled(self.text)
        current = _closure(states, {start})
        for character in subject:
            taken = {
                state.to[0]
                for state in (states[index] for index in current)
                if state.accepts is not None and character in state.accepts
            }
            if not taken:
                return False
            current = _closure(states, taken)
        return _MATCH in current


@lru_cache(maxsize=256)
def _compiled(text: str) -> tuple[tuple[_State, ...], int]:
    if len(text) > MAX_PATTERN:
        raise ValueError(f"the pattern is longer than {MAX_PATTERN} signs")
    parser = _Parser(text)
    syntax = parser.either(0)
    if parser.at < len(text):
        raise ValueError("a ) is closed that was not opened")
    program = _Program()
    start = program.emit(syntax, _MATCH)
    return tuple(program.states), start


def _closure(states: tuple[_State, ...], begin: set[int]) -> set[int]:
    found: set[int] = set()
    waiting = list(begin)
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            if states[index].accepts is None:
                waiting.extend(states[index].to)
    return found
