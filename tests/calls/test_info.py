from __future__ import annotations

from random import Random

import pytest

from pbxd.calls.info import Pressed, pressed_in
from pbxd.directory.model import ExtensionKind
from pbxd.sip.message import Request, Response, parse_message
from tests.calls.house import House
from tests.calls.test_call import phones
from tests.calls.test_fallback import Machine
from tests.wire import Weather


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


class Listener(Machine):
    """Answers, and writes down what is pressed."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def digit(self, digit: str, now: float) -> None:
        self.heard.append(digit)


async def test_ten_thousand_digits_by_info_in_bad_weather(house: House) -> None:
    """None is missing and none comes twice, whatever is lost, repeated or overtaken on the way."""
    act, draw = Listener(), Random(11)
    house.acts[ExtensionKind.FLOW] = lambda _extension, _record: act
    (alice,) = phones(house, "alice")
    alice.number = "501"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 200 >> alice >> "ACK" >> house
    house.wire.weather = Weather(loss=0.03, duplicate=0.02, reorder=0.05, hold=0.02, delay=0.001)
    said = [draw.choice("0123456789*#ABCD") for _ in range(10_000)]
    left = iter(said)
    statuses: list[int] = []

    def press(now: float) -> None:
        if (digit := next(left, None)) is None:
            return
        kind, body = (
            ("application/dtmf-relay", f"Signal={digit}\r\nDuration=100\r\n")
            if draw.random() < 0.5
            else ("application/dtmf", digit)
        )
        alice.session.request("INFO", now, body=body.encode(), content_type=kind, on_final=answered)

    def answered(status: int, _response: Response | None, now: float) -> None:
        statuses.append(status)
        press(now)

    press(house.wire.now)
    house.wire.after(550)
    assert statuses == [200] * len(said)
    assert act.heard == said
