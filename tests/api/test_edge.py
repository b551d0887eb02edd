"""The edge contract: who may ask, in which shapes, and whether a phone is who it says it is."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from pbxd.api.edge.authentication import DigestWish
from pbxd.api.form import MAX_FIELDS
from tests.api.node_house import ADMIN, CALLER, READER, THEIRS, EdgeHouse, digest, edge_house

ROUTE = {"callId": "call-1", **CALLER}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[EdgeHouse]:
    async with edge_house(tmp_path) as house:
        yield house


async def status(house: EdgeHouse, **headers: str) -> int:
    return (await house.client.ask("POST", "/route", json=ROUTE, headers=headers)).status


# ---- who may ask


async def test_a_key_with_the_scope_may_ask_and_nobody_else(house: EdgeHouse) -> None:
    assert await status(house) == 401
    assert await status(house, **{"x-admin-token": ""}) == 401
    assert await status(house, Authorization="Basic abc") == 401
    assert await status(house, **{"x-admin-token": "wrong"}) == 403
    assert await status(house, **{"x-admin-token": "w" * 1000}) == 403
    assert await status(house, **{"X-API-Key": READER}) == 403
    for key in (ADMIN, THEIRS):
        assert await status(house, **{"x-admin-token": key}) == 200
    assert await status(house, **{"X-API-Key": ADMIN}) == 200
    assert await status(house, Authorization=f"Bearer {ADMIN}") == 200


async def test_every_operation_is_closed(house: EdgeHouse) -> None:
    for method, path in (
        ("POST", "/auth"),
        ("GET", "/auth/challenge"),
        ("POST", "/flow"),
        ("POST", "/presence/event"),
        ("GET", "/presence/registrations"),
        ("GET", "/calls/x/trace"),
        ("GET", "/v1/calls"),
        ("POST", "/hooks/carrier"),
    ):
        assert (await house.client.ask(method, path)).status == 401, path


async def test_an_address_counts_where_it_is_listed_and_came_directly(house: EdgeHouse) -> None:
    access, origins = house.app.edge_access, house.app.server.origins
    access.sources = [ip_network("127.0.0.0/8")]
    assert await status(house) == 200
    assert await status(house, **{"x-admin-token": "wrong"}) == 403  # a wrong key is not made good by an address
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        assert await status(house, **{header: "192.0.2.1"}) == 401  # some proxy, which we do not know
    assert await status(house, Origin="http://evil.example") == 401  # a page that a browser here was led to
    assert await status(house, **{"Sec-Fetch-Site": "cross-site"}) == 401
    origins.proxies = [ip_network("127.0.0.1/32")]
    assert await status(house) == 401  # whoever the proxy brings
    assert await status(house, **{"X-Forwarded-For": "192.0.2.1"}) == 401
    access.sources = [ip_network("192.0.2.0/24")]
    assert await status(house, **{"X-Forwarded-For": "192.0.2.1"}) == 200
    assert await status(house, **{"X-Forwarded-For": "192.0.2.1, 198.51.100.1"}) == 401  # said by a stranger


async def test_unknown_paths_are_answered_in_this_shape(house: EdgeHouse) -> None:
    for path in ("/auth/nothing", "/presence", "/agent/x/y", "/cac/nothing", "/debug/x", "/security/x", "/admin/tts/x"):
        answer = await house.ask("GET", path)
        assert (answer.status, answer.json["error"]["code"]) == (404, "not_found"), path
    answer = await house.ask("GET", "/route")
    assert (answer.status, answer.json["error"]["code"]) == (405, "method_not_allowed")
    assert (await house.ask("GET", "/authors")).json["error"]["code"] == "not_found"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_what_is_not_served_yet_says_where_to_go(house: EdgeHouse, method: str) -> None:
    for path in ("/v1/", "/v1/calls", "/v1/a/b/c", "/hooks/carrier"):
        answer = await house.ask(method, path)
        assert (answer.status, answer.json["error"]["code"]) == (501, "not_implemented"), path
    assert "/house/v1" in (await house.ask(method, "/v1/calls")).json["error"]["message"]


# ---- bodies


async def test_bodies_are_forms_or_json(house: EdgeHouse) -> None:
    form = await house.ask("POST", "/route", data=ROUTE)
    assert form.json == (await house.post("/route", ROUTE))
    begun = await house.ask("POST", "/flow", data={"callId": "f", "accountId": "lab", "flowId": "reception"})
    assert begun.json["command"] == "gather"
    step = await house.ask("POST", "/flow", data={"callId": "f", "outcome": "digit:2", "data": '{"a": 1}', "seq": ""})
    assert step.json["command"] == "record"


@pytest.mark.parametrize(
    "body",
    [
        b"callId=a&callId=b&to=1",
        b"callId=%ff&to=1",
        b"callId",
        "callId=ü&to=1".encode(),
        b"&".join(b"f%d=1" % number for number in range(MAX_FIELDS + 1)),
        b"",
        b"callId=a",
    ],
)
async def test_a_broken_form_is_refused(house: EdgeHouse, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await house.ask("POST", "/route", data=body, headers=headers)
    assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"{", "application/json"), (b"[]", "application/json"), (b"\xff", "application/json"), (b"{}", "text/plain")],
)
async def test_a_broken_body_is_refused(house: EdgeHouse, body: bytes, kind: str) -> None:
    answer = await house.ask("POST", "/route", data=body, headers={"Content-Type": kind})
    assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request")


async def test_a_body_that_is_too_large_is_refused(house: EdgeHouse) -> None:
    body = io.BytesIO(b"callId=" + b"a" * (2 << 20))
    answer = await house.ask("POST", "/route", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status, answer.json["error"]["code"]) == (413, "too_large")


# ---- digests


async def refused(house: EdgeHouse, body: object, key: str = ADMIN) -> Any:
    answer = await house.ask("POST", "/auth", body, key=key)
    assert answer.status == 403, answer.body
    assert answer.json["ok"] is False
    return answer.json


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("nc", ["00000001", None])
@pytest.mark.parametrize("username", ["1001", "1001@lab.example"])
async def test_a_right_answer_gives_account_user_and_device(
    house: EdgeHouse, algorithm: str, nc: str | None, username: str
) -> None:
    proven = await house.post("/auth", digest(username, algorithm=algorithm, nc=nc))
    assert (proven["ok"], proven["account_id"], proven["account"]) == (True, house.account("lab"), "lab")
    directory = house.app.directory
    user = directory.user(directory.default_account, "1001")
    device = directory.device(directory.default_account, "1001")
    assert user is not None
    assert device is not None
    assert (proven["user_id"], proven["device_id"]) == (user.id, device.id)


async def test_a_wrong_password_and_an_unknown_user_are_told_alike(house: EdgeHouse) -> None:
    for wrong in (digest(password="guess"), digest("9999"), digest(realm="nowhere.example"), digest("1001@x.example")):
        said = await refused(house, wrong)
        assert (said["reason"], said["stale"]) == ("wrong_credentials", False)
    assert (await refused(house, digest(realm="nowhere.example")))["challenge"] is None


async def test_an_answer_is_good_once(house: EdgeHouse) -> None:
    await house.post("/auth", digest())
    again = await refused(house, digest())
    assert (again["reason"], again["stale"]) == ("replayed", True)
    await house.post("/auth", digest(nc="00000003"))
    await house.post("/auth", digest(nc="00000002"))  # UDP brings them in any order
    assert (await refused(house, digest(nc="00000002")))["reason"] == "replayed"
    await house.post("/auth", digest(nonce="another", nc=None))
    assert (await refused(house, digest(nonce="another", nc=None)))["reason"] == "replayed"


async def test_a_wrong_answer_uses_nothing_up(house: EdgeHouse) -> None:
    await refused(house, digest(password="guess"))
    await house.post("/auth", digest())


async def test_nonces_of_the_house(house: EdgeHouse) -> None:
    asked = (await house.ask("GET", "/auth/challenge?accountId=lab")).json
    assert (asked["realm"], asked["algorithms"], asked["qop"]) == ("lab.example", ["MD5", "SHA-256"], "auth")
    by_domain = (await house.ask("GET", "/auth/challenge?domain=LAB.example")).json
    assert by_domain["realm"] == "lab.example"
    house.app.edge.digests.foreign = False
    await house.post("/auth", digest(nonce=asked["nonce"]))
    assert (await refused(house, digest(nonce=asked["nonce"])))["reason"] == "replayed"
    said = await refused(house, digest(nonce="made-up"))
    assert (said["reason"], said["stale"]) == ("unknown_nonce", True)
    await house.post("/auth", digest(nonce=said["challenge"]["nonce"]))


@pytest.mark.parametrize("ours", [True, False])
async def test_a_nonce_grows_old(house: EdgeHouse, ours: bool) -> None:
    digests, directory = house.app.edge.digests, house.app.directory
    accounts = directory.accounts()
    nonce = digests.challenge(directory.default_account, 1000.0).nonce if ours else "foreign"

    def judged(nc: str, now: float) -> object:
        wish = DigestWish.model_validate(digest(nonce=nonce, nc=nc))
        verdict = digests.judge(accounts, wish.method, wish.credentials(), now)
        return getattr(verdict, "value", "proven")

    assert judged("00000001", 1000.0) == "proven"
    assert judged("00000002", 1299.0) == "proven"
    assert judged("00000003", 1301.0) == "stale_nonce"
    assert judged("00000002", 1302.0) == "stale_nonce"


@pytest.mark.parametrize(
    "change",
    [{"response": ""}, {"nc": "xyz"}, {"qop": "auth", "nc": None}, {"username": "a\0b"}, {"realm": "r" * 257}],
)
async def test_what_is_no_digest_is_refused(house: EdgeHouse, change: dict[str, object]) -> None:
    answer = await house.ask("POST", "/auth", digest() | change)
    assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request")


async def test_what_cannot_be_checked_is_refused(house: EdgeHouse) -> None:
    for change in ({"algorithm": "SHA-512-256"}, {"qop": "auth-int"}, {"algorithm": "MD5-sess"}):
        assert (await refused(house, digest() | change))["reason"] == "unsupported_algorithm"


async def test_quotes_that_a_parser_left_are_taken_off(house: EdgeHouse) -> None:
    quoted = {key: f'"{value}"' if key not in ("method", "nc", "qop") else value for key, value in digest().items()}
    assert (await house.post("/auth", quoted))["ok"] is True


async def test_an_account_knows_nothing_of_another(house: EdgeHouse) -> None:
    assert (await refused(house, digest(), THEIRS))["reason"] == "wrong_credentials"
    theirs = digest(password="other-1001", realm="other.example")
    proven = await house.post("/auth", theirs, key=THEIRS)
    assert proven["account_id"] == house.account("other")
    assert (await house.ask("GET", "/auth/challenge?accountId=lab", key=THEIRS)).status == 404
    assert (await house.ask("GET", "/auth/challenge?domain=lab.example", key=THEIRS)).status == 404
    assert (await house.ask("GET", "/auth/challenge?accountId=nowhere", key=ADMIN)).status == 404
    assert (await house.ask("GET", "/auth/challenge", key=ADMIN)).status == 400
