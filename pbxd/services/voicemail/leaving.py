"""Leaving a message: greeting, beep, what the caller says, and a last look at it.

GREETING ──beep──> RECORDING ──digit, silence, length, disk──> REVIEW ──1, nothing──> delivered
   │ hung up           │ hung up                                 │ hung up: delivered, too
   └──> nothing        └──> delivered, if more than silence was said
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from media.script import BREATH, Line, Pause, Prompt, Recorded, Signal
from media.tones import Tone
from pbxd.calls.stage import Stage
from pbxd.services.voicemail.archive import Box
from pbxd.services.voicemail.dictation import Dictation, Limits, Stop, Taken
from pbxd.services.voicemail.menu import Menu
from pbxd.services.voicemail.post import Post
from pbxd.services.voicemail.rules import Left, Message, Origin, Reason

LEAST_LEFT_S = 3.0  # room in a mailbox below which it is as good as full

Done = Callable[[Left, float], None]


class Step(Enum):
    GREETING = auto()
    RECORDING = auto()
    REVIEW = auto()
    OVER = auto()


class Leaving:
    """The act of a caller who leaves a message in `box`. `done` is told how it ended while the caller is still there;
    what to do then is its business."""

    def __init__(self, post: Post, box: Box, reason: Reason | None, done: Done) -> None:
        self._post = post
        self._box = box
        self._reason = reason
        self._done = done
        self._step = Step.GREETING
        self._gone = False
        self._message: Message | None = None
        self._dictation: Dictation | None = None
        self._taken: Taken | None = None

    # ---- Act

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        self._menu = Menu(stage, self._keep)
        stage.answer(now)
        if self._box.full:
            self._end(Left.FULL, Prompt("vm-full"))
        else:
            greeting = self._post.greeting(self._box, self._reason) if self._reason is not None else ()
            stage.play((BREATH, *greeting, *_BEEP), self._record)

    def digit(self, digit: str, now: float) -> None:
        if self._step is Step.GREETING and digit == "#" and not self._box.full:
            self._stage.play(_BEEP, self._record)
        elif self._step is Step.RECORDING and self._dictation is not None:
            self._dictation.stop(Stop.DIGIT)
        elif self._step is Step.REVIEW:
            self._menu.press(digit, now)

    def talking(self, talks: bool) -> None:
        if self._step is Step.RECORDING and self._dictation is not None:
            self._dictation.talking(talks)

    def leave(self, now: float) -> None:
        if self._gone:
            return
        self._gone = True
        self._menu.close()
        if self._dictation is not None:
            self._dictation.stop(Stop.GONE)
        elif self._step is Step.REVIEW:
            self._deliver()
        elif self._step is Step.GREETING:
            self._post.left[Left.NOTHING] += 1
        self._step = Step.OVER

    # ---- recording

    def _record(self, _whole: bool, _now: float) -> None:
        post, stage = self._post, self._stage
        self._step = Step.RECORDING
        self._message = post.archive.begin(self._box, Origin.of(stage.record), post.wall())
        room_s = self._box.rules.max_seconds - sum(one.seconds or 0.0 for one in self._box.messages.values())
        limits = Limits(max(LEAST_LEFT_S, min(post.rules.message_max_s, room_s)), post.rules.silence_s)
        path = post.archive.path(self._message)
        self._dictation = Dictation(stage, post.desk, path, limits, self._recorded)
        self._dictation.start()

    def _recorded(self, taken: Taken) -> None:
        self._dictation = None
        self._taken = taken
        if taken.audible_s < self._post.rules.message_min_s:
            self._nothing(taken)
        elif self._gone:
            self._deliver()
        else:
            self._step = Step.REVIEW
            self._review((Prompt("vm-cut-off"),) if taken.why is Stop.DISK else ())

    def _nothing(self, taken: Taken) -> None:
        if self._message is not None:
            self._post.discard(self._message)
            self._message = None
        left = Left.FAILED if taken.why is Stop.DISK else Left.NOTHING
        if self._gone:
            self._post.left[left] += 1
        else:
            self._end(left, Prompt("vm-failed" if left is Left.FAILED else "vm-too-short"))

    # ---- a last look

    def _review(self, before: tuple[Line, ...] = ()) -> None:
        keys = {"1": self._keep, "2": self._hear, "3": self._again, "4": self._mark, "#": self._keep}
        self._menu.offer((*before, Prompt("vm-review")), keys)

    def _hear(self, _now: float) -> None:
        if self._taken is not None:
            self._review((Recorded(self._taken.path), Pause(0.5)))

    def _again(self, _now: float) -> None:
        if self._message is not None:
            self._post.discard(self._message)
            self._message = self._taken = None
        self._step = Step.GREETING
        self._stage.play(_BEEP, self._record)

    def _mark(self, _now: float) -> None:
        message = self._message
        if message is not None:
            self._message = self._post.archive.keep(replace(message, urgent=not message.urgent))
            self._review((Prompt("vm-urgent" if self._message.urgent else "vm-not-urgent"),))

    def _keep(self, _now: float) -> None:
        self._deliver()
        self._step = Step.OVER
        self._goodbye(Left.DELIVERED, Prompt("vm-saved"))

    def _deliver(self) -> None:
        if self._message is not None and self._taken is not None:
            self._post.deliver(self._message, self._taken.seconds)
        self._message = self._taken = None

    # ---- the end

    def _end(self, left: Left, line: Line) -> None:
        self._step = Step.OVER
        self._post.left[left] += 1
        self._goodbye(left, line)

    def _goodbye(self, left: Left, line: Line) -> None:
        self._stage.play((line, BREATH), lambda _whole, now: self._done(left, now))


_BEEP = (Signal(Tone.BEEP),)
