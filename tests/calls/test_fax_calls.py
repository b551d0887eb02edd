"""Fax calls in SIP: who asks for T.38, what comes of a no, of two who ask at once, and of changes in mid-page."""

from __future__ import annotations

from pathlib import Path

import pytest

from media.fax import FaxMode, FaxOptions, FaxOutcome, FaxPhase, FaxReason, FaxResult, FaxTransport
from media.fax_session import FaxLimits, FaxSession
from media.faxing import FaxEngine
from pbxd.calls.faxes import FaxAct, FaxTask, Side
from pbxd.calls.identity import Caller
from pbxd.calls.record import Result
from pbxd.directory.model import ExtensionKind
from pbxd.sip.message import Request, Response, parse_message
from pbxd.sip.sdp import SessionDescription
from tests.calls.house import Handset, House
from tests.media import documents
from tests.sip.party import nothing_left


class Faxes:
    """The house's fax line without its thread: `turn` does what is ordered. `acts` in the order of the calls."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.folder = folder
        self.engine = FaxEngine(lambda: house.wire.now)
        self.acts: list[FaxAct] = []
        self.outcomes: list[FaxOutcome] = []
        house.acts[ExtensionKind.FAX] = lambda extension, record: self.act(
            Side.RECEIVES, FaxMode(str(extension.options["mode"])), folder / f"{record.id}.tif"
        )

    def act(self, side: Side, mode: FaxMode, document: Path) -> FaxAct:
        task = FaxTask(side, document, FaxOptions(mode=mode), FaxLimits())
        act = FaxAct(self.engine, task, lambda what: what(), self.outcomes.append)
        self.acts.append(act)
        return act

    def turn(self) -> None:
        self.engine.turn(self.house.wire.now)

    @property
    def session(self) -> FaxSession:
        self.turn()
        fax = self.acts[-1]._fax
        assert fax is not None
        return fax.session

    def over(self) -> FaxTransport:
        """What carries it now."""
        return self.session.transport


@pytest.fixture
def faxes(house: House, tmp_path: Path) -> Faxes:
    return Faxes(house, tmp_path)


def lines(message: Request | Response) -> list[tuple[str, int]]:
    """The streams of a description, 1 for one that is active."""
    return [(line.kind, int(line.port > 0)) for line in SessionDescription.parse(message.body).media]


AUDIO_ONLY, IMAGE_ONLY = [("audio", 1)], [("audio", 0), ("image", 1)]


def caller(house: House, number: str = "950") -> Handset:
    alice = Handset(house.wire, "alice")
    alice.number = number
    return alice


def answer_image(alice: Handset) -> None:
    """From here on its descriptions are T.38's."""
    alice.line, alice.codecs = "audio 0 RTP/AVP 0\r\nm=image 4002 udptl", "t38"


def up(house: House, number: str = "950") -> Handset:
    alice = caller(house, number)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 200 >> alice >> "ACK" >> house
    return alice


def over(house: House, alice: Handset, faxes: Faxes) -> None:
    alice >> "BYE" >> house >> 200 >> alice
    faxes.turn()
    assert len(faxes.outcomes) == 1
    assert house.empty()
    assert nothing_left(house.wire, alice)


async def test_who_answers_asks_for_t38_with_one_active_line(house: House, faxes: Faxes) -> None:
    alice = up(house)
    assert lines(house_first(house, 200)) == AUDIO_ONLY
    assert faxes.over() is FaxTransport.AUDIO
    answer_image(alice)
    house.wire.after(2.9)
    assert not asked(house)
    house.wire.after(0.2)
    assert lines(asked(house)[0]) == IMAGE_ONLY
    house >> "INVITE" >> alice >> 200 >> house >> "ACK" >> alice
    assert faxes.over() is FaxTransport.T38
    over(house, alice, faxes)
    assert faxes.outcomes[0].reason is FaxReason.HUNG_UP
    assert house.record.legs[0].codec == "T.38"


def house_first(house: House, status: int) -> Response:
    return next(message for message in messages(house) if isinstance(message, Response) and message.status == status)


def messages(house: House) -> list[Request | Response]:
    return [parse_message(rung.data) for rung in house.wire.rungs if rung.sender is house]


def asked(house: House) -> list[Request]:
    """The house's re-INVITEs."""
    return [message for message in messages(house) if isinstance(message, Request) and message.method == "INVITE"]


@pytest.mark.parametrize("status", [488, 606, 415, 603])
async def test_a_no_to_t38_does_not_end_the_call(house: House, faxes: Faxes, status: int) -> None:
    alice = up(house)
    house.wire.after(3.1)
    house >> "INVITE" >> alice >> status >> house >> "ACK" >> alice
    assert faxes.over() is FaxTransport.AUDIO
    house.wire.after(60)
    assert len(asked(house)) == 1
    assert house.switch.calls
    over(house, alice, faxes)


async def test_an_answer_without_a_stream_brings_the_sound_back(house: House, faxes: Faxes) -> None:
    alice = up(house)
    house.wire.after(3.1)
    alice.line, alice.codecs = "audio 0 RTP/AVP 0\r\nm=image 0 udptl", "t38"
    house >> "INVITE" >> alice >> 200 >> house >> "ACK" >> alice
    alice.line, alice.codecs = "audio 4000 RTP/AVP 0\r\nm=image 0 udptl", "t38"
    house >> "INVITE" >> alice >> 200 >> house >> "ACK" >> alice
    assert [lines(one) for one in asked(house)] == [IMAGE_ONLY, [("audio", 1), ("image", 0)]]
    assert faxes.over() is FaxTransport.AUDIO
    over(house, alice, faxes)


async def test_where_t38_is_a_must_a_no_ends_the_fax(house: House, faxes: Faxes) -> None:
    alice = up(house, "952")
    house.wire.after(0.05)
    house >> "INVITE" >> alice >> 488 >> house >> "ACK" >> alice
    faxes.turn()
    assert faxes.outcomes[0].reason is FaxReason.NEGOTIATION_FAILED
    house.wire.after(1)
    house >> "BYE" >> alice >> 200 >> house
    assert house.empty()


async def test_the_far_end_asks_for_t38(house: House, faxes: Faxes) -> None:
    alice = up(house)
    answer_image(alice)
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    assert lines(messages(house)[-1]) == IMAGE_ONLY
    assert faxes.over() is FaxTransport.T38
    house.wire.after(30)
    assert not asked(house)
    alice.line, alice.codecs = "audio 4000 RTP/AVP 0\r\nm=image 0 udptl", "t38"
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    assert lines(messages(house)[-1]) == [("audio", 1), ("image", 0)]
    assert faxes.over() is FaxTransport.AUDIO
    over(house, alice, faxes)


async def test_t38_in_the_first_invite(house: House, faxes: Faxes) -> None:
    alice = caller(house)
    alice.line, alice.codecs = "image 4002 udptl", "t38"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 200 >> alice >> "ACK" >> house
    assert lines(messages(house)[-1]) == [("image", 1)]
    assert faxes.over() is FaxTransport.T38
    over(house, alice, faxes)


@pytest.mark.parametrize("number", ["951", "600"])
async def test_t38_alone_where_it_is_not_wanted(house: House, faxes: Faxes, number: str) -> None:
    alice = caller(house, number)
    alice.line, alice.codecs = "image 4002 udptl", "t38"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 488 >> alice >> "ACK" >> house
    assert nothing_left(house.wire, alice)
    assert house.empty()


async def test_g711_alone_refuses_t38_and_goes_on(house: House, faxes: Faxes) -> None:
    alice = up(house, "951")
    answer_image(alice)
    alice >> "INVITE" >> house >> 488 >> alice >> "ACK" >> house
    assert faxes.over() is FaxTransport.AUDIO
    house.wire.after(30)
    assert not asked(house)
    over(house, alice, faxes)


async def test_two_requests_for_t38_that_cross(house: House, faxes: Faxes) -> None:
    alice = up(house)
    answer_image(alice)
    house.wire.after(1)
    alice.session.offer(alice.call.sdp(), house.wire.now)
    alice.call.do["offer"] = lambda now: alice.session.answer(alice.call.sdp(), now)
    faxes.acts[0]._ask(house.wire.now)  # both are on their way
    house.wire.after(10)
    refusals = {rung.sender.name for rung in house.wire.rungs if rung.says(491)}
    assert refusals == {"alice", "house"}
    assert faxes.over() is FaxTransport.T38, house.wire.ladder
    assert house.switch.calls
    alice.session.hangup(house.wire.now)
    house.wire.after(1)
    faxes.turn()
    assert len(faxes.outcomes) == 1
    assert house.empty()


async def test_a_refresh_in_mid_page_changes_nothing(house: House, faxes: Faxes) -> None:
    alice = up(house)
    answer_image(alice)
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    session = faxes.session
    session.talk.phase = FaxPhase.PAGE
    line = faxes.acts[0]._fax.line  # type: ignore[union-attr]
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    alice >> "UPDATE" >> house >> 200 >> alice
    assert lines(messages(house)[-1]) == IMAGE_ONLY
    faxes.turn()
    assert faxes.session is session
    assert faxes.acts[0]._fax.line is line  # type: ignore[union-attr]
    assert session.talk.phase is FaxPhase.PAGE
    over(house, alice, faxes)


async def test_a_page_on_its_way_stays_where_it_is(house: House, faxes: Faxes) -> None:
    alice = up(house)
    faxes.session.talk.phase = FaxPhase.PAGE
    answer_image(alice)
    alice >> "INVITE" >> house >> 488 >> alice >> "ACK" >> house
    assert faxes.over() is FaxTransport.AUDIO
    house.wire.after(10)
    assert not asked(house)
    over(house, alice, faxes)


async def test_a_stall_does_not_hold_the_line(house: House, faxes: Faxes) -> None:
    """Nothing ever comes from the far end: the house ends the fax, and the call."""
    alice = up(house)
    answer_image(alice)
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    began = house.wire.now
    while not faxes.outcomes:
        house.wire.after(0.5)
        faxes.turn()
        assert house.wire.now - began < 70
    assert (faxes.outcomes[0].result, faxes.outcomes[0].reason) == (FaxResult.FAILED, FaxReason.NO_FAX)
    house.wire.after(1)
    house >> "BYE" >> alice >> 200 >> house
    assert house.record.result is Result.SUCCESS  # it was answered
    assert house.empty()


async def test_a_fax_that_goes_out_waits_for_the_far_end_to_ask(house: House, faxes: Faxes, tmp_path: Path) -> None:
    bob = Handset(house.wire, "bob")
    house.register("1002", bob)
    document = documents.write(tmp_path / "out.tif", documents.pages(1))
    act = faxes.act(Side.SENDS, FaxMode.AUTO, document)
    ended: list[object] = []
    house.switch.send_out("", "1002", act, Caller("950"), ended.append)
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert lines(asked(house)[0]) == AUDIO_ONLY
    assert faxes.over() is FaxTransport.AUDIO
    answer_image(bob)
    bob >> "INVITE" >> house >> 200 >> bob >> "ACK" >> house
    assert lines(messages(house)[-1]) == IMAGE_ONLY
    assert faxes.over() is FaxTransport.T38
    bob >> "BYE" >> house >> 200 >> bob
    faxes.turn()
    assert faxes.outcomes[0].reason is FaxReason.HUNG_UP
    assert len(ended) == 1


async def test_who_sends_asks_at_once_where_t38_is_a_must(house: House, faxes: Faxes, tmp_path: Path) -> None:
    bob = Handset(house.wire, "bob")
    house.register("1002", bob)
    document = documents.write(tmp_path / "out.tif", documents.pages(1))
    act = faxes.act(Side.SENDS, FaxMode.T38, document)
    house.switch.send_out("", "1002", act, Caller("950"), lambda _call: None)
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    answer_image(bob)
    house.wire.after(0.1)
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert faxes.over() is FaxTransport.T38
    act.cancel()
    faxes.turn()
    assert faxes.outcomes[0].result is FaxResult.CANCELLED
    house.wire.after(1)
    house >> "BYE" >> bob >> 200 >> house
    assert house.empty()


async def test_a_document_that_cannot_be_sent_ends_the_call(house: House, faxes: Faxes, tmp_path: Path) -> None:
    bob = Handset(house.wire, "bob")
    house.register("1002", bob)
    act = faxes.act(Side.SENDS, FaxMode.AUTO, tmp_path / "missing.tif")
    house.switch.send_out("", "1002", act, Caller("950"), lambda _call: None)
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert faxes.outcomes[0].reason is FaxReason.BAD_FILE
    house.wire.after(0.1)
    house >> "BYE" >> bob >> 200 >> house
    assert house.empty()


# ---- T.38 in our own first INVITE, and what trunks and numbers say


def going_out(
    house: House, faxes: Faxes, folder: Path, number: str, mode: FaxMode = FaxMode.AUTO
) -> tuple[Handset, FaxAct]:
    """A fax of one page to Bob."""
    Handset(house.wire, "alice")
    bob = Handset(house.wire, "bob")  # where the trunks lead
    house.register("1002", bob)
    act = faxes.act(Side.SENDS, mode, documents.write(folder / "out.tif", documents.pages(1)))
    house.switch.send_out("", number, act, Caller("950"), lambda _call: None, mode)
    return bob, act


@pytest.mark.parametrize(("number", "mode"), [("3301", FaxMode.AUTO), ("8501", FaxMode.T38), ("1002", FaxMode.T38)])
async def test_our_first_invite_is_t38(house: House, faxes: Faxes, tmp_path: Path, number: str, mode: FaxMode) -> None:
    """Where the trunk says so, or T.38 is a must: one stream, and that is active."""
    bob, act = going_out(house, faxes, tmp_path, number, mode)
    bob.line, bob.codecs = "image 4002 udptl", "t38"
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert lines(asked(house)[0]) == [("image", 1)]
    assert faxes.over() is FaxTransport.T38
    house.wire.after(10)
    assert len(asked(house)) == 1
    act.cancel()
    faxes.turn()
    house.wire.after(1)
    house >> "BYE" >> bob >> 200 >> house
    assert house.record.legs[0].codec == "T.38"
    assert house.empty()


@pytest.mark.parametrize("status", [488, 606, 415])
async def test_a_no_to_t38_in_the_first_invite_brings_sound(
    house: House, faxes: Faxes, tmp_path: Path, status: int
) -> None:
    bob, _ = going_out(house, faxes, tmp_path, "3301")
    house >> "INVITE" >> bob >> status >> house >> "ACK" >> bob
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert [lines(one) for one in asked(house)] == [[("image", 1)], AUDIO_ONLY]
    assert faxes.over() is FaxTransport.AUDIO
    assert not faxes.outcomes
    bob >> "BYE" >> house >> 200 >> bob
    faxes.turn()
    assert house.empty()


async def test_an_answer_that_takes_no_stream_of_the_first_invite_brings_sound(
    house: House, faxes: Faxes, tmp_path: Path
) -> None:
    bob, _ = going_out(house, faxes, tmp_path, "3301")
    bob.line, bob.codecs = "image 0 udptl", "t38"
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> "BYE" >> bob >> 200 >> house
    bob.line, bob.codecs = "audio 4000 RTP/AVP", "0"
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert faxes.over() is FaxTransport.AUDIO
    bob >> "BYE" >> house >> 200 >> bob
    faxes.turn()
    assert house.empty()


async def test_where_t38_is_a_must_sound_is_there_to_ask_for_it(house: House, faxes: Faxes, tmp_path: Path) -> None:
    """Some take T.38 in a re-INVITE only; a second no is the end of it."""
    bob, _ = going_out(house, faxes, tmp_path, "8501", FaxMode.T38)
    house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house.wire.after(0.1)
    house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    assert [lines(one) for one in asked(house)] == [[("image", 1)], AUDIO_ONLY, IMAGE_ONLY]
    faxes.turn()
    assert faxes.outcomes[0].reason is FaxReason.NEGOTIATION_FAILED
    house.wire.after(1)
    house >> "BYE" >> bob >> 200 >> house
    assert house.empty()


@pytest.mark.parametrize("status", [486, 404, 503])
async def test_another_no_to_t38_is_a_no(house: House, faxes: Faxes, tmp_path: Path, status: int) -> None:
    bob, _ = going_out(house, faxes, tmp_path, "3301")
    house >> "INVITE" >> bob >> status >> house >> "ACK" >> bob
    house.wire.after(40)
    assert len(asked(house)) == 1
    assert house.empty()


@pytest.mark.parametrize("number", ["3101", "3201"])
async def test_a_trunk_without_t38_is_never_asked_for_it(
    house: House, faxes: Faxes, tmp_path: Path, number: str
) -> None:
    bob, _ = going_out(house, faxes, tmp_path, number)
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert faxes.over() is FaxTransport.AUDIO
    answer_image(bob)
    bob >> "INVITE" >> house >> 488 >> bob >> "ACK" >> house
    house.wire.after(30)
    assert [lines(one) for one in asked(house)] == [AUDIO_ONLY]
    bob >> "BYE" >> house >> 200 >> bob
    faxes.turn()
    assert house.empty()


async def test_t38_that_is_a_must_and_a_trunk_without(house: House, faxes: Faxes, tmp_path: Path) -> None:
    bob, _ = going_out(house, faxes, tmp_path, "3101", FaxMode.T38)
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert faxes.outcomes[0].reason is FaxReason.NEGOTIATION_FAILED
    house.wire.after(1)
    house >> "BYE" >> bob >> 200 >> house
    assert lines(asked(house)[0]) == AUDIO_ONLY
    assert house.empty()


async def test_a_number_says_how_faxes_to_it_come_in(house: House, faxes: Faxes) -> None:
    """The extension takes T.38, and so does the number beside it; this number does not."""
    alice = up(house, "+12025550126")
    answer_image(alice)
    alice >> "INVITE" >> house >> 488 >> alice >> "ACK" >> house
    house.wire.after(10)
    assert not asked(house)
    assert faxes.over() is FaxTransport.AUDIO
    over(house, alice, faxes)


@pytest.mark.parametrize("status", [200, 488])
async def test_a_number_of_t38_asks_at_once_and_a_no_changes_nothing(house: House, faxes: Faxes, status: int) -> None:
    alice = up(house, "+12025550128")
    answer_image(alice)
    house.wire.after(0.05)
    house >> "INVITE" >> alice >> status >> house >> "ACK" >> alice
    assert lines(asked(house)[0]) == IMAGE_ONLY
    assert faxes.over() is (FaxTransport.T38 if status == 200 else FaxTransport.AUDIO)
    house.wire.after(10)
    assert len(asked(house)) == 1
    over(house, alice, faxes)
