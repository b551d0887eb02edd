"""The reference of the language as Markdown, made from the verbs' own fields."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from dialplan.command import COMMANDS, Command, Outcome
from dialplan.flow import WORDS, Branch, Verb
from dialplan.functions import FUNCTIONS
from dialplan.load import Head
from dialplan.spec import Setting, settings_of
from dialplan.verbs import UNBUILT, VERBS


def manual() -> str:
    """Tables of the file, the verbs, the words, the functions and the commands."""
    lines = ["| key of the file | what |", "|---|---|"]
    lines += [f"| `{one.key}` | {_about(one)} |" for one in settings_of(Head)]
    lines += ["", "| verb | setting | what | default |", "|---|---|---|---|"]
    for verb in VERBS.values():
        lines += _verb(verb)
    lines += ["", "| where a branch leads | |", "|---|---|"]
    lines += [f"| `{word}` | {about} |" for word, about in WORDS.items()]
    lines += ["| the name of a part | go on there |", "| a list of steps | do these, then go on with the next step |"]
    lines += ["", "| function | what |", "|---|---|"]
    lines += [f"| `{name}` | {function.about} |" for name, function in FUNCTIONS.items()]
    lines += ["", "| known, and refused | why |", "|---|---|"]
    lines += [f"| `{word}` | {why} |" for word, why in UNBUILT.items()]
    lines += [
        "",
        "| command of the machine | what | what can come of it, beside `hangup` and `error` |",
        "|---|---|---|",
    ]
    lines += [_command(kind) for kind in COMMANDS.values()]
    return "\n".join(lines) + "\n"


def _verb(verb: type[Verb]) -> Iterator[str]:
    yield f"| **`{verb.word}`** | | {' '.join((verb.__doc__ or '').split())} | |"
    for one in settings_of(verb):
        key = verb.word if one.main else one.key
        yield f"| | `{key}` | {_about(one)} | {_default(one)} |"


def _command(kind: type[Command]) -> str:
    about = " ".join((kind.__doc__ or "").split()).replace("|", "\\|")
    outcomes = ", ".join(f"`{outcome.value}`" for outcome in Outcome if outcome in kind.outcomes)
    return f"| `{kind.word}` | {about} | {outcomes or 'nothing: the flow has ended'} |"


def _about(one: Setting) -> str:
    kind = one.kind.name
    words = f"{one.about} ({kind})" if isinstance(one.default, StrEnum) else one.about
    return words.replace("|", "\\|")


def _default(one: Setting) -> str:
    if one.required:
        return "must be there"
    value = one.default
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}s"
    if isinstance(value, Branch):
        return f"`{value.to}`"
    if isinstance(value, StrEnum | int | str) and value != "":
        return f"`{value}`"
    return ""
