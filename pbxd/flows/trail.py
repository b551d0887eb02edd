"""A call's way through its flow as its trace tells it: which step, which command, what came of it.

A note is `flow/step word {...}`, its end JSON. What a caller types may be a PIN or the number of a card: a single digit
is an answer to a menu and is written down, of more there is only how many they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dialplan.command import Command, Http, Message, Outcome, Reply
from pbxd.trace import Topic

MAX_TOLD = 1024
_WRONG = frozenset({Outcome.FAILED, Outcome.ERROR})
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Told:
    """One note, read again. `word` is a command or an outcome."""

    step: str
    word: str
    data: Mapping[str, Any]


def command_note(position: str, command: Command) -> str:
    """The command that is carried out at a step. What is sent elsewhere stays out of it: there may be keys in it."""
    said = {key: value for key, value in command.to_json().items() if key != "command" and value not in (None, [], "")}
    if isinstance(command, Http):
        said = {"method": command.method, "url": command.url.partition("?")[0]}
    elif isinstance(command, Message):
        said = {"via": command.via.value, "to": command.to}
    return _note(position, command.word, said)


def came_note(position: str, reply: Reply) -> tuple[Topic, str]:
    """What came of it."""
    word = outcome_word(reply)
    data = {key: value for key, value in reply.data.items() if key in ("reason", "by", "duration_s", "recording")}
    return (Topic.ERROR if reply.outcome in _WRONG else Topic.OUTCOME), _note(position, word, data)


def outcome_word(reply: Reply) -> str:
    """An outcome as the edge contract spells it, without what nobody else should read."""
    if reply.outcome is not Outcome.DIGITS:
        return reply.outcome.value
    digits = str(reply.data.get("digits", ""))
    return f"digit:{digits}" if len(digits) == 1 else f"digits:{'*' * len(digits)}"


def read_note(text: str) -> Told:
    """A note of this kind, read again; any other text is a step without one."""
    step, _, rest = text.partition(" ")
    word, _, said = rest.partition(" ")
    try:
        data = json.loads(said) if said else {}
    except ValueError:
        data = {"cut": said}
    return Told(step, word, data if isinstance(data, dict) else {})


def _note(position: str, word: str, data: Mapping[str, Any]) -> str:
    return f"{position or '-'} {word} {_dumps(data)[:MAX_TOLD]}" if data else f"{position or '-'} {word}"
