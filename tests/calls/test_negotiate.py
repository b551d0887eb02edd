"""What was said about media becomes what is done: RFC 3264, with the offers that real phones make."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.plan import Codec, CodecSettings
from pbxd.calls.negotiate import Endpoint, Negotiation, offered_audio
from pbxd.calls.policy import Policy
from pbxd.sip.errors import SdpError
from pbxd.sip.sdp import Direction, MediaLine, SessionDescription

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"


def description(*lines: str) -> SessionDescription:
    return SessionDescription.parse((HEAD + "".join(line + "\r\n" for line in lines)).encode())


def negotiation(policy: Policy | None = None) -> Negotiation:
    return Negotiation(Endpoint("198.51.100.1", 10000, 10001), policy or Policy(), 7, frozenset({"203.0.113.9"}))


def test_the_first_codec_of_the_offer_is_chosen() -> None:
    sdp, plan = negotiation().answer(description("m=audio 4000 RTP/AVP 8 0 101", "a=rtpmap:101 telephone-event/8000"))
    answer = SessionDescription.parse(sdp)
    assert plan.codec is Codec.PCMA
    assert [form.pt for form in answer.media[0].formats] == [8, 101]
    assert plan.remote == ("192.0.2.7", 4000)
    assert plan.remote_rtcp == ("192.0.2.7", 4001)
    assert plan.dtmf_send == plan.dtmf_receive == 101
    assert plan.latch_from == {"192.0.2.7", "203.0.113.9"}


def test_a_preferred_codec_saves_a_conversion() -> None:
    _, plan = negotiation().answer(description("m=audio 4000 RTP/AVP 8 0"), prefer=Codec.PCMU)
    assert plan.codec is Codec.PCMU


def test_what_we_do_not_serve_is_declined_in_its_place() -> None:
    sdp, _ = negotiation().answer(
        description("m=video 5000 RTP/AVP 96", "m=audio 4000 RTP/AVP 0", "m=application 9 UDP/DTLS/SCTP webrtc")
    )
    assert [(line.kind, line.port) for line in SessionDescription.parse(sdp).media] == [
        ("video", 0),
        ("audio", 10000),
        ("application", 0),
    ]


@pytest.mark.parametrize(
    "line",
    ["m=audio 4000 RTP/AVP 18", "m=audio 0 RTP/AVP 0", "m=audio 4000 RTP/SAVP 0", "m=video 5000 RTP/AVP 31"],
    ids=["no codec of ours", "already refused", "encrypted", "no audio"],
)
def test_an_offer_without_anything_for_us_is_not_acceptable(line: str) -> None:
    with pytest.raises(SdpError):
        negotiation().answer(description(line))


@pytest.mark.parametrize(
    ("offered", "answered", "sends", "receives"),
    [
        ("sendrecv", Direction.SENDRECV, True, True),
        ("sendonly", Direction.RECVONLY, False, True),
        ("recvonly", Direction.SENDONLY, True, False),
        ("inactive", Direction.INACTIVE, False, False),
    ],
)
def test_a_direction_is_answered_by_its_mirror(offered: str, answered: Direction, sends: bool, receives: bool) -> None:
    side = negotiation()
    sdp, plan = side.answer(description("m=audio 4000 RTP/AVP 0", f"a={offered}"))
    assert SessionDescription.parse(sdp).media[0].direction is answered
    assert (plan.sends, plan.receives) == (sends, receives)
    assert side.remote_direction.value == offered


def test_the_old_hold_by_an_empty_address_sends_nothing() -> None:
    _, plan = negotiation().answer(description("m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0"))
    assert plan.remote is None
    assert not plan.sends


def test_our_offer_and_its_answer_make_a_plan() -> None:
    side = negotiation()
    offer = SessionDescription.parse(side.offer())
    assert [form.pt for form in offer.media[0].formats] == [0, 8, 101]
    plan = side.accept(
        description("m=audio 4000 RTP/AVP 8 100", "a=rtpmap:100 telephone-event/8000", "a=ptime:30", "a=rtcp:4900")
    )
    assert (plan.codec, plan.payload_type, plan.ptime_ms) == (Codec.PCMA, 8, 30)
    assert (plan.dtmf_send, plan.dtmf_receive) == (100, 101)
    assert plan.remote_rtcp == ("192.0.2.7", 4900)


def test_an_answer_with_both_laws_may_be_sent_in_either() -> None:
    side = negotiation()
    side.offer()
    plan = side.accept(description("m=audio 4000 RTP/AVP 8 0"))
    assert (plan.codec, plan.receive_payload_type, plan.other_payload_type) == (Codec.PCMA, 8, 0)
    assert side.accept(description("m=audio 4000 RTP/AVP 8")).other_payload_type is None


@pytest.mark.parametrize("line", ["m=audio 0 RTP/AVP 0", "m=audio 4000 RTP/AVP 96"])
def test_an_answer_that_takes_nothing_is_refused(line: str) -> None:
    side = negotiation()
    side.offer()
    with pytest.raises(SdpError):
        side.accept(description(line))


def test_an_answer_without_our_offer_is_refused() -> None:
    with pytest.raises(SdpError):
        negotiation().accept(description("m=audio 4000 RTP/AVP 0"))


def test_the_version_grows_only_when_something_changed() -> None:
    side = negotiation()
    first = SessionDescription.parse(side.offer()).origin
    again = SessionDescription.parse(side.offer()).origin
    held = SessionDescription.parse(side.offer(Direction.SENDONLY)).origin
    assert first.sess_version == again.sess_version
    assert held.sess_version == first.sess_version + 1
    assert held.sess_id == first.sess_id


def test_a_later_offer_of_ours_keeps_the_lines_of_the_session() -> None:
    side = negotiation()
    side.answer(description("m=video 5000 RTP/AVP 96", "m=audio 4000 RTP/AVP 0"))
    offer = SessionDescription.parse(side.offer(Direction.SENDONLY))
    assert [(line.kind, line.port) for line in offer.media] == [("video", 0), ("audio", 10000)]


def test_an_answer_tells_nothing_of_what_was_not_offered() -> None:
    side = negotiation()
    side.offer()
    side.accept(description("m=audio 4000 RTP/AVP 0"))
    side.offer(Direction.SENDONLY)
    side.accept(description("m=audio 4000 RTP/AVP 0", "a=recvonly"))
    assert side.remote_direction is Direction.SENDRECV


def test_a_hold_in_an_answer_is_seen() -> None:
    side = negotiation()
    side.offer()
    side.accept(description("m=audio 4000 RTP/AVP 0", "a=sendonly"))
    assert side.remote_direction is Direction.SENDONLY


def test_the_next_leg_is_asked_first_for_what_the_caller_has() -> None:
    offered = offered_audio(description("m=audio 4000 RTP/AVP 8 13"), Policy())
    policy = Policy().like(offered)
    assert policy.codecs == (Codec.PCMA, Codec.PCMU)
    assert policy.comfort_noise
    assert Policy().like(None) == Policy()


@pytest.mark.parametrize(("said", "used"), [("a=ptime:20", 20), ("a=ptime:35", 30), ("a=ptime:5", 10), ("", 20)])
def test_packet_times_are_those_that_we_can_make(said: str, used: int) -> None:
    lines = ["m=audio 4000 RTP/AVP 0", *([said] if said else [])]
    _, plan = negotiation().answer(description(*lines))
    assert plan.ptime_ms == used


def test_rtcp_shares_the_port_when_the_offer_says_so() -> None:
    sdp, plan = negotiation().answer(description("m=audio 4000 RTP/AVP 0", "a=rtcp-mux"))
    assert plan.rtcp_mux
    assert plan.remote_rtcp == ("192.0.2.7", 4000)
    assert SessionDescription.parse(sdp).media[0].rtcp_mux


@pytest.mark.parametrize(
    "address", ["224.2.1.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::", "::ffff:224.0.0.1", "host.example"]
)
def test_sound_goes_to_one_host_or_nowhere(address: str) -> None:
    family = "IP6" if ":" in address else "IP4"
    _, plan = negotiation().answer(description("m=audio 4000 RTP/AVP 0", f"c=IN {family} {address}"))
    assert (plan.remote, plan.remote_rtcp, plan.sends) == (None, None, False)
    assert plan.latch_from == {"203.0.113.9"}


def test_an_answer_is_for_the_line_that_was_offered() -> None:
    for line in ("m=video 4000 RTP/AVP 0", "m=audio 4000 RTP/SAVP 0", "m=audio 65535 RTP/AVP 0"):
        asker = negotiation()
        asker.offer()
        with pytest.raises(SdpError):
            asker.accept(description(line))


def test_a_change_that_is_refused_changes_nothing() -> None:
    leg = negotiation()
    leg.answer(description("m=audio 4000 RTP/AVP 0"))
    before = leg.last()
    with pytest.raises(SdpError):
        leg.answer(description("m=audio 65535 RTP/AVP 0", "a=sendonly"))
    assert leg.last() is before
    assert leg.remote_direction is Direction.SENDRECV


# ---- codecs with clocks and numbers of their own

WIDE = Policy(
    codecs=(Codec.OPUS, Codec.G722, Codec.L16_WIDE, Codec.L16, Codec.PCMU),
    opus=CodecSettings(bitrate=24000, complexity=5, fec=True, dtx=True),
)


def test_an_offer_of_everything() -> None:
    sdp = negotiation(WIDE).offer().decode()
    assert "m=audio 10000 RTP/AVP 111 9 119 118 0 101 102 103\r\n" in sdp
    for line in (
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 useinbandfec=1;usedtx=1",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:119 L16/16000",
        "a=rtpmap:118 L16/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:102 telephone-event/48000",
        "a=rtpmap:103 telephone-event/16000",
        "a=fmtp:102 0-15",
    ):
        assert f"{line}\r\n" in sdp


@pytest.mark.parametrize(
    ("lines", "codec", "numbers", "dtmf", "dtmf_clock"),
    [
        (("RTP/AVP 107 9", "107 opus/48000/2"), Codec.OPUS, (107, 111), None, 0),
        (("RTP/AVP 107", "107 opus/48000"), Codec.OPUS, (107, 111), None, 0),
        (("RTP/AVP 111 102", "111 opus/48000/2", "102 telephone-event/48000"), Codec.OPUS, (111, 111), (102, 102), 0),
        (("RTP/AVP 111 96", "111 opus/48000/2", "96 telephone-event/8000"), Codec.OPUS, (111, 111), (96, 101), 8000),
        (("RTP/AVP 111 101",), Codec.OPUS, (111, 111), (101, 101), 8000),  # the numbers of our offer, unexplained
        (("RTP/AVP 9 101", "101 telephone-event/8000"), Codec.G722, (9, 9), (101, 101), 0),
        (("RTP/AVP 9", "9 G722/16000"), Codec.G722, (9, 9), None, 0),
        (("RTP/AVP 99 103", "99 L16/16000/1", "103 telephone-event/16000"), Codec.L16_WIDE, (99, 119), (103, 103), 0),
        (("RTP/AVP 100", "100 L16/8000"), Codec.L16, (100, 118), None, 0),
    ],
)
def test_answers_to_an_offer_of_everything(
    lines: tuple[str, ...],
    codec: Codec,
    numbers: tuple[int, int],
    dtmf: tuple[int, int] | None,
    dtmf_clock: int,
) -> None:
    side = negotiation(WIDE)
    side.offer()
    plan = side.accept(description(f"m=audio 4000 {lines[0]}", *(f"a=rtpmap:{line}" for line in lines[1:])))
    assert plan.codec is codec
    assert (plan.payload_type, plan.receive_payload_type) == numbers
    assert ((plan.dtmf_send, plan.dtmf_receive) if dtmf else plan.dtmf_send) == dtmf
    assert plan.dtmf_clock == dtmf_clock
    assert plan.other_payload_type is None


@pytest.mark.parametrize(
    "words",
    [
        "RTP/AVP 111\r\na=rtpmap:111 opus/16000/2",
        "RTP/AVP 111\r\na=rtpmap:111 opus/48000/3",
        "RTP/AVP 10",  # L16 at 44.1 kHz
        "RTP/AVP 118\r\na=rtpmap:118 L16/8000/2",
        "RTP/AVP 111\r\na=rtpmap:111 iLBC/8000",
        "RTP/AVP 8",  # not offered
    ],
)
def test_answers_that_name_nothing_of_ours(words: str) -> None:
    side = negotiation(WIDE)
    side.offer()
    with pytest.raises(SdpError):
        side.accept(description(f"m=audio 4000 {words}"))


def test_a_number_keeps_its_meaning_in_later_offers() -> None:
    side = negotiation(WIDE)
    lines = ("a=rtpmap:111 telephone-event/8000", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 speex/8000")
    side.answer(description("m=audio 4000 RTP/AVP 96 111 101", *lines))
    again = SessionDescription.parse(side.offer(joined=Codec.OPUS)).media[0]
    assert [(form.pt, form.name, form.rate) for form in again.formats] == [
        (96, "OPUS", 48000),
        (111, "TELEPHONE-EVENT", 8000),
        (102, "TELEPHONE-EVENT", 48000),
    ]


def test_a_number_taken_by_the_far_side_is_not_used_for_something_else() -> None:
    side = negotiation(WIDE)
    side.answer(description("m=audio 4000 RTP/AVP 0 111 102", "a=rtpmap:111 speex/8000", "a=rtpmap:102 iLBC/8000"))
    formats = SessionDescription.parse(side.offer()).media[0].formats
    taken = {form.name: form.pt for form in formats if form.rate == 48000}
    assert taken == {"OPUS": 96, "TELEPHONE-EVENT": 97}


@pytest.mark.parametrize(
    ("fmtp", "settings"),
    [
        ("useinbandfec=1; usedtx=1", CodecSettings(24000, 5, True, True)),
        ("", CodecSettings(24000, 5, False, False)),
        ("maxaveragebitrate=16000;UseInbandFec=1", CodecSettings(16000, 5, True, False)),
        ("maxaveragebitrate=64000", CodecSettings(24000, 5, False, False)),
        ("maxaveragebitrate=1;maxplaybackrate=x;useinbandfec=2;;=", CodecSettings(24000, 5, False, False)),
    ],
)
def test_our_encoder_does_what_the_far_side_can_use(fmtp: str, settings: CodecSettings) -> None:
    lines = ["m=audio 4000 RTP/AVP 96", "a=rtpmap:96 opus/48000/2", *([f"a=fmtp:96 {fmtp}"] if fmtp else [])]
    _, plan = negotiation(WIDE).answer(description(*lines))
    assert plan.codec_settings == settings


def test_codecs_without_settings_have_none() -> None:
    _, plan = negotiation(WIDE).answer(description("m=audio 4000 RTP/AVP 9"))
    assert plan.codec_settings == CodecSettings()


@pytest.mark.parametrize(
    ("lines", "used"),
    [
        (("96", "96 opus/48000/2", "a=ptime:30"), 20),  # Opus has no such frame
        (("96", "96 opus/48000/2", "a=ptime:120"), 60),
        (("96", "96 opus/48000/2", "a=ptime:10", "a=fmtp:96 minptime=20"), 20),
        (("96", "96 opus/48000/2", "a=maxptime:10"), 10),
        (("97", "97 L16/16000", "a=ptime:60"), 40),  # 60 ms would not fit a datagram
        (("97", "97 L16/8000", "a=ptime:60"), 60),
    ],
)
def test_packet_times_are_those_of_the_codec(lines: tuple[str, ...], used: int) -> None:
    said = [f"m=audio 4000 RTP/AVP {lines[0]}", f"a=rtpmap:{lines[1]}", *lines[2:]]
    _, plan = negotiation(WIDE).answer(description(*said))
    assert plan.ptime_ms == used


def test_what_can_be_joined_bounds_an_answer() -> None:
    offer = description("m=audio 4000 RTP/AVP 9 0", "a=sendonly")
    side = negotiation(WIDE)
    _, plan = side.answer(offer, within=frozenset({Codec.PCMU}))
    assert plan.codec is Codec.PCMU
    before = side.last()
    with pytest.raises(SdpError):
        side.answer(offer, within=frozenset({Codec.OPUS}))
    assert side.last() is before


def test_comfort_noise_counts_at_8000_only() -> None:
    policy = replace(WIDE, comfort_noise=True)
    assert b" 13 " in negotiation(policy).offer() or b" 13\r\n" in negotiation(policy).offer()
    opus_only = SessionDescription.parse(negotiation(replace(policy, codecs=(Codec.OPUS,))).offer())
    assert [form.pt for form in opus_only.media[0].formats] == [111, 101, 102]


def test_comfort_noise_is_not_answered_beside_opus() -> None:
    offer = description("m=audio 4000 RTP/AVP 96 0 13", "a=rtpmap:96 opus/48000/2")
    assert [negotiation(WIDE).answer(offer, prefer=codec)[1].cn for codec in (Codec.OPUS, Codec.PCMU)] == [False, True]


FORMATS = st.tuples(
    st.integers(0, 127),
    st.sampled_from(["PCMU", "PCMA", "G722", "opus", "L16", "telephone-event", "CN", "speex", ""]),
    st.sampled_from([0, 8000, 16000, 44100, 48000]),
    st.sampled_from(["", "/1", "/2", "/0"]),
    st.text(st.sampled_from("maxplybckrte=;10 "), max_size=12),
)


@given(st.lists(FORMATS, min_size=1, max_size=8), st.sampled_from([None, *Codec]), st.integers(0, 300), st.booleans())
def test_whatever_is_said_makes_a_plan_or_is_refused(
    formats: list[tuple[int, str, int, str, str]], prefer: Codec | None, ptime: int, ours_first: bool
) -> None:
    lines = [f"m=audio 4000 RTP/AVP {' '.join(str(form[0]) for form in formats)}", f"a=ptime:{ptime}"]
    lines += [f"a=rtpmap:{number} {name}/{rate}{channels}" for number, name, rate, channels, _ in formats if name]
    lines += [f"a=fmtp:{number} {fmtp}" for number, _, _, _, fmtp in formats]
    side = negotiation(replace(WIDE, codecs=tuple(Codec), converts=ours_first))
    try:
        if ours_first:
            side.offer()
            plan = side.accept(description(*lines))
        else:
            _, plan = side.answer(description(*lines), prefer=prefer)
    except SdpError:
        return
    said = {form[0] for form in formats}
    assert plan.payload_type in said
    assert plan.dtmf_send is None or plan.dtmf_send in said
    assert plan.ptime_ms in plan.codec.ptimes_ms
    assert plan.codec in side.understood
    offer = SessionDescription.parse(side.offer(joined=plan.codec)).media[0]
    assert len({form.pt for form in offer.formats}) == len(offer.formats)
    assert side.accept(offer_of(offer)).codec is plan.codec


def offer_of(line: MediaLine) -> SessionDescription:
    """Somebody else's description with the same line."""
    return replace(description("m=audio 4000 RTP/AVP 0"), media=(replace(line, address="192.0.2.7"),))
