"""YAML text to a tree that remembers line and column of everything in it.

PyYAML's events through libyaml. Scalars stay the text that was written: `1001` and `0600` are numbers of phones, not of
arithmetic, and what a value means is for who reads it to say. What neither a call flow nor a configuration needs is
refused: tags, duplicate keys, keys that are not scalars, more than one document, and aliases that multiply into a size
or a depth no person wrote. An alias shares its node; size and depth are counted as if it were copied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.reader import ReaderError

from dialplan.problem import Mark, Problem

MAX_BYTES = 4 << 20
MAX_DEPTH = 32
MAX_NODES = 500_000

_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")
_NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(slots=True)
class Scalar:
    """A word, number or text as it was written; `plain` when it stood without quotes, `tag` where it had one."""

    mark: Mark
    text: str
    plain: bool
    tag: str | None = None
    size: int = 1
    depth: int = 0

    @property
    def empty(self) -> bool:
        """Nothing, or null."""
        return self.plain and self.text in _NULLS


@dataclass(slots=True)
class Items:
    """A list. `depth`: how deep what is in it is nested."""

    mark: Mark
    items: list[Node]
    size: int = 1
    depth: int = 0


@dataclass(slots=True)
class Pair:
    """A key and its value; the mark is the key's."""

    mark: Mark
    key: str
    value: Node


@dataclass(slots=True)
class Pairs:
    """A mapping, in the order of the file. No key twice."""

    mark: Mark
    pairs: list[Pair]
    size: int = 1
    depth: int = 0


Node = Scalar | Items | Pairs


class _TooBig(Exception):
    """The document is larger or deeper than any that a person wrote."""


def read(text: str, name: str, tags: Collection[str] = ()) -> tuple[Node | None, list[Problem]]:
    """Read the one document of `text`; None when there is none. `name` is the file's name in the problems, `tags` may
    be written."""
    problems: list[Problem] = []
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return None, [Problem(name, None, "", "is not text: half a surrogate pair")]
    if size > MAX_BYTES:
        return None, [Problem(name, None, "", f"the file is longer than {MAX_BYTES >> 20} MiB")]
    try:
        return _Composer(text, name, problems, tags).document(), problems
    except yaml.MarkedYAMLError as error:
        problems.append(_not_yaml(error, text, name))
    except ReaderError as error:
        problems.append(_no_text(error, text, name))
    except _TooBig as error:
        problems.append(Problem(name, None, "", str(error)))
    return None, problems


def _no_text(error: ReaderError, text: str, name: str) -> Problem:
    before = text.encode()[: error.position].decode(errors="ignore")
    mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Problem(name, mark, "", f"not YAML: a sign that is no text (U+{ord(text[len(before)]):04X})")


def _not_yaml(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    message = " ".join(filter(None, (error.context, error.problem)))
    if mark is None:
        return Problem(name, None, "", f"not YAML: {message}")
    lines = text.split("\n")
    if mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        message = "a tab stands where spaces must"
    elif "mapping values are not allowed" in message:
        message += " (a text that holds ': ' stands in quotes)"
    return Problem(name, Mark(mark.line + 1, mark.column + 1), "", f"not YAML: {message}")


class _Composer:
    """Events to nodes. libyaml's own composer recurses without a bound and lets the last of two equal keys win."""

    def __init__(self, text: str, name: str, problems: list[Problem], tags: Collection[str]) -> None:
        self._loader: Any = yaml.CSafeLoader(text)
        self._name = name
        self._problems = problems
        self._tags = tags
        self._anchors: dict[str, Node] = {}
        self._keys: list[str] = []  # those around what is being read

    def document(self) -> Node | None:
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        root = self._node(self._next(), 0)
        self._next()
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            self._complain(_mark(after), "a second document (---) is not read: one file, one document")
        return root

    def _next(self) -> Any:
        return self._loader.get_event()

    def _complain(self, mark: Mark, message: str) -> None:
        self._problems.append(Problem(self._name, mark, ".".join(self._keys), message))

    def _node(self, event: Any, depth: int) -> Node:
        mark = _mark(event)
        self._bound(mark, depth)
        if isinstance(event, yaml.AliasEvent):
            found = self._alias(str(event.anchor), mark)
            self._bound(mark, depth + found.depth)
            return found
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(mark, str(event.value), bool(event.implicit[0]), event.tag)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._items(mark, depth)
        else:
            node = self._pairs(mark, depth)
        if node.size > MAX_NODES:
            raise _TooBig(f"the file and its aliases make more than {MAX_NODES} values")
        if event.tag not in _STRING_TAGS and event.tag not in self._tags:
            self._complain(mark, f"the tag {event.tag} is refused: write plain values")
        if event.anchor is not None:  # only now: a node cannot hold itself
            self._anchors[event.anchor] = node
        return node

    def _bound(self, mark: Mark, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _TooBig(f"line {mark.line} is nested deeper than {MAX_DEPTH} levels")

    def _alias(self, anchor: str, mark: Mark) -> Node:
        if anchor in self._anchors:
            return self._anchors[anchor]
        self._complain(mark, f"*{anchor} names nothing said before it")
        return Scalar(mark, "", plain=True)

    def _items(self, mark: Mark, depth: int) -> Items:
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Items(mark, items, *_measure(items))

    def _pairs(self, mark: Mark, depth: int) -> Pairs:
        own: dict[str, Pair] = {}
        merged: dict[str, Pair] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            at = _mark(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._complain(at, "a key must be a plain word or number")
                self._node(event, depth + 1)
                self._node(self._next(), depth + 1)
                continue
            key = str(event.value)
            self._keys.append(key)
            value = self._node(self._next(), depth + 1)
            if key == "<<" and event.implicit[0]:
                self._merge(merged, value)
            elif key in own:
                self._complain(at, f"said twice, first in line {own[key].mark.line}")
            else:
                own[key] = Pair(at, key, value)
            self._keys.pop()
        pairs = [*own.values(), *(pair for key, pair in merged.items() if key not in own)]
        return Pairs(mark, pairs, *_measure([pair.value for pair in pairs]))

    def _merge(self, merged: dict[str, Pair], value: Node) -> None:
        for source in value.items if isinstance(value, Items) else [value]:
            if not isinstance(source, Pairs):
                self._complain(source.mark, "'<<' takes a mapping or a list of mappings")
                continue
            for pair in source.pairs:
                merged.setdefault(pair.key, pair)


def _measure(inside: Sequence[Node]) -> tuple[int, int]:
    """Size and depth of what holds these."""
    return 1 + sum(node.size for node in inside), 1 + max((node.depth for node in inside), default=-1)


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)
