"""T.38 in SDP: what is read, what is offered, and that one stream at a time is active."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.fax_session import T38Terms
from media.spandsp import T38Settings
from media.udptl import ErrorCorrection, UdptlTerms
from pbxd.calls import image
from pbxd.calls.negotiate import Endpoint, Negotiation
from pbxd.calls.policy import Policy
from pbxd.sip.errors import SdpError
from pbxd.sip.sdp import SessionDescription

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
AUDIO, NO_AUDIO = "m=audio 4000 RTP/AVP 0 8", "m=audio 0 RTP/AVP 0 8"
IMAGE, NO_IMAGE = "m=image 4002 udptl t38", "m=image 0 udptl t38"
SAID = (
    "a=T38FaxVersion:2",
    "a=T38MaxBitRate:14400",
    "a=T38FaxFillBitRemoval",
    "a=T38FaxRateManagement:transferredTCF",
    "a=T38FaxMaxBuffer:2000",
    "a=T38FaxMaxDatagram:400",
    "a=T38FaxUdpEC:t38UDPFEC",
)


def description(*lines: str) -> SessionDescription:
    return SessionDescription.parse((HEAD + "".join(line + "\r\n" for line in lines)).encode())


def negotiation(*, images: bool = True) -> Negotiation:
    made = Negotiation(Endpoint("198.51.100.1", 10000, 10001), Policy(), 7, frozenset({"203.0.113.9"}))
    made.images = images
    return made


def ports(sdp: bytes) -> list[tuple[str, int]]:
    return [(line.kind, line.port) for line in SessionDescription.parse(sdp).media]


def over_t38(side: Negotiation) -> bool:
    return side.t38 is not None


def test_what_a_line_says() -> None:
    terms = image.terms_of(description(IMAGE, *SAID).media[0])
    assert terms == T38Terms(
        T38Settings(version=2, fill_bit_removal=True),
        UdptlTerms(ErrorCorrection.FEC, depth=3, max_datagram=400),
    )


@pytest.mark.parametrize(
    ("lines", "terms"),
    [
        ((), T38Terms(T38Settings(), UdptlTerms(depth=3))),
        (("a=t38faxversion:9",), T38Terms(T38Settings(version=3), UdptlTerms(depth=3))),
        (("a=T38FaxFillBitRemoval:0",), T38Terms(T38Settings(), UdptlTerms(depth=3))),
        (("a=T38FaxFillBitRemoval:1",), T38Terms(T38Settings(fill_bit_removal=True), UdptlTerms(depth=3))),
        (("a=T38FaxRateManagement:localTCF",), T38Terms(T38Settings(local_tcf=True), UdptlTerms(depth=3))),
        (("a=T38FaxMaxDatagram:99999",), T38Terms(T38Settings(), UdptlTerms(depth=3, max_datagram=1400))),
        (("a=T38FaxMaxDatagram:x", "a=T38FaxVersion:-1"), T38Terms(T38Settings(), UdptlTerms(depth=3))),
    ],
)
def test_sloppy_lines(lines: tuple[str, ...], terms: T38Terms) -> None:
    assert image.terms_of(description(IMAGE, *lines).media[0]) == terms


@pytest.mark.parametrize(
    "line",
    [NO_IMAGE, "m=image 4002 tcptl t38", "m=image 4002 udptl t37", AUDIO, "m=video 4002 udptl t38"],
)
def test_lines_that_are_no_t38(line: str) -> None:
    assert image.place_of(description(line)) is None


@given(st.lists(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40), max_size=12))
def test_any_attributes_are_read(values: list[str]) -> None:
    lines = [f"a=T38Fax{value}" for value in values]
    terms = image.terms_of(description(IMAGE, *lines).media[0])
    assert 0 <= terms.settings.version <= 3


def test_an_answer_has_one_active_line() -> None:
    side = negotiation()
    sdp, plan = side.answer(description(AUDIO, IMAGE, *SAID))
    assert ports(sdp) == [("audio", 0), ("image", 10000)]
    answer = SessionDescription.parse(sdp).media[1]
    assert answer.attributes == (
        ("T38FaxVersion", "2"),
        ("T38MaxBitRate", "14400"),
        ("T38FaxFillBitRemoval", None),
        ("T38FaxRateManagement", "transferredTCF"),
        ("T38FaxMaxBuffer", "2000"),
        ("T38FaxMaxDatagram", "1400"),
        ("T38FaxUdpEC", "t38UDPFEC"),
    )
    assert b"a=sendrecv" not in sdp.partition(b"m=image")[2]
    assert plan.remote == ("192.0.2.7", 4002)
    assert plan.latch_from == {"192.0.2.7", "203.0.113.9"}
    assert side.t38 is not None


def test_where_no_fax_is_an_image_is_refused_and_sound_goes_on() -> None:
    side = negotiation(images=False)
    sdp, _ = side.answer(description(AUDIO, IMAGE, *SAID))
    assert ports(sdp) == [("audio", 10000), ("image", 0)]
    assert side.t38 is None
    with pytest.raises(SdpError) as refused:
        side.answer(description(NO_AUDIO, IMAGE))
    assert refused.value.status == 488


def test_over_to_t38_and_back_by_our_offers() -> None:
    side = negotiation()
    side.answer(description(AUDIO))
    assert ports(side.offer_image()) == [("audio", 0), ("image", 10000)]
    plan = side.accept(description(NO_AUDIO, IMAGE, *SAID))
    assert (plan.remote, plan.silence_s) == (("192.0.2.7", 4002), 0.0)
    assert over_t38(side)
    assert ports(side.offer()) == [("audio", 10000), ("image", 0)]
    plan = side.accept(description(AUDIO, NO_IMAGE))
    assert plan.remote == ("192.0.2.7", 4000)
    assert not over_t38(side)
    assert ports(side.offer_image()) == [("audio", 0), ("image", 10000)]


def test_over_to_t38_and_back_by_theirs() -> None:
    side = negotiation()
    side.offer()
    side.accept(description(AUDIO))
    sdp, _ = side.answer(description(NO_AUDIO, IMAGE))
    assert ports(sdp) == [("audio", 0), ("image", 10000)]
    sdp, plan = side.answer(description(AUDIO, NO_IMAGE))
    assert ports(sdp) == [("audio", 10000), ("image", 0)]
    assert plan.remote == ("192.0.2.7", 4000)
    assert side.t38 is None


def test_a_refused_offer_leaves_all_as_it_was_with_a_newer_version() -> None:
    side = negotiation()
    side.answer(description(AUDIO))
    side.offer_image()
    side.image_refused()
    sdp = side.offer()
    assert ports(sdp) == [("audio", 10000)]
    assert SessionDescription.parse(sdp).origin.sess_version > 2


def test_t38_alone_in_the_first_offer_and_sound_later() -> None:
    side = negotiation()
    sdp, _ = side.answer(description(IMAGE, *SAID))
    assert ports(sdp) == [("image", 10000)]
    assert ports(side.offer()) == [("image", 0), ("audio", 10000)]


def test_t38_before_an_audio_line_in_the_first_offer_and_sound_later() -> None:
    side = negotiation()
    sdp, _ = side.answer(description(IMAGE, *SAID, NO_AUDIO))
    assert ports(sdp) == [("image", 10000), ("audio", 0)]
    assert ports(side.offer()) == [("image", 0), ("audio", 10000)]
    plan = side.accept(description(NO_IMAGE, AUDIO))
    assert (plan.remote, side.t38) == (("192.0.2.7", 4000), None)


def test_an_answer_that_takes_nothing() -> None:
    side = negotiation()
    side.answer(description(AUDIO))
    side.offer_image()
    with pytest.raises(SdpError, match=r"did not take T\.38"):
        side.accept(description(NO_AUDIO, NO_IMAGE))
