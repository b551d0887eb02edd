"""MESSAGE between phones (RFC 3428): asked of every contact at once, the first 2xx answers the sender."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pbxd.calls.causes import passed_on
from pbxd.calls.dial import Target
from pbxd.calls.facilities import Facilities
from pbxd.sip.flow import Destination
from pbxd.sip.headers import Headers
from pbxd.sip.lookup import ResolveError
from pbxd.sip.message import Request, Response, response_to
from pbxd.sip.transaction import ClientTransaction, Failure, ServerTransaction

MAX_BODY = 1300


class Page:
    """One MESSAGE on its way to the contacts of a user or to a trunk."""

    def __init__(self, facilities: Facilities, transaction: ServerTransaction) -> None:
        self._facilities = facilities
        self._transaction = transaction
        self._request = transaction.request
        self._waiting = 0
        self._best = 480

    def send(self, targets: list[Target], now: float) -> None:
        """Carries the message to all `targets`; the sender gets one answer, whatever happens."""
        self._waiting = len(targets)
        for target in targets:
            if target.destinations:
                self._send_to(target, now, target.destinations)
            else:
                found = partial(self._send_to, target, now)
                self._facilities.resolver.destinations(target.resolve or target.uri, found)

    def _send_to(self, target: Target, now: float, destinations: Sequence[Destination] | ResolveError) -> None:
        if isinstance(destinations, ResolveError):
            self._heard(480, now)
            return
        stack = self._facilities.stack
        headers = Headers()
        headers.add("From", str(target.from_.with_params({"tag": stack.new_tag()})))
        headers.add("To", str(target.to))
        headers.add("Call-ID", stack.new_call_id())
        headers.add("CSeq", "1 MESSAGE")
        for name, value in target.headers:
            headers.add(name, value)
        if content_type := self._request.headers.get("Content-Type"):
            headers.add("Content-Type", content_type)
        stack.request(Request("MESSAGE", target.uri, headers, self._request.body), destinations, self, now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status >= 200:
            self._heard(response.status, now)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        self._heard(408 if failure is Failure.TIMEOUT else 480, now)

    def _heard(self, status: int, now: float) -> None:
        self._waiting -= 1
        delivered = 200 <= status < 300
        self._best = status if delivered or self._best == 480 else self._best
        if not self._transaction.answered and (delivered or self._waiting == 0):
            answer = response_to(self._request, passed_on(self._best))
            self._facilities.stack.respond(self._transaction, answer, now)
