"""The flows of the house: loaded from their folder, run on calls, uploaded, rolled back, watched.

Reading and checking happen in a worker thread; what is live changes between two turns of the event loop, whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from dialplan.check import errors
from dialplan.hours import Opening
from dialplan.load import PART, SUFFIX, Defaults
from dialplan.names import Surroundings
from dialplan.problem import Problem
from dialplan.state import Ending
from dialplan.tree import MAX_BYTES
from media.library import SUFFIXES, PromptLibrary, phrases
from pbxd.calls import causes
from pbxd.calls.record import CallRecord, Result
from pbxd.calls.stage import Act, Delegate, Stage
from pbxd.config.dialplan import DEAF
from pbxd.directory.accounts import Directory
from pbxd.directory.model import ExtensionKind
from pbxd.errors import Invalid, NotFound, TooLarge, Unavailable
from pbxd.flows.act import FlowAct
from pbxd.flows.book import SCHEDULES, Book, House, Look, Report, look
from pbxd.flows.desk import Desk
from pbxd.flows.hours import Overrides
from pbxd.flows.versions import Version, Versions, difference
from pbxd.logs import get_logger
from pbxd.metrics import Metrics
from pbxd.store import Store, StoreError

log = get_logger(part="flows")

WATCH_S = 2.0
LATE_S = 0.05
FILE = "file"
LIVE = "live"
MOST_SAID = 20  # problems in one refusal
MOST_PROMPTS = 10_000

Mark = tuple[tuple[str, int, int], ...] | None


class Flows:
    """`folder` is where they lie; None is nowhere. `start` it once, `stop` it once; `tick` every second or so."""

    def __init__(
        self,
        desk: Desk,
        store: Store,
        directory: Directory,
        folder: Path | None,
        language: Callable[[], str],
        library: Callable[[], PromptLibrary],
        wall: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._language = language
        self._prompts = library
        self._wall = wall
        self._lock = asyncio.Lock()
        self._mark: Mark = None
        self._looked_at = 0.0
        self._watching: asyncio.Task[None] | None = None
        self.desk = desk
        self.folder = folder
        self.book = Book()
        self.versions = Versions(store)
        self.overrides = Overrides(store, self._schedules, wall)
        self.sessions: dict[str, FlowAct] = {}
        self.endings: Counter[str] = Counter(dict.fromkeys((ending.value for ending in Ending), 0))
        self.loads: Counter[str] = Counter({"good": 0, "bad": 0})
        self.ready = False  # they have been read once

    # ---- life

    async def start(self) -> None:
        """Read everything for the first time. A flow whose file is no good today is live as it last was good. Raises
        StoreError."""
        try:
            await self.versions.load()
            await self.overrides.load()
            await self.load()
            for name in self.book.report.refused:
                await self._revive(name)
        finally:
            self.ready = True

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    def tick(self, now: float) -> None:
        """Look, now and then, whether a file has changed."""
        if now - self._looked_at < WATCH_S or (self._watching is not None and not self._watching.done()):
            return
        self._looked_at = now
        if self.folder is not None:
            self._watching = asyncio.get_running_loop().create_task(self._watch(), name="flows-watch")

    async def _watch(self) -> None:
        if await asyncio.to_thread(_mark_of, self.folder) != self._mark:
            await self.load()

    # ---- on calls

    def act(self, name: str, record: CallRecord) -> Act:
        """What the house does with a call to a flow."""
        if not self.ready:
            return Late(lambda: self.ready, lambda: self.act(name, record))
        if name not in self.book.library.flows:
            return NotLive(name)
        act = FlowAct(self.desk, self.book.library, name, record, self._over)
        self.sessions[record.id] = act
        return act

    def opening(self, account_id: str, schedule: str) -> Opening | None:
        """What a schedule of the account, or one that all flows share, says just now; None where there is none."""
        account = self._directory.account(account_id)
        own = self._directory.schedule(account, schedule) if account is not None else None
        shared = self.book.library.schedules.get(schedule)
        found = own.schedule if own is not None else shared
        return found.at(self.overrides.moment(self._wall())) if found is not None else None

    def _schedules(self) -> Collection[str]:
        """What can be overridden: those of flows, and the default account's own."""
        own = self._directory.schedules(self._directory.default_account)
        return {*self.book.schedule_names(), *(spec.name for spec in own)}

    def _over(self, act: FlowAct) -> None:
        self.sessions.pop(act.record.id, None)
        if act.ending is not None:
            self.endings[act.ending.value] += 1

    # ---- loading

    async def load(self, by: str = FILE) -> Report:
        """Read the folder again. Calls in progress finish on what they began; a bad file leaves the old flow live."""
        async with self._lock:
            return await self._load(by)

    async def _load(self, by: str) -> Report:
        if self.folder is None:
            return self.book.report
        if not self.book.library.flows and not await asyncio.to_thread(self.folder.exists):
            self.book.report = Report(str(self.folder), self._wall())  # a house without flows
            return self.book.report
        mark = await asyncio.to_thread(_mark_of, self.folder)
        seen = await asyncio.to_thread(look, self.folder, self._house())
        self._mark = mark
        before = self.book.report
        report = self.book.take(seen, self._wall())
        self._keep_versions(by)
        self._say(before, report)
        return report

    def _house(self) -> House:
        directory = self._directory
        account = directory.default_account
        extensions = directory.extensions(account)
        surroundings = Surroundings(
            extensions=frozenset(one.number for one in extensions),
            rooms=frozenset(one.number for one in extensions if one.kind is ExtensionKind.CONFERENCE),
            prompts=_prompt_names(self._prompts(), self._language()),
            mailboxes=frozenset(
                {*self.desk.mailboxes(), *(one.number for one in extensions if one.kind is ExtensionKind.USER)}
            ),
            queues=frozenset(
                {*(one.name for one in directory.queues(account))}
                | {one.number for one in extensions if one.kind is ExtensionKind.QUEUE}
            ),
            trunks=frozenset(trunk.name for trunk in directory.trunks(account)),
            dialable=lambda number: directory.outbound(account, number) is not None,
            deaf=DEAF,
        )
        return House(surroundings, Defaults(language=self._language()), self.desk.unserved)

    def _keep_versions(self, by: str) -> None:
        account, wall = self._directory.default_account.id, self._wall()
        for name, flow in self.book.library.flows.items():
            self.versions.keep(account, name, flow.digest, self.book.texts.get(name, ""), by, wall)
        if text := self.book.texts.get(SCHEDULES):
            self.versions.keep(account, SCHEDULES, _digest(text), text, by, wall)

    def _say(self, before: Report, report: Report) -> None:
        self.loads["good" if report.good else "bad"] += 1
        if report.problems != before.problems:
            for problem in report.errors:
                log.warning("a flow is not good", problem=str(problem))
        if report.errors:
            log.warning("flows with mistakes stay as they were", kept=report.kept, not_live=report.refused)
        account = self._directory.default_account
        for extension in self._directory.extensions(account):
            name = extension.options.get("flow")
            if extension.kind is ExtensionKind.FLOW and name not in self.book.library.flows:
                log.warning("a number leads to a flow that is not live", number=extension.number, flow=name)
        log.info(
            "the flows were read",
            live=len(self.book.library.flows),
            changed=report.changed or "nothing",
            removed=report.removed or "nothing",
        )

    async def _revive(self, name: str) -> None:
        """Take the newest version of a flow that was good."""
        if self.folder is None or not (known := self.versions.of(name)):
            return
        text = await self.versions.text(known[0].id)
        if text is None:
            return
        seen = await asyncio.to_thread(look, self.folder, self._house(), {name + SUFFIX: text})
        flow = seen.drafts.flows[name].flow
        if flow is not None and not _errors_of(seen, name):
            self.book.adopt(flow, text)
            log.warning("the flow is live as it was before its file was changed", flow=name, version=known[0].id)

    # ---- for people

    def text(self, name: str) -> str:
        """The live text. Raises NotFound."""
        if name not in self.book.texts:
            raise NotFound("there is no such flow")
        return self.book.texts[name]

    async def version_text(self, name: str, version: str) -> str:
        """Of a version by its id, or of the one that is `live`. Raises NotFound, Unavailable."""
        if version == LIVE:
            return self.text(name)
        found = self.versions.find(name, version)
        with _available():
            text = await self.versions.text(version) if found is not None else None
        if text is None:
            raise NotFound("there is no such version of this flow")
        return text

    async def difference(self, name: str, old: str, new: str) -> str:
        """Raises NotFound, Unavailable."""
        before, after = await self.version_text(name, old), await self.version_text(name, new)
        return difference(before, after, f"{name} {old}", f"{name} {new}")

    async def put(self, name: str, text: str, by: str) -> Report:
        """Check a text, write it into the folder and make it live, or do nothing of it. Raises Invalid with what is
        wrong, TooLarge, Unavailable where the disk does not take it."""
        if self.folder is None:
            raise Invalid("this house has no folder for flows (dialplan.folder)")
        if not PART.fullmatch(name):
            raise Invalid("a flow is named with small letters, digits, '-' and '_', the first a letter")
        if len(text.encode()) > MAX_BYTES:
            raise TooLarge(f"a flow has {MAX_BYTES} bytes at most")
        async with self._lock:
            seen = await asyncio.to_thread(look, self.folder, self._house(), {name + SUFFIX: text})
            if wrong := _errors_of(seen, name):
                raise Invalid("\n".join(str(_bare(problem)) for problem in wrong[:MOST_SAID]))
            try:
                await asyncio.to_thread(_write, self.folder / (name + SUFFIX), text)
            except OSError as error:
                raise Unavailable(f"the flow cannot be written: {error.strerror or error}") from error
            return await self._load(by)

    async def roll_back(self, name: str, version: str, by: str) -> Report:
        """Make an earlier version live again. Raises NotFound, Invalid, Unavailable."""
        return await self.put(name, await self.version_text(name, version), by)

    def versions_of(self, name: str) -> list[Version]:
        """Newest first. Raises NotFound."""
        found = self.versions.of(name)
        if not found and name not in self.book.library.flows:
            raise NotFound("there is no such flow")
        return found


class Late(Delegate):
    """The act for a call that comes while the flows are read for the first time: it waits for them."""

    def __init__(self, ready: Callable[[], bool], make: Callable[[], Act]) -> None:
        self._ready = ready
        self._make = make

    def begin(self, stage: Stage, now: float) -> None:
        if self._ready():
            self._act = self._make()
            self._act.begin(stage, now)
        else:
            stage.later(LATE_S, lambda later: self.begin(stage, later))


class NotLive:
    """The act for a number whose flow is not there, or was never good."""

    def __init__(self, name: str) -> None:
        self._name = name

    def begin(self, stage: Stage, now: float) -> None:
        reason = f"the flow {self._name} is not live"
        log.warning("a call came for a flow that is not live", flow=self._name, call=stage.record.id)
        stage.finish(now, reason=reason, status=503, q850=causes.TEMPORARY_FAILURE, result=Result.SERVER)

    def digit(self, digit: str, now: float) -> None:
        """It has ended."""

    def talking(self, talks: bool) -> None:
        """It has ended."""

    def leave(self, now: float) -> None:
        """It has ended."""


def measure(metrics: Metrics, flows: Flows) -> None:
    """Say how flows do."""
    metrics.gauge("flows_live", "Call flows that are live", lambda: len(flows.book.library.flows))
    metrics.gauge("flow_problems", "Mistakes in the files of call flows", lambda: len(flows.book.report.errors))
    metrics.gauge("flow_calls", "Calls that are in a flow", lambda: len(flows.sessions))
    metrics.counters("flow_loads", "Readings of the flows' folder", ["result"], lambda: flows.loads)
    metrics.counters("flow_endings", "Calls that left a flow, by how", ["ending"], lambda: flows.endings)


def _errors_of(seen: Look, name: str) -> list[Problem]:
    file = str(seen.folder.path / (name + SUFFIX))
    return [problem for problem in errors(list(seen.problems)) if problem.file == file]


def _bare(problem: Problem) -> Problem:
    """Without the folder: whoever uploads need not know it."""
    return replace(problem, file=Path(problem.file).name)


def _mark_of(folder: Path | None) -> Mark:
    """What tells whether a file has changed."""
    if folder is None:
        return None
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if entry.name.endswith(SUFFIX)]
            stats = [(entry.name, entry.stat()) for entry in found]
    except OSError:
        return None
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats))


def _write(path: Path, text: str) -> None:
    """Whole and on the disk, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o640
        Path(part).chmod(mode)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prompt_names(library: PromptLibrary, language: str) -> frozenset[str]:
    """Every prompt that can be played, by name."""
    names = {*phrases("en"), *phrases(language.partition("-")[0])}
    for folder in library.folders:
        for path in sorted(folder.glob("*/**/*"))[:MOST_PROMPTS] if folder.is_dir() else ():
            if path.suffix in SUFFIXES:
                names.add("/".join(path.relative_to(folder).with_suffix("").parts[1:]))
    return frozenset(names)


@contextlib.contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise Unavailable(str(error)) from error
