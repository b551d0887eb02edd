"""The telephone side of the house, put together: wire, SIP stack, transports, registrar, trunks, switch.

Beside app the only file that knows all these names; app builds it, starts it, reloads it and stops it.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
import socket
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from media.keys import SrtpMode
from media.plan import CodecSettings, Jitter
from media.ports import PortPool
from media.pulse import Pulse
from media.script import Prompt
from media.session import Media, MediaEvent, MediaEventKind
from media.wire import Wire
from pbxd.acoustics import Workers, reader_of
from pbxd.ahead import played, read_ahead
from pbxd.calls.admission import Admission
from pbxd.calls.crypto import Protection
from pbxd.calls.facilities import CallLimits, Facilities
from pbxd.calls.following import MakeAct
from pbxd.calls.fork import phone_of
from pbxd.calls.peer import Arrival
from pbxd.calls.policy import Policy
from pbxd.calls.record import CallRecord
from pbxd.calls.studio import Studio, clip_of
from pbxd.calls.switch import Switch
from pbxd.certificates import Identity, client_context, given, self_signed
from pbxd.clock import WallClock
from pbxd.config.schema import Config, Redirects
from pbxd.config.sound import KeysOverPlain, codecs_named, suites_named
from pbxd.config.tracing import Permission
from pbxd.dialplans import Dialplans
from pbxd.directory.accounts import Directory
from pbxd.directory.authentication import Authenticator
from pbxd.directory.bans import Banned
from pbxd.directory.model import Extension, ExtensionKind, Trunk, User
from pbxd.directory.registrar import Registrar
from pbxd.directory.trunks import Surroundings, TrunkRegistrations
from pbxd.entrance import Entrance
from pbxd.events import Bus
from pbxd.faxline import FaxLine
from pbxd.listening import Listening
from pbxd.music import Music
from pbxd.services.announcements import Announcement, ReadBack, caller_announcement
from pbxd.services.conferences import ConferenceRules, Conferences
from pbxd.services.live import ListenIn, LiveSound
from pbxd.sip.connection import StreamSettings, TlsContexts
from pbxd.sip.digest import NonceBook
from pbxd.sip.flow import Destination, Flow
from pbxd.sip.lookup import ResolveError
from pbxd.sip.resolve import Resolver
from pbxd.sip.session import Reliability, SessionSettings, SessionTable
from pbxd.sip.stack import Limits, Stack
from pbxd.sip.transport import Transports, TransportSettings
from pbxd.sip.uri import Uri
from pbxd.store import DataDirectory, Store
from pbxd.tls import Named, Shown
from pbxd.trace import Recorder, Sound, TraceLimits, score
from pbxd.vigil import Vigil

log = logging.getLogger(__name__)

HOUSEKEEPING_S = 1.0
CERTIFICATES_S = 3.0  # between two looks at the files of the certificates
LEGS_MAX = 8192


class Telephony:
    """Everything that rings. SIP is answered between `start` and `stop`.

    `now` is the monotonic clock of the event loop; `wall` turns it into seconds since the epoch.
    """

    def __init__(self, config: Config, data: DataDirectory, store: Store, directory: Directory, bus: Bus) -> None:
        self._config = config
        self._directory = directory
        self._housekeeping: asyncio.TimerHandle | None = None
        self._pinged_at = 0.0
        self._looked_at = 0.0
        self._parting = False
        self._data = data
        self.tls = self._shown() if config.sip.tls or config.http.tls else None
        rng = random.SystemRandom()
        self.wire = Wire(legs=LEGS_MAX)
        self.media = Media(self.wire, _port_pool(config))
        self.pulse = Pulse(self.wire)
        self.clock = WallClock()
        self.registrar = Registrar(store, bus, config.sip.registrar)
        self.entrance = Entrance(config, self.wire, store, directory, self.registrar, bus, self.wall)
        doorman = self.entrance.doorman
        self.transports = Transports(self.wire, _transport_settings(config, self.tls), admit=doorman.admit)
        self.stack = Stack(
            via=self.transports.addresses.sent_by,
            user_agent=config.sip.user_agent,
            rng=rng,
            limits=Limits(server_transactions=config.sip.max_transactions),
        )
        self.transports.machine = self.stack
        self.stack.on_unreadable = lambda flow: doorman.unreadable(flow, self.now())
        bus.subscribe(Banned, self._part_with_banned)
        self.resolver = Resolver(self.transports.means, rng)
        self.trunks = self._registrations(bus, rng)
        self.trace = Recorder(self.wall, _trace_limits(config))
        self.transports.trace(self.trace)
        self.admission = Admission(
            max_calls=config.calls.max,
            setup_rate=config.calls.setup_rate,
            overloaded=lambda: self.transports.overloaded is not None,
            stalled=lambda: self.pulse.stalled,
        )
        self.workers = Workers(self.transports.flush)
        self.studio = Studio(reader_of(config, data), clip_of, self.workers)
        self.facilities = Facilities(
            stack=self.stack,
            sessions=SessionTable(self.stack),
            media=self.media,
            directory=directory,
            registrar=self.registrar,
            resolver=_Lookups(self._look_up),
            network=_Addresses(self.transports, config),
            bus=bus,
            studio=self.studio,
            clock=self.now,
            wall=self.wall,
            tracer=self.trace,
        )
        self.music = Music(lambda: self._config, directory, data.path)
        self.conferences = Conferences(self.facilities, self.music.tunes)
        self.dialplans = Dialplans(
            config, store, directory, self.facilities, self.conferences, self.transports.flush, self.music.tunes
        )
        self.listening = Listening(self.trace, self.media, self.facilities.hearers.values)
        nonces = NonceBook(data.secret, config.sip.digest.nonce_lifetime_s)
        self.authenticator = Authenticator(directory, nonces, data.secret, _algorithms(config), bus, doorman)
        self.fax_line = FaxLine(self.now, data.path / "faxes" / "arriving", self.transports.flush)
        self.acts = self._acts()
        self.switch = Switch(self.facilities, self.authenticator, self.admission, self.acts)
        self.vigil = Vigil(config, store, bus, self.hangup, directory.zone)
        self.switch.gate.watchman = self.vigil.watch
        self.dialplans.pass_gate(self.switch.gate)
        self.switch.hours = self.dialplans.flows.opening
        self.stack.core = self.fax_line.switch = self.switch
        self.live = LiveSound(self.facilities, self.switch.calls, self.switch.call_out, self.music.tunes)
        self.live.listen(bus)
        self._apply(config)

    def _registrations(self, bus: Bus, rng: random.Random) -> TrunkRegistrations:
        sent_by, trust = self.transports.addresses.sent_by, self._trust_registered
        return TrunkRegistrations(Surroundings(self.stack, self._resolve_in_time, sent_by, trust, bus, rng))

    # ---- time

    @staticmethod
    def now() -> float:
        return time.monotonic()

    def wall(self, now: float) -> float:
        """Seconds since the epoch at the monotonic time `now`, by today's clock."""
        return self.clock.at(now)

    # ---- life

    async def start(self) -> None:
        """Binds all listeners and answers. Raises `BindError` with every problem at once, `StoreError`."""
        now = self.now()
        await self.registrar.load(now, self.wall(now))
        self.wire.start()
        try:
            await self.entrance.load(now)
            await self.vigil.watch.load(self.wall(now))
            await self.dialplans.start()
            self.fax_line.start()
            await self.transports.start()
        except BaseException:
            await self.dialplans.stop()
            await self.fax_line.stop()
            self.wire.close()
            raise
        self.resolver.means = self.transports.means
        self.transports.on_connection_lost(self._connection_lost)
        asyncio.get_running_loop().add_reader(self.wire.media_fd, self._media_events)
        self.trunks.apply(self._directory.all_trunks(), now)
        self._keep_house()
        self._read_ahead()
        self.transports.flush()

    def drain(self) -> None:
        """No new calls from now on; those that are up go on."""
        self.admission.draining = True

    def hangup_all(self, reason: str) -> None:
        """BYE to every leg of every call; trunks are deregistered."""
        now = self.now()
        self.switch.hangup_all(now, reason)
        self.switch.watchers.subscriptions.withdraw(now)
        self.trunks.stop(now)
        self.transports.flush()

    @property
    def quiet(self) -> bool:
        """Whether no call is up and no BYE waits for its answer."""
        return not self.switch.calls and not len(self.facilities.sessions) and self.trunks.idle

    async def stop(self) -> None:
        """Lets go of everything. Calls that are still up hear nothing more."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        self.listening.stop()
        asyncio.get_running_loop().remove_reader(self.wire.media_fd)
        await self.dialplans.stop()
        await self.fax_line.stop()
        self.workers.close()
        await self.resolver.close()
        await self.transports.stop()
        self.entrance.bans.save()
        await self.vigil.settle()
        self.media.close()
        self.wire.close()

    def check_certificates(self, config: Config) -> None:
        """Whether a reload would find certificates it can show. Raises CertificateError."""
        if self.tls:
            Shown(self._identity(config), _named(config))

    def reload(self, config: Config) -> None:
        """Takes up what may change without a restart; calls that are up keep what they began with.

        Raises CertificateError, and then nothing has changed.
        """
        if self.tls:
            self.tls.take(self._identity(config), _named(config))
        self._config = config
        self._apply(config)
        self.studio.reader = reader_of(config, self._data)
        self.studio.forget()
        self._read_ahead()
        self.dialplans.reload(config)
        self.follow_directory()

    def follow_directory(self) -> None:
        """Takes up what has changed: registers trunks at providers, and lets them call us; forgets phones that are
        gone, or may no more be called the way they registered."""
        now, directory = self.now(), self._directory
        for binding in self.registrar.all(now):
            account = directory.account(binding.aor.account_id)
            if account is None or phone_of(directory, account, binding) is None:
                self.registrar.remove_binding(binding)
        self.trunks.apply(self._directory.all_trunks(), now)
        self.entrance.refresh(now)
        self.transports.flush()

    def _read_ahead(self) -> None:
        extensions = self._directory.extensions(self._directory.default_account)
        read_ahead(self.studio, [*played(extensions), *self.music.tunes(fixed=True)], self._config.sound.language)

    def hangup(self, call_id: str) -> bool:
        """Ends one live call; False when there is none of that id."""
        found = self.switch.hangup(call_id, self.now())
        self.transports.flush()
        return found

    def drops(self) -> dict[str, dict[str, int]]:
        """What was dropped so far, by layer and reason."""
        return {
            "wire": self.wire.drops(),
            "stack": {reason.name.lower(): count for reason, count in self.stack.counters.items()},
            "transport": {loss.name.lower(): count for loss, count in self.transports.losses.items()},
            "connection": {end.name.lower(): count for end, count in self.transports.connections.closings.items()},
            "calls": {refusal.name.lower(): count for refusal, count in self.switch.refused.items()},
        }

    def sounds(self, sip_call_ids: Container[str]) -> tuple[Sound, ...]:
        """The RTP, so far, of legs that are up."""
        found = (hearer.sound_of(sip_call_ids) for hearer in self.facilities.hearers.values())
        return tuple(sound for sound in found if sound is not None)

    # ---- inside

    def _shown(self) -> Shown:
        return Shown(self._identity(self._config), _named(self._config))

    def _identity(self, config: Config) -> Identity:
        sip = config.sip
        if sip.certificate is not None and sip.private_key is not None:
            return given(sip.certificate, sip.private_key)
        addresses = [address.host for address in sip.tls if not address.is_wildcard]
        names = [*self._own_names(), *addresses, *_external(config)]
        return self_signed(self._data.path, names, datetime.datetime.now(datetime.UTC))

    def _apply(self, config: Config) -> None:
        self.registrar.limits = config.sip.registrar
        self.authenticator.algorithms = _algorithms(config)
        self.authenticator.md5_only = config.sip.digest.md5_only
        self.admission.max_calls, self.admission.setup_rate = config.calls.max, config.calls.setup_rate
        self.facilities.limits = CallLimits(
            ring_timeout_s=config.calls.ring_timeout_s,
            max_duration_s=config.calls.max_duration_s,
            follow_redirects=config.sip.redirects is Redirects.FOLLOW,
            music_on_hold=config.sound.music_on_hold,
        )
        self.facilities.policy = Policy(
            codecs=codecs_named(config.codecs.allow),
            ptime_ms=config.codecs.ptime_ms,
            converts=True,
            silence_s=config.calls.rtp_timeout_s,
            opus=CodecSettings(**config.codecs.opus.model_dump()),
            protection=_protection(config),
            jitter=Jitter(**config.codecs.jitter.model_dump()),
        )
        self.facilities.session = SessionSettings(
            reliable=Reliability.WHEN_SUPPORTED if config.sip.reliable_provisional else Reliability.WHEN_REQUIRED,
            session_expires=config.sip.session_timer.expires_s,
            min_se=config.sip.session_timer.min_se_s,
            resolve=self._resolve,
        )
        self.facilities.language = config.sound.language
        self.trace.limits = _trace_limits(config)
        if not self.trace.limits.sound:
            self.trace.forget_sound()
            self.listening.change()
        self.media.ports.rest_s = config.rtp.quarantine_s
        self.transports.addresses.advertise(_external(config), map(str, config.sip.local_nets))
        self.entrance.apply(config, self.now())
        self.vigil.apply(config)

    def _trust_registered(self, trunk: Trunk, addresses: frozenset[str]) -> None:
        self._directory.trust_registered(trunk, addresses)
        self.entrance.refresh(self.now())

    def _part_with_banned(self, _event: Banned) -> None:
        """Not at once: it may be a message of one of these connections that led to the ban. Once for many bans."""
        if not self._parting:
            self._parting = True
            asyncio.get_running_loop().call_soon(self._part)

    def _part(self) -> None:
        self._parting = False
        self.transports.connections.part_with(self.entrance.doorman.barred)

    def _acts(self) -> dict[ExtensionKind, MakeAct]:
        """What the house does at numbers of its own."""
        return {
            ExtensionKind.DIGITS: lambda _extension, _record: ReadBack(),
            ExtensionKind.PLAY: lambda extension, _record: Announcement(Prompt(str(extension.options["play"]))),
            ExtensionKind.CONFERENCE: lambda extension, _record: self.conferences.act(
                extension.account_id, extension.number, ConferenceRules.of(extension.options)
            ),
            ExtensionKind.FLOW: lambda extension, record: self.dialplans.flows.act(
                str(extension.options["flow"]), record
            ),
            ExtensionKind.FAX: self.fax_line.act,
            ExtensionKind.LISTEN: self._listen_in,
            ExtensionKind.CALLER: lambda _extension, record: caller_announcement(
                record.caller, self.facilities.language
            ),
        }

    def _listen_in(self, extension: Extension, record: CallRecord) -> ListenIn:
        """What is dialled behind the code is whom to listen to."""
        directory, code = self._directory, extension.number

        def who(arrival: Arrival | None) -> User | None:
            peer = arrival.peer if arrival is not None else None
            return directory.user(peer.account, peer.device.user) if peer is not None and peer.device else None

        return ListenIn(self.live, who, record.called.removeprefix(code) if record.called.startswith(code) else "")

    def _own_names(self) -> list[str]:
        return [socket.gethostname(), *(domain for account in self._directory.accounts() for domain in account.domains)]

    def _look_up(self, uri: Uri, callback: Callable[[Sequence[Destination] | ResolveError], None]) -> None:
        def found(result: list[Destination] | ResolveError) -> None:
            if isinstance(result, ResolveError):
                log.warning("%s cannot be found: %s", uri.host, result)
            if not isinstance(result, ResolveError):
                self.entrance.resolved(uri.host, (destination.host for destination in result))
            callback(result)
            self.transports.flush()

        self.resolver.destinations(uri, found)

    def _resolve(self, uri: Uri, callback: Callable[[Sequence[Destination]], None]) -> None:
        self._look_up(uri, lambda found: callback([] if isinstance(found, ResolveError) else found))

    def _resolve_in_time(self, uri: Uri, callback: Callable[[Sequence[Destination], float], None]) -> None:
        self._resolve(uri, lambda found: callback(found, self.now()))

    def _connection_lost(self, flow: Flow, _now: float) -> None:
        self.registrar.connection_lost(flow)

    def _media_events(self) -> None:
        now = self.now()
        for event in self.media.events():
            hearer = self.facilities.hearers.get(event.session.key)
            if hearer is None:
                continue
            if event.kind is MediaEventKind.TALKING:
                hearer.talks(event.talking)
                continue
            hearer.noticed(_in_words(event), now)
            if event.kind is MediaEventKind.SILENT:
                hearer.fell_silent(now)
            elif event.kind is MediaEventKind.DTMF and event.digit:
                hearer.pressed(event.digit, event.duration_ms, now)
            elif event.kind is MediaEventKind.SRTP_FAILED:
                hearer.unreadable(event.packets, plain=event.plain)
        self.transports.flush()

    def _look_at_clocks(self, now: float) -> None:
        if self.pulse.beat(now):
            if self.pulse.stalled:
                log.error("the wire thread does not turn: no sound, no SIP over UDP; new calls are refused")
            else:
                log.warning("the wire thread turns again")
        if by := self.clock.beat():
            log.warning("the clock was set by %+.1f s; nothing with a deadline goes by it", by)
            self.registrar.clock_was_set(by)

    def _keep_house(self) -> None:
        self._housekeeping = asyncio.get_running_loop().call_later(HOUSEKEEPING_S, self._keep_house)
        now = self.now()
        self.registrar.expire(now)
        self.entrance.tick(now)
        self.switch.gate.look(now)
        self.vigil.watch.tick(self.wall(now))
        self._look_at_clocks(now)
        for hearer in list(self.facilities.hearers.values()):
            hearer.look(now)
        self.dialplans.flows.tick(now)
        if self.tls and now - self._looked_at >= CERTIFICATES_S:
            self._looked_at = now
            self.tls.watch()
        interval = self._config.sip.nat_keepalive_s
        if interval and now - self._pinged_at >= interval:
            self._pinged_at = now
            for binding in self.registrar.all(now):
                if binding.behind_nat and binding.flow is not None:
                    self.transports.keep_alive(binding.flow)


def _protection(config: Config) -> Protection:
    srtp = config.srtp
    return Protection(
        mode=SrtpMode(srtp.policy.value),
        suites=suites_named(srtp.suites),
        over_plain=srtp.over_plain_signalling is KeysOverPlain.ALLOW,
    )


@dataclass(frozen=True, slots=True)
class _Lookups:
    """The resolver as calls see it."""

    resolve: Callable[[Uri, Callable[[Sequence[Destination] | ResolveError], None]], None]

    def destinations(self, uri: Uri, callback: Callable[[Sequence[Destination] | ResolveError], None]) -> None:
        self.resolve(uri, callback)


class _Addresses:
    """Our addresses as calls see them."""

    def __init__(self, transports: Transports, config: Config) -> None:
        self._addresses = transports.addresses
        self._rtp = config.rtp.address

    def advertised(self, peer: Destination) -> tuple[str, int]:
        return self._addresses.advertised(peer.host, peer.transport, peer.flow)

    def local_ip_for(self, peer_ip: str, flow: Flow | None = None) -> str:
        wanted = self._rtp.ipv6 if ":" in peer_ip else self._rtp.ipv4
        return str(wanted) if wanted else self._addresses.local_ip_for(peer_ip, flow)

    def told(self, local_ip: str, peer_ip: str) -> str:
        return self._addresses.told(local_ip, peer_ip)


def _port_pool(config: Config) -> PortPool:
    return PortPool(config.rtp.ports.first, config.rtp.ports.last, rest_s=config.rtp.quarantine_s)


def _trace_limits(config: Config) -> TraceLimits:
    trace = config.trace
    sound = trace.audio_mb << 20 if trace.audio is Permission.ALLOWED else 0
    return TraceLimits(trace.calls, trace.memory_mb << 20, trace.call_kb << 10, trace.message_kb << 10, sound)


def _in_words(event: MediaEvent) -> str:
    """A digit is not named: it may be one of a PIN."""
    words = _WORDS[event.kind]
    if event.kind is MediaEventKind.DTMF:
        return f"{words}, {event.duration_ms} ms"
    if event.kind in _PLACED and event.address is not None:
        return f"{words} {event.address[0]} port {event.address[1]}"
    return words


_WORDS = {
    MediaEventKind.LATCHED: "latched: its sound comes from",
    MediaEventKind.RELATCHED: "moved: its sound now comes from",
    MediaEventKind.FIRST_PACKET: "sends its first packet",
    MediaEventKind.SILENT: "fell silent: no packet for the RTP timeout",
    MediaEventKind.RESUMED: "is heard again",
    MediaEventKind.DTMF: score.DIALS,
    MediaEventKind.SRTP_FAILED: "sends what cannot be opened",
}
_PLACED = (MediaEventKind.LATCHED, MediaEventKind.RELATCHED)


def _external(config: Config) -> list[str]:
    return [str(ip) for ip in (config.sip.external.ipv4, config.sip.external.ipv6) if ip]


def _algorithms(config: Config) -> tuple[str, ...]:
    return tuple(algorithm.value for algorithm in config.sip.digest.algorithms)


def _transport_settings(config: Config, tls: Shown | None) -> TransportSettings:
    sip = config.sip
    contexts = TlsContexts(
        server=tls.context if tls else None,
        verifying=client_context(verify=True),
        open=client_context(verify=False),
    )
    return TransportSettings(
        udp=tuple((address.host, address.port) for address in sip.udp),
        tcp=tuple((address.host, address.port) for address in sip.tcp),
        tls=tuple((address.host, address.port) for address in sip.tls),
        tls_contexts=contexts,
        streams=StreamSettings(
            connect_s=sip.connect_timeout_s, idle_s=sip.connection_idle_s, max_connections=sip.max_connections
        ),
    )


def _named(config: Config) -> list[Named]:
    return [Named(one.names, one.certificate, one.private_key) for one in config.sip.certificates]
