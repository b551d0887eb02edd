"""YAML text to plain values that remember their line: read as call flows are, scalars by SafeLoader's rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import Resolver

from dialplan import tree as nodes
from dialplan.problem import Mark
from pbxd.config.problem import Problem

KeyPath = tuple[str | int, ...]
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


def read(text: str, name: str) -> Tree:
    """Read one document. Whatever is wrong is in `Tree.problems`; `name` is the file's name in them."""
    root, problems = nodes.read(text, name, _PLAIN_TAGS)
    tree = Tree({}, problems=[Problem(_place(name, one.mark), one.key, one.message) for one in problems])
    if root is not None:
        tree.value = _Expansion(name, tree).expand(root, (), root.mark)
    return tree


def _place(name: str, mark: Mark | None) -> str:
    return f"{name}:{mark.line}" if mark is not None else name


class _Expansion:
    """Nodes to plain values: aliases copied, every path given its place."""

    def __init__(self, name: str, tree: Tree) -> None:
        self._name = name
        self._tree = tree
        self._resolver: Any = Resolver()
        self._scalars = SafeConstructor()

    def expand(self, node: nodes.Node, path: KeyPath, mark: Mark) -> object:
        self._tree.places[path] = _place(self._name, mark)
        if isinstance(node, nodes.Pairs):
            return {pair.key: self.expand(pair.value, (*path, pair.key), pair.mark) for pair in node.pairs}
        if isinstance(node, nodes.Items):
            return [self.expand(item, (*path, index), item.mark) for index, item in enumerate(node.items)]
        return self._scalar(node, path)

    def _scalar(self, node: nodes.Scalar, path: KeyPath) -> object:
        tag = node.tag if node.tag not in (None, "!") else self._resolved(node)
        if tag not in _PLAIN_TAGS or tag.endswith((":str", ":timestamp")):
            return node.text
        try:
            value: object = self._scalars.construct_object(yaml.ScalarNode(tag, node.text))
        except (ConstructorError, ValueError, KeyError):
            key = ".".join(part for part in path if isinstance(part, str))
            message = f"{node.text!r} is not of the type its tag says"
            self._tree.problems.append(Problem(_place(self._name, node.mark), key, message))
            return None
        return value

    def _resolved(self, node: nodes.Scalar) -> str:
        return str(self._resolver.resolve(yaml.ScalarNode, node.text, (node.plain, not node.plain)))
