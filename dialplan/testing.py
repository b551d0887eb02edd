"""Tests beside a flow: what is given, and what must come of it.

    tests:
      - test: Whoever presses 3 leaves a message
        caller: 1002
        at: 2026-11-23 10:00
        replies: [digits 3, voicemail done]
        path: [welcome, mailbox]
        commands: [gather, voicemail 1001, say, hangup]
        hears: [press 3, Thank you]
        ends: completed

Replies are used up by the commands whose outcome somebody must say (gather, dial, record, conference, enqueue,
voicemail, http); all other commands are done, unless the next reply begins with their name: `override failed`. When no
reply is left, the caller hangs up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from dialplan.command import Outcome, Reply, Rotate
from dialplan.flow import Flow, Library, part_of, setting
from dialplan.hours import zone
from dialplan.kinds import Constants, JsonSchema, ListKind, Reading, Wrong, plain_value, scalar
from dialplan.problem import Mark, Problem, in_order
from dialplan.reading import FileReading
from dialplan.reading import Reading as FileReader
from dialplan.simulate import ReplyError, Simulation, brief, heard, read_reply
from dialplan.state import Ending, Facts
from dialplan.tree import Items, Node, Pairs, read

MAX_COMMANDS = 500
DEFAULT_AT = "2026-01-05 12:00"
"""A Monday at noon."""


@dataclass(frozen=True, slots=True)
class LineKind:
    """One line, as it stands."""

    name: str = "text"

    def read(self, node: Node, reading: Reading) -> str:
        return scalar(node, "text")

    def schema(self) -> JsonSchema:
        return {"type": ["string", "number"]}


@dataclass(frozen=True, slots=True)
class ReplyKind:
    """`digits 1`, `busy`, or an outcome with its data."""

    name: str = "reply"

    def read(self, node: Node, reading: Reading) -> str | Mapping[str, Any]:
        if isinstance(node, Pairs):
            return {pair.key: _value(pair.value) for pair in node.pairs}
        return scalar(node, "a reply such as `digits 1` or `busy`")

    def schema(self) -> JsonSchema:
        return {"type": ["string", "number", "object"]}


@dataclass(frozen=True, slots=True)
class EndingKind:
    """How the flow must end."""

    name: str = ", ".join(Ending)

    def read(self, node: Node, reading: Reading) -> Ending:
        text = scalar(node, f"one of {self.name}")
        if text not in set(Ending):
            raise Wrong(f"must be one of {self.name}")
        return Ending(text)

    def schema(self) -> JsonSchema:
        return {"enum": [ending.value for ending in Ending]}


Lines = Annotated[tuple[str, ...], ListKind(LineKind())]


@dataclass(frozen=True, slots=True)
class Case:
    """One test, as it is written."""

    test: Annotated[str, LineKind()] = setting("what it proves, in words")
    caller: Annotated[str, LineKind()] = setting("the number that calls", "1002")
    caller_name: Annotated[str, LineKind()] = setting("its name", "")
    called: Annotated[str, LineKind()] = setting("the number that was dialled", "500")
    at: Annotated[str, LineKind()] = setting(f"when, on the flow's clock; {DEFAULT_AT}", DEFAULT_AT)
    headers: Constants | None = setting("headers of the call", None)
    given: Constants | None = setting("arguments and variables", None)
    replies: Annotated[tuple[str | Mapping[str, Any], ...], ListKind(ReplyKind())] = setting("what comes of it", ())
    path: Lines | None = setting("the parts it must go through; `flow/part` in a flow that is called", None)
    commands: Lines | None = setting("what must be done: `dial 1001`, or `say` alone", None)
    hears: Lines | None = setting("texts that the caller must hear, in this order", None)
    variables: Constants | None = setting("what variables must hold at the end", None)
    ends: Annotated[Ending | None, EndingKind()] = setting("how it must end", None)


@dataclass(frozen=True, slots=True)
class CaseKind:
    """One test."""

    name: str = "test"

    def read(self, node: Node, reading: Reading) -> tuple[Case, Mark]:
        return reading.shape(node, Case), node.mark

    def schema(self) -> JsonSchema:
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class TestFile:
    """The keys of `NAME.test.yaml`."""

    __test__ = False  # it is no test of pytest's
    tests: Annotated[tuple[tuple[Case, Mark], ...], ListKind(CaseKind())] = setting("a list of tests")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test. `wrong` is empty when it passed; `steps` are those it went through, as `flow/step`."""

    name: str
    file: str
    mark: Mark
    wrong: tuple[str, ...]
    steps: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def passed(self) -> bool:
        return not self.wrong


def read_cases(text: str, file: str) -> tuple[list[tuple[Case, Mark]], list[Problem]]:
    """The tests of a file, and everything that is wrong with it."""
    node, problems = read(text, file)
    found = FileReading(file, problems=problems)
    if node is None:
        return [], problems or [Problem(file, Mark(1, 1), "", "the file is empty")]
    try:
        tests = FileReader(found, "", "").shape(node, TestFile).tests
    except Wrong as wrong:
        return [], in_order([*found.problems, Problem(file, wrong.mark or node.mark, "", f"the file {wrong}")])
    cases = [one for one in tests or () if one is not None]
    return ([], in_order(found.problems)) if found.problems else (cases, [])


def run_case(library: Library, flow: Flow, case: Case, file: str, mark: Mark) -> Result:
    """Run one test."""
    went = _Went()
    try:
        now = parse_moment(case.at, flow.timezone)
        simulation = _begun(library, flow, case, now)
        _play(simulation, case, went)
    except (ReplyError, ValueError) as error:
        return Result(case.test, file, mark, (str(error),), frozenset(went.steps))
    return Result(case.test, file, mark, tuple(_judged(case, simulation, went, flow)), frozenset(went.steps))


@dataclass(slots=True)
class _Went:
    """What happened."""

    steps: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    replies: int = 0


def _begun(library: Library, flow: Flow, case: Case, now: float) -> Simulation:
    headers = {name: str(value) for name, value in (case.headers or {}).items()}
    facts = Facts("test", case.caller, case.caller_name, case.called, "", headers)
    return Simulation(library, flow.name, facts, now, case.given)


def _play(simulation: Simulation, case: Case, went: _Went) -> None:
    for _ in range(MAX_COMMANDS):
        went.steps += simulation.machine.trail
        if simulation.command.word != "noop":
            went.commands.append(brief(simulation.command))
            went.heard.append(heard(simulation.command))
        if simulation.machine.ended:
            return
        simulation.reply(_next_reply(simulation, case, went))
    raise ReplyError(f"the test takes more than {MAX_COMMANDS} commands")


def _next_reply(simulation: Simulation, case: Case, went: _Went) -> Reply:
    following = case.replies[went.replies] if went.replies < len(case.replies) else None
    command = simulation.command
    if not simulation.asks and not _names(following, command.word):
        return Reply(Outcome.DONE, {"index": 0} if isinstance(command, Rotate) else {})
    if following is None:
        return Reply(Outcome.HANGUP, {})
    went.replies += 1
    return read_reply(following, command)


def _names(reply: str | Mapping[str, Any] | None, word: str) -> bool:
    if isinstance(reply, Mapping):
        return word in reply
    return reply is not None and reply.split(" ")[0] == word


def _judged(case: Case, simulation: Simulation, went: _Went, flow: Flow) -> Iterable[str]:
    if case.path is not None and tuple(path := _path(went.steps, flow.name)) != case.path:
        yield f"the path is {_listed(path)}, not {_listed(case.path)}"
    if case.commands is not None and not _matches(case.commands, went.commands):
        yield f"the commands are {_listed(went.commands)}, not {_listed(case.commands)}"
    said = " ".join(went.heard)
    at = 0
    for text in case.hears or ():
        found = said.find(text, at)
        if found < 0:
            yield f"nobody hears “{text}”" + (" there" if text in said else f"; they hear “{said}”")
            break
        at = found + len(text)
    for name, value in (case.variables or {}).items():
        if simulation.machine.variables.get(name) != value:
            yield f"{name} is {simulation.machine.variables.get(name)!r}, not {value!r}"
    if case.ends is not None and simulation.machine.ending is not case.ends:
        yield f"it ends as {simulation.machine.ending}, not {case.ends}"
    if went.replies < len(case.replies):
        yield f"{len(case.replies) - went.replies} of the replies were not asked for: {case.replies[went.replies]}"


def _path(steps: list[str], flow: str) -> list[str]:
    """The parts in their order."""
    path: list[str] = []
    for step in steps:
        name, _, step_id = step.partition("/")
        label = part_of(step_id) if name == flow else f"{name}/{part_of(step_id)}"
        if not path or path[-1] != label:
            path.append(label)
    return path


def _matches(wanted: tuple[str, ...], commands: list[str]) -> bool:
    if len(wanted) != len(commands):
        return False
    return all(command == want or command.split(" ")[0] == want for want, command in zip(wanted, commands, strict=True))


def _listed(words: Iterable[str]) -> str:
    return " → ".join(words) or "nothing"


def _value(node: Node) -> Any:
    if isinstance(node, Pairs):
        return {pair.key: _value(pair.value) for pair in node.pairs}
    if isinstance(node, Items):
        return [_value(item) for item in node.items]
    return plain_value(node) if node.plain else node.text


def parse_moment(text: str, timezone: str) -> float:
    """`2026-11-23 10:00` on the clock of `timezone`, in seconds since 1970. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]} is not a moment like 2026-11-23 10:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone(timezone))
    return moment.timestamp()
