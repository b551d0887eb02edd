"""A phone for the wire: a stack and as little of a user agent as a ladder needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.message import Request, Response, response_to
from pbxd.sip.stack import DropReason, Limits
from pbxd.sip.timers import RFC, Timers
from pbxd.sip.transaction import ClientTransaction, Failure, ServerTransaction
from pbxd.sip.uri import Uri
from tests.wire import START, Host, Wire


class Phone(Host):
    """Does what a ladder says: a method is sent as a request, a status answers the request from that peer which waits
    for one (say `"200 BYE"` if several do). Methods in `answers` are answered at once, by each status in turn.

    `log` is what its stack told it. Calls are one at a time: INVITE begins one, other requests belong to it, except
    OPTIONS, REGISTER and MESSAGE. A 2xx that comes again gets its ACK again.
    """

    def __init__(
        self,
        wire: Wire,
        name: str,
        *,
        transport: Transport = Transport.UDP,
        answers: Mapping[str, Sequence[int]] | None = None,
        timers: Timers = RFC,
        limits: Limits | None = None,
        behind: tuple[str, int] | None = None,
        transports: frozenset[Transport] = frozenset(Transport),
    ) -> None:
        self.stack = wire.stack(name, timers=timers, limits=limits)
        super().__init__(wire, name, self.stack, behind=behind, transports=transports)
        self.stack.core = self
        self.transport = transport
        self.answers: dict[str, Sequence[int]] = dict(answers or {})
        self.log: list[str] = []
        self.clients: list[ClientTransaction] = []
        self.servers: list[ServerTransaction] = []
        self.waiting: list[tuple[ServerTransaction, Request]] = []  # requests without a final response
        self.invite: Request | None = None
        self._success: Response | None = None  # the last 2xx to an INVITE
        self._acked = False
        self._peer_tag: str | None = None
        self._cseq = 0
        self._invites: dict[str, ServerTransaction] = {}  # by Call-ID, the last one each

    # ---- what a ladder makes it do

    def act(self, what: str | int, peer: Host) -> None:
        status, _, method = str(what).partition(" ")
        if status.isdigit():
            self.answer(int(status), method or None)
        elif what == "ACK":
            self._send_ack([peer.destination(self.transport)])
        elif what == "CANCEL":
            invites = [each for each in self.clients if each.method == "INVITE"]
            self.stack.cancel(invites[-1], self.wire.now, [("Reason", 'SIP;cause=200;text="Call completed elsewhere"')])
        else:
            self.send(str(what), [peer.destination(self.transport)])

    def answer(self, status: int, method: str | None = None) -> None:
        found = [pair for pair in self.waiting if method in (None, pair[0].method)]
        assert found, f"{self.name} has no request to answer with {status}"
        transaction, request = found[-1]
        if status >= 200:
            self.waiting.remove((transaction, request))
        self.stack.respond(transaction, response_to(request, status), self.wire.now)

    def send(
        self,
        method: str,
        destinations: Sequence[Destination],
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout: float | None = None,
    ) -> ClientTransaction:
        request = self.request(method, body)
        for name, value in headers:
            request.headers.add(name, value)
        transaction = self.stack.request(request, destinations, self, self.wire.now, timeout=timeout)
        self.clients.append(transaction)
        return transaction

    def request(self, method: str, body: bytes = b"") -> Request:
        """A request of the present call; an INVITE, or one outside of any, begins anew."""
        alone = method in ("INVITE", "OPTIONS", "REGISTER", "MESSAGE")
        self._cseq += 1
        request = Request(method, Uri.parse("sip:peer@example.com"), body=body)
        headers = request.headers
        if alone or self.invite is None:
            headers.add("From", f"<sip:{self.name}@example.com>;tag={self.stack.new_tag()}")
            headers.add("To", "<sip:peer@example.com>")
            headers.add("Call-ID", self.stack.new_call_id())
        else:
            headers.add("From", self.invite.headers.get("From") or "")
            headers.add("To", f"<sip:peer@example.com>;tag={self._peer_tag}")
            headers.add("Call-ID", self.invite.call_id)
        headers.add("CSeq", f"{self._cseq} {method}")
        headers.add("Contact", f"<sip:{self.address[0]}:{self.address[1]}>")
        if method == "INVITE":
            self.invite = request
        return request

    def _send_ack(self, destinations: Sequence[Destination]) -> None:
        assert self._success is not None, f"{self.name} has no 2xx to acknowledge"
        answered = self._success
        ack = Request("ACK", Uri.parse("sip:peer@example.com"))
        ack.headers.add("From", answered.headers.get("From") or "")
        ack.headers.add("To", answered.headers.get("To") or "")
        ack.headers.add("Call-ID", answered.call_id)
        ack.headers.add("CSeq", f"{answered.cseq.number} ACK")
        self._acked = True
        self.stack.ack(ack, destinations, self.wire.now)

    # ---- what its stack tells it

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self._hear(f"{response.status} {transaction.method}", now)
        if response.cseq.method == "INVITE" and 200 <= response.status < 300:
            self._success = response
            self._peer_tag = response.to.tag
            if self._acked:
                self._send_ack([transaction.destination])

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        self._hear(f"{failure.name} {transaction.method}", now)

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self._hear(request.method, now)
        self.servers.append(transaction)
        self.waiting.append((transaction, request))
        if request.method == "INVITE":
            self._invites[request.call_id] = transaction
        for status in self.answers.get(request.method, ()):
            self.answer(status, request.method)

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        self._hear("ACK", now)
        transaction = self._invites.get(request.call_id)
        if transaction is None:
            self.stack.drop(DropReason.STRAY_ACK)
        else:
            self.stack.acknowledged(transaction, now)

    def on_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self._hear("CANCEL", now)
        self.waiting = [pair for pair in self.waiting if pair[0] is not transaction]
        self.stack.respond(transaction, response_to(transaction.request, 487), now)

    def on_server_failure(self, transaction: ServerTransaction, failure: Failure, now: float) -> None:
        self._hear(f"{failure.name} {transaction.method}", now)

    def on_stray_response(self, response: Response, flow: Flow, now: float) -> None:
        self._hear(f"stray {response.status} {response.cseq.method}", now)

    def _hear(self, what: str, now: float) -> None:
        self.log.append(f"{now - START:g} {what}")
