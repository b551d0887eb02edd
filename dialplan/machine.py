"""The machine that runs a flow: what happened goes in, the next command comes out.

    machine = Machine(library)
    command = machine.start("reception", facts, Moment(now))
    while not machine.ended:
        command = machine.step(reply, Moment(now))

It holds no clock, no socket and no thread. Its state is JSON: the same machine drives a live call, a remote edge, the
simulator and the tests. Whatever it is told, it gives a command: a flow that goes in circles without a command for the
world is cut after MAX_SILENT_STEPS, one that sends commands for ever after MAX_COMMANDS, and both endings have names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from dialplan.command import Answer, Cause, Command, Hangup, Noop, Outcome, Reply, Sound, SoundKind
from dialplan.expr import Expression
from dialplan.flow import END_OF_FLOW, HANG_UP, NEXT, NEXT_STEP, Branch, Enter, Flow, Leave, Library, Move, Prompt, Step
from dialplan.hours import DAYS, Moment, Opening, local_time
from dialplan.kinds import Plain
from dialplan.state import MAX_DEPTH, Ending, Facts, Frame, State, StateError
from dialplan.template import Template
from dialplan.values import Value, sound_value

MAX_SILENT_STEPS = 1000
MAX_COMMANDS = 10_000
MAX_VARIABLES = 200
MAX_WORK = 5000
"""What the expressions of one step may weigh together: the machine answers within a blink, whatever a flow computes."""


class _TooMuch(Exception):
    """The flow computes and computes."""


class Machine:
    """One call in one flow. `trail` are the steps that the last `start` or `step` went through, as `flow/step`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._state = State(Facts())
        self._moment = Moment(0.0)
        self._work = 0
        self.trail: list[str] = []

    @classmethod
    def restore(cls, library: Library, state: Mapping[str, Any]) -> Machine:
        """Take up what `state` of another machine gave, with flows of the same digests. Raises StateError."""
        machine = cls(library)
        machine._state = State.from_json(state)
        for frame in machine._state.frames:
            flow = library.flows.get(frame.flow)
            if flow is None or flow.digest != frame.digest or frame.step not in flow.steps:
                raise StateError(f"the saved state belongs to another version of the flow {frame.flow}")
        return machine

    @property
    def state(self) -> dict[str, Any]:
        """Everything, as JSON; a copy."""
        return copy.deepcopy(self._state.to_json())

    @property
    def ending(self) -> Ending | None:
        """How it ended, or None while it has not."""
        return self._state.ending

    @property
    def ended(self) -> bool:
        return self._state.ending is not None

    @property
    def command(self) -> Command:
        """The command that is out."""
        return self._state.command or Noop()

    @property
    def sequence(self) -> int:
        """The number of the command that is out, from 1 on: who repeats a step tells it by this."""
        return self._state.sequence

    @property
    def position(self) -> str:
        """`flow/step`, where it is; empty before the start."""
        return f"{self._frame.flow}/{self._frame.step}" if self._state.frames else ""

    @property
    def variables(self) -> Mapping[str, Value]:
        """Those of the flow that runs."""
        return dict(self._frame.variables) if self._state.frames else {}

    # ---- in, and out

    def start(
        self,
        flow: str,
        facts: Facts,
        moment: Moment,
        variables: Mapping[str, object] | None = None,
        *,
        answered: bool = False,
    ) -> Command:
        """Begin. `variables` are given to the flow as its arguments and variables. Raises KeyError for an unknown
        flow."""
        self._state = State(facts, answered=answered)
        self._moment = moment
        self.trail, self._work = [], 0
        given = {name: sound_value(value) for name, value in (variables or {}).items()}
        self._state.frames.append(_frame(self._library.flows[flow], given, None))
        return self._guarded(self._arrive)

    def step(self, reply: Reply, moment: Moment, sequence: int | None = None) -> Command:
        """What came of the last command. Once ended, every answer is a noop. Who says by `sequence` of which command
        it speaks may say it again: what is not of the command that is out changes nothing; that command is given."""
        self._moment = moment
        self.trail, self._work = [], 0
        if sequence is not None and sequence != self._state.sequence:
            return self.command
        if self.ended or self._state.command is None:
            return Noop()
        if reply.outcome is Outcome.HANGUP:
            return self._end(Ending.CALLER_LEFT, Noop())
        command = self._state.command
        if reply.outcome not in command.outcomes:
            reply = Reply(Outcome.FAILED, {"reason": f"{command.word} cannot end with {reply.outcome}", **reply.data})
        if reply.outcome is Outcome.ANSWERED:
            self._state.answered = True
        if not self._state.answering:
            return self._guarded(lambda: self._verb_step.verb.resume(self, reply))
        self._state.answering = False
        if reply.outcome is not Outcome.DONE:
            return self._end(Ending.FAILED, Hangup(Cause.ERROR))
        self._state.answered = True
        return self._guarded(lambda: self._verb_step.verb.begin(self))

    def _guarded(self, begin: Callable[[], Move]) -> Command:
        try:
            return self._run(begin())
        except _TooMuch:
            return self._end(Ending.RUNAWAY, Hangup(Cause.ERROR))

    def _run(self, move: Move) -> Command:
        """Go on until there is a command for the world."""
        for _ in range(MAX_SILENT_STEPS):
            if isinstance(move, Command):
                return self._out(move)
            if isinstance(move, Enter):
                move = self._enter(move)
            elif isinstance(move, Leave):
                move = self._leave(move.value)
            else:
                move = self._go(move)
        return self._end(Ending.RUNAWAY, Hangup(Cause.ERROR))

    def _out(self, command: Command) -> Command:
        if isinstance(command, Hangup):
            return self._end(self._state.ending or Ending.HUNG_UP, command)
        if self._state.sequence >= MAX_COMMANDS:
            return self._end(Ending.EXHAUSTED, Hangup(Cause.ERROR))
        self._state.sequence += 1
        self._state.command = command
        return command

    def _end(self, ending: Ending, command: Command) -> Command:
        self._state.ending = ending
        self._state.sequence += 1
        self._state.command = command
        return command

    # ---- from step to step

    @property
    def _frame(self) -> Frame:
        return self._state.frames[-1]

    @property
    def _flow(self) -> Flow:
        return self._library.flows[self._frame.flow]

    @property
    def _verb_step(self) -> Step:
        return self._flow.steps[self._frame.step]

    def _go(self, branch: Branch) -> Move:
        to: str | None = branch.to
        if to == NEXT_STEP:
            to = self._verb_step.after
        if to == HANG_UP:
            return Hangup(Cause.NORMAL)
        if to is None or to == END_OF_FLOW:
            return Leave(None)
        frame = self._frame
        frame.step = to
        frame.rounds = {loop: count for loop, count in frame.rounds.items() if to == loop or to.startswith(loop + ".")}
        return self._arrive()

    def _arrive(self) -> Move:
        """Come to the step where the frame is; a call that must be answered for it is answered first."""
        self._frame.memory = {}
        self.trail.append(self.position)
        verb = self._verb_step.verb
        if verb.answers and not verb.early and not self._state.answered:
            self._state.answering = True
            return Answer()
        return verb.begin(self)

    def _enter(self, move: Enter) -> Move:
        flow = self._library.flows.get(move.flow)
        if flow is None or len(self._state.frames) >= MAX_DEPTH:
            self._state.ending = Ending.TOO_DEEP if flow else Ending.FAILED
            return Hangup(Cause.ERROR)
        self._state.frames.append(_frame(flow, move.arguments, move.save))
        return self._arrive()

    def _leave(self, value: Value) -> Move:
        if len(self._state.frames) == 1:
            self._state.ending = Ending.COMPLETED
            return Hangup(Cause.NORMAL)
        save = self._state.frames.pop().save
        if save:
            self.assign(save, value)
        return NEXT

    # ---- what a verb may ask (flow.Run)

    @property
    def memory(self) -> dict[str, Any]:
        return self._frame.memory

    @property
    def now(self) -> float:
        return self._moment.now

    @property
    def step_id(self) -> str:
        return self.position

    def text(self, template: Template) -> str:
        return template.fill(self._weighed(template))

    def url(self, template: Template) -> str:
        return template.fill(self._weighed(template), lambda text: quote(text, safe=""))

    def value(self, expression: Expression) -> Value:
        return expression.of(self._weighed(expression))

    def filled(self, plain: Plain) -> Value:
        return sound_value(self._filled(plain))

    def _filled(self, plain: Plain) -> Value:
        if isinstance(plain, Template):
            return plain.value(self._weighed(plain))
        if isinstance(plain, Mapping):
            return {key: self._filled(inner) for key, inner in plain.items()}
        return [self._filled(inner) for inner in plain] if isinstance(plain, list) else plain

    def assign(self, name: str, value: Value) -> None:
        variables = self._frame.variables
        if name in variables or len(variables) < MAX_VARIABLES:
            variables[name] = sound_value(value)

    def sounds(self, prompt: Prompt) -> tuple[Sound, ...]:
        flow = self._flow
        return tuple(
            Sound(
                SoundKind.PROMPT if item.play else SoundKind.TEXT,
                self.text(item.play or item.say or _EMPTY),
                item.language or flow.language,
                item.voice or flow.voice,
                item.spoken_as,
            )
            for item in prompt
        )

    def opening(self, schedule: str) -> Opening:
        """A schedule that is not there is open: a call is better answered than turned away by a misspelt word."""
        found = self._library.schedule(self._flow, schedule)
        return found.at(self._moment) if found else Opening.OPEN

    def round(self) -> int:
        rounds = self._frame.rounds
        rounds[self._frame.step] = rounds.get(self._frame.step, 0) + 1
        return rounds[self._frame.step]

    def forget_rounds(self) -> None:
        self._frame.rounds.pop(self._frame.step, None)

    def _weighed(self, what: Template | Expression) -> Mapping[str, Value]:
        """What names mean to `what`, when there is strength left to compute it."""
        self._work += what.weight
        if self._work > MAX_WORK:
            raise _TooMuch
        return self._scope() if what.weight else {}

    def _scope(self) -> Mapping[str, Value]:
        return {**self._frame.variables, **self._state.facts.scope(), "time": self._time()}

    def _time(self) -> Value:
        local = local_time(self._moment.now, self._flow.timezone)
        return {
            "year": local.year,
            "month": local.month,
            "day": local.day,
            "hour": local.hour,
            "minute": local.minute,
            "weekday": DAYS[local.weekday()],
            "date": f"{local:%Y-%m-%d}",
            "clock": f"{local:%H:%M}",
        }


_EMPTY = Template("", ())


def _frame(flow: Flow, given: Mapping[str, Value], save: str | None) -> Frame:
    defaults = {argument.name: argument.default for argument in flow.arguments}
    variables = copy.deepcopy({**flow.variables, **defaults, **given})
    return Frame(flow.name, flow.digest, flow.first, dict(list(variables.items())[:MAX_VARIABLES]), save)
