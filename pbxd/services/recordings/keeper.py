"""What happens to recordings that have ended: mended after a crash, checked, compressed, deleted when it is time."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import TypeVar

from media.convert import Interrupted
from pbxd.config.recordings import RecordingFormat
from pbxd.config.recordings import Recordings as Settings
from pbxd.errors import Unavailable
from pbxd.events import Bus
from pbxd.ids import new_id
from pbxd.services.recordings.recorded import (
    RESTARTED,
    Channels,
    Recorded,
    RecordingChanged,
    RecordingState,
)
from pbxd.services.recordings.shelf import WORDS, Files, Shelf, oldest_beyond
from pbxd.store import StoreError

log = logging.getLogger(__name__)

LOOK_S = 10.0  # between two looks at the room on the disk
CLEAN_S = 60.0
BATCH = 200
PATIENCE_S = 2.0  # of a stop, for checksums; compressing is begun again at the next start
DAY_S = 86_400.0
MB = 1_000_000

Result = TypeVar("Result")


class Keeper:
    """Two threads of its own: `finish` may take its time, and the room on the disk is looked at all the same."""

    def __init__(self, shelf: Shelf, files: Files, settings: Settings, bus: Bus, now: Callable[[], float]) -> None:
        self._shelf = shelf
        self._bus = bus
        self._now = now
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="recordings")
        self._cleaner = ThreadPoolExecutor(1, thread_name_prefix="recordings-room")
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = self._cleaned_at = float("-inf")
        self._closing = False
        self.files = files
        self.settings = settings
        self.free: int | None = None
        self.octets = 0
        self.deleted: Counter[str] = Counter({"retention": 0, "quota": 0, "request": 0, "unwanted": 0})

    @property
    def full(self) -> bool:
        """Whether the disk has too little room to record; False while nobody knows."""
        return self.free is not None and self.free < self.settings.min_free_mb * MB

    async def start(self, account_id: str) -> None:
        """Ends what an earlier process left open. Raises StoreError."""
        await self._look()
        left = await self._shelf.left_open()
        for recorded in left:
            mended = recorded
            if recorded.state is not RecordingState.FINISHING:
                mended = await self._in(self._finisher, partial(self.files.mend, recorded))
                ended = recorded.started_at + mended.seconds
                mended = replace(mended, state=RecordingState.FINISHING, ended_at=ended)
                await self._shelf.settle(mended)
            self.finish(mended)
        if left:
            log.warning("%d recordings were left open by an earlier run and are ended now", len(left))
        await self._adopt(account_id)

    async def stop(self) -> None:
        """Gives what is nearly done a moment; the rest is done at the next start."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE_S)
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE_S)
        if self._looking is not None and not self._looking.done():
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for pool in (self._finisher, self._cleaner):
            pool.shutdown(wait=False, cancel_futures=True)

    def beat(self, wall: float) -> None:
        """What is due every second."""
        if self._looking is not None and not self._looking.done():
            return
        if wall - self._cleaned_at >= CLEAN_S:
            self._cleaned_at = self._looked_at = wall
            self._looking = asyncio.create_task(self._clean(wall), name="recordings-clean")
        elif wall - self._looked_at >= LOOK_S:
            self._looked_at = wall
            self._looking = asyncio.create_task(self._look(), name="recordings-look")

    def finish(self, recorded: Recorded) -> None:
        """Checks and compresses one that has ended, in the background."""
        task = asyncio.create_task(self._finish(recorded), name=f"finish-{recorded.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drop(self, recorded: Recorded) -> None:
        """Removes one that has ended and that nobody wants, in the background."""
        task = asyncio.create_task(self._drop(recorded), name=f"drop-{recorded.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def delete(self, recorded: Recorded, why: str) -> None:
        """Removes file and row. Raises Unavailable."""
        try:
            await self._in(self._cleaner, partial(self.files.remove, recorded))
            await self._shelf.forget(recorded)
        except (OSError, StoreError) as error:
            raise Unavailable(f"the recording cannot be deleted: {error}") from error
        self.deleted[why] += 1
        log.info("recording deleted: %s", why, extra={"call": recorded.call_id, "recording": recorded.id})

    async def _drop(self, recorded: Recorded) -> None:
        try:
            await self._shelf.settle(recorded)  # its row may still be in the queue
            await self.delete(recorded, "unwanted")
        except (StoreError, Unavailable) as error:
            log.warning("an unwanted recording is left: %s", error, extra={"recording": recorded.id})

    async def _finish(self, recorded: Recorded) -> None:
        try:
            finished = await self._in(self._finisher, partial(self.files.finish, recorded, lambda: not self._closing))
            await self._shelf.settle(finished)
            await self._in(self._finisher, partial(self.files.tidy, finished))
        except Interrupted:
            return  # the next start does it
        except StoreError as error:
            log.warning("a recording is finished at the next start: %s", error, extra={"recording": recorded.id})
            return
        self._bus.publish(RecordingChanged(finished))

    async def _adopt(self, account_id: str) -> None:
        """Gives files a row whose own was lost in a crash, and removes what is left of one that was compressed."""
        names = await self._in(self._finisher, self.files.newest)
        known = await self._shelf.known([*names, *(_as_wav(name) for name in names), *map(_as_opus, names)])
        for name in names:
            if name in known or (name.endswith(".wav") and _as_opus(name) in known) or _as_wav(name) in known:
                continue
            what = PurePosixPath(name).stem.partition("-")[2]
            call_id = what.removesuffix(WORDS)
            owner = await self._shelf.account_of(call_id)
            wall = self._now()
            orphan = Recorded(
                id=new_id("rec", wall),
                account_id=owner or account_id,
                node=self._shelf.node,
                call_id=call_id if owner else "",
                room="" if owner else call_id.removeprefix("room-"),
                channels=(Channels.CALLER if what != call_id else Channels.STEREO) if owner else Channels.MIXED,
                format=RecordingFormat.WAV,
                path=name,
                state=RecordingState.FINISHING,
                reason=RESTARTED,
                started_at=wall,
            )
            mended = await self._in(self._finisher, partial(self.files.mend, orphan))
            self._shelf.add(replace(mended, started_at=wall - mended.seconds, ended_at=wall))
            self.finish(replace(mended, started_at=wall - mended.seconds, ended_at=wall))

    async def _look(self) -> None:
        try:
            self.free = await self._in(self._cleaner, self.files.free)
        except OSError as error:
            log.warning("the folder of recordings cannot be used: %s", error)
            self.free = 0

    async def _clean(self, wall: float) -> None:
        """Deletes what is too old, and the oldest of what is too much."""
        await self._look()
        try:
            if self.settings.retention_days:
                before = wall - self.settings.retention_days * DAY_S
                for recorded in await self._shelf.ended_before(before, BATCH):
                    await self.delete(recorded, "retention")
            self.octets = await self._shelf.octets()
            excess = self.octets - self.settings.quota_mb * MB
            if excess > 0:
                for recorded in oldest_beyond(await self._shelf.oldest(BATCH), excess):
                    await self.delete(recorded, "quota")
                    self.octets -= recorded.octets
        except Unavailable as error:
            log.warning("recordings cannot be looked after: %s", error.message)

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def _as_wav(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(".wav"))


def _as_opus(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(".opus"))
