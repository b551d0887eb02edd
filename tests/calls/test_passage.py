"""Faxes that go through the house: T.38 passed on, the gateway where one side has none, and who may do what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from media.fax import FaxReason, FaxResult
from media.keys import SrtpMode
from media.plan import Codec
from pbxd.calls.policy import FIXED
from pbxd.calls.record import Result
from pbxd.sip.message import Request, Response, parse_message
from pbxd.sip.sdp import SessionDescription
from tests.calls.fax_ends import FaxEnds
from tests.calls.house import Handset, House
from tests.media import documents
from tests.sip.party import nothing_left

SOUND, MIXED, MIXED_BACK, PACKETS = ["sound"] * 2, ["t38", "audio"], ["audio", "t38"], ["t38", "t38"]


@pytest.fixture
def ends(house: House, monkeypatch: pytest.MonkeyPatch) -> FaxEnds:
    return FaxEnds(house, monkeypatch)


def pair(house: House, number: str = "1002") -> tuple[Handset, Handset]:
    """Alice, who will call `number`, and Bob, who answers there."""
    alice, bob = Handset(house.wire, "alice"), Handset(house.wire, "bob")
    house.register("1002", bob)
    alice.number = number
    return alice, bob


def up(house: House, number: str = "1002") -> tuple[Handset, Handset]:
    """They talk, in sound."""
    alice, bob = pair(house, number)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    return alice, bob


def says_image(*parties: Handset, version: int = 0) -> None:
    for party in parties:
        party.line, party.codecs = "audio 0 RTP/AVP 0\r\nm=image 4002 udptl", "t38"
        party.more = (f"a=T38FaxVersion:{version}", "a=T38FaxUdpEC:t38UDPRedundancy")


def says_image_alone(party: Handset) -> None:
    party.line, party.codecs = "image 4002 udptl", "t38"


def says_sound(*parties: Handset) -> None:
    for party in parties:
        party.line, party.codecs, party.more = "audio 4000 RTP/AVP 0\r\nm=image 0 udptl", "t38", ()


def heard(house: House, party: Handset) -> list[Request | Response]:
    """What the house sent to a party, with a description."""
    messages = [
        parse_message(rung.data) for rung in house.wire.rungs if rung.sender is house and rung.receiver is party
    ]
    return [message for message in messages if message.body]


def lines(message: Request | Response) -> list[tuple[str, int]]:
    return [(line.kind, int(line.port > 0)) for line in SessionDescription.parse(message.body).media]


def attribute(message: Request | Response, name: str) -> str | None:
    return dict(SessionDescription.parse(message.body).media[-1].attributes).get(name)


AUDIO, IMAGE, IMAGE_ALONE = [("audio", 1)], [("audio", 0), ("image", 1)], [("image", 1)]


def over(house: House, one: Handset, other: Handset) -> None:
    one >> "BYE" >> house >> 200 >> one
    house >> "BYE" >> other >> 200 >> house
    house.wire.after(40)
    assert house.empty()
    assert nothing_left(house.wire, one, other)
    assert house.facilities.faxes is not None
    house.facilities.faxes.turn(house.wire.now)


# ---- whole faxes


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("asks", ["caller", "callee"])
async def test_a_fax_through_the_gateway(house: House, ends: FaxEnds, tmp_path: Path, asks: str, count: int) -> None:
    """One side goes over to T.38, the other one says no and stays in G.711; each page arrives bit by bit."""
    alice, bob = up(house)
    wants, stays = (alice, bob) if asks == "caller" else (bob, alice)
    says_image(wants)
    wants >> "INVITE" >> house >> "INVITE" >> stays >> 488 >> house >> "ACK" >> stays
    house >> 200 >> wants >> "ACK" >> house
    assert lines(heard(house, wants)[-1]) == lines(heard(house, stays)[-1]) == IMAGE
    assert ends.way() == (MIXED if asks == "caller" else MIXED_BACK)
    sent = documents.pages(count)
    ends.send(documents.write(tmp_path / "sent.tif", sent), tmp_path / "received.tif")
    ends.run()
    outcomes = [fax.outcome for _, fax in ends.faxes]
    assert [one.result for one in outcomes if one is not None] == [FaxResult.SUCCESS] * 2
    assert documents.read(tmp_path / "received.tif") == sent
    assert (ends.engine.gateways, ends.engine.relays) == (1, 0)
    over(house, alice, bob)
    assert len(ends.engine) == 0
    codecs = [leg.codec for leg in house.record.legs]
    assert codecs == (["T.38", "PCMU"] if asks == "caller" else ["PCMU", "T.38"])


async def test_a_fax_in_t38_from_end_to_end(house: House, ends: FaxEnds, tmp_path: Path) -> None:
    """The re-INVITE is passed on with what it says, and so is the answer; the datagrams go through as they are."""
    alice, bob = up(house)
    says_image(bob, version=2)
    says_image(alice, version=1)
    alice.more = (*alice.more, "a=T38FaxMaxDatagram:400")
    bob >> "INVITE" >> house >> "INVITE" >> alice >> 200 >> house >> "ACK" >> alice
    house >> 200 >> bob >> "ACK" >> house
    assert attribute(heard(house, alice)[-1], "T38FaxVersion") == "2"
    assert attribute(heard(house, bob)[-1], "T38FaxVersion") == "1"
    assert attribute(heard(house, bob)[-1], "T38FaxMaxDatagram") == "400"
    assert ends.way() == PACKETS
    sent = documents.pages(1)
    ends.send(documents.write(tmp_path / "sent.tif", sent), tmp_path / "received.tif", caller_sends=False)
    ends.run()
    assert [fax.outcome.reason for _, fax in ends.faxes if fax.outcome] == [FaxReason.OK] * 2
    assert documents.read(tmp_path / "received.tif") == sent
    assert (ends.engine.gateways, ends.engine.relays) == (0, 1)
    over(house, bob, alice)
    assert len(ends.engine) == 0


# ---- who is asked, and what comes of it


async def test_a_trunk_of_g711_is_not_asked(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house, "3101")
    says_image(alice)
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    assert ends.way() == MIXED
    assert len(heard(house, bob)) == 1
    says_image(bob)
    bob >> "INVITE" >> house >> 488 >> bob >> "ACK" >> house  # nor may it ask
    assert ends.way() == MIXED
    over(house, alice, bob)


@pytest.mark.parametrize("number", ["3201", "+12025550127"])
async def test_a_call_that_nobody_touches(house: House, ends: FaxEnds, number: str) -> None:
    """G.711 without comfort noise, a fixed delay wherever sound waits, and T.38 for neither side."""
    house.facilities.policy = replace(house.facilities.policy, codecs=(Codec.G722, Codec.PCMU, Codec.PCMA))
    alice, bob = pair(house, number)
    alice.codecs = bob.codecs = "9 8 0 13"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    for message in (heard(house, alice)[-1], heard(house, bob)[-1]):
        (line,) = SessionDescription.parse(message.body).media
        assert {form.name for form in line.formats} <= {"PCMU", "PCMA", "TELEPHONE-EVENT"}
    for leg in ends.legs:
        assert leg.plan is not None
        assert (leg.plan.jitter, leg.plan.cn, leg.plan.codec) == (FIXED, False, Codec.PCMA)
    says_image(alice, bob)
    alice >> "INVITE" >> house >> 488 >> alice >> "ACK" >> house
    bob >> "INVITE" >> house >> 488 >> bob >> "ACK" >> house
    assert ends.way() == SOUND
    says_sound(alice)
    over(house, alice, bob)


async def test_who_does_not_say_in_time_is_in_sound_until_they_say(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    says_image(alice, bob)
    alice >> "INVITE" >> house >> "INVITE" >> bob
    house.wire.after(3.9)
    assert ends.way() == SOUND
    house >> 100 >> alice
    bob >> 100 >> house
    house.wire.after(0.2)
    house >> 200 >> alice >> "ACK" >> house
    assert ends.way() == MIXED
    bob >> 200 >> house >> "ACK" >> bob
    assert ends.way() == PACKETS
    over(house, alice, bob)


async def test_two_requests_that_cross(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    says_image(alice, bob)
    alice.call.do["offer"] = lambda now: alice.session.answer(alice.call.sdp(), now)
    bob.call.do["offer"] = lambda now: bob.session.answer(bob.call.sdp(), now)
    alice.session.offer(alice.call.sdp(), house.wire.now)
    bob.session.offer(bob.call.sdp(), house.wire.now)
    house.wire.after(12)
    assert ends.way() == PACKETS, house.wire.ladder
    alice.session.hangup(house.wire.now)
    house.wire.after(40)
    assert house.empty()


def takes_back(house: House, party: Handset) -> None:
    """It cancels the change that it asked for."""
    sent = party.session.changes._sent
    assert sent is not None
    assert sent.transaction is not None
    party.stack.cancel(sent.transaction, house.wire.now)


def ended(house: House, party: Handset) -> None:
    """It hangs up, and nothing is left."""
    party.session.hangup(house.wire.now)
    house.wire.after(40)
    assert house.empty()


async def test_who_asks_takes_it_back_and_the_other_says_yes(house: House, ends: FaxEnds) -> None:
    """One side is in T.38 and the other in sound, with the gateway between them."""
    alice, bob = up(house)
    says_image(alice, bob)
    alice >> "INVITE" >> house >> "INVITE" >> bob
    house.wire.after(0.6)
    takes_back(house, alice)
    house.wire.after(0.2)
    assert alice.heard()[-1] == "reanswer 487"
    assert ends.way() == SOUND
    bob.session.answer(bob.call.sdp(), house.wire.now)
    house.wire.after(0.5)
    assert ends.way() == MIXED_BACK
    says_sound(bob)
    bob.session.offer(bob.call.sdp(), house.wire.now)
    house.wire.after(0.5)
    assert ends.way() == SOUND
    ended(house, alice)


async def test_who_asks_takes_it_back_and_asks_again(house: House, ends: FaxEnds) -> None:
    """The other side is not asked twice, and its answer is for the second time."""
    alice, bob = up(house)
    says_image(alice, bob)
    alice >> "INVITE" >> house >> "INVITE" >> bob
    house.wire.after(1)
    takes_back(house, alice)
    house.wire.after(1)
    alice.session.offer(alice.call.sdp(), house.wire.now)
    house.wire.after(3.5)
    assert ends.way() == SOUND  # that long counts from the second time
    asked = len(bob.call.log)
    bob.session.answer(bob.call.sdp(), house.wire.now)
    house.wire.after(1)
    assert ends.way() == PACKETS
    assert len(bob.call.log) == asked
    ended(house, alice)


@pytest.mark.parametrize("takes", [False, True])
async def test_a_yes_to_t38_after_the_no_is_taken_back(house: House, ends: FaxEnds, takes: bool) -> None:
    """Sound of G.722 is none that modems can be heard in: who said yes too late is to come back to sound."""
    house.facilities.policy = replace(
        house.facilities.policy, converts=True, codecs=(Codec.G722, Codec.PCMU, Codec.PCMA)
    )
    alice, bob = pair(house)
    alice.codecs = bob.codecs = "9"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    says_image(alice, bob)
    alice >> "INVITE" >> house >> "INVITE" >> bob
    if takes:
        takes_back(house, alice)
    house.wire.after(5)
    assert alice.heard()[-1] == f"reanswer {487 if takes else 488}"
    bob.session.answer(bob.call.sdp(), house.wire.now)
    bob.line, bob.codecs, bob.more = "audio 4000 RTP/AVP 9\r\nm=image 0 udptl", "t38", ()
    bob.call.do["offer"] = lambda now: bob.session.answer(bob.call.sdp(), now)
    house.wire.after(3)
    assert lines(heard(house, bob)[-1]) == [("audio", 1), ("image", 0)]
    assert ends.way() == SOUND
    assert [leg.record.codec for leg in ends.legs] == ["G722", "G722"]
    assert [leg.negotiation.t38 for leg in ends.legs] == [None, None]
    ended(house, alice)


async def test_sound_comes_back_on_both_sides(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    says_image(alice, bob)
    alice >> "INVITE" >> house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert ends.way() == PACKETS
    says_sound(alice, bob)
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    assert lines(heard(house, bob)[-1]) == [("audio", 1), ("image", 0)]
    assert ends.way() == SOUND
    assert len(ends.engine) == 0
    over(house, alice, bob)


async def test_sound_comes_back_though_the_other_side_refreshes_its_t38(house: House, ends: FaxEnds) -> None:
    """Both changes cross: what waits is of an older version than our answer, and is made anew."""
    alice, bob = up(house)
    says_image(alice, bob)
    alice >> "INVITE" >> house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert ends.way() == PACKETS
    refresh = bob.call.sdp()
    bob.session.offer(refresh, house.wire.now)
    says_sound(alice, bob)
    bob.call.do["offer"] = lambda now: bob.session.answer(bob.call.sdp(), now)
    alice.session.offer(alice.call.sdp(), house.wire.now)
    house.wire.after(12)
    assert ends.way() == SOUND, house.wire.ladder
    versions = [SessionDescription.parse(one.body).origin.sess_version for one in heard(house, bob)]
    assert versions == sorted(versions)
    assert lines(heard(house, bob)[-1]) == [("audio", 1), ("image", 0)]
    ended(house, alice)


async def test_who_is_no_more_in_a_call_between_two_takes_no_t38(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    says_image(alice)
    alice >> "INVITE" >> house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert ends.way() == MIXED
    (call,) = house.switch.calls.values()
    assert call.bridge is not None
    leg, _ = ends.legs
    assert leg.negotiation.images
    call.bridge.close()
    assert (leg.passage, leg.fax, leg.negotiation.images) == (None, None, False)
    ended(house, alice)


async def test_a_refresh_in_mid_page_disturbs_nothing(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    says_image(alice)
    alice >> "INVITE" >> house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    ends.way()
    ports = dict(ends.ports)
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    alice >> "UPDATE" >> house >> 200 >> alice
    bob >> "INVITE" >> house >> 200 >> bob >> "ACK" >> house
    assert ends.way() == MIXED
    assert ends.ports == ports
    assert ends.engine.gateways == 1
    over(house, alice, bob)


def in_two_codecs(house: House) -> tuple[Handset, Handset]:
    """A call between G.711 and G.722, whose caller is about to ask for T.38."""
    house.facilities.policy = replace(
        house.facilities.policy, converts=True, codecs=(Codec.G722, Codec.PCMU, Codec.PCMA)
    )
    alice, bob = pair(house)
    alice.codecs, bob.codecs = "0", "9"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    says_image(alice)
    return alice, bob


async def test_modems_need_g711_on_the_other_side(house: House, ends: FaxEnds) -> None:
    """Who talks G.722 and says no to T.38 is asked for G.711 before anybody is answered."""
    alice, bob = in_two_codecs(house)
    bob.codecs = "0"
    alice >> "INVITE" >> house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    says_sound(bob)
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert lines(heard(house, bob)[-1]) == [("audio", 1)]
    assert ends.way() == MIXED
    over(house, alice, bob)


async def test_where_there_is_no_g711_either_the_answer_is_no(house: House, ends: FaxEnds) -> None:
    alice, bob = in_two_codecs(house)
    alice >> "INVITE" >> house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    house.wire.after(5)
    house >> 100 >> alice
    house >> 488 >> alice >> "ACK" >> house
    assert house.switch.calls
    over(house, alice, bob)


async def test_who_hangs_up_while_the_other_is_asked(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    says_image(alice)
    alice >> "INVITE" >> house >> "INVITE" >> bob
    bob.session.hangup(house.wire.now)
    house.wire.after(40)
    assert house.empty()
    assert nothing_left(house.wire, alice, bob)


async def test_a_fax_in_which_nothing_goes_through_ends_the_call(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    says_image(alice, bob)
    alice >> "INVITE" >> house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    ends.way()
    began = house.wire.now
    while not house.records:
        house.wire.after(1)
        assert house.wire.now - began < 67
    assert house.wire.now - began > 59
    assert (house.record.result, house.record.reason) == (Result.CLIENT, "no sound from the caller")
    house.wire.after(10)
    assert house.empty()


async def test_a_recording_goes_on_after_a_fax(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    (call,) = house.switch.calls.values()
    assert call.bridge is not None
    room = call.bridge.mix()
    says_image(alice)
    alice >> "INVITE" >> house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert ends.way() == MIXED
    assert call.bridge.mix() is room  # somebody else, meanwhile
    assert ends.way() == MIXED
    says_sound(alice)
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    assert [leg.media for leg in ends.legs] == room.members
    over(house, alice, bob)


# ---- T.38 in the first INVITE


@pytest.mark.parametrize("status", [488, 606, 415])
async def test_a_caller_in_t38_and_a_callee_without(house: House, ends: FaxEnds, status: int) -> None:
    alice, bob = pair(house, "8501")
    says_image_alone(alice)
    alice.more = ("a=T38FaxVersion:1",)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> status >> house >> "ACK" >> bob
    first, *_ = heard(house, bob)
    assert (lines(first), attribute(first, "T38FaxVersion")) == (IMAGE_ALONE, "1")
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    assert lines(heard(house, bob)[-1]) == AUDIO
    bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert lines(heard(house, alice)[-1]) == IMAGE_ALONE
    assert ends.way() == MIXED
    over(house, alice, bob)


async def test_a_caller_in_t38_to_a_trunk_of_g711(house: House, ends: FaxEnds) -> None:
    alice, bob = pair(house, "3101")
    says_image_alone(alice)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert lines(heard(house, bob)[0]) == AUDIO
    assert ends.way() == MIXED
    over(house, alice, bob)


async def test_both_begin_in_t38(house: House, ends: FaxEnds) -> None:
    alice, bob = pair(house, "8501")
    says_image_alone(alice)
    says_image_alone(bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert ends.way() == PACKETS
    over(house, alice, bob)


async def test_t38_alone_to_a_trunk_that_nobody_touches(house: House, ends: FaxEnds) -> None:
    alice, _ = pair(house, "3201")
    says_image_alone(alice)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 488 >> alice >> "ACK" >> house
    assert nothing_left(house.wire, alice)
    assert house.empty()


# ---- beside the call


async def test_where_srtp_is_a_must_there_is_no_t38(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    leg, _ = ends.legs
    policy = leg.negotiation.policy
    leg.negotiation.policy = replace(policy, protection=replace(policy.protection, mode=SrtpMode.REQUIRED))
    says_image(alice)
    alice >> "INVITE" >> house >> 488 >> alice >> "ACK" >> house
    assert ends.way() == SOUND
    over(house, alice, bob)


async def test_an_offer_of_both_is_taken_as_sound(house: House, ends: FaxEnds) -> None:
    alice, bob = up(house)
    alice.line, alice.codecs = "audio 4000 RTP/AVP 0\r\nm=image 4002 udptl", "t38"
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    assert lines(heard(house, alice)[-1]) == [("audio", 1), ("image", 0)]
    assert ends.way() == SOUND
    over(house, alice, bob)


async def test_sound_of_another_codec_is_not_taken_while_a_modem_talks(house: House, ends: FaxEnds) -> None:
    house.facilities.policy = replace(
        house.facilities.policy, converts=True, codecs=(Codec.G722, Codec.PCMU, Codec.PCMA)
    )
    alice, bob = up(house)
    says_image(alice)
    alice >> "INVITE" >> house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    bob.line, bob.codecs = "audio 4000 RTP/AVP", "9 8"
    bob >> "INVITE" >> house >> 200 >> bob >> "ACK" >> house
    assert ends.way() == MIXED
    (line,) = SessionDescription.parse(heard(house, bob)[-1].body).media
    assert [form.name for form in line.formats if form.name != "TELEPHONE-EVENT"] == ["PCMA"]
    over(house, alice, bob)


async def test_a_house_without_modems_stays_in_sound(house: House) -> None:
    alice, bob = up(house)
    says_image(alice)
    alice >> "INVITE" >> house >> 488 >> alice >> "ACK" >> house
    over_in_sound(house, alice, bob)


def over_in_sound(house: House, one: Handset, other: Handset) -> None:
    one >> "BYE" >> house >> 200 >> one
    house >> "BYE" >> other >> 200 >> house
    assert house.empty()
