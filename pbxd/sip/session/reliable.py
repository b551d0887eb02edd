"""Provisional responses that must arrive (RFC 3262): ours, sent again until their PRACK comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pbxd.sip.message import Request, Response
from pbxd.sip.offer import Carrier
from pbxd.sip.session import consent
from pbxd.sip.session.usage import Usage, number_of, sdp_of
from pbxd.sip.timers import TimerHandle
from pbxd.sip.transaction import ServerTransaction

MAX_WAITING = 8
"""18x that may wait for the PRACK of the one before; the oldest gives way."""


class ReliableResponses:
    """The reliable 18x of one INVITE, one under way at a time. `given_up` is called when a PRACK does not come in
    64*T1."""

    __slots__ = (
        "_alarm",
        "_current",
        "_first",
        "_give_up_at",
        "_given_up",
        "_interval",
        "_invite",
        "_next",
        "_queue",
        "_transaction",
        "_usage",
    )

    def __init__(
        self,
        usage: Usage,
        transaction: ServerTransaction,
        invite: Request,
        first: int,
        given_up: Callable[[float], None],
    ) -> None:
        self._usage = usage
        self._transaction = transaction
        self._invite = invite.cseq.number
        self._first = self._next = first
        self._given_up = given_up
        self._current: Response | None = None
        self._queue: deque[Response] = deque(maxlen=MAX_WAITING)
        self._alarm: TimerHandle | None = None
        self._interval = 0.0
        self._give_up_at = 0.0

    def send(self, response: Response, now: float) -> None:
        """At once, or when the PRACK for the one before has come (RFC 3262 §3)."""
        if self._current is not None:
            self._queue.append(response)
            return
        response.headers.add("Require", "100rel")
        response.headers.set("RSeq", str(self._next))
        self._next += 1
        self._current = response
        timers = self._usage.stack.timers
        self._interval = timers.t1
        self._give_up_at = now + timers.timeout
        self._transmit(now)

    def stop(self) -> None:
        """A final response goes out: nothing is sent again, PRACKs that come late are still known."""
        self._queue.clear()
        self._acknowledged()

    def receive_prack(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """RFC 3262 §3: 200 if it acknowledges what we sent, else 481. It may bring an answer, or an offer (§5)."""
        usage = self._usage
        acknowledged = self._read(request)
        if acknowledged is None:
            usage.reply(transaction, request, 481, now)
            return
        if self._current is None or acknowledged != self._next - 1:  # late: a final response was faster
            usage.reply(transaction, request, 200, now)
            return
        self._acknowledged()
        sdp = sdp_of(request)
        offers = usage.offers
        if sdp is not None and offers.idle:
            offers.receive_offer(sdp, Carrier.PRACK)
            consent.hold(usage, transaction, request, now)
            usage.user.on_offer(sdp, now)
        else:
            usage.reply(transaction, request, 200, now)
            if offers.waits_in(Carrier.PROVISIONAL):
                self._answered(sdp, now)
        if self._queue:
            self.send(self._queue.popleft(), now)
        usage.settled(now)

    def _answered(self, sdp: bytes | None, now: float) -> None:
        """Our offer in the 18x has its answer, or the peer forgot it."""
        if sdp is None:
            self._usage.offers.withdraw()
            self._usage.user.on_reanswer(None, 488, now)
        else:
            self._usage.offers.receive_answer(sdp, Carrier.PRACK)
            self._usage.user.on_reanswer(sdp, 200, now)

    def _read(self, request: Request) -> int | None:
        """The RSeq a PRACK names, if it is one of ours."""
        words = (request.headers.get("RAck") or "").split()
        if len(words) != 3 or words[2] != "INVITE" or number_of(words[1]) != self._invite:
            return None
        number = number_of(words[0])
        return number if number is not None and self._first <= number < self._next else None

    def _transmit(self, now: float) -> None:
        if self._current is not None:
            self._usage.stack.respond(self._transaction, self._current, now)
            self._alarm = self._usage.stack.schedule(min(now + self._interval, self._give_up_at), self._rang)

    def _rang(self, now: float) -> None:
        if now >= self._give_up_at:
            self.stop()
            self._given_up(now)
            return
        self._interval *= 2
        self._transmit(now)

    def _acknowledged(self) -> None:
        self._current = None
        self._usage.unpracked = any(response.body for response in self._queue)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
