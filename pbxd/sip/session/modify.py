"""Our changes to a session: re-INVITE and UPDATE with an offer, and the refreshes of the session timer."""

from __future__ import annotations

from dataclasses import dataclass

from pbxd.sip.dialog import Role
from pbxd.sip.message import Response
from pbxd.sip.offer import Carrier
from pbxd.sip.session.client import ClientRequest
from pbxd.sip.session.state import SessionState
from pbxd.sip.session.usage import SDP, Usage, number_of, sdp_of
from pbxd.sip.timers import TimerHandle

MAX_RETRIES = 6
"""Glare and Retry-After in a row before a change is given up."""
LONGEST_RETRY_AFTER_S = 10
"""A peer that asks for more (RFC 3261 §14.2 allows 10) has refused."""
FATAL = frozenset({404, 408, 410, 416, 480, 481, 482, 483, 484, 485, 502, 604})
"""What ends the usage when a re-INVITE or UPDATE gets it (RFC 5057 §5.1; RFC 3261 §12.2.1.2 for 408 and 481)."""


@dataclass(slots=True)
class Change:
    """An offer of the user's, or a refresh (`wanted` is False) that says nothing new."""

    sdp: bytes | None
    prefer_update: bool
    wanted: bool = True
    retries: int = 0


class Modification:
    """One change at a time; the newest waits."""

    __slots__ = ("_change", "_next", "_offers", "_refresh_due", "_retry", "_rseq", "_sent", "_usage")

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._change: Change | None = None
        self._next: Change | None = None
        self._sent: ClientRequest | None = None
        self._refresh_due = False
        self._retry: TimerHandle | None = None
        self._rseq: int | None = None
        self._offers = usage.offers
        """Those of the dialog the change went out in: before the answer, another fork may have spoken since."""

    def offer(self, sdp: bytes, prefer_update: bool, now: float) -> None:
        self._next = Change(sdp, prefer_update)
        self.proceed(now)

    def forget(self) -> bool:
        """What waits is not wanted any more; whether anything did."""
        waited, self._next = self._next is not None, None
        return waited

    def refresh(self, now: float) -> None:
        self._refresh_due = True
        self.proceed(now)

    def proceed(self, now: float) -> None:
        """Starts what waits, if nothing is in its way."""
        usage = self._usage
        if self._sent is not None or self._retry is not None or usage.busy or usage.dialog is None:
            return
        established = usage.state is SessionState.ESTABLISHED
        if self._next is not None:
            update = "UPDATE" in usage.allow
            if established:
                change, self._next = self._next, None
                self._start(change, "UPDATE" if update and change.prefer_update else "INVITE", now)
            elif update and usage.offers.agreed and usage.state in (SessionState.PROCEEDING, SessionState.INCOMING):
                change, self._next = self._next, None
                self._start(change, "UPDATE", now)
        elif self._refresh_due and established:
            by_update = "UPDATE" in usage.allow
            self._start(
                Change(None if by_update else usage.offers.local, by_update, False),
                "UPDATE" if by_update else "INVITE",
                now,
            )

    def stop(self, now: float) -> None:
        """The session is over. A re-INVITE that is out is cancelled, lest it wait for a dead peer for ever, and still
        acknowledged if it is accepted."""
        sent = self._sent
        if sent is not None and sent.transaction is not None and sent.request.method == "INVITE":
            sent.abandoned = True
            self._usage.stack.cancel(sent.transaction, now)
        self._change = self._next = self._sent = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _start(self, change: Change, method: str, now: float) -> None:
        usage = self._usage
        dialog = usage.dialog
        assert dialog is not None  # noqa: S101
        request = dialog.request(method)
        usage.introduce(request)
        if change.sdp is not None:
            usage.offers.send_offer(change.sdp, Carrier.INVITE if method == "INVITE" else Carrier.UPDATE)
            request.headers.add("Content-Type", SDP)
            request.body = change.sdp
        self._change = change
        self._rseq = None
        self._refresh_due = False
        self._offers = usage.offers
        usage.inviting = usage.inviting or method == "INVITE"
        self._sent = usage.client.send(request, self._heard, now, dialog=dialog)

    # ---- what comes back

    def _heard(self, sent: ClientRequest, status: int, response: Response | None, now: float) -> None:
        if response is not None and 200 <= status < 300 and sent.request.method == "INVITE":
            self._usage.refresh_target(response)
            dialog = self._usage.dialog
            if dialog is not None:  # also when it comes again, or after our BYE (RFC 3261 §13.2.2.4)
                self._usage.client.ack(dialog, sent.request, None, now)
        if sent is not self._sent or self._change is None:
            return
        if response is not None and status < 200:
            self._progressed(sent, response, now)
            return
        change, self._change, self._sent = self._change, None, None
        if sent.request.method == "INVITE":
            self._usage.inviting = False
        if response is not None and status < 300:
            self._succeeded(change, response, now)
        else:
            self._failed(sent, change, status, response, now)

    def _progressed(self, sent: ClientRequest, response: Response, now: float) -> None:
        """A reliable 18x to a re-INVITE is possible, and may bring the answer (RFC 3262 §5)."""
        usage = self._usage
        number = number_of(response.headers.get("RSeq"))
        if usage.dialog is None or number is None or "100rel" not in response.require:
            return
        if self._rseq is not None and number != self._rseq + 1:
            return
        self._rseq = number
        usage.client.prack(usage.dialog, sent.request, number, None, now)
        sdp = sdp_of(response)
        if sdp is not None and self._offers.waits_in(Carrier.INVITE):
            self._offers.receive_answer(sdp, Carrier.PROVISIONAL)
            usage.user.on_reanswer(sdp, response.status, now)

    def _succeeded(self, change: Change, response: Response, now: float) -> None:
        usage = self._usage
        usage.note_peer(response)
        usage.refresh_target(response)
        if usage.settings.timed and usage.confirmed:
            usage.timer.accept(response)
            usage.restart_timer(now)
        offers, before = self._offers, self._offers.remote
        sdp = sdp_of(response)
        if offers.waits_in(Carrier.INVITE, Carrier.UPDATE):
            if sdp is None:
                offers.withdraw()
            else:
                carrier = Carrier.SUCCESS if offers.carrier is Carrier.INVITE else Carrier.UPDATE_SUCCESS
                offers.receive_answer(sdp, carrier)
            if change.wanted or (sdp is not None and sdp != before):
                usage.user.on_reanswer(sdp, response.status, now)
        usage.settled(now)

    def _failed(self, sent: ClientRequest, change: Change, status: int, response: Response | None, now: float) -> None:
        usage = self._usage
        self._offers.withdraw()
        method = sent.request.method
        if response is not None and status in (405, 501) and method == "UPDATE":
            usage.forget_method("UPDATE")
            self._put_back(change)
        elif response is not None and status == 422 and usage.timer.too_small(response):
            self._put_back(change)
        elif (delay := self._delay(status, response)) is not None and change.retries < MAX_RETRIES:
            change.retries += 1
            self._put_back(change)
            self._retry = usage.stack.schedule(now + delay, self._try_again)
        elif status in FATAL or response is None:
            self._fatal(change, status, response, now)
            return
        elif change.wanted:
            usage.user.on_reanswer(None, status, now)
        usage.settled(now)

    def _fatal(self, change: Change, status: int, response: Response | None, now: float) -> None:
        usage = self._usage
        if change.wanted:
            usage.user.on_reanswer(None, status, now)
        if usage.confirmed:
            usage.lost_peer(status, response, now)
        else:
            usage.settled(now)

    def _put_back(self, change: Change) -> None:
        """To be tried again, unless the user wants something newer by now."""
        if not change.wanted:
            self._refresh_due = True
        elif self._next is None:
            self._next = change

    def _try_again(self, now: float) -> None:
        self._retry = None
        self.proceed(now)

    def _delay(self, status: int, response: Response | None) -> float | None:
        """When to try again what met a change of the peer's (RFC 3261 §14.1), or was asked to wait."""
        usage = self._usage
        if status == 491:
            owner = usage.dialog is not None and usage.dialog.role is Role.UAC  # who made the Call-ID
            return usage.register.rng.randint(210, 400) / 100 if owner else usage.register.rng.randint(0, 200) / 100
        if status == 500 and response is not None:
            seconds = number_of((response.headers.get("Retry-After") or "").partition("(")[0])
            if seconds is not None and seconds <= LONGEST_RETRY_AFTER_S:
                return seconds
        return None
