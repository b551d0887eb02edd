"""Where recordings lie: their rows in the store and their files under one folder, which tell the same story."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Select, func, insert, select

from media import wav
from media.convert import BadAudio, compress
from pbxd.config.recordings import RecordingFormat
from pbxd.errors import Invalid
from pbxd.services.recordings.recorded import (
    BROKEN,
    LIVE,
    RESTARTED,
    Channels,
    Recorded,
    RecordingFilter,
    RecordingState,
)
from pbxd.store import Store
from pbxd.store.schema import calls, recordings

MAX_PAGE = 500
CHUNK = 1 << 20
WORDS = "-words"  # at the end of the name of what a caller was asked to say
_FIELDS = tuple(Recorded.__dataclass_fields__)
_CHANGING = ("format", "path", "state", "reason", "ended_at", "seconds", "octets", "sha256")
_INSERT = insert(recordings)


def place_of(wall: float, what: str) -> str:
    """YYYY/MM/DD/HHMMSS.mmm-WHAT.wav, in UTC: files sort by time, and no two have one name."""
    at = datetime.fromtimestamp(wall, UTC)
    safe = "".join(sign if sign.isalnum() or sign in "_-" else "_" for sign in what)
    return f"{at:%Y/%m/%d/%H%M%S}.{at.microsecond // 1000:03}-{safe}.wav"


class Shelf:
    """The rows of one node's recordings, and all of them to look at."""

    def __init__(self, store: Store, node: str) -> None:
        self._store = store
        self.node = node
        self._update = store.update_by_id(recordings, *_CHANGING)
        self._delete = store.delete_by_id(recordings)

    def add(self, recorded: Recorded) -> None:
        """Queues the row of a new one; never waits."""
        self._store.write(_INSERT, _row(recorded))

    def note(self, recorded: Recorded) -> None:
        """Queues what changed."""
        self._store.write(self._update, _change(recorded))

    async def settle(self, recorded: Recorded) -> None:
        """Writes what changed, at once. Raises StoreError."""
        await self._store.drain()  # its row may still be in the queue
        await self._store.commit([(self._update, _change(recorded))])

    async def forget(self, recorded: Recorded) -> None:
        """Removes the row. Raises StoreError."""
        await self._store.commit([(self._delete, {"key": recorded.id})])

    async def find(self, recording_id: str) -> Recorded | None:
        return next(iter(await self._all(select(recordings).where(recordings.c.id == recording_id))), None)

    async def page(self, wanted: RecordingFilter) -> list[Recorded]:
        """Newest first. Raises Invalid for a limit out of bounds."""
        if not 1 <= wanted.limit <= MAX_PAGE:
            raise Invalid(f"the limit must be between 1 and {MAX_PAGE}")
        query = select(recordings).order_by(recordings.c.id.desc()).limit(wanted.limit)
        if wanted.before is not None:
            query = query.where(recordings.c.id < wanted.before)
        said = ("account_id", "call_id", "room", "state")
        for column, value in ((name, getattr(wanted, name)) for name in said):
            if value is not None:
                query = query.where(recordings.c[column] == str(value))
        if wanted.since is not None:
            query = query.where(recordings.c.started_at >= wanted.since)
        if wanted.until is not None:
            query = query.where(recordings.c.started_at < wanted.until)
        return await self._all(query)

    async def left_open(self) -> list[Recorded]:
        """Those of this node that an earlier process was still busy with."""
        states = [state.value for state in (*LIVE, RecordingState.FINISHING)]
        mine = recordings.c.node == self.node
        return await self._all(select(recordings).where(mine, recordings.c.state.in_(states)))

    async def ended_before(self, wall: float, limit: int) -> list[Recorded]:
        """Ended ones that began before then, oldest first."""
        query = select(recordings).where(recordings.c.started_at < wall)
        return await self._all(self._ended(query).limit(limit))

    async def oldest(self, limit: int) -> list[Recorded]:
        """Ended ones, oldest first."""
        return await self._all(self._ended(select(recordings)).limit(limit))

    async def octets(self) -> int:
        """Of all files of this node."""
        query = select(func.coalesce(func.sum(recordings.c.octets), 0)).where(recordings.c.node == self.node)
        (row,) = await self._store.rows(query)
        return int(row[0])

    async def known(self, paths: Iterable[str]) -> set[str]:
        """Which of these paths belong to a row."""
        found = await self._store.rows(select(recordings.c.path).where(recordings.c.path.in_(list(paths))))
        return {row.path for row in found}

    async def account_of(self, call_id: str) -> str | None:
        """Whose call it was."""
        return next((row.account_id for row in await self._store.rows(
            select(calls.c.account_id).where(calls.c.id == call_id))), None)  # fmt: skip

    def _ended(self, query: Select[Any]) -> Select[Any]:
        mine = recordings.c.node == self.node
        states = [RecordingState.DONE.value, RecordingState.CUT.value, RecordingState.LOST.value]
        return query.where(mine, recordings.c.state.in_(states)).order_by(recordings.c.id)

    async def _all(self, query: Select[Any]) -> list[Recorded]:
        return [_recorded(row) for row in await self._store.rows(query)]


def _row(recorded: Recorded) -> dict[str, Any]:
    row = {name: getattr(recorded, name) for name in _FIELDS}
    return row | {name: str(row[name]) for name in ("channels", "format", "state")}


def _change(recorded: Recorded) -> dict[str, Any]:
    row = _row(recorded)
    return {"key": recorded.id, **{name: row[name] for name in _CHANGING}}


def _recorded(row: Row[Any]) -> Recorded:
    values = {name: getattr(row, name) for name in _FIELDS}
    return Recorded(
        **values
        | {
            "channels": Channels(values["channels"]),
            "format": RecordingFormat(values["format"]),
            "state": RecordingState(values["state"]),
        }
    )


# ---- files; all of this blocks


@dataclass(frozen=True, slots=True)
class Files:
    """The folder. Its work is for a thread that may block."""

    folder: Path

    def path(self, recorded: Recorded) -> Path:
        return self.folder / recorded.path

    def finish(self, recorded: Recorded, wanted: Callable[[], bool]) -> Recorded:
        """The recording as it is to be kept: on the disk, compressed where that is wanted, its checksum known. What
        cannot be compressed stays a WAV file; what is not there at all is lost. Raises Interrupted."""
        path = self.path(recorded)
        state = RecordingState.CUT if recorded.reason in BROKEN else RecordingState.DONE
        try:
            if path.suffix == ".wav":
                with contextlib.suppress(wav.BadWav):
                    wav.repair(path)  # a full disk may have kept its header from being written
            if recorded.format is RecordingFormat.OPUS and path.suffix == ".wav" and recorded.seconds > 0:
                path = self._compressed(path, wanted)
            octets, sha256 = _checksum(path)
        except OSError as error:
            why = recorded.reason if recorded.reason in BROKEN else f"its file cannot be read: {error.strerror}"
            return replace(recorded, state=RecordingState.LOST, reason=why, octets=0)
        kind = RecordingFormat(path.suffix.removeprefix("."))
        place = str(path.relative_to(self.folder))
        return replace(recorded, state=state, format=kind, path=place, octets=octets, sha256=sha256)

    def _compressed(self, path: Path, wanted: Callable[[], bool]) -> Path:
        target = path.with_suffix(".opus")
        try:
            compress(path, target, wanted)
        except BadAudio:
            return path
        return target

    def tidy(self, recorded: Recorded) -> None:
        """Removes the WAV file beside one that was compressed, once its row is safe."""
        path = self.path(recorded)
        if path.suffix == ".opus":
            path.with_suffix(".wav").unlink(missing_ok=True)

    def mend(self, recorded: Recorded) -> Recorded:
        """What a crash left behind, made whole."""
        try:
            form = wav.repair(self.path(recorded))
        except (OSError, wav.BadWav):
            return replace(recorded, seconds=0.0, octets=0, reason=RESTARTED)
        return replace(recorded, seconds=form.seconds, octets=form.octets, reason=RESTARTED)

    def remove(self, recorded: Recorded) -> None:
        """Deletes the file; one that is not there is no error. Raises OSError."""
        path = self.path(recorded)
        for each in (path, path.with_suffix(".wav"), path.with_name(path.name + ".part")):
            each.unlink(missing_ok=True)

    def newest(self) -> list[str]:
        """The files of the two newest days: where one may lie that a crash kept from having a row."""
        days = sorted(self.folder.glob("[0-9]*/[0-9]*/[0-9]*"))[-2:]
        files = (path for day in days for path in sorted(day.iterdir()) if path.suffix in (".wav", ".opus"))
        return [str(path.relative_to(self.folder)) for path in files]

    def free(self) -> int:
        """Octets that the disk has left for us. Raises OSError."""
        seen = os.statvfs(self.folder if self.folder.is_dir() else self.folder.parent)
        return seen.f_bavail * seen.f_frsize


def _checksum(path: Path) -> tuple[int, str]:
    digest, octets = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            octets += len(chunk)
        os.fsync(file.fileno())
    return octets, digest.hexdigest()


def oldest_beyond(found: Sequence[Recorded], excess: int) -> list[Recorded]:
    """As many of them, the first first, as hold `excess` octets."""
    chosen = []
    for recorded in found:
        if excess <= 0:
            break
        chosen.append(recorded)
        excess -= recorded.octets
    return chosen
