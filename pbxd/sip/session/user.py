"""What a session reports to whoever owns it."""

from __future__ import annotations

from typing import Protocol

from pbxd.sip.message import Request, Response
from pbxd.sip.session.ending import Ending
from pbxd.sip.transaction import ServerTransaction


class SessionUser(Protocol):
    """The owner of a session. All calls come synchronously from inside an input of the stack or a timer; calling
    any action of the session from inside a callback is allowed. SDP is bytes and never looked into."""

    def on_progress(self, status: int, sdp: bytes | None, response: Response, now: float) -> None:
        """UAC: a provisional response above 100. `sdp` is the answer to our offer (early media; each fork may bring
        its own, told apart by the To tag), or, when our INVITE had none, the peer's offer in a reliable 18x: then
        `answer` must be called, and it travels in the PRACK."""

    def on_answered(self, sdp: bytes | None, response: Response, now: float) -> None:
        """UAC: the first 2xx. If we offered, `sdp` is the answer (None when it came before, in a reliable 18x) and
        the ACK is already out. If we did not (delayed offer), `sdp` is the peer's offer, and `answer` must be called:
        it sends the ACK."""

    def on_established(self, sdp: bytes | None, now: float) -> None:
        """UAS: the ACK to our 2xx is here. `sdp` is the answer when our 2xx (or 18x) carried the offer, else None."""

    def on_offer(self, sdp: bytes | None, now: float) -> None:
        """The peer wants to change the session: re-INVITE, UPDATE or PRACK with an offer. None is a re-INVITE
        without one: it wants ours. Call `answer` or `refuse`, now or later (within 28 s for an UPDATE)."""

    def on_reanswer(self, sdp: bytes | None, status: int, now: float) -> None:
        """What became of our `offer`, or of the offer we made when `on_offer(None)` asked for one: a 2xx and the
        answer, or the status that refused it (then what was agreed before goes on)."""

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A request in the dialog that the session does not handle itself (INFO, REFER, NOTIFY, MESSAGE, OPTIONS,
        unknown ones): answer it with `session.respond`."""

    def on_ended(self, ending: Ending, now: float) -> None:
        """The session is over. Exactly once, always last."""


class Nobody(SessionUser):
    """Takes the place of the user after `on_ended`: what is left of the session for its transactions' sake holds on to
    nothing of its owner's."""

    def on_progress(self, status: int, sdp: bytes | None, response: Response, now: float) -> None:
        return

    def on_answered(self, sdp: bytes | None, response: Response, now: float) -> None:
        return

    def on_established(self, sdp: bytes | None, now: float) -> None:
        return

    def on_offer(self, sdp: bytes | None, now: float) -> None:
        return

    def on_reanswer(self, sdp: bytes | None, status: int, now: float) -> None:
        return

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        return

    def on_ended(self, ending: Ending, now: float) -> None:
        return


NOBODY = Nobody()
