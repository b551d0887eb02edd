"""What the machine asks the world to do, one thing at a time, and what can come of it.

A command is small and has no choices in it: retries, branches, order and failover are the machine's. Its `outcomes` are
all that can come of it; beside them every command may end with `hangup` (the caller has left) and `error` (whoever
carries it out could not: `data.reason`). Seven names are those of the edge contract: play, gather, dial, enqueue,
record, conference, hangup, and noop; the others are the house's own.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from dialplan.values import Value, sound_value


class Outcome(StrEnum):
    """What came of a command."""

    DONE = "done"
    DIGITS = "digits"  # data: digits, terminator
    SPEECH = "speech"  # data: text, confidence
    TIMEOUT = "timeout"
    INVALID = "invalid"
    ANSWERED = "answered"  # somebody answered, talked, and has left; the caller is still there. data: by, duration_s
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    UNREACHABLE = "unreachable"  # no phone is registered, no such number
    RECORDED = "recorded"  # data: recording, duration_s
    SILENCE = "silence"
    LEFT = "left"
    FULL = "full"
    LOCKED = "locked"
    ABANDON = "abandon"  # of a queue
    NO_AGENTS = "no_agents"
    QUEUE_FULL = "queue_full"
    EWT = "ewt"  # the wait that is to be expected is too long
    FAILED = "failed"  # data: reason
    HANGUP = "hangup"
    ERROR = "error"


class SoundKind(StrEnum):
    """Where a sound comes from."""

    PROMPT = "prompt"  # a recorded prompt, by name
    TEXT = "text"  # words to be said
    RECORDING = "recording"  # what `record` made in this call


class SpokenAs(StrEnum):
    """How a text is said."""

    TEXT = "text"
    DIGITS = "digits"
    NUMBER = "number"
    CURRENCY = "currency"
    DATE = "date"
    TIME = "time"


class GatherInput(StrEnum):
    """What a caller may answer with."""

    DIGITS = "digits"
    SPEECH = "speech"
    BOTH = "both"


class Ringback(StrEnum):
    """What the caller hears while it rings."""

    RINGING = "ringing"
    MUSIC = "music"
    SILENCE = "silence"


class Cause(StrEnum):
    """Why a call is ended. The executor has the SIP status and the Q.850 cause for each."""

    NORMAL = "normal"
    BUSY = "busy"
    CONGESTION = "congestion"
    NO_ANSWER = "no_answer"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"
    ERROR = "error"


class MailboxAction(StrEnum):
    """What is done with a mailbox."""

    LEAVE = "leave"
    LISTEN = "listen"


class Greeting(StrEnum):
    """What a mailbox says first. auto is the one that fits: temporary, busy, unavailable, in this order."""

    AUTO = "auto"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    NONE = "none"


class MessageVia(StrEnum):
    """How a message travels."""

    SIP = "sip"
    MAIL = "mail"


class CommandError(ValueError):
    """JSON is not a command."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Something to be heard. Without a voice the house's own of this language is taken."""

    kind: SoundKind
    value: str
    language: str
    voice: str | None = None
    spoken_as: SpokenAs = SpokenAs.TEXT


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call: an internal number, or any number through a trunk. Without a trunk the house's routes decide."""

    number: str
    trunk: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One thing to do. `word` is its name on the wire, `outcomes` what can come of it beside hangup and error."""

    word: ClassVar[str] = ""
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.DONE})

    def to_json(self) -> dict[str, Any]:
        """Plain data, the command's name under `command`."""
        return {"command": self.word, **{field.name: _plain(getattr(self, field.name)) for field in fields(self)}}

    @staticmethod
    def from_json(data: object) -> Command:
        """What `to_json` made. Raises CommandError."""
        kind = COMMANDS.get(str(data.get("command"))) if isinstance(data, Mapping) else None
        if kind is None or not isinstance(data, Mapping):
            raise CommandError("this is no command")
        made = _dataclass(kind, {key: value for key, value in data.items() if key != "command"})
        if not isinstance(made, Command):  # never: COMMANDS holds commands
            raise CommandError("this is no command")
        return made


@dataclass(frozen=True, slots=True)
class Answer(Command):
    """Answer the call (200 to its INVITE)."""

    word: ClassVar[str] = "answer"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.DONE, Outcome.FAILED})


@dataclass(frozen=True, slots=True)
class Play(Command):
    """Play sounds to their end, one after the other. `early`: before the call is answered, if it is not."""

    word: ClassVar[str] = "play"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.DONE, Outcome.FAILED})
    sounds: tuple[Sound, ...]
    early: bool = False


@dataclass(frozen=True, slots=True)
class Say(Command):
    """Say one text to its end."""

    word: ClassVar[str] = "say"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.DONE, Outcome.FAILED})
    sound: Sound
    early: bool = False


@dataclass(frozen=True, slots=True)
class Gather(Command):
    """Play sounds and collect what the caller answers, once. Ends at a terminator, at `max_digits`, when nothing came
    within `timeout_s` after the sounds, or when no further digit came within `digit_timeout_s`.

    `digits` with what was pressed, also when it is fewer than wanted; `timeout` when nothing was; `invalid` is for a
    far side that judges by itself.
    """

    word: ClassVar[str] = "gather"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset(
        {Outcome.DIGITS, Outcome.SPEECH, Outcome.TIMEOUT, Outcome.INVALID, Outcome.FAILED}
    )
    sounds: tuple[Sound, ...]
    max_digits: int
    min_digits: int = 1
    terminators: str = "#"
    timeout_s: float = 5.0
    digit_timeout_s: float = 3.0
    barge_in: bool = True
    input: GatherInput = GatherInput.DIGITS
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dial(Command):
    """Ring all targets at once; the first to answer is bridged, and the command ends when the conversation does."""

    word: ClassVar[str] = "dial"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset(
        {
            Outcome.ANSWERED,
            Outcome.BUSY,
            Outcome.NO_ANSWER,
            Outcome.DECLINED,
            Outcome.UNREACHABLE,
            Outcome.FAILED,
        }
    )
    targets: tuple[Target, ...]
    timeout_s: float
    caller_id: str | None = None
    caller_name: str | None = None
    announce: tuple[Sound, ...] = ()  # heard by who answers, before the bridge
    confirm: tuple[Sound, ...] = ()  # heard by who answers; the bridge is made when they press 1
    ringback: Ringback = Ringback.RINGING
    early_media: bool = True  # sound of the far side before it answers reaches the caller


@dataclass(frozen=True, slots=True)
class Rotate(Command):
    """Where a group's turn begins: data `index`, from 0 to `size` - 1, one further each time for each `key`."""

    word: ClassVar[str] = "rotate"
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Record(Command):
    """Play sounds, then record the caller until silence, a terminator or the longest time. `silence`: nothing was said,
    and nothing is kept. When the caller hangs up, what was said so far is kept."""

    word: ClassVar[str] = "record"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.RECORDED, Outcome.SILENCE, Outcome.FAILED})
    sounds: tuple[Sound, ...]
    max_s: float
    silence_s: float
    terminators: str = "#"
    beep: bool = True


@dataclass(frozen=True, slots=True)
class Conference(Command):
    """Put the caller into a room until they leave it."""

    word: ClassVar[str] = "conference"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.LEFT, Outcome.FULL, Outcome.LOCKED, Outcome.FAILED})
    room: str
    moderator: bool = False
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Enqueue(Command):
    """Put the caller into a queue until an operator has talked to them, or they leave it otherwise. `digits`: they
    pressed the digit that leads out. `wait_when_empty`: also while no operator is logged in."""

    word: ClassVar[str] = "enqueue"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset(
        {
            *(Outcome.ANSWERED, Outcome.TIMEOUT, Outcome.ABANDON, Outcome.NO_AGENTS),
            *(Outcome.QUEUE_FULL, Outcome.EWT, Outcome.DIGITS, Outcome.FAILED),
        }
    )
    queue: str
    priority: int = 0
    wait_when_empty: bool = False
    leave_digit: str | None = None


@dataclass(frozen=True, slots=True)
class Voicemail(Command):
    """Hand the caller to a mailbox: to leave a message, or to listen. Without a mailbox it is asked for."""

    word: ClassVar[str] = "voicemail"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.DONE, Outcome.SILENCE, Outcome.FULL, Outcome.FAILED})
    mailbox: str | None
    action: MailboxAction = MailboxAction.LEAVE
    greeting: Greeting = Greeting.AUTO


@dataclass(frozen=True, slots=True)
class Wait(Command):
    """Let time pass."""

    word: ClassVar[str] = "wait"
    seconds: float


@dataclass(frozen=True, slots=True)
class Http(Command):
    """One HTTP exchange. `done` for a status from 200 to 299: data `status` and `body`, JSON or text."""

    word: ClassVar[str] = "http"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.DONE, Outcome.FAILED})
    url: str
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    body: Value = None  # sent as JSON
    timeout_s: float = 5.0
    max_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class Message(Command):
    """Send a text. `done` when it was taken, not when it was read."""

    word: ClassVar[str] = "message"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.DONE, Outcome.FAILED})
    via: MessageVia
    to: str
    text: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Tag(Command):
    """Put a word on the record of this call."""

    word: ClassVar[str] = "tag"
    name: str


@dataclass(frozen=True, slots=True)
class SetHours(Command):
    """Override a schedule: `opening` is open, closed or holiday, or None to follow the schedule again. It ends by
    itself at `until`, in seconds since 1970."""

    word: ClassVar[str] = "override"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset({Outcome.DONE, Outcome.FAILED})
    schedule: str
    opening: str | None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Hangup(Command):
    """End the call. The machine has ended with it and waits for nothing."""

    word: ClassVar[str] = "hangup"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset()
    cause: Cause = Cause.NORMAL


@dataclass(frozen=True, slots=True)
class Noop(Command):
    """There is nothing left to do."""

    word: ClassVar[str] = "noop"
    outcomes: ClassVar[frozenset[Outcome]] = frozenset()


COMMANDS: Mapping[str, type[Command]] = {
    kind.word: kind
    for kind in (
        *(Answer, Play, Say, Gather, Dial, Rotate, Record, Conference, Enqueue, Voicemail),
        *(Wait, Http, Message, Tag, SetHours, Hangup, Noop),
    )
}


# `next` and `end` are what a remote edge may call the end of a prompt and of a mailbox.
_OUTCOMES = {**{outcome.value: outcome for outcome in Outcome}, "next": Outcome.DONE, "end": Outcome.DONE}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a command, with what there is to say about it."""

    outcome: Outcome
    data: Mapping[str, Value]

    @classmethod
    def read(cls, outcome: str, data: Mapping[str, object] | None = None) -> Self:
        """What the edge contract sends: `digit:1` is `digits` with the digits `1`. Nothing raises: an unknown outcome
        is an error whose reason says so, and data are cut to a sound size."""
        found = sound_value(data or {})
        said = found if isinstance(found, dict) else {}
        word, colon, digits = outcome.partition(":")
        if colon and word in ("digit", "digits"):
            return cls(Outcome.DIGITS, {**said, "digits": digits[:64]})
        known = _OUTCOMES.get(outcome)
        if known is None:
            return cls(Outcome.ERROR, {"reason": f"there is no outcome {outcome[:40]}"})
        return cls(known, said)


def _plain(value: object) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Sound | Target):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _rebuilt(hint: Any, value: Any) -> Any:
    """`value`, which came as JSON, as the type that `hint` says. Raises CommandError."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if get_origin(hint) in (types.UnionType, Union):
        if value is None or len(kinds) > 1:
            return sound_value(value)
        return _rebuilt(kinds[0], value)
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_rebuilt(kinds[0], item) for item in value)
    if get_origin(hint) is not None and isinstance(value, Mapping):
        return {str(key): str(inner) for key, inner in value.items()}
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return _dataclass(hint, value)
    if isinstance(hint, type) and issubclass(hint, StrEnum) and value in set(hint):
        return hint(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (str, int, bool) and type(value) is hint:
        return value
    raise CommandError(f"{value!r:.40} is not of the kind this command has")


def _dataclass(kind: type, data: Mapping[str, Any]) -> Any:
    hints = _hints(kind)
    if unknown := set(data) - set(hints):
        raise CommandError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    try:
        return kind(**{key: _rebuilt(hints[key], value) for key, value in data.items()})
    except TypeError as error:
        raise CommandError(str(error)) from None


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(kind).items() if get_origin(hint) is not ClassVar}
