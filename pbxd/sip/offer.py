"""Offer and answer as one state table (RFC 3264; which message may carry what: RFC 6337 §2, RFC 3311, RFC 3262 §5).

    state         event            next          meaning
    IDLE          SEND_OFFER       LOCAL_OFFER   we wait for the answer
    IDLE          RECEIVE_OFFER    REMOTE_OFFER  the peer waits for ours
    LOCAL_OFFER   RECEIVE_ANSWER   IDLE          agreed
    LOCAL_OFFER   WITHDRAW         IDLE          refused, or never answered: what was agreed before holds
    REMOTE_OFFER  SEND_ANSWER      IDLE          agreed
    REMOTE_OFFER  WITHDRAW         IDLE          refused by us, or taken back (CANCEL)

Anything else is a rule broken: by the peer, answered 491 or 500 before it gets here; by our own user, an OfferError.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import auto
from types import MappingProxyType

from pbxd.sip.symbol import Symbol


class OfferState(Symbol):
    IDLE = auto()
    LOCAL_OFFER = auto()
    REMOTE_OFFER = auto()


class OfferEvent(Symbol):
    SEND_OFFER = auto()
    RECEIVE_OFFER = auto()
    SEND_ANSWER = auto()
    RECEIVE_ANSWER = auto()
    WITHDRAW = auto()


class Carrier(Symbol):
    """The messages that may carry an offer or an answer."""

    INVITE = auto()
    PROVISIONAL = auto()
    """A reliable 18x; an unreliable one only previews what its 2xx will say."""
    SUCCESS = auto()
    """A 2xx to INVITE."""
    ACK = auto()
    PRACK = auto()
    PRACK_SUCCESS = auto()
    UPDATE = auto()
    UPDATE_SUCCESS = auto()


class OfferError(RuntimeError):
    """An offer or answer at a time or in a message that has no place for it."""


TABLE: Mapping[tuple[OfferState, OfferEvent], OfferState] = MappingProxyType(
    {
        (OfferState.IDLE, OfferEvent.SEND_OFFER): OfferState.LOCAL_OFFER,
        (OfferState.IDLE, OfferEvent.RECEIVE_OFFER): OfferState.REMOTE_OFFER,
        (OfferState.LOCAL_OFFER, OfferEvent.RECEIVE_ANSWER): OfferState.IDLE,
        (OfferState.LOCAL_OFFER, OfferEvent.WITHDRAW): OfferState.IDLE,
        (OfferState.REMOTE_OFFER, OfferEvent.SEND_ANSWER): OfferState.IDLE,
        (OfferState.REMOTE_OFFER, OfferEvent.WITHDRAW): OfferState.IDLE,
    }
)


def text() -> str:
    """The machine's table, a row a line."""
    return "\n".join(f"{before.name:14}{event.name:17}{after.name}" for (before, event), after in TABLE.items())


ANSWERED_IN: Mapping[Carrier, frozenset[Carrier]] = MappingProxyType(
    {
        Carrier.INVITE: frozenset({Carrier.PROVISIONAL, Carrier.SUCCESS}),
        Carrier.PROVISIONAL: frozenset({Carrier.PRACK}),
        Carrier.SUCCESS: frozenset({Carrier.ACK}),
        Carrier.PRACK: frozenset({Carrier.PRACK_SUCCESS}),
        Carrier.UPDATE: frozenset({Carrier.UPDATE_SUCCESS}),
    }
)
"""RFC 6337 table 1: an offer in the one is answered in one of the others."""


class OfferAnswer:
    """The offers and answers of one dialog. `local` and `remote` are the descriptions agreed last, None before."""

    __slots__ = ("_offer", "carrier", "local", "remote", "state")

    def __init__(self, local: bytes | None = None, remote: bytes | None = None) -> None:
        self.state = OfferState.IDLE
        self.carrier: Carrier | None = None
        self.local = local
        self.remote = remote
        self._offer: bytes | None = None

    @property
    def idle(self) -> bool:
        return self.state is OfferState.IDLE

    @property
    def agreed(self) -> bool:
        """At least one offer has been answered."""
        return self.local is not None and self.remote is not None

    @property
    def pending(self) -> bytes | None:
        """The offer that waits for its answer."""
        return self._offer

    def waits_in(self, *carriers: Carrier) -> bool:
        """An offer of ours, made in one of these, has no answer yet."""
        return self.state is OfferState.LOCAL_OFFER and self.carrier in carriers

    def asked_in(self, *carriers: Carrier) -> bool:
        """An offer of the peer's, made in one of these, has no answer yet."""
        return self.state is OfferState.REMOTE_OFFER and self.carrier in carriers

    def send_offer(self, sdp: bytes, carrier: Carrier) -> None:
        self._offered(OfferEvent.SEND_OFFER, sdp, carrier)

    def receive_offer(self, sdp: bytes, carrier: Carrier) -> None:
        self._offered(OfferEvent.RECEIVE_OFFER, sdp, carrier)

    def send_answer(self, sdp: bytes, carrier: Carrier) -> None:
        self.remote, self.local = self._answered(OfferEvent.SEND_ANSWER, carrier), sdp

    def receive_answer(self, sdp: bytes, carrier: Carrier) -> None:
        self.local, self.remote = self._answered(OfferEvent.RECEIVE_ANSWER, carrier), sdp

    def withdraw(self) -> None:
        """The offer is off, whoever made it; nothing to do without one."""
        if self.state is not OfferState.IDLE:
            self._step(OfferEvent.WITHDRAW)
            self._offer = self.carrier = None

    def _offered(self, event: OfferEvent, sdp: bytes, carrier: Carrier) -> None:
        if carrier not in ANSWERED_IN:
            raise OfferError(f"{carrier.name} carries no offer")
        self._step(event)
        self._offer, self.carrier = sdp, carrier

    def _answered(self, event: OfferEvent, carrier: Carrier) -> bytes | None:
        if self.carrier is not None and carrier not in ANSWERED_IN[self.carrier]:
            raise OfferError(f"an offer in {self.carrier.name} is not answered in {carrier.name}")
        self._step(event)
        offer, self._offer, self.carrier = self._offer, None, None
        return offer

    def _step(self, event: OfferEvent) -> None:
        following = TABLE.get((self.state, event))
        if following is None:
            raise OfferError(f"{event.name} in {self.state.name}")
        self.state = following

    def __repr__(self) -> str:
        return f"<OfferAnswer {self.state.name} {self.carrier.name if self.carrier else ''}>"
