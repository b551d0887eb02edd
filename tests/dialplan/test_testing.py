"""Tests of flows fail when they should, and say why."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from dialplan.command import Dial, Gather, Http, Outcome, Reply, Target
from dialplan.simulate import ReplyError, Simulation, describe, read_reply
from dialplan.testing import Result, parse_moment, read_cases, run_case
from tests.dialplan.calling import FACTS, NOW, library

FLOW = """
    variables: {x: none}
    parts:
      begin:
        - say: Welcome.
        - gather: Number?
          save: x
          on_timeout: end
          on_invalid: end
        - call: sub
        - http: https://h.example/
          save: {x: name}
          on_failed: other
        - dial: 1001
      other:
        - tag: "${x}"
"""
SUB = "parts:\n  inside:\n    - say: In between.\n"


def result(case: str) -> Result:
    flows = library(main=FLOW, sub=SUB)
    cases, wrong = read_cases(f"tests:\n  - test: one\n{indented(case)}", "main.test.yaml")
    assert [str(problem) for problem in wrong] == []
    ((one, mark),) = cases
    return run_case(flows, flows.flows["main"], one, "main.test.yaml", mark)


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in dedent(text).strip().splitlines())


def test_a_test_that_passes() -> None:
    came = result("""
        caller: 1003
        at: 2026-03-01 10:00
        replies:
          - digits 12
          - http: {status: 200, body: {name: Ann}}
          - dial busy
        path: [begin, sub/inside, begin]
        commands: [answer, say, gather, say, http, dial 1001, hangup]
        hears: [Welcome, Number, In between]
        variables: {x: Ann}
        ends: completed
    """)
    assert came.wrong == ()
    assert came.passed
    assert "sub/inside.1" in came.steps


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("path: [begin, other]", "the path is begin, not begin → other"),
        ("commands: [answer, gather]", "the commands are answer → say → gather, not answer → gather"),
        ("commands: [answer, say, gather, dial]", "the commands are answer → say → gather, not"),
        ("hears: [Goodbye]", "nobody hears “Goodbye”; they hear “ Welcome. Number?”"),
        ("hears: [Number, Welcome]", "nobody hears “Welcome” there"),
        ("ends: completed", "it ends as caller_left, not completed"),
        ("variables: {x: 5}", "x is 'none', not 5"),
        ("replies: [busy]", "busy cannot come of gather: digits, error, failed, hangup, invalid, speech, timeout"),
        ("replies: [digits 1, failed, 5]", "1 of the replies were not asked for: 5"),
        ("replies: [[a]]", None),
        ("at: tomorrow", "tomorrow is not a moment like 2026-11-23 10:00"),
        ("replies: [{digits: 1, x: 2}]", "a reply with data is one outcome and its data"),
    ],
)
def test_a_test_that_fails_says_why(case: str, said: str | None) -> None:
    if said is None:
        _, wrong = read_cases(f"tests:\n  - test: one\n    {case}\n", "f")
        assert [problem.message for problem in wrong] == ["must be a reply such as `digits 1` or `busy`, not a list"]
        return
    came = result(case)
    assert not came.passed
    assert any(said in one for one in came.wrong), came.wrong


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f:1:1: the file is empty"),
        ("- x", "f:1:1: the file must be a mapping (key: value), not a list"),
        ("tests: []", "f:1:8: tests: is an empty list"),
        ("tests:\n  - caller: 1\n", "f:2:5: tests.1.test: is missing: what it proves, in words"),
        ("tests:\n  - test: x\n    reply: 1\n", "f:3:5: tests.1.reply: unknown key (did you mean replies?)"),
        ("tests:\n  - test: x\n    ends: badly\n", "f:3:11: tests.1.ends: must be one of completed"),
        ("tests: [", "not YAML"),
    ],
)
def test_a_bad_file_of_tests_is_told(text: str, said: str) -> None:
    cases, wrong = read_cases(text, "f")
    assert cases == []
    assert said in str(wrong[0])


def test_a_test_that_never_ends_is_cut() -> None:
    flows = library(
        main="parts:\n  a:\n    - menu: x\n      choices: {1: a}\n      on_timeout: end\n      on_invalid: end\n"
    )
    cases, _ = read_cases(f"tests:\n  - test: x\n    replies: [{', '.join(['digits 1'] * 900)}]\n", "f")
    ((case, mark),) = cases
    assert run_case(flows, flows.flows["main"], case, "f", mark).wrong == ("the test takes more than 500 commands",)


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-01-05 12:00", "UTC", NOW),
        ("2026-01-05 13:00", "Europe/Berlin", NOW),
        ("2026-01-05T12:00:00+00:00", "Asia/Tokyo", NOW),
        ("2026-01-05", "UTC", NOW - 12 * 3600),
    ],
)
def test_moments(text: str, zone: str, moment: float) -> None:
    assert parse_moment(text, zone) == moment


# ---- what is typed in `pbxd flow run`

GATHER = Gather((), max_digits=4)
DIAL = Dial((Target("1001"),), 20.0)
HTTP = Http("https://h.example")


@pytest.mark.parametrize(
    ("line", "asked", "reply"),
    [
        ("1", GATHER, Reply(Outcome.DIGITS, {"digits": "1"})),
        ("12#", GATHER, Reply(Outcome.DIGITS, {"digits": "12#"})),
        ("digits 1", GATHER, Reply(Outcome.DIGITS, {"digits": "1"})),
        ("speech good morning", GATHER, Reply(Outcome.SPEECH, {"text": "good morning"})),
        ("", GATHER, Reply(Outcome.TIMEOUT, {})),
        ("gather", GATHER, Reply(Outcome.TIMEOUT, {})),
        ("", HTTP, Reply(Outcome.DONE, {})),
        ("busy", DIAL, Reply(Outcome.BUSY, {})),
        ("dial answered 1002", DIAL, Reply(Outcome.ANSWERED, {"by": "1002"})),
        ("hangup", DIAL, Reply(Outcome.HANGUP, {})),
        ('done {"status": 200}', HTTP, Reply(Outcome.DONE, {"status": 200})),
        ({"http": {"body": [1]}}, HTTP, Reply(Outcome.DONE, {"body": [1]})),
        ({"failed": "no"}, HTTP, Reply(Outcome.FAILED, {"reason": "no"})),
    ],
)
def test_replies_are_read(line: Any, asked: Any, reply: Reply) -> None:
    assert read_reply(line, asked) == reply


@pytest.mark.parametrize(
    ("line", "asked", "said"),
    [
        ("1", DIAL, "1 cannot come of dial"),
        ("busy now", DIAL, "nothing stands behind busy"),
        ("done {", HTTP, "this is not JSON"),
        ("what", GATHER, "what cannot come of gather"),
    ],
)
def test_replies_that_are_none(line: str, asked: Any, said: str) -> None:
    with pytest.raises(ReplyError, match=said):
        read_reply(line, asked)


def test_commands_are_described() -> None:
    flows = library(main=FLOW, sub=SUB)
    simulation = Simulation(flows, "main", FACTS, NOW)
    lines = [describe(simulation.command)]
    for reply in ("", "", "12", "", "failed", ""):
        simulation.reply(read_reply(reply or "done", simulation.command))
        lines.append(describe(simulation.command))
    assert lines == [
        "answer",
        "say “Welcome.”",
        "gather up to 20 digits “Number?”",
        "say “In between.”",
        "http GET https://h.example/",
        "tag 12",
        "hangup normal",
    ]


def test_a_wait_moves_the_clock() -> None:
    flows = library(main="parts:\n  a:\n    - wait: 2m\n    - tag: '${time.clock}'\n")
    simulation = Simulation(flows, "main", FACTS, NOW)
    assert describe(simulation.go_on()) == "tag 12:02"
