"""Bans: how long, of whom, kept over a restart; and the allow list beside them. Virtual time, a real store."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from pbxd.directory.allowlist import Allowlist
from pbxd.directory.bans import Banned, Bans, Terms, Unbanned, parse_network
from pbxd.directory.evidence import Cause
from pbxd.errors import Conflict, Invalid, NotFound
from pbxd.events import Bus
from pbxd.store import Store
from pbxd.store.schema import bans as bans_table

WALL = 1_800_000_000.0
HERE = ip_network("192.0.2.66")
NET = ip_network("198.51.100.0/24")


class Gate:
    """What wire would do, written down."""

    def __init__(self) -> None:
        self.banned: list[str] = []
        self.slowed: list[str] = []
        self.hits: dict[str, int] = {}

    def ban(self, network: str) -> None:
        self.banned.append(network)

    def unban(self, network: str) -> None:
        self.banned.remove(network)
        self.hits.pop(network, None)

    def ban_hits(self, network: str) -> int:
        return self.hits.get(network, 0)

    def slow(self, network: str) -> None:
        self.slowed.append(network)

    def unslow(self, network: str) -> None:
        self.slowed.remove(network)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def bans(store: Store, bus: Bus, gate: Gate) -> Bans:
    return Bans(store, bus, gate, "acc_1", Terms())


def ban_here(bans: Bans, now: float, *, proven: bool = True) -> float:
    """How long it lasts."""
    ban = bans.ban(HERE, Cause.GUESSING, "13 for 1001", now, WALL + now, proven=proven)
    return ban.ends - now


async def test_a_repeater_is_banned_for_longer_and_longer(bans: Bans) -> None:
    now, lasted = 0.0, []
    for _ in range(7):
        lasted.append(ban_here(bans, now))
        now += lasted[-1]
        bans.expire(now, WALL + now)
        assert not bans.active
    assert lasted == [600, 3600, 21_600, 129_600, 604_800, 604_800, 604_800]
    now += bans.terms.forget_s + 1
    assert ban_here(bans, now) == 600  # a month of peace


async def test_evidence_that_may_be_forged_bans_for_an_hour_at_most(bans: Bans) -> None:
    now, lasted = 0.0, []
    for _ in range(4):
        lasted.append(ban_here(bans, now, proven=False))
        now += lasted[-1]
        bans.expire(now, WALL + now)
    assert lasted == [600, 3600, 3600, 3600]


async def test_a_ban_that_was_lifted_does_not_count(bans: Bans) -> None:
    ban_here(bans, 0.0)
    lifted = bans.lift("192.0.2.66", "admin", WALL + 5)
    assert (lifted.ended_at, lifted.ended_by) == (WALL + 5, "admin")
    assert ban_here(bans, 10.0) == 600
    with pytest.raises(NotFound):
        bans.lift(lifted.id, "admin", WALL)
    with pytest.raises(NotFound):
        bans.lift("192.0.2.1", "admin", WALL)


async def test_what_is_banned_is_in_the_gate_and_on_the_bus(bans: Bans, bus: Bus, gate: Gate) -> None:
    said: list[str] = []
    bus.subscribe(Banned, lambda event: said.append(f"banned {event.ban.name}: {event.ban.reason}"))
    bus.subscribe(Unbanned, lambda event: said.append(f"free {event.ban.name} by {event.ban.ended_by}"))
    ban_here(bans, 0.0)
    bans.ban(NET, Cause.ORDERED, "", 0.0, WALL, made_by="admin", reason="noise", duration_s=60)
    assert gate.banned == ["192.0.2.66/32", "198.51.100.0/24"]
    held = [bans.holds(source) for source in ("192.0.2.66", "192.0.2.67", "198.51.100.255", "198.51.101.0", "::1")]
    assert held == [True, False, True, False, False]
    bans.expire(60.0, WALL + 60)
    assert gate.banned == ["192.0.2.66/32"]
    assert not bans.holds("198.51.100.255")
    assert said == [
        "banned 192.0.2.66: one wrong password after the other for one user",
        "banned 198.51.100.0/24: noise",
        "free 198.51.100.0/24 by time",
    ]


async def test_an_order_replaces_what_is_there_and_the_house_shortens_nothing(bans: Bans, gate: Gate) -> None:
    first = bans.ban(HERE, Cause.ORDERED, "", 0.0, WALL, made_by="admin", duration_s=float("inf"))
    assert first.until is None
    assert bans.ban(HERE, Cause.SPRAY, "", 1.0, WALL + 1) is first
    second = bans.ban(HERE, Cause.ORDERED, "", 2.0, WALL + 2, made_by="admin", duration_s=60)
    assert (second.until, second.offence, first.ended_by) == (WALL + 62, 1, "admin")
    assert gate.banned == ["192.0.2.66/32"]
    assert [ban.id for ban in bans.all()] == sorted([first.id, second.id], reverse=True)


async def test_hits_are_those_of_the_gate_and_refused_connections(bans: Bans, gate: Gate) -> None:
    ban = bans.ban(NET, Cause.ORDERED, "", 0.0, WALL, duration_s=60)
    gate.hits["198.51.100.0/24"] = 40
    bans.refused("198.51.100.7")
    bans.refused("198.51.101.7")
    assert (bans.hits(ban), bans.total_hits) == (41, 41)
    bans.expire(60.0, WALL + 60)
    assert (ban.hits, bans.hits(ban), bans.total_hits) == (41, 41, 41)


async def test_bans_outlive_a_restart(store: Store, bans: Bans, gate: Gate) -> None:
    ban_here(bans, 0.0)
    bans.ban(NET, Cause.ORDERED, "", 0.0, WALL, made_by="admin", reason="noise", duration_s=float("inf"))
    short = bans.ban(ip_network("2001:db8::/64"), Cause.SPRAY, "10 numbers", 0.0, WALL, duration_s=30)
    gate.hits["198.51.100.0/24"] = 40
    bans.save()
    await store.drain()
    gate_after = Gate()
    after = Bans(store, Bus(), gate_after, "acc_1", Terms())
    assert await after.load(5000.0, WALL + 100) == 2  # another clock, a hundred seconds later
    assert sorted(gate_after.banned) == ["192.0.2.66/32", "198.51.100.0/24"]
    ends = {ban.name: ban.ends - 5000.0 for ban in after.active.values()}
    assert ends == {"192.0.2.66": 500.0, "198.51.100.0/24": float("inf")}
    gate_after.hits["198.51.100.0/24"] = 2
    assert {after.hits(ban) for ban in after.active.values()} == {0, 42}
    ended = after.find(short.id)
    assert ended is not None
    assert (ended.ended_at, ended.ended_by, ended.evidence) == (WALL + 30, "time", "10 numbers")
    after.expire(5500.0, WALL + 600)
    assert after.ban(HERE, Cause.GUESSING, "", 5500.0, WALL + 600).offence == 2


async def test_a_row_that_cannot_be_read_costs_only_itself(store: Store, bans: Bans) -> None:
    ban_here(bans, 0.0)
    good = bans._row(next(iter(bans.active.values())))
    store.write(store.upsert(bans_table), {**good, "id": "ban_bad", "network": "nonsense"})
    store.write(store.upsert(bans_table), {**good, "id": "ban_odd", "cause": "moonshine"})
    await store.drain()
    after = Bans(store, Bus(), Gate(), "acc_1", Terms())
    assert await after.load(0.0, WALL) == 1


async def test_old_bans_are_forgotten(store: Store, bans: Bans) -> None:
    ban_here(bans, 0.0)
    bans.expire(600.0, WALL + 600)
    bans.purge(WALL + 600 + bans.terms.forget_s - 1)
    assert len(bans.ended) == 1
    await store.drain()
    bans.purge(WALL + 601 + bans.terms.forget_s)
    await store.drain()
    assert bans.ended == {}
    after = Bans(store, Bus(), Gate(), "acc_1", Terms())
    await after.load(0.0, WALL)
    assert after.all() == []


async def test_when_the_table_is_full_the_ban_that_ends_first_makes_room(
    bans: Bans, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pbxd.directory.bans.MAX_ACTIVE", 3)
    for number, lasts in enumerate((60.0, 30.0, float("inf"))):
        bans.ban(ip_network(f"10.0.0.{number}"), Cause.ORDERED, "", 0.0, WALL, duration_s=lasts)
    ban_here(bans, 1.0)
    assert [ban.name for ban in bans.active.values()] == ["10.0.0.0", "10.0.0.2", "192.0.2.66"]
    assert [ban.ended_by for ban in bans.ended.values()] == ["room"]
    for number in range(5, 7):
        bans.ban(ip_network(f"10.0.0.{number}"), Cause.ORDERED, "", 0.0, WALL, duration_s=float("inf"))
    with pytest.raises(Conflict, match="for good"):
        ban_here(bans, 2.0)
    assert len(gate.banned) == 3


@pytest.mark.parametrize("text", ["", "host", "192.0.2.0/40", "::ffff:192.0.2.1", "1.2.3.4, 5.6.7.8"])
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(Invalid):
        parse_network(text)


async def test_everybody_is_not_banned(bans: Bans) -> None:
    for text in ("0.0.0.0/0", "::/0"):
        with pytest.raises(Invalid, match="everybody"):
            bans.ban(parse_network(text), Cause.ORDERED, "", 0.0, WALL)


async def test_the_allow_list(store: Store) -> None:
    allowed = Allowlist(store, "acc_1")
    allowed.declare([NET])
    entry = allowed.add(HERE, "our office", "admin", WALL)
    assert (entry.name, entry.note, entry.made_by, entry.since) == ("192.0.2.66", "our office", "admin", WALL)
    assert allowed.networks == [NET, HERE]
    for network in (NET, HERE):
        with pytest.raises(Conflict, match="already"):
            allowed.add(network, "", "admin", WALL)
    with pytest.raises(Conflict, match="configuration"):
        allowed.remove(NET)
    await store.drain()
    after = Allowlist(store, "acc_1")
    await after.load()
    assert after.networks == [HERE]
    assert after.remove(HERE).note == "our office"
    with pytest.raises(NotFound):
        after.remove(HERE)
    for number in range(128):
        after.add(ip_network(f"10.0.{number}.0/24"), "", "admin", WALL)
    with pytest.raises(Conflict, match="128"):
        after.add(ip_network("10.1.0.0/24"), "", "admin", WALL)
    await store.drain()
    empty = Allowlist(store, "acc_1")
    await empty.load()
    assert len(empty.networks) == 128
