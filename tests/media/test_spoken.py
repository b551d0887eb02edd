from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.spoken import CannotSay, language

ENGLISH = language("en-US")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (21, "twenty-one"),
        (105, "one hundred five"),
        (1234, "one thousand two hundred thirty-four"),
        (1_000_001, "one million one"),
        (-7, "minus seven"),
        (Decimal("3.140"), "three point one four zero"),
    ],
)
def test_numbers(value: int | Decimal, words: str) -> None:
    assert ENGLISH.number(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1, "first"),
        (12, "twelfth"),
        (20, "twentieth"),
        (22, "twenty-second"),
        (105, "one hundred fifth"),
        (1000, "one thousandth"),
    ],
)
def test_ordinals(value: int, words: str) -> None:
    assert ENGLISH.ordinal(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1066, "one thousand sixty-six"),
        (1900, "nineteen hundred"),
        (1905, "nineteen oh five"),
        (2000, "two thousand"),
        (2007, "two thousand seven"),
        (2026, "twenty twenty-six"),
    ],
)
def test_years(value: int, words: str) -> None:
    assert ENGLISH.year(value) == words


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (time(0, 0), "midnight"),
        (time(12, 0), "noon"),
        (time(0, 5), "twelve oh five a.m."),
        (time(14, 5), "two oh five p.m."),
        (time(11, 0), "eleven a.m."),
        (time(23, 59), "eleven fifty-nine p.m."),
    ],
)
def test_times(moment: time, words: str) -> None:
    assert ENGLISH.time(moment) == words


def test_dates_and_when_a_message_came() -> None:
    assert ENGLISH.date(date(2026, 11, 22)) == "Sunday, November twenty-second, twenty twenty-six"
    now = datetime(2026, 11, 22, 0, 1, tzinfo=UTC)
    assert ENGLISH.moment(datetime(2026, 11, 21, 9, 5, tzinfo=UTC), now) == "yesterday, at nine oh five a.m."
    assert ENGLISH.moment(now, now) == "today, at twelve oh one a.m."


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "zero seconds"), (59.7, "one minute"), (65, "one minute and five seconds"), (3601, "one hour and one second")],
)
def test_durations(seconds: float, words: str) -> None:
    assert ENGLISH.duration(seconds) == words


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("12.50", "USD", "twelve dollars and fifty cents"),
        ("0.01", "GBP", "one penny"),
        ("0", "EUR", "zero euros"),
        ("-3.999", "USD", "minus four dollars"),
        ("-0.001", "USD", "zero dollars"),
        ("250.4", "JPY", "two hundred fifty yen"),
    ],
)
def test_money(amount: str, currency: str, words: str) -> None:
    assert ENGLISH.money(Decimal(amount), currency) == words


def test_digits_are_said_one_by_one() -> None:
    assert ENGLISH.digits("+1 (202) 5#") == "plus one two zero two five pound"


@pytest.mark.parametrize(
    "say",
    [
        lambda: language("xx"),
        lambda: ENGLISH.digits("12a"),
        lambda: ENGLISH.digits("٣"),
        lambda: ENGLISH.number(10**15),
        lambda: ENGLISH.number(Decimal("NaN")),
        lambda: ENGLISH.money(Decimal(1), "XXX"),
        lambda: ENGLISH.money(Decimal("Infinity"), "USD"),
        lambda: ENGLISH.duration(-1),
    ],
)
def test_what_cannot_be_said_is_refused(say: object) -> None:
    assert callable(say)
    with pytest.raises(CannotSay):
        say()


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_every_number_has_words_of_its_own(value: int) -> None:
    words = ENGLISH.number(value)
    assert words
    assert ENGLISH.number(value) != ENGLISH.number(value + 1 if value < 10**15 - 1 else value - 1)
