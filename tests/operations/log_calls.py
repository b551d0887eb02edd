"""Every line the sources can write to the log, read from the sources themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("pbxd", "media", "dialplan")
LOGGERS = {"log", "_log"}
LEVELS = {name: name for name in ("debug", "info", "warning", "error", "critical")} | {"exception": "error"}
MAKERS = {"get_logger", "getLogger", "LoggerAdapter"}
GAP = "…"
_PLACE = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[sdgfr]")


@dataclass(frozen=True, slots=True)
class LogCall:
    """One statement that logs: the event with `…` where something is filled in, and the names of its values."""

    where: str
    level: str
    event: str | None
    fields: frozenset[str]


def log_calls(root: Path = PROJECT) -> Iterator[LogCall]:
    """All of them; `event` is None where the source does not say it in so many words."""
    for tree, where in _trees(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                level = LEVELS.get(node.func.attr)
                if level is not None and _last(node.func.value) in LOGGERS:
                    event = _event(node.args[0]) if node.args else None
                    yield LogCall(f"{where}:{node.lineno}", level, event, frozenset(_fields(node)))


def unusual_loggers(root: Path = PROJECT) -> list[str]:
    """Loggers, and methods of loggers, kept under a name that `log_calls` does not look for."""
    found = []
    for tree, where in _trees(root):
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in LEVELS and _last(node.value) in LOGGERS:
                found += [] if id(node) in called else [f"{where}:{node.lineno}"]
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                # The module `logs` makes loggers; it keeps none.
                made = _last(node.value.func) in MAKERS and not where.endswith("pbxd/logs.py")
                if made and not {_last(target) for target in targets} <= LOGGERS:
                    found.append(f"{where}:{node.lineno}")
    return found


def _trees(root: Path) -> Iterator[tuple[ast.Module, str]]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(root))


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _event(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _PLACE.sub(GAP, node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
    return None


def _fields(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg == "extra":
            keys = keyword.value.keys if isinstance(keyword.value, ast.Dict) else []
            yield from (str(key.value) for key in keys if isinstance(key, ast.Constant))
        elif keyword.arg == "exc_info":
            yield "exception"
        elif keyword.arg is not None:
            yield keyword.arg
    if isinstance(call.func, ast.Attribute) and call.func.attr == "exception":
        yield "exception"
