from __future__ import annotations

import pytest

from pbxd.calls.info import Pressed, pressed_in
from pbxd.sip.message import Request, parse_message


def info(kind: str, body: bytes) -> Request:
    head = (
        "INFO sip:house@lab.test SIP/2.0\r\nVia: SIP/2.0/UDP lab.test;branch=z9hG4bK1\r\n"
        "From: <sip:a@lab.test>;tag=1\r\n"
        f"To: <sip:b@lab.test>;tag=2\r\nCall-ID: 1\r\nCSeq: 2 INFO\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    message = parse_message(head.encode() + body)
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("kind", "body", "pressed"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", Pressed("5", 160)),
        ("application/dtmf-relay", b"Signal= 5\nDuration= 250", Pressed("5", 250)),
        ("Application/DTMF-Relay; charset=utf-8", b"duration=100\r\nsignal=*\r\n", Pressed("*", 100)),
        ("application/dtmf-relay", b"Signal=11", Pressed("#")),
        ("application/dtmf-relay", b"Signal=a\r\nDuration=1", Pressed("A", 40)),
        ("application/dtmf-relay", b"Signal=1\r\nDuration=99999999", Pressed("1", 5000)),
        ("application/dtmf-relay", b"Signal=1\r\nDuration=-5", Pressed("1")),
        ("application/dtmf", b"7", Pressed("7")),
        ("application/dtmf", b" # \r\n", Pressed("#")),
        ("application/dtmf", b"10", Pressed("*")),
        ("application/dtmf", b"", None),
        ("application/dtmf", b"16", None),
        ("application/dtmf", b"\xff", None),
        ("application/dtmf", b"12345678901234567890", None),
        ("application/dtmf-relay", b"Signal=\r\n", None),
        ("application/dtmf-relay", b"Signal=flash\r\n", None),
        ("application/dtmf-relay", b"", None),
        ("application/media_control+xml", b"<picture_fast_update/>", None),
    ],
)
def test_what_an_info_says(kind: str, body: bytes, pressed: Pressed | None) -> None:
    assert pressed_in(info(kind, body)) == pressed
