"""Nobody crosses: each operation that the contracts describe is tried by an account on what is another's.

The list is that of the documents; faxes have theirs in tests/api/fax/test_accounts.py. What is another's is answered
as what is not there at all, word for word; and what is there is had by whose it is. An operation that is new is tried
too; one that takes values this file does not know, or that is for the house alone, fails here until somebody says so.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pbxd.api.contract import Operation
from pbxd.api.edge import EDGE
from pbxd.api.house import HOUSE
from pbxd.directory.resources import KINDS
from pbxd.flows.sessions import flow_id
from tests.api.client import Answer
from tests.api.node_house import digest
from tests.api.test_directory import WISHES
from tests.api.town import DIDS, FLOW, SLUGS, Town, admin, town
from tests.clients.block import Block

THIEF, VICTIM, HOME = "red", "blue", "lab"
NOBODY = "nobody"  # an account, a call, a flow that there is not
PREFIX = "/house/v1"

OF_THE_HOUSE = frozenset(
    {
        "reset_admin_key", "list_settings", "make_account", "replace_account", "remove_account", "import_account",
        "list_deliveries", "get_delivery", "cancel_delivery", "retry_delivery", "test_mail", "list_bans", "get_ban",
        "ban_network", "lift_ban", "unban_network", "list_allowed", "allow_network", "disallow_network", "list_slowed",
        "list_drops", "list_debug", "switch_debug_on", "switch_debug_off", "get_capture",
    }
)  # fmt: skip
"""What is about no account's own: keys of other accounts hear 403."""

BODIES: dict[str, Any] = {
    "change_conference": {"locked": True},
    "change_listener": {"mode": "barge"},
    "change_member": {"muted": True},
    "control_operator": {"event": "login"},
    "hold": {"side": "caller", "held": True},
    "listen": {"extension": "1002"},
    "mark_message": {"urgent": True},
    "mute": {"side": "caller", "muted": True},
    "override_schedule": {"opening": "closed"},
    "play": {"text": "Hello."},
    "play_to_conference": {"text": "Hello."},
    "put_flow": {"text": "parts:\n  begin:\n    - hangup\n"},
    "roll_back_flow": {"version": "{version}"},
    "set_mailbox_pin": {"pin": "4711"},
    "start_recording": {},
    "stop_playing": {},
}


@pytest_asyncio.fixture
async def place(tmp_path: Path, block: Block) -> AsyncIterator[Town]:
    async with town(tmp_path, block) as place:
        yield place


# ---- what is there


@dataclass(frozen=True, slots=True)
class Things:
    """What an account has, as paths name it. `of` gives a path's values."""

    account: str
    call: str
    recording: str
    message: str
    block: str
    version: str
    directory: Mapping[str, str]

    def of(self, path: str) -> dict[str, str]:
        """Values for the names in the path of an operation."""
        word = path.split("/")[2] if path.startswith("/directory/") else ""
        ids = {
            "/calls/{id}": self.call,
            "/records/{id}": self.call,
            "/recordings/{id}": self.recording,
            "/voicemail/{number}/messages/{id}": self.message,
            "/security/fraud/{id}": self.block,
            f"/directory/{word}/{{id}}": self.directory.get(word, NOBODY),
        }
        named = next((ids[begin] for begin in ids if path.startswith(begin)), NOBODY)
        return {"id": named, "account": self.account, "call": self.call, "version": self.version} | NAMES


NAMES = {"room": "700", "listener": "call_listener", "number": "1001", "extension": "1001", "aor": "1001"} | {
    "queue": "support", "user": "1001", "name": "menu", "schedule": "shop", "kind": "busy",
}  # fmt: skip
"""What every account calls the same."""


async def furnished(place: Town, slug: str) -> Things:
    """One of everything: a call in the room 700 and one in the flow 500, a recording, a message, what the directory
    has."""
    await place.upload(slug)
    call = await place.call(slug, "700")
    recorded, message, block = place.recorded(slug), place.message(slug), place.blocked(slug)
    made = {}
    for word in KINDS:
        wish = WISHES[word] | ({"number": f"+1202555016{SLUGS.index(slug)}"} if word == "numbers" else {})
        wish |= {"sources": []} if word == "trunks" else {}
        wish |= {"name": "sales"} if word == "queues" else {}
        made[word] = (await place.told("POST", f"/directory/{word}", slug, json=wish))["id"]
    version = (await place.told("GET", "/flows/menu/versions", slug))["versions"][0]["id"]
    await place.app.store.drain()
    return Things(place.account(slug).id, call.id, recorded.id, message.id, block.id, version, made)


NOTHING = Things(NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, {})


def path_of(operation: Operation, things: Things, other: Mapping[str, str] | None = None) -> str:
    """Fails for a name in a path that is not known here."""
    values = things.of(operation.path) | dict(other or {})
    return PREFIX + re.sub(r"\{(\w+)\}", lambda found: values[found[1]], operation.path)


def body_of(operation: Operation, things: Things) -> dict[str, Any]:
    word = operation.path.split("/")[2] if operation.path.startswith("/directory/") else ""
    wish = BODIES.get(operation.name, WISHES.get(word))
    if wish is None or operation.method in ("GET", "DELETE"):
        return {}
    wish = dict(wish) | ({"sources": []} if word == "trunks" else {})
    return {"json": {key: things.version if value == "{version}" else value for key, value in wish.items()}}


def said(answer: Answer, *names: str) -> tuple[int, str]:
    """The answer without the names that were asked for."""
    text = answer.body.decode("utf-8", "replace")
    for name in names:
        text = text.replace(name, "…")
    return answer.status, text


def tenants() -> Iterator[Operation]:
    """Operations that keys of all accounts may call."""
    return (one for one in HOUSE.operations if one.in_one_account and one.scope)


async def described(place: Town, contract: str) -> set[str]:
    """The operations of a contract's document."""
    document = (await place.client.get(f"/openapi/{contract}.json")).json
    return {one["operationId"] for path in document["paths"].values() for one in path.values()}


# ---- the house's own API


async def test_every_operation_of_the_house_has_a_case(place: Town) -> None:
    """It keeps to an account, or is the house's alone and said to be."""
    known = {one.name for one in tenants()}
    assert await described(place, "house") == known | OF_THE_HOUSE
    assert not known & OF_THE_HOUSE
    for operation in HOUSE.operations:
        path_of(operation, NOTHING, {"target": "x"})
        if operation.name not in known:
            answer = await place.ask(operation.method, path_of(operation, NOTHING, {"target": "x"}), THIEF)
            assert answer.status == 403, operation.name
            assert answer.json["error"]["message"] == "only keys of the house's own account may do this"
        assert (await place.client.ask(operation.method, path_of(operation, NOTHING, {"target": "x"}))).status == 401


@pytest.mark.parametrize("victim", [VICTIM, HOME])
async def test_no_operation_reaches_into_another_account(place: Town, victim: str) -> None:
    theirs = await furnished(place, victim)
    before = await everything(place, theirs, victim)
    secrets = [theirs.account, theirs.call, theirs.recording, theirs.message, theirs.block, f"of {victim}"]
    for operation in tenants():
        path, nowhere = path_of(operation, theirs), path_of(operation, NOTHING)
        body = body_of(operation, theirs)
        named = victim if victim == HOME else theirs.account  # there is no such account
        answer = await place.ask(operation.method, f"{path}?account={named}", THIEF, **body)
        assert answer.status == (400 if operation.path.startswith("/accounts") else 404), (operation.name, answer)
        nobody = await place.ask(operation.method, f"{path}?account={NOBODY}", THIEF, **body)
        assert said(answer, named) == said(nobody, NOBODY), operation.name
        answer = await place.ask(operation.method, path, THIEF, **body)
        nothing = await place.ask(operation.method, nowhere, THIEF, **body_of(operation, NOTHING))
        assert not [one for one in secrets if one in said(answer)[1]], (operation.name, answer.body)
        if path != nowhere:
            assert answer.status == 404, (operation.name, answer.body)
            assert said(answer, *secrets) == said(nothing, NOBODY), operation.name
    assert await everything(place, theirs, victim) == before


def _named(operation: Operation, slug: str) -> str:
    return "" if operation.path.startswith("/accounts") else f"?account={slug}"


_CLOCKS = re.compile(r'"(duration_s|seconds|read_at|over_time)":("[^"]*"|[0-9.]+|\[[^]]*\])')


async def everything(place: Town, things: Things, slug: str) -> list[tuple[str, str]]:
    """All that can be got of what an account has; nothing of it is missing."""
    answers = []
    for operation in tenants():
        if operation.method == "GET" and operation.name not in ("get_pcap", "get_picture", "get_trace", "get_record"):
            answer = await place.ask("GET", f"{path_of(operation, things)}{_named(operation, slug)}", slug)
            assert answer.status == 200, (operation.name, answer.body)
            answers.append((operation.name, _CLOCKS.sub("", said(answer)[1])))
    return answers


# ---- what the house serves beside its documents


async def test_sound_and_events_keep_to_an_account(place: Town) -> None:
    """Routes that no document describes."""
    theirs = await furnished(place, VICTIM)
    beside = {route for route in _routes(place) if route[1].startswith(PREFIX)} - {
        (one.method, PREFIX + one.path) for one in HOUSE.operations
    }
    greetings, box = f"{PREFIX}/voicemail/{{number}}/greetings/{{kind}}", f"{PREFIX}/voicemail/{{number}}"
    events = f"{PREFIX}/queue-events"
    assert beside == {
        ("GET", f"{box}/messages/{{id}}/sound"),
        ("GET", events),
        *((verb, greetings) for verb in ("GET", "PUT", "DELETE")),
    }
    sound = f"{PREFIX}/voicemail/1001/messages/{theirs.message}/sound"
    assert (await place.ask("GET", sound, VICTIM)).body == b"message of blue"
    nowhere = said(await place.ask("GET", sound.replace(theirs.message, NOBODY), THIEF))
    assert nowhere[0] == 404
    assert said(await place.ask("GET", sound, THIEF)) == nowhere
    greeting = f"{PREFIX}/voicemail/1001/greetings/busy"
    for path in (sound, greeting, events):
        for method in ("GET", "PUT", "DELETE") if path == greeting else ("GET",):
            for named in (VICTIM, theirs.account):
                crossed = await place.ask(method, f"{path}?account={named}", THIEF, **_sent(method))
                nobody = await place.ask(method, f"{path}?account={NOBODY}", THIEF, **_sent(method))
                assert said(crossed) == said(nobody)
                assert (crossed.status, crossed.json["error"]["message"]) == (404, "there is no such account")
    assert (await place.ask("GET", greeting, VICTIM)).status == 404  # nothing was put there


def _sent(method: str) -> dict[str, Any]:
    return {"data": b"RIFF"} if method == "PUT" else {}


def _routes(place: Town) -> set[tuple[str, str]]:
    """All that the server serves."""
    app = place.app.server._runner.app
    assert app is not None
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}
    return {route for route in routes if route[0] != "HEAD"}


# ---- the contract of the edge


@dataclass(frozen=True, slots=True)
class Case:
    """A request that is about `{account}`. `of_house`: keys of an account hear 403, whatever they ask."""

    path: str
    body: Mapping[str, Any] | None = None
    of_house: bool = False


def _dialog(event: str) -> dict[str, Any]:
    return {
        "type": "dialog",
        "event": event,
        "callId": "{call}",
        "accountId": "{account}",
        "from": "1001",
        "to": "1002",
    }


EDGE_CASES: dict[str, Case] = {
    "get_usage": Case("/cac?accountId={account}"),
    "reset_usage": Case("/cac/reset", {"accountId": "{account}"}),
    "control_agent": Case("/agent", {"accountId": "{account}", "userId": "1001", "event": "login"}),
    "get_agent": Case("/agent?accountId={account}&userId=1001"),
    "list_users": Case("/presence/users?accountId={account}"),
    "confirm_lease": Case("/agent/confirm/{account}/lease/1"),
    "claim_call": Case("/agent/claim/{account}/1001/{call}"),
    "authenticate": Case("/auth", {"realm": "{realm}"}),
    "make_challenge": Case("/auth/challenge?accountId={account}"),
    "watch_house": Case("/debug?accountId={account}"),
    "get_media": Case("/media/{account}/vm/{call}.wav"),
    "put_media": Case("/media/{account}/vm/{call}.wav", {"sound": "octets"}),
    "step_flow": Case("/flow", {"callId": "{call}", "accountId": "{account}", "flowId": "menu"}),
    "take_event": Case("/presence/event", _dialog("ended")),
    "list_reachable": Case("/presence/registrations?accountId={account}"),
    "route_call": Case("/route", {"callId": "c1", "from": "1001", "fromDomain": "{realm}", "to": "1002"}),
    "get_call_trace": Case("/calls/{call}/trace"),
    "report_bans": Case("/security/report", {"bans": []}, of_house=True),
    "list_bans": Case("/security/bans", of_house=True),
    "list_allowed": Case("/security/allow", of_house=True),
    "allow": Case("/security/allow", {"ip": "192.0.2.1"}, of_house=True),
    "disallow": Case("/security/allow/192.0.2.1", of_house=True),
    "generate_prompts": Case("/admin/tts/generate", of_house=True),
}
NOBODY_WAITS = frozenset({"confirm_lease", "claim_call"})  # whoever asks: but an account hears so of its own
ANYBODYS = re.compile(r"/v1/|/hooks/carrier")  # 501 for all


async def test_no_operation_of_the_edge_reaches_into_another_account(place: Town) -> None:
    theirs = await furnished(place, VICTIM)
    await place.call(VICTIM, "500")
    put = await place.client.ask("PUT", f"/media/blue/vm/{theirs.call}.wav", key=admin(VICTIM), data=b"of blue")
    assert put.status == 200
    operations = [one for one in EDGE.operations if not ANYBODYS.match(one.path)]
    names = {one.name for one in operations}
    assert names == set(EDGE_CASES)
    assert names == {name for name in await described(place, "edge") if not name.endswith(("_public_api", "_hook"))}
    real = {"account": VICTIM, "call": theirs.call, "realm": f"{VICTIM}.test"}
    unreal = {"account": NOBODY, "call": "call_nobody", "realm": "nobody.test"}
    for operation in operations:
        crossed = await _edge(place, operation, real, THIEF)
        if EDGE_CASES[operation.name].of_house:
            assert crossed.status == 403, (operation.name, crossed.body)
            continue
        for wanted in (real, real | {"account": theirs.account}):
            crossed, nothing = (
                await _edge(place, operation, wanted, THIEF),
                await _edge(place, operation, unreal, THIEF),
            )
            assert said(crossed, *wanted.values()) == said(nothing, *unreal.values()), operation.name
            assert theirs.account not in crossed.body.decode("utf-8", "replace"), operation.name
        mine = await _edge(place, operation, real, VICTIM)
        assert mine.status not in (403, 404) or operation.name in NOBODY_WAITS, (operation.name, mine.body)
        assert said(mine) != said(crossed), operation.name
    usage = (await place.client.get("/cac?accountId=blue", key=admin(VICTIM))).json
    assert {call["callId"] for call in usage["calls"]} >= {theirs.call}


async def _edge(place: Town, operation: Operation, values: Mapping[str, str], slug: str) -> Answer:
    case = EDGE_CASES[operation.name]
    path, body = case.path.format(**values), dict(case.body) if case.body is not None else None
    if operation.name == "authenticate":
        body = digest("1001", f"{VICTIM}-1001", realm=values["realm"])
    elif body is not None:
        body = {name: said.format(**values) if isinstance(said, str) else said for name, said in body.items()}
    options = {} if body is None else {"data": b"RIFF"} if operation.name == "put_media" else {"json": body}
    return await place.client.ask(operation.method, path, key=admin(slug), **options)


# ---- the same number in two accounts


async def test_a_room_of_one_account_is_not_that_of_another(place: Town) -> None:
    calls = {slug: await place.call(slug, "700") for slug in SLUGS}
    room = f"{PREFIX}/conferences/700"
    conferences = [place.app.telephony.conferences.get(place.account(slug).id, "700") for slug in SLUGS]
    assert len({id(one) for one in conferences}) == len({id(one.room) for one in conferences if one}) == 3
    await place.told("PATCH", "/conferences/700", "red", json={"locked": True, "recording": True})
    await place.app.store.drain()
    for slug, call in calls.items():
        seen = await place.told("GET", "/conferences/700", slug)
        assert [one["call_id"] for one in seen["members"]] == [call.id]
        assert (seen["account_id"], seen["locked"]) == (call.account_id, slug == "red")
        assert (await place.told("GET", "/conferences", slug))["conferences"] == [seen]
        assert (await place.told("GET", f"/conferences/700?account={slug}", "lab")) == seen
        recorded = (await place.told("GET", f"/recordings?account={slug}", "lab"))["recordings"]
        assert [one["room"] for one in recorded] == (["700"] if slug == "red" else [])
    kicked = await place.ask("DELETE", f"{room}/members/{calls['blue'].id}", "red")
    assert kicked.status == 404
    await place.told("POST", "/conferences/700/end", "red")
    assert [(await place.ask("GET", room, slug)).status for slug in SLUGS] == [200, 404, 200]


async def test_calls_run_the_flows_of_their_account(place: Town) -> None:
    for slug in ("lab", "blue"):
        await place.upload(slug)
    calls = {slug: await place.call(slug, number) for slug, number in (("lab", "500"), ("blue", DIDS["blue"]))}
    for slug, call in calls.items():
        assert (call.account_id, call.flow, call.tags) == (place.account(slug).id, "menu/begin.3", [slug])
        (flow,) = (await place.told("GET", "/flows", slug))["flows"]
        assert (flow["title"], flow["calls"]) == (f"Menu of {slug}", 1)
    assert (await place.told("GET", "/flows", "red"))["flows"] == []
    assert (await place.ask("GET", f"{PREFIX}/flows/menu", "red")).status == 404
    assert await place.refused("red", "500") == "SIP/2.0 503"  # it has no flow of that name, and gets nobody else's
    answer = await place.client.ask("POST", "/route", key=admin("lab"), json={
        "callId": "c9", "from": "14155551234", "fromDomain": "carrier.example", "to": DIDS["blue"][1:],
    })  # fmt: skip
    assert answer.json["rtjson"]["flow_id"] == flow_id(place.account("blue").id, "menu")


async def test_what_is_done_to_one_account_s_flows_is_not_done_to_another_s(place: Town) -> None:
    for slug in SLUGS:
        await place.upload(slug)
    first = (await place.told("GET", "/flows/menu/versions", "blue"))["versions"][0]["id"]
    await place.told("PUT", "/flows/menu?account=blue", "lab", json={"text": "title: Two\nparts: {a: [hangup]}\n"})
    assert (await place.told("GET", "/flows", "blue"))["flows"][0]["title"] == "Two"
    assert (await place.told("GET", "/flows", "lab"))["flows"][0]["title"] == "Menu of lab"
    wish = {"version": first}
    for slug in ("red", "lab"):
        assert (await place.ask("POST", f"{PREFIX}/flows/menu/rollback", slug, json=wish)).status == 404
        assert (await place.ask("GET", f"{PREFIX}/flows/menu/versions/{first}", slug)).status == 404
    await place.told("POST", "/flows/menu/rollback", "blue", json=wish)
    assert (await place.told("GET", "/flows", "blue"))["flows"][0]["title"] == "Menu of blue"
    shared = "schedules:\n  office: {weekly: {mon-fri: 09:00-17:00}}\n"
    for slug in ("red", "blue"):
        await place.told("PUT", "/flows/schedules", slug, json={"text": shared})
    await place.told("PUT", "/schedules/office/override", "red", json={"opening": "holiday"})
    opening = place.app.telephony.dialplans.flows.opening
    assert opening(place.account("red").id, "office") == "holiday"
    assert opening(place.account("blue").id, "office") in ("open", "closed")
    assert opening(place.account("lab").id, "office") is None
    assert (await place.told("GET", "/schedules/overrides", "blue"))["overrides"] == []
    for slug in ("red", "blue"):  # and so it is for those of the directory
        await place.told(
            "POST", "/directory/schedules", slug, json={"name": "gate", "weekly": {"mon-sun": "00:00-24:00"}}
        )
    await place.told("PUT", "/schedules/gate/override", "red", json={"opening": "closed"})
    assert [opening(place.account(slug).id, "gate") for slug in ("red", "blue", "lab")] == ["closed", "open", None]


async def test_an_account_that_is_removed_leaves_no_flow_behind(place: Town) -> None:
    await place.told("POST", "/accounts", "lab", json={"slug": "acme", "domains": ["acme.test"]})
    first = place.account("acme").id
    await place.told("PUT", "/flows/menu?account=acme", "lab", json={"text": FLOW.format(slug="acme")})
    folder = place.app.telephony.dialplans.flows.of(first).folder
    assert folder is not None
    assert (folder / "menu.yaml").exists()
    assert (await place.client.ask("DELETE", f"{PREFIX}/accounts/acme", key=admin("lab"))).status == 204
    assert not folder.exists()
    await place.told("POST", "/accounts", "lab", json={"slug": "acme", "domains": ["acme.test"]})
    assert (await place.told("GET", "/flows?account=acme", "lab"))["flows"] == []
    assert (await place.ask("GET", f"{PREFIX}/flows/menu/versions?account=acme", "lab")).status == 404


# ---- who may name whom


async def test_a_key_of_the_house_for_some_things_stays_at_home(place: Town) -> None:
    """One that may do everything names any account, or sees all."""
    things = {slug: await furnished(place, slug) for slug in ("lab", "blue")}
    clerk, chief = "lab-clerk-key", admin("lab")

    async def ids(path: str, word: str, key: str) -> set[str]:
        return {one["id"] for one in (await place.client.get(PREFIX + path, key=key)).json[word]}

    for path, word, name in (("/recordings", "recordings", "recording"), ("/calls", "calls", "call")):
        both = {getattr(things[slug], name) for slug in things}
        assert await ids(path, word, chief) == both
        assert await ids(f"{path}?account=blue", word, chief) == {getattr(things["blue"], name)}
        assert await ids(path, word, clerk) == {getattr(things["lab"], name)}
    blue = things["blue"]
    for path in (f"/recordings/{blue.recording}", f"/calls/{blue.call}/sound", f"/calls/{blue.call}/trace"):
        assert (await place.client.get(PREFIX + path, key=clerk)).status == 404
        assert (await place.client.get(PREFIX + path, key=chief)).status == 200
        assert (await place.client.get(f"{PREFIX}{path}?account=blue", key=chief)).status == 200
        assert (await place.client.get(f"{PREFIX}{path}?account=red", key=chief)).status == 404
    for path in ("/flows", "/conferences", "/recordings", "/schedules/overrides"):
        assert (await place.client.get(f"{PREFIX}{path}?account=blue", key=clerk)).status == 404


async def test_an_account_does_with_its_own_what_it_likes(place: Town) -> None:
    theirs = await furnished(place, VICTIM)
    call = f"/calls/{theirs.call}"
    assert (await place.told("POST", f"{call}/play", VICTIM, json={"prompt": "welcome"}))["id"].startswith("play_")
    assert (await place.told("POST", f"{call}/play/stop", VICTIM, json={}))["stopped"] == 1
    recording = await place.told("POST", f"{call}/recording", VICTIM, json={"channels": "caller"})
    assert recording["account_id"] == theirs.account
    for verb, state in (("pause", "paused"), ("resume", "recording"), ("stop", "finishing")):
        assert (await place.told("POST", f"{call}/recording/{verb}", VICTIM))["state"] == state
    audio = await place.ask("GET", f"{PREFIX}/recordings/{theirs.recording}/audio", VICTIM)
    assert audio.body == b"sound of blue"
    assert (await place.told("GET", f"{call}/trace", VICTIM))["id"] == theirs.call
    block = await place.told("DELETE", f"/security/fraud/{theirs.block}", VICTIM)
    assert (block["account"], block["ended_by"]) == (VICTIM, "blue-admin")
    assert (await place.ask("DELETE", f"{PREFIX}/recordings/{theirs.recording}", VICTIM)).status == 204
    assert (await place.told("POST", f"{call}/hangup", VICTIM))["state"] == "ended"
