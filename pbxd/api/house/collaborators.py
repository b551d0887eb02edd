"""What the house's own API works with, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pbxd.calls.record import CallRecord
from pbxd.config import Setting
from pbxd.directory.accounts import Directory
from pbxd.directory.administration import Administration
from pbxd.directory.allowlist import Allowed, Allowlist
from pbxd.directory.bans import Ban, Bans
from pbxd.directory.doorman import Slowed
from pbxd.directory.evidence import Misconfigured
from pbxd.directory.model import Account, PhoneEntry
from pbxd.directory.tenants import Tenants
from pbxd.directory.watch import FraudWatch
from pbxd.flows import Flows
from pbxd.outbox import Outbox
from pbxd.services.cdr import CallRecords
from pbxd.services.conferences import Conferences
from pbxd.services.live import LiveSound
from pbxd.services.queues import Queues
from pbxd.services.recordings import Recordings
from pbxd.services.traces import Traces
from pbxd.services.voicemail import Voicemail
from pbxd.trace import Recorder


class LiveCalls(Protocol):
    """The calls that are up."""

    def calls(self) -> list[CallRecord]:
        """All of them, oldest first."""

    def get(self, call_id: str) -> CallRecord | None: ...

    def hangup(self, call_id: str) -> bool:
        """End a call; False where there is none of that id."""


@dataclass(frozen=True, slots=True)
class RegisteredContact:
    """One contact of a user. Times are seconds since the epoch, `source` is `udp:192.0.2.7:5060`."""

    user: str
    contact: str
    source: str
    behind_nat: bool
    q: float
    user_agent: str
    registered_at: float
    expires_at: float


class Registrations(Protocol):
    """What is registered."""

    def contacts(self, account_id: str) -> Sequence[RegisteredContact]: ...

    def remove(self, account_id: str, user: str) -> int:
        """Forget all contacts of a user; how many there were."""


class Phones(Protocol):
    """The phones of accounts."""

    def phones(self, account: Account) -> Sequence[PhoneEntry]: ...

    async def rotate_password(self, account: Account, extension: str) -> str:
        """The new password, stored already. Raises NotFound, or Conflict where the configuration declares it."""


@dataclass(frozen=True, slots=True)
class TrunkRow:
    """A trunk and the state of its registration. Times are seconds since the epoch."""

    name: str
    proxy: str | None
    sources: tuple[str, ...]
    from_user: str | None
    registers: bool
    state: str
    since: float | None = None
    expires_at: float | None = None
    reason: str | None = None


class Door(Protocol):
    """Who may come in. `by` is who orders it; times are monotonic."""

    @property
    def bans(self) -> Bans: ...

    @property
    def allowlist(self) -> Allowlist: ...

    def ban(self, network: str, duration_s: float | None, reason: str, by: str, now: float) -> Ban:
        """Without a duration for good. Raises Invalid, Conflict."""

    def lift(self, wanted: str, by: str, now: float) -> Ban:
        """End a ban, by its id or network. Raises NotFound."""

    def allow(self, network: str, note: str, by: str, now: float) -> Allowed:
        """Raises Invalid, Conflict."""

    def disallow(self, network: str, by: str, now: float) -> Allowed:
        """Raises Invalid, NotFound, Conflict."""

    def slowed(self) -> list[Slowed]: ...

    def misconfigured(self) -> list[Misconfigured]: ...


RecordingsOf = Callable[[str], Awaitable[Sequence[tuple[float, Path]]]]
"""The sound files of a call, each with when it began in seconds since the epoch."""


async def no_recordings(_call_id: str) -> Sequence[tuple[float, Path]]:
    """Of a house that keeps none."""
    return ()


@dataclass(frozen=True, slots=True)
class Tracing:
    """What these operations work with. `drops` gives counts by layer and reason, `now` is the recorder's clock."""

    traces: Traces
    recorder: Recorder
    drops: Callable[[], Mapping[str, Mapping[str, int]]]
    started_at: float
    now: Callable[[], float]
    recordings: RecordingsOf = no_recordings


@dataclass(frozen=True, slots=True)
class House:
    """The collaborators. `wall` is the time in seconds since the epoch, `now` monotonic."""

    calls: LiveCalls
    records: CallRecords
    registrations: Registrations
    phones: Phones
    trunks: Callable[[Account], Sequence[TrunkRow]]
    settings: Callable[[], Sequence[Setting]]
    reset_admin: Callable[[], Awaitable[tuple[str, str]]]  # (name, secret); raises Conflict where it is declared
    wall: Callable[[], float]
    now: Callable[[], float]
    outbox: Outbox
    door: Door
    fraud: FraudWatch
    flows: Flows
    tracing: Tracing
    recordings: Recordings
    live: LiveSound
    conferences: Conferences
    flush: Callable[[], None]  # sends what SIP has to say by now
    voicemail: Voicemail
    queues: Queues
    directory: Directory
    administration: Administration
    tenants: Tenants
