"""`enqueue: 520`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from dialplan import command
from dialplan.command import Outcome, Reply
from dialplan.flow import HANGUP, NEXT, Branch, Move, Run, Verb, setting
from dialplan.kinds import CountKind, Keys, Text, Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue(Verb):
    """Put the caller into a queue, with music, until an operator answers. Where nobody does, the flow goes on with the
    next step, unless a branch says otherwise."""

    word: ClassVar[str] = "enqueue"
    answers: ClassVar[bool] = True
    waits: ClassVar[bool] = True
    goes_on: ClassVar[bool] = False
    enqueue: Text = setting("the queue's number", main=True)
    priority: Annotated[int, CountKind(0, 100)] = setting("higher ones are served first", 0)
    wait_when_empty: bool = setting("wait also while no operator is logged in, instead of on_no_agents", False)
    leave_digit: Keys | None = setting("a digit that leads out of the queue, to on_digit; the queue's own", None)
    save: Variable | None = setting("the variable that keeps what came of it: answered, timeout …", None)
    on_answered: Branch = setting("where to go when the operator has hung up and the caller is still there", HANGUP)
    on_timeout: Branch = setting("where to go when the caller has waited too long", NEXT)
    on_abandon: Branch = setting("where to go when a remote edge says that the caller has given up", HANGUP)
    on_no_agents: Branch = setting("where to go when no operator is logged in", NEXT)
    on_queue_full: Branch = setting("where to go when too many wait already", NEXT)
    on_ewt: Branch = setting("where to go when the wait to be expected is too long", NEXT)
    on_digit: Branch = setting("where to go when the caller presses the digit that leads out", NEXT)
    on_failed: Branch = setting("where to go when there is no such queue", NEXT)

    def begin(self, run: Run) -> Move:
        return command.Enqueue(
            run.text(self.enqueue).strip(),
            priority=self.priority,
            wait_when_empty=self.wait_when_empty,
            leave_digit=self.leave_digit,
        )

    def resume(self, run: Run, reply: Reply) -> Move:
        if self.save:
            run.assign(self.save, reply.outcome.value)
        return {
            Outcome.ANSWERED: self.on_answered,
            Outcome.TIMEOUT: self.on_timeout,
            Outcome.ABANDON: self.on_abandon,
            Outcome.NO_AGENTS: self.on_no_agents,
            Outcome.QUEUE_FULL: self.on_queue_full,
            Outcome.EWT: self.on_ewt,
            Outcome.DIGITS: self.on_digit,
        }.get(reply.outcome, self.on_failed)
