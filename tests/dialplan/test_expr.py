"""Expressions and templates: what they say, what they refuse, and that nothing makes them fail while a call runs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.expr import Expression, ExpressionError
from dialplan.functions import FUNCTIONS
from dialplan.template import Template
from dialplan.values import MAX_NUMBER, MAX_TEXT, Value, as_text, sound_value

SCOPE: dict[str, Value] = {
    "n": 3,
    "pin": "0042",
    "name": "Ann",
    "empty": "",
    "list": [1, "two", None],
    "caller": {"number": "+4930", "deep": {"x": [10, 20]}},
    "yes": True,
    "big": MAX_NUMBER,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 2 - 3", 5),
        ("7 / 2", 3.5),
        ("7 % 4", 3),
        ("-n + 1", -2),
        ("1 / 0", None),
        ("n % 0", None),
        ("big * big", None),
        ("big + 1", None),
        ("'a' + 1", None),
        ("missing + 1", None),
        ("'4' + 1", 5),
        ("n == 3 and not false", True),
        ("n == 4 or name == 'Ann'", True),
        ("not n == 4", True),
        ("not not n", True),
        ("not empty", True),
        ("pin == 42", True),
        ("pin == '42'", False),
        ("yes == 1", False),
        ("missing == null", True),
        ("n != 3", False),
        ("n < '10'", True),
        ("'9' < '10'", False),
        ("name < 3", False),
        ("null < 1", False),
        ("list < list", False),
        ("2.50 == 2.5", True),
        ("'two' in list", True),
        ("'1' in list", True),
        ("3 not in list", True),
        ("'nn' in name", True),
        ("'number' in caller", True),
        ("'x' in n", False),
        ("caller.number", "+4930"),
        ("caller['number']", "+4930"),
        ("caller.deep.x[1]", 20),
        ("caller.deep.x[5]", None),
        ("caller.nothing.at.all", None),
        ("list[-1]", None),
        ("n.x", None),
        ("true", True),
        ('"double quotes"', "double quotes"),
        ("default(empty, 'none')", "none"),
        ("default(n, 5)", 3),
        ("length(name) + length(list) + length(n)", 6),
        ("upper(name)", "ANN"),
        ("lower('ÄB')", "äb"),
        ("trim('  a ')", "a"),
        ("first(caller.number, 3)", "+49"),
        ("last(pin, 2)", "42"),
        ("last(pin, 0)", ""),
        ("first(pin, -1)", ""),
        ("digits('+49 (30) 1')", "49301"),
        ("spell('12')", "1 2"),
        ("replace('a-b-c', '-', '')", "abc"),
        ("replace('abc', '', 'x')", "abc"),
        ("starts_with(caller.number, '+49')", True),
        ("ends_with(pin, '42')", True),
        ("matches(pin, '[0-9]{4}')", True),
        ("matches(pin, '(')", False),
        ("number('12')", 12),
        ("number('1e5')", None),
        ("number(yes)", None),
        ("text(3.0)", "3"),
        ("round(2.567, 1)", 2.6),
        ("round('x')", None),
        ("min(3, '2', name)", 2),
        ("max(null)", None),
        ("choose(n > 2, 'many', 'few')", "many"),
    ],
)
def test_values(text: str, value: Value) -> None:
    found = Expression.parse(text).of(SCOPE)
    assert found == value
    assert type(found) is type(value)


def test_every_function_has_its_line_above() -> None:
    tested = " ".join(str(mark.args[1]) for mark in getattr(test_values, "pytestmark", []))
    assert [name for name in FUNCTIONS if f"{name}(" not in tested] == []


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("", 0, "the expression ends where a value must"),
        ("1 +", 3, "the expression ends where a value must"),
        ("1 2", 2, "2 is not expected here"),
        ("(1", 2, "the expression ends where ) must"),
        ("a.", 2, "a name must follow the point"),
        ("a[1", 3, "the expression ends where ] must"),
        ("n and and n", 6, "and stands where a value must"),
        ("uper(name)", 0, "there is no function uper (did you mean upper?)"),
        ("upper()", 0, "upper takes 1 arguments, not 0"),
        ("round(1, 2, 3)", 0, "round takes 1–2 arguments, not 3"),
        ("'open", 0, "a quote is not closed"),
        ("a && b", 2, "&& is written and here"),
        ("a || b", 2, "|| is written or here"),
        ("!a", 0, "! is written not here"),
        ("a = 1", 2, "= is written == here"),
        ("a ? 1 : 2", 2, "? is written choose(…) here"),
        ("${a}", 0, "${ } does not stand inside an expression"),
        ("a; b", 1, "; is not known here"),
        ("__import__('os')", 0, "there is no function __import__"),
        ("(" * 10_000, 2000, "the expression is longer than 2000 signs"),
        ("(" * 1000, 32, "brackets are nested deeper than 32"),
        ("-" * 1000, 1, "- stands where a value must"),
        ("1" + "+1" * 900, 400, "the expression has more than 400 parts"),
        ("a" + ".b" * 900, 800, "the expression has more than 400 parts"),
    ],
)
def test_mistakes(text: str, at: int, said: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(said)) as caught:
        Expression.parse(text)
    assert caught.value.at == pytest.approx(at, abs=3)


def test_names_are_told() -> None:
    expression = Expression.parse("a.b['c'] + f.g[n] + upper(h) + (not i)".replace("f.g", "first(f.g, 1)"))
    assert expression.names == (("a", "b", "c"), ("f", "g"), ("n",), ("h",), ("i",))


def test_the_widest_and_deepest_expression_is_computed() -> None:
    wide = Expression.parse("1" + "+1" * 199)
    assert wide.of({}) == 200
    deep = Expression.parse("(" * 31 + "n" + ")" * 31)
    assert deep.of(SCOPE) == 3
    assert Expression.parse("not " * 399 + "n").of(SCOPE) is False


SIGNS = st.sampled_from(
    [
        *("n name list caller missing 1 'x' ( ) [ ] . , + - * / % == < in not and or true null".split()),
        *(f"{name}(" for name in FUNCTIONS),
    ]
)


@given(st.lists(SIGNS, max_size=12).map(" ".join))
def test_what_can_be_read_has_a_value(text: str) -> None:
    try:
        expression = Expression.parse(text)
    except ExpressionError:
        return
    assert sound_value(expression.of(SCOPE)) == expression.of(SCOPE)


@given(st.text(max_size=80))
def test_no_text_is_a_crash(text: str) -> None:
    places = []
    for parse in (Expression.parse, Template.parse):
        try:
            parse(text)
        except ExpressionError as error:
            places.append(error.at)
    assert all(0 <= place <= len(text) for place in places)


# ---- templates


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("Hello ${name}!", "Hello Ann!"),
        ("${n}${n}", "33"),
        ("costs $5 and $${n}", "costs $5 and ${n}"),
        ("${'}'}", "}"),
        ("${missing}", ""),
        ("${yes} ${list}", 'true [1,"two",null]'),
        ("${ n + 1 }", "4"),
    ],
)
def test_templates(text: str, filled: str) -> None:
    assert Template.parse(text).fill(SCOPE) == filled


@pytest.mark.parametrize(("text", "value"), [("${n}", 3), ("${list}", SCOPE["list"]), ("${n} ", "3 "), ("3", "3")])
def test_a_template_that_is_one_expression_keeps_its_kind(text: str, value: Value) -> None:
    assert Template.parse(text).value(SCOPE) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a ${n", "a ${ is not closed with }"),
        ("${}", "the expression ends where a value must"),
        ("${${n}}", "${ } does not stand inside ${ }"),
        ("${" * 4000, "${ } does not stand inside ${ }"),
        ("${n}" * 300, "more than 200 pieces"),
        ("${" * 10_000, "the text is longer than 8192 signs"),
        ("${" + "(" * 1500 + "n" + ")" * 1500 + "}", "longer than 2000 signs"),
    ],
)
def test_templates_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(said)):
        Template.parse(text)


def test_what_a_caller_says_is_never_read_again() -> None:
    assert Template.parse("Hi ${name}").fill({"name": "${pin} $${x}"}) == "Hi ${pin} $${x}"


def test_output_is_bounded() -> None:
    long: dict[str, Any] = {"x": "y" * MAX_TEXT}
    assert len(Template.parse("${x}" * 100).fill(long)) == MAX_TEXT
    assert len(as_text(Expression.parse("replace(x, 'y', 'yyyyyyyyyy')").of(long))) == MAX_TEXT
    assert len(as_text(Expression.parse("spell(x)").of(long))) == MAX_TEXT


@pytest.mark.parametrize(
    ("value", "sound"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ({"a": {1: "x"}}, {"a": {"1": "x"}}),
        ([1] * 5000, [1] * 999),
        (["x" * 6400] * 20, ["x" * 6400] * 9 + [None]),
        ({str(n): n for n in range(5000)}, {str(n): n for n in range(999)}),
        ((1, 2), [1, 2]),
        (object(), None),
        ("x" * 9000, "x" * MAX_TEXT),
    ],
)
def test_values_from_outside_are_cut_to_size(value: object, sound: Value) -> None:
    assert sound_value(value) == sound


def test_depth_from_outside_is_cut() -> None:
    deep: Any = "x"
    for _ in range(1000):
        deep = [deep]
    assert as_text(sound_value(deep)) == "[[[[[[[[null]]]]]]]]"
