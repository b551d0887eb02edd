"""Patterns say what Python's own say, and never take long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.pattern import MAX_SUBJECT, Pattern

ATOMS = st.sampled_from(["a", "b", "1", ".", "[ab]", "[^a]", "[a-c1]", r"\d", r"\w", r"\*", "(a|b1)", "()", "(ab)"])
PATTERNS = st.lists(
    st.tuples(ATOMS, st.sampled_from(["", "*", "+", "?", "{2}", "{1,3}", "{0,}", "|"])).map("".join), max_size=5
).map("".join)


@given(PATTERNS, st.text(alphabet="ab1c*", max_size=8))
def test_it_agrees_with_python(pattern: str, subject: str) -> None:
    expected = re.compile(pattern, re.DOTALL | re.ASCII).fullmatch(subject) is not None
    assert Pattern.parse(pattern).matches(subject) is expected


@pytest.mark.parametrize("pattern", ["(1+)+#", "(1|1)*#", "(1*)*(1*)*#", "((1{0,9}){0,9})#", "(1?){64}1{64}#"])
def test_what_takes_python_for_ever_takes_no_time(pattern: str) -> None:
    began = time.process_time()
    assert not Pattern.parse(pattern).matches("1" * MAX_SUBJECT)
    assert time.process_time() - began < 2


def test_a_text_longer_than_anyone_types_is_not_looked_at() -> None:
    assert Pattern.parse("1*").matches("1" * MAX_SUBJECT)
    assert not Pattern.parse("1*").matches("1" * (MAX_SUBJECT + 1))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "a ( is not closed"),
        (")", "a ) is closed that was not opened"),
        ("[ab", "a [ is not closed"),
        ("*", "* has nothing before it to repeat"),
        ("a**", "* and * stand one after the other"),
        ("a{2", "a count is written {4}, {2,} or {2,4}"),
        ("a{x}", "a count is written {4}, {2,} or {2,4}"),
        ("a{4,2}", "a count goes upwards, to 64 at most"),
        ("a{65}", "a count goes upwards, to 64 at most"),
        ("[z-a]", "z-a goes downwards"),
        ("^a", "^ is not needed"),
        ("a$", "$ is not needed"),
        ("(?=a)", "(?…) is not known here"),
        (r"\b", r"\b is not known here"),
        ("\\", "a \\ stands at the end"),
        ("a" * 201, "longer than 200 signs"),
        ("(" * 20 + ")" * 20, "nested deeper than 16"),
        ("((((a{64}){64}){64}){64})", "too large when its counts are written out"),
        ("((((){64}){64}){64}){64}", "too large when its counts are written out"),
    ],
)
def test_what_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Pattern.parse(pattern)


@given(st.text(alphabet="ab1()[]{}|*+?^$.\\-,2", max_size=30))
def test_no_text_is_a_crash(pattern: str) -> None:
    try:
        parsed = Pattern.parse(pattern)
    except ValueError:
        return
    assert parsed.matches("ab1") in (True, False)
