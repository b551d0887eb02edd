"""Where a user's phones are: the registrar of RFC 3261 §10.3, in memory, kept in the store by the way."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import heapify, heappop, heappush
from itertools import count

from sqlalchemy import select

from pbxd.config.schema import RegistrarLimits
from pbxd.directory.binding import Binding, identity, same_host
from pbxd.directory.model import Aor, Device
from pbxd.events import Bus
from pbxd.ids import new_id
from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Flow, Transport
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import STAR, Request, parse_seconds
from pbxd.sip.uri import Uri
from pbxd.store import Store
from pbxd.store.schema import bindings

log = logging.getLogger(__name__)

MAX_CONTACT = 1024
MAX_USER_AGENT = 128
_HOUR = 3600
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class UnregisterReason(StrEnum):
    ASKED = "asked"  # the phone said so
    EXPIRED = "expired"  # the phone did not refresh
    REPLACED = "replaced"  # the same phone registered from elsewhere
    CROWDED_OUT = "crowded out"  # one contact more than allowed
    CONNECTION_LOST = "connection lost"
    REMOVED = "removed"  # by an administrator


@dataclass(frozen=True, slots=True)
class PhoneRegistered:
    """A contact is new. Refreshes are no news."""

    aor: Aor
    contact: Uri
    source: tuple[str, int]
    transport: Transport
    user_agent: str


@dataclass(frozen=True, slots=True)
class PhoneUnregistered:
    """A contact is gone."""

    aor: Aor
    contact: Uri
    reason: UnregisterReason


@dataclass(frozen=True, slots=True)
class RegisterOutcome:
    """The answer to a REGISTER: `response_to(request, status, reason)` with `headers` added."""

    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Change:
    """One contact of a REGISTER, checked. `binding` is the one it is about, `expires` 0 removes it."""

    contact: NameAddr
    expires: int
    binding: Binding | None


class Registrar:
    """Bindings of all users. `limits` may be replaced at any time; bindings that are there keep their terms."""

    def __init__(self, store: Store, bus: Bus, limits: RegistrarLimits) -> None:
        self.limits = limits
        self._store = store
        self._bus = bus
        self._save = store.upsert(bindings)
        self._delete = store.delete_by_id(bindings)
        self._shift = store.update_by_id(bindings, "expires_at")
        self._users: dict[Aor, list[Binding]] = {}
        self._count = 0
        self._connections: dict[int, dict[Binding, None]] = {}
        self._at: dict[str, Counter[str]] = {}  # how many phones of each account registered from an address
        self._timetable: list[tuple[float, int, Binding]] = []  # one live entry a binding: the one at `due`
        self._order = count()
        self._date = (-1, "")

    def __len__(self) -> int:
        return self._count

    async def load(self, now: float, wall: float) -> int:
        """Take up the bindings of the last run that have not expired. Raises StoreError."""
        for row in await self._store.rows(select(bindings)):
            try:
                binding = Binding.of(row._asdict(), now, wall)
                # A clock that was wrong then, or is now, makes nobody stay longer than a registration may last.
                binding.expires = min(binding.expires, now + self.limits.max_expires_s)
            except (ParseError, ValueError):
                log.warning("the binding %s of the store is not readable and is removed", row.id)
                self._store.write(self._delete, {"key": row.id})
                continue
            if binding.expires > now:
                self._add(binding)
            else:
                self._store.write(self._delete, {"key": binding.id})
        return self._count

    # ---- REGISTER

    def register(
        self, aor: Aor, device: Device, request: Request, flow: Flow, now: float, wall: float
    ) -> RegisterOutcome:
        """Do what an authenticated REGISTER for `aor` asks, all of it or nothing (RFC 3261 §10.3 steps 4 to 8).

        Without Contact it is a question (step 6). `now` is monotonic, `wall` seconds since the epoch.
        """
        if (device.account_id, device.user) != (aor.account_id, aor.user):
            return RegisterOutcome(403, "Not Your Address")
        if device.transport is not None and flow.transport is not device.transport:
            return RegisterOutcome(403, f"Register Over {device.transport.value}")
        current = self._users.get(aor, [])
        contacts = request.contacts
        if contacts is STAR:
            if request.expires != 0:
                return RegisterOutcome(400, "Contact * Needs Expires 0")
            plan: RegisterOutcome | list[_Change] = self._plan_all(current, request)
        else:
            plan = self._plan(contacts, current, request)
        if isinstance(plan, RegisterOutcome):
            return plan
        at_home = any(same_host(change.contact.uri.host, flow.remote[0]) for change in plan)
        for change in plan:
            self._apply(change, aor, device.auth_username, request, flow, at_home, now, wall)
        self._crowd_out(aor)
        return RegisterOutcome(200, None, self._answer(aor, now, wall))

    def _plan_all(self, current: Sequence[Binding], request: Request) -> RegisterOutcome | list[_Change]:
        if any(_out_of_order(binding, request) for binding in current):
            return RegisterOutcome(500, "CSeq Out Of Order")
        return [_Change(NameAddr(None, binding.contact), 0, binding) for binding in current]

    def _plan(
        self, contacts: Sequence[NameAddr], current: Sequence[Binding], request: Request
    ) -> RegisterOutcome | list[_Change]:
        limits = self.limits
        if len(contacts) > limits.max_contacts:
            return RegisterOutcome(403, "Too Many Contacts")
        plan: list[_Change] = []
        for contact in contacts:
            if not (contact.uri.is_sip and contact.uri.host) or len(str(contact)) > MAX_CONTACT:
                return RegisterOutcome(400, "Contact Cannot Be Called")
            expires = self._expires(contact, request)
            if 0 < expires < limits.min_expires_s and expires < _HOUR:
                return RegisterOutcome(423, None, (("Min-Expires", str(limits.min_expires_s)),))
            binding = _find(current, contact)
            if binding is not None and _out_of_order(binding, request):
                return RegisterOutcome(500, "CSeq Out Of Order")
            plan.append(_Change(contact, min(expires, limits.max_expires_s), binding))
        return plan

    def _expires(self, contact: NameAddr, request: Request) -> int:
        """RFC 3261 §10.3 step 7: the Contact's own word, else the message's, else ours; nonsense counts as an hour."""
        if "expires" in contact.params:
            said = parse_seconds(contact.params["expires"] or "")
        elif request.headers.get("Expires") is not None:
            said = request.expires
        else:
            return self.limits.default_expires_s
        return _HOUR if said is None else said

    def _apply(
        self,
        change: _Change,
        aor: Aor,
        device: str,
        request: Request,
        flow: Flow,
        at_home: bool,
        now: float,
        wall: float,
    ) -> None:
        binding, uri = change.binding, change.contact.uri
        if binding is None or binding.gone:  # or named twice in this REGISTER
            binding = _find(self._users.get(aor, ()), change.contact)
        if change.expires == 0:
            if binding is not None:
                self._remove(binding, UnregisterReason.ASKED)
            return
        if binding is not None and not binding.contact.same_as(uri):
            self._remove(binding, UnregisterReason.REPLACED)
            binding = None
        fresh = binding is None
        if binding is None:
            binding = Binding(new_id("bnd", wall), aor, uri, wall)
        else:
            self._disconnect(binding)
        binding.contact, binding.device = uri, device
        binding.said(change.contact.params)
        binding.call_id, binding.cseq = request.call_id, request.cseq.number
        binding.user_agent = (request.headers.get("User-Agent") or "")[:MAX_USER_AGENT]
        binding.came(flow, behind_nat=not at_home and not same_host(uri.host, flow.remote[0]))
        binding.seen, binding.expires, binding.expires_at = now, now + change.expires, wall + change.expires
        self._add(binding) if fresh else self._touch(binding)
        self._store.write(self._save, binding.row())
        if fresh:
            event = PhoneRegistered(aor, uri, binding.source, binding.transport, binding.user_agent)
            self._bus.publish(event)

    def _crowd_out(self, aor: Aor) -> None:
        """A phone that comes back from a new address would be locked out by its old contacts: the least recent go."""
        own = self._users.get(aor, [])
        while len(own) > self.limits.max_contacts:
            self._remove(min(own, key=lambda binding: binding.seen), UnregisterReason.CROWDED_OUT)

    def _answer(self, aor: Aor, now: float, wall: float) -> tuple[tuple[str, str], ...]:
        contacts = [("Contact", binding.value(now)) for binding in self.bindings(aor, now)]
        if self._date[0] != int(wall):
            self._date = (int(wall), http_date(wall))
        return (*contacts, ("Date", self._date[1]))

    # ---- questions

    def bindings(self, aor: Aor, now: float) -> list[Binding]:
        """Where the user can be called, the most wanted first (RFC 3261 §16.6 step 1: by q)."""
        own = [binding for binding in self._users.get(aor, ()) if binding.expires > now]
        if len(own) > 1:
            own.sort(key=lambda binding: (-binding.q, -binding.expires))
        return own

    def all(self, now: float) -> list[Binding]:
        """Every binding that has not expired."""
        return [binding for own in self._users.values() for binding in own if binding.expires > now]

    def others_at(self, address: str, account_id: str) -> bool:
        """Whether a phone of another account than this is registered from an address."""
        return any(owner != account_id for owner in self._at.get(address, ()))

    # ---- what happens to bindings

    def remove(self, aor: Aor) -> int:
        """Forget all phones of a user, as an administrator does. Gives how many."""
        return self._remove_all(self._users.get(aor, ()), UnregisterReason.REMOVED)

    def remove_binding(self, binding: Binding) -> None:
        """Forget one phone, as an administrator does."""
        if not binding.gone:
            self._remove(binding, UnregisterReason.REMOVED)

    def connection_lost(self, flow: Flow) -> int:
        """Forget the phones that could only be reached over this connection. Gives how many.

        One that says where it listens is kept and will be connected to there.
        """
        over = self._connections.pop(flow.connection, {})
        for binding in over:
            binding.flow = None
        return self._remove_all([binding for binding in over if not binding.listens], UnregisterReason.CONNECTION_LOST)

    def clock_was_set(self, by: float) -> None:
        """The wall clock was set by `by` seconds. Nothing here goes by it, but a restart will: what it finds is put
        right."""
        for own in self._users.values():
            for binding in own:
                binding.expires_at += by
                self._store.write(self._shift, {"key": binding.id, "expires_at": binding.expires_at})

    def timer(self) -> float | None:
        """When `expire` has something to do, at the earliest."""
        return self._timetable[0][0] if self._timetable else None

    def expire(self, now: float) -> int:
        """Forget the phones that did not refresh in time. Gives how many."""
        expired: list[Binding] = []
        while self._timetable and self._timetable[0][0] <= now:
            due, _, binding = heappop(self._timetable)
            if binding.gone or due != binding.due:
                continue
            if binding.expires > now:
                self._schedule(binding)
            else:
                expired.append(binding)
        return self._remove_all(expired, UnregisterReason.EXPIRED)

    # ---- keeping them

    def _add(self, binding: Binding) -> None:
        self._users.setdefault(binding.aor, []).append(binding)
        self._count += 1
        self._connect(binding)
        self._schedule(binding)

    def _touch(self, binding: Binding) -> None:
        """A binding was refreshed: its entry in the timetable moves only when it must come up earlier."""
        self._connect(binding)
        if binding.expires < binding.due:
            self._schedule(binding)

    def _schedule(self, binding: Binding) -> None:
        binding.due = binding.expires
        heappush(self._timetable, (binding.due, next(self._order), binding))
        if len(self._timetable) > 2 * self._count + 1000:  # entries of those who left early
            live = [entry for entry in self._timetable if not entry[2].gone and entry[0] == entry[2].due]
            heapify(live)
            self._timetable = live

    def _connect(self, binding: Binding) -> None:
        self._at.setdefault(binding.source[0], Counter())[binding.aor.account_id] += 1
        if binding.flow is not None and binding.flow.connection:
            self._connections.setdefault(binding.flow.connection, {})[binding] = None

    def _disconnect(self, binding: Binding) -> None:
        there, owner = self._at[binding.source[0]], binding.aor.account_id
        there[owner] -= 1
        if not there[owner]:
            del there[owner]
        if not there:
            del self._at[binding.source[0]]
        if binding.flow is not None and binding.flow.connection:
            over = self._connections.get(binding.flow.connection, {})
            over.pop(binding, None)
            if not over:
                self._connections.pop(binding.flow.connection, None)

    def _remove_all(self, leaving: Iterable[Binding], reason: UnregisterReason) -> int:
        leaving = list(leaving)
        for binding in leaving:
            self._remove(binding, reason)
        return len(leaving)

    def _remove(self, binding: Binding, reason: UnregisterReason) -> None:
        binding.gone = True
        own = self._users[binding.aor]
        own.remove(binding)
        if not own:
            del self._users[binding.aor]
        self._count -= 1
        self._disconnect(binding)
        self._store.write(self._delete, {"key": binding.id})
        self._bus.publish(PhoneUnregistered(binding.aor, binding.contact, reason))


def _find(current: Sequence[Binding], contact: NameAddr) -> Binding | None:
    """The binding a Contact is about: the same instance and reg-id (RFC 5626 §6), or the same URI (RFC 3261 §19.1.4).

    Not what RFC 5626 §6 says: an instance counts without reg-id too. A phone that comes back from another port is
    still that phone, and its old contact would only ring in vain.
    """
    if not current:
        return None
    instance, reg_id = identity(contact.params)
    if instance is not None:
        for binding in current:
            if binding.instance == instance and binding.reg_id == reg_id:
                return binding
    for binding in current:
        if binding.contact is contact.uri or binding.contact.same_as(contact.uri):
            return binding
    return None


def _out_of_order(binding: Binding, request: Request) -> bool:
    """RFC 3261 §10.3 step 7: of one Call-ID, only a higher CSeq changes a binding."""
    return binding.call_id == request.call_id and request.cseq.number <= binding.cseq


def http_date(wall: float) -> str:
    """A SIP-date (RFC 3261 §20.17), whatever the locale."""
    at = time.gmtime(wall)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )
