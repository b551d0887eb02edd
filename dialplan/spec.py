"""What a dataclass of the language says about itself: its keys, their kinds, which must be there. Loader, JSON Schema
and manual all read this, so they cannot differ."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, get_type_hints

from dialplan.flow import key_of
from dialplan.kinds import Kind, kind_of


@dataclass(frozen=True, slots=True)
class Setting:
    """One key. `field` is the field's name, `main` whether it stands behind the verb's own name."""

    field: str
    key: str
    kind: Kind
    about: str
    main: bool
    required: bool
    default: Any


def settings_of(shape: type[Any]) -> tuple[Setting, ...]:
    """The keys of a dataclass, in the order of the manual."""
    return _settings(shape)  # type: ignore[arg-type]  # a class can be hashed


@cache
def _settings(shape: type) -> tuple[Setting, ...]:
    hints = get_type_hints(shape, include_extras=True)
    return tuple(
        Setting(
            one.name,
            key_of(one.name),
            kind_of(hints[one.name]),
            one.metadata["about"],
            one.metadata["main"],
            one.default is MISSING,
            None if one.default is MISSING else one.default,
        )
        for one in fields(shape)
    )
