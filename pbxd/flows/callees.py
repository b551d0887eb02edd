"""Whom a flow calls: its numbers as places that ring.

Who writes a flow decides who may be called by it. A number that stands in the flow may leave the house by any route,
also for a caller from outside; one that came from the caller, such as digits they pressed, only where that caller might
have dialled it themselves. Otherwise a menu would be a free way to anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from dialplan.command import Dial
from dialplan.command import Target as Wanted
from dialplan.flow import Flow
from dialplan.verbs.dial import Dial as DialVerb
from pbxd.calls.connection import Came
from pbxd.calls.dial import Target
from pbxd.calls.gate import Barred
from pbxd.calls.identity import Caller
from pbxd.calls.peer import Arrival
from pbxd.calls.record import CallRecord
from pbxd.calls.routing import Reject, ToTrunk, ToUser, route
from pbxd.calls.targets import targets_of
from pbxd.directory.model import Account
from pbxd.flows.desk import Desk

_CAME = {486: Came.BUSY, 403: Came.DECLINED}
NUMBER = re.compile(r"[0-9A-Za-z*#+._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Nobody:
    """Why a number does not ring."""

    came: Came
    reason: str
    status: int


def spelled_out(flow: Flow | None, step: str) -> frozenset[str]:
    """The numbers that stand in the flow itself at that step, not put in from elsewhere."""
    verb = flow.steps[step].verb if flow is not None and step in flow.steps else None
    if not isinstance(verb, DialVerb):
        return frozenset()
    return frozenset(template.literal.strip() for template in verb.dial if template.literal is not None)


def parties_of(
    desk: Desk,
    record: CallRecord,
    command: Dial,
    arrival: Arrival,
    account: Account,
    known: Collection[str],
    now: float,
) -> tuple[list[list[Target]], Nobody | None]:
    """The places of each number that rings; and why the others do not, the best reason of them."""
    caller = _shown(command, arrival)
    parties: list[list[Target]] = []
    why: Nobody | None = None
    for wanted in command.targets:
        found = _party(desk, record, wanted, arrival, account, caller, known, now)
        if isinstance(found, Nobody):
            why = why or found
        else:
            parties.append(found)
    return parties, why


def _party(
    desk: Desk,
    record: CallRecord,
    wanted: Wanted,
    arrival: Arrival,
    account: Account,
    caller: Caller,
    known: Collection[str],
    now: float,
) -> list[Target] | Nobody:
    directory = desk.facilities.directory
    if not NUMBER.fullmatch(wanted.number):
        return Nobody(Came.UNREACHABLE, "this is no number", 484)
    found: ToUser | ToTrunk
    if wanted.trunk is not None:
        trunk = directory.trunk(account, wanted.trunk)
        if trunk is None or trunk.proxy is None:
            return Nobody(Came.FAILED, f"there is no trunk {wanted.trunk} to call out by", 503)
        found = ToTrunk(trunk, wanted.number)
    else:
        source = None if wanted.number in known else arrival.peer.trunk
        routed = route(directory, account, wanted.number, source=source)
        if isinstance(routed, Reject):
            came = Came.DECLINED if routed.status == 403 else Came.UNREACHABLE
            return Nobody(came, routed.reason, routed.status)
        if not isinstance(routed, ToUser | ToTrunk):
            return Nobody(Came.FAILED, f"{wanted.number} is no phone that could ring", 488)
        found = routed
    targets = targets_of(desk.facilities, found, arrival.request, caller, account, now)
    if not targets:
        return Nobody(Came.UNREACHABLE, "no phone is registered", 480)
    try:
        return desk.hold(record, arrival.peer.party, found, targets)
    except Barred as error:
        return Nobody(_CAME.get(error.sip_status, Came.FAILED), error.message, error.sip_status)


def _shown(command: Dial, arrival: Arrival) -> Caller:
    """Who the called side is told is calling. A caller who hides stays hidden, unless the flow names another number."""
    own = arrival.peer.caller
    if command.caller_id is None or not NUMBER.fullmatch(command.caller_id):
        return Caller(own.number, command.caller_name or own.name, own.private)
    return Caller(command.caller_id, command.caller_name or "", False)
