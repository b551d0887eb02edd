"""Sending faxes: taken once, tried until every page is confirmed or nothing more is to be expected, reported once."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import BinaryIO

from media.fax import FaxOutcome, FaxReason, FaxResult
from media.pages import BadDocument, Kind
from pbxd.errors import Conflict, Invalid, NotFound, Overloaded, Unavailable
from pbxd.services.faxes import notices
from pbxd.services.faxes.carrier import DISABLED, Carrier, Handed, Provider, Refused, failed
from pbxd.services.faxes.job import FaxJob, FaxJobChanged, FaxWish, JobState
from pbxd.services.faxes.office import Office
from pbxd.services.faxes.queue import Queue
from pbxd.services.faxes.retry import Again, RetryRules, again
from pbxd.store import StoreError

log = logging.getLogger(__name__)

DAY_S = 86_400.0
UNTOLD_S = 7 * DAY_S  # older news is none
CANCELLED = "it was cancelled"
UNKNOWN = "the house stopped while the provider was asked; it may have taken the fax"
MAX_LOOKS = 100  # at a fax that a provider has; with its pauses two days
UNHEARD_S = 300.0
_ENDED = (JobState.SUCCESS, JobState.FAILED, JobState.REFUSED, JobState.DISABLED)


class Sending:
    """The queue and what happens to each job in it. Call `beat` every second.

    `carriers` are by backend; `trunk_of` names the trunk that a fax leaves by, for the limits.
    """

    def __init__(
        self,
        office: Office,
        carriers: Mapping[str, Carrier],
        trunk_of: Callable[[FaxJob], str] = lambda _job: "",
        rng: random.Random | None = None,
    ) -> None:
        self._office = office
        self._rng = rng or random.Random()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[str] = set()
        self.carriers = carriers
        self.trunk_of = trunk_of
        self.queue = Queue(office.settings.at_once, office.settings.per_trunk)
        self.ended: Counter[JobState] = Counter(dict.fromkeys(_ENDED, 0))
        self.tries: Counter[FaxReason] = Counter(dict.fromkeys(FaxReason, 0))
        self.pages_confirmed = 0

    # ---- life

    async def start(self) -> None:
        """Takes up what an earlier process left; what was under way is tried again, if no provider may have it. Raises
        StoreError."""
        for job in await self._office.rows.open_jobs():
            self.queue.put(job)
        for job in self.queue:
            if self._may_be_taken(job):
                await self._end(job, JobState.REFUSED, FaxReason.NO_RESPONSE, UNKNOWN)
            elif _whole(job):
                await self._end(job, JobState.SUCCESS, FaxReason.OK, None)
        if len(self.queue):
            log.info("%d faxes are still to be sent", len(self.queue))

    def beat(self, wall: float) -> None:
        """Begins what is due at `wall`."""
        settings = self._office.settings
        self.queue.at_once, self.queue.per_trunk = settings.at_once, settings.per_trunk
        for job in self.queue.due(wall, self.trunk_of):
            task = self._office.aside(self._try(job), f"fax-{job.id}")
            self._running[job.id] = task
            task.add_done_callback(partial(self._finished, job.id))

    async def tell_again(self) -> None:
        """Tells of what ended just before an earlier process did. Raises StoreError."""
        for job in await self._office.rows.untold(self._office.wall() - UNTOLD_S):
            await self._tell(job)

    # ---- what the API asks for

    async def submit(self, wish: FaxWish, file: BinaryIO, kind: Kind) -> FaxJob:
        """Takes a fax. With a `key` that was used before, the job of that time is the answer.

        Raises Invalid for a document that cannot be faxed, Conflict where the key was another fax's, Overloaded,
        StoreError, OSError.
        """
        office, account_id = self._office, wish.account_id or self._office.account_id
        if len(self.queue) >= office.settings.max_waiting:
            raise Overloaded("too many faxes are waiting", 60)
        job_id = uuid.uuid4().hex
        papers, original = office.files.papers(job_id), office.files.original(job_id)
        try:
            digest = await office.files.take(file, papers.pdf if kind is Kind.PDF else original)
            if wish.key and (known := await office.rows.job_of_key(account_id, wish.key)):
                return await self._same(known, wish, digest, job_id)
            job = self._new(wish, job_id, digest)
            if job.state is not JobState.DISABLED:
                pages = await self._examined(job, kind)
                job = replace(job, pages=pages if self._carrier(job).dials else None)
            try:
                await office.rows.add(job)
            except StoreError:
                if wish.key and (known := await office.rows.job_of_key(account_id, wish.key)):
                    return await self._same(known, wish, digest, job_id)  # somebody was faster
                raise
        except BaseException:
            await office.files.remove(papers.pdf)
            raise
        self.queue.put(job)
        self._say(job)
        if job.due_at <= office.wall():
            self.beat(office.wall())
        return self.queue.get(job.id) or job

    async def find(self, job_id: str, account_id: str | None = None) -> FaxJob:
        """A job of an account; None: of any. Raises NotFound, StoreError."""
        job = self.queue.get(job_id) or await self._office.rows.job(job_id)
        if job is None or account_id not in (None, job.account_id):
            raise NotFound("Job not found")
        return job

    async def cancel(self, job_id: str, account_id: str | None = None) -> FaxJob:
        """Ends a fax; one that is being sent is hung up, one that a provider has is taken back.

        Raises NotFound, Conflict where it has ended or cannot be had back, Unavailable, StoreError.
        """
        job = await self.find(job_id, account_id)
        if job.state.ended:
            raise Conflict("this fax has ended")
        carrier = self.carriers.get(job.backend)
        if job.provider_sid is not None and isinstance(carrier, Provider):
            await carrier.withdraw(job)
        self._cancelled.add(job_id)
        if (task := self._running.get(job_id)) is not None:
            task.cancel()
            await asyncio.wait({task})
        if (left := self.queue.get(job_id)) is not None:  # nobody carried it, or it was between two tries
            await self._end(left, JobState.FAILED, FaxReason.CANCELLED, CANCELLED)
        self._cancelled.discard(job_id)
        return await self.find(job_id)

    async def heard(self, job: FaxJob, state: JobState, error: str | None = None, pages: int | None = None) -> FaxJob:
        """What a provider says of a job that it was handed. What has ended stays as it is. Raises StoreError."""
        if (task := self._running.get(job.id)) is not None:
            await asyncio.wait({task})  # its answer is faster than that of our request
        current = self.queue.get(job.id)
        if current is None:
            return await self.find(job.id)
        if not state.ended:
            return current
        await self._end_as(current, state, error, pages)
        return await self.find(job.id)

    async def _end_as(self, job: FaxJob, state: JobState, error: str | None, pages: int | None) -> None:
        """The end that a provider told of."""
        job = replace(job, pages=pages if pages is not None else job.pages)
        if state is JobState.SUCCESS and job.pages is not None:
            job = replace(job, confirmed=job.pages)
        reason = FaxReason.OK if state is JobState.SUCCESS else FaxReason.REJECTED
        await self._end(job, state, reason, None if state is JobState.SUCCESS else error)

    def paged(self, job_id: str, pages: int) -> None:
        """The far end has confirmed so many pages of the document: that is stored at once, so that no page goes out
        twice, whatever becomes of this process."""
        job = self.queue.get(job_id)
        if job is None or job.pages is None or not job.confirmed < pages <= job.pages:
            return
        self.queue.put(replace(job, confirmed=pages))
        office = self._office
        office.surely_aside(office.surely(lambda: office.rows.confirm(job_id, pages)), f"fax-page-{job_id}")

    # ---- one job

    def _new(self, wish: FaxWish, job_id: str, digest: str) -> FaxJob:
        settings, wall = self._office.settings, self._office.wall()
        disabled = settings.backend == DISABLED
        return FaxJob(
            id=job_id,
            account_id=wish.account_id or self._office.account_id,
            to=wish.to,
            state=JobState.DISABLED if disabled else JobState.QUEUED,
            backend=settings.backend,
            idempotency_key=wish.key or job_id,
            priority=wish.priority,
            file_name=wish.file_name,
            sha256=digest,
            ident=settings.ident if wish.ident is None else wish.ident,
            header=settings.header if wish.header is None else wish.header,
            detail=wish.detail or settings.detail.value,
            created_at=wall,
            updated_at=wall,
            due_at=max(wall, wish.at or wall),
            made_by=wish.made_by,
            told_at=wall if disabled else None,
        )

    async def _same(self, known: FaxJob, wish: FaxWish, digest: str, job_id: str) -> FaxJob:
        await self._office.files.remove(self._office.files.papers(job_id).pdf)
        if (known.to, known.sha256) != (wish.to, digest):
            raise Conflict("this idempotency key was used for another fax")
        return known

    async def _examined(self, job: FaxJob, kind: Kind) -> int:
        """How many pages there are; from then on there is a PDF of them, whatever was given."""
        office, papers = self._office, self._office.files.papers(job.id)
        layout = office.layout(job.detail)
        try:
            if kind in (Kind.PDF, Kind.TEXT):
                source = papers.pdf if kind is Kind.PDF else office.files.original(job.id)
                return await office.pages.examine(source, kind, papers.pdf, layout)
            return await office.pages.render(office.files.original(job.id), kind, papers.tiff, layout, papers.pdf)
        except BadDocument as error:
            raise Invalid(str(error)) from None

    def _carrier(self, job: FaxJob) -> Carrier:
        carrier = self.carriers.get(job.backend)
        if carrier is None:
            raise Invalid(f"there is no fax backend {job.backend}")
        return carrier

    async def _try(self, job: FaxJob) -> None:
        """One try, to the end of it; or a look at what the provider that has it says."""
        try:
            carrier = self.carriers.get(job.backend)
            if job.provider_sid is not None and isinstance(carrier, Provider):
                await self._look(job, carrier)
                return
            outcome = await self._carried(job)
        except asyncio.CancelledError:
            if job.id not in self._cancelled:
                raise  # the daemon stops: the next one tries again
            current = self.queue.get(job.id) or job
            if _whole(current):  # too late: they have it
                await self._end(current, JobState.SUCCESS, FaxReason.OK, None)
            else:
                await self._end(current, JobState.FAILED, FaxReason.CANCELLED, CANCELLED)
            return
        except Refused as error:
            await self._end(self.queue.get(job.id) or job, JobState.REFUSED, FaxReason.REJECTED, str(error))
            return
        except (BadDocument, Invalid, OSError) as error:
            await self._end(job, JobState.REFUSED, FaxReason.BAD_FILE, str(error))
            return
        except Exception:
            log.exception("a fax could not be made ready")
            await self._end(job, JobState.REFUSED, FaxReason.BAD_FILE, "the house failed; its log says more")
            return
        current = self.queue.get(job.id) or job
        if isinstance(outcome, Handed):
            due = self._office.wall() + outcome.look_s
            after = self._note(replace(current, provider_sid=outcome.provider_sid, due_at=due, vain=0))
        else:
            after = self._settle(current, job.confirmed, outcome)
        written = self._office.surely_aside(after, f"fax-after-{job.id}")
        try:
            await asyncio.shield(written)
        except asyncio.CancelledError:
            if job.id in self._cancelled:
                await asyncio.wait({written})  # what is written next has to come after it
            raise

    async def look(self, job: FaxJob) -> FaxJob:
        """Asks the provider that has it, now. Raises Invalid where none has it, Unavailable, StoreError."""
        carrier = self.carriers.get(job.backend)
        if job.provider_sid is None or not isinstance(carrier, Provider):
            raise Invalid("Refresh not supported for this backend")
        if job.state.ended:
            return job
        news, _pause = await carrier.look(job, 0)
        return job if news is None else await self.heard(job, news.state, news.error, news.pages)

    async def _look(self, job: FaxJob, carrier: Provider) -> None:
        try:
            news, pause_s = await carrier.look(job, job.vain)
        except (Invalid, Unavailable) as error:
            log.warning("the fax provider %s does not say how a fax is: %s", job.backend, error)
            news, pause_s = None, UNHEARD_S
        current = self.queue.get(job.id)
        if current is None:
            return
        if news is not None and news.state.ended:
            await self._end_as(current, news.state, news.error, news.pages)
        elif current.vain + 1 >= MAX_LOOKS:
            await self._end(current, JobState.FAILED, FaxReason.NO_RESPONSE, "the provider never said how it ended")
        else:
            due = self._office.wall() + pause_s
            self.queue.put(kept := replace(current, due_at=due, vain=current.vain + 1))
            await self._office.surely(lambda: self._office.rows.keep(kept))

    def _may_be_taken(self, job: FaxJob) -> bool:
        """Whether an earlier process was just handing it to a provider: of each other try it knew how it ended."""
        begun = job.provider_sid is None and job.tries > job.vain
        return begun and isinstance(self.carriers.get(job.backend), Provider)

    async def _carried(self, job: FaxJob) -> FaxOutcome | Handed:
        office, papers = self._office, self._office.files.papers(job.id)
        carrier = self._carrier(job)
        if not office.has_account(job.account_id):
            raise Refused("its account is gone")
        if carrier.dials and not papers.tiff.exists():
            pages = await office.pages.render(papers.pdf, Kind.PDF, papers.tiff, office.layout(job.detail))
            job = replace(job, pages=pages)
        begun = replace(job, state=JobState.IN_PROGRESS, tries=job.tries + 1)
        await self._note(begun)
        try:
            return await carrier.carry(begun, papers)
        except (Invalid, OSError):
            raise
        except Exception:
            log.exception("the fax backend %s failed", job.backend)
            return failed(FaxReason.PROTOCOL, "the fax backend failed; the log says more")

    async def _settle(self, job: FaxJob, before: int, outcome: FaxOutcome) -> None:
        """What follows a try that began behind page `before`. Success is that every page was confirmed, whatever else
        is said (DESIGN rule 6)."""
        self.tries[outcome.reason] += 1
        confirmed = max(job.confirmed, min(before + outcome.pages_confirmed, job.pages or 0))
        self.pages_confirmed += outcome.pages_confirmed
        whole = (outcome.result is FaxResult.SUCCESS or bool(job.pages)) and confirmed >= (job.pages or 0)
        if outcome.result is FaxResult.SUCCESS and not whole:
            outcome = replace(outcome, result=FaxResult.PARTIAL, reason=FaxReason.NO_CONFIRMATION)
        after = replace(
            job,
            confirmed=confirmed,
            speed=outcome.speed or job.speed,
            ecm=outcome.ecm if outcome.speed else job.ecm,
            transport=outcome.transport.value if outcome.speed else job.transport,
            remote_ident=outcome.remote_ident or job.remote_ident,
            duration_s=job.duration_s + outcome.duration_s,
        )
        if whole:
            await self._end(after, JobState.SUCCESS, FaxReason.OK, None)
        elif outcome.result is FaxResult.CANCELLED:
            await self._end(after, JobState.FAILED, FaxReason.CANCELLED, outcome.detail or CANCELLED)
        elif (next_try := self._again(job, outcome)) is None:
            await self._end(after, JobState.FAILED, outcome.reason, outcome.detail or _in_words(outcome.reason))
        else:
            await self._note(
                replace(
                    after,
                    due_at=self._office.wall() + next_try.delay_s,
                    step=next_try.step,
                    vain=next_try.vain,
                    reason=outcome.reason,
                    error=None,
                )
            )

    def _again(self, job: FaxJob, outcome: FaxOutcome) -> Again | None:
        settings = self._office.settings
        rules = RetryRules(settings.tries, settings.busy_s, settings.retry_s)
        return again(
            outcome,
            start_page=job.confirmed,
            tries=job.tries,
            vain=job.vain,
            step=job.step,
            rules=rules,
            rng=self._rng,
        )

    async def _note(self, job: FaxJob) -> None:
        """Stores what became of a job, and says so."""
        job = replace(job, updated_at=self._office.wall())
        self.queue.put(job)
        await self._office.surely(lambda: self._office.rows.keep(job))
        self._say(job)

    async def _end(self, job: FaxJob, state: JobState, reason: FaxReason, error: str | None) -> None:
        """The one end of a job; whoever comes later comes too late."""
        if self.queue.get(job.id) is None:
            return
        ended = replace(job, state=state, reason=reason, error=error, updated_at=self._office.wall())
        self.queue.put(ended)
        self.ended[state] += 1
        self._cancelled.discard(job.id)
        await asyncio.shield(self._office.surely_aside(self._ended(ended), f"fax-end-{job.id}"))

    async def _ended(self, job: FaxJob) -> None:
        await self._office.surely(lambda: self._office.rows.keep(job))
        self._say(job)
        await self._tell(job)
        self._office.aside(self._put_away(job), f"fax-away-{job.id}")

    async def _put_away(self, job: FaxJob) -> None:
        await self._office.depot.put_away(self._office.files.papers(job.id).pdf)

    def _say(self, job: FaxJob) -> None:
        log.info("fax %s to %s: %s", job.id, _masked(job.to), job.state.value)
        self._office.bus.publish(FaxJobChanged(job))

    async def _tell(self, job: FaxJob) -> None:
        """Mail and webhook, under a key of the job's: however often this runs, they go out once."""
        office, settings = self._office, self._office.settings
        if office.outbox is None:
            return
        told = True
        if settings.mail is not None:
            letter = notices.letter_of_job(settings.mail, job)
            told &= await notices.mail(
                office.outbox, job.account_id, letter, f"fax-mail-{job.id}", f"fax to {_masked(job.to)}"
            )
        if settings.tell is not None:
            told &= await notices.hook(
                office.outbox, job.account_id, settings.tell, notices.of_job(job), f"fax-hook-{job.id}"
            )
        if told:
            await office.surely(lambda: office.rows.keep(replace(job, told_at=office.wall())))

    def _finished(self, job_id: str, _task: asyncio.Task[None]) -> None:
        self._running.pop(job_id, None)
        self.queue.done(job_id)

    async def clean(self, wall: float) -> int:
        """Deletes the documents of what ended long enough ago; how many. Raises StoreError, Unavailable."""
        office = self._office
        if not office.settings.keep_days:
            return 0
        old = await office.rows.to_clean(wall - office.settings.keep_days * DAY_S, 200)
        for job in old:
            await office.depot.remove(office.files.papers(job.id).pdf)
            await office.rows.keep(replace(job, cleaned_at=wall))
        return len(old)


def _whole(job: FaxJob) -> bool:
    """Whether every page was confirmed."""
    return job.pages is not None and job.confirmed >= job.pages > 0


def _in_words(reason: FaxReason) -> str:
    return reason.value.replace("_", " ")


def _masked(number: str) -> str:
    return "*" * max(0, len(number) - 4) + number[-4:]
