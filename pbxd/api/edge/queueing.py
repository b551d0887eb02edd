"""Callers of nodes in the house's queues: how they stand, whom their node is to ring, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pbxd.api.edge.agents import queue_named
from pbxd.api.edge.collaborators import Edge
from pbxd.directory.model import Account, Aor
from pbxd.errors import Invalid, NotFound
from pbxd.flows.sessions import Answer, Session
from pbxd.services.queues import CallerView, Exit, RemoteLine, Wishes
from pbxd.services.queues.line import OUTCOMES
from pbxd.services.queues.model import Lease, Why
from pbxd.services.queues.table import Place
from pbxd.services.remote import RemoteCall

ENQUEUE = "enqueue"
WAITING = "waiting"
POLL_S = 1.0
SINCE = "waits_since"
_EXITS = {exit_.value: exit_ for exit_ in Exit} | {"answered": Exit.ABANDON, "interrupted": Exit.ABANDON}


async def stands(edge: Edge, session: Session, call: RemoteCall, seq: int | None, data: Mapping[str, Any]) -> Answer:
    """The answer to `waiting`: `enqueue` with how the caller stands, or the next command when it has left the queue.
    Raises Invalid where the caller is in none, Conflict for a command that is not out."""
    answer, said = session.answer, (WAITING, data)
    if seq is not None and seq != answer.seq:
        return await edge.flows.step(session, call.record, WAITING, data, seq)
    account = edge.directory.account(session.account_id)
    if answer.command != ENQUEUE or account is None:
        raise Invalid(f"outcome: {WAITING} is of {ENQUEUE}, and that command is not out")
    talks = edge.queues.caller(account.id, session.record)
    if talks is not None and talks.place is Place.TALKING:
        return _stands(edge, session, _standing(talks))
    line = _line(edge, account, session, call)
    if line is None:
        why = {"reason": "there is no such queue"}
        return await edge.flows.step(session, call.record, "failed", why, answer.seq, heard=said)
    if line.exit is not None:
        edge.queues.left_at_node(call.record, line.exit)
        why = {"reason": f"left the queue {line.queue}: {line.exit.value}"}
        return await edge.flows.step(session, call.record, OUTCOMES[line.exit].value, why, answer.seq, heard=said)
    _refused(edge, line, data)
    seen = edge.queues.caller(account.id, call.record.id)
    return _stands(edge, session, _standing(seen) | _work(edge, account, line))


def leaves(edge: Edge, session: Session, call: RemoteCall, outcome: str) -> None:
    """The node says how its caller left. Who talked to an operator was answered, whatever is said."""
    word, colon, _ = outcome.partition(":")
    exit_ = Exit.DIGIT if colon and word in ("digit", "digits") else _EXITS.get(outcome, Exit.ABANDON)
    edge.queues.left_at_node(call.record, exit_, session.record)


def _refused(edge: Edge, line: RemoteLine, data: Mapping[str, Any]) -> None:
    """A phone that the node rang was busy, declined, or is not there: the next one is offered the caller at once."""
    offer = (data.get("lease_id"), data.get("epoch"))
    for lease in tuple(line.offers.values()):
        if (lease.id, lease.epoch) == offer:
            why = Why.UNREACHABLE if data.get("why") == Why.UNREACHABLE else Why.DECLINED
            edge.queues.failed(line, lease, why, edge.now())


def _stands(edge: Edge, session: Session, standing: dict[str, Any]) -> Answer:
    answer = session.answer
    edge.flows.touch(session)
    return Answer(ENQUEUE, {**answer.args, "standing": standing}, answer.seq, done=False)


def _line(edge: Edge, account: Account, session: Session, call: RemoteCall) -> RemoteLine | None:
    """Its place in the queue. It begins to wait when its node first asks; since when is kept with the session, so that
    a restart of the house costs it nothing."""
    args, wall = session.answer.args, edge.wall()
    try:
        queue = queue_named(edge, account, str(args["queue"]))
    except NotFound:
        return None
    wishes = Wishes(int(args.get("priority", 0)), bool(args.get("wait_when_empty")), args.get("leave_digit"))
    since = args.get(SINCE)
    line = edge.queues.at_node(account, queue, call.record, wishes, 0.0 if since is None else max(0.0, wall - since))
    if line is not None and since is None:
        edge.flows.keep(session, **{SINCE: wall})
    return line


def _standing(seen: CallerView | None) -> dict[str, Any]:
    if seen is None:  # it has left just now: the next answer says how
        return {"state": Place.LEFT.value, "offers": [], "ask_again_s": 0.0}
    return {
        "state": seen.place.value,
        "queue": seen.queue,
        "position": seen.position,
        "expected_s": seen.expected_s,
        "waited_s": round(seen.waited_s, 1),
        "agent": seen.operator,
        "offers": [],
        "ask_again_s": POLL_S,
    }


def _work(edge: Edge, account: Account, line: RemoteLine) -> dict[str, Any]:
    """What the node is to do: say, and ring."""
    rules = line.rules()
    return {
        "title": rules.title or rules.name,
        "announce": asdict(line.announcement) if line.announcement is not None else None,
        "whisper": rules.whisper,
        "accept": rules.accept,
        "offers": [_offer(edge, account, lease) for lease in line.offers.values()],
    }


def _offer(edge: Edge, account: Account, lease: Lease) -> dict[str, Any]:
    """Whom to ring, where, for how long, and what to say to `/agent/confirm` when they answer."""
    now, aor = edge.now(), Aor(account.id, lease.operator)
    here = [one.contact for one in edge.housed(account, now) if one.aor == aor]
    return {
        "agent": lease.operator,
        "lease_id": lease.id,
        "epoch": lease.epoch,
        "ring_s": round(max(0.0, lease.until - now), 1),
        "contacts": [*(one.contact for one in edge.reach.contacts(aor, now)), *here],
    }
