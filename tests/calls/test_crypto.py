"""Keys of SRTP in SDP: what is read, what is refused, who chooses, and what a call between phones makes of it."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.keys import MasterKey, SrtpMode, SrtpSuite
from media.plan import MediaPlan
from pbxd.calls.crypto import SUITES, Crypto, Protection, cryptos_of
from pbxd.calls.negotiate import Endpoint, Negotiation, offered_audio
from pbxd.calls.policy import Policy
from pbxd.calls.record import Result
from pbxd.sip.errors import SdpError
from pbxd.sip.sdp import MediaLine, SessionDescription
from tests.calls.house import Handset, House
from tests.sip.party import nothing_left

CM = SrtpSuite.AES_CM_128_HMAC_SHA1_80
GCM = SrtpSuite.AEAD_AES_128_GCM
HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
OFF, OPTIONAL, REQUIRED = (Protection(mode=mode) for mode in SrtpMode)
SECURE, PLAIN = "m=audio 4000 RTP/SAVP 0", "m=audio 4000 RTP/AVP 0"


def inline(number: int, suite: SrtpSuite = CM) -> str:
    return "inline:" + base64.b64encode(bytes([number]) * suite.key_length).decode()


def crypto(number: int = 1, suite: SrtpSuite = CM, tag: int = 1, more: str = "") -> str:
    return f"a=crypto:{tag} {suite.value} {inline(number, suite)}{more}"


def description(*lines: str) -> SessionDescription:
    return SessionDescription.parse((HEAD + "".join(line + "\r\n" for line in lines)).encode())


def negotiation(protection: Protection = OPTIONAL) -> Negotiation:
    policy = Policy(protection=protection)
    return Negotiation(Endpoint("198.51.100.1", 10000, 10001), policy, 7, frozenset({"203.0.113.9"}))


def line_of(sdp: bytes) -> MediaLine:
    return SessionDescription.parse(sdp).media[0]


def answered(side: Negotiation, *lines: str) -> tuple[MediaLine, MediaPlan]:
    sdp, plan = side.answer(description(*lines))
    return line_of(sdp), plan


# ---- a=crypto


@pytest.mark.parametrize("suite", SrtpSuite)
@pytest.mark.parametrize(
    "more", ["", "|2^31", "|1000", "|2^20|1:4", "|1:4", " WSH=128", " -WHATEVER=7", "|2^48 wsh=64"]
)
def test_a_line_that_can_be_used(suite: SrtpSuite, more: str) -> None:
    read = Crypto.parse(f"7 {suite.value} {inline(3, suite)}{more}")
    assert read is not None
    assert (read.tag, read.suite, read.key) == (7, suite, MasterKey(bytes([3]) * suite.key_length))
    assert read.mki == (b"\0\0\0\1" if "1:4" in more else b"")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        f"1 {CM.value}",
        f"x {CM.value} {inline(1)}",
        f"1234567890 {CM.value} {inline(1)}",
        f"1 F8_128_HMAC_SHA1_80 {inline(1)}",
        f"1 {GCM.value} {inline(1)}",  # a key of another length
        f"1 {CM.value} inline:AAAA",
        f"1 {CM.value} inline:***",
        f"1 {CM.value} uri:{inline(1)}",
        f"1 {CM.value} {inline(1)};{inline(2)}",
        f"1 {CM.value} {inline(1)}|2^49",
        f"1 {CM.value} {inline(1)}|0",
        f"1 {CM.value} {inline(1)}|2^20|1:129",
        f"1 {CM.value} {inline(1)}|2^20|1:0",
        f"1 {CM.value} {inline(1)}|2^20|256:1",
        f"1 {CM.value} {inline(1)}|2^20|1:4|2:4",
        f"1 {CM.value} {inline(1)}|soon",
        f"1 {CM.value} {inline(1)} KDR=10",
        f"1 {CM.value} {inline(1)} UNENCRYPTED_SRTP",
        f"1 {CM.value} {inline(1)} UNENCRYPTED_SRTCP",
        f"1 {CM.value} {inline(1)} UNAUTHENTICATED_SRTP",
        f"1 {CM.value} {inline(1)} FEC_ORDER=FEC_SRTP",
        f"1 {CM.value} {inline(1)} WSH=32",
        f"1 {CM.value} {inline(1)} NEVER_HEARD_OF",
        f"1 {CM.value} {inline(1)} -{'x' * 600}",
    ],
)
def test_a_line_that_counts_as_not_offered(value: str) -> None:
    assert Crypto.parse(value) is None


@given(st.text(max_size=700))
def test_any_text_is_read_or_not(text: str) -> None:
    read = Crypto.parse(text)
    assert read is None or read.suite in SrtpSuite


@given(st.text(alphabet="0123456789|:;^=-inlineABab+/ \t", max_size=120))
def test_any_key_is_read_or_not(text: str) -> None:
    read = Crypto.parse(f"1 {CM.value} inline:{'A' * 40}{text}")
    assert read is None or len(read.key.octets) == CM.key_length


def test_the_name_of_the_drafts_is_answered_as_it_was_said() -> None:
    long = SrtpSuite.AES_256_CM_HMAC_SHA1_80
    said = crypto(1, long).replace("AES_256_CM", "AES_CM_256")
    line, plan = answered(negotiation(), SECURE, said)
    assert plan.srtp is not None
    assert plan.srtp.suite is long
    assert (line.attribute("crypto") or "").split()[1] == "AES_CM_256_HMAC_SHA1_80"


def test_lines_are_bounded_and_tags_are_unique() -> None:
    many = description(SECURE, *(crypto(number % 200, tag=number % 30) for number in range(100))).media[0]
    assert len(cryptos_of(many)) == 16


def test_keys_show_themselves_to_nobody() -> None:
    side = negotiation()
    side.answer(description(SECURE, crypto(1)))
    agreed = side.keys.agreed
    assert agreed is not None
    secret = base64.b64encode(agreed.send.octets).decode()
    for shown in (repr(side), repr(agreed), repr(side.keys)):
        assert "MasterKey(...)" in shown or "MasterKey" not in shown
        assert repr(bytes(agreed.send.octets)) not in shown
        assert secret not in shown
    side.keys.wipe()
    assert not any(agreed.send.octets)
    assert not any(agreed.receive.octets)


# ---- offers of theirs


def test_their_first_suite_that_we_have_is_taken() -> None:
    protection = replace(OPTIONAL, suites=(CM, GCM))
    line, plan = answered(
        negotiation(protection),
        SECURE,
        crypto(1, SrtpSuite.AES_CM_128_HMAC_SHA1_32, 1),
        crypto(2, GCM, 5),
        crypto(3, CM, 6),
    )
    assert line.proto == "RTP/SAVP"
    assert plan.srtp is not None
    assert (plan.srtp.suite, plan.srtp.receive) == (GCM, MasterKey(bytes([2]) * GCM.key_length))
    ours = Crypto.parse(line.attribute("crypto") or "")
    assert ours is not None
    assert (ours.tag, ours.suite, ours.key) == (5, GCM, plan.srtp.send)
    assert plan.srtp.send != plan.srtp.receive


@pytest.mark.parametrize(
    ("protection", "lines", "secured", "proto"),
    [
        (OPTIONAL, (PLAIN,), False, "RTP/AVP"),
        (OPTIONAL, (PLAIN, crypto()), True, "RTP/AVP"),
        (OPTIONAL, (PLAIN, crypto(more=" KDR=1")), False, "RTP/AVP"),
        (OPTIONAL, (SECURE, crypto()), True, "RTP/SAVP"),
        (OPTIONAL, ("m=audio 4000 RTP/SAVPF 0", crypto()), True, "RTP/SAVPF"),
        (OFF, (PLAIN, crypto()), False, "RTP/AVP"),
        (REQUIRED, (PLAIN, crypto()), True, "RTP/AVP"),
        (REQUIRED, (SECURE, crypto(more="|2^31|1:1")), True, "RTP/SAVP"),
    ],
)
def test_what_is_offered_is_answered(protection: Protection, lines: tuple[str, ...], secured: bool, proto: str) -> None:
    line, plan = answered(negotiation(protection), *lines)
    assert (plan.srtp is not None, line.proto) == (secured, proto)
    assert (line.attribute("crypto") is not None) is secured


@pytest.mark.parametrize(
    ("protection", "lines", "why"),
    [
        (OFF, (SECURE, crypto()), "SRTP is not wanted here"),
        (REQUIRED, (PLAIN,), "SRTP is required"),
        (REQUIRED, (PLAIN, crypto(more=" KDR=1")), "no crypto suite in common"),
        (OPTIONAL, (SECURE,), "SRTP without a key in SDP"),
        (OPTIONAL, (SECURE, crypto(more=" UNENCRYPTED_SRTP")), "no crypto suite in common"),
        (REQUIRED.over(secure=False), (PLAIN,), "SRTP is required"),
        (replace(REQUIRED, over_plain=False).over(secure=False), (SECURE, crypto()), "no crypto suite in common"),
        (replace(OPTIONAL, over_plain=False).over(secure=False), (SECURE, crypto()), "SRTP is not wanted here"),
    ],
)
def test_what_cannot_be_agreed_to_is_refused_in_words(protection: Protection, lines: tuple[str, ...], why: str) -> None:
    with pytest.raises(SdpError) as refusal:
        negotiation(protection).answer(description(*lines))
    assert (refusal.value.status, refusal.value.reason) == (488, why)


def test_two_lines_for_those_who_can_and_those_who_cannot() -> None:
    both = (SECURE, crypto(), "m=audio 4002 RTP/AVP 0")
    for protection, ports in ((OPTIONAL, [10000, 0]), (OFF, [0, 10000]), (REQUIRED, [10000, 0])):
        sdp, _ = negotiation(protection).answer(description(*both))
        assert [line.port for line in SessionDescription.parse(sdp).media] == ports


def test_our_own_key_is_no_key_of_theirs() -> None:
    side = negotiation(REQUIRED)
    offered = line_of(side.offer()).attribute("crypto")
    with pytest.raises(SdpError, match="our own"):
        side.accept(description(SECURE, f"a=crypto:{offered}"))


# ---- offers of ours


def test_what_is_required_is_offered_alone() -> None:
    line = line_of(negotiation(REQUIRED).offer())
    assert line.proto == "RTP/SAVP"
    offered = cryptos_of(line)
    assert [each.suite for each in offered] == list(SUITES)
    assert [each.tag for each in offered] == [1, 2, 3, 4]
    assert len({bytes(each.key.octets) for each in offered}) == 4


def test_what_is_optional_is_offered_where_its_keys_are_safe_or_the_caller_has_them() -> None:
    assert line_of(negotiation(OPTIONAL).offer()).attribute("crypto") is None
    line = line_of(negotiation(OPTIONAL.over(secure=True)).offer())
    assert (line.proto, len(cryptos_of(line))) == ("RTP/AVP", 4)
    caller = description(SECURE, crypto())
    policy = Policy().like(offered_audio(caller, Policy()))
    assert policy.protection.offers


def test_an_answer_takes_one_of_the_keys_we_offered() -> None:
    side = negotiation(REQUIRED)
    offered = cryptos_of(line_of(side.offer()))
    plan = side.accept(description(SECURE, crypto(9, GCM, 2)))
    assert plan.srtp is not None
    assert (plan.srtp.suite, plan.srtp.send) == (GCM, offered[1].key)
    again = side.accept(description(SECURE, crypto(9, GCM, 2)))  # the 200 says what the 183 said
    assert again == plan


@pytest.mark.parametrize(
    "lines",
    [(SECURE,), (SECURE, crypto(tag=9)), (SECURE, crypto(tag=2)), (SECURE, crypto(tag=1), crypto(2, GCM, 2)), (PLAIN,)],
    ids=["no key", "a tag of its own", "a suite of another tag", "two keys", "plain"],
)
def test_an_answer_that_does_not_fit(lines: tuple[str, ...]) -> None:
    side = negotiation(REQUIRED)
    side.offer()
    with pytest.raises(SdpError):
        side.accept(description(*lines))


def test_an_optional_offer_may_be_answered_plain() -> None:
    side = negotiation(OPTIONAL.over(secure=True))
    side.offer()
    assert side.accept(description(PLAIN)).srtp is None
    assert line_of(side.offer()).attribute("crypto") is None  # and is not asked again


# ---- later


def test_a_refresh_keeps_every_key() -> None:
    side = negotiation()
    first, plan = answered(side, SECURE, crypto(1))
    again, same = answered(side, SECURE, crypto(1))
    assert again.attribute("crypto") == first.attribute("crypto")
    assert same == plan
    ours = line_of(side.offer())
    assert (ours.proto, ours.attribute("crypto")) == ("RTP/SAVP", first.attribute("crypto"))


def test_their_new_key_does_not_change_ours() -> None:
    side = negotiation()
    _, before = answered(side, SECURE, crypto(1))
    _, after = answered(side, SECURE, crypto(2))
    assert before.srtp is not None
    assert after.srtp is not None
    assert after.srtp.same_send(before.srtp)
    assert not after.srtp.same_receive(before.srtp)


def test_another_suite_and_a_plain_spell_take_a_new_key() -> None:
    side = negotiation()
    _, one = answered(side, SECURE, crypto(1))
    _, two = answered(side, SECURE, crypto(2, GCM))
    _, none = answered(side, PLAIN)
    _, three = answered(side, SECURE, crypto(3, GCM))
    assert none.srtp is None
    keys = [bytes(plan.srtp.send.octets) for plan in (one, two, three) if plan.srtp is not None]
    assert len(set(keys)) == 3


def test_a_refused_change_leaves_the_keys() -> None:
    side = negotiation(REQUIRED)
    _, plan = answered(side, SECURE, crypto(1))
    with pytest.raises(SdpError):
        side.answer(description(PLAIN))
    assert side.keys.agreed == plan.srtp


# ---- ladders


def phones(house: House, *names: str) -> list[Handset]:
    return [Handset(house.wire, name) for name in names]


async def test_a_plain_caller_reaches_a_phone_that_requires_srtp(house: House) -> None:
    alice, nadia = phones(house, "alice", "nadia")
    house.register("1011", nadia)
    alice.number = "1011"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> nadia
    offer = next(rung.data for rung in house.wire.rungs if rung.receiver is nadia and rung.says("INVITE"))
    assert b"RTP/SAVP" in offer
    assert offer.count(b"a=crypto:") == 4
    nadia.line, nadia.more = "audio 4000 RTP/SAVP", (crypto(5),)
    nadia >> 180 >> house >> 180 >> alice
    nadia >> 200 >> house >> "ACK" >> nadia
    house >> 200 >> alice >> "ACK" >> house
    answer = next(rung.data for rung in house.wire.rungs if rung.receiver is alice and rung.says(200))
    assert b"RTP/AVP" in answer
    assert b"crypto" not in answer
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> nadia >> 200 >> house
    assert [leg.srtp for leg in house.record.legs] == [None, CM.value]
    assert nothing_left(house.wire, alice, nadia)
    assert house.empty()


async def test_a_phone_that_requires_srtp_and_answers_plain(house: House) -> None:
    alice, nadia = phones(house, "alice", "nadia")
    house.register("1011", nadia)
    alice.number = "1011"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> nadia >> 180 >> house >> 180 >> alice
    house.wire.lose("200 BYE")
    nadia >> 200 >> house
    house >> "ACK" >> nadia
    house >> "BYE" >> nadia
    house >> 488 >> alice >> "ACK" >> house
    assert (house.record.result, house.record.sip_status) == (Result.UPSTREAM, 488)


async def test_a_secured_caller_has_the_callee_asked(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice.line, alice.more = "audio 4000 RTP/SAVP", (crypto(1),)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    offer = next(rung.data for rung in house.wire.rungs if rung.receiver is bob and rung.says("INVITE"))
    assert b"RTP/AVP" in offer
    assert b"a=crypto:" in offer
    bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    assert [leg.srtp for leg in house.record.legs] == [CM.value, None]


async def test_why_an_offer_is_refused_stands_in_the_answer(house: House) -> None:
    (alice,) = phones(house, "alice")
    alice.number, alice.line = "600", "audio 4000 RTP/SAVP"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 488 >> alice >> "ACK" >> house
    refusal = next(rung.data for rung in house.wire.rungs if rung.receiver is alice and rung.says(488))
    assert b'Reason: Q.850;cause=65;text="SRTP without a key in SDP"' in refusal
    assert house.record.reason == "SRTP without a key in SDP"
