"""All that a running flow remembers, as plain JSON: it may be written down at any command and taken up by another
process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from dialplan.command import Command, CommandError
from dialplan.values import Value, sound_value

FORMAT = 1
MAX_DEPTH = 16


class Ending(StrEnum):
    """How a flow ended."""

    COMPLETED = "completed"  # it came to its end
    HUNG_UP = "hung_up"  # a step hung up
    CALLER_LEFT = "caller_left"
    RUNAWAY = "runaway"  # it went on and on without a command for the world
    EXHAUSTED = "exhausted"  # more commands than any call has
    TOO_DEEP = "too_deep"  # flows that call each other without end
    FAILED = "failed"  # the call could not be answered


class StateError(ValueError):
    """What was saved is no state, or belongs to other flows than these."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a call when its flow begins. Header names are in small letters."""

    call: str = ""
    caller_number: str = ""
    caller_name: str = ""
    called_number: str = ""
    account: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def scope(self) -> dict[str, Value]:
        """As expressions see it."""
        return {
            "caller": {"number": self.caller_number, "name": self.caller_name},
            "called": {"number": self.called_number},
            "call": {"id": self.call},
            "account": {"name": self.account},
            "headers": sound_value(self.headers),
        }


@dataclass(slots=True)
class Frame:
    """One flow that runs, or waits for one that it called. `step` is where it is."""

    flow: str
    digest: str
    step: str
    variables: dict[str, Value]
    save: str | None = None  # the variable of the frame below that gets what this one returns
    rounds: dict[str, int] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """A call in its flow. `answering`: the command that is out is the answer that the step needed first."""

    facts: Facts
    frames: list[Frame] = field(default_factory=list)
    answered: bool = False
    answering: bool = False
    sequence: int = 0
    ending: Ending | None = None
    command: Command | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "format": FORMAT,
            "facts": asdict(self.facts),
            "frames": [asdict(frame) for frame in self.frames],
            "answered": self.answered,
            "answering": self.answering,
            "sequence": self.sequence,
            "ending": self.ending.value if self.ending else None,
            "command": self.command.to_json() if self.command else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> State:
        """What `to_json` made. Raises StateError."""
        if data.get("format") != FORMAT:
            raise StateError(f"the saved state has the format {data.get('format')}, not {FORMAT}")
        try:
            frames = [_sound_frame(Frame(**frame)) for frame in data["frames"]]
            return cls(
                facts=Facts(**data["facts"]),
                frames=frames,
                answered=bool(data["answered"]),
                answering=bool(data["answering"]),
                sequence=int(data["sequence"]),
                ending=Ending(data["ending"]) if data["ending"] is not None else None,
                command=Command.from_json(data["command"]) if data["command"] is not None else None,
            )
        except (KeyError, TypeError, ValueError, CommandError) as error:
            raise StateError(f"the saved state is damaged: {error}") from None


def _sound_frame(frame: Frame) -> Frame:
    """`frame`, when its fields are of their kinds. Raises StateError."""
    texts = (frame.flow, frame.digest, frame.step, frame.save or "")
    mappings = (frame.variables, frame.rounds, frame.memory)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(one, dict) for one in mappings):
        raise StateError("the saved state is damaged: a frame of another kind")
    return frame
