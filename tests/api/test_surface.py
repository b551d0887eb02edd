"""One small contract, served: who may ask, what is checked, the shape of every answer."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from pbxd.api import surface as surface_module
from pbxd.api.access import Access
from pbxd.api.contract import Contract, Identity
from pbxd.api.server import MAX_BODY_BYTES, Server
from pbxd.api.surface import Surface
from pbxd.errors import Conflict, NotFound, Overloaded
from tests.api.client import Client, serving


class Detail(BaseModel):
    detail: str


class CupPath(BaseModel):
    name: str


class CupWish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size_ml: int = Field(ge=1, le=1000)
    password: str = "none"


class CupQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    full: bool = False


class Cup(BaseModel):
    name: str
    size_ml: int
    full: bool = False
    owner: str = ""


Shelf = dict[str, Cup]

CUPS: Contract[Shelf] = Contract(
    name="cups",
    title="Cups",
    description="A shelf of cups",
    prefix="/cups/v1",
    version="1",
    error=lambda status, code, message: Detail(detail=f"{status} {code}: {message}"),
    error_model=Detail,
    security={"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
)


@CUPS.operation("GET", "/cups/{name}", tag="cups", scope="cups:read", errors=(NotFound,))
async def get_cup(shelf: Shelf, path: CupPath, query: CupQuery) -> Cup:
    """Get a cup."""
    if path.name not in shelf:
        raise NotFound("no such cup")
    return shelf[path.name].model_copy(update={"full": query.full})


@CUPS.operation("PUT", "/cups/{name}", tag="cups", scope="cups:write", status=201)
async def put_cup(shelf: Shelf, path: CupPath, body: CupWish, identity: Identity) -> Cup:
    """Put a cup on the shelf."""
    return shelf.setdefault(path.name, Cup(name=path.name, size_ml=body.size_ml, owner=identity.name))


@CUPS.operation("DELETE", "/cups/{name}", tag="cups", scope="cups:write", status=204)
async def remove_cup(shelf: Shelf, path: CupPath) -> None:
    """Take a cup away."""
    if path.name == "glued":
        raise Conflict("it is glued on")
    shelf.pop(path.name)


class Wash(BaseModel):
    degrees: str = "warm"


@CUPS.operation("POST", "/wash", tag="cups", scope="cups:write")
async def wash(shelf: Shelf, body: Wash) -> Detail:
    """Wash all cups."""
    return Detail(detail=body.degrees)


@CUPS.operation("GET", "/spill", tag="cups", scope=None, errors=(Overloaded,))
async def spill(shelf: Shelf) -> Cup:
    """Be too slow, or too busy."""
    if not shelf:
        raise Overloaded("too many cups", retry_after_s=7)
    await asyncio.Event().wait()
    return shelf["never"]


KEYS = {
    "reader-key": Identity("reader", "acc_1", frozenset({"cups:read"})),
    "writer-key": Identity("writer", "acc_1", frozenset({"cups:*"})),
}


@pytest.fixture
def shelf() -> Shelf:
    return {"tea": Cup(name="tea", size_ml=200)}


@pytest.fixture
async def clients(shelf: Shelf, tmp_path: Path) -> AsyncIterator[tuple[Client, Client]]:
    server = Server([Surface(CUPS, shelf, Access(KEYS.get).identify)])
    async with serving(server, tmp_path / "pbxd.sock") as (tcp, unix):
        assert unix is not None
        yield tcp, unix


@pytest.fixture
def tcp(clients: tuple[Client, Client]) -> Client:
    return clients[0]


@pytest.fixture
def unix(clients: tuple[Client, Client]) -> Client:
    return clients[1]


async def test_an_operation_gets_what_it_declares(tcp: Client) -> None:
    answer = await tcp.get("/cups/v1/cups/tea?full=true", key="reader-key")
    assert (answer.status, answer.json) == (200, {"name": "tea", "size_ml": 200, "full": True, "owner": ""})
    put = await tcp.ask("PUT", "/cups/v1/cups/mug", key="writer-key", json={"size_ml": 300})
    assert (put.status, put.json["owner"]) == (201, "writer")
    gone = await tcp.ask("DELETE", "/cups/v1/cups/mug", key="writer-key")
    assert (gone.status, gone.body) == (204, b"")


@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": "reader-key"}, {"Authorization": "Bearer reader-key"}, {"authorization": "bearer reader-key"}],
)
async def test_a_key_comes_in_either_header(tcp: Client, headers: dict[str, str]) -> None:
    assert (await tcp.get("/cups/v1/cups/tea", headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"X-API-Key": "k" * 1000},
        {"Authorization": "Basic reader-key"},
        {"Authorization": "Bearer"},
        {"Cookie": "key=reader-key"},
    ],
)
async def test_without_a_known_key_nothing_is_told(tcp: Client, headers: dict[str, str]) -> None:
    answer = await tcp.get("/cups/v1/cups/tea", headers=headers)
    assert answer.status == 401
    assert answer.json == {"detail": "401 unauthorized: give a known API key in X-API-Key or Authorization: Bearer"}
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="pbxd"'


async def test_a_key_does_what_its_scopes_allow(tcp: Client) -> None:
    answer = await tcp.ask("DELETE", "/cups/v1/cups/tea", key="reader-key")
    assert (answer.status, answer.json) == (403, {"detail": "403 forbidden: this key lacks the scope cups:write"})
    assert (await tcp.get("/cups/v1/cups/tea", key="writer-key")).status == 200


async def test_the_local_user_needs_no_key(unix: Client) -> None:
    answer = await unix.ask("PUT", "/cups/v1/cups/mug", json={"size_ml": 1})
    assert (answer.status, answer.json["owner"]) == (201, "local")


async def test_another_user_of_the_machine_is_refused(unix: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pbxd.api.access.peer_uid", lambda _request: 65_534)
    answer = await unix.get("/cups/v1/cups/tea")
    assert answer.status == 403
    assert "for root and for the user the daemon runs as" in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"[]", "Input should be an object"),
        (b"{}", "size_ml: Field required"),
        (b'{"size_ml": 0}', "size_ml: Input should be greater than or equal to 1"),
        (b'{"size_ml": 1, "colour": "red"}', "colour: Extra inputs are not permitted"),
        (b'{"size_ml": "many", "password": 5}', "password: Input should be a valid string"),
    ],
)
async def test_a_bad_body_is_explained(tcp: Client, body: bytes, problem: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await tcp.ask("PUT", "/cups/v1/cups/mug", key="writer-key", data=body, headers=headers)
    assert answer.status == 400
    assert answer.json["detail"].startswith("400 bad_request: ")
    assert problem in answer.json["detail"]


async def test_where_nothing_must_be_said_there_may_be_no_body(tcp: Client) -> None:
    answer = await tcp.ask("POST", "/cups/v1/wash", key="writer-key")
    assert (answer.status, answer.json["detail"]) == (200, "warm")
    answer = await tcp.ask("POST", "/cups/v1/wash", key="writer-key", json={"degrees": "hot"})
    assert answer.json["detail"] == "hot"
    answer = await tcp.ask("PUT", "/cups/v1/cups/mug", key="writer-key")
    assert (answer.status, answer.json["detail"][:35]) == (400, "400 bad_request: the body must be J")
    described = (await tcp.get("/openapi/cups.json")).json["paths"]
    assert described["/cups/v1/wash"]["post"]["requestBody"]["required"] is False
    assert described["/cups/v1/cups/{name}"]["put"]["requestBody"]["required"] is True


async def test_an_explanation_repeats_no_value(tcp: Client) -> None:
    wish = {"size_ml": "hunter2", "password": ["hunter2"]}
    answer = await tcp.ask("PUT", "/cups/v1/cups/mug", key="writer-key", json=wish)
    assert answer.status == 400
    assert b"hunter2" not in answer.body


async def test_many_mistakes_are_not_all_told(tcp: Client) -> None:
    wish = {f"extra{i}": i for i in range(30)} | {"size_ml": 1}
    answer = await tcp.ask("PUT", "/cups/v1/cups/mug", key="writer-key", json=wish)
    assert answer.json["detail"].endswith("; and 20 more")


@pytest.mark.parametrize(
    ("query", "problem"),
    [("full=maybe", "full: Input should be a valid boolean"), ("a=1", "a: Extra"), ("full=1&full=0", "given twice")],
)
async def test_a_bad_query_is_explained(tcp: Client, query: str, problem: str) -> None:
    answer = await tcp.get(f"/cups/v1/cups/tea?{query}", key="reader-key")
    assert answer.status == 400
    assert problem in answer.json["detail"]


async def test_only_json_is_taken(tcp: Client) -> None:
    answer = await tcp.ask("PUT", "/cups/v1/cups/mug", key="writer-key", data={"size_ml": "1"})
    assert answer.status == 400
    assert "Content-Type application/json" in answer.json["detail"]


async def test_a_large_body_is_refused(tcp: Client) -> None:
    headers = {"Content-Type": "application/json"}
    body = io.BytesIO(b" " * (MAX_BODY_BYTES + 1))
    answer = await tcp.ask("PUT", "/cups/v1/cups/mug", key="writer-key", data=body, headers=headers)
    assert (answer.status, answer.json["detail"][:14]) == (413, "413 too_large:")
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/cups/v1/nothing", 404, "404 not_found: no such path"),
        ("GET", "/cups/v1", 404, "404 not_found: no such path"),
        ("GET", "/elsewhere", 404, "404 not_found: no such path"),
        ("POST", "/cups/v1/cups/tea", 405, "405 method_not_allowed: this path takes DELETE, GET, HEAD, PUT"),
        ("GET", "/cups/v1/cups/milk", 404, "404 not_found: no such cup"),
        ("DELETE", "/cups/v1/cups/glued", 409, "409 conflict: it is glued on"),
        ("DELETE", "/cups/v1/cups/milk", 500, "500 internal_error: an internal error; the log says more"),
    ],
)
async def test_every_error_has_the_contract_s_shape(
    tcp: Client, method: str, path: str, status: int, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await tcp.ask(method, path, key="writer-key")
    assert (answer.status, answer.json) == (status, {"detail": detail})
    assert ("KeyError: 'milk'" in caplog.text) is (status == 500)
    if status == 405:
        assert answer.headers["Allow"] == "DELETE, GET, HEAD, PUT"


async def test_busy_says_when_to_come_back(tcp: Client, shelf: Shelf) -> None:
    shelf.clear()
    answer = await tcp.get("/cups/v1/spill")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")


async def test_an_operation_that_hangs_is_ended(tcp: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface_module, "OPERATION_TIMEOUT_S", 0.0)
    answer = await tcp.get("/cups/v1/spill")
    assert (answer.status, answer.json) == (503, {"detail": "503 timeout: this took too long"})


async def test_a_body_that_never_comes_is_not_waited_for(tcp: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface_module, "BODY_TIMEOUT_S", 0.0)
    reader, writer = await asyncio.open_connection(*tcp.base.removeprefix("http://").split(":"))
    writer.write(
        b"PUT /cups/v1/cups/mug HTTP/1.1\r\nHost: x\r\nX-API-Key: writer-key\r\n"
        b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    )
    answer = await reader.read()  # to the end: the server closes
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    writer.close()
    await writer.wait_closed()


async def test_answers_are_not_kept_nor_framed_nor_signed(tcp: Client) -> None:
    for path in ("/cups/v1/cups/tea", "/elsewhere"):
        headers = (await tcp.get(path)).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Server"] == "pbxd"
        assert "Set-Cookie" not in headers


async def test_the_socket_is_private_and_goes_with_the_server(tmp_path: Path, shelf: Shelf) -> None:
    path = tmp_path / "pbxd.sock"
    abandoned = socket.socket(socket.AF_UNIX)
    abandoned.bind(str(path))
    abandoned.close()
    server = Server([Surface(CUPS, shelf, Access(KEYS.get).identify)])
    async with serving(server, path):
        assert path.stat().st_mode & 0o777 == 0o600
        other = Server([Surface(CUPS, shelf, Access(KEYS.get).identify)])
        with pytest.raises(Conflict, match="another pbxd is running on"):
            await other.start([], path)
        await other.stop()
        assert path.exists()
    assert not path.exists()
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(Conflict, match="is not a socket"):
        await server.start([], path)
    await server.stop()


async def test_requests_are_counted_by_outcome(tmp_path: Path, shelf: Shelf) -> None:
    server = Server([Surface(CUPS, shelf, Access(KEYS.get).identify)])
    async with serving(server) as (client, _):
        await client.get("/cups/v1/cups/tea", key="reader-key")
        await client.get("/cups/v1/cups/tea")
        await client.get("/nowhere")
    assert server.requests == {"2xx": 1, "4xx": 2}
