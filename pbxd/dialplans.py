"""Call flows, put together with all they work with: web, mail, recorder, conferences, the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from media.library import PromptLibrary
from media.rooms import Room
from media.script import Line
from media.session import MediaSession
from pbxd.calls.facilities import Facilities
from pbxd.calls.gate import Gate
from pbxd.calls.record import CallRecord
from pbxd.config import Config
from pbxd.directory.accounts import Directory
from pbxd.errors import HouseError
from pbxd.flows import Flows
from pbxd.flows.desk import Desk, Limits
from pbxd.flows.take import Tape
from pbxd.flows.web import Web
from pbxd.logs import get_logger
from pbxd.outbox import Letter, Outbox
from pbxd.services.conferences import Conferences
from pbxd.services.recordings import STOPPED, Recorded, Recordings
from pbxd.services.recordings.recorded import BROKEN
from pbxd.store import Store

Said = TypeVar("Said")

log = get_logger(part="flows")

TENANTS = "flows"  # in the data: a folder for each account but the default one, by its id
HEAD_START_S = 1.0  # for the flows to be there before the first call


class Dialplans:
    """The flows of the house. `outbox` is set as soon as there is one; `flush` sends what the SIP stack has to say."""

    def __init__(
        self,
        config: Config,
        store: Store,
        directory: Directory,
        facilities: Facilities,
        conferences: Conferences,
        flush: Callable[[], None],
        music: Callable[[str], Sequence[Line]] = lambda _account_id: (),
    ) -> None:
        self._flush = flush
        self._facilities = facilities
        self._tasks: set[asyncio.Task[object]] = set()
        self._web = Web(config.dialplan.http_allow)
        self.outbox: Outbox | None = None
        desk = Desk(
            facilities=facilities,
            conferences=conferences,
            ask=lambda command, done: self._web.ask(command, self._then_flush(done)),
            send_mail=self._send_mail,
            moment=lambda account_id, now: self.flows.overrides.moment(account_id, facilities.wall(now)),
            override=self._override,
            music=music,
            limits=Limits(config.dialplan.max_steps),
        )
        self.flows = Flows(
            desk,
            store,
            directory,
            folder_of(config),
            config.data_dir / TENANTS,
            self._language,
            self._library,
            lambda: facilities.wall(time.monotonic()),
        )

    async def start(self) -> None:
        """Begins to read the flows, and waits a moment for them: phones must not wait for a large dialplan."""
        reading = self._spawn(self.flows.start())
        await asyncio.wait([reading], timeout=HEAD_START_S)

    async def stop(self) -> None:
        await self.flows.stop()
        await self._web.close()
        for task in set(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def reload(self, config: Config) -> None:
        """Calls that are up keep the flow they are in."""
        self._web.allowed = config.dialplan.http_allow
        self.flows.desk.limits = Limits(config.dialplan.max_steps)

    def read_again(self) -> None:
        """Begins to take up what has changed: files, and what they are checked against."""
        self._spawn(self.flows.refresh())

    def keep_in(self, recordings: Recordings) -> None:
        """What flows record is among these from now on."""
        self.flows.desk.tapes = _Tapes(recordings, self._flush)

    def pass_gate(self, gate: Gate) -> None:
        """From now on whom flows call is counted, and where they write to outside is watched."""
        self.flows.desk.hold, self.flows.desk.post = gate.hold, gate.post

    # ---- inside

    def _override(
        self, account_id: str, schedule: str, opening: str | None, until: float | None, by: str
    ) -> str | None:
        return self.flows.overrides.set(account_id, schedule, opening, until, by)

    def _language(self) -> str:
        return self._facilities.language

    def _library(self) -> PromptLibrary:
        return self._facilities.studio.reader.library

    def _then_flush(self, done: Callable[[Said], None]) -> Callable[[Said], None]:
        def told(said: Said) -> None:
            done(said)
            self._flush()

        return told

    def _spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = asyncio.get_running_loop().create_task(work, name="flows")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the flows could not be read", reason=str(error))

    def _send_mail(self, account_id: str, to: str, subject: str, text: str, done: Callable[[str | None], None]) -> None:
        self._spawn(self._mail(account_id, Letter(to, subject, text), self._then_flush(done)))

    async def _mail(self, account_id: str, letter: Letter, done: Callable[[str | None], None]) -> None:
        if self.outbox is None:
            done("mail is not ready yet")
            return
        try:
            await self.outbox.put_letter(account_id, letter, summary=f"of a call flow to {letter.to}")
        except HouseError as error:
            done(error.message)
        else:
            done(None)


@dataclass(frozen=True, slots=True)
class _Tapes:
    """Flows record callers, and go on when that has ended."""

    recordings: Recordings
    flush: Callable[[], None]

    def begin(
        self, record: CallRecord, room: Room, leg: MediaSession, most_s: float, on_end: Callable[[float, str], bool]
    ) -> Tape:
        def ended(recorded: Recorded) -> bool:
            wanted = on_end(recorded.seconds, recorded.reason if recorded.reason in BROKEN else "")
            self.flush()
            return wanted

        take = self.recordings.begin_words(record, room, leg, most_s, ended)
        path = self.recordings.keeper.files.path(take.recorded)
        return Tape(take.recorded.id, path, lambda: take.stop(STOPPED))


def folder_of(config: Config) -> Path | None:
    """Where the flows of a configuration lie; None of one that is no file."""
    return config.dialplan.at(config.file) if config.file is not None else config.dialplan.folder
