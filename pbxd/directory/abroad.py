"""Where a dialled number leads: which country, which range of numbers there, and whether calls to it are dear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType

UNKNOWN = "unknown"
NOWHERE = "001"  # phonenumbers' region of satellites, ships and international networks
RANGE_DIGITS = 6
_DEAR = frozenset({PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST})


@dataclass(frozen=True, slots=True)
class Abroad:
    """A number that costs: in another country, or at a premium rate. `country` is its ISO 3166 code, or `+882` where
    the number belongs to none; `range` are its first digits (E.164)."""

    country: str
    range: str
    premium: bool = False


def abroad(numbers: Sequence[str], prefixes: Sequence[str], home: str | None) -> Abroad | None:
    """Where the first of `numbers` that leaves the country leads; None where none does.

    They are one number in several forms, as it was dialled and as it goes to the provider. `prefixes` are what numbers
    of other countries begin with, `home` is the country (ISO 3166) whose own numbers are not abroad.
    """
    return next((found for number in numbers if (found := _abroad(number, prefixes, home)) is not None), None)


def _abroad(number: str, prefixes: Sequence[str], home: str | None) -> Abroad | None:
    text = "".join(sign for sign in number if sign.isdecimal() or sign == "+")
    prefix = max((one for one in prefixes if text.startswith(one)), key=len, default=None)
    if prefix is None:
        return _premium(text, home)
    digits = text[len(prefix) :].replace("+", "")
    try:
        found = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return Abroad(UNKNOWN, f"+{digits[:RANGE_DIGITS]}")
    country = _country(found)
    premium = phonenumbers.number_type(found) in _DEAR
    if country == home and not premium:
        return None
    return Abroad(country, f"+{found.country_code}{found.national_number}"[: 1 + RANGE_DIGITS], premium)


def _premium(text: str, home: str | None) -> Abroad | None:
    """A number of one's own country costs more than usual, if it is of a premium rate."""
    if home is None or len(text) < 3:
        return None
    try:
        found = phonenumbers.parse(text, home)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.number_type(found) not in _DEAR:
        return None
    return Abroad(home, f"+{found.country_code}{found.national_number}"[: 1 + RANGE_DIGITS], premium=True)


def _country(number: PhoneNumber) -> str:
    region = phonenumbers.region_code_for_number(number)
    if region is None:
        region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    return f"+{number.country_code}" if region in (NOWHERE, "ZZ", None) else str(region)
