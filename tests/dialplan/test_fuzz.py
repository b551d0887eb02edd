"""Documents that nobody wrote: made of the language's own words, in places where they may or may not belong."""

from __future__ import annotations

import random
from typing import Any

import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from dialplan import kinds
from dialplan.check import check
from dialplan.command import Reply
from dialplan.diagram import mermaid
from dialplan.hours import Moment
from dialplan.load import drafts_of
from dialplan.machine import Machine
from dialplan.picture import svg
from dialplan.spec import Setting, settings_of
from dialplan.testing import read_cases
from dialplan.verbs import UNBUILT, VERBS
from tests.dialplan.calling import FACTS, NOW

KEYS = sorted({one.key for verb in VERBS.values() for one in settings_of(verb)} | set(VERBS) | set(UNBUILT))
WORDS = st.sampled_from(
    [
        *KEYS,
        *"a b next end hangup 1 * 12 ~ true 5s x main other mon-fri 09:00-17:00 2026-01-01 https://h/".split(" "),
        *("", "${x}", "${caller.name} ${x + 1}", "${", "x > 1", "caller.number"),
    ]
)
VALUES = st.recursive(
    WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


PLACES = st.sampled_from(["a", "b", "next", "end", "hangup"])
TEXTS = st.sampled_from(["Hello", "1001", "${x}", "${caller.name} ${x + 1}", "${default(y, 'none')}"])
FIXED: dict[type, st.SearchStrategy[Any]] = {
    kinds.TextKind: TEXTS,
    kinds.PromptKind: TEXTS | st.lists(TEXTS | st.just({"play": "welcome"}), min_size=1, max_size=2),
    kinds.ExpressionKind: st.sampled_from(["x > 1", "caller.number", "not y", "x == time.hour"]),
    kinds.UrlKind: st.just("https://h.example/${x}"),
    kinds.NameKind: st.sampled_from(["x", "y"]),
    kinds.DurationKind: st.just("60s") | st.just("2s"),
    kinds.CountKind: st.integers(1, 5),
    kinds.TruthKind: st.booleans(),
    kinds.PatternKind: st.just("[0-9]+"),
    kinds.SignsKind: st.just("#"),
    kinds.PlainKind: TEXTS | st.lists(TEXTS, max_size=2),
}
OF_KEYS: dict[str, st.SearchStrategy[Any]] = {
    "choices": st.dictionaries(st.sampled_from(["1", "2", "*"]), PLACES, min_size=1),
    "cases": st.dictionaries(TEXTS, PLACES, min_size=1, max_size=3),
    "set": st.dictionaries(st.sampled_from(["x", "y"]), TEXTS, min_size=1),
    "with": st.dictionaries(st.sampled_from(["x", "y"]), TEXTS, min_size=1),
    "headers": st.just({"x-own": "${x}"}),
    "call": st.sampled_from(["main", "other"]),
    "hours": st.just("office"),
    "override": st.just("office"),
}


@st.composite
def steps(draw: st.DrawFn, depth: int = 2) -> list[dict[str, Any]]:
    """Steps that are right, or nearly so: now and then a value is of any kind."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        verb = draw(st.sampled_from(sorted(VERBS)))
        step: dict[str, Any] = {verb: None}
        for one in settings_of(VERBS[verb]):
            if one.required or draw(st.integers(0, 3)) == 3:
                wild = draw(st.integers(0, 200)) == 117
                step[verb if one.main else one.key] = draw(VALUES if wild else value_of(one, depth))
        made.append(step)
    return made


def value_of(one: Setting, depth: int) -> st.SearchStrategy[Any]:
    """What may stand behind a key."""
    if one.key in OF_KEYS:
        return OF_KEYS[one.key]
    kind = one.kind.item if isinstance(one.kind, kinds.ListKind) else one.kind
    if isinstance(kind, kinds.ChoiceKind):
        return st.sampled_from([word.value for word in kind.words])
    if isinstance(kind, kinds.BodyKind):
        return steps(depth - 1) if depth else st.just(["answer"])
    if isinstance(kind, kinds.BranchKind):
        return PLACES | steps(depth - 1) if depth else PLACES
    if isinstance(kind, kinds.MapKind):
        return st.just({"x": "status"})
    return FIXED.get(type(kind), st.just("word"))


DOCUMENTS = st.fixed_dictionaries(
    {"parts": st.fixed_dictionaries({"a": steps(), "b": steps()})},
    optional={"variables": st.just({"x": 1, "y": "two"}), "arguments": st.just({"x": None}), "title": WORDS},
)
SCHEDULES = "schedules:\n  office: {weekly: {mon-fri: 09:00-17:00}}\n"


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_no_document_is_a_crash(document: Any) -> None:
    text = yaml.safe_dump(document)
    check(drafts_of({"main.yaml": text, "schedules.yaml": text}))
    check(drafts_of({"main.yaml": yaml.safe_dump({"parts": {"a": document}, "schedules": document})}))
    read_cases(text, "main.test.yaml")


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS, DOCUMENTS, st.integers(0, 2**32))
def test_what_check_lets_pass_runs(main: Any, other: Any, seed: int) -> None:
    """A flow that is good, or has only names that are not there, is drawn and runs whatever happens to it."""
    texts = {"main.yaml": yaml.safe_dump(main, sort_keys=False), "other.yaml": yaml.safe_dump(other, sort_keys=False)}
    found = drafts_of({**texts, "schedules.yaml": SCHEDULES})
    check(found)
    draft = found.flows["main"]
    event(f"runs: {draft.flow is not None and not any(one.problems for one in found.flows.values())}")
    if draft.flow is None or any(one.problems for one in found.flows.values()):
        return
    assert mermaid(draft.flow)
    assert svg(draft.flow)
    rng = random.Random(seed)
    machine = Machine(found.library)
    came = machine.start("main", FACTS, Moment(NOW))
    for _ in range(30):
        outcome = rng.choice(sorted(came.outcomes) or ["done"])
        machine = machine if machine.ended else Machine.restore(found.library, machine.state)
        came = machine.step(Reply.read(outcome, {"digits": rng.choice("12*"), "index": 1}), Moment(NOW))
