"""From a message to its session."""

from __future__ import annotations

from random import Random, SystemRandom

from pbxd.sip.flow import Flow
from pbxd.sip.message import Request, response_to
from pbxd.sip.session.session import Session
from pbxd.sip.session.usage import Usage
from pbxd.sip.stack import DropReason, Stack
from pbxd.sip.transaction import Failure, ServerTransaction


class SessionTable:
    """All sessions of one stack; `rng` is the dice they throw. The core hands over everything that belongs to a dialog:

    on_request          if not table.receive(transaction, request, now): it is outside any dialog, the core's business
    on_ack              table.receive_ack(request, flow, now)
    on_cancel           table.receive_cancel(transaction, request, now)
    on_server_failure   table.server_failed(transaction, failure, now)
    """

    def __init__(self, stack: Stack, *, rng: Random | None = None) -> None:
        self.rng = rng or SystemRandom()
        self._stack = stack
        self._sessions: dict[tuple[str, str], Usage] = {}
        self._expecting: dict[tuple[str, str], Usage] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    # ---- messages

    def match(self, request: Request) -> Session | None:
        """The session a request belongs to: by Call-ID and To tag (ours), an ACK that is waited for also by Call-ID
        and From tag (the peer's) alone, because there are phones whose ACK carries a To tag of its own making."""
        call_id = request.call_id
        usage = self._sessions.get((call_id, request.to.tag or ""))
        if usage is None and request.method == "ACK":
            usage = self._expecting.get((call_id, request.from_.tag or ""))
        return usage if isinstance(usage, Session) else None

    def receive(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """A request from the network. True: it had a To tag, so it was a session's, or is answered with 481
        (RFC 3261 §12.2.2). False: it is outside any dialog."""
        if request.to.tag is None:
            return False
        session = self.match(request)
        if session is None:
            self._stack.respond(transaction, response_to(request, 481), now)
        else:
            session.receive(transaction, request, now)
        return True

    def receive_ack(self, request: Request, flow: Flow, now: float) -> None:
        """The ACK of a 2xx. One that nobody waits for is dropped by name: the second of two is no error."""
        session = self.match(request)
        if session is None or not session.receive_ack(request, flow, now):
            self._stack.drop(DropReason.STRAY_ACK)

    def receive_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """A CANCEL that matched an INVITE. False: no session owns that INVITE."""
        session = transaction.user
        if isinstance(session, Session):
            session.receive_cancel(transaction, request, now)
            return True
        return False

    def server_failed(self, transaction: ServerTransaction, failure: Failure, now: float) -> bool:
        """A 2xx was never acknowledged, or the way back is dead. False: not a session's transaction."""
        session = transaction.user
        if isinstance(session, Session):
            session.server_failed(transaction, failure, now)
            return True
        return False

    # ---- what the sessions say of themselves

    def add(self, usage: Usage) -> None:
        self._sessions[usage.call_id, usage.local_tag] = usage

    def remove(self, usage: Usage) -> None:
        self._sessions.pop((usage.call_id, usage.local_tag), None)
        self.acked(usage)

    def expect_ack(self, usage: Usage) -> None:
        self._expecting[usage.call_id, usage.remote_tag] = usage

    def acked(self, usage: Usage) -> None:
        self._expecting.pop((usage.call_id, usage.remote_tag), None)
