"""The composition root: builds the house, wires it, reloads it, stops it. Only this and telephony know all names.

start    data directory, store, directory, telephony (SIP is answered from here on), HTTP
reload   hands each part what a changed configuration says; calls go on
drain    no new calls; those that are up may end, until the deadline
stop     in the reverse order of start
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from media.wire import Wire
from pbxd import __version__, faults
from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.health import Health, health_routes
from pbxd.api.house import HOUSE, House, RegisteredContact, Tracing, TrunkRow, sound_routes
from pbxd.api.origin import Origins
from pbxd.api.server import Server
from pbxd.api.surface import Surface
from pbxd.calls.record import CallRecord
from pbxd.config import Config, diff, needs_restart, settings
from pbxd.directory.accounts import Directory
from pbxd.directory.first_start import ADMIN_KEY_NAME, Card, first_start
from pbxd.directory.keys import EVERYTHING, Keys
from pbxd.directory.model import Aor, PhoneEntry, Trunk
from pbxd.directory.trunks import TrunkState, TrunkStatus
from pbxd.entrance import measure as measure_entrance
from pbxd.events import Bus
from pbxd.flows import measure as measure_flows
from pbxd.logs import Logs, get_logger
from pbxd.mailroom import Mailroom
from pbxd.metrics import HistogramReading, LoopLag, Metrics
from pbxd.outbox import Outbox
from pbxd.services import journal
from pbxd.services.cdr import CallRecords
from pbxd.services.deliveries import OutboxService
from pbxd.services.recordings import Recordings
from pbxd.services.traces import Keeping, Network, Traces
from pbxd.sip.flow import place
from pbxd.store import DataDirectory, Store, sqlite_url
from pbxd.store.schema import METADATA
from pbxd.telephony import Telephony
from pbxd.trace import Recorder

SOCKET_NAME = "pbxd.sock"
BEAT_S = 1.0
GOODBYE_S = 1.0  # for the BYEs at the end of a drain to be answered
QUIET_POLL_S = 0.02
NO_ROWS = dict.fromkeys(METADATA.tables, 0)  # a count that begins at nothing is a rise that alarms do not see

Section = TypeVar("Section", bound=BaseModel)

log = get_logger(part="app")


class App:
    """One house. `start` it once, `stop` it once; in between `reload` and `drain`.

    `card` holds the secrets of a first start until somebody has shown them.
    """

    store: Store
    directory: Directory
    keys: Keys
    records: CallRecords
    traces: Traces
    telephony: Telephony
    recordings: Recordings
    mailroom: Mailroom
    deliveries: OutboxService
    server: Server

    def __init__(self, config: Config, logs: Logs | None = None) -> None:
        self.config = config
        self.bus = Bus()
        self.metrics = Metrics()
        self.card: Card | None = None
        self._logs = logs
        self._serving = False
        self._lag = LoopLag()
        self._parts = AsyncExitStack()
        self._beating: asyncio.TimerHandle | None = None

    # ---- life

    async def start(self) -> None:
        """Build and wire everything; SIP is answered as soon as it can be. What was begun is stopped if it fails.

        Raises StoreError, DataDirectoryError, CertificateError, BindError, OSError.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config, wall = self.config, time.time()
        data = DataDirectory.prepare(config.data_dir)
        self._parts.callback(data.release)
        url = config.store.url.get_secret_value() if config.store.url else sqlite_url(data.database)
        self.store = await Store.open(url)
        self._parts.push_async_callback(self.store.close)
        self.directory = await Directory.load(self.store, config, wall)
        self.keys = await Keys.load(self.store, config, self.directory.default_account.id, wall)
        self.card = await first_start(self.directory, self.keys, self.store, config, wall)
        self.records = CallRecords(self.store, config.node)
        await self.records.close_orphans()
        self.records.listen(self.bus)
        journal.listen(self.bus)
        self.telephony = Telephony(config, data, self.store, self.directory, self.bus)
        self.traces = self._traces()
        self.recordings = await self._recordings(data, config)
        self.mailroom = Mailroom(config, data, self.store, self.telephony)
        self._parts.push_async_callback(self.mailroom.stop)
        await self.mailroom.open(config)
        await self.telephony.start()
        self._parts.push_async_callback(self._stop_traces)
        self._parts.push_async_callback(self.telephony.stop)
        self.deliveries = OutboxService(self.store, config)
        self._parts.push_async_callback(self.deliveries.stop)
        await self.deliveries.start()
        self.mailroom.serve(self.deliveries.outbox)
        self._parts.push_async_callback(self.mailroom.settle)
        self.telephony.dialplans.outbox = self.deliveries.outbox
        self._serving = True
        self._measure()
        self.server = self._server()
        self._parts.push_async_callback(self.server.stop)
        await self._listen(data.path / SOCKET_NAME)
        self._lag.start(asyncio.get_running_loop())
        self._beat()

    async def _recordings(self, data: DataDirectory, config: Config) -> Recordings:
        telephony = self.telephony
        folder = data.path / "recordings"
        made = Recordings(
            self.store, config.node, telephony.facilities, telephony.switch.calls, folder, config.recordings
        )
        await made.start(self.directory.default_account.id)
        self._parts.push_async_callback(made.stop)
        made.listen(self.bus)
        telephony.conferences.recorder = made
        return made

    async def _listen(self, unix: Path) -> None:
        http, tls = self.config.http, self.telephony.tls
        await self.server.start([(http.listen.host, http.listen.port)], unix)
        if http.tls and tls:
            await self.server.start_tls([(address.host, address.port) for address in http.tls], tls.context)

    async def stop(self) -> None:
        """Stop what runs, the last begun first; records are written before the store closes. Idempotent."""
        if self._beating:
            self._beating.cancel()
            self._beating = None
        self._lag.stop()
        await self._parts.aclose()

    async def drain(self, deadline_s: float) -> None:
        """Take no new calls and return when the last one has ended; after `deadline_s` the rest is hung up."""
        self.telephony.drain()
        if not await self._quiet(deadline_s, lambda: not self.telephony.switch.calls):
            log.warning("calls are hung up at the deadline", calls=len(self.telephony.switch.calls))
        self._serving = False
        self.telephony.hangup_all("the daemon stops")
        await self._quiet(GOODBYE_S, lambda: self.telephony.quiet)

    async def _quiet(self, seconds: float, reached: Callable[[], bool]) -> bool:
        """Whether that state is reached within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not reached():  # noqa: ASYNC110 - a stop looks at several parts that have no event in common
                    await asyncio.sleep(QUIET_POLL_S)
        except TimeoutError:
            return False
        return True

    def _beat(self) -> None:
        """What is due every second."""
        wall = time.time()
        self.store.look()
        self.records.beat(wall)
        self.traces.beat(time.monotonic())
        self.recordings.beat(wall)
        self._beating = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _traces(self) -> Traces:
        telephony = self.telephony
        network = Network(telephony.transports.addresses.local_ip_for, telephony.sounds, time.time)
        account_id = self.directory.default_account.id
        return Traces(telephony.trace, self.store, network, _keeping(self.config), account_id)

    async def _stop_traces(self) -> None:
        await self.traces.stop(time.monotonic())

    # ---- reload

    async def reload(self, config: Config) -> list[str]:
        """Take up `config` without touching calls; the keys that changed. Those that take a restart stay as they are.

        Raises StoreError, CertificateError or OSError, and then the old configuration is still in force.
        """
        changed = diff(self.config, config)
        waiting = needs_restart(changed)
        for key in waiting:
            config = _kept(config, self.config, key.split("."))
        if len(changed) > len(waiting):
            wall = time.time()
            self.telephony.check_certificates(config)
            self.deliveries.reload(config)  # the first, for it may refuse
            await self.directory.reload(config, wall)
            await self.keys.reload(config, self.directory.default_account.id, wall)
            self.telephony.reload(config)
            self.recordings.reload(config.recordings)
            await self.mailroom.reload(config)
            self.server.origins.proxies = config.http.trusted_proxies
            self.traces.keeping = _keeping(config)
            if self._logs:
                self._logs.set_level(config.log.level)
            self.config = config
        self.telephony.dialplans.read_again()  # a new phone may be what a flow was waiting for
        log.info(
            "the configuration was read again", changed=changed or "nothing", restart_needed_for=waiting or "nothing"
        )
        return changed

    # ---- HTTP

    def _server(self) -> Server:
        house = House(
            calls=_LiveCalls(self.telephony),
            records=self.records,
            registrations=_Registrations(self),
            phones=_Phones(self),
            trunks=partial(_trunks, self),
            settings=lambda: settings(self.config),
            outbox=self.deliveries.outbox,
            door=self.telephony.entrance,
            recordings=self.recordings,
            live=self.telephony.live,
            conferences=self.telephony.conferences,
            account_id=self.directory.default_account.id,
            flush=self.telephony.transports.flush,
            voicemail=self.mailroom.voicemail,
            flows=self.telephony.dialplans.flows,
            reset_admin=self._reset_admin,
            wall=time.time,
            now=time.monotonic,
            tracing=Tracing(
                self.traces,
                self.telephony.trace,
                self.telephony.drops,
                time.time(),
                time.monotonic,
                self.recordings.sounds_of,
            ),
        )
        health = Health(
            __version__,
            time.monotonic(),
            lambda: self._serving,
            faults.needed(self.telephony),
            faults.beside(self.store, self.telephony),
        )
        access = Access(self._find_key)
        surface = Surface(HOUSE, house, access.identify, lambda: self.config.http.public_url)
        routes = [*health_routes(health, self.metrics), *sound_routes(house, access.identify)]
        return Server([surface], routes, Origins(self.config.http.trusted_proxies))

    async def _reset_admin(self) -> tuple[str, str]:
        account = self.directory.default_account.id
        return ADMIN_KEY_NAME, await self.keys.replace(account, ADMIN_KEY_NAME, [EVERYTHING], time.time())

    def _find_key(self, secret: str) -> Identity | None:
        key = self.keys.check(secret)
        return Identity(key.name, key.account_id, key.scopes) if key else None

    @property
    def fit(self) -> bool:
        """False: only a restart helps."""
        return not self.telephony.pulse.stalled

    def _measure(self) -> None:
        metrics, store = self.metrics, self.store
        _measure_telephony(metrics, self.telephony)
        measure_entrance(metrics, self.telephony.entrance)
        self.mailroom.measure(metrics)
        measure_flows(metrics, self.telephony.dialplans.flows)
        metrics.counters(
            "calls_ended", "Calls that have ended, by whose doing", ["result"], lambda: self.records.results
        )
        metrics.counter("rtp_leg_packets", "RTP packets of legs that have ended", lambda: self.records.packets_received)
        metrics.counter("rtp_leg_packets_lost", "RTP packets these legs missed", lambda: self.records.packets_lost)
        metrics.gauge("store_pending_rows", "Rows not yet committed", lambda: store.statistics.pending)
        metrics.counter("store_rows_written", "Rows committed", lambda: store.statistics.written)
        metrics.counters("store_rows_dropped", "Rows lost: queue full", ["table"], lambda:
            NO_ROWS | store.statistics.dropped)  # fmt: skip
        metrics.counters("store_rows_poisoned", "Rows refused", ["table"], lambda:
            NO_ROWS | store.statistics.poisoned)  # fmt: skip
        faults.measure_faults(metrics, store, self.telephony)
        _measure_outbox(metrics, self.deliveries.outbox)
        _measure_sound(metrics, self.telephony, self.recordings)
        metrics.counters("http_requests", "HTTP requests", ["status"], lambda: self.server.requests)
        metrics.histogram("loop_lag_seconds", "How late the event loop ran what was due", self._lag.reading)
        metrics.gauge("tasks", "Asyncio tasks", lambda: len(asyncio.all_tasks()))
        _measure_traces(metrics, self.traces, self.telephony.trace)
        metrics.counter("event_listener_failures", "Listeners that raised", lambda: self.bus.failures)
        metrics.counter("log_lines_dropped", "Log lines lost", lambda: self._logs.dropped if self._logs else 0)


def _keeping(config: Config) -> Keeping:
    return Keeping(config.trace.keep_days, config.trace.store_mb << 20)


def _measure_telephony(metrics: Metrics, telephony: Telephony) -> None:
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


def _measure_outbox(metrics: Metrics, outbox: Outbox) -> None:
    metrics.gauge("outbox_waiting", "Deliveries that have not ended", lambda: outbox.waiting)
    metrics.gauge("outbox_oldest_seconds", "Age of the oldest of them", lambda: outbox.oldest_s)
    metrics.counters("outbox_delivered", "Deliveries the far side confirmed", ["kind"], lambda: outbox.delivered)
    metrics.counters("outbox_failed", "Tries that failed and are repeated", ["kind"], lambda: outbox.failed)
    metrics.counters("outbox_refused", "Deliveries not taken", ["reason"], lambda: outbox.refused)
    metrics.counters("outbox_dead", "Deliveries given up", ["kind"], lambda: outbox.dead)


def _measure_traces(metrics: Metrics, traces: Traces, recorder: Recorder) -> None:
    metrics.gauge("traces_held", "Calls and strangers whose traces grow in memory", lambda: len(recorder))
    metrics.gauge("trace_bytes", "Memory that these take", lambda: recorder.size)
    metrics.counter("trace_messages", "SIP messages written to traces", lambda: recorder.messages)
    metrics.counter("trace_messages_unkept", "SIP messages without room in memory", lambda: recorder.unkept)
    metrics.gauge("traces_waiting", "Traces of ended calls on their way to the store", lambda: traces.waiting)
    metrics.gauge("traces_waiting_bytes", "Memory that these take", lambda: traces.waiting_size)
    metrics.counter("traces_written", "Traces the store has taken", lambda: traces.written)
    metrics.counter("traces_lost", "Traces that found no room on the way to the store", lambda: traces.lost)
    metrics.counter("trace_write_failures", "Times the store did not take traces", lambda: traces.failures)


def _measure_sound(metrics: Metrics, telephony: Telephony, recordings: Recordings) -> None:
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


def _tls(telephony: Telephony) -> tuple[int, int]:
    return (telephony.tls.reloads, telephony.tls.failures) if telephony.tls else (0, 0)


def _lateness(wire: Wire) -> HistogramReading:
    """Its sum is an estimate from above: each lateness counts as its bucket's bound."""
    buckets = wire.lateness()
    bounds = [bucket.below_us / 1e6 for bucket in buckets if bucket.below_us is not None]
    counts = [bucket.count for bucket in buckets]
    return HistogramReading(bounds, counts, sum(bound * count for bound, count in zip(bounds, counts, strict=False)))


class _LiveCalls:
    """The calls that are up, for the API."""

    def __init__(self, telephony: Telephony) -> None:
        self._telephony = telephony

    def calls(self) -> list[CallRecord]:
        return [call.record for call in self._telephony.switch.calls.values()]

    def get(self, call_id: str) -> CallRecord | None:
        call = self._telephony.switch.calls.get(call_id)
        return call.record if call else None

    def hangup(self, call_id: str) -> bool:
        return self._telephony.hangup(call_id)


class _Phones:
    """The phones of the default account, for the API."""

    def __init__(self, app: App) -> None:
        self._app = app

    def phones(self) -> Sequence[PhoneEntry]:
        directory = self._app.directory
        return directory.phones(directory.default_account)

    async def rotate_password(self, extension: str) -> str:
        """Who registered with the old password is no longer called."""
        directory = self._app.directory
        account = directory.default_account
        password = await directory.rotate_password(account, extension)
        if (aor := directory.aor(account, extension)) is not None:
            self._app.telephony.registrar.remove(aor)
        return password


class _Registrations:
    """What is registered in the default account, for the API."""

    def __init__(self, app: App) -> None:
        self._app = app

    def contacts(self) -> list[RegisteredContact]:
        account = self._app.directory.default_account.id
        return [
            RegisteredContact(
                user=binding.aor.user,
                contact=str(binding.contact),
                source=place(binding.transport, *binding.source),
                behind_nat=binding.behind_nat,
                q=binding.q / 1000,
                user_agent=binding.user_agent,
                registered_at=binding.registered_at,
                expires_at=binding.expires_at,
            )
            for binding in self._app.telephony.registrar.all(time.monotonic())
            if binding.aor.account_id == account
        ]

    def remove(self, user: str) -> int:
        return self._app.telephony.registrar.remove(Aor(self._app.directory.default_account.id, user))


def _trunks(app: App) -> list[TrunkRow]:
    states = {status.trunk.id: status for status in app.telephony.trunks.status()}
    directory = app.directory
    return [_trunk(app, trunk, states.get(trunk.id)) for trunk in directory.trunks(directory.default_account)]


def _trunk(app: App, trunk: Trunk, status: TrunkStatus | None) -> TrunkRow:
    row = partial(
        TrunkRow,
        name=trunk.name,
        proxy=trunk.proxy,
        sources=tuple(map(str, trunk.sources)),
        from_user=trunk.from_user,
        registers=trunk.register is not None,
    )
    if status is None:
        return row(state=TrunkState.OFF.value)
    expires = None if status.expires is None else app.telephony.wall(status.expires)
    return row(
        state=status.state.value, since=app.telephony.wall(status.since), expires_at=expires, reason=status.reason
    )


def _kept(new: Section, old: Section, key: Sequence[str]) -> Section:
    """`new` with the value that `old` has at a key of sections: what takes a restart is not changed by a reload."""
    name, *rest = key
    value = getattr(old, name)
    return new.model_copy(update={name: _kept(getattr(new, name), value, rest) if rest else value})
