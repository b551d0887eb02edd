"""Sending a message on to another mailbox, with a comment in front of it where the owner says one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from media.script import Line, Prompt, Signal
from media.tones import Tone
from pbxd.calls.gather import Gathered, GatherRules
from pbxd.calls.stage import Stage
from pbxd.services.voicemail.archive import Box
from pbxd.services.voicemail.dictation import Dictation, Judgement, Limits, Stop, Taken, joined
from pbxd.services.voicemail.menu import Key, Menu
from pbxd.services.voicemail.post import Post
from pbxd.services.voicemail.rules import Message, Origin

NUMBER_RULES = GatherRules(least=1, most=32, first_s=8.0, next_s=4.0)


class Forwarding:
    """One forwarding. `back` takes over again, with what is to be said first."""

    def __init__(self, post: Post, stage: Stage, box: Box, message: Message, back: Callable[[Line], None]) -> None:
        self._post = post
        self._stage = stage
        self._box = box
        self._message = message
        self._back = back
        self._menu = Menu(stage, lambda _now: self._end("vm-not-forwarded"))
        self._dictation: Dictation | None = None
        self._gone = False

    def begin(self, now: float) -> None:
        """Asks where to."""
        self._stage.ask((Prompt("vm-forward-to"),), NUMBER_RULES, self._numbered, now)

    def digit(self, digit: str, now: float) -> None:
        if self._dictation is not None:
            self._dictation.stop(Stop.DIGIT)
        else:
            self._menu.press(digit, now)

    def talking(self, talks: bool) -> None:
        if self._dictation is not None:
            self._dictation.talking(talks)

    def leave(self, _now: float) -> None:
        """The caller hung up: a comment that was begun is sent as it is, with the message."""
        self._gone = True
        self._menu.close()
        if self._dictation is not None:
            self._dictation.stop(Stop.GONE)

    def _numbered(self, _outcome: Gathered, digits: str, _now: float) -> None:
        target = self._post.archive.box(self._box.account_id, digits)
        if target is None:
            self._end("vm-no-mailbox")
        elif target.full:
            self._end("vm-full")
        else:
            keys: dict[str, Key] = {
                "1": partial(self._send, target),
                "2": partial(self._comment, target),
                "*": lambda _now: self._end("vm-not-forwarded"),
            }
            self._menu.offer((Prompt("vm-forward-menu"),), keys)

    def _copy(self, target: Box) -> Message:
        """The row of what is going to be sent, as from who left it."""
        original = self._message
        origin = Origin(original.caller, original.caller_name, self._stage.record.id)
        return self._post.archive.begin(target, origin, self._post.wall(), forwarded_by=self._box.number)

    def _send(self, target: Box, _now: float) -> None:
        self._join(self._copy(target))

    def _comment(self, target: Box, _now: float) -> None:
        self._stage.play((Signal(Tone.BEEP),), lambda _whole, _later: self._dictate(target))

    def _dictate(self, target: Box) -> None:
        post, copy = self._post, self._copy(target)
        limits = Limits(post.rules.message_max_s, post.rules.silence_s)
        path = post.archive.path(copy)
        self._dictation = Dictation(self._stage, post.desk, path, limits, partial(self._dictated, copy))
        self._dictation.start()

    def _dictated(self, copy: Message, _taken: Taken) -> None:
        self._dictation = None
        self._join(copy)

    def _join(self, copy: Message) -> None:
        archive = self._post.archive
        comment, original = archive.path(copy), archive.path(self._message)
        self._post.desk.aside(lambda: joined(comment, original), partial(self._joined, copy))

    def _joined(self, copy: Message, result: Judgement | Exception) -> None:
        if isinstance(result, Exception):
            self._post.discard(copy)
            self._end("vm-failed")
        else:
            self._post.deliver(copy, result.seconds)
            self._end("vm-forwarded")

    def _end(self, prompt: str) -> None:
        self._menu.close()
        if not self._gone:
            self._back(Prompt(prompt))
