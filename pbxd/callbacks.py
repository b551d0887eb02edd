"""Calling back whoever left a message: where calls meet mailboxes for once in the other direction."""

from __future__ import annotations

from collections.abc import Callable

from media.script import Signal
from media.tones import Tone
from pbxd.calls.connection import Came, Connection, Outcome, Terms
from pbxd.calls.connection import Host as ConnectionHost
from pbxd.calls.facilities import Facilities
from pbxd.calls.gate import Barred, Gate
from pbxd.calls.routing import ToTrunk, ToUser, route
from pbxd.calls.stage import Stage
from pbxd.calls.targets import targets_of
from pbxd.services.voicemail.post import RingBack

RING_S = 30.0


def ring_back(facilities: Facilities, gate: Gate) -> RingBack:
    """Rings for an owner at their mailbox, wherever the owner could have dialled from that very phone: a number that a
    caller made up leads nowhere else."""

    def ring(
        stage: Stage, number: str, over: Callable[[bool, float], None], now: float
    ) -> Callable[[float], None] | None:
        arrival, call, directory = stage.arrival, stage.host, facilities.directory
        if arrival is None or not number or not isinstance(call, ConnectionHost):
            return None
        account = directory.account_or_default(stage.record.account_id)
        found = route(directory, account, number, source=arrival.peer.trunk)
        if not isinstance(found, ToUser | ToTrunk):
            return None
        targets = targets_of(facilities, found, arrival.request, arrival.peer.caller, account, now)
        try:
            targets = gate.hold(stage.record, arrival.peer.party, found, targets)
        except Barred:
            return None
        if not targets:
            return None

        def ended(outcome: Outcome, later: float) -> None:
            over(outcome.came is Came.ANSWERED, later)

        terms = Terms(RING_S, waiting=(Signal(Tone.RINGBACK),))
        connection = Connection(facilities, call, stage, [targets], terms, ended)
        connection.start(now)
        return connection.stop

    return ring
