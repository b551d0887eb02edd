"""The house's own API over a real server: what it tells, what it does, and in which shape it says no."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.health import Health, health_routes
from pbxd.api.house import HOUSE, Door, House, RegisteredContact, Tracing, TrunkRow
from pbxd.api.server import Server
from pbxd.api.surface import Surface
from pbxd.calls.record import CallChanged, CallRecord, Change, Direction, LegQuality, LegRecord, Result, Role
from pbxd.config import Config, settings
from pbxd.directory.administration import Administration
from pbxd.directory.model import Account, PhoneEntry
from pbxd.directory.tenants import Tenants
from pbxd.directory.watch import FraudWatch
from pbxd.errors import Conflict
from pbxd.events import Bus
from pbxd.flows import Flows
from pbxd.metrics import Metrics
from pbxd.outbox import Outbox, Request, Rules
from pbxd.services.cdr import CallRecords
from pbxd.services.conferences import Conferences
from pbxd.services.live import LiveSound
from pbxd.services.queues import Queues
from pbxd.services.recordings import Recordings
from pbxd.services.traces import Keeping, Network, Traces
from pbxd.services.voicemail import Voicemail
from pbxd.store import Store
from pbxd.trace import Recorder, Topic, TraceLimits
from pbxd.trace.tape import Packet
from tests.api.client import Answer, Client, serving
from tests.api.tenancy import only_account
from tests.outbox.keeping import MemoryKeeper, ScriptedSender

RTP = bytes.fromhex("80000001000000a0cafecafe") + b"\x11" * 160
WALL = 1_790_000_100.0
NOW = 50.0
START = "2026-09-21T14:13:20Z"  # 1_790_000_000
KEYS = {
    "admin-key": Identity("admin", "acc_1", frozenset({"*"})),
    "reader-key": Identity("reader", "acc_1", frozenset({"calls:read"})),
}


INVITE = (
    b"INVITE sip:600@127.0.0.1 SIP/2.0\r\nCall-ID: abc@phone\r\n"
    b'Authorization: Digest username="1001", response="0123456789abcdef0123456789abcdef"\r\n'
    b"CSeq: 1 INVITE\r\n\r\n"
)
DROPS = {"wire": {"late": 3, "elsewhere": 0}, "stack": {"stray_response": 2}}


class CallsOnATable:
    """Live calls that are just there."""

    def __init__(self) -> None:
        leg = LegRecord("leg_1", Role.CALLER, "1001", "abc@phone", "udp:127.0.0.1:5062", 1_790_000_000.0)
        leg.codec = "PCMU"
        up = CallRecord("call_1", "acc_1", Direction.INTERNAL, "1001", "Ann", "600", 1_790_000_000.0)
        up.ringing_at, up.answered_at, up.legs = 1_790_000_001.0, 1_790_000_002.5, [leg]
        ringing = CallRecord("call_2", "acc_1", Direction.INBOUND, "+43123", "", "1002", 1_790_000_090.0)
        ringing.ringing_at = 1_790_000_091.0
        self.up = {"call_1": up, "call_2": ringing}
        self.hung_up: list[str] = []

    def calls(self) -> list[CallRecord]:
        return list(self.up.values())

    def get(self, call_id: str) -> CallRecord | None:
        return self.up.get(call_id)

    def hangup(self, call_id: str) -> bool:
        record = self.up.pop(call_id)
        record.ended_at, record.result, record.ended_by = WALL, Result.SUCCESS, "house"
        self.hung_up.append(call_id)
        return True


class TwoPhones:
    """1001 of the first start, 1002 declared; 1001 is registered twice."""

    def __init__(self) -> None:
        phone = RegisteredContact(
            "1001", "sip:1001@10.0.0.7", "udp:10.0.0.7:5060", False, 1.0, "Ph", WALL - 60, WALL + 60
        )
        nat = RegisteredContact(
            "1001", "sip:1001@192.168.1.2", "tcp:192.0.2.9:4411", True, 0.5, "", WALL - 5, WALL + 55
        )
        self.registered = [phone, nat]

    def phones(self, account: Account) -> Sequence[PhoneEntry]:
        return [PhoneEntry("1001", "1001", "Ann", "1001", False), PhoneEntry("1002", "1002", "Bo", "1002", True)]

    async def rotate_password(self, account: Account, extension: str) -> str:
        if extension == "1002":
            raise Conflict("the phone 1002 is declared in the configuration file")
        return f"new-for-{extension}"

    def contacts(self, account_id: str) -> list[RegisteredContact]:
        return self.registered

    def remove(self, account_id: str, user: str) -> int:
        before = len(self.registered)
        self.registered = [contact for contact in self.registered if contact.user != user]
        return before - len(self.registered)


TRUNKS = [
    TrunkRow("carrier", "sip:sip.example.org", (), None, True, "registered", WALL - 50, WALL + 3000, "for 3600 s"),
    TrunkRow("bench", None, ("127.0.0.1/32",), "bench", False, "off"),
]


@pytest.fixture
async def records(store_url: str) -> AsyncIterator[CallRecords]:
    """Three ended calls, one a second, the middle one not answered."""
    store = await Store.open(store_url)
    records, bus = CallRecords(store, "node"), Bus()
    records.listen(bus)
    for number, result in enumerate((Result.SUCCESS, Result.UPSTREAM, Result.SUCCESS)):
        at = 1_790_000_000.0 + number
        record = CallRecord(f"call_r{number}", "acc_1", Direction.INTERNAL, "1001", "", "1002", at)
        bus.publish(CallChanged(Change.STARTED, record))
        record.answered_at = at + 1 if result is Result.SUCCESS else None
        record.ended_at, record.result = at + 11, result
        record.legs = [LegRecord(f"leg_r{number}", Role.CALLEE, "1002", "x", "udp:127.0.0.1:1", at)]
        record.legs[0].quality = LegQuality(500, 500, 0, 0.0, 1.5, None, None, 4.4)
        bus.publish(CallChanged(Change.ENDED, record))
    await store.drain()
    yield records
    await store.close()


@pytest.fixture
def calls() -> CallsOnATable:
    return CallsOnATable()


@pytest.fixture
async def outbox() -> Outbox:
    """Three requests that wait, of an outbox that was not started."""
    outbox = Outbox(MemoryKeeper(), ScriptedSender(), None, Rules(), wall=lambda: WALL)
    for number in range(3):
        hook = Request(f"https://host{number}.example/secret-path", headers={"Authorization": "Bearer secret"})
        await outbox.put_request("acc_1", hook, key=f"hook-{number}", summary=f"hook {number}")
    return outbox


@pytest.fixture
def recorder() -> Recorder:
    """One call in memory: an INVITE and a decision."""
    recorder = Recorder(lambda now: WALL - 100 + now)
    recorder.sip(False, INVITE, "UDP", ("127.0.0.1", 5060), ("127.0.0.1", 5062), 100.0)
    recorder.began("call_1", "abc@phone", "acc_1", 100.0)
    recorder.note("call_1", Topic.DECISION, "600 is an echo", 100.25)
    return recorder


@pytest.fixture
async def traces(store_url: str, recorder: Recorder) -> AsyncIterator[Traces]:
    store = await Store.open(store_url)
    network = Network(lambda _: "127.0.0.1", lambda _: (), lambda: WALL)
    yield Traces(recorder, store, network, Keeping(), "acc_1")
    await store.close()


@pytest.fixture
async def client(
    records: CallRecords, calls: CallsOnATable, outbox: Outbox, recorder: Recorder, traces: Traces
) -> AsyncIterator[Client]:
    phones = TwoPhones()
    house = House(
        calls=calls,
        records=records,
        registrations=phones,
        phones=phones,
        trunks=lambda _account: TRUNKS,
        settings=lambda: settings(Config()),
        wall=lambda: WALL,
        outbox=outbox,
        reset_admin=_new_admin_key,
        now=lambda: NOW,
        door=cast(Door, None),  # has tests of its own
        fraud=cast(FraudWatch, None),  # likewise
        flows=cast(Flows, None),  # so have they
        tracing=Tracing(traces, recorder, lambda: DROPS, WALL, lambda: 100.0),
        recordings=cast(Recordings, None),  # tests/api/test_sound.py has these
        live=cast(LiveSound, None),
        conferences=cast(Conferences, None),
        flush=lambda: None,
        voicemail=cast(Voicemail, None),  # so has this
        queues=cast(Queues, None),  # and these: tests/stories/test_queues.py
        directory=only_account(),
        administration=cast(Administration, None),  # tests/api/test_directory.py has these
        tenants=cast(Tenants, None),
    )
    async with serving(Server([Surface(HOUSE, house, Access(KEYS.get).identify)])) as (client, _):
        yield client


async def _new_admin_key() -> tuple[str, str]:
    return "admin", "pbxd_new"


async def test_only_who_may_do_everything_makes_the_admin_key_anew(client: Client) -> None:
    answer = await client.ask("POST", "/house/v1/keys/admin/reset", key="admin-key")
    assert (answer.status, answer.json) == (200, {"name": "admin", "secret": "pbxd_new"})
    assert _refusal(await client.ask("POST", "/house/v1/keys/admin/reset", key="reader-key")) == (403, "forbidden")


def _refusal(answer: Answer) -> tuple[int, str]:
    """Status and code; anything but the contract's shape is an error."""
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"code", "message"}
    return answer.status, answer.json["error"]["code"]


async def _get(client: Client, path: str) -> Any:
    answer = await client.get(f"/house/v1{path}", key="admin-key")
    assert answer.status == 200, answer.body
    return answer.json


async def test_live_calls_are_told_as_they_are_now(client: Client) -> None:
    first, second = (await _get(client, "/calls"))["calls"]
    assert (first["id"], first["state"], first["duration_s"]) == ("call_1", "answered", 97.5)
    assert first["started_at"] == START
    assert first["legs"][0]["codec"] == "PCMU"
    assert first["legs"][0]["quality"] is None
    assert (second["state"], second["duration_s"], second["direction"]) == ("ringing", 0.0, "inbound")
    assert await _get(client, "/calls/call_1") == first


async def test_a_call_is_hung_up_once(client: Client, calls: CallsOnATable) -> None:
    answer = await client.ask("POST", "/house/v1/calls/call_1/hangup", key="admin-key")
    assert answer.status == 200
    assert (answer.json["state"], answer.json["result"], answer.json["ended_by"]) == ("ended", "success", "house")
    assert calls.hung_up == ["call_1"]
    again = await client.ask("POST", "/house/v1/calls/call_1/hangup", key="admin-key")
    assert _refusal(again) == (404, "not_found")


async def test_records_come_in_pages(client: Client) -> None:
    first = await _get(client, "/records?limit=2")
    assert [record["id"] for record in first["records"]] == ["call_r2", "call_r1"]
    assert first["next"] == "call_r1"
    second = await _get(client, f"/records?limit=2&cursor={first['next']}")
    assert [record["id"] for record in second["records"]] == ["call_r0"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("result=upstream", ["call_r1"]),
        ("since=2026-09-21T14:13:21Z", ["call_r2", "call_r1"]),
        ("since=2026-09-21T16:13:22%2B02:00", ["call_r2"]),
        ("since=2026-09-21T14:13:22", ["call_r2"]),
        ("result=success&since=2026-09-21T14:13:23Z", []),
    ],
)
async def test_records_are_found_by_result_and_time(client: Client, query: str, found: list[str]) -> None:
    page = await _get(client, f"/records?{query}")
    assert [record["id"] for record in page["records"]] == found


async def test_a_record_is_told_with_its_legs(client: Client) -> None:
    record = await _get(client, "/records/call_r0")
    assert (record["state"], record["duration_s"], record["result"]) == ("ended", 10.0, "success")
    assert record["legs"][0]["quality"]["mos"] == 4.4


async def test_registrations_are_listed_and_removed(client: Client) -> None:
    first, second = (await _get(client, "/registrations"))["registrations"]
    assert (first["aor"], first["source"], first["user_agent"]) == ("1001", "udp:10.0.0.7:5060", "Ph")
    assert first["expires_at"] == "2026-09-21T14:16:00Z"
    assert (second["behind_nat"], second["q"], second["user_agent"]) == (True, 0.5, None)
    removed = await client.ask("DELETE", "/house/v1/registrations/1001", key="admin-key")
    assert (removed.status, removed.json) == (200, {"removed": 2})
    again = await client.ask("DELETE", "/house/v1/registrations/1001", key="admin-key")
    assert _refusal(again) == (404, "not_found")


async def test_phones_say_whether_they_are_there(client: Client) -> None:
    first, second = (await _get(client, "/phones"))["phones"]
    assert (first["extension"], first["registered"], first["declared"]) == ("1001", 2, False)
    assert (second["extension"], second["registered"], second["declared"]) == ("1002", 0, True)


async def test_a_password_is_rotated_and_shown_once(client: Client) -> None:
    answer = await client.ask("POST", "/house/v1/phones/1001/password", key="admin-key")
    assert answer.json == {"extension": "1001", "auth_username": "1001", "password": "new-for-1001"}
    declared = await client.ask("POST", "/house/v1/phones/1002/password", key="admin-key")
    assert _refusal(declared) == (409, "conflict")
    unknown = await client.ask("POST", "/house/v1/phones/1003/password", key="admin-key")
    assert _refusal(unknown) == (404, "not_found")


async def test_trunks_show_their_state(client: Client) -> None:
    carrier, bench = (await _get(client, "/trunks"))["trunks"]
    assert (carrier["state"], carrier["since"], carrier["reason"]) == (
        "registered",
        "2026-09-21T14:14:10Z",
        "for 3600 s",
    )
    assert (bench["state"], bench["registers"], bench["sources"]) == ("off", False, ["127.0.0.1/32"])
    assert bench["since"] is bench["expires_at"] is None


async def test_settings_say_where_they_come_from_and_keep_secrets(client: Client) -> None:
    rows = {row["key"]: row for row in (await _get(client, "/settings"))["settings"]}
    assert rows["calls.max"]["value"] == 1000
    assert (rows["calls.max"]["source"], rows["calls.max"]["restart"]) == ("default", False)
    assert rows["sip.udp"]["restart"] is True
    assert rows["sip.udp"]["description"] == "UDP listeners"


async def test_the_outbox_is_listed_in_pages_and_by_state_without_secrets(client: Client) -> None:
    first = await _get(client, "/outbox?limit=2")
    assert len(first["deliveries"]) == 2
    second = await _get(client, f"/outbox?limit=2&cursor={first['next']}")
    deliveries = {row["summary"]: row for row in [*first["deliveries"], *second["deliveries"]]}
    assert sorted(deliveries) == ["hook 0", "hook 1", "hook 2"]
    one = deliveries["hook 1"]
    assert (one["state"], one["kind"], one["attempts"], one["key"]) == ("waiting", "http", 0, "hook-1")
    assert (one["destination"], one["due_at"], one["ended_at"]) == (
        "https://host1.example:443",
        "2026-09-21T14:15:00Z",
        None,
    )
    assert await _get(client, f"/outbox/{one['id']}") == one
    assert "secret" not in json.dumps([first, second])
    assert (await _get(client, "/outbox?state=dead"))["deliveries"] == []


async def test_a_delivery_is_hurried_and_cancelled(client: Client) -> None:
    item_id = (await _get(client, "/outbox?limit=1"))["deliveries"][0]["id"]
    hurried = await client.ask("POST", f"/house/v1/outbox/{item_id}/retry", key="admin-key")
    assert (hurried.status, hurried.json["state"]) == (200, "waiting")
    cancelled = await client.ask("POST", f"/house/v1/outbox/{item_id}/cancel", key="admin-key")
    assert (cancelled.status, cancelled.json["state"], cancelled.json["due_at"]) == (200, "cancelled", None)
    for what in ("cancel", "retry"):
        again = await client.ask("POST", f"/house/v1/outbox/{item_id}/{what}", key="admin-key")
        assert _refusal(again) == (409, "conflict")
    unknown = await client.ask("POST", "/house/v1/outbox/out_none/cancel", key="admin-key")
    assert _refusal(unknown) == (404, "not_found")


async def test_a_mail_test_says_why_it_cannot_be(client: Client) -> None:
    answer = await client.ask("POST", "/house/v1/mail/test", key="admin-key", json={"to": "ann@example.org"})
    assert _refusal(answer) == (503, "unavailable")
    assert answer.json["error"]["message"] == "no mail server is configured (mail.server)"
    answer = await client.ask("POST", "/house/v1/mail/test", key="reader-key", json={"to": "ann@example.org"})
    assert _refusal(answer) == (403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path", "key", "expected"),
    [
        ("GET", "/house/v1/calls", None, (401, "unauthorized")),
        ("GET", "/house/v1/calls", "wrong", (401, "unauthorized")),
        ("GET", "/house/v1/records", "reader-key", (403, "forbidden")),
        ("POST", "/house/v1/calls/call_1/hangup", "reader-key", (403, "forbidden")),
        ("GET", "/house/v1/calls/none", "reader-key", (404, "not_found")),
        ("GET", "/house/v1/records/none", "admin-key", (404, "not_found")),
        ("GET", "/house/v1/none", None, (404, "not_found")),
        ("GET", "/none", None, (404, "not_found")),
        ("PUT", "/house/v1/calls", "admin-key", (405, "method_not_allowed")),
        ("GET", "/house/v1/calls/%20", "admin-key", (400, "bad_request")),
        ("GET", "/house/v1/records?limit=0", "admin-key", (400, "bad_request")),
        ("GET", "/house/v1/records?limit=501", "admin-key", (400, "bad_request")),
        ("GET", "/house/v1/records?result=lucky", "admin-key", (400, "bad_request")),
        ("GET", "/house/v1/records?since=yesterday", "admin-key", (400, "bad_request")),
        ("GET", "/house/v1/outbox", "reader-key", (403, "forbidden")),
        ("GET", "/house/v1/outbox/out_none", "admin-key", (404, "not_found")),
        ("GET", "/house/v1/outbox?state=lost", "admin-key", (400, "bad_request")),
        ("GET", "/house/v1/records?sort=asc", "admin-key", (400, "bad_request")),
    ],
)
async def test_every_no_has_one_shape(
    client: Client, method: str, path: str, key: str | None, expected: tuple[int, str]
) -> None:
    assert _refusal(await client.ask(method, path, key=key)) == expected


async def test_the_document_lies_where_it_is_promised(client: Client) -> None:
    answer = await client.get("/openapi/house.json")
    assert answer.status == 200
    assert answer.json["openapi"] == "3.1.0"
    assert "/house/v1/calls/{id}/hangup" in answer.json["paths"]


async def test_health_says_what_is_wrong_and_metrics_need_no_key() -> None:
    troubles: dict[str, str | None] = {"store": None}
    serving_sip = [True]
    health = Health("1.2.3", 0.0, lambda: serving_sip[0], {"store": lambda: troubles["store"]})
    metrics = Metrics()
    metrics.gauge("calls", "Calls up", lambda: 5)
    surface: Surface[Any] = Surface(HOUSE, None, Access(KEYS.get).identify)
    async with serving(Server([surface], health_routes(health, metrics))) as (client, _):
        live = await client.get("/health")
        assert (live.status, live.json["status"], live.json["version"]) == (200, "ok", "1.2.3")
        ready = await client.get("/health/ready")
        assert (ready.status, ready.json) == (200, {"status": "ready", "checks": {"sip": "ok", "store": "ok"}})
        troubles["store"] = "writes are 9 s behind"
        ready = await client.get("/health/ready")
        assert ready.status == 503
        assert ready.json == {"status": "not_ready", "checks": {"sip": "ok", "store": "writes are 9 s behind"}}
        assert (await client.get("/health")).status == 200
        serving_sip[0] = False
        live = await client.get("/health")
        assert (live.status, live.json["status"]) == (503, "unavailable")
        scraped = await client.get("/metrics")
        assert scraped.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert b"pbxd_calls 5.0" in scraped.body


async def test_a_trace_is_told_by_call_and_by_dialog_with_secrets_masked(client: Client) -> None:
    answer = await client.get("/house/v1/calls/call_1/trace", key="admin-key")
    assert (await client.get("/house/v1/calls/abc%40phone/trace", key="admin-key")).json == answer.json
    trace = answer.json
    assert (trace["id"], trace["names"], trace["ended_at"], trace["next"]) == (
        "call_1",
        ["call_1", "abc@phone"],
        None,
        2,
    )
    invite, decision = trace["entries"]
    assert (invite["kind"], invite["text"], invite["remote"]) == ("sip", "INVITE 600", "UDP:127.0.0.1:5062")
    assert "0123456789abcdef" not in answer.body.decode()
    assert f'response="{"*" * 32}"' in invite["message"]
    assert (decision["kind"], decision["text"], decision["message"]) == ("decision", "600 is an echo", None)
    later = await client.get("/house/v1/calls/call_1/trace?after=1", key="admin-key")
    assert [entry["number"] for entry in later.json["entries"]] == [1]


async def test_whoever_follows_a_trace_is_told_at_once(traces: Traces, recorder: Recorder) -> None:
    question = asyncio.create_task(traces.news("call_1", 2, 60.0))
    await asyncio.sleep(0)
    assert not question.done()
    recorder.note("abc@phone", Topic.MEDIA, "caller latched", 100.5)
    async with asyncio.timeout(10):
        await question
        await traces.news("call_1", 2, 60.0)  # there is one already
    recorder.ended("call_1", 101.0)
    async with asyncio.timeout(10):
        await traces.news("call_1", 9, 60.0)  # there will be none


async def test_nothing_new_is_an_answer_too(client: Client) -> None:
    answer = await client.get("/house/v1/calls/call_1/trace?after=2&wait_s=0.01", key="admin-key")
    assert (answer.json["entries"], answer.json["next"]) == ([], 2)


async def test_a_capture_is_a_file(client: Client) -> None:
    answer = await client.get("/house/v1/calls/call_1/pcap", key="admin-key")
    assert answer.headers["Content-Type"] == "application/vnd.tcpdump.pcap"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="call_1.pcap"'
    assert answer.body[:4] == bytes.fromhex("4d3cb2a1")


async def test_a_picture_is_a_file(client: Client) -> None:
    answer = await client.get("/house/v1/calls/call_1/picture", key="admin-key")
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="call_1.svg"'
    assert answer.body.startswith(b"<svg ")
    assert "1001 → 600".encode() in answer.body
    assert _refusal(await client.get("/house/v1/calls/nothing/picture", key="admin-key")) == (404, "not_found")


async def test_who_may_only_read_calls_sees_no_trace(client: Client) -> None:
    for path in ("/calls/call_1/trace", "/calls/call_1/pcap", "/calls/call_1/picture", "/drops", "/debug"):
        assert (await client.get("/house/v1" + path, key="reader-key")).status == 403
    assert _refusal(await client.get("/house/v1/calls/nothing/trace", key="admin-key")) == (404, "not_found")


async def test_drops_are_listed_with_their_total(client: Client) -> None:
    answer = (await client.get("/house/v1/drops", key="admin-key")).json
    assert answer["total"] == 5
    assert {"layer": "wire", "reason": "elsewhere", "count": 0} in answer["drops"]


async def test_debug_is_switched_on_and_off(client: Client, recorder: Recorder) -> None:
    body = {"target": "192.0.2.7", "seconds": 60}
    on = await client.ask("POST", "/house/v1/debug", key="admin-key", json=body)
    silent = {"audio": False, "packets": 0, "missed": 0}
    assert on.json["switches"] == [
        {"target": "192.0.2.7", "kind": "address", "seconds_left": 60.0, "messages": 0, **silent}
    ]
    assert list(recorder.switches) == ["192.0.2.7"]
    off = await client.ask("DELETE", "/house/v1/debug/192.0.2.7", key="admin-key")
    assert off.json == {"switches": []}
    assert _refusal(await client.ask("DELETE", "/house/v1/debug/192.0.2.7", key="admin-key")) == (404, "not_found")
    bad = await client.ask("POST", "/house/v1/debug", key="admin-key", json={"target": "two words"})
    assert _refusal(bad)[0] == 400


async def test_sound_is_captured_only_where_it_may_be(client: Client, recorder: Recorder) -> None:
    wish = {"target": "call_1", "seconds": 60, "audio": True}
    answer = await client.ask("POST", "/house/v1/debug", key="admin-key", json=wish)
    assert _refusal(answer)[0] == 403
    assert "trace.audio" in answer.json["error"]["message"]
    assert recorder.switches == {}
    recorder.limits = TraceLimits(sound=1000)
    answer = await client.ask("POST", "/house/v1/debug", key="admin-key", json=wish)
    assert [row["audio"] for row in answer.json["switches"]] == [True]
    for number in range(4):
        packet = Packet(100.0 + number / 50, number % 2 == 1, ("127.0.0.1", 4000), ("127.0.0.1", 4002), RTP)
        recorder.heard("abc@phone", packet)
        recorder.heard("another@phone", packet)
    answer = await client.ask("GET", "/house/v1/debug", key="admin-key")
    assert [(row["packets"], row["missed"]) for row in answer.json["switches"]] == [(3, 1)]
    capture = await client.ask("GET", "/house/v1/debug/call_1/pcap", key="admin-key")
    assert (capture.status, capture.body.count(RTP)) == (200, 3)
    assert _refusal(await client.ask("GET", "/house/v1/debug/1001/pcap", key="admin-key")) == (404, "not_found")
