"""Operators at the edge contract: tokens, controls, the roster, confirmed and claimed calls, with real phones."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.clients.house import ADMIN_KEY, House
from tests.clients.lab import Lab, eventually
from tests.clients.phone import Call, talk
from tests.clients.phones import Make
from tests.stories.call_centre import CALLS_KEY, EDGE_KEY, OTHER_KEY

Answer = tuple[int, Any]


@pytest.fixture
def lab(busy_lab: Lab) -> Lab:
    return busy_lab


def ask(house: House, path: str, form: dict[str, str] | None = None, *, key: str | None = EDGE_KEY) -> Answer:
    """GET, or POST with a form: the status and the document that the house answers."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(house.http + path, data, {"x-admin-token": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def agent(lab: Lab, user: str, event: str, **more: str) -> Answer:
    return ask(lab.house, "/agent", {"accountId": "lab", "userId": user, "event": event, **more})


def caller(lab: Lab, extension: str = "1001") -> tuple[Call, str]:
    """Somebody who waits at 520, and the id of the call in the house."""
    call = lab.phone(Make.BARESIP_PY, extension).dial("520").established()
    waiting: list[str] = []

    def waits() -> bool:
        waiting[:] = [one["call_id"] for one in lab.house.get("/house/v1/queues/support")["callers"]]
        return bool(waiting)

    eventually(waits, "the caller to wait")
    return call, waiting[-1]


def test_who_may_and_who_may_not(lab: Lab) -> None:
    house = lab.house
    paths = ["/agent?accountId=lab&userId=1004", "/presence/users?accountId=lab", "/agent/claim/lab/1004/call_x"]
    for path in [*paths, "/agent/confirm/lab/lease_x/1"]:
        assert ask(house, path, key=None)[0] == 401, path
        assert ask(house, path, key="nobody-knows-it")[0] == 403, path
        assert ask(house, path, key=CALLS_KEY)[0] == 403, path
        assert ask(house, path.replace("lab", "nowhere"))[0] == 404, path
        status, said = ask(house, path, key=OTHER_KEY)
        assert (status, said["error"]["message"]) == (404, "there is no such account"), path
    assert ask(house, paths[0])[0] == ask(house, paths[0], key=ADMIN_KEY)[0] == 200
    login = {"accountId": "lab", "userId": "1004", "event": "login"}
    for path, form in (("/agent", login), ("/presence/event", login | {"type": "agent"})):
        assert ask(house, path, form, key=None)[0] == 401, path
        assert ask(house, path, form, key="nobody-knows-it")[0] == 403, path
        assert ask(house, path, form, key=CALLS_KEY)[0] == 403, path
        assert ask(house, path, form, key=OTHER_KEY)[0] == 404, path
        assert ask(house, path, form | {"accountId": "nowhere"})[0] == 404, path
    assert ask(house, paths[0])[1]["status"] == "offline", "none of them was obeyed"
    assert agent(lab, "9999", "login")[0] == 404
    assert agent(lab, "1004", "sleep")[0] == 400
    assert agent(lab, "1004", "login", queues='[{"queueId": "sales"}]')[0] == 404
    assert agent(lab, "1004", "login", queues="no list")[0] == 400
    assert agent(lab, "1004", "pause")[0] == 409, "who is offline has no break"


def test_an_operator_is_what_they_say(lab: Lab) -> None:
    status, said = ask(lab.house, "/agent?accountId=lab&userId=1004")
    assert (status, said["status"], said["state"], said["reachable"]) == (200, "offline", "waiting", False)
    assert said["queues"] == [{"queueId": "support", "level": 0}]
    lab.phone(Make.PJSUA2, "1004")
    status, said = agent(lab, "1004", "login")
    assert (status, said["ok"], said["status"], said["reachable"]) == (200, True, "available", True)
    assert agent(lab, said["user_id"], "pause")[1]["status"] == "on_break", "by id"
    assert agent(lab, "1004", "unpause")[1]["status"] == "available"
    status, said = agent(lab, "1005", "login", queues='[{"queueId": "520", "level": 2}]')
    assert said["queues"] == [{"queueId": "support", "level": 2}], "a queue by its number"
    status, roster = ask(lab.house, "/presence/users?accountId=lab")
    assert status == 200
    users = {one["user"]: one for one in roster["users"]}
    assert {"1001", "1004", "1005", "1006"} <= set(users)
    assert (users["1004"]["status"], users["1004"]["reachable"], users["1004"]["is_agent"]) == ("available", True, True)
    assert (users["1001"]["is_agent"], users["1001"]["in_call"]) == (False, False)
    counts = roster["counts"]
    assert (counts["available"], counts["offline"], counts["on_break"], counts["total"]) == (2, 1, 0, 3)
    assert (counts["ready"], counts["waiting"]) == (1, 2)
    event = {"type": "agent", "accountId": "lab", "userId": "1004", "event": "logout"}
    status, said = ask(lab.house, "/presence/event", event)
    assert (status, said["changed"]) == (200, True)
    assert ask(lab.house, "/presence/event", event)[1]["changed"] is False
    assert ask(lab.house, "/presence/event", event | {"event": "sleep"})[0] == 400


def test_a_stale_epoch_is_refused_and_the_right_one_gets_the_call(lab: Lab) -> None:
    phone = lab.phone(Make.PJSUA2, "1004")
    agent(lab, "1004", "login")
    call, call_id = caller(lab)
    first = phone.incoming(timeout=8)
    lease = ask(lab.house, "/agent?accountId=lab&userId=1004")[1]["lease"]
    assert lease["call_id"] == call_id
    confirm = f"/agent/confirm/lab/{lease['id']}"
    assert ask(lab.house, f"{confirm}/{lease['epoch'] - 1}")[0] == 409
    assert ask(lab.house, f"{confirm}/{lease['epoch'] + 1}")[0] == 409
    assert ask(lab.house, "/agent/confirm/lab/lease_unknown/1")[0] == 404
    assert ask(lab.house, f"{confirm}/soon")[0] == 400
    first.ended(timeout=8)  # its ring time is over
    assert ask(lab.house, f"{confirm}/{lease['epoch']}")[0] == 409, "the answer comes too late"
    agent(lab, "1004", "available")  # or it were asked again after a rest
    second = phone.incoming(timeout=12)
    status, said = ask(lab.house, f"{confirm}/{lease['epoch'] + 1}")
    assert (status, said["ok"], said["call_id"]) == (200, True, call_id)
    assert ask(lab.house, f"{confirm}/{lease['epoch'] + 1}")[0] == 409, "once"
    second.answer()
    eventually(lambda: bool(lab.house.get("/house/v1/queues/support")["talking"] == 1), "the two to be connected")
    talk(call, second)
    call.hang_up()
    second.ended()


def test_exactly_one_of_a_hundred_simultaneous_claims_wins(lab: Lab) -> None:
    phones = {name: lab.phone(Make.PJSUA2, name) for name in ("1004", "1005")}
    call, call_id = caller(lab)
    for name in ("1004", "1005", "1006"):
        agent(lab, name, "login")
    names = [("1004", "1005", "1006")[number % 3] for number in range(100)]
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda name: ask(lab.house, f"/agent/claim/lab/{name}/{call_id}"), names))
    assert sorted(status for status, _ in answers) == [200] + [409] * 99
    (winner,) = [said["user"] for status, said in answers if status == 200]
    assert ask(lab.house, f"/agent/claim/lab/{winner}/call_unknown")[0] == 404
    assert ask(lab.house, f"/agent/claim/lab/9999/{call_id}")[0] == 404
    if winner in phones:
        incoming = phones[winner].incoming(timeout=8)
        incoming.answer()
        eventually(lambda: bool(lab.house.get("/house/v1/queues/support")["talking"] == 1), "the two to be connected")
        talk(call, incoming)
    call.hang_up()
