"""Calls for the tests: a flow written in a few lines, and a caller with a script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from dialplan.check import check, errors
from dialplan.command import Command, Outcome, Reply, Rotate
from dialplan.flow import Library
from dialplan.folder import read_folder
from dialplan.hours import Moment
from dialplan.load import Drafts, drafts_of
from dialplan.machine import Machine
from dialplan.simulate import ASKING, brief, read_reply
from dialplan.state import Facts

PROJECT = Path(__file__).parent.parent.parent
SAMPLES = PROJECT / "etc" / "dialplan"
NOW = 1_767_614_400.0  # Monday 2026-01-05, 12:00 UTC
FACTS = Facts("call-1", "1002", "Ann Example", "500", "house", {"subject": "hello"})
Script = Iterable[str | Mapping[str, Any]]


def drafts(**texts: str) -> Drafts:
    """Flows by name, each a whole file."""
    return drafts_of({f"{name.replace('_', '-')}.yaml": dedent(text) for name, text in texts.items()})


def library(**texts: str) -> Library:
    """Flows that are good in every way, or the reasons why not as an assertion."""
    found = drafts(**texts)
    if wrong := errors(check(found)):
        raise AssertionError("\n".join(map(str, wrong)))
    return found.library


def of_steps(steps: str, head: str = "") -> Library:
    """A flow `main` of one part `begin`, and parts `a` and `b` where a branch names them."""
    begin = indent(dedent(steps).strip(), "    ")
    named = [part for part in ("a", "b") if re.search(rf"(?<!tag): {part}\s*([,}}\n]|$)", steps)]
    more = "".join(f"  {part}:\n    - tag: {part}\n" for part in named)
    return library(main=f"{dedent(head)}\nparts:\n  begin:\n{begin}\n{more}")


def samples() -> Drafts:
    return drafts_of(read_folder(SAMPLES).texts)


class Caller:
    """Somebody in a flow. `commands` are all there were, `tags` the words put on the record."""

    def __init__(self, flows: Library, flow: str = "main", now: float = NOW, **given: Any) -> None:
        self.now = now
        self.machine = Machine(flows)
        self.commands: list[Command] = [self.machine.start(flow, FACTS, Moment(now), given)]

    @property
    def last(self) -> Command:
        return self.commands[-1]

    def hears(self, outcome: str, **data: Any) -> Command:
        """One reply."""
        self.commands.append(self.machine.step(Reply.read(outcome, data), Moment(self.now)))
        return self.last

    def plays(self, script: Script = ()) -> list[str]:
        """Reply to what asks, by the script, until it ends; then hang up. Gives the commands in brief."""
        lines = list(script)
        while not self.machine.ended:
            if self.last.word in ASKING or (lines and str(lines[0]).split(" ")[0] == self.last.word):
                reply = read_reply(lines.pop(0), self.last) if lines else Reply(Outcome.HANGUP, {})
            else:
                reply = Reply(Outcome.DONE, {"index": 0} if isinstance(self.last, Rotate) else {})
            self.commands.append(self.machine.step(reply, Moment(self.now)))
        assert not lines, f"nobody asked for {lines}"
        return self.briefs

    @property
    def briefs(self) -> list[str]:
        return [brief(command) for command in self.commands if command.word not in ("noop", "answer")]


def call(steps: str, *script: str | Mapping[str, Any], head: str = "", **given: Any) -> list[str]:
    """The commands of a call through `steps`, in brief, without answer and noop."""
    return Caller(of_steps(steps, head), **given).plays(script)
