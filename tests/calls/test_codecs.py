"""Which codec a call comes to: ladders of two phones, for each codec and for what they do not have in common."""

from __future__ import annotations

from dataclasses import replace

import pytest

from media.plan import Codec, MediaPlan
from media.session import relayable
from pbxd.calls.call import Call
from pbxd.calls.policy import Policy
from pbxd.calls.record import Result
from pbxd.sip.sdp import Direction, MediaLine, SessionDescription
from tests.calls.house import Handset, House
from tests.sip.party import nothing_left

OPUS = "96 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 {}\r\na=rtpmap:101 telephone-event/48000"
WORDS = {
    Codec.PCMU: "0",
    Codec.PCMA: "8",
    Codec.G722: "9",
    Codec.OPUS: OPUS.format("useinbandfec=1"),
    Codec.L16: "97\r\na=rtpmap:97 L16/8000",
    Codec.L16_WIDE: "98\r\na=rtpmap:98 L16/16000",
}
EVERYTHING = Policy(codecs=tuple(Codec))


def phones(house: House, policy: Policy = EVERYTHING) -> tuple[Handset, Handset]:
    house.facilities.policy = policy
    alice, bob = Handset(house.wire, "alice"), Handset(house.wire, "bob")
    house.register("1002", bob)
    house.register("1012", bob)
    return alice, bob


def ring(alice: Handset, house: House, bob: Handset) -> MediaLine:
    """Alice calls; what Bob is offered."""
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob
    return said(house, bob)


def said(house: House, to: Handset) -> MediaLine:
    """The audio line that `to` was sent last."""
    data = next(r.data for r in reversed(house.wire.rungs) if r.receiver is to and b"m=audio" in r.data)
    audio = SessionDescription.parse(data.partition(b"\r\n\r\n")[2]).audio
    assert audio is not None
    return audio


def answer(alice: Handset, house: House, bob: Handset) -> Call:
    """Bob answers, and both are through."""
    bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    (call,) = house.switch.calls.values()
    return call


def plans(call: Call) -> tuple[MediaPlan, MediaPlan]:
    assert call.caller is not None
    assert call.callee is not None
    assert call.caller.plan is not None
    assert call.callee.plan is not None
    return call.caller.plan, call.callee.plan


def over(alice: Handset, house: House, bob: Handset) -> bool:
    alice.session.hangup(house.wire.now)
    return nothing_left(house.wire, alice, bob) and house.empty()


@pytest.mark.parametrize("codec", list(Codec))
async def test_two_phones_of_one_codec_are_relayed(house: House, codec: Codec) -> None:
    alice, bob = phones(house)
    alice.codecs = bob.codecs = WORDS[codec]
    offered = ring(alice, house, bob)
    names = [(form.name, form.rate) for form in offered.formats if form.name != "TELEPHONE-EVENT"]
    law = {Codec.PCMU: [("PCMA", 8000)], Codec.PCMA: [("PCMU", 8000)]}.get(codec, [])
    assert names == [(codec.encoding, codec.clock), *law]
    caller, callee = plans(answer(alice, house, bob))
    assert (caller.codec, callee.codec) == (codec, codec)
    assert relayable(caller, callee)
    assert over(alice, house, bob)
    assert [leg.codec for leg in house.record.legs] == [codec.value, codec.value]


async def test_opus_is_told_what_the_other_end_wants(house: House) -> None:
    alice, bob = phones(house)
    alice.codecs = OPUS.format("maxplaybackrate=24000;maxaveragebitrate=20000;stereo=1;useinbandfec=1")
    bob.codecs = OPUS.replace("96", "120").format("maxaveragebitrate=32000;useinbandfec=0;usedtx=1")
    offered = ring(alice, house, bob)
    form = offered.find("opus")
    assert form is not None
    assert (form.pt, form.rate, form.channels) == (111, 48000, 2)
    assert form.fmtp == "maxplaybackrate=24000;maxaveragebitrate=20000;useinbandfec=0;usedtx=0"
    caller, callee = plans(answer(alice, house, bob))
    assert (callee.payload_type, callee.receive_payload_type) == (120, 111)
    assert (caller.payload_type, caller.receive_payload_type) == (96, 96)
    answered = said(house, alice).find("opus")
    assert answered is not None
    assert answered.fmtp == "maxaveragebitrate=32000;useinbandfec=0;usedtx=0"
    assert (caller.codec_settings.bitrate, callee.codec_settings.bitrate) == (20000, 32000)
    assert (caller.dtmf_send, caller.dtmf_clock) == (101, 0)
    assert over(alice, house, bob)


async def test_a_phone_that_speaks_opus_only_meets_one_that_can(house: House) -> None:
    alice, bob = phones(house, replace(EVERYTHING, codecs=(Codec.PCMU, Codec.PCMA, Codec.OPUS)))
    alice.number = "1012"
    alice.codecs = "0 8 96\r\na=rtpmap:96 opus/48000/2"
    bob.codecs = WORDS[Codec.OPUS]
    offered = ring(alice, house, bob)
    assert [(form.name, form.rate) for form in offered.formats] == [
        ("OPUS", 48000),
        ("TELEPHONE-EVENT", 8000),
        ("TELEPHONE-EVENT", 48000),
    ]
    caller, callee = plans(answer(alice, house, bob))
    assert caller.codec is callee.codec is Codec.OPUS
    assert over(alice, house, bob)


async def test_without_a_room_nothing_in_common_is_refused_before_it_rings(house: House) -> None:
    alice, bob = phones(house)
    alice.number = "1012"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 488 >> alice >> "ACK" >> house
    assert not bob.calls
    assert (house.record.result, house.record.sip_status) == (Result.UPSTREAM, 488)
    assert house.empty()


async def test_with_rooms_everything_is_offered_what_needs_none_first(house: House) -> None:
    alice, bob = phones(house, replace(EVERYTHING, converts=True))
    alice.codecs, bob.codecs = "8 9", WORDS[Codec.OPUS]
    offered = ring(alice, house, bob)
    names = [form.name for form in offered.formats if form.name != "TELEPHONE-EVENT"]
    assert names == ["PCMA", "G722", "PCMU", "OPUS", "L16", "L16"]
    caller, callee = plans(answer(alice, house, bob))
    assert (caller.codec, callee.codec) == (Codec.PCMA, Codec.OPUS)
    assert not relayable(caller, callee)
    assert over(alice, house, bob)


async def test_the_caller_is_given_the_law_that_joins_without_a_room(house: House) -> None:
    alice, bob = phones(house)
    alice.codecs, bob.codecs = "9 8", "0"
    offered = ring(alice, house, bob)
    assert [form.pt for form in offered.formats if form.name != "TELEPHONE-EVENT"] == [9, 8, 0]
    caller, callee = plans(answer(alice, house, bob))
    assert (caller.codec, callee.codec) == (Codec.PCMA, Codec.PCMU)
    assert over(alice, house, bob)


async def test_a_callee_that_answers_what_was_not_offered_is_not_joined(house: House) -> None:
    alice, bob = phones(house)
    alice.codecs, bob.codecs = "0", "9"
    ring(alice, house, bob)
    bob >> 200 >> house >> "ACK" >> bob
    house >> "BYE" >> bob >> 200 >> house
    house >> 488 >> alice >> "ACK" >> house
    assert nothing_left(house.wire, alice, bob)
    assert house.record.sip_status == 488


async def test_early_sound_that_cannot_be_joined_is_not_promised(house: House) -> None:
    """One phone's early media has settled the caller's codec; the other one answers with what does not fit it."""
    alice, bob = phones(house)
    carol = Handset(house.wire, "carol")
    house.register("1002", carol)
    alice.codecs, bob.codecs, carol.codecs = "0 9", "0", "9"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 183 >> house >> 183 >> alice
    house >> "INVITE" >> carol >> 200 >> house >> "ACK" >> carol
    house.wire.after(5)
    (ending,) = alice.call.endings
    assert ending.status == 488
    assert house.record.reason == "the two sides have no codec in common"
    assert house.wire.rungs
    assert house.empty()


async def test_a_trunk_has_a_policy_of_its_own(house: House) -> None:
    alice, bob = phones(house)
    assert bob.address[0] == "10.0.0.3"
    alice.number = "7001"
    alice.codecs = "0 9"
    offered = ring(alice, house, bob)
    assert [form.pt for form in offered.formats if form.name != "TELEPHONE-EVENT"] == [9, 8]
    alice.session.hangup(house.wire.now)
    house.wire.after(40)


async def test_a_caller_without_an_offer_is_offered_what_joins(house: House) -> None:
    alice, bob = phones(house)
    alice.offers = False
    bob.codecs = WORDS[Codec.OPUS]
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice
    assert [form.name for form in said(house, alice).formats][:1] == ["OPUS"]
    assert len([form for form in said(house, alice).formats if form.name != "TELEPHONE-EVENT"]) == 1
    alice.codecs = WORDS[Codec.OPUS].replace("96", "111")
    alice.session.answer(alice.call.sdp(), house.wire.now)
    alice >> "ACK" >> house
    (call,) = house.switch.calls.values()
    caller, callee = plans(call)
    assert caller.codec is callee.codec is Codec.OPUS
    assert (caller.payload_type, caller.receive_payload_type) == (111, 111)
    assert over(alice, house, bob)


async def test_a_new_codec_in_a_reinvite_is_carried_to_the_other_side(house: House) -> None:
    alice, bob = phones(house)
    both = "0 96 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000"
    alice.codecs = bob.codecs = both
    ring(alice, house, bob)
    call = answer(alice, house, bob)
    assert plans(call)[0].codec is Codec.PCMU
    alice.codecs = WORDS[Codec.OPUS]
    bob.codecs = WORDS[Codec.OPUS].replace("96", "111")
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    house >> "INVITE" >> bob
    assert [form.name for form in said(house, bob).formats if form.name != "TELEPHONE-EVENT"] == ["OPUS"]
    bob >> 200 >> house >> "ACK" >> bob
    caller, callee = plans(call)
    assert caller.codec is callee.codec is Codec.OPUS
    house.wire.after(10)
    assert not [rung for rung in house.wire.rungs if rung.label == "INVITE" and not rung.read]
    assert over(alice, house, bob)
    assert [leg.codec for leg in house.record.legs] == ["opus", "opus"]


async def test_a_new_codec_that_the_other_side_refuses_is_taken_back(house: House) -> None:
    alice, bob = phones(house)
    alice.codecs = bob.codecs = "0 9"
    ring(alice, house, bob)
    call = answer(alice, house, bob)
    alice.codecs = "9"
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    alice.codecs = "0"
    house >> "INVITE" >> alice
    assert [form.pt for form in said(house, alice).formats if form.name != "TELEPHONE-EVENT"] == [0, 8]
    alice >> 200 >> house >> "ACK" >> alice
    house.wire.after(10)
    assert [plan.codec for plan in plans(call)] == [Codec.PCMU, Codec.PCMU]
    assert not [rung for rung in house.wire.rungs if rung.label == "INVITE" and not rung.read]
    assert over(alice, house, bob)


async def test_two_sides_that_both_refuse_are_left_alone(house: House) -> None:
    alice, bob = phones(house)
    alice.codecs = bob.codecs = "0 9"
    ring(alice, house, bob)
    answer(alice, house, bob)
    alice.codecs = "9"
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    house >> "INVITE" >> bob >> 488 >> house >> "ACK" >> bob
    house >> "INVITE" >> alice >> 488 >> house >> "ACK" >> alice
    house.wire.after(30)
    assert not [rung for rung in house.wire.rungs if rung.label == "INVITE" and not rung.read]
    assert over(alice, house, bob)


async def test_a_new_codec_that_the_other_side_lacks_is_refused_and_the_call_goes_on(house: House) -> None:
    alice, bob = phones(house)
    alice.codecs, bob.codecs = "0 9", "0"
    ring(alice, house, bob)
    call = answer(alice, house, bob)
    alice.codecs = "9"
    alice >> "INVITE" >> house >> 488 >> alice >> "ACK" >> house
    caller, callee = plans(call)
    assert (caller.codec, callee.codec) == (Codec.PCMU, Codec.PCMU)
    assert over(alice, house, bob)


async def test_a_hold_offers_no_other_codec(house: House) -> None:
    alice, bob = phones(house)
    alice.codecs = "9 0"
    bob.codecs = "9"
    ring(alice, house, bob)
    answer(alice, house, bob)
    alice.direction, bob.direction = "sendonly", "recvonly"
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    house >> "INVITE" >> bob
    assert [form.pt for form in said(house, bob).formats if form.name != "TELEPHONE-EVENT"] == [9]
    bob >> 200 >> house >> "ACK" >> bob
    assert over(alice, house, bob)


async def test_a_hold_that_crosses_a_change_of_the_other_side_is_said_in_the_answer(house: House) -> None:
    """The house's own offer waits after glare; the answer says it all with a newer version, and no older one follows
    (RFC 3264 §8)."""
    alice, bob = phones(house)
    ring(alice, house, bob)
    answer(alice, house, bob)
    alice.direction, bob.direction = "sendonly", "sendrecv"
    bob.call.do["offer"] = lambda now: bob.session.answer(bob.call.sdp(), now)
    before = len(house.wire.rungs)
    alice.session.offer(alice.call.sdp(), house.wire.now)
    bob.session.offer(bob.call.sdp(), house.wire.now)
    house.wire.after(12)
    told = [
        rung
        for rung in house.wire.rungs[before:]
        if rung.sender is house and rung.receiver is bob and b"m=audio" in rung.data
    ]
    assert [rung.label for rung in told] == ["INVITE", "200 INVITE"], house.wire.ladder
    first, last = (SessionDescription.parse(rung.data.partition(b"\r\n\r\n")[2]) for rung in told)
    assert last.origin.sess_version >= first.origin.sess_version
    assert last.media[0].direction is Direction.SENDONLY
    alice.session.hangup(house.wire.now)
    house.wire.after(40)
    assert house.empty()
