"""What the house's own API works with, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pbxd.calls.record import CallRecord
from pbxd.config import Setting
from pbxd.directory.model import PhoneEntry
from pbxd.outbox import Outbox
from pbxd.services.cdr import CallRecords
from pbxd.services.conferences import Conferences
from pbxd.services.live import LiveSound
from pbxd.services.recordings import Recordings


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

    def contacts(self) -> Sequence[RegisteredContact]: ...

    def remove(self, user: str) -> int:
        """Forget all contacts of a user; how many there were."""


class Phones(Protocol):
    """The phones of the default account."""

    def phones(self) -> Sequence[PhoneEntry]: ...

    async def rotate_password(self, extension: str) -> str:
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


@dataclass(frozen=True, slots=True)
class House:
    """The collaborators. `wall` is the time in seconds since the epoch."""

    calls: LiveCalls
    records: CallRecords
    registrations: Registrations
    phones: Phones
    trunks: Callable[[], Sequence[TrunkRow]]
    settings: Callable[[], Sequence[Setting]]
    reset_admin: Callable[[], Awaitable[tuple[str, str]]]  # (name, secret); raises Conflict where it is declared
    wall: Callable[[], float]
    outbox: Outbox
    recordings: Recordings
    live: LiveSound
    conferences: Conferences
    account_id: str  # whose conferences are shown
    flush: Callable[[], None]  # sends what SIP has to say by now
