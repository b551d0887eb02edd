"""YAML to nodes: places, and everything that a call flow must not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.problem import Mark
from dialplan.tree import MAX_BYTES, Items, Node, Pairs, Scalar, read

SEVERAL = """
title: Reception
list: [1001, "0600", ]
deep:
  - x: |
      two
      lines
"""


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read(text, "f.yaml")[1]]


def plain(node: Node | None) -> object:
    """Without the places."""
    if isinstance(node, Pairs):
        return {pair.key: plain(pair.value) for pair in node.pairs}
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return node.text if node else None


def test_scalars_stay_as_they_were_written() -> None:
    node, wrong = read(SEVERAL, "f.yaml")
    assert wrong == []
    assert plain(node) == {"title": "Reception", "list": ["1001", "0600"], "deep": [{"x": "two\nlines\n"}]}


def test_everything_knows_its_place() -> None:
    node, _ = read(SEVERAL, "f.yaml")
    assert isinstance(node, Pairs)
    title, numbers, deep = node.pairs
    assert (title.mark, title.value.mark) == (Mark(2, 1), Mark(2, 8))
    assert isinstance(numbers.value, Items)
    first, second = numbers.value.items
    assert isinstance(first, Scalar)
    assert isinstance(second, Scalar)
    assert (first.mark, first.plain, second.mark, second.plain) == (Mark(3, 8), True, Mark(3, 14), False)
    assert isinstance(deep.value, Items)
    assert deep.value.items[0].mark == Mark(5, 5)


@pytest.mark.parametrize(("text", "empty"), [("", True), ("~", True), ("null", True), ('""', False), ("no", False)])
def test_nothing_is_null_and_quotes_are_not(text: str, empty: bool) -> None:
    node, _ = read(f"a: {text}", "f.yaml")
    assert isinstance(node, Pairs)
    assert isinstance(node.pairs[0].value, Scalar)
    assert node.pairs[0].value.empty is empty


def test_anchors_and_merges() -> None:
    text = "x: &a {one: 1, two: 2}\ny: {<<: *a, two: 3}\nz: {<<: [*a, {four: 4}]}\n"
    assert plain(read(text, "f.yaml")[0]) == {
        "x": {"one": "1", "two": "2"},
        "y": {"two": "3", "one": "1"},
        "z": {"one": "1", "two": "2", "four": "4"},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2", "f.yaml:2:1: not YAML: while parsing a flow sequence did not find expected ',' or ']'"),
        ("a:\n\tb: 1", "f.yaml:2:1: not YAML: a tab stands where spaces must"),
        ("a: b: c", "a text that holds ': ' stands in quotes"),
        ("a: 1\na: 2", "f.yaml:2:1: a: said twice, first in line 1"),
        ("a: {b: 1, b: 2}", "f.yaml:1:11: a.b: said twice, first in line 1"),
        (
            "a: !!python/object:os.system x",
            "f.yaml:1:4: a: the tag tag:yaml.org,2002:python/object:os.system is refused",
        ),
        ("a: !x y", "the tag !x is refused: write plain values"),
        ("? [a]\n: 1", "f.yaml:1:3: a key must be a plain word or number"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: a second document (---) is not read: one file, one document"),
        ("a: *b", "f.yaml:1:4: a: *b names nothing said before it"),
        ("a: &a [*a]", "f.yaml:1:8: a: *a names nothing said before it"),
        ("a: {<<: 5}", "'<<' takes a mapping or a list of mappings"),
        ("a: \x00", "not YAML"),
        ("#" * (MAX_BYTES + 1), "f.yaml: the file is longer than 4 MiB"),
        ("[" * 100_000, "f.yaml: line 1 is nested deeper than 32 levels"),
        ("- " * 100_000, "f.yaml: line 1 is nested deeper than 32 levels"),
        ("\n".join(["a:", *("  - &b" + str(n) + " [x]" for n in range(3)), "  - {b: [*b9]}"]), "*b9 names nothing"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    assert any(said in one for one in problems(text)), problems(text)


def test_a_bomb_of_aliases_is_refused_before_it_goes_off() -> None:
    """The billion laughs, as a list and as merges."""
    lists = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lists += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert problems("\n".join(lists)) == ["f.yaml: the file and its aliases make more than 500000 values"]
    nested = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{k1: *a{n - 1}, k2: *a{n - 1}}}" for n in range(1, 40)]
    assert problems("\n".join(nested)) == ["f.yaml: the file and its aliases make more than 500000 values"]


def test_a_ladder_of_aliases_is_as_deep_as_what_was_written_out() -> None:
    """Each is one level deeper than the one before, and none is large."""
    ladder = ["- &a0 [1]", *(f"- &a{n} [*a{n - 1}]" for n in range(1, 100))]
    assert problems("\n".join(ladder)) == ["f.yaml: line 32 is nested deeper than 32 levels"]


@given(st.text(max_size=200))
def test_no_text_at_all_is_a_crash(text: str) -> None:
    node, wrong = read(text, "f.yaml")
    assert node is not None or wrong or plain(node) is None


@given(st.text(alphabet="ab:-[]{}&*!'\"|>\n #?,%@`<~0", max_size=60))
def test_no_yaml_like_text_is_a_crash(text: str) -> None:
    read(text, "f.yaml")
