"""Listening to a mailbox by phone: whose it is, what is in it, and what is done with each message.

While a message plays: 1 from its beginning, 2 call back, 4 back, 5 pause, 6 on, 3 when and from whom, 7 delete or
restore, 8 forward, 9 save, # the next one, * to the menu, 0 what the keys do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from media.script import BREATH, Line, Pause, Prompt, Recorded
from media.spoken import CannotSay, language
from pbxd.calls.gather import Gathered, GatherRules
from pbxd.calls.stage import Stage
from pbxd.services.voicemail.archive import Box
from pbxd.services.voicemail.forwarding import Forwarding
from pbxd.services.voicemail.menu import Key, Menu
from pbxd.services.voicemail.options import Options
from pbxd.services.voicemail.pins import Verdict
from pbxd.services.voicemail.post import Post, said_count, said_number
from pbxd.services.voicemail.rules import Folder, Message

NUMBER_RULES = GatherRules(least=1, most=32, first_s=8.0, next_s=4.0)
PIN_RULES = GatherRules(least=1, most=12, first_s=8.0, next_s=4.0)
PIN_TRIES = 3
SKIP_S = 5.0
PAUSE_S = 60.0


@dataclass(slots=True)
class Playing:
    """A message that is being played, or rests: `at_s` is where it began, at the stage's time `since`."""

    message: Message
    at_s: float = 0.0
    since: float | None = None

    def position(self, now: float) -> float:
        ran = 0.0 if self.since is None else now - self.since
        return min(self.at_s + ran, self.message.seconds or 0.0)


class Listening:
    """The act of somebody who listens. `box` is theirs when the phone says so; None asks for one. `asks_pin` whether
    the phone is proof enough."""

    def __init__(self, post: Post, box: Box | None, *, asks_pin: bool, clock: Callable[[], float]) -> None:
        self._post = post
        self._wanted = box
        self._asks_pin = asks_pin
        self._clock = clock
        self._tries = 0
        self._box: Box | None = None
        self._folder = Folder.NEW
        self._queue: list[str] = []
        self._playing: Playing | None = None
        self._deeper: Options | Forwarding | None = None
        self._stop_calling: Callable[[float], None] | None = None

    # ---- Act

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        self._menu = Menu(stage, self._goodbye)
        stage.answer(now)
        if self._wanted is None:
            stage.ask((BREATH, Prompt("vm-mailbox")), NUMBER_RULES, self._numbered, now)
        elif self._asks_pin:
            self._ask_pin((BREATH,), now)
        else:
            self._open(self._wanted)

    def digit(self, digit: str, now: float) -> None:
        if self._deeper is not None:
            self._deeper.digit(digit, now)
        else:
            self._menu.press(digit, now)

    def talking(self, talks: bool) -> None:
        if self._deeper is not None:
            self._deeper.talking(talks)

    def leave(self, now: float) -> None:
        self._menu.close()
        if self._stop_calling is not None:
            self._stop_calling(now)
        if self._deeper is not None:
            self._deeper.leave(now)

    # ---- coming in

    def _numbered(self, _outcome: Gathered, digits: str, now: float) -> None:
        self._wanted = self._post.archive.box(self._stage.record.account_id, digits)
        self._ask_pin((), now)

    def _ask_pin(self, before: tuple[Line, ...], now: float) -> None:
        self._stage.ask((*before, Prompt("enter-pin")), PIN_RULES, self._pin_entered, now)

    def _pin_entered(self, _outcome: Gathered, digits: str, _now: float) -> None:
        self._post.pins.check(self._wanted, digits, self._judged)

    def _judged(self, verdict: Verdict) -> None:
        if self._stage.closed:
            return
        self._tries += 1
        if verdict is Verdict.RIGHT and self._wanted is not None:
            self._open(self._wanted)
        elif verdict is Verdict.LOCKED:
            self._say_and_hang_up(Prompt("vm-locked"), "the mailbox is locked")
        elif self._tries >= PIN_TRIES:
            self._say_and_hang_up(Prompt("goodbye"), "wrong PINs")
        elif self._asks_for_number:
            self._stage.ask((Prompt("wrong-pin"), Prompt("vm-mailbox")), NUMBER_RULES, self._numbered, self._clock())
        else:
            self._ask_pin((Prompt("wrong-pin"),), self._clock())

    @property
    def _asks_for_number(self) -> bool:
        """Somebody without a mailbox that is there may have mistyped its number."""
        return self._wanted is None

    def _open(self, box: Box) -> None:
        self._box = box
        self._main((BREATH, *self._summary(box)))

    def _summary(self, box: Box) -> tuple[Line, ...]:
        tongue, counts = self._stage.language, box.counts
        if not counts.new and not counts.old:
            return (Prompt("vm-none"),)
        values = (("new", said_count(counts.new, tongue)), ("saved", said_count(counts.old, tongue)))
        return (Prompt("vm-counts", values),)

    # ---- the menu

    def _main(self, before: tuple[Line, ...] = (), _now: float = 0.0) -> None:
        self._playing, self._deeper = None, None
        keys: dict[str, Key] = {
            "1": partial(self._enter, Folder.NEW),
            "2": partial(self._enter, Folder.SAVED),
            "3": partial(self._enter, Folder.DELETED),
            "0": self._options,
            "#": self._goodbye,
        }
        self._menu.offer((*before, Prompt("vm-main-menu")), keys)

    def _options(self, _now: float) -> None:
        if self._box is not None:
            self._deeper = Options(self._post, self._stage, self._box, self._main)
            self._deeper.begin()

    def _enter(self, folder: Folder, _now: float) -> None:
        box = self._box
        if box is not None:
            self._folder = folder
            self._queue = [message.id for message in box.of(folder)]
            self._next()

    def _next(self, before: tuple[Line, ...] = ()) -> None:
        box = self._box
        self._playing = None
        while box is not None and self._queue:
            message = box.messages.get(self._queue.pop(0))
            if message is not None:
                self._play(message, (*before, *self._envelope(message)))
                return
        self._main((*before, Prompt("vm-no-more")))

    # ---- one message

    def _play(self, message: Message, before: tuple[Line, ...]) -> None:
        self._playing = Playing(message)
        self._menu.listen((Prompt("vm-message-menu"),), self._keys())
        self._stage.play(before, lambda _whole, now: self._sound(0.0, now))

    def _keys(self) -> dict[str, Key]:
        return {
            "1": partial(self._sound, 0.0),
            "2": self._call_back,
            "3": self._tell,
            "4": partial(self._skip, -SKIP_S),
            "5": self._pause,
            "6": partial(self._skip, SKIP_S),
            "7": self._delete,
            "8": self._forward,
            "9": self._save,
            "#": self._done_with,
            "*": lambda _now: self._main(),
            "0": self._help,
        }

    def _sound(self, at_s: float, now: float) -> None:
        """Plays the message from `at_s` on."""
        playing = self._playing
        if playing is None:
            return
        self._menu.close()
        playing.at_s, playing.since = at_s, now
        self._menu.listen((Prompt("vm-message-menu"),), self._keys())
        path = self._post.archive.path(playing.message)
        self._stage.play((Recorded(path),), self._heard, start_ms=round(at_s * 1000))

    def _heard(self, whole: bool, now: float) -> None:
        playing = self._playing
        if playing is None:
            return
        playing.at_s, playing.since = playing.position(now), None
        if whole and playing.message.folder is Folder.NEW:
            playing.message = self._post.move(playing.message, Folder.SAVED)
        self._menu.offer((Prompt("vm-message-menu"),), self._keys())

    def _skip(self, by_s: float, now: float) -> None:
        playing = self._playing
        if playing is not None:
            end = max(0.0, (playing.message.seconds or 0.0) - 0.1)
            self._sound(min(max(0.0, playing.position(now) + by_s), end), now)

    def _pause(self, now: float) -> None:
        playing = self._playing
        if playing is None:
            return
        if playing.since is None:
            self._sound(playing.at_s, now)
        else:
            playing.at_s, playing.since = playing.position(now), None
            self._menu.offer((Pause(PAUSE_S), Prompt("vm-message-menu")), self._keys())

    def _tell(self, _now: float) -> None:
        if self._playing is not None:
            self._rest()
            self._menu.offer(self._envelope(self._playing.message), self._keys())

    def _help(self, _now: float) -> None:
        self._rest()
        self._menu.offer((Prompt("vm-message-menu"),), self._keys())

    def _rest(self) -> None:
        if self._playing is not None:
            self._playing.at_s, self._playing.since = self._playing.position(self._clock()), None

    def _delete(self, _now: float) -> None:
        playing = self._playing
        if playing is None:
            return
        self._rest()
        if playing.message.folder is Folder.DELETED:
            playing.message = self._post.move(playing.message, Folder.SAVED)
            self._menu.offer((Prompt("vm-undeleted"), Prompt("vm-message-menu")), self._keys())
        else:
            self._post.move(playing.message, Folder.DELETED)
            self._next((Prompt("vm-deleted"),))

    def _save(self, _now: float) -> None:
        if self._playing is not None:
            self._post.move(self._playing.message, Folder.SAVED)
            self._next((Prompt("vm-kept"),))

    def _done_with(self, _now: float) -> None:
        if self._playing is not None and self._playing.message.folder is Folder.NEW:
            self._post.move(self._playing.message, Folder.SAVED)
        self._next()

    def _forward(self, now: float) -> None:
        playing, box = self._playing, self._box
        if playing is None or box is None:
            return
        self._rest()
        self._deeper = Forwarding(self._post, self._stage, box, playing.message, self._forwarded)
        self._deeper.begin(now)

    def _forwarded(self, line: Line) -> None:
        self._deeper = None
        self._menu.offer((line, Prompt("vm-message-menu")), self._keys())

    def _call_back(self, now: float) -> None:
        playing = self._playing
        if playing is None:
            return
        self._rest()
        self._menu.close()
        self._stop_calling = self._post.ring(self._stage, playing.message.caller, self._called_back, now)
        if self._stop_calling is None:
            self._menu.offer((Prompt("vm-no-call-back"), Prompt("vm-message-menu")), self._keys())

    def _called_back(self, talked: bool, _now: float) -> None:
        self._stop_calling = None
        before = () if talked else (Prompt("vm-not-reached"),)
        self._menu.offer((*before, Prompt("vm-message-menu")), self._keys())

    def _envelope(self, message: Message) -> tuple[Line, ...]:
        tongue = self._stage.language
        caller = said_number(message.caller, tongue)
        here = datetime.fromtimestamp(message.received_at, UTC).astimezone()
        try:
            now = datetime.fromtimestamp(self._post.wall(), UTC).astimezone()
            when: tuple[Line, ...] = (Prompt("vm-received", (("when", language(tongue).moment(here, now)),)),)
        except CannotSay:
            when = ()
        urgent = (Prompt("vm-is-urgent"),) if message.urgent else ()
        who = Prompt("vm-from", (("caller", caller),)) if caller else Prompt("vm-from-unknown")
        return (*urgent, who, *when, Pause(0.2))

    # ---- the end

    def _goodbye(self, _now: float) -> None:
        self._say_and_hang_up(Prompt("goodbye"), "the caller was done")

    def _say_and_hang_up(self, line: Line, reason: str) -> None:
        self._menu.close()
        self._stage.play((line, BREATH), lambda _whole, now: self._stage.hangup(now, reason))
