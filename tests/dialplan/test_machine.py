"""The machine: whatever it is told, it is in a state that has a name, and it can be written down at any moment."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialplan import command
from dialplan.command import COMMANDS, Command, CommandError, Outcome, Reply, Sound, SoundKind
from dialplan.flow import Library
from dialplan.hours import Moment, Opening, Override
from dialplan.machine import MAX_COMMANDS, MAX_SILENT_STEPS, MAX_VARIABLES, Machine
from dialplan.state import Ending, Facts, StateError
from dialplan.values import MAX_TEXT
from tests.dialplan.calling import FACTS, NOW, Caller, drafts, library, of_steps, samples

# Every verb, in ways that lead into each other; it comes to an end only when the caller or chance wants it.
EVERYTHING = """
    variables: {n: 0, pin: , take: , name: , came: }
    schedules:
      shop: {weekly: {mon-fri: 09:00-17:00}}
    parts:
      begin:
        - say: "Hello ${caller.name}, it is ${time.clock}."
        - play: [welcome]
        - menu: Press 1 to 6.
          choices: {1: pin, 2: ring, 3: record, 4: hours, 5: sub, 6: room, "*1": [tag: star]}
          on_timeout: count
          on_invalid: begin
        - goto: begin
      pin:
        - gather: PIN?
          save: pin
          pattern: "[0-9]{4}"
          on_timeout: begin
          on_invalid: hangup
        - switch: pin
          cases: {1234: record, 0000: hours}
          default: begin
      ring:
        - loop: 3
          while: came != 'busy'
          steps:
            - dial: [1001, 1002, "${pin}"]
              strategy: round_robin
              trunk: [one, two]
              save: came
              on_answered: begin
              on_declined: [voicemail: 1001]
        - goto: room
      record:
        - record: take
          review: true
        - http: https://h.example/?t=${take}
          save: {name: who.name}
          on_failed: hours
        - message: "${name} ${take}"
          to: 1001
          on_failed: begin
        - goto: hours
      hours:
        - hours: shop
          open: begin
          closed: next
          holiday: shut
        - wait: 1s
        - goto: shut
      sub:
        - call: sub
          with: {deep: "${n}"}
          save: n
        - goto: ring
      room:
        - conference: 700
          on_full: hours
        - enqueue: 520
          on_answered: begin
          on_digit: count
        - voicemail:
          action: listen
        - hangup: busy
      count:
        - set: {n: "${n + 1}"}
        - if: n > 5
          then: hangup
        - goto: begin
      shut:
        - override: shop
          to: auto
          on_failed: begin
"""
SUB = """
    arguments: {deep: }
    parts:
      begin:
        - say: "${deep}"
        - if: deep > 3
          then: [return: 0]
        - return: "${deep + 1}"
"""
ALL = library(main=EVERYTHING, sub=SUB)

OUTCOMES = st.one_of(
    st.sampled_from([str(outcome) for outcome in Outcome]),
    st.sampled_from([f"digit:{key}" for key in ("1", "2", "3", "4", "5", "6", "*1", "1234", "0000", "#", "")]),
    st.text(max_size=10),
)
DATA = st.dictionaries(
    st.sampled_from(["digits", "text", "recording", "index", "status", "body", "by", "reason"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
SCRIPTS = st.lists(st.tuples(OUTCOMES, DATA), max_size=60)


def reasonable(rng: random.Random, asked: Command) -> tuple[str, dict[str, Any]]:
    """An outcome the command may have, so that a random call gets far."""
    outcome = rng.choice(sorted(asked.outcomes)) if asked.outcomes else "done"
    digits = rng.choice(["1", "2", "3", "4", "5", "6", "*1", "1234", "0000"])
    body = {"who": {"name": "Ann"}}
    return outcome, {"digits": digits, "index": rng.randrange(5), "recording": "r", "status": 200, "body": body}


def as_json(machine: Machine) -> Any:
    """The state, by way of text."""
    return json.loads(json.dumps(machine.state))


@settings(max_examples=150, deadline=None)
@given(SCRIPTS)
def test_any_outcomes_at_all_leave_a_defined_state(script: list[tuple[str, dict[str, Any]]]) -> None:
    machine = Machine(ALL)
    came = machine.start("main", FACTS, Moment(NOW))
    for outcome, data in script:
        assert type(came) in COMMANDS.values()
        assert machine.ended is (machine.ending is not None)
        assert len(machine.trail) <= MAX_SILENT_STEPS + 1
        came = machine.step(Reply.read(outcome, data), Moment(NOW))
        assert Command.from_json(json.loads(json.dumps(came.to_json()))) == came
    assert machine.ended or (machine.position and not isinstance(machine.command, command.Hangup))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_saved_and_restored_at_each_step_it_goes_on_the_same(seed: int, night: bool) -> None:
    now = NOW + (12 * 3600 if night else 0)
    rng = random.Random(seed)
    whole, pieces = Machine(ALL), Machine(ALL)
    came = [whole.start("main", FACTS, Moment(now))]
    assert pieces.start("main", FACTS, Moment(now)) == came[0]
    for _ in range(80):
        pieces = Machine.restore(ALL, as_json(pieces))
        assert pieces.command == came[-1]
        assert as_json(pieces) == as_json(whole)
        outcome, data = reasonable(rng, came[-1])
        came.append(whole.step(Reply.read(outcome, data), Moment(now)))
        assert pieces.step(Reply.read(outcome, data), Moment(now)) == came[-1]
        assert pieces.trail == whole.trail
        if whole.ended:
            break
    assert pieces.ending == whole.ending


def test_hang_up_at_every_possible_step() -> None:
    """Random calls through every verb; from each state in them a twin hangs up, and is over at once."""
    seen = set()
    for seed in range(150):
        rng = random.Random(seed)
        machine = Machine(ALL)
        came = machine.start("main", FACTS, Moment(NOW + (seed % 2) * 43_200))
        for _ in range(60):
            twin = Machine.restore(ALL, as_json(machine))
            assert twin.step(Reply.read("hangup"), Moment(NOW)) == command.Noop()
            assert twin.ending is Ending.CALLER_LEFT
            assert twin.step(Reply.read("done"), Moment(NOW)) == command.Noop()
            seen.add((came.word, machine.position))
            outcome, data = reasonable(rng, came)
            came = machine.step(Reply.read(outcome, data), Moment(NOW + (seed % 2) * 43_200))
            if machine.ended:
                break
    positions = {position for _, position in seen}
    waiting = {
        f"{flow.name}/{step.id}"
        for flow in ALL.flows.values()
        for step in flow.steps.values()
        if step.verb.waits or step.verb.word in ("message", "tag", "override")
    }
    assert waiting - positions == set(), "every step that asks something of the world was hung up at"
    assert {word for word, _ in seen} == set(COMMANDS) - {"noop", "hangup"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_the_samples_end_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    flows = samples().library
    for name in flows.flows:
        machine = Machine(flows)
        machine.start(name, FACTS, Moment(NOW))
        for _ in range(3000):
            if machine.ended:
                break
            outcome, data = reasonable(rng, machine.command)
            machine.step(Reply.read(outcome, data), Moment(NOW))
        assert machine.ending in (Ending.COMPLETED, Ending.HUNG_UP, Ending.FAILED)


# ---- endings


def test_a_flow_that_never_asks_the_world_is_cut() -> None:
    endless = drafts(main="parts:\n  a:\n    - set: {n: 1}\n    - goto: a\n").library
    machine = Machine(endless)
    assert machine.start("main", FACTS, Moment(NOW)) == command.Hangup(command.Cause.ERROR)
    assert machine.ending is Ending.RUNAWAY
    assert len(machine.trail) == MAX_SILENT_STEPS + 1


def test_a_flow_that_asks_for_ever_is_cut() -> None:
    endless = drafts(main="parts:\n  a:\n    - tag: x\n    - goto: a\n").library
    machine = Machine(endless)
    machine.start("main", FACTS, Moment(NOW))
    for count in range(MAX_COMMANDS):
        assert not machine.ended, count
        machine.step(Reply.read("done"), Moment(NOW))
    assert machine.ending is Ending.EXHAUSTED
    assert machine.command == command.Hangup(command.Cause.ERROR)


def test_flows_that_call_each_other_without_end_are_cut() -> None:
    flows = drafts(one="parts:\n  a:\n    - call: two\n", two="parts:\n  a:\n    - call: one\n").library
    machine = Machine(flows)
    assert machine.start("one", FACTS, Moment(NOW)) == command.Hangup(command.Cause.ERROR)
    assert machine.ending is Ending.TOO_DEEP
    missing = Machine(drafts(one="parts:\n  a:\n    - call: none\n").library)
    missing.start("one", FACTS, Moment(NOW))
    assert missing.ending is Ending.FAILED


def test_the_end_of_the_last_part_hangs_up() -> None:
    caller = Caller(of_steps("- tag: x"))
    assert caller.hears("done") == command.Hangup(command.Cause.NORMAL)
    assert caller.machine.ending is Ending.COMPLETED


def test_an_unknown_flow_is_the_mistake_of_who_asks() -> None:
    with pytest.raises(KeyError):
        Machine(Library()).start("none", FACTS, Moment(NOW))
    assert Machine(Library()).step(Reply.read("done"), Moment(NOW)) == command.Noop()
    assert Machine(Library()).position == ""


def test_a_flow_that_computes_and_computes_is_cut_in_time() -> None:
    heavy = " ".join(["${replace(t, 'x', 'yx')}"] * 100)
    steps = f"- loop: 100\n  steps:\n    - set: {{t: \"{heavy}\", m: \"${{matches(t, '(x*y*)*z')}}\"}}\n- tag: '${{m}}'"
    machine = Machine(of_steps(steps, "variables: {t: x, m: }"))
    began = time.process_time()
    assert machine.start("main", FACTS, Moment(NOW)) == command.Hangup(command.Cause.ERROR)
    assert machine.ending is Ending.RUNAWAY
    assert len(machine.trail) < 100
    assert time.process_time() - began < 1


def test_nested_bounded_loops_cannot_hold_the_machine() -> None:
    steps = "- loop: 100\n  steps:\n    - loop: 100\n      steps:\n        - set: {n: '${n + 1}'}\n- tag: done"
    machine = Machine(of_steps(steps, "variables: {n: 0}"))
    machine.start("main", FACTS, Moment(NOW))
    assert machine.ending is Ending.RUNAWAY


# ---- replies


@pytest.mark.parametrize(
    ("outcome", "data", "reply"),
    [
        ("digit:1", {}, Reply(Outcome.DIGITS, {"digits": "1"})),
        ("digits:12#", {"terminator": "#"}, Reply(Outcome.DIGITS, {"digits": "12#", "terminator": "#"})),
        ("timeout", None, Reply(Outcome.TIMEOUT, {})),
        ("digit:" + "1" * 100, {}, Reply(Outcome.DIGITS, {"digits": "1" * 64})),
        ("what", {"a": 1}, Reply(Outcome.ERROR, {"reason": "there is no outcome what"})),
        ("done", {"x": object()}, Reply(Outcome.DONE, {"x": None})),
        ("done", {"x": [1] * 5000}, Reply(Outcome.DONE, {"x": [1] * 998})),
        ("next", {}, Reply(Outcome.DONE, {})),
    ],
)
def test_what_the_edge_says_is_read(outcome: str, data: dict[str, Any] | None, reply: Reply) -> None:
    assert Reply.read(outcome, data) == reply


def test_a_step_that_is_repeated_changes_nothing() -> None:
    caller = Caller(of_steps("- tag: one\n- tag: two\n- tag: three"))
    machine = caller.machine
    first = machine.sequence
    two = machine.step(Reply.read("done"), Moment(NOW), sequence=first)
    assert two == command.Tag("two")
    assert machine.step(Reply.read("done"), Moment(NOW), sequence=first) == two
    assert machine.sequence == first + 1
    assert machine.step(Reply.read("done"), Moment(NOW), sequence=first + 1) == command.Tag("three")


def test_the_trail_tells_every_step() -> None:
    caller = Caller(of_steps("- set: {n: 1}\n- if: n == 1\n  then: [tag: yes]\n- tag: after", "variables: {n: 0}"))
    assert caller.machine.trail == ["main/begin.1", "main/begin.2", "main/begin.2.then.1"]
    assert caller.machine.position == "main/begin.2.then.1"
    caller.hears("done")
    assert caller.machine.trail == ["main/begin.3"]


def test_what_is_known_of_the_call() -> None:
    text = "- tag: '${caller.number}|${caller.name}|${called.number}|${call.id}|${account.name}|${headers.subject}'"
    assert Caller(of_steps(text)).last == command.Tag("1002|Ann Example|500|call-1|house|hello")
    text = "- tag: '${time.year}-${time.month}-${time.day} ${time.weekday} ${time.clock} ${time.date} ${time.hour}'"
    assert Caller(of_steps(text, "timezone: Asia/Tokyo")).last == command.Tag("2026-1-5 mon 21:00 2026-01-05 21")


def test_variables_are_given_bounded_and_private() -> None:
    more: dict[str, Any] = {f"x{number}": number for number in range(999)}
    caller = Caller(of_steps("- tag: '${order}'", "variables: {order: none}"), **more, order="12")
    assert caller.last == command.Tag("12")
    assert len(caller.machine.variables) == MAX_VARIABLES
    again = Caller(of_steps("- set: {list: [1]}\n- tag: x", "variables: {list: []}"))
    again.machine.variables["list"] = "changed"  # type: ignore[index]
    assert again.machine.variables == {"list": [1]}


def test_variables_that_feed_on_themselves_stay_small() -> None:
    lists = ", ".join(["'${a}'"] * 50)
    steps = (
        f"- loop: 100\n  steps:\n    - set: {{a: [{lists}], n: '${{n * n + 2}}', t: '${{t}}${{t}}x'}}\n- tag: '${{n}}'"
    )
    caller = Caller(of_steps(steps, "variables: {a: x, n: 2, t: x}"))
    assert caller.machine.variables["n"] is None
    assert len(str(caller.machine.variables["t"])) == MAX_TEXT
    assert len(json.dumps(caller.machine.state)) < 200_000


def test_an_override_is_asked_for_at_each_step() -> None:
    text = "schedules:\n  shop: {weekly: {mon: 09:00-17:00}}\n"
    steps = "- wait: 1s\n- hours: shop\n  open: a\n  closed: b"
    machine = Machine(of_steps(steps, text))
    machine.start("main", FACTS, Moment(NOW))
    overridden = Moment(NOW, {"shop": Override(Opening.CLOSED)})
    assert machine.step(Reply.read("done"), overridden) == command.Tag("b")


def test_a_call_that_is_answered_already_is_not_answered_again() -> None:
    machine = Machine(of_steps("- say: Hello"))
    assert machine.start("main", FACTS, Moment(NOW), answered=True).word == "say"


# ---- states


def test_a_state_of_other_flows_is_refused() -> None:
    machine = Machine(of_steps("- tag: one"))
    machine.start("main", FACTS, Moment(NOW))
    with pytest.raises(StateError, match="another version of the flow main"):
        Machine.restore(of_steps("- tag: two"), machine.state)
    with pytest.raises(StateError, match="another version of the flow main"):
        Machine.restore(Library(), machine.state)


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 2},
        {"frames": None},
        {"frames": [{}]},
        {"frames": [{"flow": 1, "digest": "", "step": "", "variables": {}}]},
        {"frames": [{"flow": "", "digest": "", "step": "", "variables": []}]},
        {"facts": {"who": 1}},
        {"sequence": "x"},
        {"ending": "somehow"},
        {"command": {"command": "explode"}},
        {"command": {"command": "tag"}},
        {"command": {"command": "tag", "name": 5}},
        {"command": {"command": "tag", "name": "x", "more": 1}},
        {"command": {"command": "hangup", "cause": "why"}},
        {"command": {"command": "play", "sounds": [5]}},
        {"command": []},
    ],
)
def test_a_damaged_state_is_refused(damage: dict[str, Any]) -> None:
    machine = Machine(of_steps("- tag: one"))
    machine.start("main", FACTS, Moment(NOW))
    with pytest.raises(StateError):
        Machine.restore(of_steps("- tag: one"), {**machine.state, **damage})


def test_every_command_survives_json() -> None:
    sound = Sound(SoundKind.TEXT, "x", "en", "joe", command.SpokenAs.DATE)
    every = [
        command.Answer(),
        command.Play((sound,), early=True),
        command.Say(sound),
        command.Gather((sound,), 4, 2, "*", 1.0, 2.0, False, command.GatherInput.BOTH, ("a", "b")),
        command.Dial((command.Target("1", "t"),), 5.0, "a", "b", (sound,), (sound,), command.Ringback.MUSIC, False),
        command.Rotate("k", 3),
        command.Record((sound,), 60.0, 3.0, "#", False),
        command.Conference("700", True, True),
        command.Enqueue("520", 3, True, "0"),
        command.Voicemail(None, command.MailboxAction.LISTEN, command.Greeting.NONE),
        command.Wait(2.0),
        command.Http("https://x", "POST", {"a": "b"}, {"list": [1, None, {"x": True}]}, 1.0, 100),
        command.Message(command.MessageVia.MAIL, "a@b", "text", "subject"),
        command.Tag("x"),
        command.SetHours("office", "open", 5.0),
        command.Hangup(command.Cause.BUSY),
        command.Noop(),
    ]
    assert {one.word for one in every} == set(COMMANDS)
    for one in every:
        assert Command.from_json(json.loads(json.dumps(one.to_json()))) == one
    with pytest.raises(CommandError):
        Command.from_json("play")


def test_the_edge_knows_its_commands() -> None:
    assert set(COMMANDS) >= {"play", "gather", "dial", "enqueue", "record", "conference", "hangup", "noop"}
    assert Facts().scope()["caller"] == {"number": "", "name": ""}
