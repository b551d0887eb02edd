"""Calls in hand and conferences over the house's own API: what is passed on, what comes back, every refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from media.script import Line, Prompt, Speech
from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.house import HOUSE, House
from pbxd.api.server import Server
from pbxd.api.surface import Surface
from pbxd.calls.record import Role
from pbxd.errors import Conflict, HouseError, NotFound, Overloaded, Unavailable
from pbxd.services.conferences import ConferenceView, MemberView
from pbxd.services.live import ListenerView, ListenMode, LiveView
from tests.api.client import Client, serving
from tests.api.tenancy import only_account, only_call

KEYS = {
    "admin": Identity("admin", "acc_1", frozenset({"*"})),
    "reader": Identity("reader", "acc_1", frozenset({"calls:read", "calls:write", "conferences:read"})),
}
SEEN = LiveView(
    "call_1",
    muted=(Role.CALLER,),
    playing=("play_1",),
    listeners=(ListenerView("call_9", "1003", ListenMode.WHISPER, Role.CALLEE, True),),
)
MEMBER = MemberView("call_1", "1001", "Ann", True, False, False, -3.04, True, 1_790_000_000.0)


@dataclass
class Desk:
    """Live sound that is just there; `trouble` is raised by whatever comes next."""

    trouble: HouseError | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    def note(self, *what: object) -> None:
        self.asked.append(what)
        if self.trouble is not None:
            raise self.trouble

    def view(self, call_id: str) -> LiveView:
        self.note("view", call_id)
        return SEEN

    async def play(
        self, call_id: str, lines: Sequence[Line], to: Role | None, *, loop: bool = False, gain_db: float = 0.0
    ) -> str:
        self.note("play", call_id, lines, to, loop, gain_db)
        return "play_1"

    def stop(self, call_id: str, play_id: str | None = None) -> int:
        self.note("stop", call_id, play_id)
        return 2

    def mute(self, call_id: str, role: Role, muted: bool) -> LiveView:
        self.note("mute", call_id, role, muted)
        return SEEN

    def hold(self, call_id: str, role: Role, held: bool) -> LiveView:
        self.note("hold", call_id, role, held)
        return SEEN

    def listen_in(self, call_id: str, extension: str, mode: ListenMode, side: Role) -> LiveView:
        self.note("listen", call_id, extension, mode, side)
        return SEEN

    def change_listener(self, call_id: str, listener_id: str, mode: ListenMode, side: Role) -> LiveView:
        self.note("change", call_id, listener_id, mode, side)
        return SEEN

    def end_listener(self, call_id: str, listener_id: str) -> None:
        self.note("end", call_id, listener_id)


class Room:
    """Conference 700 of an account, with one member."""

    account_id, name = "acc_1", "700"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        for verb in ("record", "lock", "mute_all", "play", "end", "mute", "deafen", "turn", "kick"):
            setattr(self, verb, lambda *what, verb=verb: desk.note(verb, *what))

    def __len__(self) -> int:
        return 1

    def view(self) -> ConferenceView:
        return ConferenceView(self.name, self.account_id, True, "rec_1", 1_790_000_000.0, (MEMBER,), 3)


class Rooms:
    """That one, and one of another account."""

    def __init__(self, desk: Desk) -> None:
        self.room, self.other = Room(desk), Room(desk)
        self.other.account_id = "acc_2"

    def __iter__(self) -> Iterator[Room]:
        return iter((self.room, self.other))

    def get(self, account_id: str, name: str) -> Room | None:
        return self.room if (account_id, name) == ("acc_1", "700") else None

    def attendee(self, account_id: str, name: str, call_id: str) -> tuple[Room, str] | None:
        return (self.room, "member") if self.get(account_id, name) and call_id == "call_1" else None


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[Client]:
    fields: dict[str, Any] = dict.fromkeys(House.__dataclass_fields__)
    fields |= {"live": desk, "conferences": Rooms(desk), "calls": only_call(), "directory": only_account()}
    house = House(**fields | {"flush": lambda: desk.asked.append(("flush",))})
    async with serving(Server([Surface(HOUSE, house, Access(KEYS.get).identify)])) as (client, _):
        yield client


CALL, ROOM = "/house/v1/calls/call_1", "/house/v1/conferences/700"
LISTENER = f"{CALL}/listeners/call_9"
ORDERS: list[tuple[str, str, Any, list[tuple[object, ...]]]] = [
    ("GET", f"{CALL}/sound", None, [("view", "call_1")]),
    ("POST", f"{CALL}/play", {"text": "Hello"}, [("play", "call_1", [Speech("Hello")], None, False, 0.0)]),
    (
        "POST",
        f"{CALL}/play",
        {"prompt": "queue/welcome", "to": "callee", "loop": True, "gain_db": -6},
        [("play", "call_1", [Prompt("queue/welcome")], Role.CALLEE, True, -6.0)],
    ),
    ("POST", f"{CALL}/play/stop", {}, [("stop", "call_1", None)]),
    ("POST", f"{CALL}/play/stop", {"play": "play_1"}, [("stop", "call_1", "play_1")]),
    ("POST", f"{CALL}/mute", {"side": "caller", "muted": True}, [("mute", "call_1", Role.CALLER, True)]),
    ("POST", f"{CALL}/hold", {"side": "callee", "held": False}, [("hold", "call_1", Role.CALLEE, False)]),
    (
        "POST",
        f"{CALL}/listen",
        {"extension": "1003"},
        [("listen", "call_1", "1003", ListenMode.MONITOR, Role.CALLEE), ("flush",)],
    ),
    (
        "PATCH",
        LISTENER,
        {"mode": "whisper", "side": "caller"},
        [("change", "call_1", "call_9", ListenMode.WHISPER, Role.CALLER)],
    ),
    ("DELETE", LISTENER, None, [("end", "call_1", "call_9"), ("flush",)]),
    ("PATCH", ROOM, {"locked": True, "muted": False}, [("lock", True), ("mute_all", False)]),
    ("PATCH", ROOM, {"recording": True}, [("record", True)]),
    ("POST", f"{ROOM}/play", {"prompt": "welcome"}, [("play", Prompt("welcome"))]),
    ("POST", f"{ROOM}/end", None, [("end",), ("flush",)]),
    (
        "PATCH",
        f"{ROOM}/members/call_1",
        {"muted": True, "deaf": False, "gain_db": 3},
        [("mute", "member", True), ("deafen", "member", False), ("turn", "member", 3.0)],
    ),
    ("DELETE", f"{ROOM}/members/call_1", None, [("kick", "member"), ("flush",)]),
]


@pytest.mark.parametrize(("method", "path", "wish", "asked"), ORDERS)
async def test_an_operation_does_its_one_thing(
    client: Client, desk: Desk, method: str, path: str, wish: Any, asked: list[tuple[object, ...]]
) -> None:
    options = {} if wish is None else {"json": wish}
    answer = await client.ask(method, path, key="admin", **options)
    assert answer.status in (200, 201, 204), answer.body
    assert desk.asked == asked
    assert (await client.ask(method, path, **options)).status == 401
    for trouble in (NotFound("gone"), Conflict("busy"), Unavailable("full"), Overloaded("too many")):
        desk.trouble = trouble
        refused = await client.ask(method, path, key="admin", **options)
        assert (refused.status, refused.json["error"]["message"]) == (trouble.http_status, trouble.message)


async def test_listening_takes_a_scope_of_its_own(client: Client, desk: Desk) -> None:
    answer = await client.ask("POST", f"{CALL}/listen", key="reader", json={"extension": "1003"})
    assert (answer.status, answer.json["error"]["message"]) == (403, "this key lacks the scope calls:listen")
    assert (await client.ask("POST", f"{CALL}/play", key="reader", json={"text": "x"})).status == 201
    assert (await client.ask("PATCH", ROOM, key="reader", json={"locked": True})).status == 403


async def test_what_is_done_to_a_call_is_shown(client: Client) -> None:
    assert (await client.get(f"{CALL}/sound", key="reader")).json == {
        "call_id": "call_1",
        "muted": ["caller"],
        "held": [],
        "playing": ["play_1"],
        "listeners": [
            {"call_id": "call_9", "extension": "1003", "mode": "whisper", "side": "callee", "answered": True}
        ],
    }


async def test_conferences_of_the_account_are_shown(client: Client) -> None:
    (room,) = (await client.get("/house/v1/conferences", key="reader")).json["conferences"]
    assert room == (await client.get(ROOM, key="reader")).json
    assert (room["name"], room["locked"], room["waiting"], room["recording"]) == ("700", True, 3, "rec_1")
    (member,) = room["members"]
    assert (member["call_id"], member["host"], member["gain_db"], member["talking"]) == ("call_1", True, -3.0, True)


@pytest.mark.parametrize("path", ["/house/v1/conferences/701", f"{ROOM}/members/call_2"])
async def test_what_is_not_there_is_not_found(client: Client, path: str) -> None:
    method, options = ("PATCH", {"json": {"muted": True}}) if "members" in path else ("GET", {})
    assert (await client.ask(method, path, key="admin", **options)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "wish"),
    [
        ("POST", f"{CALL}/play", {}),
        ("POST", f"{CALL}/play", {"text": "x", "prompt": "welcome"}),
        ("POST", f"{CALL}/play", {"prompt": "../../etc/passwd"}),
        ("POST", f"{CALL}/play", {"prompt": "welcome\n"}),
        ("POST", f"{CALL}/play", {"text": "x" * 2001}),
        ("POST", f"{CALL}/play", {"text": "x", "to": "everybody"}),
        ("POST", f"{CALL}/play", {"text": "x", "gain_db": 40}),
        ("POST", f"{CALL}/mute", {"side": "caller"}),
        ("POST", f"{CALL}/listen", {"extension": "sip:1003@evil"}),
        ("POST", f"{CALL}/listen", {"extension": "1003", "mode": "spy"}),
        ("PATCH", LISTENER, {}),
        ("PATCH", f"{ROOM}/members/call_1", {"gain_db": -30}),
        ("PATCH", ROOM, {"pin": "1"}),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(
    client: Client, desk: Desk, method: str, path: str, wish: Any
) -> None:
    answer = await client.ask(method, path, key="admin", json=wish)
    assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request")
    assert not desk.asked
