"""Event subscriptions as the notifier sees them (RFC 6665 §4.2).

    ACTIVE ──refreshed, changed──> ACTIVE       each with a NOTIFY that says all there is to say
      │
      └──unsubscribed, expired, withdrawn, refused──> TERMINATED     the last NOTIFY, unless it was a NOTIFY that failed

One NOTIFY is under way at a time: what changes meanwhile is told by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum

from pbxd.sip.dialog import Dialog
from pbxd.sip.message import Request, Response, response_to
from pbxd.sip.stack import Stack
from pbxd.sip.timers import TimerHandle
from pbxd.sip.transaction import ClientTransaction, Failure, ServerTransaction
from pbxd.sip.uri import Uri

MOST = 20_000
MOST_OF_ONE = 32  # of one resource: one more ends the oldest


class SubscriptionState(Enum):
    ACTIVE = "active"
    TERMINATED = "terminated"


class SubscriptionEvent(Enum):
    REFRESHED = "refreshed"
    CHANGED = "changed"
    UNSUBSCRIBED = "unsubscribed"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"


_ACTIVE, _OVER = SubscriptionState.ACTIVE, SubscriptionState.TERMINATED

TABLE: dict[tuple[SubscriptionState, SubscriptionEvent], SubscriptionState] = {
    (_ACTIVE, SubscriptionEvent.REFRESHED): _ACTIVE,
    (_ACTIVE, SubscriptionEvent.CHANGED): _ACTIVE,
    (_ACTIVE, SubscriptionEvent.UNSUBSCRIBED): _OVER,
    (_ACTIVE, SubscriptionEvent.EXPIRED): _OVER,
    (_ACTIVE, SubscriptionEvent.WITHDRAWN): _OVER,
    (_ACTIVE, SubscriptionEvent.REFUSED): _OVER,
}
"""What is not here comes too late and changes nothing."""

_REASONS = {  # RFC 6665 §4.1.3; "timeout" is also what an unsubscribed phone is told (§4.4.1)
    SubscriptionEvent.UNSUBSCRIBED: "timeout",
    SubscriptionEvent.EXPIRED: "timeout",
    SubscriptionEvent.WITHDRAWN: "probation;retry-after={retry_after}",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a subscription lasts, in seconds. Shorter wishes than `least` are refused, longer than `most` cut."""

    least: int = 60
    usual: int = 3600
    most: int = 3600
    retry_after: int = 30


@dataclass(frozen=True, slots=True)
class Package:
    """An event package (RFC 6665 §7.2): its name, what it says, and the body for a resource as it is now."""

    name: str
    content_type: str
    body: Callable[[Hashable], bytes]


class Subscription:
    """One dialog of a phone that wants to hear of `resource`. It is the user of its NOTIFYs."""

    def __init__(
        self, table: SubscriptionTable, package: Package, event: str, dialog: Dialog, resource: Hashable
    ) -> None:
        self._table = table
        self._package = package
        self._event = event  # as the phone wrote it, with its id
        self._expiry: TimerHandle | None = None
        self._until = 0.0
        self._under_way = False
        self._stale = False
        self._last: str | None = None  # the Subscription-State to end with
        self.dialog = dialog
        self.resource = resource
        self.state = SubscriptionState.ACTIVE

    @property
    def key(self) -> tuple[str, str]:
        return self.dialog.call_id, self.dialog.local_tag

    @property
    def place(self) -> tuple[str, Hashable]:
        return self._package.name, self.resource

    def refresh(self, seconds: int, now: float) -> None:
        """It lasts `seconds` from now; 0 ends it. The phone is told how things stand either way."""
        if not seconds:
            self.happen(SubscriptionEvent.UNSUBSCRIBED, now)
            return
        self._cancel_expiry()
        self._until = now + seconds
        self._expiry = self._table.stack.schedule(self._until, self._expire)
        self.happen(SubscriptionEvent.REFRESHED, now)

    def happen(self, event: SubscriptionEvent, now: float) -> None:
        """Takes the row of `event`; one that has none is too late."""
        state = TABLE.get((self.state, event))
        if state is None:
            return
        self.state = state
        if state is SubscriptionState.TERMINATED:
            self._cancel_expiry()
            self._table.forget(self)
            reason = _REASONS.get(event)
            if reason is None:
                return
            self._last = f"terminated;reason={reason.format(retry_after=self._table.terms.retry_after)}"
        self._notify(now)

    def _expire(self, now: float) -> None:
        self._expiry = None
        self.happen(SubscriptionEvent.EXPIRED, now)

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _notify(self, now: float) -> None:
        if self._under_way:
            self._stale = True
            return
        self._under_way, self._stale = True, False
        request = self.dialog.request("NOTIFY")
        add = request.headers.add
        add("Event", self._event)
        add("Subscription-State", self._last or f"active;expires={max(0, round(self._until - now))}")
        add("Content-Type", self._package.content_type)
        request.body = self._package.body(self.resource)
        self._table.notified += 1
        self._table.stack.request(request, self.dialog.destinations(symmetric=True), self, now)

    # ---- TransactionUser

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status < 200:
            return
        self._under_way = False
        if response.status < 300:
            self._again(now)
        elif response.headers.get("Retry-After") is None:  # RFC 6665 §4.2.2; with it, it hears of the next change
            self.happen(SubscriptionEvent.REFUSED, now)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        self._under_way = False
        self.happen(SubscriptionEvent.REFUSED, now)

    def _again(self, now: float) -> None:
        if self._stale:
            self._notify(now)


class SubscriptionTable:
    """The subscriptions of one node. `notified` counts NOTIFYs."""

    def __init__(self, stack: Stack, terms: Terms | None = None) -> None:
        self.stack = stack
        self.terms = terms or Terms()
        self.notified = 0
        self._all: dict[tuple[str, str], Subscription] = {}
        self._of: dict[tuple[str, Hashable], dict[tuple[str, str], Subscription]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def open(
        self,
        transaction: ServerTransaction,
        request: Request,
        package: Package,
        resource: Hashable,
        contact: Uri,
        now: float,
    ) -> Subscription | None:
        """Answers a SUBSCRIBE outside of a dialog. None: it was refused, with 400, 406, 423 or 503."""
        seconds = self._seconds(transaction, request, now)
        if seconds is None:
            return None
        if not request.contacts:
            self._answer(transaction, 400, now)
            return None
        if not _accepts(request, package.content_type):
            self._answer(transaction, 406, now, ("Accept", package.content_type))
            return None
        if len(self._all) >= MOST:
            self._answer(transaction, 503, now, ("Retry-After", str(self.terms.retry_after)))
            return None
        dialog = Dialog.uas(request, transaction.to_tag, contact, transaction.flow, local_seq=0)
        subscription = Subscription(self, package, request.headers.get("Event") or package.name, dialog, resource)
        self._add(subscription, now)
        self._agree(transaction, subscription, seconds, now)
        return subscription

    def receive(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """A request inside a dialog. False: the dialog is none of ours."""
        subscription = self._all.get((request.call_id, request.to.tag or ""))
        if subscription is None:
            return False
        dialog = subscription.dialog
        if request.method != "SUBSCRIBE":
            self._answer(transaction, 405, now, ("Allow", "SUBSCRIBE"))
            return True
        refused = dialog.accepts(request)
        if refused is not None:
            self._answer(transaction, refused, now)
            return True
        seconds = self._seconds(transaction, request, now)
        if seconds is not None:
            dialog.came_by(transaction.flow)
            dialog.refresh_target(request)
            self._agree(transaction, subscription, seconds, now)
        return True

    def changed(self, package: Package, resource: Hashable, now: float) -> None:
        """Tells everybody who wants to hear of `resource` how it is now."""
        for subscription in tuple(self._of.get((package.name, resource), {}).values()):
            subscription.happen(SubscriptionEvent.CHANGED, now)

    def withdraw(self, now: float) -> None:
        """Ends all of them: the house stops, and phones shall ask again a little later."""
        for subscription in tuple(self._all.values()):
            subscription.happen(SubscriptionEvent.WITHDRAWN, now)

    def forget(self, subscription: Subscription) -> None:
        """For subscriptions only."""
        self._all.pop(subscription.key, None)
        own = self._of.get(subscription.place)
        if own is not None and own.pop(subscription.key, None) is not None and not own:
            del self._of[subscription.place]

    def _add(self, subscription: Subscription, now: float) -> None:
        own = self._of.get(subscription.place, {})
        if len(own) >= MOST_OF_ONE:
            next(iter(own.values())).happen(SubscriptionEvent.WITHDRAWN, now)
        self._of.setdefault(subscription.place, {})[subscription.key] = subscription
        self._all[subscription.key] = subscription

    def _agree(self, transaction: ServerTransaction, subscription: Subscription, seconds: int, now: float) -> None:
        """200 first, then the NOTIFY that every SUBSCRIBE is followed by (RFC 6665 §4.2.1.2)."""
        contact = ("Contact", f"<{subscription.dialog.contact}>")
        self._answer(transaction, 200, now, contact, ("Expires", str(seconds)))
        subscription.refresh(seconds, now)

    def _seconds(self, transaction: ServerTransaction, request: Request, now: float) -> int | None:
        wished = request.expires
        if wished is None:
            return self.terms.usual
        if 0 < wished < self.terms.least:
            self._answer(transaction, 423, now, ("Min-Expires", str(self.terms.least)))
            return None
        return min(wished, self.terms.most)

    def _answer(self, transaction: ServerTransaction, status: int, now: float, *headers: tuple[str, str]) -> None:
        response = response_to(transaction.request, status)
        for name, value in headers:
            response.headers.add(name, value)
        self.stack.respond(transaction, response, now)


def package_name(request: Request) -> str | None:
    """The event package a SUBSCRIBE asks for; None where it does not say."""
    event = request.headers.get("Event")
    return None if event is None else event.partition(";")[0].strip().lower()


def _accepts(request: Request, content_type: str) -> bool:
    accept = request.headers.get("Accept")
    if accept is None:
        return True
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return bool(kinds & {content_type, "*/*", content_type.partition("/")[0] + "/*"})
