"""Messages out of a stream, in whatever pieces it comes."""

from __future__ import annotations

import random

import pytest

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import MAX_MESSAGE
from pbxd.sip.message import Request, Response
from pbxd.sip.stream import KeepAlive, StreamParser


def message(number: int, body: bytes = b"", *, length: object = None, method: str = "MESSAGE") -> bytes:
    length = len(body) if length is None else length
    return (
        f"{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK{number}\r\nFrom: <sip:a@h>;tag=1\r\n"
        f"To: <sip:b@h>\r\nCall-ID: {number}\r\nCSeq: 1 {method}\r\nl: {length}\r\n\r\n"
    ).encode() + body


def call_ids(results: list[Request | Response | ParseError | KeepAlive]) -> list[str]:
    return [result.call_id if isinstance(result, Request) else repr(result) for result in results]


STREAM = (
    message(0)
    + message(1, b"\r\n\r\n")
    + b"\r\n\r\n"
    + message(2, b"x" * 3000)
    + b"\r\n"
    + message(3, b"\n\nMESSAGE sip:b@h SIP/2.0\r\n\r\n")
)


def feed_in(pieces: list[bytes]) -> list[Request | Response | ParseError | KeepAlive]:
    parser = StreamParser()
    results = [result for piece in pieces for result in parser.feed(piece)]
    assert parser.pending == 0
    assert not parser.needs_close
    return results


def test_all_at_once() -> None:
    results = feed_in([STREAM])
    assert call_ids([result for result in results if not isinstance(result, KeepAlive)]) == ["0", "1", "2", "3"]
    assert [result for result in results if isinstance(result, KeepAlive)] == [KeepAlive.PING, KeepAlive.PONG]
    bodies = [result.body for result in results if isinstance(result, Request)]
    assert bodies == [b"", b"\r\n\r\n", b"x" * 3000, b"\n\nMESSAGE sip:b@h SIP/2.0\r\n\r\n"]


def test_byte_by_byte() -> None:
    results = feed_in([STREAM[index : index + 1] for index in range(len(STREAM))])
    assert call_ids([result for result in results if isinstance(result, Request)]) == ["0", "1", "2", "3"]


def test_any_pieces_give_the_same_messages() -> None:
    rng = random.Random(1)
    for _ in range(200):
        cuts = sorted(rng.sample(range(len(STREAM)), 12))
        pieces = [STREAM[a:b] for a, b in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
        messages = [result for result in feed_in(pieces) if isinstance(result, Request)]
        assert [found.to_bytes() for found in messages] == [
            found.to_bytes() for found in feed_in([STREAM]) if isinstance(found, Request)
        ]


class TestKeepAlive:
    def test_ping(self) -> None:
        assert StreamParser().feed(b"\r\n\r\n") == [KeepAlive.PING]

    def test_pong(self) -> None:
        assert StreamParser().feed(b"\r\n") == [KeepAlive.PONG]

    def test_ping_in_two_halves(self) -> None:
        parser = StreamParser()
        assert parser.feed(b"\r") == []
        assert parser.feed(b"\n\r\n") == [KeepAlive.PING]

    def test_bare_line_feeds(self) -> None:
        assert StreamParser().feed(b"\n\n") == [KeepAlive.PONG, KeepAlive.PONG]


class TestFaults:
    def test_a_faulty_message_is_skipped(self) -> None:
        parser = StreamParser()
        first, second = parser.feed(message(1, b"body", method="IN<VITE") + message(2))
        assert isinstance(first, ParseError)
        assert (first.status, first.reason) == (400, "Bad method")
        assert call_ids([second]) == ["2"]
        assert not parser.needs_close

    def test_a_faulty_message_can_be_answered(self) -> None:
        (error,) = StreamParser().feed(message(1).replace(b"CSeq: 1 MESSAGE", b"CSeq: 1 BYE"))
        assert isinstance(error, ParseError)
        assert error.request.call_id == "1"

    @pytest.mark.parametrize(
        ("length", "status"), [("-1", 400), ("x", 400), ("", 400), (MAX_MESSAGE + 1, 513), ("9" * 30, 400)]
    )
    def test_a_length_that_leaves_us_lost(self, length: object, status: int) -> None:
        parser = StreamParser()
        results = parser.feed(message(1, b"body", length=length) + message(2))
        assert len(results) == 1
        assert isinstance(results[0], ParseError)
        assert results[0].status == status
        assert results[0].request.call_id == "1"
        assert parser.needs_close
        assert parser.pending == 0
        assert parser.feed(message(3)) == []

    def test_no_length_is_no_body(self) -> None:
        assert call_ids(StreamParser().feed(message(1).replace(b"\r\nl: 0", b"") + message(2))) == ["1", "2"]

    def test_a_head_without_end(self) -> None:
        parser = StreamParser()
        for _ in range(40):
            results = parser.feed(b"X-Long: " + b"x" * 2000 + b"\r\n")
            if results:
                break
        assert parser.needs_close
        assert isinstance(results[0], ParseError)
        assert (results[0].status, results[0].request) == (513, None)

    def test_a_head_without_end_that_can_be_answered(self) -> None:
        parser = StreamParser()
        head = message(1).removesuffix(b"\r\n")
        (error,) = parser.feed(head + b"X-Long: x\r\n" * 8000)
        assert isinstance(error, ParseError)
        assert (error.status, error.request.call_id) == (513, "1")

    def test_largest_message(self) -> None:
        (found,) = StreamParser().feed(message(1, b"x" * MAX_MESSAGE))
        assert isinstance(found, Request)
        assert len(found.body) == MAX_MESSAGE

    def test_memory_is_bounded(self) -> None:
        parser = StreamParser()
        for _ in range(1000):
            parser.feed(b"x" * 1000)
            assert parser.pending <= MAX_MESSAGE + 1000
