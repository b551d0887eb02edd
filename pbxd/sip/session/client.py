"""One request of ours and all that comes back: challenges are answered here, so that nobody else sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pbxd.sip.dialog import Dialog
from pbxd.sip.flow import Destination
from pbxd.sip.headers import Headers
from pbxd.sip.message import Request, Response
from pbxd.sip.session.login import Login
from pbxd.sip.session.settings import SessionSettings
from pbxd.sip.stack import Stack
from pbxd.sip.transaction import ClientTransaction, Failure

Heard = Callable[["ClientRequest", int, Response | None, float], None]
"""What came back: (sent, status, response, now). Without a response nothing came: 408, or 503 when the transport
failed (RFC 3261 §8.1.3.1). An INVITE may hear its 2xx again, and those of other forks."""

STATUS_OF_FAILURE = {Failure.TIMEOUT: 408, Failure.TRANSPORT: 503, Failure.NO_ACK: 408}
MAX_ATTEMPTS = 5
"""A proxy and the peer may both challenge, each with one stale nonce: more is a loop."""


class Client:
    """Sends the requests of one session: knows the stack, the settings and the challenges met so far."""

    __slots__ = ("login", "settings", "stack")

    def __init__(self, stack: Stack, settings: SessionSettings) -> None:
        self.stack = stack
        self.settings = settings
        self.login: Login | None = None

    def send(
        self,
        request: Request,
        heard: Heard,
        now: float,
        *,
        dialog: Dialog | None = None,
        destinations: Sequence[Destination] = (),
    ) -> ClientRequest:
        """Sends a request inside a dialog or to the destinations given."""
        sent = ClientRequest(self, request, heard, dialog, destinations)
        sent.start(now)
        return sent

    def destinations(self, dialog: Dialog) -> list[Destination]:
        return dialog.destinations(symmetric=self.settings.symmetric)

    def ack(self, dialog: Dialog, invite: Request, body: bytes | None, now: float) -> Request:
        """The ACK for a 2xx: the CSeq number and the credentials of its INVITE (RFC 3261 §13.2.2.4, §22.1)."""
        request = dialog.request("ACK", seq=invite.cseq.number)
        for name in ("Authorization", "Proxy-Authorization"):
            for value in invite.headers.all(name):
                request.headers.add(name, value)
        if body is not None:
            request.headers.add("Content-Type", "application/sdp")
            request.body = body
        self.stack.ack(request, self.destinations(dialog), now)
        return request

    def ack_again(self, dialog: Dialog, ack: Request, now: float) -> None:
        """For each 2xx that comes again (RFC 3261 §13.2.2.4)."""
        self.stack.ack(ack, self.destinations(dialog), now)

    def prack(self, dialog: Dialog, invite: Request, rseq: int, body: bytes | None, now: float) -> None:
        """Acknowledges a reliable provisional response (RFC 3262 §4)."""
        request = dialog.request("PRACK")
        request.headers.add("RAck", f"{rseq} {invite.cseq}")
        if body is not None:
            request.headers.add("Content-Type", "application/sdp")
            request.body = body
        self.send(request, ignore, now, dialog=dialog)

    def bye(self, dialog: Dialog, heard: Heard, now: float, *, reason: str | None = None) -> None:
        request = dialog.request("BYE")
        if reason is not None:
            request.headers.add("Reason", reason)
        self.send(request, heard, now, dialog=dialog)


def ignore(sent: ClientRequest, status: int, response: Response | None, now: float) -> None:
    """For a request whose outcome changes nothing."""


class ClientRequest:
    """One request, sent again with credentials and the next CSeq as often as it takes (RFC 3261 §22.2)."""

    __slots__ = (
        "_answered",
        "_attempts",
        "_client",
        "_destinations",
        "_dialog",
        "_heard",
        "abandoned",
        "request",
        "transaction",
    )

    def __init__(
        self,
        client: Client,
        request: Request,
        heard: Heard,
        dialog: Dialog | None,
        destinations: Sequence[Destination],
    ) -> None:
        self._client = client
        self._heard = heard
        self._dialog = dialog
        self._destinations = destinations
        self._answered: frozenset[tuple[str, str, bool]] = frozenset()
        self._attempts = 0
        self.request = request
        self.abandoned = False
        """No more attempts: a challenge is a refusal now."""
        self.transaction: ClientTransaction | None = None

    def start(self, now: float) -> None:
        client = self._client
        if client.login is not None:
            client.login.authorize(self.request)
        places = self._destinations if self._dialog is None else client.destinations(self._dialog)
        self.transaction = client.stack.request(self.request, places, self, now)
        self._attempts += 1

    def again(self, now: float, revise: Callable[[Headers], None] | None = None) -> None:
        """The same request as a new transaction with the next CSeq; `revise` may change its headers."""
        old = self.request
        if self._dialog is None:
            number = old.cseq.number + 1
        else:
            self._dialog.local_seq += 1
            number = self._dialog.local_seq
        request = old.copy()
        for name in ("Authorization", "Proxy-Authorization"):
            request.headers.remove(name)
        request.headers.set("CSeq", f"{number} {old.method}")
        if revise is not None:
            revise(request.headers)
        self.request = request
        self.start(now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        status = response.status
        if status in (401, 407) and self._answer(response):
            self.again(now)
            return
        self._heard(self, status, response, now)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        self._heard(self, STATUS_OF_FAILURE[failure], None, now)

    def _answer(self, response: Response) -> bool:
        """Whether a challenge is worth another attempt: once per realm, once more for a stale nonce."""
        client = self._client
        if self.abandoned or self._attempts >= MAX_ATTEMPTS or client.settings.credentials is None:
            return False
        if client.login is None:
            client.login = Login(client.settings.credentials, client.stack.new_tag)
        answered = client.login.learn(response, self._answered)
        self._answered |= answered
        return bool(answered)
