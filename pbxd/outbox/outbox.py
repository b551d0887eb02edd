"""The thin shell: takes items in, wakes when the schedule has something to do, and keeps what became of each.

An item is kept before anybody is told that it was taken, marked before each try, and kept as delivered as soon as the
far side confirmed it. So a process killed at any moment has lost nothing, and sends again only what was not confirmed;
the same Message-ID or Idempotency-Key lets the far side tell. While the keeper fails, nothing new is begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol

from pbxd.errors import Conflict, Invalid, NotFound, Overloaded, TooLarge, Unavailable
from pbxd.ids import new_id
from pbxd.outbox.item import Item, Kind, Parcel, State
from pbxd.outbox.keeper import Keeper, KeeperError
from pbxd.outbox.letter import Letter, compose, compose_test, mail_address
from pbxd.outbox.request import Request
from pbxd.outbox.schedule import Entry, Rules, Schedule
from pbxd.outbox.smtp import SmtpSender
from pbxd.outbox.verdict import Outcome, Verdict, temporary

log = logging.getLogger(__name__)

MAIL_DESTINATION = "mail"
MAX_KEY = 128
MAX_SUMMARY = 200
KEEPER_PAUSE_S = 5.0
LAST_KEEPER_PAUSE_S = 30.0
STOP_S = 3.0
PURGE_S = 3600.0
TOO_OLD = "it grew too old while its destination could not be reached"
NO_KEEPER = "the store does not take it now"


class Refusal(StrEnum):
    """Why something was not taken: nothing of it was acknowledged."""

    STORE = "store"  # it could not be kept
    FULL = "full"  # outbox.max_waiting


class Sender(Protocol):
    """Carries one parcel, once; says how that went and never raises."""

    async def send(self, parcel: Parcel) -> Verdict: ...


class NoMail:
    """Stands where no mail server is configured: what waits goes on waiting."""

    async def send(self, _parcel: Parcel) -> Verdict:
        return temporary("no mail server is configured (mail.server)", everyone=True)


class Outbox:
    """`start` it once, `stop` it once. `mail` and `rules` may be assigned to while it runs.

    Counts, for the metrics: `delivered`, `failed` (tries that may be repeated) and `dead` by kind, `refused` by reason.
    """

    def __init__(
        self,
        keeper: Keeper,
        web: Sender,
        mail: SmtpSender | None,
        rules: Rules,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._mail = mail
        self.delivered: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))
        self.failed: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))
        self.dead: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))
        self.refused: Counter[Refusal] = Counter(dict.fromkeys(Refusal, 0))
        self._keeper = keeper
        self._web = web
        self._schedule = Schedule(rules)
        self._items: dict[str, Item] = {}
        self._clock = clock
        self._wall = wall
        self._rng = rng or random.Random()
        self._wake = asyncio.Event()
        self._uncertain = False  # the keeper may hold items that we do not know of
        self._task: asyncio.Task[None] | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._purge_at = clock()

    # ---- life

    async def start(self) -> None:
        """Take up what an earlier run left. Raises KeeperError."""
        await self._take_up()
        self._task = asyncio.create_task(self._run(), name="outbox")

    async def stop(self) -> None:
        """Begin nothing more; what is under way has 3 s, and what was confirmed is kept. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        for under_way in (self._carrying, self._settling):
            if under_way:
                await asyncio.wait(set(under_way), timeout=STOP_S)
            for task in set(under_way):
                task.cancel()
        if left := self._carrying | self._settling:
            await asyncio.wait(left)

    @property
    def rules(self) -> Rules:
        return self._schedule.rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self._schedule.rules = rules
        self._wake.set()

    @property
    def mail(self) -> SmtpSender | None:
        return self._mail

    @mail.setter
    def mail(self, mail: SmtpSender | None) -> None:
        """Take up other settings; a destination that rested for the old ones is looked at again."""
        self._mail = mail
        self._schedule.rouse(MAIL_DESTINATION, self._clock())
        self._wake.set()

    @property
    def waiting(self) -> int:
        """Items that have not ended."""
        return len(self._schedule)

    @property
    def oldest_s(self) -> float:
        """The age of the oldest of them; 0 where there is none."""
        born = self._schedule.oldest()
        return 0.0 if born is None else max(0.0, self._clock() - born)

    # ---- taking in

    async def put_letter(self, account_id: str, letter: Letter, key: str | None = None, summary: str = "") -> Item:
        """Take a mail; durable on return. With the `key` of an earlier one, that one is the answer and none is sent.

        Raises Invalid, TooLarge, Conflict, Overloaded, Unavailable.
        """
        if self.mail is None:
            raise Unavailable("mail cannot be sent: no mail server is configured (mail.server)")
        wall = self._wall()
        item_id = new_id("out", wall)
        body = compose(letter, self.mail.server.sender, item_id, wall)
        item = self._new(item_id, account_id, key, Kind.MAIL, MAIL_DESTINATION, summary or f"to {letter.to}", wall)
        return await self._put(Parcel(item, mail_address(letter.to), body))

    async def put_request(self, account_id: str, request: Request, key: str | None = None, summary: str = "") -> Item:
        """Take an HTTP request, as `put_letter` does a mail."""
        request.check()
        wall = self._wall()
        origin = request.origin
        text = summary or f"{request.method.value} {origin}"
        item = self._new(new_id("out", wall), account_id, key, Kind.HTTP, origin, text, wall)
        return await self._put(Parcel(item, request.address(), request.body))

    def _new(
        self, item_id: str, account_id: str, key: str | None, kind: Kind, destination: str, summary: str, wall: float
    ) -> Item:
        if key is not None and not 1 <= len(key) <= MAX_KEY:
            raise Invalid(f"a key is 1 to {MAX_KEY} signs")
        text = summary[:MAX_SUMMARY]
        return Item(item_id, account_id, key or item_id, kind, destination, text, State.WAITING, 0, wall, wall)

    async def _put(self, parcel: Parcel) -> Item:
        item = parcel.item
        if len(parcel.body) > self.rules.max_bytes:
            raise TooLarge(f"more than {self.rules.max_bytes} bytes are not taken (outbox.max_bytes)")
        if len(self._schedule) >= self.rules.max_waiting:
            self.refused[Refusal.FULL] += 1
            raise Overloaded("too much is waiting to be delivered already (outbox.max_waiting)", retry_after_s=60)
        try:
            kept = await self._keeper.add(parcel)
        except KeeperError as error:
            self.refused[Refusal.STORE] += 1
            self._uncertain = True  # a disk that was slow may have taken it after all
            self._wake.set()
            raise Unavailable(f"{NO_KEEPER}: {error}") from None
        except BaseException:  # cancelled: it may be kept all the same
            self._uncertain = True
            self._wake.set()
            raise
        if (kept.kind, kept.destination) != (item.kind, item.destination):
            raise Conflict("this key was used for something else")
        if kept.id == item.id and kept.id not in self._items:
            self._add(kept, self._clock(), self._clock())
        return kept

    def _add(self, item: Item, born: float, due: float) -> None:
        self._items[item.id] = item
        self._schedule.add(Entry(item.id, item.destination, item.attempts, born, due))
        self._wake.set()

    async def _take_up(self) -> None:
        """Take up what is kept and not known here. A wall clock that jumped makes nothing wait longer than a pause."""
        wall, now = self._wall(), self._clock()
        for item in await self._keeper.open():
            if item.id not in self._items:
                longest = max(self.rules.retry_s) * 1.5
                due = now + min(max(0.0, item.due_at - wall), longest)
                self._add(item, now - max(0.0, wall - item.created_at), due)

    # ---- looking and meddling

    async def page(self, state: State | None = None, limit: int = 50, before: str | None = None) -> Sequence[Item]:
        """Items, newest first. Raises Unavailable."""
        with _available():
            return await self._keeper.page(state, limit, before)

    async def get(self, item_id: str) -> Item:
        """Raises NotFound, Unavailable."""
        with _available():
            parcel = await self._keeper.parcel(item_id)
        if parcel is None:
            raise NotFound("there is no such delivery")
        return parcel.item

    async def cancel(self, item_id: str) -> Item:
        """Send it no more. Raises NotFound, Unavailable, and Conflict where it is being sent right now or has ended."""
        item = await self.get(item_id)
        entry = self._schedule.remove(item_id)
        if entry is None:
            raise Conflict("it has ended already" if item.state.ended else "it is being sent right now")
        item = self._items[item_id]
        ended = replace(item, state=State.CANCELLED, ended_at=self._wall(), reason="cancelled")
        try:
            await self._keeper.update(ended, forget_content=True)
        except BaseException as error:
            self._add(item, entry.born, entry.due)
            if isinstance(error, KeeperError):
                raise Unavailable(NO_KEEPER) from None
            raise
        self._items.pop(item_id, None)
        return ended

    async def retry(self, item_id: str) -> Item:
        """Try it now; one that was dead lives again. Raises NotFound, Unavailable, Conflict."""
        item = await self.get(item_id)
        entry = self._schedule.get(item_id)
        if entry is not None:
            if entry.under_way:
                raise Conflict("it is being sent right now")
            self._schedule.hurry(item_id, self._clock())
            self._wake.set()
            return self._items[item_id]
        if item.state is not State.DEAD:
            raise Conflict(f"it is {item.state.value}")
        risen = replace(item, state=State.WAITING, ended_at=None, due_at=self._wall())
        with _available():
            await self._keeper.update(risen)
        if item_id not in self._items:
            self._add(risen, self._clock(), self._clock())
            self._schedule.hurry(item_id, self._clock())
        return risen

    async def prove_mail(self, to: str) -> str:
        """Send a mail now, beside the queue; what the server said. Raises Invalid, Unavailable with the reason."""
        if self.mail is None:
            raise Unavailable("no mail server is configured (mail.server)")
        wall = self._wall()
        message = compose_test(to, self.mail.server.sender, new_id("test", wall), wall)
        verdict = await self.mail.hand_in(to, message)
        if verdict.outcome is not Outcome.DELIVERED:
            raise Unavailable(verdict.reason)
        return verdict.reason

    # ---- delivering

    async def _run(self) -> None:
        while True:
            await self._keep_house()
            step = self._schedule.step(self._clock())
            for entry in step.expired:
                self._spawn(self._settling, self._bury(entry))
            for entry in step.start:
                self._spawn(self._carrying, self._try(entry))
            moments = [moment for moment in (self._schedule.timer(), self._purge_at) if moment is not None]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(moments) - self._clock())):
                    await self._wake.wait()
            self._wake.clear()

    def _spawn(self, group: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="outbox-delivery")
        group.add(task)
        task.add_done_callback(group.discard)
        task.add_done_callback(lambda _: self._wake.set())

    async def _keep_house(self) -> None:
        try:
            if self._uncertain:
                self._uncertain = False
                await self._take_up()
            if self._clock() >= self._purge_at:
                self._purge_at = self._clock() + PURGE_S
                await self._keeper.purge(self._wall() - self.rules.keep_s)
        except KeeperError as error:
            self._uncertain = True
            self._purge_at = self._clock() + KEEPER_PAUSE_S
            log.warning("the outbox cannot be looked through: %s", error)

    async def _try(self, entry: Entry) -> None:
        """One try, from the mark that it begins to the mark how it went."""
        item = self._items[entry.id]
        now, wall = self._clock(), self._wall()
        planned = self._schedule.next_try(entry.id, now, self._rng.random())
        due_at = wall + (max(self.rules.retry_s) if planned is None else planned - now)
        item = replace(item, state=State.SENDING, attempts=entry.attempts, due_at=due_at)
        try:
            parcel = await self._keeper.parcel(item.id)
            await self._keeper.update(item)
        except KeeperError as error:
            log.warning("a delivery waits for the store: %s", error)
            self._schedule.postpone(entry.id, self._clock() + KEEPER_PAUSE_S)
            return
        self._items[item.id] = item
        verdict = await self._carry(replace(parcel, item=item)) if parcel else temporary("its content is gone")
        self._spawn(self._settling, self._settle(item, verdict))  # not to be cancelled where the far side confirmed

    async def _carry(self, parcel: Parcel) -> Verdict:
        try:
            sender = self._web if parcel.item.kind is Kind.HTTP else self.mail or NoMail()
            return await sender.send(parcel)
        except Exception:  # whatever one item does to its sender, the others go on
            log.exception("the delivery %s failed in an unforeseen way", parcel.item.id)
            return temporary("an unforeseen failure; the log says more")

    async def _settle(self, item: Item, verdict: Verdict) -> None:
        now, wall = self._clock(), self._wall()
        due: float | None = None
        if verdict.outcome is Outcome.TEMPORARY:
            due = self._schedule.next_try(item.id, now, self._rng.random(), verdict.retry_after_s)
        if due is not None:
            item = replace(item, state=State.WAITING, due_at=wall + due - now, reason=verdict.reason)
        else:
            state = State.DELIVERED if verdict.outcome is Outcome.DELIVERED else State.DEAD
            item = replace(item, state=state, ended_at=wall, reason=verdict.reason)
        self._count(item)
        await self._keep(item)
        if due is None:
            self._items.pop(item.id, None)
        else:
            self._items[item.id] = item
        self._schedule.release(item.id, verdict, self._clock(), due)

    async def _bury(self, entry: Entry) -> None:
        item = self._items[entry.id]
        reason = f"{TOO_OLD}: {item.reason}" if item.reason else TOO_OLD
        item = replace(item, state=State.DEAD, ended_at=self._wall(), reason=reason)
        self._count(item)
        await self._keep(item)
        self._items.pop(entry.id, None)

    def _count(self, item: Item) -> None:
        match item.state:
            case State.DELIVERED:
                self.delivered[item.kind] += 1
                log.info("the delivery %s (%s) arrived at %s", item.id, item.kind.value, item.destination)
            case State.DEAD:
                self.dead[item.kind] += 1
                log.error("the delivery %s to %s is given up: %s", item.id, item.destination, item.reason)
            case _:
                self.failed[item.kind] += 1
                log.warning("the delivery %s to %s is tried again: %s", item.id, item.destination, item.reason)

    async def _keep(self, item: Item) -> None:
        """Keep what became of it, however long the store takes to take it: till then it is not sent again."""
        pause = KEEPER_PAUSE_S / 5
        while True:
            try:
                await self._keeper.update(item, forget_content=item.state is State.DELIVERED)
            except KeeperError as error:
                log.warning("what became of the delivery %s is not kept yet: %s", item.id, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_KEEPER_PAUSE_S)
            else:
                return


@contextlib.contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except KeeperError:
        raise Unavailable("the store does not answer") from None
