"""What variables hold, and how one kind becomes another. Every function here is total: a call never ends because a
variable was of another kind than somebody thought."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import islice

MAX_TEXT = 8192
"""Longer texts are cut: more than ten minutes of speech."""
MAX_NUMBER = 2**53
"""Larger numbers are null: beyond it JSON readers lose digits."""

MAX_DEPTH = 8
MAX_PARTS = 1000
"""Of one variable: each value in it counts one, and one more for each 64 signs."""

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]

_NUMBER = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,16})?")


def as_text(value: Value) -> str:
    """As it is said in a template: null is nothing, 3.0 is 3, lists and mappings are JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))[:MAX_TEXT]


def as_number(value: Value) -> int | float | None:
    """A number, a text that is written as one, or null. Truth is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return bounded(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        text = value.strip()
        return bounded(float(text) if "." in text else int(text))
    return None


def bounded(number: float) -> int | float | None:
    """`number`, or null when it is too large to be meant, or NaN. An int stays an int."""
    return number if -MAX_NUMBER <= number <= MAX_NUMBER else None


def truth(value: Value) -> bool:
    """Null, false, 0, the empty text, list and mapping are false."""
    return bool(value)


def equal(left: Value, right: Value) -> bool:
    """A number equals a text that is written as that number: what a caller pressed is text."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    first, second = as_number(left), as_number(right)
    if first is not None and second is not None:
        return first == second
    return left == right


def compare(left: Value, right: Value) -> int | None:
    """-1, 0, 1, or None where there is no order: unlike kinds, null, lists."""
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    first, second = as_number(left), as_number(right)
    if first is None or second is None:
        return None
    return (first > second) - (first < second)


def sound_value(value: object) -> Value:
    """Anything from outside as a value of bounded size: longer texts are cut; what is deeper than MAX_DEPTH or of
    another kind is null, and what comes after MAX_PARTS others is left out."""
    return _sound(value, MAX_DEPTH, _Budget())


class _Budget:
    """What is left of a value's size."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_PARTS

    def spent(self, parts: int) -> bool:
        self.left -= parts
        return self.left < 0


def _sound(value: object, depth: int, budget: _Budget) -> Value:
    if value is None or isinstance(value, bool) or budget.spent(1):
        return value if isinstance(value, bool) else None
    if isinstance(value, int | float):
        return bounded(value)
    if isinstance(value, str):
        return None if budget.spent(len(value) // 64) else value[:MAX_TEXT]
    if depth > 0 and isinstance(value, Mapping):
        few = islice(value.items(), MAX_PARTS)
        return {str(key)[:200]: _sound(inner, depth - 1, budget) for key, inner in few if budget.left > 0}
    if depth > 0 and isinstance(value, Sequence):
        return [_sound(inner, depth - 1, budget) for inner in islice(value, MAX_PARTS) if budget.left > 0]
    return None
