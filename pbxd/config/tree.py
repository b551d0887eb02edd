"""YAML text to plain values that remember their line.

PyYAML's events through libyaml, with SafeLoader's rules for scalars. What YAML allows and a configuration does not
need is refused: tags, duplicate keys, keys that are not scalars, more than one document, and trees that alias
themselves to a size or depth no person wrote.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from pbxd.config.problem import Problem

MAX_BYTES = 4 << 20
MAX_DEPTH = 24
MAX_NODES = 200_000

KeyPath = tuple[str | int, ...]
_MERGE = "tag:yaml.org,2002:merge"
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "timestamp")}


@dataclass(slots=True)
class Tree:
    """A document: its plain value, and for each path in it where that was said (`etc/pbxd.yaml:12`)."""

    value: object
    places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> str:
        """Where `path`, or the nearest thing around it, was said."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "")


class _TooBig(Exception):
    """The document is larger or deeper than any configuration."""


@dataclass(slots=True)
class _Node:
    """One value before aliases are expanded: `pairs` of a mapping, `items` of a sequence, or a scalar."""

    line: int
    scalar: object = None
    pairs: list[tuple[str, int, _Node, bool]] | None = None
    items: list[_Node] | None = None


def read(text: str, name: str) -> Tree:
    """Read one document. Whatever is wrong is in `Tree.problems`; `name` is the file's name in them."""
    tree = Tree({})
    if len(text) > MAX_BYTES:
        tree.problems.append(Problem(name, "", f"the file is longer than {MAX_BYTES >> 20} MiB"))
        return tree
    composer = _Composer(text, name, tree.problems)
    try:
        root = composer.document()
        if root is not None:
            tree.value = _Expansion(name, tree).expand(root, (), 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(filter(None, (error.context, error.problem)))
        if mark and "".join(text.split("\n")[mark.line : mark.line + 1])[mark.column : mark.column + 1] == "\t":
            message = "a tab stands where spaces must"
        tree.problems.append(Problem(f"{name}:{mark.line + 1}" if mark else name, "", f"not YAML: {message}"))
    except yaml.YAMLError as error:
        tree.problems.append(Problem(name, "", f"not YAML: {error}"))
    except _TooBig as error:
        tree.problems.append(Problem(name, "", str(error)))
    return tree


class _Composer:
    """Events to nodes. libyaml's own composer recurses without a bound and lets the last of two equal keys win."""

    def __init__(self, text: str, name: str, problems: list[Problem]) -> None:
        self._loader: Any = yaml.CSafeLoader(text)
        self._scalars = SafeConstructor()
        self._name = name
        self._problems = problems
        self._anchors: dict[str, _Node] = {}
        self._keys: list[str] = []  # those around what is being read

    def document(self) -> _Node | None:
        """The only document, or None when the file holds nothing."""
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        root = self._node(self._next(), 0)
        self._next()
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            self._complain(after.start_mark.line, "a second document (---) is not read: one file, one document")
        return root

    def _next(self) -> Any:
        return self._loader.get_event()

    def _complain(self, line: int, message: str) -> None:
        self._problems.append(Problem(f"{self._name}:{line + 1}", ".".join(self._keys), message))

    def _node(self, event: Any, depth: int) -> _Node:
        line = event.start_mark.line
        if depth > MAX_DEPTH:
            raise _TooBig(f"line {line + 1} is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        node = _Node(line)
        if isinstance(event, yaml.MappingStartEvent):
            node.pairs = self._pairs(depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node.items = self._items(depth)
        else:
            node.scalar = self._scalar(event)
        if event.tag is not None and event.tag not in ("!", *_PLAIN_TAGS):
            self._complain(line, f"the tag {event.tag} is refused: write plain values")
        if event.anchor is not None:  # only now: a node cannot hold itself
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, line: int) -> _Node:
        if anchor not in self._anchors:
            self._complain(line, f"*{anchor} names nothing said before it")
            return _Node(line)
        return self._anchors[anchor]

    def _items(self, depth: int) -> list[_Node]:
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _pairs(self, depth: int) -> list[tuple[str, int, _Node, bool]]:
        pairs: list[tuple[str, int, _Node, bool]] = []
        lines: dict[str, int] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            line = event.start_mark.line
            key = self._key(event, depth)
            if key is None:
                self._node(self._next(), depth + 1)
                continue
            merge = key == "<<" and self._tag(event) == _MERGE
            self._keys.append(key)
            if key in lines and not merge:
                self._complain(line, f"said twice, first in line {lines[key] + 1}")
            value = self._node(self._next(), depth + 1)
            self._keys.pop()
            lines.setdefault(key, line)
            pairs.append((key, line, value, merge))
        return pairs

    def _key(self, event: Any, depth: int) -> str | None:
        """A key is always its text: 1001 is the extension "1001", and 0600 is not a number of base eight."""
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value)
        if not isinstance(event, yaml.AliasEvent):
            self._node(event, depth + 1)
        self._complain(event.start_mark.line, "a key must be a plain word or number")
        return None

    def _tag(self, event: Any) -> str:
        if event.tag not in (None, "!"):
            return str(event.tag)
        return str(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit))

    def _scalar(self, event: Any) -> object:
        tag = self._tag(event)
        if tag not in _PLAIN_TAGS or tag.endswith((":str", ":timestamp")):
            return str(event.value)
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        try:
            value: object = self._scalars.construct_object(node)
        except (ConstructorError, ValueError, KeyError):
            self._complain(event.start_mark.line, f"{event.value!r} is not of the type its tag says")
            return None
        return value


class _Expansion:
    """Nodes to plain values: aliases copied, `<<` merged, every path given its place, the whole bounded."""

    def __init__(self, name: str, tree: Tree) -> None:
        self._name = name
        self._tree = tree
        self._nodes = 0

    def expand(self, node: _Node, path: KeyPath, depth: int, line: int | None = None) -> object:
        self._count(depth)
        self._tree.places[path] = f"{self._name}:{(node.line if line is None else line) + 1}"
        if node.pairs is not None:
            return {
                key: self.expand(value, (*path, key), depth + 1, at)
                for key, (at, value) in self._merged(node, depth).items()
            }
        if node.items is not None:
            return [self.expand(item, (*path, index), depth + 1) for index, item in enumerate(node.items)]
        return node.scalar

    def _merged(self, node: _Node, depth: int) -> dict[str, tuple[int, _Node]]:
        self._count(depth)
        own = {key: (line, value) for key, line, value, merge in node.pairs or () if not merge}
        merged: dict[str, tuple[int, _Node]] = {}
        for _, line, value, merge in node.pairs or ():
            for source in (value.items if value.items is not None else [value]) if merge else ():
                if source.pairs is None:
                    where = f"{self._name}:{line + 1}"
                    self._tree.problems.append(Problem(where, "", "'<<' takes a mapping or a list of mappings"))
                for key, found in self._merged(source, depth + 1).items():
                    merged.setdefault(key, found)
        return merged | own

    def _count(self, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise _TooBig(f"the aliases of the file make more than {MAX_NODES} values, or nest deeper than {MAX_DEPTH}")
