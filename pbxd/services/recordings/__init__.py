"""Recordings: of calls and conferences, begun by the API, by a caller's key or by policy, and kept as long as wanted.

recorded  what a recording is, to others      take   one under way
shelf     rows and files                      keeper what is left at a start, checksums, quota, retention

A recording disturbs no call: taps copy without waiting, one thread writes, and where the disk is slow or full it is the
recording that ends, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from media.recorder import Recorder, Recording, RecordingEnd
from media.rooms import Clip, Room
from media.script import BREATH, Line, Prompt, Signal
from media.session import MediaSession
from media.sound import NARROW_HZ
from media.tones import Tone
from media.wire import WireError
from pbxd.calls.call import Call
from pbxd.calls.facilities import Facilities
from pbxd.calls.presence import presence_of
from pbxd.calls.record import CallChanged, CallRecord, Change
from pbxd.calls.studio import Unreadable
from pbxd.config.recordings import Recorded as WhichCalls
from pbxd.config.recordings import RecordingFormat, RecordingNotice
from pbxd.config.recordings import Recordings as Settings
from pbxd.errors import Conflict, HouseError, NotFound, Unavailable
from pbxd.events import Bus
from pbxd.ids import new_id
from pbxd.services.recordings.keeper import Keeper
from pbxd.services.recordings.recorded import (
    LIVE,
    Channels,
    Recorded,
    RecordingChanged,
    RecordingFilter,
    RecordingState,
    RecordingWish,
)
from pbxd.services.recordings.shelf import MAX_PAGE, WORDS, Files, Shelf, place_of
from pbxd.services.recordings.take import Source, Take
from pbxd.store import Store

__all__ = [
    "MAX_PAGE",
    "STOPPED",
    "Channels",
    "Recorded",
    "RecordingChanged",
    "RecordingFilter",
    "RecordingState",
    "RecordingWish",
    "Recordings",
]

log = logging.getLogger(__name__)

BEEP_EVERY_S = 15.0
PATIENCE_S = 5.0  # of a stop, for the disk
CALL_ENDED = "the call ended"
STOPPED = "it was stopped"


class Recordings:
    """All recordings of one node. `calls` are those that are up. `start` it, `listen`, call `beat` every second."""

    def __init__(
        self,
        store: Store,
        node: str,
        facilities: Facilities,
        calls: Mapping[str, Call],
        folder: Path,
        settings: Settings,
        recorder: Recorder,
    ) -> None:
        self._node = node
        self._recorder = recorder
        self._quiet = asyncio.Event()  # nothing is being recorded
        self._quiet.set()
        self._facilities = facilities
        self._calls = calls
        self._takes: dict[str, Take] = {}  # by the recording's id
        self._of_call: dict[str, Take] = {}
        self._shelf = Shelf(store, node)
        self.keeper = Keeper(self._shelf, Files(folder), settings, facilities.bus, self._now)
        self.settings = settings
        self.ended: Counter[str] = Counter({end.value: 0 for end in RecordingEnd})
        self.refused = 0

    # ---- life

    async def start(self, account_id: str) -> None:
        """Mends what an earlier process left; orphans without a call go to `account_id`. Raises StoreError."""
        self._loop = asyncio.get_running_loop()
        await self.keeper.start(account_id)

    def listen(self, bus: Bus) -> Callable[[], None]:
        """Follows every call of `bus` from now on, until the returned function is called."""
        return bus.subscribe(CallChanged, self._call_changed)

    def reload(self, settings: Settings) -> None:
        """What goes on is kept as it was begun."""
        self.settings = self.keeper.settings = settings

    async def stop(self) -> None:
        """Ends every recording, whole; a disk that hangs is not waited for."""
        for take in tuple(self._takes.values()):
            take.stop("the daemon stops")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), PATIENCE_S)
        await self.keeper.stop()

    def beat(self, wall: float) -> None:
        """What is due every second: beeps, the disk's pace and its room. `wall` is seconds since the epoch."""
        for take in tuple(self._takes.values()):
            if take.overrun:
                self._give_up(take)
            elif self.keeper.full:
                take.stop(RecordingEnd.DISK_FULL.value)
            elif take.notice is RecordingNotice.BEEP and take.taps and wall >= take.beep_at:
                self._announce(take)
        self.keeper.beat(wall)

    # ---- what the API, callers and policies ask for

    def live(self, call_id: str) -> Recorded | None:
        """The recording of a call that goes on now."""
        take = self._of_call.get(call_id)
        return take.recorded if take is not None else None

    @property
    def active(self) -> int:
        return len(self._takes)

    def begin(self, call_id: str, wish: RecordingWish) -> Recorded:
        """Records a call from now on. Raises NotFound, Conflict (not answered, or recorded already), Unavailable."""
        call = self._calls.get(call_id)
        if call is None:
            raise NotFound("no such call is up")
        if call_id in self._of_call:
            raise Conflict("the call is being recorded already")
        self._need_room()
        channels = wish.channels or Channels(self.settings.channels.value)
        presence = presence_of(call)
        source = Source.of_call(presence, channels)
        take = self._take(source, self._new(call.record.account_id, channels, wish, call_id=call_id), wish)
        self._of_call[call_id] = take
        return take.recorded

    def begin_room(self, account_id: str, name: str, room: Room, on_end: Callable[[], None]) -> str:
        """Records a conference from now on; the id of the recording. `on_end` is told when it has ended, whoever wanted
        that. Raises Unavailable."""
        self._need_room()
        wish = RecordingWish()
        recorded = self._new(account_id, Channels.MIXED, wish, room=name)

        def ended(_recorded: Recorded) -> bool:
            on_end()
            return True

        return self._take(Source.of_room(room), recorded, wish, ended).recorded.id

    def begin_words(
        self,
        record: CallRecord,
        room: Room,
        leg: MediaSession,
        most_s: float,
        on_end: Callable[[Recorded], bool],
    ) -> Take:
        """Records what the house has asked a caller to say, for `most_s` at most, beside whatever else is recorded of
        the call. `on_end` is told when it has ended, and says whether it is kept. Always a WAV file, so that it can be
        played at once. Raises Unavailable."""
        self._need_room()
        wish = RecordingWish(format=RecordingFormat.WAV, announce=RecordingNotice.NONE)
        recorded = self._new(record.account_id, Channels.CALLER, wish, call_id=record.id, suffix=WORDS)
        return self._take(Source.of_leg(room, leg), recorded, wish, on_end, most_s)

    def stop_room(self, recording_id: str) -> None:
        """Ends that of a conference; one that has ended is passed over."""
        take = self._takes.get(recording_id)
        if take is not None:
            take.stop(STOPPED)

    def end(self, call_id: str) -> Recorded:
        """Stops recording a call. Raises NotFound when it is not recorded."""
        take = self._going(call_id)
        take.stop(STOPPED)
        self._of_call.pop(call_id, None)
        self._release(take)
        return replace(self._now_as(take.recorded), state=RecordingState.FINISHING, reason=take.why)

    def pause(self, call_id: str) -> Recorded:
        """What is said from now on is nowhere, until `resume`. Raises NotFound, Conflict."""
        take = self._going(call_id)
        if take.recorded.state is RecordingState.PAUSED:
            raise Conflict("the recording is paused already")
        take.pause()
        return self._became(take, RecordingState.PAUSED)

    def resume(self, call_id: str) -> Recorded:
        """Raises NotFound, Conflict, Unavailable."""
        take = self._going(call_id)
        if take.recorded.state is not RecordingState.PAUSED:
            raise Conflict("the recording is not paused")
        take.resume(self._facilities.media.wire)
        return self._became(take, RecordingState.RECORDING)

    async def page(self, wanted: RecordingFilter) -> list[Recorded]:
        """Newest first. Raises Invalid."""
        return [self._now_as(recorded) for recorded in await self._shelf.page(wanted)]

    async def find(self, recording_id: str) -> Recorded:
        """Raises NotFound."""
        take = self._takes.get(recording_id)
        found = take.recorded if take is not None else await self._shelf.find(recording_id)
        if found is None:
            raise NotFound("there is no such recording")
        return self._now_as(found)

    async def sounds_of(self, call_id: str) -> list[tuple[float, Path]]:
        """The files of a call's recordings that have ended, and when each began."""
        ended = [
            one
            for one in await self.page(RecordingFilter(call_id=call_id))
            if one.state not in (*LIVE, RecordingState.FINISHING, RecordingState.LOST)
        ]
        return [(one.started_at, self.keeper.files.path(one)) for one in ended]

    async def file(self, recording_id: str) -> tuple[Recorded, Path]:
        """A recording that has ended, and its file. Raises NotFound, Conflict."""
        recorded = await self.find(recording_id)
        if recorded.state in LIVE or recorded.state is RecordingState.FINISHING:
            raise Conflict("the recording is not finished")
        if recorded.state is RecordingState.LOST:
            raise NotFound("there is no sound of this recording")
        return recorded, self.keeper.files.path(recorded)

    async def delete(self, recording_id: str) -> None:
        """Removes a recording, file and row. Raises NotFound, Conflict, Unavailable."""
        recorded = await self.find(recording_id)
        if recorded.state in LIVE or recorded.state is RecordingState.FINISHING:
            raise Conflict("the recording is not finished")
        await self.keeper.delete(recorded, "request")

    # ---- inside

    def _now(self) -> float:
        return self._facilities.wall(self._facilities.clock())

    def _going(self, call_id: str) -> Take:
        take = self._of_call.get(call_id)
        if take is None:
            raise NotFound("the call is not being recorded")
        return take

    def _now_as(self, recorded: Recorded) -> Recorded:
        """With what is written so far."""
        take = self._takes.get(recorded.id)
        if take is None or take.recording is None:
            return recorded
        return replace(take.recorded, seconds=round(take.recording.seconds, 2), octets=take.recording.octets)

    def _need_room(self) -> None:
        if self.keeper.full:
            raise Unavailable("there is too little room on the disk to record")

    def _new(
        self,
        account_id: str,
        channels: Channels,
        wish: RecordingWish,
        *,
        call_id: str = "",
        room: str = "",
        suffix: str = "",
    ) -> Recorded:
        wall = self._now()
        return Recorded(
            id=new_id("rec", wall),
            account_id=account_id,
            node=self._node,
            call_id=call_id,
            room=room,
            channels=channels,
            format=wish.format or self.settings.format,
            path=place_of(wall, (call_id or f"room-{room}") + suffix),
            state=RecordingState.RECORDING,
            reason="",
            started_at=wall,
        )

    def _take(
        self,
        source: Source,
        recorded: Recorded,
        wish: RecordingWish,
        on_end: Callable[[Recorded], bool] = lambda _recorded: True,
        most_s: float | None = None,
    ) -> Take:
        take = Take(recorded, source, wish.announce or self.settings.announce, on_end, source.rate)
        try:
            take.taps = source.tap(self._facilities.media.wire, take.rate)
        except HouseError:
            source.release()
            raise

        def ended(_recording: Recording) -> None:  # in the recorder's thread
            with contextlib.suppress(RuntimeError):  # the loop is closed: the next start mends it
                self._loop.call_soon_threadsafe(self._ended, take)

        path, mixed = self.keeper.files.path(recorded), recorded.channels is Channels.MIXED
        self._takes[recorded.id] = take
        self._quiet.clear()
        most_s = self.settings.max_s if most_s is None else min(most_s, self.settings.max_s)
        take.recording = self._recorder.start(path, take.taps, take.rate, most_s, ended, mixed=mixed)
        self._shelf.add(recorded)
        self._facilities.bus.publish(RecordingChanged(recorded))
        log.info("recording begins", extra={"call": recorded.call_id, "recording": recorded.id})
        if take.notice is not RecordingNotice.NONE:
            self._announce(take)
        return take

    def _became(self, take: Take, state: RecordingState) -> Recorded:
        take.recorded = replace(take.recorded, state=state)
        self._shelf.note(take.recorded)
        self._facilities.bus.publish(RecordingChanged(take.recorded))
        return self._now_as(take.recorded)

    def _call_changed(self, event: CallChanged) -> None:
        if event.change is Change.ANSWERED and self.settings.calls is WhichCalls.ALL:
            self._by_policy(event.record)
            return
        take = self._of_call.get(event.record.id)
        if take is None:
            return
        if event.change is Change.ENDED:
            self._of_call.pop(event.record.id)
            take.stop(CALL_ENDED)
            self._release(take)
        elif event.change is Change.MOVED:
            self._moved(take)

    def _by_policy(self, record: CallRecord) -> None:
        """Every answered call but those of the house's own making; where there is no room, a row says so."""
        call = self._calls.get(record.id)
        if call is None or call.caller is None:
            return
        try:
            self.begin(record.id, RecordingWish())
        except Conflict:
            return  # an echo
        except Unavailable as error:
            self.refused += 1
            log.warning("not recorded: %s", error.message, extra={"call": record.id})
            wish, channels = RecordingWish(), Channels(self.settings.channels.value)
            never = self._new(record.account_id, channels, wish, call_id=record.id)
            lost = replace(never, state=RecordingState.LOST, reason=error.message, ended_at=never.started_at)
            self._shelf.add(lost)

    def _moved(self, take: Take) -> None:
        """The leg of a call that the house answered is in another room: it is recorded there from now on."""
        call = self._calls[take.recorded.call_id]
        source = Source.of_call(presence_of(call), take.recorded.channels)
        if source.room is take.source.room:
            source.release()
            return
        self._release(take)
        if take.recorded.state is RecordingState.PAUSED:
            take.source = source
            return
        try:
            take.move(source, self._facilities.media.wire)
        except HouseError as error:
            take.stop(error.message)

    def _announce(self, take: Take) -> None:
        """Plays the notice to those who are recorded."""
        take.beep_at = self._now() + BEEP_EVERY_S
        lines: tuple[Line, ...] = (Signal(Tone.BEEP),)
        if take.notice is RecordingNotice.PROMPT:
            lines = (BREATH, Prompt("recorded"))

        def ready(clips: list[Clip] | Unreadable) -> None:
            source = take.source
            if isinstance(clips, Unreadable):
                log.warning("%s cannot be played: %s", clips.line, clips.why, extra={"call": take.recorded.call_id})
            elif not source.room.closed and take.recorded.id in self._takes:
                with contextlib.suppress(WireError):  # wire is too busy for a notice: the call comes first
                    source.room.play(clips, source.everybody)

        self._facilities.studio.prepare(lines, self._facilities.language, NARROW_HZ, ready)

    def _give_up(self, take: Take) -> None:
        """The disk does not follow, and may not come back for long: the call is left alone at once."""
        if take.why:
            return
        take.stop(RecordingEnd.DISK_SLOW.value)
        take.recorded = replace(take.recorded, state=RecordingState.FINISHING, reason=take.why)
        self._shelf.note(take.recorded)
        self._of_call.pop(take.recorded.call_id, None)
        self._release(take)

    def _release(self, take: Take) -> None:
        """Lets go of the room; again is harmless."""
        source = take.source
        take.source = replace(source, release=_nothing)
        source.release()

    def _ended(self, take: Take) -> None:
        """The recorder's thread is done with it."""
        recording, recorded = take.recording, take.recorded
        if recording is None or recording.end is None or self._takes.pop(recorded.id, None) is None:
            return
        take.close_taps()
        self._release(take)
        if self._of_call.get(recorded.call_id) is take:
            del self._of_call[recorded.call_id]
        stopped = recording.end is RecordingEnd.STOPPED
        reason = (take.why or STOPPED) if stopped else recording.end.value
        self.ended[reason if reason in self.ended else recording.end.value] += 1
        ended = replace(
            recorded,
            state=RecordingState.FINISHING,
            reason=reason,
            ended_at=self._now(),
            seconds=round(recording.seconds, 3),
            octets=recording.octets,
        )
        if stopped:
            log.info("recording ended: %s", reason, extra={"call": ended.call_id, "recording": ended.id})
        else:
            log.warning("recording ended: %s", reason, extra={"call": ended.call_id, "recording": ended.id})
        self._shelf.note(ended)
        if take.on_end(ended):
            self.keeper.finish(ended)
        else:
            self.keeper.drop(ended)
        if not self._takes:
            self._quiet.set()


def _nothing() -> None:
    """It was released before."""
