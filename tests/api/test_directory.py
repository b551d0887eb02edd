"""The directory over HTTP: what an account has is made, changed and removed, by who may, and crossed by nobody."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, fields
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.house import HOUSE, House
from pbxd.api.server import Server
from pbxd.api.surface import Surface
from pbxd.calls.facilities import Facilities
from pbxd.calls.record import CallRecord, Direction
from pbxd.config import load
from pbxd.directory.accounts import Directory
from pbxd.directory.administration import Administration
from pbxd.directory.model import Account, Aor, Destination, DestinationKind
from pbxd.directory.resources import KINDS
from pbxd.directory.tenants import Tenants
from pbxd.events import Bus
from pbxd.services.cdr import CallRecords
from pbxd.services.queues import Queues
from pbxd.services.voicemail import Voicemail
from pbxd.sip.digest import ha1
from pbxd.store import Store
from tests.api.client import Answer, Client, serving
from tests.services.voicemail.theatre import House as Mailboxes

WALL = 1_800_000_000.0
TEXT = """
account: {slug: lab, name: Lab, realm: lab.test, domains: [lab.test]}
first_start: {phones: "", admin_key: false}
phones:
  "1001": {password: lab-1001, name: Alice}
mailboxes:
  "1001": {pin: "1001"}
numbers:
  "+12025550123": {user: "1001"}
accounts:
  other:
    domains: [other.test]
    phones:
      "1001": {password: other-1001}
"""
PASSWORD = "correct-horse"
WISHES: dict[str, dict[str, Any]] = {
    "users": {"name": "2001", "display_name": "Ann", "dnd": True, "out_cid_number": "+12025550124"},
    "devices": {"auth_username": "2001", "user": "2001", "password": PASSWORD, "ring_order": 2},
    "mailboxes": {"number": "2001", "answers_after_s": 12},
    "conferences": {"number": "2700", "pin": "4711", "max_members": 5},
    "extensions": {"number": "2100", "user": "2001"},
    "schedules": {"name": "shop", "timezone": "Europe/Berlin", "weekly": {"mon-fri": "09:00-17:00"}},
    "ring_groups": {"name": "sales", "members": ["2001"], "no_answer": {"voicemail": "2001"}},
    "queues": {"name": "support", "members": ["2001"], "wrap_up_s": 5},
    "trunks": {"name": "gateway", "proxy": "sip:192.0.2.1", "sources": ["192.0.2.1/32"], "cid_number": "+12025550199"},
    "routes": {"position": 0, "match": "0Z.", "trunk": "gateway", "strip": 1},
    "numbers": {"number": "+12025550150", "ring_group": "sales", "schedule": "shop", "closed": {"hangup": True}},
    "call_limits": {"name": "lines", "scope": "account", "max": 4},
}


class NoCalls:
    """One call of each account is up."""

    def __init__(self, directory: Directory) -> None:
        self._records = {
            f"call_{account.slug}": CallRecord(f"call_{account.slug}", account.id, Direction.INTERNAL, "", "", "", WALL)
            for account in directory.accounts()
        }
        self.hung_up: list[str] = []

    def calls(self) -> list[CallRecord]:
        return list(self._records.values())

    def get(self, call_id: str) -> CallRecord | None:
        return self._records.get(call_id)

    def hangup(self, call_id: str) -> bool:
        self.hung_up.append(call_id)
        return True


class Phones:
    """Those of the directory; nobody is registered."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def phones(self, account: Account) -> Any:
        return self._directory.phones(account)

    async def rotate_password(self, account: Account, extension: str) -> str:
        return await self._directory.rotate_password(account, extension)

    def contacts(self, account_id: str) -> Any:
        return []

    def remove(self, account_id: str, user: str) -> int:
        own = self._directory.account(account_id)
        return int(own is not None and self._directory.user(own, user) is not None)


@dataclass
class Quiet:
    """What queues ask of a house in which nothing happens."""

    directory: Directory
    bus: Bus = field(default_factory=Bus)

    @property
    def stack(self) -> Quiet:
        return self

    @property
    def registrar(self) -> Quiet:
        return self

    def schedule(self, at: float, what: object) -> Quiet:
        return self

    def cancel(self) -> None:
        """Nothing was going to happen."""

    def bindings(self, aor: Aor, now: float) -> list[object]:
        return []

    def clock(self) -> float:
        return 0.0

    def wall(self, now: float) -> float:
        return WALL


class Flowless:
    """The flows of accounts that have none; tests/api/test_account_files.py is about those that have."""

    def of(self, account_id: str) -> SimpleNamespace:
        del account_id
        return SimpleNamespace(book=SimpleNamespace(texts={}))

    async def forget(self, account_id: str) -> None:
        """Nothing is left of them."""


@dataclass
class Office:
    client: Client
    directory: Directory
    administration: Administration
    store: Store
    calls: NoCalls
    voicemail: Voicemail
    queues: Queues

    async def ask(self, method: str, path: str, key: str = "lab-admin", **options: Any) -> Answer:
        return await self.client.ask(method, "/house/v1" + path, key=key, **options)

    async def furnish(self, key: str) -> dict[str, str]:
        """Makes one of each kind; gives their ids."""
        made = {}
        for word in KINDS:
            slug = key.partition("-")[0]
            by, named = ("lab-admin", f"?account={slug}") if word == "trunks" else (key, "")  # with its sources
            answer = await self.ask("POST", f"/directory/{word}{named}", by, json=WISHES[word])
            assert answer.status == 201, (word, answer.body)
            made[word] = answer.json["id"]
        return made

    def account(self, slug: str) -> Account:
        found = self.directory.account_named(slug)
        assert found is not None
        return found


@pytest_asyncio.fixture
async def office(tmp_path: Path, store_url: str) -> AsyncIterator[Office]:
    path = tmp_path / "pbxd.yaml"
    path.write_text(TEXT)
    store = await Store.open(store_url)
    directory = await Directory.load(store, load(path), WALL)
    later = count()
    administration = Administration(store, directory, lambda: WALL + next(later))
    lab, other = (directory.account_named(slug) for slug in ("lab", "other"))
    assert lab is not None
    assert other is not None
    keys = {
        "lab-admin": Identity("lab-admin", lab.id, frozenset({"*"})),
        "lab-clerk": Identity("lab-clerk", lab.id, frozenset({"directory:*", "audit:read", "accounts:*", "calls:*"})),
        "other-admin": Identity("other-admin", other.id, frozenset({"*"})),
    }
    calls, phones = NoCalls(directory), Phones(directory)
    voicemail = Mailboxes(store, tmp_path / "voicemail").voicemail

    async def follow() -> None:
        await voicemail.load(directory.mailboxes(), voicemail.post.rules)

    await follow()
    administration.changed = follow
    queues = Queues(cast(Facilities, Quiet(directory)), store, tuple, lambda *_: ())
    parts: dict[str, Any] = {field.name: None for field in fields(House)}
    house = House(
        **parts
        | {
            "directory": directory,
            "administration": administration,
            "tenants": Tenants(administration),
            "calls": calls,
            "phones": phones,
            "registrations": phones,
            "trunks": lambda _account: [],
            "records": CallRecords(store, "node"),
            "voicemail": voicemail,
            "queues": queues,
            "wall": lambda: WALL,
            "flows": Flowless(),
        },
    )
    surface = Surface(HOUSE, house, Access(keys.get).identify, home=lambda: lab.id)
    async with serving(Server([surface])) as (client, _):
        yield Office(client, directory, administration, store, calls, voicemail, queues)
    await store.close()


# ---- one of each kind


async def test_each_kind_is_made_found_changed_and_removed(office: Office) -> None:
    made = await office.furnish("other-admin")
    for word, kind in KINDS.items():
        path, wish = f"/directory/{word}", WISHES[word]
        listed = (await office.ask("GET", path, "other-admin")).json[word]
        assert made[word] in [one["id"] for one in listed]
        answer = await office.ask("GET", f"{path}/{made[word]}", "other-admin")
        assert answer.headers["ETag"] == '"1"'
        said = answer.json
        for name in wish.keys() - {"password"}:
            assert _short(said[name]) == wish[name], (word, name)
        by_name = await office.ask("GET", f"{path}/{str(wish[kind.key]).replace('+', '%2B')}", "other-admin")
        assert by_name.json == said
        answer = await office.ask("PUT", f"{path}/{made[word]}", "other-admin", json=wish)
        assert (answer.status, answer.headers["ETag"], answer.json["revision"]) == (200, '"2"', 2)
    for word in reversed(KINDS):
        answer = await office.ask("DELETE", f"/directory/{word}/{made[word]}", "other-admin")
        assert answer.status == 200, (word, answer.body)
        assert (await office.ask("GET", f"/directory/{word}/{made[word]}", "other-admin")).status == 404


def _short(value: Any) -> Any:
    """A destination without all that it is not."""
    return {name: said for name, said in value.items() if said} if isinstance(value, dict) else value


async def test_a_number_of_the_house_is_shown_as_it_was_made(office: Office) -> None:
    for wish in ({"operator": True}, {"listen": True}, {"fax": {"mode": "g711"}}, {"voicemail": "any"}):
        made = await office.ask("POST", "/directory/extensions", "other-admin", json={"number": "*77", **wish})
        assert made.status == 201, made.body
        seen = (await office.ask("GET", "/directory/extensions/*77", "other-admin")).json
        assert {name: seen[name] for name in wish} == wish
        assert (await office.ask("DELETE", "/directory/extensions/*77", "other-admin")).status == 200


async def test_music_at_a_path_is_for_the_house_own_key(office: Office) -> None:
    """A tenant must not hear what lies elsewhere on the machine: recordings are sound too."""
    room, queue = {"number": "2700", "music": "/srv/sound"}, {"name": "support", "music": "sales/../../other"}
    for word, wish in (("conferences", room), ("queues", queue)):
        answer = await office.ask("POST", f"/directory/{word}", "other-admin", json=wish)
        assert (answer.status, answer.json["error"]["code"]) == (403, "forbidden")
        named = await office.ask("POST", f"/directory/{word}", "other-admin", json=wish | {"music": "sales"})
        assert (named.status, named.json["music"]) == (201, "sales")
        again = await office.ask("PUT", f"/directory/{word}/{named.json['id']}", "other-admin", json=wish)
        assert again.status == 403
        whole = await office.ask("PUT", f"/directory/{word}/{named.json['id']}?account=other", json=wish)
        assert (whole.status, whole.json["music"]) == (200, wish["music"])


async def test_what_is_made_counts_at_once(office: Office) -> None:
    await office.furnish("other-admin")
    other, directory = office.account("other"), office.directory
    device = directory.device(other, "2001")
    assert device is not None
    assert device.ha1_md5 == ha1("2001", "other.test", PASSWORD)
    assert device.ha1("2001@other.test", "MD5") == ha1("2001@other.test", "other.test", PASSWORD)
    user = directory.user(other, "2001")
    assert user is not None
    assert (user.dnd, user.out_cid_number) == (True, "+12025550124")
    number = directory.number("+12025550150")
    assert number is not None
    assert (number.account_id, number.dest) == (other.id, Destination(DestinationKind.RING_GROUP, "sales"))
    assert number.closed == Destination(DestinationKind.HANGUP, "")
    found = directory.outbound(other, "0301234")
    assert found is not None
    assert (found[0].cid_number, found[1]) == ("+12025550199", "301234")
    assert [limit.max_count for limit in directory.limits(other)] == [4]
    assert directory.ring_group(office.account("lab"), "sales") is None
    assert office.voicemail.archive.box(other.id, "2001") is not None
    again = await Directory.load(office.store, directory._config, WALL)  # after a restart too
    assert again.number("+12025550150") == number


async def test_a_password_is_never_shown_nor_written_down(office: Office) -> None:
    made = await office.furnish("other-admin")
    answers = [await office.ask("GET", path, "other-admin") for path in ("/directory/devices", "/audit")]
    for answer in answers:
        assert PASSWORD.encode() not in answer.body
        assert not re.search(rb"[0-9a-f]{32}", answer.body)
    wish = {name: value for name, value in WISHES["devices"].items() if name != "password"}
    path = f"/directory/devices/{made['devices']}"
    assert (await office.ask("PUT", path, "other-admin", json=wish)).status == 200  # keeps the one there is
    device = office.directory.device(office.account("other"), "2001")
    assert device is not None
    assert device.ha1_md5 == ha1("2001", "other.test", PASSWORD)
    renamed = await office.ask("PUT", path, "other-admin", json=wish | {"auth_username": "2002"})
    assert (renamed.status, renamed.json["error"]["message"]) == (
        400, "a device needs a password: it is bound to what the phone logs in as",
    )  # fmt: skip


# ---- what cannot be


async def test_who_changes_what_has_changed_is_told(office: Office) -> None:
    made = await office.furnish("lab-admin")
    path = f"/directory/schedules/{made['schedules']}"
    wish = WISHES["schedules"]
    assert (await office.ask("PUT", path, json=wish, headers={"If-Match": '"1"'})).status == 200
    for method in ("PUT", "DELETE"):
        options: dict[str, Any] = {"json": wish} if method == "PUT" else {}
        answer = await office.ask(method, path, headers={"If-Match": '"1"'}, **options)
        assert (answer.status, answer.json["error"]["code"]) == (409, "conflict")
        assert "at revision 2, not 1" in answer.json["error"]["message"]
    assert (await office.ask("PUT", path, json=wish, headers={"If-Match": "nonsense"})).status == 400
    assert (await office.ask("PUT", path, json=wish, headers={"If-Match": "*"})).status == 200


async def test_what_the_file_declares_is_changed_there(office: Office) -> None:
    for path in ("/directory/users/1001", "/directory/devices/1001", "/directory/numbers/%2B12025550123"):
        answer = await office.ask("DELETE", path)
        assert answer.status == 409
        assert "the configuration file declares this" in answer.json["error"]["message"]
    answer = await office.ask("PUT", "/accounts/other", json={"slug": "other", "domains": ["other.test"]})
    assert answer.status == 409


@pytest.mark.parametrize(
    ("word", "wish", "status", "message"),
    [
        ("users", {"name": "1001"}, 409, "the name 1001 is taken already"),
        ("extensions", {"number": "1001", "echo": True}, 409, "the number 1001 is taken already"),
        ("devices", {"auth_username": "3", "user": "1001"}, 400, "a device needs a password"),
        ("devices", {"auth_username": "3", "user": "9", "password": PASSWORD}, 400, "user: there is no user 9"),
        ("extensions", {"number": "3", "user": "9"}, 400, "there is no user 9"),
        ("extensions", {"number": "3"}, 400, "an extension is one of"),
        ("ring_groups", {"name": "x", "members": ["9"]}, 400, "ring_groups.x.members.0: there is no user 9"),
        ("numbers", {"number": "12025550150", "hangup": True}, 400, "a number is written"),
        ("numbers", {"number": "+12025550150", "queue": "x"}, 400, "there is no queue x"),
        ("numbers", {"number": "+12025550150", "hangup": True, "schedule": "x"}, 400, "says where calls go when"),
        ("schedules", {"name": "x", "weekly": {"mon": "25:00-26:00"}}, 400, "hours go from"),
        ("trunks", {"name": "x"}, 400, "a trunk needs a proxy"),
        ("routes", {"position": 1, "match": "0.", "trunk": "x"}, 400, "there is no trunk x"),
        ("call_limits", {"name": "x", "scope": "trunk", "id": "y", "max": 1}, 400, "there is no trunk y"),
        ("mailboxes", {"number": "9"}, 400, "a shared mailbox says whose it is"),
        ("mailboxes", {"number": "1001", "pin": "1234"}, 400, "pin"),
        ("users", {"name": "9", "unknown": 1}, 400, "unknown"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_refused_with_a_reason(
    office: Office, word: str, wish: dict[str, Any], status: int, message: str
) -> None:
    answer = await office.ask("POST", f"/directory/{word}", json=wish)
    assert answer.status == status
    assert message in answer.json["error"]["message"]


async def test_what_others_need_stays(office: Office) -> None:
    made = await office.furnish("lab-admin")
    for word, needed_by in (("users", "2001"), ("trunks", "gateway"), ("mailboxes", "2001"), ("ring_groups", "sales")):
        answer = await office.ask("DELETE", f"/directory/{word}/{made[word]}")
        assert answer.status == 409
        assert answer.json["error"]["message"].startswith("it is still needed: ")
        assert needed_by in answer.json["error"]["message"]


async def test_a_number_and_a_trunks_source_are_one_accounts_alone(office: Office) -> None:
    await office.furnish("lab-admin")
    for word in ("users", "mailboxes", "schedules", "ring_groups"):
        assert (await office.ask("POST", f"/directory/{word}", "other-admin", json=WISHES[word])).status == 201
    for path, key in (("numbers", "other-admin"), ("trunks?account=other", "lab-admin")):
        answer = await office.ask("POST", f"/directory/{path}", key, json=WISHES[path.partition("?")[0]])
        assert answer.status == 409
        assert "lab" not in answer.json["error"]["message"]


# ---- who changed what


async def test_every_change_is_written_down(office: Office) -> None:
    made = await office.furnish("other-admin")
    await office.ask("PUT", "/directory/call_limits/lines?account=other", json=WISHES["call_limits"] | {"max": 9})
    await office.ask("DELETE", f"/directory/call_limits/{made['call_limits']}", "other-admin")
    entries = (await office.ask("GET", "/audit?limit=3&account=other")).json["entries"]
    assert [(one["by"], one["action"], one["kind"], one["name"]) for one in entries] == [
        ("other-admin", "removed", "call limit", "lines"),
        ("lab-admin", "changed", "call limit", "lines"),
        ("other-admin", "made", "call limit", "lines"),
    ]
    assert (entries[1]["before"]["max"], entries[1]["after"]["max"]) == (4, 9)
    assert (entries[0]["after"], entries[2]["before"]) == (None, None)
    page = (await office.ask("GET", "/audit?limit=10", "other-admin")).json
    rest = (await office.ask("GET", f"/audit?limit=10&cursor={page['next']}", "other-admin")).json
    assert len(page["entries"]) + len(rest["entries"]) == len(KINDS) + 2
    assert rest["next"] is None
    assert (await office.ask("GET", "/audit", "lab-clerk")).json["entries"] == []


# ---- accounts


async def test_an_account_is_made_renamed_and_removed(office: Office) -> None:
    wish = {"slug": "acme", "domains": ["acme.test"]}
    answer = await office.ask("POST", "/accounts", json=wish)
    assert (answer.status, answer.json["realm"], answer.json["name"]) == (201, "acme.test", "acme")
    assert office.directory.account_for_host("acme.test").slug == "acme"
    listed = (await office.ask("GET", "/accounts")).json["accounts"]
    assert [(one["slug"], one["default"], one["declared"]) for one in listed] == [
        ("acme", False, False), ("lab", True, True), ("other", False, True),
    ]  # fmt: skip
    assert [one["slug"] for one in (await office.ask("GET", "/accounts", "other-admin")).json["accounts"]] == ["other"]
    again = await office.ask("PUT", "/accounts/acme", json=wish | {"name": "Acme", "domains": ["acme.test", "b.test"]})
    assert (again.status, again.json["revision"], again.json["domains"]) == (200, 2, ["acme.test", "b.test"])
    stale = await office.ask("DELETE", "/accounts/acme", headers={"If-Match": '"1"'})
    assert stale.status == 409
    assert (await office.ask("DELETE", "/accounts/acme", headers={"If-Match": '"2"'})).status == 204
    assert office.directory.account_named("acme") is None


async def test_an_account_has_a_default_carrier_of_its_own_trunks(office: Office) -> None:
    wish = {"slug": "acme", "domains": ["acme.test"]}
    assert (await office.ask("POST", "/accounts", json=wish)).json["carrier"] is None
    refused = await office.ask("PUT", "/accounts/acme", json=wish | {"carrier": "gateway"})
    assert (refused.status, refused.json["error"]["message"]) == (400, "carrier: there is no trunk gateway")
    trunk = {"name": "gateway", "proxy": "sip:192.0.2.1"}
    assert (await office.ask("POST", "/directory/trunks?account=acme", json=trunk)).status == 201
    assert (await office.ask("PUT", "/accounts/acme", json=wish | {"carrier": "gateway"})).json["carrier"] == "gateway"
    carrier = office.directory.carrier(office.account("acme"))
    assert carrier is not None
    assert carrier.name == "gateway"
    gone = await office.ask("DELETE", "/directory/trunks/gateway?account=acme")
    assert (gone.status, gone.json["error"]["message"]) == (
        409, "it is still needed: carrier: there is no trunk gateway",
    )  # fmt: skip
    document = (await office.ask("GET", "/accounts/acme/export")).json
    document["account"] |= {"slug": "copy", "realm": "copy.test", "domains": []}
    assert (await office.ask("POST", "/accounts/import", json=document)).json["carrier"] == "gateway"
    document["account"] |= {"slug": "third", "realm": "third.test", "carrier": "gone"}
    assert (await office.ask("POST", "/accounts/import", json=document)).status == 400
    assert (await office.ask("PUT", "/accounts/acme", json=wish | {"carrier": ""})).json["carrier"] == ""
    assert office.directory.carrier(office.account("acme")) is None


@pytest.mark.parametrize(
    "wish",
    [
        {"slug": "lab"},
        {"slug": "x", "realm": "other.test"},
        {"slug": "x", "domains": ["lab.test"]},
        {"slug": "x", "realm": "y", "domains": ["a.test", "other.test"]},
    ],
)
async def test_two_accounts_are_never_taken_for_each_other(office: Office, wish: dict[str, Any]) -> None:
    assert (await office.ask("POST", "/accounts", json=wish)).status == 409


async def test_an_account_goes_into_a_file_and_comes_back(office: Office) -> None:
    await office.furnish("other-admin")
    exported = await office.ask("GET", "/accounts/other/export")
    assert exported.status == 200
    assert b"other-1001" not in exported.body
    assert PASSWORD.encode() not in exported.body
    document = exported.json
    refused = await office.ask("POST", "/accounts/import", json=document)
    assert (refused.status, refused.json["error"]["message"]) == (
        409,
        "the short name other is that of another account",
    )
    document["account"]["slug"] = "copy"
    refused = await office.ask("POST", "/accounts/import", json=document)
    assert refused.json["error"]["message"] == "the realm other.test is that of another account (other)"
    document["account"] |= {"slug": "copy", "realm": "copy.test", "domains": ["copy.test"]}
    document["numbers"][0]["number"] = "+12025550151"
    document["trunks"][0]["sources"] = ["192.0.2.77/32"]
    answer = await office.ask("POST", "/accounts/import", json=document)
    assert (answer.status, answer.json["slug"]) == (201, "copy")
    again = (await office.ask("GET", "/accounts/copy/export")).json
    assert again == document
    copy = office.account("copy")
    assert office.directory.number("+12025550151") is not None
    assert [phone.auth_username for phone in office.directory.phones(copy)] == ["1001", "2001"]


async def test_a_document_comes_in_whole_or_not_at_all(office: Office) -> None:
    await office.furnish("other-admin")
    document = (await office.ask("GET", "/accounts/other/export")).json
    document["account"] |= {"slug": "copy", "realm": "copy.test", "domains": ["copy.test"]}
    document["numbers"], document["trunks"][0]["sources"] = [], ["192.0.2.77"]
    document["users"] = []
    answer = await office.ask("POST", "/accounts/import", json=document)
    assert answer.status == 400
    assert "there is no user" in answer.json["error"]["message"]
    assert office.directory.account_named("copy") is None
    document["format"] = "something-else"
    assert (await office.ask("POST", "/accounts/import", json=document)).status == 400


# ---- nobody crosses


async def test_a_key_with_fewer_scopes_stays_at_home(office: Office) -> None:
    assert (await office.ask("GET", "/directory/users?account=lab", "lab-clerk")).status == 200
    for path in ("/directory/users?account=other", "/accounts/other", "/audit?account=other", "/calls?account=other"):
        assert (await office.ask("GET", path, "lab-clerk")).status == 404
    assert [call["id"] for call in (await office.ask("GET", "/calls", "lab-clerk")).json["calls"]] == ["call_lab"]
    assert (await office.ask("POST", "/accounts", "lab-clerk", json={"slug": "x"})).status == 403
    assert (await office.ask("GET", "/directory/users?account=nobody", "lab-admin")).status == 404


async def test_the_house_sees_all_and_may_name_one(office: Office) -> None:
    def ids(answer: Answer) -> list[str]:
        return [call["id"] for call in answer.json["calls"]]

    assert ids(await office.ask("GET", "/calls")) == ["call_lab", "call_other"]
    assert ids(await office.ask("GET", "/calls?account=other")) == ["call_other"]
    assert ids(await office.ask("GET", "/calls", "other-admin")) == ["call_other"]
    assert (await office.ask("GET", "/calls/call_lab", "other-admin")).status == 404


async def test_what_reaches_beyond_an_account_is_the_house_s_to_say(office: Office) -> None:
    """Whose calls come from an address, and which folders are played."""
    trunk, room = WISHES["trunks"], {"number": "2700", "music": "/var/lib/pbxd/voicemail"}
    for word, wish, said in (("trunks", trunk, "sources: "), ("conferences", room, "music: ")):
        refused = await office.ask("POST", f"/directory/{word}", "other-admin", json=wish)
        assert (refused.status, refused.json["error"]["code"]) == (403, "forbidden")
        assert refused.json["error"]["message"].startswith(said)
        made = await office.ask("POST", f"/directory/{word}?account=other", json=wish)
        assert made.status == 201
        path = f"/directory/{word}/{made.json['id']}"
        assert (await office.ask("PUT", path, "other-admin", json=wish)).status == 200  # as it is already
    wider = trunk | {"sources": ["0.0.0.0/0"]}
    assert (await office.ask("PUT", "/directory/trunks/gateway", "other-admin", json=wider)).status == 403
    less = await office.ask("PUT", "/directory/trunks/gateway", "other-admin", json=trunk | {"sources": []})
    assert (less.status, less.json["sources"]) == (200, [])
    assert (await office.ask("POST", "/directory/trunks", "lab-clerk", json=trunk | {"name": "b"})).status == 201


async def test_an_account_has_a_clock_of_its_own(office: Office) -> None:
    wish = {"slug": "acme", "domains": ["acme.test"], "timezone": "Asia/Tokyo"}
    assert (await office.ask("POST", "/accounts", json=wish)).json["timezone"] == "Asia/Tokyo"
    acme = office.account("acme")
    assert (office.directory.zone(acme.id), office.directory.zone(office.account("lab").id)) == ("Asia/Tokyo", None)
    assert (await office.ask("GET", "/accounts/acme/export")).json["account"]["timezone"] == "Asia/Tokyo"
    assert (await office.ask("PUT", "/accounts/acme", json=wish | {"timezone": "Mars/Base"})).status == 400
    assert (await office.ask("PUT", "/accounts/acme", json=wish | {"timezone": None})).json["timezone"] is None
    assert office.directory.zone(acme.id) is None


@pytest.mark.parametrize("slug", ["system", "acc_01k0"])
async def test_some_names_are_no_account_s(office: Office, slug: str) -> None:
    answer = await office.ask("POST", "/accounts", json={"slug": slug})
    assert answer.status == 400
    assert "these are taken" in answer.json["error"]["message"]
