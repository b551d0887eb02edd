"""What all parts of a session share: the dialog, the state, the peer's abilities, and the one way to end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Protocol

from pbxd.sip.dialog import Dialog, DialogState, address_of
from pbxd.sip.flow import Destination
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Message, Request, Response, response_to
from pbxd.sip.offer import OfferAnswer
from pbxd.sip.refresh import SessionTimer
from pbxd.sip.session.client import Client, ClientRequest, ignore
from pbxd.sip.session.ending import EndCause, Ending
from pbxd.sip.session.settings import SessionSettings
from pbxd.sip.session.state import TABLE, SessionEvent, SessionState
from pbxd.sip.session.user import NOBODY, SessionUser
from pbxd.sip.stack import Stack
from pbxd.sip.timers import TimerHandle
from pbxd.sip.transaction import ServerTransaction
from pbxd.sip.uri import Uri

SDP = "application/sdp"
HeaderList = Sequence[tuple[str, str]]


class Register(Protocol):
    """Where sessions are found by (Call-ID, local tag); `expect_ack` finds one by (Call-ID, remote tag) as well.
    `rng` is for CSeq and RSeq starts and for the waits of glare."""

    rng: Random

    def add(self, usage: Usage) -> None: ...
    def remove(self, usage: Usage) -> None: ...
    def expect_ack(self, usage: Usage) -> None: ...
    def acked(self, usage: Usage) -> None: ...


@dataclass(slots=True)
class Held:
    """A request of the peer's that waits for our user: a re-INVITE, UPDATE or PRACK with an offer, or a re-INVITE
    without one, that `wants_offer`."""

    transaction: ServerTransaction
    request: Request
    wants_offer: bool = False
    alarm: TimerHandle | None = None


@dataclass(slots=True)
class Unacked:
    """A 2xx to INVITE whose ACK is owed to us."""

    transaction: ServerTransaction
    number: int


class Usage(ABC):
    """The common ground of a session's parts."""

    __slots__ = (
        "_alarm",
        "_allow",
        "_refresh_begun",
        "_supports",
        "call_id",
        "client",
        "contact",
        "dialog",
        "ending",
        "held",
        "inviting",
        "local",
        "offers",
        "register",
        "settings",
        "stack",
        "state",
        "timer",
        "unacked",
        "unpracked",
        "user",
    )

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
        self.stack = stack
        self.register = register
        self.settings = settings
        self.user = user
        self.state = state
        self.call_id = call_id
        self.local = local
        self.contact = contact
        self.client = Client(stack, settings)
        self.dialog: Dialog | None = None
        self.offers = OfferAnswer()
        self.timer = SessionTimer(settings.session_expires, settings.min_se)
        self.ending: Ending | None = None
        """Why our CANCEL or BYE is out."""
        self.held: Held | None = None
        self.inviting = False
        """An INVITE of ours has no final response."""
        self.unacked: Unacked | None = None
        self.unpracked = False
        """A reliable 18x of ours with SDP waits for its PRACK."""
        self._allow: str | None = None
        self._supports = ""
        self._alarm: TimerHandle | None = None
        self._refresh_begun = False

    # ---- what the parts ask of the whole

    @abstractmethod
    def settled(self, now: float) -> None:
        """Something was finished: whatever waited for it may go on."""

    @abstractmethod
    def refresh(self, now: float) -> None:
        """The session timer wants a refresh (RFC 4028 §7.4)."""

    @abstractmethod
    def release(self, now: float) -> None:
        """The end: stop timers, answer what is still open."""

    # ---- state

    def step(self, event: SessionEvent) -> None:
        """Raises KeyError for an event that has no place in the state: a bug here, never the peer's doing."""
        self.state = TABLE[self.state, event]

    @property
    def ended(self) -> bool:
        return self.state is SessionState.ENDED

    @property
    def confirmed(self) -> bool:
        """The dialog has had its 2xx."""
        return self.dialog is not None and self.dialog.state is DialogState.CONFIRMED

    @property
    def busy(self) -> bool:
        """An offer, theirs or ours, is under way, or an ACK or PRACK is owed: no new offer may start."""
        return self.held is not None or self.unacked is not None or self.unpracked or not self.offers.idle

    # ---- the peer

    @property
    def local_tag(self) -> str:
        return self.local.tag or ""

    @property
    def remote_tag(self) -> str:
        return "" if self.dialog is None else self.dialog.remote_tag

    @property
    def allow(self) -> frozenset[str]:
        """The methods the peer's Allow named last; empty while it named none."""
        return frozenset() if self._allow is None else _tokens(self._allow, upper=True)

    @property
    def peer_supports(self) -> frozenset[str]:
        """The option tags of the peer's Supported."""
        return _tokens(self._supports, upper=False)

    def note_peer(self, message: Message) -> None:
        """Takes what a message of the peer's says about its abilities."""
        lines = message.headers.lines
        if "allow" in lines:
            self._allow = ",".join(lines["allow"])
        if "supported" in lines:
            self._supports = ",".join(lines["supported"])

    def forget_method(self, method: str) -> None:
        """The peer refused with 405 or 501 what it said it allows."""
        self._allow = ",".join(sorted(self.allow - {method}))

    def note_abilities(self, allow: Sequence[str], supports: Sequence[str]) -> None:
        self._allow = ",".join(allow)
        self._supports = ",".join(supports)

    # ---- messages

    def response(self, request: Request, status: int, headers: HeaderList = (), reason: str | None = None) -> Response:
        """A response of this session; what makes or refreshes a dialog says who and what we are."""
        response = response_to(request, status, reason, to_tag=self.local_tag)
        add = response.headers.add
        if status < 300 and request.method in ("INVITE", "UPDATE"):
            add("Contact", f"<{self.contact}>")
            add("Allow", self.settings.allow_text)
            add("Supported", self.settings.supported_text)
            if status >= 200:
                add("Accept", self.settings.accept_text)
        for name, value in headers:
            add(name, value)
        return response

    def reply(
        self, transaction: ServerTransaction, request: Request, status: int, now: float, headers: HeaderList = ()
    ) -> None:
        self.stack.respond(transaction, self.response(request, status, headers), now)

    def introduce(self, request: Request) -> None:
        """Our abilities and the session timer, for an INVITE or UPDATE of ours."""
        add = request.headers.add
        add("Allow", self.settings.allow_text)
        add("Supported", self.settings.supported_text)
        add("Accept", self.settings.accept_text)
        if self.settings.timed and (self.confirmed or self.dialog is None):
            self.timer.ask(request.headers)

    def opened(self, dialog: Dialog) -> None:
        """`dialog` has a next hop we have not asked RFC 3263 about."""
        resolve = self.settings.resolve
        if resolve is not None and address_of(dialog.next_hop) is None:

            def found(places: Sequence[Destination]) -> None:
                dialog.resolved = tuple(places)

            resolve(dialog.next_hop, found)

    def refresh_target(self, message: Request | Response) -> None:
        dialog = self.dialog
        if dialog is not None and dialog.refresh_target(message):
            self.opened(dialog)

    # ---- the session timer

    def restart_timer(self, now: float) -> None:
        """A refresh, or what counts as one, has succeeded (RFC 4028 §7.2, §9)."""
        self._stop_timer()
        begin, end = self.timer.refresh_after, self.timer.expires_after
        if end is not None and self.ending is None:
            self._refresh_begun = begin is None
            self._alarm = self.stack.schedule(now + (end if begin is None else begin), self._rang)

    def _rang(self, now: float) -> None:
        begin, end = self.timer.refresh_after, self.timer.expires_after
        if self._refresh_begun or begin is None or end is None:
            self.abandon(Ending(EndCause.SESSION_EXPIRED), now, reason='SIP ;cause=408 ;text="Session expired"')
            return
        self._refresh_begun = True
        self._alarm = self.stack.schedule(now + end - begin, self._rang)
        self.refresh(now)

    def _stop_timer(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    # ---- the end

    def bye(self, event: SessionEvent, ending: Ending, now: float, *, reason: str | None = None) -> None:
        """Sends BYE and waits for its answer; `event` leads to ENDING."""
        self.step(event)
        self.ending = ending
        self._stop_timer()
        assert self.dialog is not None  # noqa: S101
        self.dialog.state = DialogState.TERMINATED
        self.client.bye(self.dialog, self._bye_heard, now, reason=reason)

    def abandon(self, ending: Ending, now: float, *, reason: str | None = None) -> None:
        """Ends at once; a BYE goes out, but a peer that is likely gone is not waited for."""
        if self.ended:
            return
        if self.dialog is not None and self.state is not SessionState.ENDING:
            self.client.bye(self.dialog, ignore, now, reason=reason)
        self.finish(ending, now)

    def finish(self, ending: Ending, now: float) -> None:
        """The only way into ENDED. Does nothing there."""
        if self.ended:
            return
        self.step(SessionEvent.OVER)
        self._stop_timer()
        self.release(now)
        self.register.remove(self)
        if self.dialog is not None:
            self.dialog.state = DialogState.TERMINATED
        user, self.user = self.user, NOBODY
        user.on_ended(ending, now)

    def lost_peer(self, status: int, response: Response | None, now: float) -> None:
        """A request in the dialog got an answer that ends it, or none (RFC 3261 §12.2.1.2, RFC 5057 §5.1)."""
        if self.ending is not None:  # our BYE is out and will tell
            return
        if response is None:
            cause = EndCause.TIMEOUT if status == 408 else EndCause.TRANSPORT
        else:
            cause = EndCause.TIMEOUT if status == 408 else EndCause.PROTOCOL
        self.abandon(Ending(cause, status, None, response), now)

    def _bye_heard(self, sent: ClientRequest, status: int, response: Response | None, now: float) -> None:
        if status >= 200:  # whatever it says, and if it says nothing: RFC 3261 §15.1.1
            self.finish(self.ending or Ending(EndCause.LOCAL_HANGUP), now)


def number_of(text: str | None) -> int | None:
    """The number a header begins with; None when it has none, or one beyond 32 bits."""
    words = (text or "").replace(";", " ").split(None, 1)
    if not words or len(words[0]) > 10 or not (words[0].isascii() and words[0].isdigit()):
        return None
    number = int(words[0])
    return number if number < 2**32 else None


def sdp_of(message: Message) -> bytes | None:
    """The session description of a message; an empty body of that type is none."""
    return message.part(SDP) or None


@lru_cache(maxsize=256)
def _tokens(text: str, *, upper: bool) -> frozenset[str]:
    """A comma-separated list of tokens. The same phones say the same again and again."""
    words = (word.strip() for word in text.split(","))
    return frozenset((word.upper() if upper else word.lower()) for word in words if word)
