"""What the peer wants to change: its re-INVITE and UPDATE, refused by rule or held until our user has decided."""

from __future__ import annotations

from pbxd.sip.message import Request
from pbxd.sip.offer import Carrier, OfferState
from pbxd.sip.session.screen import screen
from pbxd.sip.session.state import SessionState
from pbxd.sip.session.usage import SDP, HeaderList, Held, Unacked, Usage, sdp_of
from pbxd.sip.transaction import ServerTransaction

PATIENCE = 7 / 8
"""How much of 64*T1 an UPDATE waits for our user before it gets a 504 (RFC 3311 §5.2, RFC 4320 §4.2): 28 s."""
RETRY_AFTER_S = 10
"""RFC 3261 §14.2: Retry-After is a random number from 0 to 10 seconds."""


def receive_invite(usage: Usage, transaction: ServerTransaction, request: Request, now: float) -> None:
    """A re-INVITE (RFC 3261 §14.2)."""
    if usage.state is SessionState.INCOMING or usage.held is not None or usage.offers.state is OfferState.REMOTE_OFFER:
        _later(usage, transaction, request, now)
        return
    if usage.inviting or not usage.offers.idle:
        usage.reply(transaction, request, 491, now)
        return
    if not _admitted(usage, transaction, request, now):
        return
    transaction.user = usage
    sdp = sdp_of(request)
    usage.held = Held(transaction, request, wants_offer=sdp is None)
    if sdp is not None:
        usage.offers.receive_offer(sdp, Carrier.INVITE)
    usage.user.on_offer(sdp, now)


def receive_update(usage: Usage, transaction: ServerTransaction, request: Request, now: float) -> None:
    """An UPDATE (RFC 3311 §5.2): with an offer, or to refresh session timer and target only."""
    sdp = sdp_of(request)
    if sdp is not None:
        if usage.offers.state is OfferState.LOCAL_OFFER:
            usage.reply(transaction, request, 491, now)
            return
        if usage.busy:
            _later(usage, transaction, request, now)
            return
    if not _admitted(usage, transaction, request, now):
        return
    if sdp is None:
        _consent(usage, transaction, request, None, now)
        return
    usage.offers.receive_offer(sdp, Carrier.UPDATE)
    hold(usage, transaction, request, now)
    usage.user.on_offer(sdp, now)


def hold(usage: Usage, transaction: ServerTransaction, request: Request, now: float) -> None:
    """An UPDATE or PRACK with an offer waits for our user, but not longer than its sender does."""
    transaction.user = usage
    alarm = usage.stack.schedule(now + PATIENCE * usage.stack.timers.timeout, refuse, usage, 504, ())
    usage.held = Held(transaction, request, alarm=alarm)


def answer(usage: Usage, sdp: bytes, now: float) -> None:
    """The user's answer, or its offer where the re-INVITE had none."""
    held = _let_go(usage)
    if held is None:
        return
    if held.wants_offer:
        usage.offers.send_offer(sdp, Carrier.SUCCESS)
    else:
        usage.offers.send_answer(sdp, _ANSWER_IN[held.request.method])
    _consent(usage, held.transaction, held.request, sdp, now)
    usage.settled(now)


def refuse(usage: Usage, status: int, headers: HeaderList, now: float) -> None:
    """The user's no, the user's silence (504), or the peer's change of mind (487)."""
    held = _let_go(usage)
    if held is None:
        return
    usage.offers.withdraw()
    if not held.transaction.answered:
        usage.reply(held.transaction, held.request, status, now, headers)
    usage.settled(now)


def lost(usage: Usage, now: float) -> None:
    """The way back to who asked is dead: nobody waits for an answer any more."""
    if _let_go(usage) is not None:
        usage.offers.withdraw()
        usage.settled(now)


_ANSWER_IN = {"INVITE": Carrier.SUCCESS, "UPDATE": Carrier.UPDATE_SUCCESS, "PRACK": Carrier.PRACK_SUCCESS}


def _let_go(usage: Usage) -> Held | None:
    held, usage.held = usage.held, None
    if held is not None and held.alarm is not None:
        held.alarm.cancel()
    return held


def _later(usage: Usage, transaction: ServerTransaction, request: Request, now: float) -> None:
    seconds = usage.register.rng.randint(0, RETRY_AFTER_S)
    usage.reply(transaction, request, 500, now, [("Retry-After", str(seconds))])


def _admitted(usage: Usage, transaction: ServerTransaction, request: Request, now: float) -> bool:
    """Answers what breaks a rule; takes the target and the abilities of what does not."""
    verdict = screen(request, usage.settings, usage.timer.refusal(request))
    if verdict is not None:
        status, headers = verdict
        usage.reply(transaction, request, status, now, headers)
        return False
    usage.note_peer(request)
    usage.refresh_target(request)
    return True


def _consent(usage: Usage, transaction: ServerTransaction, request: Request, sdp: bytes | None, now: float) -> None:
    response = usage.response(request, 200)
    if sdp is not None:
        response.headers.add("Content-Type", SDP)
        response.body = sdp
    if request.method != "PRACK" and usage.settings.timed and usage.confirmed:
        usage.timer.grant(request, response.headers)
        usage.restart_timer(now)
    if request.method == "INVITE":
        usage.unacked = Unacked(transaction, request.cseq.number)
        usage.register.expect_ack(usage)
    usage.stack.respond(transaction, response, now)
