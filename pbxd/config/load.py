"""Defaults < the file < the settings file < `--set`, read as one: a whole configuration or every reason against it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from pbxd.config import overlay
from pbxd.config.check import cross_check
from pbxd.config.explain import explain
from pbxd.config.problem import ConfigError, Problem
from pbxd.config.schema import Config, Source, SourceKind
from pbxd.config.tree import KeyPath, Tree, read


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read `path`, the settings file, then each `a.b.c=VALUE` of `overrides` (VALUE is YAML).

    Raises ConfigError with all problems.
    """
    tree = _read_file(path)
    if not isinstance(tree.value, dict):
        if not tree.problems and tree.value is not None:
            tree.problems.append(Problem(f"{path}:1", "", "the file must be a mapping (key: value)"))
        tree.value = {}
    overlay.lay_over(tree, overlay.path_in(tree, overrides, Config().data_dir))
    for override in overrides:
        _override(tree, override)
    problems = list(tree.problems)
    config = None
    try:
        config = Config.model_validate(tree.value)
    except ValidationError as error:
        problems += explain(error, tree)
    problems += cross_check(tree)
    if problems or config is None:
        raise ConfigError(_in_order(problems))
    return config.said_at({_dotted(at): _source(place) for at, place in tree.places.items() if at}, path)


def _read_file(path: Path) -> Tree:
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        return Tree({}, problems=[Problem(str(path), "", f"cannot be read: {error.strerror or error}")])
    except UnicodeDecodeError as error:
        return Tree({}, problems=[Problem(str(path), "", f"is not UTF-8 text (byte {error.start})")])
    return read(text, str(path))


def _override(tree: Tree, override: str) -> None:
    """Put one `a.b.c=VALUE` into the tree. Keys with a dot in their name cannot be named this way."""
    key, equals, text = override.partition("=")
    label = f"--set {key}"
    parts = tuple(key.split("."))
    if not equals or not all(parts):
        tree.problems.append(Problem(f"--set {override}", "", "an override is written --set a.b.c=VALUE"))
        return
    value = read(text, label)
    tree.problems += [Problem(label, "", problem.message) for problem in value.problems]
    holder = tree.value
    for depth, part in enumerate(parts[:-1], start=1):
        if not isinstance(holder, dict):
            break
        tree.places.setdefault(parts[:depth], label)
        holder = holder.setdefault(part, {})
        if holder is None:
            break
    if not isinstance(holder, dict):
        tree.problems.append(Problem(label, "", "the key goes through something that is not a mapping"))
        return
    holder[parts[-1]] = value.value if value.places else None
    for path in [path for path in tree.places if path[: len(parts)] == parts]:
        del tree.places[path]
    tree.places[parts] = label
    tree.places.update({parts + path: label for path in value.places})


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _source(place: str) -> Source:
    if place.startswith(overlay.LABEL):
        return Source(SourceKind.SETTINGS, place.removeprefix(overlay.LABEL))
    return Source(SourceKind.SET if place.startswith("--set ") else SourceKind.FILE, place)


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Each problem once, in the order of the file; what was said by `--set` comes last."""

    def position(problem: Problem) -> tuple[bool, str, int]:
        name, _, line = problem.where.rpartition(":")
        return problem.where.startswith("--set "), name, int(line) if line.isdecimal() else 0

    return sorted(dict.fromkeys(problems), key=position)
