"""The traces of calls: from memory into the store once a call is over, and from either for whoever asks.

Calls that are over wait here until they are many, or for a while; then they go to the store together, as one segment.
Packing is done in short steps between other work, compressing beside it. What the store cannot take waits, up to a
limit, and is then let go of and counted; a call never waits for its trace.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, insert, select

from pbxd.ids import new_id
from pbxd.store import Store, StoreError
from pbxd.store.schema import trace_segments
from pbxd.trace import Recorder, Recording, Sound
from pbxd.trace.packing import pack, unpack
from pbxd.trace.segment import checksums, compress, part_of
from pbxd.trace.track import Track

log = logging.getLogger(__name__)

SEGMENT_CALLS = 256
SEGMENT_SIZE = 4 << 20  # about, before it is compressed
STOP_S = 1.0  # how long a stop waits for a write
PATIENCE_S = 10.0  # few calls wait so long for more
RETRY_S = 5.0  # after the store failed
STEP = 8  # calls packed before others get their turn: 0.3 ms
MAX_WAITING_SIZE = 32 << 20
PRUNE_EVERY_S = 60.0
PRUNE_STEP = 500
PAGE = 200
DAY_S = 86400.0
_INSERT = insert(trace_segments)
_FORGET = delete(trace_segments).where(trace_segments.c.ended_at < bindparam("before"))
_FORGET_OLDEST = delete(trace_segments).where(trace_segments.c.ended_at <= bindparam("until"))


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
        """`account_id` is whose the traces of nobody's calls are."""
        self.keeping = keeping
        self.written = 0
        self.lost = 0  # traces that found no room on their way to the store
        self.failures = 0  # times the store did not take them
        self.waiting_size = 0
        self._recorder = recorder
        self._store = store
        self._network = network
        self._account_id = account_id
        self._waiting: deque[Track] = deque()
        self._waiting_since = 0.0
        self._writing: list[Track] = []
        self._task: asyncio.Task[None] | None = None
        self._pruned_at = self._retry_at = float("-inf")

    @property
    def waiting(self) -> int:
        """Calls that are over and not in the store yet."""
        return len(self._waiting) + len(self._writing)

    # ---- into the store

    def beat(self, now: float) -> None:
        """Due every second; `now` is the recorder's clock."""
        self._take(self._recorder.sweep(now), now)
        prune = now - self._pruned_at >= PRUNE_EVERY_S
        many = len(self._waiting) >= SEGMENT_CALLS or self.waiting_size >= SEGMENT_SIZE
        write = now >= self._retry_at and (many or bool(self._waiting and now - self._waiting_since >= PATIENCE_S))
        if (write or prune) and (self._task is None or self._task.done()):
            self._pruned_at = now if prune else self._pruned_at
            self._task = asyncio.create_task(self._work(now, write=write, prune=prune), name="traces")

    async def stop(self, now: float) -> None:
        """Write all that is held, before the store closes. A store in trouble is not waited for: traces are lost then,
        which no record is."""
        self._take(self._recorder.finish_all(now), now)
        if self._task is not None:
            await asyncio.wait([self._task], timeout=STOP_S)
        if self._store.trouble is None:
            self._task = asyncio.create_task(self._work(now, write=True, prune=False), name="traces")
            await asyncio.wait([self._task], timeout=STOP_S)  # a write that takes longer ends by itself, soon after
        if self.waiting:
            self.lost += self.waiting
            log.warning("%d traces were not written: the house was stopped without a store", self.waiting)

    def _take(self, finished: Sequence[Track], now: float) -> None:
        if finished and not self._waiting:
            self._waiting_since = now
        if not self.keeping.days:
            return
        for track in finished:
            self._waiting.append(track)
            self.waiting_size += track.size
        while self.waiting_size > MAX_WAITING_SIZE and self._waiting:
            self.waiting_size -= self._waiting.popleft().size
            self.lost += 1

    async def _work(self, now: float, *, write: bool, prune: bool) -> None:
        try:
            while write and self._waiting:
                await self._write()
            if prune:
                await self._prune()
        except StoreError as error:
            self.failures += 1
            self._retry_at = now + RETRY_S
            log.warning("traces could not be written, %d wait: %s", self.waiting, error)
        except Exception:
            self.failures += 1
            self.lost += len(self._writing)
            log.exception("traces are lost by a fault of ours")
        self._writing = []
        self._waiting_since = now

    async def _write(self) -> None:
        """One segment of each account; on a StoreError its calls wait again."""
        size = 0
        while self._waiting and len(self._writing) < SEGMENT_CALLS and size < SEGMENT_SIZE:
            track = self._waiting.popleft()
            self._writing.append(track)
            size += track.size
        self.waiting_size -= size
        try:
            await self._store.commit([(_INSERT, row) for row in await self._rows(self._writing)])
        except StoreError:
            self._waiting.extendleft(reversed(self._writing))
            self.waiting_size += size
            self._writing = []
            raise
        self.written += len(self._writing)
        self._writing = []

    async def _rows(self, tracks: Sequence[Track]) -> list[dict[str, object]]:
        parts: dict[str, list[bytes]] = {}
        accounts: dict[str, list[Track]] = {}
        for number, track in enumerate(tracks, 1):
            account_id = track.account_id or self._account_id
            parts.setdefault(account_id, []).append(pack(track, self._network.local_ip))
            accounts.setdefault(account_id, []).append(track)
            if number % STEP == 0:
                await asyncio.sleep(0)
        return [
            self._row(account_id, accounts[account_id], await asyncio.to_thread(compress, packed))
            for account_id, packed in parts.items()
        ]

    def _row(self, account_id: str, tracks: Sequence[Track], data: bytes) -> dict[str, object]:
        wall = self._network.wall()
        ends = [wall if track.ended_at is None else track.ended_at + track.offset for track in tracks]
        names = checksums([name for track in tracks for name in track.names])
        return {
            "id": new_id("traces", wall),
            "account_id": account_id,
            "started_at": min(track.began_at + track.offset for track in tracks),
            "ended_at": max(ends),
            "calls": len(tracks),
            "size": len(data) + len(names),
            "names": names,
            "data": data,
        }

    async def _prune(self) -> None:
        await self._store.commit([(_FORGET, {"before": self._network.wall() - self.keeping.days * DAY_S})])
        ((size,),) = await self._store.rows(select(func.coalesce(func.sum(trace_segments.c.size), 0)))
        excess = size - self.keeping.size
        query = select(trace_segments.c.ended_at, trace_segments.c.size)
        while excess > 0:
            until, freed = 0.0, 0
            for row in await self._store.rows(query.order_by(trace_segments.c.ended_at).limit(PRUNE_STEP)):
                if freed >= excess:
                    break
                until, freed = row.ended_at, freed + row.size
            await self._store.commit([(_FORGET_OLDEST, {"until": until})])
            excess -= freed

    # ---- reading

    async def find(self, *names: str, accounts: Collection[str] | None = None) -> Recording | None:
        """The trace of a call id, a SIP Call-ID or a debug target, as it is now, found by any of `names`; None where
        there is none. With `accounts`, only theirs are looked at."""
        for name in names:
            track = self._live(name)
            if track is not None and _theirs(track.account_id or self._account_id, accounts):
                sounds = () if track.ended_at is not None else self._network.sounds(track.names)
                return Recording.of(track, self._network.local_ip, sounds)
        return await self._stored(names, accounts)

    async def news(self, name: str, number: int, wait_s: float) -> None:
        """Return when the trace has an entry of this number, has ended, or after `wait_s`."""
        track = self._live(name)
        if track is None or track.next > number or track.ended_at is not None:
            return
        woken = asyncio.Event()
        track.watchers += (woken.set,)
        try:
            async with asyncio.timeout(wait_s):
                await woken.wait()
        except TimeoutError:
            track.watchers = tuple(watcher for watcher in track.watchers if watcher != woken.set)

    def _live(self, name: str) -> Track | None:
        found = self._recorder.find(name)
        return found or next((track for track in (*self._waiting, *self._writing) if name in track.names), None)

    async def _stored(self, names: Sequence[str], accounts: Collection[str] | None) -> Recording | None:
        """Newest first. A segment of the same checksum need not have the name."""
        wanted, place = {checksums([name]): name for name in names}, trace_segments.c
        query = select(place.id, place.names).order_by(place.ended_at.desc(), place.id)
        if accounts is not None:
            query = query.where(place.account_id.in_(accounts))
        for page in range(1 << 20):
            rows = await self._store.rows(query.limit(PAGE).offset(page * PAGE))
            for row in rows:
                for name in (name for checksum, name in wanted.items() if checksum in row.names):
                    found = await self._in_segment(row.id, name)
                    if found is not None:
                        return found
            if len(rows) < PAGE:
                break
        return None

    async def _in_segment(self, segment_id: str, name: str) -> Recording | None:
        query = select(trace_segments.c.data).where(trace_segments.c.id == segment_id)
        for row in await self._store.rows(query):
            return await asyncio.to_thread(_read, bytes(row.data), name)
        return None


def _theirs(account_id: str, accounts: Collection[str] | None) -> bool:
    return accounts is None or account_id in accounts


def _read(segment: bytes, name: str) -> Recording | None:
    part = part_of(segment, name)
    return None if part is None else unpack(part)
