"""The composition root: builds the house, wires it, reloads it, stops it. Only this and telephony know all names.

start    data directory, store, directory, telephony (SIP is answered from here on), HTTP
reload   hands each part what a changed configuration says; calls go on
drain    no new calls; those that are up may end, until the deadline
stop     in the reverse order of start
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from media.recorder import Recorder
from pbxd import __version__, control, facade, faults, measures
from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.edge import EDGE, Edge, EdgeAccess
from pbxd.api.health import Check, Health, health_routes
from pbxd.api.house import HOUSE, House, Tracing, sound_routes, wallboard_routes
from pbxd.api.origin import Origins
from pbxd.api.server import Server
from pbxd.api.surface import Surface
from pbxd.callcentre import CallCentre
from pbxd.calls.routing import leaves
from pbxd.config import Config, diff, load, needs_restart, settings
from pbxd.directory.accounts import Directory
from pbxd.directory.administration import Administration
from pbxd.directory.first_start import ADMIN_KEY_NAME, Card, first_start
from pbxd.directory.keys import EVERYTHING, Keys
from pbxd.directory.seal import Seal
from pbxd.directory.tenants import Tenants
from pbxd.entrance import measure as measure_entrance
from pbxd.events import Bus
from pbxd.faxroom import Faxroom
from pbxd.faxroom import measure as measure_fax_jobs
from pbxd.flows import measure as measure_flows
from pbxd.logs import Logs, get_logger
from pbxd.mailroom import Mailroom
from pbxd.media_desk import media_desk, open_media
from pbxd.metrics import LoopLag, Metrics
from pbxd.services import journal
from pbxd.services.cdr import CallRecords
from pbxd.services.deliveries import OutboxService
from pbxd.services.recordings import Recordings
from pbxd.services.traces import Keeping, Network, Traces
from pbxd.store import DataDirectory, Store, sqlite_url
from pbxd.telephony import Telephony
from pbxd.watching import monitor_of

SOCKET_NAME = "pbxd.sock"
BEAT_S = 1.0
GOODBYE_S = 1.0  # for the BYEs at the end of a drain to be answered
QUIET_POLL_S = 0.02

Section = TypeVar("Section", bound=BaseModel)

log = get_logger(part="app")


class App:
    """One house. `start` it once, `stop` it once; in between `reload` and `drain`.

    `card` holds the secrets of a first start until somebody has shown them. Whoever runs the house may say how its
    configuration is read again (`read_config`) and how the process is started anew (`restart`).
    """

    store: Store
    directory: Directory
    keys: Keys
    records: CallRecords
    traces: Traces
    telephony: Telephony
    recordings: Recordings
    mailroom: Mailroom
    call_centre: CallCentre
    faxroom: Faxroom
    deliveries: OutboxService
    server: Server
    edge: Edge
    edge_access: EdgeAccess

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
        self.read_config: Callable[[], Config] = lambda: load(self.config.file) if self.config.file else self.config
        self.restart: Callable[[], None] = lambda: None

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
        self.directory = await Directory.load(self.store, config, wall, Seal(data.secret))
        self.keys = await Keys.load(self.store, config, self.directory.ids, wall)
        self.administration = Administration(self.store, self.directory, time.time)
        self.card = await first_start(self.directory, self.keys, self.store, config, wall)
        self.records = CallRecords(self.store, config.node)
        await self.records.close_orphans()
        self.records.listen(self.bus)
        journal.listen(self.bus)
        self.telephony = Telephony(config, data, self.store, self.directory, self.bus)
        self.traces = self._traces()
        self.edge = await self._open_edge(data)
        recorder = Recorder()  # one thread writes for all
        self._parts.push_async_callback(asyncio.to_thread, recorder.close)
        self.recordings = await self._recordings(data, config, recorder)
        self.mailroom = Mailroom(config, data, self.store, self.telephony, recorder)
        self._parts.push_async_callback(self.mailroom.stop)
        await self.mailroom.open(config)
        self.faxroom = Faxroom(config, data, self.store, self.directory.default_account.id, self.bus, time.time)
        await self.faxroom.open()
        self.faxroom.connect(
            self.telephony.fax_line,
            self._trunk_of,
            self._account_for,
            lambda one: self.directory.account(one) is not None,
        )
        await open_media(self.edge.media, self.mailroom.voicemail)
        await self._open_call_centre()
        await self.telephony.start()
        await self.edge.flows.load()
        self._parts.push_async_callback(self.edge.flows.stop)
        self._parts.push_async_callback(self._stop_traces)
        self._parts.push_async_callback(self.telephony.stop)
        self._parts.push_async_callback(self.faxroom.stop)
        self.deliveries = OutboxService(self.store, config)
        self._parts.push_async_callback(self.deliveries.stop)
        await self.deliveries.start()
        self.mailroom.serve(self.deliveries.outbox)
        self.faxroom.serve(self.deliveries.outbox)
        self._parts.push_async_callback(self.mailroom.settle)
        self.telephony.dialplans.outbox = self.telephony.vigil.outbox = self.deliveries.outbox
        self.administration.changed = self._directory_changed
        self._serving = True
        self._measure()
        self.server = self._server()
        self._parts.push_async_callback(self.server.stop)
        self._parts.callback(self.edge.monitor.stop)  # before the server: who watches would hold it up
        await self._listen(data.path / SOCKET_NAME)
        self._lag.start(asyncio.get_running_loop())
        self._beat()

    async def _open_call_centre(self) -> None:
        self._parts.callback(self.call_centre.close)
        await self.call_centre.open()

    async def _open_edge(self, data: DataDirectory) -> Edge:
        """The edge with the calls of its nodes, and the call centre whose operators it speaks for."""
        self.call_centre = CallCentre(self.store, self.telephony, self.records)
        edge = control.edge_of(
            self.config,
            data.secret,
            self.store,
            self.bus,
            self.directory,
            self.telephony,
            self.records,
            self.traces,
            self.call_centre.queues,
            media_desk(self.config, data),
            monitor_of(self.telephony, self.bus, self._logs),
        )
        await control.take_up(edge)
        self._parts.callback(control.settle, edge)
        return edge

    async def _recordings(self, data: DataDirectory, config: Config, recorder: Recorder) -> Recordings:
        telephony = self.telephony
        folder = data.path / "recordings"
        made = Recordings(
            self.store, config.node, telephony.facilities, telephony.switch.calls, folder, config.recordings, recorder
        )
        await made.start(self.directory.default_account.id)
        self._parts.push_async_callback(made.stop)
        made.listen(self.bus)
        telephony.conferences.recorder = made
        telephony.dialplans.keep_in(made)
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
        self.call_centre.stop()
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
        self.faxroom.faxes.beat(wall)
        control.beat(self.edge)
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
            await self.keys.reload(config, self.directory.ids, wall)
            self.telephony.reload(config)
            self.recordings.reload(config.recordings)
            await self.mailroom.reload(config)
            self.call_centre.reload()
            self.faxroom.reload(config)
            self.server.origins.proxies = config.http.trusted_proxies
            self.edge_access.sources = config.edge.sources
            self.edge_access.media_sources = config.edge.media_sources
            control.reload(self.edge, config)
            self.traces.keeping = _keeping(config)
            if self._logs:
                self._logs.set_level(config.log.level)
            self.config = config
        self.telephony.dialplans.read_again()  # a new phone may be what a flow was waiting for
        log.info(
            "the configuration was read again", changed=changed or "nothing", restart_needed_for=waiting or "nothing"
        )
        return changed

    def _trunk_of(self, account_id: str, number: str) -> str:
        """The id of the trunk that a call of an account to a number leaves by; empty where it stays in the house."""
        account = self.directory.account(account_id)
        found = leaves(self.directory, account, number) if account is not None else None
        return found.trunk.id if found is not None else ""

    def _account_for(self, number: str) -> str | None:
        """The account that has a number, if one has."""
        found = self.directory.number(number) or self.directory.number(f"+{number}")
        return found.account_id if found is not None else None

    def _restart(self) -> None:
        self.restart()

    async def _reread(self, judge: Callable[[Config], None] | None = None) -> list[str]:
        """Reads the configuration and the settings file again; what `judge` raises keeps them from being taken up.
        Raises ConfigError, and what `reload` raises."""
        config = await asyncio.to_thread(self.read_config)
        if judge is not None:
            judge(config)
        return await self.reload(config)

    async def _directory_changed(self) -> None:
        """Somebody changed the directory by API. Raises StoreError."""
        self.telephony.follow_directory()
        await self.mailroom.follow()
        self.call_centre.reload()
        self.telephony.dialplans.read_again()

    # ---- HTTP

    def _server(self) -> Server:
        house = House(
            calls=facade.LiveCalls(self.telephony, self.edge.calls),
            records=self.records,
            registrations=facade.Registrations(self.telephony),
            phones=facade.Phones(self.directory, self.telephony),
            trunks=partial(facade.trunks, self.directory, self.telephony),
            settings=lambda: settings(self.config),
            outbox=self.deliveries.outbox,
            door=self.telephony.entrance,
            fraud=self.telephony.vigil.watch,
            recordings=self.recordings,
            live=self.telephony.live,
            conferences=self.telephony.conferences,
            flush=self.telephony.transports.flush,
            voicemail=self.mailroom.voicemail,
            directory=self.directory,
            administration=self.administration,
            tenants=Tenants(self.administration),
            queues=self.call_centre.queues,
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
            self.faxroom.readiness,
        )
        access = Access(self._find_key)
        surface = Surface(HOUSE, house, access.identify, lambda: self.config.http.public_url, self._home)
        routes = [*health_routes(health, self.metrics), *sound_routes(house, access.identify)]
        routes += wallboard_routes(house, self.bus, access.identify)
        sip = health.checks
        fax = self.faxroom.surface(access, self._reread, self._restart, lambda: _first(sip), self._home)
        origins = Origins(self.config.http.trusted_proxies)
        return Server([surface, self._edge(origins), fax], routes, origins)

    def _edge(self, origins: Origins) -> Surface[Edge]:
        """The contract of the edge."""
        listed = self.config.edge
        self.edge_access = EdgeAccess(self._find_key, origins, listed.sources, listed.media_sources)
        return Surface(EDGE, self.edge, self.edge_access.identify, lambda: self.config.http.public_url)

    async def _reset_admin(self) -> tuple[str, str]:
        account = self.directory.default_account.id
        return ADMIN_KEY_NAME, await self.keys.replace(account, ADMIN_KEY_NAME, [EVERYTHING], time.time())

    def _home(self) -> str:
        return self.directory.default_account.id

    def _find_key(self, secret: str) -> Identity | None:
        key = self.keys.check(secret)
        return Identity(key.name, key.account_id, key.scopes) if key else None

    @property
    def fit(self) -> bool:
        """False: only a restart helps."""
        return not self.telephony.pulse.stalled

    def _measure(self) -> None:
        metrics, store = self.metrics, self.store
        measures.measure_telephony(metrics, self.telephony)
        measure_entrance(metrics, self.telephony.entrance)
        self.mailroom.measure(metrics)
        self.call_centre.measure(metrics)
        measure_fax_jobs(metrics, self.faxroom)
        measure_flows(metrics, self.telephony.dialplans.flows)
        control.measure(metrics, self.edge)
        measures.measure_records(metrics, self.records)
        measures.measure_store(metrics, store)
        faults.measure_faults(metrics, store, self.telephony)
        measures.measure_outbox(metrics, self.deliveries.outbox)
        measures.measure_sound(metrics, self.telephony, self.recordings)
        measures.measure_faxes(metrics, self.telephony.fax_line)
        metrics.counters("http_requests", "HTTP requests", ["status"], lambda: self.server.requests)
        metrics.histogram("loop_lag_seconds", "How late the event loop ran what was due", self._lag.reading)
        metrics.gauge("tasks", "Asyncio tasks", lambda: len(asyncio.all_tasks()))
        measures.measure_traces(metrics, self.traces, self.telephony.trace)
        metrics.counter("event_listener_failures", "Listeners that raised", lambda: self.bus.failures)
        metrics.counter("log_lines_dropped", "Log lines lost", lambda: self._logs.dropped if self._logs else 0)


def _first(checks: Mapping[str, Check]) -> str | None:
    return next((why for check in checks.values() if (why := check()) is not None), None)


def _keeping(config: Config) -> Keeping:
    return Keeping(config.trace.keep_days, config.trace.store_mb << 20)


def _kept(new: Section, old: Section, key: Sequence[str]) -> Section:
    """`new` with the value that `old` has at a key of sections: what takes a restart is not changed by a reload."""
    name, *rest = key
    value = getattr(old, name)
    return new.model_copy(update={name: _kept(getattr(new, name), value, rest) if rest else value})
