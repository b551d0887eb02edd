"""What a flow speaks of that must be there: variables, flows and their arguments, schedules, and what the house has."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields

from dialplan.command import GatherInput
from dialplan.expr import Expression
from dialplan.flow import Flow, Library, PromptItem, Step, Verb, key_of
from dialplan.kinds import NameKind
from dialplan.problem import Mark, Problem, Severity, suggestion
from dialplan.spec import settings_of
from dialplan.template import Template
from dialplan.verbs.call import Call
from dialplan.verbs.conference import Conference
from dialplan.verbs.dial import Dial
from dialplan.verbs.enqueue import Enqueue
from dialplan.verbs.gather import Gather
from dialplan.verbs.hours import Hours
from dialplan.verbs.http import Http
from dialplan.verbs.menu import Menu
from dialplan.verbs.message import Message
from dialplan.verbs.override import Override
from dialplan.verbs.set import Set
from dialplan.verbs.voicemail import Voicemail

FACTS: Mapping[str, tuple[str, ...] | None] = {
    "caller": ("number", "name"),
    "called": ("number",),
    "call": ("id",),
    "account": ("name",),
    "headers": None,  # any
    "time": ("year", "month", "day", "hour", "minute", "weekday", "date", "clock"),
}
"""What every expression may ask for."""

_PRESSED = re.compile(r"\bpress(?:ing)? (?:the )?(star|hash|pound|[0-9*#])(?![0-9A-Za-z])", re.IGNORECASE)
_SPOKEN_KEYS = {"star": "*", "hash": "#", "pound": "#"}


def _no_number(_number: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the house has. None: nobody knows, so nothing is said about it. `dialable`: whether a number that is no
    extension may be dialled all the same; `routed`: whether a route leads there, as a message needs it. `deaf`: why
    words are no answer here, if they are none."""

    extensions: Collection[str] | None = None
    mailboxes: Collection[str] | None = None
    rooms: Collection[str] | None = None
    prompts: Collection[str] | None = None
    queues: Collection[str] | None = None
    trunks: Collection[str] | None = None
    dialable: Callable[[str], bool] = _no_number
    routed: Callable[[str], bool] = _no_number
    deaf: str | None = None


def check_names(
    flow: Flow, library: Library, house: Surroundings, variables: Collection[str] = ()
) -> Iterator[Problem]:
    """Everything a flow names that is not there. `variables` are known beside those that its steps give a value."""
    known = {*_variables(flow), *variables}
    for name in sorted(known & set(FACTS)):
        place = next((key for key in flow.marks if key.rpartition(".")[2] == name), "")
        mark = flow.marks.get(place, Mark(1, 1))
        yield Problem(flow.file, mark, place, f"{name} is a word of the language and cannot be a variable")
    for step in flow.steps.values():
        for key, expression in _expressions(step.verb):
            for path in expression.names:
                if message := _unknown_name(path, known):
                    yield _problem(flow, step, key, message)
        yield from _references(flow, step, library)
        yield from _things(flow, step, house)


def check_use(flow: Flow) -> Iterator[Problem]:
    """Variables of a whole flow that nothing asks for."""
    asked = {
        path[0]
        for step in flow.steps.values()
        for _, expression in _expressions(step.verb)
        for path in expression.names
    }
    for name in sorted(_variables(flow) - asked - set(FACTS)):
        yield _unused(flow, name)


def _variables(flow: Flow) -> set[str]:
    return {*flow.variables, *(one.name for one in flow.arguments), *_assigned(flow)}


def _unused(flow: Flow, name: str) -> Problem:
    """A variable that nothing asks for: most often another one misspelt."""
    places = [key for key in flow.marks if key.rpartition(".")[2] == name]
    places += [
        f"parts.{step.id}.{one.key if not one.main else step.verb.word}"
        for step in flow.steps.values()
        for one in settings_of(type(step.verb))
        if isinstance(one.kind, NameKind) and getattr(step.verb, one.field) == name
    ]
    key = places[0] if places else ""
    message = f"nothing asks for the variable {name}"
    return Problem(flow.file, flow.marks.get(key, Mark(1, 1)), key, message, Severity.WARNING)


def _problem(flow: Flow, step: Step, key: str, message: str, severity: Severity = Severity.ERROR) -> Problem:
    full = f"parts.{step.id}.{key}"
    if full not in flow.marks:  # the only one of a list that was written without brackets
        full = full.rpartition(".")[0] if key.rpartition(".")[2].isdecimal() else full
    return Problem(flow.file, flow.marks.get(full, step.mark), full, message, severity)


# ---- variables


def _assigned(flow: Flow) -> Iterator[str]:
    """The variables that some step gives a value."""
    for step in flow.steps.values():
        verb = step.verb
        for one in settings_of(type(verb)):
            name = getattr(verb, one.field) if isinstance(one.kind, NameKind) else None
            if name:
                yield name
        if isinstance(verb, Set):
            yield from verb.set
        if isinstance(verb, Http):
            yield from verb.save or ()


def _expressions(verb: Verb) -> Iterator[tuple[str, Expression]]:
    for one in fields(verb):
        if one.name not in verb.foreign:
            yield from _within(key_of(one.name), getattr(verb, one.name))


def _within(key: str, value: object) -> Iterator[tuple[str, Expression]]:
    if isinstance(value, Expression):
        yield key, value
    elif isinstance(value, Template):
        yield from ((key, expression) for expression in value.expressions)
    elif isinstance(value, PromptItem):
        yield from (*_within(key, value.play), *_within(key, value.say))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _within(key, item)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _within(f"{key}.{name}", item)


def _unknown_name(path: tuple[str, ...], known: Collection[str]) -> str | None:
    root = path[0]
    if root in FACTS:
        inside = FACTS[root]
        if inside is not None and len(path) > 1 and path[1] not in inside:
            return f"{root} has no {path[1]}{suggestion(path[1], inside)}; it has {', '.join(inside)}"
        return None
    if root in known:
        return None
    return f"there is no variable {root}{suggestion(root, [*known, *FACTS])}"


# ---- flows and schedules


def _references(flow: Flow, step: Step, library: Library) -> Iterator[Problem]:
    verb = step.verb
    if isinstance(verb, Call):
        called = library.flows.get(verb.call)
        if called is None:
            message = f"there is no flow {verb.call}{suggestion(verb.call, library.flows)}"
            yield _problem(flow, step, "call", message)
        else:
            yield from _arguments(flow, step, verb, called)
    if isinstance(verb, Hours | Override):
        name = verb.hours if isinstance(verb, Hours) else verb.override
        if library.schedule(flow, name) is None:
            message = f"there is no schedule {name}{suggestion(name, [*flow.schedules, *library.schedules])}"
            yield _problem(flow, step, verb.word, message)


def _arguments(flow: Flow, step: Step, verb: Call, called: Flow) -> Iterator[Problem]:
    taken = [argument.name for argument in called.arguments]
    given = verb.with_ or {}
    for name in given:
        if name not in taken:
            yield _problem(flow, step, f"with.{name}", f"{verb.call} takes no {name}{suggestion(name, taken)}")
    for argument in called.arguments:
        if argument.required and argument.name not in given:
            yield _problem(flow, step, "with", f"{verb.call} must be given {argument.name}")


def check_recursion(library: Library) -> Iterator[Problem]:
    """Flows that come back to themselves by `call`."""
    calls = {
        name: [(step, step.verb.call) for step in flow.steps.values() if isinstance(step.verb, Call)]
        for name, flow in library.flows.items()
    }
    for name, flow in library.flows.items():
        for step, called in calls[name]:
            if _comes_to(called, name, calls):
                yield _problem(flow, step, "call", f"{called} comes back to {name}: flows cannot call themselves")


def _comes_to(begin: str, end: str, calls: Mapping[str, list[tuple[Step, str]]]) -> bool:
    found: set[str] = set()
    waiting = [begin]
    while waiting:
        name = waiting.pop()
        if name == end:
            return True
        if name not in found:
            found.add(name)
            waiting.extend(called for _, called in calls.get(name, ()))
    return False


# ---- things of the house


def _things(flow: Flow, step: Step, house: Surroundings) -> Iterator[Problem]:
    verb = step.verb
    if isinstance(verb, Dial) and not verb.trunk:
        for number, target in enumerate(verb.dial, 1):
            yield from _number(flow, step, f"dial.{number}", target, house, house.dialable)
    if isinstance(verb, Dial):
        for number, trunk in enumerate(verb.trunk or (), 1):
            yield from _missing(flow, step, f"trunk.{number}", trunk, house.trunks, "trunk")
    if isinstance(verb, Message) and "@" not in verb.to.text:
        yield from _number(flow, step, "to", verb.to, house, house.routed)
    if isinstance(verb, Voicemail) and verb.voicemail:
        yield from _missing(flow, step, "voicemail", verb.voicemail.literal, house.mailboxes, "mailbox")
    if isinstance(verb, Enqueue):
        yield from _missing(flow, step, "enqueue", verb.enqueue.literal, house.queues, "queue")
    if isinstance(verb, Conference):
        yield from _missing(flow, step, "conference", verb.conference.literal, house.rooms, "room")
    for key, prompt in _prompts(verb):
        yield from _missing(flow, step, key, prompt.literal, house.prompts, "prompt")
    if isinstance(verb, Gather) and verb.input is not GatherInput.DIGITS and house.deaf is not None:
        yield _problem(flow, step, "input", house.deaf)
    if isinstance(verb, Menu):
        yield from _spoken_keys(flow, step, verb)


def _number(
    flow: Flow, step: Step, key: str, template: Template, house: Surroundings, leads: Callable[[str], bool]
) -> Iterator[Problem]:
    number = template.literal
    if number is not None and not leads(number.strip()):
        yield from _missing(flow, step, key, number.strip(), house.extensions, "extension")


def _missing(
    flow: Flow, step: Step, key: str, name: str | None, there: Collection[str] | None, what: str
) -> Iterator[Problem]:
    if name is not None and there is not None and name not in there:
        yield _problem(flow, step, key, f"there is no {what} {name[:40]}{suggestion(name[:40], there)}")


def _prompts(verb: Verb) -> Iterator[tuple[str, Template]]:
    """The recorded prompts a verb plays, by name."""
    for one in fields(verb):
        value = getattr(verb, one.name)
        for number, item in enumerate(value if isinstance(value, tuple) else (), 1):
            key = f"{key_of(one.name)}.{number}"
            if isinstance(item, PromptItem) and item.play:
                yield key, item.play
            elif isinstance(item, Template) and verb.word == "play":
                yield key, item


def _spoken_keys(flow: Flow, step: Step, verb: Menu) -> Iterator[Problem]:
    """A menu that offers a key in words, and does not know it."""
    for item in verb.menu:
        for said in _PRESSED.findall(item.say.literal or "" if item.say else ""):
            key = _SPOKEN_KEYS.get(said.lower(), said)
            if not any(choice.startswith(key) for choice in verb.choices):
                message = f"the caller is told to press {key}, and there is no such choice"
                yield _problem(flow, step, "menu", message, Severity.WARNING)
