"""Trunks that tenants register by API: what comes from their provider is theirs only where it is meant for them."""

from __future__ import annotations

import pytest

from media.wire import Wire
from pbxd.calls.peer import Challenge, Peer, peer_of
from pbxd.directory.accounts import Directory
from pbxd.directory.administration import Administration
from pbxd.directory.authentication import Authenticator
from pbxd.directory.bans import parse_network
from pbxd.directory.model import Account, Aor, Trunk
from pbxd.directory.registrar import Registrar
from pbxd.directory.resources import KINDS
from pbxd.entrance import Entrance
from pbxd.errors import Conflict
from pbxd.events import Bus
from pbxd.sip.digest import NonceBook
from pbxd.sip.message import Request, parse_message
from pbxd.store import Store
from tests.directory.conftest import TEXT, WALL, Configure
from tests.directory.requests import request, udp

ITSP, POOL = "203.0.113.5", "203.0.113.6"
OTHERS = """
accounts:
  north:
    domains: [north.example]
    numbers: {"+12025550130": {user: "2001"}}
    phones: {"2001": {password: north-2001}}
  south:
    domains: [south.example]
    numbers: {"+12025550140": {user: "2001"}}
    phones: {"2001": {password: south-2001}}
"""


class Switchboard:
    """A house of three accounts; `north` and `south` each make a trunk by API, to the same provider."""

    def __init__(self, directory: Directory, store: Store, configure: Configure) -> None:
        self.config = configure(TEXT + OTHERS)
        self.directory = directory
        self.store = store
        self.bus = Bus()
        self.sent = 0
        self.registrar = Registrar(store, self.bus, self.config.sip.registrar)
        self.authenticator = Authenticator(directory, NonceBook(b"s"), b"s", ("MD5",), self.bus)

    def account(self, slug: str) -> Account:
        found = self.directory.account_named(slug)
        assert found is not None
        return found

    async def make(self, slug: str, name: str = "line", proxy: str = "sip:itsp.example", aor: str = "") -> Trunk:
        """A trunk by API, not yet registered."""
        kind = KINDS["trunks"]
        said = {"name": name, "proxy": proxy, "register": {"username": aor or slug, "password": "theirs"}}
        administration = Administration(self.store, self.directory, lambda: WALL)
        await administration.create(self.account(slug), kind, kind.model.model_validate(said), "test")
        made = self.directory.trunk(self.account(slug), name)
        assert made is not None
        assert not made.declared
        return made

    async def registered(self, slug: str, address: str = ITSP, aor: str = "") -> Trunk:
        made = await self.make(slug, aor=aor)
        self.directory.trust_registered(made, frozenset({address}))
        return made

    def phone(self, slug: str, user: str, source: str) -> None:
        """A phone of an account registers from an address."""
        account = self.account(slug)
        device = self.directory.device(account, user)
        assert device is not None
        self.sent += 1
        contact = f"<sip:{user}@{source}:5062>"
        asked = request(user=user, contacts=[contact], headers=["Expires: 3600"], cseq=self.sent)
        outcome = self.registrar.register(Aor(account.id, user), device, asked, udp(source), 0.0, WALL)
        assert outcome.status == 200

    def caller(self, called: str, *, from_: str = "+4930999@itsp.example", source: str = ITSP) -> str:
        """Whose call an INVITE is: the account of the trunk; empty where it is challenged."""
        found = peer_of(self.directory, self.registrar, self.authenticator, invite(called, from_), udp(source), now=1.0)
        if isinstance(found, Challenge):
            return ""
        assert isinstance(found, Peer)
        assert found.trunk is not None
        assert found.account.id == found.trunk.account_id
        return found.account.slug


def invite(called: str, from_: str) -> Request:
    text = (
        f"INVITE sip:{called}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {ITSP};branch=z9hG4bK1\r\n"
        f"From: <sip:{from_}>;tag=1\r\nTo: <sip:{called}@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
        f"Contact: <sip:{ITSP}>\r\nContent-Length: 0\r\n\r\n"
    )
    parsed = parse_message(text.encode())
    assert isinstance(parsed, Request)
    return parsed


@pytest.fixture
async def board(store: Store, configure: Configure) -> Switchboard:
    return Switchboard(await Directory.load(store, configure(TEXT + OTHERS), WALL), store, configure)


async def test_a_tenants_trunk_takes_what_is_meant_for_it(board: Switchboard) -> None:
    await board.registered("north")
    for called in ("north", "+12025550130", "12025550130", "0012025550130"):
        assert board.caller(called) == "north"
    for called in ("+12025550140", "1001", "0301234567", "600", "2001"):
        assert board.caller(called) == "", "another account's, or nobody's that is told by its number"
    assert board.caller("north", source=POOL) == ""


async def test_two_accounts_at_one_provider_have_each_their_own_calls(board: Switchboard) -> None:
    await board.registered("north")
    await board.registered("south")
    assert [board.caller(called) for called in ("north", "south", "+12025550130", "+12025550140", "+12025550199")] == [
        "north", "south", "north", "south", "",
    ]  # fmt: skip


async def test_two_accounts_that_say_the_same_contact_have_none_of_its_calls(board: Switchboard) -> None:
    await board.registered("north", aor="main")
    await board.registered("south", aor="main")
    assert [board.caller(called) for called in ("main", "+12025550130", "+12025550140")] == ["", "north", "south"]


async def test_nobody_registers_the_number_of_another_account(board: Switchboard) -> None:
    await board.registered("north", aor="+12025550140")
    assert board.caller("+12025550140") == ""
    await board.registered("south")
    assert board.caller("+12025550140") == "south"


async def test_the_houses_trunk_at_the_same_provider_takes_the_rest(board: Switchboard) -> None:
    carrier = board.directory.trunk(board.directory.default_account, "carrier")
    assert carrier is not None
    board.directory.trust_registered(carrier, frozenset({ITSP}))
    await board.registered("north")
    await board.registered("south", aor="me")  # as the house's own
    seen = [board.caller(called) for called in ("1001", "me", "north", "+12025550130", "+12025550140")]
    assert seen == ["lab", "lab", "north", "north", "south"]


async def test_a_phone_of_another_account_is_never_a_tenants_trunk(board: Switchboard) -> None:
    """Behind the address where the tenant has registered: he may choose the number, and have registered it."""
    await board.registered("north", aor="2001")
    assert board.caller("2001") == "north"
    for mine in ("2001@south.example", "1001@lab.example", "1001@LAB.example."):
        assert board.caller("2001", from_=mine) == ""
    assert board.caller("2001", from_="2001@north.example") == "north"
    board.phone("north", "2001", ITSP)
    assert board.caller("2001") == "north"
    board.phone("lab", "1001", ITSP)
    for mine in ("1001@192.0.2.1", "+4930999@itsp.example"):
        assert board.caller("2001", from_=mine) == ""
    board.registrar.remove(Aor(board.account("lab").id, "1001"))
    assert board.caller("2001") == "north"


async def test_an_address_that_the_house_names_is_the_trunks_whatever_is_called(board: Switchboard) -> None:
    kind, trunk = KINDS["trunks"], await board.registered("north")
    said = {"name": "line", "proxy": "sip:itsp.example", "sources": [f"{ITSP}/32"], "register": {"username": "north"}}
    administration = Administration(board.store, board.directory, lambda: WALL)
    await administration.replace(board.account("north"), kind, trunk.id, kind.model.model_validate(said), "house", None)
    board.phone("lab", "1001", ITSP)
    assert board.caller("1001", from_="1001@lab.example") == "north"


async def test_the_addresses_of_phones_are_counted_by_account(board: Switchboard) -> None:
    lab, north = board.account("lab").id, board.account("north").id
    for source in (ITSP, POOL):
        board.phone("lab", "1001", source)
        board.phone("lab", "1001", source)  # refreshed
    assert [board.registrar.others_at(source, owner) for source in (ITSP, "203.0.113.7") for owner in (lab, north)] == [
        False, True, False, False,
    ]  # fmt: skip
    board.registrar.expire(4000.0)
    assert not board.registrar.others_at(ITSP, north)


# ---- bans


@pytest.fixture
def wire() -> Wire:
    return Wire(legs=4, sip_ring=1 << 12)


def entrance(board: Switchboard, wire: Wire) -> Entrance:
    made = Entrance(board.config, wire, board.store, board.directory, board.registrar, board.bus, lambda now: WALL)
    made.apply(board.config, 0.0)
    return made


async def test_a_tenant_spares_nobody_from_a_ban(board: Switchboard, wire: Wire) -> None:
    await board.make("north", "friend", "sip:198.51.100.9")
    await board.make("north", "named", "sip:friend.example")
    await board.make("lab", "ours", "sip:198.51.100.7")
    await board.registered("north", "198.51.100.8")
    door = entrance(board, wire)
    door.resolved("friend.example", ["198.51.100.10"])
    door.resolved("carrier.example", ["198.51.100.6"])
    spares = door._sparing()
    for theirs in ("198.51.100.8", "198.51.100.9"):
        assert not door.doorman._around.immune(theirs)
        door.ban(theirs, 60, "", "admin", 1.0)
    assert not door.doorman._around.immune("198.51.100.10")
    assert door.doorman._around.immune("198.51.100.6")
    with pytest.raises(Conflict, match="never banned"):
        door.ban("198.51.100.7", 60, "", "admin", 1.0)
    assert [bool(spares(net)) for net in map(parse_network, ("198.51.100.6", "198.51.100.7", "198.51.100.9"))] == [
        True, True, False,
    ]  # fmt: skip
    wire.close()


async def test_what_is_too_much_to_trust_keeps_nothing_else_out(
    board: Switchboard, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def trust(network: str, *, limited: bool = False) -> None:
        if network.startswith("127.0.0.11"):
            raise OSError(28, "no room")
        told.append(network)

    door = entrance(board, wire)
    door.allow("198.51.100.0/24", "", "admin", 0.0)
    monkeypatch.setattr(wire, "trust", trust)
    door.refresh(1.0)
    assert {"127.0.0.1/32", "198.51.100.0/24"} <= set(told)
    wire.close()
