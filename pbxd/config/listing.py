"""The configuration as a list of settings: to show it, to compare two of them, and to know what a reload can apply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pbxd.config.schema import Config, Source


@dataclass(frozen=True, slots=True)
class Setting:
    """One value. `value` is JSON-able and its secrets are masked; `restart` says that a reload does not apply it."""

    key: str
    value: object
    source: Source
    description: str
    restart: bool


def settings(config: Config) -> list[Setting]:
    """Every setting; of named things (phones, trunks …) each entry is one, and so is the empty mapping."""
    plain = config.model_dump(mode="json", by_alias=True)
    return [
        Setting(key, _at(plain, key), config.source(key), field.description or "", _restart(field))
        for key, _, field in _leaves(config, "")
    ]


def diff(old: Config, new: Config) -> list[str]:
    """The dotted keys whose values differ, also those only one of the two has (`phones.1001`)."""
    before = {key: value for key, value, _ in _leaves(old, "")}
    after = {key: value for key, value, _ in _leaves(new, "")}
    missing = object()
    return [key for key in before | after if before.get(key, missing) != after.get(key, missing)]


def needs_restart(keys: Sequence[str]) -> list[str]:
    """Those of `keys` that a reload does not apply."""
    fixed = {key for key, _, field in _leaves(Config(), "") if _restart(field)}
    return [key for key in keys if key in fixed]


def _restart(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("restart") is True


def _leaves(section: BaseModel, prefix: str) -> Iterator[tuple[str, Any, FieldInfo]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        key = f"{prefix}{field.alias or name}"
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{key}.")
        elif isinstance(value, dict) and value:
            yield from ((f"{key}.{entry}", value[entry], field) for entry in value)
        elif isinstance(value, dict):
            continue
        else:
            yield key, value, field


def _at(plain: Any, key: str) -> object:
    """The value at a dotted key; an entry's own name may hold dots, so it is everything after its section."""
    section, _, rest = key.partition(".")
    value = plain[section]
    if rest and isinstance(value, dict):
        return value[rest] if rest in value else _at(value, rest)
    return value
