"""The transactions of RFC 3261 §17 as the stack's users see them, and how each carries out its machine's actions.

A transaction in one of its waiting states (Completed, Confirmed, Accepted, Acknowledged) holds no message any more,
only the bytes it may have to send again.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from pbxd.sip.exchange import Carrier, Exchange, Plan
from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.machine import INVITE_CLIENT, INVITE_SERVER, NON_INVITE_CLIENT, NON_INVITE_SERVER, Event, State
from pbxd.sip.message import Request, Response, response_to
from pbxd.sip.via import second_way_back

NOWHERE = Destination(Transport.UDP, "", 0)
"""Where a request goes whose destination nobody could find."""


class Failure(Enum):
    """How a transaction ended without what it waited for."""

    TIMEOUT = "no final response in time"  # to be treated as a 408 (RFC 3261 §8.1.3.1)
    TRANSPORT = "the transport failed"  # to be treated as a 503 (RFC 3261 §8.1.3.1)
    NO_ACK = "no ACK for the 2xx in 64*T1"  # only at Core.on_server_failure (RFC 3261 §13.3.1.4)


class TransactionUser(Protocol):
    """Who sent a request. It is called synchronously and in order, and gets exactly one of a final response or
    `on_failure`; after the first 2xx to an INVITE come also retransmitted ones and those of other forks, for 64*T1.

    A final response of 503 is not reported while another destination is left (RFC 3263 §4.3).
    """

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response came: provisional, final, or to an INVITE another 2xx."""

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """No final response came from any destination: TIMEOUT or TRANSPORT, as the last one failed."""


class Core(Protocol):
    """What answers the requests that come in (RFC 3261 §6 "core"): one per stack."""

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A new request, to be answered by Stack.respond, now or later: any but ACK and CANCEL. A ParseError that
        leaves this method before a final response was given is answered as it says."""

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        """An ACK that is no transaction's: for a 2xx, or for nothing (then call Stack.drop). It may carry the branch
        of its INVITE and a To tag nobody gave (pyVoIP): match it by Call-ID and From tag."""

    def on_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """`transaction`, an INVITE without a final response, is cancelled: answer it with 487 (RFC 3261 §9.2). The
        CANCEL itself has been answered."""

    def on_server_failure(self, transaction: ServerTransaction, failure: Failure, now: float) -> None:
        """NO_ACK: the transaction is over, the peer should get a BYE (RFC 3261 §13.3.1.4). TRANSPORT: the way back is
        broken; an INVITE's transaction stays (RFC 6026 §8.8), and a final response to it ends it properly."""

    def on_stray_response(self, response: Response, flow: Flow, now: float) -> None:
        """A response that no transaction waits for (counted). RFC 6026 §8.9: it goes nowhere."""


class Layer(Carrier, Protocol):
    """The stack as its transactions see it."""

    core: Core

    def new_branch(self) -> str:
        """A branch nobody used (RFC 3261 §8.1.1.7)."""

    def written(self, request: Request, destination: Destination, branch: str) -> bytes:
        """The request for the wire, with our Via."""

    def answered(self, response: Response) -> bytes:
        """The response for the wire."""

    def client_came(self, transaction: ClientTransaction) -> None:
        """Responses with its branch and method are the transaction's from now on."""

    def client_left(self, transaction: ClientTransaction) -> None:
        """And from now on are not."""

    def server_left(self, transaction: ServerTransaction) -> None:
        """Requests with its key are new ones from now on."""


class SilentUser:
    """Sends requests whose outcome is nobody's business: CANCEL, and what is left of a 503 that was stepped over."""

    __slots__ = ()

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """The transaction has done what there was to do."""

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Likewise."""


SILENT = SilentUser()


class ClientTransaction(Exchange):
    """A request on its way to the first of its destinations that answers.

    Each destination is a client transaction of its own in the RFC's sense, with a branch of its own (RFC 3263 §4.3);
    this object is the one its user knows throughout. The `request` given is never changed: Via, Max-Forwards and
    User-Agent are put in while it is written, so it can be sent again with credentials and the next CSeq. It is
    readable until the final response has been delivered; then it is forgotten and raises RuntimeError.
    `destination` is the one in use. `user` is None once the transaction is TERMINATED.
    """

    __slots__ = ("_cancel_headers", "_layer", "_request", "_rest", "_timeout", "branch", "user")

    def __init__(
        self,
        layer: Layer,
        request: Request,
        destinations: Sequence[Destination],
        user: TransactionUser,
        timeout: float | None = None,
    ) -> None:
        plan = INVITE_CLIENT_PLAN if request.method == "INVITE" else NON_INVITE_CLIENT_PLAN
        super().__init__(layer, plan, request.method, destinations[0] if destinations else NOWHERE)
        self._layer = layer
        self._request: Request | None = request
        self._rest = tuple(destinations[1:])
        self._timeout = timeout
        self._cancel_headers: Sequence[tuple[str, str]] | None = None
        self.branch = ""
        self.user: TransactionUser | None = user

    @property
    def request(self) -> Request:
        """The request as its user gave it. Raises RuntimeError after the final response was delivered."""
        if self._request is None:
            raise RuntimeError("the request of a transaction that has its final response is forgotten")
        return self._request

    @property
    def cancelled(self) -> bool:
        """Whether its user asked to cancel it; the CANCEL may still wait for a provisional response."""
        return self._cancel_headers is not None

    @property
    def may_fail_over(self) -> bool:
        """Whether another destination is left and wanted."""
        return bool(self._rest) and self._cancel_headers is None and self._request is not None

    def begin(self, now: float, branch: str | None = None) -> None:
        """Send the request to `destination`. `branch` is given for a CANCEL, which shares its INVITE's."""
        self.branch = branch or self._layer.new_branch()
        self._layer.client_came(self)
        self._enter(now)
        if self.destination is NOWHERE:
            self._end_after(0.0, Event.TRANSPORT_ERROR, now)
            return
        self._data = self._layer.written(self.request, self.destination, self.branch)
        self._send_again(None, now)

    def receive(self, response: Response, now: float) -> bool:
        """One response with our branch. False: it comes when nothing like it is expected."""
        status = response.status
        if status < 200:
            event = Event.PROVISIONAL
        elif self.method != "INVITE":
            event = Event.FINAL
        else:
            event = Event.SUCCESS if status < 300 else Event.FAILURE
        if status == 503 and self.may_fail_over:
            # RFC 3263 §4.3: a 503 is the failure of one destination
            taken = self._stand_in().handle(event, now, response)
            self._next_destination(now)
            return taken
        return self.handle(event, now, response)

    def cancel(self, headers: Sequence[tuple[str, str]], now: float) -> None:
        """Raises TransitionError when this is no INVITE (RFC 3261 §9.1)."""
        if self._cancel_headers is None:
            self.handle(Event.CANCEL, now, headers)

    def _stand_in(self) -> ClientTransaction:
        """A transaction that takes our place for what the old branch still brings."""
        self._stop_timers()
        self._leave()
        stand_in = ClientTransaction(self._layer, self.request, (self.destination,), SILENT)
        stand_in.branch = self.branch
        stand_in.state = self.state
        self._layer.client_came(stand_in)
        return stand_in

    def _next_destination(self, now: float) -> None:
        self.destination, self._rest = self._rest[0], self._rest[1:]
        self.begin(now)

    def _leave(self) -> None:
        self._layer.client_left(self)

    def _release(self) -> None:
        self._request = self.user = None
        self._rest = ()
        self._data = b""

    def _hop_by_hop(self, method: str, to: str, extra: Sequence[tuple[str, str]] = ()) -> Request:
        """An ACK or CANCEL for the same hop: RFC 3261 §17.1.1.3 and §9.1 want the same headers of both."""
        request = self.request
        theirs = request.headers
        made = Request(method, request.uri, charset=request.charset)
        for route in theirs.all("Route"):
            made.headers.add("Route", route)
        made.headers.add("From", theirs.get("From") or "")
        made.headers.add("To", to)
        made.headers.add("Call-ID", request.call_id)
        made.headers.add("CSeq", f"{request.cseq.number} {method}")
        for name, value in extra:
            made.headers.add(name, value)
        return made

    # ---- steps, each named as its Action

    def _stop_timers(self, _message: object = None, _now: float = 0.0) -> None:
        super()._stop_timers()
        self._data = b""  # what was sent again until now is not needed any more

    def _start_b(self, _message: object, now: float) -> None:
        self._end_after(self._timeout or self._layer.timers.timeout, Event.TIMER_B, now)

    def _start_f(self, _message: object, now: float) -> None:
        self._end_after(self._timeout or self._layer.timers.timeout, Event.TIMER_F, now)

    def _send_ack(self, response: Response, now: float) -> None:
        # RFC 3261 §17.1.1.3: the To of the response, all else of the request, the same branch
        ack = self._hop_by_hop("ACK", response.headers.get("To") or "")
        self._data = self._layer.written(ack, self.destination, self.branch)
        self._send_again(response, now)

    def _remember_cancel(self, headers: Sequence[tuple[str, str]], _now: float) -> None:
        self._cancel_headers = headers

    def _send_cancel_if_wanted(self, _message: object, now: float) -> None:
        if self._cancel_headers is not None:
            self._cancel_headers, headers = None, self._cancel_headers
            self.handle(Event.CANCEL, now, headers)

    def _send_cancel(self, headers: Sequence[tuple[str, str]], now: float) -> None:
        self._cancel_headers = headers
        cancel = self._hop_by_hop("CANCEL", self.request.headers.get("To") or "", headers)
        ClientTransaction(self._layer, cancel, (self.destination,), SILENT).begin(now, self.branch)

    def _tell_response(self, response: Response, now: float) -> None:
        if self.user is not None:
            self.user.on_response(self, response, now)

    def _tell_final(self, response: Response, now: float) -> None:
        try:
            self._tell_response(response, now)
        finally:
            self._request = None
            self._rest = ()

    def _inform_timeout(self, _message: object, now: float) -> None:
        self._inform(Failure.TIMEOUT, now)

    def _inform_transport(self, _message: object, now: float) -> None:
        self._inform(Failure.TRANSPORT, now)

    def _next_or_timeout(self, _message: object, now: float) -> None:
        self._next_or_inform(Failure.TIMEOUT, now)

    def _next_or_transport(self, _message: object, now: float) -> None:
        self._next_or_inform(Failure.TRANSPORT, now)

    def _next_or_inform(self, failure: Failure, now: float) -> None:
        if self.may_fail_over:
            self._next_destination(now)
        else:
            self._inform(failure, now)

    def _inform(self, failure: Failure, now: float) -> None:
        if self.user is not None:
            self.user.on_failure(self, failure, now)


class ServerTransaction(Exchange):
    """A request that came in, and its answer.

    `request` is readable until a final response was given to Stack.respond; then it is forgotten and raises
    RuntimeError. `to_tag` is the tag of every response of this transaction (RFC 3261 §8.2.6.2), to be used as the
    dialog's local tag; for a request inside a dialog it is the tag the request came with. `user` is a slot for the
    core, None once a final response to INVITE was acknowledged, or the transaction is TERMINATED. `flow` is where its
    last request came from.
    """

    __slots__ = ("_layer", "_request", "flow", "key", "merge_key", "second", "to_tag", "user")

    def __init__(
        self,
        layer: Layer,
        request: Request,
        flow: Flow,
        destination: Destination,
        key: tuple[object, ...],
        merge_key: tuple[object, ...] | None,
        to_tag: str,
    ) -> None:
        plan = INVITE_SERVER_PLAN if request.method == "INVITE" else NON_INVITE_SERVER_PLAN
        super().__init__(layer, plan, request.method, destination)
        self._layer = layer
        self._request: Request | None = request
        self.flow = flow
        self.key = key
        self.merge_key = merge_key
        self.to_tag = to_tag
        self.user: object | None = None
        self.second = second_way_back(request.via, flow)

    @property
    def request(self) -> Request:
        """The request. Raises RuntimeError after a final response was given."""
        if self._request is None:
            raise RuntimeError("the request of a transaction that was answered is forgotten")
        return self._request

    @property
    def answered(self) -> bool:
        """Whether there can be no final response any more: one was given, or the transaction is dead."""
        return self._request is None

    def begin(self, now: float) -> None:
        """The request is there; the core is to be told next."""
        self._enter(now)

    def respond(self, response: Response, now: float) -> bool:
        """Send a response. False: the transaction is dead. Raises TransitionError for a second final to an INVITE."""
        status = response.status
        if status < 200:
            event = Event.SEND_PROVISIONAL
        elif self.method != "INVITE":
            event = Event.SEND_FINAL
        else:
            event = Event.SEND_SUCCESS if status < 300 else Event.SEND_FAILURE
        return self.handle(event, now, response)

    def abandon(self) -> None:
        """Forget it at once, as if the request had never come."""
        self._stop_timers()
        self.state = State.TERMINATED
        self._leave()
        self._release()

    def _leave(self) -> None:
        self._layer.server_left(self)

    def _release(self) -> None:
        self._request = self.user = None
        self._data = b""

    # ---- steps, each named as its Action

    def _start_trying(self, _message: object, now: float) -> None:
        timers = self._layer.timers
        seconds = timers.trying if self.method == "INVITE" else timers.reluctant_trying
        self._resend_after(seconds, Event.TIMER_TRYING, now)

    def _send_again(self, message: object, now: float) -> None:
        super()._send_again(message, now)
        if self._data and self.second is not None:
            self.carrier.send(self._data, self.second, None)

    def _send_response(self, response: Response, now: float) -> None:
        self._data = self._layer.answered(response)
        self._send_again(response, now)
        if response.status >= 200:
            self._request = None

    def _send_trying(self, _message: object, now: float) -> None:
        self._send_response(response_to(self.request, 100), now)

    def _forget(self, _message: object, _now: float) -> None:
        self._data = b""
        self.user = None

    def _tell_ack(self, request: Request, now: float) -> None:
        self._layer.core.on_ack(request, self.flow, now)

    def _inform_transport(self, _message: object, now: float) -> None:
        self._layer.core.on_server_failure(self, Failure.TRANSPORT, now)

    def _inform_no_ack(self, _message: object, now: float) -> None:
        self._layer.core.on_server_failure(self, Failure.NO_ACK, now)


INVITE_CLIENT_PLAN = Plan(INVITE_CLIENT, ClientTransaction)
NON_INVITE_CLIENT_PLAN = Plan(NON_INVITE_CLIENT, ClientTransaction)
INVITE_SERVER_PLAN = Plan(INVITE_SERVER, ServerTransaction)
NON_INVITE_SERVER_PLAN = Plan(NON_INVITE_SERVER, ServerTransaction)
