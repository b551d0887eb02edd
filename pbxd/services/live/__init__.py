"""Calls that are up, taken in hand: played to, muted, held, listened to.

parts      who hears whom          listening  who listens in, by a phone that the house calls, or that calls (phone)

A call that is only relayed gets a room for as long as one of these needs it, and is relayed again afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from media.rooms import FOREVER, Clip, Play, Playback, Room
from media.script import BREATH, Line
from media.sound import NARROW_HZ
from pbxd.calls.call import Call, CallState
from pbxd.calls.facilities import Facilities
from pbxd.calls.presence import Presence, presence_of
from pbxd.calls.record import CallChanged, Change, Role
from pbxd.calls.stage import Act
from pbxd.calls.studio import Unreadable
from pbxd.errors import Conflict, NotFound, Unavailable
from pbxd.events import Bus
from pbxd.ids import new_id
from pbxd.services.live.listening import Listener
from pbxd.services.live.parts import ListenMode, Parts
from pbxd.services.live.phone import ListenIn
from pbxd.trace import Topic

__all__ = ["CallOut", "ListenIn", "ListenMode", "ListenerView", "LiveSound", "LiveView"]

log = logging.getLogger(__name__)

MAX_PLAYS = 16  # at a time in one call
MAX_LISTENERS = 8
HANGUP_REASON = "the call that was listened to has ended"


class CallOut(Protocol):
    """Rings an extension's phones. Raises NotFound, Unavailable, Overloaded."""

    def __call__(self, account_id: str, number: str, act: Act, name: str) -> Call: ...


@dataclass(frozen=True, slots=True)
class ListenerView:
    """Who listens in: the call to its phone, and since when it is answered."""

    call_id: str
    extension: str
    mode: ListenMode
    side: Role
    answered: bool


@dataclass(frozen=True, slots=True)
class LiveView:
    """What is done to a call now; `playing` are the ids of what is played."""

    call_id: str
    muted: tuple[Role, ...] = ()
    held: tuple[Role, ...] = ()
    playing: tuple[str, ...] = ()
    listeners: tuple[ListenerView, ...] = ()


@dataclass(slots=True, eq=False)
class _Hand:
    """One call in hand."""

    presence: Presence
    parts: Parts = field(default_factory=Parts)
    music: dict[Role, Playback | None] = field(default_factory=dict)
    playing: dict[str, Playback] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)
    preparing: int = 0

    @property
    def idle(self) -> bool:
        return not (
            self.parts.muted or self.parts.held or self.playing or self.listeners or self.preparing or self.music
        )


class LiveSound:
    """`calls` are those that are up; `call_out` rings who wants to listen; `music` is for who is held, by account."""

    def __init__(
        self,
        facilities: Facilities,
        calls: Mapping[str, Call],
        call_out: CallOut,
        music: Callable[[str], list[Line]],
    ) -> None:
        self._facilities = facilities
        self._calls = calls
        self._call_out = call_out
        self._music = music
        self._hands: dict[str, _Hand] = {}

    def listen(self, bus: Bus) -> Callable[[], None]:
        """Follows every call of `bus` from now on, until the returned function is called."""
        return bus.subscribe(CallChanged, self._call_changed)

    @property
    def listeners(self) -> int:
        """Of all calls."""
        return sum(len(hand.listeners) for hand in self._hands.values())

    def view(self, call_id: str) -> LiveView:
        """Raises NotFound."""
        self._call(call_id)
        hand = self._hands.get(call_id)
        if hand is None:
            return LiveView(call_id)
        return LiveView(
            call_id,
            muted=tuple(sorted(hand.parts.muted)),
            held=tuple(sorted(hand.parts.held)),
            playing=tuple(hand.playing),
            listeners=tuple(
                ListenerView(one.call_id, one.extension, one.mode, one.side, one.inside) for one in hand.listeners
            ),
        )

    # ---- playing

    async def play(
        self, call_id: str, lines: Sequence[Line], to: Role | None, *, loop: bool = False, gain_db: float = 0.0
    ) -> str:
        """Plays to one side, or with None to all of the call; its id. Raises NotFound (no such call, no such prompt),
        Conflict (not answered, no such side, too much at a time)."""
        hand = self._hand(call_id)
        try:
            if to is not None and to not in hand.presence.parties:
                raise Conflict(f"the call has no {to.value} that could be played to")
            if len(hand.playing) >= MAX_PLAYS:
                raise Conflict(f"{MAX_PLAYS} things are being played already")
            hand.preparing += 1
            try:
                clips = await self._clips((BREATH, *lines))
            finally:
                hand.preparing -= 1
            if self._hands.get(call_id) is not hand:
                raise NotFound("the call has ended meanwhile")
            target = hand.presence.everybody if to is None else hand.presence.parties[to].media
            play_id = new_id("play", self._facilities.wall(self._facilities.clock()))

            def done(_playback: Playback) -> None:
                hand.playing.pop(play_id, None)
                self._let_go(call_id)

            how = Play(repeats=FOREVER if loop else 0, gain_db=gain_db)
            hand.playing[play_id] = self._room(call_id, hand).play(clips, target, how=how, done=done)
            return play_id
        finally:
            self._let_go(call_id)

    def stop(self, call_id: str, play_id: str | None = None) -> int:
        """Stops one thing that is played, or all; how many. Raises NotFound."""
        self._call(call_id)
        hand = self._hands.get(call_id)
        playing = hand.playing if hand is not None else {}
        if play_id is not None and play_id not in playing:
            raise NotFound("nothing of that id is being played")
        chosen = [playing[play_id]] if play_id is not None else list(playing.values())
        for playback in chosen:
            playback.stop()
        return len(chosen)

    # ---- muting and holding

    def mute(self, call_id: str, role: Role, muted: bool) -> LiveView:
        """Nobody hears that side, or all do again. Raises NotFound, Conflict."""
        hand = self._two_sided(call_id)
        (hand.parts.muted.add if muted else hand.parts.muted.discard)(role)
        self._deal(hand)
        self._let_go(call_id)
        return self.view(call_id)

    def hold(self, call_id: str, role: Role, held: bool) -> LiveView:
        """That side hears music and nobody hears it, or all is as before. Raises NotFound, Conflict."""
        hand = self._two_sided(call_id)
        (hand.parts.held.add if held else hand.parts.held.discard)(role)
        self._follow_hold(call_id, hand, role)
        self._deal(hand)
        self._let_go(call_id)
        return self.view(call_id)

    # ---- listening in

    def listen_in(self, call_id: str, extension: str, mode: ListenMode, side: Role) -> LiveView:
        """Calls an extension's phones; who answers is in the call at once. Raises NotFound, Conflict, Unavailable,
        Overloaded."""
        hand = self._two_sided(call_id)
        try:
            record = self._call(call_id).record
            who = self._take_on(call_id, hand, extension, mode, side)
            try:
                made = self._call_out(record.account_id, extension, who, f"{mode.value} {record.caller}")
            except BaseException:
                hand.listeners.remove(who)
                raise
            if made.state is CallState.ENDED:
                hand.listeners.remove(who)
                raise Unavailable(f"the phone of {extension} could not be called")
            who.call_id = made.record.id
            self._tell_listening(call_id, who)
        finally:
            self._let_go(call_id)
        return self.view(call_id)

    def walk_in(self, account_id: str, user: str, number: str, call_id: str) -> Listener:
        """Lets a phone of `user`, whose call to the house is `call_id`, hear the call that `number` is in: what it
        does then. Raises NotFound (there is no such phone), Unavailable (it is in no call), Conflict."""
        directory = self._facilities.directory
        account = directory.account(account_id) or directory.default_account
        aor = directory.aor(account, number)
        if aor is None:
            raise NotFound(f"there is no phone {number}")
        listened, side = self._call_of(account.id, aor.user)
        hand = self._two_sided(listened)
        try:
            who = self._take_on(listened, hand, user, ListenMode.MONITOR, side)
            who.call_id = call_id
            self._tell_listening(listened, who)
        finally:
            self._let_go(listened)
        return who

    def change(self, listener: Listener, mode: ListenMode) -> None:
        """As who listens wants it; where the call has just ended, nothing."""
        for call_id, hand in self._hands.items():
            if listener in hand.listeners:
                self.change_listener(call_id, listener.call_id, mode, listener.side)
                return

    def change_listener(self, call_id: str, listener_id: str, mode: ListenMode, side: Role) -> LiveView:
        """Raises NotFound."""
        who = self._listener(call_id, listener_id)
        who.change(mode, side)
        self._note(call_id, f"{who.extension} goes over to {mode.value}")
        log.info("a listener changes to %s", mode.value, extra={"call": call_id, "listener": listener_id})
        return self.view(call_id)

    def end_listener(self, call_id: str, listener_id: str) -> None:
        """Hangs up who listens. Raises NotFound."""
        self._listener(call_id, listener_id)
        self._calls[listener_id].hangup(self._facilities.clock())

    # ---- inside

    def _call(self, call_id: str) -> Call:
        call = self._calls.get(call_id)
        if call is None:
            raise NotFound("no such call is up")
        return call

    def _hand(self, call_id: str) -> _Hand:
        found = self._hands.get(call_id)
        if found is None:
            found = self._hands[call_id] = _Hand(presence_of(self._call(call_id)))
        return found

    def _two_sided(self, call_id: str) -> _Hand:
        hand = self._hand(call_id)
        if len(hand.presence.parties) < 2:
            self._let_go(call_id)
            raise Conflict("the house itself is the other side of this call")
        return hand

    def _call_of(self, account_id: str, user: str) -> tuple[str, Role]:
        """The newest call in which a phone of that user talks, and its side there. Raises Unavailable."""
        for call_id in reversed(tuple(self._calls)):
            call = self._calls[call_id]
            if call.record.account_id != account_id or call.state is not CallState.TALKING:
                continue
            bridge = call.bridge
            for leg in (bridge.callee, bridge.caller) if bridge is not None else ():
                if leg.record.party == user:
                    return call_id, leg.record.role
        raise Unavailable(f"{user} is not in a call with anybody")

    def _take_on(self, call_id: str, hand: _Hand, extension: str, mode: ListenMode, side: Role) -> Listener:
        """One more who listens. Raises Conflict."""
        if len(hand.listeners) >= MAX_LISTENERS:
            raise Conflict(f"{MAX_LISTENERS} listen already")
        if extension in (leg.record.party for leg in hand.presence.parties.values()):
            raise Conflict("who is in the call cannot listen to it")
        who = Listener(
            mode,
            side,
            extension,
            lambda: hand.presence.room if self._hands.get(call_id) is hand else None,
            lambda gone: self._listener_left(call_id, hand, gone),
        )
        hand.listeners.append(who)
        self._deal(hand)
        return who

    def _tell_listening(self, call_id: str, who: Listener) -> None:
        self._note(call_id, f"{who.extension} listens in: {who.mode.value}")
        log.info("%s listens in: %s", who.extension, who.mode.value, extra={"call": call_id, "listener": who.call_id})

    def _note(self, call_id: str, text: str) -> None:
        self._facilities.tracer.note(call_id, Topic.DECISION, text, self._facilities.clock())

    def _room(self, call_id: str, hand: _Hand) -> Room:
        """A stage's leg may have been led elsewhere; the room of two stays."""
        stage = self._call(call_id).stage
        return stage.room if stage is not None else hand.presence.room

    def _listener(self, call_id: str, listener_id: str) -> Listener:
        hand = self._hands.get(call_id)
        for one in hand.listeners if hand is not None else ():
            if one.call_id == listener_id:
                return one
        raise NotFound("nobody of that id listens to this call")

    def _deal(self, hand: _Hand) -> None:
        """Gives each side its part."""
        for role, leg in hand.presence.parties.items():
            if leg.media.room is hand.presence.room:
                hand.presence.room.set(leg.media, hand.parts.party(role))

    def _let_go(self, call_id: str) -> None:
        """The room is for nothing now; again is harmless."""
        hand = self._hands.get(call_id)
        if hand is not None and hand.idle:
            del self._hands[call_id]
            if len(hand.presence.parties) > 1:
                self._deal(hand)  # whoever else needs the room has it as it was
            hand.presence.release()

    async def _clips(self, lines: Sequence[Line]) -> list[Clip]:
        told: asyncio.Future[list[Clip] | Unreadable] = asyncio.get_running_loop().create_future()

        def ready(clips: list[Clip] | Unreadable) -> None:
            if not told.done():
                told.set_result(clips)

        self._facilities.studio.prepare(lines, self._facilities.language, NARROW_HZ, ready)
        clips = await told
        if isinstance(clips, Unreadable):
            raise NotFound(f"it cannot be played: {clips.why}")
        return clips

    def _park(self, call_id: str, sides: frozenset[Role]) -> None:
        """These are held by the phones at their other sides."""
        if not sides and call_id not in self._hands:
            return
        try:
            hand = self._hand(call_id)
        except Conflict:  # not answered any more
            return
        hand.parts.parked = set(sides)
        for role in hand.presence.parties:
            self._follow_hold(call_id, hand, role)
        self._deal(hand)
        self._let_go(call_id)

    def _follow_hold(self, call_id: str, hand: _Hand, role: Role) -> None:
        """Music for who waits from now on, and none for who does no more."""
        if hand.parts.waits(role) and role not in hand.music:
            self._play_music(call_id, hand, role)
        elif not hand.parts.waits(role):
            playback = hand.music.pop(role, None)
            if playback is not None:
                playback.stop()

    def _play_music(self, call_id: str, hand: _Hand, role: Role) -> None:
        hand.music[role] = None
        tunes = self._music(self._call(call_id).record.account_id)
        if not tunes:
            return

        def ready(clips: list[Clip] | Unreadable) -> None:
            if isinstance(clips, Unreadable):
                log.warning("%s cannot be played: %s", clips.line, clips.why, extra={"call": call_id})
            elif self._hands.get(call_id) is hand and role in hand.music and hand.music[role] is None:
                leg = hand.presence.parties[role]
                hand.music[role] = hand.presence.room.play(clips, leg.media, how=Play(repeats=FOREVER))

        self._facilities.studio.prepare(tunes, self._facilities.language, NARROW_HZ, ready)

    def _listener_left(self, call_id: str, hand: _Hand, gone: Listener) -> None:
        if gone in hand.listeners:
            hand.listeners.remove(gone)
            log.info("a listener has gone", extra={"call": call_id, "listener": gone.call_id})
        if self._hands.get(call_id) is hand:
            self._let_go(call_id)

    def _call_changed(self, event: CallChanged) -> None:
        call = self._calls.get(event.record.id)
        if event.change is Change.HELD and call is not None and call.bridge is not None and call.bridge.music:
            self._park(event.record.id, call.bridge.held)
        elif event.change is Change.RESUMED:
            self._park(event.record.id, frozenset())
        if event.change is not Change.ENDED:
            return
        self._forget_listener(event.record.id)
        hand = self._hands.pop(event.record.id, None)
        if hand is None:
            return
        hand.presence.release()
        for one in tuple(hand.listeners):
            call = self._calls.get(one.call_id)
            if call is not None:
                call.hangup(self._facilities.clock(), reason=HANGUP_REASON)

    def _forget_listener(self, call_id: str) -> None:
        """One whose phone was never answered has no stage that would tell."""
        for listened, hand in tuple(self._hands.items()):
            for one in tuple(hand.listeners):
                if one.call_id == call_id:
                    self._listener_left(listened, hand, one)
