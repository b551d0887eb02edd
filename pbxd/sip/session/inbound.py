"""One INVITE usage as the network sees it: the requests of the peer, and what became of our responses."""

from __future__ import annotations

from pbxd.sip.dialog import Dialog
from pbxd.sip.flow import Flow
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Request
from pbxd.sip.offer import Carrier
from pbxd.sip.session import consent
from pbxd.sip.session.accept import Acceptance
from pbxd.sip.session.ending import EndCause, Ending
from pbxd.sip.session.invite import Invitation
from pbxd.sip.session.modify import Modification
from pbxd.sip.session.settings import SessionSettings
from pbxd.sip.session.state import SessionEvent, SessionState
from pbxd.sip.session.usage import Register, Usage, sdp_of
from pbxd.sip.session.user import SessionUser
from pbxd.sip.stack import Stack
from pbxd.sip.transaction import Failure, ServerTransaction
from pbxd.sip.uri import Uri


class Inbound(Usage):
    """A usage with its parts: what has been sent to it is given to the one whose business it is."""

    __slots__ = ("_acceptance", "_bye_reason", "_invitation", "_modification")

    def __init__(
        self,
        stack: Stack,
        register: Register,
        settings: SessionSettings,
        user: SessionUser,
        state: SessionState,
        *,
        call_id: str,
        local: NameAddr,
        contact: Uri,
    ) -> None:
        super().__init__(stack, register, settings, user, state, call_id=call_id, local=local, contact=contact)
        self._acceptance: Acceptance | None = None
        self._invitation: Invitation | None = None
        self._modification: Modification | None = None
        self._bye_reason: str | None = None

    # ---- from the core, by way of the table

    def receive(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A request that names our tag."""
        if self.dialog is None:
            self._too_early(transaction, request, now)
            return
        dialog = self._dialog_of(request)
        if dialog is None or self.ended:
            self.reply(transaction, request, 481, now)
            return
        objection = dialog.accepts(request)
        if objection is not None:
            self.reply(transaction, request, objection, now)
            return
        dialog.came_by(transaction.flow)
        method = request.method
        if method == "BYE":
            self._receive_bye(transaction, request, now)
        elif self.ending is not None:  # we have left: RFC 3261 §15.1.2
            self.reply(transaction, request, 481, now)
        elif method == "INVITE":
            if self.unacked is not None and self.offers.idle:  # its ACK was lost, but the peer goes on
                self._acknowledged(None, now)
            if not self.ended:
                consent.receive_invite(self, transaction, request, now)
        elif method == "UPDATE":
            consent.receive_update(self, transaction, request, now)
        elif unknown := request.require - self.settings.options:
            headers = [("Unsupported", ", ".join(sorted(unknown)))]
            self.reply(transaction, request, 420, now, headers)
        elif method == "PRACK":
            if self._acceptance is not None:
                self._acceptance.receive_prack(transaction, request, now)
            else:
                self.reply(transaction, request, 481, now)
        else:
            self.user.on_request(transaction, request, now)

    def receive_ack(self, request: Request, flow: Flow, now: float) -> bool:
        """The ACK to a 2xx of ours. False: no such 2xx is waiting."""
        if self.unacked is None or self.unacked.number != request.cseq.number:
            return False
        if self.dialog is not None:
            self.dialog.came_by(flow)
        self._acknowledged(sdp_of(request), now)
        return True

    def receive_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """RFC 3261 §9.2; the stack has answered the CANCEL. After our final response it comes too late."""
        reason = request.headers.get("Reason")
        acceptance, held = self._acceptance, self.held
        if acceptance is not None and acceptance.transaction is transaction and self.state is SessionState.INCOMING:
            acceptance.reject(487, None, (), Ending(EndCause.REMOTE_CANCEL, 487, reason, request), now)
        elif held is not None and held.transaction is transaction:
            consent.refuse(self, 487, (), now)

    def server_failed(self, transaction: ServerTransaction, failure: Failure, now: float) -> None:
        """A 2xx of ours has no ACK after 64*T1 (RFC 3261 §13.3.1.4), or a response cannot be sent."""
        cause = EndCause.NO_ACK if failure is Failure.NO_ACK else EndCause.TRANSPORT
        if self.unacked is not None and self.unacked.transaction is transaction:
            self.unacked = None
            self.register.acked(self)
            self.abandon(self.ending or Ending(cause), now, reason=self._bye_reason)
        elif self.held is not None and self.held.transaction is transaction:
            consent.lost(self, now)
        elif self._acceptance is not None and self._acceptance.transaction is transaction:
            self._acceptance.stop()
            self.finish(Ending(cause), now)

    # ---- inside

    def settled(self, now: float) -> None:
        if self._acceptance is not None:
            self._acceptance.proceed(now)
        if self.state is SessionState.ESTABLISHED and self.offers.idle:
            self._invitation = None
        if self._modification is not None and self.ending is None:
            self._modification.proceed(now)

    def refresh(self, now: float) -> None:
        self.changes.refresh(now)

    def release(self, now: float) -> None:
        acceptance, held, unacked = self._acceptance, self.held, self.unacked
        self._acceptance = self._invitation = self.held = self.unacked = None
        if self._modification is not None:
            self._modification.stop(now)
            self._modification = None
        if acceptance is not None:
            acceptance.stop()
        if held is not None:  # RFC 3261 §15.1.2: what is pending is answered
            if held.alarm is not None:
                held.alarm.cancel()
            self.reply(held.transaction, held.request, 487, now)
        if unacked is not None:
            self.stack.acknowledged(unacked.transaction, now)

    @property
    def changes(self) -> Modification:
        if self._modification is None:
            self._modification = Modification(self)
        return self._modification

    def _dialog_of(self, request: Request) -> Dialog | None:
        """The dialog with the peer's tag; before the answer it may be that of another fork, which then speaks for the
        session."""
        tag = request.from_.tag or ""
        if self.dialog is not None and self.dialog.remote_tag == tag:
            return self.dialog
        fork = self._invitation.fork_of(tag) if self._invitation is not None else None
        if fork is None or self._invitation is None or self.state is not SessionState.PROCEEDING:
            return None
        self._invitation.enter(fork)
        return fork.dialog

    def _too_early(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """The peer's first response to our INVITE was overtaken by a request of its own, or got lost."""
        if request.method == "BYE":
            self.reply(transaction, request, 200, now)
            self._give_up_calling(request, now)
        else:
            self.reply(transaction, request, 500, now, [("Retry-After", "1")])

    def _give_up_calling(self, request: Request, now: float) -> None:
        if self._invitation is not None and self.state in (SessionState.CALLING, SessionState.PROCEEDING):
            self._invitation.cancel(_remote_bye(request), None, now)

    def _receive_bye(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """RFC 3261 §15.1.2."""
        self.reply(transaction, request, 200, now)
        match self.state:
            case SessionState.CALLING | SessionState.PROCEEDING:
                self._give_up_calling(request, now)
            case SessionState.CANCELLING:
                pass  # the INVITE still has its final response to come
            case SessionState.INCOMING:
                if self._acceptance is not None:
                    reason = request.headers.get("Reason")
                    ending = Ending(EndCause.REMOTE_CANCEL, 487, reason, request)
                    self._acceptance.reject(487, None, (), ending, now)
            case SessionState.ANSWERED:
                if self._invitation is not None:
                    self._invitation.acknowledge(now)
                self.finish(_remote_bye(request), now)
            case _:
                self.finish(self.ending or _remote_bye(request), now)

    def _acknowledged(self, sdp: bytes | None, now: float) -> None:
        """The ACK is here, or is as good as here."""
        unacked, self.unacked = self.unacked, None
        self.register.acked(self)
        if unacked is not None:
            self.stack.acknowledged(unacked.transaction, now)
        offered = self.offers.waits_in(Carrier.SUCCESS)
        if offered and sdp is not None:
            self.offers.receive_answer(sdp, Carrier.ACK)
        elif offered:
            self.offers.withdraw()
        answer = sdp if offered else None
        if self.state is SessionState.LEAVING:
            ending = self.ending or Ending(EndCause.LOCAL_HANGUP)
            self.bye(SessionEvent.ACKED, ending, now, reason=self._bye_reason)
        elif self.state is SessionState.ACCEPTED:
            self.step(SessionEvent.ACKED)
            self._acceptance = None
            if offered and sdp is None:  # RFC 3261 §13.2.2.4: the answer MUST be in the ACK
                self.bye(SessionEvent.GIVE_UP, Ending(EndCause.PROTOCOL), now)
                return
            self.user.on_established(answer, now)
            self.settled(now)
        else:
            if offered:
                self.user.on_reanswer(answer, 488 if answer is None else 200, now)
            self.settled(now)


def _remote_bye(request: Request) -> Ending:
    return Ending(EndCause.REMOTE_BYE, None, request.headers.get("Reason"), request)
