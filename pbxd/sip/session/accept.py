"""Their INVITE: our 18x, our final response, and the ACK."""

from __future__ import annotations

from pbxd.sip.dialog import DialogState
from pbxd.sip.message import Request
from pbxd.sip.offer import Carrier, OfferError
from pbxd.sip.session.ending import EndCause, Ending
from pbxd.sip.session.reliable import ReliableResponses
from pbxd.sip.session.settings import Reliability
from pbxd.sip.session.state import SessionEvent, SessionState
from pbxd.sip.session.usage import SDP, HeaderList, Unacked, Usage
from pbxd.sip.transaction import ServerTransaction

RSEQ_BITS = 31
"""RFC 3262 §3: the first RSeq is anything from 1 to 2**31 - 1."""


class Acceptance:
    """The INVITE that opened the session, until it has its final response."""

    __slots__ = ("_preview", "_reliable", "_usage", "_waiting", "request", "transaction")

    def __init__(self, usage: Usage, transaction: ServerTransaction, request: Request) -> None:
        self._usage = usage
        self.transaction = transaction
        self.request = request
        self._reliable: ReliableResponses | None = None
        self._preview: bytes | None = None
        """The answer an unreliable 18x has shown; the 2xx must repeat it (RFC 3261 §13.2.1)."""
        self._waiting: tuple[bytes | None, HeaderList] | None = None
        """An `accept` that waits for a PRACK or for the answer to an UPDATE."""

    def ring(self, status: int, sdp: bytes | None, headers: HeaderList, now: float) -> None:
        usage = self._usage
        response = usage.response(self.request, status, headers)
        reliable = self._wants_reliable()
        body = self._early(sdp, reliable) if sdp is not None else None
        if body is not None:
            response.headers.add("Content-Type", SDP)
            response.body = body
        if not reliable:
            usage.stack.respond(self.transaction, response, now)
            return
        if self._reliable is None:
            first = 1 + usage.register.rng.getrandbits(RSEQ_BITS - 1)
            self._reliable = ReliableResponses(usage, self.transaction, self.request, first, self._unacknowledged)
        usage.unpracked = usage.unpracked or body is not None
        self._reliable.send(response, now)

    def accept(self, sdp: bytes | None, headers: HeaderList, now: float) -> None:
        usage = self._usage
        # RFC 3262 §5: not while an 18x with SDP has no PRACK; nor with an offer open that the 2xx does not answer
        if usage.unpracked or usage.held is not None or usage.offers.waits_in(Carrier.PROVISIONAL, Carrier.UPDATE):
            self._waiting = sdp, headers
            return
        self._waiting = None
        body = self._final(sdp)
        response = usage.response(self.request, 200, headers)
        if usage.settings.timed:
            usage.timer.grant(self.request, response.headers)
        if body is not None:
            response.headers.add("Content-Type", SDP)
            response.body = body
        self.stop()
        usage.step(SessionEvent.ACCEPT)
        usage.unacked = Unacked(self.transaction, self.request.cseq.number)
        usage.register.expect_ack(usage)
        if usage.dialog is not None:
            usage.dialog.state = DialogState.CONFIRMED
        usage.stack.respond(self.transaction, response, now)
        usage.restart_timer(now)

    def reject(self, status: int, reason: str | None, headers: HeaderList, ending: Ending, now: float) -> None:
        self.stop()
        usage = self._usage
        usage.stack.respond(self.transaction, usage.response(self.request, status, headers, reason), now)
        usage.finish(ending, now)

    def proceed(self, now: float) -> None:
        """What an `accept` waited for may have come."""
        if self._waiting is not None and self._usage.state is SessionState.INCOMING:
            self.accept(*self._waiting, now)

    def receive_prack(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if self._reliable is None:
            self._usage.reply(transaction, request, 481, now)
        else:
            self._reliable.receive_prack(transaction, request, now)

    def stop(self) -> None:
        """No 18x is sent again."""
        if self._reliable is not None:
            self._reliable.stop()

    def _wants_reliable(self) -> bool:
        if "100rel" in self.request.require:
            return True
        return self._usage.settings.reliable is Reliability.WHEN_SUPPORTED and "100rel" in self.request.supported

    def _early(self, sdp: bytes, reliable: bool) -> bytes | None:
        """What of `sdp` an 18x may carry now (RFC 6337 §2.2): the answer, a preview of it, or a first offer."""
        offers = self._usage.offers
        if offers.asked_in(Carrier.INVITE):
            if reliable:
                offers.send_answer(sdp, Carrier.PROVISIONAL)
            else:
                self._preview = sdp
            return sdp
        if reliable and offers.idle and not offers.agreed:
            offers.send_offer(sdp, Carrier.PROVISIONAL)
            return sdp
        return None

    def _final(self, sdp: bytes | None) -> bytes | None:
        """The body of the 2xx: the answer, our offer, or nothing because both are agreed already."""
        offers = self._usage.offers
        if offers.agreed and offers.idle:
            return None
        body = sdp or self._preview
        if body is None:
            raise OfferError("a 2xx needs an answer, or an offer when the INVITE had none")
        if offers.asked_in(Carrier.INVITE):
            offers.send_answer(body, Carrier.SUCCESS)
        else:
            offers.send_offer(body, Carrier.SUCCESS)
        return body

    def _unacknowledged(self, now: float) -> None:
        """RFC 3262 §3: no PRACK in 64*T1, the INVITE is refused with a 5xx."""
        self.reject(504, None, (), Ending(EndCause.NO_ACK, 504), now)
