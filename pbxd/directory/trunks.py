"""Our registrations at providers (RFC 3261 §10.2): kept alive, given up politely, and visible.

Sans-IO: the stack carries the messages and the timers, `resolve` finds the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from pbxd.directory.model import Trunk, TrunkRegister
from pbxd.events import Bus
from pbxd.sip.digest import Challenge, answer, read_challenges
from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Destination
from pbxd.sip.headers import CSeq, Headers, NameAddr
from pbxd.sip.message import Request, Response, parse_seconds
from pbxd.sip.stack import Stack
from pbxd.sip.timers import TimerHandle
from pbxd.sip.transaction import ClientTransaction, Failure
from pbxd.sip.uri import Uri

FIRST_PAUSE_S = 30.0
LAST_PAUSE_S = 600.0
REFRESH_AT = 0.9  # of the time granted
MAX_ATTEMPTS = 4  # requests of one round: 401, 423, stale, and one more

# `resolve(uri, tell)` calls `tell(destinations, now)` once, at once or later; none when there is nothing to be found.
Tell = Callable[[Sequence[Destination], float], None]
Resolve = Callable[[Uri, Tell], None]


class TrunkState(StrEnum):
    OFF = "off"
    TRYING = "trying"
    REGISTERED = "registered"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class TrunkStatus:
    """Where a registration stands. `since` and `expires` are monotonic time; `reason` is for people."""

    trunk: Trunk
    state: TrunkState
    since: float
    expires: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class TrunkChanged:
    """The state of a registration has changed."""

    status: TrunkStatus


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a registration needs of the house. `local` gives the host and port we advertise to a destination,
    `trust` is told from which addresses a trunk's provider may call."""

    stack: Stack
    resolve: Resolve
    local: Callable[[Destination], tuple[str, int]]
    trust: Callable[[Trunk, frozenset[str]], None]
    bus: Bus
    rng: Random


class TrunkRegistrations:
    """The registrations of all trunks that ask for one."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._current: dict[str, TrunkRegistration] = {}
        self._leaving: list[TrunkRegistration] = []

    def apply(self, trunks: Iterable[Trunk], now: float) -> None:
        """Register what is new or has changed, deregister what is gone; leave the rest in peace."""
        wanted = {trunk.id: trunk for trunk in trunks if trunk.register is not None and trunk.proxy is not None}
        for trunk_id, registration in list(self._current.items()):
            trunk = wanted.get(trunk_id)
            if trunk is not None and registration.serves(trunk):
                registration.trunk = trunk
                continue
            del self._current[trunk_id]
            self._leave(registration, now)
        for trunk_id, trunk in wanted.items():
            if trunk_id not in self._current:
                self._current[trunk_id] = TrunkRegistration(trunk, self._surroundings, now)
                self._current[trunk_id].start(now)

    def stop(self, now: float) -> None:
        """Deregister everywhere. `idle` says when the answers are in."""
        for registration in self._current.values():
            self._leave(registration, now)
        self._current.clear()

    def _leave(self, registration: TrunkRegistration, now: float) -> None:
        self._leaving = [each for each in self._leaving if not each.done]
        registration.stop(now)
        self._leaving.append(registration)

    @property
    def idle(self) -> bool:
        """Whether no deregistration is under way."""
        return all(each.done for each in self._leaving)

    def status(self) -> list[TrunkStatus]:
        return [registration.status for registration in self._current.values()]


class TrunkRegistration:
    """One registration at one provider."""

    def __init__(self, trunk: Trunk, surroundings: Surroundings, now: float) -> None:
        if trunk.register is None or trunk.proxy is None:
            raise ValueError(f"the trunk {trunk.name} does not register")
        self.trunk = trunk
        self.status = TrunkStatus(trunk, TrunkState.OFF, now, None, "not started")
        self._register: TrunkRegister = trunk.register
        self._around = surroundings
        proxy = Uri.parse(trunk.proxy)
        self._proxy = proxy
        self._domain = Uri("sip", None, proxy.host, proxy.port)
        self._aor = NameAddr(None, Uri("sip", self._register.aor, proxy.host))
        self._from = self._aor.with_tag(surroundings.stack.new_tag())
        self._call_id = surroundings.stack.new_call_id()
        self._cseq = 0
        self._asked_s = self._register.expires_s
        self._destinations: Sequence[Destination] = ()
        self._transaction: ClientTransaction | None = None
        self._timer: TimerHandle | None = None
        self._attempts = 0
        self._answered = False  # this round's request went out with credentials
        self._failures = 0
        self._stopping = False

    def serves(self, trunk: Trunk) -> bool:
        """Whether this registration is what `trunk` asks for."""
        return (trunk.register, trunk.proxy) == (self._register, self.trunk.proxy)

    @property
    def done(self) -> bool:
        """Whether it was stopped and nothing is under way any more."""
        return self._stopping and self._transaction is None

    def start(self, now: float) -> None:
        """Begin a round: find the provider, register, and come back in time."""
        self._timer = None
        self._attempts, self._answered = 0, False
        if self.status.state is TrunkState.OFF:
            self._become(TrunkState.TRYING, "registering", now)
        self._around.resolve(self._proxy, self._found)

    def stop(self, now: float) -> None:
        """Deregister if we are registered, and do nothing more."""
        was = self.status.state
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transaction = None
        self._around.trust(self.trunk, frozenset())
        self._become(TrunkState.OFF, "stopped", now)
        if was is TrunkState.REGISTERED and self._destinations:
            self._attempts, self._answered, self._asked_s = 0, False, 0
            self._send(now)

    def _found(self, destinations: Sequence[Destination], now: float) -> None:
        if self._stopping:
            return
        self._destinations = destinations
        if destinations:
            self._send(now)
        else:
            self._fail(TrunkState.UNREACHABLE, f"{self._proxy.host} was not found", now)

    # ---- one request

    def _send(self, now: float, credentials: tuple[str, str] | None = None) -> None:
        self._attempts += 1
        self._cseq += 1
        destination = self._destinations[0]
        host, port = self._around.local(destination)
        transport = destination.transport
        params = {} if transport.value == "UDP" else {"transport": transport.value.lower()}
        contact = NameAddr(None, Uri("sip", self._register.aor, host, port, params))
        headers = Headers()
        headers.add("From", str(self._from))
        headers.add("To", str(self._aor))
        headers.add("Call-ID", self._call_id)
        headers.add("CSeq", str(CSeq(self._cseq, "REGISTER")))
        headers.add("Contact", str(contact))
        headers.add("Expires", str(self._asked_s))
        if credentials is not None:
            headers.add(*credentials)
        request = Request("REGISTER", self._domain, headers)
        self._transaction = self._around.stack.request(request, self._destinations, self, now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """TransactionUser: an answer of the provider."""
        if transaction is not self._transaction or response.status < 200:
            return
        self._transaction = None
        if response.status < 300:
            self._accepted(response, transaction.destination.host, now)
        elif response.status in (401, 407):
            self._challenged(response, now)
        elif response.status == 423:
            self._too_brief(response, now)
        else:
            unreachable = response.status == 408 or 500 <= response.status < 600
            state = TrunkState.UNREACHABLE if unreachable else TrunkState.REFUSED
            self._fail(state, f"{response.status} {response.reason}", now, _retry_after(response))

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """TransactionUser: no answer."""
        if transaction is self._transaction:
            self._transaction = None
            self._fail(TrunkState.UNREACHABLE, failure.value, now)

    def _challenged(self, response: Response, now: float) -> None:
        proxy = response.status == 407
        lines = response.headers.all("Proxy-Authenticate" if proxy else "WWW-Authenticate")
        challenges = read_challenges(lines)
        if self._attempts >= MAX_ATTEMPTS or (self._answered and not any(each.stale for each in challenges)):
            self._fail(TrunkState.REFUSED, "the provider does not accept the username and password", now)
            return
        try:
            value = self._credentials(challenges)
        except ParseError:
            self._fail(TrunkState.REFUSED, "the provider asks for credentials of a kind we do not have", now)
            return
        self._answered = True
        self._send(now, ("Proxy-Authorization" if proxy else "Authorization", value))

    def _credentials(self, challenges: list[Challenge]) -> str:
        register = self._register
        return str(
            answer(
                challenges,
                method="REGISTER",
                uri=self._domain,
                username=register.username,
                password=register.password,
                cnonce=f"{self._around.rng.getrandbits(64):016x}",
            )
        )

    def _too_brief(self, response: Response, now: float) -> None:
        """RFC 3261 §10.2.8: ask again for as long as the provider wants."""
        least = parse_seconds(response.headers.get("Min-Expires") or "")
        if self._stopping or least is None or least <= self._asked_s or self._attempts >= MAX_ATTEMPTS:
            self._fail(TrunkState.REFUSED, f"{response.status} {response.reason}", now)
            return
        self._asked_s = least
        self._answered = False
        self._send(now)

    # ---- what comes of it

    def _accepted(self, response: Response, provider: str, now: float) -> None:
        """Who answered may call: what else the provider's name leads to is its word alone."""
        if self._stopping:
            return
        granted = self._granted(response)
        if granted == 0:
            self._fail(TrunkState.REFUSED, "the provider accepted the registration for 0 seconds", now)
            return
        self._failures = 0
        self._around.trust(self.trunk, frozenset({provider}))
        self._become(TrunkState.REGISTERED, f"for {granted} s", now, now + granted)
        self._timer = self._around.stack.schedule(now + granted * REFRESH_AT, self.start)

    def _granted(self, response: Response) -> int:
        """How long we are registered: what our Contact says, or the message (RFC 3261 §10.2.4). Others may be
        registered to the same AOR; ours is the one with our address."""
        host, port = self._around.local(self._destinations[0])
        own = [each for each in response.contacts if (each.uri.host, each.uri.port) == (host, port)]
        for contact in own or response.contacts[:1]:
            said = parse_seconds(contact.params.get("expires") or "")
            if said is not None:
                return said
        return self._asked_s if response.expires is None else response.expires

    def _fail(self, state: TrunkState, reason: str, now: float, retry_after_s: float = 0.0) -> None:
        """Try again later: 30 s at first, twice as long each time, ten minutes at most, never all trunks at once."""
        if self._stopping:
            return
        expires = self.status.expires
        if expires is not None and expires <= now:
            expires = None
        if expires is None or state is TrunkState.REFUSED:
            self._around.trust(self.trunk, frozenset())
        pause = min(FIRST_PAUSE_S * 2 ** min(self._failures, 10), LAST_PAUSE_S)
        pause = max(pause * (0.75 + 0.5 * self._around.rng.random()), min(retry_after_s, LAST_PAUSE_S))
        self._failures += 1
        self._become(state, reason, now, expires)
        self._timer = self._around.stack.schedule(now + pause, self.start)

    def _become(self, state: TrunkState, reason: str, now: float, expires: float | None = None) -> None:
        before = self.status
        since = before.since if before.state is state else now
        self.status = TrunkStatus(self.trunk, state, since, expires, reason)
        if before.state is not state:
            self._around.bus.publish(TrunkChanged(self.status))


def _retry_after(response: Response) -> float:
    """Retry-After in seconds; its comment and parameters do not matter (RFC 3261 §20.33)."""
    text = (response.headers.get("Retry-After") or "").partition(";")[0].partition("(")[0].strip()
    return float(parse_seconds(text) or 0)
