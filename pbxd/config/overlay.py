"""The settings file: what was set by an API. It stands between the configuration file and `--set`.

It is YAML like the other one, written whole or not at all, and the one before is kept beside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import yaml

from pbxd.config.problem import Problem
from pbxd.config.tree import KeyPath, Tree, read

NAME = "settings.yaml"
LABEL = "settings "  # what places in it begin with
Values = dict[str, object]


def path_in(tree: Tree, overrides: Sequence[str], default: Path) -> Path:
    """Where the settings file of a configuration would be."""
    folder = tree.value.get("data_dir", default) if isinstance(tree.value, dict) else default
    for override in overrides:
        if override.startswith("data_dir="):
            folder = override.partition("=")[2]
    return Path(str(folder)) / NAME


def lay_over(tree: Tree, path: Path) -> None:
    """Puts what the settings file says over what the tree says. One that cannot be read is a problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        tree.problems.append(Problem(str(path), "", "the settings file cannot be read"))
        return
    said = read(text, f"{LABEL}{path}")
    tree.problems += said.problems
    if isinstance(said.value, dict) and isinstance(tree.value, dict):
        _merge(tree.value, said.value, (), tree, said)


def _merge(under: dict[str, object], over: Mapping[str, object], at: KeyPath, tree: Tree, said: Tree) -> None:
    for key, value in over.items():
        path = (*at, key)
        current = under.get(key)
        if isinstance(value, dict) and isinstance(current, dict):
            _merge(current, value, path, tree, said)
            continue
        under[key] = value
        for place in [place for place in tree.places if place[: len(path)] == path]:
            del tree.places[place]
        tree.places.update({place: where for place, where in said.places.items() if place[: len(path)] == path})


def stored(path: Path) -> Values:
    """What the settings file says; nothing where there is none. Raises OSError, ValueError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    tree = read(text, str(path))
    if tree.problems or not isinstance(tree.value, dict | None):
        raise ValueError(f"{path} is not a settings file")
    return dict(tree.value or {})


def changed(values: Values, changes: Mapping[str, object]) -> Values:
    """`values` with each dotted key of `changes` set; None takes a key out, so that the file below is heard again."""
    whole = deepcopy(values)
    for dotted, value in changes.items():
        *way, last = dotted.split(".")
        holder = whole
        for step in way:
            inner = holder.setdefault(step, {})
            if not isinstance(inner, dict):
                inner = holder[step] = {}
            holder = inner
        if value is None:
            holder.pop(last, None)
        else:
            holder[last] = value
    return whole


def write(path: Path, values: Values) -> None:
    """Writes the settings file, mode 0600; the one before is NAME.bak. Raises OSError."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("# Written by pbxd; what stands here wins over the configuration file.\n")
        yaml.safe_dump(values, file, allow_unicode=True, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.replace(path.with_name(f"{path.name}.bak"))
    fresh.replace(path)
