"""One INVITE usage as its user sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pbxd.sip.dialog import Dialog, DialogState
from pbxd.sip.flow import Destination
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Request, Response
from pbxd.sip.offer import Carrier, OfferAnswer
from pbxd.sip.refresh import SessionTimer
from pbxd.sip.session import consent
from pbxd.sip.session.accept import Acceptance
from pbxd.sip.session.client import ClientRequest
from pbxd.sip.session.ending import EndCause, Ending
from pbxd.sip.session.inbound import Inbound
from pbxd.sip.session.invite import Invitation
from pbxd.sip.session.screen import screen
from pbxd.sip.session.settings import SessionSettings
from pbxd.sip.session.state import SessionEvent, SessionState
from pbxd.sip.session.usage import SDP, HeaderList, Register, sdp_of
from pbxd.sip.session.user import SessionUser
from pbxd.sip.stack import Stack
from pbxd.sip.transaction import ServerTransaction
from pbxd.sip.uri import Uri

OnFinal = Callable[[int, Response | None, float], None]
SEQ_BITS = 16
"""Our CSeq numbers start below 2**16, as RFC 3261 §8.1.1.5 leaves room for."""


class Session(Inbound):
    """A call leg's signalling, made by `incoming` or `outgoing`.

    `dialog` is None before the peer's tag is known; with forks it is the last one heard. An action that comes too late
    (the peer was faster) does nothing: `on_ended` tells.
    """

    __slots__ = ()

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
            session.reply(transaction, request, verdict[0], now, verdict[1])
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
            self.changes.offer(sdp, prefer_update, now)

    def forget_offer(self) -> bool:
        """What `offer` has waiting, or would try again after glare, is not wanted any more; whether there was any."""
        return self.changes.forget()

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
