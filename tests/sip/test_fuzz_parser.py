"""200,000 damaged inputs through the parsers: nothing but ParseError comes out, nothing takes long, nothing stays.

Two kinds, by a fixed seed: messages put together from a grammar of odd parts, and byte mutations of real messages.
"""

from __future__ import annotations

import gc
import random
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from time import thread_time

import pytest

from pbxd.sip.digest import Challenge, Credentials, read_challenges, read_credentials
from pbxd.sip.errors import ParseError, SdpError
from pbxd.sip.grammar import MAX_MESSAGE, has_controls
from pbxd.sip.headers import NameAddr, Via
from pbxd.sip.message import Request, Response, parse_message, response_to
from pbxd.sip.sdp import MAX_LINES, MAX_SDP, SessionDescription
from pbxd.sip.stream import KeepAlive, StreamParser
from pbxd.sip.uri import Uri

SEED = 4475
SLOWEST_S = 0.05  # CPU time of one input
VECTORS = Path(__file__).parent.parent / "vectors" / "sip"
REAL = [path.read_bytes() for path in sorted(VECTORS.rglob("*")) if path.suffix in (".dat", ".sip")]
GOOD = [path.read_bytes() for path in sorted(VECTORS.glob("messages/good/*.sip"))]
MESSAGES = REAL + 8 * [re.sub(rb"(?mi)^(l|content-length) *:.*\n", b"", data) for data in GOOD]  # any body will do
DESCRIPTIONS = [path.read_bytes() for path in sorted(VECTORS.rglob("*.sdp"))]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b" ", b"\t", b"\r\n ", b'"', b"\\", b"\\\"", b"<",
    b">", b";", b";;", b",", b"%", b"%00", b"%zz", b"=", b"?", b"&", b"@", b":", b"/", b"[", b"]", b"[::1]", b"*",
    b"SIP/2.0", b"sip:", b"tel:", b"tag=", b"branch=", b"Content-Length: ", b"l:-1", b"4294967296", b"9" * 30,
    b"a=", b"m=", b"m=audio 1 RTP/AVP 0", b"c=IN IP6 ::", b"a=rtpmap:0 ", b"\r\n\r\n", b"A" * 300, b"\xe2\x80\xa8",
]  # fmt: skip
VIEWS = (
    "via vias from_ to call_id cseq contacts routes record_routes max_forwards expires require proxy_require supported "
    "allow content_type"
).split()


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """`data` with one to four wounds."""
    for _ in range(rng.choice((1, 1, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(13):
            case 0 | 7 | 8:
                data = data[:at] + bytes((rng.randrange(256),)) + data[at + 1 :]
            case 1 | 9 | 10:
                data = data[:at] + rng.choice(PIECES) + data[at:]
            case 2:
                data = data[:at] + data[at + rng.randrange(1, 40) :]
            case 3 | 11 | 12:
                data = data[:at] + rng.choice(PIECES) + data[at + rng.randrange(1, 10) :]
            case 4:
                end = at + rng.randrange(1, 200)
                data = data[:end] + data[at:end] + data[end:]
            case 5:
                other = rng.choice(others)
                data = data[:at] + other[rng.randrange(len(other) + 1) :]
            case 6:
                data = data[:at]
        data = data[:4000]
    return data


WORDS = [
    "a",
    "1001",
    "",
    "%41",
    "x-y",
    '"q,;<>"',
    '"',
    "ü",
    "*",
    "<sip:a@b>",
    "sip:a@b;lr",
    "0",
    "-1",
    "[::1]",
    " ",
    "\x01",
]
ODD_URIS = ["sips:[::1]:5061;lr", "tel:+1-2", "urn:x", "sip:", "sip:a@b@c", "sip:%00@h?x=%0d", "*", "h", "sip:h:0"]
URIS = ODD_URIS + ["sip:a@h"] * 20
NAMES = [
    "Via", "v", "From", "f", "To", "t", "Call-ID", "i", "CSeq", "Contact", "m", "Route", "Record-Route", "Max-Forwards",
    "Content-Length", "l", "Content-Type", "c", "Expires", "Require", "Supported", "Allow", "X-Own", "", "Bad Name",
]  # fmt: skip
VALID = {
    "Via": "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport",
    "From": '"A" <sip:a@b>;tag=1',
    "To": "<sip:b@c>",
    "Call-ID": "x@y",
    "CSeq": "1 INVITE",
}


def compose(rng: random.Random) -> bytes:
    """A message out of the grammar's own parts, in odd order."""
    method = rng.choice(("INVITE", "INVITE", "INVITE", "ACK", "inv ite"))
    lines = [rng.choice((f"{method} {rng.choice(URIS)} SIP/2.0", *["SIP/2.0 200 OK"] * 3, "SIP/2.0 9"))]
    lines += [f"{name}: {value}" for name, value in VALID.items() if rng.random() < 0.99]
    for _ in range(rng.randrange(4)):
        value = rng.choice((",", ";", " ", "=", "")).join(rng.choices(WORDS + URIS, k=rng.randrange(5)))
        lines.append(f"{rng.choice(NAMES)}{rng.choice((':', ': ', ' :', ''))}{value}")
    rest = lines[1:]
    rng.shuffle(rest)
    lines[1:] = rest
    ending = rng.choice(("\r\n",) * 8 + ("\n",) * 3 + ("\r\n ",))
    return (
        ending.join(lines)
        + rng.choice(("\r\n\r\n", "\r\n\r\n", "\r\n\r\n", "\r\n\r\n", "\r\n\r\n", "\n\n", "\r\n", ""))
    ).encode() + rng.choice((b"", b"body"))


def inputs(seed: str, count: int, seeds: list[bytes], composed: float = 0.3) -> Iterator[bytes]:
    rng = random.Random(f"{SEED} {seed}")
    for _ in range(count):
        yield compose(rng) if rng.random() < composed else mutate(rng, rng.choice(seeds), seeds)


def check(message: Request | Response | ParseError) -> None:
    """What holds for anything a parser gives back."""
    if isinstance(message, ParseError):
        assert 400 <= message.status < 600
        assert message.reason.isascii()
        if message.request is None:
            return
        assert message.request.method != "ACK"
        _ = message.request.via
        answer = response_to(message.request, message.status, message.reason, to_tag="t").to_bytes()
        head = answer.partition(b"\r\n\r\n")[0]
        assert head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n")
        return
    for view in VIEWS:
        getattr(message, view)
    message.part("application/sdp")
    data = message.to_bytes()
    head = data.partition(b"\r\n\r\n")[0]
    assert head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n")
    if isinstance(message, Request):
        response_to(message, 200, to_tag="t").to_bytes()


def message_input(data: bytes) -> None:
    result: Request | Response | ParseError
    try:
        result = parse_message(data)
    except ParseError as error:
        result = error
    check(result)


def stream_input(data: bytes) -> None:
    parser = StreamParser()
    half = len(data) // 2
    for result in parser.feed(data[:half]) + parser.feed(data[half:]):
        if not isinstance(result, KeepAlive):
            check(result)
    assert parser.pending <= MAX_MESSAGE


def description_input(data: bytes) -> None:
    try:
        description = SessionDescription.parse(data)
    except SdpError:
        return
    written = description.to_bytes()
    if len(written) > MAX_SDP or written.count(b"\n") > MAX_LINES:  # what came was short of the bounds by a hair
        return
    again = SessionDescription.parse(written)
    assert len(again.media) == len(description.media)


DIGESTS = [
    b'Digest username="1001", realm="r", nonce="a==", uri="sip:h", response="01ef", cnonce="c", qop=auth, nc=00000001',
    b'Digest realm="example.com", nonce="abc", algorithm=MD5, qop="auth,auth-int", stale=true, Digest realm=b, nonce=2',
    b"Digest username*=UTF-8''J%C3%A4s%C3%B8n, realm=r, nonce=n, uri=u, response=r",
]


def digest_input(data: bytes) -> None:
    text = data.decode("latin-1").replace("\r", " ").replace("\n", " ")
    for challenge in read_challenges([text]):
        assert Challenge.parse(str(challenge)) == challenge
    for credentials in read_credentials([text]):
        assert isinstance(credentials.nonce_count, int | None)
        assert Credentials.parse(str(credentials)) == credentials


VALUES = [
    b'"Ada; \\"x\\", <y>" <sip:1001:pw@[2001:db8::1]:5060;transport=tcp?a=b>;tag=1;q=0.5;+sip.instance="<urn:uuid:1>"',
    b"SIP / 2.0 / UDP [::1]:5060;branch=z9hG4bK1;received=[::2];rport=5060",
    b"sips:a%20b;c=d@example.com:5061;lr;x=%41?Subject=a&b=c",
    b"tel:+1-201-555-0123;phone-context=example.com",
]


def value_input(data: bytes) -> None:
    text = data.decode("latin-1")
    for parse in (Uri.parse, NameAddr.parse, Via.parse):
        try:
            value = parse(text)
        except ParseError:
            continue
        assert parse(str(value)) == value or has_controls(text)


RUNS: dict[str, tuple[Callable[[bytes], None], int, list[bytes], float]] = {
    "messages": (message_input, 90_000, MESSAGES, 0.3),
    "streams": (stream_input, 40_000, MESSAGES, 0.3),
    "descriptions": (description_input, 30_000, DESCRIPTIONS, 0.0),
    "digests": (digest_input, 20_000, DIGESTS, 0.0),
    "values": (value_input, 20_000, VALUES, 0.0),
}


def test_as_many_as_promised() -> None:
    assert sum(count for _, count, _, _ in RUNS.values()) == 200_000


def test_enough_of_them_get_through() -> None:
    """Inputs that all fail at the first line would test little."""
    passed = 0
    for data in inputs("messages", 2000, MESSAGES):
        try:
            passed += parse_message(data) is not None
        except ParseError:
            continue
    assert passed > 300


@pytest.fixture
def _own_garbage() -> Iterator[None]:
    """What others have left in memory is not gone through again and again, nor timed."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_own_garbage")
@pytest.mark.parametrize("name", RUNS)
def test_fuzz(name: str) -> None:
    feed, count, seeds, composed = RUNS[name]
    slowest, culprit = 0.0, b""
    for data in inputs(name, count, seeds, composed):
        begin = thread_time()
        try:
            feed(data)
        except Exception as error:
            raise AssertionError(f"{error!r} from {data!r}") from error
        if (took := thread_time() - begin) > slowest:
            slowest, culprit = took, data
    assert slowest < SLOWEST_S, culprit


@pytest.mark.parametrize("name", RUNS)
def test_memory_does_not_grow(name: str) -> None:
    feed, _, seeds, composed = RUNS[name]
    for data in inputs(f"{name} first", 6000, seeds, composed):  # fills the caches
        feed(data)
    gc.collect()
    tracemalloc.start()
    try:
        for data in inputs(f"{name} second", 2000, seeds, composed):
            feed(data)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 2_000_000


def invite_with(text: bytes) -> bytes:
    head = b"INVITE sip:a@b SIP/2.0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in VALID.items())
    return (head + text)[: MAX_MESSAGE - 4] + b"\r\n\r\n"


@pytest.mark.parametrize(
    "text",
    [
        b"Contact: " + b'"' * 8000,
        (b"Contact: " + b'"\\' * 4000 + b"\r\n") * 8,
        (b"Contact: " + b"<sip:a@b>," * 800 + b"\r\n") * 8,
        (b"Via: " + b"," * 8000 + b"\r\n") * 8,
        b"Subject: x" + b"\r\n x" * 15_000,
        b"\r\n " * 20_000,
        b":\r\n" * 20_000,
        b"a:\r\n" * 15_000,
        b"m:*\r\n" * 12_000,
        (b"Route: <sip:" + b"%41" * 2600 + b"@h>\r\n") * 8,
        (b"Contact: <sip:h;" + b"a=b;" * 1900 + b">" + b"\r\n") * 8,
        (b"Contact: <sip:h>" + b";a=b" * 1900 + b"\r\n") * 8,
        (b"Supported: " + b"a," * 4000 + b"\r\n") * 8,
        b"\r" * 65_000,
        b"\xff" * 65_000,
        b"Content-Type: multipart/mixed;boundary=b\r\n\r\n" + b"--b\r\n" * 12_000,
        b"Content-Type: multipart/mixed;boundary=b\r\n\r\n" + b"\r\n--bx" * 12_000,
    ],
)
def test_the_worst_of_full_size_is_read_in_time(text: bytes) -> None:
    data = invite_with(text)
    assert len(data) <= MAX_MESSAGE
    begin = thread_time()
    message_input(data)
    stream_input(data)
    assert thread_time() - begin < 0.25


@pytest.mark.parametrize("text", [b"a=\r\n" * 4000, b"m=audio 1 RTP/AVP " + b"1 " * 7000, b"a=" + b":" * 16_000])
def test_the_worst_description_is_read_in_time(text: bytes) -> None:
    begin = thread_time()
    description_input(b"v=0\r\n" + text)
    assert thread_time() - begin < 0.05
