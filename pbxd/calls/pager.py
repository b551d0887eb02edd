"""MESSAGE to phones (RFC 3428): asked of every contact at once, the first 2xx is what the sender is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from pbxd.calls.causes import passed_on
from pbxd.calls.dial import Target
from pbxd.calls.facilities import Facilities
from pbxd.sip.flow import Destination
from pbxd.sip.headers import Headers
from pbxd.sip.lookup import ResolveError
from pbxd.sip.message import Request, Response
from pbxd.sip.transaction import ClientTransaction, Failure

MAX_BODY = 1300


class Page:
    """One MESSAGE on its way to the contacts of a user or to a trunk. `answered` hears the final status, once."""

    def __init__(
        self, facilities: Facilities, body: bytes, content_type: str | None, answered: Callable[[int, float], None]
    ) -> None:
        self._facilities = facilities
        self._body = body
        self._content_type = content_type
        self._answered: Callable[[int, float], None] | None = answered
        self._waiting = 0
        self._best = 480

    def send(self, targets: list[Target]) -> None:
        """Carries the message to all `targets`; the sender gets one answer, whatever happens."""
        self._waiting = len(targets)
        for target in targets:
            if target.destinations:
                self._send_to(target, target.destinations)
            else:
                found = partial(self._send_to, target)
                self._facilities.resolver.destinations(target.resolve or target.uri, found)

    def _send_to(self, target: Target, destinations: Sequence[Destination] | ResolveError) -> None:
        now = self._facilities.clock()
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
        if self._content_type:
            headers.add("Content-Type", self._content_type)
        stack.request(Request("MESSAGE", target.uri, headers, self._body), destinations, self, now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status >= 200:
            self._heard(response.status, now)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        self._heard(408 if failure is Failure.TIMEOUT else 480, now)

    def _heard(self, status: int, now: float) -> None:
        self._waiting -= 1
        delivered = 200 <= status < 300
        self._best = status if delivered or self._best == 480 else self._best
        if self._answered is not None and (delivered or self._waiting == 0):
            answered, self._answered = self._answered, None
            answered(passed_on(self._best), now)
