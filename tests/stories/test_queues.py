"""Real phones at the queue 520: callers wait with music, operators log in with *45, answer, die and are replaced."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from media.library import phrases
from tests.clients.callers import Callers
from tests.clients.house import ADMIN_KEY, House, Json
from tests.clients.lab import Lab, eventually
from tests.clients.phone import Call, Phone, talk
from tests.clients.phones import Make
from tests.stories.call_centre import MUSIC_HZ
from tests.stories.test_house_numbers import hears_said
from tests.stories.test_lifecycle import settled

QUEUE = "support"


@pytest.fixture
def lab(busy_lab: Lab) -> Lab:
    return busy_lab


def ask(house: House, path: str, body: Json | None = None, *, key: str = ADMIN_KEY) -> tuple[int, Json]:
    """The status and the document that the house answers."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(house.http + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def operator(lab: Lab, name: str) -> Json:
    found: Json = lab.house.get(f"/house/v1/operators/{name}")
    return found


def queue(lab: Lab) -> Json:
    found: Json = lab.house.get(f"/house/v1/queues/{QUEUE}")
    return found


def signed_in(lab: Lab, extension: str, make: Make = Make.PJSUA2) -> Phone:
    """A phone whose user has logged in by the API."""
    phone = lab.phone(make, extension)
    status, said = ask(lab.house, f"/house/v1/operators/{extension}", {"event": "login"})
    assert (status, said["status"], said["reachable"]) == (200, "available", True)
    return phone


def converse(lab: Lab, call: Call, incoming: Call) -> None:
    """The operator answers, is told which queue calls, and talks to the caller."""
    incoming.answer()
    eventually(lambda: bool(queue(lab)["talking"] == 1), "the two to be connected", timeout=8)
    talk(call, incoming)


def record_of(lab: Lab, called: str) -> Json:
    """The record of the last call to a number."""
    found: list[Json] = []

    def there() -> bool:
        found[:] = [one for one in lab.records() if one["called"] == called]
        return bool(found)

    eventually(there, f"the record of a call to {called}", timeout=8)
    return found[0]


def test_a_caller_hears_music_until_an_operator_logs_in_by_45_and_answers(lab: Lab) -> None:
    before = queue(lab)["today"]
    caller = lab.phone(Make.BARESIP_PY, "1001")
    call = caller.dial("520").established()
    call.awaits(MUSIC_HZ).hears(MUSIC_HZ, seconds=1.0, dbfs=-18)
    assert [(one["number"], one["place"], one["position"]) for one in queue(lab)["callers"]] == [("1001", "waiting", 1)]
    phone = lab.phone(Make.PJSUA2, "1004")
    code = phone.dial("*45").established()
    hears_said(code, phrases("en")["operator-available"])
    assert operator(lab, "1004")["status"] == "available"
    code.hang_up()
    incoming = phone.incoming(timeout=8)
    call.hears(MUSIC_HZ, seconds=0.5, dbfs=-18)
    assert operator(lab, "1004")["activity"] == "offering"
    incoming.answer()
    hears_said(incoming, "Call from Support.")
    talk(call, incoming)
    assert operator(lab, "1004")["activity"] == "in_call"
    call.hang_up()
    incoming.ended()
    record = record_of(lab, "520")
    assert (record["queue"], record["queue_exit"], record["operator"]) == (QUEUE, "answered", "1004")
    assert record["queue_wait_s"] > 1
    today = queue(lab)["today"]
    assert (today["handled"], today["abandoned"]) == (before["handled"] + 1, before["abandoned"])
    assert 0 < today["service_level_percent"] <= 100
    eventually(lambda: bool(operator(lab, "1004")["activity"] == "waiting"), "the wrap-up to be over")


def test_the_phone_code_leads_through_breaks_to_the_log_out(lab: Lab) -> None:
    phone = lab.phone(Make.PJSUA2, "1004")
    call = phone.dial("*45").established()
    eventually(lambda: bool(operator(lab, "1004")["status"] == "available"), "the log-in")
    call.send_digits("1")
    eventually(lambda: bool(operator(lab, "1004")["status"] == "on_break"), "the break")
    hears_said(call, phrases("en")["operator-on-break"])
    call.hang_up()
    again = phone.dial("*45").established()
    eventually(lambda: bool(operator(lab, "1004")["status"] == "available"), "the end of the break")
    again.send_digits("2")
    eventually(lambda: bool(operator(lab, "1004")["status"] == "offline"), "the log-out")
    again.ended(timeout=12)
    stranger = lab.phone(Make.BARESIP_PY, "1002")
    refused = stranger.dial("*45").established()
    hears_said(refused, phrases("en")["operator-unknown"], most=0.4)
    refused.ended(timeout=8)


def test_a_caller_who_leaves_while_it_rings_stops_the_ringing(lab: Lab) -> None:
    phone = signed_in(lab, "1004")
    call = lab.phone(Make.BARESIP_PY, "1001").dial("520").established()
    incoming = phone.incoming(timeout=8)
    call.hang_up()
    incoming.ended()
    record = record_of(lab, "520")
    assert (record["queue_exit"], record["operator"]) == ("abandon", None)
    assert operator(lab, "1004")["missed_in_a_row"] == 0


def test_an_operator_on_any_call_is_left_alone(lab: Lab) -> None:
    phone = signed_in(lab, "1004")
    other = lab.phone(Make.BARESIP_PY, "1002").dial("1004")
    busy = phone.incoming(timeout=8)
    eventually(lambda: bool(operator(lab, "1004")["on_call"]), "the call to be seen")
    call = lab.phone(Make.BARESIP_DEBIAN, "1001").dial("520").established()
    eventually(lambda: bool(queue(lab)["waiting"] == 1), "the caller to wait")
    call.listen(1.2)  # the queue looks at its operators every second
    assert operator(lab, "1004")["activity"] == "waiting"
    other.hang_up()
    busy.ended()
    incoming = phone.incoming(timeout=8)
    converse(lab, call, incoming)
    incoming.hang_up()
    call.ended()


def test_wallboards_hear_what_happens(lab: Lab) -> None:
    heard: list[Any] = []
    request = urllib.request.Request(lab.house.http + "/house/v1/queue-events", headers={"X-API-Key": ADMIN_KEY})
    with urllib.request.urlopen(request, timeout=10) as stream:
        phone = signed_in(lab, "1004")
        call = lab.phone(Make.BARESIP_PY, "1001").dial("520").established()
        phone.incoming(timeout=8).answer()
        while "connected" not in heard:
            line = stream.readline().decode()
            if line.startswith("event: "):
                heard.append(line.removeprefix("event: ").strip())
        call.hang_up()
    wanted = ["snapshot", "operator", "joined", "offered", "claimed", "connected"]
    assert [one for one in dict.fromkeys(heard) if one in wanted] == wanted
    assert ask(lab.house, "/house/v1/queues", key="nobody-knows-it")[0] == 401


def goes(lab: Lab, name: str, event: str) -> None:
    status, said = ask(lab.house, f"/house/v1/operators/{name}", {"event": event})
    assert status == 200, said


@pytest.mark.unwitnessed  # what the house had seen of the calls died with it
def test_operators_figures_and_records_outlive_a_kill_and_a_stop(new_lab: Callable[..., Lab]) -> None:
    """Each time one has talked and rests, one talks, one has a break, and a caller waits when the house goes."""
    rules = {"queues.support.wrap_up_s": 300, "queues.support.whisper": False, "calls.drain_s": 0}
    lab = new_lab(**rules)
    resting, talking = lab.phone(Make.PJSUA2, "1005"), lab.phone(Make.PJSUA2, "1006")
    goes(lab, "1004", "login")
    goes(lab, "1004", "pause")
    for times, (go, result) in enumerate(((lab.house.kill, "unknown"), (lab.house.stop, "server")), 1):
        with Callers("127.0.0.11", lab.house.sip, 3) as callers:
            held = until_one_waits_one_talks_and_one_has_talked(lab, callers, resting, talking)
            settled(lab)
            go()
            lab.house.start()
            held.hang_up()
            numbers = [one.number for one in callers.all]
        states = {name: (operator(lab, name)["status"], operator(lab, name)["activity"]) for name in NAMES}
        assert states == {
            "1004": ("on_break", "waiting"),
            "1005": ("available", "wrap_up"),
            "1006": ("available", "wrap_up"),
        }
        today = queue(lab)["today"]
        assert (today["entered"], today["handled"], today["abandoned"]) == (3 * times, 2 * times, 0)
        assert (today["exits"]["interrupted"], queue(lab)["waiting"], queue(lab)["talking"]) == (times, 0, 0)
        assert {name: operator(lab, name)["today"]["handled"] for name in NAMES} == {
            "1004": 0,
            "1005": times,
            "1006": times,
        }
        told = {one["caller"]: one for one in reversed(lab.house.records())}
        assert [
            (told[one]["queue"], told[one]["queue_exit"], told[one]["operator"], told[one]["result"]) for one in numbers
        ] == [
            (QUEUE, "answered", "1005", "success"),
            (QUEUE, "answered", "1006", result),
            (QUEUE, "interrupted", None, result),
        ]
        assert told[numbers[2]]["queue_wait_s"] > 0


NAMES = ("1004", "1005", "1006")


def until_one_waits_one_talks_and_one_has_talked(lab: Lab, callers: Callers, first: Phone, second: Phone) -> Call:
    one, other, last = callers.all
    goes(lab, "1006", "logout")
    goes(lab, "1005", "available")
    callers.call(one)
    first.incoming(timeout=8).answer().hang_up()
    eventually(lambda: bool(operator(lab, "1005")["activity"] == "wrap_up"), "the wrap-up")
    goes(lab, "1006", "available")
    callers.call(other)
    held = second.incoming(timeout=8).answer()
    callers.call(last)
    eventually(lambda: (queue(lab)["talking"], queue(lab)["waiting"]) == (1, 1), "one to talk and one to wait")
    return held
