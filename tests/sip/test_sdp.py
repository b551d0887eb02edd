"""Session descriptions: our vectors good and bad, round trips, and the pieces of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxd.sip.errors import SdpError
from pbxd.sip.sdp import MAX_SDP, Direction, Format, MediaLine, Origin, SessionDescription

VECTORS = Path(__file__).parent.parent / "vectors" / "sip" / "sdp"
GOOD: dict[str, Any] = json.loads((VECTORS / "good" / "manifest.json").read_text())
BAD: dict[str, Any] = json.loads((VECTORS / "bad" / "manifest.json").read_text())

WORDS = st.from_regex(r"[A-Za-z0-9\-]{1,10}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=20)
PORTS = st.integers(0, 65535)
ADDRESSES = st.ip_addresses().map(str)
OWN_WORDS = ("rtpmap", "fmtp", "ptime", "maxptime", "rtcp", "rtcp-mux", *(direction.value for direction in Direction))
ATTRIBUTES = st.lists(
    st.tuples(WORDS.filter(lambda name: name not in OWN_WORDS), st.one_of(st.none(), TEXT)), max_size=4
).map(tuple)


@st.composite
def formats(draw: st.DrawFn) -> tuple[Format, ...]:
    pts = draw(st.lists(st.integers(96, 127), min_size=1, max_size=6, unique=True))
    return tuple(
        Format(
            pt,
            draw(WORDS).upper(),
            draw(st.sampled_from([8000, 16000, 48000, 90000])),
            draw(st.sampled_from([1, 2])),
            draw(st.one_of(st.none(), TEXT)),
        )
        for pt in pts
    )


MEDIA = st.one_of(
    st.builds(
        MediaLine,
        st.sampled_from(["audio", "video"]),
        PORTS,
        st.sampled_from(["RTP/AVP", "RTP/SAVPF"]),
        formats(),
        ADDRESSES,
        st.sampled_from(Direction),
        st.one_of(st.none(), st.integers(1, 1000)),
        st.one_of(st.none(), st.integers(1, 1000)),
        st.one_of(st.none(), PORTS),
        st.none(),
        st.booleans(),
        ATTRIBUTES,
    ),
    st.builds(
        MediaLine,
        st.just("image"),
        PORTS,
        st.just("udptl"),
        st.just((Format("t38", "T38", 0),)),
        ADDRESSES,
        attributes=ATTRIBUTES,
    ),
)
DESCRIPTIONS = st.builds(
    SessionDescription,
    st.builds(Origin, WORDS, st.integers(0, 2**63), st.integers(0, 2**63), ADDRESSES),
    st.one_of(st.none(), ADDRESSES),
    st.lists(MEDIA, max_size=4).map(tuple),
    ATTRIBUTES,
    TEXT,
)


@settings(deadline=None)
@given(DESCRIPTIONS)
def test_round_trip(description: SessionDescription) -> None:
    data = description.to_bytes()
    assert data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n")
    again = SessionDescription.parse(data)
    assert again == description
    assert again.to_bytes() == data


def test_every_vector_has_its_file() -> None:
    for kind, manifest in (("good", GOOD), ("bad", BAD)):
        assert {path.stem for path in (VECTORS / kind).glob("*.sdp")} == set(manifest)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Format):
        return [value.pt, value.name, value.rate, value.channels, value.fmtp]
    if isinstance(value, Direction):
        return value.value
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", GOOD)
def test_good_vector(name: str) -> None:
    description = SessionDescription.parse((VECTORS / "good" / f"{name}.sdp").read_bytes())
    for view in ("address", "name", "attributes"):
        if view in GOOD[name]:
            assert plain(getattr(description, view)) == GOOD[name][view]
    assert len(description.media) == len(GOOD[name]["media"])
    for line, expected in zip(description.media, GOOD[name]["media"], strict=True):
        assert {view: plain(getattr(line, view)) for view in expected} == expected
    assert SessionDescription.parse(description.to_bytes()) == description


@pytest.mark.parametrize("name", BAD)
def test_bad_vector(name: str) -> None:
    with pytest.raises(SdpError) as caught:
        SessionDescription.parse((VECTORS / "bad" / f"{name}.sdp").read_bytes())
    assert (caught.value.status, caught.value.reason) == (BAD[name]["status"], BAD[name]["reason"])


def test_too_large() -> None:
    with pytest.raises(SdpError, match="488 SDP too large"):
        SessionDescription.parse(b"v=0\r\na=" + b"x" * MAX_SDP)


class TestDirection:
    def test_reversed(self) -> None:
        assert [direction.reversed for direction in Direction] == [
            Direction.SENDRECV,
            Direction.RECVONLY,
            Direction.SENDONLY,
            Direction.INACTIVE,
        ]

    def test_of(self) -> None:
        for direction in Direction:
            assert Direction.of(sends=direction.sends, receives=direction.receives) is direction
            assert direction.reversed.sends == direction.receives


class TestReadingWords:
    def offer(self, name: str = "several-streams") -> SessionDescription:
        return SessionDescription.parse((VECTORS / "good" / f"{name}.sdp").read_bytes())

    def test_find(self) -> None:
        line = self.offer("phone").media[0]
        event = line.find("telephone-event", 8000)
        assert event is not None
        assert event.pt == 101
        assert line.find("telephone-event", 48000) is None
        assert line.find("opus") is None

    def test_attribute(self) -> None:
        offer = self.offer()
        assert offer.media[2].attribute("T38FaxVersion") == "0"
        assert offer.media[2].attribute("nope") is None
        other = SessionDescription.parse(b"v=0\na=ice-lite\na=tool:x\nm=audio 9 RTP/AVP 0\na=flag")
        assert (other.attribute("ice-lite"), other.attribute("tool"), other.attribute("x")) == ("", "x", None)
        assert other.media[0].attribute("flag") == ""

    def test_audio(self) -> None:
        assert self.offer().audio == self.offer().media[0]
        refused = SessionDescription.parse(b"v=0\nm=audio 0 RTP/AVP 0\nm=audio 7 RTP/AVP 0\nm=audio 9 RTP/AVP 0")
        assert refused.audio == refused.media[1]
        assert SessionDescription.parse(b"v=0\nm=audio 0 RTP/AVP 0").audio is not None
        assert self.offer("no-media").audio is None

    @pytest.mark.parametrize("text", ["audio 0 RTP/AVP 0", "audio 40000 RTP/AVP 0"])
    def test_refused(self, text: str) -> None:
        line = SessionDescription.parse(b"v=0\nm=" + text.encode()).media[0]
        assert line.refused == (line.port == 0)

    def test_identifiers_that_are_no_numbers_compare(self) -> None:
        def version(text: str) -> int:
            data = f"v=0\no=- {text} {text} IN IP4 h\n".encode()
            return SessionDescription.parse(data).origin.sess_version

        assert version("x1") == version("x1") != version("x2")
        assert version("7") == 7
        assert version("9" * 5000) >= 0


class TestAnswer:
    def test_every_line_is_answered(self) -> None:
        offer = SessionDescription.parse((VECTORS / "good" / "several-streams.sdp").read_bytes())
        served = MediaLine("audio", 10000, "RTP/AVP", (Format.static(8),), "192.0.2.1", ptime=20)
        lines = (served, *(line.refusal() for line in offer.media[1:]))
        answer = SessionDescription(Origin("-", 1, 1, "192.0.2.1"), "192.0.2.1", lines)
        assert answer.to_bytes().decode().split("\r\n") == [
            "v=0",
            "o=- 1 1 IN IP4 192.0.2.1",
            "s=-",
            "c=IN IP4 192.0.2.1",
            "t=0 0",
            "m=audio 10000 RTP/AVP 8",
            "a=rtpmap:8 PCMA/8000",
            "a=sendrecv",
            "a=ptime:20",
            "m=video 0 RTP/AVP 96",
            "m=image 0 udptl t38",
            "m=application 0 UDP/BFCP *",
            "",
        ]

    def test_static_formats(self) -> None:
        assert Format.static(0) == Format(0, "PCMU", 8000, 1)
        assert Format.static(10) == Format(10, "L16", 44100, 2)
        assert Format.static(77) == Format(77, "", 0, 1)


class TestWriting:
    def test_no_value_starts_a_line(self) -> None:
        evil = "x\r\na=evil\nb=evil\0"
        line = MediaLine(
            "audio" + evil, 1, "RTP/AVP" + evil, (Format(96, evil, fmtp=evil),), evil, attributes=((evil, evil),)
        )
        data = SessionDescription(Origin(evil, 1, 1, evil), evil, (line,), ((evil, None),), evil).to_bytes()
        lines = data.split(b"\r\n")
        assert data.count(b"\n") == data.count(b"\r") == len(lines) - 1
        assert not [found for found in lines if found.startswith((b"a=evil", b"b=evil"))]
        assert b"\0" not in data

    def test_names_as_peers_expect_them(self) -> None:
        line = MediaLine("audio", 1, "RTP/AVP", (Format(101, "TELEPHONE-EVENT"), Format(96, "OPUS", 48000, 2)), "h")
        data = SessionDescription(Origin("", 1, 1, "::1"), "::1", (line,), name="").to_bytes()
        assert b"a=rtpmap:101 telephone-event/8000\r\na=rtpmap:96 opus/48000/2\r\n" in data
        assert data.startswith(b"v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\n")

    def test_rtcp_elsewhere(self) -> None:
        line = MediaLine(
            "audio", 1, "RTP/AVP", (Format.static(0),), "h", rtcp_port=9, rtcp_address="::1", rtcp_mux=True
        )
        data = SessionDescription(Origin("-", 1, 1, "h"), "h", (line,)).to_bytes()
        assert data.endswith(b"a=rtcp:9 IN IP6 ::1\r\na=rtcp-mux\r\n")
