"""One INVITE usage as its user and the core see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pbxd.sip.dialog import Dialog, DialogState
from pbxd.sip.flow import Destination, Flow
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Request, Response
from pbxd.sip.offer import Carrier, OfferAnswer
from pbxd.sip.refresh import SessionTimer
from pbxd.sip.session import consent
from pbxd.sip.session.accept import Acceptance
from pbxd.sip.session.client import ClientRequest
from pbxd.sip.session.ending import EndCause, Ending
from pbxd.sip.session.invite import Invitation
from pbxd.sip.session.modify import Modification
from pbxd.sip.session.screen import screen
from pbxd.sip.session.settings import SessionSettings
from pbxd.sip.session.state import SessionEvent, SessionState
from pbxd.sip.session.usage import SDP, HeaderList, Register, Usage, sdp_of
from pbxd.sip.session.user import SessionUser
from pbxd.sip.stack import Stack
from pbxd.sip.transaction import Failure, ServerTransaction
from pbxd.sip.uri import Uri

OnFinal = Callable[[int, Response | None, float], None]
SEQ_BITS = 16
"""Our CSeq numbers start below 2**16, as RFC 3261 §8.1.1.5 leaves room for."""


class Session(Usage):
    """A call leg's signalling, made by `incoming` or `outgoing`.

    `dialog` is None before the peer's tag is known; with forks it is the last one heard. An action that comes too late
    (the peer was faster) does nothing: `on_ended` tells.
    """

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

    @classmethod
    def incoming(
        cls,
        stack: Stack,
        transaction: ServerTransaction,
        request: Request,
        *,
        table: Register,
        contact: Uri,
        settings: SessionSettings,
        user: SessionUser,
        now: float,
    ) -> Self | None:
        """A session for an INVITE without To tag. None: the INVITE broke a rule of the protocol and has been answered
        (420 unknown Require, 422 Session-Expires too small, 415 a body we do not read). `remote_sdp` is its offer."""
        local = request.to.with_tag(transaction.to_tag)
        session = cls(
            stack, table, settings, user, SessionState.INCOMING, call_id=request.call_id, local=local, contact=contact
        )
        verdict = screen(request, settings, session.timer.refusal(request))
        if verdict is not None:
            session.refuse_request(transaction, request, verdict[0], now, verdict[1])
            return None
        seq = table.rng.getrandbits(SEQ_BITS)
        session.dialog = Dialog.uas(request, transaction.to_tag, contact, transaction.flow, local_seq=seq)
        session.note_peer(request)
        sdp = sdp_of(request)
        if sdp is not None:
            session.offers.receive_offer(sdp, Carrier.INVITE)
        session._acceptance = Acceptance(session, transaction, request)
        transaction.user = session
        table.add(session)
        session.opened(session.dialog)
        return session

    @classmethod
    def outgoing(
        cls,
        stack: Stack,
        *,
        table: Register,
        request_uri: Uri,
        from_: NameAddr,
        to: NameAddr,
        contact: Uri,
        destinations: Sequence[Destination],
        offer: bytes | None,
        headers: HeaderList = (),
        settings: SessionSettings,
        user: SessionUser,
        now: float,
        call_id: str | None = None,
    ) -> Self:
        """Sends an INVITE. `from_` gets a tag; without `offer` the peer makes it (RFC 3264 §4)."""
        local = from_.with_tag(stack.new_tag())
        number = call_id or stack.new_call_id()
        session = cls(stack, table, settings, user, SessionState.CALLING, call_id=number, local=local, contact=contact)
        request = Request("INVITE", request_uri)
        add = request.headers.add
        add("From", str(local))
        add("To", str(to.with_tag(None)))
        add("Call-ID", number)
        add("CSeq", f"{table.rng.getrandbits(SEQ_BITS) + 1} INVITE")
        add("Contact", f"<{contact}>")
        session.introduce(request)
        for name, value in headers:
            add(name, value)
        if offer is not None:
            session.offers.send_offer(offer, Carrier.INVITE)
            add("Content-Type", SDP)
            request.body = offer
        session.inviting = True
        table.add(session)
        session._invitation = Invitation(session, request, destinations, now)
        return session

    # ---- what is known

    @property
    def early(self) -> bool:
        """Before the 2xx, whichever side it comes from."""
        return self.state in (SessionState.CALLING, SessionState.PROCEEDING, SessionState.INCOMING)

    @property
    def established(self) -> bool:
        return self.state is SessionState.ESTABLISHED

    @property
    def remote_offer(self) -> bytes | None:
        """The peer's offer that waits for an answer of ours."""
        return self.offers.pending if self.offers.asked_in(*Carrier) else None

    @property
    def local_sdp(self) -> bytes | None:
        """What we said last: the offer that waits for its answer, or our part of the last agreement."""
        return self.offers.pending if self.offers.waits_in(*Carrier) else self.offers.local

    @property
    def remote_sdp(self) -> bytes | None:
        """What the peer said last: the offer that waits for our answer, or its part of the last agreement."""
        return self.remote_offer or self.offers.remote

    # ---- before the answer, UAS

    def ring(self, status: int, now: float, *, answer: bytes | None = None, headers: HeaderList = ()) -> None:
        """180..199. `answer` is the SDP for early media (our offer if the INVITE had none, then only in a reliable
        18x). Reliable as `settings.reliable` says; the next waits for the PRACK of the one before (RFC 3262 §3)."""
        if self._acceptance is not None and self.state is SessionState.INCOMING:
            self._acceptance.ring(status, answer, headers, now)

    def accept(self, sdp: bytes | None, now: float, *, headers: HeaderList = ()) -> None:
        """200: `sdp` answers the INVITE's offer, or is our offer when it had none. None repeats an answer given
        in an unreliable 18x. Waits for the PRACK of an 18x that carried SDP. Raises OfferError without a needed SDP."""
        if self._acceptance is not None and self.state is SessionState.INCOMING:
            self._acceptance.accept(sdp, headers, now)

    def reject(self, status: int, now: float, *, reason: str | None = None, headers: HeaderList = ()) -> None:
        """A final response of 300..699 to the INVITE; on_ended(LOCAL_REJECT) comes from inside this call."""
        if self._acceptance is not None and self.state is SessionState.INCOMING:
            self._acceptance.reject(status, reason, headers, Ending(EndCause.LOCAL_REJECT, status), now)

    # ---- before the answer, UAC

    def cancel(self, now: float, *, reason: str | None = None) -> None:
        """Gives up; `reason` is the Reason header (RFC 3326). A 2xx that crosses it gets ACK and BYE."""
        if self._invitation is not None and self.state in (SessionState.CALLING, SessionState.PROCEEDING):
            self._invitation.cancel(Ending(EndCause.LOCAL_HANGUP), reason, now)

    # ---- in the dialog, both

    def offer(self, sdp: bytes, now: float, *, prefer_update: bool = False) -> None:
        """Changes the session: re-INVITE, or UPDATE if wanted and the peer allows it, or before the answer. Queued
        while another change is under way (only the newest waits); on_reanswer tells the outcome."""
        if not self.ended and self.ending is None:
            self._changes().offer(sdp, prefer_update, now)

    def answer(self, sdp: bytes, now: float) -> None:
        """Our answer to what on_offer, on_answered (delayed offer) or on_progress brought, or the offer that
        on_offer(None) asked for. Without any of these it does nothing: the peer may have taken its offer back."""
        if self.held is not None:
            consent.answer(self, sdp, now)
        elif self._invitation is not None and self.ending is None:
            self._invitation.answer(sdp, now)

    def refuse(self, status: int, now: float, *, headers: HeaderList = ()) -> None:
        """Refuses the offer of on_offer (488 usually); the session goes on as before. An offer that came in a 2xx or
        18x of our INVITE can only be refused by ending the call (RFC 3261 §13.2.2.4), and is."""
        if self.held is not None:
            consent.refuse(self, status, headers, now)
        elif self._invitation is not None and self.remote_offer is not None:
            self.hangup(now, reason=f'SIP ;cause={status} ;text="Offer refused"')

    def request(
        self,
        method: str,
        now: float,
        *,
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str | None = None,
        on_final: OnFinal | None = None,
    ) -> None:
        """A request in the dialog (INFO, MESSAGE, NOTIFY...). `on_final(status, response, now)`; without a response 408
        or 503 when none came, 481 at once when there is no dialog any more."""
        dialog = self.dialog
        if dialog is None or self.ended or self.ending is not None:
            if on_final is not None:
                on_final(481, None, now)
            return
        request = dialog.request(method)
        for name, value in headers:
            request.headers.add(name, value)
        if content_type is not None:
            request.headers.add("Content-Type", content_type)
        request.body = body

        def heard(sent: ClientRequest, status: int, response: Response | None, at: float) -> None:
            if status < 200:
                return
            if on_final is not None:
                on_final(status, response, at)
            # Not what RFC 5057 §5.1 says of 404, 480 and others: gateways say so to an INFO they do not know
            if status in (408, 481) and self.confirmed:
                self.lost_peer(status, response, at)

        self.client.send(request, heard, now, dialog=dialog)

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> None:
        """Answers a request that on_request brought; too late it does nothing."""
        if transaction.answered:
            return
        response = self.response(transaction.request, status, headers)
        if content_type is not None:
            response.headers.add("Content-Type", content_type)
        response.body = body
        self.stack.respond(transaction, response, now)

    def hangup(self, now: float, *, reason: str | None = None, status: int = 480) -> None:
        """Ends the session from any state: CANCEL, a rejection with `status`, BYE, or BYE once the ACK is here.
        `reason` is the Reason header. Calling it again does nothing."""
        ending = Ending(EndCause.LOCAL_HANGUP)
        match self.state:
            case SessionState.CALLING | SessionState.PROCEEDING:
                self.cancel(now, reason=reason)
            case SessionState.INCOMING:
                self.reject(status, now, headers=() if reason is None else [("Reason", reason)])
            case SessionState.ACCEPTED:
                self.step(SessionEvent.GIVE_UP)
                self.ending = ending
                self._bye_reason = reason
            case SessionState.ANSWERED | SessionState.ESTABLISHED:
                self.ending = ending
                if self._invitation is not None:
                    self._invitation.acknowledge(now)
                consent.refuse(self, 487, (), now)  # RFC 3261 §15.1.2
                self.bye(SessionEvent.GIVE_UP, ending, now, reason=reason)
            case _:
                pass

    # ---- from the core, by way of the table

    def receive(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A request that names our tag."""
        if self.dialog is None:
            self._too_early(transaction, request, now)
            return
        dialog = self._dialog_of(request)
        if dialog is None or self.ended:
            self.refuse_request(transaction, request, 481, now)
            return
        objection = dialog.accepts(request)
        if objection is not None:
            self.refuse_request(transaction, request, objection, now)
            return
        dialog.came_by(transaction.flow)
        method = request.method
        if method == "BYE":
            self._receive_bye(transaction, request, now)
        elif self.ending is not None:  # we have left: RFC 3261 §15.1.2
            self.refuse_request(transaction, request, 481, now)
        elif method == "INVITE":
            if self.unacked is not None and self.offers.idle:  # its ACK was lost, but the peer goes on
                self._acknowledged(None, now)
            if not self.ended:
                consent.receive_invite(self, transaction, request, now)
        elif method == "UPDATE":
            consent.receive_update(self, transaction, request, now)
        elif unknown := request.require - self.settings.options:
            headers = [("Unsupported", ", ".join(sorted(unknown)))]
            self.refuse_request(transaction, request, 420, now, headers)
        elif method == "PRACK":
            if self._acceptance is not None:
                self._acceptance.receive_prack(transaction, request, now)
            else:
                self.refuse_request(transaction, request, 481, now)
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
        if self.state is SessionState.ESTABLISHED:
            self._invitation = None
        if self._modification is not None and self.ending is None:
            self._modification.proceed(now)

    def refresh(self, now: float) -> None:
        self._changes().refresh(now)

    def release(self, now: float) -> None:
        acceptance, held, unacked = self._acceptance, self.held, self.unacked
        self._acceptance = self._invitation = self.held = self.unacked = None
        if self._modification is not None:
            self._modification.stop(now)
        if acceptance is not None:
            acceptance.stop()
        if held is not None:  # RFC 3261 §15.1.2: what is pending is answered
            if held.alarm is not None:
                held.alarm.cancel()
            self.refuse_request(held.transaction, held.request, 487, now)
        if unacked is not None:
            self.stack.acknowledged(unacked.transaction, now)

    def _changes(self) -> Modification:
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
            self.refuse_request(transaction, request, 200, now)
            self._give_up_calling(request, now)
        else:
            self.refuse_request(transaction, request, 500, now, [("Retry-After", "1")])

    def _give_up_calling(self, request: Request, now: float) -> None:
        if self._invitation is not None and self.state in (SessionState.CALLING, SessionState.PROCEEDING):
            self._invitation.cancel(_remote_bye(request), None, now)

    def _receive_bye(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """RFC 3261 §15.1.2."""
        self.refuse_request(transaction, request, 200, now)
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

    # ---- plain data

    def to_plain(self) -> dict[str, Any]:
        """An established session as JSON values. Raises ValueError in any other state."""
        if self.dialog is None or not self.established:
            raise ValueError(f"a session can be written down when it is established, not in {self.state.name}")
        local, remote = self.offers.local, self.offers.remote
        return {
            "dialog": self.dialog.to_plain(),
            "local_sdp": None if local is None else local.decode("latin-1"),
            "remote_sdp": None if remote is None else remote.decode("latin-1"),
            "timer": self.timer.to_plain(),
            "allow": sorted(self.allow),
            "supports": sorted(self.peer_supports),
        }

    @classmethod
    def from_plain(
        cls,
        plain: Mapping[str, Any],
        stack: Stack,
        *,
        table: Register,
        settings: SessionSettings,
        user: SessionUser,
        now: float,
    ) -> Self:
        """The session `to_plain` wrote, taken up again, its session timer started anew."""
        dialog = Dialog.from_plain(plain["dialog"])
        session = cls(
            stack,
            table,
            settings,
            user,
            SessionState.ESTABLISHED,
            call_id=dialog.call_id,
            local=dialog.local,
            contact=dialog.contact,
        )
        session.dialog = dialog
        dialog.state = DialogState.CONFIRMED
        sdps = (None if text is None else text.encode("latin-1") for text in (plain["local_sdp"], plain["remote_sdp"]))
        session.offers = OfferAnswer(*sdps)
        session.timer = SessionTimer.from_plain(plain["timer"])
        session.note_abilities(plain["allow"], plain["supports"])
        table.add(session)
        session.restart_timer(now)
        session.opened(dialog)
        return session


def _remote_bye(request: Request) -> Ending:
    return Ending(EndCause.REMOTE_BYE, None, request.headers.get("Reason"), request)
