"""The flows of one account: read from its folder, checked against what the account has, uploaded, rolled back.

Reading and checking happen in a worker thread; what is live changes between two turns of the event loop, whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dialplan.check import errors
from dialplan.load import PART, SUFFIX, Defaults
from dialplan.names import Surroundings
from dialplan.problem import Problem
from dialplan.tree import MAX_BYTES
from media.library import SUFFIXES, PromptLibrary, phrases
from pbxd.calls.routing import leaves
from pbxd.config.dialplan import DEAF
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account, ExtensionKind
from pbxd.errors import Invalid, NotFound, TooLarge, Unavailable
from pbxd.flows.book import SCHEDULES, Book, House, Look, Report, look
from pbxd.flows.desk import Desk
from pbxd.flows.versions import Version, Versions, difference
from pbxd.logs import get_logger
from pbxd.store import StoreError

log = get_logger(part="flows")

FILE = "file"
LIVE = "live"
MOST_SAID = 20  # problems in one refusal
MOST_PROMPTS = 10_000

Mark = tuple[tuple[str, int, int], ...] | None
"""What tells whether a folder has changed; None of one that is not there."""


@dataclass(frozen=True, slots=True)
class Backstage:
    """What the flows of all accounts work with. `loads` counts readings, by result."""

    desk: Desk
    directory: Directory
    versions: Versions
    language: Callable[[], str]
    library: Callable[[], PromptLibrary]
    wall: Callable[[], float]
    loads: Counter[str] = field(default_factory=lambda: Counter({"good": 0, "bad": 0}))

    def prompts(self) -> frozenset[str]:
        """The names of all prompts; looks at the disk: for a worker thread."""
        return _prompt_names(self.library(), self.language())


class Repertoire:
    """Those of `account_id`, in `folder`; None is nowhere."""

    def __init__(self, backstage: Backstage, account_id: str, folder: Path | None) -> None:
        self._backstage = backstage
        self._lock = asyncio.Lock()
        self.account_id = account_id
        self.folder = folder
        self._checked: tuple[object, ...] = ()  # what the flows were checked against
        self.book = Book()
        self.mark: Mark = None  # of the folder, as it was read

    # ---- loading

    async def start(self) -> None:
        """Read everything for the first time. A flow whose file is no good today is live as it last was good. Raises
        StoreError."""
        await self.load()
        for name in self.book.report.refused:
            await self._revive(name)

    async def load(self, by: str = FILE) -> Report:
        """Read the folder again. Calls in progress finish on what they began; a bad file leaves the old flow live."""
        async with self._lock:
            return await self._load(by, await asyncio.to_thread(self._backstage.prompts))

    async def refresh(self, prompts: frozenset[str]) -> None:
        """The same, where the files have changed or what they are checked against: the account's own things, or
        `prompts`, the names of all prompts of the house."""
        async with self._lock:
            account = self._account
            if account is None:
                return
            mark = await asyncio.to_thread(mark_of, self.folder)
            same = mark is None or self._against(account, self._house(account, prompts)) == self._checked
            if mark != self.mark or not same:
                await self._load(FILE, prompts)

    async def forget(self) -> None:
        """The account is gone, and so are its flows, their files and their versions."""
        async with self._lock:
            self.book = Book()
            self._backstage.versions.forget(self.account_id)
            if self.folder is not None:
                await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _load(self, by: str, prompts: frozenset[str]) -> Report:
        account = self._account
        if self.folder is None or account is None:
            return self.book.report
        if not self.book.library.flows and not await asyncio.to_thread(self.folder.exists):
            self.mark = None
            self.book.report = Report(str(self.folder), self._backstage.wall())  # an account without flows
            return self.book.report
        house = self._house(account, prompts)
        mark = await asyncio.to_thread(mark_of, self.folder)
        seen = await asyncio.to_thread(look, self.folder, house)
        self.mark, self._checked = mark, self._against(account, house)
        before = self.book.report
        report = self.book.take(seen, self._backstage.wall())
        self._keep_versions(by)
        self._say(account, before, report)
        return report

    @property
    def _account(self) -> Account | None:
        return self._backstage.directory.account(self.account_id)

    def _against(self, account: Account, house: House) -> tuple[object, ...]:
        """All that a check goes by, to be compared: for the functions that say what can be dialled, what they go by."""
        directory = self._backstage.directory
        carrier = directory.carrier(account)
        ways = (
            directory.routes(account),
            {one.name for one in directory.trunks(account) if one.proxy is not None},
            carrier.id if carrier is not None else None,
        )
        nothing = Surroundings()
        surroundings = replace(house.surroundings, dialable=nothing.dialable, routed=nothing.routed)
        return surroundings, ways, house.defaults, dict(house.unserved)

    def _house(self, account: Account, prompts: frozenset[str]) -> House:
        directory, desk = self._backstage.directory, self._backstage.desk
        extensions = directory.extensions(account)
        language = self._backstage.language()
        surroundings = Surroundings(
            extensions=frozenset(one.number for one in extensions),
            rooms=frozenset(one.number for one in extensions if one.kind is ExtensionKind.CONFERENCE),
            prompts=prompts,
            mailboxes=frozenset(
                {*desk.mailboxes(account.id), *(one.number for one in extensions if one.kind is ExtensionKind.USER)}
            ),
            queues=frozenset(
                {*(one.name for one in directory.queues(account))}
                | {one.number for one in extensions if one.kind is ExtensionKind.QUEUE}
            ),
            trunks=frozenset(trunk.name for trunk in directory.trunks(account)),
            dialable=lambda number: leaves(directory, account, number) is not None,
            routed=lambda number: directory.outbound(account, number) is not None,
            deaf=DEAF,
        )
        defaults = Defaults(language=language)
        if account.timezone is not None:
            defaults = replace(defaults, timezone=account.timezone)
        return House(surroundings, defaults, desk.unserved)

    def _keep_versions(self, by: str) -> None:
        keep, wall = self._backstage.versions.keep, self._backstage.wall()
        for name, flow in self.book.library.flows.items():
            keep(self.account_id, name, flow.digest, self.book.texts.get(name, ""), by, wall)
        if text := self.book.texts.get(SCHEDULES):
            keep(self.account_id, SCHEDULES, _digest(text), text, by, wall)

    def _say(self, account: Account, before: Report, report: Report) -> None:
        self._backstage.loads["good" if report.good else "bad"] += 1
        if report.problems != before.problems:
            for problem in report.errors:
                log.warning("a flow is not good", problem=str(problem))
        if report.errors:
            log.warning("flows with mistakes stay as they were", kept=report.kept, not_live=report.refused)
        for extension in self._backstage.directory.extensions(account):
            name = extension.options.get("flow")
            if extension.kind is ExtensionKind.FLOW and name not in self.book.library.flows:
                log.warning("a number leads to a flow that is not live", number=extension.number, flow=name)
        log.info(
            "the flows were read",
            account=account.slug,
            live=len(self.book.library.flows),
            changed=report.changed or "nothing",
            removed=report.removed or "nothing",
        )

    async def _revive(self, name: str) -> None:
        """Take the newest version of a flow that was good."""
        account, versions = self._account, self._backstage.versions
        if self.folder is None or account is None or not (known := versions.of(self.account_id, name)):
            return
        text = await versions.text(self.account_id, known[0].id)
        if text is None:
            return
        prompts = await asyncio.to_thread(self._backstage.prompts)
        seen = await asyncio.to_thread(look, self.folder, self._house(account, prompts), {name + SUFFIX: text})
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
        versions = self._backstage.versions
        found = versions.find(self.account_id, name, version)
        with _available():
            text = await versions.text(self.account_id, version) if found is not None else None
        if text is None:
            raise NotFound("there is no such version of this flow")
        return text

    async def difference(self, name: str, old: str, new: str) -> str:
        """Raises NotFound, Unavailable."""
        before, after = await self.version_text(name, old), await self.version_text(name, new)
        return difference(before, after, f"{name} {old}", f"{name} {new}")

    async def put(self, name: str, text: str, by: str) -> Report:
        """Check a text, write it into the folder and make it live, or do nothing of it. Raises as `put_all`."""
        return await self.put_all({name: text}, by)

    async def put_all(self, texts: Mapping[str, str], by: str) -> Report:
        """The same of several that may lead to each other, by name. Raises Invalid with what is wrong, TooLarge,
        Unavailable where the disk does not take it, NotFound where the account is gone."""
        if self.folder is None:
            raise Invalid("this house has no folder for flows (dialplan.folder)")
        for name, text in texts.items():
            if not PART.fullmatch(name):
                raise Invalid("a flow is named with small letters, digits, '-' and '_', the first a letter")
            if len(text.encode()) > MAX_BYTES:
                raise TooLarge(f"a flow has {MAX_BYTES} bytes at most")
        async with self._lock:
            account = self._account
            if account is None:
                raise NotFound("there is no such account")
            prompts = await asyncio.to_thread(self._backstage.prompts)
            files = {name + SUFFIX: text for name, text in texts.items()}
            seen = await asyncio.to_thread(look, self.folder, self._house(account, prompts), files)
            if wrong := [problem for name in texts for problem in _errors_of(seen, name)]:
                raise Invalid("\n".join(str(bare(problem)) for problem in wrong[:MOST_SAID]))
            try:
                for file, text in files.items():
                    await asyncio.to_thread(_write, self.folder / file, text)
            except OSError as error:
                raise Unavailable(f"the flow cannot be written: {error.strerror or error}") from error
            return await self._load(by, prompts)

    async def roll_back(self, name: str, version: str, by: str) -> Report:
        """Make an earlier version live again. Raises NotFound, Invalid, Unavailable."""
        return await self.put(name, await self.version_text(name, version), by)

    def versions_of(self, name: str) -> list[Version]:
        """Newest first. Raises NotFound."""
        found = self._backstage.versions.of(self.account_id, name)
        if not found and name not in self.book.library.flows:
            raise NotFound("there is no such flow")
        return found


def bare(problem: Problem) -> Problem:
    """Without the folder: whoever uploads need not know it."""
    return replace(problem, file=Path(problem.file).name)


def mark_of(folder: Path | None) -> Mark:
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


def _errors_of(seen: Look, name: str) -> list[Problem]:
    file = str(seen.folder.path / (name + SUFFIX))
    return [problem for problem in errors(list(seen.problems)) if problem.file == file]


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
