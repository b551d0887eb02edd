"""Recordings, rooms and live sound over the house's own API: what is passed on, what comes back, every refusal."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.house import HOUSE, House
from pbxd.api.server import Server
from pbxd.api.surface import Surface
from pbxd.config.recordings import RecordingFormat
from pbxd.errors import Conflict, HouseError, NotFound, Unavailable
from pbxd.services.recordings import Channels, Recorded, RecordingFilter, RecordingState, RecordingWish
from tests.api.client import Client, serving
from tests.api.tenancy import only_account, only_call

KEYS = {
    "admin": Identity("admin", "acc_1", frozenset({"*"})),
    "reader": Identity("reader", "acc_1", frozenset({"recordings:read", "conferences:read", "calls:read"})),
}
SOUND = bytes(range(256)) * 40
ROW = Recorded(
    id="rec_1",
    account_id="acc_1",
    node="node",
    call_id="call_1",
    room="",
    channels=Channels.STEREO,
    format=RecordingFormat.WAV,
    path="2026/09/21/call.wav",
    state=RecordingState.DONE,
    reason="the call ended",
    started_at=1_790_000_000.0,
    ended_at=1_790_000_012.5,
    seconds=12.5,
    octets=len(SOUND),
    sha256=hashlib.sha256(SOUND).hexdigest(),
)


@dataclass
class Table:
    """Recordings that are just there; `trouble` is raised by whatever comes next."""

    file_path: Path
    rows: list[Recorded]
    trouble: HouseError | None = None
    asked: list[object] = field(default_factory=list)

    def _asked(self, *what: object) -> None:
        self.asked.append(what)
        if self.trouble is not None:
            raise self.trouble

    def begin(self, call_id: str, wish: RecordingWish) -> Recorded:
        self._asked("begin", call_id, wish)
        return replace(ROW, state=RecordingState.RECORDING, reason="", ended_at=None, sha256=None)

    def pause(self, call_id: str) -> Recorded:
        self._asked("pause", call_id)
        return replace(ROW, state=RecordingState.PAUSED)

    def resume(self, call_id: str) -> Recorded:
        self._asked("resume", call_id)
        return replace(ROW, state=RecordingState.RECORDING)

    def end(self, call_id: str) -> Recorded:
        self._asked("end", call_id)
        return ROW

    async def page(self, wanted: RecordingFilter) -> list[Recorded]:
        self._asked("page", wanted)
        return self.rows[: wanted.limit]

    async def find(self, recording_id: str) -> Recorded:
        self._asked("find", recording_id)
        return ROW

    async def file(self, recording_id: str) -> tuple[Recorded, Path]:
        self._asked("file", recording_id)
        return ROW, self.file_path

    async def delete(self, recording_id: str) -> None:
        self._asked("delete", recording_id)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    (tmp_path / "141320.000-call_1.wav").write_bytes(SOUND)
    return Table(tmp_path / "141320.000-call_1.wav", [replace(ROW, id="rec_2", call_id="", room="700"), ROW])


@pytest.fixture
async def client(table: Table) -> AsyncIterator[Client]:
    fields: dict[str, Any] = dict.fromkeys(House.__dataclass_fields__)
    house = House(**fields | {"recordings": table, "calls": only_call(), "directory": only_account()})
    async with serving(Server([Surface(HOUSE, house, Access(KEYS.get).identify)])) as (client, _):
        yield client


async def test_a_call_is_recorded_as_the_wish_says(client: Client, table: Table) -> None:
    wish = {"channels": "caller", "format": "opus", "announce": "none"}
    answer = await client.ask("POST", "/house/v1/calls/call_1/recording", key="admin", json=wish)
    assert answer.status == 201
    assert (answer.json["id"], answer.json["state"], answer.json["sha256"]) == ("rec_1", "recording", None)
    await client.ask("POST", "/house/v1/calls/call_1/recording", key="admin", json={})
    (_, _, said), (_, _, nothing) = cast(list[tuple[Any, Any, RecordingWish]], table.asked)
    assert (said.channels, said.format, said.announce) == (Channels.CALLER, RecordingFormat.OPUS, "none")
    assert nothing == RecordingWish()


@pytest.mark.parametrize(("verb", "state"), [("pause", "paused"), ("resume", "recording"), ("stop", "done")])
async def test_a_recording_is_paused_resumed_and_stopped(client: Client, table: Table, verb: str, state: str) -> None:
    answer = await client.ask("POST", f"/house/v1/calls/call_1/recording/{verb}", key="admin")
    assert (answer.status, answer.json["state"]) == (200, state)
    assert table.asked == [("end" if verb == "stop" else verb, "call_1")]


async def test_the_list_is_filtered_and_paged(client: Client, table: Table) -> None:
    query = "?limit=1&cursor=rec_9&call=call_1&room=700&state=cut&since=2026-09-21T14:13:20Z&until=2026-09-22T00:00:00"
    query += "&account=lab"
    answer = await client.get(f"/house/v1/recordings{query}", key="reader")
    assert answer.json["next"] == "rec_2"
    (one,) = answer.json["recordings"]
    assert (one["call_id"], one["room"]) == (None, "700")
    assert table.asked == [
        (
            "page",
            RecordingFilter(1, "rec_9", "call_1", "700", RecordingState.CUT, 1_790_000_000.0, 1_790_035_200.0, "acc_1"),
        )
    ]
    everything = await client.get("/house/v1/recordings", key="reader")
    assert everything.json["next"] is None
    assert (await client.get("/house/v1/recordings/rec_1", key="reader")).json[
        "ended_at"
    ] == "2026-09-21T14:13:32.500000Z"


async def test_sound_comes_whole_in_parts_and_only_when_it_is_news(client: Client) -> None:
    way = "/house/v1/recordings/rec_1/audio"
    whole = await client.get(way, key="reader")
    assert (whole.status, whole.body) == (200, SOUND)
    assert whole.headers["Content-Type"] == "audio/wav"
    assert whole.headers["Content-Disposition"] == 'attachment; filename="141320.000-call_1.wav"'
    digest = base64.b64encode(hashlib.sha256(SOUND).digest()).decode()
    assert whole.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    part = await client.get(way, key="reader", headers={"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, SOUND[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(SOUND)}"
    known = await client.get(way, key="reader", headers={"If-None-Match": whole.headers["ETag"]})
    assert (known.status, known.body) == (304, b"")
    beyond = await client.get(way, key="reader", headers={"Range": "bytes=99999999-"})
    assert beyond.status == 416


async def test_a_recording_is_deleted(client: Client, table: Table) -> None:
    answer = await client.ask("DELETE", "/house/v1/recordings/rec_1", key="admin")
    assert (answer.status, answer.body) == (204, b"")
    assert table.asked == [("find", "rec_1"), ("delete", "rec_1")]


ORDERS = [
    ("POST", "/house/v1/calls/call_1/recording"),
    ("POST", "/house/v1/calls/call_1/recording/pause"),
    ("POST", "/house/v1/calls/call_1/recording/resume"),
    ("POST", "/house/v1/calls/call_1/recording/stop"),
    ("DELETE", "/house/v1/recordings/rec_1"),
]
LOOKS = ["/house/v1/recordings", "/house/v1/recordings/rec_1", "/house/v1/recordings/rec_1/audio"]


@pytest.mark.parametrize(("method", "path"), [*ORDERS, *(("GET", path) for path in LOOKS)])
async def test_every_operation_passes_refusals_on(client: Client, table: Table, method: str, path: str) -> None:
    options: dict[str, Any] = {"json": {}} if path.endswith("/recording") else {}
    for trouble, status in ((NotFound("gone"), 404), (Conflict("busy"), 409), (Unavailable("full"), 503)):
        table.trouble = trouble
        answer = await client.ask(method, path, key="admin", **options)
        assert (answer.status, answer.json["error"]["message"]) == (status, trouble.message)
    assert (await client.ask(method, path, **options)).status == 401
    if method != "GET":
        assert (await client.ask(method, path, key="reader", **options)).status == 403


@pytest.mark.parametrize(
    "wish", [{"channels": "left"}, {"format": "mp3"}, {"path": "/etc/passwd"}, {"announce": True}, []]
)
async def test_a_wish_that_makes_no_sense_is_refused(client: Client, table: Table, wish: object) -> None:
    answer = await client.ask("POST", "/house/v1/calls/call_1/recording", key="admin", json=wish)
    assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request")
    assert not table.asked


async def test_a_file_that_has_gone_meanwhile_is_not_found(client: Client, table: Table) -> None:
    table.file_path.unlink()
    assert (await client.get("/house/v1/recordings/rec_1/audio", key="reader")).status == 404


async def test_the_document_says_that_sound_is_octets(client: Client) -> None:
    document = (await client.get("/openapi/house.json")).json
    sound = document["paths"]["/house/v1/recordings/{id}/audio"]["get"]
    assert sound["responses"]["200"]["content"] == {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
    }
    assert sound["x-scope"] == "recordings:read"
