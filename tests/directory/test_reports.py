"""Bans of nodes, enforced here: how long, of whom not, what ends them. Virtual time, a real store."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from ipaddress import ip_network

import pytest

from pbxd.directory import reports as reports_module
from pbxd.directory.bans import Ban, Bans, Terms
from pbxd.directory.evidence import Cause
from pbxd.directory.model import Network
from pbxd.directory.reports import STALE_S, Judged, ReportedBan, Reports, node_of
from pbxd.errors import Conflict
from pbxd.events import Bus
from pbxd.store import Store
from tests.directory.test_bans import HERE, NET, WALL, Gate

SPARED = ip_network("192.0.2.99")
ONE = ReportedBan(HERE, "REGISTER flood", "900 in 10 s", flagged=True, hits=12)


class Scene:
    """A house that nodes report to."""

    def __init__(self, store: Store) -> None:
        self.gate = Gate()
        self.bans = Bans(store, Bus(), self.gate, "acc_1", Terms())
        self.batches = 0
        self.reports = Reports(self.bans, lambda: self._spares, self._together)

    def _spares(self, network: Network) -> str | None:
        return "it is a trunk's" if network == SPARED else None

    def _together(self) -> AbstractContextManager[None]:
        self.batches += 1
        return nullcontext()

    def take(self, now: float, *bans: ReportedBan, node: str = "edge-1") -> Judged:
        self.bans.expire(now, WALL + now)
        return self.reports.take(node, bans, now, WALL + now)

    def here(self) -> Ban:
        return self.bans.active[HERE]


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


async def test_what_a_node_bans_the_house_bans_with_all_that_is_known(scene: Scene) -> None:
    judged = scene.take(0.0, replace(ONE, until=WALL + 900))
    assert judged == Judged(enforced=[HERE])
    assert scene.gate.banned == ["192.0.2.66/32"]
    ban = scene.here()
    assert (ban.cause, ban.reason, ban.evidence, ban.made_by) == (
        Cause.REPORTED, "REGISTER flood", "900 in 10 s", "node edge-1",
    )  # fmt: skip
    assert (ban.ends, ban.until, ban.offence, node_of(ban)) == (900.0, WALL + 900, 1, "edge-1")
    said = scene.reports.said_of(ban)
    assert said is not None
    assert (said.flagged, said.hits, said.since, said.heard) == (True, 12, WALL, WALL)
    assert scene.batches == 1


async def test_said_again_it_is_the_same_ban_and_lasts_as_long_as_its_node_says(scene: Scene) -> None:
    scene.take(0.0, replace(ONE, until=WALL + 900))
    first = scene.here()
    assert scene.take(30.0, replace(ONE, until=WALL + 900)).enforced == [HERE]
    scene.take(60.0, replace(ONE, until=WALL + 2000))
    assert scene.here() is first
    assert (first.ends, first.until) == (2000.0, WALL + 2000)
    scene.take(90.0, replace(ONE, until=WALL + 1000))  # never for less
    assert first.until == WALL + 2000
    scene.bans.expire(2000.0, WALL + 2000)
    assert scene.gate.banned == []


async def test_who_comes_back_is_kept_out_longer_than_its_node_says(scene: Scene) -> None:
    scene.take(0.0, replace(ONE, until=WALL + 300))
    scene.take(400.0, replace(ONE, until=WALL + 700))
    assert (scene.here().offence, scene.here().ends) == (2, 400 + 3600)
    scene.take(430.0)  # its end at the node has not come: it was lifted there
    assert scene.gate.banned == []


async def test_without_an_end_the_houses_own_terms_hold(scene: Scene) -> None:
    scene.take(0.0, ONE)
    assert (scene.here().ends, scene.here().offence) == (600.0, 1)
    scene.take(630.0, ONE)  # the node keeps saying it
    assert (scene.here().ends, scene.here().offence) == (630 + 3600, 2)
    scene.take(660.0)
    assert scene.gate.banned == []
    scene.take(700.0, ONE)
    assert scene.here().offence == 3


async def test_what_a_node_says_no_more_is_over(scene: Scene) -> None:
    other = ReportedBan(NET, until=WALL + 5000)
    scene.take(0.0, replace(ONE, until=WALL + 5000), other)
    scene.take(30.0, other)
    assert scene.gate.banned == ["198.51.100.0/24"]
    scene.take(60.0, other, node="edge-2")
    scene.take(90.0)  # edge-2 still says it
    assert scene.gate.banned == ["198.51.100.0/24"]
    scene.take(4990.0, replace(other, until=WALL + 5010), node="edge-2")
    scene.take(4995.0, node="edge-2")  # its time is as good as over: it ends by itself
    assert scene.gate.banned == ["198.51.100.0/24"]


async def test_a_node_that_falls_silent_leaves_its_bans_to_their_end(scene: Scene) -> None:
    scene.take(0.0, replace(ONE, until=WALL + 5000))
    assert scene.reports.bans(STALE_S) == []
    assert scene.gate.banned == ["192.0.2.66/32"]
    assert scene.reports.said_of(scene.here()) is None


async def test_what_is_over_or_spared_is_not_enforced_and_the_node_hears_why(scene: Scene) -> None:
    judged = scene.take(0.0, ReportedBan(HERE, until=WALL - 1), ReportedBan(SPARED))
    assert judged == Judged(spared=[(SPARED, "it is a trunk's")])
    assert scene.gate.banned == []


async def test_what_somebody_lifts_stays_lifted_while_the_node_goes_on(scene: Scene) -> None:
    scene.take(0.0, ONE)
    scene.bans.lift("192.0.2.66", "admin", WALL + 10)
    assert scene.take(30.0, ONE) == Judged(released=[HERE])
    assert scene.take(60.0, replace(ONE, since=WALL + 5)).released == [HERE]
    assert scene.gate.banned == []
    scene.take(90.0)
    assert scene.take(120.0, ONE).enforced == [HERE]  # it did it again
    assert scene.here().offence == 1  # the first one was a mistake


async def test_a_ban_of_the_house_is_left_as_it_is(scene: Scene) -> None:
    own = scene.bans.ban(HERE, Cause.GUESSING, "13 for 1001", 0.0, WALL)
    assert scene.take(0.0, replace(ONE, until=WALL + 9000)).enforced == [HERE]
    assert scene.here() is own
    assert own.until == WALL + 600
    scene.take(30.0)
    assert scene.here() is own


async def test_nodes_take_no_more_than_their_room(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "MAX_ENFORCED", 1)
    judged = scene.take(0.0, ONE, ReportedBan(NET))
    assert judged.enforced == [HERE]
    assert judged.spared == [(NET, "1 bans of nodes are in force already")]


async def test_reports_are_bounded_and_go_stale(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "MAX_NODES", 2)
    for node in ("a", "b"):
        scene.take(0.0, ONE, node=node)
    with pytest.raises(Conflict, match="2 nodes report already"):
        scene.take(1.0, ONE, node="c")
    scene.take(STALE_S - 1, ONE, ONE, node="a")
    assert len(scene.reports.bans(STALE_S - 1)) == 2
    assert {node for node, _ in scene.reports.bans(STALE_S)} == {"a"}
    scene.take(STALE_S, ONE, node="c")
