"""Where users can be reached beyond the house's own registrar: what nodes say of the phones that registered there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pbxd.directory.model import Aor
from pbxd.logs import get_logger

MAX_CONTACTS = 100_000
MAX_PER_USER = 20

log = get_logger(part="edge")


@dataclass(frozen=True, slots=True)
class NodeContact:
    """A phone that registered at a node. Times are monotonic."""

    aor: Aor
    contact: str
    node: str
    source: str
    user_agent: str
    since: float
    expires: float


class Reach:
    """Contacts by user; they end by themselves. `housed` says whether the house's own registrar has a contact."""

    def __init__(self, housed: Callable[[Aor, float], bool]) -> None:
        self._housed = housed
        self._contacts: dict[Aor, dict[str, NodeContact]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def reachable(self, aor: Aor, now: float) -> bool:
        """Whether a call to this user would ring anywhere."""
        return bool(self.contacts(aor, now)) or self._housed(aor, now)

    def contacts(self, aor: Aor, now: float) -> list[NodeContact]:
        """Those at nodes."""
        return [each for each in self._contacts.get(aor, {}).values() if each.expires > now]

    def of(self, account_id: str, now: float) -> list[NodeContact]:
        """All of an account."""
        return [
            each
            for aor, contacts in self._contacts.items()
            if aor.account_id == account_id
            for each in contacts.values()
            if each.expires > now
        ]

    def register(self, contact: NodeContact) -> bool:
        """A phone is there, or there still. Whether that is news; no room is no news, and is logged."""
        mine = self._contacts.setdefault(contact.aor, {})
        known = mine.get(contact.contact)
        if known is None:
            if len(mine) >= MAX_PER_USER:
                oldest = min(mine.values(), key=lambda each: each.expires)
                self._drop(contact.aor, oldest.contact)
                mine = self._contacts.setdefault(contact.aor, {})
            if self._count >= MAX_CONTACTS:
                log.warning("a phone at a node is not remembered: there are too many", user=contact.aor.user)
                if not mine:
                    del self._contacts[contact.aor]
                return False
            self._count += 1
        mine[contact.contact] = contact
        if known is None:
            log.info("phone registered at a node", user=contact.aor.user, contact=contact.contact, node=contact.node)
        return known is None

    def unregister(self, aor: Aor, contact: str | None) -> int:
        """A phone is gone, or all of a user's; how many went."""
        mine = list(self._contacts.get(aor, {}))
        gone = [each for each in mine if contact is None or each == contact]
        for each in gone:
            self._drop(aor, each)
            log.info("phone unregistered at a node", user=aor.user, contact=each)
        return len(gone)

    def sweep(self, now: float) -> None:
        """Forget what has expired; called every second or so."""
        expired = [
            (aor, name)
            for aor, contacts in self._contacts.items()
            for name, each in contacts.items()
            if each.expires <= now
        ]
        for aor, name in expired:
            self._drop(aor, name)

    def _drop(self, aor: Aor, contact: str) -> None:
        mine = self._contacts[aor]
        del mine[contact]
        self._count -= 1
        if not mine:
            del self._contacts[aor]
