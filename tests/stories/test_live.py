"""Calls in hand: played to, muted, held and listened to, as real phones hear it."""

from __future__ import annotations

import pytest

from tests.clients.ears import level_dbfs, level_of_tone
from tests.clients.house import Json
from tests.clients.lab import Lab, connect, converse
from tests.clients.phone import Call
from tests.clients.phones import Make
from tests.clients.sound import RATE
from tests.clients.until import until
from tests.stories.test_house_numbers import hears_said

AUDIBLE_DBFS = -35
SILENT_DBFS = -60
MOST_ON_A_BUSY_MACHINE = 0.35  # a late tick costs 20 ms of sound, and with it a chunk of the comparison


def level(call: Call, hz: float) -> float:
    """How loud the tone is in the newest half second of what it hears."""
    return level_of_tone(call.recorded()[-RATE // 2 :], hz)


def hears_tone(call: Call, hz: float) -> None:
    until(lambda: level(call, hz) > AUDIBLE_DBFS, f"{hz:g} Hz to be heard at {call}", timeout=10, every=0.2)


def hears_no_tone(call: Call, hz: float) -> None:
    until(lambda: level(call, hz) < SILENT_DBFS, f"{hz:g} Hz to be gone at {call}", timeout=10, every=0.2)


def way(lab: Lab) -> str:
    return f"/house/v1/calls/{lab.house.calls()[0]['id']}"


def test_what_the_api_plays_is_heard_by_both_or_by_one(lab: Lab) -> None:
    phones = [lab.phone(Make.BARESIP_PY, f"100{number}", tone_dbfs=-80) for number in (1, 2)]
    outgoing, incoming = connect(phones[0], phones[1])
    text = "Your call is the next one in the line."
    lab.house.tell("POST", f"{way(lab)}/play", {"text": text})
    for call in (outgoing, incoming):
        hears_said(call, text, most=MOST_ON_A_BUSY_MACHINE)
    secret = "Please ask for the number of the contract."
    until(lambda: not lab.house.get(f"{way(lab)}/sound")["playing"], "all to be played", timeout=8)
    outgoing.listen(0.3)
    start = outgoing.recorded().size
    lab.house.tell("POST", f"{way(lab)}/play", {"text": secret, "to": "callee"})
    hears_said(incoming, secret, most=MOST_ON_A_BUSY_MACHINE)
    assert level_dbfs(outgoing.recorded()[start:]) < SILENT_DBFS
    assert lab.house.refuses("POST", f"{way(lab)}/play", {"prompt": "no-such-prompt"}) == 404
    until(lambda: not lab.house.get(f"{way(lab)}/sound")["playing"], "all to be played")
    outgoing.hang_up()
    incoming.ended()


def test_what_loops_is_stopped(lab: Lab) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1001")
    call = phone.dial("601").established()
    played = lab.house.tell("POST", f"{way(lab)}/play", {"prompt": "welcome", "loop": True})
    assert lab.house.get(f"{way(lab)}/sound")["playing"] == [played["id"]]
    assert lab.house.refuses("POST", f"{way(lab)}/play/stop", {"play": "play_x"}) == 404
    assert lab.house.tell("POST", f"{way(lab)}/play/stop", {"play": played["id"]}) == {"stopped": 1}
    until(lambda: lab.house.get(f"{way(lab)}/sound")["playing"] == [], "it to be stopped")
    assert lab.house.refuses("POST", f"{way(lab)}/mute", {"side": "caller", "muted": True}) == 409
    call.hang_up()


def test_a_side_is_muted_and_held(lab: Lab) -> None:
    caller, callee = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.PJSUA2, "1002")
    outgoing, incoming = converse(caller, callee)
    own, other = caller.line.tone_hz, callee.line.tone_hz
    seen = lab.house.tell("POST", f"{way(lab)}/mute", {"side": "caller", "muted": True})
    assert seen["muted"] == ["caller"]
    hears_no_tone(incoming, own)
    hears_tone(outgoing, other)
    lab.house.tell("POST", f"{way(lab)}/mute", {"side": "caller", "muted": False})
    hears_tone(incoming, own)
    assert lab.house.tell("POST", f"{way(lab)}/hold", {"side": "callee", "held": True})["held"] == ["callee"]
    hears_no_tone(incoming, own)
    hears_no_tone(outgoing, other)
    lab.house.tell("POST", f"{way(lab)}/hold", {"side": "callee", "held": False})
    hears_tone(incoming, own)
    hears_tone(outgoing, other)
    outgoing.hang_up()
    incoming.ended()


def listens(lab: Lab, call_way: str, mode: str) -> tuple[Json, Call]:
    """1003 listens in."""
    phone = lab.phone(Make.BARESIP_PY, "1003")
    seen = lab.house.tell("POST", f"{call_way}/listen", {"extension": "1003", "mode": mode, "side": "callee"})
    ear = phone.incoming(timeout=8)
    ear.answer()
    (listener,) = seen["listeners"]
    return listener, ear


def test_a_whisper_is_heard_by_the_agent_only_and_a_barge_by_both(lab: Lab) -> None:
    customer, agent = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.PJSUA2, "1002")
    outgoing, incoming = converse(customer, agent)
    here = way(lab)
    listener, ear = listens(lab, here, "whisper")
    customers, agents, whispered = customer.line.tone_hz, agent.line.tone_hz, ear.phone.line.tone_hz
    for hz in (customers, agents):
        hears_tone(ear, hz)
    hears_tone(incoming, whispered)
    outgoing.listen(0.6)
    assert level(outgoing, whispered) < SILENT_DBFS
    hears_tone(outgoing, agents)
    spy = f"{here}/listeners/{listener['call_id']}"
    seen = lab.house.tell("PATCH", spy, {"mode": "barge"})
    assert (seen["listeners"][0]["mode"], seen["listeners"][0]["answered"]) == ("barge", True)
    hears_tone(outgoing, whispered)
    lab.house.tell("PATCH", spy, {"mode": "monitor"})
    for call in (outgoing, incoming):
        hears_no_tone(call, whispered)
    hears_tone(ear, customers)
    outgoing.hang_up()
    incoming.ended()
    ear.ended()
    records = [lab.record() for _ in range(2)]
    monitoring = next(one for one in records if one["called"] == "1003")
    assert monitoring["reason"] == "the call that was listened to has ended"
    assert (monitoring["caller"], monitoring["caller_name"]) == ("", "whisper 1001")


def test_a_supervisor_dials_in_and_presses_how_to_be_heard(lab: Lab) -> None:
    customer, agent, boss = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.PJSUA2, "1002"), Make.BARESIP_PY
    outgoing, incoming = converse(customer, agent)
    refused = lab.phone(boss, "1003").dial("*551002").ended()
    assert refused.code == 403
    assert lab.record()["reason"] == "1003 may not listen in"
    ear = lab.phone(boss, "1010").dial("*551002").established()
    own = ear.phone.line.tone_hz
    for hz in (customer.line.tone_hz, agent.line.tone_hz):
        hears_tone(ear, hz)
    ear.send_digits("4")
    hears_tone(incoming, own)
    assert level(outgoing, own) < SILENT_DBFS
    ear.send_digits("5")
    hears_tone(outgoing, own)
    ear.send_digits("6")
    for call in (outgoing, incoming):
        hears_no_tone(call, own)
    outgoing.hang_up()
    incoming.ended()
    ear.ended()


def test_who_listens_may_leave_and_the_call_goes_on(lab: Lab) -> None:
    outgoing, incoming = converse(lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.BARESIP_PY, "1002"))
    here = way(lab)
    listener, ear = listens(lab, here, "monitor")
    hears_tone(ear, incoming.phone.line.tone_hz)
    lab.house.tell("DELETE", f"{here}/listeners/{listener['call_id']}")
    ear.ended()
    assert lab.house.get(f"{here}/sound")["listeners"] == []
    hears_tone(outgoing, incoming.phone.line.tone_hz)
    hears_tone(incoming, outgoing.phone.line.tone_hz)
    outgoing.hang_up()
    incoming.ended()


@pytest.mark.parametrize(("extension", "status"), [("1004", 503), ("600", 404), ("1001", 409)])
def test_who_cannot_listen_is_said_so(lab: Lab, extension: str, status: int) -> None:
    outgoing, incoming = converse(lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.BARESIP_PY, "1002"))
    assert lab.house.refuses("POST", f"{way(lab)}/listen", {"extension": extension}) == status
    assert lab.house.get(f"{way(lab)}/sound")["listeners"] == []
    outgoing.hang_up()
    incoming.ended()
