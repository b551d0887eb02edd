"""CPU time of reading and writing SIP and SDP: `python -m tests.bench.bench_messages`. Best of seven runs, in µs each.

The INVITE is what phones send: 15 headers, 0.9 KB. Call-ID, tag and branch differ in every message, as they do in life.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from time import process_time
from typing import TypeVar

from pbxd.sip.digest import Credentials, NonceBook, answer, ha1, read_challenges, verify
from pbxd.sip.message import Request, parse_message, response_to
from pbxd.sip.sdp import SessionDescription
from pbxd.sip.stream import StreamParser

COUNT = 4000
SDP = (
    b"v=0\r\no=- 3973070478 208142209 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 34718 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\na=ptime:20\r\n"
)
Item = TypeVar("Item")


def invite(number: int) -> bytes:
    """One of many INVITEs of one phone."""
    return (
        "INVITE sip:1002@192.168.1.10;transport=udp SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 192.168.1.50:5062;rport;branch=z9hG4bK{number}\r\n"
        "Max-Forwards: 70\r\n"
        f'From: "Alice" <sip:1001@192.168.1.10>;tag=a6c85cf{number}\r\n'
        "To: <sip:1002@192.168.1.10>\r\n"
        f"Call-ID: a84b4c76e66710{number}@192.168.1.50\r\n"
        "CSeq: 314159 INVITE\r\n"
        'Contact: <sip:1001@192.168.1.50:5062;ob>;+sip.instance="<urn:uuid:0c67446e-f1a1-11d9-94d3-000a95a0e128>"\r\n'
        "Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, OPTIONS\r\n"
        "Supported: replaces, 100rel, timer, norefersub\r\nSession-Expires: 1800\r\nMin-SE: 90\r\n"
        "User-Agent: Phone 2.15 Linux-6.1/x86_64/glibc-2.36\r\nContent-Type: application/sdp\r\n"
        f"X-Own: value\r\nContent-Length: {len(SDP)}\r\n\r\n"
    ).encode() + SDP


def measure(name: str, items: Sequence[Item], work: Callable[[Item], object]) -> None:
    """Prints the µs of CPU `work` takes per item."""
    best = float("inf")
    for _ in range(7):
        gc.collect()
        begin = process_time()
        for item in items:
            work(item)
        best = min(best, process_time() - begin)
    print(f"{name:34} {best / len(items) * 1e6:7.1f} µs")


def main() -> None:
    """Measures all and prints a table."""
    data = [invite(number) for number in range(COUNT)]
    requests = [request for request in map(parse_message, data) if isinstance(request, Request)]
    responses = [response_to(request, 200, to_tag="b") for request in requests]
    description = SessionDescription.parse(SDP)
    print(f"INVITE of {len(data[0])} bytes, {len(requests[0].headers)} headers; SDP of {len(SDP)} bytes")
    measure("parse_message, INVITE", data, parse_message)
    measure("parse_message, 200", [response.to_bytes() for response in responses], parse_message)
    measure("StreamParser.feed, INVITE", data, StreamParser().feed)
    measure("to_bytes, INVITE", requests, Request.to_bytes)
    measure("to_bytes, 200", responses, type(responses[0]).to_bytes)
    measure("response_to", requests, lambda request: response_to(request, 200, to_tag="b"))
    measure("SessionDescription.parse", [SDP] * COUNT, SessionDescription.parse)
    measure("SessionDescription.to_bytes", [description] * COUNT, SessionDescription.to_bytes)
    book = NonceBook(b"secret")
    secret = ha1("1001", "r", "p", "SHA-256")
    lines = [f'Digest realm="r", nonce="{book.new(0.0)}", algorithm=SHA-256, qop="auth"' for _ in range(COUNT)]
    measure("read_challenges", lines, lambda line: read_challenges([line]))
    challenges = [read_challenges([line])[0] for line in lines]
    credentials = [
        answer(challenge, method="INVITE", uri="sip:h", username="1001", password="p", cnonce="c")
        for challenge in challenges
    ]
    measure("Credentials.parse", list(map(str, credentials)), Credentials.parse)
    measure("verify (SHA-256)", credentials, lambda found: verify(secret, "INVITE", found))
    measure("NonceBook.check", credentials, lambda found: book.check(found, 1.0))


if __name__ == "__main__":
    main()
