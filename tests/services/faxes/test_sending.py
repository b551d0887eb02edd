"""A fax is taken once, tried until every page is confirmed, and reported once, whatever happens in between."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from media.fax import FaxMode, FaxOptions, FaxOutcome, FaxReason, FaxResult
from media.pages import Kind
from pbxd.errors import Conflict, Invalid, NotFound, Overloaded
from pbxd.services.faxes import FaxJob, FaxWish, Handed, JobFilter, JobState, Papers
from tests.media import papers
from tests.services.faxes.line import REMOTE, START, Desk, Place, ScriptedLine, Sent, a_desk, outcome


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document of three pages."""
    return papers.pdf(tmp_path_factory.mktemp("documents") / "three.pdf", pages=3)


@pytest.fixture
async def desk(place: Place) -> AsyncIterator[Desk]:
    async with a_desk(place, ident="+1 555 1", header="House", detail="standard") as desk:
        yield desk


async def test_a_fax_is_sent_whole_and_reported_once(desk: Desk, three: Path) -> None:
    job = await desk.submit(three, made_by="a-key")
    assert (job.state, job.pages, job.file_name, len(job.id)) == (JobState.QUEUED, 3, "three.pdf", 32)
    await desk.settle()
    done = await desk.job(job)
    assert done == replace(
        job,
        state=JobState.SUCCESS,
        confirmed=3,
        tries=1,
        speed=14400,
        ecm=True,
        transport="t38",
        remote_ident=REMOTE,
        duration_s=30.0,
        reason=FaxReason.OK,
    )
    (sent,) = desk.line.sent
    assert (sent.number, sent.pages) == ("+15551230000", 3)
    assert (sent.options.ident, sent.options.header, sent.options.mode) == ("+1 555 1", "House", FaxMode.AUTO)
    assert [one.state for one in desk.told] == [JobState.QUEUED, JobState.IN_PROGRESS, JobState.SUCCESS]
    await desk.after(3600)
    assert len(desk.line.sent) == 1


async def test_success_is_that_every_page_was_confirmed_whatever_the_line_says(desk: Desk, three: Path) -> None:
    desk.line.script = [outcome(2)]  # it says success, of two pages of three
    job = await desk.submit(three)
    await desk.settle()
    waiting = await desk.job(job)
    assert (waiting.state, waiting.confirmed) == (JobState.IN_PROGRESS, 2)
    await desk.after(40)
    assert [one.options.start_page for one in desk.line.sent] == [0, 2]
    assert (await desk.job(job)).state is JobState.SUCCESS


async def test_a_fax_goes_on_at_the_page_that_failed_slower_and_with_the_same_ident(desk: Desk, three: Path) -> None:
    desk.line.script = [outcome(1, FaxReason.NO_CARRIER), outcome(0, FaxReason.CANNOT_TRAIN)]
    job = await desk.submit(three)
    await desk.settle()
    between = await desk.job(job)
    assert (between.state, between.confirmed, between.reason) == (JobState.IN_PROGRESS, 1, FaxReason.NO_CARRIER)
    assert 30 * 0.8 <= between.due_at - desk.wall <= 30 * 1.2
    await desk.after(10)
    assert len(desk.line.sent) == 1  # not yet
    await desk.after(30)
    await desk.after(40)
    tries = [(one.options.start_page, one.options.mode, one.options.max_speed) for one in desk.line.sent]
    assert tries == [(0, FaxMode.AUTO, 14400), (1, FaxMode.AUTO, 9600), (1, FaxMode.G711, 9600)]
    assert {(one.options.ident, one.options.header) for one in desk.line.sent} == {("+1 555 1", "House")}
    done = await desk.job(job)
    assert (done.state, done.confirmed, done.tries, done.duration_s) == (JobState.SUCCESS, 3, 3, 90.0)


async def test_busy_is_tried_again_until_the_tries_are_used_up(desk: Desk, three: Path) -> None:
    desk.line.script = [outcome(0, FaxReason.BUSY)] * 9
    job = await desk.submit(three)
    for _ in range(8):
        await desk.settle()
        await desk.after(400)
    done = await desk.job(job)
    assert (done.state, done.reason, done.error, done.tries) == (JobState.FAILED, FaxReason.BUSY, "busy", 4)
    assert {one.options.max_speed for one in desk.line.sent} == {14400}
    assert [one.state for one in desk.told if one.state.ended] == [JobState.FAILED]


async def test_a_number_that_leads_nowhere_is_not_tried_again(desk: Desk, three: Path) -> None:
    desk.line.script = [replace(outcome(0, FaxReason.NO_ROUTE), detail="no route leads to +15551230000")]
    job = await desk.submit(three)
    await desk.settle()
    done = await desk.job(job)
    assert (done.state, done.reason, done.error) == (
        JobState.FAILED,
        FaxReason.NO_ROUTE,
        "no route leads to +15551230000",
    )


class BrokenLine:
    """A line with a bug."""

    async def send(self, _number: str, _tiff: Path, _options: FaxOptions) -> FaxOutcome:
        raise RuntimeError("a bug")


async def test_a_line_that_breaks_is_a_try_that_failed(
    desk: Desk, three: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk.faxes.sip.line = BrokenLine()
    job = await desk.submit(three)
    await desk.settle()
    assert (await desk.job(job)).state is JobState.IN_PROGRESS
    assert "the fax backend sip failed" in caplog.text
    desk.faxes.sip.line = desk.line
    await desk.after(40)
    assert (await desk.job(job)).state is JobState.SUCCESS


async def test_without_a_line_a_fax_fails_and_says_why(desk: Desk, three: Path) -> None:
    desk.faxes.sip.line = None
    job = await desk.submit(three)
    await desk.settle()
    done = await desk.job(job)
    assert (done.state, done.reason, done.error) == (JobState.FAILED, FaxReason.NO_ROUTE, "this house has no fax line")


async def test_a_fax_waits_for_its_time(desk: Desk, three: Path) -> None:
    job = await desk.submit(three, at=START + 600)
    await desk.after(599)
    assert (await desk.job(job)).state is JobState.QUEUED
    await desk.after(1)
    assert (await desk.job(job)).state is JobState.SUCCESS


async def test_the_urgent_one_goes_first_and_no_more_than_allowed_at_a_time(place: Place, three: Path) -> None:
    line = ScriptedLine(hold=asyncio.Event())
    async with a_desk(place, line, at_once=2, detail="standard") as desk:
        for number in range(5):
            await desk.submit(three, f"+155500000{number}", at=START + 10, priority=5 if number == 4 else 0)
        desk.wall += 20
        desk.faxes.beat(desk.wall)
        while line.at_once < 2:
            await asyncio.sleep(0.01)
        desk.faxes.beat(desk.wall)
        assert (len(line.sent), "+1555000004" in {one.number for one in line.sent}) == (2, True)
        assert line.hold is not None
        line.hold.set()
        line.hold = None
        await desk.settle()
        for _ in range(3):
            await desk.after(1)
        assert (len(line.sent), line.most_at_once) == (5, 2)


async def test_a_key_makes_one_fax_however_often_it_is_asked_for(desk: Desk, three: Path) -> None:
    first = await desk.submit(three, key="order-7")
    again = await desk.submit(three, key="order-7")
    assert again.id == first.id
    with pytest.raises(Conflict, match="used for another fax"):
        await desk.submit(three, to="+15559999999", key="order-7")
    both = await asyncio.gather(*(desk.submit(three, key="order-8") for _ in range(3)))
    assert len({one.id for one in both}) == 1
    await desk.settle()
    assert (await desk.faxes.rows.page(JobFilter("acc_1")))[0] == 2
    assert len(desk.line.sent) == 2
    assert len(list((desk.faxes.files.folder / "out").iterdir())) == 2


async def test_cancelling_takes_a_fax_out_of_the_queue_or_hangs_up(place: Place, three: Path) -> None:
    line = ScriptedLine(hold=asyncio.Event())
    async with a_desk(place, line, detail="standard") as desk:
        waiting = await desk.submit(three, at=START + 600)
        cancelled = await desk.faxes.sending.cancel(waiting.id)
        assert (cancelled.state, cancelled.reason, cancelled.error) == (
            JobState.FAILED,
            FaxReason.CANCELLED,
            "it was cancelled",
        )
        under_way = await desk.submit(three)
        while not line.sent:
            await asyncio.sleep(0.01)
        assert (await desk.faxes.sending.cancel(under_way.id)).state is JobState.FAILED
        assert line.hung_up == 1
        with pytest.raises(Conflict, match="has ended"):
            await desk.faxes.sending.cancel(under_way.id)
        with pytest.raises(NotFound, match="Job not found"):
            await desk.faxes.sending.cancel("0" * 32)
        await desk.after(4000)
        assert len(line.sent) == 1
        assert [one.state for one in desk.told if one.state.ended] == [JobState.FAILED] * 2


async def test_a_fax_that_is_cancelled_before_or_after_a_try_is_not_tried_again(place: Place, three: Path) -> None:
    line = ScriptedLine([outcome(0, FaxReason.BUSY)])
    async with a_desk(place, line, detail="standard") as desk:
        waiting = await desk.submit(three, at=START + 60)
        desk.wall += 60
        desk.faxes.beat(desk.wall)  # its try has a task that has not run yet
        cancelled = await desk.faxes.sending.cancel(waiting.id)
        assert (cancelled.state, cancelled.reason, line.sent) == (JobState.FAILED, FaxReason.CANCELLED, [])
        writes, keep = asyncio.Event(), desk.faxes.rows.keep

        async def slow(job: FaxJob) -> None:
            if job.reason is FaxReason.BUSY:
                writes.set()
                await asyncio.sleep(0.05)
            await keep(job)

        desk.faxes.rows.keep = slow  # type: ignore[method-assign]
        busy = await desk.submit(three)
        await writes.wait()  # between two tries
        assert (await desk.faxes.sending.cancel(busy.id)).reason is FaxReason.CANCELLED
        await desk.after(4000)
        assert len(line.sent) == 1
        assert [(await desk.job(one)).state for one in (waiting, busy)] == [JobState.FAILED] * 2


async def test_a_stop_stores_what_has_just_been_confirmed(place: Place, three: Path) -> None:
    line = ScriptedLine([outcome(3), outcome(1, FaxReason.NO_CARRIER)])
    async with a_desk(place, line, detail="standard") as desk:
        writes, keep = asyncio.Semaphore(0), desk.faxes.rows.keep

        async def slow(job: FaxJob) -> None:
            if job.confirmed:
                writes.release()
                await asyncio.sleep(0.05)
            await keep(job)

        desk.faxes.rows.keep = slow  # type: ignore[method-assign]
        whole, part = await desk.submit(three), await desk.submit(three)
        for _ in range(2):
            await writes.acquire()
    async with a_desk(place, line, wall=START + 4000, detail="standard") as desk:
        assert (await desk.job(whole)).state is JobState.SUCCESS
        assert (await desk.job(part)).confirmed == 1
        await desk.after(1)
        assert [one.options.start_page for one in line.sent] == [0, 0, 1]  # no page twice


async def test_a_fault_of_ours_ends_a_fax(place: Place, three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_desk(place, detail="standard") as desk:
        job = await desk.submit(three, at=START + 60)

        async def broken(*_: object) -> int:
            raise RuntimeError("no process")

        monkeypatch.setattr(desk.faxes.office.pages, "render", broken)
        await desk.after(60)
        ended = await desk.job(job)
        assert (ended.state, ended.error) == (JobState.REFUSED, "the house failed; its log says more")


async def test_what_waits_and_what_was_in_mid_page_goes_on_after_a_restart(place: Place, three: Path) -> None:
    line = ScriptedLine([outcome(1, FaxReason.NO_CARRIER)])
    async with a_desk(place, line, detail="standard") as desk:
        partial = await desk.submit(three)
        await desk.settle()
        line.hold = asyncio.Event()
        under_way = await desk.submit(three)
        waiting = await desk.submit(three, at=START + 60)
        while line.at_once < 1:
            await asyncio.sleep(0.01)
    assert line.hung_up == 1
    line.hold = None
    async with a_desk(place, line, wall=START + 100, detail="standard") as desk:
        assert [(await desk.job(one)).state for one in (partial, under_way, waiting)] == [
            *(JobState.IN_PROGRESS, JobState.IN_PROGRESS, JobState.QUEUED)
        ]
        await desk.after(1)
        assert {(await desk.job(one)).state for one in (partial, under_way, waiting)} == {JobState.SUCCESS}
        assert sorted(one.options.start_page for one in line.sent) == [0, 0, 0, 0, 1]
        assert [one.id for one in desk.told if one.state.ended].count(under_way.id) == 1
    async with a_desk(place, line, wall=START + 200, detail="standard") as desk:
        await desk.after(1)
        assert desk.told == []


class Provider:
    """A carrier that tells later."""

    name = "cloud"
    dials = False

    def __init__(self) -> None:
        self.gate: asyncio.Event | None = None

    async def carry(self, job: FaxJob, papers: Papers) -> Handed:
        assert papers.pdf.exists()
        if self.gate is not None:
            await self.gate.wait()
        return Handed(f"sid-{job.id[:4]}")


async def test_what_a_provider_says_ends_a_fax_once(place: Place, three: Path) -> None:
    async with a_desk(place, backend="cloud") as desk:
        provider = Provider()
        desk.faxes.sending.carriers = {"cloud": provider}
        job = await desk.submit(three)
        assert job.pages is None
        await desk.settle()
        handed = await desk.job(job)
        assert (handed.state, handed.provider_sid) == (JobState.IN_PROGRESS, f"sid-{job.id[:4]}")
        assert await desk.faxes.rows.job_of_provider("cloud", f"sid-{job.id[:4]}") == handed
        sending = desk.faxes.sending
        assert (await sending.heard(handed, JobState.IN_PROGRESS)).state is JobState.IN_PROGRESS
        done = await sending.heard(handed, JobState.SUCCESS, pages=3)
        assert (done.state, done.pages, done.confirmed) == (JobState.SUCCESS, 3, 3)
        late = await sending.heard(handed, JobState.FAILED, "too late")
        assert (late.state, late.error) == (JobState.SUCCESS, None)


async def test_an_answer_that_overtakes_its_request_is_not_lost(place: Place, three: Path) -> None:
    async with a_desk(place, backend="cloud") as desk:
        provider = Provider()
        provider.gate = asyncio.Event()
        desk.faxes.sending.carriers = {"cloud": provider}
        job = await desk.submit(three)
        hearing = asyncio.create_task(desk.faxes.sending.heard(job, JobState.SUCCESS, pages=3))
        await asyncio.sleep(0.05)
        provider.gate.set()
        assert (await hearing).state is JobState.SUCCESS
        assert (await desk.job(job)).state is JobState.SUCCESS


async def test_nothing_is_sent_where_faxes_are_disabled(place: Place, three: Path) -> None:
    async with a_desk(place, backend="disabled") as desk:
        job = await desk.submit(three)
        await desk.after(60)
        assert ((await desk.job(job)).state, desk.line.sent) == (JobState.DISABLED, [])


async def test_a_document_that_cannot_be_faxed_is_no_job(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="the PDF is broken"):
        await desk.faxes.sending.submit(FaxWish("+15551230000"), io.BytesIO(b"%PDF-junk"), Kind.PDF)
    with pytest.raises(Invalid, match="the text is empty"):
        await desk.faxes.sending.submit(FaxWish("+15551230000"), io.BytesIO(b" "), Kind.TEXT)
    desk.faxes.office.settings = desk.faxes.office.settings.model_copy(update={"backend": "carrier-pigeon"})
    with pytest.raises(Invalid, match="there is no fax backend carrier-pigeon"):
        await desk.submit(papers.pdf(tmp_path / "a.pdf"))
    desk.faxes.office.settings = desk.faxes.office.settings.model_copy(update={"max_waiting": 0})
    with pytest.raises(Overloaded, match="too many faxes are waiting"):
        await desk.submit(papers.pdf(tmp_path / "a.pdf"))
    assert (await desk.faxes.rows.page(JobFilter("acc_1"))) == (0, [])
    assert list((desk.faxes.files.folder / "out").iterdir()) == []


async def test_a_document_that_is_lost_meanwhile_ends_the_job(desk: Desk, three: Path) -> None:
    job = await desk.submit(three, at=START + 60)
    desk.faxes.files.papers(job.id).pdf.write_bytes(b"%PDF-gone")
    await desk.after(60)
    done = await desk.job(job)
    assert (done.state, done.reason, done.error) == (JobState.REFUSED, FaxReason.BAD_FILE, "the PDF is broken")


async def test_text_and_pictures_are_faxed_and_have_a_pdf(desk: Desk, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("100 €", encoding="utf-8")
    jobs = [
        await desk.submit(text, kind=Kind.TEXT),
        await desk.submit(papers.grey_ramp(tmp_path / "a.png"), kind=Kind.PNG),
    ]
    await desk.settle()
    assert [(await desk.job(one)).state for one in jobs] == [JobState.SUCCESS] * 2
    assert all(desk.faxes.files.papers(one.id).pdf.read_bytes().startswith(b"%PDF") for one in jobs)


async def test_documents_of_what_has_ended_are_deleted_in_time(place: Place, three: Path) -> None:
    async with a_desk(place, keep_days=2, clean_every_s=60, detail="standard") as desk:
        done = await desk.submit(three)
        await desk.settle()
        waiting = await desk.submit(three, at=START + 30 * 86_400)
        await desk.after(86_400)
        assert desk.faxes.files.papers(done.id).pdf.exists()
        await desk.after(86_500)
        assert not desk.faxes.files.papers(done.id).pdf.exists()
        assert desk.faxes.files.papers(waiting.id).pdf.exists()
        assert (await desk.job(done)).cleaned_at == desk.wall
        assert desk.faxes.cleaned == 1


def test_the_words_of_the_states_are_the_contracts() -> None:
    assert [state.value for state in JobState] == ["queued", "in_progress", "SUCCESS", "FAILED", "failed", "disabled"]
    assert [state.ended for state in JobState] == [False, False, True, True, True, True]
    assert FaxResult.SUCCESS.value == "success"
    assert Sent.__slots__
