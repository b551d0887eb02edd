"""The traces of calls: from memory into the store once a call is over, and from either for whoever asks.

Writing is done beside the calls: masking and packing in a thread, rows by the store's queue. What cannot be written in
time is let go of and counted; a call never waits for its trace.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import bindparam, delete, func, insert, select

from pbxd.calls.record import CallChanged, Change
from pbxd.events import Bus
from pbxd.ids import new_id
from pbxd.store import Store, StoreError
from pbxd.store.schema import call_legs, traces
from pbxd.trace import Recorder, Recording, SipMessage, Sound
from pbxd.trace.track import Track

log = logging.getLogger(__name__)

BATCH = 32  # traces packed in one visit to the thread
MAX_WAITING = 5000  # traces not yet packed
MAX_PENDING_ROWS = 20_000  # in the store's queue; above that the records of calls come first
PRUNE_EVERY_S = 60.0
PRUNE_STEP = 500
DAY_S = 86400.0
_INSERT = insert(traces)
_FORGET = delete(traces).where(traces.c.ended_at < bindparam("before"))
_FORGET_OLDEST = delete(traces).where(traces.c.ended_at <= bindparam("until"))


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long traces stay in the store, and how many bytes of them; 0 days writes none."""

    days: int = 7
    size: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Network:
    """What the live side adds: our address toward a peer, the RTP so far of legs in dialogs, and the wall clock."""

    local_ip: Callable[[str], str]
    sounds: Callable[[Container[str]], tuple[Sound, ...]]
    wall: Callable[[], float]


class Traces:
    """Finds a trace wherever it is, and moves those of ended calls to the store."""

    def __init__(self, recorder: Recorder, store: Store, network: Network, keeping: Keeping, account_id: str) -> None:
        self.keeping = keeping
        self.written = 0
        self.lost = 0  # traces that found no room on their way to the store
        self._recorder = recorder
        self._store = store
        self._network = network
        self._account_id = account_id
        self._accounts: dict[str, str] = {}
        self._waiting: deque[Track] = deque()
        self._task: asyncio.Task[None] | None = None
        self._pruned_at = float("-inf")

    def listen(self, bus: Bus) -> None:
        """Learn whose call each one was."""
        bus.subscribe(CallChanged, self._changed)

    def _changed(self, event: CallChanged) -> None:
        if event.change is Change.STARTED and event.record.account_id != self._account_id:
            self._accounts[event.record.id] = event.record.account_id

    # ---- into the store

    def beat(self, now: float) -> None:
        """Due every second; `now` is the recorder's clock."""
        self._take(self._recorder.sweep(now))
        due = now - self._pruned_at >= PRUNE_EVERY_S
        if due:
            self._pruned_at = now
        if (self._waiting or due) and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._work(prune=due), name="traces")

    async def stop(self, now: float) -> None:
        """Write all that is held, before the store closes."""
        self._take(self._recorder.finish_all(now))
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._work(prune=False)

    def _take(self, finished: Sequence[Track]) -> None:
        for track in finished:
            if self.keeping.days and len(self._waiting) < MAX_WAITING:
                self._waiting.append(track)
            else:
                self.lost += self.keeping.days > 0
                self._accounts.pop(track.id, None)

    async def _work(self, *, prune: bool) -> None:
        try:
            while self._waiting:
                await self._write([self._waiting[index] for index in range(min(BATCH, len(self._waiting)))])
            if prune:
                await self._prune()
        except Exception:
            log.exception("traces could not be written")

    async def _write(self, batch: Sequence[Track]) -> None:
        if self._store.pending > MAX_PENDING_ROWS:
            self.lost += len(batch)
        else:
            jobs = [partial(Recording.of, track, self._places(track)) for track in batch]
            for track, (recording, data) in zip(batch, await asyncio.to_thread(_packed, jobs), strict=True):
                self._store.write(_INSERT, self._row(track, recording, data))
                self.written += 1
        for track in batch:
            self._waiting.popleft()
            self._accounts.pop(track.id, None)

    def _row(self, track: Track, recording: Recording, data: bytes) -> dict[str, object]:
        is_call = len(track.names) > 1 and track.id.startswith("call_")
        ended_at = recording.ended_at or self._network.wall()
        return {
            "id": track.id if is_call else new_id("trace", ended_at),
            "account_id": self._accounts.get(track.id, self._account_id),
            "target": None if is_call else track.id,
            "started_at": recording.started_at,
            "ended_at": ended_at,
            "size": len(data),
            "data": data,
        }

    def _places(self, track: Track) -> Callable[[str], str]:
        """Our address toward each peer of a track, asked for here because a thread may not ask."""
        remotes = {entry.remote[0] for entry in track.entries if isinstance(entry, SipMessage)}
        remotes |= {sound.remote[0] for sound in track.sounds}
        places = {remote: self._network.local_ip(remote) for remote in remotes}
        return lambda remote: places.get(remote, remote)

    async def _prune(self) -> None:
        before = self._network.wall() - self.keeping.days * DAY_S
        try:
            await self._store.commit([(_FORGET, {"before": before})])
            ((size,),) = await self._store.rows(select(func.coalesce(func.sum(traces.c.size), 0)))
            excess = size - self.keeping.size
            while excess > 0:
                query = select(traces.c.ended_at, traces.c.size).order_by(traces.c.ended_at).limit(PRUNE_STEP)
                until, freed = 0.0, 0
                for row in await self._store.rows(query):
                    if freed >= excess:
                        break
                    until, freed = row.ended_at, freed + row.size
                await self._store.commit([(_FORGET_OLDEST, {"until": until})])
                excess -= freed
        except StoreError as error:
            log.warning("old traces could not be removed: %s", error)

    # ---- reading

    async def find(self, name: str) -> Recording | None:
        """The trace of a call id, a SIP Call-ID or a debug target, as it is now; None where there is none."""
        track = self._live(name)
        if track is not None:
            sounds = () if track.ended_at is not None else self._network.sounds(track.names)
            return Recording.of(track, self._network.local_ip, sounds)
        data = await self._stored(name)
        return None if data is None else await asyncio.to_thread(Recording.unpacked, data)

    async def news(self, name: str, number: int, wait_s: float) -> None:
        """Return when the trace has an entry of this number, has ended, or after `wait_s`."""
        track = self._live(name)
        if track is None or track.next > number or track.ended_at is not None:
            return
        woken = asyncio.Event()
        track.watchers.append(woken.set)
        try:
            async with asyncio.timeout(wait_s):
                await woken.wait()
        except TimeoutError:
            if woken.set in track.watchers:
                track.watchers.remove(woken.set)

    def _live(self, name: str) -> Track | None:
        found = self._recorder.find(name)
        return found or next((track for track in self._waiting if name in track.names), None)

    async def _stored(self, name: str) -> bytes | None:
        call = select(call_legs.c.call_id).where(call_legs.c.sip_call_id == name)
        newest = traces.c.ended_at.desc()
        for condition in (traces.c.id == name, traces.c.id.in_(call), traces.c.target == name):
            for row in await self._store.rows(select(traces.c.data).where(condition).order_by(newest).limit(1)):
                return bytes(row.data)
        return None


def _packed(jobs: Sequence[Callable[[], Recording]]) -> list[tuple[Recording, bytes]]:
    recordings = [job() for job in jobs]
    return [(recording, recording.packed()) for recording in recordings]
