"""Documents in a bucket: there when their fax has ended, here until then; whatever the store does, none is lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from media.fax import FaxReason
from pbxd.config.faxes import FaxBox, FaxInbound, FaxStorage
from pbxd.errors import NotFound, Unavailable
from pbxd.services.faxes import FaxJob, JobState, ReceivedFax, ReceivedFilter
from pbxd.store import sqlite_url
from tests.media import papers
from tests.services.faxes.line import START, Desk, Place, a_desk, outcome
from tests.services.faxes.store import BUCKET, ObjectStore, object_store
from tests.services.faxes.test_arrivals import came, tiff

BOXES = {"office": FaxBox(numbers=("+12025550150",))}
DAY_S = 86_400


@pytest.fixture
async def store() -> AsyncIterator[ObjectStore]:
    async with object_store() as store:
        yield store


@pytest.fixture
async def desk(store: ObjectStore, tmp_path: Path) -> AsyncIterator[Desk]:
    inbound = FaxInbound(enabled=True, keep_days=30)
    storage = FaxStorage.model_validate(store.settings())
    folder = tmp_path / "data"
    folder.mkdir()
    place = Place(folder, sqlite_url(folder / "pbxd.db"))
    async with a_desk(place, boxes=BOXES, inbound=inbound, keep_days=7, storage=storage) as desk:
        yield desk


async def sent(desk: Desk, folder: Path) -> FaxJob:
    job = await desk.submit(papers.pdf(folder / "document.pdf", 1))
    await desk.settle()
    return await desk.job(job)


async def received(desk: Desk, folder: Path) -> ReceivedFax:
    desk.faxes.arrivals.received(came(tiff(folder / "in.tiff"), outcome(2)))
    await desk.settle()
    (fax,) = await desk.faxes.rows.received_page(ReceivedFilter("acc_1"))
    return fax


async def test_what_was_sent_is_in_the_bucket_and_not_here(desk: Desk, store: ObjectStore, tmp_path: Path) -> None:
    job = await sent(desk, tmp_path)
    assert job.state is JobState.SUCCESS
    assert list(store.kept) == [f"pbx/out/{job.id}/document.pdf"]
    pdf = desk.faxes.files.papers(job.id).pdf
    assert not pdf.parent.exists()
    copy = await desk.faxes.depot.bring(pdf)
    assert copy.read_bytes() == (tmp_path / "document.pdf").read_bytes()
    asked = len(store.asked)
    assert await desk.faxes.depot.bring(pdf) == copy  # once brought, it is here for an hour
    assert len(store.asked) == asked
    os.utime(copy, (START - 9, START - 9))
    await desk.after(3600)
    assert not copy.exists()


async def test_what_came_in_is_there_as_pdf_and_tiff_and_goes_in_time(
    desk: Desk, store: ObjectStore, tmp_path: Path
) -> None:
    fax = await received(desk, tmp_path)
    assert sorted(store.kept) == [f"pbx/in/{fax.id}/fax.pdf", f"pbx/in/{fax.id}/fax.tiff"]
    copy = await desk.faxes.depot.bring(desk.faxes.files.received_pdf(fax.id), fax.sha256)
    assert copy.stat().st_size == fax.octets
    await desk.after(31 * DAY_S)
    assert store.kept == {}
    assert await desk.faxes.rows.received(fax.id) is None
    assert not copy.exists()


async def test_a_fax_that_goes_on_stays_here(desk: Desk, store: ObjectStore, tmp_path: Path) -> None:
    desk.line.script = [outcome(0, FaxReason.BUSY)]
    job = await sent(desk, tmp_path)
    await desk.after(3600 * 0)
    desk.faxes.beat(desk.wall + 10)
    await desk.settle()
    assert job.state is JobState.IN_PROGRESS
    assert store.kept == {}
    assert desk.faxes.files.papers(job.id).pdf.is_file()


@pytest.mark.parametrize("status", [500, 503, 403])
async def test_what_the_store_does_not_take_stays_until_it_does(
    desk: Desk, store: ObjectStore, tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    store.status = status
    job, fax = await sent(desk, tmp_path), await received(desk, tmp_path)
    assert (desk.faxes.files.papers(job.id).pdf.is_file(), desk.faxes.files.received_pdf(fax.id).is_file()) == (
        True,
    ) * 2
    assert desk.faxes.depot.trouble == f"its answer was {status} SlowDown"
    assert "a fax cannot be put into the bucket now" in caplog.text
    store.status = None
    await desk.after(3600)
    assert len(store.kept) == 3
    assert not desk.faxes.files.received_pdf(fax.id).exists()
    assert desk.faxes.depot.failures == 2
    assert await desk.faxes.depot.check() is None


async def test_what_cannot_be_deleted_there_is_not_said_to_be(desk: Desk, store: ObjectStore, tmp_path: Path) -> None:
    job, fax = await sent(desk, tmp_path), await received(desk, tmp_path)
    store.status = 500
    with pytest.raises(Unavailable, match="cannot be deleted"):
        await desk.faxes.arrivals.delete(fax.id)
    assert await desk.faxes.arrivals.find(fax.id) == (await desk.faxes.rows.received(fax.id))
    await desk.after(8 * DAY_S)
    assert (await desk.job(job)).cleaned_at is None
    store.status = None
    await desk.after(3600)
    assert (await desk.job(job)).cleaned_at is not None
    await desk.faxes.arrivals.delete(fax.id)
    assert store.kept == {}
    with pytest.raises(NotFound):
        await desk.faxes.depot.bring(desk.faxes.files.received_pdf(fax.id))


async def test_what_is_not_what_was_put_there_is_not_given_out(desk: Desk, store: ObjectStore, tmp_path: Path) -> None:
    fax = await received(desk, tmp_path)
    store.kept[f"pbx/in/{fax.id}/fax.pdf"] += b"%"
    pdf = desk.faxes.files.received_pdf(fax.id)
    with pytest.raises(Unavailable, match="cannot be had"):
        await desk.faxes.depot.bring(pdf, fax.sha256)
    assert list((desk.faxes.files.folder / "fetched").iterdir()) == []
    assert desk.faxes.depot.trouble == "what the bucket has is not what was put there"


async def test_a_store_that_is_away_holds_up_no_fax(desk: Desk, store: ObjectStore, tmp_path: Path) -> None:
    said = FaxStorage.model_validate(store.settings(endpoint="http://127.0.0.1:9"))
    desk.faxes.reload(desk.faxes.office.settings.model_copy(update={"storage": said}))
    assert (await sent(desk, tmp_path)).state is JobState.SUCCESS
    assert desk.faxes.depot.trouble == "it cannot be reached"
    assert await desk.faxes.depot.check() == "it cannot be reached"


async def test_a_store_that_is_slow_holds_up_nobody(desk: Desk, store: ObjectStore, tmp_path: Path) -> None:
    store.hold = asyncio.Event()
    job = await desk.submit(papers.pdf(tmp_path / "document.pdf", 1))
    async with asyncio.timeout(20):
        while not store.asked:
            await asyncio.sleep(0.02)
    assert (await desk.job(job)).state is JobState.SUCCESS
    assert (len(desk.faxes.sending.queue), len(desk.faxes.sending.queue.active)) == (0, 0)
    waiting = await desk.submit(papers.pdf(tmp_path / "other.pdf", 1), at=START + 999)
    async with asyncio.timeout(1):
        assert (await desk.faxes.sending.cancel(waiting.id)).state is JobState.FAILED
    store.hold.set()
    await desk.settle()
    assert len(store.kept) == 2


async def test_what_is_deleted_while_it_is_put_there_is_gone(desk: Desk, store: ObjectStore, tmp_path: Path) -> None:
    store.hold = asyncio.Event()
    desk.faxes.arrivals.received(came(tiff(tmp_path / "in.tiff"), outcome(2)))
    async with asyncio.timeout(20):
        while not store.asked:
            await asyncio.sleep(0.02)
    (fax,) = await desk.faxes.rows.received_page(ReceivedFilter("acc_1"))
    deleting = asyncio.create_task(desk.faxes.arrivals.delete(fax.id))
    again = asyncio.create_task(desk.faxes.depot.put_away(desk.faxes.files.received_pdf(fax.id)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(desk.faxes.depot._busy) == 1
    store.hold.set()
    await deleting
    assert await again
    await desk.settle()
    puts = [path for method, path in store.asked if method == "PUT"]
    assert len(puts) == 2  # both, and nothing once it was deleted
    assert store.kept == {}
    assert await desk.faxes.rows.received(fax.id) is None
    assert not desk.faxes.files.received_pdf(fax.id).parent.exists()
    assert len(desk.faxes.depot._busy) == 0


async def test_documents_move_with_the_settings_and_are_found_in_both(
    desk: Desk, store: ObjectStore, tmp_path: Path
) -> None:
    settings = desk.faxes.office.settings
    in_bucket = settings.storage
    first = await sent(desk, tmp_path)
    desk.faxes.reload(settings.model_copy(update={"storage": in_bucket.model_copy(update={"plugin": "local"})}))
    assert not desk.faxes.depot.in_bucket
    second = await sent(desk, tmp_path)
    files = desk.faxes.files
    assert files.papers(second.id).pdf.is_file()
    assert (await desk.faxes.depot.bring(files.papers(first.id).pdf)).is_file()
    desk.faxes.reload(settings)
    await desk.after(3600)
    assert sorted(store.kept) == sorted(f"pbx/out/{one.id}/document.pdf" for one in (first, second))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"key": "another"}, "its answer was 403 InvalidAccessKeyId"),
        ({"secret": "another"}, "its answer was 403 SignatureDoesNotMatch"),
        ({"region": "us-east-1"}, "its answer was 403 InvalidAccessKeyId"),
        ({"bucket": "other"}, "its answer was 404 NoSuchBucket"),
        ({}, None),
    ],
)
async def test_a_look_at_the_bucket_says_what_is_wrong(
    desk: Desk, store: ObjectStore, changes: dict[str, object], why: str | None
) -> None:
    desk.faxes.depot.reload(FaxStorage.model_validate(store.settings(**changes)))
    assert await desk.faxes.depot.check() == why
    bucket = changes.get("bucket", BUCKET)
    assert store.asked == [("GET", f"/{bucket}?list-type=2&max-keys=1")]


def test_a_bucket_needs_a_name_a_place_and_a_key() -> None:
    with pytest.raises(ValidationError, match="s3 lacks endpoint, bucket, key, secret"):
        FaxStorage.model_validate({"plugin": "s3"})
    for wrong in ({"prefix": "../"}, {"prefix": "a"}, {"bucket": "A"}, {"bucket": "a/b"}, {"region": "x y"}):
        with pytest.raises(ValidationError):
            FaxStorage.model_validate({"s3": wrong})
