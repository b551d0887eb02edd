"""The functions an expression may call. All pure, all total, all bounded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from dialplan.pattern import Pattern
from dialplan.values import MAX_TEXT, Value, as_number, as_text, bounded, truth


@dataclass(frozen=True, slots=True)
class Function:
    """`least` to `most` arguments, and one sentence for the manual. `weight`: what it costs beside a plus."""

    run: Callable[..., Value]
    least: int
    most: int
    about: str
    weight: int = 2


def _length(value: Value) -> Value:
    return len(value) if isinstance(value, str | list | dict) else 0


def _first(value: Value, count: Value) -> Value:
    return as_text(value)[: max(0, int(as_number(count) or 0))]


def _last(value: Value, count: Value) -> Value:
    kept = max(0, int(as_number(count) or 0))
    return as_text(value)[-kept:] if kept else ""


def _digits(value: Value) -> Value:
    return re.sub(r"[^0-9]", "", as_text(value))


def _spell(value: Value) -> Value:
    return " ".join(as_text(value))[:MAX_TEXT]


def _replace(value: Value, old: Value, new: Value) -> Value:
    text, old_text, new_text = as_text(value), as_text(old), as_text(new)
    if not old_text or text.count(old_text) * len(new_text) > MAX_TEXT:
        return text
    return text.replace(old_text, new_text)[:MAX_TEXT]


def _round(value: Value, places: Value = 0) -> Value:
    number = as_number(value)
    kept = min(10, max(0, int(as_number(places) or 0)))
    if number is None:
        return None
    return bounded(round(number, kept) if kept else round(number))


def _extreme(pick: Callable[..., float]) -> Callable[..., Value]:
    def run(*values: Value) -> Value:
        numbers = [number for number in map(as_number, values) if number is not None]
        return pick(numbers) if numbers else None

    return run


def _matches(value: Value, pattern: Value) -> Value:
    try:
        return Pattern.parse(as_text(pattern)).matches(as_text(value))
    except ValueError:  # a pattern that was put together while the call ran
        return False


FUNCTIONS = {
    "default": Function(
        lambda a, b: a if a not in (None, "") else b, 2, 2, "the first, or the second where it is empty"
    ),
    "length": Function(_length, 1, 1, "signs of a text, entries of a list"),
    "lower": Function(lambda a: as_text(a).lower()[:MAX_TEXT], 1, 1, "in small letters"),
    "upper": Function(lambda a: as_text(a).upper()[:MAX_TEXT], 1, 1, "in capital letters"),
    "trim": Function(lambda a: as_text(a).strip(), 1, 1, "without blanks around it"),
    "first": Function(_first, 2, 2, "the first so many signs: `first(caller.number, 3)`"),
    "last": Function(_last, 2, 2, "the last so many signs"),
    "digits": Function(_digits, 1, 1, "nothing but the digits of a text"),
    "spell": Function(_spell, 1, 1, "sign by sign, to be said: `1 0 0 1`"),
    "replace": Function(_replace, 3, 3, "every one of the second replaced by the third"),
    "starts_with": Function(lambda a, b: as_text(a).startswith(as_text(b)), 2, 2, "whether the first begins so"),
    "ends_with": Function(lambda a, b: as_text(a).endswith(as_text(b)), 2, 2, "whether the first ends so"),
    "matches": Function(_matches, 2, 2, "whether a pattern describes the whole text: `matches(pin, '[0-9]{4}')`", 100),
    "number": Function(as_number, 1, 1, "a text as a number; null where it is none"),
    "text": Function(as_text, 1, 1, "anything as text"),
    "round": Function(_round, 1, 2, "rounded, to so many places"),
    "min": Function(_extreme(min), 1, 8, "the least"),
    "max": Function(_extreme(max), 1, 8, "the greatest"),
    "choose": Function(
        lambda a, b, c: b if truth(a) else c, 3, 3, "the second where the first is true, else the third"
    ),
}
