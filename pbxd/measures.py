"""What the house tells about itself in numbers: each metric, and where its value comes from."""

from __future__ import annotations

from collections import Counter

from media.wire import Wire
from pbxd.faxline import FaxLine
from pbxd.metrics import HistogramReading, Metrics
from pbxd.outbox import Outbox
from pbxd.services.cdr import CallRecords
from pbxd.services.recordings import Recordings
from pbxd.services.traces import Traces
from pbxd.store import Store
from pbxd.store.schema import METADATA
from pbxd.telephony import Telephony
from pbxd.trace import Recorder

NO_ROWS = dict.fromkeys(METADATA.tables, 0)  # a count that begins at nothing is a rise that alarms do not see


def measure_telephony(metrics: Metrics, telephony: Telephony) -> None:
    stack, wire, transports = telephony.stack, telephony.wire, telephony.transports
    metrics.counter("certificate_reloads", "Certificates taken up while running", lambda: _tls(telephony)[0])
    metrics.counter("certificate_failures", "Changed certificates that were no good", lambda: _tls(telephony)[1])
    metrics.gauges("certificate_expires_timestamp_seconds", "When the first certificate expires", [], lambda:
        {(): telephony.tls.expires.timestamp()} if telephony.tls else {})  # fmt: skip
    metrics.gauge("calls", "Calls that are up", lambda: len(telephony.switch.calls))
    watchers = telephony.facilities.watchers
    metrics.histogram("mos_heard", "Mean opinion score of what came, by 5 s of each leg", watchers.heard.reading)
    metrics.histogram("mos_remote", "The same of what far sides heard, by their reports", watchers.remote.reading)
    metrics.counter("one_way_audio", "Times a side was not heard for 5 s", lambda: watchers.one_way)
    metrics.counters("calls_refused", "Calls not let in", ["reason"], lambda: telephony.switch.refused)
    limits = telephony.switch.gate.limits
    metrics.gauge("cac_tickets", "What calls hold against limits", lambda: len(limits))
    metrics.counter("cac_leaks", "Calls that were over and still counted", lambda: limits.leaks)
    metrics.counters("cac_soft_limits_passed", "Calls over a soft limit", ["scope"], lambda: limits.soft)
    telephony.vigil.measure(metrics)
    metrics.counters("sip_auth_failures", "Credentials that proved nothing", ["reason"], lambda:
        telephony.authenticator.failures)  # fmt: skip
    metrics.gauge("registrations", "Contacts that are registered", lambda: len(telephony.registrar))
    metrics.gauges("trunks", "Trunks that register, by state", ["state"], lambda: Counter(
        status.state for status in telephony.trunks.status()))  # fmt: skip
    metrics.gauges("sip_transactions", "Live SIP transactions", ["side"], lambda: {
        "client": stack.client_transactions, "server": stack.server_transactions})  # fmt: skip
    metrics.counters("sip_drops", "SIP messages not acted on", ["reason"], lambda: {
        reason.name.lower(): count for reason, count in stack.counters.items()})  # fmt: skip
    metrics.counters("sip_losses", "SIP messages we could not carry", ["reason"], lambda: {
        reason.name.lower(): count for reason, count in transports.losses.items()})  # fmt: skip
    metrics.counter("overload_episodes", "Times new work was refused", lambda: transports.overload.episodes)
    metrics.gauge("media_legs", "Legs with open RTP ports", lambda: wire.legs_open)
    metrics.gauge("rtp_ports_in_use", "RTP port pairs in use", lambda: telephony.media.ports.in_use)
    metrics.counter("rtp_packets_received", "RTP packets received", lambda: wire.packets()[0])
    metrics.counter("rtp_packets_sent", "RTP packets sent", lambda: wire.packets()[1])
    metrics.counters("wire_drops", "Packets and datagrams dropped by wire", ["reason"], wire.drops)
    metrics.counter("wire_cpu_seconds", "CPU time of the wire thread", wire.thread_cpu_s)
    metrics.histogram("wire_lateness_seconds", "How late the wire thread ran what was due", lambda: _lateness(wire))


def measure_outbox(metrics: Metrics, outbox: Outbox) -> None:
    metrics.gauge("outbox_waiting", "Deliveries that have not ended", lambda: outbox.waiting)
    metrics.gauge("outbox_oldest_seconds", "Age of the oldest of them", lambda: outbox.oldest_s)
    metrics.counters("outbox_delivered", "Deliveries the far side confirmed", ["kind"], lambda: outbox.delivered)
    metrics.counters("outbox_failed", "Tries that failed and are repeated", ["kind"], lambda: outbox.failed)
    metrics.counters("outbox_refused", "Deliveries not taken", ["reason"], lambda: outbox.refused)
    metrics.counters("outbox_dead", "Deliveries given up", ["kind"], lambda: outbox.dead)


def measure_traces(metrics: Metrics, traces: Traces, recorder: Recorder) -> None:
    metrics.gauge("traces_held", "Calls and strangers whose traces grow in memory", lambda: len(recorder))
    metrics.gauge("trace_bytes", "Memory that these take", lambda: recorder.size)
    metrics.counter("trace_messages", "SIP messages written to traces", lambda: recorder.messages)
    metrics.counter("trace_messages_unkept", "SIP messages without room in memory", lambda: recorder.unkept)
    metrics.gauge("traces_waiting", "Traces of ended calls on their way to the store", lambda: traces.waiting)
    metrics.gauge("traces_waiting_bytes", "Memory that these take", lambda: traces.waiting_size)
    metrics.counter("traces_written", "Traces the store has taken", lambda: traces.written)
    metrics.counter("traces_lost", "Traces that found no room on the way to the store", lambda: traces.lost)
    metrics.counter("trace_write_failures", "Times the store did not take traces", lambda: traces.failures)


def measure_sound(metrics: Metrics, telephony: Telephony, recordings: Recordings) -> None:
    keeper = recordings.keeper
    metrics.gauge("listeners", "Who listens in to calls", lambda: telephony.live.listeners)
    metrics.gauge("conferences", "Conferences that somebody is in", lambda: len(telephony.conferences))
    metrics.gauge("conference_members", "Members of all conferences", lambda: telephony.conferences.members)
    metrics.gauge("recordings", "Recordings that go on", lambda: recordings.active)
    metrics.counters("recordings_ended", "Recordings that have ended, by why", ["reason"], lambda: recordings.ended)
    metrics.counter("recordings_refused", "Calls not recorded for lack of room", lambda: recordings.refused)
    metrics.counters("recordings_deleted", "Recordings deleted", ["why"], lambda: keeper.deleted)
    metrics.gauge("recordings_bytes", "What recordings take on the disk", lambda: keeper.octets)
    metrics.gauge("recordings_free_bytes", "Room left on their disk", lambda: keeper.free or 0)


def measure_faxes(metrics: Metrics, line: FaxLine) -> None:
    engine = line.engine
    metrics.gauge("faxes", "Faxes that are under way over SIP", lambda: len(engine))
    metrics.counters("faxes_ended", "Faxes over SIP that have ended", ["way", "result"], lambda: line.ended)
    metrics.counters("fax_pages", "Pages that were confirmed", ["way"], lambda: line.pages)
    metrics.counters(
        "faxes_passed",
        "Faxes that went through between two others",
        ["by"],
        lambda: {("gateway",): engine.gateways, ("t38",): engine.relays},
    )
    metrics.counter("fax_turns_late", "How often the modems were stepped too late", lambda: engine.turns_late)


def _tls(telephony: Telephony) -> tuple[int, int]:
    return (telephony.tls.reloads, telephony.tls.failures) if telephony.tls else (0, 0)


def _lateness(wire: Wire) -> HistogramReading:
    """Its sum is an estimate from above: each lateness counts as its bucket's bound."""
    buckets = wire.lateness()
    bounds = [bucket.below_us / 1e6 for bucket in buckets if bucket.below_us is not None]
    counts = [bucket.count for bucket in buckets]
    return HistogramReading(bounds, counts, sum(bound * count for bound, count in zip(bounds, counts, strict=False)))


def measure_store(metrics: Metrics, store: Store) -> None:
    metrics.gauge("store_pending_rows", "Rows not yet committed", lambda: store.statistics.pending)
    metrics.counter("store_rows_written", "Rows committed", lambda: store.statistics.written)
    metrics.counters("store_rows_dropped", "Rows lost: queue full", ["table"], lambda:
        NO_ROWS | store.statistics.dropped)  # fmt: skip
    metrics.counters("store_rows_poisoned", "Rows refused", ["table"], lambda:
        NO_ROWS | store.statistics.poisoned)  # fmt: skip


def measure_records(metrics: Metrics, records: CallRecords) -> None:
    metrics.counters("calls_ended", "Calls that have ended, by whose doing", ["result"], lambda: records.results)
    metrics.counter("rtp_leg_packets", "RTP packets of legs that have ended", lambda: records.packets_received)
    metrics.counter("rtp_leg_packets_lost", "RTP packets these legs missed", lambda: records.packets_lost)
