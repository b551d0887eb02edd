"""The words of the grammar, and that none of them can be made to take long."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import (
    escape,
    format_params,
    is_token,
    one_line,
    parse_params,
    quote,
    quoted_end,
    split_list,
    unescape,
    unquote,
)

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NO_CONTROLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


@settings(deadline=None)
@given(NO_CONTROLS)
def test_quote_round_trip(text: str) -> None:
    assert unquote(quote(text)) == text
    assert quoted_end(quote(text) + '"x"') == len(quote(text))


@settings(deadline=None)
@given(ANY)
def test_quote_never_breaks_a_line(text: str) -> None:
    assert not set(quote(text)) & set("\r\n\0")
    assert not set(one_line(text)) & set("\r\n\0")


@settings(deadline=None)
@given(ANY)
def test_escape_round_trip(text: str) -> None:
    assert unescape(escape(text, "")) == text
    assert escape(text, "").isascii()


@settings(deadline=None)
@given(st.lists(st.one_of(NO_CONTROLS.map(quote), st.from_regex(r"[a-z]{1,5}(<[a-z,]{0,5}>)?", fullmatch=True))))
def test_split_list_round_trip(values: list[str]) -> None:
    assert split_list(", ".join(values)) == values


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.one_of(st.none(), NO_CONTROLS)))
def test_params_round_trip(params: dict[str, str | None]) -> None:
    assert parse_params(format_params(params)) == params


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        (" , ,", []),
        ("a", ["a"]),
        ("a , b,c", ["a", "b", "c"]),
        ('"a,b" <x,y>;p="c,d", e', ['"a,b" <x,y>;p="c,d"', "e"]),
        ('"a\\",b", c', ['"a\\",b"', "c"]),
        ('a, "b, c', ["a", '"b, c']),
        ("a, <b, c", ["a", "<b, c"]),
        ('a, b"c,d"e, f', ["a", 'b"c,d"e', "f"]),
    ],
)
def test_split_list(text: str, values: list[str]) -> None:
    assert split_list(text) == values


@pytest.mark.parametrize("text", ['"', '"a', '"a"b', '"a\\"'])
def test_unbalanced(text: str) -> None:
    with pytest.raises(ParseError, match="Unbalanced quotes"):
        unquote(text)


def test_tokens() -> None:
    assert is_token("!interesting-Method0123456789_*+`.%indeed'~")
    assert not any(map(is_token, ["", "a b", "a\n", "ä", 'a"', "a:", "a@"]))


@pytest.mark.parametrize(
    "text",
    [
        '"' + "\\" * 8000,
        '"' + '\\"' * 4000,
        ('"a' * 4000) + '"',
        "<" * 8000,
        '"' * 8001,
        "," * 8000,
        ";" * 8000,
        "%" * 8000,
        "a" * 8000,
        '<">' * 2700,
        "a=" * 4000,
        ';a="' + "\\a" * 4000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    begin = perf_counter()
    split_list(text)
    unescape(text)
    for parse in (unquote, parse_params, quoted_end):
        try:
            parse(text)
        except ParseError:
            continue
    assert perf_counter() - begin < 0.05
