"""The verb enqueue by itself: what it asks for, and where each outcome leads."""

from __future__ import annotations

from dialplan import command
from tests.dialplan.calling import Caller, call, of_steps

QUEUE_TAGS = {
    "answered": "a",
    "timeout": "b",
    "abandon": "a",
    "no_agents": "b",
    "queue_full": "a",
    "ewt": "b",
    "digit": "a",
    "failed": "b",
}


def test_enqueue() -> None:
    branches = "".join(f"\n  on_{name}: {tag}" for name, tag in QUEUE_TAGS.items())
    steps = f"- enqueue: ' 520 '\n  priority: 7\n  leave_digit: '0'\n  save: came{branches}"
    asked = Caller(of_steps(steps, head="variables: {came: }")).hears("done")
    assert asked == command.Enqueue("520", priority=7, wait_when_empty=False, leave_digit="0")
    for name, tag in QUEUE_TAGS.items():
        outcome = "digits 0" if name == "digit" else name
        assert call(steps, outcome, head="variables: {came: }")[1] == f"tag {tag}", name


def test_enqueue_goes_on_where_no_branch_says_otherwise() -> None:
    steps = "- enqueue: support\n- tag: left"
    for outcome in ("timeout", "no_agents", "queue_full", "ewt", "digits 0", "failed"):
        assert call(steps, outcome)[1] == "tag left", outcome
    assert call(steps, "answered")[1] == call(steps, "abandon")[1] == "hangup normal"
