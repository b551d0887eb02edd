"""What a call flow is: named parts, each a list of steps; each step one verb with its settings.

A verb is a frozen dataclass in `dialplan/verbs/`, one file each. Its fields are the language: their names are the keys
of the file, their types say what may stand there, and the text beside them is the manual. A verb says what to do next
and never does it: it gives a command for the world, or where to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Protocol

from dialplan.command import Command, Reply, Sound, SpokenAs
from dialplan.expr import Expression
from dialplan.hours import Opening, Schedule
from dialplan.problem import Mark
from dialplan.template import Template
from dialplan.values import Value

NEXT_STEP = "next"
END_OF_FLOW = "end"
HANG_UP = "hangup"
WORDS = {
    NEXT_STEP: "go on with the next step",
    END_OF_FLOW: "the flow ends: a flow that was called goes back to its caller, any other hangs up",
    HANG_UP: "hang up",
}
"""Where a branch may lead beside to a part."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Where to go on: one of WORDS, or the id of a step."""

    to: str


NEXT = Branch(NEXT_STEP)
HANGUP = Branch(HANG_UP)


@dataclass(frozen=True, slots=True)
class Enter:
    """Go on in another flow; what it returns is put into the variable `save` of this one."""

    flow: str
    arguments: Mapping[str, Value]
    save: str | None


@dataclass(frozen=True, slots=True)
class Leave:
    """Go back to the flow that called this one, with a value."""

    value: Value


Move = Command | Branch | Enter | Leave


@dataclass(frozen=True, slots=True)
class PromptItem:
    """A recorded prompt by name, or words to be said: one of both is set."""

    play: Template | None
    say: Template | None
    voice: str | None = None
    language: str | None = None
    spoken_as: SpokenAs = SpokenAs.TEXT


Prompt = tuple[PromptItem, ...]


class Run(Protocol):
    """What a verb may ask of the call it runs in. `memory` is the verb's own from its first command to its last."""

    @property
    def memory(self) -> dict[str, Any]: ...
    def text(self, template: Template) -> str: ...
    def url(self, template: Template) -> str: ...
    def value(self, expression: Expression) -> Value: ...
    def filled(self, plain: Any) -> Value: ...
    def assign(self, name: str, value: Value) -> None: ...
    def sounds(self, prompt: Prompt) -> tuple[Sound, ...]: ...
    def opening(self, schedule: str) -> Opening: ...

    @property
    def now(self) -> float: ...
    @property
    def step_id(self) -> str: ...
    def round(self) -> int:
        """How often this step was come to, from 1 on, since it was come to from outside its own steps."""

    def forget_rounds(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A thing to do. `word` is its name; `group` where it stands in the manual; `answers`: the call is answered before
    it; `waits`: it takes the world some time, so that a loop through it is no race; `goes_on`: what it does leads to
    the next step."""

    word: ClassVar[str]
    answers: ClassVar[bool] = False
    waits: ClassVar[bool] = False
    goes_on: ClassVar[bool] = True
    foreign: ClassVar[frozenset[str]] = frozenset()  # fields whose expressions are not about the call's variables

    def begin(self, run: Run) -> Move:
        """Come to this step."""
        raise TypeError(f"{self.word} does not say what it does")

    def resume(self, run: Run, reply: Reply) -> Move:
        """Hear what came of the last command."""
        return NEXT

    def ways(self) -> Iterator[tuple[str, Branch]]:
        """Every branch with its label, as it can be taken."""
        for one in fields(self):
            value = getattr(self, one.name)
            label = key_of(one.name).removeprefix("on_")
            if isinstance(value, Branch):
                yield label, value
            elif isinstance(value, Mapping):
                yield from ((key, branch) for key, branch in value.items() if isinstance(branch, Branch))
        if self.goes_on:
            yield "", NEXT

    def wrong(self) -> str | None:
        """What does not fit together among its settings, as a sentence."""
        return None

    @property
    def early(self) -> bool:
        """Wants to be heard before the call is answered."""
        return False


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `welcome.2` is the second of the part welcome, `welcome.2.then.1` the first of its branch `then`.
    `after` is the step that follows, None where the flow ends."""

    id: str
    verb: Verb
    mark: Mark
    after: str | None

    @property
    def part(self) -> str:
        return part_of(self.id)


@dataclass(frozen=True, slots=True)
class Argument:
    """What a called flow is given; without a default it must be."""

    name: str
    required: bool
    default: Value


@dataclass(frozen=True, slots=True)
class Flow:
    """A whole flow, checked in itself. `digest` tells one version from another."""

    name: str
    title: str
    digest: str
    timezone: str
    language: str
    voice: str | None
    arguments: tuple[Argument, ...]
    variables: Mapping[str, Value]
    schedules: Mapping[str, Schedule]
    parts: Mapping[str, Mark]  # in the order of the file
    steps: Mapping[str, Step]
    marks: Mapping[str, Mark] = field(default_factory=dict, repr=False)  # of each value in the file, by its key
    file: str = ""

    @property
    def first(self) -> str:
        """The id of the step where a call begins."""
        return first_step(next(iter(self.parts)))


@dataclass(frozen=True, slots=True)
class Library:
    """The flows that are live together, by name, and the schedules they share."""

    flows: Mapping[str, Flow] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)

    def schedule(self, flow: Flow, name: str) -> Schedule | None:
        """The flow's own before the shared one."""
        return flow.schedules.get(name) or self.schedules.get(name)


def setting(about: str, default: Any = MISSING, *, main: bool = False) -> Any:
    """A field of a verb: `about` is its line in the manual; the main one stands behind the verb's name."""
    return field(default=default, metadata={"about": about, "main": main})


def key_of(name: str) -> str:
    """The key in the file for a field: `else_` is `else`."""
    return name.rstrip("_")


def first_step(part: str) -> str:
    return f"{part}.1"


def part_of(step_id: str) -> str:
    return step_id.partition(".")[0]
