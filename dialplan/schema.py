"""The language as JSON Schema (draft 2020-12), for editors that complete and check while one types. Made from the
verbs' own fields; what only a whole flow can tell (parts that are not there, circles) is for `check`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from dialplan.flow import WORDS, Verb
from dialplan.load import PART, Head
from dialplan.reading import PromptShape
from dialplan.schedules import ScheduleShape
from dialplan.spec import Setting, settings_of
from dialplan.verbs import VERBS

SCHEMA_ID = "https://pbxd.invalid/flow.schema.json"


def schema() -> dict[str, Any]:
    """The schema of one flow file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "A call flow of pbxd",
        **_shape(Head),
        "$defs": {
            "step": {"oneOf": [*(_verb(verb) for verb in VERBS.values()), _bare()]},
            "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
            "branch": {"anyOf": [_place(), {"$ref": "#/$defs/steps"}]},
            "prompt": {"anyOf": [_text(), _shape(PromptShape), {"type": "array", "minItems": 1, "items": _item()}]},
            "schedule": _shape(ScheduleShape),
        },
    }


def _verb(verb: type[Verb]) -> dict[str, Any]:
    described = _shape(verb, verb.word)
    if not any(setting.main for setting in settings_of(verb)):
        described["properties"] = {verb.word: {"type": "null"}, **described["properties"]}
    described["required"] = [verb.word, *(key for key in described.get("required", ()) if key != verb.word)]
    return {"title": verb.word, "description": _sentence(verb), **described}


def _shape(shape: type, main: str | None = None) -> dict[str, Any]:
    found = settings_of(shape)
    properties = {_key(one, main): _property(one) for one in found}
    required = [_key(one, main) for one in found if one.required]
    described = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**described, "required": required} if required else described


def _key(one: Setting, main: str | None) -> str:
    return main if one.main and main else one.key


def _property(one: Setting) -> dict[str, Any]:
    described = {"description": one.about, **one.kind.schema()}
    if not one.required and one.main:  # may stand empty
        return {"description": one.about, "anyOf": [one.kind.schema(), {"type": "null"}]}
    if isinstance(one.default, StrEnum):
        described["default"] = one.default.value
    elif isinstance(one.default, bool | int | float | str):
        described["default"] = one.default
    return described


def _sentence(shape: type) -> str:
    return " ".join((shape.__doc__ or "").split())


def _bare() -> dict[str, Any]:
    """Verbs that may stand alone: `- answer`."""
    alone = [word for word, verb in VERBS.items() if not any(one.required for one in settings_of(verb))]
    return {"enum": alone}


def _place() -> dict[str, Any]:
    words = "; ".join(f"{word}: {about}" for word, about in WORDS.items())
    return {"type": "string", "pattern": f"^{PART.pattern}$", "description": f"a part, or {words}"}


def _text() -> dict[str, Any]:
    return {"type": ["string", "number", "boolean"]}


def _item() -> dict[str, Any]:
    return {"anyOf": [_text(), _shape(PromptShape)]}
