"""Faxes between two sessions in virtual time: whole documents, loss, ends that vanish, pages that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from media.fax import (
    Compression,
    FaxEventKind,
    FaxOptions,
    FaxPhase,
    FaxReason,
    FaxResult,
    FaxTransport,
    Resolution,
)
from media.fax_gateway import FaxGateway
from media.fax_session import FaxLimits, FaxSession, T38Terms, at_page, remove_empty, step
from media.spandsp import T38Settings
from media.tiff import count_pages
from media.udptl import ErrorCorrection, UdptlReceiver, UdptlTerms
from tests.media import documents
from tests.media.fax_line import STEP, FaxLine, Way, companded

AUDIO, T38 = FaxTransport
MCF, RTN = bytes.fromhex("c00180000031"), bytes.fromhex("c00180000032")  # the octet of a V.21 frame that says so
SENDER = FaxOptions(ident="+12025550100", header="")
RECEIVER = FaxOptions(ident="+12025550150")


def line(
    folder: Path,
    transport: FaxTransport,
    contents: list[bytes],
    options: FaxOptions = SENDER,
    *,
    loss: float = 0.0,
    seed: int = 1,
    terms: T38Terms | None = None,
    lines_per_inch: int = documents.STANDARD,
) -> FaxLine:
    """A sender of these pages, a receiver into `received.tif`, and a line between them."""
    document = documents.write(folder / "sent.tif", contents, lines_per_inch)
    (folder / "received.tif").unlink(missing_ok=True)
    sender = FaxSession(options, document, 0.0, sends=True, transport=transport, t38=terms)
    receiver = FaxSession(RECEIVER, folder / "received.tif", 0.0, sends=False, transport=transport, t38=terms)
    return FaxLine(sender, receiver, loss=loss, seed=seed)


def outcome_of(session: FaxSession) -> tuple[FaxResult, FaxReason, int]:
    assert session.outcome is not None
    return session.outcome.result, session.outcome.reason, session.outcome.pages_confirmed


def kinds(session: FaxSession) -> list[FaxEventKind]:
    assert session.outcome is not None
    return [event.kind for event in session.outcome.transcript]


@pytest.mark.parametrize("count", [1, 3, 30])
@pytest.mark.parametrize("transport", FaxTransport)
def test_documents_arrive_bit_by_bit(tmp_path: Path, transport: FaxTransport, count: int) -> None:
    sent = documents.pages(count)
    fax = line(tmp_path, transport, sent)
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, count)
    assert outcome_of(fax.receiver) == (FaxResult.SUCCESS, FaxReason.OK, count)
    assert documents.read(tmp_path / "received.tif") == sent
    outcome = fax.sender.outcome
    assert outcome is not None
    assert (outcome.pages_total, outcome.speed, outcome.ecm, outcome.remote_ident) == (
        count,
        14400,
        True,
        "+12025550150",
    )
    assert fax.receiver.outcome is not None
    assert fax.receiver.outcome.remote_ident == "+12025550100"
    assert kinds(fax.sender).count(FaxEventKind.PAGE_CONFIRMED) == count


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("transport", FaxTransport)
def test_every_coding(tmp_path: Path, transport: FaxTransport, compression: Compression) -> None:
    sent = documents.pages(2)
    fax = line(tmp_path, transport, sent, FaxOptions(compression=compression))
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, 2)
    assert documents.read(tmp_path / "received.tif") == sent


@pytest.mark.parametrize("ecm", [True, False])
@pytest.mark.parametrize(("limit", "speed"), [(14400, 14400), (9600, 9600), (4800, 4800)])
def test_every_modem_with_and_without_ecm(tmp_path: Path, limit: int, speed: int, ecm: bool) -> None:
    sent = documents.pages(1)
    fax = line(tmp_path, AUDIO, sent, FaxOptions(max_speed=limit, ecm=ecm))
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, 1)
    assert fax.sender.outcome is not None
    assert (fax.sender.outcome.speed, fax.sender.outcome.ecm) == (speed, ecm)
    assert documents.read(tmp_path / "received.tif") == sent


@pytest.mark.parametrize(
    ("lines_per_inch", "resolution"),
    [
        (documents.STANDARD, Resolution.STANDARD),
        (documents.FINE, Resolution.FINE),
        (documents.SUPERFINE, Resolution.SUPERFINE),
    ],
)
def test_every_resolution(tmp_path: Path, lines_per_inch: int, resolution: Resolution) -> None:
    sent = documents.pages(1)
    fax = line(tmp_path, T38, sent, lines_per_inch=lines_per_inch)
    fax.run()
    assert fax.sender.outcome is not None
    assert (fax.sender.outcome.result, fax.sender.outcome.resolution) == (FaxResult.SUCCESS, resolution)
    assert documents.read(tmp_path / "received.tif") == sent


def test_a_header_stands_over_each_page(tmp_path: Path) -> None:
    sent = documents.pages(2)
    fax = line(tmp_path, T38, sent, FaxOptions(ident="+12025550100", header="pbxd"))
    fax.run()
    received = documents.read(tmp_path / "received.tif")
    assert len(received) == 2
    for page, original in zip(received, sent, strict=True):
        assert page.endswith(original)
        assert any(page[: len(page) - len(original)])


def test_twenty_faxes_over_g711_with_loss(tmp_path: Path) -> None:
    """0.2 % of the frames are lost; what repeats the last one saves most faxes."""
    sent = documents.pages(3)
    whole = 0
    for seed in range(20):
        fax = line(tmp_path, AUDIO, sent, loss=0.002, seed=seed)
        fax.run()
        result, _, confirmed = outcome_of(fax.sender)
        arrived = documents.read(tmp_path / "received.tif")
        assert (result is FaxResult.SUCCESS) == (confirmed == 3)
        assert confirmed <= len(arrived)
        if result is FaxResult.SUCCESS:
            assert arrived == sent
            whole += 1
    assert whole >= 17


@pytest.mark.parametrize("correction", [ErrorCorrection.REDUNDANCY, ErrorCorrection.FEC])
def test_t38_with_five_per_cent_of_loss(tmp_path: Path, correction: ErrorCorrection) -> None:
    sent = documents.pages(3)
    terms = T38Terms(udptl=UdptlTerms(correction))
    for seed in range(10):
        fax = line(tmp_path, T38, sent, loss=0.05, seed=seed, terms=terms)
        fax.run()
        assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, 3)
        assert documents.read(tmp_path / "received.tif") == sent
        assert fax.forward.lost > 10
        assert fax.receiver.receiver.recovered > 10


@pytest.mark.parametrize("version", range(4))
def test_t38_versions(tmp_path: Path, version: int) -> None:
    sent = documents.pages(1)
    fax = line(tmp_path, T38, sent, terms=T38Terms(T38Settings(version=version)))
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, 1)
    assert documents.read(tmp_path / "received.tif") == sent


@pytest.mark.parametrize(("count", "ecm"), [(1, True), (3, True), (3, False), (30, True)])
@pytest.mark.parametrize("sound_sends", [True, False])
def test_the_gateway_in_the_middle(tmp_path: Path, sound_sends: bool, count: int, ecm: bool) -> None:
    """Of its datagrams 5 % are lost, of the sound nothing."""
    sent = documents.pages(count, 300 if count < 30 else 100)
    document = documents.write(tmp_path / "sent.tif", sent)
    ways = (AUDIO, T38) if sound_sends else (T38, AUDIO)
    sender = FaxSession(FaxOptions(ecm=ecm), document, 0.0, sends=True, transport=ways[0])
    receiver = FaxSession(RECEIVER, tmp_path / "received.tif", 0.0, sends=False, transport=ways[1])
    gateway = FaxGateway(FaxOptions(), 0.0)
    sound, packets = (sender, receiver) if sound_sends else (receiver, sender)
    inward, outward = Way(0.05, 1), Way(0.05, 2)
    now = 0.0
    while sender.outcome is None or receiver.outcome is None:
        now += STEP
        assert now < 600
        step([sender, receiver, gateway], now)
        if sound.said:
            gateway.hear(companded(sound.said))
        for datagram in inward.carry(packets.datagrams):
            if datagram is not None:
                gateway.receive(datagram, now)
        sound.hear(companded(gateway.said))
        for datagram in outward.carry(gateway.datagrams):
            if datagram is not None:
                packets.receive(datagram, now)
    assert outcome_of(sender) == (FaxResult.SUCCESS, FaxReason.OK, count)
    assert outcome_of(receiver) == (FaxResult.SUCCESS, FaxReason.OK, count)
    assert documents.read(tmp_path / "received.tif") == sent
    assert (gateway.talk.confirmed, gateway.phase) == (count, FaxPhase.DONE)
    assert [event.text for event in gateway.transcript][:2] == ["CSI", "DIS"]
    gateway.close()


def switched(fax: FaxLine, transport: FaxTransport, at: float, apart: float = 0.1) -> None:
    """Both go over to `transport`, one a moment after the other."""
    fax.run_until(lambda: fax.now > at)
    assert fax.receiver.switch(transport, fax.now)
    fax.run_until(lambda: fax.now > at + apart)
    assert fax.sender.switch(transport, fax.now)


@pytest.mark.parametrize("count", [1, 3, 30])
@pytest.mark.parametrize(("first", "then", "loss"), [(AUDIO, T38, 0.05), (T38, AUDIO, 0.0)])
def test_falling_over_both_ways(
    tmp_path: Path, first: FaxTransport, then: FaxTransport, loss: float, count: int
) -> None:
    sent = documents.pages(count, 300 if count < 30 else 100)
    fax = line(tmp_path, first, sent, loss=loss)
    switched(fax, then, 4.0)
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, count)
    assert outcome_of(fax.receiver) == (FaxResult.SUCCESS, FaxReason.OK, count)
    assert documents.read(tmp_path / "received.tif") == sent
    assert fax.sender.outcome is not None
    assert fax.sender.outcome.transport is then
    assert FaxEventKind.TRANSPORT in kinds(fax.sender)


def test_a_page_that_has_begun_stays_where_it_is(tmp_path: Path) -> None:
    fax = line(tmp_path, AUDIO, documents.pages(2))
    fax.run_until(lambda: fax.sender.talk.phase is FaxPhase.PAGE)
    assert not fax.sender.switchable
    fax.run_until(lambda: fax.sender.talk.confirmed == 1)
    assert not fax.sender.switch(T38, fax.now)
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, 2)


def silent(_: bytes) -> bytes:
    return bytes(320)


def gone(_: bytes) -> None:
    return None


# Who is left, in which phase, over what, and whether sound goes on without a fax in it; the reason, and how soon.
VANISHING = [
    ("sender", FaxPhase.CALL, AUDIO, gone, FaxReason.NO_FAX, 61),
    ("sender", FaxPhase.CALL, AUDIO, silent, FaxReason.NO_FAX, 61),
    ("sender", FaxPhase.CALL, T38, gone, FaxReason.NO_FAX, 61),
    ("sender", FaxPhase.NEGOTIATION, AUDIO, gone, FaxReason.MEDIA_LOST, 21),
    ("sender", FaxPhase.NEGOTIATION, AUDIO, silent, FaxReason.NO_RESPONSE, 36),
    ("sender", FaxPhase.NEGOTIATION, T38, gone, FaxReason.MEDIA_LOST, 21),
    ("sender", FaxPhase.PAGE, AUDIO, gone, FaxReason.NO_CONFIRMATION, 30),
    ("sender", FaxPhase.PAGE, AUDIO, silent, FaxReason.NO_CONFIRMATION, 30),
    ("sender", FaxPhase.PAGE, T38, gone, FaxReason.NO_CONFIRMATION, 30),
    ("sender", FaxPhase.CONFIRMATION, AUDIO, gone, FaxReason.NO_CONFIRMATION, 20),
    ("sender", FaxPhase.CONFIRMATION, AUDIO, silent, FaxReason.NO_CONFIRMATION, 20),
    ("sender", FaxPhase.CONFIRMATION, T38, gone, FaxReason.NO_CONFIRMATION, 20),
    ("receiver", FaxPhase.CALL, AUDIO, gone, FaxReason.NO_FAX, 30),
    ("receiver", FaxPhase.CALL, AUDIO, silent, FaxReason.NO_FAX, 30),
    ("receiver", FaxPhase.CALL, T38, gone, FaxReason.NO_FAX, 30),
    ("receiver", FaxPhase.NEGOTIATION, AUDIO, gone, FaxReason.MEDIA_LOST, 21),
    ("receiver", FaxPhase.NEGOTIATION, AUDIO, silent, FaxReason.NO_RESPONSE, 36),
    ("receiver", FaxPhase.NEGOTIATION, T38, gone, FaxReason.MEDIA_LOST, 21),
    ("receiver", FaxPhase.PAGE, AUDIO, gone, FaxReason.MEDIA_LOST, 21),
    ("receiver", FaxPhase.PAGE, AUDIO, silent, FaxReason.NO_CARRIER, 30),
    ("receiver", FaxPhase.PAGE, T38, gone, FaxReason.MEDIA_LOST, 21),
]


@pytest.mark.parametrize(("left", "phase", "transport", "tamper", "reason", "within"), VANISHING)
def test_the_far_end_vanishes(
    tmp_path: Path,
    left: str,
    phase: FaxPhase,
    transport: FaxTransport,
    tamper: Callable[[bytes], bytes | None],
    reason: FaxReason,
    within: float,
) -> None:
    fax = line(tmp_path, transport, documents.pages(2))
    session = fax.sender if left == "sender" else fax.receiver
    fax.run_until(lambda: session.talk.phase is phase)
    if phase is FaxPhase.PAGE:
        fax.run_for(2)
    fax.forward.tamper = fax.backward.tamper = tamper
    vanished = fax.now
    fax.run_until(lambda: session.outcome is not None)
    assert outcome_of(session) == (FaxResult.FAILED, reason, 0)
    assert fax.now - vanished <= within
    assert not remove_empty(tmp_path / "received.tif") or left == "sender"


def test_what_was_received_before_the_end_is_kept(tmp_path: Path) -> None:
    sent = documents.pages(3)
    fax = line(tmp_path, T38, sent)
    fax.run_until(lambda: fax.sender.talk.confirmed == 2)
    fax.run_for(3)
    fax.forward.cut = fax.backward.cut = True
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.PARTIAL, FaxReason.NO_CONFIRMATION, 2)
    assert outcome_of(fax.receiver) == (FaxResult.PARTIAL, FaxReason.MEDIA_LOST, 2)
    assert documents.read(tmp_path / "received.tif")[:2] == sent[:2]
    resumed = line(tmp_path, T38, sent, at_page(SENDER, 2))
    resumed.run()
    assert outcome_of(resumed.sender) == (FaxResult.SUCCESS, FaxReason.OK, 1)
    assert documents.read(tmp_path / "received.tif") == sent[2:]


def test_a_page_confirmed_badly_is_sent_again_and_not_counted(tmp_path: Path) -> None:
    sent = documents.pages(2)
    fax = line(tmp_path, T38, sent, FaxOptions(ecm=False))
    to_refuse = [1]

    def refuse(datagram: bytes) -> bytes:
        return datagram.replace(MCF, RTN) if MCF in datagram and to_refuse and to_refuse.pop() else datagram

    fax.backward.tamper = refuse
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, 2)
    assert fax.sender.outcome is not None
    transcript = fax.sender.outcome.transcript
    texts = [event.text for event in transcript if event.kind is FaxEventKind.FRAME]
    assert texts.count("RTN") == 1
    assert texts.count("MPS") == 2
    assert texts.count("MCF") == 2
    assert [event.page for event in transcript if event.kind is FaxEventKind.PAGE_REFUSED] == [1]
    assert (fax.sender.outcome.retries, fax.sender.outcome.speed) == (1, 12000)


def test_a_confirmation_that_is_lost_is_asked_for_again_and_counts_once(tmp_path: Path) -> None:
    sent = documents.pages(2)
    fax = line(tmp_path, AUDIO, sent)
    fax.run_until(lambda: fax.receiver.talk.confirmed == 1)
    fax.backward.cut = True
    fax.run_for(2.5)
    fax.backward.cut = False
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, 2)
    assert outcome_of(fax.receiver) == (FaxResult.SUCCESS, FaxReason.OK, 2)
    assert documents.read(tmp_path / "received.tif") == sent


def test_a_call_that_ends_after_the_last_confirmation_is_a_success(tmp_path: Path) -> None:
    fax = line(tmp_path, T38, documents.pages(1))
    fax.run_until(lambda: fax.sender.talk.complete)
    fax.sender.hang_up(fax.now)
    fax.receiver.hang_up(fax.now)
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, 1)
    assert outcome_of(fax.receiver) == (FaxResult.SUCCESS, FaxReason.OK, 1)


def test_a_far_end_that_never_says_goodbye_holds_nobody(tmp_path: Path) -> None:
    fax = line(tmp_path, AUDIO, documents.pages(1))
    fax.run_until(lambda: fax.receiver.talk.complete)
    fax.forward.tamper = silent
    done = fax.now
    fax.run_until(lambda: fax.receiver.outcome is not None)
    assert outcome_of(fax.receiver) == (FaxResult.SUCCESS, FaxReason.OK, 1)
    assert fax.now - done < 13


def test_a_call_that_ends_in_the_middle_and_one_that_is_cancelled(tmp_path: Path) -> None:
    fax = line(tmp_path, T38, documents.pages(2))
    fax.run_until(lambda: fax.sender.talk.confirmed == 1)
    fax.sender.cancel(fax.now)
    fax.receiver.hang_up(fax.now)
    assert outcome_of(fax.sender) == (FaxResult.PARTIAL, FaxReason.CANCELLED, 1)
    assert outcome_of(fax.receiver) == (FaxResult.PARTIAL, FaxReason.HUNG_UP, 1)
    fax = line(tmp_path, T38, documents.pages(2))
    fax.run_until(lambda: fax.now > 1)
    fax.sender.cancel(fax.now)
    fax.sender.hang_up(fax.now)
    fax.receiver.hang_up(fax.now)
    assert outcome_of(fax.sender) == (FaxResult.CANCELLED, FaxReason.CANCELLED, 0)
    assert outcome_of(fax.receiver) == (FaxResult.FAILED, FaxReason.HUNG_UP, 0)
    fax.tick()
    assert fax.sender.datagrams == []


def test_no_phase_lasts_longer_than_its_limit(tmp_path: Path) -> None:
    document = documents.write(tmp_path / "sent.tif", documents.pages(1, lines=2000))
    limits = FaxLimits(page_s=5.0)
    sender = FaxSession(FaxOptions(ecm=False, max_speed=4800), document, 0.0, sends=True, transport=T38, limits=limits)
    receiver = FaxSession(RECEIVER, tmp_path / "received.tif", 0.0, sends=False, transport=T38)
    fax = FaxLine(sender, receiver)
    fax.run_until(lambda: sender.outcome is not None)
    assert outcome_of(sender) == (FaxResult.FAILED, FaxReason.STALLED, 0)
    assert sender.outcome is not None
    assert sender.outcome.detail == "page took longer than 5 s"


def test_two_that_have_no_resolution_in_common(tmp_path: Path) -> None:
    document = documents.write(tmp_path / "sent.tif", documents.pages(1), documents.SUPERFINE)
    sender = FaxSession(SENDER, document, 0.0, sends=True, transport=T38)
    options = FaxOptions(resolution=Resolution.STANDARD)
    receiver = FaxSession(options, tmp_path / "received.tif", 0.0, sends=False, transport=T38)
    FaxLine(sender, receiver).run()
    assert outcome_of(sender) == (FaxResult.FAILED, FaxReason.INCOMPATIBLE, 0)


def test_what_is_no_document_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no TIFF")
    for name in ("text.tif", "missing.tif"):
        with pytest.raises(ValueError, match="has no page 1"):
            FaxSession(SENDER, tmp_path / name, 0.0, sends=True)
    documents.write(tmp_path / "short.tif", documents.pages(2))
    with pytest.raises(ValueError, match="has no page 3"):
        FaxSession(at_page(SENDER, 2), tmp_path / "short.tif", 0.0, sends=True)


def test_pages_of_broken_files_are_counted_as_far_as_they_go(tmp_path: Path) -> None:
    document = documents.write(tmp_path / "whole.tif", documents.pages(3))
    octets = document.read_bytes()
    assert count_pages(document) == 3
    (tmp_path / "cut.tif").write_bytes(octets[: len(octets) - 100])
    assert count_pages(tmp_path / "cut.tif") == 2
    loop = octets[:4] + (8).to_bytes(4, "little") + (1).to_bytes(2, "little") + bytes(12) + (8).to_bytes(4, "little")
    (tmp_path / "loop.tif").write_bytes(loop)
    assert count_pages(tmp_path / "loop.tif") == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_speed": 33600}, "33600 bit/s"),
        ({"ident": "ACME"}, "is no ident"),
        ({"ident": "1" * 21}, "is no ident"),
        ({"header": "x" * 51}, "a header line"),
        ({"header": "a\nb"}, "a header line"),
        ({"start_page": -1}, "page -1"),
        ({"resolution": Resolution(0)}, "at least one resolution"),
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FaxOptions(**wrong)  # type: ignore[arg-type]


def test_datagrams_that_are_no_udptl_do_not_hurt(tmp_path: Path) -> None:
    fax = line(tmp_path, T38, documents.pages(1))
    fax.run_until(lambda: fax.sender.talk.phase is FaxPhase.PAGE)
    for rubbish in (b"", b"\x00", b"\x80" * 40, b"INVITE sip:x SIP/2.0\r\n\r\n", bytes(5000)):
        fax.receiver.receive(rubbish, fax.now)
    fax.run()
    assert outcome_of(fax.sender) == (FaxResult.SUCCESS, FaxReason.OK, 1)
    assert fax.receiver.receiver.drops.total() >= 4
    assert isinstance(fax.receiver.receiver, UdptlReceiver)
