"""What pydantic found, in the words of the person who wrote the file."""

from __future__ import annotations

import types
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pbxd.config.problem import Problem
from pbxd.config.schema import Config
from pbxd.config.tree import KeyPath, Tree

_EXPECTED = {
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text (a number or true/false that is meant as text stands in quotes)",
    "tuple_type": "must be a [list]",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "path_type": "must be a path",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "is too short: {min_length} characters at least",
    "string_too_long": "is too long: {max_length} characters at most",
    "too_short": "is too short: at least {min_length} {unit}",
    "too_long": "is too long: at most {max_length} {unit}",
    "ip_v4_address": "is not an IPv4 address",
    "ip_v6_address": "is not an IPv6 address",
    "string_pattern_mismatch": "holds a sign that is not allowed here",
    "missing": "is missing",
}


def explain(error: ValidationError, tree: Tree) -> list[Problem]:
    """One problem for each error, at the line where its value was said."""
    errors = error.errors(include_url=False)
    within = {details["loc"][:-1] for details in errors}
    # pydantic calls a list too short when its items are wrong: they have been named already
    return [_problem(each, tree) for each in errors if each["type"] != "too_short" or each["loc"] not in within]


def suggestion(word: str, words: Iterable[str]) -> str:
    """` (did you mean …?)`, or nothing when nothing is near."""
    near = get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def _problem(details: ErrorDetails, tree: Tree) -> Problem:
    path = tuple(part for part in details["loc"] if part != "[key]")
    return Problem(tree.place(path), ".".join(map(str, path)), _message(details, path))


def _message(details: ErrorDetails, path: KeyPath) -> str:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind == "extra_forbidden":
        return "unknown key" + suggestion(str(path[-1]), known_keys(path[:-1]))
    if kind == "value_error":
        return str(context["error"])
    if kind == "enum":
        allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return f"must be one of {allowed}" + suggestion(str(value), allowed.split(", "))
    unit = "characters" if isinstance(value, str) else "entries"
    message = _EXPECTED.get(kind, details["msg"]).format_map({**context, "unit": unit})
    if kind in ("int_type", "bool_type", "tuple_type"):
        message += f", not {_shown(value)}"
    return message


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    text = repr(value) if isinstance(value, str) else str(value).lower()
    return text if len(text) <= 40 else text[:37] + "..."


def known_keys(path: KeyPath) -> list[str]:
    """The keys that may stand in the mapping at `path`; empty where any name may."""
    kind: Any = Config
    for part in path:
        kind = _inside(kind, part)
    model = _model(kind)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _inside(kind: Any, part: str | int) -> Any:
    model = _model(kind)
    if model is not None:
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        return fields.get(str(part))
    kind = _bare(kind)
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return get_args(kind)[0] if get_origin(kind) is tuple else None


def _bare(kind: Any) -> Any:
    """`kind` without Annotated and without None."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return _bare(next(one for one in get_args(kind) if one is not type(None)))
    return kind


def _model(kind: Any) -> type[BaseModel] | None:
    kind = _bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
