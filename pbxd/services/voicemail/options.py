"""What an owner sets by phone: greetings, the name, the PIN."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from media.script import Line, Prompt, Recorded, Signal
from media.tones import Tone
from pbxd.calls.gather import Gathered, GatherRules
from pbxd.calls.stage import Stage
from pbxd.errors import Invalid
from pbxd.services.voicemail.archive import Box, remove
from pbxd.services.voicemail.dictation import Dictation, Limits, Stop, Taken
from pbxd.services.voicemail.menu import Key, Menu
from pbxd.services.voicemail.pins import check_pin
from pbxd.services.voicemail.post import Post
from pbxd.services.voicemail.rules import GreetingKind, VoicemailChange, VoicemailChanged

NEW_PIN_RULES = GatherRules(least=1, most=12, first_s=10.0, next_s=5.0)
KINDS = {
    "1": GreetingKind.UNAVAILABLE,
    "2": GreetingKind.BUSY,
    "3": GreetingKind.TEMPORARY,
    "4": GreetingKind.NAME,
}


class Options:
    """The menu behind 0. `back` takes over again, with what is to be said first."""

    def __init__(self, post: Post, stage: Stage, box: Box, back: Callable[[tuple[Line, ...]], None]) -> None:
        self._post = post
        self._stage = stage
        self._box = box
        self._back = back
        self._menu = Menu(stage, lambda _now: self._leave())
        self._dictation: Dictation | None = None
        self._draft: Taken | None = None
        self._gone = False

    def begin(self, before: tuple[Line, ...] = ()) -> None:
        """Says what there is to set."""
        keys: dict[str, Key] = {digit: partial(self._choose, kind) for digit, kind in KINDS.items()}
        keys |= {"5": self._new_pin, "*": lambda _now: self._leave()}
        self._menu.offer((*before, Prompt("vm-options-menu")), keys)

    def digit(self, digit: str, now: float) -> None:
        if self._dictation is not None:
            self._dictation.stop(Stop.DIGIT)
        else:
            self._menu.press(digit, now)

    def talking(self, talks: bool) -> None:
        if self._dictation is not None:
            self._dictation.talking(talks)

    def leave(self, _now: float) -> None:
        """The caller hung up: what was not kept is gone."""
        self._gone = True
        self._menu.close()
        if self._dictation is not None:
            self._dictation.stop(Stop.GONE)
        self._drop_draft()

    def _leave(self) -> None:
        self._menu.close()
        self._back(())

    # ---- greetings

    def _choose(self, kind: GreetingKind, _now: float) -> None:
        keys: dict[str, Key] = {
            "1": partial(self._record, kind),
            "2": partial(self._hear, kind),
            "3": partial(self._without, kind),
            "*": lambda _later: self.begin(),
        }
        self._menu.offer((Prompt("vm-greeting-menu"),), keys)

    def _hear(self, kind: GreetingKind, now: float) -> None:
        path = self._post.archive.greeting(self._box, kind)
        lines = (Prompt("vm-no-greeting"),) if path is None else (Recorded(path),)
        self._stage.play(lines, lambda _whole, later: self._choose(kind, later))

    def _without(self, kind: GreetingKind, _now: float) -> None:
        self._post.set_greeting(self._box, kind, None)
        self.begin((Prompt("vm-deleted"),))

    def _record(self, kind: GreetingKind, _now: float) -> None:
        self._drop_draft()
        self._stage.play((Prompt("vm-say-greeting"), Signal(Tone.BEEP)), lambda _whole, _later: self._dictate(kind))

    def _dictate(self, kind: GreetingKind) -> None:
        post = self._post
        path = post.archive.new_greeting(self._box, post.wall())
        limits = Limits(post.rules.greeting_max_s, post.rules.silence_s)
        self._dictation = Dictation(self._stage, post.desk, path, limits, partial(self._dictated, kind))
        self._dictation.start()

    def _dictated(self, kind: GreetingKind, taken: Taken) -> None:
        self._dictation = None
        self._draft = taken
        if self._gone or taken.audible_s < self._post.rules.message_min_s:
            self._drop_draft()
            if not self._gone:
                self.begin((Prompt("vm-failed" if taken.why is Stop.DISK else "vm-too-short"),))
        else:
            self._offer_draft(kind, taken)

    def _offer_draft(self, kind: GreetingKind, taken: Taken, before: tuple[Line, ...] = ()) -> None:
        keys: dict[str, Key] = {
            "1": partial(self._keep, kind),
            "2": lambda _now: self._offer_draft(kind, taken, (Recorded(taken.path),)),
            "3": partial(self._record, kind),
            "*": lambda _now: self._drop(),
        }
        self._menu.offer((*before, Prompt("vm-review-greeting")), keys)

    def _keep(self, kind: GreetingKind, _now: float) -> None:
        if self._draft is not None:
            self._post.set_greeting(self._box, kind, self._draft.path.name)
            self._draft = None
        self.begin((Prompt("vm-kept"),))

    def _drop(self) -> None:
        self._drop_draft()
        self.begin()

    def _drop_draft(self) -> None:
        draft, self._draft = self._draft, None
        if draft is not None:
            self._post.desk.aside(lambda: remove(draft.path), lambda _result: None)

    # ---- PIN

    def _new_pin(self, now: float) -> None:
        self._stage.ask((Prompt("vm-new-pin"),), NEW_PIN_RULES, self._entered, now)

    def _entered(self, _outcome: Gathered, digits: str, now: float) -> None:
        try:
            check_pin(digits)
        except Invalid:
            self.begin((Prompt("vm-bad-pin"),))
            return
        self._stage.ask((Prompt("vm-repeat-pin"),), NEW_PIN_RULES, partial(self._repeated, digits), now)

    def _repeated(self, pin: str, _outcome: Gathered, digits: str, _now: float) -> None:
        if pin != digits:
            self.begin((Prompt("vm-pins-differ"),))
        else:
            self._post.pins.change(self._box, pin, self._pin_changed)

    def _pin_changed(self, changed: bool) -> None:
        if changed:
            box = self._box
            self._post.bus.publish(VoicemailChanged(VoicemailChange.PIN, box.account_id, box.number))
        if not self._gone:
            self.begin((Prompt("vm-pin-changed" if changed else "vm-failed"),))
