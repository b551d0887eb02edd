"""The SIP stack below dialogs and calls: bytes and time in, bytes and callbacks out (RFC 3261 §17 and §18).

Three sources drive it: the network (`receive…`, `transport_failed`), its users (`request`, `respond`, …) and time
(`handle_timer`). After each of them the shell sends what `take_outgoing` gives and sets its alarm to `timer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from random import Random
from typing import Any

from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Destination, Flow, Outgoing
from pbxd.sip.machine import Event
from pbxd.sip.matching import ServerKey, TransactionTable, merge_key, server_key
from pbxd.sip.message import Request, Response, parse_message, response_to
from pbxd.sip.timers import RFC, TimerHandle, Timers, Timetable
from pbxd.sip.transaction import ClientTransaction, Core, ServerTransaction, TransactionUser
from pbxd.sip.via import COOKIE, second_way_back, stamp, via_value, way_back


class DropReason(Enum):
    """Why a message was not acted on. Stack.counters counts each."""

    KEEP_ALIVE = "line breaks only"
    MALFORMED_REQUEST = "a request that cannot be read; it got its 4xx if it could be answered"
    MALFORMED_RESPONSE = "a response, or something else, that cannot be read"
    SEVERAL_VIAS = "a response that is not for us: it has further to go (RFC 3261 §8.1.3.3)"
    STRAY_RESPONSE = "a response to nothing we asked, or long ago"
    LATE_PROVISIONAL = "a provisional response after the final one"
    SECOND_FINAL = "a final response that contradicts an earlier one"
    STRAY_ACK = "an ACK that belongs to nothing here"
    EARLY_ACK = "an ACK before there was a final response"
    OVERLOADED = "more requests than the stack may hold; it got a 503 unless that was too much as well"
    DEAD_TRANSACTION = "a response of ours to a transaction that is over"
    NON_INVITE_408 = "a 408 of ours to a non-INVITE request, which must not be sent (RFC 4320 §4.2)"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a stack takes on. Above `server_transactions` a new request gets a 503 with Retry-After, except ACK,
    BYE and CANCEL, which make load less; above twice that nothing new is taken."""

    server_transactions: int = 50_000  # about 2 KB each; 300 calls a second leave 20,000 behind in 64*T1
    retry_after_s: int = 5


class Stack:
    """One node's transactions. `via` gives the host and port we advertise to a destination; `rng` makes branches and
    tags, so it should be unpredictable outside of tests. `core` must be set before the first message comes."""

    __slots__ = (
        "_outgoing",
        "_rng",
        "_secret",
        "_table",
        "_via",
        "core",
        "counters",
        "limits",
        "on_unreadable",
        "timers",
        "timetable",
        "user_agent",
    )

    core: Core

    def __init__(
        self,
        *,
        via: Callable[[Destination], tuple[str, int]],
        user_agent: str,
        rng: Random,
        timers: Timers = RFC,
        limits: Limits | None = None,
    ) -> None:
        self.timers = timers
        self.limits = limits or Limits()
        self.user_agent = user_agent
        self.on_unreadable: Callable[[Flow], None] | None = None
        """Called for each message that could not be read, with the flow it came over."""
        self.counters: dict[DropReason, int] = dict.fromkeys(DropReason, 0)
        self._via = via
        self._rng = rng
        self._secret = rng.randbytes(16)
        self.timetable = Timetable()
        self._outgoing: list[Outgoing] = []
        self._table = TransactionTable()

    # ---- from the network

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One datagram. What cannot be read is counted, and answered if that is possible (RFC 4475)."""
        try:
            message = parse_message(data)
        except ParseError as error:
            if data.strip(b"\r\n"):
                self.receive_error(error, flow)
            else:
                self.drop(DropReason.KEEP_ALIVE)
            return
        self.receive_message(message, flow, now)

    def receive_message(self, message: Request | Response, flow: Flow, now: float) -> None:
        """One message that has been parsed, from a stream."""
        if isinstance(message, Request):
            self._receive_request(message, flow, now)
        else:
            self._receive_response(message, flow, now)

    def receive_error(self, error: ParseError, flow: Flow) -> None:
        """One message that could not be parsed, from a stream."""
        self.unreadable(flow)
        request = error.request
        if request is None:
            self.drop(DropReason.MALFORMED_RESPONSE)
            return
        self.drop(DropReason.MALFORMED_REQUEST)
        self._refuse(request, error.status, error.reason, flow)

    def transport_failed(self, what: Outgoing | Destination | Flow, now: float) -> None:
        """The shell could not send `what`, not reach that destination, or lost that connection."""
        for exchange in self._table.hit_by(what):
            if not exchange.dead:
                exchange.handle(Event.TRANSPORT_ERROR, now)

    # ---- from the user

    def request(
        self,
        request: Request,
        destinations: Sequence[Destination],
        user: TransactionUser,
        now: float,
        *,
        timeout: float | None = None,
    ) -> ClientTransaction:
        """Send a request that is no ACK to the first destination, to the next when that fails (RFC 3263 §4.3).

        `timeout` takes the place of 64*T1 in Timer B or F at each destination. `user` is never called before this
        returns: with no destination at all it hears of it in the next `handle_timer`.
        """
        transaction = ClientTransaction(self, request, destinations, user, timeout)
        transaction.begin(now)
        return transaction

    def ack(self, request: Request, destinations: Sequence[Destination], now: float) -> None:
        """Send the ACK to a 2xx: no transaction, once; its sender sends it for each 2xx (RFC 3261 §13.2.2.4)."""
        if destinations:
            self.send(self.written(request, destinations[0], self.new_branch()), destinations[0], None)

    def cancel(self, transaction: ClientTransaction, now: float, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Cancel an INVITE (RFC 3261 §9.1), as soon as a provisional response allows it; once; nothing after a final.

        Its user still gets a final response: a 487, or another, or a 2xx that crossed the CANCEL, which wants ACK and
        BYE; or TIMEOUT 64*T1 after the CANCEL went out. Raises TransitionError when `transaction` is no INVITE.
        """
        transaction.cancel(headers, now)

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Send a response; above 100 its To gets the transaction's tag if it has none. To a transaction that is over
        it is dropped. Raises TransitionError for a second final response to an INVITE."""
        if response.status > 100:
            self._tag(transaction, response)
            if response.status == 408 and transaction.method != "INVITE":
                self.drop(DropReason.NON_INVITE_408)  # its client has timed out by itself
                return
        if not transaction.respond(response, now):
            self.drop(DropReason.DEAD_TRANSACTION)

    def acknowledged(self, transaction: ServerTransaction, now: float) -> None:
        """The core has matched an ACK with the 2xx of this INVITE: it is not sent again. May be called twice.
        Raises TransitionError when there was no 2xx."""
        transaction.handle(Event.ACKNOWLEDGE, now)

    def challenge(self, transaction: ServerTransaction, response: Response) -> None:
        """Answer a request that nobody has vouched for and forget it (RFC 3261 §8.2.7): a challenge is sent once for
        each time it is asked for, so a forged source address gains nothing, and costs no memory."""
        response.headers.set("To", str(response.to.with_tag(self._stateless_tag(transaction.request))))
        self._send_both(self.answered(response), transaction.destination, transaction.second)
        transaction.abandon()

    def new_tag(self) -> str:
        """A tag for From or To (RFC 3261 §19.3)."""
        return f"{self._rng.getrandbits(64):016x}"

    def new_call_id(self) -> str:
        """A Call-ID that tells nothing about us (RFC 3261 §8.1.1.4)."""
        return f"{self._rng.getrandbits(128):032x}"

    # ---- outputs

    def take_outgoing(self) -> list[Outgoing]:
        """What is to be sent now, in order."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def timer(self) -> float | None:
        """When `handle_timer` wants to be called."""
        return self.timetable.next_at()

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self.timetable.run(now)

    def schedule(self, at: float, callback: Callable[..., object], *arguments: Any) -> TimerHandle:
        """Call `callback(*arguments, now)` at `at`."""
        return self.timetable.schedule(at, callback, *arguments)

    def unreadable(self, flow: Flow) -> None:
        """Say that a message of this flow could not be read, or not to its end."""
        if self.on_unreadable is not None:
            self.on_unreadable(flow)

    def drop(self, reason: DropReason) -> None:
        """Count a message that is not acted on."""
        self.counters[reason] += 1

    @property
    def client_transactions(self) -> int:
        """How many live."""
        return len(self._table.clients)

    @property
    def server_transactions(self) -> int:
        """How many live; see Limits."""
        return len(self._table.servers)

    @property
    def waiting_timers(self) -> int:
        """How many timers wait, the users' too."""
        return len(self.timetable)

    @property
    def idle(self) -> bool:
        """Whether nothing is left of anything: no transaction, timer or index entry."""
        return not self._table and not self.timetable

    # ---- requests

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        key = server_key(request)
        transaction = self._table.servers.get(key)
        if transaction is not None:
            transaction.flow = flow
            event = Event.ACK if request.method == "ACK" else Event.REQUEST
            if not transaction.handle(event, now, request):
                self.drop(DropReason.EARLY_ACK)
        elif request.method == "ACK":
            self.core.on_ack(request, flow, now)
        elif self._has_room(request, flow):
            self._receive_new(request, key, flow, now)

    def _has_room(self, request: Request, flow: Flow) -> bool:
        load, bound = len(self._table.servers), self.limits.server_transactions
        if load < bound or (request.method in ("BYE", "CANCEL") and load < 2 * bound):
            return True
        self.drop(DropReason.OVERLOADED)
        if load < 2 * bound and request.method not in ("BYE", "CANCEL"):
            self._refuse(request, 503, None, flow, ("Retry-After", str(self.limits.retry_after_s)))
        return False

    def _receive_new(self, request: Request, key: ServerKey, flow: Flow, now: float) -> None:
        first = self._table.merged_with(request)
        merged = None if first else merge_key(request)
        destination = way_back(request.via, flow)
        stamp(request, flow)
        tag = request.to.tag or self.new_tag()
        transaction = ServerTransaction(self, request, flow, destination, key, merged, tag)
        self._table.add_server(transaction)
        transaction.begin(now)
        if request.method == "CANCEL":
            self._receive_cancel(transaction, request, now)
        elif first is not None:
            self.respond(transaction, response_to(request, 482), now)  # RFC 3261 §8.2.2.2
        else:
            self._ask_core(transaction, request, now)

    def _ask_core(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        try:
            self.core.on_request(transaction, request, now)
        except ParseError as error:
            if transaction.answered:
                raise
            self.drop(DropReason.MALFORMED_REQUEST)
            self.respond(transaction, response_to(request, error.status, error.reason), now)
        except Exception:
            if not transaction.answered:  # or an INVITE would wait for its answer for ever
                self.respond(transaction, response_to(request, 500), now)
            raise

    def _receive_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """RFC 3261 §9.2. Not what it says: only INVITEs are looked for. §9.1 allows no other to be cancelled, and
        there a CANCEL would have no effect but to be answered 200 instead of 481."""
        invite = self._table.servers.get(server_key(request, "INVITE"))
        if invite is None:
            self.respond(transaction, response_to(request, 481), now)
            return
        self.respond(transaction, response_to(request, 200, to_tag=invite.to_tag), now)
        if not invite.answered:
            self.core.on_cancel(invite, request, now)

    def _refuse(
        self, request: Request, status: int, reason: str | None, flow: Flow, header: tuple[str, str] | None = None
    ) -> None:
        """Without a transaction. RFC 3261 §8.2.7: the To tag must be the same each time."""
        tag = self._stateless_tag(request)
        destination, second = way_back(request.via, flow), second_way_back(request.via, flow)
        stamp(request, flow)
        response = response_to(request, status, reason, to_tag=tag)
        if header is not None:
            response.headers.add(*header)
        self._send_both(self.answered(response), destination, second)

    def _send_both(self, data: bytes, destination: Destination, second: Destination | None) -> None:
        self.send(data, destination, None)
        if second is not None:
            self.send(data, second, None)

    def _stateless_tag(self, request: Request) -> str:
        """The same each time the request comes."""
        said = f"{request.via.branch}{request.via.host}{request.headers.get('Call-ID')}"
        return blake2b(said.encode(errors="replace"), key=self._secret).hexdigest()[:16]

    def _tag(self, transaction: ServerTransaction, response: Response) -> None:
        """RFC 3261 §8.2.6.2: a tag in every To, the same in all responses to a request."""
        lines = response.headers.lines.get("to", ("",))
        if transaction.to_tag in lines[0]:
            return
        tag = response.to.tag
        if tag is None:
            response.headers.set("To", f"{lines[0]};tag={transaction.to_tag}")
        else:
            transaction.to_tag = tag

    # ---- responses

    def _receive_response(self, response: Response, flow: Flow, now: float) -> None:
        if len(response.vias) > 1:
            self.drop(DropReason.SEVERAL_VIAS)
            return
        transaction = self._table.of_response(response)
        if transaction is None:
            self.drop(DropReason.STRAY_RESPONSE)
            self.core.on_stray_response(response, flow, now)
        elif not transaction.receive(response, now):
            self.drop(DropReason.LATE_PROVISIONAL if response.status < 200 else DropReason.SECOND_FINAL)

    # ---- what transactions ask for

    def send(self, data: bytes, destination: Destination, sender: object) -> None:
        """For transactions only."""
        # Not what RFC 3261 §18.1.1 says: a request above 1300 bytes stays on UDP. Its destination was found for UDP,
        # phones that listen on UDP often do not on TCP, and IP fragments pass where our phones are.
        self._outgoing.append(Outgoing(data, destination, sender))

    def new_branch(self) -> str:
        """For transactions only."""
        return f"{COOKIE}{self._rng.getrandbits(64):016x}"

    def written(self, request: Request, destination: Destination, branch: str) -> bytes:
        """For transactions only. What is missing goes in behind the start line; the request is not changed."""
        host, port = self._via(destination)
        added = [f"\r\nVia: {via_value(destination.transport.value, host, port, branch)}"]
        lines = request.headers.lines
        if "max-forwards" not in lines:
            added.append("\r\nMax-Forwards: 70")  # RFC 3261 §8.1.1.6
        if "user-agent" not in lines:
            added.append(f"\r\nUser-Agent: {self.user_agent}")
        data = request.to_bytes()
        end = data.index(b"\r\n")
        return data[:end] + "".join(added).encode() + data[end:]

    def answered(self, response: Response) -> bytes:
        """For transactions only."""
        if "server" not in response.headers.lines:
            response.headers.add("Server", self.user_agent)
        return response.to_bytes()

    def client_came(self, transaction: ClientTransaction) -> None:
        """For transactions only."""
        self._table.add_client(transaction)

    def client_left(self, transaction: ClientTransaction) -> None:
        """For transactions only."""
        self._table.remove_client(transaction)

    def server_left(self, transaction: ServerTransaction) -> None:
        """For transactions only."""
        self._table.remove_server(transaction)
