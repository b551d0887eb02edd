"""What the house says to requests of every kind, in and out of order (RFC 3261 §8.2)."""

from __future__ import annotations

import pytest

from pbxd.calls.admission import Refusal
from pbxd.calls.record import Result
from pbxd.sip.lookup import ResolveError, Trouble
from pbxd.sip.message import Response, parse_message
from tests.calls.house import Handset, House
from tests.sip.party import nothing_left


def ask(house: House, asker: Handset, method: str, *lines: str, uri: str = "sip:600@lab.test", user: str = "bench",
        body: str = "") -> list[Response]:  # fmt: skip
    """Sends one request as it stands, and gives what comes back at once."""
    before = len(house.wire.rungs)
    head = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {asker.address[0]}:5060;branch=z9hG4bK{before}",
        f"From: <sip:{user}@lab.test>;tag={before}",
        "To: <sip:600@lab.test>",
        f"Call-ID: {before}@asker",
        f"CSeq: 1 {method}",
        *lines,
        f"Content-Length: {len(body)}",
    ]
    house.wire.shout(("\r\n".join(head) + "\r\n\r\n" + body).encode(), asker, house)
    rungs = [rung for rung in house.wire.rungs[before:] if rung.sender is house and rung.receiver is asker]
    answers = [parse_message(rung.data) for rung in rungs]
    return [answer for answer in answers if isinstance(answer, Response)]


@pytest.mark.parametrize(
    ("method", "lines", "status"),
    [
        ("OPTIONS", [], 200),
        ("DANCE", [], 501),
        ("REFER", ["Refer-To: <sip:1001@lab.test>"], 603),
        ("SUBSCRIBE", ["Event: presence"], 489),
        ("PUBLISH", ["Event: presence"], 489),
        ("NOTIFY", ["Event: presence"], 481),
        ("BYE", [], 481),
        ("INFO", [], 481),
        ("UPDATE", [], 481),
        ("PRACK", ["RAck: 1 1 INVITE"], 481),
        ("INVITE", ["Max-Forwards: 0", "Contact: <sip:a@10.0.0.2>"], 483),
        ("INVITE", ["Require: nothingSupportsThis", "Contact: <sip:a@10.0.0.2>"], 420),
        ("OPTIONS", ["Require: nothingSupportsThis"], 420),
        ("OPTIONS", ["Proxy-Require: noProxiesSupportThis"], 420),
        ("INVITE", ["Accept: text/plain", "Contact: <sip:a@10.0.0.2>"], 406),
        ("MESSAGE", ["Content-Type: text/plain"], 405),
    ],
)
async def test_requests_get_what_the_rfc_says(house: House, method: str, lines: list[str], status: int) -> None:
    asker = Handset(house.wire, "asker")
    assert ask(house, asker, method, *lines)[-1].status == status


async def test_what_is_not_understood_is_listed(house: House) -> None:
    asker = Handset(house.wire, "asker")
    (answer,) = ask(house, asker, "OPTIONS", "Require: one", "Proxy-Require: two")
    assert answer.headers.get("Unsupported") == "one, two"
    (answer,) = ask(house, asker, "DANCE")
    assert "INVITE" in (answer.headers.get("Allow") or "")


async def test_only_sip_is_served(house: House) -> None:
    asker = Handset(house.wire, "asker")
    assert ask(house, asker, "OPTIONS", uri="nobodyKnowsThis:opaque")[-1].status == 416


async def test_a_stranger_is_challenged_for_whatever_number(house: House) -> None:
    asker = Handset(house.wire, "asker")
    for number in ("600", "1002", "777"):
        (answer,) = ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>", uri=f"sip:{number}@lab.test", user="1001")
        assert answer.status == 401
        schemes = [value.partition(" ")[0] for value in answer.headers.all("WWW-Authenticate")]
        assert schemes == ["Digest", "Digest"]
    assert not house.records


async def test_a_house_that_is_behind_or_full_says_when_to_come_back(house: House) -> None:
    asker = Handset(house.wire, "asker")
    house.late = True
    (answer,) = ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>")
    assert (answer.status, answer.headers.get("Retry-After")) == (503, "5")
    house.late = False
    house.admission.max_calls = 0
    assert ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>")[-1].status == 503
    assert house.switch.refused[Refusal.OVERLOADED] == house.switch.refused[Refusal.CALLS_FULL] == 1


async def test_what_is_refused_says_why(house: House) -> None:
    asker = Handset(house.wire, "asker")
    house.admission.stalled = lambda: True
    (answer,) = ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>")
    assert (answer.status, answer.headers.get("Reason")) == (503, 'Q.850;cause=42;text="media_stalled"')
    assert house.switch.refused[Refusal.MEDIA_STALLED] == 1
    assert ask(house, asker, "OPTIONS")[-1].status == 200


async def test_a_name_that_cannot_be_found_is_why_a_call_failed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = ResolveError(Trouble.TIMEOUT, "10.0.0.3")
    monkeypatch.setattr(house, "destinations", lambda _uri, callback: callback(trouble))
    asker = Handset(house.wire, "asker")
    answers = ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>", uri="sip:8123@lab.test")
    assert answers[-1].status == 503
    record = house.record
    assert (record.result, record.reason) == (Result.SERVER, "out cannot be found: no DNS server answered in time")
    assert record.ended_by == "house"
    answers = ask(house, asker, "MESSAGE", "Content-Type: text/plain", uri="sip:8123@lab.test", body="hello")
    assert answers[-1].status == 480
    assert house.empty()


async def test_without_ports_there_is_no_call_and_no_leak(house: House) -> None:
    asker = Handset(house.wire, "asker")
    ports = house.facilities.media.ports
    while ports.size > ports.in_use:
        ports.take(0.0)
    answers = ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>")
    assert (answers[-1].status, answers[-1].headers.get("Retry-After")) == (503, "5")
    assert house.empty()
    assert house.switch.refused[Refusal.PORTS_FULL] == 1
    assert (house.record.result, house.record.q850) == (Result.SERVER, 42)


async def test_a_message_reaches_every_phone_and_one_answer_is_enough(house: House) -> None:
    asker, desk, soft = (Handset(house.wire, name) for name in ("asker", "desk", "soft"))
    house.register("1002", desk, soft)
    answers = ask(house, asker, "MESSAGE", "Content-Type: text/plain", uri="sip:1002@lab.test", body="hello")
    assert answers[-1].status == 405  # these phones read no messages
    delivered = [rung.data for rung in house.wire.rungs if rung.label == "MESSAGE" and rung.sender is house]
    assert len(delivered) == 2
    assert all(data.endswith(b"\r\n\r\nhello") for data in delivered)
    assert nothing_left(house.wire, desk, soft)


@pytest.mark.parametrize(
    ("uri", "body", "status"),
    [("sip:1002@lab.test", "hello", 480), ("sip:777@lab.test", "hello", 404), ("sip:1002@lab.test", "x" * 2000, 513)],
)
async def test_a_message_that_cannot_be_delivered(house: House, uri: str, body: str, status: int) -> None:
    asker = Handset(house.wire, "asker")
    assert ask(house, asker, "MESSAGE", "Content-Type: text/plain", uri=uri, body=body)[-1].status == status


async def test_a_fault_of_ours_is_a_500_and_the_house_lives_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asker = Handset(house.wire, "asker")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(house.switch._methods, "OPTIONS", broken)
    assert ask(house, asker, "OPTIONS")[-1].status == 500
    monkeypatch.undo()
    assert ask(house, asker, "OPTIONS")[-1].status == 200
