"""Faxes that come in are in a box once, whole or in part, with a PDF; people are told once; in time they go."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from media.fax import FaxOutcome, FaxReason, FaxReceived, FaxResult
from media.pages import BadDocument
from media.sheets import TiffWriter, encode
from pbxd.config.faxes import FaxBox, FaxInbound
from pbxd.errors import NotFound
from pbxd.services.faxes import Arrival, ReceivedFilter, ReceivedState
from pbxd.services.faxes.notices import letter_of_job, letter_of_received, of_received
from pbxd.services.faxes.received import box_of
from tests.media import papers
from tests.services.faxes.line import Desk, Place, a_desk, outcome

BOXES = {"office": FaxBox(numbers=("+12025550150", "950"))}


def tiff(path: Path, pages: int = 2) -> Path:
    with TiffWriter(path) as writer:
        for number in range(pages):
            sheet = np.zeros((400, 1728), bool)
            sheet[100 : 110 + number] = True
            writer.add(encode(sheet, 98))
    return path


def came(path: Path | None, ended: FaxOutcome, call_id: str = "call_1", called: str = "12025550150") -> FaxReceived:
    return FaxReceived(call_id, "acc_1", called, "+15551112222", path, ended)


@pytest.fixture
async def desk(place: Place) -> AsyncIterator[Desk]:
    async with a_desk(place, boxes=BOXES, inbound=FaxInbound(enabled=True, keep_days=30)) as desk:
        yield desk


async def test_a_fax_is_in_its_box_with_a_pdf_and_a_checksum(desk: Desk, tmp_path: Path) -> None:
    source = tiff(tmp_path / "in.tiff")
    label = source.with_suffix(".json")
    label.write_text("{}")
    desk.faxes.arrivals.received(came(source, outcome(2)))
    await desk.settle()
    (fax,) = await desk.faxes.rows.received_page(ReceivedFilter("acc_1"))
    assert (fax.box, fax.state, fax.pages, fax.caller, fax.speed) == (
        *("office", ReceivedState.RECEIVED, 2, "+15551112222", 14400),
    )
    pdf = desk.faxes.files.received_pdf(fax.id)
    assert (fax.octets, fax.sha256) == (pdf.stat().st_size, hashlib.sha256(pdf.read_bytes()).hexdigest())
    assert len(pypdfium2.PdfDocument(pdf)) == 2
    assert not source.exists()  # it is ours now
    assert not label.exists()
    assert [event.fax for event in desk.arrived] == [fax]
    assert [path.stat().st_mode & 0o77 for path in (desk.faxes.files.folder / "in").iterdir()] == [0]


async def test_what_is_told_twice_is_one_fax(desk: Desk, tmp_path: Path) -> None:
    arrival = Arrival("asterisk:1", "", "950", "asterisk", tiff(tmp_path / "in.tiff"))
    first, new = await desk.faxes.arrivals.take(arrival)
    again, newer = await desk.faxes.arrivals.take(arrival)
    assert (new, newer, again.id) == (True, False, first.id)
    assert len(desk.arrived) == 1


async def test_a_fax_that_broke_off_keeps_the_pages_that_came(desk: Desk, tmp_path: Path) -> None:
    broken = replace(outcome(1, FaxReason.NO_CARRIER), result=FaxResult.PARTIAL)
    desk.faxes.arrivals.received(came(tiff(tmp_path / "in.tiff", 1), broken))
    desk.faxes.arrivals.received(came(None, outcome(0, FaxReason.NO_FAX), "call_2", "+4930"))
    (tmp_path / "junk.tiff").write_bytes(b"II*\0junk")
    desk.faxes.arrivals.received(came(tmp_path / "junk.tiff", outcome(1), "call_3"))
    await desk.settle()
    found = {fax.event: fax for fax in await desk.faxes.rows.received_page(ReceivedFilter("acc_1"))}
    assert {event: (fax.state, fax.reason, fax.pages, fax.box) for event, fax in found.items()} == {
        "call:call_1": (ReceivedState.PARTIAL, "no_carrier", 1, "office"),
        "call:call_2": (ReceivedState.FAILED, "no_fax", 0, "default"),
        "call:call_3": (ReceivedState.FAILED, "the file is broken", 1, "office"),
    }
    assert found["call:call_3"].sha256 is None


async def test_a_providers_junk_is_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "junk.tiff").write_bytes(b"junk")
    with pytest.raises(BadDocument, match="the file is broken"):
        await desk.faxes.arrivals.take(Arrival("asterisk:1", "", "950", "asterisk", tmp_path / "junk.tiff"))
    assert await desk.faxes.rows.received_page(ReceivedFilter("acc_1")) == []


async def test_received_faxes_are_found_and_go_in_time(desk: Desk, tmp_path: Path) -> None:
    for number, called in enumerate(("950", "+4930")):
        desk.faxes.arrivals.received(came(tiff(tmp_path / f"{number}.tiff"), outcome(2), f"call_{number}", called))
    await desk.settle()

    async def found(**wanted: object) -> list[str]:
        page = await desk.faxes.rows.received_page(ReceivedFilter("acc_1", **wanted))  # type: ignore[arg-type]
        return sorted(fax.called for fax in page)

    assert await found() == ["+4930", "950"]
    assert await found(box="office") == ["950"]
    assert await found(called="+4930") == ["+4930"]
    assert await found(state=ReceivedState.PARTIAL) == []
    await desk.after(29 * 86_400)
    assert len(await found()) == 2
    await desk.after(2 * 86_400)
    assert await found() == []
    assert list((desk.faxes.files.folder / "in").iterdir()) == []
    with pytest.raises(NotFound):
        await desk.faxes.arrivals.find("0" * 32)


async def test_mail_and_webhook_say_what_came_and_nothing_breaks_their_lines(desk: Desk, tmp_path: Path) -> None:
    desk.faxes.arrivals.received(came(tiff(tmp_path / "in.tiff"), outcome(2)))
    await desk.settle()
    (fax,) = await desk.faxes.rows.received_page(ReceivedFilter("acc_1"))
    letter = letter_of_received("a@example.com", replace(fax, caller="+1\r\nBcc: x@example.com"), b"%PDF")
    assert letter.subject == "Fax from +1  Bcc: x@example.com (2 pages)"
    assert (letter.attachments[0].name, letter.attachments[0].content) == (f"fax-{fax.id}.pdf", b"%PDF")
    said = of_received(fax)
    assert (said["event"], said["mailbox"], said["pages"], said["sha256"]) == ("fax.received", "office", 2, fax.sha256)
    job = await desk.submit(papers.pdf(tmp_path / "a.pdf"))
    await desk.settle()
    assert letter_of_job("a@example.com", await desk.job(job)).subject == "Fax to +15551230000 sent (1 of 1 pages)"


def test_a_number_has_its_box_with_or_without_its_plus() -> None:
    assert [box_of(number, BOXES) for number in ("+12025550150", "12025550150", "950", "951")] == [
        *("office", "office", "office", "default")
    ]
