"""Our INVITE: what comes back from one peer, or from many when a proxy forks it."""

from __future__ import annotations

from collections.abc import Sequence

from pbxd.sip.dialog import Dialog
from pbxd.sip.flow import Destination
from pbxd.sip.headers import Headers
from pbxd.sip.message import Request, Response
from pbxd.sip.offer import Carrier, OfferAnswer
from pbxd.sip.session.client import ClientRequest, ignore
from pbxd.sip.session.ending import EndCause, Ending
from pbxd.sip.session.state import SessionEvent, SessionState
from pbxd.sip.session.usage import Usage, number_of, sdp_of

MAX_FORKS = 16
"""Early dialogs of one INVITE that are kept; responses of more are not looked at unless they are a 2xx."""


class Fork:
    """One peer that answered our INVITE (RFC 3261 §12.1.2, §13.2.2.4)."""

    __slots__ = ("ack", "asking", "dialog", "offers", "rseq")

    def __init__(self, dialog: Dialog, offers: OfferAnswer) -> None:
        self.dialog = dialog
        self.offers = offers
        self.rseq: int | None = None
        """The last reliable 18x taken."""
        self.asking = False
        """Its offer waits for our answer, which goes into the PRACK."""
        self.ack: Request | None = None


class Invitation:
    """The INVITE that opens the session; it outlives the answer to acknowledge every 2xx that comes again. Its
    transaction holds on to it then, not the other way round: once that is over nothing is left."""

    __slots__ = ("_forks", "_offer", "_place", "_request", "_sent", "_usage", "_winner")

    def __init__(self, usage: Usage, request: Request, destinations: Sequence[Destination], now: float) -> None:
        self._usage = usage
        self._offer = request.body or None
        self._forks: dict[str, Fork] = {}
        self._winner: Fork | None = None
        self._request = request
        """As it was sent last: with credentials, perhaps."""
        self._place: Destination | None = None
        """Where that was."""
        self._sent: ClientRequest | None = usage.client.send(request, self._heard, now, destinations=destinations)
        """While there is no final response."""

    def fork_of(self, tag: str) -> Fork | None:
        return self._forks.get(tag)

    def enter(self, fork: Fork) -> None:
        """This fork is the session's dialog from now on, unless another speaks before one wins."""
        self._usage.dialog, self._usage.offers = fork.dialog, fork.offers

    def cancel(self, ending: Ending, reason: str | None, now: float) -> None:
        """RFC 3261 §9.1; the stack waits for a provisional response by itself."""
        usage = self._usage
        usage.step(SessionEvent.GIVE_UP)
        usage.ending = ending
        if self._sent is not None and self._sent.transaction is not None:
            self._sent.abandoned = True
            headers = [] if reason is None else [("Reason", reason)]
            usage.stack.cancel(self._sent.transaction, now, headers)

    def answer(self, sdp: bytes, now: float) -> None:
        """Our answer to the peer's offer: in the ACK, or in the PRACK of the 18x that brought it."""
        usage = self._usage
        fork = self._current()
        if fork is None:
            return
        if fork.offers.asked_in(Carrier.SUCCESS):
            fork.offers.send_answer(sdp, Carrier.ACK)
            usage.step(SessionEvent.ACKED)
            self._acknowledge(fork, sdp, now)
            usage.settled(now)
        elif fork.asking and fork.rseq is not None:
            fork.asking = False
            fork.offers.send_answer(sdp, Carrier.PRACK)
            usage.client.prack(fork.dialog, self._request, fork.rseq, sdp, now)
            usage.settled(now)

    def acknowledge(self, now: float) -> None:
        """The ACK without the answer that was asked for: a BYE follows."""
        if self._winner is not None and self._winner.ack is None:
            self._winner.offers.withdraw()
            self._acknowledge(self._winner, None, now)

    def _heard(self, sent: ClientRequest, status: int, response: Response | None, now: float) -> None:
        self._request = sent.request
        self._place = None if sent.transaction is None else sent.transaction.destination
        if response is None or status >= 300:
            self._sent = None
            self._failed(sent, status, response, now)
        elif status >= 200:
            self._sent = None
            self._succeeded(response, now)
        elif status > 100:
            self._progressed(response, now)

    # ---- 18x

    def _progressed(self, response: Response, now: float) -> None:
        usage = self._usage
        if usage.state is SessionState.CALLING:
            usage.step(SessionEvent.PROGRESS)
        if usage.state is not SessionState.PROCEEDING:
            return
        usage.note_peer(response)
        fork = self._fork(response)
        if fork is None:  # without a tag it makes no dialog
            usage.user.on_progress(response.status, None, response, now)
            return
        self.enter(fork)
        reliable = "100rel" in response.require
        if reliable and not self._is_next(fork, response):
            return
        sdp = self._early(fork, sdp_of(response), reliable)
        if reliable and not fork.asking and fork.rseq is not None:
            usage.client.prack(fork.dialog, self._request, fork.rseq, None, now)
        usage.user.on_progress(response.status, sdp, response, now)
        usage.settled(now)

    def _is_next(self, fork: Fork, response: Response) -> bool:
        """RFC 3262 §4: reliable responses are taken in order; one that comes again, or too early, is passed over."""
        number = number_of(response.headers.get("RSeq"))
        if number is None:
            return False
        if fork.rseq is not None and number != fork.rseq + 1:
            return False
        fork.rseq = number
        return True

    def _early(self, fork: Fork, sdp: bytes | None, reliable: bool) -> bytes | None:
        """What the SDP of an 18x is (RFC 6337 §2.2, §3.1): the answer, a preview of it, an offer, or nothing new."""
        offers = fork.offers
        if sdp is None or not reliable:
            return sdp if self._offer is not None and not offers.agreed else None
        if offers.waits_in(Carrier.INVITE):
            offers.receive_answer(sdp, Carrier.PROVISIONAL)
        elif offers.idle and not offers.agreed:
            offers.receive_offer(sdp, Carrier.PROVISIONAL)
            fork.asking = True
        else:
            return None
        return sdp

    # ---- 2xx

    def _succeeded(self, response: Response, now: float) -> None:
        usage = self._usage
        fork = self._fork(response, always=True)
        if fork is None:
            return
        if fork.ack is not None:
            usage.client.ack_again(fork.dialog, fork.ack, now)
        elif self._winner is None and not usage.ended:
            self._winner = fork
            self._won(fork, response, now)
        elif fork is not self._winner:  # RFC 3261 §13.2.2.4: it lost, or it came too late
            fork.dialog.confirm(response)
            self._acknowledge(fork, None, now)
            usage.client.bye(fork.dialog, ignore, now)

    def _won(self, fork: Fork, response: Response, now: float) -> None:
        usage = self._usage
        usage.inviting = False
        self.enter(fork)
        if fork.dialog.confirm(response):
            usage.opened(fork.dialog)
        usage.note_peer(response)
        if usage.state is SessionState.CANCELLING:
            self._acknowledge(fork, None, now)
            usage.bye(SessionEvent.SUCCESS, usage.ending or Ending(EndCause.LOCAL_HANGUP), now)
            return
        if usage.settings.timed:
            usage.timer.accept(response)
        usage.restart_timer(now)
        sdp, offers = sdp_of(response), fork.offers
        if offers.waits_in(Carrier.INVITE):
            usage.step(SessionEvent.SUCCESS)
            self._acknowledge(fork, None, now)
            if sdp is None:
                self._broken(now)
                return
            offers.receive_answer(sdp, Carrier.SUCCESS)
        elif offers.idle and not offers.agreed:
            usage.step(SessionEvent.OFFERED)
            if sdp is None:
                self.acknowledge(now)
                self._broken(now)
                return
            offers.receive_offer(sdp, Carrier.SUCCESS)
        else:  # agreed in a reliable 18x; what the 2xx repeats is not looked at (RFC 6337 §3.1.1)
            usage.step(SessionEvent.SUCCESS)
            self._acknowledge(fork, None, now)
            sdp = None
        usage.user.on_answered(sdp, response, now)
        usage.settled(now)

    def _broken(self, now: float) -> None:
        """A 2xx without the offer or answer it must bring (RFC 3261 §13.2.1)."""
        reason = 'SIP ;cause=488 ;text="No session description"'
        self._usage.bye(SessionEvent.GIVE_UP, Ending(EndCause.PROTOCOL), now, reason=reason)

    def _acknowledge(self, fork: Fork, sdp: bytes | None, now: float) -> None:
        fork.ack = self._usage.client.ack(fork.dialog, self._request, sdp, now)

    # ---- 3xx-6xx, or silence

    def _failed(self, sent: ClientRequest, status: int, response: Response | None, now: float) -> None:
        usage = self._usage
        usage.inviting = False
        if self._winner is not None or usage.ended:
            return
        if usage.ending is not None:
            usage.finish(usage.ending, now)
        elif response is None:
            usage.finish(Ending(EndCause.TIMEOUT if status == 408 else EndCause.TRANSPORT, status), now)
        elif status == 422 and usage.timer.too_small(response):
            self._forks.clear()
            usage.inviting = True
            self._sent = sent
            sent.again(now, self._ask_again)
        else:
            usage.finish(Ending(EndCause.REJECTED, status, response.headers.get("Reason"), response), now)

    def _ask_again(self, headers: Headers) -> None:
        headers.remove("Session-Expires")
        headers.remove("Min-SE")
        self._usage.timer.ask(headers)

    # ---- forks

    def _current(self) -> Fork | None:
        dialog = self._usage.dialog
        return self._winner or (None if dialog is None else self._forks.get(dialog.remote_tag))

    def _fork(self, response: Response, *, always: bool = False) -> Fork | None:
        """The fork a response comes from, made if it is new. A 2xx `always` has one, tag or not."""
        tag = response.to.tag
        if tag is None and not always:
            return None
        fork = self._forks.get(tag or "")
        if fork is None and (always or len(self._forks) < MAX_FORKS):
            fork = self._forks[tag or ""] = self._opened(response)
        return fork

    def _opened(self, response: Response) -> Fork:
        usage = self._usage
        dialog = Dialog.uac(self._request, response, usage.contact, self._place)
        usage.opened(dialog)
        if not self._forks:
            return Fork(dialog, usage.offers)
        offers = OfferAnswer()
        if self._offer is not None:
            offers.send_offer(self._offer, Carrier.INVITE)
        return Fork(dialog, offers)
