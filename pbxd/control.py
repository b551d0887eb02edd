"""The control plane of the edge put together: what its operations work with, as `edge` says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from dialplan.flow import Library
from pbxd.api.edge import Edge, MediaDesk
from pbxd.calls.record import CallRecord
from pbxd.config.schema import Config
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account, Aor
from pbxd.directory.remote import RemoteDigests
from pbxd.events import Bus
from pbxd.facade import LiveCalls
from pbxd.flows.sessions import Bounds, FlowSessions
from pbxd.metrics import Metrics
from pbxd.services.cdr import CallRecords
from pbxd.services.monitor import Monitor
from pbxd.services.queues import Queues
from pbxd.services.reach import NodeContact, Reach
from pbxd.services.remote import Patience, RemoteCalls
from pbxd.services.remote.kept import Kept
from pbxd.services.traces import Traces
from pbxd.sip.flow import place
from pbxd.store import Store
from pbxd.telephony import Telephony

SLICE = 16  # calls that are written down at once


def edge_of(
    config: Config,
    secret: bytes,
    store: Store,
    bus: Bus,
    directory: Directory,
    telephony: Telephony,
    records: CallRecords,
    traces: Traces,
    queues: Queues,
    media: MediaDesk,
    monitor: Monitor,
) -> Edge:
    """The collaborators of the edge contract. `secret` is the house's own."""
    flows = telephony.dialplans.flows
    kept = Kept(store, config.node, telephony.switch.gate.limits, telephony.wall)
    calls = RemoteCalls(bus, telephony.trace, telephony.wall, Patience(), kept)

    def wall() -> float:
        return telephony.wall(telephony.now())

    def library_of(account_id: str) -> Library:
        return flows.of(account_id).book.library

    edge = Edge(
        directory=directory,
        digests=RemoteDigests(directory, secret, telephony.authenticator.algorithms, config.edge.nonce_s),
        calls=calls,
        kept=kept,
        reach=Reach(lambda aor, now: bool(telephony.registrar.bindings(aor, now))),
        flows=FlowSessions(flows.desk, store, library_of, telephony.trace, wall, telephony.now, Bounds()),
        flow_names=lambda account: library_of(account.id).flows,
        housed=partial(_housed, telephony),
        live_record=partial(_live_record, telephony, calls),
        live_records=LiveCalls(telephony, calls).calls,
        gate=telephony.switch.gate,
        door=telephony.entrance,
        reports=telephony.entrance.reports,
        phones_at=lambda now: {binding.source[0] for binding in telephony.registrar.all(now)},
        node=config.node,
        records=records,
        traces=traces,
        queues=queues,
        flush=telephony.transports.flush,
        media=media,
        monitor=monitor,
        hours=flows.opening,
        wall=wall,
        now=telephony.now,
    )
    queues.elsewhere = AtNodes(edge.reach, calls)
    telephony.switch.gate.elsewhere = calls.alive
    reload(edge, config)
    return edge


class AtNodes:
    """Operators at nodes: whose phones are registered there, and who is in a call there."""

    def __init__(self, reach: Reach, calls: RemoteCalls) -> None:
        self._reach = reach
        self._calls = calls

    def reachable(self, aor: Aor, now: float) -> bool:
        return bool(self._reach.contacts(aor, now))

    def busy(self, account_id: str) -> Iterable[str]:
        return self._calls.busy(account_id)


async def take_up(edge: Edge) -> None:
    """Calls that nodes had when the house was stopped go on. Raises StoreError."""
    now = edge.now()
    edge.calls.take_up(await edge.kept.load(now), now)
    for call in edge.calls.live():
        edge.records.resume(call.record)


def settle(edge: Edge) -> None:
    """What is not written down yet is."""
    edge.calls.save()


def reload(edge: Edge, config: Config) -> None:
    """What the configuration says from now on."""
    said = config.edge
    edge.digests.foreign = said.foreign_nonces
    edge.digests.lifetime_s = said.nonce_s
    edge.media.most_octets = said.media_max_mb << 20
    edge.calls.patience = Patience(said.setup_s, said.call_s, said.max_calls)
    edge.flows.bounds.idle_s, edge.flows.bounds.most = said.session_s, said.max_sessions


def beat(edge: Edge) -> None:
    """What is due every second."""
    now = edge.now()
    edge.calls.sweep(now)
    _save(edge)
    edge.reach.sweep(now)
    edge.flows.sweep(edge.wall())


def _save(edge: Edge) -> None:
    """A few calls at a time: thousands may have changed, and somebody waits for an answer meanwhile."""
    if edge.calls.save(SLICE):
        asyncio.get_running_loop().call_soon(_save, edge)


def measure(metrics: Metrics, edge: Edge) -> None:
    """Name the metrics of the edge."""
    metrics.gauge("edge_calls", "Calls on nodes of the edge", lambda: len(edge.calls))
    metrics.counters("edge_calls_ended", "Calls on nodes that are over, by how", ["how"], lambda: edge.calls.ends)
    metrics.gauge("edge_contacts", "Phones that nodes say are registered there", lambda: len(edge.reach))
    metrics.gauge("edge_watchers", "Who watches the house live", lambda: edge.monitor.watchers)
    metrics.counter("edge_watchers_missed", "Events that watchers were too slow for", lambda: edge.monitor.lost)
    metrics.gauge("edge_flows", "Call flows that nodes carry out", lambda: len(edge.flows))
    metrics.counters("edge_flow_endings", "Flows of nodes that ended, by how", ["ending"], lambda: edge.flows.endings)
    metrics.counters("edge_digests", "Digest answers judged for nodes, by what came of it", ["result"], lambda: {
        reason.value if reason else "proven": count for reason, count in edge.digests.judged.items()
    })  # fmt: skip


def _housed(telephony: Telephony, account: Account, now: float) -> list[NodeContact]:
    return [
        NodeContact(
            Aor(account.id, binding.aor.user),
            str(binding.contact),
            "",
            place(binding.transport, *binding.source),
            binding.user_agent,
            now,
            binding.expires,
        )
        for binding in telephony.registrar.all(now)
        if binding.aor.account_id == account.id
    ]


def _live_record(telephony: Telephony, calls: RemoteCalls, call_id: str) -> CallRecord | None:
    call = telephony.switch.calls.get(call_id)
    return call.record if call is not None else calls.record(call_id)
