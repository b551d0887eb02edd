"""Calls through the house, as ladders: what each side hears, and what is written down."""

from __future__ import annotations

import pytest

from media.plan import Codec
from pbxd.calls.call import TABLE, CallEvent, CallState
from pbxd.calls.record import Change, Direction, Result, Role
from pbxd.sip.message import Request, Response
from pbxd.sip.sdp import Direction as Way
from pbxd.sip.sdp import SessionDescription
from pbxd.trace import Note
from tests.calls.house import Handset, House
from tests.sip.party import nothing_left
from tests.wire import Weather


def phones(house: House, *names: str) -> list[Handset]:
    return [Handset(house.wire, name) for name in names]


def description(message: Request | Response) -> SessionDescription:
    return SessionDescription.parse(message.body)


def talk(alice: Handset, house: House, bob: Handset) -> None:
    """Alice calls, Bob answers."""
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    bob >> 200 >> house
    house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house


async def test_a_call_is_set_up_and_ended_by_the_caller(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    house.wire.after(5)
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    assert house.said == [Change.STARTED, Change.RINGING, Change.ANSWERED, Change.ENDED]
    record = house.record
    assert (record.result, record.sip_status, record.q850, record.ended_by) == (Result.SUCCESS, 200, 16, "caller")
    assert (record.caller, record.called, record.direction) == ("bench", "1002", Direction.INBOUND)
    assert [(leg.role, leg.party, leg.codec) for leg in record.legs] == [
        (Role.CALLER, "anyone", "PCMU"),
        (Role.CALLEE, "1002", "PCMU"),
    ]
    assert record.answered_at is not None
    assert record.ended_at == pytest.approx(record.answered_at + 5)
    assert nothing_left(house.wire, alice, bob)
    assert house.empty()
    assert house.stack.idle


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_clock_may_be_set_under_a_call(house: House, hours: int) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    before = house.facilities.wall
    house.facilities.wall = lambda now: before(now) + hours * 3600.0
    house.wire.after(5)
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    record = house.record
    assert record.answered_at is not None
    assert record.ended_at == pytest.approx(record.answered_at + 5)
    for leg in record.legs:
        assert leg.answered_at is not None
        assert leg.ended_at == pytest.approx(leg.answered_at + 5)
    talk(alice, house, bob)
    (call,) = house.switch.calls.values()
    assert call.record.started_at == pytest.approx(record.answered_at + 5 + hours * 3600.0, abs=1)  # by the new time


async def test_the_callee_hangs_up(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    bob >> "BYE" >> house >> 200 >> bob
    house >> "BYE" >> alice >> 200 >> house
    assert (house.record.result, house.record.ended_by) == (Result.SUCCESS, "callee")
    assert nothing_left(house.wire, alice, bob)


async def test_nothing_of_one_leg_leaks_to_the_other(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice.headers = [
        ("Alert-Info", "<urn:alert:tone:internal>"),
        ("User-to-User", "48656c6c6f;encoding=hex"),
        ("X-Secret", "inside"),
        ("Subject", "none of his business"),
    ]
    alice >> "INVITE" >> house
    house >> 100 >> alice
    house >> "INVITE" >> bob
    seen = bob.wire.rungs[-1].data
    invite = next(each for each in house.wire.rungs if each.label == "INVITE" and each.receiver is bob).data
    assert b"10.0.0.2" not in invite
    assert alice.session.call_id.encode() not in invite
    assert b"X-Secret" not in invite
    assert b"Subject" not in invite
    assert b"Alert-Info: <urn:alert:tone:internal>" in invite
    assert b"User-to-User: 48656c6c6f;encoding=hex" in invite
    assert b'From: "Bench" <sip:bench@lab.test>' in invite
    assert b"Max-Forwards: 69" in invite
    assert seen


@pytest.mark.parametrize(
    ("status", "heard"),
    [
        (486, 486),
        (603, 603),
        (480, 480),
        (302, 480),
    ],
)
async def test_a_refusal_reaches_the_caller(house: House, status: int, heard: int) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> status >> house >> "ACK" >> bob
    house >> heard >> alice >> "ACK" >> house
    assert (house.record.result, house.record.sip_status) == (Result.UPSTREAM, heard)
    assert nothing_left(house.wire, alice, bob)
    assert house.empty()


async def test_numbers_that_lead_nowhere(house: House) -> None:
    (alice,) = phones(house, "alice")
    for number, status, result in (("777", 404, Result.CLIENT), ("1002", 480, Result.UPSTREAM)):
        alice.number = number
        alice >> "INVITE" >> house >> 100 >> alice
        house >> status >> alice >> "ACK" >> house
        assert (house.records[-1].result, house.records[-1].sip_status) == (result, status)
    assert house.empty()


async def test_the_caller_gives_up(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    alice >> "CANCEL" >> house >> "200 CANCEL" >> alice
    house >> 487 >> alice >> "ACK" >> house
    house >> "CANCEL" >> bob >> "200 CANCEL" >> house
    bob >> 487 >> house >> "ACK" >> bob
    record = house.record
    assert (record.result, record.sip_status, record.ended_by) == (Result.CLIENT, 487, "caller")
    assert nothing_left(house.wire, alice, bob)


async def test_nobody_answers(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    house.wire.after(30)
    house >> 480 >> alice
    house >> "CANCEL" >> bob
    assert (house.record.result, house.record.q850) == (Result.UPSTREAM, 19)
    assert nothing_left(house.wire, alice, bob)


async def test_all_contacts_ring_and_the_first_answer_wins(house: House) -> None:
    alice, desk, soft, mobile = phones(house, "alice", "desk", "soft", "mobile")
    house.register("1002", desk, soft, mobile)
    alice >> "INVITE" >> house >> 100 >> alice
    for phone in (desk, soft, mobile):
        house >> "INVITE" >> phone >> 180 >> house
    soft >> 200 >> house >> "ACK" >> soft
    for phone in (desk, mobile):
        house >> "CANCEL" >> phone >> "200 CANCEL" >> house
        cancel = next(each.data for each in house.wire.rungs if each.label == "CANCEL" and each.receiver is phone)
        assert b"Call completed elsewhere" in cancel
    house.wire.after(1)
    assert alice.session.established
    alice.session.hangup(house.wire.now)
    assert nothing_left(house.wire, alice, desk, soft, mobile)
    assert house.record.result is Result.SUCCESS
    assert len(house.record.legs) == 4


async def test_two_phones_answer_at_once(house: House) -> None:
    alice, desk, soft = phones(house, "alice", "desk", "soft")
    house.register("1002", desk, soft)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> desk
    house >> "INVITE" >> soft
    desk.act(200, house)
    soft.act(200, house)
    house.wire.after(1)
    assert [desk.session.ended, soft.session.ended].count(True) == 1
    assert alice.session.established
    alice.session.hangup(house.wire.now)
    assert nothing_left(house.wire, alice, desk, soft)


async def test_the_best_refusal_of_several(house: House) -> None:
    alice, desk, soft = phones(house, "alice", "desk", "soft")
    house.register("1002", desk, soft)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> desk >> 486 >> house >> "ACK" >> desk
    house >> "INVITE" >> soft >> 480 >> house >> "ACK" >> soft
    house >> 486 >> alice
    assert nothing_left(house.wire, alice, desk, soft)


async def test_a_decline_ends_the_ringing_of_all(house: House) -> None:
    alice, desk, soft = phones(house, "alice", "desk", "soft")
    house.register("1002", desk, soft)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> desk
    house >> "INVITE" >> soft >> 180 >> house >> 180 >> alice
    desk >> 603 >> house >> "ACK" >> desk
    house >> "CANCEL" >> soft
    house >> 603 >> alice
    assert nothing_left(house.wire, alice, desk, soft)


async def test_echo(house: House) -> None:
    (alice,) = phones(house, "alice")
    alice.number = "600"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 200 >> alice >> "ACK" >> house
    alice >> "BYE" >> house >> 200 >> alice
    assert house.record.result is Result.SUCCESS
    assert house.empty()


async def test_a_hold_reaches_the_other_phone_and_so_does_its_end(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    alice.direction, bob.direction = "sendonly", "recvonly"
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    house >> "INVITE" >> bob
    held = next(r.data for r in reversed(house.wire.rungs) if r.label == "INVITE" and r.receiver is bob)
    assert b"a=sendonly" in held
    bob >> 200 >> house >> "ACK" >> bob
    alice.direction = bob.direction = "sendrecv"
    alice >> "INVITE" >> house
    house.wire.after(1)
    resumed = next(r.data for r in reversed(house.wire.rungs) if r.label == "INVITE" and r.receiver is bob)
    assert b"a=sendrecv" in resumed
    house.wire.after(5)
    bob.act(200, house)
    house.wire.after(5)
    assert house.said[-2:] == [Change.HELD, Change.RESUMED]
    alice.session.hangup(house.wire.now)
    assert nothing_left(house.wire, alice, bob)


async def test_early_media_opens_the_way_before_the_answer(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 183 >> house >> 183 >> alice
    early = next(r.data for r in reversed(house.wire.rungs) if r.label.startswith("183") and r.receiver is alice)
    assert b"m=audio" in early
    bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    alice.session.hangup(house.wire.now)
    assert nothing_left(house.wire, alice, bob)


async def test_a_caller_without_an_offer_gets_ours(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice.offers = False
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice
    offer = next(r.data for r in reversed(house.wire.rungs) if r.label.startswith("200") and r.receiver is alice)
    assert b"m=audio" in offer
    alice.session.answer(alice.call.sdp(), house.wire.now)
    alice >> "ACK" >> house
    house.wire.after(1)
    (call,) = house.switch.calls.values()
    assert call.caller is not None
    assert call.caller.plan is not None
    alice.session.hangup(house.wire.now)
    assert nothing_left(house.wire, alice, bob)


async def test_two_codecs_meet_in_the_middle(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice.codecs, bob.codecs = "0", "8"
    talk(alice, house, bob)
    (call,) = house.switch.calls.values()
    assert call.caller is not None
    assert call.callee is not None
    assert call.caller.plan is not None
    assert call.callee.plan is not None
    assert (call.caller.plan.codec, call.callee.plan.codec) == (Codec.PCMU, Codec.PCMA)
    alice.session.hangup(house.wire.now)
    assert nothing_left(house.wire, alice, bob)


async def test_a_codec_that_nobody_speaks_is_refused_at_once(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice.codecs = "18"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 488 >> alice >> "ACK" >> house
    assert house.record.result is Result.CLIENT
    assert not bob.calls


async def test_an_answer_that_cannot_be_used_ends_the_leg(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    bob.codecs = "18"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> "BYE" >> bob >> 200 >> house
    house >> 488 >> alice >> "ACK" >> house
    assert (house.record.result, house.record.sip_status) == (Result.UPSTREAM, 488)
    assert nothing_left(house.wire, alice, bob)


async def test_a_redirect_is_followed_only_where_that_is_wanted(house: House) -> None:
    house.facilities.limits = type(house.facilities.limits)(follow_redirects=True)
    alice, bob = phones(house, "alice", "bob")
    carol = Handset(house.wire, "carol")
    house.register("1002", bob)
    house.register("1001", carol)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob
    bob.session.reject(302, house.wire.now, headers=[("Contact", "<sip:1001@lab.test>")])
    bob >> 302 >> house >> "ACK" >> bob
    house >> "INVITE" >> carol >> 200 >> house >> "ACK" >> carol
    house >> 200 >> alice >> "ACK" >> house
    alice.session.hangup(house.wire.now)
    assert nothing_left(house.wire, alice, bob, carol)


async def test_a_call_leaves_by_its_trunk_and_no_second_one_fits(house: House) -> None:
    alice, provider, dave = phones(house, "alice", "provider", "dave")
    alice.number = dave.number = "8123"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> provider >> 200 >> house >> "ACK" >> provider
    invite = next(r.data for r in house.wire.rungs if r.label == "INVITE" and r.receiver is provider)
    assert invite.startswith(b"INVITE sip:8123@10.0.0.3 SIP/2.0")
    assert b"P-Asserted-Identity" in invite
    house >> 200 >> alice >> "ACK" >> house
    dave >> "INVITE" >> house >> 100 >> dave
    house >> 503 >> dave >> "ACK" >> house
    refused = next(r.data for r in house.wire.rungs if r.label.startswith("503"))
    assert b"Retry-After: 5" in refused
    turned_away = house.records[-1]
    assert (turned_away.result, turned_away.sip_status, turned_away.reason) == (
        Result.SERVER,
        503,
        "limit_trunk: the trunk out has 1 of 1 calls at a time",
    )
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> provider >> 200 >> house
    house.wire.after(1)
    dave >> "INVITE" >> house >> 100 >> dave
    house >> "INVITE" >> provider >> 486 >> house
    assert nothing_left(house.wire, alice, provider, dave)


async def test_a_phone_that_falls_silent_ends_the_call(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    (call,) = house.switch.calls.values()
    assert call.callee is not None
    call.callee.fell_silent(house.wire.now)
    house >> "BYE" >> alice >> 200 >> house
    house >> "BYE" >> bob >> 200 >> house
    assert (house.record.result, house.record.reason) == (Result.UPSTREAM, "no sound from the callee")
    assert nothing_left(house.wire, alice, bob)


async def test_silence_on_hold_is_no_fault(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    alice.direction, bob.direction = "sendonly", "recvonly"
    alice >> "INVITE" >> house
    house.wire.after(1)
    (call,) = house.switch.calls.values()
    assert call.callee is not None
    call.callee.fell_silent(house.wire.now)
    assert call.state is CallState.TALKING


async def test_no_call_lasts_for_ever(house: House) -> None:
    (alice,) = phones(house, "alice")
    alice.number = "600"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 200 >> alice >> "ACK" >> house
    house.wire.after(600)
    house >> "BYE" >> alice
    assert house.record.reason == "the longest duration was reached"


async def test_a_stopping_house_takes_no_calls_and_ends_those_it_has(house: House) -> None:
    alice, bob, carol = phones(house, "alice", "bob", "carol")
    house.register("1002", bob)
    talk(alice, house, bob)
    house.admission.draining = True
    carol >> "INVITE" >> house >> 503 >> carol >> "ACK" >> house
    house.switch.hangup_all(house.wire.now, "the daemon stops")
    house >> "BYE" >> alice >> 200 >> house
    house >> "BYE" >> bob >> 200 >> house
    assert (house.record.result, house.record.ended_by) == (Result.SERVER, "house")
    assert nothing_left(house.wire, alice, bob, carol)
    assert house.empty()


async def test_the_api_hangs_up(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    (call_id,) = house.switch.calls
    assert not house.switch.hangup("call_other", house.wire.now)
    assert house.switch.hangup(call_id, house.wire.now)
    house >> "BYE" >> alice
    house >> "BYE" >> bob
    record = house.record
    assert (record.result, record.sip_status, record.q850, record.ended_by) == (Result.SUCCESS, 200, 16, "house")


async def test_digits_by_info_reach_the_other_side(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    now = house.wire.now
    heard: list[int] = []
    alice.session.request(
        "INFO",
        now,
        body=b"Signal=5\r\nDuration=160\r\n",
        content_type="application/dtmf-relay",
        on_final=lambda status, response, later: heard.append(status),
    )
    alice >> "INFO" >> house >> "INFO" >> bob
    transaction, request = bob.call.requests[-1]
    assert request.body == b"Signal=5\r\nDuration=160\r\n"
    assert request.content_type == "application/dtmf-relay"
    bob.session.respond(transaction, 200, now)
    house.wire.after(1)
    assert heard == [200]
    (call,) = house.switch.calls
    notes = [entry.text for entry in house.recording(call).entries if isinstance(entry, Note)]
    assert "caller dials a digit, by INFO" in notes  # but not which


async def test_a_transfer_is_declined_and_the_call_goes_on(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    alice >> "REFER" >> house >> 603 >> alice
    assert alice.session.established


@pytest.mark.parametrize("seed", range(6))
async def test_calls_come_about_and_end_in_bad_weather(house: House, seed: int) -> None:
    weather = Weather(loss=0.25, duplicate=0.1, reorder=0.2, hold=0.6, delay=0.05, jitter=0.2)
    house.wire.weather = weather
    house.wire._random.seed(seed)
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice.act("INVITE", house)
    house.wire.after(20)
    if bob.calls and not bob.session.ended:
        bob.act(200, house)
    house.wire.after(40)
    house.wire.weather = Weather()
    alice.session.hangup(house.wire.now)
    assert nothing_left(house.wire, alice, bob)
    house.wire.after(700)
    assert house.empty()
    assert house.stack.idle
    assert len(house.records) == house.said.count(Change.STARTED)


def test_every_event_of_the_table_leads_on() -> None:
    assert not any(state is CallState.ENDED for state, _ in TABLE)
    ends = {event for (state, event), after in TABLE.items() if after is CallState.ENDED}
    assert ends == set(CallEvent) - {CallEvent.PROGRESSED, CallEvent.ANSWERED, CallEvent.CHANGED}
    assert Way.SENDRECV.reversed is Way.SENDRECV
