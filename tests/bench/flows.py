"""Call flows without a call: what a step of the machine costs, a state written down and taken up, a large file read."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import TypeVar

from dialplan.check import check
from dialplan.command import Reply
from dialplan.flow import Library
from dialplan.folder import read_folder
from dialplan.hours import Moment
from dialplan.load import Drafts, draft_of, drafts_of
from dialplan.machine import Machine
from dialplan.state import Facts
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs

T = TypeVar("T")
SAMPLES = Path(__file__).parent.parent.parent / "etc" / "dialplan"
STEPS = 50_000
STATES = 5_000
PARTS = 2_500  # of four steps each
NOW = 1_767_614_400.0

FIGURES = (
    Figure("flows: a step of the machine", "µs", bar=100, digits=1, remark="10,000 a second"),
    Figure("flows: a call through the IVR", "µs", digits=0, remark="nine commands"),
    Figure("flows: a state saved and restored", "µs", digits=0),
    Figure("flows: reading a flow of 10,000 steps", "s"),
    Figure("flows: reading and checking it", "s", bar=5),
)


def run(_programs: Programs, _place: Path) -> Readings:
    text = large()
    reading, draft = measured(lambda: draft_of(text, "large.yaml", "large"))
    assert draft.flow is not None
    assert len(draft.flow.steps) == 4 * PARTS
    checking, problems = measured(lambda: check(Drafts({"large": draft})))
    assert problems == []
    library = Library({"large": draft.flow})
    stepping, machine = measured(lambda: stepped(library))
    saving, _ = measured(lambda: saved(library, machine))
    calling, calls = measured(called)
    return {
        "flows: a step of the machine": stepping / STEPS * 1e6,
        "flows: a call through the IVR": calling / calls * 1e6,
        "flows: a state saved and restored": saving / STATES * 1e6,
        "flows: reading a flow of 10,000 steps": reading,
        "flows: reading and checking it": reading + checking,
    }


def measured(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of CPU, and what came of it."""
    gc.collect()
    began = process_time()
    found = work()
    return process_time() - began, found


def large() -> str:
    """A ring of menus and calculations."""
    parts = [
        f"""
  part{number}:
    - set: {{n: "${{n + 1}}"}}
    - menu: "You are at {number}, ${{caller.name}}. Press 1 to go on."
      choices: {{1: part{(number + 1) % PARTS}}}
      on_timeout: end
      on_invalid: [tag: "lost at ${{n}}", hangup]"""
        for number in range(PARTS)
    ]
    return "variables: {n: 0}\nparts:" + "".join(parts)


def stepped(library: Library) -> Machine:
    """Two steps a reply; the machine is begun anew before its limit of commands."""
    machine = Machine(library)
    count = 0
    while count < STEPS:
        if machine.ended or machine.command.word == "noop" or machine.sequence > 9000:
            machine.start("large", Facts(caller_name="Ann"), Moment(NOW), answered=True)
        machine.step(Reply.read("digit:1"), Moment(NOW))
        count += len(machine.trail)
    return machine


def saved(library: Library, machine: Machine) -> None:
    for _ in range(STATES):
        Machine.restore(library, json.loads(json.dumps(machine.state)))


def called() -> int:
    """Whole calls: the hours, nobody answers, a message."""
    library = drafts_of(read_folder(SAMPLES).texts).library
    replies = [Reply.read(outcome) for outcome in ("done", "digit:1", "done", "digit:2", "no_answer", "done", "done")]
    count = 2_000
    for _ in range(count):
        machine = Machine(library)
        machine.start("reception", Facts(), Moment(NOW))
        for reply in replies:
            machine.step(reply, Moment(NOW))
        machine.step(Reply.read("done"), Moment(NOW))
        assert machine.ended
    return count
