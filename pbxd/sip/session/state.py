"""Where a session stands, and what may come next: one table.

state         event            next
CALLING       PROGRESS         PROCEEDING
CALLING       SUCCESS          ESTABLISHED
CALLING       OFFERED          ANSWERED
CALLING       GIVE_UP          CANCELLING
PROCEEDING    SUCCESS          ESTABLISHED
PROCEEDING    OFFERED          ANSWERED
PROCEEDING    GIVE_UP          CANCELLING
CANCELLING    SUCCESS          ENDING        a 2xx crossed our CANCEL: ACK and BYE (RFC 3261 §9.1, §15)
ANSWERED      ACKED            ESTABLISHED
ANSWERED      GIVE_UP          ENDING
INCOMING      ACCEPT           ACCEPTED
ACCEPTED      ACKED            ESTABLISHED
ACCEPTED      GIVE_UP          LEAVING       no BYE before the ACK (RFC 3261 §15)
LEAVING       ACKED            ENDING
ESTABLISHED   GIVE_UP          ENDING
any           OVER             ENDED
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import auto
from types import MappingProxyType

from pbxd.sip.symbol import Symbol


class SessionState(Symbol):
    CALLING = auto()
    """UAC: our INVITE is out, nothing came back."""
    PROCEEDING = auto()
    """UAC: a provisional response came."""
    CANCELLING = auto()
    """UAC: given up before the final response, which is still owed to us."""
    ANSWERED = auto()
    """UAC: 2xx with the peer's offer is here; our answer, in the ACK, is owed."""
    INCOMING = auto()
    """UAS: their INVITE waits for our final response."""
    ACCEPTED = auto()
    """UAS: our 2xx is out, the ACK is owed to us."""
    LEAVING = auto()
    """UAS: hung up before the ACK came; BYE follows it."""
    ESTABLISHED = auto()
    """Both sides agree that the call is up."""
    ENDING = auto()
    """Our BYE is out."""
    ENDED = auto()
    """Told to the user; nothing is left."""


class SessionEvent(Symbol):
    PROGRESS = auto()
    """A provisional response came."""
    SUCCESS = auto()
    """A 2xx came, and all it needs from us is an ACK."""
    OFFERED = auto()
    """A 2xx came with an offer."""
    ACCEPT = auto()
    """Our 2xx went out."""
    ACKED = auto()
    """The ACK came, or went out with our answer."""
    GIVE_UP = auto()
    """The user, the session timer or a broken peer wants the end."""
    OVER = auto()
    """Nothing more to do or to wait for."""


_S, _E = SessionState, SessionEvent
TABLE: Mapping[tuple[SessionState, SessionEvent], SessionState] = MappingProxyType(
    {
        (_S.CALLING, _E.PROGRESS): _S.PROCEEDING,
        (_S.CALLING, _E.SUCCESS): _S.ESTABLISHED,
        (_S.CALLING, _E.OFFERED): _S.ANSWERED,
        (_S.CALLING, _E.GIVE_UP): _S.CANCELLING,
        (_S.PROCEEDING, _E.SUCCESS): _S.ESTABLISHED,
        (_S.PROCEEDING, _E.OFFERED): _S.ANSWERED,
        (_S.PROCEEDING, _E.GIVE_UP): _S.CANCELLING,
        (_S.CANCELLING, _E.SUCCESS): _S.ENDING,
        (_S.ANSWERED, _E.ACKED): _S.ESTABLISHED,
        (_S.ANSWERED, _E.GIVE_UP): _S.ENDING,
        (_S.INCOMING, _E.ACCEPT): _S.ACCEPTED,
        (_S.ACCEPTED, _E.ACKED): _S.ESTABLISHED,
        (_S.ACCEPTED, _E.GIVE_UP): _S.LEAVING,
        (_S.LEAVING, _E.ACKED): _S.ENDING,
        (_S.ESTABLISHED, _E.GIVE_UP): _S.ENDING,
        **{(state, _E.OVER): _S.ENDED for state in SessionState if state is not _S.ENDED},
    }
)


def text() -> str:
    """The machine's table, a row a line."""
    return "\n".join(f"{before.name:14}{event.name:17}{after.name}" for (before, event), after in TABLE.items())
