"""Numbers, digits, dates, times and money as one says them. The rules of a language are data: `languages/*.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = Path(__file__).with_name("languages")

LARGEST = 10**15
_HOURS = (24, 12)


class CannotSay(ValueError):
    """There is no language of that name, or it has no words for this; the text says which."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language's words. Every method returns text for a voice; all raise CannotSay."""

    name: str
    rules: dict[str, Any]

    def digits(self, text: str) -> str:
        """Digit by digit: "1204" is "one two zero four". Spaces, dots, dashes and brackets are breaths."""
        return " ".join(self._digit(char) for char in text if char not in " .-()/")

    def _digit(self, char: str) -> str:
        numbers = self.rules["numbers"]
        if char.isascii() and char.isdigit():
            return str(numbers["units"][int(char)])
        try:
            return str(numbers["digits"][char])
        except KeyError:
            raise CannotSay(f"{char!r} is no digit") from None

    def number(self, value: Decimal | int) -> str:
        """1234 is "one thousand two hundred thirty-four"; digits behind the point are said one by one."""
        numbers, amount = self.rules["numbers"], Decimal(value)
        if not amount.is_finite():
            raise CannotSay("not a number")
        if abs(amount) >= LARGEST:
            raise CannotSay(f"numbers are below {LARGEST:.0e}")
        words: list[str] = [numbers["minus"]] if amount < 0 else []
        whole, _, behind = f"{abs(amount):f}".partition(".")
        words += [*self._cardinal(int(whole))]
        if behind:
            words += [numbers["point"], self.digits(behind)]
        return " ".join(words)

    def _cardinal(self, value: int) -> Iterator[str]:
        for size, name in self.rules["numbers"]["scales"]:
            if value >= size:
                yield from (*self._cardinal(value // size), name)
                value %= size
                if not value:
                    return
        yield self._below_thousand(value)

    def _below_thousand(self, value: int) -> str:
        numbers = self.rules["numbers"]
        if value < 100:
            return self._below_hundred(value)
        hundreds = f"{numbers['units'][value // 100]} {numbers['hundred']}"
        rest = value % 100
        return hundreds + (numbers["hundred_join"] + self._below_hundred(rest) if rest else "")

    def _below_hundred(self, value: int) -> str:
        numbers = self.rules["numbers"]
        if value < len(numbers["units"]):
            return str(numbers["units"][value])
        unit = value % 10
        return str(numbers["tens"][value // 10] + (numbers["tens_join"] + numbers["units"][unit] if unit else ""))

    def ordinal(self, value: int) -> str:
        """21 is "twenty-first"."""
        rules, join = self.rules["ordinals"], self.rules["numbers"]["tens_join"]
        words = self.number(value)
        at = max(words.rfind(" "), words.rfind(join)) + 1
        head, last = words[:at], words[at:]
        if last in rules["irregular"]:
            return head + str(rules["irregular"][last])
        return head + str(last[:-1] + rules["y"] if last.endswith("y") else last + rules["suffix"])

    def year(self, value: int) -> str:
        """1905 is "nineteen oh five", 2007 "two thousand seven", 2026 "twenty twenty-six"."""
        numbers = self.rules["numbers"]
        century, rest = divmod(value, 100)
        if not 1100 <= value < 10000 or (century % 10 == 0 and rest < 10):
            return self.number(value)
        tail = self._below_hundred(rest) if rest >= 10 else f"{numbers['oh']} {self._below_hundred(rest)}"
        return f"{self._below_hundred(century)} {tail if rest else numbers['even_hundred']}"

    def date(self, day: date) -> str:
        """ "Sunday, November twenty-second, twenty twenty-six"."""
        rules = self.rules["dates"]
        return str(rules["date"]).format(
            weekday=rules["weekdays"][day.weekday()],
            month=rules["months"][day.month - 1],
            day=self.ordinal(day.day),
            year=self.year(day.year),
        )

    def time(self, moment: time) -> str:
        """14:05 is "two oh five p.m."; noon and midnight have their names."""
        rules, numbers = self.rules["times"], self.rules["numbers"]
        if rules["hours"] not in _HOURS:
            raise CannotSay(f"{self.name}: hours are 12 or 24")
        if moment.minute == 0 and moment.hour in {0, 12} and rules["hours"] == 12:
            return str(rules["noon"] if moment.hour else rules["midnight"])
        hour = moment.hour if rules["hours"] == 24 else (moment.hour + 11) % 12 + 1
        minute = self._below_hundred(moment.minute)
        return (
            str(rules["exact"] if moment.minute else rules["sharp"])
            .format(
                hour=self._below_hundred(hour),
                minute=minute if moment.minute >= 10 else f"{numbers['oh']} {minute}",
                half=rules["am"] if moment.hour < 12 else rules["pm"],
            )
            .strip()
        )

    def moment(self, then: datetime, now: datetime) -> str:
        """When a message came, as one tells it at `now`: "today", "yesterday" or the date, and the time."""
        rules = self.rules["dates"]
        days = (now.date() - then.date()).days
        day = {0: rules["today"], 1: rules["yesterday"]}.get(days) or self.date(then.date())
        return str(rules["date_and_time"]).format(date=day, time=self.time(then.time()))

    def duration(self, seconds: float) -> str:
        """65 is "one minute and five seconds"; parts of a second are rounded."""
        rules = self.rules["durations"]
        if not 0 <= seconds < LARGEST:
            raise CannotSay("a duration is not negative")
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        parts = [
            self._count(value, rules[name])
            for value, name in ((hours, "hour"), (minutes, "minute"), (rest, "second"))
            if value
        ]
        return str(rules["join"]).join(parts) or self._count(0, rules["second"])

    def money(self, amount: Decimal, currency: str) -> str:
        """12.50 USD is "twelve dollars and fifty cents"; what is less than a cent is rounded."""
        rules = self.rules["money"]
        names = rules.get(currency)
        if not isinstance(names, dict):
            raise CannotSay(f"{self.name} has no name for the currency {currency!r}")
        if not amount.is_finite() or abs(amount) >= LARGEST:
            raise CannotSay("no amount of money")
        smallest = Decimal("0.01") if "cent" in names else Decimal(1)
        rounded = abs(amount).quantize(smallest, ROUND_HALF_UP)
        units, cents = int(rounded), int(rounded % 1 * 100)
        parts = [self._count(units, names["unit"])] if units or not cents else []
        parts += [self._count(cents, names["cent"])] if cents else []
        sign = f"{self.rules['numbers']['minus']} " if amount < 0 and rounded else ""
        return sign + str(rules["join"]).join(parts)

    def _count(self, value: int, names: list[str]) -> str:
        return f"{self.number(value)} {names[0] if value == 1 else names[1]}"


@cache
def language(name: str) -> Language:
    """The language "en", or that of "en-GB". Raises CannotSay."""
    plain = name.replace("_", "-").split("-", 1)[0].lower()
    known = {path.stem: path for path in LANGUAGES.glob("*.toml")}
    if plain not in known:
        raise CannotSay(f"there are no rules for the language {name!r}, only for {', '.join(sorted(known))}")
    return Language(plain, tomllib.loads(known[plain].read_text("utf-8")))
