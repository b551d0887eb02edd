"""A call without a phone: commands as lines of text, and lines of text as what came of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dialplan import command as commands
from dialplan.command import Command, Outcome, Reply, Sound, SoundKind
from dialplan.flow import Library
from dialplan.hours import Moment
from dialplan.machine import Machine
from dialplan.state import Facts
from dialplan.values import as_text

ASKING = frozenset({"gather", "dial", "record", "conference", "enqueue", "voicemail", "http"})
"""Commands whose outcome somebody has to say; the others are done."""

_DATA_KEYS = {Outcome.DIGITS: "digits", Outcome.SPEECH: "text", Outcome.RECORDED: "recording", Outcome.ANSWERED: "by"}


class ReplyError(ValueError):
    """A line is nothing that could come of the command."""


class Simulation:
    """A machine with its own clock, which a `wait` moves on."""

    def __init__(
        self, library: Library, flow: str, facts: Facts, now: float, variables: Mapping[str, object] | None = None
    ) -> None:
        self.machine = Machine(library)
        self.now = now
        self.command = self.machine.start(flow, facts, Moment(now), variables)

    @property
    def asks(self) -> bool:
        """Somebody must say what comes of the command."""
        return self.command.word in ASKING and not self.machine.ended

    def reply(self, reply: Reply) -> Command:
        """Go on."""
        if isinstance(self.command, commands.Wait):
            self.now += self.command.seconds
        self.command = self.machine.step(reply, Moment(self.now))
        return self.command

    def go_on(self) -> Command:
        """Go on from a command that needs nobody."""
        return self.reply(Reply(Outcome.DONE, {}))


def read_reply(line: str | Mapping[str, Any], command: Command) -> Reply:
    """What a person writes: `1` or `digits 12`, `busy`, `answered 1002`, `hangup`; nothing is `timeout`. With data that
    are more than a word, a mapping: `done: {status: 200, body: {…}}`. The name of the command may stand before, as in
    `voicemail full`. Raises ReplyError."""
    if isinstance(line, Mapping):
        return _read_mapping(line, command)
    word, _, rest = line.strip().partition(" ")
    if word == command.word:
        word, _, rest = rest.strip().partition(" ")
    if not word:
        word = "timeout" if Outcome.TIMEOUT in command.outcomes else "done"
    if Outcome.DIGITS in command.outcomes and word.strip("0123456789*#ABCD") == "":
        word, rest = "digits", word
    outcome = _outcome(word, command)
    data: dict[str, Any] = {}
    if rest and rest.strip().startswith("{"):
        data = _json(rest)
    elif rest and outcome in _DATA_KEYS:
        data = {_DATA_KEYS[outcome]: rest.strip()}
    elif rest:
        raise ReplyError(f"nothing stands behind {word}")
    return Reply.read(outcome, data)


def _read_mapping(line: Mapping[str, Any], command: Command) -> Reply:
    if len(line) != 1:
        raise ReplyError("a reply with data is one outcome and its data: `done: {status: 200}`")
    word, data = next(iter(line.items()))
    outcome = Outcome.DONE if word == command.word else _outcome(str(word), command)
    if not isinstance(data, Mapping):
        data = {_DATA_KEYS.get(outcome, "reason"): data}
    return Reply.read(outcome, data)


def _outcome(word: str, command: Command) -> Outcome:
    possible = sorted(command.outcomes | {Outcome.HANGUP, Outcome.ERROR})
    if word not in possible:
        raise ReplyError(f"{word[:40]} cannot come of {command.word}: {', '.join(possible)}")
    return Outcome(word)


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ReplyError(f"this is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ReplyError("data are a mapping")
    return found


# ---- commands as text

_Briefs = Mapping[str, Callable[[Any], str]]
_BRIEFS: _Briefs = {
    "play": lambda one: ", ".join(sound.value for sound in one.sounds),
    "dial": lambda one: ", ".join(target.number for target in one.targets),
    "conference": lambda one: one.room,
    "enqueue": lambda one: one.queue,
    "voicemail": lambda one: one.mailbox or "",
    "wait": lambda one: f"{one.seconds:g}s",
    "http": lambda one: f"{one.method} {one.url}",
    "message": lambda one: one.to,
    "tag": lambda one: one.name,
    "override": lambda one: f"{one.schedule} {one.opening or 'auto'}",
    "hangup": lambda one: one.cause.value,
}


def brief(command: Command) -> str:
    """The command with what matters most: `dial 1001, 1002`."""
    detail = _BRIEFS.get(command.word, lambda _one: "")(command)
    return f"{command.word} {detail}".strip()


def heard(command: Command) -> str:
    """What the caller hears by this command, as text."""
    return " ".join(_sound(sound) for sound in _sounds(command))


def describe(command: Command) -> str:
    """The command as a line for people."""
    said = heard(command)
    details = {
        "gather": lambda one: f"up to {one.max_digits} digits" if one.max_digits > 1 else "1 digit",
        "dial": lambda one: f"for {one.timeout_s:g}s" + (f" by {one.targets[0].trunk}" if one.targets[0].trunk else ""),
        "record": lambda one: f"at most {one.max_s:g}s",
        "message": lambda one: f"“{one.text}”",
        "http": lambda one: as_text(one.body),
    }
    detail = details.get(command.word, lambda _one: "")(command)
    return " ".join(filter(None, (brief(command), detail, f"“{said}”" if said and command.word != "play" else "")))


def _sounds(command: Command) -> Sequence[Sound]:
    if isinstance(command, commands.Say):
        return (command.sound,)
    if isinstance(command, commands.Play | commands.Gather | commands.Record):
        return command.sounds
    return ()


def _sound(sound: Sound) -> str:
    return sound.value if sound.kind is SoundKind.TEXT else f"[{sound.value}]"
