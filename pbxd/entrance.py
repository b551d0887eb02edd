"""The door put together: evidence, bans and allow list over wire's guard, as `security` and `sip.guard` say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from media.wire import Wire
from pbxd.config.schema import Config
from pbxd.directory.accounts import Directory
from pbxd.directory.allowlist import Allowed, Allowlist
from pbxd.directory.bans import Ban, Bans, Terms, parse_network
from pbxd.directory.doorman import Doorman, Slowed, Surroundings
from pbxd.directory.evidence import Cause, Evidence, Misconfigured, Rate, Thresholds, source_key
from pbxd.directory.model import Network
from pbxd.directory.registrar import Registrar
from pbxd.directory.reports import Reports, Spares
from pbxd.errors import Conflict
from pbxd.events import Bus
from pbxd.logs import get_logger
from pbxd.metrics import Metrics
from pbxd.store import Store

SAVE_S = 60.0  # between two times that hits are written down
PURGE_S = 3600.0
FOR_GOOD = float("inf")
_WIDEST = {4: 16, 6: 32}  # prefix lengths of the networks that a node may have banned

log = get_logger(part="door")


class Entrance:
    """Who may come in. `wall` gives seconds since the epoch at a monotonic time."""

    def __init__(
        self,
        config: Config,
        wire: Wire,
        store: Store,
        directory: Directory,
        registrar: Registrar,
        bus: Bus,
        wall: Callable[[float], float],
    ) -> None:
        account_id = directory.default_account.id
        self._config = config
        self._wire = wire
        self._directory = directory
        self._registrar = registrar
        self._wall = wall
        self._saved_at = self._purged_at = float("-inf")
        self._trusted: Sequence[Network] = ()
        self._proxies: dict[str, frozenset[str]] = {}  # by name, as it was looked up last
        self.allowlist = Allowlist(store, account_id)
        self.bans = Bans(store, bus, wire, account_id, terms(config))
        around = Surroundings(self._known, self._immune, wall)
        self.reports = Reports(self.bans, self._sparing, wire.held)
        self.doorman = Doorman(self.bans, Evidence(thresholds(config)), wire, bus, around)

    async def load(self, now: float) -> None:
        """Take up the bans and allowed networks of the store. Raises StoreError."""
        await self.allowlist.load()
        await self.bans.load(now, self._wall(now))
        self.refresh(now)

    def apply(self, config: Config, now: float) -> None:
        """What the configuration says from now on."""
        self._config = config
        security, guard = config.security, config.sip.guard
        self._proxies = {host: found for host, found in self._proxies.items() if self._directory.is_own_proxy(host)}
        self.allowlist.declare(security.allow)
        self.bans.terms = terms(config)
        self.doorman.evidence.thresholds = thresholds(config)
        self.doorman.enabled, self.doorman.slow_s = security.enabled, security.slow.for_s
        self._wire.set_bucket(guard.rate, guard.burst)
        self._wire.set_slow_bucket(security.slow.rate, security.slow.burst)
        self._wire.exempt_loopback(False)
        self.refresh(now)

    def refresh(self, now: float) -> None:
        """Tell wire who is trusted, after trunks or allowed networks have changed."""
        self._wire.hold()
        self._wire.distrust_all()
        self._trusted = [*self._config.sip.guard.trusted, *self._trunk_sources()]
        providers = [*self._directory.own_providers(), *(ip for found in self._proxies.values() for ip in found)]
        limited = [*self.allowlist.networks, *map(parse_network, providers)]
        untold = [found for network in self._trusted if (found := self._trust(network, limited=False))]
        untold += [found for network in limited if (found := self._trust(network, limited=True))]
        if untold:
            log.error("more networks are trusted than there is room for", error=str(untold[0]), left_out=len(untold))
        self._wire.release()
        self.doorman.reconsider(now)

    def resolved(self, host: str, addresses: Iterable[str]) -> None:
        """The addresses of a host name that was looked up: those of a trunk of the house's own are the provider's, and
        never banned."""
        if self._directory.is_own_proxy(host):
            self._proxies[host] = frozenset(addresses)

    def tick(self, now: float) -> None:
        """What is due; called every second or so."""
        self.doorman.tick(now)
        if now - self._saved_at >= SAVE_S:
            self._saved_at = now
            self.bans.save()
        if now - self._purged_at >= PURGE_S:
            self._purged_at = now
            self.bans.purge(self._wall(now))

    # ---- for the API

    def ban(self, network: str, duration_s: float | None, reason: str, by: str, now: float) -> Ban:
        """Ban by hand, for good without a duration. Raises Invalid, and Conflict for who is never banned."""
        parsed = parse_network(network)
        if self._covered(parsed):
            raise Conflict(f"{network} belongs to a trunk or is allowed: it is never banned")
        lasts = FOR_GOOD if duration_s is None else duration_s
        ban = self.bans.ban(
            parsed, Cause.ORDERED, "", now, self._wall(now), made_by=by, reason=reason, duration_s=lasts
        )
        log.info("ban ordered", network=ban.name, by=by, seconds=duration_s or "for good", reason=reason)
        return ban

    def lift(self, wanted: str, by: str, now: float) -> Ban:
        """End a ban, by its id or network. Raises NotFound."""
        ban = self.bans.lift(wanted, by, self._wall(now))
        self.doorman.evidence.forget(source_key(str(ban.network.network_address)))
        log.info("ban lifted", network=ban.name, by=by, ban=ban.id)
        return ban

    def allow(self, network: str, note: str, by: str, now: float) -> Allowed:
        """Never ban this network, and end the bans inside it. Raises Invalid, Conflict."""
        wall = self._wall(now)
        entry = self.allowlist.add(parse_network(network), note, by, wall)
        for ban in [ban for ban in self.bans.active.values() if _holds(entry.network, ban.network)]:
            self.bans.lift(ban.id, by, wall)
        self.refresh(now)
        log.info("network allowed", network=entry.name, by=by, note=note)
        return entry

    def disallow(self, network: str, by: str, now: float) -> Allowed:
        """Raises Invalid, NotFound, and Conflict for what the configuration allows."""
        entry = self.allowlist.remove(parse_network(network))
        self.refresh(now)
        log.info("network no longer allowed", network=entry.name, by=by)
        return entry

    def slowed(self) -> list[Slowed]:
        return list(self.doorman.slowed.values())

    def misconfigured(self) -> list[Misconfigured]:
        return self.doorman.evidence.misconfigured()

    # ---- inside

    def _trust(self, network: Network, *, limited: bool) -> OSError | None:
        """What is in the way of one network keeps no other out."""
        try:
            self._wire.trust(str(network), limited=limited)
        except OSError as error:
            return error
        return None

    def _trunk_sources(self) -> list[Network]:
        return [net for trunk in self._directory.all_trunks() for net in trunk.sources]

    def _sparing(self) -> Spares:
        """Whom no node can have banned, as of now."""
        trunks = [*self._trunk_sources(), *map(parse_network, self._directory.own_providers())]
        trunks += [parse_network(address) for found in self._proxies.values() for address in found]
        allowed = [*self._config.sip.guard.trusted, *self.allowlist.networks]

        def why(network: Network) -> str | None:
            if network.prefixlen < _WIDEST[network.version]:
                return "too wide for a node's word: an administrator may ban it"
            if any(_holds(each, network) for each in allowed):
                return "it is on the allow list"
            return "it is a trunk's" if any(_holds(each, network) for each in trunks) else None

        return why

    def _covered(self, network: Network) -> bool:
        """Whether all of a network is never banned."""
        if any(_holds(each, network) for each in (*self._trusted, *self.allowlist.networks)):
            return True
        return network.num_addresses == 1 and self._directory.is_own_provider(str(network.network_address))

    def _immune(self, source: str) -> bool:
        return self._covered(parse_network(source)) or any(source in addresses for addresses in self._proxies.values())

    def _known(self, key: str, now: float) -> bool:
        return any(source_key(binding.source[0]) == key for binding in self._registrar.all(now))


def _holds(outer: Network, inner: Network) -> bool:
    """Whether `outer` holds all of `inner`."""
    same_family = outer.version == inner.version
    return same_family and inner.prefixlen >= outer.prefixlen and inner.network_address in outer


def thresholds(config: Config) -> Thresholds:
    """What the settings under `security` say."""
    security, wrong, strangers = config.security, config.security.wrong, config.security.strangers
    return Thresholds(
        refuse_after=wrong.refuse_after,
        tries=Rate(wrong.tries, wrong.tries * wrong.try_every_s),
        guesses=Rate(wrong.guesses, wrong.guesses_s),
        users=Rate(wrong.users, wrong.users_s),
        numbers=strangers.numbers,
        requests=Rate(strangers.requests, strangers.requests_s),
        malformed=Rate(strangers.unreadable, strangers.unreadable_s),
        known_factor=security.known_factor,
        agents=tuple(agent.lower() for agent in strangers.scanners if agent),
    )


def terms(config: Config) -> Terms:
    """What the settings under `security.ban` say."""
    said = config.security.ban
    return Terms(said.first_s, said.factor, said.max_s, said.unproven_max_s, said.forget_s)


def measure(metrics: Metrics, entrance: Entrance) -> None:
    """Name the door's metrics."""
    bans, doorman = entrance.bans, entrance.doorman
    metrics.gauges("bans", "Bans in force, by cause", ["cause"], lambda: _by_cause(bans))
    metrics.counters("bans_made", "Bans made, by cause", ["cause"], lambda: bans.made)
    metrics.counter("ban_hits", "Datagrams and connections that bans kept out", lambda: bans.total_hits)
    metrics.counter("door_refused", "Of these, what only the interpreter saw", lambda: doorman.refused)
    metrics.gauge("slowed_sources", "Sources on the slower road", lambda: len(doorman.slowed))
    metrics.gauge("misconfigured_phones", "Users refused from a source for wrong passwords", lambda:
        len(entrance.misconfigured()))  # fmt: skip


def _by_cause(bans: Bans) -> Mapping[Cause, float]:
    return Counter(ban.cause for ban in bans.active.values())
