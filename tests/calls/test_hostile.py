"""What a caller, a phone or a stranger may send to harm the house: each costs them their own call and nothing more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pbxd.calls.admission import Refusal
from pbxd.calls.record import Change, Result
from pbxd.directory.sources import TrustedSources
from pbxd.sip.digest import Challenge, answer
from pbxd.sip.message import Response, parse_message
from tests.calls.house import Handset, House
from tests.calls.test_switch import ask
from tests.sip.party import nothing_left

UNUSABLE = ["audio 4000 RTP/SAVP", "audio 65535 RTP/AVP", "audio 0 RTP/AVP", "video 4000 RTP/AVP"]


def phones(house: House, *names: str) -> list[Handset]:
    return [Handset(house.wire, name) for name in names]


def send(house: House, asker: Handset, method: str, uri: str, from_: str, lines: list[str]) -> Response:
    """Sends a request and gives its last answer."""
    before = len(house.wire.rungs)
    head = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK{before}",
        f"From: <{from_}>;tag=1",
        "To: <sip:1001@lab.test>",
        f"Call-ID: {before}@asker",
        f"CSeq: 1 {method}",
        *lines,
    ]
    house.wire.shout(("\r\n".join(head) + "\r\n\r\n").encode(), asker, house)
    rungs = [rung for rung in house.wire.rungs[before + 1 :] if rung.sender is house and rung.receiver is asker]
    response = parse_message(rungs[-1].data)
    assert isinstance(response, Response)
    return response


def as_1001(house: House, asker: Handset, method: str, uri: str, from_: str, lines: list[str]) -> Response:
    """The same with the credentials of 1001."""
    challenge = Challenge.parse(send(house, asker, method, uri, from_, lines).headers.all("WWW-Authenticate")[0])
    proof = answer(challenge, method=method, uri=uri, username="1001", password="lab-1001", cnonce="c")
    return send(house, asker, method, uri, from_, [*lines, f"Authorization: {proof}"])


@pytest.mark.parametrize("number", ["600", "1002"])
@pytest.mark.parametrize("line", UNUSABLE)
async def test_an_offer_that_cannot_be_served_is_refused_and_leaves_nothing(
    house: House, line: str, number: str
) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice.number, alice.line = number, line
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 488 >> alice >> "ACK" >> house
    assert (house.record.result, house.record.sip_status) == (Result.CLIENT, 488)
    assert nothing_left(house.wire, alice, bob)
    assert house.empty()


async def test_the_line_that_can_be_served_is_found_behind_one_that_cannot(house: House) -> None:
    (alice,) = phones(house, "alice")
    alice.number, alice.line = "600", "audio 4000 RTP/SAVP 0\r\nm=audio 4002 RTP/AVP"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 200 >> alice >> "ACK" >> house
    heard = next(rung.data for rung in house.wire.rungs if rung.receiver is alice and rung.says(200))
    assert b"m=audio 0 RTP/SAVP 0" in heard
    assert alice.session.established
    alice >> "BYE" >> house >> 200 >> alice
    assert nothing_left(house.wire, alice)


@pytest.mark.parametrize("line", UNUSABLE)
async def test_the_caller_does_not_wait_for_a_callee_that_answers_nonsense(house: House, line: str) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    bob.line = line
    house.wire.lose("200 BYE")
    bob >> 200 >> house
    house >> "ACK" >> bob
    house >> "BYE" >> bob
    house >> 488 >> alice >> "ACK" >> house
    assert (house.record.result, house.record.sip_status, house.record.ended_by) == (Result.UPSTREAM, 488, "callee")
    assert house.said[-1] is Change.ENDED
    assert all(leg.ended_at is not None for leg in house.record.legs)
    assert nothing_left(house.wire, alice, bob)
    assert house.empty()


@pytest.mark.parametrize("line", UNUSABLE)
async def test_a_change_to_nonsense_is_refused_and_the_call_goes_on(house: House, line: str) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    alice.line = line
    alice >> "INVITE" >> house >> 488 >> alice >> "ACK" >> house
    assert alice.session.established
    alice >> "BYE" >> house >> 200 >> alice
    assert house.record.result is Result.SUCCESS
    assert nothing_left(house.wire, alice, bob)


async def test_a_fault_of_ours_ends_the_call_it_happened_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asker = Handset(house.wire, "asker")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(house.switch, "_connect", broken)
    assert ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>")[-1].status == 500
    assert (house.record.result, house.record.sip_status) == (Result.SERVER, 500)
    assert house.empty()


async def test_strangers_do_not_use_up_the_rate(house: House) -> None:
    asker = Handset(house.wire, "asker")
    house.admission.setup_rate = 2
    for _ in range(10):
        assert ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>", user="1001")[-1].status == 401
    answers = [ask(house, asker, "INVITE", "Contact: <sip:a@10.0.0.2>", uri="sip:777@lab.test") for _ in range(3)]
    assert [answer[-1].status for answer in answers] == [404, 404, 503]
    assert house.switch.refused[Refusal.TOO_FAST] == 1


@pytest.mark.parametrize(
    ("contacts", "rung"),
    [
        (["<sip:1001@lab.test>;q=0.1", "<sip:777@lab.test>"], 1),
        ([f"<sip:1001@lab.test;x={number}>" for number in range(50)], 1),
        ([f"<sip:777{number}@lab.test>;q=0.9" for number in range(5)] + ["<sip:1001@lab.test>;q=0.1"], 0),
        (["*"], 0),
        (["<sip:1001@lab.test"], 0),
        ([", ".join(["<sip:1001@lab.test>"] * 300)], 0),
    ],
)
async def test_a_redirect_rings_few_places_and_each_once(house: House, contacts: list[str], rung: int) -> None:
    alice, bob, carol = phones(house, "alice", "bob", "carol")
    house.register("1002", bob)
    house.register("1001", carol)
    house.facilities.limits = replace(house.facilities.limits, follow_redirects=True)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob
    bob.session.reject(302, house.wire.now, headers=[("Contact", contact) for contact in contacts])
    house.wire.after(1)
    assert len(carol.calls) == rung
    if carol.calls:
        carol >> 100 >> house
        carol >> 486 >> house
        house >> 486 >> alice
    else:
        house >> 480 >> alice
    assert nothing_left(house.wire, alice, bob, carol)
    assert house.empty()


async def test_a_challenge_of_one_leg_is_not_shown_to_the_other(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    alice >> "INFO" >> house >> "INFO" >> bob >> 401 >> house
    house >> 480 >> alice
    answer = alice.wire.rungs[-1]
    assert b"WWW-Authenticate" not in answer.data
    alice.session.hangup(house.wire.now)
    assert nothing_left(house.wire, alice, bob)


@pytest.mark.parametrize(
    ("contacts", "status"),
    [
        (["<sip:1001@10.0.0.2:5060>"], 200),
        (["<sip:1001@10.0.0.2:5060>", "<sip:0900@10.0.0.3>"], 403),  # the proxy of the trunk `out`
        (["<sip:1001@10.0.0.2:5060>", "<sip:0900@10.0.0.77>"], 403),  # a source of the trunk `anyone`
        (["<sip:1001@10.0.0.2:5060>", "<sip:1001@192.0.2.1>"], 200),
        (["<sip:0900@10.0.0.3>"], 200),  # behind a NAT, as far as we can tell: called where it came from
    ],
)
async def test_nobody_registers_a_provider_as_a_phone(house: House, contacts: list[str], status: int) -> None:
    asker = Handset(house.wire, "asker")
    lines = [f"Contact: {contact}" for contact in contacts]
    assert as_1001(house, asker, "REGISTER", "sip:lab.test", "sip:1001@lab.test", lines).status == status


@pytest.mark.parametrize(
    ("from_", "status"),
    [
        ("sip:1001@lab.test", 100),
        ("sip:%31001@elsewhere.example", 100),
        ("sip:anonymous@anonymous.invalid", 100),
        ("sip:1002@lab.test", 403),
        ("sip:bench@lab.test", 403),
        ("sip:anonymous@lab.test", 403),
        ("sip:lab.test", 403),
    ],
)
async def test_a_phone_calls_as_itself_or_as_nobody(house: House, from_: str, status: int) -> None:
    asker, bob = phones(house, "asker", "bob")
    house.register("1002", bob)
    lines = ["Contact: <sip:1001@10.0.0.2>"]
    if from_.startswith("sip:bench"):
        house.directory._snapshot.sources = TrustedSources(())  # or it would be the trunk's
    assert as_1001(house, asker, "INVITE", "sip:1002@lab.test", from_, lines).status == status
    invites = [rung.data for rung in house.wire.rungs if rung.receiver is bob and rung.says("INVITE")]
    assert len(invites) == (status == 100)
    hidden = "invalid" in from_
    assert all((b'From: "Anonymous" <sip:anonymous@anonymous.invalid>' in data) is hidden for data in invites)
    assert all((b"1001" in data.partition(b"\r\nTo:")[0]) is not hidden for data in invites)
