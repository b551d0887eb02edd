"""A file to a flow: a whole one, or every reason why there is none.

title: Reception
parts:
  welcome:
    - say: Good morning.
    - dial: 1001
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, TypeVar

from dialplan.flow import WORDS, Argument, Flow, Library, setting
from dialplan.hours import Schedule
from dialplan.kinds import Constants, JsonSchema, Language, Voice, Wrong, scalar, shown
from dialplan.kinds import Reading as KindReading
from dialplan.problem import FlowError, Mark, Problem, in_order, suggestion
from dialplan.reading import FileReading, Reading
from dialplan.schedules import Schedules, ScheduleShape, ZoneKind
from dialplan.tree import Node, Pairs, read

T = TypeVar("T")
SUFFIX = ".yaml"
TEST_SUFFIX = ".test.yaml"
SCHEDULES_FILE = "schedules.yaml"
DEFAULT_ZONE = "UTC"
DEFAULT_LANGUAGE = "en"
PART = re.compile(r"[a-z][a-z0-9_-]{0,62}")
MAX_PARTS = 5000


@dataclass(frozen=True, slots=True)
class TitleKind:
    """One line for people."""

    name: str = "text"

    def read(self, node: Node, reading: KindReading) -> str:
        return scalar(node, "text")[:200]

    def schema(self) -> JsonSchema:
        return {"type": "string", "maxLength": 200}


@dataclass(frozen=True, slots=True)
class PartsKind:
    """Named lists of steps, in order; a call begins with the first."""

    name: str = "part: steps"

    def read(self, node: Node, reading: KindReading) -> dict[str, Mark]:
        if not isinstance(node, Pairs) or not node.pairs:
            raise Wrong(f"must be a mapping of parts, each with a list of steps, not {shown(node)}")
        if len(node.pairs) > MAX_PARTS:
            raise Wrong(f"a flow has {MAX_PARTS} parts at most")
        for pair in node.pairs:
            if pair.key in WORDS:
                reading.complain(pair.mark, f"{pair.key} is a word of the language", pair.key)
            elif not PART.fullmatch(pair.key):
                rule = "small letters, digits, '-' and '_', the first a letter"
                reading.complain(pair.mark, f"is no name for a part: {rule}", pair.key[:40])
            reading.part(pair.key, pair.value)
        return {pair.key: pair.mark for pair in node.pairs}

    def schema(self) -> JsonSchema:
        names = {f"^{PART.pattern}$": {"$ref": "#/$defs/steps"}}
        return {"type": "object", "patternProperties": names, "additionalProperties": False, "minProperties": 1}


@dataclass(frozen=True, slots=True)
class Head:
    """The keys of a file with a flow."""

    parts: Annotated[dict[str, Mark], PartsKind()] = setting("named lists of steps; a call begins with the first part")
    title: Annotated[str, TitleKind()] = setting("one line for people", "")
    timezone: Annotated[str | None, ZoneKind()] = setting("whose clock `time` and schedules show", None)
    language: Language | None = setting("of prompts and of what is said", None)
    voice: Voice | None = setting("who says it; the house's default for the language", None)
    arguments: Constants | None = setting(
        "what a flow that is called is given, with defaults; with nothing behind it, it must be given", None
    )
    variables: Constants | None = setting("variables and what they begin with", None)
    schedules: Schedules | None = setting("opening hours for this flow alone", None)


@dataclass(frozen=True, slots=True)
class SchedulesHead:
    """The keys of `schedules.yaml`."""

    schedules: Schedules = setting("opening hours for all flows")
    timezone: Annotated[str | None, ZoneKind()] = setting("whose clock, for schedules and flows that do not say", None)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a flow does not say."""

    timezone: str = DEFAULT_ZONE
    language: str = DEFAULT_LANGUAGE


@dataclass(frozen=True, slots=True)
class Draft:
    """What one file gave. With problems, `flow` holds what could be read of it, for looking further; it cannot run.
    `variables` are those that anything in the file gives a value."""

    flow: Flow | None
    problems: tuple[Problem, ...]
    file: str
    variables: frozenset[str] = frozenset()


@dataclass(slots=True)
class Drafts:
    """What a folder gave."""

    flows: dict[str, Draft] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def library(self) -> Library:
        """Every flow that could be read, whole or not."""
        return Library({name: draft.flow for name, draft in self.flows.items() if draft.flow}, self.schedules)

    def everything(self) -> list[Problem]:
        """All problems, in the order of the files."""
        return in_order([*self.problems, *(one for draft in self.flows.values() for one in draft.problems)])


def load(text: str, file: str, name: str, defaults: Defaults | None = None) -> Flow:
    """Read one flow. Raises FlowError with all problems."""
    draft = draft_of(text, file, name, defaults)
    if draft.flow is None or draft.problems:
        raise FlowError(draft.problems)
    return draft.flow


def draft_of(text: str, file: str, name: str, defaults: Defaults | None = None) -> Draft:
    """Read one flow as far as it goes."""
    defaults = defaults or Defaults()
    node, problems = read(text, file)
    found = FileReading(file, problems=problems)
    head = _shape(found, node, Head)
    if head is None or not head.parts:
        return Draft(None, tuple(in_order(found.problems)), file)
    for reference in found.references:
        if reference.part not in head.parts and not found.enough:
            words = [*head.parts, *WORDS]
            message = f"there is no part {reference.part[:40]}{suggestion(reference.part, words)}"
            found.complain(reference.mark, reference.key, message)
    timezone = head.timezone or defaults.timezone
    arguments = tuple(Argument(key, value is None, value) for key, value in (head.arguments or {}).items())
    flow = Flow(
        name=name,
        title=head.title,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        timezone=timezone,
        language=head.language or defaults.language,
        voice=head.voice,
        arguments=arguments,
        variables=head.variables or {},
        schedules=_named(head.schedules, timezone),
        parts=head.parts,
        steps=found.steps,
        marks=found.marks,
        file=file,
    )
    return Draft(flow, tuple(in_order(found.problems)), file, frozenset(found.variables))


def drafts_of(texts: Mapping[str, str], defaults: Defaults | None = None) -> Drafts:
    """Read a folder: `texts` by path, as `etc/dialplan/reception.yaml`; a flow has the name of its file, and the later
    of two with one name holds. Tests are left to `testing`."""
    drafts = Drafts()
    defaults = defaults or Defaults()
    for file, text in texts.items():
        if name_of(file) == SCHEDULES_FILE:
            defaults = _shared(text, file, defaults, drafts)
    for file, text in texts.items():
        base = name_of(file)
        if base != SCHEDULES_FILE and not base.endswith(TEST_SUFFIX):
            name = base.removesuffix(SUFFIX)
            drafts.flows[name] = draft_of(text, file, name, defaults)
            if not PART.fullmatch(name):
                message = "a file is named as its flow: small letters, digits, '-' and '_', the first a letter"
                drafts.problems.append(Problem(file, None, "", message))
    return drafts


def name_of(file: str) -> str:
    """The name of a file without its folder."""
    return file.rpartition("/")[2]


def _shared(text: str, file: str, defaults: Defaults, drafts: Drafts) -> Defaults:
    """Read the schedules of all; gives what holds for the flows beside them."""
    node, problems = read(text, file)
    found = FileReading(file, problems=problems)
    head = _shape(found, node, SchedulesHead)
    drafts.problems += found.problems
    if head is None:
        return defaults
    defaults = replace(defaults, timezone=head.timezone or defaults.timezone)
    drafts.schedules.update(_named(head.schedules, defaults.timezone))
    return defaults


def _shape(found: FileReading, node: Node | None, shape: type[T]) -> T | None:
    if node is None:
        if not found.problems:
            found.complain(Mark(1, 1), "", "the file is empty")
        return None
    try:
        return Reading(found, "", "").shape(node, shape)
    except Wrong as wrong:
        found.complain(wrong.mark or node.mark, "", f"the file {wrong}")
    return None


def _named(shapes: Mapping[str, ScheduleShape | None] | None, timezone: str) -> dict[str, Schedule]:
    return {name: shape.named(name, timezone) for name, shape in (shapes or {}).items() if shape}
