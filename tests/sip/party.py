"""A user agent for the wire: a stack, its sessions, and users that do what a ladder says and note what they hear."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Request, Response, parse_message, response_to
from pbxd.sip.session import Ending, Session, SessionSettings, SessionTable
from pbxd.sip.transaction import Failure, ServerTransaction
from pbxd.sip.uri import Uri
from tests.wire import START, Host, Wire


class Call:
    """A session's user. `log` is what it was told; `sdp` counts up, so that each of its descriptions is another."""

    session: Session

    def __init__(self, party: Party) -> None:
        self.party = party
        self.log: list[str] = []
        self.requests: list[tuple[ServerTransaction, Request]] = []
        self.asked: bytes | None = None
        """The offer that waits for `answer`."""
        self.endings: list[Ending] = []
        self._said = 0
        self.do: dict[str, Callable[[float], None]] = {}
        """What to do from inside a callback, by its name."""

    def sdp(self) -> bytes:
        self._said += 1
        return f"{self.party.name} {self._said}".encode()

    @property
    def ending(self) -> Ending:
        (ending,) = self.endings
        return ending

    def on_progress(self, status: int, sdp: bytes | None, response: Response, now: float) -> None:
        self._hear("progress", f"{status}{_text(sdp)}", now)

    def on_answered(self, sdp: bytes | None, response: Response, now: float) -> None:
        self._hear("answered", _text(sdp), now)

    def on_established(self, sdp: bytes | None, now: float) -> None:
        self._hear("established", _text(sdp), now)

    def on_offer(self, sdp: bytes | None, now: float) -> None:
        self.asked = sdp
        self._hear("offer", _text(sdp), now)

    def on_reanswer(self, sdp: bytes | None, status: int, now: float) -> None:
        self._hear("reanswer", f"{status}{_text(sdp)}", now)

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.requests.append((transaction, request))
        self._hear("request", request.method, now)

    def on_ended(self, ending: Ending, now: float) -> None:
        self.endings.append(ending)
        self._hear("ended", f"{ending.cause.name}{'' if ending.status is None else f' {ending.status}'}", now)

    def _hear(self, name: str, text: str, now: float) -> None:
        self.log.append(f"{now - START:g} {name} {text}".rstrip().replace("  ", " "))
        act = self.do.pop(name, None)
        if act is not None:
            act(now)


class Party(Host):
    """`calls` in the order they came; `call` is the last. A status in a ladder rings, answers or refuses; BYE, CANCEL
    and ACK hang up or are sent by the session itself; INVITE calls, or changes the call that is up."""

    call_type: type[Call] = Call

    def __init__(
        self,
        wire: Wire,
        name: str,
        *,
        settings: SessionSettings | None = None,
        transport: Transport = Transport.UDP,
        behind: tuple[str, int] | None = None,
        offers: bool = True,
    ) -> None:
        self.stack = wire.stack(name)
        super().__init__(wire, name, self.stack, behind=behind)
        self.stack.core = self
        self.settings = settings or SessionSettings()
        self.transport = transport
        self.offers = offers
        """Whether its INVITEs carry an offer."""
        self.table = SessionTable(self.stack, rng=Random(len(wire.hosts)))
        self.calls: list[Call] = []
        self.uri = Uri.sip(name, *self.address)
        self.challenge: Callable[[Request], Response | None] = lambda request: None
        self.headers: list[tuple[str, str]] = []
        """Put into every INVITE and 2xx."""

    @property
    def call(self) -> Call:
        return self.calls[-1]

    @property
    def session(self) -> Session:
        return self.call.session

    def heard(self) -> list[str]:
        """What the user of the last call was told, without the times."""
        return [line.partition(" ")[2] for line in self.call.log]

    def sent(self, what: str | int) -> list[Request | Response]:
        """Its messages of that label."""
        return [parse_message(rung.data) for rung in self.wire.rungs if rung.sender is self and rung.says(what)]

    def first(self, what: str | int) -> Request | Response:
        return self.sent(what)[0]

    def last(self, what: str | int) -> Request | Response:
        return self.sent(what)[-1]

    # ---- what a ladder makes it do

    def act(self, what: str | int, peer: Host) -> None:
        now = self.wire.now
        word = str(what).partition(" ")[0]
        if word.isdigit():
            self._answer(int(word), now)
        elif word == "INVITE":
            if self.calls and not self.session.ended:
                self.session.offer(self.call.sdp(), now)
            else:
                self.invite(peer)
        elif word == "UPDATE":
            self.session.offer(self.call.sdp(), now, prefer_update=True)
        elif word in ("BYE", "CANCEL"):
            self.session.hangup(now)
        elif word != "ACK":
            self.session.request(word, now)

    def invite(self, *peers: Host, destinations: list[Destination] | None = None) -> Call:
        call = self.call_type(self)
        self.calls.append(call)
        call.session = Session.outgoing(
            self.stack,
            table=self.table,
            request_uri=Uri.sip("callee", *peers[0].address) if peers else Uri.sip("callee", "example.com"),
            from_=NameAddr(self.name, self.uri),
            to=NameAddr(None, Uri.sip("callee", "example.com")),
            contact=self.uri,
            destinations=destinations or [peer.destination(self.transport) for peer in peers],
            offer=call.sdp() if self.offers else None,
            headers=self.headers,
            settings=self.settings,
            user=call,
            now=self.wire.now,
        )
        return call

    def _answer(self, status: int, now: float) -> None:
        call, session = self.call, self.session
        if call.requests:
            transaction, _ = call.requests.pop()
            session.respond(transaction, status, now)
        elif session.held is not None:
            if status < 300:
                session.answer(call.sdp(), now)
            else:
                session.refuse(status, now)
        elif status == 183:
            session.ring(183, now, answer=call.sdp())
        elif status < 200:
            session.ring(status, now)
        elif status < 300:
            session.accept(call.sdp(), now, headers=self.headers)
        else:
            session.reject(status, now)

    # ---- Core

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        refusal = self.challenge(request)
        if refusal is not None:
            self.stack.respond(transaction, refusal, now)
        elif self.table.receive(transaction, request, now):
            pass
        elif request.method != "INVITE":
            self.stack.respond(transaction, response_to(request, 405), now)
        else:
            call = self.call_type(self)
            session = Session.incoming(
                self.stack,
                transaction,
                request,
                table=self.table,
                contact=self.uri,
                settings=self.settings,
                user=call,
                now=now,
            )
            if session is not None:
                call.session = session
                self.calls.append(call)

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        self.table.receive_ack(request, flow, now)

    def on_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        assert self.table.receive_cancel(transaction, request, now)

    def on_server_failure(self, transaction: ServerTransaction, failure: Failure, now: float) -> None:
        self.table.server_failed(transaction, failure, now)

    def on_stray_response(self, response: Response, flow: Flow, now: float) -> None:
        """The stack has counted it."""


def _text(sdp: bytes | None) -> str:
    return "" if sdp is None else f" [{sdp.decode()}]"


def nothing_left(wire: Wire, *parties: Party) -> bool:
    """After enough time: no session, transaction, timer or index entry anywhere, each user told of one end, last."""
    wire.after(80)
    for party in parties:
        assert len(party.table) == 0, party.table
        assert party.stack.idle, f"{party.name} has {party.stack.waiting_timers} timers\n{wire.ladder}"
        for call in party.calls:
            assert len(call.endings) == 1, (party.name, call.log)
            assert " ended " in call.log[-1], (party.name, call.log)
            assert call.session.ended
    return True
